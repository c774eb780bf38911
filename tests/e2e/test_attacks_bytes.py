"""Attacks by bytes and lengths, against the real programs: one test a row of the threat table.

REXEC_ATTACKS_LONG=1 takes longer, and tries all under sanitizers, too.
"""

import json
import os
import pathlib
import re
import resource
import select
import socket
import struct
import subprocess
import unittest

from hostile import HANG, Impostor, Row, Wire, number_of, raw_message, some, take
from lab import SANITIZED

import rexec_protocol as rp

# Of a length field of 32 bits.
LENGTHS = (0, 1, 2**16 - 1, 2**16, 2**24, 2**31 - 1, 2**31, 2**31 + 1, 2**32 - 2, 2**32 - 1)


def resident_kib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


class Memory(Row):
    """Rows that are about memory, too: what both processes take may not grow by more than `room`."""

    room = 8 * 1024                 # KiB
    flags = {"handshake_timeout": "60"}

    def setUp(self):
        super().setUp()
        self.honest()
        self.before_kib = self.resident()

    def resident(self):
        return [resident_kib(pid) for pid in (self.lab.server.pid, self.lab.net_pid())]

    def flat(self):
        """A sanitizer keeps what was freed: there only the kind of growth shows that 32 bits can ask for."""
        grown = [now - then for now, then in zip(self.resident(), self.before_kib)]
        self.assertLess(max(grown), (400 * 1024) if SANITIZED else self.room)


class Lengths(Memory):
    """libssh2 CVE-2026-55199 and many others: what a length says is not believed."""

    def ends(self, client, *names):
        """The session ends with one of these errors, or without a word; an answer to nothing comes before."""
        said = [said.header.get("name", said.name) for said in client.messages()]
        self.assertIn(said[-1:], [[]] + [[name] for name in names])

    def test_lengths_of_records(self):
        for length in (*LENGTHS, 8 + 16 - 1, rp.RECORD_MAX + 1):
            with self.subTest(length=length), self.client() as client:
                client.prove()
                client.send(struct.pack(">I", length))      # nothing behind it: the length alone is refused
                if 8 + 16 <= length <= rp.RECORD_MAX:
                    client.finish()
                self.ends(client, "bad_length", "closed_early")
            with self.subTest(length=length), self.client() as client:
                client.prove()
                client.send(struct.pack(">I", length), client.exec(self.mark(length))[4:], bytes(100000))
                self.ends(client, "bad_length", "bad_seal")
        self.flat()

    def test_lengths_of_records_at_their_bounds(self):
        """The longest record and the shortest are taken; nobody gains by promising the longest and sending less."""
        with self.client() as client:
            client.prove()
            client.send(client.exec(self.mark("bounds") + "; wc -c", stdin="stream"))
            client.messages("STARTED")
            client.send(client.seal(raw_message(number_of("STDIN"), 1, body=bytes(8) + bytes(60000))))
            client.send(client.seal(raw_message(number_of("STDIN"), 1, body=struct.pack(">Q", 60000), flags=1)))
            said = client.messages("EXIT")
            self.assertEqual(b"".join(one.body[8:] for one in said if one.name == "STDOUT"), b"60000\n")
            self.ran.append("bounds")
            client.send(client.seal(raw_message(number_of("EXIT_ACK"), 1)))         # 8 bytes: the shortest
            client.send(client.ping())
            self.assertEqual(client.messages("PONG")[-1].body[:8], b"hostile.")
            # Its stream is closed, so what it carries is not looked at: the longest message there is.
            client.send(client.seal(raw_message(number_of("STDIN"), 1, body=bytes(8 + 261120))))
            client.send(client.ping())
            self.assertEqual(client.messages("PONG")[-1].body[:8], b"hostile.")
        promised = [self.client().prove() for _ in range(10 if SANITIZED else 200)]
        for client in promised:
            client.send(struct.pack(">I", rp.RECORD_MAX), b"x" * 100)
        self.check(self.lab.rexec("echo meanwhile"), 0, b"meanwhile\n")
        if not SANITIZED:
            self.assertLess(self.resident()[1] - self.before_kib[1], 30 * 1024)      # 200 of them: 50 MiB
        for client in promised:
            with client:
                client.finish()
                self.ends(client, "closed_early")

    def test_lengths_of_headers(self):
        """The header's length, against bounds by type and the record's end."""
        line = rp.encode_words([(rp.WORD, self.mark("header").encode())])
        header = json.dumps({"id": os.urandom(16).hex()}).encode()
        for length in (0, 1, len(header) - 1, len(header) + 1, len(header) + len(line), len(header) + len(line) + 1,
                       4096, 4097, 32768, 65535):
            with self.subTest(length=length), self.client() as client:
                client.prove()
                client.send(client.request(raw_message(number_of("EXEC"), 1, header, line, header_len=length)))
                self.assertIn([said.header.get("name") for said in client.messages()],
                              [["bad_message"], ["bad_header"], ["bad_body"], ["request_rejected"]])
        for entry in rp.MESSAGES.values():
            if entry.direction == "S->C":
                continue
            # Of what is no JSON: only a length within its bound is a reason to look at it.
            within = ["bad_header"] if "idle" in entry.states else ["bad_stream"]
            if entry.name in ("CLOSE", "ERROR"):
                within = []                         # they end the session whatever stands in them
            for length in {1, entry.header_max, entry.header_max + 1, 2**15, 2**16 - 1} - {0}:
                with self.subTest(message=entry.name, length=length), self.client() as client:
                    client.prove()
                    stream = 0 if entry.states == ("session",) else 1
                    make = client.request if entry.trailer else client.seal
                    client.send(make(raw_message(entry.number, stream, b"{" * length, bytes(entry.body_min))),
                                client.exec(self.mark("behind"), stream=2))
                    self.assertEqual([said.header["name"] for said in client.messages()],
                                     within if length <= entry.header_max else ["bad_message"])
        self.flat()

    def test_lengths_of_bodies_and_words(self):
        """Every message with a body of every length at its bounds, and each word's own length."""
        for entry in rp.MESSAGES.values():
            if entry.direction == "S->C":
                continue
            most = rp.RECORD_MAX - 16 - 8 - (40 if entry.trailer else 0)
            for length in {max(entry.body_min - 1, 0), entry.body_max + 1, 2**16, most}:
                if entry.body_min <= length <= entry.body_max or length > most:
                    continue
                with self.subTest(message=entry.name, length=length), self.client() as client:
                    client.prove()
                    stream = 0 if entry.states == ("session",) else 1
                    make = client.request if entry.trailer else client.seal
                    client.send(make(raw_message(entry.number, stream, body=b"x" * length)))
                    self.assertEqual([said.header["name"] for said in client.messages()], ["bad_message"])
        text = self.mark("word").encode()
        for length in (*LENGTHS, len(text) - 1, len(text) + 1):
            for kind in (1, 2, 3, 128, 255):
                with self.subTest(kind=kind, length=length), self.client() as client:
                    client.prove()
                    body = rp.encode_words([(rp.WORD, text)]) + struct.pack(">BI", kind, length) + b"A=" + text[2:]
                    whole = kind in (2, 128, 255) and length == len(text)
                    header = json.dumps({"id": os.urandom(16).hex()}).encode()
                    client.send(client.request(raw_message(number_of("EXEC"), 1, header, body)))
                    self.assertFalse(whole)
                    self.assertEqual([said.header["name"] for said in client.messages()], ["bad_body"])
        self.flat()

    def test_lengths_of_offsets_and_windows(self):
        """Where a number says how much may come: offsets and windows at the edges of their 32 and 64 bits."""
        wide = (2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1)
        for number in wide:
            cases = {
                "STDIN": struct.pack(">Q", number) + b"x",
                "ACK": struct.pack(">BxxxIQ", 1, 2**24, number),
                "ACK of both": struct.pack(">BxxxIQ", 2, min(number, 2**32 - 1), number),
                "ACK window": struct.pack(">BxxxIQ", 1, min(number, 2**32 - 1), 0),
            }
            for name, body in cases.items():
                with self.subTest(message=name, number=number), self.client() as client:
                    client.prove()
                    client.send(client.exec("exec sleep 60", stdin="stream"))
                    client.messages("STARTED")
                    client.send(client.seal(raw_message(number_of(name.split()[0]), 1, body=body)))
                    client.send(client.exec(self.mark("wide"), stream=2))
                    self.assertIn([said.header.get("name") for said in client.messages()],
                                  [["bad_offset"], ["bad_body"], ["window_exceeded"]])
            with self.subTest(resume=number), self.client() as client:
                client.prove()
                header = json.dumps({"id": os.urandom(16).hex()}).encode()
                body = struct.pack(">QQQII", number, number, number, min(number, 2**32 - 1), 0)
                client.send(client.request(raw_message(number_of("RESUME"), 1, header, body)))
                client.finish()
                self.ends(client, "bad_body", "unknown_command", "not_supported")
        self.flat()

    def test_lengths_at_the_client(self):
        """The same from a server: the client says so in one line, and takes no memory for what was only announced."""
        grant = rp.parse_grant_file((self.lab.grants / "me").read_bytes())

        def serve(make):
            def act(sock):
                server = rp.ServerHandshake(lambda kid: grant, bytes(32), os.urandom)
                sock.sendall(server.receive_m1(take(sock, 88)))
                keys = server.receive_m3(take(sock, 40))
                sealer = rp.RecordKeys(keys.suite, keys.s2c)
                hello = {"server": "lab01", "version": "1", "time_us": 0}
                sock.sendall(sealer.seal(rp.join_message("WELCOME", 0, hello)) + make(sealer))
                while sock.recv(65536):         # the connection stays: it is the client that has to end it
                    pass
            return act

        def record(length):
            return lambda sealer: struct.pack(">I", length) + bytes(200000)

        def message(name, stream=1, header=b"", body=b"", **more):
            return lambda sealer: sealer.seal(raw_message(number_of(name), stream, header, body, **more))

        cases = {f"record {length}": record(length) for length in (*LENGTHS, 23, rp.RECORD_MAX + 1)}
        cases.update({f"header {length}": message("STARTED", body=bytes(32), header_len=length)
                      for length in (1, 33, 1025, 4097, 65535)})
        cases.update({f"WELCOME {length}": message("WELCOME", 0, b"{" + b" " * length) for length in (0, 4095, 65534)})
        cases.update({f"{name} {length}": message(name, body=bytes(length)) for name, length in
                      (("STARTED", 31), ("STARTED", 33), ("EXIT", 23), ("STDOUT", 7), ("STDOUT", 261129), ("ACK", 15))})
        cases["window"] = message("STARTED", body=struct.pack(">QQQII", 0, 0, 0, 2**32 - 1, 0))
        cases["offset"] = message("STARTED", body=struct.pack(">QQQII", 2**64 - 1, 0, 0, 2**16, 0))
        for name, make in cases.items():
            with self.subTest(case=name), Impostor(serve(make)) as impostor:
                command = self.lab.command_line("true", options=("-n", "--no-resume"))
                command[command.index("-p") + 1] = str(impostor.port)
                with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE) as client:
                    out, err = client.communicate(timeout=HANG)
                self.assertEqual((client.returncode, out, err[:7], err.count(b"\n")), (255, b"", b"rexec: ", 1), err)
        # The greatest of all children so far; Python's own start is in it, and one that believed 2^31 would be, too.
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        self.assertLess(peak, (1024 if SANITIZED else 256) * 1024)


class Queue(Memory):
    def test_unbounded_queue_before_authentication(self):
        """CVE-2025-26466: 1 GiB from one connection, and from many; memory stays, and the end is a close."""
        block = os.urandom(1 << 20)
        with self.client() as other:
            for first in (b"", other.m1[:87], other.m1, b"GET / HTTP/1.1\r\n"):
                total = 0
                with Wire(self.lab) as wire:
                    wire.send(first)
                    if first == other.m1:
                        wire.take(104)
                    try:
                        while total < 1 << 30:
                            total += wire.sock.send(block)
                        self.fail("1 GiB was taken from somebody unknown")
                    except (BrokenPipeError, ConnectionResetError):
                        pass
                # What the socket's buffers hold, and not more.
                self.assertLess(total, 1 << 28)
                self.flat()
        # Those that are stuck before the deadline: what they have sent is not more than the kernel keeps.
        wires = [Wire(self.lab) for _ in range(50)]
        for wire in wires:
            wire.send(other.m1)
        for wire in wires:
            self.assertEqual(len(wire.take(104)), 104)
            wire.send(os.urandom(39))
        self.flat()
        for wire in wires:
            with wire:
                wire.sock.setblocking(False)
                try:
                    for _ in range(16):
                        wire.sock.send(block)
                except (BlockingIOError, BrokenPipeError, ConnectionResetError):
                    pass
                wire.sock.settimeout(HANG)
                self.no_session(wire)
        self.flat()

    def test_flood_of_pings_and_requests_that_nobody_reads(self):
        """The same behind the proof: answers that are not read do not pile up."""
        with self.client() as client:
            client.prove()
            client.sock.settimeout(HANG)
            total = 0
            try:
                while total < 1 << 28:
                    total += client.sock.send(b"".join(client.ping() for _ in range(1000)))
                self.fail("nobody reads, and all is answered")
            except (BrokenPipeError, ConnectionResetError):
                pass
            self.flat()


class Parse(Row):
    """What is in the headers."""

    def json_cases(self):
        command = os.urandom(16).hex()
        good = f'"id":"{command}"'
        yield "not an object", "[]"
        yield "a string", '"x"'
        yield "two objects", f"{{{good}}}{{}}"
        yield "garbage behind", f"{{{good}}}x"
        yield "cut", f"{{{good}"
        yield "no JSON", "x"
        for depth in (9, 100, 1000, 1900):
            yield f"nesting {depth}", f'{{{good},"x":' + "[" * (depth - 1) + "]" * (depth - 1) + "}"
            objects = max(depth // 3, 8)
            yield f"nesting of {objects} objects", f'{{{good},"x":' + '{"y":' * objects + "0" + "}" * objects + "}"
        yield "nesting without an end", "{" + good + ',"x":' + "[" * 3900
        yield "duplicate id", f'{{{good},{good}}}'
        yield "duplicate run", f'{{{good},"run":"shell","run":"exec"}}'
        yield "duplicate user", f'{{{good},"user":"nobody","user":"root"}}'
        yield "duplicate by escape", f'{{{good},"run":"shell","r\\u0075n":"exec"}}'
        yield "duplicate of unknown", f'{{{good},"x":1,"x":2}}'
        yield "duplicate below", f'{{{good},"x":{{"y":1,"y":1}}}}'
        yield "NUL", f'{{{good},"label":"a\\u0000b"}}'
        yield "NUL in a name", f'{{{good},"a\\u0000b":1}}'
        yield "NUL in an unknown one", f'{{{good},"x":"\\u0000"}}'
        yield "NUL in an array", f'{{{good},"x":["\\u0000"]}}'
        yield "NUL byte", f'{{{good},"label":"a\0b"}}'
        yield "NUL byte behind", f"{{{good}}}\0"
        yield "not UTF-8", f'{{{good},"label":"\udcff"}}'
        yield "overlong UTF-8", f'{{{good},"label":"\udcc0\udc80"}}'
        yield "surrogate", f'{{{good},"label":"\\ud800"}}'
        yield "wrong type", f'{{{good},"run":7}}'
        yield "null", f'{{{good},"run":null}}'
        yield "fraction", f'{{{good},"timeout_ms":1.5}}'
        yield "exponent", f'{{{good},"timeout_ms":1e3}}'
        yield "zero", f'{{{good},"timeout_ms":0}}'
        yield "negative", f'{{{good},"timeout_ms":-1}}'
        yield "2^53", f'{{{good},"timeout_ms":9007199254740992}}'
        yield "2^64", f'{{{good},"timeout_ms":18446744073709551616}}'
        yield "no id", "{}"
        yield "id too long", f'{{"id":"{command}0"}}'
        yield "id in upper case", f'{{"id":"{"A" * 32}"}}'
        yield "label too long", f'{{{good},"label":"{"x" * 65}"}}'

    def test_deep_nesting_duplicate_keys_nul_in_json(self):
        """In EXEC, by a client that is proven: the error is named, nothing runs, and others do not notice."""
        line = rp.encode_words([(rp.WORD, self.mark("json").encode())])
        with self.client() as beside:
            beside.prove()
            beside.send(beside.exec("cat", stdin="stream", stream=1))
            beside.messages("STARTED")
            tried = 0
            for name, header in self.json_cases():
                with self.subTest(name), self.client() as client:
                    client.prove()
                    header = header.encode("utf-8", "surrogateescape")
                    self.assertLessEqual(len(header), 4096)
                    client.send(client.request(raw_message(number_of("EXEC"), 1, header, line)))
                    said = client.messages()
                    self.assertEqual([(one.name, one.header["name"], one.header["code"]) for one in said],
                                     [("ERROR", "bad_header", 5)])
                    self.assertRegex(one_text := said[0].header["text"], r"\A[ -~]+\Z", one_text)
                    tried += 1
            self.assertGreater(tried, 40)
            beside.send(beside.seal(raw_message(number_of("STDIN"), 1, body=bytes(8) + b"still here", flags=1)))
            said = beside.messages("EXIT")
            self.assertEqual(b"".join(one.body[8:] for one in said if one.name == "STDOUT"), b"still here")

    def test_deep_nesting_duplicate_keys_nul_in_json_of_every_message(self):
        """Each message of a client that has a header."""
        for entry in rp.MESSAGES.values():
            if entry.direction == "S->C" or entry.header_max == 0:
                continue
            for name, header in (("nesting", b'{"x":' + b"[" * 500 + b"]" * 500 + b"}"),
                                 ("duplicate", b'{"x":1,"x":1}'), ("NUL", b'{"x":"\\u0000"}'), ("array", b"[1]")):
                with self.subTest(message=entry.name, case=name), self.client() as client:
                    client.prove()
                    stream = 0
                    if entry.states != ("session",):
                        stream = 1 if "idle" in entry.states else 2
                    if stream == 2:
                        client.send(client.exec("sleep 60", stream=2))
                        client.messages("STARTED")
                    make = client.request if entry.trailer else client.seal
                    client.send(make(raw_message(entry.number, stream, header, bytes(entry.body_min))))
                    said = [(one.name, one.header["name"]) for one in client.messages()]
                    # CLOSE and ERROR end the session in any case.
                    self.assertIn(said, [[("ERROR", "bad_header")]] + [[]] * (entry.name in ("CLOSE", "ERROR")))

    def test_parsed_before_its_type_was_checked(self):
        """MUNGE CVE-2026-25506: no bits and numbers of a message that the table does not have, whatever its length."""
        for number in range(256):
            if number in rp.MESSAGES:
                continue
            with self.client() as client:
                client.prove()
                client.send(client.seal(raw_message(number, number & 1, b'{"a":', b"x" * number, header_len=65535)))
                self.assertEqual([said.header["name"] for said in client.messages()], ["bad_message"])
        for flag in (2, 4, 8, 16, 32, 64, 128, 255):
            with self.client() as client:
                client.prove()
                client.send(client.seal(raw_message(number_of("PING"), body=bytes(8), flags=flag)))
                self.assertEqual([said.header["name"] for said in client.messages()], ["bad_message"])

    @unittest.skipIf(SANITIZED, "a sanitizer keeps copies of what was freed, and much memory")
    @unittest.skipIf(os.geteuid() != 0, "net's memory can be read by root alone")
    def test_key_leaked_the_long_term_keys_are_nowhere_in_nets_memory(self):
        """What a client's grant holds is not in the process that faces the network; what is there, is found."""
        keys = rp.derive_grant_keys(self.psk, self.lab.server_name)[1]
        self.honest()
        with self.client() as client:
            client.prove()
            client.send(client.exec("exec sleep 60"))
            client.messages("STARTED")
            try:
                net, monitor = memory_of(self.lab.net_pid()), memory_of(self.lab.server.pid)
            except PermissionError:
                self.skipTest("this machine lets nobody read another process's memory")
            traffic = rp.expand(client.keys.c2s, b"key", 32)
            # First that the search finds anything at all.
            self.assertTrue(any(secret in net for secret in (traffic, client.keys.c2s, client.keys.s2c)))
            for secret in keys:
                self.assertIn(secret, monitor)
            secrets = {"psk": self.psk, **keys._asdict(), "request key": client.keys.request,
                       "K_srv": rp.hmac_sha256(self.psk, b"rexec/1 srv" + self.lab.server_name.encode())}
            for name, secret in secrets.items():
                for form in (secret, secret[:16], secret[16:], secret.hex().encode(), secret[::-1]):
                    self.assertNotIn(form, net, name)
            for name in ("psk", "K_srv"):           # these the server does not have at all
                self.assertNotIn(secrets[name], monitor, name)


def memory_of(pid):
    """All that a process has in memory and may write, or may have written, as one string of bytes."""
    data = []
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
            found = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if not found:
                continue
            low, high = (int(edge, 16) for edge in found.groups())
            if high - low > 1 << 28:
                continue                            # a sanitizer's shadow: no data of the program's
            memory.seek(low)
            try:
                data.append(memory.read(high - low))
            except OSError:
                pass
    return b"\n".join(data)


class Splits(Row):
    """Every split of the byte stream: the same comes out."""

    def session(self, cut, tag):
        """A whole session, its bytes sent as cut(bytes) says: what was said, without what differs each time."""
        with self.client() as client:
            for piece in cut(client.m1, 0):
                client.send(piece)
            self.assertTrue(client.take_m2())
            line = self.mark(f"cut-{tag}") + "; cat; echo error >&2; exit 3"
            stdin = raw_message(number_of("STDIN"), 1, body=bytes(8) + b"what stdin has", flags=1)
            records = (client.m3, client.ping(b"number 1"), client.exec(line, stdin="stream"), client.seal(stdin),
                       client.ping(b"number 2"))
            for piece in cut(b"".join(records), 88):
                client.send(piece)
            said = client.messages("EXIT")
            while sum(one.name == "PONG" for one in said) < 2:     # after CLOSE the server owes nothing
                said += client.messages("PONG")
            client.send(client.close())
            said += client.messages()
        self.ran.append(f"cut-{tag}")
        return self.settled(said)

    @staticmethod
    def settled(said):
        output = {name: b"".join(one.body[8:] for one in said if one.name == name) for name in ("STDOUT", "STDERR")}
        welcome = [one.header["server"] for one in said if one.name == "WELCOME"]
        started = [(one.body, one.stream) for one in said if one.name == "STARTED"]
        exited = [(one.header["code"], one.header["by"], one.body) for one in said if one.name == "EXIT"]
        pongs = [one.body[:8] for one in said if one.name == "PONG"]
        # Of STARTED stdin's offset, its window and whether LAST was there depend on what had come by then.
        return output, welcome, [(body[8:24], stream) for body, stream in started], exited, pongs, said[0].name

    def test_every_split_of_the_byte_stream(self):
        sizes = []

        def whole(data, _offset):
            sizes.append(len(data))
            return [data]

        expected = self.session(whole, 0)
        self.assertEqual(expected[0], {"STDOUT": b"what stdin has", "STDERR": b"error\n"})
        self.assertEqual(expected[3][0][:2], (3, "self"))
        self.assertEqual((expected[4], expected[5]), ([b"number 1", b"number 2"], "WELCOME"))

        def singly(data, _offset):
            return [data[i:i + 1] for i in range(len(data))]

        self.assertEqual(self.session(singly, 1), expected)
        for size in (2, 3, 7, 16, 41):
            def pieces(data, _offset, size=size):
                return [data[i:i + size] for i in range(0, len(data), size)]
            self.assertEqual(self.session(pieces, size), expected)
        for at in some(range(1, sum(sizes)), step=6):
            def once(data, offset, at=at):
                return [data[:max(at - offset, 0)], data[max(at - offset, 0):]]
            self.assertEqual(self.session(once, 100 + at), expected, f"cut at {at}")

    def test_every_split_of_the_byte_stream_to_the_client(self):
        """What comes back in single bytes, and cut at any place, is the same to the real client."""
        for size in some((1, 2, 3, 5, 17, 64, 103, 104, 105, 128), step=3):
            def to_client(sock, size=size):
                with self.lab.connect() as server:
                    relay(sock, server, size)
            with self.subTest(size=size), Impostor(to_client) as impostor:
                run = impostor.client(self.lab, f"echo {'x' * 2000}; echo error >&2; exit 3", options=("-n",))
                self.check(run, 3, b"x" * 2000 + b"\n", b"error\n")


def relay(client, server, size):
    """All of both directions, each way in sends of so many bytes."""
    ways = {client: server, server: client}
    for sock in ways:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while ways:
        for source in select.select(list(ways), [], [], HANG)[0]:
            data = source.recv(4096)
            if not data:
                ways[source].shutdown(socket.SHUT_WR)
                del ways[source]
            for at in range(0, len(data), size):
                ways[source].sendall(data[at:at + size])


if __name__ == "__main__":
    unittest.main()
