#!/usr/bin/python3
"""Large flows are sealed by the best library that is there; nobody sees a difference in what arrives."""

import hashlib
import os
import pathlib
import re
import threading
import unittest

from lab import BUILD, SANITIZED, LabTest

CPU = pathlib.Path("/proc/cpuinfo").read_text()
LITTLE, SOME, MUCH = 512 << 10, 3 << 20, 24 << 20
SUITES = ["aes256gcm", "chacha20poly1305"] if re.search(r"\baes\b", CPU) else ["chacha20poly1305"]
WIDE = all(re.search(rf"\b{flag}\b", CPU)
           for flag in ("vaes", "vpclmulqdq", "avx512vl", "avx512ifma", "gfni", "sha_ni"))


def files():
    """The libraries that the client was built for, by the names of their files."""
    return {name.decode() for name in
            re.findall(rb"lib(?:crypto|IPSec_MB)\.so\.\d+", (BUILD / "bin" / "rexec").read_bytes())}


def best():
    """What is expected of this machine."""
    wide = [name for name in files() if name.startswith("libIPSec_MB")]
    return wide[0] if wide and WIDE else next(name for name in files() if name.startswith("libcrypto"))


def loaded(pid):
    """Which of them the process has. None: it hides itself from all but root."""
    try:
        maps = pathlib.Path(f"/proc/{pid}/maps").read_text()
    except PermissionError:
        if os.geteuid() == 0:
            raise
        return None
    return {name for name in files() if f"/{name}" in maps}


class Flows(LabTest):
    def through(self, client, size):
        """So many bytes there and back through cat."""
        data = os.urandom(LITTLE) * (size // LITTLE)
        feeder = threading.Thread(target=lambda: (client.stdin.write(data), client.stdin.flush()), daemon=True)
        feeder.start()
        back = client.stdout.read(size)
        feeder.join()
        self.assertEqual(hashlib.sha256(back).digest(), hashlib.sha256(data).digest())

    def cat(self, suite, then, **more):
        with self.lab.popen("cat", options=("-o", f"Suite={suite}"), **more) as client:
            self.through(client, LITTLE)
            self.assertIn(loaded(client.pid), (set(), None), "loaded for a small one")
            self.through(client, SOME)
            soon = {name for name in then if name.startswith("libIPSec_MB")}
            self.assertIn(loaded(client.pid), (soon, None))
            self.through(client, MUCH)
            self.assertIn(loaded(client.pid), (then, None))
            self.through(client, LITTLE)
            self.assertEqual((client.communicate(timeout=60), client.returncode), ((b"", b""), 0))

    def without(self, *names):
        """The client's environment: files of their names that are no libraries."""
        directory = self.lab.dir / "no libraries"
        directory.mkdir(exist_ok=True)
        for name in names:
            (directory / name).touch()
        return {**os.environ, "LD_LIBRARY_PATH": str(directory)}

    def test_large_ones(self):
        self.assertIn(loaded(self.lab.net_pid()), ({best()}, None))
        for suite in SUITES:
            with self.subTest(suite=suite):
                self.cat(suite, {best()})

    def test_client_with_the_next_best(self):
        env = self.without(best())
        then = {name for name in files() - {best()} if name.startswith("libcrypto")}
        for suite in SUITES:
            with self.subTest(suite=suite):
                self.cat(suite, then, env=env)

    def test_client_without_any(self):
        self.assertTrue(files())
        env = self.without(*files())
        for suite in SUITES:
            with self.subTest(suite=suite):
                self.cat(suite, set(), env=env)

    @unittest.skipIf(SANITIZED, "its library needs the user's environment")
    def test_the_monitor_has_no_use_for_it(self):
        self.assertIn(loaded(self.lab.server.pid), (set(), None))


if __name__ == "__main__":
    unittest.main()
