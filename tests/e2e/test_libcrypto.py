#!/usr/bin/python3
"""Large flows are sealed by libcrypto, if it is there; nobody sees a difference in what arrives."""

import hashlib
import os
import pathlib
import re
import threading
import unittest

from lab import BUILD, SANITIZED, LabTest

LITTLE, MUCH = 1 << 20, 24 << 20
SUITES = ["aes256gcm", "chacha20poly1305"] if re.search(r"\baes\b", pathlib.Path("/proc/cpuinfo").read_text()) \
    else ["chacha20poly1305"]


def loaded(pid):
    """Whether the process has libcrypto. None: it hides itself from all but root."""
    try:
        return "/libcrypto.so" in pathlib.Path(f"/proc/{pid}/maps").read_text()
    except PermissionError:
        if os.geteuid() == 0:
            raise
        return None


class Flows(LabTest):
    def through(self, client, size):
        """So many bytes there and back through cat."""
        data = os.urandom(1 << 20) * (size >> 20)
        feeder = threading.Thread(target=lambda: (client.stdin.write(data), client.stdin.flush()), daemon=True)
        feeder.start()
        back = client.stdout.read(size)
        feeder.join()
        self.assertEqual(hashlib.sha256(back).digest(), hashlib.sha256(data).digest())

    def cat(self, suite, then, **more):
        with self.lab.popen("cat", options=("-o", f"Suite={suite}"), **more) as client:
            self.through(client, LITTLE)
            self.assertIn(loaded(client.pid), (False, None), "loaded for a small one")
            self.through(client, MUCH)
            self.assertIn(loaded(client.pid), (then, None))
            self.through(client, LITTLE)
            self.assertEqual((client.communicate(timeout=60), client.returncode), ((b"", b""), 0))

    def test_large_ones(self):
        self.assertIn(loaded(self.lab.net_pid()), (True, None))
        for suite in SUITES:
            with self.subTest(suite=suite):
                self.cat(suite, True)

    def test_client_without_it(self):
        """A file of its name that is no library."""
        directory = self.lab.dir / "no library"
        directory.mkdir()
        versions = re.findall(rb"libcrypto\.so\.\d+", (BUILD / "bin" / "rexec").read_bytes())
        self.assertTrue(versions)
        for name in versions:
            (directory / name.decode()).touch()
        for suite in SUITES:
            with self.subTest(suite=suite):
                self.cat(suite, False, env={**os.environ, "LD_LIBRARY_PATH": str(directory)})

    @unittest.skipIf(SANITIZED, "its library needs the user's environment")
    def test_the_monitor_has_no_use_for_it(self):
        self.assertIn(loaded(self.lab.server.pid), (False, None))


if __name__ == "__main__":
    unittest.main()
