"""The rows "Load" of the table of attacks: who takes much must not take it from others."""

import json
import os
import pathlib
import resource
import socket
import subprocess
import threading
import time
import unittest

from attack_tools import NO_LINGER, ROOT, at_rest, client_copy, descriptors, processor_seconds, resident_kib, reset
from hostile import Client
from lab import SANITIZED, Lab, children, until

import rexec_protocol as rp


def psk_of(lab):
    return rp.parse_key_file(lab.key.read_bytes())["psk"]


def m1(kid=bytes(16)):
    """A first message that is well formed; the kid is nobody's."""
    return rp.MAGIC + bytes([1, 1, 1, 3]) + kid + os.urandom(64)


def closed(sock, seconds=60):
    """Waits for the close; what came before it."""
    sock.settimeout(seconds)
    data = b""
    try:
        while piece := sock.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    return data


class Files(unittest.TestCase):
    """Tests that need many descriptors themselves."""

    def setUp(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        self.room = hard - 200 if hard != resource.RLIM_INFINITY else 1 << 20

    def served(self, lab, times=1):
        for number in range(times):
            run = lab.rexec(f"echo {number}")
            self.assertEqual((run.returncode, run.stdout), (0, b"%d\n" % number), run.stderr)


class Slowloris(Files):
    """Slowloris before authentication."""

    def test_slowloris_thousands_of_half_open_handshakes(self):
        """Of all lengths, some with M2 taken; proven clients are served all the while, and on old connections too."""
        number = min(self.room, 600 if SANITIZED else 4000)
        with Lab(handshake_timeout="600", max_unproven=str(number // 2)) as lab:
            old = Client(lab, psk_of(lab)).prove()
            socks = []
            try:
                for at in range(number):
                    sock = lab.connect(timeout=60)
                    socks.append(sock)
                    try:
                        sock.sendall(m1()[:at % 89])
                    except OSError:
                        pass                    # it was the oldest already
                    if at % (number // 8) == 0:
                        self.served(lab)
                self.served(lab, 10)
                old.send(old.exec("echo old"))
                self.assertIn(b"old\n", [said.body[8:] for said in old.messages("EXIT")])
                gone = sum(closed(sock, 60) is not None for sock in socks[:number // 2 - 20])
                self.assertEqual(gone, number // 2 - 20)        # the oldest made room
                if ROOT:
                    self.assertLessEqual(descriptors(lab.net_pid()), number // 2 + 60)
            finally:
                for sock in socks:
                    sock.close()
                old.sock.close()
            self.served(lab)
            self.assertTrue(until(lambda: (descriptors(lab.net_pid()) or 0) < 40))

    def test_slowloris_the_deadline_is_absolute(self):
        """Who sends a byte now and then is closed as well as who is silent, and before all was said."""
        with Lab(handshake_timeout="0.5") as lab:
            message, sent = m1(), 0
            with lab.connect() as silent, lab.connect() as sock:
                try:
                    while sent < len(message):
                        sock.sendall(message[sent:sent + 1])
                        sent += 1
                        time.sleep(0.15)
                except OSError:
                    pass
                self.assertLess(sent, len(message))
                self.assertEqual((closed(sock), closed(silent)), (b"", b""))
            with Client(lab, psk_of(lab)) as client:            # the second half has no deadline of its own
                self.assertTrue(client.challenge())
                self.assertEqual(client.rest(), b"")
            self.served(lab)

    def test_slowloris_the_deadline_waits_for_nobody(self):
        """Also while a proven client is there, who is only looked after once in a while."""
        with Lab(handshake_timeout="0.5", keepalive="600") as lab, Client(lab, psk_of(lab)) as client:
            client.prove()
            client.send(client.ping(b"number 1"))
            client.messages("PONG")
            time.sleep(1)           # its own deadline is past, and nothing is due but a keepalive
            with lab.connect() as silent:
                self.assertEqual(closed(silent), b"")
            client.send(client.ping(b"number 2"))
            client.messages("PONG")

    def test_slowloris_many_wrong_responses(self):
        with Lab() as lab:
            done = threading.Event()

            def attack():
                while not done.is_set():
                    with lab.connect() as sock:
                        sock.sendall(m1())
                        if len(sock.recv(rp.M2_SIZE)) == rp.M2_SIZE:
                            sock.sendall(rp.MAGIC + bytes([3, 1, 2, 0]) + os.urandom(32))
                            closed(sock)

            threads = [threading.Thread(target=attack) for _ in range(4)]
            for thread in threads:
                thread.start()
            try:
                self.served(lab, 30)
            finally:
                done.set()
                for thread in threads:
                    thread.join()


class FewFiles(Lab):
    """A daemon that may have few descriptors."""

    prefix = ("prlimit", "--nofile=64:64")


class Descriptors(Files):
    """accept() spins at EMFILE (libevent #71)."""

    def share(self, pids, seconds=2):
        """Processor time of the processes in that of one processor."""
        before, start = sum(map(processor_seconds, pids)), time.monotonic()
        time.sleep(seconds)
        return (sum(map(processor_seconds, pids)) - before) / (time.monotonic() - start)

    @unittest.skipUnless(ROOT, "only root may count the daemon's descriptors, to take exactly all of them")
    def test_accept_spins_at_emfile(self):
        """One client's commands take every descriptor, others knock: accept() waits quietly, and it recovers."""
        with FewFiles(max_commands="64", **NO_LINGER) as lab:
            pids = (lab.server.pid, lab.net_pid())
            with Client(lab, psk_of(lab)).prove() as client:
                stream = 0
                while free := 64 - descriptors(pids[1]):
                    # Two pipes or three, so that the last one fits.
                    stream += 1
                    client.send(client.exec("exec sleep 600", stream=stream, stdin="stream" if free % 2 else "none"))
                    client.messages("STARTED")
                knocking = [lab.connect() for _ in range(20)]
                self.assertLess(self.share(pids), 0.05)
                self.assertEqual(descriptors(pids[1]), 64)
                # One more than there can be: who asked for it hears why, instead of half of what it writes.
                client.send(client.exec("echo x", stream=stream + 1))
                said = client.messages()
                self.assertEqual([(s.name, s.header["name"]) for s in said], [("ERROR", "no_memory")])
                self.assertIn("descriptors", said[0].header["text"])
            self.assertTrue(until(lambda: at_rest(lab)))
            self.served(lab, 3)
            for sock in knocking:
                sock.close()
            self.assertEqual((lab.server.pid, lab.net_pid()), pids, lab.said())

    def test_accept_spins_at_emfile_full_of_proven_clients(self):
        """Who finds no place is told so and what to do; those who have one keep it; it recovers by itself."""
        with FewFiles() as lab:
            pids = (lab.server.pid, lab.net_pid())
            holders, turned_away = [], None
            while turned_away is None and len(holders) < 64:
                client = lab.popen("echo up; cat")
                if client.stdout.readline() == b"up\n":
                    holders.append(client)
                else:
                    turned_away = client
            _, err = turned_away.communicate(timeout=60)
            self.assertRegex(err, rb"\Arexec: [ -~]*takes no more connections; [ -~]*try again\n\Z")
            self.assertEqual(turned_away.returncode, 255)
            self.assertGreater(len(holders), 3)
            knocking = [lab.connect() for _ in range(100)]
            self.assertLess(self.share(pids), 0.05)
            for client in holders:
                out, err = client.communicate(b"on\n", timeout=60)
                self.assertEqual((client.returncode, out, err), (0, b"on\n", b""))
            self.served(lab, 3)
            for sock in knocking:
                sock.close()
            self.assertEqual((lab.server.pid, lab.net_pid()), pids, lab.said())

    def test_accept_spins_at_emfile_half_open_handshakes_cannot_fill_it(self):
        """Connections of nobody, as many as there are descriptors: commands still get theirs, and no session is lost."""
        with FewFiles() as lab:
            pids = (lab.server.pid, lab.net_pid())
            old = lab.popen("cat")
            self.assertTrue(until(lambda: len(children(pids[0])) == 2))
            knocking = [lab.connect() for _ in range(200)]
            self.served(lab, 5)
            self.assertLess(descriptors(pids[1]) or 0, 64)
            self.assertLess(self.share(pids), 0.05)
            out, err = old.communicate(b"still here\n", timeout=60)
            self.assertEqual((old.returncode, out), (0, b"still here\n"), err)
            self.assertEqual((lab.server.pid, lab.net_pid()), pids, lab.said())
            for sock in knocking:
                sock.close()


class Reader(unittest.TestCase):
    """One reader that never reads."""

    def written(self, pid):
        text = pathlib.Path(f"/proc/{pid}/io").read_text()
        return int(next(line for line in text.splitlines() if line.startswith("wchar")).split()[1])

    def test_one_reader_that_never_reads(self):
        """Its commands stop; memory is bounded; others on other connections have all of theirs."""
        with Lab(**NO_LINGER) as lab:
            lab.rexec("true")
            pids = (lab.server.pid, lab.net_pid())
            before = [resident_kib(pid) for pid in pids]
            with Client(lab, psk_of(lab)).prove() as client:
                client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                client.send(*(client.exec("echo $$ >&2; exec yes", stream=1 + i) for i in range(8)))
                yes = until(lambda: len([pid for pid in children(pids[0]) if self.name(pid) == "yes"]) == 8)
                self.assertTrue(yes)
                commands = [pid for pid in children(pids[0]) if self.name(pid) == "yes"]

                def stopped():
                    first = [self.written(pid) for pid in commands]
                    time.sleep(0.3)
                    return [self.written(pid) for pid in commands] == first
                self.assertTrue(until(stopped))
                amount = [self.written(pid) for pid in commands]
                for number in range(10):
                    run = lab.rexec(f"head -c 3000000 /dev/zero; exit {number}")
                    self.assertEqual((run.returncode, len(run.stdout)), (number, 3_000_000))
                self.assertEqual([self.written(pid) for pid in commands], amount)
                if not SANITIZED:
                    for pid, at_first in zip(pids, before):
                        self.assertLess(resident_kib(pid) - at_first, 4 * 1024)
            self.assertTrue(until(lambda: at_rest(lab)))

    def name(self, pid):
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()

    def test_one_stream_that_is_never_acknowledged(self):
        """It holds up no other on the same connection."""
        with Lab() as lab, Client(lab, psk_of(lab)).prove() as client:
            client.send(client.exec("exec yes", stream=1))
            client.messages("STDOUT")
            for stream in range(2, 30):
                client.send(client.exec(f"echo {stream}", stream=stream))
                said = client.messages("EXIT")
                self.assertIn(b"%d\n" % stream, [s.body[8:] for s in said if s.name == "STDOUT" and s.stream == stream])
            # And it never got beyond the window that a client begins with.
            client.send(client.ping())
            total = sum(len(s.body) - 8 for s in client.messages("PONG") if s.stream == 1 and s.name == "STDOUT")
            self.assertLessEqual(total, 262144)


class Penalties(unittest.TestCase):
    """Penalties that lock out the innocent (ansible#86325)."""

    def test_penalties_that_lock_out_the_innocent(self):
        """Many quick good logins from one address, with bad ones between them, are all served."""
        number = 150 if SANITIZED else 600
        with Lab() as lab:
            psk = psk_of(lab)
            for at in range(number):
                with Client(lab, psk).prove() as client:
                    if at % 50 == 0:
                        client.send(client.exec(f"echo {at}"))
                        self.assertIn(b"%d\n" % at, [said.body[8:] for said in client.messages("EXIT")])
                    if at % 2:
                        client.send(client.close())
                    elif at % 3 == 0:
                        reset(client.sock)
                with Client(lab, os.urandom(32)) as stranger:
                    stranger.challenge()
                    stranger.send(stranger.m3)
                    self.assertEqual(stranger.rest(), b"")
            self.assertEqual(lab.rexec("echo well").stdout, b"well\n")


class Limits(unittest.TestCase):
    """Limits: who is beyond one gets a clear error that says what to do; who is within is not disturbed."""

    def serve(self, **how):
        lab = Lab(**how).__enter__()
        self.addCleanup(lab.__exit__)
        return lab

    def holding(self, lab, number):
        """So many clients, each with one command that runs."""
        clients = [lab.popen("echo up; cat") for _ in range(number)]
        self.assertEqual([client.stdout.readline() for client in clients], [b"up\n"] * number)
        return clients

    def undisturbed(self, lab, clients):
        """They end well, and then there is room again."""
        for client in clients:
            out, _ = client.communicate(b"on\n", timeout=60)
            self.assertEqual((client.returncode, out), (0, b"on\n"))
        self.assertTrue(until(lambda: lab.rexec("true").returncode == 0))

    def told(self, run, *parts):
        self.assertEqual((run.returncode, run.stdout), (255, b""))
        self.assertRegex(run.stderr, rb"\Arexec: [ -~]+\n\Z")
        for part in parts:
            self.assertIn(part, run.stderr)

    def results(self, run):
        return [json.loads(line) for line in run.stdout.splitlines()]

    def test_limit_of_connections(self):
        lab = self.serve(max_connections="3")
        clients = self.holding(lab, 3)
        self.told(lab.rexec("true"), b"too many connections", b"try again")
        self.undisturbed(lab, clients)

    def test_limit_of_commands_per_connection(self):
        """A client that does not keep to what WELCOME says is told; the real one keeps to it."""
        lab = self.serve(max_commands="2")
        run = subprocess.run(client_copy(lab, "batch --json -j 9"), input=b"sleep 0.1; echo x\n" * 6,
                             capture_output=True, timeout=60)
        self.assertEqual([result["status"] for result in self.results(run)], [0] * 6)
        with Client(lab, psk_of(lab)).prove() as client:
            client.send(*(client.exec("exec sleep 600", stream=1 + i) for i in range(3)))
            refused = [said for said in client.messages("REFUSED") if said.name == "REFUSED"]
            self.assertEqual((refused[0].stream, refused[0].header["name"]), (3, "limit_reached"))
            self.assertIn("wait until one has ended", refused[0].header["text"])
        self.assertTrue(until(lambda: at_rest(lab)))

    def test_limit_of_commands_per_grant(self):
        lab = self.serve(grant_options=("--max-commands", "3"))
        clients = self.holding(lab, 2)
        run = subprocess.run(client_copy(lab, "batch --json -j 2"), input=b"sleep 1; echo x\nsleep 1; echo y\n",
                             capture_output=True, timeout=60)
        first, second = self.results(run)
        self.assertEqual((first["status"], second["status"], second["error"]["name"]), (0, 255, "limit_reached"))
        self.assertRegex(second["error"]["text"], r"grant.*\b3\b.*; wait until one has ended")
        self.undisturbed(lab, clients)

    def test_limit_of_commands_in_all(self):
        lab = self.serve(max_commands_total="2")
        clients = self.holding(lab, 2)
        self.told(lab.rexec("true"), b"try again")
        self.undisturbed(lab, clients)

    def test_limit_that_the_client_itself_could_exceed(self):
        """A slow line of a batch holds up the answers of those behind it: they must not pile up at the server."""
        lab = self.serve(max_commands="4")
        run = subprocess.run(client_copy(lab, "batch --json -j 4"), input=b"sleep 2\n" + b"exit 3\n" * 400,
                             capture_output=True, timeout=250)
        self.assertEqual([result["status"] for result in self.results(run)], [0] + [3] * 400, run.stderr)

    def test_limit_of_unproven_connections(self):
        """The oldest of them makes room: who proves himself comes in, however many there are who don't."""
        with Lab(max_unproven="3", handshake_timeout="600") as lab:
            socks = [lab.connect() for _ in range(10)]
            for number in range(5):
                self.assertEqual(lab.rexec(f"exit {number}").returncode, number)
            for sock in socks[:7]:
                self.assertEqual(closed(sock), b"")
            for sock in socks:
                sock.close()


if __name__ == "__main__":
    unittest.main()
