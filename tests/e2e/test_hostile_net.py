"""A net process that was taken over, against the real monitor: it runs nothing, and nobody else suffers.

The test stops the real net, takes its end of the way to the monitor, and plays an attacker who has it, and the
clients behind it. REXEC_HOSTILE_DATAGRAMS: how many random ones (default 4000), REXEC_HOSTILE_SEED: which.
"""

import ctypes
import json
import os
import pathlib
import random
import struct
import time
import unittest

from lab import NAME, SANITIZED, SOURCE, Lab, alive, children, until
from hostile_net import (CLOSE, ERROR, FROM_NET, OF_COMMANDS, OF_SESSIONS, RESET, TYPES, Gone, Monitor, Session, Source,
                         UserLab, datagram, exec_message, m1_from_somewhere, ready_nets)
import rexec_protocol as rx

ROOT = os.geteuid() == 0
DATAGRAMS = int(os.environ.get("REXEC_HOSTILE_DATAGRAMS", "4000"))
SEED = int(os.environ.get("REXEC_HOSTILE_SEED", "1"))
NO_COMMAND = 1 << 60
RESTARTS = 5            # of net within a minute; then the daemon ends


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident_kib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


class Bystander:
    """Another client of the same net, whose command runs all the while."""

    def __init__(self, monitor):
        self.session = monitor.session()
        self.session.request(self.session.sign(exec_message("exec cat")))
        got = self.session.expect("START")
        self.command, self.fds = got.fixed.command, got.fds

    def serves(self):
        os.set_blocking(self.fds[1], True)
        os.write(self.fds[0], b"still here")
        return os.read(self.fds[1], 100) == b"still here"

    def close(self):
        for fd in self.fds:
            os.close(fd)
        self.session.finish(self.command)
        self.session.close()


@unittest.skipUnless(ROOT, "only root can take over a process that is not dumpable")
class AsRoot(unittest.TestCase):
    make_lab = Lab

    def setUp(self):
        flags = {"linger": "0.3"} if "X(linger," in (SOURCE / "rexecd" / "config.def").read_text() else {}
        self.lab = self.enterContext(self.make_lab(kill_grace="0.3", max_commands_total="1000", **flags))
        self.mark = self.lab.dir / "mark"
        self.mark.touch()
        self.mark.chmod(0o666)
        self.monitor = Monitor(self.lab)
        self.addCleanup(self.monitor.close)
        self.bystander = Bystander(self.monitor)
        self.addCleanup(self.bystander.close)
        self.net_pid = self.monitor.pid

    # ---- what must be so

    def touching(self, stream=1, **header):
        return exec_message(f"echo ran >> {self.mark}", stream, **header)

    def runs(self):
        """A command that its client asked for: the way that all the others are kept from."""
        session = self.monitor.session()
        before = self.ran()
        session.request(session.sign(self.touching()))
        session.finish(session.started())
        self.assertEqual(self.ran(), before + 1)
        session.close()
        return session

    def ran(self):
        return self.mark.read_text().count("ran")

    def audit(self, kind):
        lines = self.lab.audit.read_text().splitlines(keepends=True)
        records = (json.loads(line) for line in lines if line.endswith("\n"))   # one may be on its way
        return [record for record in records if record["record"] == kind]

    def unharmed(self, ran=0):
        """Nothing has run but what was asked for; the other session, net and the monitor are as they were."""
        self.assertTrue(self.bystander.serves())
        self.runs()
        self.assertEqual(self.ran(), ran + 1)
        self.assertTrue(until(lambda: len(self.audit("command")) == ran + 1))
        self.assertIsNone(self.lab.server.poll())
        self.assertEqual(self.lab.net_pid(), self.net_pid)

    def rejected(self, session, data, error="request_rejected", how=CLOSE):
        """The session ends for it; the audit says so, though net says that all was well."""
        session.request(data)
        failed = session.expect("FAIL")
        self.assertEqual(json.loads(failed.tail)["name"], error)
        session.request(session.sign(self.touching(3)))         # a good one does not help any more
        session.close(how)
        found = until(lambda: [record for record in self.audit("session")
                               if record["session"] == session.keys.session_id.hex()])
        self.assertTrue(found)
        record = next(record for record in self.audit("session")
                      if record["session"] == session.keys.session_id.hex())
        self.assertEqual((record["how"], record["error"]), ("error", error))

    # ---- requests

    def test_a_client_can(self):
        self.runs()
        self.unharmed(1)

    def test_invented(self):
        """The right shape, under every key that net has, and others."""
        for make in (lambda s: os.urandom(32), lambda s: bytes(32), lambda s: b"\xff" * 32, lambda s: s.keys.c2s,
                     lambda s: s.keys.s2c, lambda s: rx.expand(s.keys.c2s, b"rexec/1 request" + s.keys.th, 32),
                     lambda s: s.keys.th):
            session = self.monitor.session()
            self.rejected(session, rx.add_trailer(make(session), self.touching(), 1))
        for tail in (bytes(40), struct.pack(">Q", 1) + os.urandom(32), b"", bytes(39)):
            self.rejected(self.monitor.session(), self.touching() + tail)
        for length in range(0, 48):
            self.rejected(self.monitor.session(), self.touching()[:length])
        self.unharmed()

    def test_altered(self):
        """Each byte of a good request changed, dropped and doubled; cut and longer ones."""
        rng = random.Random(SEED)
        length = len(self.monitor.session().sign(self.touching()))
        for at in range(length):
            session = self.monitor.session()
            good = session.sign(self.touching())
            changed = bytearray(good)
            changed[at] ^= 1 << rng.randrange(8)
            dropped, doubled = good[:at] + good[at + 1:], good[:at + 1] + good[at:]
            self.rejected(session, (bytes(changed), dropped, doubled)[at % 3])
            if at % 3:
                session = self.monitor.session()
                good = bytearray(session.sign(self.touching()))
                good[at] ^= 1 << rng.randrange(8)
                self.rejected(session, bytes(good))
        for change in (lambda good: good + b"\0", lambda good: good[:-1], lambda good: b"\0" + good,
                       lambda good: good + good):
            session = self.monitor.session()
            self.rejected(session, change(session.sign(self.touching())))
        self.unharmed()

    def test_replayed(self):
        """What ran once does not run again, in this session or in another."""
        session = self.monitor.session()
        good = session.sign(self.touching())
        session.request(good)
        session.finish(session.started())
        self.rejected(session, good)
        self.rejected(self.monitor.session(), good)
        self.assertEqual(self.ran(), 1)
        self.unharmed(1)

    def test_reordered(self):
        """The second before the first; one left out; a number that is too high."""
        for first, second in ((1, 0), (2, 0), (1, 2)):
            session = self.monitor.session()
            requests = [session.sign(self.touching(stream)) for stream in (1, 3, 5)]
            session.request(requests[first])
            self.rejected(session, requests[second])
        for sequence in (0, 2, 2**32 + 1, 2**63, 2**64 - 1):
            session = self.monitor.session()
            self.rejected(session, rx.add_trailer(session.keys.request, self.touching(), sequence))
        self.unharmed()

    def test_to_another_session(self):
        """A good request of one session, under the number of another of the same client."""
        one, other = self.monitor.session(), self.monitor.session()
        good = one.sign(self.touching())
        self.rejected(other, good)
        one.request(good)                                       # where it belongs it is good
        one.finish(one.started())
        one.close()
        self.unharmed(1)

    def test_signal(self):
        """A SIGNAL that nobody sent, or sent again."""
        message = rx.join_message("SIGNAL", 1, {"signal": "KILL", "n": 1})
        self.rejected(self.monitor.session(), rx.add_trailer(bytes(32), message, 1))
        session = self.monitor.session()
        self.rejected(session, self.bystander.session.sign(message))
        self.bystander.session.sequence -= 1
        self.unharmed()

    def test_not_a_request(self):
        """Signed by the client, but nothing that a client may ask the monitor."""
        for name, body in (("STDIN", bytes(8)), ("CLOSE", b""), ("STARTED", bytes(32)), ("PING", bytes(8))):
            stream = 0 if name in ("CLOSE", "PING") else 1
            session = self.monitor.session()
            self.rejected(session, session.sign(rx.join_message(name, stream, None, body)), "bad_message")
        self.unharmed()

    # ---- the other messages

    @unittest.skipIf(OF_COMMANDS, "what net says of a command is not of a session")
    def test_commands_of_others(self):
        """What net says of a command counts in the command's own session only."""
        for name in ("DRAINED", "OVER_LIMIT", "FINISHED"):
            for command in (self.bystander.command, 0, NO_COMMAND, 2**64 - 1):
                session = self.monitor.session()
                session.of_command(name, command)
                session.expect("FAIL")
                session.close()
        self.unharmed()

    def test_commands_do_not_get_lost(self):
        """Whatever net says of a running command, it ends with its client, and is in the audit."""
        names = [entry.name for entry in OF_COMMANDS] or ["DRAINED", "FINISHED", "OVER_LIMIT"]
        ways = [[name] for name in names] + [names, names[::-1]]
        for said, how in [(said, how) for said in ways for how in (CLOSE, RESET, ERROR)]:
            with self.subTest(said=said, how=how):
                session, before = self.monitor.session(), len(self.audit("command"))
                session.request(session.sign(exec_message("exec sleep 1000")))
                got = session.expect("START")
                pid = json.loads(got.tail)["pid"]
                for name in said:
                    session.of_command(name, got.fixed.command)
                session.close(how)
                self.assertTrue(until(lambda: not alive(pid)), "a command that nobody ends")
                if OF_COMMANDS and how != CLOSE:                # the record waits for the bytes that net counted
                    session.of_command("FINISHED", got.fixed.command)
                self.assertTrue(until(lambda: len(self.audit("command")) == before + 1))
                for fd in got.fds:
                    os.close(fd)
        self.assertTrue(self.bystander.serves())

    def test_an_end_told_again(self):
        """What is kept of an ended command was counted when net said so first; saying so again moves no count."""
        for again in ((0, 5), (5, 0), (2**64 - 1, 1), (1, 2**63, 2**64 - 1)):
            with self.subTest(kept=again):
                for last in ("GONE", None):
                    session = self.monitor.session()
                    session.request(session.sign(exec_message("exec true")))
                    command = session.started()
                    self.monitor.take(lambda got: got.name == "ENDED" and got.fixed.command == command)
                    for kept in again:
                        session.of_command("FINISHED", command, kept=kept)
                    if last is not None:
                        session.of_command(last, command)
                    session.close()
                self.runs()
        self.assertTrue(self.bystander.serves())
        self.assertIsNone(self.lab.server.poll())

    def test_random_words_of_commands(self):
        """Anything that may be said of a command, in any order, while it runs and when it is over."""
        rng = random.Random(SEED)
        numbers = []
        for turn in range(DATAGRAMS // 20):
            session = self.monitor.session()
            session.request(session.sign(exec_message(rng.choice(("exec true", "exec sleep 1000")))))
            numbers.append(session.started())
            for _ in range(rng.randrange(20)):
                entry, command = rng.choice(OF_COMMANDS), rng.choice(numbers[-4:])
                fixed = struct.pack("=Q", command) + rng.choice((bytes, rng.randbytes))(entry.fixed - 8)
                self.monitor.send_raw(struct.pack("=II", entry.number, 0) + fixed)
            session.close(rng.choice((CLOSE, RESET, ERROR)))
            if turn % 20 == 0:
                self.monitor.drain()
        self.monitor.drain()
        self.assertTrue(self.bystander.serves())
        self.runs()
        self.assertIsNone(self.lab.server.poll())

    def test_handshake_forged(self):
        """M3 without the client's key; M3 of another handshake; the server's own proof."""
        proven = self.monitor.session()
        for make in (lambda s: s.m3[:8] + os.urandom(32), lambda s: s.m3[:8] + s.m2[72:], lambda s: proven.m3,
                     lambda s: bytes(40), lambda s: s.m3[:8] + bytes(32)):
            self.monitor.last += 1
            session = Session(self.monitor, self.monitor.last, prove=False)
            session.say("M3", m3=make(session))
            session.expect("DROP")
            session.request(rx.add_trailer(session.keys.request, self.touching(), 1))
            session.expect("DROP")
        proven.close()
        self.unharmed()

    def test_clients_from_nowhere(self):
        """A client's address may be a lie, but is an address: grants are bound to some."""
        m1 = rx.ClientHandshake(self.monitor.psk, NAME, rx.CHACHA20POLY1305, os.urandom).m1
        somewhere = {1: range(256), 2: (32,), 3: (128,)}
        for family in (0, 1, 2, 3, 4, 2**31, 2**32 - 1):
            for bits in (0, 1, 8, 31, 32, 33, 127, 128, 129, 255):
                self.monitor.last += 1
                number = self.monitor.last
                peer = Source(family, (ctypes.c_uint8 * 16)(*[255] * 16), bits)
                self.monitor.send("M1", number, peer=peer, port=1234, m1=m1)
                self.monitor.expect(number, "M2" if bits in somewhere.get(family, ()) else "DROP")
                self.monitor.send("CLOSED", number, how=ERROR)
        self.unharmed()

    def test_every_message_in_every_state(self):
        expected = {
            "none": {"M1": "M2", "CLOSED": None},
            "challenged": {"CLOSED": None},
            "proven": {"CLOSED": None},
            "failed": dict.fromkeys(TYPES),
            "closed": {"M1": "M2", "CLOSED": None},
        }
        otherwise = {"none": "DROP", "challenged": "DROP", "proven": "FAIL", "closed": "DROP"}
        for state, answers in expected.items():
            for entry in OF_SESSIONS:
                with self.subTest(state=state, message=entry.name):
                    number = self.in_state(state)
                    self.monitor.send_raw(self.content(entry, number))
                    answer = answers.get(entry.name, otherwise.get(state))
                    if answer is not None:
                        self.monitor.expect(number, answer)
                    self.assertTrue(self.bystander.serves())
                    self.monitor.send("CLOSED", number, how=ERROR)
                    self.runs()                                 # all of it was read, and no more was said
                    self.assertEqual([got for got in self.monitor.waiting if got.session == number], [])
        self.assertTrue(until(lambda: len(self.audit("command")) == self.ran()))

    def in_state(self, state):
        self.monitor.last += 1
        number = self.monitor.last
        if state == "none":
            return number
        session = Session(self.monitor, number, prove=state != "challenged")
        if state == "failed":
            session.say("M3")
            session.expect("FAIL")
        elif state == "closed":
            session.close()
        return number

    @staticmethod
    def content(entry, number, rng=random.Random(SEED)):
        """A message of the type with nothing good in it."""
        if entry.name == "M1":
            m1 = b"rexc" + bytes([1, 1, 1, 2]) + rng.randbytes(48) + rx.x25519_public(rng.randbytes(32))
            return m1_from_somewhere(number, m1)
        return datagram(entry.name, number, rng.randbytes(200) if entry.tail else b"")

    # ---- much, and nonsense

    def test_flood_of_what_is_not_read(self):
        """Requests without end whose answers net does not take: they are not read, and cost no memory."""
        pid, sent = self.lab.server.pid, 0
        before = resident_kib(pid)
        asked = datagram("M3", 77)
        end = time.monotonic() + 60
        self.monitor.sock.setblocking(False)
        idle = 0
        while sent < 1_000_000 and idle < 50 and time.monotonic() < end:
            try:
                self.monitor.sock.send(asked)
                sent, idle = sent + 1, 0
            except BlockingIOError:
                idle += 1
                time.sleep(0.01)
        self.assertLess(sent, 1_000_000, "there is no end to what the monitor takes in")
        if not SANITIZED:
            self.assertLess(resident_kib(pid) - before, 16 * 1024)
        self.monitor.drain()
        while self.monitor.receive(0.5) is not None:
            pass
        self.unharmed()

    def test_flood_of_sessions(self):
        """More handshakes than there may be: the rest is dropped, and all of it comes back."""
        limit = 300
        with self.make_lab(max_connections=100, max_unproven=limit - 100) as lab:
            monitor = Monitor(lab)
            before = descriptors(lab.server.pid)
            for number in range(1, 2 * limit + 1):
                monitor.send_raw(self.content(TYPES["M1"], number))
                monitor.expect(number, "M2" if number <= limit else "DROP")
            for number in range(1, limit + 1):
                monitor.send("CLOSED", number, how=ERROR)
            monitor.session().close()
            self.assertTrue(until(lambda: descriptors(lab.server.pid) == before), "a descriptor is left")
            monitor.close()

    def test_random_messages(self):
        """Well-formed ones with anything in them: nothing runs, nothing is lost, nothing is left open."""
        rng = random.Random(SEED)
        self.runs()
        pid = self.lab.server.pid
        before = descriptors(pid)
        session = self.monitor.session()
        for turn in range(DATAGRAMS):
            entry = rng.choice(OF_SESSIONS)
            number = rng.choice((session.number, rng.randrange(1, 40), rng.getrandbits(31) + 1))
            if number == self.bystander.session.number:
                continue
            data = self.content(entry, number, rng)
            if rng.randrange(4):
                tail = rng.randbytes(rng.randrange(300)) if entry.tail else b""
                data = data[:8] + rng.randbytes(entry.fixed) + tail
            try:
                self.monitor.send_raw(data)
            except Gone:
                self.fail(f"seed {SEED}, message {turn}: the monitor gave net up\n{self.lab.said()[-2000:]}")
            if turn % 50 == 0:
                self.monitor.drain()
                session.close()
                session = self.monitor.session()
        self.monitor.drain()
        session.close()
        for number in range(1, 40):
            self.monitor.send("CLOSED", number, how=ERROR)
        self.unharmed(1)
        self.assertTrue(until(lambda: descriptors(pid) <= before), "a descriptor is left")
        self.assertEqual(len(children(pid)), 2)                 # net, and the bystander's command


class AsUser(AsRoot):
    """The same where an ordinary user runs rexecd."""

    make_lab = UserLab


@unittest.skipUnless(ROOT, "only root can take over a process that is not dumpable")
class NotItself(unittest.TestCase):
    """What is no message at all costs net its life: another takes its place, and nothing has run."""

    def shapes(self):
        pipe = os.pipe()
        self.addCleanup(os.close, pipe[0])
        self.addCleanup(os.close, pipe[1])
        head = lambda number, session=5: struct.pack("=II", number, session)
        for length in range(1, 8):
            yield f"{length} bytes", bytes(length), ()
        yield "nothing", b"", ()
        for number in (0, len(TYPES) + 1, 2**31, 2**32 - 1):
            yield f"type {number}", head(number), ()
        for entry in TYPES.values():
            session = 0 if entry.states & {"WHOLE", "COMMAND"} else 5
            right = bytes(entry.fixed)
            if entry.side != "NET":
                yield f"the monitor's {entry.name}", head(entry.number, session) + right, ()
                continue
            if entry.fixed:
                yield f"{entry.name} too short", head(entry.number, session) + right[:-1], ()
            yield f"{entry.name} too long", head(entry.number, session) + right + bytes(entry.tail + 1), ()
            yield f"{entry.name} of the wrong session", head(entry.number, 5 - session) + right, ()
            yield f"{entry.name} with a descriptor", head(entry.number, session) + right, pipe[:1]
            yield f"{entry.name} with many", head(entry.number, session) + right, pipe * 20
        yield "READY twice", datagram("READY", 0), ()
        for entry in OF_COMMANDS:
            for command in (0, NO_COMMAND, 2**64 - 1):
                yield f"{entry.name} of no command", datagram(entry.name, 0, command=command), ()

    def test_every_wrong_shape(self):
        shapes = list(self.shapes())
        self.assertGreater(len(FROM_NET), 5)
        for first in range(0, len(shapes), RESTARTS):
            with Lab(kill_grace="0.3") as lab:
                mark = lab.dir / "mark"
                for name, data, fds in shapes[first:first + RESTARTS]:
                    with self.subTest(shape=name):
                        self.one(lab, data, fds, mark)
                run = lab.rexec("echo well")
                self.assertEqual((run.returncode, run.stdout), (0, b"well\n"), run.stderr)
                self.assertFalse(mark.exists())

    def one(self, lab, data, fds, mark):
        monitor, nets = Monitor(lab), ready_nets(lab)
        files = descriptors(lab.server.pid)
        session = monitor.session()
        good = session.sign(exec_message(f"echo ran > {mark}"))
        monitor.send_raw(data, fds)
        self.assertTrue(monitor.ended(), "the monitor goes on with it")
        with self.assertRaises(Gone):                           # what comes behind it is not read
            session.request(good)
        self.assertTrue(until(lambda: ready_nets(lab) > nets), lab.said())
        self.assertNotEqual(lab.net_pid(), monitor.pid)
        self.assertTrue(until(lambda: descriptors(lab.server.pid) == files))
        monitor.close()


if __name__ == "__main__":
    unittest.main()
