#!/usr/bin/python3
"""rexecd --trace DIRECTORY: what the server sees of a session, beside what its client sees."""

import json
import os
import pathlib
import re
import shutil
import socket
import stat
import subprocess
import tempfile
import unittest

from lab import NAME, REXEC, REXECD, SANITIZED, Lab, until
import tracer

import rexec_protocol as rx

LIMIT = 1 << 22        # of trace_bytes, if nothing is said


class Traced(Lab):
    """With a directory for traces, in its own."""

    def start(self):
        self.traces = self.dir / "traces"
        self.traces.mkdir(mode=0o700, exist_ok=True)
        self.flags = {"trace": self.traces, **self.flags}
        super().start()

    def closed(self):
        """Sessions that are over, as the audit counts them."""
        text = self.audit.read_text() if self.audit.exists() else ""
        return [record for record in map(json.loads, text.splitlines()) if record["record"] == "session"]

    def over(self, count):
        if not until(lambda: len(self.closed()) >= count):
            raise AssertionError(f"{count} sessions are not over:\n{self.said()}")

    def files(self):
        return sorted(self.traces.iterdir(), key=lambda path: path.stat().st_mtime_ns)


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def calls_of(lines, name):
    return [line[name] for line in lines if name in line]


def records_of(lines, way):
    """Without their times: as they were, whoever saw them."""
    return [{key: value for key, value in line.items() if key != "dir"} for line in lines if line.get("dir") == way]


class TraceTest(unittest.TestCase):
    def lab(self, **flags):
        return self.enterContext(Traced(**flags))

    def one_session(self, lab, *words, **more):
        """Runs it to its end with a trace at both ends: (run, the client's lines, the server's)."""
        before = len(lab.closed())
        there = set(lab.traces.iterdir())
        mine = lab.dir / "mine"
        run = lab.rexec(*words, options=("--trace", mine), **more)
        lab.over(before + 1)
        new = set(lab.traces.iterdir()) - there
        self.assertEqual(len(new), 1, lab.said())
        self.path = new.pop()
        return run, lines_of(mine), lines_of(self.path)


class BothEnds(TraceTest):
    def covered(self, lines):
        """Every byte is in a call and in a record, and nothing is in two."""
        for way, call in (("in", "read"), ("out", "write")):
            for key, wanted in ((call, call), ("dir", "bytes")):
                at = 0
                for line in lines:
                    if key in line and (key != "dir" or line["dir"] == way):
                        self.assertEqual(line["at"], at, line)
                        at += line[wanted]
                self.assertEqual(at, sum(calls_of(lines, call)))

    def agree(self, client, server):
        self.assertEqual((client[0]["side"], server[0]["side"]), ("client", "server"))
        self.assertEqual((client[0]["host"], server[0]["host"]), (NAME, NAME))
        for mine, yours in (("out", "in"), ("in", "out")):
            self.assertEqual(records_of(client, mine), records_of(server, yours))
            self.assertGreater(len(records_of(client, mine)), 3)
        for lines in (client, server):
            self.covered(lines)
        times = [line["ns"] for line in server if "ns" in line]
        self.assertEqual(times, sorted(times))
        self.assertGreater(times[-1], 0)

    def test_the_same_messages_and_other_calls(self):
        lab = self.lab()
        run, client, server = self.one_session(lab, "cat; echo no >&2; exit 3", input=b"some words\n")
        self.assertEqual((run.returncode, run.stdout, run.stderr), (3, b"some words\n", b"no\n"))
        self.agree(client, server)
        self.assertEqual([r["record"] for r in records_of(server, "in")], ["M1", "M3", "EXEC", "STDIN", "CLOSE"])
        # M3 and EXEC are one write of the client's. The server reads M3 and no byte more: who has not proven
        # himself is not listened to.
        writes, reads = calls_of(client, "write"), calls_of(server, "read")
        self.assertEqual(reads[:2], [88, 40])
        self.assertGreater(writes[1], 40)
        self.assertEqual(sum(writes), sum(reads))

    def test_much(self):
        size = 200_000 if SANITIZED else 3_000_000
        run, client, server = self.one_session(self.lab(), f"cat; head -c {size} /dev/zero", input=b"x" * 300_000)
        self.assertEqual((run.returncode, len(run.stdout)), (0, size + 300_000))
        self.agree(client, server)

    def test_drawn(self):
        self.one_session(self.lab(), "seq 20000")
        for language, words in (("en", ("To the client", "From the client", "records")), ("zh", ("发往客户端", "记录"))):
            run = subprocess.run([REXEC, "trace", "--lang", language, self.path], capture_output=True, timeout=60,
                                 check=False, env={**os.environ, "LC_ALL": "C.UTF-8"})
            self.assertEqual((run.returncode, run.stderr), (0, b""))
            for word in ("rexecd " + NAME, "EXEC #1", *words):
                self.assertIn(word, run.stdout.decode())

    def test_a_handshake_byte_by_byte(self):
        lab = self.lab()
        with lab.connect() as sock:
            session = rx.ClientSession(rx.parse_key_file(lab.key.read_bytes())["psk"], NAME, rx.CHACHA20POLY1305,
                                       os.urandom)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            got = b""
            while not any(event.kind == "welcome" for event in session.events()):
                for byte in session.data_to_send():
                    sock.sendall(bytes([byte]))
                got = sock.recv(65536)
                self.assertTrue(got)
                session.receive(got)
        lab.over(1)
        lines = lines_of(lab.files()[0])
        self.covered(lines)
        self.assertEqual([r["record"] for r in records_of(lines, "in")], ["M1", "M3"])
        self.assertEqual([r["record"] for r in records_of(lines, "out")], ["M2", "WELCOME"])

    def test_a_terminal_while_it_runs(self):
        """Lines are in the file when they have happened."""
        lab = self.lab()
        run = lab.popen("read x; echo got $x; read y")
        try:
            run.stdin.write(b"one\n")
            run.stdin.flush()
            self.assertEqual(run.stdout.readline(), b"got one\n")
            names = lambda: [r["record"] for r in records_of(lines_of(lab.files()[0]), "out")]
            self.assertTrue(until(lambda: "STDOUT" in names()), names())
        finally:
            run.communicate(b"two\n", timeout=60)


class Files(TraceTest):
    def test_one_for_each_proven_connection(self):
        lab = self.lab()
        stranger = lab.dir / "stranger"
        lab.make_key(stranger)
        self.assertEqual(lab.rexec("true", key=stranger).returncode, 255)
        with lab.connect() as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            sock.recv(1)
        self.assertEqual(lab.files(), [])
        for _ in range(2):
            self.assertEqual(lab.rexec("true").returncode, 0)
        lab.over(2)
        names = {path.name for path in lab.files()}
        for record in lab.closed():
            name = next(name for name in names if record["session"][:8] in name)
            self.assertRegex(name, r"\A\d{8}T\d{6}Z-[0-9a-f]{8}\.trace\Z")
            lines = lines_of(lab.traces / name)
            self.assertIn(f"from {record['from']}:{record['port']}", lines[1]["address"])
            self.assertEqual((sum(calls_of(lines, "read")), sum(calls_of(lines, "write"))),
                             (record["received"], record["sent"]))
            names.remove(name)
        self.assertEqual(names, set())

    def test_nothing_of_what_was_said_and_nobody_else_reads_it(self):
        lab = self.lab()
        lab.rexec("echo very-secret-word; cat", input=b"very-secret-input", options=("--env", "NAME=very-secret-value"))
        lab.over(1)
        text = lab.files()[0].read_bytes()
        self.assertNotIn(b"very-secret", text)
        psk = rx.parse_key_file(lab.key.read_bytes())["psk"]
        _, keys = rx.derive_grant_keys(psk, NAME)
        for secret in (psk, keys.client_auth, keys.server_auth, keys.mix):
            self.assertNotIn(secret.hex().encode(), text.lower())
            self.assertNotIn(secret, text)
        self.assertEqual(stat.S_IMODE(lab.files()[0].stat().st_mode), 0o600)
        self.assertEqual(lab.files()[0].stat().st_uid, os.geteuid())

    def test_off(self):
        """Then net has no file, and may write none."""
        with Lab() as lab:
            lab.rexec("true")
            self.check_limits(lab.net_pid(), 0)
            self.assertNotIn("trace", lab.said())

    def check_limits(self, net, size):
        if SANITIZED:
            return
        limits = pathlib.Path(f"/proc/{net}/limits").read_text()
        self.assertRegex(limits, rf"Max file size +{size} +{size} +bytes")

    def test_each_is_closed(self):
        lab = self.lab()
        self.check_limits(lab.net_pid(), LIMIT)
        place = pathlib.Path(f"/proc/{lab.net_pid()}/fd")
        if not os.access(place, os.R_OK):
            self.skipTest("only root can look at the descriptors of a process that is not dumpable")
        before = len(list(place.iterdir()))
        for _ in range(5):
            lab.rexec("true")
        lab.over(5)
        self.assertTrue(until(lambda: len(list(place.iterdir())) == before), os.listdir(place))

    def test_a_connection_that_comes_back(self):
        """Each connection has a file of its own; the command goes on in the second."""
        lab = self.lab()
        command = "for i in 1 2 3 4 5 6; do echo $i; sleep 0.2; done"
        run = lab.popen(command)
        self.assertEqual(run.stdout.readline(), b"1\n")
        self.cut(lab, run)
        self.assertEqual(run.communicate(timeout=60)[0], b"2\n3\n4\n5\n6\n")
        lab.over(2)
        first, second = (lines_of(path) for path in lab.files())
        self.assertIn("EXEC", [r["record"] for r in records_of(first, "in")])
        self.assertIn("RESUME", [r["record"] for r in records_of(second, "in")])

    def cut(self, lab, run):
        """Resets the client's connection, from the kernel."""
        done = subprocess.run(["ss", "-K", "-tn", "dport", "=", f":{lab.port}"], capture_output=True, check=False)
        if done.returncode != 0 or b"127.0.0.1" not in done.stdout:
            run.kill()
            run.communicate()
            self.skipTest("connections cannot be killed here (ss -K)")


class Bounds(TraceTest):
    def test_bytes(self):
        """The trace ends with a line that says so, the session goes on."""
        lab = self.lab(trace_bytes=65536)
        command = "for i in $(seq 700); do echo line $i; sleep 0.002; done"
        run, client, server = self.one_session(lab, command)
        self.assertEqual((run.returncode, len(run.stdout.splitlines())), (0, 700))
        self.assertLessEqual(self.path.stat().st_size, 65536)
        self.assertGreater(self.path.stat().st_size, 65000)
        self.assertEqual(server[-1], {"end": "limit"})
        seen = records_of(server, "out")
        self.assertEqual(seen, records_of(client, "in")[:len(seen)])
        self.assertRegex(lab.said(), r"the trace ends here, the session goes on: File too large")
        drawn = subprocess.run([REXEC, "trace", "--lang", "en", self.path], capture_output=True, timeout=60, check=True)
        self.assertIn(b"trace_bytes", drawn.stdout)
        self.assertEqual(lab.rexec("echo on").stdout, b"on\n")

    def test_files(self):
        lab = self.lab(trace_files=2)
        for count in range(1, 5):
            self.assertEqual(lab.rexec("echo on").stdout, b"on\n")
            lab.over(count)
        self.assertEqual(len(lab.files()), 2)
        self.assertEqual(len(re.findall(r"no trace of this session: \S+: trace_files are there", lab.said())), 2)
        lab.files()[0].unlink()
        self.assertEqual(lab.rexec("echo on").stdout, b"on\n")
        lab.over(5)
        self.assertEqual(len(lab.files()), 2)

    @unittest.skipUnless(tracer.SUPPORTED and os.geteuid() == 0 and not SANITIZED, "plants system calls in net, as root")
    def test_net_taken_over(self):
        """What net has of a file is the right to write so much at its end."""
        lab = self.lab(trace_bytes=65536)
        run = lab.popen("echo begun; read x")
        self.assertEqual(run.stdout.readline(), b"begun\n")
        net = lab.net_pid()
        path = lab.files()[0]
        begun = path.read_bytes()
        place = pathlib.Path(f"/proc/{net}/fd")
        fd = next(int(entry.name) for entry in place.iterdir() if os.readlink(entry) == str(path))
        process = tracer.attach(net)
        results = [process.call("write", fd, b"planted\n" * 1000, 8000) for _ in range(10)]
        self.assertLess(results[-1], 0)
        process.kill()
        run.communicate(b"\n", timeout=60)
        self.assertEqual(path.stat().st_size, 65536)
        self.assertTrue(path.read_bytes().startswith(begun))


class Errors(TraceTest):
    def refused(self, directory, *words):
        """It does not start, and --check says the same."""
        for check in ((), ("--check",)):
            run = subprocess.run([REXECD, "--name", NAME, "--grants", self.grants, "--listen", "127.0.0.1:0", "--trace",
                                  directory, *check], capture_output=True, timeout=60, check=False)
            self.assertIn(run.returncode, (1, 2), run.stderr)
            line = next(line for line in run.stderr.decode().splitlines() if "trace: " in line)
            for word in words:
                self.assertIn(word, line)

    def test_directories(self):
        with tempfile.TemporaryDirectory() as place:
            place = pathlib.Path(place)
            self.grants = place / "grants"
            self.grants.mkdir(mode=0o700)
            self.refused(place / "none", str(place / "none"), "No such file")
            (place / "file").touch()
            self.refused(place / "file", "Not a directory")
            (place / "open").mkdir()
            (place / "open").chmod(0o777)
            self.refused(place / "open", "others may write", "chmod")
            self.refused("", "give a directory")

    def test_a_directory_that_goes_away(self):
        lab = self.lab()
        lab.traces.rmdir()
        self.assertEqual(lab.rexec("echo on").stdout, b"on\n")
        lab.over(1)
        self.assertRegex(lab.said(), r"no trace of this session: \S+/traces: No such file")
        lab.traces.mkdir(mode=0o777)
        lab.traces.chmod(0o777)
        self.assertEqual(lab.rexec("echo on").stdout, b"on\n")
        lab.over(2)
        self.assertEqual(lab.files(), [])
        self.assertIn("others may write", lab.said())


@unittest.skipUnless(os.geteuid() == 0 and shutil.which("unshare"), "a small disk of its own takes root")
class FullDisk(TraceTest):
    class Small(Traced):
        """Its traces are on a disk of so many bytes, which only it sees."""

        def start(self):
            mount = f"mount -t tmpfs -o mode=700,{self.disk} tmpfs {self.dir}/traces && exec \"$@\""
            self.prefix = ("unshare", "-m", "--propagation", "private", "sh", "-c", mount, "sh")
            super().start()
            self.traces = pathlib.Path(f"/proc/{self.server.pid}/root{self.traces}")

    def small(self, disk):
        lab = self.Small()
        lab.disk = disk
        try:
            return self.enterContext(lab)
        except AssertionError as error:
            if "mount" in str(error) or "unshare" in str(error):
                self.skipTest("nothing may be mounted here")
            raise

    def test_in_the_middle(self):
        lab = self.small("size=16k")
        command = "for i in $(seq 300); do echo line $i; sleep 0.002; done"
        run, client, _ = self.one_session_of_a_broken_file(lab, command)
        self.assertEqual((run.returncode, len(run.stdout.splitlines())), (0, 300))
        self.assertEqual(len(re.findall("the trace ends here, the session goes on: No space left", lab.said())), 1)
        whole = self.path.read_bytes().rpartition(b"\n")[0].splitlines()
        seen = records_of(list(map(json.loads, whole)), "out")
        self.assertEqual(seen, records_of(client, "in")[:len(seen)])
        self.assertGreater(len(seen), 5)
        drawn = subprocess.run([REXEC, "trace", self.path], capture_output=True, timeout=60, check=False)
        self.assertEqual((drawn.returncode, drawn.stderr), (0, b""))
        # The next has no room for its first line: no file is left.
        self.assertEqual(lab.rexec("echo on").stdout, b"on\n")
        lab.over(2)
        self.assertRegex(lab.said(), r"no trace of this session: \S+: No space left")
        self.assertEqual(len(lab.files()), 1)

    def one_session_of_a_broken_file(self, lab, command):
        mine = lab.dir / "mine"
        run = lab.rexec(command, options=("--trace", mine))
        lab.over(1)
        self.path = lab.files()[0]
        return run, lines_of(mine), None

    def test_from_the_start(self):
        lab = self.small("size=1m,nr_inodes=1")
        self.assertEqual(lab.rexec("echo on").stdout, b"on\n")
        lab.over(1)
        self.assertRegex(lab.said(), r"no trace of this session: \S+: No space left")
        self.assertEqual(lab.files(), [])


if __name__ == "__main__":
    unittest.main()
