#!/usr/bin/python3
"""The mistakes that people make: each gives one line that says what happened and what to do."""

import contextlib
import getpass
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import unittest

from lab import NAME, REXEC, REXECD, Lab, LabTest, until

ROOT = os.geteuid() == 0
TIME_LIMIT = 60


def call(*words, home=None, **more):
    """The program by itself, with a home directory that may be empty."""
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    environment = dict(os.environ, HOME=str(home or "/nonexistent"), LC_ALL="C.UTF-8")
    return subprocess.run([str(word) for word in words], env=environment, timeout=TIME_LIMIT, check=False, **options)


def within(script, *words, namespaces="m"):
    """A command line that runs the words in namespaces of their own, after the shell script."""
    flags = f"-{namespaces}" if ROOT else f"-r{namespaces}"
    return ["unshare", flags, "sh", "-ec", script + '\nexec "$@"', "sh", *map(str, words)]


def has_namespaces():
    try:
        return subprocess.run(within("mount -t tmpfs none /mnt", "true", namespaces="mn"), capture_output=True,
                              timeout=TIME_LIMIT, check=False).returncode == 0
    except FileNotFoundError:
        return False


def by_hosts(lab, addresses, *options):
    """Runs rexec where the name of the server has these addresses."""
    path = lab.dir / "hosts"
    path.write_text("".join(f"{address} {NAME}\n" for address in addresses))
    return call(*within(f"mount --bind {path} /etc/hosts", REXEC, "-F", "none", "-i", lab.key, "-p", lab.port, "-v",
                        *options, NAME, "echo hi"))


@contextlib.contextmanager
def silent_port(address="127.0.0.1", port=0):
    """A port that never answers: its queue of connections is full."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind((address, port))
        server.listen(0)
        for _ in range(3):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield server.getsockname()[1]


def with_audit(lab, where):
    """Starts the server afresh, its records going there."""
    lab.stop()
    lab.audit = where
    lab.start()


class UserTest(LabTest):
    def user_error(self, run, *parts, status=255):
        """One line, with something to do in it."""
        self.one_line(run, *parts, status=status)
        self.assertRegex(run.stderr.decode(), r"\S; \S")


class Reaching(UserTest):
    """Hosts and ports."""

    def reach(self, *words, host="127.0.0.1"):
        return call(REXEC, "-F", "none", "-i", self.lab.key, "-o", "HostKeyAlias=" + NAME, *words, host, "true")

    def test_port_behind_the_host(self):
        self.user_error(self.reach(host="lab.invalid:7512"), "lab.invalid:7512 not found", "; give the port by itself: "
                        "-p 7512\n")

    def test_family_that_does_not_fit(self):
        self.user_error(self.reach("-4", host="::1"), "::1 is no IPv4 address; leave -4 out\n")
        self.user_error(self.reach("-6"), "127.0.0.1 is no IPv6 address; leave -6 out\n")
        self.user_error(self.reach("-6", "-p", "no-such"), "no port or service no-such; give a number")

    def test_no_host(self):
        for host in ("", "[]", "user@", "user@[]"):
            self.one_line(self.reach(host=host), "this is no host", "; see `rexec help`")

    def test_connect_timeout(self):
        with silent_port() as port:
            run = self.reach("-p", port, "-o", "ConnectTimeout=1")
        self.user_error(run, f"127.0.0.1 port {port} timed out; check that the machine is up", "ConnectTimeout")

    def test_an_ssh_server(self):
        """It says less than rexec waits for, and waits for more itself."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            def serve():
                end, _ = server.accept()
                with end:
                    end.sendall(b"SSH-2.0-OpenSSH_9.2p1\r\n")
                    while end.recv(1024):
                        pass
            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            run = self.reach("-p", server.getsockname()[1], "-o", "ConnectTimeout=40")
            thread.join(TIME_LIMIT)
        self.user_error(run, "is not a rexec server; check the port (-p)\n")

    @unittest.skipUnless(has_namespaces(), "needs namespaces")
    def test_all_addresses_refuse(self):
        run = by_hosts(self.lab, ("127.0.0.2", "127.0.0.3"))
        self.user_error(run, "refused; start rexecd there")

    @unittest.skipUnless(has_namespaces(), "needs namespaces")
    def test_no_such_address_of_this_family(self):
        run = by_hosts(self.lab, ("127.0.0.1",), "-6")
        self.user_error(run)
        self.assertRegex(run.stderr.decode(), r"\Arexec: lab01: (host lab01 not found|cannot look up lab01 now): ")

    @unittest.skipUnless(has_namespaces() and shutil.which("ip"), "needs namespaces and ip")
    def test_no_route(self):
        words = [REXEC, "-F", "none", "-i", self.lab.key, "192.0.2.1", "true"]
        for script in ("ip link set lo up", "ip link set lo up; ip route add blackhole 192.0.2.0/24",
                       "ip link set lo up; ip route add unreachable 192.0.2.0/24"):
            run = call(*within(script, *words, namespaces="n"))
            self.user_error(run, "no route to 192.0.2.1 port 7512; check the address and your network\n")

    def test_sockets(self):
        path = self.lab.dir / "file"
        path.write_text("")
        for bad, text in ((path, f"connection to unix:{path} refused; start rexecd, or check the path\n"),
                          (self.lab.dir / "none", "there is no socket unix:"), ("", "the path of a socket has 1 to"),
                          ("x" * 200, "; use a shorter path\n")):
            run = self.reach(host=f"unix:{bad}")
            if bad == path and not ROOT and b"Permission denied" in run.stderr:
                continue
            self.user_error(run, text)
        left = self.lab.dir / "left"
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(left))
        self.user_error(self.reach(host=f"unix:{left}"), "refused; start rexecd, or check the path\n")


class Sockets(unittest.TestCase):
    """The other kinds of addresses work."""

    @unittest.skipUnless(has_namespaces(), "needs namespaces")
    def test_two_addresses_of_which_one_is_dead(self):
        """Either way round, as the resolver may sort them."""
        for live, dead in (("127.0.0.1", "127.0.0.2"), ("127.0.0.2", "127.0.0.1")):
            with Lab(listen=(live + ":0",)) as lab:
                for name in ("refuses", "is silent"):
                    silent = silent_port(dead, lab.port) if name == "is silent" else contextlib.nullcontext()
                    with self.subTest(live=live, dead=name), silent:
                        run = by_hosts(lab, (dead, live), "-o", "ConnectTimeout=1")
                        self.assertEqual((run.returncode, run.stdout), (0, b"hi\n"), run.stderr)
                        self.assertIn(f"connected to {live} port {lab.port}".encode(), run.stderr)

    def test_unix(self):
        path = pathlib.Path(tempfile.mkdtemp(prefix="rexec-unix-")) / "socket"
        self.addCleanup(shutil.rmtree, path.parent)
        with Lab(listen=(f"unix:{path}",), grant_options=("--from", "unix")) as lab:
            for host in (f"unix:{path}", f"{getpass.getuser()}@unix:{path}"):
                run = call(REXEC, "-F", "none", "-i", lab.key, "-o", "HostKeyAlias=" + NAME, host, "echo hi")
                self.assertEqual((run.returncode, run.stdout, run.stderr), (0, b"hi\n", b""))
        self.assertFalse(path.exists())

    def test_ipv6(self):
        try:
            with socket.create_server(("::1", 0), family=socket.AF_INET6):
                pass
        except OSError:
            self.skipTest("no IPv6 here")
        with Lab(listen=("[::1]:0",)) as lab:
            for host in ("::1", "[::1]"):
                run = call(REXEC, "-F", "none", "-i", lab.key, "-p", lab.port, "-o", "HostKeyAlias=" + NAME, host,
                           "echo $REXEC_CONNECTION")
                self.assertEqual((run.returncode, run.stderr), (0, b""))
                self.assertRegex(run.stdout, rb"\A::1 \d+\n\Z")


class Grants(UserTest):
    """What the grant does not permit."""

    def with_grant(self, file, *options, name=NAME):
        key = self.lab.dir / (file + ".key")
        self.lab.make_key(key)
        self.lab.add_grant(file, key, *options, name=name)
        return key

    def reload(self):
        before = self.lab.said()
        self.lab.server.send_signal(signal.SIGHUP)
        self.assertTrue(until(lambda: len(self.lab.said()) > len(before)))

    def test_grants_that_cannot_be_used(self):
        """All alike, so that nobody is told more than that."""
        keys = {
            "expired": self.with_grant("expired", "--expires", "2020-01-01"),
            "early": self.with_grant("early", "--not-before", "2100-01-01"),
            "elsewhere": self.with_grant("elsewhere", "--from", "192.0.2.1"),
            "other": self.with_grant("other", name="lab02"),
            "open": self.with_grant("open"),
            "missing": self.lab.dir / "missing.key",
        }
        self.lab.make_key(keys["missing"])
        (self.lab.grants / "open").chmod(0o644)
        revoked = self.with_grant("revoked")
        with open(self.lab.grants / "revoked", "a", encoding="ascii") as file:
            file.write("revoked = yes\n")
        self.reload()
        for key in [*keys.values(), revoked]:
            self.user_error(self.lab.rexec("true", key=key), "the server holds no grant of this key for the name "
                            f"{NAME} that can be used; put what `rexec grant {key} {NAME}` prints into")
        said = self.lab.said()
        self.assertIn("open: others may read or write it: chmod 600 it: not used", said)
        left = "no session: the client left in the handshake, as one does that has no grant here"
        self.assertTrue(until(lambda: left in self.lab.said()), said)
        self.assertIn("other: is for the server lab02, and this one is lab01 (--name): not used", said)

    def test_a_user_who_is_not_permitted(self):
        run = self.lab.rexec("true", options=("-l", "daemon"))
        self.user_error(run, "the grant does not permit the user daemon; choose another with -l\n" if ROOT else
                        "commands as " + getpass.getuser() + " only; leave -l out\n")

    @unittest.skipUnless(ROOT, "another user's daemon knows no other users")
    def test_no_such_user(self):
        key = self.with_grant("ghost", "--user", "no-such-user")
        self.reload()
        self.user_error(self.lab.rexec("true", key=key, options=("-l", "no-such-user")),
                        "there is no user no-such-user on the server; choose another with -l\n")

    @unittest.skipUnless(ROOT, "needs a daemon of root's")
    def test_a_daemon_of_root_runs_as_others(self):
        with Lab(grant_options=("--user", "daemon"), any_shell="yes") as lab:
            options = ("--exec", "-l", "daemon", "--cwd", "/")
            self.check(lab.rexec("id", "-un", options=options), 0, b"daemon\n")

    @unittest.skipUnless(ROOT, "needs a daemon of root's")
    def test_a_user_whom_nobody_logs_in_as(self):
        key = self.with_grant("daemon", "--user", "daemon")
        self.reload()
        self.user_error(self.lab.rexec("id", "-un", key=key, options=("--exec", "-l", "daemon", "--cwd", "/")),
                        "is not in /etc/shells; choose another with -l, or see any_shell in rexecd.conf(5)\n")

    @unittest.skipUnless(ROOT, "needs a daemon of root's")
    def test_a_grant_without_users(self):
        key = self.lab.dir / "unnamed.key"
        self.lab.make_key(key)
        path = self.lab.grants / "unnamed"
        path.touch(mode=0o600)
        path.write_bytes(call(REXEC, "grant", key, NAME).stdout)
        self.reload()
        self.user_error(self.lab.rexec("true", key=key), "the grant names no user", "; ask for users")

    def test_the_grants_limit(self):
        key = self.with_grant("one", "--max-commands", "1")
        self.reload()
        with self.lab.popen("echo on; cat", key=key) as first:
            self.assertEqual(first.stdout.readline(), b"on\n")
            self.user_error(self.lab.rexec("true", key=key), "limit of commands at once (1) is reached; wait until")
            first.stdin.close()
            self.assertEqual(first.wait(TIME_LIMIT), 0)
        self.assertEqual(self.lab.rexec("true", key=key).returncode, 0)

    def test_a_forced_command(self):
        key = self.with_grant("forced", "--command", "echo forced")
        self.reload()
        self.check(self.lab.rexec("rm", key=key), 0, b"forced\n")
        self.user_error(self.lab.rexec("true", key=key, options=("--cwd", "/")), "forces a command",
                        "; leave --cwd out")

    def test_a_variable_that_is_not_accepted(self):
        for name in ("LD_PRELOAD", "USER"):
            self.user_error(self.lab.rexec("true", options=("--env", name + "=x")),
                            f"does not accept the environment variable {name}; leave it out")


class Commands(UserTest):
    """Without an audit, whose copy of the words is not there to tell from."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with_audit(cls.lab, "none")

    def test_no_such_directory(self):
        self.user_error(self.lab.rexec("pwd", options=("--cwd", "/no/such")), "the working directory cannot be "
                        "entered: /no/such: No such file or directory; check --cwd")

    def test_no_such_command(self):
        self.user_error(self.lab.rexec("no-such-command", "x", options=("--exec",)),
                        "there is no such command on the server: no-such-command, or the interpreter that it names; "
                        "check the spelling")
        self.assertRegex(self.lab.said(), r": not started: command_not_found: no-such-command, or the interpreter")

    def test_not_executable(self):
        self.user_error(self.lab.rexec("/etc/passwd", options=("--exec",)), "the command cannot be executed: "
                        "Permission denied; check its permissions")

    def test_the_timeout(self):
        for value in ("0", "-1", "soon", "1.2345"):
            self.one_line(self.lab.rexec("true", options=("--timeout", value)),
                          f"--timeout wants seconds above 0, as in 5 or 0.25, not {value}; ")
        run = self.lab.rexec("sleep 60", options=("--timeout", "0.1"))
        self.check(run, 128 + signal.SIGTERM, stderr=f"rexec: {NAME}: the command was ended: timeout: it took longer "
                   "than it was given\n".encode())

    def test_a_suite_that_is_not_there(self):
        self.user_error(self.lab.rexec("true", options=("--readable",)), "no cipher suite in common; leave out "
                        "--readable")


class Server(UserTest):
    """A server that is full, or goes away."""

    def test_limits_of_the_server(self):
        with Lab(max_commands_total=1) as lab, lab.popen("echo on; cat") as first:
            self.assertEqual(first.stdout.readline(), b"on\n")
            self.user_error(lab.rexec("true"), "the server runs as many commands as it may; try again later\n")
            first.stdin.close()
            first.wait(TIME_LIMIT)

    def test_an_audit_on_a_full_disk(self):
        with Lab() as lab:
            with_audit(lab, "/dev/full")
            self.check(lab.rexec("echo hi"), 0, b"hi\n")
            self.assertTrue(until(lambda: lab.said().count("an audit record is lost: No space left on device") == 2),
                            lab.said())

    def test_no_more_connections(self):
        with Lab(max_connections=1) as lab, lab.popen("echo on; cat") as first:
            self.assertEqual(first.stdout.readline(), b"on\n")
            self.user_error(lab.rexec("true"), "too many connections; try again when other connections have ended\n")
            first.stdin.close()
            first.wait(TIME_LIMIT)

    def test_readable_without_the_grants_leave(self):
        with Lab(readable="yes") as lab:
            self.user_error(lab.rexec("true", options=("--readable",)), "may not use the readable suite; leave "
                            "--readable out")

    def test_the_server_is_stopped(self):
        with Lab(stop_grace=0) as lab, lab.popen("echo on; exec sleep 60", stdin=subprocess.DEVNULL,
                                        options=["--no-resume"]) as client:
            self.assertEqual(client.stdout.readline(), b"on\n")
            lab.stop()
            _, said = client.communicate(timeout=TIME_LIMIT)
            self.assertIn(client.returncode, (128 + signal.SIGTERM, 128 + signal.SIGKILL))
            self.assertRegex(said.decode(), rf"\Arexec: {NAME}: the command was ended: shutdown[^\n]*\n\Z")

    def test_the_server_dies(self):
        with Lab() as lab, lab.popen("echo on; exec sleep 60", stdin=subprocess.DEVNULL,
                                        options=("--no-resume",)) as client:
            self.assertEqual(client.stdout.readline(), b"on\n")
            lab.stop(signal.SIGKILL)
            rest, said = client.communicate(timeout=TIME_LIMIT)
            self.assertEqual((client.returncode, rest), (255, b""))
            self.assertRegex(said.decode(), rf"\Arexec: {NAME}: the connection to 127\.0\.0\.1 port \d+ was lost "
                             r"before the command had ended; check [^\n]*\n\Z")


class Here(UserTest):
    """Mistakes on the client's own machine."""

    def setUp(self):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="rexec-home-"))
        self.addCleanup(shutil.rmtree, self.home)

    def configure(self, text):
        directory = self.home / ".config" / "rexec"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "config").write_text(text, encoding="utf-8")
        return directory / "config"

    def with_config(self, *words):
        return call(REXEC, *words, home=self.home)

    def test_no_key_yet(self):
        key = self.home / ".config/rexec/key"
        self.user_error(self.with_config("lab01", "true"), f"there is no key {key}; make one with `rexec keygen {key}`")

    def test_keys_that_are_none(self):
        """Nobody is told to change the mode of a device or a directory."""
        for path in (self.home, "/dev/null"):
            run = self.with_config("-i", path, "lab01", "true")
            self.user_error(run, f"cannot read the key {path}: ", "; name the file of a key with -i\n")

    def test_a_key_from_a_pipe(self):
        with open(self.lab.key, "rb") as file:
            read, write = os.pipe()
            os.write(write, file.read())
            os.close(write)
        run = self.lab.rexec("echo hi", key=f"/proc/self/fd/{read}", pass_fds=[read])
        os.close(read)
        self.check(run, 0, b"hi\n")

    def test_a_configuration_like_that_of_ssh(self):
        """Indented lines belong to the section, not to the line before."""
        self.configure(f"# all machines\n[*]\n    key = {self.lab.key}\n\n[lab]\n    hostname = 127.0.0.1\n"
                       f"    name = {NAME}    ; its name\n\tport = {self.lab.port}\n")
        self.check(self.with_config("lab", "echo hi"), 0, b"hi\n")

    def test_mistakes_in_the_configuration(self):
        for text, error in (("[*]\n  port = 1\n  prot = 2\n", ":3: there is no setting prot; "),
                            ("[*]\nport = 99999\n", ":2: port: 99999: a port is a number from 1 to 65535; "),
                            ("[*]\n# " + "x" * 300 + " port = 1\n", ":2: a line has at most 198 bytes; "),
                            ("Host lab\n", ":1: neither [SECTION] nor NAME = VALUE; ")):
            path = self.configure(text)
            self.user_error(self.with_config("lab01", "true"), f"{path}{error}", "-F none")
        self.user_error(self.with_config("-F", self.home, "lab01", "true"), f"{self.home}: Is a directory; ")

    def test_an_option_of_another_verb(self):
        for words, said in ((("-F", "none", "batch", "-j", "2", NAME), "a verb comes first, and this is an option of "
                             "others: -j; see"), (("ping", "--timeout", "1", NAME), "of others: --timeout; see"),
                            (("ping", "--tiemout", "1", NAME), "there is no option --tiemout; see")):
            self.user_error(call(REXEC, *words), said)

    def test_grant_with_its_words_turned_round(self):
        self.user_error(self.with_config("grant", NAME, self.lab.key), f"there is no key {NAME}; give the key's file "
                        "first, then the server's name")
        self.user_error(self.with_config("grant", "--user", "ann,bob", self.lab.key, NAME), "ann,bob")

    def test_a_grant_that_others_can_read(self):
        path = self.home / "grant"
        for mode, said in ((0o644, b"rexec: the file that this grant goes to can be read by others; chmod 600 it\n"),
                           (0o600, b"")):
            with open(path, "wb") as file:
                os.fchmod(file.fileno(), mode)
                run = self.with_config("grant", self.lab.key, NAME)
                self.assertEqual((run.returncode, run.stderr), (0, b""))        # a pipe is nobody's file
                run = call(REXEC, "grant", self.lab.key, NAME, stdout=file)
            self.assertEqual((run.returncode, run.stderr), (0, said))
            self.assertTrue(path.read_bytes().startswith(b"rexec-grant 1\n"))

    def test_no_room_left(self):
        with open("/dev/full", "wb") as full:
            run = call(REXEC, "grant", self.lab.key, NAME, stdout=full)
            self.assertEqual((run.returncode, run.stderr), (255, b"rexec: cannot write to stdout: No space left on "
                             b"device; check where the output goes, and the room left there\n"))

    @unittest.skipUnless(has_namespaces(), "needs namespaces")
    def test_no_room_left_for_a_key(self):
        """Nothing that looks like a key stays behind."""
        script = f"""mount -t tmpfs -o size=4k none {self.home}
                     head -c 4096 /dev/zero > {self.home}/full"""
        run = call(*within(script, "sh", "-c", '"$@"; s=$?; ls "$0"; exit $s', self.home, REXEC, "keygen",
                           self.home / "key"))
        self.assertEqual((run.returncode, run.stdout), (255, b"full\n"))
        self.assertRegex(run.stderr.decode(),
                         r"\Arexec: cannot write [^\n]*: No space left on device; check [^\n]*\n\Z")


class Daemon(unittest.TestCase):
    """Mistakes in starting rexecd: it ends, and says why."""

    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="rexec-daemon-"))
        self.addCleanup(shutil.rmtree, self.dir)
        self.grants = self.dir / "grants"
        self.grants.mkdir(mode=0o700)

    def refused(self, status, text, *words):
        quiet = () if "--log" in words else ("--log", "error")
        run = call(REXECD, "--check", *quiet, *words, home=self.dir)
        self.assertEqual((run.returncode, run.stdout), (status, b""), run.stderr)
        self.assertRegex(run.stderr.decode(), r"\Arexecd: [ -~]*\n\Z")
        self.assertIn(text, run.stderr.decode())

    def test_flags(self):
        for words, text in ((("extra",), "extra: not a flag; rexecd --help lists them"),
                            (("--prot", "1"), "prot: unknown key; rexecd --help lists them"),
                            (("--name",), "--name: give a value"),
                            (("--max-commands", "0"), "max-commands: give a number from 1 to 65535"),
                            (("--readable", "maybe"), "readable: give yes or no"),
                            (("--drain", "1.2345"), "drain: give seconds"),
                            (("--log", "loud"), "log: give error, warning, info or debug"),
                            (("--name", "a b"), "name: 1 to 255 printable characters without spaces"),
                            (("-f", "/no/such"), "/no/such: No such file or directory")):
            self.refused(2, text, *words)

    def test_files(self):
        path = self.dir / "conf"
        for text, error in (("listen = 127.0.0.1:0\nname = a\nname = b\n", ":3: name: given twice"),
                            ("[server]\nname = a\n", ":2: [server]: unknown section; there is only [rexecd]"),
                            ("name\n", ":1: not `key = value`"), ("# " + "x" * 200 + "\n", ":1: longer than 190 bytes"),
                            ("max_commands = many\n", ":1: max_commands: give a number from 1 to 65535")):
            path.write_text(text, encoding="ascii")
            self.refused(2, f"{path}{error}", "-f", path)

    def test_addresses(self):
        taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(taken.close)
        file = self.dir / "file"
        file.write_text("")
        for address, text in (("7512", "give ADDRESS:PORT, [IPV6]:PORT, *:PORT or unix:PATH"),
                              ("::1:7512", "give ADDRESS:PORT"), ("127.0.0.1:99999", "give ADDRESS:PORT"),
                              (f"127.0.0.1:{taken.getsockname()[1]}",
                               "another server is there already: stop it, or choose another port"),
                              ("192.0.2.1:7512", "this machine has no such address: ip address lists those it has"),
                              (f"unix:{file}", "another server, or a file, is there already"),
                              ("unix:/no/such/socket", "No such file or directory")):
            self.refused(1, f"cannot listen on {address}: {text}", "--grants", self.grants, "--listen", address)

    @unittest.skipIf(ROOT, "root may")
    def test_a_port_of_roots(self):
        with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="ascii") as file:
            if int(file.read()) <= 80:
                self.skipTest("anybody may here")
        self.refused(1, "ports below 1024 need root: choose another", "--grants", self.grants, "--listen",
                     "127.0.0.1:80")

    def test_grants(self):
        none = self.dir / "none"
        self.refused(1, f"{none}: there is no such directory of grants; make it: mkdir -p -m 700 {none}",
                     "--grants", none)
        self.refused(1, "/etc/passwd: the grants cannot be read: Not a directory", "--grants", "/etc/passwd")
        self.grants.chmod(0o777)
        self.refused(1, f"{self.grants}: others may write to the grants: chown and chmod go-w the directory",
                     "--grants", self.grants)

    def test_an_audit_that_cannot_be_written(self):
        self.refused(1, "the audit file cannot be opened: No such file or directory", "--grants", self.grants,
                     "--audit", "/no/such/file")

    def test_no_grants_yet(self):
        """No error, as they may come; but nobody is left to wonder."""
        run = call(REXECD, "--check", "--grants", self.grants, "--name", NAME, "--listen", "127.0.0.1:0")
        self.assertEqual(run.returncode, 0)
        self.assertIn(f"no grants for the server {NAME}: nobody can connect; put in what `rexec grant KEY {NAME}` "
                      "prints", run.stderr.decode())


if __name__ == "__main__":
    unittest.main()
