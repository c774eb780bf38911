"""Clients that are slow, unknown or too many, against the real daemon. test_attacks_*.py have those that attack."""

import json
import os
import pathlib
import resource
import unittest

from lab import Lab, LabTest, NAME, until


def read_all(sock, seconds=10):
    """What comes until the other side closes; None in place of a close that did not come."""
    sock.settimeout(seconds)
    data = b""
    try:
        while True:
            piece = sock.recv(65536)
            if not piece:
                return data
            data += piece
    except ConnectionResetError:
        return data
    except TimeoutError:
        return None


def m1(kid=bytes(16), suites=3, magic=b"rexc", low=1, high=1, nonce=None, ephemeral=None):
    return (magic + bytes([1, low, high, suites]) + kid + (nonce or os.urandom(32))
            + (ephemeral or os.urandom(32)))


class Slow(LabTest):
    flags = {"handshake_timeout": "1", "max_unproven": "300"}

    def test_slowloris(self):
        """Half-open handshakes, more than there may be, while proven clients are served."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
        socks = []
        try:
            for i in range(600):
                sock = self.lab.connect()
                sock.sendall(m1()[:i % 88])
                socks.append(sock)
            for i in range(20):
                self.check(self.lab.rexec("echo", str(i)), 0, b"%d\n" % i)
            for sock in socks:
                self.assertEqual(read_all(sock), b"")      # the deadline is absolute
        finally:
            for sock in socks:
                sock.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Refused(LabTest):
    """Wrong key, wrong name, expired, revoked, from elsewhere: one line, the same for all."""

    def refusal(self, options=(), **more):
        run = self.lab.rexec("true", options=options, **more)
        self.one_line(run)
        return run.stderr.replace(b"other-name", NAME.encode())

    def test_all_alike(self):
        other = self.lab.dir / "other"
        self.lab.make_key(other)
        said = {self.refusal(key=other)}
        for number, option in enumerate((("--expires", "2001-01-01T00:00:00Z"), ("--from", "192.0.2.1"))):
            key = self.lab.dir / f"key{number}"
            self.lab.make_key(key)
            self.lab.add_grant(f"grant{number}", key, *option)
            self.lab.server.send_signal(1)
            said.add(self.refusal(key=key).replace(str(key).encode(), str(other).encode()))
        self.assertEqual(len(said), 1, said)

    def test_grant_added_by_reload(self):
        key = self.lab.dir / "late"
        self.lab.make_key(key)
        self.refusal(key=key)
        (self.lab.grants / "broken").touch(mode=0o600)
        (self.lab.grants / "broken").write_text("rexec-grant 1\nnonsense\n")
        loose = self.lab.add_grant("loose", self.lab.key)
        loose.chmod(0o644)
        self.lab.add_grant("late", key)
        self.lab.server.send_signal(1)
        self.assertTrue(until(lambda: self.lab.rexec("true", key=key).returncode == 0), self.lab.said())
        self.assertIn("broken:2", self.lab.said())
        self.assertIn("loose", self.lab.said())
        self.check(self.lab.rexec("echo kept"), 0, b"kept\n")
        for name in ("broken", "loose"):
            (self.lab.grants / name).unlink()


class Limits(LabTest):
    flags = {"max_commands": "2"}

    def test_commands_per_connection(self):
        """What is above the limit is told so; what is within it is not disturbed."""
        import subprocess
        command = self.lab.command_line()
        run = subprocess.run([command[0], "batch", "-j", "3", "--json", *command[1:]],
                             input=b"sleep 1; echo a\nsleep 1; echo b\nsleep 1; echo c\n",
                             capture_output=True, timeout=60)
        results = [json.loads(line) for line in run.stdout.splitlines()]
        self.assertEqual(sorted(result.get("stdout", "") for result in results[:2]), ["a\n", "b\n"])


class Stop(unittest.TestCase):
    def test_orderly_stop(self):
        """Running commands are told, given time, and ended truthfully."""
        with Lab(stop_grace="10") as lab:
            client = lab.popen("trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.05; done")
            self.assertEqual(client.stdout.readline(), b"up\n")
            status = lab.stop()
            out, err = client.communicate(timeout=30)
            self.assertEqual((status, client.returncode, out), (0, 7, b"bye\n"), err)

    def test_orderly_stop_of_what_has_stopped(self):
        """A command that was stopped (SIGSTOP) hears of it, too: it goes on, and ends as it likes."""
        with Lab(stop_grace="60") as lab:
            client = lab.popen("trap 'echo bye; exit 7' TERM; echo $$; kill -STOP $$; while :; do sleep 0.05; done")
            stat = pathlib.Path(f"/proc/{int(client.stdout.readline())}/stat")
            self.assertTrue(until(lambda: stat.read_text().rsplit(")", 1)[1].split()[0] == "T"))
            status = lab.stop()
            out, err = client.communicate(timeout=60)
            self.assertEqual((status, client.returncode, out), (0, 7, b"bye\n"), err)


if __name__ == "__main__":
    unittest.main()
