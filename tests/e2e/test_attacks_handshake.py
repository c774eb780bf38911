"""Attacks on the handshake and its state, against the real programs: one test a row of the threat table.

Byte by byte and in memory the same is done in tests/duel; here it goes through sockets, both processes and a file
that a command would have written. REXEC_ATTACKS_LONG=1 takes minutes and tries more.
"""

import itertools
import os
import random
import signal
import socket
import threading
import time
import unittest

from hostile import LONG, Client, Impostor, Row, Wire, answer, middle, raw_message, some, take
from lab import SANITIZED, Lab, until

import rexec_protocol as rp

# Encodings of points of small order (RFC 7748 gives an all-zero secret for each), and the same with the top bit set.
P = 2**255 - 19
SMALL_ORDER = [
    0, 1, P - 1, P, P + 1,
    0xb8495f16056286fdb1329ceb8d09da6ac49ff1fae35616aeb8413b7c7aebe0,
    0x57119fd0dd4e22d8868e1c58c45c44045bef839c55b1d0b1248c50a3bc959c5f,
]
SMALL_ORDER = [value.to_bytes(32, "little") for value in SMALL_ORDER]
SMALL_ORDER += [point[:31] + bytes([point[31] | 0x80]) for point in SMALL_ORDER]


class Order(Row):
    """What may come when."""

    def test_not_rexec_at_all(self):
        rest = self.kid + os.urandom(64)
        for name, data in {"HTTP": b"GET / HTTP/1.0\r\n\r\n" + bytes(100), "SSH": b"SSH-2.0-x\r\n" + bytes(100),
                           "random": b"x" + os.urandom(199), "magic": b"rexd\1\1\1\3" + rest,
                           "version 0": b"rexc\1\0\1\3" + rest, "versions": b"rexc\1\2\1\3" + rest,
                           "empty": b""}.items():
            with self.subTest(name), Wire(self.lab) as wire:
                wire.send(data)
                if not data:
                    wire.finish()
                self.no_session(wire)

    def test_no_common_suite_or_version(self):
        """It is said, under the proof, and then closed."""
        for low, high, suites in ((1, 1, 4), (1, 1, 0), (1, 1, 0xf8), (2, 9, 3), (255, 255, 3)):
            with self.subTest(low=low, suites=suites), self.client() as client:
                client.m1 = rp.MAGIC + bytes([1, low, high, suites]) + client.m1[8:]
                self.assertTrue(client.challenge())
                self.assertEqual(client.m2[:8], rp.MAGIC + bytes([2, 1, 0, 0]))
                proof = rp.hmac_sha256(client.handshake.keys.server_auth,
                                       client.m1[24:56] + rp.sha256(client.m1 + client.m2[:72]))
                self.assertEqual(client.m2[72:], proof)
                client.send(client.m3, client.exec(self.mark("none")))
                self.no_session(client)

    def test_server_only_message_sent_by_a_client(self):
        """libssh CVE-2018-10933: every number of a message, in place of M1, in place of M3 and in a proven session."""
        for number in range(256):
            with Wire(self.lab) as wire:
                if number != 1:
                    wire.send(rp.MAGIC + bytes([number, 1, 1, 3]) + self.kid + os.urandom(64))
                    self.no_session(wire)
        for number in range(256):
            with self.client() as client:
                client.challenge()
                if number != 3:
                    client.send(rp.MAGIC + bytes([number]) + client.m3[5:], client.exec(self.mark(number)))
                    self.no_session(client)
        bodies = {"STARTED": 32, "RESUMED": 32, "EXIT": 24, "STDOUT": 9, "STDERR": 9}
        server_only = [entry for entry in rp.MESSAGES.values() if entry.direction == "S->C"]
        self.assertEqual(len(server_only), 10)
        for entry in server_only:
            for stream in (0,) if entry.states == ("session",) else (1, 2):     # one that runs, one that is idle
                with self.subTest(message=entry.name, stream=stream), self.client() as client:
                    client.prove()
                    client.send(client.exec("sleep 60", stream=1))
                    client.messages("STARTED")
                    client.send(client.seal(raw_message(entry.number, stream, body=bytes(bodies.get(entry.name, 0)))),
                                client.exec(self.mark(entry.name), stream=3))
                    self.assertEqual([(said.name, said.header["name"]) for said in client.messages()],
                                     [("ERROR", "bad_message")])

    def test_commands_before_authentication(self):
        """Erlang/OTP CVE-2025-32433: every sequence of up to five messages without M3 where it belongs."""
        longest = 3 if SANITIZED and not LONG else 5
        letters = {
            "1": lambda client: client.m1,
            "3": lambda client: client.m3,
            "E": lambda client: client.exec_record,         # under the right keys of this session
            "e": lambda client: client.plain,               # as it would stand in a readable session
            "W": lambda client: client.welcome,             # what the server says when all is well
        }
        tried = 0
        for length in range(1, longest + 1):
            for word in map("".join, itertools.product(letters, repeat=length)):
                if word.startswith("13"):
                    continue                                # authentication
                with self.client() as twin:
                    # The one that comes too early is right in all but its place.
                    first = word.startswith("1")
                    self.assertTrue(twin.challenge())
                    twin.exec_record = twin.exec(self.mark(word))
                    twin.plain = (200).to_bytes(4, "big") + twin.exec_record[4:] + bytes(200)
                    twin.welcome = twin.opener.seal(rp.join_message("WELCOME", 0, {"server": "x", "version": "1",
                                                                                   "time_us": 0}))
                    parts = [letters[letter](twin) for letter in word]
                    with twin if first else self.client() as wire:
                        wire.send(*parts[first:])
                        if sum(map(len, parts[first:])) < (40 if first else 88):
                            wire.finish()               # what is not yet whole has until the deadline
                        self.no_session(wire)
                tried += 1
        self.assertGreater(tried, 100 if longest == 3 else 3500)

    def test_identity_bound_before_it_is_proven_or_changed_after(self):
        """AsyncSSH CVE-2023-46446, Go x/crypto CVE-2024-45337: whoever proves himself is who he is, and stays so."""
        other = self.lab.dir / "other"
        if not other.exists():
            self.lab.make_key(other)
        self.lab.add_grant("other", other, "--name", "other")
        self.lab.server.send_signal(1)
        self.assertTrue(until(lambda: self.lab.rexec("true", key=other).returncode == 0))
        psk = rp.parse_key_file(other.read_bytes())["psk"]
        with self.client() as mine, Client(self.lab, psk) as his:
            # A second M1 in the middle, with each answer that an attacker could want to be right.
            self.assertTrue(mine.challenge())
            mine.send(his.m1[:40])
            self.no_session(mine)
        for use_m1, use_auth in (("mine", "his"), ("his", "mine"), ("his", "his")):
            with self.client() as mine, Client(self.lab, psk) as his:
                who = {"mine": mine, "his": his}
                self.assertTrue(mine.challenge())
                mine.use(*answer(mine.handshake, mine.m2, who[use_m1].m1, who[use_auth].handshake.keys))
                mine.send(mine.m3, mine.exec(self.mark("identity")))
                self.no_session(mine)
        for second in ("m1", "m3"):
            with self.client() as mine, Client(self.lab, psk) as his:
                self.assertTrue(mine.challenge() and his.challenge())
                mine.send(mine.m3, getattr(his, second), mine.exec(self.mark(second)))
                self.assertLessEqual({said.name for said in mine.messages()}, {"WELCOME", "ERROR"})
        with Client(self.lab, psk) as his:
            his.prove().send(his.exec(self.mark("his")))
            his.messages("EXIT")
            self.ran.append("his")
        self.assertTrue(until(lambda: "his" in self.audited()))
        self.assertEqual([record["principal"] for record in self.commands()
                          if record["words"][0] == self.mark("his")], ["other"])
        # The grant that M1 named has gone when M3 comes.
        with Client(self.lab, psk) as his:
            self.assertTrue(his.challenge())
            (self.lab.grants / "other").unlink()
            said = self.lab.said().count("files not used")
            self.lab.server.send_signal(1)
            self.assertTrue(until(lambda: self.lab.said().count("files not used") > said))
            his.send(his.m3, his.exec(self.mark("gone")))
            self.no_session(his)

    def test_second_m3_or_replayed_record_resets_a_nonce(self):
        """KRACK: what was said once is not said again; the session it is said in is over."""
        for case in ("m1", "m3", "ping", "exec"):
            with self.subTest(again=case), self.client() as client:
                client.prove()
                ping, run = client.ping(), client.exec(self.mark(case))
                again = {"m1": client.m1, "m3": client.m3, "ping": ping, "exec": run}[case]
                client.send(ping, run)
                client.messages("EXIT")
                self.ran.append(case)
                client.send(again, client.ping(), client.exec(self.mark("after"), stream=2))
                self.assertLessEqual({said.name for said in client.messages()}, {"ERROR"})
        for case in ("early", "late"):
            with self.subTest(counter=case), self.client() as client:
                client.prove()
                client.sealer.counter = {"early": 1, "late": 2**32}[case]
                client.send(client.ping(), client.exec(self.mark(case)))
                self.assertLessEqual({said.name for said in client.messages()}, {"ERROR"})

    @unittest.skipUnless(LONG, "2^20 records: REXEC_ATTACKS_LONG=1")
    def test_replayed_record_across_a_rekey(self):
        """The counter goes on when the key changes: the first record of all is not the first of the second key."""
        for replay in (False, True):
            with self.client() as client:
                client.prove()
                first = client.exec("true")
                client.send(first)
                client.messages("EXIT")
                client.send(client.seal(rp.join_message("EXIT_ACK", 1)))
                ignored = rp.join_message("STDIN", 1, body=bytes(8), last=True)     # its stream is closed
                while client.sealer.counter < rp.RECORDS_PER_KEY:
                    count = min(1000, rp.RECORDS_PER_KEY - client.sealer.counter)
                    client.send(*(client.seal(ignored) for _ in range(count)))
                if replay:
                    client.send(first)
                    self.assertLessEqual({said.name for said in client.messages()}, {"ERROR"})
                else:
                    client.send(client.exec(self.mark("rekeyed"), stream=2))
                    client.messages("EXIT")
                    self.ran.append("rekeyed")


class Bytes(Row):
    """Bytes that change on the way."""

    def mutations(self, size, rng):
        """(how, at, change): what happens to the byte at each place."""
        for at in range(size):
            bits = (rng.randrange(8),) if SANITIZED and not LONG else range(8)
            for bit in bits:
                yield "flipped", at, lambda data, at=at, bit=bit: (
                    data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1:])
            yield "dropped", at, lambda data, at=at: data[:at] + data[at + 1:]
            yield "doubled", at, lambda data, at=at: data[:at + 1] + data[at:]
            yield "swapped", at, lambda data, at=at: (
                data[:at] + data[at + 1:at + 2] + data[at:at + 1] + data[at + 2:])

    def test_bytes_flipped_dropped_doubled_swapped_to_the_server(self):
        """Terrapin: M1, M3, PING and EXEC. What is refused is refused whole, and nothing runs."""
        rng = random.Random(7)
        with self.client() as client:
            client.challenge()
            ping = len(client.ping())
            size = 88 + 40 + ping + len(client.exec(self.mark("altered-000-flipped")))
        tried = 0
        for how, at, change in some(self.mutations(size, rng), step=5):
            with self.client() as client:
                head = change(client.m1) if at < 88 else client.m1
                if how == "swapped" and at == 87:
                    continue                        # its neighbour is made only after the answer
                came = client.challenge(head) if len(head) >= 88 else False
                if not came:
                    client.send(head)
                    client.finish()
                    self.no_session(client)
                    continue
                rest = client.m3 + client.ping() + client.exec(self.mark(f"altered-{at:03}-{how}"))
                altered = change(bytes(88) + rest)[88:] if at >= 88 else rest
                if head == client.m1 and altered.startswith(rest):
                    continue                        # two equal bytes swapped; a byte behind the end
                tried += 1
                client.send(altered)
                # Where the bytes first differ: one that is doubled differs behind itself.
                first = at if at < 88 else 88 + next(i for i in range(len(rest)) if altered[i:i + 1] != rest[i:i + 1])
                if first < 88 + 40:
                    self.no_session(client)
                else:
                    client.finish()                 # a length may have become longer
                    # The client is proven: what may come is the answer to what stood before the change.
                    allowed = {"WELCOME", "ERROR"} | ({"PONG"} if first >= 88 + 40 + ping else set())
                    self.assertLessEqual({said.name for said in client.messages()}, allowed, (how, at))
        self.assertGreater(tried, 200 if SANITIZED else 2500)

    def test_messages_dropped_doubled_swapped(self):
        """Whole ones, as Terrapin did it: M3, two PINGs, EXEC."""
        orders = [order for length in range(1, 6) for order in itertools.product(range(4), repeat=length)
                  if order != (0, 1, 2, 3)[:length] and order[:4] != (0, 1, 2, 3)]
        for order in some(orders if LONG else orders[:340] + orders[340::8], step=8):
            with self.client() as client:
                self.assertTrue(client.challenge())
                parts = [client.m3, client.ping(b"number 1"), client.ping(b"number 2"), client.exec(self.mark("moved"))]
                client.send(*(parts[number] for number in order))
                client.finish()
                said = [said.body[:8] or said.name for said in client.messages()]
                # What stood in its order is answered, unless an ERROR overtook the answers; the rest is not.
                right = 0
                while order[:right + 1] == (0, 1, 2)[:right + 1]:
                    right += 1
                answers = ["WELCOME", b"number 1", b"number 2"][:right]
                if "ERROR" in said:
                    self.assertEqual(said, answers[:len(said) - 1] + ["ERROR"])
                elif right < len(order):
                    self.assertEqual(said, answers[:len(said)])
                else:
                    self.assertEqual(said, answers)

    def test_bytes_flipped_dropped_doubled_swapped_to_the_client(self):
        """Every byte of M2, and of WELCOME, STARTED, STDOUT and EXIT: one line that says so, and no status 0."""
        sizes = []

        def session(change):
            """Brings all that the server says to the client, changed, and then the end."""
            def act(sock):
                with self.lab.connect() as server:
                    server.sendall(take(sock, 88))
                    m2 = take(server, 104)
                    altered = change(m2, 0)
                    sock.sendall(altered)
                    if altered != m2:
                        sock.shutdown(socket.SHUT_WR)
                    m3 = take(sock, 40)
                    if len(m3) < 40 or altered != m2:
                        return
                    record = take(sock, 4)
                    server.sendall(m3 + record + take(sock, int.from_bytes(record, "big")))
                    said, count, length = b"", 0, 0
                    while count < 4 or length < 150:        # EXIT is longer than STDOUT
                        head = take(server, 4)
                        length = int.from_bytes(head, "big")
                        said, count = said + head + take(server, length), count + 1
                    sizes.append(len(said))
                    sock.sendall(change(said, 104))
                    sock.shutdown(socket.SHUT_WR)
                    sock.recv(1)
            return act

        with Impostor(session(lambda data, offset: data)) as impostor:
            self.check(impostor.client(self.lab, "echo well", options=("-n",)), 0, b"well\n")
        rng = random.Random(11)
        places = [*range(104), *range(104, 104 + sizes[0] - 2)]
        ways = list(self.mutations(len(places), rng))
        for how, at, change in ways if LONG else ways[::79 if SANITIZED else 31]:
            changed = []

            def alter(data, offset, at=at, change=change, changed=changed):
                if not offset <= at < offset + len(data) - (0 if offset else 1):
                    return data
                altered = change(bytes(offset) + data)[offset:]
                changed.append(altered != data)
                return altered

            with self.subTest(how=how, at=at), Impostor(session(alter)) as impostor:
                run = impostor.client(self.lab, "echo well", options=("-n",))
                if any(changed):
                    self.assertEqual((run.returncode, run.stderr[:7], run.stderr.count(b"\n")), (255, b"rexec: ", 1))
                    self.assertIn(run.stdout, (b"", b"well\n"))
                else:
                    self.check(run, 0, b"well\n")


class Roles(Row):
    """What one side says, said by another, to another or once more."""

    def grant_keys(self, lab=None):
        lab = lab or self.lab
        return rp.derive_grant_keys(self.psk, lab.server_name)[1]

    def test_proof_replayed_in_the_other_role(self):
        """Selfie, CHAP's reflection: the server's own proof, here and from another connection, for our challenge."""
        def hello(wire, nonce=None, point=None):
            wire.m1 = rp.MAGIC + bytes([1, 1, 1, 3]) + self.kid + (nonce or os.urandom(32)) + (point or os.urandom(32))
            wire.send(wire.m1)
            return wire.take(104)

        for case in ("own", "twin", "twin with our point"):
            with self.subTest(case=case), Wire(self.lab) as wire, Wire(self.lab) as twin:
                m2 = hello(wire)
                proof = m2[72:]
                if case != "own":
                    # Our challenge put to the server itself, as the other connection's nonce.
                    proof = hello(twin, m2[8:40], m2[40:72] if "point" in case else wire.m1[56:])[72:]
                wire.send(rp.MAGIC + bytes([3, m2[5], m2[6], 0]) + proof, bytes(100))
                self.no_session(wire)
        with Wire(self.lab) as wire:
            m2 = hello(wire)
            wire.send(m2)                               # and M2 as it is
            self.no_session(wire)

    def test_proof_replayed_in_the_other_role_to_a_client(self):
        """M1 sent back to a client, its M3, and an M2 that was meant for another."""
        def mirror(sock):
            m1 = take(sock, 88)
            sock.sendall(m1 + bytes(16))
            sock.recv(1)

        def as_m2(sock):
            m1 = take(sock, 88)
            sock.sendall(rp.MAGIC + bytes([2, 1, 1, 0]) + m1[24:88] + os.urandom(32))
            sock.recv(1)

        def m3_as_m2(sock):
            take(sock, 88)
            with self.client() as client:
                client.challenge()
                sock.sendall(client.m3 + bytes(64))
            sock.recv(1)

        def of_another(sock):
            take(sock, 88)
            with self.client() as client:
                client.challenge()
                sock.sendall(client.m2)
            if sock.recv(1):
                raise AssertionError("the client went on")

        for act in (mirror, as_m2, m3_as_m2, of_another):
            with self.subTest(act=act.__name__), Impostor(act) as impostor:
                self.one_line(impostor.client(self.lab, self.mark("mirrored")))

    def test_relay_to_another_server(self):
        """Two servers that know one client: neither can be reached through the other, nor by what the other stores."""
        with Lab(server_name="lab02") as other:
            other.key.write_bytes(self.lab.key.read_bytes())
            (other.grants / "me").write_bytes(other.grant_text(self.lab.key))
            other.server.send_signal(1)
            self.assertTrue(until(lambda: other.rexec("true", host="lab02").returncode == 0), other.said())
            self.assertTrue(until(lambda: len(self.commands(other)) > 0))  # its record comes behind its answer
            before = len(self.commands(other))
            with Impostor(middle(other)) as impostor:
                self.one_line(impostor.client(self.lab, self.mark("relayed")))
            with Impostor(middle(self.lab)) as impostor:
                self.one_line(impostor.client(other, self.mark("relayed"), host="lab02"))
            # lab02 is stolen, with its grants: its keys, under either kid, with the challenges of lab01.
            stolen = rp.parse_grant_file((other.grants / "me").read_bytes())
            for name in ("lab01", "lab02"):
                with Client(self.lab, self.psk, name=name) as client:
                    client.handshake.keys = stolen.keys
                    self.assertTrue(client.challenge())
                    client.send(client.m3, client.exec(self.mark("stolen")))
                    self.no_session(client)
            # lab01's challenge put to lab02 under its own name, and M3 for it carried back.
            with self.client() as client, Client(other, self.psk) as victim:
                self.assertTrue(client.challenge() and victim.challenge())
                client.send(answer(victim.handshake, client.m2)[0], client.exec(self.mark("carried")))
                self.no_session(client)
            self.assertEqual(len(self.commands(other)), before)
            run = other.rexec("echo well", host="lab02")
            self.check(run, 0, b"well\n")

    def test_swapped_ephemerals(self):
        """A middleman's points in place of E_c and E_s: refused by the client and by the server."""
        mine = rp.x25519_public(os.urandom(32))

        def swap(at):
            def change(data, offset):
                if offset or len(data) < at + 32:
                    return data
                return data[:at] + mine + data[at + 32:]
            return change

        for name, change in (("E_c", {"to_server": swap(56)}), ("E_s", {"to_client": swap(40)}),
                             ("both", {"to_server": swap(56), "to_client": swap(40)})):
            with self.subTest(swapped=name), Impostor(middle(self.lab, **change)) as impostor:
                self.one_line(impostor.client(self.lab, self.mark("swapped")))
        # And the server, by a client that looked at nothing: each of them bound in its response.
        for own_m1, own_m2 in ((True, False), (False, True), (True, True)):
            with self.client() as client:
                altered = client.m1[:56] + mine
                self.assertTrue(client.challenge(altered if own_m1 else None))
                seen = client.m2[:40] + mine + client.m2[72:] if own_m2 else client.m2
                client.use(*answer(client.handshake, seen))
                client.send(client.m3, client.exec(self.mark("swapped")))
                self.no_session(client)
        # Points exchanged between two sessions of one client.
        with self.client() as one, self.client() as two:
            self.assertTrue(one.challenge() and two.challenge())
            one.send(answer(one.handshake, one.m2[:40] + two.m2[40:72] + one.m2[72:])[0])
            two.send(answer(two.handshake, two.m2, two.m1[:56] + one.m1[56:])[0])
            self.no_session(one)
            self.no_session(two)

    def test_replay_of_an_old_session(self):
        """All bytes of an honest session again, at once, in turn, after a new start: no command runs twice."""
        recorded = []
        heard = []

        def record(data, _offset):
            recorded.append(data)
            return data

        def hear(data, _offset):
            heard.append(data)
            return data

        with Impostor(middle(self.lab, record, hear)) as impostor:
            self.check(impostor.client(self.lab, self.mark("once")), 0)
        self.ran.append("once")
        old = b"".join(recorded)
        self.assertEqual(old[:24], rp.MAGIC + b"\1\1\1" + old[7:8] + self.kid)
        self.assertGreater(len(old), 88 + 40 + 100)

        def replay():
            with Wire(self.lab) as wire:
                wire.send(old)
                self.assertEqual(len(wire.rest()), 104)
            with Wire(self.lab) as wire:
                wire.send(old[:88])
                self.assertEqual(len(wire.take(104)), 104)
                wire.send(old[88:])
                self.no_session(wire)
            with Wire(self.lab) as wire:
                wire.send(old[88:])                     # without its M1
                self.no_session(wire)
            with self.client() as client:               # its records in a session of today
                client.prove()
                client.send(old[128:])
                self.assertLessEqual({said.name for said in client.messages()}, {"ERROR"})
            self.only_ran("once")

        replay()
        self.kill_net()
        replay()
        self.lab.stop()
        self.lab.start()
        replay()

        def play_back(sock):
            take(sock, 88)
            sock.sendall(b"".join(heard))
            if sock.recv(1):
                raise AssertionError("the client went on")

        with Impostor(play_back) as impostor:
            self.one_line(impostor.client(self.lab, self.mark("once")))

    def test_replay_of_a_command_in_a_new_session(self):
        """The same EXEC by the same client, sealed anew: its id was used, and it does not run again."""
        command = os.urandom(16).hex()
        for expected in ("EXIT", "REFUSED", "REFUSED"):
            with self.client() as client:
                client.prove()
                client.send(client.exec(self.mark("first"), id=command))
                said = client.messages(expected)[-1]
                if expected == "REFUSED":
                    self.assertEqual(said.header["name"], "duplicate_id")
        self.ran.append("first")


class Secrets(Row):
    """Proofs that are guessed, and randomness that is none."""

    def refused(self, make):
        with self.client() as client:
            self.assertTrue(client.challenge())
            right = client.m3[8:]
            response = make(right)
            client.send(client.m3[:8], response)
            if len(response) < 32:
                client.finish()
            self.no_session(client)

    def test_mac_compare_cut_short(self):
        """MySQL CVE-2012-2122, AMT CVE-2017-5689, MUNGE 0.5.11: responses of 0 to 31 bytes, right up to there."""
        for size in range(32):
            self.refused(lambda right, size=size: right[:size])
            self.refused(lambda right, size=size: right[:size] + bytes(32 - size))
            self.refused(lambda right, size=size: right[:size] + bytes([right[size] ^ 1]) + right[size + 1:])
            self.refused(lambda right, size=size: bytes(size) + right[size:] if size else bytes(32))
        self.refused(lambda right: right[::-1])
        self.refused(lambda right: right.hex().encode()[:32])
        for bit in some(range(256)):
            self.refused(lambda right, bit=bit: (int.from_bytes(right, "big") ^ 1 << bit).to_bytes(32, "big"))

    def test_mac_compare_of_random_responses(self):
        for _ in range(100000 if LONG else 250 if SANITIZED else 1500):
            with Wire(self.lab) as wire:
                wire.send(rp.MAGIC + bytes([1, 1, 1, 3]) + self.kid + os.urandom(64))
                m2 = wire.take(104)
                wire.send(rp.MAGIC + bytes([3, 1, m2[6], 0]) + os.urandom(32))
                self.no_session(wire)

    def test_zero_challenge_or_low_order_point_from_a_client(self):
        """Zerologon: a nonce of zeros gets no answer; small points no session, though the client knows its keys."""
        with self.client() as client:
            client.send(client.m1[:24] + bytes(32) + client.m1[56:])
            self.no_session(client)
        for point in SMALL_ORDER:
            for suites in (1, 2):
                with self.subTest(point=point.hex(), suites=suites), self.client(suites=suites) as client:
                    m1 = client.m1[:56] + point
                    client.send(m1)
                    client.m2 = client.take(104)
                    if len(client.m2) == 104:
                        keys = client.handshake.keys
                        header = rp.MAGIC + bytes([3, 1, suites, 0])
                        m3 = header + rp.hmac_sha256(keys.client_auth,
                                                     client.m2[8:40] + rp.sha256(m1 + client.m2 + header))
                        client.use(m3, rp.session_keys(suites, keys.mix, bytes(32), m1 + client.m2 + m3))
                        client.send(m3, client.exec(self.mark("small")))
                    self.no_session(client)

    def test_zero_challenge_or_low_order_point_from_a_server(self):
        """A server that knows the client's keys, and still may not make a session whose secret anybody knows."""
        kid, keys = rp.derive_grant_keys(self.psk, self.lab.server_name)

        def serve(challenge, point):
            def act(sock):
                m1 = take(sock, 88)
                self.assertEqual(m1[8:24], kid)
                suite = 1 if m1[7] & 1 else 2
                m2 = rp.MAGIC + bytes([2, 1, suite, 0]) + challenge + point
                m2 += rp.hmac_sha256(keys.server_auth, m1[24:56] + rp.sha256(m1 + m2))
                sock.sendall(m2)
                sent.append(take(sock, 40))
            return act

        good = rp.x25519_public(os.urandom(32))
        for challenge, point, goes_on in [(os.urandom(32), good, True), (bytes(32), good, False)] + [
                (os.urandom(32), point, False) for point in SMALL_ORDER]:
            sent = []
            with self.subTest(challenge=challenge.hex(), point=point.hex()):
                with Impostor(serve(challenge, point)) as impostor:
                    run = impostor.client(self.lab, "true")
                self.one_line(run)
                self.assertEqual([len(m3) for m3 in sent], [40 if goes_on else 0])

    def test_random_numbers_repeat(self):
        """Debian 2008, fork: challenges and points of many connections, of several net processes and servers."""
        seen, count = set(), 0

        def draw(rounds, together=8):
            nonlocal count
            for _ in range(rounds):
                wires = [Wire(self.lab) for _ in range(together)]
                for wire in wires:
                    # The same M1 each time: nothing in it may be what makes the answers differ.
                    wire.send(rp.MAGIC + bytes([1, 1, 1, 3]) + self.kid + b"n" * 64)
                for wire in wires:
                    with wire:
                        m2 = wire.take(104)
                        self.assertEqual(len(m2), 104)
                        seen.update((m2[8:40], m2[40:72], m2[72:]))
                        count += 3

        rounds = 40000 if LONG else 30 if SANITIZED else 150
        draw(rounds)
        for _ in range(3):
            self.kill_net()
            draw(20)
        for _ in range(3):
            self.lab.stop()
            self.lab.start()
            draw(20)
        self.assertEqual(len(seen), count)

    def test_random_numbers_repeat_at_the_client(self):
        said = []

        def act(sock):
            said.append(take(sock, 88))

        with Impostor(act) as impostor:
            for _ in range(30):
                self.one_line(impostor.client(self.lab, "true"))
        self.assertGreaterEqual(len(said), 30)  # it tries more than once where nobody answers
        self.assertEqual(len({m1[24:56] for m1 in said} | {m1[56:] for m1 in said}), 2 * len(said))


class Told(Row):
    """What those who are not known can learn."""

    def test_unknown_and_known_users_told_apart(self):
        """CVE-2018-15473, CVE-2016-6210: the same bytes and the same close. tests/bench/bench_unknown_user.py has
        the times."""
        kids = {"known": self.kid, "unknown": os.urandom(16), "zero": bytes(16)}
        for name, option in {"expired": ("--expires", "2001-01-01T00:00:00Z"), "elsewhere": ("--from", "192.0.2.1"),
                             "early": ("--not-before", "2101-01-01T00:00:00Z"), "revoked": ()}.items():
            key = self.lab.dir / name
            self.lab.make_key(key)
            grant = self.lab.add_grant(name, key, *option)
            if name == "revoked":
                grant.write_bytes(grant.read_bytes() + b"revoked = yes\n")
            kids[name] = rp.derive_grant_keys(rp.parse_key_file(key.read_bytes())["psk"], self.lab.server_name)[0]
            kids[name + ", proven"] = key
        self.lab.server.send_signal(1)
        self.assertTrue(until(lambda: "grants: 5, files not used: 0" in self.lab.said()), self.lab.said())
        shapes, random_parts = {}, set()
        for name, kid in kids.items():
            for tail in (b"", bytes(100)):
                for cut in (40, 39, 8, 0):
                    proven = name.endswith("proven")
                    psk = rp.parse_key_file(kid.read_bytes())["psk"] if proven else self.psk
                    with Client(self.lab, psk) as client:
                        m1 = client.m1 if proven else client.m1[:8] + kid + client.m1[24:]
                        self.assertTrue(client.challenge(m1))
                        m2 = client.m2
                        random_parts.update((m2[8:40], m2[40:72], m2[72:]))
                        # Those that may not come prove themselves rightly, and are told no more than the others.
                        response = client.m3[8:] if proven else os.urandom(32)
                        client.send((m2[:4] + bytes([3, m2[5], m2[6], 0]) + response)[:cut] + tail * (cut == 40))
                        if cut < 40:
                            client.finish()
                        shapes.setdefault((bool(tail), cut, m2[:8], client.rest(), client.how), set()).add(name)
        self.assertEqual(list(shapes.values()), [set(kids)] * 8)
        self.assertEqual({rest for _, _, _, rest, _ in shapes}, {b""})
        self.assertEqual(len(random_parts), len(kids) * 2 * 4 * 3)
        # Without a response at all, the deadline: see Deadline.


class Deadline(Row):
    flags = {"handshake_timeout": "0.5"}

    def test_a_signal_handler_does_work(self):
        """regreSSHion CVE-2024-6387: signals all the time while handshakes reach their deadline, or end before it."""
        over = threading.Event()
        pids = (self.lab.server.pid, self.lab.net_pid())
        sent = [0]

        def storm():
            while not over.is_set():
                os.kill(pids[0], signal.SIGHUP)
                os.kill(pids[0], signal.SIGCHLD)
                for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGPIPE, signal.SIGCHLD):
                    os.kill(pids[1], number)
                sent[0] += 1
                time.sleep(0.0005)

        thread = threading.Thread(target=storm, daemon=True)
        thread.start()
        wires = []
        try:
            for turn in range(60 if LONG else 4):
                for number in range(100):
                    client = self.client()
                    wires.append(client)
                    if number % 3 == 0:
                        client.send(client.m1[:number % 88])
                    elif number % 3 == 1:
                        self.assertTrue(client.challenge())
                        client.send(client.m3[:number % 40])
                    # The others say nothing at all.
                self.check(self.lab.rexec(f"echo {turn}"), 0, b"%d\n" % turn)
                while wires:
                    with wires.pop() as wire:
                        self.no_session(wire)
        finally:
            over.set()
            thread.join()
            for wire in wires:
                wire.sock.close()
        self.assertGreater(sent[0], 20)
        self.assertEqual((self.lab.server.pid, self.lab.net_pid()), pids, self.lab.said())
        self.assertNotRegex(self.lab.said(), "Sanitizer|runtime error|net is gone")


if __name__ == "__main__":
    unittest.main()
