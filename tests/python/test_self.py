#!/usr/bin/python3
"""The Python implementation against itself: see rexec_protocol.py and toy.py.

Everything is in-process and deterministic (a seeded source of "randomness"), but the last class, which runs the
toys as processes over socketpairs.
"""
import os
import random
import re
import socket
import struct
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import rexec_protocol as rexec  # noqa: E402
import toy  # noqa: E402
from rexec_protocol import AES256GCM, CHACHA20POLY1305, HMAC_SHA256  # noqa: E402

ALL_SUITES = (AES256GCM, CHACHA20POLY1305, HMAC_SHA256)
PSK, NAME, DECOY_SECRET = bytes(range(32)), "box.example", b"decoy" * 8
GRANT = rexec.make_grant(PSK, NAME, readable=True)
WELCOME = {"server": NAME, "version": "test", "time_us": 1700000000000000}
ID = "0123456789abcdef" * 2


class Pair:
    """A client and a server session with memory between them. `deliver` may change what passes."""

    def __init__(self, suites=AES256GCM, grant=GRANT, table=None, toys=None, now_ms=1000, seed=1, chunk=None,
                 client=None, server=None, deliver=None, per_key=rexec.RECORDS_PER_KEY, psk=PSK, name=NAME,
                 budget=None):
        source = random.Random(seed).randbytes
        self.table = rexec.CommandTable(0) if table is None else table
        client = {"records_per_key": per_key, **(client or {})}
        server = {"records_per_key": per_key, "readable": True, **(server or {})}
        self.client = rexec.ClientSession(psk, name, suites, source, **client)
        self.server = rexec.ServerSession(lambda kid: grant if grant and kid == grant.kid else None, DECOY_SECRET,
                                          source, self.table, WELCOME, **server)
        self.toys = toy.ToyServer(self.server, {} if toys is None else toys)
        self.app = toy.Client(self, self.client)        # we are its connection: move() and ended
        self.chunk, self.now_ms, self.ended, self.budget = chunk, now_ms, False, budget
        self.deliver = deliver or (lambda role, data: data)
        self.passed = {"C": b"", "S": b""}

    def pass_on(self, sender, receiver):
        data = self.deliver(sender.ROLE, sender.data_to_send())
        self.passed[sender.ROLE] += data
        if self.budget is not None:                     # the connection breaks after so many bytes
            data = data[:self.budget]
            self.budget -= len(data)
        step = self.chunk or max(1, len(data))
        for at in range(0, len(data), step):
            receiver.receive(data[at:at + step], self.now_ms)
        return bool(data)

    def move(self):
        """Pass on what there is, both ways; the connection ends when one side has finished."""
        moved = self.pass_on(self.client, self.server)
        self.toys.handle_events()
        moved = self.pass_on(self.server, self.client) or moved
        if self.budget == 0 or (not moved and (self.server.finished or self.client.finished)):
            self.ended = True
            self.client.receive_eof()
            self.server.receive_eof()
        elif not moved and not self.client._events:
            raise toy.Wrong("nothing moves any more")

    def open(self):
        self.app.until(lambda: self.client.state == rexec.OPEN)
        return self

    def settle(self):
        """Move until nothing moves. What happened to the client, by name: the kinds of its events."""
        events = []
        try:
            while not self.ended:
                self.move()
                events += self.client.events()
        except toy.Wrong:
            pass
        return [event.kind for event in events + list(self.client.events())]

    def inject(self, sender, payload):
        """A record with this payload, as if `sender` had sent it. What the other side says to it."""
        receiver = self.server if sender is self.client else self.client
        receiver.receive(sender.sealer.seal(payload), self.now_ms)
        return receiver.error

    def request(self, name, stream, header=None, body=b"", raw=None):
        """A request with a good trailer, whatever is in it."""
        message = rexec.join_message(name, stream, header, body) if raw is None else raw
        self.client.sequence += 1
        return self.inject(self.client, rexec.add_trailer(self.client.keys.request, message, self.client.sequence))


def message(name, stream, body=b"", header=b"", flags=0):
    return struct.pack(">BBHI", rexec.MESSAGE_BY_NAME[name].number, flags, len(header), stream) + header + body


EXEC_WAIT = rexec.encode_words([(rexec.WORD, b"wait")])


def exec_header(number=0, **more):
    return {"id": f"{number:032x}", "run": "exec", **more}


class RexecCase(unittest.TestCase):
    def refused(self, name, function, *arguments, **named):
        with self.assertRaises(rexec.RexecError) as caught:
            function(*arguments, **named)
        self.assertEqual(caught.exception.name, name)


class Crypto(RexecCase):
    def test_rfc5869(self):
        """HKDF: appendix A.1, A.2 and A.3."""
        cases = [
            (b"\x0b" * 22, bytes(range(13)), bytes(range(0xf0, 0xfa)), 42,
             "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
             "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"),
            (bytes(range(0x50)), bytes(range(0x60, 0xb0)), bytes(range(0xb0, 0x100)), 82,
             "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
             "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
             "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"),
            (b"\x0b" * 22, b"", b"", 42, "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
             "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"),
        ]
        for ikm, salt, info, length, prk, okm in cases:
            self.assertEqual(rexec.extract(salt, ikm).hex(), prk)
            self.assertEqual(rexec.expand(bytes.fromhex(prk), info, length).hex(), okm)

    def test_rfc7748(self):
        """X25519: the iterated test of section 5.2, 1 and 1,000 times."""
        scalar = point = b"\x09" + bytes(31)
        results = {}
        for count in range(1, 1001):
            scalar, point = rexec.x25519_shared(scalar, point), scalar
            results[count] = scalar.hex()
        self.assertEqual(results[1], "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079")
        self.assertEqual(results[1000], "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51")

    def test_record_layout(self):
        """By hand: section 5 says what a record is."""
        secret = b"\7" * 32
        key = rexec.expand(secret, b"key", 32)
        record = rexec.RecordKeys(HMAC_SHA256, secret).seal(b"12345678")
        length = struct.pack(">I", 40)
        self.assertEqual(record, length + b"12345678" + rexec.hmac_sha256(key, bytes(8) + length + b"12345678"))
        sealer = rexec.RecordKeys(CHACHA20POLY1305, secret)
        sealer.seal(b"12345678")
        length = struct.pack(">I", 24)
        nonce = bytes(4) + struct.pack(">Q", 1)
        self.assertEqual(sealer.seal(b"12345678"),
                         length + rexec.aead(CHACHA20POLY1305, key).encrypt(nonce, b"12345678", length))

    def test_rekey(self):
        secret = b"\7" * 32
        for suite in ALL_SUITES:
            sealer, opener = (rexec.RecordKeys(suite, secret, 4) for _ in range(2))
            epoch = secret
            for number in range(14):
                payload = b"message%d" % number
                self.assertEqual(opener.open(bytearray(sealer.seal(payload))), payload)
                if number and number % 4 == 0:
                    epoch = rexec.expand(epoch, b"rekey", 32)
                self.assertEqual(sealer.key, rexec.expand(epoch, b"key", 32), number)
            epoch3 = rexec.expand(rexec.expand(rexec.expand(secret, b"rekey", 32), b"rekey", 32), b"rekey", 32)
            self.assertEqual((sealer.secret, sealer.key), (epoch3, rexec.expand(epoch3, b"key", 32)))

    def test_last_counter(self):
        sealer = rexec.RecordKeys(HMAC_SHA256, b"\7" * 32, 2**64)
        sealer.counter = 2**64 - 2
        sealer.seal(b"12345678")
        self.refused("counter_exhausted", sealer.seal, b"12345678")

    def test_record_length(self):
        for suite in ALL_SUITES:
            tag = rexec.TAG_SIZE[suite]
            for length, error in ((0, True), (7 + tag, True), (8 + tag, False), (262144, False), (262145, True),
                                  (2**32 - 1, True)):
                opener = rexec.RecordKeys(suite, b"\7" * 32)
                if error:
                    self.refused("bad_length", opener.open, bytearray(struct.pack(">I", length)))
                else:
                    self.assertIsNone(opener.open(bytearray(struct.pack(">I", length))))


class Files(RexecCase):
    KEY = b"rexec-key 1\npsk = " + b"a1" * 32 + b"\n"

    def test_key_file(self):
        self.assertEqual(rexec.parse_key_file(self.KEY), {"psk": b"\xa1" * 32})
        text = b"\n  # a remark\n rexec-key 1 \ncomment=  caf\xc3\xa9 = x \n\n  psk   =" + b"A1" * 32 + b"\n#"
        self.assertEqual(rexec.parse_key_file(text + b"\n"), {"psk": b"\xa1" * 32, "comment": "caf\u00e9 = x"})
        self.assertEqual(rexec.parse_key_file(rexec.print_key_file(PSK, "me")), {"psk": PSK, "comment": "me"})
        self.assertEqual(len(rexec.parse_key_file(self.KEY + b"comment = " + b"c" * 128 + b"\n")["comment"]), 128)
        rexec.parse_key_file(self.KEY + b"#" * 1024 + b"\n")

    def test_key_file_refused(self):
        psk = b"psk = " + b"a1" * 32 + b"\n"
        bad = [b"", b"\n", b"rexec-key 1\n", psk, psk + b"rexec-key 1\n", b"rexec-key 2\n" + psk, b"rexec-key 1" + psk,
               b"rexec-grant 1\n" + psk, self.KEY + psk, self.KEY.replace(b"a1", b"00"),
               self.KEY.replace(b"a1a1", b"a1", 1),
               self.KEY.replace(b"a1", b"a1a1", 1), self.KEY.replace(b"a1", b"g1", 1), self.KEY.replace(b"\n", b"\r\n"),
               self.KEY + b"unknown = 1\n", self.KEY + b"comment\n", self.KEY + b"comment =\n", self.KEY + b"#\0\n",
               self.KEY + b"comment = " + b"c" * 129 + b"\n", self.KEY + b"comment = a\tb\n", self.KEY + b"#\xff\n",
               self.KEY + b"comment = a\x7f\n", self.KEY + b"#" * 1025 + b"\n", self.KEY + b"#\n" * 2013,
               self.KEY + b"Comment = a\n", self.KEY.replace(b"psk", b"PSK"), b"\xef\xbb\xbf" + self.KEY]
        for data in bad:
            with self.subTest(data=data[:100]):
                self.refused("bad_file", rexec.parse_key_file, data)

    def test_grant_file(self):
        policy = {"name": "me.too_@+-9", "users": ["root", "www-data"], "from": ["10.0.0.0/8", "::1", "unix"],
                  "not-before": 1700000000, "expires": 1709164800, "revoked": False, "max-commands": 65535,
                  "readable": True, "command": "exec cat \u00e9 # all = of it"}
        grant = rexec.make_grant(PSK, "Box.Example", **policy)
        again = rexec.parse_grant_file(rexec.print_grant_file(grant))
        self.assertEqual((again.server, again.kid, again.keys, again.policy), (NAME, GRANT.kid, GRANT.keys, policy))
        self.assertIn(b"expires = 2024-02-29T00:00:00Z\n", rexec.print_grant_file(grant))

    def test_grant_file_refused(self):
        good = rexec.print_grant_file(GRANT)
        for name in (b"server", b"kid", b"client-auth", b"server-auth", b"mix"):
            self.refused("bad_file", rexec.parse_grant_file, re.sub(rb"(?m)^" + name + rb" = .*\n", b"", good))
        for name in (b"client-auth", b"server-auth", b"mix"):
            self.refused("bad_file", rexec.parse_grant_file, re.sub(rb"(?m)^" + name + rb" = .*$",
                                                                    name + b" = " + b"0" * 64, good))
        for name, value in (("server", "Box"), ("server", "a b"), ("server", "a" * 256), ("kid", "00" * 15)):
            self.refused("bad_file", rexec.parse_grant_file, re.sub(rf"(?m)^{name} = .*$", f"{name} = {value}",
                                                                    good.decode()).encode())
        bad = {"name": ["", "a b", "a" * 65, "\u00e9"], "users": ["", "a,,b", "a" * 33, ",".join(["a"] * 33)],
               "from": ["", "10.0.0.0/33", "10.0.0", "::1/129", "10.0.0.1/", "host", ",".join(["unix"] * 33),
                        "fe80::1%lo"],
               "expires": ["2024-02-30T00:00:00Z", "2024-02-29T24:00:00Z", "2024-02-29 00:00:00Z",
                           "2024-02-29T00:00:60Z", "tomorrow"],
               "revoked": ["", "Yes", "1"], "max-commands": ["0", "65536", "-1", "1.0", "01"],
               "command": ["", "a" * 1001, "a\tb"]}
        good = good.replace(b"readable = yes\n", b"")
        for name, values in bad.items():
            for value in values:
                with self.subTest(name=name, value=value):
                    self.refused("bad_file", rexec.parse_grant_file, good + f"{name} = {value}\n".encode())
        self.refused("bad_file", rexec.parse_grant_file, good + b"# " + b"x\n# " * 5500 + b"\n")

    def test_usable(self):
        def usable(now=1000, address="unix", **policy):
            return rexec.make_grant(PSK, NAME, **policy).usable(now, address)
        self.assertTrue(usable())
        self.assertFalse(usable(revoked=True))
        self.assertTrue(usable(**{"not-before": 1000, "expires": 1001}))
        self.assertFalse(usable(**{"not-before": 1001}))
        self.assertFalse(usable(expires=1000))
        policy = {"from": ["10.0.0.0/8", "fe80::1"]}
        self.assertFalse(usable(**policy))
        self.assertTrue(usable(address="10.255.0.1", **policy))
        self.assertFalse(usable(address="11.0.0.1", **policy))
        self.assertTrue(usable(address="fe80::1", **policy))
        self.assertTrue(usable(**{"from": ["unix"]}))

    def test_names(self):
        self.assertEqual(rexec.fold_name("Box-[~!]"), b"box-[~!]")
        for name in ("", "a b", "a" * 256, "caf\u00e9", "a\n", b"\x7f"):
            self.refused("bad_name", rexec.fold_name, name)
        self.assertNotEqual(rexec.derive_grant_keys(PSK, "a"), rexec.derive_grant_keys(PSK, "b"))
        self.assertEqual(rexec.derive_grant_keys(PSK, "BOX.example"), (GRANT.kid, GRANT.keys))


class Scenario(RexecCase):
    """The fixed scenario of toy.py, in all suites and all chunkings."""

    def run_scenario(self, suites, **options):
        pair = Pair(suites, **options)
        toy.scenario(pair.app)
        self.assertEqual((pair.client.state, pair.server.state), (rexec.CLOSED, rexec.CLOSED))
        self.assertTrue(pair.toys.closed)
        return pair

    def test_coalesced(self):
        for suites in ALL_SUITES + (rexec.AEAD_SUITES,):
            pair = self.run_scenario(suites)
            self.assertEqual(pair.client.keys.suite, suites & -suites)
            self.assertEqual(pair.client.keys, pair.server.keys)

    def test_pieces(self):
        for suites in ALL_SUITES:
            self.run_scenario(suites, chunk=509)

    def test_one_byte_at_a_time(self):
        for suites in ALL_SUITES:
            pair = Pair(suites, chunk=1).open()
            commands = [pair.app.start(*words) for words in ([b"echo", b"hi"], [b"both"], [b"big", b"3000"], [b"cat"])]
            commands[3].stdin.write(b"x" * 1000)
            commands[3].stdin.finish()
            self.assertEqual([pair.app.result(command)[0] for command in commands],
                             [b"hi\n", b"out\n", toy.pattern(0, 3000), b"x" * 1000])

    def test_rekey(self):
        for suites in ALL_SUITES:
            pair = self.run_scenario(suites, per_key=4)
            self.assertGreater(min(pair.client.sealer.epoch, pair.server.sealer.epoch), 5)

    def test_rekey_differs(self):
        """If one side did not rekey, the fifth record would not open."""
        pair = Pair(client={"records_per_key": 5}, per_key=4)
        with self.assertRaisesRegex(toy.Wrong, "bad_seal|over"):
            toy.scenario(pair.app)

    def test_readable_is_readable(self):
        pair = self.run_scenario(HMAC_SHA256)
        self.assertIn(b"hello  world\n", pair.passed["S"])
        self.assertNotIn(b"hello  world\n", self.run_scenario(AES256GCM).passed["S"])

    def test_request_in_first_segment(self):
        """M3, EXEC and STDIN in one piece, before WELCOME; and the answers in one."""
        pair = Pair()
        pair.app.until(lambda: pair.client.state == rexec.START)
        command = pair.app.start(b"cat")
        command.stdin.write(b"early")
        command.stdin.finish()
        pair.move()
        self.assertEqual([event.kind for event in pair.client.events()], ["welcome", "started", "data", "exit"])

    def test_library_is_lazy(self):
        """The readable suite works without the package `cryptography`."""
        code = ("import sys; sys.modules['cryptography'] = None; sys.path.insert(0, %r); import test_self, toy;"
                "toy.scenario(test_self.Pair(4).app)" % HERE)
        subprocess.run([sys.executable, "-B", "-c", code], check=True, timeout=60)

    def test_table_of_the_specification(self):
        """The table in docs/PROTOCOL.md is the one in here, and so are the errors."""
        path = os.path.join(os.environ.get("REXEC_SOURCE", os.path.join(HERE, "..", "..")), "docs", "PROTOCOL.md")
        with open(path, encoding="utf-8") as file:
            text = file.read()
        rows = re.search(r"<!-- messages: begin.*?-->\n.*\n.*\n((?:\|.*\n)+)<!-- messages: end", text).group(1)
        self.assertEqual(rows.strip(), rexec.MESSAGE_TABLE.strip())
        rows = re.search(r"<!-- errors: begin.*?-->\n.*\n.*\n((?:\|.*\n)+)<!-- errors: end", text).group(1)
        errors = {int(code): name for code, name in re.findall(r"(?m)^\| (\d+) \| (\w+) \|", rows)}
        for code, name in rexec.ERRORS.items():
            self.assertEqual(errors.get(code), name)
        # Those from 128 on never are on the wire: no implementation has to know of all of them.
        self.assertEqual([code for code in errors if code < 128], [code for code in rexec.ERRORS if code < 128])


class Handshake(RexecCase):
    def flip(self, role, position, bit=0):
        """A function for Pair: one bit of what `role` sends is flipped."""
        seen = {"C": 0, "S": 0}

        def deliver(sender, data):
            data = bytearray(data)
            if sender == role and seen[role] <= position < seen[role] + len(data):
                data[position - seen[role]] ^= 1 << bit
            seen[sender] += len(data)
            return bytes(data)
        return deliver

    def check_dead(self, pair, name):
        """No record was taken for true by the client, and no client by the server."""
        kinds = pair.settle()
        self.assertNotIn("welcome", kinds, name)
        self.assertNotEqual(pair.server.state, rexec.OPEN, name)
        self.assertTrue(pair.client.state == rexec.FAILED or pair.server.state == rexec.FAILED, name)

    def test_flipped_bits(self):
        """Every bit of the three messages matters (version max 1 -> 3 changes no choice, and still is found)."""
        for suites, bits in ((HMAC_SHA256, range(8)), (AES256GCM, (0, 7)), (CHACHA20POLY1305, (3,))):
            for role, size in (("C", 88 + 40), ("S", 104)):
                for position in range(size):
                    for bit in bits:
                        pair = Pair(suites, deliver=self.flip(role, position, bit))
                        self.check_dead(pair, f"{role} {position} {bit}")

    def test_flipped_bits_of_records(self):
        """WELCOME (S to C) and EXEC (C to S): nothing of a changed record is used."""
        for suites in ALL_SUITES:
            sizes = {role: len(data) for role, data in self.short_session(suites).passed.items()}
            for role, begin in (("C", 128), ("S", 104)):
                for position in range(begin, min(sizes[role], begin + 300)):
                    pair = self.short_session(suites, deliver=self.flip(role, position, position % 8))
                    receiver = pair.server if role == "C" else pair.client
                    if receiver.error is None:          # a longer length field: it waits for the rest
                        receiver.receive_eof()
                    self.assertIn(receiver.error, ("bad_seal", "bad_length", "closed_early"), f"{role} {position}")
                    if role == "S":
                        self.assertEqual(self.kinds[:1], ["ready"])
                        self.assertNotIn("started", self.kinds)
                    else:
                        self.assertEqual(pair.table.commands, {})

    def short_session(self, suites, **options):
        pair = Pair(suites, **options)
        while pair.client.state == rexec.HANDSHAKE:
            pair.move()
        pair.app.start(b"wait")
        self.kinds = pair.settle()
        return pair

    def test_wrong_name_and_unknown_kid(self):
        for options in ({"name": "other.example"}, {"psk": b"\1" * 32}, {"grant": None}):
            pair = Pair(**options)
            pair.settle()
            self.assertEqual((pair.client.error, pair.client.state), ("proof_wrong", rexec.FAILED))
            self.assertEqual(len(pair.passed["S"]), 104)
            self.assertEqual(len(pair.passed["C"]), 88)         # no M3

    def test_decoys(self):
        """A forger who knows even the decoys gets no further than anybody else: closed after M3."""
        forger = Pair(grant=None)
        forger.client.handshake.keys = rexec.decoy_keys(DECOY_SECRET, GRANT.kid)
        forger.settle()
        self.assertEqual(len(forger.passed["C"]), 88 + 40)
        self.assertEqual((forger.server.error, len(forger.passed["S"])), ("response_wrong", 104))
        m1, m2 = forger.passed["C"][:88], forger.passed["S"]            # and yet its M2 was like any other
        proof = rexec.hmac_sha256(rexec.decoy_keys(DECOY_SECRET, GRANT.kid).server_auth,
                                  m1[24:56] + rexec.sha256(m1 + m2[:72]))
        self.assertEqual(m2[72:], proof)

    def test_server_is_silent(self):
        """Where the specification says that the server closes without an answer."""
        m1 = Pair().client.data_to_send()
        for position, value in ((0, 0), (4, 2), (5, 0), (6, 0), (24, None)):
            bad = bytearray(m1)
            bad[position:position + 1] = [value] if value is not None else [0]
            if value is None:
                bad[24:56] = bytes(32)
            server = Pair().server
            server.receive(bytes(bad))
            self.assertEqual((server.state, server.data_to_send()), (rexec.FAILED, b""))
        bad = bytearray(m1)
        bad[5:7] = 3, 2
        server = Pair().server
        server.receive(bytes(bad))
        self.assertEqual((server.state, server.data_to_send()), (rexec.FAILED, b""))
        server = Pair().server
        server.receive(m1)
        server.data_to_send()
        server.receive(m1)                                      # a second M1
        self.assertEqual((server.error, server.data_to_send()), ("response_wrong", b""))

    def test_replay(self):
        for suites in ALL_SUITES:
            before = self.short_session(suites)
            again = Pair(suites, table=before.table, seed=2)    # the server's challenge is new
            again.server.receive(before.passed["C"])
            self.assertEqual((again.server.error, len(again.server.data_to_send())), ("response_wrong", 104))

    def test_reflection(self):
        for suites in ALL_SUITES:
            client = Pair(suites).client
            client.receive(client.data_to_send() + bytes(16))   # M1 as M2
            self.assertEqual(client.error, "not_rexec")
            pair = Pair(suites).open()
            command = pair.app.start(b"wait")
            record = pair.client.data_to_send()
            pair.client.receive(record)                         # its own record
            self.assertEqual((pair.client.error, command.answered), ("bad_seal", False))
            pair = Pair(suites).open()
            pair.server.ping(b"12345678")
            pair.server.receive(pair.server.data_to_send())
            self.assertEqual((pair.server.error, pair.server.data_to_send()), ("bad_seal", b""))

    def test_repeated_dropped_swapped_records(self):
        for suites in ALL_SUITES:
            for change in (lambda r: r[0] + r[0], lambda r: r[1], lambda r: r[1] + r[0]):
                pair = Pair(suites).open()
                records = []
                for number in range(2):
                    pair.client.ping(b"%08d" % number)
                    records.append(pair.client.data_to_send())
                pair.server.receive(change(records))
                self.assertEqual(pair.server.error, "bad_seal")

    def test_other_protocol(self):
        client = Pair().client
        client.receive(b"SSH-2.0-")
        self.assertEqual(client.error, "not_rexec")

    def server_with(self, change_m2, suites=AES256GCM, **client):
        """A client, and an M2 that was changed by a server that holds the grant: its proof is good."""
        session = Pair(suites, client=client).client
        handshake = rexec.ServerHandshake(lambda kid: GRANT, DECOY_SECRET, random.Random(3).randbytes, True)
        m1 = session.data_to_send()
        m2 = bytearray(handshake.receive_m1(m1)[:72])
        change_m2(m2)
        proof = rexec.hmac_sha256(GRANT.keys.server_auth, m1[24:56] + rexec.sha256(m1 + m2))
        session.receive(bytes(m2) + proof)
        self.assertEqual(session.data_to_send() == b"", session.error is not None)     # no M3 after a refusal
        return session.error

    def test_m2_refused(self):
        def put(at, value):
            def change(m2):
                m2[at:at + len(value)] = value
            return change
        self.assertIsNone(self.server_with(put(0, b"r")))
        self.assertEqual(self.server_with(put(7, b"\1")), "not_rexec")
        self.assertEqual(self.server_with(put(5, b"\2")), "downgrade")
        self.assertEqual(self.server_with(put(5, b"\0")), "downgrade")
        for suite in (2, 3, 4, 8, 0x81):
            self.assertEqual(self.server_with(put(6, bytes([suite]))), "downgrade")
        self.assertEqual(self.server_with(put(6, b"\3"), rexec.AEAD_SUITES), "downgrade")
        self.assertEqual(self.server_with(put(6, b"\1"), HMAC_SHA256), "downgrade")
        self.assertEqual(self.server_with(put(6, b"\0")), "no_common_suite")
        self.assertEqual(self.server_with(put(5, b"\7\0")), "no_common_version")
        self.assertEqual(self.server_with(put(8, bytes(32))), "zero_value")
        self.assertEqual(self.server_with(put(40, b"\1"), HMAC_SHA256), "zero_value")
        for point in self.low_order_points():
            self.assertEqual(self.server_with(put(40, point)), "low_order")

    def low_order_points(self):
        """0, 1, -1, two points of order 8, and what is not reduced."""
        prime = 2**255 - 19
        return [number.to_bytes(32, "little") for number in (
            0, 1, prime - 1, prime, prime + 1,
            325606250916557431795983626356110631294008115727848805560023387167927233504,
            39382357235489614581723060781553021112529911719440698176882885853963445705823)]

    def test_low_order_client(self):
        for point in self.low_order_points():
            pair = Pair()
            handshake = pair.client.handshake
            handshake.m1 = handshake.m1[:56] + point
            pair.client._output[:] = handshake.m1
            pair.settle()
            self.assertEqual((pair.server.error, len(pair.passed["S"])), ("low_order", 104))

    def test_downgrade_on_the_way(self):
        """Somebody between removes suites or versions from M1: the proof tells."""
        for position, value in ((7, CHACHA20POLY1305), (7, HMAC_SHA256), (6, 1), (7, 0)):
            def deliver(role, data, position=position, value=value):
                if role == "C" and len(data) == 88:
                    data = data[:position] + bytes([value]) + data[position + 1:]
                return data
            pair = Pair(rexec.AEAD_SUITES, deliver=deliver, client={"version_max": 2})
            pair.settle()
            self.assertEqual(pair.client.error, "proof_wrong")

    def test_versions(self):
        for client, server, version, error in (((1, 1), (1, 1), 1, None), ((1, 9), (1, 3), 3, None),
                                               ((2, 5), (1, 9), 5, None),
                                               ((1, 1), (2, 4), 4, "no_common_version"),
                                               ((5, 9), (1, 4), 4, "no_common_version")):
            pair = Pair(client={"version_min": client[0], "version_max": client[1]},
                        server={"version_min": server[0], "version_max": server[1]})
            pair.settle()
            self.assertEqual((pair.passed["S"][5], pair.client.error), (version, error))
            self.assertEqual(pair.passed["S"][6] == 0, error is not None)
            self.assertEqual(pair.passed["S"][40:72] == bytes(32), error is not None)
            if error:
                self.assertEqual((pair.server.error, len(pair.passed["S"])), (error, 104))

    def test_suites(self):
        for offered, configured, chosen in ((1, False, 1), (2, False, 2), (3, False, 1), (4, True, 4), (4, False, 0),
                                            (5, True, 1),
                                            (6, True, 2), (0x84, True, 4), (0x81, True, 1), (0x80, True, 0),
                                            (0, True, 0)):
            session = Pair(server={"readable": configured}).server
            m1 = bytearray(Pair().client.data_to_send())
            m1[7] = offered
            session.receive(bytes(m1))
            m2 = session.data_to_send()
            self.assertEqual((m2[6], session.state == rexec.FAILED), (chosen, chosen == 0), f"{offered} {configured}")
        for offered in (0, 5, 6, 7, 8, 9):
            self.refused("misuse", Pair, offered)

    def test_suite_not_permitted(self):
        pair = Pair(HMAC_SHA256, grant=rexec.make_grant(PSK, NAME))
        self.assertEqual(pair.settle(), ["ready", "failed"])
        self.assertEqual(pair.client.error, "suite_not_permitted")

    def test_zero_keys(self):
        pair = Pair(HMAC_SHA256).open()
        self.assertEqual(pair.passed["C"][56:88], bytes(32))
        self.assertEqual(pair.passed["S"][40:72], bytes(32))


class Messages(RexecCase):
    """What the table and the sections behind it refuse, by the name of the error."""

    def test_table_both_ways(self):
        """Each type with each way of being wrong that the table knows of."""
        for entry in rexec.MESSAGES.values():
            receiver = "C" if entry.direction == "S->C" else "S"
            stream = 0 if entry.states == ("session",) else 1

            def build(body=None, header=0, flags=0, number=entry.number, stream=stream, trailer=entry.trailer):
                body = entry.body_min if body is None else body
                return struct.pack(">BBHI", number, flags, header, stream) + bytes(header + body + 40 * trailer)
            rexec.split_message(build(), receiver)
            rexec.split_message(build(entry.body_max, entry.header_max), receiver)
            bad = [build(entry.body_max + 1), build(header=entry.header_max + 1), build(stream=1 - stream)]
            bad += [build(flags=1 << bit) for bit in range(0 if not entry.last else 1, 8)]
            bad += [build()[:-1] if entry.body_min or entry.trailer else build(header=1)[:-1]]
            for payload in bad:
                self.refused("bad_message", rexec.split_message, payload, receiver)
            if entry.last:
                self.assertTrue(rexec.split_message(build(flags=1), receiver).last)
            if entry.direction != "both":
                self.refused("bad_message", rexec.split_message, build(), "S" if receiver == "C" else "C")
        for number in set(range(256)) - set(rexec.MESSAGES):
            self.refused("bad_message", rexec.split_message, bytes([number]) + bytes(7), "S")

    def test_json(self):
        def decode(text):
            return rexec.decode_json(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text)
        self.assertEqual(decode(""), {})
        self.assertEqual(decode(' {"a" : [1, -9007199254740991, {"b": "[[[[[[[[[\\"{{"}], "\u00e9": null} \n'),
                         {"a": [1, -9007199254740991, {"b": '[[[[[[[[["{{'}], "\u00e9": None})
        deep = '{"a":' * 7 + "[]" + "}" * 7
        decode(deep)
        bad = ["[]", "1", '"a"', "null", "{", "{}{}", "{} x", '{"a":1,}', '{a:1}', "{'a':1}", '{"a":01}', '{"a":+1}',
               '{"a":.5}',
               '{"a":NaN}', '{"a":Infinity}', '{"a":-Infinity}', '{"a":1,"a":1}', '{"a":{"b":1,"\\u0062":2}}',
               '{"a":"\\u0000"}',
               '{"\\u0000":1}', '{"a":["\\u0000"]}', '{"a":"\n"}', '{"a":"\\x"}', '{"a":"\\ud800"}', '{"a":tru}',
               "\ufeff{}",
               '{"a":' * 8 + "[]" + "}" * 8, "[" * 4000, '{"a":' * 800, '{"a":"\ud800"}', b'{"a":"\xff"}',
               b'{"a":"\xc0\x80"}', b"{}\0"]
        for text in bad:
            with self.subTest(text=text[:40]):
                self.refused("bad_header", decode, text)

    def test_header_values(self):
        def decode(name, text, last=False):
            entry = rexec.MESSAGE_BY_NAME[name]
            return rexec.decode_header(rexec.Message(entry, last, 1, text.encode(), b""))
        good = [("EXEC", '{"id":"%s"}'), ("EXEC", '{"id":"%s","unknown":[1.5,{"n":null}],"age_ms":0}'), ("LIST", ""),
                ("EXEC",
                 '{"id":"%s","pty":{"term":"x","rows":65535,"cols":1,"modes":{"echo":1}},"limits":{"core":0,"cpu_ms":1}}'),
                ("EXIT", '{"code":255,"by":"somebody new"}'),
                ("EXIT", '{"signal":"TERM","by":"client","rusage":{"utime_us":1},"holders":[1]}'),
                ("WELCOME", '{"server":"a","version":"b","time_us":0,"features":[]}'), ("CLOSE", ""),
                ("DONE", '{"n":1}'),
                ("ERROR", '{"code":63,"name":"new","text":""}'),
                ("GOAWAY", '{"code":65,"name":"shutting_down","text":"x"}'),
                ("LISTED", '{"id":"%s","state":"exited","start_us":1,"code":0}'),
                ("EXEC", '{"id":"%s","timeout_ms":9007199254740991}')]
        for name, text in good:
            decode(name, text.replace("%s", ID))
        self.assertEqual(decode("LISTED", "{}", last=True), {})
        bad = [("EXEC", "{}"), ("EXEC", '{"id":"%s0"}'), ("EXEC", '{"id":"%s"}'.replace("%s", ID.upper())),
               ("EXEC", '{"id":1}'),
               ("LISTED", "{}"), ("EXIT", "{}"), ("EXIT", '{"code":0,"signal":"TERM"}'), ("EXIT", '{"code":256}'),
               ("EXIT", '{"code":true}'), ("EXIT", '{"code":0.0}'), ("EXIT", '{"code":0,"core":1}'),
               ("EXIT", '{"code":0,"by":"seventeen bytes!!"}'), ("RESIZE", '{"rows":1,"cols":1,"width":1}'),
               ("EXIT", '{"code":0,"holders":[1,"2"]}'), ("DONE", '{"n":0}'), ("DONE", '{"n":"1"}'),
               ("DONE", '{"n":1e0}'),
               ("WELCOME", '{"server":"a","version":"b"}'),
               ("WELCOME", '{"server":"a","version":"b","time_us":9007199254740992}'),
               ("ERROR", '{"code":64,"name":"x","text":""}'), ("ERROR", '{"code":1,"name":"x"}'),
               ("REFUSED", '{"code":1,"name":"x","text":""}'),
               ("REFUSED", '{"code":64,"name":"x","text":"%s"}' % ("t" * 513)), ("RESIZE", '{"rows":65536}'),
               ("RESIZE", '{"rows":-1}'),
               ("LISTED", '{"id":"%s","state":"exited","start_us":1}'),
               ("LISTED", '{"id":"%s","state":"x","start_us":1}')]
        bad += [("EXEC", '{"id":"%s",' + rest + "}") for rest in (
            '"run":"other"', '"run":null', '"user":""', '"user":"%s"' % ("u" * 33), '"age_ms":-1', '"age_ms":1.0',
            '"timeout_ms":0',
            '"detach":1', '"label":""', '"label":"%s"' % ("\u00e9" * 33), '"stdin":"file"', '"pty":true',
            '"pty":{"term":""}',
            '"pty":{"rows":65536}', '"pty":{"modes":{"echo":true}}', '"limits":[]', '"limits":{"cpu_ms":0}',
            '"limits":{"core":-1}')]
        for name, text in bad:
            with self.subTest(name=name, text=text[:80]):
                self.refused("bad_header", decode, name, text.replace("%s", ID))

    def test_words(self):
        words = [(1, b"a"), (1, b""), (2, b"A=b=c"), (2, b"A="), (3, b"/")]
        self.assertEqual(rexec.decode_words(rexec.encode_words(words + [(128, b"x"), (255, b"")])), words)
        bad = [b"\1", b"\1\0\0\0\2a", b"\1\xff\xff\xff\xffa", *(rexec.encode_words([word]) for word in (
            (1, b"a\0b"), (2, b"A"), (2, b"=b"), (2, b""), (3, b""), (0, b"a"), (4, b"a"), (127, b"a"), (200, b"\0")))]
        for body in bad:
            self.refused("bad_body", rexec.decode_words, body)
        for run, bad in (("exec", [[], [(1, b"")], [(1, b"a"), (3, b"/"), (3, b"/")]]),
                         ("shell", [[], [(1, b"a"), (1, b"b")]]),
                         ("subsystem", [[]]), ("login", [[(1, b"a")]])):
            for words in bad:
                self.refused("bad_body", rexec.check_words, run, words)

    def open_wait(self, **header):
        """A pair with the command `wait` running on stream 1."""
        pair = Pair(HMAC_SHA256).open()
        command = pair.app.start(b"wait", **header)
        pair.app.until(lambda: command.answered)
        return pair, command

    def test_client_to_server(self):
        """Bad messages to a server that has `wait` on stream 1, 100 bytes of its stdin taken, 0 sent."""
        data = struct.pack(">Q", 100)
        ack = struct.Struct(">B3sIQ").pack
        cases = [
            ("bad_message", message("STDIN", 0, data + b"x")), ("bad_message", message("STDOUT", 1, data + b"x")),
            ("bad_message", message("STDIN", 1, data + b"x", flags=2)), ("bad_message", message("WELCOME", 0)),
            ("bad_message", message("PING", 1, bytes(8))), ("bad_message", message("PING", 0, bytes(9))),
            ("bad_message", bytes([99]) + bytes(7)), ("bad_message", message("EXIT_ACK", 1, flags=1)),
            ("bad_header", message("CLOSE", 0, header=b"[]")),
            ("bad_header", message("CLOSE", 0, header=b'{"reason":1}')),
            ("bad_state", message("PONG", 0, bytes(16))), ("bad_state", message("EXIT_ACK", 1)),
            ("bad_stream", message("STDIN", 2, data + b"x")), ("bad_stream", message("ACK", 2, ack(1, bytes(3), 0, 0))),
            ("bad_offset", message("STDIN", 1, struct.pack(">Q", 99) + b"x")),
            ("bad_offset", message("STDIN", 1, struct.pack(">Q", 101) + b"x")),
            ("bad_body", message("STDIN", 1, data)),
            ("window_exceeded", message("STDIN", 1, data + bytes(65437))),
            (None, message("STDIN", 1, data + bytes(65436))), (None, message("STDIN", 1, data, flags=1)),
            ("bad_body", message("ACK", 1, ack(0, bytes(3), 262144, 0))),
            ("bad_body", message("ACK", 1, ack(3, bytes(3), 262144, 0))),
            ("bad_body", message("ACK", 1, ack(1, b"\0\0\1", 262144, 0))),
            ("bad_body", message("ACK", 1, ack(1, bytes(3), 16777217, 0))),
            ("bad_offset", message("ACK", 1, ack(1, bytes(3), 262143, 0))),
            ("bad_offset", message("ACK", 1, ack(1, bytes(3), 262144, 1))),
            (None, message("ACK", 1, ack(2, bytes(3), 16777216, 0))),
            ("request_rejected", message("DETACH", 1, bytes(40))),
            ("bad_message", message("DETACH", 1, bytes(39))),
        ]
        for expected, payload in cases:
            pair, command = self.open_wait()
            command.stdin.write(bytes(100))
            pair.settle()
            with self.subTest(message=payload[:40], expected=expected):
                self.assertEqual(pair.inject(pair.client, payload), expected)
                if expected:                            # ERROR says it to the other side, and is the last record
                    pair.settle()
                    self.assertEqual(pair.client.error, expected)
                    self.assertIsNone(command.session)

    def test_requests_to_server(self):
        cases = [
            ("bad_stream", "EXEC", 1, exec_header(9), EXEC_WAIT), ("bad_stream", "LIST", 1, None, b""),
            ("bad_stream", "DETACH", 5, None, b""), ("bad_stream", "RESIZE", 5, None, b""),
            ("bad_message", "LIST", 0, None, b""),
            ("bad_body", "EXEC", 2, exec_header(9), b""), ("bad_body", "EXEC", 2, exec_header(9), EXEC_WAIT + b"\1"),
            ("bad_header", "EXEC", 2, {}, EXEC_WAIT), ("bad_header", "EXEC", 2, exec_header(9, run="other"), EXEC_WAIT),
            ("bad_body", "RESUME", 2, {"id": ID}, rexec.pack_offsets(0, 0, 0, 262144, 1)),
            ("bad_body", "RESUME", 2, {"id": ID}, rexec.pack_offsets(0, 0, 0, 16777217, 0)),
            ("bad_header", "SIGNAL", 1, {"signal": "TERM"}, b""),
            ("bad_header", "SIGNAL", 1, {"signal": "TERM", "n": 0}, b""),
            ("bad_header", "SIGNAL", 1, {"signal": "TERM", "n": 1, "id": ID}, b""),
            ("bad_header", "SIGNAL", 1, {"n": 1}, b""),
            ("bad_header", "SIGNAL", 2, {"signal": "TERM", "n": 1, "id": ID}, b""),
            ("bad_header", "FORGET", 2, {}, b""),
            (None, "SIGNAL", 1, {"signal": "NONE", "n": 1}, b""), (None, "RESUME", 4000000000, {"id": ID}, bytes(32)),
        ]
        for expected, name, stream, header, body in cases:
            pair, _ = self.open_wait()
            with self.subTest(name=name, header=header, expected=expected):
                self.assertEqual(pair.request(name, stream, header, body), expected)

    def test_request_proof(self):
        """Wrong mac, wrong sequence, a repeated request: refused before anything of it is decoded."""
        for sequence in (0, 1, 3, 2**64 - 1):
            pair, _ = self.open_wait()
            pair.client.sequence = sequence - 1
            self.assertEqual(pair.request("LIST", 2), "request_rejected")
        pair, _ = self.open_wait()
        good = rexec.add_trailer(pair.client.keys.request, rexec.join_message("LIST", 2), 2)
        for position in range(len(good)):
            pair, _ = self.open_wait()
            bad = bytearray(good)
            bad[position] ^= 0x10
            self.assertIn(pair.inject(pair.client, bytes(bad)), ("request_rejected", "bad_message"))
        pair, _ = self.open_wait()
        self.assertIsNone(pair.inject(pair.client, good))
        self.assertEqual(pair.inject(pair.client, good), "request_rejected")
        pair, _ = self.open_wait()
        bad = rexec.add_trailer(b"\1" * 32, rexec.join_message("LIST", 2), 2)
        self.assertEqual(pair.inject(pair.client, bad), "request_rejected")

    def test_server_to_client(self):
        """Bad messages to a client that has `wait` running on stream 1 and 5 bytes of its stdout."""
        data, offsets = struct.pack(">Q", 5), bytes(24) + struct.pack(">II", 65536, 0)
        refused = b'{"code":64,"name":"x","text":"y"}'
        cases = [
            ("bad_state", message("WELCOME", 0, header=b'{"server":"a","version":"b","time_us":1}')),
            ("bad_message", message("STDIN", 1, data + b"x")), ("bad_message", message("EXEC", 2, bytes(40))),
            ("bad_state", message("STARTED", 1, offsets)), ("bad_state", message("RESUMED", 1, offsets)),
            ("bad_stream", message("STARTED", 2, offsets)), ("bad_stream", message("STDOUT", 2, data + b"x")),
            ("bad_offset", message("STDOUT", 1, bytes(8) + b"x")), ("bad_offset", message("STDERR", 1, data + b"x")),
            ("window_exceeded", message("STDOUT", 1, data + bytes(150000)),
             message("STDOUT", 1, struct.pack(">Q", 150005) + bytes(112140))),
            (None, message("STDOUT", 1, data + bytes(150000)),
             message("STDOUT", 1, struct.pack(">Q", 150005) + bytes(112139))),
            ("bad_state", message("STDOUT", 1, data, flags=1), message("STDOUT", 1, data + b"x")),
            ("bad_body", message("STDOUT", 1, data)),
            ("bad_body", message("ACK", 1, struct.pack(">BxxxIQ", 1, 262144, 5))),
            ("bad_offset", message("ACK", 1, struct.pack(">BxxxIQ", 0, 65536, 1))),
            ("bad_offset", message("ACK", 1, struct.pack(">BxxxIQ", 0, 65535, 0))),
            ("count_mismatch", message("EXIT", 1, struct.pack(">QQQ", 0, 4, 0), b'{"code":0}')),
            ("count_mismatch", message("EXIT", 1, struct.pack(">QQQ", 0, 5, 1), b'{"code":0}')),
            ("count_mismatch", message("EXIT", 1, struct.pack(">QQQ", 1, 5, 0), b'{"code":0}')),
            (None, message("EXIT", 1, struct.pack(">QQQ", 0, 5, 0), b'{"code":0}'), message("ACK", 1, bytes(16))),
            ("bad_state", message("EXIT", 1, struct.pack(">QQQ", 0, 5, 0), b'{"code":0}'),
             message("STDERR", 1, bytes(8) + b"x")),
            ("bad_header", message("EXIT", 1, struct.pack(">QQQ", 0, 5, 0), b'{"by":"self"}')),
            ("bad_state", message("DONE", 1)), ("bad_state", message("DONE", 1, header=b'{"n":1}')),
            ("bad_state", message("REFUSED", 1, header=refused)),
            (None, message("REFUSED", 1, header=refused, flags=1)),
            ("bad_message", message("DONE", 1, flags=1)), ("bad_state", message("LISTED", 1, flags=1)),
            ("bad_state", message("PONG", 0, bytes(16))), ("bad_header", message("GOAWAY", 0, header=b"{}")),
        ]
        for expected, *payloads in cases:
            pair, command = self.open_wait()
            pair.toys.toys[pair.server.streams[1].command].command.stdout.write(b"12345")
            pair.settle()
            with self.subTest(message=payloads[0][:60], expected=expected):
                results = [pair.inject(pair.server, payload) for payload in payloads]
                self.assertEqual(results, [None] * (len(payloads) - 1) + [expected])

    def test_answers_in_asked_and_asking(self):
        refused = b'{"code":64,"name":"x","text":"y"}'
        offsets = rexec.pack_offsets(0, 0, 0, 65536, 0)
        cases = [("bad_message", "exec", message("REFUSED", 1, header=refused)),
                 ("bad_state", "exec", message("DONE", 1, flags=1)),
                 ("bad_state", "exec", message("STDOUT", 1, bytes(8) + b"x")),
                 ("bad_state", "exec", message("RESUMED", 1, offsets)),
                 ("bad_state", "exec", message("EXIT", 1, bytes(24), b'{"code":0}')),
                 (None, "exec", message("STARTED", 1, offsets)),
                 ("bad_body", "exec", message("STARTED", 1, rexec.pack_offsets(0, 0, 0, 65536, 2))),
                 ("bad_body", "exec", message("STARTED", 1, rexec.pack_offsets(0, 0, 0, 16777217, 0))),
                 ("bad_offset", "exec", message("STARTED", 1, rexec.pack_offsets(1, 0, 0, 65536, 0))),
                 ("bad_offset", "exec", message("STARTED", 1, rexec.pack_offsets(0, 1, 0, 65536, 0))),
                 ("bad_offset", "exec", message("STARTED", 1, rexec.pack_offsets(0, 0, 0, 65536, 1))),
                 ("bad_offset", "exec", message("STARTED", 1, rexec.pack_offsets(0, 0, 0, 65535, 0))),
                 ("bad_message", "list", message("REFUSED", 1, header=refused)),
                 ("bad_state", "list", message("DONE", 1, flags=1)),
                 (None, "list", message("LISTED", 1, flags=1)), ("bad_header", "list", message("LISTED", 1)),
                 ("bad_state", "list", message("STARTED", 1, offsets)), ("bad_message", "forget", message("DONE", 1)),
                 (None, "forget", message("DONE", 1, flags=1)), ("bad_state", "forget", message("LISTED", 1, flags=1))]
        for expected, kind, payload in cases:
            pair = Pair(HMAC_SHA256).open()
            {"exec": lambda: pair.app.start(b"wait"), "list": pair.client.list,
             "forget": lambda: pair.client.forget(ID)}[kind]()
            with self.subTest(kind=kind, message=payload[:50]):
                self.assertEqual(pair.inject(pair.server, payload), expected)

    def test_before_welcome(self):
        goaway = message("GOAWAY", 0, header=b'{"code":65,"name":"x","text":"y"}')
        for payload in (message("PING", 0, bytes(8)), goaway):
            pair = Pair(HMAC_SHA256)
            pair.deliver = lambda role, data: b"" if role == "S" and len(data) != 104 else data
            pair.settle()
            pair.server.sealer.counter = 0              # as if WELCOME had never been sealed
            self.assertEqual(pair.inject(pair.server, payload), "bad_state")

    def test_closed_streams(self):
        """What crosses the end of a command is ignored, but the sequence of requests counts."""
        pair = Pair(HMAC_SHA256).open()
        command = pair.app.start(b"echo")
        pair.app.result(command)
        pair.settle()
        for payload in (message("STDIN", 1, struct.pack(">Q", 7) + b"x"), message("ACK", 1, b"\xff" * 16),
                        message("EXIT_ACK", 1)):
            self.assertIsNone(pair.inject(pair.client, payload))
        self.assertIsNone(pair.request("SIGNAL", 1, raw=message("SIGNAL", 1, header=b"no json")))
        self.assertEqual(pair.server.data_to_send(), b"")
        self.assertIsNone(pair.inject(pair.server, message("REFUSED", 1, header=b"no json")))
        self.assertIsNone(pair.request("LIST", 2))      # its sequence is 3: SIGNAL's counted
        pair.server.data_to_send()                      # LISTED, which this client did not ask for
        pair.server.sealer.counter -= 1
        self.assertEqual(pair.inject(pair.server, message("STDOUT", 1, bytes(8) + b"x")), "bad_state")

    def test_pings(self):
        pair = Pair().open()
        for number in range(16):
            pair.client.ping(b"%08d" % number)
        self.refused("misuse", pair.client.ping, bytes(8))
        self.assertEqual(pair.settle(), ["pong"] * 16)
        for number in range(16):
            self.assertIsNone(pair.inject(pair.client, message("PING", 0, bytes(8))))
        self.assertEqual(pair.inject(pair.client, message("PING", 0, bytes(8))), "flood")

    def test_pong_must_match(self):
        pair = Pair(HMAC_SHA256).open()
        pair.client.ping(b"12345678")
        self.assertEqual(pair.inject(pair.server, message("PONG", 0, bytes(16))), "bad_body")

    def test_goaway_and_close(self):
        pair, command = self.open_wait()
        pair.server.goaway("shutting_down", grace_ms=1000)
        pair.settle()
        self.assertEqual(pair.client.state, rexec.GOING)
        other = pair.app.start(b"echo")
        pair.app.until(lambda: other in pair.app.ended)
        self.assertEqual(pair.app.ended[other].name, "shutting_down")
        pair.client.signal(command, "TERM")             # what runs goes on
        self.assertEqual(pair.app.result(command, signal="TERM"), (b"", b""))
        pair.server.goaway("shutting_down", grace_ms=10)
        pair.client.close("bye")
        self.assertEqual(pair.settle()[-1], "closed")
        self.assertEqual((pair.server.state, pair.client.state), (rexec.CLOSED, rexec.CLOSED))

    def test_close_ends_commands(self):
        pair, command = self.open_wait()
        detached = pair.app.start(b"wait", detach=True)
        pair.app.until(lambda: detached.answered)
        pair.client.close()
        pair.server.receive(pair.client.data_to_send())
        events = list(pair.server.events())
        self.assertEqual([event.kind for event in events], ["close"])
        self.assertEqual([ended.id for ended in events[0].commands], [command.id])
        self.assertEqual(list(pair.table.commands), [detached.id])

    def test_eof(self):
        pair = Pair().open()
        pair.server.receive(b"\0")
        pair.server.receive_eof()
        self.assertEqual((pair.server.error, pair.server.data_to_send()), ("closed_early", b""))
        pair = Pair().open()
        pair.client.receive_eof()
        self.assertEqual((pair.client.state, [event.kind for event in pair.client.events()][-1]),
                         (rexec.CLOSED, "lost"))

    def test_signals_and_terminals(self):
        pair, command = self.open_wait()
        app, client = pair.app, pair.client
        self.assertEqual(client.signal(command, "SIGFOO"), 1)
        self.assertEqual(client.signal(command, "FOO"), 2)
        client.resize(command, 24, 80)
        client.detach(command)
        kinds = []
        pair.settle()
        self.assertEqual(command.signals, {})
        terminal = app.start(b"wait", pty={"term": "xterm", "rows": 24, "cols": 80})
        client.resize(terminal, 25, 81)                 # in `asked`: the answer comes behind STARTED
        client.signal(terminal, "TERM")
        while terminal.exit is None:
            pair.move()
            kinds += [(event.kind, getattr(event, "n", None)) for event in client.events()]
        self.assertEqual(kinds, [("started", None), ("done", None), ("done", 1), ("exit", None)])
        client.signal(terminal, "TERM")                 # behind EXIT
        client._send_on(terminal, "SIGNAL", {"signal": "TERM", "n": 1})     # an old one: DONE again
        terminal.signals[1] = "TERM"
        self.assertEqual(pair.settle(), ["refused", "done"])
        for number, name in ((client.signal_id(ID, "TERM"), "unknown_command"),
                             (client.signal_id(command.id, "TERM"), "not_supported"),
                             (client.signal_id(terminal.id, "TERM"), "already_ended"),
                             (client.forget(command.id), "still_running")):
            app.until(lambda number=number: number in app.ended)
            self.assertEqual(app.ended[number].name, name)

    def test_login(self):
        """No words at all are good for a login shell, which the toy does not have."""
        pair = Pair(HMAC_SHA256).open()
        command = pair.client.exec([], run="login")
        pair.app.until(lambda: command in pair.app.ended)
        self.assertEqual(pair.app.ended[command].name, "command_not_found")

    def test_list_and_forget(self):
        pair, command = self.open_wait(label="the first")
        app, client = pair.app, pair.client
        echo = app.start(b"echo", b"x")
        app.result(echo)
        client.list()
        app.until(lambda: app.listed and app.listed[-1].last)
        self.assertEqual([(event.header["id"], event.header["state"], event.header.get("label"),
                           event.header.get("code"), event.words)
                          for event in app.listed],
                         [(command.id, "running", "the first", None, [(1, b"wait")]),
                          (echo.id, "exited", None, 0, [(1, b"echo"), (1, b"x")])])
        client.forget(echo.id)
        client.list(echo.id)
        app.until(lambda: len(app.listed) == 3)
        self.assertEqual((app.listed[2].header, app.listed[2].last), ({}, True))
        self.assertEqual(list(pair.table.commands), [command.id])

    def test_limits(self):
        pair = Pair(grant=rexec.make_grant(PSK, NAME, **{"max-commands": 2})).open()
        commands = [pair.app.start(b"wait") for _ in range(3)]
        pair.app.until(lambda: commands[2] in pair.app.ended)
        self.assertEqual(pair.app.ended[commands[2]].name, "limit_reached")
        pair = Pair().open()
        pair.client.highest = 2**32 - 1
        self.refused("streams_exhausted", pair.app.start, b"wait")


    def test_slow_start(self):
        """What comes in `asked` is answered behind STARTED, in its order; its stdin is not lost."""
        pair = Pair(HMAC_SHA256).open()
        command = pair.app.start(b"cat", pty={"term": "x", "rows": 1, "cols": 1})
        for act in (lambda: pair.client.signal(command, "TERM"), lambda: pair.client.resize(command, 2, 3),
                    lambda: pair.client.detach(command)):
            act()
        command.stdin.write(b"early")
        pair.server.receive(pair.client.data_to_send())
        events = list(pair.server.events())
        self.assertEqual([event.kind for event in events], ["exec", "data"])
        self.assertIsNone(events[0].command.about)
        pair.server.started(events[0].command)
        self.assertEqual([event.kind for event in pair.server.events()], ["signal", "resize"])
        pair.client.receive(pair.server.data_to_send())
        self.assertEqual([event.kind for event in pair.client.events()], ["started", "done", "done"])
        pair.server.done(1, 1)
        pair.client.receive(pair.server.data_to_send())
        self.assertEqual([event.n for event in pair.client.events()], [1])

    def test_refused_late(self):
        """Requests that came before the refusal have no answer."""
        pair = Pair(HMAC_SHA256).open()
        command = pair.app.start(b"cat")
        pair.client.signal(command, "TERM")
        pair.server.receive(pair.client.data_to_send())
        self.assertEqual([event.kind for event in pair.server.events()], ["exec"])
        pair.server.refuse(1, "no_such_user")
        before = pair.server.sealer.counter
        self.assertEqual(pair.settle(), ["refused"])
        self.assertEqual((pair.server.sealer.counter, pair.table.commands), (before, {}))

    def test_listed_body(self):
        pair = Pair(HMAC_SHA256).open()
        pair.client.list()
        self.assertEqual(pair.inject(pair.server, message("LISTED", 1, EXEC_WAIT, flags=1)), "bad_body")


class Windows(RexecCase):
    def test_ack_offsets(self):
        outgoing = rexec.Outgoing(1000)
        outgoing.write(bytes(2000))
        self.assertEqual(outgoing.take(), (0, bytes(1000), False))
        self.assertIsNone(outgoing.take())
        outgoing.acknowledge(500, 500)                                  # the limit may stay as it is
        self.assertIsNone(outgoing.take())
        self.refused("bad_offset", outgoing.acknowledge, 1001, 1000)    # never sent
        self.refused("bad_offset", outgoing.acknowledge, 499, 1000)     # it falls
        self.refused("bad_offset", outgoing.acknowledge, 501, 498)      # the limit falls
        outgoing.acknowledge(1000, 100)
        outgoing.finish()
        self.assertEqual(outgoing.take(), (1000, bytes(100), False))
        outgoing.acknowledge(1000, 1000)
        self.assertEqual(outgoing.take(), (1100, bytes(900), True))
        self.assertIsNone(outgoing.take())
        outgoing.rewind(1500, 1000)
        self.assertEqual(outgoing.take(), (1500, bytes(500), True))
        outgoing.rewind(2000, 0)
        self.assertEqual(outgoing.take(), (2000, b"", True))            # LAST alone needs no window

    def test_limit_never_falls(self):
        """A smaller window of ours does not take back what was promised."""
        incoming = rexec.Incoming(100)
        incoming.start_at(0, 1000)
        incoming.accept(0, bytes(600), False)
        incoming.consume(600)
        self.assertEqual(incoming.take_ack(), (600, 400))
    def test_sender_stops_at_window(self):
        """A client that consumes nothing gets 262,144 bytes, not more; cat stops its sender, too."""
        pair = Pair().open()
        got = {}
        big, cat = pair.app.start(b"big", b"1000000"), pair.app.start(b"cat")
        cat.stdin.write(bytes(1000000))
        try:
            while True:
                pair.move()
                for event in pair.client.events():
                    if event.kind == "data":
                        got[event.command] = got.get(event.command, 0) + len(event.data)
        except toy.Wrong:
            pass
        self.assertEqual(got, {big: 262144, cat: 262144})
        self.assertLessEqual(cat.stdin.sent, 262144 + toy.Toy.AHEAD + 65536)
        for command in (big, cat):                      # it goes on when the client has consumed
            pair.client.consumed(command, rexec.STDOUT, 262144)
        pair.app.until(lambda: all(len(pair.app.output.get((command, 1), b"")) > 400000 for command in (big, cat)))

    def test_turns(self):
        """Two that write much take turns, so that a third with little is not kept waiting."""
        pair = Pair().open()
        for command in [pair.app.start(b"big", b"200000") for _ in range(2)]:
            pass
        pair.app.start(b"echo")
        order = []
        while len(order) < 15:
            pair.move()
            order += [event.stream for event in pair.client.events() if event.kind == "data"]
        self.assertLess(order.index(3), 5)
        self.assertEqual(sorted(order[:3]), [1, 2, 3])
        self.assertNotEqual(order[3], order[4])

    def test_ack_in_time(self):
        """At the latest after 131,072 bytes or half of the window of the last ACK."""
        for window, step in ((262144, 131072), (65536, 32768), (1000, 500), (1, 1), (16777216, 131072)):
            incoming = rexec.Incoming(window)
            incoming.accept(0, bytes(step), False)
            incoming.consume(step - 1)
            self.assertIsNone(incoming.take_ack())
            incoming.consume(1)
            self.assertEqual(incoming.take_ack(), (step, window))
            self.assertIsNone(incoming.take_ack())

    def test_last(self):
        """LAST on stdout and stderr before EXIT, with and without bytes."""
        pair = Pair().open()
        command = pair.app.start(b"wait")
        pair.settle()
        served = pair.server.streams[1].command
        served.stdout.write(b"all")
        served.stdout.finish()
        served.stderr.finish()
        pair.app.until(lambda: command.stdout.last and command.stderr.last)
        pair.client.signal(command, "TERM")
        self.assertEqual(pair.app.result(command, signal="TERM"), (b"all", b""))


class Resume(RexecCase):
    """The connection is cut after so many bytes, and the client goes on over new ones."""

    def run_with_cuts(self, budgets, words, data=b"", suites=HMAC_SHA256, chunk=None, **header):
        """Run a command over connections that break after `budgets` bytes each; (stdout, how many were started)."""
        table, toys, output, command, now_ms = rexec.CommandTable(0), {}, bytearray(), None, 1000
        for number, budget in enumerate([*budgets, None]):
            pair = Pair(suites, table=table, toys=toys, now_ms=now_ms, seed=number + 1, budget=budget, chunk=chunk)
            ready = exit_event = None
            while not pair.ended and not exit_event:
                try:
                    pair.move()
                except toy.Wrong:
                    self.fail(f"it hangs: {budgets}")
                for event in pair.client.events():
                    if event.kind == "ready":
                        ready = True
                        if command is None:
                            command, sent_ms = pair.app.start(*words, **header), now_ms
                            command.stdin.write(data)
                            command.stdin.finish()
                        elif command.answered:
                            pair.client.resume(command)
                        else:
                            pair.client.exec_again(command, now_ms - sent_ms)
                    elif event.kind == "data":
                        output += event.data
                        pair.client.consumed(command, event.which, len(event.data))
                    elif event.kind == "exit":
                        exit_event = event
                    else:
                        self.assertNotIn(event.kind, ("refused", "done"))
                        if event.kind == "failed":
                            self.assertEqual(event.name, "closed_early")
            if exit_event:
                pair.client.exit_ack(command)
                pair.settle()
                return bytes(output), len(table.commands), ready, exit_event.header
            now_ms += 10
        self.fail("no EXIT")
        return None

    def check_cuts(self, budgets, **options):
        text = bytes((i * i >> 2) & 255 for i in range(150000))
        self.assertEqual(self.run_with_cuts(budgets, [b"cat"], text, **options)[:2], (text, 1), budgets)

    def test_one_cut_everywhere_at_the_beginning(self):
        """Each byte up to the first output: in the handshake, in EXEC, in STARTED."""
        for budget in range(1, 900, 3):
            result = self.run_with_cuts([budget], [b"echo", b"hello"])
            self.assertEqual(result[:2], (b"hello\n", 1), budget)

    def test_many_points(self):
        for suites in ALL_SUITES:
            for budget in range(1000, 310000, 25537):
                self.check_cuts([budget], suites=suites)

    def test_many_cuts(self):
        source = random.Random(5)
        for _ in range(12):
            self.check_cuts([source.randrange(1, 60000) for _ in range(6)])
        self.check_cuts([400] * 10 + [40000] * 3, chunk=97)

    def test_big(self):
        for budget in (5000, 100000, 262144, 300000):
            self.assertEqual(self.run_with_cuts([budget, 7000, budget], [b"big", b"600000"])[:2],
                             (toy.pattern(0, 600000), 1))

    def lost(self, **options):
        """A table with `wait` in it, its connection lost after 5 bytes of stdout; (pair, the client's command)."""
        pair = Pair(HMAC_SHA256, **options).open()
        command = pair.app.start(b"wait")
        pair.app.until(lambda: command.answered)
        pair.table.commands[command.id].stdout.write(b"12345")
        pair.app.until(lambda: pair.app.output)
        pair.server.receive_eof()
        self.assertEqual([event.kind for event in pair.server.events()], ["lost"])
        return pair, command

    def again(self, pair, **options):
        return Pair(HMAC_SHA256, table=pair.table, toys=pair.toys.toys, seed=7, **options).open()

    def refusal(self, pair, number):
        app = pair.app
        app.until(lambda: number in app.ended)
        return app.ended[number].name

    def test_new_connection_opens_window(self):
        """What the command took while there was no connection: the server says so in RESUMED."""
        pair, command = self.lost()
        served = pair.table.commands[command.id]
        served.stdin.accept(0, bytes(65536), False)     # as if it had all come
        command.stdin.write(bytes(100000))
        command.stdin.take(65536)
        served.stdin.consume(65536)
        other = self.again(pair)
        other.client.resume(command)
        other.settle()
        self.assertEqual(served.stdin.expected, 100000)

    def test_window_of_resume(self):
        """RESUME gives a whole window beyond what the client expects."""
        pair, command = self.lost()
        pair.client.receive_eof()
        command.stdout.limit = command.stdout.expected
        other = self.again(pair)
        other.client.resume(command)
        pair.table.commands[command.id].stdout.write(bytes(300000))
        other.settle()
        self.assertEqual(command.stdout.expected, 5 + 262144)

    def test_last_again(self):
        """LAST of stdin and stdout that was lost with the connection is sent again; what came is not."""
        for arrives in (False, True):
            pair, command = self.lost()
            served = pair.table.commands[command.id]
            command.stdin.finish()
            command.stdin.take()
            served.stdout.finish()
            served.stdout.take()
            if arrives:
                served.stdin.accept(0, b"", True)
                command.stdout.accept(5, b"", True)
            other = self.again(pair)
            other.client.resume(command)
            counters = other.client.sealer.counter, other.server.sealer.counter
            other.settle()
            self.assertTrue(served.stdin.last and command.stdout.last)
            now = other.client.sealer.counter, other.server.sealer.counter
            self.assertEqual((now[0] - counters[0], now[1] - counters[1]), (0, 1) if arrives else (1, 2))

    def test_resumed_refused(self):
        """RESUMED with offsets that do not fit."""
        for offsets, error in (((0, 5, 0, 65536, 0), None), ((0, 4, 0, 65536, 0), "bad_offset"),
                               ((0, 5, 1, 65536, 0), "bad_offset"),
                               ((1, 5, 0, 65536, 0), "bad_offset"), ((0, 5, 0, 65536, 1), "bad_offset"),
                               ((0, 5, 0, 65536, 2), "bad_body")):
            pair, command = self.lost()
            other = self.again(pair)
            other.client.resume(command)
            self.assertEqual(other.inject(other.server, message("RESUMED", 1, rexec.pack_offsets(*offsets))), error)

    def test_signal_and_size_again(self):
        """Those that never arrived are sent again behind RESUMED."""
        pair = Pair(HMAC_SHA256).open()
        command = pair.app.start(b"wait", pty={"term": "xterm", "rows": 24, "cols": 80})
        pair.app.until(lambda: command.answered)
        pair.client.signal(command, "TERM")             # this is lost
        pair.client.resize(command, 30, 100)
        pair.server.receive_eof()
        pair.client.receive_eof()
        other, sizes = self.again(pair), []
        handler = other.server._on_resize
        other.server._on_resize = lambda stream, header, m: (sizes.append(header), handler(stream, header, m))
        other.client.resume(command)
        self.assertEqual(sorted(other.settle()), ["done", "done", "exit", "resumed"])
        self.assertEqual(command.exit["signal"], "TERM")
        self.assertEqual(sizes, [{"rows": 30, "cols": 100, "width": 0, "height": 0}])

    def test_shutting_down(self):
        pair, command = self.lost()
        other = self.again(pair)
        other.server.goaway("shutting_down")
        other.settle()
        self.assertEqual(self.resume_at(other, command, 0, 5, 0, 100, 0), "shutting_down")
        self.assertEqual(self.refusal(other, other.client.attach(command.id)), "shutting_down")

    def test_early_stdin_refused(self):
        """STDIN behind an EXEC with age_ms, before its answer."""
        pair = Pair(HMAC_SHA256).open()
        self.assertIsNone(pair.request("EXEC", 1, exec_header(1, age_ms=1), EXEC_WAIT))
        self.assertEqual(pair.inject(pair.client, message("STDIN", 1, bytes(8) + b"x")), "bad_state")

    def resume_at(self, pair, command, *offsets):
        number = pair.client._request("RESUME", {"id": command.id}, rexec.pack_offsets(*offsets))
        pair.client.streams[number].command = None
        return self.refusal(pair, number)

    def test_refusals(self):
        pair, command = self.lost()
        other = self.again(pair)
        self.assertEqual(self.resume_at(other, command, 1, 5, 0, 100, 0), "data_lost")
        self.assertEqual(self.resume_at(other, command, 0, 6, 0, 100, 0), "bad_request")
        self.assertEqual(self.resume_at(other, command, 0, 5, 0, 100, 2), "bad_request")
        served = pair.table.commands[command.id]
        served.stdout.acknowledge(3, 262144)
        self.assertEqual(self.resume_at(other, command, 0, 2, 0, 100, 0), "data_lost")
        command.id = ID
        self.assertEqual(self.resume_at(other, command, 0, 0, 0, 100, 0), "unknown_command")

    def test_exec_twice(self):
        """At most once: a known id, a forgotten one, and one that may have been forgotten."""
        pair, command = self.lost()
        other = self.again(pair)
        words, header = rexec.decode_words(command.body), dict(command.header)
        header.pop("id")

        def exec_id(command_id, age=None):
            again = rexec.ClientCommand(command_id, {"id": command_id, "run": "exec"}, rexec.encode_words(words))
            if age is None:
                other.client._request("EXEC", again.header, again.body, command=again)
            else:
                other.client.exec_again(again, age)
            other.app.until(lambda: again.answered or again in other.app.ended)
            return "started" if again.answered else other.app.ended[again].name
        self.assertEqual(exec_id(command.id), "duplicate_id")
        self.assertEqual(exec_id(command.id, 5), "started")             # `already`
        self.assertEqual(len(pair.table.commands), 1)
        self.assertEqual(exec_id(ID, 999), "started")                   # M2 at 1000, horizon 0: a new command
        self.assertEqual(exec_id("1" * 32, 1000), "fate_unknown")
        self.assertNotIn("1" * 32, pair.table.commands)
        pair.table.drop(pair.table.commands[command.id])                # it began at 1000
        self.assertEqual(pair.table.horizon_ms, 1000)
        self.assertEqual(exec_id(command.id, 0), "fate_unknown")
        self.assertEqual(exec_id("2" * 32, 0), "fate_unknown")
        self.assertEqual(exec_id("3" * 32), "started")

    def test_other_client(self):
        """An id of another client is as if unknown, but EXEC does not start it."""
        pair, command = self.lost()
        psk = b"\2" * 32
        other = self.again(pair, psk=psk, grant=rexec.make_grant(psk, NAME, readable=True))
        self.assertEqual(self.resume_at(other, command, 0, 5, 0, 100, 0), "unknown_command")
        self.assertEqual(self.refusal(other, other.client.forget(command.id)), "unknown_command")
        other.client.list()
        other.app.until(lambda: other.app.listed)
        self.assertEqual(other.app.listed[0].header, {})
        again = rexec.ClientCommand(command.id, command.header, command.body)
        for age in (None, 5):
            if age is None:
                other.client._request("EXEC", again.header, again.body, command=again)
            else:
                other.client.exec_again(again, age)
            self.assertEqual(self.refusal(other, again), "duplicate_id")
            other.app.ended.clear()

    def test_taken_over_and_attach(self):
        """A second connection takes a command that the first one still has."""
        pair = Pair(HMAC_SHA256).open()
        command = pair.app.start(b"wait")
        pair.app.until(lambda: command.answered)
        other = self.again(pair)
        attached = other.client.attach(command.id)
        self.assertEqual(self.refusal(other, attached), "attached_elsewhere")
        pair.table.commands[command.id].stdout.write(b"early")
        attached = other.client.attach(command.id, steal=True)
        other.app.until(lambda: attached.answered)
        self.assertEqual(self.refusal(pair, command), "taken_over")
        other.client.signal(attached, "TERM")
        self.assertEqual(other.app.result(attached, signal="TERM"), (b"early", b""))

    def test_signal_again(self):
        """A SIGNAL whose answer was lost is sent again with its n, and not done twice."""
        pair = Pair(HMAC_SHA256).open()
        command = pair.app.start(b"wait")
        pair.app.until(lambda: command.answered)
        pair.client.signal(command, "TERM")
        pair.server.receive(pair.client.data_to_send())
        pair.toys.handle_events()                       # DONE and EXIT are lost
        pair.server.receive_eof()
        pair.client.receive_eof()
        other = self.again(pair)
        other.client.resume(command)
        self.assertEqual(other.settle(), ["resumed", "done", "exit"])
        self.assertEqual((command.exit["signal"], command.signals), ("TERM", {}))

    def test_no_stdin_before_resumed(self):
        pair, command = self.lost()
        pair.client.receive_eof()
        command.stdin.write(b"more")
        other = self.again(pair)
        other.client.resume(command)
        before = other.server.opener.counter
        other.server.receive(other.client.data_to_send())
        self.assertEqual(other.server.opener.counter, before + 1)       # RESUME alone
        other.settle()
        self.assertEqual(pair.table.commands[command.id].stdin.expected, 4)


class Processes(unittest.TestCase):
    """toy.py against toy.py over a socketpair."""

    def test_toys(self):
        with tempfile.TemporaryDirectory() as directory:
            key, grant = os.path.join(directory, "key"), os.path.join(directory, "grant")
            with open(key, "wb") as file:
                file.write(rexec.print_key_file(PSK))
            with open(grant, "wb") as file:
                file.write(rexec.print_grant_file(GRANT))
            for suite in (*rexec.SUITES, "any"):
                self.assertEqual(self.run_toys(["server", grant, "--readable"], ["client", key, NAME, suite]), (0, 0))
            self.assertEqual(self.run_toys(["server", grant], ["client", key, NAME, "hmac-sha256"]), (1, 1))
            self.assertEqual(self.run_toys(["server", grant], ["client", key, "other", "any"]), (1, 1))
            self.assertEqual(self.run_toys(["server", grant, "--version-min", "2", "--version-max", "3"],
                                           ["client", key, NAME, "any"]), (1, 1))

    def run_toys(self, *commands):
        ends, processes = socket.socketpair(), []
        for end, (role, *rest) in zip(ends, commands):
            with end:
                processes.append(subprocess.Popen([sys.executable, "-B", toy.__file__, role, str(end.fileno()), *rest],
                                                  pass_fds=[end.fileno()], stdout=subprocess.PIPE,
                                                  stderr=subprocess.PIPE))
        self.output = [process.communicate(timeout=30) for process in processes]
        return tuple(process.returncode for process in processes)


if __name__ == "__main__":
    unittest.main()
