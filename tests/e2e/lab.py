"""A real rexecd on loopback with a key and a grant of its own, for end-to-end tests.

    with Lab() as lab:
        run = lab.rexec("echo hi")           # through the real client
        sock = lab.connect()                 # a bare socket, for those who are up to no good

Everything lives in a temporary directory and ends with the block. Programs come from $REXEC_BUILD/bin.
"""

import getpass
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

SOURCE = pathlib.Path(os.environ.get("REXEC_SOURCE", pathlib.Path(__file__).resolve().parents[2]))
BUILD = pathlib.Path(os.environ.get("REXEC_BUILD", SOURCE / "build"))
REXEC = BUILD / "bin" / "rexec"
REXECD = BUILD / "bin" / "rexecd"
# Slower, and freed memory is kept back: sizes are less, and memory is not judged.
SANITIZED = "REXEC_SANITIZE:BOOL=ON" in (BUILD / "CMakeCache.txt").read_text()
NAME = "lab01"

sys.path.insert(0, str(SOURCE / "tests" / "python"))


def until(condition, seconds=20, step=0.02):
    """Waits until the condition is true; False if it never was. A bound, not a measurement."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(step)
    return bool(condition())


def alive(pid):
    """Whether the process runs: a zombie does not."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def executes(pid, name):
    """Whether the process runs a program of this name. A signal sent to the shell before it may be lost: bash catches
    those that end it, and forgets one that comes just before it executes the program."""
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text() == name + "\n"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children(pid):
    """The pids whose parent it is, zombies too."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(stat[1]) == pid:
                found.append(int(entry.name))
    return found


class Lab:
    """One server. Options are rexecd's flags: Lab(max_commands=2) starts it with --max-commands 2."""

    prefix = ()         # of rexecd's command line: a program that changes something and executes it

    def __init__(self, grant_options=(), listen=("127.0.0.1:0",), server_name=NAME, **flags):
        self.flags, self.listen, self.grant_options = flags, listen, grant_options
        self.server_name = server_name
        self.server = None

    def __enter__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="rexec-lab-"))
        try:
            self.grants = self.dir / "grants"
            self.grants.mkdir(mode=0o700)
            self.key = self.dir / "key"
            self.make_key(self.key)
            self.add_grant("me", self.key, *self.grant_options)
            self.audit = self.dir / "audit"
            self.log = self.dir / "log"
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    # ---- keys

    def make_key(self, path):
        subprocess.run([REXEC, "keygen", path], check=True, capture_output=True, timeout=60)

    def grant_text(self, key, *options, name=None):
        command = [REXEC, "grant", "--user", getpass.getuser(), *options, key, name or self.server_name]
        return subprocess.run(command, check=True, capture_output=True, timeout=60).stdout

    def add_grant(self, file, key, *options, name=None):
        path = self.grants / file
        path.touch(mode=0o600)
        path.write_bytes(self.grant_text(key, *options, name=name))
        return path

    # ---- the server

    def start(self):
        command = [*self.prefix, REXECD, "--name", self.server_name, "--grants", self.grants, "--audit", self.audit]
        for address in self.listen:
            command += ["--listen", address]
        for flag, value in self.flags.items():
            command += ["--" + flag.replace("_", "-"), str(value)]
        self.log_file = open(self.log, "ab")
        before = self.log_file.tell()       # what an earlier one said is not what this one says
        self.server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log_file,
                                       stderr=self.log_file)
        listening = r"rexecd: listening on (\S+)"
        if not until(lambda: len(re.findall(listening, self.said()[before:])) >= len(self.listen)
                     or self.server.poll() is not None) or self.server.poll() is not None:
            raise AssertionError(f"rexecd did not start:\n{self.said()}")
        self.addresses = re.findall(listening, self.said())[-len(self.listen):]
        self.port = next((int(a.rsplit(":", 1)[1]) for a in self.addresses
                          if a.rsplit(":", 1)[1].isdigit()), None)

    def stop(self, number=signal.SIGTERM):
        """Ends the server; its exit status."""
        if self.server is None:
            return None
        if self.server.poll() is None:
            self.server.send_signal(number)
            try:
                self.server.wait(timeout=60)
            except subprocess.TimeoutExpired:
                self.server.kill()
                self.server.wait()
                raise AssertionError(f"rexecd did not stop:\n{self.said()}") from None
        self.log_file.close()
        status, self.server = self.server.returncode, None
        return status

    def said(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def net_pid(self):
        """The pid of the process that faces the network."""
        for pid in children(self.server.pid):
            try:
                line = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if b"net" in line.split(b"\0")[0] or b"--role" in line:
                return pid
        raise AssertionError("there is no net process")

    # ---- clients

    def command_line(self, *words, key=None, options=(), host=NAME):
        return [str(REXEC), "-F", "none", "-o", "SendEnv=-*", "-i", str(key or self.key), "-p", str(self.port),
                "-o", "HostName=127.0.0.1", *map(str, options), host, *words]

    def rexec(self, *words, input=None, timeout=60, key=None, options=(), host=NAME, **more):
        """Runs the real client to its end: a CompletedProcess with bytes."""
        stdin = {"input": input} if input is not None else {"stdin": subprocess.DEVNULL}
        return subprocess.run(self.command_line(*words, key=key, options=options, host=host),
                              capture_output=True, timeout=timeout, **stdin, **more)

    def popen(self, *words, key=None, options=(), host=NAME, **more):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(self.command_line(*words, key=key, options=options, host=host),
                                **{**pipes, **more})

    def connect(self, timeout=30):
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout)


class LabTest(unittest.TestCase):
    """Tests that share one server, and leave it well."""

    flags = {}
    grant_options = ()

    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(grant_options=cls.grant_options, **cls.flags)
        cls.lab.__enter__()
        cls.addClassCleanup(cls.lab.__exit__)

    def tearDown(self):
        self.assertIsNone(self.lab.server.poll(), self.lab.said())

    def check(self, run, status=0, stdout=b"", stderr=b""):
        self.assertEqual((run.returncode, run.stdout, run.stderr), (status, stdout, stderr))

    def one_line(self, run, *parts, status=255):
        """rexec itself failed: one line that says so, nothing on stdout."""
        text = run.stderr.decode(errors="replace")
        self.assertEqual((run.returncode, run.stdout), (status, b""), text)
        self.assertRegex(text, r"\Arexec: [ -~]*\n\Z")
        for part in parts:
            self.assertIn(part, text)
