"""docs/wireshark/rexec.lua: tshark reads what a real client and a real rexecd said, and opens what is sealed only
with the keys of the session (REXEC_KEYLOG)."""

import os
import pathlib
import re
import shutil
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import unittest

from lab import NAME, SOURCE, LabTest

sys.path.insert(0, str(SOURCE / "tests" / "python"))
import rexec_protocol  # noqa: E402

SCRIPT = SOURCE / "docs" / "wireshark" / "rexec.lua"
TSHARK = shutil.which("tshark")


class Tap:
    """Passes one connection on to a port, and keeps what went which way: [(from_client, bytes)]."""

    def __init__(self, port):
        self.port_there, self.seen, self.lock = port, [], threading.Lock()

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.thread.join(60)
        self.listener.close()

    def run(self):
        here, _ = self.listener.accept()
        with here, socket.create_connection(("127.0.0.1", self.port_there)) as there:
            back = threading.Thread(target=self.pass_on, args=(there, here, False))
            back.start()
            self.pass_on(here, there, True)
            back.join(60)

    def pass_on(self, source, target, from_client):
        try:
            while data := source.recv(65536):
                with self.lock:
                    self.seen.append((from_client, data))
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def write(self, path, segment=1400, client_port=40000, server_port=7512):
        """The same as a capture file: IPv4 and TCP around it, in segments of this size."""
        place = {True: 1, False: 1}
        with open(path, "wb") as file:
            file.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 262144, 101))     # raw IP
            when = 0

            def packet(from_client, flags, data=b""):
                nonlocal when
                when += 1
                ports = (client_port, server_port) if from_client else (server_port, client_port)
                hosts = (b"\x0a\0\0\1", b"\x0a\0\0\2") if from_client else (b"\x0a\0\0\2", b"\x0a\0\0\1")
                tcp = struct.pack(">HHIIBBHHH", *ports, place[from_client], place[not from_client], 0x50, flags,
                                  65535, 0, 0) + data
                ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), when % 65536, 0, 64, 6, 0, *hosts)
                file.write(struct.pack("<IIII", 1700000000, when, len(ip + tcp), len(ip + tcp)) + ip + tcp)
                place[from_client] += len(data)

            place = {True: 0, False: 0}
            packet(True, 0x02)                       # SYN takes one number of the sequence
            place[True] = 1
            packet(False, 0x12)
            place[False] = 1
            packet(True, 0x10)
            for from_client, data in self.seen:
                for at in range(0, len(data), segment):
                    packet(from_client, 0x18, data[at:at + segment])


@unittest.skipUnless(TSHARK, "tshark is not installed")
class Dissector(LabTest):
    flags = {"readable": "yes"}
    grant_options = ("--readable",)

    def setUp(self):
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.dir = pathlib.Path(place.name)
        self.capture, self.keylog = self.dir / "capture.pcap", self.dir / "keys"

    def session(self, command, *options, environment=None, segment=1400, server_port=7512):
        """One command of the real client, captured; what it wrote on stderr."""
        with Tap(self.lab.port) as tap:
            line = self.lab.command_line(command, options=options)
            line[line.index("-p") + 1] = str(tap.port)
            run = subprocess.run(line, capture_output=True, stdin=subprocess.DEVNULL, timeout=60,
                                 env={**os.environ, **(environment or {})}, check=False)
        self.assertEqual(run.returncode, 0, run.stderr)
        tap.write(self.capture, segment, server_port=server_port)
        self.wire = b"".join(data for _, data in tap.seen)
        self.stdout = run.stdout
        return run.stderr.decode()

    def tshark(self, *words, keylog=None):
        environment = {key: value for key, value in os.environ.items() if key != "REXEC_KEYLOG"}
        if keylog is not None:
            environment["REXEC_KEYLOG"] = str(keylog)
        environment["HOME"] = str(self.dir)          # nobody's own plugins and preferences
        run = subprocess.run([TSHARK, "-n", "-X", f"lua_script:{SCRIPT}", "-r", self.capture, *words],
                             capture_output=True, timeout=120, env=environment, check=False)
        said = run.stderr.decode()
        self.assertEqual(run.returncode, 0, said)
        self.assertNotRegex(said, r"(?i)lua|error")
        return run.stdout.decode()

    def fields(self, *names, keylog=None, options=()):
        """For each name all its values, in order."""
        values = []
        for name in names:
            lines = self.tshark(*options, "-Y", "rexec", "-T", "fields", "-E", "aggregator=|", "-e", "rexec." + name,
                                keylog=keylog)
            values.append([value for line in lines.splitlines() for value in line.split("|") if value])
        return values

    def check_opened(self, keylog, text, options=()):
        types, headers, data = self.fields("type", "header", "data", keylog=keylog, options=options)
        self.assertEqual(sorted(set(types) & {"1", "16", "32", "37", "4"}), ["1", "16", "32", "37", "4"])
        self.assertEqual(b"".join(bytes.fromhex(piece) for piece in data), text)
        self.assertTrue(any('"server":"' + NAME + '"' in header for header in headers), headers)
        self.assertTrue(any('"code":0' in header for header in headers), headers)

    def test_readable(self):
        self.session("echo hello there", "--readable")
        self.check_opened(None, b"hello there\n")
        handshake, suites, words = self.fields("handshake", "suite", "word")
        self.assertEqual(handshake, ["1", "2", "3"])
        self.assertEqual([int(suite, 0) for suite in suites], [4, 4])
        self.assertIn("echo hello there", words)
        kid, _ = rexec_protocol.derive_grant_keys(
            rexec_protocol.parse_key_file(self.lab.key.read_bytes())["psk"], NAME)
        self.assertEqual(self.fields("kid"), [[kid.hex()]])

    def test_tiny_segments(self):
        self.session("echo in pieces", "--readable", segment=7)
        self.check_opened(None, b"in pieces\n")

    def test_another_port(self):
        self.session("echo elsewhere", "--readable", server_port=5999)
        self.check_opened(None, b"elsewhere\n")

    def test_another_port_in_single_bytes(self):
        """M1 is recognised from its first bytes, in whatever pieces they come."""
        for segment in (1, 4, 5, 87, 89):
            with self.subTest(segment=segment):
                self.session("echo elsewhere", "--readable", segment=segment, server_port=5999)
                for options in ((), ("-2",)):
                    self.check_opened(None, b"elsewhere\n", options=options)

    def test_large_output_of_many_records(self):
        self.session("head -c 300000 /dev/zero | tr '\\0' x", "--readable")
        self.check_opened(None, b"x" * 300000)
        records = self.fields("record")[0]
        self.assertGreater(len(records), 8)

    def test_sealed_without_keys_stays_sealed(self):
        self.session("echo a secret")
        types, sealed = self.fields("type", "sealed")
        self.assertEqual(types, [])
        self.assertGreater(len(sealed), 5)
        self.assertIn("rexec.unopened", self.tshark("-T", "pdml"))
        self.assertNotIn(b"a secret".hex(), self.tshark("-T", "pdml"))
        self.assertNotIn(b"a secret", self.wire)

    def check_sealed(self, suite):
        text = "a secret of " + suite
        said = self.session("echo " + text + "; head -c 3000 /dev/zero", "-o", "suite=" + suite,
                            environment={"REXEC_KEYLOG": str(self.keylog)})
        self.assertRegex(said, r"\Arexec: \S+ WARNING: the keys of this session are written to [^\n]*keys[^\n]*\n\Z")
        self.assertEqual(stat.S_IMODE(self.keylog.stat().st_mode), 0o600)
        self.assertRegex(self.keylog.read_text(),
                         rf"\AREXEC_TRAFFIC_SECRETS [0-9a-f]{{64}} {suite} [0-9a-f]{{64}} [0-9a-f]{{64}}\n\Z")
        self.check_opened(self.keylog, text.encode() + b"\n" + bytes(3000))
        self.check_opened(None, text.encode() + b"\n" + bytes(3000), options=("-o", f"rexec.keylog:{self.keylog}"))
        # A second look at each packet, as Wireshark takes it, counts no record twice.
        self.check_opened(self.keylog, text.encode() + b"\n" + bytes(3000), options=("-2",))
        self.assertEqual(self.fields("type", keylog=self.dir / "none"), [[]])

    def test_chacha20poly1305(self):
        self.check_sealed("chacha20poly1305")

    def test_aes256gcm(self):
        if subprocess.run(["grep", "-qw", "aes", "/proc/cpuinfo"], check=False).returncode != 0:
            self.skipTest("this machine cannot seal with aes256gcm")
        self.check_sealed("aes256gcm")

    def test_keys_of_another_session_open_nothing(self):
        self.session("echo one", environment={"REXEC_KEYLOG": str(self.keylog)})
        self.session("echo two")
        self.assertEqual(self.fields("type", keylog=self.keylog), [[]])

    def test_a_suite_that_does_not_exist(self):
        """M2 was changed on the way: what follows stays closed, and no error of the script's is shown."""
        with Tap(self.lab.port) as tap:
            line = self.lab.command_line("echo one")
            line[line.index("-p") + 1] = str(tap.port)
            subprocess.run(line, capture_output=True, stdin=subprocess.DEVNULL, timeout=60, check=True,
                           env={**os.environ, "REXEC_KEYLOG": str(self.keylog)})
        at = next(i for i, (from_client, _) in enumerate(tap.seen) if not from_client)
        m2 = tap.seen[at][1]
        for suite in (0, 3, 8, 255):
            with self.subTest(suite):
                tap.seen[at] = (False, m2[:6] + bytes([suite]) + m2[7:])
                tap.write(self.capture)
                said = self.tshark("-V", keylog=self.keylog)
                self.assertIn("sealed", said)
                self.assertNotIn("Lua Error", said)

    def test_what_is_no_rexec_is_left_alone(self):
        with Tap(self.lab.port) as tap:
            socket.create_connection(("127.0.0.1", tap.port)).close()
        tap.seen = [(True, b"GET / HTTP/1.0\r\n\r\n"), (False, b"\xff" * 3000)]
        tap.write(self.capture)
        self.assertEqual(self.fields("type"), [[]])

    def test_what_begins_like_rexec_is_left_alone(self):
        """On another port, in pieces: none of it is claimed, and nothing waited for in the middle of a stream."""
        tap = Tap(None)
        for begin, segment in ((b"r", 1), (b"re", 2), (b"rexc\2", 3), (b"rexc\1\2\1", 100), (b"rexd", 1)):
            for seen in ([begin, b" and more"], [b"more", begin, begin]):
                with self.subTest(seen=seen, segment=segment):
                    tap.seen = [(True, piece) for piece in seen] + [(False, b"an answer")]
                    tap.write(self.capture, segment, server_port=5999)
                    said = self.tshark("-T", "pdml", "-2")
                    self.assertNotIn('name="rexec', said)
                    if seen[0] == b"more":
                        self.assertNotIn("tcp.segment_data", said)

    def test_names_are_those_of_the_protocol(self):
        rows = re.findall(r"(?m)^X\((\d+), (\w+),", (SOURCE / "proto" / "message.def").read_text())
        table = re.search(r"(?s)local MESSAGES = \{(.*?)\n\}", SCRIPT.read_text(encoding="utf-8")).group(1)
        self.assertEqual(re.findall(r'\[(\d+)\] = "(\w+)"', table), rows)


class KeyLog(LabTest):
    def log(self, path, *options, environment=None):
        return self.lab.rexec("echo hi", options=options,
                              env={**os.environ, **(environment or {"REXEC_KEYLOG": str(path)})})

    def test_nothing_is_written_unless_asked_for(self):
        run = self.lab.rexec("echo hi")
        self.check(run, 0, b"hi\n")

    def test_it_opens_records_and_makes_none(self):
        """The request key is not in the file."""
        path = self.lab.dir / "one"
        run = self.log(path, "-o", f"KeyLogFile={path}", environment={"REXEC_KEYLOG": "/no/such/place"})
        self.assertEqual((run.returncode, run.stdout), (0, b"hi\n"), run.stderr)
        self.assertEqual(len(path.read_text().split()), 5)
        run = self.log(path, "-q")
        self.assertIn(b"WARNING", run.stderr)
        self.assertEqual(len(path.read_text().splitlines()), 2)

    def test_none_takes_it_back(self):
        path = self.lab.dir / "never"
        self.check(self.log(path, "-o", "KeyLogFile=none"), 0, b"hi\n")
        self.assertFalse(path.exists())

    def test_a_file_that_others_can_read_is_refused(self):
        path = self.lab.dir / "open"
        path.write_text("")
        path.chmod(0o644)
        self.one_line(self.log(path), "key log", "chmod 600")
        self.assertEqual(path.read_text(), "")

    def test_no_such_directory(self):
        self.one_line(self.log("/no/such/directory/keys"), "cannot open the key log")

    def test_a_pipe_is_refused_and_not_waited_for(self):
        path = self.lab.dir / "pipe"
        os.mkfifo(path, 0o600)
        self.one_line(self.log(path), "cannot open the key log")

    def test_a_link_is_refused(self):
        path = self.lab.dir / "link"
        path.symlink_to(self.lab.dir / "target")
        self.one_line(self.log(path), "cannot open the key log")
        self.assertFalse((self.lab.dir / "target").exists())


if __name__ == "__main__":
    unittest.main()
