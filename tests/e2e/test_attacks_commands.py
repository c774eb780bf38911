"""The rows "Commands" of the table of attacks, each with real clients, a real daemon and real processes.

REXEC_ROUNDS=5000 makes the campaigns long (clients killed; every byte at which a connection can be cut), and
REXEC_ZOMBIES=100000 says how many commands must leave no zombie.
"""

import base64
import contextlib
import getpass
import grp
import json
import os
import pathlib
import pwd
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from attack_tools import NO_LINGER, ROOT, ROUNDS, at_rest, client_copy, cut, descriptors, marked, open_files, reset
from hostile import Client, Impostor
from lab import SANITIZED, Lab, LabTest, alive, until

import rexec_protocol as rp

IN_NAMESPACE = "REXEC_TEST_IN_PID_NAMESPACE"
# A cgroup v2 of the test's own, if there is none that can be written; for the daemon only.
OWN_CGROUP = ("unshare", "--mount", "sh", "-c",
              'd=$(mktemp -d) && mount -t cgroup2 none "$d" && exec "$@"', "sh")


def batch(lab, lines, *options, timeout=250, **more):
    run = subprocess.run(client_copy(lab, " ".join(["batch", "--json", *options]), **more), input=lines,
                         capture_output=True, timeout=timeout)
    return [json.loads(line) for line in run.stdout.splitlines()], run


def psk_of(lab):
    return rp.parse_key_file(lab.key.read_bytes())["psk"]


class Words(LabTest):
    """Argument or option injection (telnetd's `-f root`)."""

    def echo(self, words, program=None):
        """The words as a program of the command saw them."""
        script = program or "import os,sys\nos.write(1, b'\\0'.join(map(os.fsencode, sys.argv[1:])))"
        command = self.lab.command_line("/usr/bin/python3", "-S", "-c", script, options=("--exec",))
        run = subprocess.run([os.fsencode(part) for part in command] + words, capture_output=True,
                             stdin=subprocess.DEVNULL, timeout=60)
        self.assertEqual((run.returncode, run.stderr), (0, b""))
        return run.stdout.split(b"\0")

    def test_argument_injection_every_byte_at_every_position(self):
        words = [b"word"[:at] + bytes([byte]) + b"word"[at:] for byte in range(1, 256) for at in range(5)]
        self.assertEqual(self.echo(words), words)

    def test_argument_injection_what_shells_and_options_live_on(self):
        words = [b"-f", b"root", b"-froot", b"--", b"-", b"-n", b"--exec", b"--help", b"-oProxyCommand=x", b"", b" ",
                 b"a\nb", b"\r", b"'", b"\"", b"`id`", b"$(id)", b"${IFS}", b"\\", b"*", b"~", b";id", b"|id", b"&",
                 b">x", b"#", b"!!", b"%s%n", bytes(range(1, 256)), b"x" * 100_000]
        self.assertEqual(self.echo(words), words)

    def test_option_injection_the_first_word_is_a_program_and_no_option(self):
        """Behind -- and behind the first word nothing is an option, of ours or of a shell's."""
        for word in ("-f", "--exec", "-c", "--", "-oHostName=x", "--version"):
            with self.subTest(word=word):
                self.one_line(self.lab.rexec("--", word, "id", options=("--exec",)), word)
                self.one_line(self.lab.rexec("no-such-program", word, options=("--exec",)), "no-such-program")

    def test_option_injection_user_and_directory_are_values(self):
        directory = tempfile.mkdtemp(prefix="-c ", dir=self.lab.dir)
        self.check(self.lab.rexec("pwd", options=("--cwd", directory)), 0, os.fsencode(directory) + b"\n")
        self.one_line(self.lab.rexec("id", options=("-l", "-froot")))


class Environment(LabTest):
    """Environment injection (Shellshock, LD_PRELOAD, CVE-2014-2532)."""

    @classmethod
    def setUpClass(cls):
        poison = {"EVIL": "1", "BASH_ENV": "/nonexistent", "LANG": "xx_XX", "PATH": "/nonexistent:" + os.environ["PATH"]}
        before = {name: os.environ.get(name) for name in poison}
        os.environ.update(poison)           # what the daemon was started with is not its commands'
        try:
            super().setUpClass()
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})

    def environment(self, *options, lab=None):
        # A client may send its language of its own accord: this one has none.
        ours = {name: value for name, value in os.environ.items() if name != "LANG" and not name.startswith("LC_")}
        run = (lab or self.lab).rexec("/usr/bin/env", "-0", options=("--exec", *options), env=ours)
        self.assertEqual((run.returncode, run.stderr), (0, b""))
        return dict(entry.split(b"=", 1) for entry in run.stdout.split(b"\0") if entry)

    def base(self, connection):
        me = pwd.getpwuid(os.geteuid())
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" if ROOT else "/usr/local/bin:/usr/bin:/bin"
        text = {"HOME": me.pw_dir, "USER": me.pw_name, "LOGNAME": me.pw_name, "SHELL": me.pw_shell or "/bin/sh",
                "PATH": path}
        return {**{name.encode(): value.encode() for name, value in text.items()}, b"REXEC_CONNECTION": connection}

    def exact(self, found, **more):
        connection = found.get(b"REXEC_CONNECTION", b"")
        self.assertRegex(connection, rb"\A127\.0\.0\.1 [0-9]+\Z")
        self.assertEqual(found, {**self.base(connection), **{name.encode(): value for name, value in more.items()}})

    def test_environment_injection_nothing_but_what_is_documented(self):
        self.exact(self.environment())

    def test_environment_injection_values_are_only_values(self):
        """Shellshock: what looks like a function, or more variables, is a value to the last byte."""
        mark = self.lab.dir / "shocked"
        shock = f"() {{ :;}}; touch {mark}"
        lines = "a\nUSER=nobody\nLD_PRELOAD=/x\0"[:-1]
        raw = bytes(range(1, 256))
        found = self.environment("--env", f"SHOCK={shock}", "--env", f"LINES={lines}", "--env",
                                 os.fsdecode(b"RAW=" + raw))
        self.exact(found, SHOCK=shock.encode(), LINES=lines.encode(), RAW=raw)
        run = self.lab.rexec("bash", "-c", "bash -c true; echo done", options=("--exec", "--env", f"SHOCK={shock}"))
        self.check(run, 0, b"done\n")
        self.assertFalse(mark.exists())

    def test_environment_injection_names_that_loaders_and_shells_obey(self):
        refused = ["LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "GLIBC_TUNABLES", "GCONV_PATH", "BASH_ENV", "ENV",
                   "SHELLOPTS", "BASHOPTS", "PS4", "IFS", "BASH_FUNC_ls%%", "PYTHONPATH", "PYTHONSTARTUP", "PERL5OPT",
                   "RUBYOPT", "NODE_OPTIONS", "MALLOC_TRACE", "TZDIR", "USER", "LOGNAME", "SHELL", "REXEC_CONNECTION",
                   "REXEC_ORIGINAL_COMMAND"]
        for name in refused:
            with self.subTest(name=name):
                self.one_line(self.lab.rexec("true", options=("--env", f"{name}=x")), name)

    def test_environment_injection_accept_env(self):
        """Only the patterns' names; a dangerous one if it is written out (CVE-2014-2532: `*` may not reach far)."""
        with Lab(accept_env="OK_*x*") as lab:
            self.exact(self.environment("--env", "OK_max=1", lab=lab), OK_max=b"1")
            for name in ("OK_", "ok_x", "NOT_OK_x", "OK", "LANG"):
                self.one_line(lab.rexec("true", options=("--env", f"{name}=x")), name)
        with Lab(accept_env="LD_*") as lab:
            self.one_line(lab.rexec("true", options=("--env", "LD_BIND_NOW=1")), "LD_BIND_NOW")
        with Lab(accept_env="LD_BIND_NOW") as lab:
            self.exact(self.environment("--env", "LD_BIND_NOW=1", lab=lab), LD_BIND_NOW=b"1")

    def test_environment_injection_into_a_forced_command(self):
        """Its environment is not the client's to make, apart from a few names."""
        with Lab(grant_options=("--command", "/usr/bin/env -0")) as lab:
            run = lab.rexec("rm", "-rf", "$(x)", options=("--env", "LANG=C", "--env", "GIT_PROTOCOL=version=2"))
            found = dict(entry.split(b"=", 1) for entry in run.stdout.split(b"\0") if entry)
            for own in (b"PWD", b"OLDPWD", b"SHLVL", b"_"):         # the shell's that runs it
                found.pop(own, None)
            self.exact(found, LANG=b"C", GIT_PROTOCOL=b"version=2", REXEC_ORIGINAL_COMMAND=b"rm -rf $(x)")
            for name in ("FOO", "PATH", "HOME"):
                self.one_line(lab.rexec("true", options=("--env", f"{name}=x")), name)


# What a process that does nothing else says of itself, and what others see of a shell that waits for them.
SELF = ("/bin/cat", "/proc/self/status", "/proc/self/stat", "/proc/self/oom_score_adj", "/proc/self/limits")
HYGIENE = ("ls -ln /proc/$$/fd; readlink /proc/$$/cwd; umask")


class Hygiene(unittest.TestCase):
    """Leaked descriptors, groups, capabilities, masks (runc CVE-2024-21626, CVE-2021-41617)."""

    def process(self, text, user):
        """Checks what SELF said."""
        def fields(lines):
            return dict(line.split(":\t", 1) for line in lines if ":\t" in line)

        status, mine = fields(text.splitlines()), fields(pathlib.Path("/proc/self/status").read_text().splitlines())
        groups = os.getgrouplist(user.pw_name, user.pw_gid) if ROOT else os.getgroups()
        self.assertEqual([int(x) for x in status["Uid"].split()], [user.pw_uid] * 4)
        self.assertEqual([int(x) for x in status["Gid"].split()], [user.pw_gid] * 4)
        self.assertEqual({int(x) for x in status["Groups"].split()}, set(groups))
        for name in ("SigBlk", "SigIgn", "SigCgt", "SigPnd", "ShdPnd"):
            self.assertEqual(int(status[name], 16), 0, name)
        for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            self.assertEqual(status[name], mine[name] if user.pw_uid == 0 else f"{0:016x}", name)
        for name in ("CapBnd", "NoNewPrivs", "Seccomp"):
            self.assertEqual(status[name], mine[name], name)
        self.assertEqual(status["Umask"], "0022")
        at, stat = next((at, line) for at, line in enumerate(text.splitlines()) if re.match(r"\d+ \(cat\) ", line))
        pid, numbers = stat.split()[0], stat.rsplit(")", 1)[1].split()
        self.assertEqual(numbers[2:5], [pid, pid, "0"], "group, session, terminal")
        self.assertEqual(text.splitlines()[at + 1], pathlib.Path("/proc/self/oom_score_adj").read_text().strip())
        self.assertEqual(re.findall(r"Max (?:core|open) .*", text),
                         re.findall(r"Max (?:core|open) .*", pathlib.Path("/proc/self/limits").read_text()))

    def surroundings(self, text, user):
        """Checks what HYGIENE said."""
        lines = text.splitlines()
        links = [line.split() for line in lines if " -> " in line]
        self.assertEqual(sorted((int(link[-3]), link[-1].split(":")[0]) for link in links),
                         [(0, "/dev/null"), (1, "pipe"), (2, "pipe")], text)
        home = user.pw_dir if os.path.isdir(user.pw_dir) else "/"
        self.assertEqual(lines[-2:], [os.path.realpath(home), "0022"])

    def thousand(self, user):
        number = 200 if SANITIZED else 1000
        with Lab(grant_options=() if user.pw_name == getpass.getuser() else ("--user", user.pw_name),
                 max_commands=number, any_shell="yes") as lab:
            client = Client(lab, psk_of(lab)).prove()
            with client:
                kinds = [rp.encode_words([(rp.WORD, word.encode()) for word in words])
                         for words in (SELF, ("/bin/sh", "-c", HYGIENE))]
                header = {"run": "exec", "stdin": "none", "user": user.pw_name}
                client.send(*(client.request(rp.join_message("EXEC", 1 + i, {"id": os.urandom(16).hex(), **header},
                                                             kinds[i % 2])) for i in range(number)))
                output, left = {1 + i: b"" for i in range(number)}, number
                while left:
                    for said in client.messages("EXIT"):
                        self.assertNotIn(said.name, ("REFUSED", "ERROR"), said)
                        if said.name == "STDOUT":
                            output[said.stream] += said.body[8:]
                        left -= said.name == "EXIT"
            for stream, text in output.items():
                (self.process if stream % 2 else self.surroundings)(text.decode(), user)
            self.assertTrue(until(lambda: at_rest(lab)))

    def test_leaked_descriptors_groups_capabilities_masks(self):
        self.thousand(pwd.getpwuid(os.geteuid()))

    @unittest.skipUnless(ROOT, "only root runs commands as others")
    def test_leaked_groups_and_capabilities_of_root_as_another_user(self):
        self.thousand(pwd.getpwnam("nobody"))

    @unittest.skipUnless(ROOT and shutil.which("setpriv"), "needs root, and setpriv")
    def test_leaked_capabilities_that_the_daemon_was_given(self):
        """Those that would pass on: inheritable ones of root's, ambient ones of an ordinary user's (systemd's
        AmbientCapabilities)."""
        user = pwd.getpwnam("nobody")
        given = ("setpriv", "--inh-caps", "+kill")
        for prefix in (given, (*given, "--ambient-caps", "+kill", "--reuid", str(user.pw_uid),
                               "--regid", str(user.pw_gid), "--clear-groups")):
            with self.subTest(prefix=prefix), Lab(grant_options=("--user", user.pw_name), any_shell="yes") as lab:
                lab.stop()
                for path in (lab.dir, *lab.dir.rglob("*")):
                    shutil.chown(path, user.pw_name if "--reuid" in prefix else 0)
                lab.prefix = prefix
                lab.start()
                has = pathlib.Path(f"/proc/{lab.server.pid}/status").read_text()
                self.assertRegex(has, r"CapInh:\s0*20\n")
                run = lab.rexec("/bin/grep", "^Cap[IPEA]", "/proc/self/status", options=("--exec", "-l", user.pw_name))
                self.assertEqual(re.findall(r"\w+$", run.stdout.decode(), re.M), [f"{0:016x}"] * 4, run)

    @unittest.skipUnless(ROOT and shutil.which("useradd"), "needs root, and useradd")
    def test_leaked_groups_the_user_has_exactly_his_own(self):
        name, group = f"rexect{os.getpid()}", grp.getgrgid(1).gr_name
        subprocess.run(["useradd", "--system", "--no-create-home", "--groups", group, name], check=True,
                       capture_output=True)
        self.addCleanup(subprocess.run, ["userdel", name], check=True, capture_output=True)
        user = pwd.getpwnam(name)
        with Lab(grant_options=("--user", name)) as lab:
            run = lab.rexec("/usr/bin/id", "-G", options=("--exec", "-l", name))
            self.assertEqual((run.returncode, sorted(map(int, run.stdout.split()))), (0, sorted({user.pw_gid, 1})))


class Orphans(unittest.TestCase):
    """A command outlives a dead client (the ssh orphan)."""

    STATES = {
        "asked": "sleep 600",               # killed at once, wherever it is
        "silent": "sleep 600",
        "writes": "exec yes",
        "reads": "exec cat",
        "stopped": "kill -STOP $$; sleep 600",
        "ignores": "trap '' INT TERM HUP; sleep 600 & sleep 600; sleep 600",
        "many": "for i in 1 2 3 4 5 6 7 8 9; do sleep 600 & done; wait",
        "own session": "trap '' TERM; setsid sh -c 'sleep 600; sleep 600' & wait; sleep 600",
        "drains": "sleep 600 & exit 3",
    }
    HIDDEN = {      # what only a cgroup finds
        "own session, parent gone": "setsid sh -c 'trap \"\" TERM; sleep 600; sleep 600' & wait",
        "forked twice": "(setsid sh -c 'trap \"\" INT TERM HUP; sleep 600; sleep 600' &); sleep 600",
        "forked twice, parent gone": "(setsid sh -c 'trap \"\" TERM; (setsid sleep 600 &); sleep 600' &); exit 0",
    }

    def campaign(self, lab, states, rounds):
        rng = random.Random(rounds)
        names, tokens = list(states), []
        for first in range(0, rounds, 20):
            clients = []
            for number in range(first, min(first + 20, rounds)):
                name, token = names[number % len(names)], f"{os.getpid()}.{rng.getrandbits(64):x}"
                tokens.append(f"REXEC_ROUND={token}".encode())
                client = lab.popen(states[name], options=("--env", f"REXEC_ROUND={token}"))
                clients.append((name, client))
                if name == "asked":
                    time.sleep(rng.random() * 0.03)
                    client.kill()
            for (name, client), token in zip(clients, tokens[first:]):
                if name != "asked":
                    self.assertTrue(until(lambda: marked(token)), f"{name}: did not start")
            for _, client in clients:
                client.kill()
            for name, client in clients:
                client.wait(timeout=60)
                for pipe in (client.stdin, client.stdout, client.stderr):
                    pipe.close()
            for (name, _), token in zip(clients, tokens[first:]):
                self.assertTrue(until(lambda: not marked(token)), f"{name}: {marked(token)} is left")
        self.assertTrue(until(lambda: at_rest(lab)), "the daemon has children left")
        self.assertEqual([marked(token) for token in tokens if marked(token)], [])

    def test_command_outlives_a_dead_client(self):
        with Lab(kill_grace="0.2", drain="60", cgroups="no", **NO_LINGER) as lab:
            self.campaign(lab, self.STATES, ROUNDS or 36)

    def test_command_outlives_a_dead_client_double_forked_too(self):
        """With setsid, deaf to TERM, its parents gone: its cgroup has it all the same."""
        class Grouped(Lab):
            prefix = OWN_CGROUP if ROOT else ()

        try:
            lab = Grouped(kill_grace="0.2", drain="60", **NO_LINGER).__enter__()
        except AssertionError as error:
            self.skipTest(f"a cgroup v2 cannot be mounted here: {error}")
        self.addCleanup(lab.__exit__)
        if b"/command-" not in lab.rexec("cat /proc/self/cgroup").stdout:
            self.skipTest("no cgroup v2 that this user may write to")
        self.campaign(lab, {**self.STATES, **self.HIDDEN}, ROUNDS or 36)

    def test_command_outlives_a_daemon_that_stops(self):
        with Lab(stop_grace="0.2") as lab:
            token = f"{os.getpid()}.{os.urandom(8).hex()}"
            clients = [lab.popen(line, options=("--no-resume", "--env", f"REXEC_ROUND={token}"))
                       for line in self.STATES.values()]
            mark = f"REXEC_ROUND={token}".encode()
            self.assertTrue(until(lambda: len(marked(mark)) >= len(clients)))
            lab.stop()
            for client in clients:
                client.communicate(timeout=60)
            self.assertTrue(until(lambda: not marked(mark)), marked(mark))


class Short(LabTest):
    """Output lost or short when the connection ends early, exit 0 all the same (kubernetes#124571, podman#9096)."""

    flags = NO_LINGER

    def through(self, *words, options=(), **where):
        with Impostor(cut(self.lab, **where)) as proxy:
            return proxy.client(self.lab, *words, options=options)

    def right_or_loud(self, run, whole, status):
        """The whole output and the status, or a true beginning, 255 and one line. Which of them."""
        if run.returncode == status:
            self.assertEqual((run.stdout, run.stderr), (whole, b""))
            return True
        self.assertEqual(run.returncode, 255, run.stderr)
        self.assertTrue(whole.startswith(run.stdout))
        self.assertRegex(run.stderr, rb"\Arexec: [ -~]+\n\Z")
        return False

    def test_output_short_and_exit_0_cut_at_each_byte(self):
        """Within M2, records' lengths, heads, bodies and tags, between records, within EXIT."""
        line, whole = "echo hello", b"hello\n"
        seen = []
        self.assertTrue(self.right_or_loud(self.through(line, seen=seen), whole, 0))
        total = seen[1]
        step = 1 if ROUNDS else 17 if SANITIZED else 7
        places = sorted({*range(0, total, step), rp.M2_SIZE, *range(total - 40, total, 3), total - 1})
        for at in places:
            with self.subTest(at=at):
                run = self.through(line, to_client=at, by_reset=bool(at % 2))
                # EXIT, hundreds of bytes with its numbers in decimal, is not as long in every run.
                if self.right_or_loud(run, whole, 0):
                    self.assertGreater(at, total - 64)

    def test_output_short_and_exit_0_cut_in_much_output(self):
        line = "i=0; while [ $i -lt 40000 ]; do echo $i; i=$((i+1)); done"
        whole = b"".join(b"%d\n" % i for i in range(40000))
        rng = random.Random(5)
        self.assertTrue(self.right_or_loud(self.through(line), whole, 0))
        cut_off = 0
        for number in range(ROUNDS or 12):
            at = rng.randrange(300, len(whole))
            with self.subTest(at=at):
                run = self.through(line, to_client=at, by_reset=bool(number % 2))
                self.assertFalse(self.right_or_loud(run, whole, 0))
                cut_off += len(run.stdout) > 0
        self.assertGreater(cut_off, 0)

    def test_output_short_when_net_dies(self):
        client = self.lab.popen("echo begun; sleep 600", stdin=subprocess.DEVNULL)
        self.assertEqual(client.stdout.readline(), b"begun\n")
        os.kill(self.lab.net_pid(), signal.SIGKILL)
        out, err = client.communicate(timeout=60)
        self.assertEqual((client.returncode, out), (255, b""))
        self.assertRegex(err, rb"\Arexec: [ -~]+\n\Z")
        self.assertTrue(until(lambda: self.lab.rexec("true").returncode == 0), self.lab.said())


class Twice(LabTest):
    """A command run twice on a retry."""

    flags = NO_LINGER

    def test_command_run_twice_on_a_retry(self):
        """Cut at each stage of what the client says, up to EXEC's last byte: one run or none, and no 0 without one."""
        marks = self.lab.dir / "marks"
        line = f"echo x >> {marks}"

        def ran():
            return marks.read_bytes().count(b"x") if marks.exists() else 0

        seen = []
        with Impostor(cut(self.lab, seen=seen)) as proxy:
            self.assertEqual(proxy.client(self.lab, line).returncode, 0)
        self.assertEqual(ran(), 1)
        step = 1 if ROUNDS else 19
        places = sorted({*range(1, seen[0], step), rp.M1_SIZE, rp.M1_SIZE + rp.M3_SIZE, *range(seen[0] - 60, seen[0], 6)})
        for at in places:
            with self.subTest(at=at):
                marks.unlink(missing_ok=True)
                with Impostor(cut(self.lab, to_server=at, by_reset=bool(at % 2))) as proxy:
                    run = proxy.client(self.lab, line)
                self.assertTrue(until(lambda: at_rest(self.lab)))
                self.assertLessEqual(ran(), 1)
                if run.returncode == 0:
                    self.assertEqual(ran(), 1)
                else:
                    self.assertEqual(run.returncode, 255)
                    self.assertRegex(run.stderr, rb"\Arexec: [ -~]+\n\Z")

    def test_command_run_twice_the_same_id_again(self):
        marks = self.lab.dir / "again"
        header = {"id": os.urandom(16).hex(), "stdin": "none"}
        words = rp.encode_words([(rp.WORD, f"echo x >> {marks}".encode())])
        with Client(self.lab, psk_of(self.lab)).prove() as client:
            client.send(client.request(rp.join_message("EXEC", 1, header, words)))
            client.messages("EXIT")
            client.send(client.request(rp.join_message("EXEC", 3, header, words)))
            refused = [said for said in client.messages("REFUSED") if said.name == "REFUSED"]
            self.assertEqual(refused[0].header["name"], "duplicate_id")
        for again in ({}, {"age_ms": 5000}):
            with Client(self.lab, psk_of(self.lab)).prove() as client:
                client.send(client.request(rp.join_message("EXEC", 1, {**header, **again}, words)))
                self.assertTrue(until(lambda: any(said.name in ("REFUSED", "STARTED") and
                                                  (said.name == "REFUSED" or said.header.get("already"))
                                                  for said in client.messages("REFUSED"))))
        self.assertEqual(marks.read_text(), "x\n")


class Ends(LabTest):
    flags = {"drain": "0.3"}

    def test_hang_because_a_grandchild_holds_stdout(self):
        """The sshd "hang on exit": the output and the status at once, and EXIT names who holds it."""
        for redirect in ("", "2>/dev/null", ">/dev/null"):
            with self.subTest(redirect=redirect):
                line = f"sleep 99 {redirect} & echo $! >&2; echo x; exit 7"
                run = self.lab.rexec(line, timeout=50)
                holder, told = run.stderr.split(b"\n", 1)
                holder = int(holder)
                self.assertEqual((run.returncode, run.stdout), (7, b"x\n"))
                self.assertRegex(told, rb"\Arexec: .*1 of its processes still hold its output open: .* is lost\n\Z")
                self.assertTrue(alive(holder))
                os.kill(holder, signal.SIGKILL)
                run = self.lab.rexec(line, options=("-q",), timeout=50)
                os.kill(int(run.stderr), signal.SIGKILL)
                run = self.lab.rexec(line, options=("--json",), timeout=50)
                said = json.loads(run.stdout)
                holder = int(said["stderr"])
                self.assertEqual((said["code"], said["stdout"], said["holders"]), (7, "x\n", [holder]))
                os.kill(holder, signal.SIGKILL)
        said = json.loads(self.lab.rexec("echo x; exit 7", options=("--json",)).stdout)
        self.assertEqual((said["code"], said["holders"]), (7, []))

    def test_output_short_because_a_grandchild_still_writes(self):
        """Its output is the command's, as long as it comes; who never ends with it is not waited for."""
        log = self.lab.dir / "written"
        writer = self.lab.dir / "writer"
        # It says how long it was silent at most, and how long it took: what was cut counts where that was short enough.
        writer.write_text("import os, sys, time\n"
                          "start = before = time.monotonic(); gap = 0\n"
                          "try:\n"
                          "    while before - start < float(sys.argv[2]):\n"
                          "        os.write(1, b'x'); time.sleep(0.02)\n"
                          "        now = time.monotonic(); gap, before = max(gap, now - before), now\n"
                          "    os.write(1, b'end')\n"
                          "finally:\n"
                          "    open(sys.argv[1], 'w').write(f'{gap} {time.monotonic() - start}\\n')\n")
        line = f"exec python3 -S {writer} {log} {{}} 2>/dev/null & cat; exit 7"
        with Lab(drain="1") as lab:
            for _ in range(20):
                log.unlink(missing_ok=True)
                run = lab.rexec(line.format(2.5), timeout=50)
                self.assertEqual((run.returncode, run.stderr), (7, b""))
                if run.stdout.endswith(b"end"):
                    break
                self.assertTrue(until(lambda: log.exists() and log.read_text().endswith("\n")))
                gap, whole = map(float, log.read_text().split())
                self.assertFalse(gap < 0.5 and whole < 4, f"cut after {whole} s, and it was silent for {gap} s at most")
        said = json.loads(self.lab.rexec(line.format(600), options=("--json",), timeout=50).stdout)
        self.assertEqual((said["code"], len(said["holders"])), (7, 1))
        with contextlib.suppress(ProcessLookupError):
            os.kill(said["holders"][0], signal.SIGKILL)

    def test_exit_status_lost(self):
        """Each of 0..255."""
        results, run = batch(self.lab, "".join(f"exit {code}\n" for code in range(256)).encode(), "-j", "4")
        self.assertEqual([(result["code"], result["status"]) for result in results],
                         [(code, code) for code in range(256)], run.stderr)
        for code in (0, 1, 126, 127, 128, 254, 255):
            self.assertEqual(self.lab.rexec(f"exit {code}").returncode, code)

    def test_exit_status_lost_each_signal(self):
        """All that end a process; without a core."""
        harmless = {signal.SIGCHLD, signal.SIGCONT, signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU,
                    signal.SIGURG, signal.SIGWINCH}
        numbers = [number for number in range(1, 65) if number not in harmless]
        program = "import os, signal; {} os.kill(os.getpid(), {})"
        lines = []
        for number in numbers:
            # Python ignores two signals from its start on.
            plain = f"signal.signal({number}, signal.SIG_DFL);" if number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT) else ""
            lines.append(f"ulimit -c 0; exec python3 -S -c '{program.format(plain, number)}'\n")
        results, run = batch(self.lab, "".join(lines).encode(), "-j", "4")
        self.assertEqual([(result["status"], "code" in result, result["core"]) for result in results],
                         [(128 + number, False, False) for number in numbers], run.stderr)
        names = {number: name for name, number in signal.Signals.__members__.items()}
        for number, result in zip(numbers, results):
            if number < 32:
                self.assertEqual("SIG" + result["signal"] if not result["signal"].startswith("SIG") else result["signal"],
                                 signal.Signals(number).name if number in names else None)

    def test_exit_status_lost_core_dump(self):
        line = "ulimit -c unlimited; kill -SEGV $$"
        local = subprocess.Popen(["sh", "-c", line], cwd=self.lab.dir)
        _, how = os.waitpid(local.pid, 0)
        local.returncode = -signal.SIGSEGV
        if not os.WCOREDUMP(how):
            self.skipTest("this machine dumps no cores")
        said = json.loads(self.lab.rexec(line, options=("--json", "--cwd", self.lab.dir)).stdout)
        self.assertEqual((said["status"], said["core"]), (128 + signal.SIGSEGV, True))
        said = json.loads(self.lab.rexec("ulimit -c 0; kill -SEGV $$", options=("--json",)).stdout)
        self.assertEqual((said["status"], said["core"]), (128 + signal.SIGSEGV, False))


class Left(LabTest):
    """Zombies, SIGPIPE."""

    flags = NO_LINGER

    def test_zombies(self):
        """Thousands of commands on few connections: every status, no zombie, no descriptor left."""
        number = int(os.environ.get("REXEC_ZOMBIES", "600" if SANITIZED else "3000"))
        self.lab.rexec("true")
        pids = (self.lab.server.pid, self.lab.net_pid())
        self.assertTrue(until(lambda: at_rest(self.lab)))
        before = [descriptors(pid) for pid in pids]
        clients = [subprocess.Popen(client_copy(self.lab, "batch --json -j 16"), stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]
        for first in range(0, number, 3000):
            for at, client in enumerate(clients):
                codes = [i % 200 for i in range(first + at, min(first + 3000, number), 3)]
                client.stdin.write("".join(f"exit {code}\n" for code in codes).encode())
                client.stdin.flush()
                for code in codes:
                    self.assertEqual(json.loads(client.stdout.readline()).get("code"), code)
            self.assertTrue(until(lambda: at_rest(self.lab)), "a process is left")
        for client in clients:
            out, err = client.communicate(timeout=60)
            self.assertEqual((out, err), (b"", b""))
        self.assertTrue(until(lambda: at_rest(self.lab)), "a process is left")
        self.assertTrue(until(lambda: all((descriptors(pid) or 0) <= (was or 0) for pid, was in zip(pids, before))),
                        f"a descriptor is left: of {before}, {[open_files(pid) for pid in pids]}")

    def test_sigpipe_peer_closes_in_mid_write(self):
        """The daemon lives on, and so do its other clients; the command ends, whoever closes."""
        pids = (self.lab.server.pid, self.lab.net_pid())
        bystander = self.lab.popen("cat")
        token = f"{os.getpid()}.{os.urandom(8).hex()}"
        for number in range(ROUNDS or 20):
            with Client(self.lab, psk_of(self.lab)).prove() as client:
                words = [(rp.WORD, b"exec yes"), (rp.ENVIRONMENT, f"REXEC_ROUND={token}".encode())]
                header = {"id": os.urandom(16).hex(), "stdin": "none"}
                client.send(client.request(rp.join_message("EXEC", 1, header, rp.encode_words(words))))
                client.messages("STDOUT")
                if number % 2:
                    reset(client.sock)
        self.assertTrue(until(lambda: not marked(f"REXEC_ROUND={token}".encode())))
        self.assertEqual((self.lab.server.pid, self.lab.net_pid()), pids)
        out, _ = bystander.communicate(b"still here\n", timeout=60)
        self.assertEqual((bystander.returncode, out), (0, b"still here\n"))

    def test_sigpipe_in_the_command_and_at_the_client(self):
        """A pipeline ends as it does locally: the writer dies of SIGPIPE, and the client in its place does too."""
        self.check(self.lab.rexec("bash", "-c", "yes | head -1; echo ${PIPESTATUS[0]}", options=("--exec",)), 0, b"y\n141\n")
        client = self.lab.popen("yes", stdin=subprocess.DEVNULL)
        self.assertTrue(client.stdout.read(10))
        client.stdout.close()
        self.assertEqual((client.wait(timeout=60), client.stderr.read()), (128 + signal.SIGPIPE, b""))
        client.stderr.close()


class PidReuse(unittest.TestCase):
    """A kill hits only its own, also where the number of a dead command has passed to another process."""

    @unittest.skipUnless(ROOT, "choosing the next pid needs root, and a pid namespace")
    def test_pid_reuse(self):
        if os.environ.get(IN_NAMESPACE):
            self.in_namespace()
            return
        command = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", sys.executable, "-B", __file__,
                   "PidReuse.test_pid_reuse"]
        if subprocess.run([*command[:5], "true"], capture_output=True, timeout=60).returncode != 0:
            self.skipTest("no pid namespace can be made here")
        run = subprocess.run(command, env={**os.environ, IN_NAMESPACE: "1"}, capture_output=True, timeout=200)
        self.assertEqual(run.returncode, 0, run.stderr.decode(errors="replace"))
        self.assertIn(b"OK", run.stderr)
        self.assertNotIn(b"skipped", run.stderr)

    def victim(self, number):
        """A process with that number, in a session and group of the same."""
        for _ in range(50):
            pathlib.Path("/proc/sys/kernel/ns_last_pid").write_text(str(number - 1))
            child = subprocess.Popen(["sleep", "600"], start_new_session=True)
            self.addCleanup(child.wait)
            self.addCleanup(child.kill)
            if child.pid == number:
                return child
            child.kill()
        raise AssertionError(f"the number {number} was not to be had")

    def in_namespace(self):
        with Lab(kill_grace="0.2", drain="10", cgroups="no", **NO_LINGER) as lab:
            client = lab.popen("setsid sleep 600 & echo $$; exit 0", stdin=subprocess.DEVNULL)
            number = int(client.stdout.readline())
            self.assertTrue(until(lambda: not os.path.exists(f"/proc/{number}")))
            victim = self.victim(number)
            client.send_signal(signal.SIGTERM)      # passed on, to a command that has ended
            self.assertEqual(lab.rexec("true").returncode, 0)
            self.assertIsNone(victim.poll())
            client.kill()
            client.communicate()

            def recorded():
                return [line for line in lab.audit.read_text().splitlines()
                        if json.loads(line).get("pid") == number and json.loads(line)["record"] == "command"]
            self.assertTrue(until(recorded, 60))
            self.assertEqual(lab.rexec("sleep 0.5").returncode, 0)
            self.assertIsNone(victim.poll(), "the kill hit another process with the command's number")


class Escapes(LabTest):
    """Terminal escapes and newlines in logs and errors (CVE-2019-6111, sudo CVE-2023-28487)."""

    flags = {"log": "debug", "max_commands": "200"}

    def test_terminal_escapes_and_newlines_in_logs(self):
        """Every byte 1..255 in every field: one well-formed line of log each, one of JSON, and nothing lost."""
        asked = {}
        with Client(self.lab, psk_of(self.lab)).prove() as client:
            stream = 1
            for byte in range(1, 256):
                raw, text = bytes([byte]), chr(byte)
                requests = [
                    ({"user": f"u{text}"}, [(rp.WORD, b"true")]),
                    ({"label": f"l{text}"}, [(rp.WORD, b": " + raw)]),
                    ({"run": "exec"}, [(rp.WORD, b"/no/such/" + raw), (rp.WORD, raw)]),
                    ({}, [(rp.WORD, b"true"), (rp.DIRECTORY, b"/no/such" + raw)]),
                    ({}, [(rp.WORD, b"true"), (rp.ENVIRONMENT, b"LD_" + (raw if raw != b"=" else b"_") + b"=" + raw)]),
                ]
                for header, words in requests:
                    header = {"id": os.urandom(16).hex(), "stdin": "none", **header}
                    asked[header["id"]] = words
                    client.send(client.request(rp.join_message("EXEC", stream, header, rp.encode_words(words))))
                    said = []
                    while not any(s.name in ("REFUSED", "EXIT", "ERROR") and s.stream == stream for s in said):
                        said += self.some(client)
                        self.assertNotIn("ERROR", [s.name for s in said])
                    stream += 1
            client.send(client.close())
            client.rest()
        for byte in range(1, 256):              # of those who never prove who they are
            with Client(self.lab, psk_of(self.lab)) as client:
                client.send(rp.MAGIC + bytes([1, 1, 1, 3]) + bytes([byte]) * 80)
        self.assertTrue(until(lambda: len(self.commands(asked)) == len(asked)))
        log = self.lab.log.read_bytes()
        self.assertRegex(log, rb"\A(?:rexecd: [\x20-\x7e]+\n)+\Z")
        self.assertRegex(log, rb"LD_\\+x1b")        # it is there, and escaped
        for record in self.commands(asked):
            words = [word for kind, word in asked[record["id"]] if kind == rp.WORD]
            directory = [word for kind, word in asked[record["id"]] if kind == rp.DIRECTORY]
            self.assertEqual(self.bytes_of(record, "words"), words)
            if directory:
                self.assertEqual(self.bytes_of(record, "directory"), directory[0])

    def some(self, client):
        client.input += client.receive()
        return client.opened()

    def bytes_of(self, record, name):
        """The recorded bytes, by the text or, where that is not exact, by the base64 beside it."""
        if name + "_base64" in record:
            value = record[name + "_base64"]
            return [base64.b64decode(part) for part in value] if isinstance(value, list) else base64.b64decode(value)
        value = record[name]
        return [part.encode() for part in value] if isinstance(value, list) else value.encode()

    def commands(self, ids):
        """The audit's records of these commands; each line an object in printable ASCII."""
        data = self.lab.audit.read_bytes()
        self.assertRegex(data, rb"\A(?:\{[\x20-\x7e]+\}\n)*\Z")
        return [record for record in map(json.loads, data.splitlines()) if record.get("id") in ids]

    def test_terminal_escapes_and_newlines_in_errors(self):
        """What the client says of bytes that came back: one line, nothing that a terminal acts on."""
        for byte in range(1, 256, 5 if SANITIZED else 1):
            word = os.fsdecode(b"/no/such/" + bytes([byte]))
            with self.subTest(byte=byte):
                self.one_line(self.lab.rexec(word, options=("--exec",)), "/no/such/")
                if byte % 5 == 0:
                    self.one_line(self.lab.rexec("true", options=("--cwd", word)), "/no/such")
                    self.one_line(self.lab.rexec("true", options=("--env", "LD_" + os.fsdecode(bytes([byte])) + "=x")))


if __name__ == "__main__":
    unittest.main()
