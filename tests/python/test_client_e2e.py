#!/usr/bin/python3
"""The real client ($REXEC_BUILD/bin/rexec) against test servers: the C peer ($REXEC_BUILD/bin/tests/engine_peer)
and the Python one (toy.py). Both know only the toy commands, asked for with --exec; started as

    test_client_e2e.py --toy server FD GRANTFILE

this file is the Python one with a shell's command line split at spaces, so that batch can be tried, too.
"""
import base64
import hashlib
import json
import os
import random
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

BUILD = os.environ.get("REXEC_BUILD", ".")
REXEC = os.path.join(BUILD, "bin", "rexec")
PEER = [os.path.join(BUILD, "bin", "tests", "engine_peer")]
TOY = [sys.executable, "-B", os.path.abspath(__file__), "--toy"]
TIME_LIMIT = 60
NAME = "lab01"
LINE = re.compile(rb"\Arexec: [^\x00-\x1f\x7f]*\n\Z")


class Listener:
    """Accepts connections on a port of its own and hands each to a server process."""

    def __init__(self, grant, command=None, relay=None, arguments=()):
        self.command, self.grant, self.relay, self.arguments = command or PEER, grant, relay, arguments
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.children, self.connections = [], 0
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        """Until the socket is closed."""
        while True:
            try:
                end, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.relay is not None:
                ours, theirs = socket.socketpair()
                self.start(theirs)
                threading.Thread(target=self.relay, args=(end, ours), daemon=True).start()
            else:
                self.start(end)

    def start(self, end):
        self.children.append(subprocess.Popen(
            [*self.command, "server", str(end.fileno()), self.grant, *self.arguments], pass_fds=[end.fileno()],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        end.close()

    def close(self):
        # Only then is its number free: else the thread could take what comes to another's socket.
        self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.socket.close()
        for child in self.children:
            child.kill()
            child.wait()


class Client(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.mkdtemp()
        cls.addClassCleanup(shutil.rmtree, cls.directory)
        cls.home = os.path.join(cls.directory, "home")
        os.mkdir(cls.home)
        cls.environment = {"HOME": cls.home, "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
            if name in os.environ:
                cls.environment[name] = os.environ[name]
        cls.key, cls.grant = os.path.join(cls.directory, "key"), os.path.join(cls.directory, "grant")
        assert cls.call("keygen", cls.key).returncode == 0
        with open(cls.grant, "wb") as file:
            file.write(cls.call("grant", cls.key, NAME).stdout)
        cls.listener = Listener(cls.grant)
        cls.addClassCleanup(cls.listener.close)

    @classmethod
    def call(cls, *words, **options):
        """The program itself; stdin is empty unless `input` or `stdin` is given."""
        if "input" not in options:
            options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        return subprocess.run([REXEC, *words], env=cls.environment, timeout=TIME_LIMIT, check=False, **options)

    def reach(self, listener=None):
        """The options that reach a test server under its name."""
        port = (listener or self.listener).port
        return ["-i", self.key, "-p", str(port), "-o", "HostKeyAlias=" + NAME]

    def run_command(self, *words, listener=None, options=(), **more):
        return self.call("run", *self.reach(listener), "--exec", *options, "127.0.0.1", *words, **more)

    def start(self, *words, options=(), **more):
        return subprocess.Popen([REXEC, "run", *self.reach(), "--exec", *options, "127.0.0.1", *words],
                                env=self.environment, **more)

    def server(self, *arguments, **more):
        listener = Listener(self.grant, *arguments, **more)
        self.addCleanup(listener.close)
        return listener

    def assert_fails(self, result, *texts, stdout=b""):
        """Exit status 255, and one line that says these things."""
        self.assertEqual(result.returncode, 255, result.stderr)
        self.assertEqual(result.stdout, stdout)
        self.assertRegex(result.stderr, LINE)
        for text in texts:
            self.assertIn(text.encode(), result.stderr)


class TestCommands(Client):
    def test_output_and_exit_status(self):
        result = self.run_command("echo", "hello", "", "world")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, b"hello  world\n", b""))

    def test_both_streams_and_a_status(self):
        result = self.run_command("both")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (3, b"out\n", b"err\n"))

    def test_big_output(self):
        size = 20_000_000
        pattern = bytes((i * 31 + 7) & 255 for i in range(256))
        result = self.run_command("big", str(size))
        self.assertEqual((result.returncode, len(result.stdout)), (0, size))
        expected = hashlib.sha256((pattern * (size // 256 + 1))[:size]).hexdigest()
        self.assertEqual(hashlib.sha256(result.stdout).hexdigest(), expected)

    def test_stdin_from_a_pipe(self):
        data = random.Random(1).randbytes(3_000_000)
        result = self.run_command("cat", input=data)
        self.assertEqual((result.returncode, result.stdout == data), (0, True))

    def test_stdin_from_a_file(self):
        data = random.Random(2).randbytes(3_000_000)
        with tempfile.TemporaryFile() as file:
            file.write(data)
            file.seek(0)
            result = self.run_command("cat", stdin=file)
        self.assertEqual((result.returncode, result.stdout == data), (0, True))

    def test_output_to_a_file(self):
        with tempfile.TemporaryFile() as file:
            result = self.run_command("big", "1000000", stdout=file)
            self.assertEqual((result.returncode, file.seek(0, os.SEEK_END)), (0, 1000000))

    def test_stdin_empty(self):
        result = self.run_command("cat", input=b"")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, b"", b""))

    def test_stdin_not_wanted_or_closed(self):
        for options, more in ((["-n"], {"input": b"not read"}), ([], {}),
                              ([], {"stdin": None, "preexec_fn": lambda: os.close(0)})):
            result = self.run_command("echo", "x", options=["--json", *options], **more)
            value = json.loads(result.stdout)
            self.assertEqual((value["status"], value["stdin_bytes"], result.stderr), (0, 0, b""))

    def test_stdin_that_comes_later(self):
        with self.start("cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            for word in (b"one\n", b"two\n"):
                process.stdin.write(word)
                process.stdin.flush()
                self.assertEqual(process.stdout.readline(), word)
            process.stdin.close()
            self.assertEqual((process.stdout.read(), process.wait(TIME_LIMIT)), (b"", 0))

    def test_one_socket_for_both_streams(self):
        ours, theirs = socket.socketpair()
        with self.start("cat", stdin=theirs, stdout=theirs) as process, ours:
            theirs.close()
            data = random.Random(3).randbytes(500_000)
            threading.Thread(target=lambda: (ours.sendall(data), ours.shutdown(socket.SHUT_WR)), daemon=True).start()
            got = b""
            while piece := ours.recv(65536):
                got += piece
            self.assertEqual((got == data, process.wait(TIME_LIMIT)), (True, 0))

    def test_descriptors_stay_as_they_are(self):
        """What is shared with others is never made non-blocking."""
        read, write = os.pipe()
        with self.start("big", "3000000", stdin=subprocess.DEVNULL, stdout=write) as process:
            time.sleep(0.3)     # it is full by now
            self.assertTrue(os.get_blocking(write))
            os.close(write)
            size = 0
            while piece := os.read(read, 1 << 20):
                size += len(piece)
            os.close(read)
            self.assertEqual((size, process.wait(TIME_LIMIT)), (3000000, 0))

    def test_words_arrive_as_they_are(self):
        words = [bytes(range(1, 256)), b"", b"-n", b"--", b"a b", b"\xff'\"\n"]
        result = self.run_command("words", *words, options=["--env", "A=b=\xff", "--cwd", "/tmp/x y",
                                                                    "-o", "SendEnv=-* LC_ALL"])
        expected = b""
        for kind, word in ([(1, b"words")] + [(1, word) for word in words] +
                           [(129, b"LC_ALL=C.UTF-8"), (2, "A=b=\xff".encode()), (3, b"/tmp/x y")]):
            expected += bytes([kind]) + len(word).to_bytes(4, "big") + word
        self.assertEqual((result.returncode, result.stdout), (0, expected))

    def test_slow_reader(self):
        with self.start("big", "5000000", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
            time.sleep(0.5)
            size = 0
            while piece := process.stdout.read(200_000):
                size += len(piece)
                time.sleep(0.01)
            self.assertEqual((size, process.wait(TIME_LIMIT)), (5000000, 0))

    def test_reader_that_goes_away(self):
        with self.start("big", "100000000", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE) as process:
            self.assertEqual(len(process.stdout.read(10)), 10)
            process.stdout.close()
            self.assertEqual((process.wait(TIME_LIMIT), process.stderr.read()), (128 + signal.SIGPIPE, b""))

    def test_stdout_that_is_full(self):
        with open("/dev/full", "wb") as full:
            self.assert_fails(self.run_command("echo", "x", stdout=full), "No space left", stdout=None)

    def test_unknown_command(self):
        self.assert_fails(self.run_command("no-such-command"), "127.0.0.1: there is no such command",
                          "check the spelling")

    def test_signals_are_passed_on(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            with self.start("wait", stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
                time.sleep(0.3)
                process.send_signal(number)
                self.assertEqual((process.wait(TIME_LIMIT), process.stderr.read()), (128 + number, b""))

    def test_a_second_interrupt_gives_up(self):
        """With a server that no longer answers."""
        def fall_silent(end, server):
            def forward():
                try:
                    while data := end.recv(65536):
                        server.sendall(data)
                except OSError:
                    pass
                end.close()
                server.close()
            thread = threading.Thread(target=forward, daemon=True)
            thread.start()
            for _ in range(2):          # M2; WELCOME and STARTED
                end.sendall(server.recv(65536))
            thread.join()
        listener = self.server(PEER, relay=fall_silent)
        with subprocess.Popen([REXEC, "run", *self.reach(listener), "--exec", "127.0.0.1", "wait"],
                              env=self.environment, stdin=subprocess.DEVNULL) as process:
            time.sleep(0.4)
            process.send_signal(signal.SIGINT)
            time.sleep(0.2)
            self.assertIsNone(process.poll())
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(TIME_LIMIT), 130)

    def test_ignored_signals_stay_ignored(self):
        ignore = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)}
        with self.start("wait", stdin=subprocess.DEVNULL, **ignore) as process:
            time.sleep(0.3)
            process.send_signal(signal.SIGHUP)
            time.sleep(0.2)
            self.assertIsNone(process.poll())
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(TIME_LIMIT), 128 + signal.SIGTERM)

    def test_json(self):
        result = self.run_command("both", options=["--json"])
        value = json.loads(result.stdout)
        self.assertEqual((result.returncode, result.stderr), (3, b""))
        self.assertEqual((value["code"], value["status"], value["by"], value["stdout"], value["stderr"]),
                         (3, 3, "self", "out\n", "err\n"))
        self.assertEqual((value["stdin_bytes"], value["stdout_bytes"], value["stderr_bytes"]), (0, 4, 4))
        self.assertRegex(value["id"], r"\A[0-9a-f]{32}\Z")
        self.assertLess(abs(value["start_us"] / 1e6 - time.time()), 60)
        self.assertNotIn("error", value)

    def test_json_of_bytes_and_of_failures(self):
        data = bytes(range(256))
        value = json.loads(self.run_command("cat", options=["--json"], input=data).stdout)
        self.assertEqual(base64.b64decode(value["stdout_base64"]), data)
        self.assertNotIn("stdout", value)
        result = self.run_command("no-such-command", options=["--json"])
        value = json.loads(result.stdout)
        self.assertEqual((result.returncode, value["status"], value["error"]["name"]),
                         (255, 255, "command_not_found"))
        self.assertRegex(result.stderr, LINE)

    def test_encoding(self):
        text = "中文 テスト äöü €\n" * 3000
        for name in ("UTF-16LE", "GB18030", "UTF-8"):
            result = self.run_command("cat", options=["--encoding", name], input=text.encode(name))
            self.assertEqual((result.returncode, result.stdout.decode()), (0, text), name)
        result = self.run_command("cat", options=["--encoding", "GBK"], input="中文".encode("gbk")[:-1])
        self.assertEqual(result.stdout.decode(), "中\ufffd")
        self.assert_fails(self.run_command("echo", options=["--encoding", "no-such"]), "no-such", "iconv -l")

    def test_readable_suite_is_asked_for_by_name(self):
        self.assert_fails(self.run_command("echo", "x", options=["--readable"]), "suite")
        grant = os.path.join(self.directory, "readable")
        with open(grant, "wb") as file:
            file.write(self.call("grant", "--readable", self.key, NAME).stdout)
        listener = Listener(grant, arguments=["--readable"])
        self.addCleanup(listener.close)
        result = self.run_command("echo", "x", options=["--readable"], listener=listener)
        self.assertEqual((result.returncode, result.stdout), (0, b"x\n"))


class TestFailures(Client):
    def listen_with(self, answer):
        """A server that does this with each connection."""
        server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(server.shutdown, socket.SHUT_RDWR)

        def serve():
            with server:        # closed here, when nobody waits for it
                while True:
                    try:
                        end, _ = server.accept()
                    except OSError:
                        return
                    with end:
                        answer(end)
        threading.Thread(target=serve, daemon=True).start()
        return server.getsockname()[1]

    def call_port(self, port, *options):
        return self.call("-i", self.key, "-p", str(port), "-o", "HostKeyAlias=" + NAME, *options, "127.0.0.1", "true")

    def test_wrong_key(self):
        other = os.path.join(self.directory, "other")
        self.assertEqual(self.call("keygen", other).returncode, 0)
        result = self.call("-i", other, *self.reach()[2:], "127.0.0.1", "true")
        self.assert_fails(result, "holds no grant of this key", f"rexec grant {other} {NAME}")

    def test_wrong_name(self):
        result = self.call("-i", self.key, "-p", str(self.listener.port), "127.0.0.1", "true")
        self.assert_fails(result, "the name 127.0.0.1", f"rexec grant {self.key} 127.0.0.1")

    def test_not_a_rexec_server(self):
        def http(end):
            end.recv(88)
            end.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            end.recv(1)
        self.assert_fails(self.call_port(self.listen_with(http)), "is not a rexec server")

        def hang_up(end):
            end.recv(88)
        self.assert_fails(self.call_port(self.listen_with(hang_up)), "closed the connection without an answer")

    def test_refused(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        self.assert_fails(self.call_port(port), f"127.0.0.1 port {port} refused", "start rexecd")

    def test_no_answer_in_time(self):
        stop = threading.Event()
        self.addCleanup(stop.set)
        begin = time.monotonic()
        result = self.call_port(self.listen_with(lambda end: stop.wait(TIME_LIMIT)), "-o", "ConnectTimeout=1")
        self.assert_fails(result, "no answer")
        self.assertLess(time.monotonic() - begin, 10)

    def test_no_such_host(self):
        self.assert_fails(self.call("-i", self.key, "no-such-host.invalid", "true"), "no-such-host.invalid")

    def test_no_such_socket(self):
        self.assert_fails(self.call("-i", self.key, "unix:/no/such/socket", "true"), "/no/such/socket")

    def test_terminal_escapes_in_names(self):
        for word in ("\x1b]0;x\x07.invalid", "a\nb.invalid", "\u009b31m.invalid", "a\u202eb.invalid"):
            result = self.call("-i", self.key, word, "true")
            self.assert_fails(result)
            self.assertNotIn("\u009b", result.stderr.decode())
            self.assertNotIn("\u202e", result.stderr.decode())

    def test_keys(self):
        directory = os.path.join(self.directory, "keys")
        os.mkdir(directory)
        path = os.path.join(directory, "key")
        self.assertEqual(self.call("keygen", "-C", "my key", path).returncode, 0)
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        with open(path, "rb") as file:
            text = file.read()
        self.assertIn(b"comment = my key\n", text)
        self.assert_fails(self.call("keygen", path), "not overwritten")
        with open(path, "rb") as file:
            self.assertEqual(file.read(), text)
        reach = ["-p", str(self.listener.port), "127.0.0.1", "true"]
        for mode in (0o640, 0o604, 0o620, 0o660):
            os.chmod(path, mode)
            self.assert_fails(self.call("-i", path, *reach), f"chmod 600 {path}")
        os.chmod(path, 0o600)
        with open(path, "ab") as file:
            file.write(b"psk = 00\n")
        self.assert_fails(self.call("-i", path, *reach), f"{path}:4:")
        os.unlink(path)
        self.assert_fails(self.call("-i", path, *reach), "there is no key", f"rexec keygen {path}")
        os.symlink("/nowhere", path)
        self.assert_fails(self.call("keygen", path), "not overwritten")
        self.assert_fails(self.call("keygen", os.path.join(directory, "none", "key")), "No such file")
        self.assert_fails(self.call("keygen", "-C", "a\nb", path + "2"), "comment")
        self.assertFalse(os.path.exists(path + "2"))

    def test_default_key(self):
        home = os.path.join(self.directory, "empty")
        os.mkdir(home)
        environment = dict(self.environment, HOME=home)
        subprocess.run([REXEC, "keygen"], env=environment, check=True, stderr=subprocess.DEVNULL)
        for path, mode in (("", 0o700), ("key", 0o600)):
            path = os.path.join(home, ".config", "rexec", path)
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), mode)

    def test_grant(self):
        result = self.call("grant", "--name", "me", "--user", "ann", "--user", "bob", "--from", "192.0.2.0/24",
                           "--from", "unix", "--expires", "2030-01-31", "--max-commands", "7", self.key, "LAB02")
        text = result.stdout.decode()
        for line in ("server = lab02", "name = me", "from = 192.0.2.0/24, unix", "expires = 2030-01-31T00:00:00Z",
                     "max-commands = 7"):
            self.assertIn(line + "\n", text.replace(",unix", ", unix"))
        self.assertRegex(text, r"users = ann, ?bob\n")
        with open(self.key, encoding="utf-8") as file:
            psk = re.search(r"psk = (\w+)", file.read()).group(1)
        self.assertNotIn(psk, text)
        for words in (("--from", "example"), ("--expires", "soon"), ("--user", "x" * 33), ("--name", "a b")):
            self.assert_fails(self.call("grant", *words, self.key, "x"))
        self.assert_fails(self.call("grant", self.key, "a b"), "server name")
        self.assert_fails(self.call("grant", self.key), "grant wants")

    def test_command_line(self):
        for words, text in (((), "no host"), (("-H", "host"), "-H"), (("--no-such", "host"), "--no-such"),
                            (("-p", "0", "host"), "port"), (("-p",), "argument"), (("--env", "x", "host"), "--env")):
            self.assert_fails(self.call(*words), text)
        for words in (("help",), ("--help",), ("--version",), ("host", "--version")):
            result = self.call(*words)
            self.assertEqual((result.returncode, result.stderr), (0, b""), words)
            self.assertIn(b"rexec", result.stdout)

    def test_configuration(self):
        path = os.path.join(self.directory, "config")

        def write(text):
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        write(f"# all\n[*]\nport = 1\nkey = {self.key}\n[lab*]\nport = {self.listener.port}\nhostname = 127.0.0.1\n"
              "[lab02]\nport = 2\n")
        result = self.call("-F", path, "--exec", "lab01", "echo", "x")
        self.assertEqual((result.returncode, result.stdout), (0, b"x\n"), result.stderr)
        self.assert_fails(self.call("-F", path, "lab02", "true"), "port 2 ")
        self.assert_fails(self.call("-F", path, "-p", "3", "lab01", "true"), "port 3 ")
        self.assert_fails(self.call("-F", path, "-o", "port 4", "lab02", "true"), "port 4 ")
        self.assert_fails(self.call("-F", path, "127.0.0.1", "true"), "port 1 ")
        for text, error in (("[*]\nprot = 1\n", ":2: there is no setting prot"), ("[x]\nport = y z\nport=0\n", ":3:"),
                            ("port = 1\n", ":1:"), ("[*]\nnonsense\n", ":2:")):
            write(text)
            self.assert_fails(self.call("-F", path, "127.0.0.1", "true"), path + error)
        os.chmod(path, 0o666)
        self.assert_fails(self.call("-F", path, "127.0.0.1", "true"), "chmod o-w")
        self.assert_fails(self.call("-F", path + "2", "127.0.0.1", "true"), "No such file")

    def test_connection_cut_anywhere(self):
        """Whatever is cut: 255 and one line, never 0; and no output that was not sent."""
        whole = len(self.record())
        self.assertGreater(whole, 104)
        for limit in [*range(0, whole - 1, max(1, whole // 60)), whole - 1]:
            def cut(end, server, limit=limit):
                self.pass_on(end, server, limit)
            result = self.run_command("echo", "hello", listener=self.server(PEER, relay=cut),
                                      options=["--no-resume"])
            self.assertEqual(result.returncode, 255, limit)
            self.assertRegex(result.stderr, LINE, limit)
            self.assertIn(result.stdout, (b"", b"hello\n"))

    def record(self):
        """The bytes that the server sends for echo."""
        seen = bytearray()

        def listen(end, server):
            self.pass_on(end, server, 1 << 30, seen)
        self.assertEqual(self.run_command("echo", "hello", listener=self.server(PEER, relay=listen)).returncode, 0)
        return bytes(seen)

    @staticmethod
    def pass_on(end, server, limit, seen=None):
        """Everything to the server; the first `limit` bytes from it, then the end."""
        def forward():
            try:
                while data := end.recv(65536):
                    server.sendall(data)
                server.shutdown(socket.SHUT_WR)
            except OSError:
                pass
        thread = threading.Thread(target=forward, daemon=True)
        thread.start()
        left = limit
        try:
            while left > 0 and (data := server.recv(min(left, 65536))):
                # Before the client has them: it may be gone, and the recording read, at once after.
                if seen is not None:
                    seen.extend(data)
                end.sendall(data)
                left -= len(data)
        except OSError:
            pass
        for one in (end, server):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        thread.join()
        end.close()
        server.close()

    def test_connection_in_small_pieces(self):
        def chop(end, server):
            def drip(source, target):
                dice = random.Random(4)
                try:
                    while data := source.recv(dice.randint(1, 9)):
                        target.sendall(data)
                    target.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=drip, args=(end, server), daemon=True)
            thread.start()
            drip(server, end)
            thread.join()
            end.close()
            server.close()
        data = random.Random(5).randbytes(40_000)
        result = self.run_command("cat", input=data, listener=self.server(PEER, relay=chop))
        self.assertEqual((result.returncode, result.stdout == data), (0, True))


class TestOverShell(Client):
    """With the server that splits a command line."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.shell = Listener(cls.grant, TOY)
        cls.addClassCleanup(cls.shell.close)

    def shell_call(self, *words, **more):
        verb, *rest = words
        return self.call(verb, *self.reach(self.shell), *rest, **more)

    def test_words_are_joined_by_one_space(self):
        result = self.shell_call("run", "127.0.0.1", "echo", "a b", "c")
        self.assertEqual((result.returncode, result.stdout), (0, b"a b c\n"))

    def test_login_shell_reads_stdin(self):
        result = self.shell_call("run", "127.0.0.1", input=b"what it reads\n")
        self.assertEqual((result.returncode, result.stdout), (0, b"what it reads\n"))

    def test_stdout_ends_before_the_command(self):
        """Whoever reads it is told at once; stderr stays, for what rexec has to say."""
        with subprocess.Popen([REXEC, "run", *self.reach(self.shell), "127.0.0.1", "early"], env=self.environment,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            self.assertEqual(process.stdout.read(), b"all\n")
            self.assertIsNone(process.poll())
            process.stdin.close()
            self.assertEqual((process.wait(TIME_LIMIT), process.stderr.read()),
                             (4, b"rexec: 127.0.0.1: the command was ended: timeout\n"))

    def test_options_behind_the_host(self):
        result = self.shell_call("run", "127.0.0.1", "-T", "-oBatchMode=yes", "-o", "ForwardX11 no", "--", "echo", "-n")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, b"-n\n", b""))

    def test_batch_in_order(self):
        lines = b"echo one\n\nbig 600000\necho two\nboth\nno-such\necho last"
        before = self.shell.connections
        result = self.shell_call("batch", "127.0.0.1", input=lines)
        self.assertEqual(result.returncode, 1)
        self.assertEqual(self.shell.connections, before + 1)
        self.assertEqual(len(result.stdout), 4 + 600000 + 4 + 4 + 5)
        self.assertTrue(result.stdout.startswith(b"one\n"))
        self.assertTrue(result.stdout.endswith(b"two\nout\nlast\n"))
        self.assertEqual(result.stderr, b"err\nrexec: 127.0.0.1: line 5: exit status 3\n"
                         b"rexec: 127.0.0.1: line 6: there is no such command on the server\n")

    def test_batch_all_well(self):
        for jobs in ("1", "3", "100"):
            lines = b"".join(b"echo %d\n" % i for i in range(200))
            result = self.shell_call("batch", "-j", jobs, "127.0.0.1", input=lines)
            expected = b"".join(b"%d\n" % i for i in range(200))
            self.assertEqual((result.returncode, result.stdout, result.stderr), (0, expected, b""))

    def test_batch_as_completed(self):
        lines = b"big 3000000\n" + b"echo quick\n" * 5
        result = self.shell_call("batch", "--as-completed", "-j", "3", "127.0.0.1", input=lines)
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        self.assertEqual(len(result.stdout), 3000000 + 5 * 6)
        self.assertTrue(result.stdout.startswith(b"quick\n"))
        # Each one's output is in one piece.
        self.assertEqual(len(result.stdout.replace(b"quick\n", b"")), 3000000)

    def test_batch_json(self):
        for order in ([], ["--as-completed"]):
            lines = b"both\nno-such\necho x\n"
            result = self.shell_call("batch", "--json", *order, "127.0.0.1", input=lines)
            values = sorted((json.loads(line) for line in result.stdout.splitlines()), key=lambda v: v["line"])
            self.assertEqual((result.returncode, result.stderr), (1, b""))
            self.assertEqual([v["command"] for v in values], lines.decode().split("\n")[:-1])
            self.assertEqual([v["status"] for v in values], [3, 255, 0])
            self.assertEqual((values[0]["stderr"], values[2]["stdout"]), ("err\n", "x\n"))

    def test_batch_over_a_lost_connection(self):
        result = self.call("batch", "-i", self.key, "-p", "1", "127.0.0.1", input=b"echo x\n")
        self.assert_fails(result, "refused")

    def test_ping(self):
        result = self.shell_call("ping", "-c", "3", "--utc", "--format", "%Y year", "127.0.0.1")
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        self.assertIn(b"3 of 3\n", result.stdout)
        self.assertIn(time.strftime("time %Y year\n", time.gmtime()).encode(), result.stdout)
        value = json.loads(self.shell_call("ping", "--json", "--format", "", "127.0.0.1").stdout)
        self.assertEqual((value["server"], value["received"], value["time"]), (NAME, 4, ""))
        self.assert_fails(self.shell_call("ping", "127.0.0.1", "word"), "ping wants")


def serve_toy():
    import toy

    class Shell(toy.Toy):
        """Splits a command line at its spaces; the login shell is cat."""

        def __init__(self, session, command):
            run = command.header.pop("run", "shell")
            command.header["run"] = "exec"
            words = {"shell": lambda: command.arguments[0].split(b" "), "login": lambda: [b"cat"]}
            self.split = words.get(run, lambda: command.arguments)()
            super().__init__(session, Split(command, self.split))
            self.command = command

        def start(self):
            if self.name != b"early":
                return super().start()
            self.session.started(self.command)
            self.command.stdout.write(b"all\n")
            self.command.stdout.finish()
            self.command.stderr.finish()
            return True

        def step(self):
            if self.name == b"early" and self.input_ended and self.command.exit_header is None:
                self.exit(code=4, by="timeout")
            super().step()

        def data(self, data, last):
            super().data(data, last)
            self.input_ended = self.input_ended or last

    class Split:
        """A command with other words."""

        def __init__(self, command, arguments):
            self.command, self.arguments = command, arguments

        def __getattr__(self, name):
            return getattr(self.command, name)

    toy.Toy = Shell
    sys.argv[1:2] = []
    sys.exit(toy.main())


if __name__ == "__main__":
    if sys.argv[1:2] == ["--toy"]:
        serve_toy()
    unittest.main()
