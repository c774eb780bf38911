"""What the tests of programs that call ssh share: a server, a user's configuration, and a way to it that chops.

    @both_ways
    class Rsync(CallerTest):
        def test_push(self): ... self.host ...      # becomes test_push and test_push_chopped
"""

import functools
import getpass
import hashlib
import os
import pathlib
import shutil
import stat
import subprocess
import tempfile
import unittest

from chop import Chopper
from lab import NAME, REXEC, LabTest

ME = getpass.getuser()
SFTP_SERVER = any(map(os.path.exists, ("/usr/lib/openssh/sftp-server", "/usr/lib/ssh/sftp-server",
                                       "/usr/libexec/sftp-server", "/usr/libexec/openssh/sftp-server")))


def needs(*programs):
    """Skips what needs a program that is not installed."""
    missing = [program for program in programs if shutil.which(program) is None]
    return unittest.skipIf(missing, f"not installed: {' '.join(missing)}")


needs_sftp_server = unittest.skipUnless(SFTP_SERVER, "there is no sftp-server")


def both_ways(cls):
    """Every test of the class once more, its connections going through the proxy."""
    for name, test in [item for item in vars(cls).items() if item[0].startswith("test_")]:
        def chopped(self, test=test):
            self.host = "chopped"
            before = self.chopper.connections
            test(self)
            self.assertGreater(self.chopper.connections, before, "nothing went through the proxy")
        setattr(cls, name + "_chopped", functools.wraps(test)(chopped))
    return cls


class CallerTest(LabTest):
    """Hosts named h, h1, h2 and so on are the server; named chopped, chopped1 ..., too, through the proxy."""

    host = "h"
    flags = {"stop_grace": "0.5"}       # what killed clients leave does not hold up the end

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.chopper = Chopper(cls.lab.port).__enter__()
        cls.addClassCleanup(cls.chopper.__exit__)
        cls.home = cls.lab.dir / "home"
        config = cls.home / ".config" / "rexec"
        config.mkdir(parents=True)
        shutil.copy(cls.lab.key, config / "key")
        (config / "config").write_text(
            f"[chopped*]\nport = {cls.chopper.port}\n\n"
            f"[*]\nport = {cls.lab.port}\nhostname = 127.0.0.1\nname = {NAME}\n")
        cls.ssh = cls.lab.dir / "libexec" / "ssh"       # as the installation has it
        cls.ssh.parent.mkdir()
        cls.ssh.symlink_to(REXEC)

    def setUp(self):
        super().setUp()
        directory = tempfile.TemporaryDirectory(prefix="rexec-callers-")
        self.addCleanup(directory.cleanup)
        self.dir = pathlib.Path(directory.name)

    def port(self):
        return str(self.chopper.port if self.host == "chopped" else self.lab.port)

    def environment(self, **more):
        return {"HOME": str(self.home), "PATH": f"{self.ssh.parent}:{REXEC.parent}:{os.environ['PATH']}",
                "USER": ME, "LOGNAME": ME, "SHELL": "/bin/sh", "LANG": "C.UTF-8", **more}

    def call(self, *words, input=None, status=0, timeout=120, env=None, cwd=None):
        """Runs a caller to its end, which has this status: a CompletedProcess with bytes."""
        stdin = {"input": input} if input is not None else {"stdin": subprocess.DEVNULL}
        run = subprocess.run(list(map(str, words)), capture_output=True, timeout=timeout, check=False,
                             env=self.environment(**(env or {})), cwd=cwd or self.dir, **stdin)
        if status is not None:
            self.assertEqual(run.returncode, status, f"{words}\n{run.stdout[-2000:]}\n{run.stderr[-2000:]}")
        return run

    def shell(self, script, *words, **more):
        """A line of shell; rexec and ssh are found in PATH, $h is the host."""
        return self.call("sh", "-c", f"h={self.host}\n{script}", "sh", *words, **more)


# ---- files

def make_tree(root, files=300, large=3_000_000):
    """Names that need care, every kind of file that copies, one large file."""
    root = os.fsencode(root)
    for i in range(files):
        directory = os.path.join(root, b"d%d" % (i % 12), b"e%d" % (i % 5))
        os.makedirs(directory, exist_ok=True)
        with open(os.path.join(directory, b"f%d" % i), "wb") as file:
            file.write(os.urandom(i * 7 % 5000))
    os.makedirs(os.path.join(root, b"empty"))
    for name in (b"with space", b"-dash", b"quo'te\"s", b"$dollar`tick\\", b"new\nline", b"\xff\xfe not UTF-8", b"*"):
        with open(os.path.join(root, name), "wb") as file:
            file.write(name)
    os.symlink(b"no/such/file", os.path.join(root, b"link"))
    with open(os.path.join(root, b"large"), "wb") as file:
        file.write(os.urandom(large))
    with open(os.path.join(root, b"script"), "wb") as file:
        os.fchmod(file.fileno(), 0o751)
    return pathlib.Path(os.fsdecode(root))


def tree(root):
    """Everything below a directory: path to kind, mode and a digest of the contents."""
    found, root = {}, os.fsencode(root)
    for directory, names, files in os.walk(root):
        for name in names + files:
            path = os.path.join(directory, name)
            mode = os.lstat(path).st_mode
            if stat.S_ISLNK(mode):
                what = os.readlink(path)
            elif stat.S_ISREG(mode):
                what = digest(path)
            else:
                what = ""
            found[os.path.relpath(path, root)] = (mode, what)
    return found


def digest(path):
    return hashlib.sha256(pathlib.Path(os.fsdecode(path)).read_bytes()).hexdigest()
