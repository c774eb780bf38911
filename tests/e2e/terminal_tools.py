"""A terminal to sit at: a program in a pty of its own, keys for it, what it shows, and how the terminal is left."""

import fcntl
import os
import pty
import re
import select
import socket
import struct
import subprocess
import termios
import threading
import time

from attack_tools import reset


class Seat:
    """Runs a command at a terminal. The test keeps both ends, so that the modes show after the end, too.

    with Seat(["rexec", ...]) as seat:
        seat.wait_for(rb"\\$ ")
        seat.type(b"exit\\r")
        seat.end()
    """

    def __init__(self, command, rows=24, cols=80, **more):
        self.master, self.slave = pty.openpty()
        self.resize(rows, cols)
        self.before = self.modes()
        self.flags = fcntl.fcntl(self.slave, fcntl.F_GETFL)
        self.shown = b""
        self.at = 0
        streams = {"stdin": self.slave, "stdout": self.slave, "stderr": self.slave, **more}
        self.process = subprocess.Popen([str(word) for word in command], start_new_session=True,
                                        preexec_fn=self._take_terminal, **streams)

    def _take_terminal(self):
        fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)
        if self.slave is not None:
            os.close(self.slave)

    def resize(self, rows, cols):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def modes(self):
        return termios.tcgetattr(self.slave)

    def is_raw(self):
        return not self.modes()[3] & (termios.ICANON | termios.ECHO | termios.ISIG)

    def type(self, keys):
        """All of them, at the pace at which they are taken; what comes meanwhile is kept."""
        end = time.monotonic() + 120
        while keys:
            readable, writable, _ = select.select([self.master], [self.master], [], 10)
            if readable:
                self.shown += os.read(self.master, 65536)
            if writable:
                keys = keys[os.write(self.master, keys[:1024]):]
            if time.monotonic() > end:
                raise AssertionError(f"nobody takes the keys; shown: {self.shown[-2000:]!r}")

    def wait_for(self, pattern, seconds=30, first=b""):
        """Reads until the pattern is shown, behind what was waited for before: the match. Types `first`."""
        self.type(first)
        end = time.monotonic() + seconds
        while not (found := re.compile(pattern, re.S).search(self.shown, self.at)):
            if not select.select([self.master], [], [], max(0, end - time.monotonic()))[0]:
                raise AssertionError(f"{pattern!r} is not shown: {self.shown[self.at:]!r}")
            self.shown += os.read(self.master, 65536)
        self.at = found.end()
        return found

    def wait_raw(self, raw=True, seconds=30):
        end = time.monotonic() + seconds
        while self.is_raw() != raw:
            if time.monotonic() > end:
                raise AssertionError(f"the terminal is {'not ' if raw else ''}raw: {self.shown!r}")
            time.sleep(0.01)

    def end(self, seconds=30):
        """Waits for the end, and returns the exit status; all that is shown is in `shown`."""
        end = time.monotonic() + seconds
        while self.process.poll() is None:
            if select.select([self.master], [], [], 0.05)[0]:
                self.shown += os.read(self.master, 65536)
            if time.monotonic() > end:
                raise AssertionError(f"it does not end; shown: {self.shown[-2000:]!r}")
        while select.select([self.master], [], [], 0)[0]:
            self.shown += os.read(self.master, 65536)
        return self.process.returncode

    def close_window(self):
        """The terminal goes away, as when its window is closed."""
        os.close(self.slave)
        self.slave = None
        os.close(self.master)
        self.master = os.open(os.devnull, os.O_RDWR)


class Tmux:
    """A command in a real tmux, which shows it as a person would see it."""

    def __init__(self, directory, command, rows=24, cols=80):
        self.base = ["tmux", "-f", "/dev/null", "-S", str(directory / "tmux")]
        subprocess.run([*self.base, "new-session", "-d", "-x", str(cols), "-y", str(rows),
                        *map(str, command)], check=True, timeout=60, env={**os.environ, "TERM": "xterm"})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run([*self.base, "kill-server"], capture_output=True, timeout=60, check=False)

    def keys(self, *keys):
        subprocess.run([*self.base, "send-keys", *keys], check=True, timeout=60)

    def screen(self):
        run = subprocess.run([*self.base, "capture-pane", "-p"], capture_output=True, timeout=60, text=True, check=False)
        return run.stdout

    def resize(self, rows, cols):
        subprocess.run([*self.base, "resize-window", "-x", str(cols), "-y", str(rows)], check=True, timeout=60)

    def wait_for(self, pattern, seconds=30):
        end = time.monotonic() + seconds
        while not re.search(pattern, screen := self.screen(), re.M):
            if time.monotonic() > end:
                raise AssertionError(f"{pattern!r} is not on the screen:\n{screen}")
            time.sleep(0.05)
        return screen

    def is_over(self):
        return subprocess.run([*self.base, "has-session"], capture_output=True, timeout=60, check=False).returncode != 0


def stopped(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0] == "T"


def in_foreground(line):
    """Whether a process with this command line runs in the foreground of its terminal."""
    for pid in subprocess.run(["pgrep", "-fx", line], capture_output=True, text=True, check=False).stdout.split():
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            state, _, group, _, _, foreground = stat.read().rsplit(")", 1)[1].split()[:6]
        if group == foreground and state != "T":
            return True
    return False


class Relay:
    """Stands between a client and its server, and can tear what connects them."""

    def __init__(self, port):
        self.target, self.pairs = port, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            self.pairs.append((client, server))
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    @staticmethod
    def _pass_on(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def tear(self):
        for pair in self.pairs:
            for sock in pair:
                try:
                    sock.shutdown(socket.SHUT_RD)       # wakes who reads
                except OSError:
                    pass
                reset(sock)
        self.pairs.clear()

    def close(self):
        self.listener.close()
        self.tear()
