#!/usr/bin/python3
"""rexec --trace FILE and rexec trace FILE: each read and write of a real session, and the records in it."""

import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import stat
import struct
import subprocess
import tempfile
import threading
import unittest
import xml.etree.ElementTree as ElementTree

from lab import NAME, REXEC, SANITIZED, Lab, LabTest


def trace(*words):
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    return subprocess.run([REXEC, "trace", *map(str, words)], capture_output=True, timeout=120, check=False,
                          env=environment)


class Counter:
    """Passes connections on, and counts their bytes: passed[True] to the server, passed[False] back. The first is
    reset when `cut` bytes have come back."""

    def __init__(self, port, cut=None):
        self.server_port, self.passed, self.cut = port, {True: 0, False: 0}, cut

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.thread.join(60)
        self.listener.close()

    def accept(self):
        for cut in [self.cut, None] if self.cut else [None]:
            client = self.listener.accept()[0]
            server = socket.create_connection(("127.0.0.1", self.server_port))
            with client, server:
                up = threading.Thread(target=self.move, args=(client, server, True))
                up.start()
                self.move(server, client, False, cut)
                up.join(60)

    def move(self, source, target, out, cut=None):
        with contextlib.suppress(OSError):      # reset
            while data := source.recv(65536 if cut is None else min(65536, cut)):
                self.passed[out] += len(data)
                target.sendall(data)
                cut = cut and cut - len(data)
                if cut == 0:
                    for sock in (source, target):
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        sock.shutdown(socket.SHUT_RDWR)
                    return
            target.shutdown(socket.SHUT_WR)


class Trace(LabTest):
    def setUp(self):
        super().setUp()
        self.file = self.lab.dir / "trace"

    def session(self, command, *options, **more):
        run = self.lab.rexec(command, options=("--trace", self.file, *options), **more)
        lines = [json.loads(line) for line in self.file.read_text().splitlines()]
        self.assertEqual(lines[0]["trace"], 1)
        return run, lines[1:]

    def way(self, lines, out):
        calls = [line for line in lines if ("write" if out else "read") in line]
        records = [line for line in lines if line.get("dir") == ("out" if out else "in")]
        return [(c["at"], c["write" if out else "read"]) for c in calls], records

    def test_records_cover_every_byte(self):
        size = 200_000 if SANITIZED else 2_000_000
        run, lines = self.session(f"cat; head -c {size} /dev/zero", input=b"x" * 300_000)
        self.assertEqual((run.returncode, len(run.stdout)), (0, size + 300_000))
        for out in (True, False):
            calls, records = self.way(lines, out)
            at = 0
            for where, n in calls:
                self.assertEqual(where, at)
                at += n
            end = 0
            for record in records:
                self.assertEqual(record["at"], end)
                end += record["bytes"]
            self.assertEqual(end, at)
        data = sum(r["body"] - 8 for r in self.way(lines, False)[1] if r["record"] == "STDOUT")
        self.assertEqual(data, size + 300_000)
        data = sum(r["body"] - 8 for r in self.way(lines, True)[1] if r["record"] == "STDIN")
        self.assertEqual(data, 300_000)

    def test_the_messages(self):
        run, lines = self.session("echo hi; echo no >&2; exit 3", "-n")
        self.assertEqual(run.returncode, 3)
        names = [r["record"] for r in self.way(lines, True)[1]]
        self.assertEqual(names[:3], ["M1", "M3", "EXEC"])
        self.assertEqual(names[-1], "CLOSE")
        names = [r["record"] for r in self.way(lines, False)[1]]
        self.assertEqual(names[:3], ["M2", "WELCOME", "STARTED"])
        self.assertEqual(names[-1], "EXIT")
        self.assertEqual({r["record"]: r["bytes"] for r in lines if r.get("record") in ("M1", "M2", "M3")},
                         {"M1": 88, "M2": 104, "M3": 40})
        times = [line["ns"] for line in lines if "ns" in line]
        self.assertEqual(times, sorted(times))

    def test_a_short_command_is_one_answer(self):
        """WELCOME, STARTED and EXIT come in one piece: the client is woken once between M3 and the end. The server
        does not wait for ever for what comes next, so not each time on a busy machine; but not by chance either."""
        hits = 0
        for _ in range(100):
            run, lines = self.session("true", "-n")
            self.assertEqual(run.returncode, 0)
            hits += len(self.way(lines, False)[0]) == 2
            if hits == 5:
                return
        self.fail((hits, lines))

    def test_nothing_of_what_was_said(self):
        self.session("echo very-secret-word", "--env", "NAME=very-secret-word")
        self.assertNotIn("very-secret", self.file.read_text())
        self.assertEqual(stat.S_IMODE(self.file.stat().st_mode), 0o600)

    def test_bytes_are_those_on_the_wire(self):
        """Counted between the two."""
        with Counter(self.lab.port) as counter:
            command = self.lab.command_line("head -c 50000 /dev/zero", options=("--trace", self.file, "-n"))
            command[command.index("-p") + 1] = str(counter.port)
            run = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=60, check=False)
        self.assertEqual((run.returncode, len(run.stdout)), (0, 50000))
        lines = [json.loads(line) for line in self.file.read_text().splitlines()]
        for out in (True, False):
            self.assertEqual(sum(n for _, n in self.way(lines, out)[0]), counter.passed[out])

    def test_a_lost_connection_and_the_next(self):
        with Counter(self.lab.port, cut=100_001) as counter:
            command = self.lab.command_line("seq 60000", options=("--trace", self.file, "-n"))
            command[command.index("-p") + 1] = str(counter.port)
            run = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=60, check=False)
        self.assertEqual((run.returncode, run.stdout), (0, b"".join(b"%d\n" % i for i in range(1, 60001))), run.stderr)
        lines = [json.loads(line) for line in self.file.read_text().splitlines()]
        second = next(i for i, line in enumerate(lines) if line.get("connection") == 2)
        for part in (lines[1:second], lines[second:]):
            calls, records = self.way(part, False)
            self.assertEqual((calls[0][0], records[0]["at"], records[0]["record"]), (0, 0, "M2"))
            self.assertLessEqual(sum(r["bytes"] for r in records), sum(n for _, n in calls))
        self.assertIn("RESUME", [r["record"] for r in self.way(lines[second:], True)[1]])
        run = trace(self.file)
        self.assertEqual(run.returncode, 0)
        self.assertEqual(run.stdout.decode().count("To the server"), 2)

    def test_a_socket_that_takes_part_of_a_write(self):
        """The server's net process stands still until the socket is full."""
        with tempfile.TemporaryDirectory() as directory, Lab(listen=(f"unix:{directory}/socket",)) as lab:
            command = [REXEC, "batch", "-F", "none", "-i", lab.key, "-o", f"HostKeyAlias={NAME}", "--trace", self.file,
                       f"unix:{directory}/socket"]
            run = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            run.stdin.write(b"echo begun\n")
            run.stdin.flush()
            self.assertEqual(run.stdout.readline(), b"begun\n")
            net = lab.net_pid()
            os.kill(net, signal.SIGSTOP)
            threading.Timer(1, os.kill, (net, signal.SIGCONT)).start()
            line = b"echo " + b"x" * 100_000 + b"\n"
            self.assertEqual(run.communicate(8 * line, timeout=60)[0], 8 * line[5:])
        lines = [json.loads(line) for line in self.file.read_text().splitlines()]
        calls, records = self.way(lines, True)
        self.assertEqual(sum(n for _, n in calls), sum(r["bytes"] for r in records))

    def test_drawn(self):
        _, lines = self.session("seq 20000", "-n")
        run = trace("--json", self.file)
        self.assertEqual(run.returncode, 0)
        calls = [json.loads(line) for line in run.stdout.splitlines()]
        made = sorted(n for out in (True, False) for _, n in self.way(lines, out)[0])
        self.assertEqual(sorted(call["bytes"] for call in calls), made)
        self.assertGreaterEqual(len(made), 4)       # M1; M2; M3 and what goes with it; the answer
        for call in calls:
            self.assertEqual(sum(part["bytes"] for part in call["records"]), call["bytes"])
        svg, html = self.lab.dir / "a.svg", self.lab.dir / "a.html"
        for language, word in (("en", "records"), ("zh", "记录")):
            run = trace("--lang", language, "--columns", 90, "--count", 100000, "--svg", svg, "--html", html, self.file)
            self.assertEqual((run.returncode, run.stderr), (0, b""))
            text = run.stdout.decode()
            drawn = [int(n) for n in re.findall(r"(\d+) \+\d+\.\dms", text)]
            self.assertLessEqual({call["bytes"] for call in calls}, set(drawn))
            self.assertIn(word, text)
            self.assertIn("EXEC #1", text)
            ElementTree.parse(svg)
            ElementTree.fromstring(html.read_text().split("\n", 1)[1])

    def test_a_client_that_is_killed_leaves_what_it_did(self):
        options = ("--trace", self.file)
        with self.lab.popen("echo up; exec sleep 600", options=options, stdout=subprocess.PIPE) as process:
            self.assertEqual(process.stdout.readline(), b"up\n")
            process.kill()
        lines = [json.loads(line) for line in self.file.read_text().splitlines(keepends=True) if line.endswith("\n")]
        self.assertIn("STARTED", [line.get("record") for line in lines])
        self.assertIn("STARTED #1", trace(self.file).stdout.decode())

    def test_names_that_are_none(self):
        start = '{"trace":1,"side":"client","host":"x","start":"y"}\n{"connection":1,"ns":1,"address":"z"}\n'
        record = {"record": "M1", "dir": "out", "at": 0, "bytes": 88}
        for name, status in (("M1", 0), ("?", 0), ("NEW_2", 0), ('a"b', 255), ("a\\", 255), ("\x1b[31m", 255), ("", 255)):
            self.file.write_text(start + json.dumps({**record, "record": name}) + '\n{"write":88,"at":0,"ns":5}\n')
            run = trace("--json", self.file)
            self.assertEqual(run.returncode, status, name)
            for line in run.stdout.splitlines():
                self.assertEqual(json.loads(line)["records"][0]["name"], name)

    def test_failures(self):
        for words in ([], ["a", "b"], [self.lab.dir / "none"], [self.lab.key], ["/proc/self/mem"]):
            run = trace(*words)
            self.assertEqual((run.returncode, run.stdout), (255, b""), words)
            self.assertRegex(run.stderr.decode(), r"\Arexec: [^\n]+; [^\n]+\n\Z", words)
        run = self.lab.rexec("true", options=("--trace", "/nonexistent/file"))
        self.one_line(run, "cannot write the trace", "--trace")

    def test_a_full_disk_is_said_and_the_command_goes_on(self):
        if not pathlib.Path("/dev/full").exists():
            self.skipTest("no /dev/full here")
        run = self.lab.rexec("echo hi", options=("--trace", "/dev/full"))
        self.assertEqual((run.returncode, run.stdout), (0, b"hi\n"))
        self.assertIn(b"the trace is not complete", run.stderr)


if __name__ == "__main__":
    unittest.main()
