"""The client between a command and those who give and take its bytes: files that are full, terminals that are gone,
readers that leave, servers that lie."""

import base64
import contextlib
import ctypes
import errno
import fcntl
import json
import os
import pty
import resource
import select
import signal
import socket
import struct
import subprocess
import tempfile
import termios
import threading
import time
import tty
import unittest

from lab import NAME, REXEC, SANITIZED, LabTest, until

import rexec_protocol as protocol  # pylint: disable=wrong-import-order

TIME_LIMIT = 60
HELP = subprocess.run([REXEC, "help"], capture_output=True, timeout=TIME_LIMIT, check=True).stdout
# A connection that is lost is lost for good.
AT_ONCE = ("--no-resume",) if b"--no-resume" in HELP else ()
STARTED = "it was started, and how it ended is not known: look what it has done"
UNKNOWN = "whether it was started is not known: look what it has done"


def environment(**more):
    return dict(os.environ, LC_ALL="C.UTF-8", **more)


def no_close():
    """From now on, close() of a descriptor from 100 on fails in this process, as of a file on a server that has no room
    left for it. Those are copies that rexec makes only to hear this."""
    machine = os.uname().machine
    number = {"x86_64": 3, "aarch64": 57}[machine]
    load, equal, least, give, allow, fail = 0x20, 0x15, 0x35, 0x06, 0x7fff0000, 0x00050000 | errno.EDQUOT
    filters = [(load, 0, 0, 0), (equal, 0, 3, number), (load, 0, 0, 16), (least, 0, 1, 100), (give, 0, 0, fail),
               (give, 0, 0, allow)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in filters))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(filters), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) != 0 or libc.prctl(22, 2, program, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


class Scripted:
    """A server that does with each event what it is told, on a port of its own."""

    def __init__(self, grant, act):
        self.grant = protocol.parse_grant_file(grant)
        self.act = act
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.threads = [threading.Thread(target=self.accept, daemon=True)]
        self.threads[0].start()

    def accept(self):
        while True:
            try:
                end, _ = self.socket.accept()
            except OSError:
                return
            self.threads.append(threading.Thread(target=self.serve, args=(end,), daemon=True))
            self.threads[-1].start()

    def serve(self, end):
        """One connection; `cut` in the session ends it behind what has been said."""
        welcome = {"server": NAME, "version": "scripted", "time_us": int(time.time() * 1e6), "commands": 64}
        table = protocol.CommandTable(int(time.monotonic() * 1000) - 1)
        session = protocol.ServerSession(lambda kid: self.grant if kid == self.grant.kid else None, os.urandom(32),
                                         os.urandom, table, welcome, max_commands=64)
        session.cut = False
        with end:
            try:
                while not session.finished and not session.cut:
                    data = end.recv(65536)
                    if data:
                        session.receive(data, int(time.monotonic() * 1000))
                    else:
                        session.receive_eof()
                    for event in session.events():
                        self.act(session, event)
                    while output := session.data_to_send():
                        end.sendall(output)
            except OSError:
                pass

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for thread in self.threads:
            thread.join(TIME_LIMIT)


class Client(LabTest):
    def verb(self, verb, *words, options=(), port=None, host=NAME, **more):
        """rexec VERB: a CompletedProcess with bytes."""
        given = {"stdin": subprocess.DEVNULL} if "input" not in more and "stdin" not in more else {}
        given.update({"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment(), **more})
        return subprocess.run(self.line(verb, *words, options=options, port=port, host=host), timeout=TIME_LIMIT,
                              check=False, **given)

    def line(self, verb, *words, options=(), port=None, host=NAME):
        return [str(REXEC), verb, "-F", "none", "-o", "SendEnv=-*", "-i", str(self.lab.key), "-p",
                str(port or self.lab.port), "-o", "HostName=127.0.0.1", *map(str, options), host, *words]

    @contextlib.contextmanager
    def start(self, *words, options=(), **more):
        """rexec run, a Popen that does not outlive the block."""
        with subprocess.Popen(self.line("run", *words, options=options),
                              **{"env": environment(), "stdin": subprocess.DEVNULL, **more}) as run:
            try:
                yield run
            finally:
                run.kill()

    def scripted(self, act):
        server = Scripted((self.lab.grants / "me").read_bytes(), act)
        self.addCleanup(server.close)
        return server.port

    def gave_up(self, run, *texts, stdout=b""):
        """255, and one line that says why."""
        text = run.stderr.decode(errors="replace")
        self.assertEqual((run.returncode, run.stdout), (255, stdout), text)
        self.assertRegex(text, r"\Arexec: [ -~]*\n\Z")
        for part in texts:
            self.assertIn(part, text)


class Output(Client):
    def test_decoded_text_is_whole(self):
        """The last letter could be combined with a next one, so the decoder holds it until the end."""
        word = "שלום"
        octal = "".join(f"\\{byte:o}" for byte in word.encode("cp1255"))
        for _ in range(30):
            run = self.verb("run", f"printf '{octal}'", options=("--encoding", "CP1255"))
            self.assertEqual((run.returncode, run.stdout.decode(), run.stderr), (0, word, b""))

    def test_decoded_text_is_whole_before_the_command_ends(self):
        """Whoever reads it gets the last letter with the end, while the command goes on."""
        with self.start("printf '\\371\\354'; exec >&-; read x; exit 7", options=("--encoding", "CP1255"),
                        stdin=subprocess.PIPE, stdout=subprocess.PIPE) as run:
            self.assertEqual(run.stdout.read().decode(), "של")
            self.assertIsNone(run.poll())
            run.stdin.write(b"\n")
            run.stdin.close()
            self.assertEqual(run.wait(TIME_LIMIT), 7)

    def test_stderr_that_is_full(self):
        with open("/dev/full", "wb") as full:
            self.assertEqual(self.verb("run", "echo x >&2", stderr=full).returncode, 255)
            self.assertEqual(self.verb("batch", input=b"echo x >&2\n", stderr=full).returncode, 255)
            self.assertEqual(self.verb("run", "echo x", stderr=full).returncode, 0)

    def test_stderr_that_nobody_reads(self):
        """It is dropped, and the command goes on."""
        read, write = os.pipe()
        os.close(read)
        run = self.verb("run", "echo x >&2; echo y", stderr=write)
        os.close(write)
        self.assertEqual((run.returncode, run.stdout), (0, b"y\n"))

    def test_file_whose_close_fails(self):
        if os.uname().machine not in ("x86_64", "aarch64"):
            self.skipTest("the number of close() is not known here")
        for verb, words, more in (("run", ("echo x",), {}), ("run", ("echo x; exec >&-; sleep 0.2",), {}),
                                  ("batch", (), {"input": b"echo x\n"}), ("ping", (), {})):
            with tempfile.TemporaryFile() as file:
                self.assertEqual(self.verb(verb, *words, stdout=file, **more).returncode, 0)
                self.gave_up(self.verb(verb, *words, stdout=file, preexec_fn=no_close, **more), "quota", stdout=None)

    def test_one_socket_as_stdout_and_stderr(self):
        """The end of stdout is not the end of stderr."""
        ours, theirs = socket.socketpair()
        ours.settimeout(TIME_LIMIT)
        command = "echo out; exec >&-; read x; echo err >&2; exit 3"
        with ours, self.start(command, stdin=subprocess.PIPE, stdout=theirs, stderr=theirs) as run:
            theirs.close()
            self.assertEqual(ours.recv(100), b"out\n")
            time.sleep(0.3)
            run.stdin.write(b"\n")
            run.stdin.close()
            self.assertEqual((ours.recv(100), ours.recv(100), run.wait(TIME_LIMIT)), (b"err\n", b"", 3))

    def test_master_of_a_terminal_as_stdout(self):
        """Opened again, it would be another terminal."""
        master, slave = pty.openpty()
        tty.setraw(slave)
        with self.start("head -c 300000 /dev/zero", stdout=master, stderr=subprocess.PIPE) as run:
            size = 0
            while size < 300_000 and select.select([slave], [], [], 20)[0]:
                size += len(os.read(slave, 65536))
            self.assertEqual((size, run.wait(TIME_LIMIT), run.stderr.read()), (300_000, 0, b""))
        os.close(master)
        os.close(slave)

    def test_terminal_as_stdout(self):
        """Opened again, so that it need not block for others."""
        master, slave = pty.openpty()
        tty.setraw(slave)
        with self.start("head -c 300000 /dev/zero", stdout=slave, stderr=subprocess.PIPE) as run:
            self.assertTrue(os.get_blocking(slave))
            size = 0
            while size < 300_000 and select.select([master], [], [], TIME_LIMIT)[0]:
                size += len(os.read(master, 65536))
            self.assertEqual((size, run.wait(TIME_LIMIT), run.stderr.read()), (300_000, 0, b""))
        os.close(master)
        os.close(slave)

    def test_reader_that_goes_away(self):
        """Silent, and the status of a program that SIGPIPE killed, whatever the verb."""
        for verb, words, more in (("run", ("yes",), {}), ("run", ("echo x",), {"options": ("--json",)}),
                                  ("batch", (), {"input": b"yes\n"}), ("ping", (), {}),
                                  ("batch", (), {"input": b"echo x\n" * 50, "options": ("--json",)}),
                                  ("batch", (), {"input": b"echo x\n" * 50, "options": ("--as-completed",)})):
            read, write = os.pipe()
            os.close(read)
            run = self.verb(verb, *words, stdout=write, **more)
            os.close(write)
            self.assertEqual((run.returncode, run.stderr), (141, b""), verb)


class Input(Client):
    def unreadable(self, stdin, text):
        """The command does not take it for the end, and so never comes to its next step."""
        mark = self.lab.dir / "mark"
        self.gave_up(self.verb("run", f"cat && touch {mark}", stdin=stdin), "cannot read stdin: " + text, "; ")
        self.assertTrue(until(lambda: not subprocess.run(["pgrep", "-f", f"touch {mark}"], check=False,
                                                         stdout=subprocess.PIPE).stdout))
        self.assertFalse(mark.exists())

    def test_directory(self):
        directory = os.open("/", os.O_RDONLY)
        self.unreadable(directory, "Is a directory")
        os.close(directory)

    def test_not_for_reading(self):
        with tempfile.NamedTemporaryFile() as file:
            only_write = os.open(file.name, os.O_WRONLY)
            self.unreadable(only_write, "Bad file descriptor")
            os.close(only_write)

    def test_connection_that_was_reset(self):
        """In the middle, when some of it has come."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            ours = socket.create_connection(server.getsockname())
            theirs, _ = server.accept()
        with theirs, self.start("cat; echo ended", stdin=theirs, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE) as run:
            ours.sendall(b"some\n")
            self.assertEqual(run.stdout.readline(), b"some\n")
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            ours.close()
            out, err = run.communicate(timeout=TIME_LIMIT)
        self.assertEqual((run.returncode, out), (255, b""))
        self.assertIn(b"cannot read stdin: Connection reset by peer", err)

    def test_terminal_that_is_gone(self):
        """That is its end."""
        master, slave = pty.openpty()
        os.close(master)
        run = self.verb("run", "cat; echo ended", stdin=slave)
        os.close(slave)
        self.check(run, 0, b"ended\n")

    def test_commands_that_cannot_be_read(self):
        directory = os.open("/", os.O_RDONLY)
        self.gave_up(self.verb("batch", stdin=directory), "cannot read the commands: Is a directory")
        os.close(directory)


class Signals(Client):
    def test_the_second_one_gives_up(self):
        """Whatever the first was."""
        for first, second in ((signal.SIGTERM, signal.SIGTERM), (signal.SIGHUP, signal.SIGHUP),
                              (signal.SIGINT, signal.SIGQUIT), (signal.SIGINT, signal.SIGINT)):
            with self.start("exec 2>/dev/null; trap 'echo got' TERM INT HUP QUIT; echo ready; "
                            "while :; do sleep 0.05; done", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
                self.assertEqual(run.stdout.readline(), b"ready\n")
                run.send_signal(first)
                self.assertEqual(run.stdout.readline(), b"got\n")
                self.assertIsNone(run.poll())
                run.send_signal(second)
                self.assertEqual((run.wait(TIME_LIMIT), run.stderr.read()), (128 + second, b""))

    def test_giving_up_with_json(self):
        mark = self.lab.dir / "marked"
        with self.start(f"trap '' INT; touch {mark}; sleep 60", options=("--json",), stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE) as run:
            self.assertTrue(until(mark.exists))
            run.send_signal(signal.SIGINT)
            time.sleep(0.2)             # two of a kind at once are one
            self.assertIsNone(run.poll())
            run.send_signal(signal.SIGINT)
            out, err = run.communicate(timeout=TIME_LIMIT)
        value = json.loads(out)
        self.assertEqual((run.returncode, value["status"], err), (130, 130, b""))
        self.assertIn("INT", value["error"]["text"])
        self.assertNotIn("code", value)

    def test_printing_can_be_interrupted(self):
        """With nobody who reads it."""
        read, write = os.pipe()
        with self.start("head -c 500000 /dev/zero", options=("--json",), stdout=write) as run:
            os.close(write)

            def waiting():
                return struct.unpack("i", fcntl.ioctl(read, termios.FIONREAD, bytes(4)))[0]
            self.assertTrue(until(lambda: waiting() >= 32768))
            run.send_signal(signal.SIGINT)
            self.assertEqual(run.wait(TIME_LIMIT), -signal.SIGINT)
        os.close(read)


class Json(Client):
    def test_every_byte(self):
        text = "".join(map(chr, range(128))) + "ä中😀" * 9000
        run = self.verb("run", "tee /dev/stderr", input=text.encode(), options=("--json",))
        self.assertEqual((run.returncode, run.stderr, run.stdout.count(b"\n")), (0, b"", 1))
        value = json.loads(run.stdout)
        self.assertEqual((value["stdout"], value["stderr"]), (text, text))

    def test_every_length_in_base64(self):
        for size in (1, 2, 3, 3071, 3072, 3073, 6143, 6144, 100_000):
            data = b"\xff" + os.urandom(size - 1)
            value = json.loads(self.verb("run", "cat", input=data, options=("--json",)).stdout)
            self.assertEqual(base64.b64decode(value["stdout_base64"], validate=True), data)
            self.assertEqual(value["stderr"], "")

    @unittest.skipIf(SANITIZED, "AddressSanitizer takes more address space than any limit leaves")
    def test_too_little_memory(self):
        """The streams count alike: not all of it is 255 and a line."""
        def limit():
            resource.setrlimit(resource.RLIMIT_AS, (100 << 20, 100 << 20))
        for where in ("", " >&2"):
            run = self.verb("run", "head -c 200000000 /dev/zero" + where, options=("--json",), preexec_fn=limit)
            self.assertEqual(run.returncode, 255)
            self.assertIn(b"cannot keep the command's output: Cannot allocate memory", run.stderr)
            self.assertEqual(json.loads(run.stdout)["status"], 255)
        # Of a batch, the others are not touched.
        run = self.verb("batch", input=b"echo a\nhead -c 200000000 /dev/zero\necho b\n", options=("--json",),
                        preexec_fn=limit)
        values = [json.loads(line) for line in run.stdout.splitlines()]
        self.assertEqual([value["status"] for value in values], [0, 255, 0])
        self.assertEqual((values[2]["stdout"], run.returncode), ("b\n", 1))

    def test_ping_that_fails(self):
        run = self.verb("ping", options=("--json",), port=1)
        value = json.loads(run.stdout)
        self.assertEqual((run.returncode, value["host"], value["status"]), (255, NAME, 255))
        self.assertIn("refused", value["error"]["text"])
        self.assertRegex(run.stderr, rb"\Arexec: [ -~]*\n\Z")


class Batch(Client):
    def test_bad_lines(self):
        """Each is one failed result, and the others are run."""
        lines = b"echo one\n" + b"x" * 300_000 + b"\necho \0two\necho three\n" + b"y" * 192_000 + b"\necho four"
        for order in ((), ("--as-completed",)):
            run = self.verb("batch", input=lines, options=order)
            self.assertEqual((run.returncode, sorted(run.stdout.split())), (1, [b"four", b"one", b"three"]),
                             run.stderr)
            told = run.stderr.decode().splitlines()
            self.assertEqual(sorted(line.split(":")[2] for line in told), [" line 2", " line 3", " line 5"], told)
        values = [json.loads(line) for line in self.verb("batch", input=lines, options=("--json",)).stdout.splitlines()]
        self.assertEqual([(value["line"], value["status"]) for value in values],
                         [(1, 0), (2, 255), (3, 255), (4, 0), (5, 255), (6, 0)])
        self.assertIn("NUL", values[2]["error"]["text"])

    def test_only_bad_lines(self):
        run = self.verb("batch", input=b"\0\n" * 500)
        self.assertEqual((run.returncode, run.stdout, run.stderr.count(b"\n")), (1, b"", 500))

    def lose(self, *options, jobs=3, lines=6):
        """A server that knows how the first and the third command ended, and is lost."""
        def act(session, event):
            if event.kind != "exec":
                return
            session.started(event.command)
            asked.append(event.command)
            for i, command in enumerate(asked if len(asked) == jobs else ()):
                command.stdout.write(command.arguments[0] + b"\n")
                if i != 1:
                    command.stdout.finish()
                    command.stderr.finish()
                    command.exit(code=0, by="self", start_us=1, end_us=2)
                session.cut = True
        asked = []
        text = b"".join(b"c%d\n" % i for i in range(1, lines + 1))
        return self.verb("batch", input=text, port=self.scripted(act), options=("-j", jobs, *AT_ONCE, *options))

    def test_lost_connection(self):
        """What is known is shown; the rest has failed, and what was never asked for is counted."""
        run = self.lose("--json", lines=9)
        values = [json.loads(line) for line in run.stdout.splitlines()]
        # For two more it may have asked before it saw that the connection is gone.
        self.assertEqual([(v["line"], v["status"], "code" in v, "error" in v) for v in values],
                         [(1, 0, True, False), (2, 255, False, True), (3, 0, True, False),
                          (4, 255, False, True), (5, 255, False, True)][:len(values)])
        self.assertGreaterEqual(len(values), 3)
        self.assertEqual((run.returncode, values[2]["stdout"]), (255, "c3\n"))
        self.assertIn("lost", values[1]["error"]["text"])
        for value in values[1:2] + values[3:]:
            self.assertEqual(value["error"]["todo"], STARTED if value["line"] == 2 else UNKNOWN)
        self.assertIn(b"lost", run.stderr)
        count = f": {9 - len(values)} lines were never run, from line {len(values) + 1} on\n"
        self.assertTrue(run.stderr.decode().endswith(count), run.stderr)
        run = self.lose()
        self.assertEqual((run.returncode, run.stdout), (255, b"c1\nc2\nc3\n"))
        self.assertRegex(run.stderr.decode(), f": line 2: the connection to [^\n]*; {STARTED}\n")

    def test_what_may_have_run(self):
        """A command that was started, or may have been, and of which nothing more is to be had: look what it has done, in
        the lines and the objects. Not for one that was refused."""
        def act(session, event):
            if event.kind != "exec":
                return
            name = event.command.arguments[0]
            if name == b"started":
                session.started(event.command)
                session._send("REFUSED", event.command.stream, protocol.error_header("data_lost"), last=True)
            elif name == b"refused":
                session.refuse(event.command.stream, "no_resources")
            else:
                session.refuse(event.command.stream, "fate_unknown")
        text = b"started\nrefused\nunknown\n"
        run = self.verb("batch", input=text, port=self.scripted(act))
        told = run.stderr.decode().splitlines()
        self.assertEqual((run.returncode, len(told)), (255, 3), told)
        self.assertTrue(told[0].endswith("; " + STARTED), told)
        self.assertNotIn("look", told[1])
        self.assertTrue(told[2].endswith("; look what it did, and run it again if need be"), told)
        run = self.verb("batch", input=text, port=self.scripted(act), options=("--json",))
        advice = [json.loads(line)["error"]["todo"] for line in run.stdout.splitlines()]
        self.assertEqual((advice[0], advice[2]), (STARTED, "look what it did, and run it again if need be"))
        self.assertNotIn("look what", advice[1])
        self.gave_up(self.verb("run", "started", port=self.scripted(act)), STARTED)

    def test_lost_connection_of_all_that_was_asked(self):
        run = self.lose(lines=3)
        self.assertEqual((run.returncode, run.stdout), (255, b"c1\nc2\nc3\n"))
        self.assertNotIn(b"never run", run.stderr)

    def test_server_that_goes_away(self):
        """It takes no more commands, and ends those that run: nothing is wrong if there are no others."""
        def act(session, event):
            if event.kind == "exec":
                session.started(event.command)
                session.goaway("shutting_down")
                event.command.stdout.write(b"x\n")
                event.command.stdout.finish()
                event.command.stderr.finish()
                event.command.exit(code=0, by="self", start_us=1, end_us=2)
        run = self.verb("batch", input=b"one\n", port=self.scripted(act))
        self.check(run, 0, b"x\n")
        run = self.verb("batch", input=b"one\ntwo\n\nthree", port=self.scripted(act), options=("-j", "1"))
        self.assertEqual((run.returncode, run.stdout), (255, b"x\n"))
        self.assertTrue(run.stderr.endswith(b": 2 lines were never run, from line 2 on\n"), run.stderr)

    def test_end_that_is_said_twice(self):
        """EXIT and a refusal of the same command: one command less runs, not two."""
        def act(session, event):
            if event.kind != "exec":
                return
            session.started(event.command)
            asked.append(event.command)
            if event.command.arguments[0] == b"a":
                return
            if event.command.arguments[0] == b"j":
                asked[0].stdout.finish()
                asked[0].stderr.finish()
                asked[0].exit(code=0, by="self", start_us=1, end_us=2)
            stream = event.command.stream
            body = struct.pack(">QQQ", 0, 0, 0)
            for name in ("STDOUT", "STDERR"):
                session._send(name, stream, body=bytes(8), last=True)
            session._send("EXIT", stream, {"code": 0, "by": "self", "start_us": 1, "end_us": 2}, body)
            session._send("REFUSED", stream, protocol.error_header("no_resources"), last=True)
        # Either the session is over for it, or it is as if it had not been said; no command is waited for in vain.
        asked = []
        run = self.verb("batch", input=b"a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\n", port=self.scripted(act),
                        options=("-j", "2", *AT_ONCE))
        self.assertIn(run.returncode, (0, 255), run.stderr)
        self.assertEqual(run.returncode == 0, run.stderr == b"")


class Lies(Client):
    """What a server may say."""

    def ended(self, header, *options):
        def act(session, event):
            if event.kind == "exec":
                session.started(event.command)
                event.command.stdout.finish()
                event.command.stderr.finish()
                event.command.exit(by="self", start_us=1, end_us=2, **header)
        return self.verb("run", "x", port=self.scripted(act), options=options)

    def test_unknown_signal(self):
        for name in ("FOO", "99", "65", "RT", "+9", " 9", "RT+9", "0x9", "9 "):
            self.gave_up(self.ended({"signal": name}), f"killed by unknown signal {name}\n")
        run = self.ended({"signal": "FOO"}, "--json")
        value = json.loads(run.stdout)
        self.assertEqual((run.returncode, value["signal"], value["status"]), (255, "FOO", 255))
        self.assertIn(b"unknown signal FOO", run.stderr)
        for name, number in (("RT34", 34), ("64", 64), ("TERM", 15), ("9", 9)):
            self.check(self.ended({"signal": name}), 128 + number)

    def test_answers_to_no_signal(self):
        """Nobody asked, so there is nothing to say about it."""
        def act(session, event):
            if event.kind != "exec":
                return
            session.started(event.command)
            for n in range(1000):
                session._send("REFUSED", event.command.stream, {**protocol.error_header("not_permitted"), "n": n})
            event.command.stdout.finish()
            event.command.stderr.finish()
            event.command.exit(by="self", start_us=1, end_us=2, code=0)
        self.check(self.verb("run", "x", port=self.scripted(act)), 0)

    def ping(self, answer, *options):
        """A server that answers each PING as told: a token, a clock."""
        def act(session, event):
            if event.kind != "proven":
                return

            def on_ping(_header, message):
                told = answer(bytes(message.body[:8]))
                if told is not None:
                    session._send("PONG", 0, body=told[0] + struct.pack(">Q", told[1]))
            session._on_ping = on_ping
        return self.verb("ping", port=self.scripted(act), options=("-c", "3", *options))

    def test_clocks(self):
        """Any that there can be; one that is far off is none."""
        for clock in (0, 1, 2**62, 2**62 - 1, 2**63 - 1, 2**63, 2**64 - 1, 4 * 10**18):
            run = self.ping(lambda token, clock=clock: (token, clock))
            self.assertEqual((run.returncode, run.stderr), (0, b""), clock)
            self.assertEqual(b"clock offset" in run.stdout, 0 < clock < 2**62 - 1, run.stdout)
            self.assertEqual(self.ping(lambda token, clock=clock: (token, clock), "--json").returncode, 0)

    def test_answers_to_other_questions(self):
        """They do not count, and none is waited for without end."""
        self.gave_up(self.ping(lambda token: (bytes(8 * [7]), 1), "-o", "ConnectTimeout=1"))
        run = self.ping(lambda token: None, "-o", "ConnectTimeout=1")
        self.gave_up(run, "no answer to a PING in 1 seconds", "ConnectTimeout")


class Settings(Client):
    def configured(self, text, *words, options=()):
        path = self.lab.dir / "config"
        path.write_text(text)
        return subprocess.run([REXEC, "-F", path, "-i", self.lab.key, "-p", str(self.lab.port), *options, NAME, *words],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=TIME_LIMIT, check=False)

    def test_semicolon_inside_a_value(self):
        """Half of a command is never run: where a value may go on behind a space, it is refused."""
        head = "[*]\nhostname = 127.0.0.1    ; here\n"
        run = self.configured(head + "remotecommand = echo a; echo b;c=1\n")
        self.check(run, 0, b"a\nb\n")
        for line in ("remotecommand = echo a ; echo b", "remotecommand = \"echo a ; echo b\"", "setenv = A=1\t; B=2",
                     "name = 'a ;x'"):
            self.gave_up(self.configured(head + line + "\n", "true"), "config:3: a ; behind a space begins a comment")
        self.check(self.configured("; all ; of it\n[*] ; all\n" + head + "# a ; b\n  ; c ; d\n", "echo x"), 0, b"x\n")

    def test_no_silent_lack_of_a_file(self):
        for path, home in (("/" + "a" * 5000, "/"), ("~/" + "a" * 4095, "/"), ("~/x", "/no/such/home"),
                           ("~/x", "/" + "h" * 5000)):
            run = subprocess.run([REXEC, "-F", path, "-i", self.lab.key, NAME, "true"], stdin=subprocess.DEVNULL,
                                 env=environment(HOME=home), capture_output=True, timeout=TIME_LIMIT, check=False)
            self.gave_up(run, "configuration")

    def test_options_as_ssh_has_them(self):
        for option in ("NoSuchThing=", "NoSuchThing =  ", "BatchMode=true", "BatchMode=yes",
                       "ConnectTimeout=0", "ConnectTimeout=none", "ConnectTimeout=5"):
            self.check(self.verb("run", "echo x", options=("-o", option)), 0, b"x\n")
        for option in ("User=", "Port", "NoSuchThing", "=x", "="):
            self.gave_up(self.verb("run", "echo x", options=("-o", option)), "-o wants NAME=VALUE")


if __name__ == "__main__":
    unittest.main()
