#!/usr/bin/python3
"""The C peer ($REXEC_BUILD/bin/tests/engine_peer) against itself: every suite, over a socketpair, whole and in
small random pieces. Its key and grant are those of the frozen vectors.
"""
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.environ.get("REXEC_SOURCE", os.path.join(HERE, "..", ".."))
BUILD = os.environ.get("REXEC_BUILD")
PEER = os.path.join(BUILD or ".", "bin", "tests", "engine_peer")
SUITES = ("aes256gcm", "chacha20poly1305", "hmac-sha256")
SMALL = 20000       # bytes that pass in pieces of 1 to 7; what follows is cut at random
TIME_LIMIT = 28


def pass_on(source, target, seed):
    """Everything from one socket to the other, in pieces."""
    dice, passed = random.Random(seed), 0
    try:
        while data := source.recv(65536):
            while data:
                size = dice.randint(1, 7) if passed < SMALL else dice.randint(1, 5000)
                sent = target.send(data[:size])
                data, passed = data[sent:], passed + sent
    except (BrokenPipeError, ConnectionResetError):
        pass
    for end, how in ((target, socket.SHUT_WR), (source, socket.SHUT_RD)):
        try:
            end.shutdown(how)
        except OSError:
            pass


class Peers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if BUILD is None:
            raise unittest.SkipTest("REXEC_BUILD is not set")
        with open(os.path.join(SOURCE, "tests", "vectors", "hmac-sha256.json"), encoding="utf-8") as file:
            vector = json.load(file)
        cls.name = vector["server_name"]
        cls.directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.directory.cleanup)
        grant = (f"rexec-grant 1\nserver = {cls.name}\nkid = {vector['kid']}\nclient-auth = {vector['client_auth']}\n"
                 f"server-auth = {vector['server_auth']}\nmix = {vector['mix']}\n")
        cls.key = cls.write("key", f"rexec-key 1\npsk = {vector['psk']}\n")
        cls.grant = cls.write("grant", grant + "readable = yes\n")
        cls.sealed = cls.write("sealed", grant)
        cls.expired = cls.write("expired", grant + "expires = 2020-01-01T00:00:00Z\n")

    @classmethod
    def write(cls, name, text):
        path = os.path.join(cls.directory.name, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def run_pair(self, server_arguments, client_arguments, seed=None):
        """(server's exit code, client's, what the client printed); with a seed, in pieces."""
        ends = list(socket.socketpair())
        relays = []
        if seed is not None:
            left, (right, ends[1]) = ends[1], socket.socketpair()
            relays = [threading.Thread(target=pass_on, args=(left, right, seed)),
                      threading.Thread(target=pass_on, args=(right, left, seed + 1))]
        processes = []
        for end, arguments in ((ends[0], ["server", *server_arguments]), (ends[1], ["client", *client_arguments])):
            with end:
                arguments.insert(1, str(end.fileno()))
                processes.append(subprocess.Popen([PEER, *arguments], pass_fds=[end.fileno()], stdout=subprocess.PIPE,
                                                  stderr=subprocess.PIPE, text=True))
        for relay in relays:
            relay.start()
        try:
            (_, server_errors), (output, client_errors) = [one.communicate(timeout=TIME_LIMIT) for one in processes]
        finally:
            for one in processes:
                if one.poll() is None:
                    one.kill()
                    one.communicate()
            for relay in relays:
                relay.join()
            if relays:
                left.close()
                right.close()
        self.said = f"client: {output!r} {client_errors!r} server: {server_errors!r}"
        return processes[0].returncode, processes[1].returncode, output

    def check_suite(self, suite, seed=None):
        """The suite that was chosen."""
        readable = ["--readable"] if suite == "hmac-sha256" else []
        codes = self.run_pair([self.grant, *readable], [self.key, self.name.upper(), suite], seed)
        self.assertEqual(codes[:2], (0, 0), self.said)
        line = json.loads(codes[2])
        self.assertIs(line["ok"], True)
        self.assertEqual(line["server"], self.name)
        return line["suite"]

    def suites(self):
        """Those of this machine: the better one is chosen wherever it can be had."""
        best = self.check_suite("any")
        self.assertIn(best, SUITES[:2])
        return SUITES if best == "aes256gcm" else SUITES[1:]

    def test_whole(self):
        for suite in self.suites():
            with self.subTest(suite=suite):
                self.assertEqual(self.check_suite(suite), suite)

    def test_in_pieces(self):
        for seed, suite in enumerate(self.suites()):
            with self.subTest(suite=suite):
                self.assertEqual(self.check_suite(suite, 2 * seed), suite)

    def check_refused(self, server_arguments, client_arguments, client_says, server_says):
        codes = self.run_pair(server_arguments, client_arguments)
        self.assertEqual(codes[:2], (1, 1), self.said)
        self.assertIn(f"engine_peer client: {client_says}", self.said)
        self.assertIn(f"engine_peer server: {server_says}", self.said)

    def test_refused(self):
        """The server sees no difference between a client it does not know and one it does not want."""
        unproven = "the server could not prove itself"
        self.check_refused([self.grant], [self.key, "other", "any"], unproven, "the client gave no M3")
        self.check_refused([self.expired], [self.key, self.name, "any"], unproven, "the client gave no M3")

    def test_readable_refused(self):
        client = [self.key, self.name, "hmac-sha256"]
        none = "client and server have no cipher suite in common"
        self.check_refused([self.grant], client, none, none)
        not_his = "this client may not use the readable suite"
        self.check_refused([self.sealed, "--readable"], client, not_his, not_his)


if __name__ == "__main__":
    unittest.main()
