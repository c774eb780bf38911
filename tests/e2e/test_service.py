#!/usr/bin/python3
"""What rexecd tells those who look after it as a service: systemd (NOTIFY_SOCKET), and the system's log (syslog)."""

import os
import re
import shutil
import signal
import socket
import tempfile
import unittest
import unittest.mock

from lab import Lab, until

ROOT = os.geteuid() == 0

# A /dev of its own with the usual devices, and a log that is this test's socket ($0).
OWN_DEV = """
mount -t tmpfs none /mnt
for name in null zero full random urandom tty; do
    : >/mnt/$name
    mount --bind /dev/$name /mnt/$name
done
mkdir /mnt/pts
mount --bind /dev/pts /mnt/pts
ln -s "$0" /mnt/log
mount --bind /mnt /dev
exec "$@"
"""


class Listener(unittest.TestCase):
    """Somebody who is told, by datagrams."""

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="rexec-service-")
        self.addCleanup(shutil.rmtree, self.dir)
        self.socket = self.enterContext(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        self.socket.settimeout(60)

    def heard(self):
        """What came and was not asked for yet."""
        found = []
        self.socket.setblocking(False)
        try:
            while True:
                found.append(self.socket.recv(8192))
        except BlockingIOError:
            return found


class Notify(Listener):
    def lives(self, address):
        """Ready once it serves, again when net was lost and is back, and stopping when it stops."""
        with unittest.mock.patch.dict(os.environ, NOTIFY_SOCKET=address), Lab() as lab:
            self.assertEqual(self.socket.recv(100), b"READY=1")
            run = lab.rexec("env")
            self.assertEqual((run.returncode, b"NOTIFY_SOCKET" in run.stdout), (0, False), run.stderr)
            os.kill(lab.net_pid(), signal.SIGKILL)
            self.assertEqual(self.socket.recv(100), b"READY=1")
            self.assertEqual(lab.stop(), 0)
            self.assertEqual(self.heard(), [b"STOPPING=1"])

    def test_by_path(self):
        path = f"{self.dir}/notify"
        self.socket.bind(path)
        self.lives(path)

    def test_by_abstract_name(self):
        name = f"rexec-test-{os.getpid()}"
        self.socket.bind("\0" + name)
        self.lives("@" + name)

    def test_nobody_is_there(self):
        for address in (f"{self.dir}/none", "", "no/path", "@" + "x" * 200):
            with self.subTest(address=address), unittest.mock.patch.dict(os.environ, NOTIFY_SOCKET=address), \
                    Lab() as lab:
                self.assertEqual(lab.rexec("echo hi").stdout, b"hi\n")
                self.assertEqual(lab.stop(), 0)


@unittest.skipUnless(ROOT and shutil.which("unshare"), "gives the daemon a /dev of its own")
class Syslog(Listener):
    def serve(self, **flags):
        path = f"{self.dir}/log"
        self.socket.bind(path)
        lab = Lab(**flags)
        lab.prefix = ("unshare", "-m", "sh", "-ec", OWN_DEV, path)
        return lab

    def test_lines_go_to_both(self):
        with self.serve(syslog="yes") as lab:
            self.assertEqual(lab.rexec("true").returncode, 0)
            self.assertEqual(lab.stop(), 0)
            said, heard = lab.said(), [line.decode() for line in self.heard()]
        lines = re.findall(r"^rexecd: (.*)$", said, re.M)
        self.assertTrue(any("command 1 as" in line for line in lines), said)
        for line in heard:
            # daemon.info or graver: facility 3, RFC 3164's head, and the monitor's number.
            self.assertRegex(line, r"\A<(2[4-9]|30)>\w{3} [ \d]\d [\d:]{8} rexecd\[\d+\]: [ -~]+\Z")
        self.assertEqual([line.split("]: ", 1)[1] for line in heard], lines)

    def test_not_unless_asked_for(self):
        with self.serve() as lab:
            self.assertEqual(lab.rexec("true").returncode, 0)
            self.assertTrue(until(lambda: "session closed" in lab.said()))
            self.assertEqual(lab.stop(), 0)
        self.assertEqual(self.heard(), [])


if __name__ == "__main__":
    unittest.main()
