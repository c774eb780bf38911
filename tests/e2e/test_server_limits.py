"""Clients that ask more than their share, a net that dies in the middle of it, grants that are taken back: what
they cost, and what becomes of the others."""

import datetime
import json
import os
import pathlib
import pwd
import select
import signal
import socket
import struct
import subprocess
import time
import unittest

from attack_tools import ROOT, at_rest, descriptors, reset, resident_kib
from hostile import Client
from lab import SANITIZED, Lab, alive, until

import rexec_protocol as rp


def psk_of(lab):
    return rp.parse_key_file(lab.key.read_bytes())["psk"]


def records(lab, kind="command"):
    lines = lab.audit.read_text().split("\n")[:-1] if lab.audit.exists() else []
    return [record for record in map(json.loads, lines) if record["record"] == kind]


def pid_of(client, stream):
    """The pid of the command that was just asked for."""
    return next(said for said in client.messages("STARTED") if said.stream == stream).header["pid"]


def pour(sock, data, seconds=1.0):
    """Sends until nothing has been taken for so long; how much went."""
    sock.setblocking(False)
    at = 0
    while at < len(data) and select.select([], [sock], [], seconds)[1]:
        at += sock.send(data[at:at + 262144])
    sock.setblocking(True)
    return at


class Flood(unittest.TestCase):
    """One client asks faster than the monitor answers."""

    # Answered by nothing, as the stream is closed; long, so that a few thousand are many bytes.
    names = {"signal": "TERM", "n": 1, **{f"padding{i:02}": 0 for i in range(60)}}

    def flood(self, client, number):
        client.send(client.exec("true", stream=2))
        client.messages("EXIT")
        client.send(client.seal(rp.join_message("EXIT_ACK", 2)))
        message = rp.join_message("SIGNAL", 2, self.names)
        return b"".join(client.request(message) for _ in range(number))

    def test_requests_that_are_not_taken_are_not_read(self):
        """What waits for the monitor is bounded; its client's end is heard of; others are served."""
        with Lab() as lab, Client(lab, psk_of(lab)).prove() as client:
            client.send(client.exec("exec sleep 987", stream=1))
            sleeper = pid_of(client, 1)
            data = self.flood(client, 30000)
            net = lab.net_pid()
            before = resident_kib(net)
            lab.server.send_signal(signal.SIGSTOP)
            try:
                sent = pour(client.sock, data)
                self.assertLess(sent, len(data))
                if not SANITIZED:
                    self.assertLess(resident_kib(net) - before, 8 * 1024)
                reset(client.sock)
            finally:
                lab.server.send_signal(signal.SIGCONT)
            self.assertEqual(lab.rexec("echo served").stdout, b"served\n")
            lab.stop()
            self.assertFalse(alive(sleeper))

    def test_requests_that_were_held_go_on(self):
        """When the monitor has caught up, all of them are answered in their order."""
        with Lab() as lab, Client(lab, psk_of(lab)).prove() as client:
            data = self.flood(client, 5000)
            last = client.exec("echo the last", stream=3)
            lab.server.send_signal(signal.SIGSTOP)
            try:
                sent = pour(client.sock, data)
            finally:
                lab.server.send_signal(signal.SIGCONT)
            client.send(data[sent:], last)
            said = client.messages("EXIT")
            self.assertIn(b"the last\n", [s.body[8:] for s in said if s.name == "STDOUT"])

    def test_handshakes_that_are_not_taken_are_not_read(self):
        """With a monitor that hangs, connecting and leaving again and again costs nothing that stays."""
        with Lab(max_unproven="50") as lab:
            net = lab.net_pid()
            m1 = b"rexc" + bytes([1, 1, 1, 3]) + bytes(80)
            before = None
            lab.server.send_signal(signal.SIGSTOP)
            try:
                for number in range(16000 if not SANITIZED else 3000):
                    with lab.connect() as sock:
                        sock.sendall(m1)
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    if number == 200:
                        before = resident_kib(net)
                if not SANITIZED:
                    self.assertLess(resident_kib(net) - before, 2560)
            finally:
                lab.server.send_signal(signal.SIGCONT)
            self.assertTrue(until(lambda: lab.rexec("true").returncode == 0))


class Unproven(unittest.TestCase):
    @unittest.skipUnless(ROOT, "only root may count another process's descriptors")
    def test_lingering_handshakes_count(self):
        """Who is told that there is no version in common, and stays, is one of the unproven."""
        with Lab(max_unproven="10") as lab:
            net = lab.net_pid()
            before, socks = descriptors(net), []
            try:
                for _ in range(60):
                    sock = lab.connect()
                    socks.append(sock)
                    sock.sendall(b"rexc" + bytes([1, 9, 9, 3]) + bytes(16) + os.urandom(64))
                    self.assertEqual(len(sock.recv(104, socket.MSG_WAITALL)), 104)
                self.assertLessEqual(descriptors(net) - before, 12)
            finally:
                for sock in socks:
                    sock.close()
            self.assertEqual(lab.rexec("true").returncode, 0)

    def test_full_server_says_so(self):
        """To a proven client: ERROR session_limit. One that cannot prove itself learns nothing of it."""
        with Lab(max_connections="2") as lab:
            psk = psk_of(lab)
            held = [Client(lab, psk).prove() for _ in range(2)]
            for _ in range(30):
                with Client(lab, psk) as late:
                    self.assertTrue(late.challenge())
                    late.send(late.m3)
                    error = next(said for said in late.messages("ERROR") if said.name == "ERROR")
                    self.assertEqual((error.header["code"], error.header["name"]), (17, "session_limit"))
            run = lab.rexec("true")
            self.assertEqual((run.returncode, run.stdout), (255, b""))
            self.assertRegex(run.stderr, rb"\Arexec: [ -~]*too many connections; try again[ -~]*\n\Z")
            with Client(lab, os.urandom(32)) as stranger:
                self.assertTrue(stranger.challenge())
                stranger.send(stranger.m3)
                self.assertEqual(stranger.rest(), b"")
            held.pop().sock.close()
            self.assertTrue(until(lambda: lab.rexec("true").returncode == 0))
            held.pop().sock.close()

    def test_lines_of_a_full_server_are_few(self):
        """Each of many that come to nothing is not a line in the log."""
        with Lab(max_connections="1", max_unproven="1") as lab:
            with Client(lab, psk_of(lab)).prove():
                for _ in range(400):
                    with Client(lab, psk_of(lab)) as late:
                        late.send(late.m1)
                        late.take(104)
                self.assertLess(len(lab.said().splitlines()), 150)


class NetDies(unittest.TestCase):
    def test_with_much_under_way(self):
        """More messages than are read in one turn, and its death is heard of before its end of the link is."""
        for number in (0, 150):
            with Lab() as lab:
                lab.server.send_signal(signal.SIGSTOP)
                socks = [lab.connect() for _ in range(number)]
                for sock in socks:
                    sock.sendall(b"rexc" + bytes([1, 1, 1, 3]) + bytes(16) + os.urandom(64))
                time.sleep(0.3)             # for net to pass them on
                os.kill(lab.net_pid(), signal.SIGKILL)
                lab.server.send_signal(signal.SIGCONT)
                self.assertTrue(until(lambda: lab.said().count("listening on") == 2 or lab.server.poll() is not None))
                self.assertIsNone(lab.server.poll(), lab.said())
                for sock in socks:
                    sock.close()
                self.assertEqual(lab.rexec("echo again").stdout, b"again\n")
                self.assertLessEqual(lab.said().count("net cannot be reached"), 1)


class Revoked(unittest.TestCase):
    """A grant that is taken back, or ends, takes what runs by it along."""

    def revoke(self, lab):
        path = lab.grants / "me"
        path.write_bytes(path.read_bytes() + b"revoked = yes\n")
        lab.server.send_signal(signal.SIGHUP)

    def ended(self, lab, shell):
        shell.wait(timeout=60)              # its stdin stays open
        out, err = shell.communicate(timeout=60)
        self.assertEqual((shell.returncode, out), (255, b""))
        self.assertRegex(err, rb"\Arexec: [ -~]*grant[ -~]*\n\Z")
        self.assertTrue(until(lambda: at_rest(lab)))
        self.assertTrue(until(lambda: records(lab)))
        self.assertEqual([record["by"] for record in records(lab)], ["operator"])
        self.assertTrue(until(lambda: records(lab, "session")))
        self.assertEqual(records(lab, "session")[0]["error"], "grant_ended")

    def test_open_session(self):
        with Lab() as lab:
            shell = lab.popen("echo up; exec sh -s")
            self.assertEqual(shell.stdout.readline(), b"up\n")
            self.revoke(lab)
            self.ended(lab, shell)

    def test_grant_that_is_gone(self):
        with Lab() as lab:
            shell = lab.popen("echo up; exec sh -s")
            self.assertEqual(shell.stdout.readline(), b"up\n")
            (lab.grants / "me").unlink()
            lab.server.send_signal(signal.SIGHUP)
            self.ended(lab, shell)

    def test_within_the_handshake(self):
        """A grant that was good when M1 came, and is not when M3 does: the right proof is no use any more."""
        for take_back in (self.revoke, lambda lab: (lab.grants / "me").unlink()):
            with Lab() as lab, Client(lab, psk_of(lab)) as client:
                mark, before = lab.dir / "mark", lab.said().count("grants: ")
                self.assertTrue(client.challenge())
                take_back(lab)
                lab.server.send_signal(signal.SIGHUP)
                self.assertTrue(until(lambda: lab.said().count("grants: ") > before))
                client.send(client.m3, client.exec(f"touch {mark}"))
                self.assertEqual(client.take(1), b"")
                self.assertFalse(mark.exists())
                self.assertEqual((records(lab), records(lab, "session"), lab.server.poll()), ([], [], None))

    def test_expired_in_the_middle(self):
        with Lab() as lab:
            end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=4)
            lab.add_grant("me", lab.key, "--expires", end.strftime("%Y-%m-%dT%H:%M:%SZ"))
            lab.server.send_signal(signal.SIGHUP)
            shell = lab.popen("echo up; exec sh -s")
            self.assertEqual(shell.stdout.readline(), b"up\n")
            self.ended(lab, shell)

    def test_command_that_waits_for_its_client(self):
        """Nobody could take it up again."""
        with Lab() as lab, Client(lab, psk_of(lab)).prove() as client:
            client.send(client.exec("exec sleep 987", stream=1))
            sleeper = pid_of(client, 1)
            reset(client.sock)
            self.assertTrue(until(lambda: "session closed (reset)" in lab.said()))
            self.assertTrue(alive(sleeper))
            self.revoke(lab)
            self.assertTrue(until(lambda: not alive(sleeper)))
            self.assertTrue(until(lambda: records(lab)))
            self.assertEqual([record["by"] for record in records(lab)], ["operator"])

    def test_others_go_on(self):
        """A reload touches nobody whose grant is as good as before."""
        with Lab() as lab:
            shell = lab.popen("echo up; exec sh -s")
            self.assertEqual(shell.stdout.readline(), b"up\n")
            other = lab.dir / "other"
            lab.make_key(other)
            lab.add_grant("other", other)
            lab.server.send_signal(signal.SIGHUP)
            self.assertTrue(until(lambda: "grants: 2" in lab.said()))
            out, err = shell.communicate(b"echo on\n", timeout=60)
            self.assertEqual((shell.returncode, out, err), (0, b"on\n", b""))


class Account(unittest.TestCase):
    """What the user's own account says, and what is recorded of a command."""

    def ask(self, lab, words, **header):
        with Client(lab, psk_of(lab)).prove() as client:
            body = rp.encode_words([(rp.WORD, word) for word in words])
            header = {"id": os.urandom(16).hex(), "stdin": "none", **header}
            client.send(client.request(rp.join_message("EXEC", 1, header, body)))
            return client.messages()[-1]

    @unittest.skipUnless(ROOT, "runs commands as another user")
    def test_exec_is_no_way_around_a_shell_that_lets_nobody_in(self):
        words = (b"id", b"-un")
        with Lab(grant_options=("--user", "nobody")) as lab:
            self.assertNotIn(pwd.getpwnam("nobody").pw_shell, pathlib.Path("/etc/shells").read_text().split())
            refused = self.ask(lab, words, run="exec", user="nobody")
            self.assertEqual((refused.name, refused.header["name"]), ("REFUSED", "not_permitted"))
            self.assertIn("/etc/shells", refused.header["text"])
            self.assertEqual(self.ask(lab, (b"true",), run="shell", user="nobody").header["code"], 1)  # its shell's
            self.assertEqual(self.ask(lab, words, run="exec", user="root").header["code"], 0)
        with Lab(grant_options=("--user", "nobody"), any_shell="yes") as lab:
            self.assertEqual(self.ask(lab, words, run="exec", user="nobody").header["code"], 0)

    def test_label_is_recorded(self):
        with Lab() as lab:
            self.ask(lab, (b"true",), run="shell", label="nightly build")
            self.ask(lab, (b"true",), run="shell", label="refused build", user="no such user")
            self.ask(lab, (b"true",), run="shell")
            self.assertTrue(until(lambda: len(records(lab)) == 3))
            self.assertEqual([record.get("label") for record in records(lab)],
                             ["nightly build", "refused build", None])

    def test_refusals_do_not_fill_the_disk(self):
        with Lab() as lab, Client(lab, psk_of(lab)).prove() as client:
            for stream in range(1, 1501):
                client.send(client.exec("true", stream=stream, user="no such user"))
                self.assertEqual(client.messages("REFUSED")[-1].header["name"], "not_permitted")
            self.assertGreaterEqual(len(records(lab)), 1000)
            self.assertLess(len(records(lab)), 1400)
            self.assertLess(len(lab.said().splitlines()), 1400)

    def test_record_of_a_command_whose_output_nobody_takes(self):
        """It is dead, and its client could keep the record back for ever."""
        with Lab(record_wait="0.3") as lab, Client(lab, psk_of(lab)).prove() as client:
            client.send(client.exec("head -c 3000000 /dev/zero & exit 5"))
            self.assertTrue(until(lambda: records(lab)))
            record = records(lab)[0]
            self.assertEqual((record["code"], record["by"], record["unfinished"]), (5, "self", True))
            self.assertNotIn("stdout", record)
            reset(client.sock)
            lab.stop()
            self.assertEqual(len(records(lab)), 1)


class Unacknowledged(unittest.TestCase):
    def test_client_that_reads_and_never_acknowledges(self):
        """What is kept for it to come back for is bounded for all of its commands together."""
        with Lab() as lab, Client(lab, psk_of(lab)).prove() as client:
            net = lab.net_pid()
            before = resident_kib(net)
            line = "cat /dev/zero & exec cat /dev/zero >&2"
            client.send(*(client.exec(line, stream=1 + i) for i in range(64)))
            total = 0
            while select.select([client.sock], [], [], 2)[0]:
                client.input += client.receive()
                total += sum(len(said.body) - 8 for said in client.opened() if said.name in ("STDOUT", "STDERR"))
            # Each stream may have as much as an acknowledgement may be late by.
            self.assertLessEqual(total, 128 * 128 * 1024 + 4 * 1024 * 1024)
            self.assertGreaterEqual(total, 128 * 128 * 1024)
            if not SANITIZED:
                self.assertLess(resident_kib(net) - before, 24 * 1024)

    def test_many_streams_that_are_acknowledged_late(self):
        """The real client acknowledges each after 128 KiB: none of many at once waits for an ACK that is not due."""
        with Lab(max_commands="64") as lab:
            command = lab.command_line()
            size = 700_000
            run = subprocess.run([command[0], "batch", "-j", "64", "--json", *command[1:]],
                                 input=f"head -c {size} /dev/zero | tr '\\0' x\n".encode() * 64,
                                 capture_output=True, timeout=120)
            sizes = [len(json.loads(result)["stdout"]) for result in run.stdout.splitlines()]
            self.assertEqual(sizes, [size] * 64)


if __name__ == "__main__":
    unittest.main()
