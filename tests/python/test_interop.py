#!/usr/bin/python3
"""The Python implementation (toy.py) against the one in C ($REXEC_BUILD/bin/tests/engine_peer), in both roles.

Both have the same command line and the same toy commands, and are connected by a socketpair, or by two of them
with a relay between that passes on what comes in small random pieces.
"""
import json
import os
import random
import select
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import rexec_protocol as rexec  # noqa: E402

SUITES = ("aes256gcm", "chacha20poly1305", "hmac-sha256", "any")
NAME = "interop.example"
PSK = bytes(range(100, 132))
TOY = [sys.executable, "-B", os.path.join(HERE, "toy.py")]
BUILD = os.environ.get("REXEC_BUILD")
PEER = os.path.join(BUILD or ".", "bin", "tests", "engine_peer")
TIME_LIMIT = 28


class Relay(threading.Thread):
    """Passes bytes on between two sockets, 1 to 7 at a time."""

    def __init__(self, ends, seed):
        super().__init__(daemon=True)
        self.random = random.Random(seed)
        self.to = dict(zip(ends, reversed(ends)))       # what comes from this end goes to that one

    def run(self):
        waiting = {end: b"" for end in self.to}         # read from this end, not yet passed on
        reading = set(self.to)
        for end in self.to:
            end.setblocking(False)
        while reading or any(waiting.values()):
            readable, writable, _ = select.select([end for end in reading if not waiting[end]],
                                                  [self.to[end] for end in waiting if waiting[end]], [], 1)
            for end in readable:
                try:
                    waiting[end] = end.recv(16384)
                except ConnectionResetError:
                    pass
                if not waiting[end]:
                    reading.discard(end)
                    self.shut(self.to[end])
            for end in waiting:
                if self.to[end] in writable:
                    waiting[end] = self.pass_on(end, waiting[end])
        for end in self.to:
            end.close()

    def pass_on(self, end, data):
        """Piece by piece, each one a segment of its own for the receiver."""
        try:
            while data:
                sent = self.to[end].send(data[:self.random.randint(1, 7)])
                data = data[sent:]
        except BlockingIOError:
            pass
        except (BrokenPipeError, ConnectionResetError):
            return b""                                  # nobody is there to read it
        return data

    @staticmethod
    def shut(end):
        try:
            end.shutdown(socket.SHUT_WR)
        except OSError:
            pass


class Interop(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not os.path.exists(PEER):
            if BUILD is None:
                raise unittest.SkipTest("there is no C peer: REXEC_BUILD is not set")
            raise AssertionError(f"REXEC_BUILD is set, but {PEER} is missing")
        cls.directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.directory.cleanup)
        cls.key = cls.write("key", rexec.print_key_file(PSK, "for test_interop.py"))
        cls.grant = cls.write("grant", rexec.print_grant_file(rexec.make_grant(PSK, NAME, name="tester",
                                                                               readable=True)))
        cls.sealed = cls.write("sealed", rexec.print_grant_file(rexec.make_grant(PSK, NAME)))
        cls.revoked = cls.write("revoked", rexec.print_grant_file(rexec.make_grant(PSK, NAME, revoked=True)))

    @classmethod
    def write(cls, name, data):
        path = os.path.join(cls.directory.name, name)
        with open(path, "wb") as file:
            file.write(data)
        return path

    def run_pair(self, server, client, server_arguments, client_arguments, seed=None):
        """Both as processes, with a relay if `seed` is given. (server's exit code, client's, client's output)"""
        server_end, client_end = socket.socketpair()
        if seed is not None:
            (server_end, left), (right, client_end) = (server_end, client_end), socket.socketpair()
            Relay((left, right), seed).start()
        processes = []
        for end, command, role, rest in ((server_end, server, "server", server_arguments),
                                         (client_end, client, "client", client_arguments)):
            with end:
                processes.append(subprocess.Popen([*command, role, str(end.fileno()), *rest], pass_fds=[end.fileno()],
                                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                                  stderr=subprocess.PIPE))
        try:
            (_, server_errors), (output,
                                 client_errors) = [process.communicate(timeout=TIME_LIMIT) for process in processes]
        finally:
            for process in processes:
                if process.poll() is None:
                    process.kill()
                    process.communicate()
        self.said = f"client: {output!r} {client_errors!r} server: {server_errors!r}"
        return processes[0].returncode, processes[1].returncode, output

    def check_pair(self, server, client, suite, seed=None):
        arguments = [self.grant] + (["--readable"] if suite == "hmac-sha256" else [])
        server_code, client_code, output = self.run_pair(server, client, arguments, [self.key, NAME, suite], seed)
        self.assertEqual((server_code, client_code), (0, 0), self.said)
        lines = output.decode().splitlines()
        self.assertEqual(len(lines), 1, self.said)
        self.assertIs(json.loads(lines[0])["ok"], True, self.said)

    def check_refused(self, server_arguments, suite="any", name=NAME):
        """Refused whoever is the server: the client must say so by its exit code."""
        for server, client in ((TOY, [PEER]), ([PEER], TOY)):
            with self.subTest(server=server):
                _, code, _ = self.run_pair(server, client, server_arguments, [self.key, name, suite])
                self.assertEqual(code, 1, self.said)

    def test_python_client(self):
        for suite in SUITES:
            with self.subTest(suite=suite):
                self.check_pair([PEER], TOY, suite)

    def test_python_server(self):
        for suite in SUITES:
            with self.subTest(suite=suite):
                self.check_pair(TOY, [PEER], suite)

    def test_python_client_in_pieces(self):
        for seed, suite in enumerate(("aes256gcm", "hmac-sha256")):
            with self.subTest(suite=suite):
                self.check_pair([PEER], TOY, suite, seed)

    def test_python_server_in_pieces(self):
        for seed, suite in enumerate(("chacha20poly1305", "hmac-sha256")):
            with self.subTest(suite=suite):
                self.check_pair(TOY, [PEER], suite, 10 + seed)

    def test_wrong_name(self):
        self.check_refused([self.grant], name="other.example")

    def test_name_is_folded(self):
        for server, client in ((TOY, [PEER]), ([PEER], TOY)):
            codes = self.run_pair(server, client, [self.grant], [self.key, NAME.upper(), "any"])[:2]
            self.assertEqual(codes, (0, 0), self.said)

    def test_revoked(self):
        self.check_refused([self.revoked])

    def test_readable_not_configured(self):
        self.check_refused([self.grant], "hmac-sha256")

    def test_readable_not_granted(self):
        self.check_refused([self.sealed, "--readable"], "hmac-sha256")

    def test_no_common_version(self):
        """A server that does not speak version 1 (Python's only: the C peer has no such option)."""
        _, code, _ = self.run_pair(TOY, [PEER], [self.grant, "--version-min", "2", "--version-max", "3"],
                                   [self.key, NAME, "any"])
        self.assertEqual(code, 1, self.said)

    def test_server_of_later_version(self):
        """One that also speaks later versions speaks 1 with us."""
        codes = self.run_pair(TOY, [PEER], [self.grant, "--version-max", "9"], [self.key, NAME, "any"])[:2]
        self.assertEqual(codes, (0, 0), self.said)


if __name__ == "__main__":
    unittest.main()
