"""Terminals: the real client at a real terminal, and the command at its own."""

import fcntl
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time
import unittest

from attack_tools import NO_LINGER, reset
from hostile_net import UserLab
from lab import NAME, LabTest, alive, executes, until
from terminal_tools import Relay, Seat, Tmux, in_foreground, stopped

import rexec_protocol as rp
import toy

ROOT = os.geteuid() == 0
BASH = shutil.which("bash")
PROMPT = rb"ready> "
SHELL = ("exec", BASH, "--norc", "--noprofile", "-i")
# What stty says of a terminal that is as a shell wants it for others, and the shell's prompt.
COOKED = rb"\bisig icanon iexten echo .*local> "
# Says each signal of the keyboard's that comes; ends with the input.
LISTENER = ("for s in INT QUIT TSTP; do trap \"echo got-$s\" $s; done; echo listening; "
            "while :; do read line || break; echo line=$line; done; echo over")


class Terminals(LabTest):
    flags = {"kill_grace": "1", **NO_LINGER}

    def seat(self, *words, options=("-t",), env=None, port=None, rows=24, cols=80, **more):
        command = self.lab.command_line(*words, options=options)
        if port is not None:
            command[command.index(str(self.lab.port))] = str(port)
        seat = Seat(command, rows, cols, env={**os.environ, "TERM": "xterm", **(env or {})}, **more)
        self.addCleanup(seat.__exit__)
        return seat

    def shell(self, **more):
        """An interactive bash there, with job control."""
        seat = self.seat(f"PS1='{PROMPT.decode()}' {' '.join(SHELL)}", **more)
        seat.wait_for(PROMPT)
        return seat

    def as_before(self, seat):
        self.assertEqual(seat.modes(), seat.before)
        self.assertEqual(fcntl.fcntl(seat.slave, fcntl.F_GETFL), seat.flags)


class Basics(Terminals):
    def test_the_command_has_a_terminal(self):
        seat = self.seat("tty; test -t 0 && test -t 1 && test -t 2 && echo all; stty size; echo $TERM; "
                         "echo tty=$SSH_TTY=$REXEC_TTY; ps -o pid= -o sid= -o tpgid= -p $$; echo done > /dev/tty",
                         rows=33, cols=101)
        self.assertEqual(seat.end(), 0)
        lines = seat.shown.decode().split("\r\n")
        self.assertEqual(lines[1:4], ["all", "33 101", "xterm"])
        self.assertRegex(lines[0], r"\A/dev/pts/\d+\Z")
        self.assertEqual(lines[4], f"tty={lines[0]}={lines[0]}")
        self.assertEqual(len(set(lines[5].split())), 1)
        self.assertEqual(lines[6:], ["done", ""])
        self.as_before(seat)

    def test_without_it_there_is_none(self):
        for options in ((), ("-T",), ("-t", "-T")):
            seat = self.seat("tty; echo ${SSH_TTY-none}", options=options)
            self.assertEqual((seat.end(), seat.shown), (0, b"not a tty\r\nnone\r\n"))

    def test_modes_go_along(self):
        script = ("import sys, termios, subprocess; t = termios.tcgetattr(0); t[0] &= ~termios.IXON; "
                  "t[3] |= termios.TOSTOP; t[6][termios.VERASE] = b'\\x08'; t[6][termios.VINTR] = b'\\x07'; "
                  "t[6][termios.VQUIT] = b'\\0'; "
                  "termios.tcsetattr(0, termios.TCSANOW, t); sys.exit(subprocess.call(sys.argv[1:]))")
        command = ["/usr/bin/python3", "-c", script, *self.lab.command_line("stty -a", options=("-t",))]
        with Seat(command, env={**os.environ, "TERM": "xterm"}) as seat:
            self.assertEqual(seat.end(), 0)
        for mode in (b" -ixon", b" tostop", b"erase = ^H", b"intr = ^G", b"quit = <undef>", b"eof = ^D"):
            self.assertIn(mode, seat.shown)

    def test_exit_status(self):
        for command, status in (("exit 0", 0), ("exit 3", 3), ("kill -TERM $$", 128 + signal.SIGTERM)):
            self.assertEqual(self.seat(command).end(), status)

    def test_size_and_its_change(self):
        seat = self.seat("trap 'echo told $(stty size)' WINCH; stty size; while :; do sleep 0.05; done")
        seat.wait_for(rb"24 80\r\n")
        seat.resize(50, 132)
        seat.wait_for(rb"told 50 132\r\n")
        # A shell may miss a signal that comes while it is busy with one.
        seat = self.seat("while :; do s=$(stty size); test \"$s\" = \"$o\" || echo \"$s\"; o=$s; sleep 0.02; done")
        for rows, cols in ((24, 80), (50, 132), (1, 1), (65535, 65535), (24, 80)):
            seat.resize(rows, cols)
            seat.wait_for(rb"\b%d %d\r\n" % (rows, cols))

    def test_keys_reach_the_command(self):
        seat = self.seat(LISTENER)
        seat.wait_for(rb"listening")
        for key, said in ((b"\x03", rb"got-INT"), (b"\x1c", rb"got-QUIT"), (b"\x1a", rb"got-TSTP"),
                          (b"abc\r", rb"line=abc"), (b"\x04", rb"over")):
            seat.type(key)
            seat.wait_for(said)
        self.assertEqual(seat.end(), 0)
        self.as_before(seat)

    def test_job_control(self):
        seat = self.shell()
        line = f"sleep 100.{os.getpid()}"           # nobody else's
        seat.type(line.encode() + b"\r")
        self.assertTrue(until(lambda: in_foreground(line)))
        seat.type(b"\x1a")
        seat.wait_for(rb"Stopped.*" + PROMPT)
        seat.type(b"jobs; fg\r")
        seat.wait_for(rb"Stopped.*sleep 100[^\n]*\r\n.*sleep 100[^\n]*\r\n")
        self.assertTrue(until(lambda: in_foreground(line)))
        seat.type(b"\x03")
        seat.wait_for(PROMPT)
        seat.type(b"echo status=$?\r")
        seat.wait_for(rb"status=130\r\n")
        seat.type(b"exit 4\r")
        self.assertEqual(seat.end(), 4)
        self.as_before(seat)

    def test_login_shell_without_a_command(self):
        seat = self.seat(options=())
        seat.type(b"echo $0 $(tty)\r")
        seat.wait_for(rb"-[a-z]+ /dev/pts/\d+\r\n")
        seat.type(b"exit 6\r")
        self.assertEqual(seat.end(), 6)
        self.as_before(seat)

    def test_output_is_binary_safe(self):
        data = bytes(range(256)) * 2000
        file = self.lab.dir / "binary"
        file.write_bytes(data)
        seat = self.seat(f"stty raw; echo -n start; cat {file}")
        self.assertEqual(seat.end(), 0)
        self.assertEqual(hashlib.sha256(seat.shown.partition(b"start")[2]).hexdigest(), hashlib.sha256(data).hexdigest())

    def test_a_mebibyte_is_pasted(self):
        data = bytes(byte for byte in os.urandom(1 << 21) if byte not in b"~")[:1 << 20]
        self.assertEqual(len(data), 1 << 20)
        seat = self.seat("stty raw -echo; echo listening; head -c 1048576 | sha256sum; stty sane")
        seat.wait_for(rb"listening")
        seat.type(data)
        seat.wait_for(hashlib.sha256(data).hexdigest().encode(), seconds=120)
        self.assertEqual(seat.end(), 0)


class Options(Terminals):
    """Who gets a terminal, as with ssh."""

    def test_forced_without_one_here(self):
        run = self.lab.rexec("tty; cat; echo over", input=b"one\ntwo", options=("-tt",))
        self.assertEqual((run.returncode, run.stderr), (0, b""))
        self.assertRegex(run.stdout, rb"(?s)/dev/pts/\d+\r\n.*one\r\n.*two.*over\r\n\Z")

    def test_the_end_of_stdin_ends_who_reads_lines(self):
        for data, lines in ((b"", 0), (b"a\n", 1), (b"a\nb", 2), (b"x" * 3000 + b"\n", 1)):
            run = self.lab.rexec("stty -echo; grep -c ''", input=data, options=("-tt",))
            self.assertRegex(run.stdout, rb"(?:\A|[^0-9])%d\r\n\Z" % lines)

    def test_the_end_of_stdin_is_no_byte_for_who_reads_bytes(self):
        client = self.lab.popen("stty raw -echo; echo listening; timeout --foreground 2 cat | od -An -c", options=("-tt",))
        self.assertEqual(client.stdout.readline(), b"listening\n")
        out, _ = client.communicate(b"ab\n", timeout=30)
        self.assertEqual(out.split(), [b"a", b"b", b"\\n"])

    def test_asked_once_without_one_here(self):
        for options in (("-t",), ("-o", "RequestTTY=yes")):
            run = self.lab.rexec("tty", options=options)
            self.assertEqual((run.returncode, run.stdout), (1, b"not a tty\n"))
            self.assertRegex(run.stderr, rb"\Arexec: lab01: no terminal is asked for.*-tt.*\n\Z")
            self.check(self.lab.rexec("tty", options=(*options, "-q")), 1, b"not a tty\n")

    def test_no_stdin(self):
        """-n: stdin is none, so -t alone gives nothing; -tt gives a terminal at which nobody types."""
        seat = self.seat("tty", options=("-n", "-t"))
        self.assertEqual((seat.end(), seat.shown[:6]), (1, b"rexec:"))
        seat = self.seat("test -t 0 && cat && echo over", options=("-n", "-tt"))
        self.assertEqual((seat.end(), seat.shown), (0, b"over\r\r\n"))
        self.as_before(seat)

    def test_background(self):
        file = self.lab.dir / "background"
        seat = self.seat(f"test -t 1 && sleep 0.5 && tty > {file}", options=("-f", "-tt"))
        self.assertEqual(seat.end(), 0)
        self.as_before(seat)
        self.assertTrue(until(lambda: file.exists() and file.read_text().startswith("/dev/pts")))

    def test_json_and_encoding(self):
        for option in (("--json",), ("--encoding", "GBK")):
            run = self.lab.rexec("true", options=("-tt", *option))
            self.assertEqual(run.returncode, 255)
            self.assertRegex(run.stderr, rb"\Arexec: lab01: %s .*-t.*\n\Z" % option[0].encode())
        seat = self.seat("tty", options=("--json",))
        self.assertEqual(seat.end(), 1)
        self.assertEqual(json.loads(seat.shown)["stdout"], "not a tty\n")

    def test_a_grant_may_forbid_them(self):
        other = self.lab.dir / "other"
        self.lab.make_key(other)
        self.lab.add_grant("other", other, "--no-pty")
        self.lab.server.send_signal(signal.SIGHUP)
        self.assertTrue(until(lambda: self.lab.rexec("echo ok", key=other).stdout == b"ok\n"))
        self.one_line(self.lab.rexec("true", options=("-tt",), key=other), "grant allows no terminals", "-T")
        seat = Seat(self.lab.command_line("true", options=("-t",), key=other))
        self.addCleanup(seat.__exit__)
        self.assertEqual(seat.end(), 255)
        self.as_before(seat)

    def test_signals_without_a_terminal_here(self):
        """They are passed on, to whom the keys would send them."""
        for number, heard in ((signal.SIGINT, b"got-INT"), (signal.SIGQUIT, b"got-QUIT")):
            with self.lab.popen(LISTENER, options=("-tt",)) as client:
                self.assertEqual(client.stdout.readline(), b"listening\r\n")
                client.send_signal(number)
                self.assertIn(heard, client.stdout.readline())
                client.kill()


class Ends(Terminals):
    """However it ends, the terminal here is as it was, and nothing is left there."""

    def start(self, command="echo pid=$$; exec sleep 600", **more):
        seat = self.seat(command, **more)
        pid = int(seat.wait_for(rb"pid=(\d+)\r\n")[1])
        seat.wait_raw()
        return seat, pid

    def over(self, seat, pid, status):
        self.assertEqual(seat.end(), status)
        self.as_before(seat)
        self.assertTrue(until(lambda: not alive(pid)), "the command is left")

    def test_signals_to_the_client(self):
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
            with self.subTest(signal=number.name):
                seat, pid = self.start()
                self.assertTrue(until(lambda: executes(pid, "sleep")))
                seat.process.send_signal(number)
                self.over(seat, pid, 128 + number)

    def test_deadly_signals(self):
        for number in (signal.SIGUSR1, signal.SIGALRM, signal.SIGABRT):
            with self.subTest(signal=number.name):
                seat, pid = self.start()
                seat.process.send_signal(number)
                self.over(seat, pid, -number)

    def test_command_killed(self):
        seat, pid = self.start()
        os.kill(pid, signal.SIGKILL)
        self.over(seat, pid, 128 + signal.SIGKILL)

    def test_escape(self):
        seat, pid = self.start()
        seat.type(b"\r~.")
        self.over(seat, pid, 255)
        self.assertRegex(seat.shown, rb"rexec: lab01: given up[^\r\n]*\r\n\Z")

    def test_refused(self):
        seat = self.seat("x", options=("-t", "--exec", "--cwd", "/no/such"))
        self.assertEqual(seat.end(), 255)
        self.as_before(seat)

    def test_timeout(self):
        seat = self.seat(f"echo pid=$$; exec {BASH} --norc -i", options=("-t", "--timeout", "1"))
        pid = int(seat.wait_for(rb"pid=(\d+)\r\n")[1])
        self.over(seat, pid, 128 + signal.SIGHUP)

    def test_killed_client_hangs_up(self):
        """The shell and its jobs hear HUP; who ignores it is killed."""
        file = self.lab.dir / "hup"
        seat, pid = self.start(f"trap 'echo heard > {file}; exit' HUP; echo pid=$$; while :; do sleep 0.1; done")
        seat.process.kill()
        seat.process.wait()
        self.assertTrue(until(file.exists), "HUP was not heard")
        self.assertTrue(until(lambda: not alive(pid)))
        seat = self.shell()
        seat.type(b"(trap '' HUP; echo job=$BASHPID; exec sleep 600) &\r")
        job = int(seat.wait_for(rb"job=(\d+)\r\n")[1])
        seat.type(b"echo pid=$$\r")
        pid = int(seat.wait_for(rb"pid=(\d+)\r\n")[1])
        seat.process.kill()
        seat.process.wait()
        self.assertTrue(until(lambda: not alive(pid) and not alive(job)), "something is left")

    def test_window_closed(self):
        seat, pid = self.start()
        seat.close_window()
        self.assertTrue(until(lambda: seat.process.poll() is not None))
        self.assertTrue(until(lambda: not alive(pid)), "the command is left")

    def test_shell_exits_and_leaves_a_job(self):
        """As without a terminal: what was made to outlive the shell does, and holds nothing up."""
        seat = self.shell()
        seat.type(b"setsid sleep 600 < /dev/null > /dev/null 2>&1 & echo job=$!\r")
        seat.wait_for(rb"job=\d+")
        seat.type(b"exit 0\r")
        self.assertEqual(seat.end(), 0)
        self.as_before(seat)

    def test_typed_before_it_runs(self):
        seat = self.seat("stty -echo; sleep 0.5; cat -v")
        seat.type(b"early\r")
        seat.wait_raw()
        seat.type(b"\x04")
        seat.wait_for(rb"early\r\n")
        self.assertEqual(seat.end(), 0)
        self.as_before(seat)


class LostServer(Terminals):
    flags = {"stop_grace": "0"}

    def test_server_killed(self):
        seat = self.seat("echo up; exec sleep 5", options=("-t", "--no-resume"))
        seat.wait_for(rb"up")
        seat.wait_raw()
        net = self.lab.net_pid()
        self.lab.server.kill()
        self.lab.server.wait()
        self.lab.log_file.close()
        self.assertTrue(until(lambda: not alive(net)))
        self.assertEqual(seat.end(), 255)
        self.as_before(seat)
        self.assertRegex(seat.shown, rb"rexec: lab01: [^\r\n]*\r\n\Z")
        self.lab.start()


class Escapes(Terminals):
    def test_help_and_literal(self):
        seat = self.seat("stty -echo; echo up; cat -v")
        seat.wait_for(rb"up")
        seat.wait_raw()
        seat.type(b"~?")
        seat.wait_for(rb"~\.   gives up.*\r\n")
        self.assertNotRegex(seat.shown[seat.shown.index(b"~?"):], rb"[^\r]\n")
        seat.type(b"~~one\r")
        seat.wait_for(rb"(?<!~)~one\r\n")
        seat.type(b"a~.b\r~user\r")
        seat.wait_for(rb"a~\.b\r\n~user\r\n")
        seat.type(b"\x04")
        self.assertEqual(seat.end(), 0)

    def test_other_characters(self):
        for options, give_up in ((("-e", "#"), b"#."), (("-e", "^b"), b"\x02."), (("-o", "EscapeChar=%"), b"%.")):
            seat = self.seat("stty -echo; echo up; cat -v", options=("-t", *options))
            seat.wait_for(rb"up")
            seat.wait_raw()
            seat.type(b"~.\r")
            seat.wait_for(rb"~\.\r\n")
            seat.type(give_up)
            self.assertEqual(seat.end(), 255)
            self.as_before(seat)

    def test_none(self):
        seat = self.seat("stty -echo; echo up; cat -v", options=("-t", "-e", "none"))
        seat.wait_for(rb"up")
        seat.wait_raw()
        seat.type(b"~.\r~~\r~?\r")
        seat.wait_for(rb"~\.\r\n~~\r\n~\?\r\n")
        seat.type(b"\x04")
        self.assertEqual(seat.end(), 0)


class AtShell(Terminals):
    """At a shell here, with job control: rexec is one of its jobs."""

    def local_shell(self):
        env = {**os.environ, "TERM": "xterm", "PS1": "local> "}
        seat = Seat(SHELL[1:], env=env)
        self.addCleanup(seat.__exit__)
        seat.wait_for(rb"local> ")
        words = self.lab.command_line("stty -echo; echo pid=$$; "
                                      "while read line; do echo line=$line size=$(stty size)=; done", options=("-t",))
        script = self.lab.dir / "go"
        script.write_text("exec " + " ".join("'" + word.replace("'", "'\\''") + "'" for word in words) + "\n")
        seat.type(f"sh {script}\r".encode())
        self.remote = int(seat.wait_for(rb"pid=(\d+)\r\n")[1])
        terminal = os.ttyname(seat.slave).removeprefix("/dev/")
        self.client = int(subprocess.run(["pgrep", "-t", terminal, "-x", "rexec"], capture_output=True, text=True,
                                         check=True).stdout)
        seat.wait_raw()
        return seat

    def goes_on(self, seat, size=rb"24 80"):
        """The new size goes another way than what is typed, and may come later."""
        while seat.wait_for(rb"line=again size=(.*?)=\r\n", first=b"again\r")[1] != size:
            pass
        self.assertTrue(seat.is_raw())

    def finish(self, seat):
        seat.type(b"\r~.")
        seat.wait_for(rb"local> ")
        self.assertTrue(until(lambda: not alive(self.remote)))
        seat.type(b"stty -a\r")
        seat.wait_for(COOKED)


class Suspended(AtShell):
    def test_by_escape(self):
        seat = self.local_shell()
        seat.type(b"\r~\x1a")
        seat.wait_for(rb"Stopped.*local> ")
        self.assertTrue(stopped(self.client))
        seat.type(b"stty -a\r")
        seat.wait_for(COOKED)
        seat.resize(30, 90)
        seat.type(b"fg\r")
        seat.wait_raw()
        self.goes_on(seat, rb"30 90")
        self.finish(seat)

    def test_by_signals(self):
        seat = self.local_shell()
        for number in (signal.SIGTSTP, signal.SIGSTOP):
            with self.subTest(signal=number.name):
                os.kill(self.client, number)
                seat.wait_for(rb"Stopped.*local> ")
                seat.type(b"stty -a\r")
                seat.wait_for(COOKED)
                seat.type(b"fg\r")
                seat.wait_raw()
                self.goes_on(seat)
        self.finish(seat)

    def test_stopped_and_gone_on_in_the_background(self):
        """There, the terminal is the shell's."""
        seat = self.local_shell()
        os.kill(self.client, signal.SIGSTOP)
        seat.wait_for(rb"Stopped.*local> ")
        os.kill(self.client, signal.SIGCONT)
        time.sleep(0.3)
        seat.type(b"echo mine; stty -a\r")
        seat.wait_for(rb"mine\r\n.*" + COOKED)
        while not stopped(self.client):         # the shell may be quicker than it to take what is typed
            seat.type(b"\r")
            seat.wait_for(rb"local> ")
        seat.type(b"fg\r")
        seat.wait_raw()
        self.goes_on(seat)
        self.finish(seat)


class SuspendedForLong(AtShell):
    """The server has it for gone long before it goes on, and would not have waited: but it said that it would be away."""

    flags = {"kill_grace": "1", "keepalive": "0.1", "linger": "0.2", "handshake_timeout": "600"}

    def stop(self, seat, *, by):
        by()
        seat.wait_for(rb"Stopped.*local> ")
        self.assertTrue(until(lambda: "session closed (silence)" in self.lab.said()), self.lab.said())
        time.sleep(1)               # five times as long as it would have waited

    def test_escape_for_long(self):
        seat = self.local_shell()
        self.stop(seat, by=lambda: seat.type(b"\r~\x1a"))
        self.assertTrue(alive(self.remote))
        seat.type(b"fg\r")
        seat.wait_raw()
        self.goes_on(seat)
        self.finish(seat)

    def test_signals_for_long(self):
        """TSTP, that it hears; STOP it does not, and says what it means when it goes on."""
        seat = self.local_shell()
        self.stop(seat, by=lambda: os.kill(self.client, signal.SIGTSTP))
        seat.type(b"fg\r")
        seat.wait_raw()
        self.goes_on(seat)
        os.kill(self.client, signal.SIGSTOP)
        seat.wait_for(rb"Stopped.*local> ")
        self.assertTrue(until(lambda: not alive(self.remote)))
        seat.type(b"fg\r")
        seat.wait_for(rb"rexec: lab01: [^\r\n]*; it was started, and how it ended is not known")
        seat.wait_for(rb"local> ")

    def test_without_a_terminal_for_long(self):
        """Without a terminal there, it is the same."""
        # In a group of its own, of which we are the parent: TSTP stops nobody whose group is orphaned.
        run = self.lab.popen("echo $$; while read line; do echo line=$line; done; echo over", process_group=0)
        remote = int(run.stdout.readline())
        run.send_signal(signal.SIGTSTP)
        self.assertTrue(until(lambda: stopped(run.pid)))
        self.assertTrue(until(lambda: self.lab.said().count("session closed (silence)") > 0), self.lab.said())
        time.sleep(1)
        self.assertTrue(alive(remote))
        run.send_signal(signal.SIGCONT)
        out, err = run.communicate(b"one\n", timeout=60)
        self.assertEqual((run.returncode, out, err), (0, b"line=one\nover\n", b""))


@unittest.skipUnless(all(map(shutil.which, ("tmux", "vim", "less", "top"))), "tmux, vim, less or top is missing")
class InTmux(Terminals):
    """Programs that draw, as a person sees them."""

    def tmux(self, *words, **more):
        tmux = Tmux(self.lab.dir, self.lab.command_line(*words, options=("-t",)), **more)
        self.addCleanup(tmux.__exit__)
        return tmux

    def test_vim(self):
        file = self.lab.dir / "text"
        file.write_text("first\n")
        tmux = self.tmux(f"vim -u NONE -N -c 'set laststatus=2 nocompatible' {file}")
        tmux.wait_for(r"^first$")
        tmux.keys("o", "second line", "Escape", ":set showmode", "Enter", "kA", " more", "Escape")
        tmux.wait_for(r"^first more$")
        tmux.resize(30, 100)
        tmux.wait_for(r"(?s)\A(?:[^\n]*\n){28}[^\n]*text[^\n]*\n")        # the line of state is at the new bottom
        tmux.keys(":wq", "Enter")
        self.assertTrue(until(tmux.is_over))
        self.assertEqual(file.read_text(), "first more\nsecond line\n")

    def test_less(self):
        tmux = self.tmux("seq 1000 | sed 's/^/number /' | LESS= less")
        tmux.wait_for(r"(?s)\Anumber 1\n.*^number 23$")
        tmux.keys("G")
        tmux.wait_for(r"^number 1000$")
        tmux.keys("/number 50", "Enter", "g", "/number 500", "Enter")
        tmux.wait_for(r"\Anumber 500\n")
        tmux.resize(10, 60)
        tmux.wait_for(r"\Anumber 500\n(?:number 50[1-8]\n){8}")
        tmux.keys("q")
        self.assertTrue(until(tmux.is_over))

    def test_top(self):
        tmux = self.tmux("top -d 0.5")
        tmux.wait_for(r"PID USER")
        tmux.keys("c")
        tmux.keys("q")
        self.assertTrue(until(tmux.is_over))


class Resumed(Terminals):
    """A command at a terminal outlives its connection, as others do; the terminal is as it was."""

    flags = {"linger": "60"}

    def connect(self):
        psk = rp.parse_key_file(self.lab.key.read_bytes())["psk"]
        session = rp.ClientSession(psk, NAME, rp.CHACHA20POLY1305, os.urandom)
        sock = self.lab.connect()
        self.addCleanup(sock.close)
        client = toy.Client(toy.Connection(os.dup(sock.fileno()), session), session)
        self.addCleanup(client.connection.socket.close)
        client.until(lambda: session.state in (rp.START, rp.OPEN))
        return client, sock

    def until_shown(self, client, command, text):
        client.until(lambda: text in client.output.get((command, rp.STDOUT), b""))

    def test_it_goes_on(self):
        client, sock = self.connect()
        line = b"tty; while read x; do echo got=$x=$(stty size)=; done; echo over"
        command = client.session.exec([(rp.WORD, line)], pty={"term": "xterm", "rows": 24, "cols": 80,
                                                              "modes": {"echo": 0}})
        self.until_shown(client, command, b"/dev/pts/")
        command.stdin.write(b"one\n")
        self.until_shown(client, command, b"got=one=24 80=\r\n")
        client.session.resize(command, 30, 90)
        client.until(lambda: (command, None) in client.done)
        client.connection.socket.close()
        reset(sock)
        again, _ = self.connect()
        command.size = {"rows": 40, "cols": 100, "width": 0, "height": 0}       # it has changed meanwhile
        again.session.resume(command)
        again.until(lambda: (command, None) in again.done)
        command.stdin.write(b"two\n")
        self.until_shown(again, command, b"got=two=40 100=\r\n")
        command.stdin.finish()
        again.until(lambda: command in again.ended)
        self.assertIn(b"over\r\n", again.output[command, rp.STDOUT])
        self.assertEqual(again.ended[command].header["code"], 0)

    def test_exit_names_who_holds_it(self):
        """A background process that survives the hangup of its session, and has the terminal open by its name or as
        /dev/tty: EXIT names it, and nobody else."""
        for hold in ("</dev/null &", "</dev/null >/dev/null 2>&1 & } 3<>/dev/tty"):
            with self.subTest(hold=hold):
                line = (f"trap '' HUP; {'{' if '}' in hold else ''} sleep 600 {hold}\necho job=$!=; "
                        "setsid sleep 600 </dev/null >/dev/null 2>&1 & other=$!\n"
                        # Until it executes it has the terminal open, too.
                        "until read name </proc/$other/comm && [ $name = sleep ]; do sleep 0.02; done; "
                        "echo other=$other=")
                client, _ = self.connect()
                command = client.session.exec([(rp.WORD, line.encode())], pty={"term": "xterm", "rows": 24, "cols": 80})
                client.until(lambda: command in client.ended)
                said = client.output[command, rp.STDOUT]
                job, other = (int(re.search(name + rb"=(\d+)=", said)[1]) for name in (b"job", b"other"))
                for pid in (job, other):
                    self.addCleanup(os.kill, pid, signal.SIGKILL)
                self.assertTrue(alive(job) and alive(other))
                header = client.ended[command].header
                self.assertEqual((header["code"], header.get("holders")), (0, [job]))

    def test_the_real_client_goes_on(self):
        """Its terminal stays raw meanwhile; a size that changed while there was no connection arrives."""
        relay = Relay(self.lab.port)
        self.addCleanup(relay.close)
        seat = self.seat("stty -echo; echo up; while read x; do echo got=$x=$(stty size)=; done; echo over",
                         port=relay.port)
        seat.wait_for(rb"up")
        seat.wait_raw()
        for size in ((30, 90), (24, 80), (40, 120)):
            relay.tear()
            seat.resize(*size)
            while seat.wait_for(rb"got=one=(.*?)=\r\n", first=b"one\r")[1] != b"%d %d" % size:
                pass
            self.assertTrue(seat.is_raw())
        seat.type(b"\x04")
        self.assertEqual(seat.end(), 0)
        self.as_before(seat)

    def test_resize_without_a_terminal(self):
        client, _ = self.connect()
        command = client.session.exec([(rp.WORD, b"read x")])
        client.session.resize(command, 30, 90)
        with self.assertRaisesRegex(toy.Wrong, "no_terminal"):
            client.until(lambda: False)


@unittest.skipUnless(ROOT, "only root's daemon runs commands as others")
class AsAnother(Terminals):
    grant_options = ("--user", "nobody")
    flags = {**Terminals.flags, "any_shell": "yes"}

    def test_the_terminal_is_the_user_s(self):
        script = "import os, sys; s = os.stat(0); print(s.st_uid, oct(s.st_mode & 0o777), os.ttyname(0)); open('/dev/tty', 'w')"
        seat = self.seat("/usr/bin/python3", "-c", script, options=("-t", "-l", "nobody", "--exec"))
        self.assertEqual(seat.end(), 0, seat.shown)
        uid = pathlib.Path("/etc/passwd").read_text().split("nobody:")[1].split(":")[1]
        self.assertRegex(seat.shown.decode(), rf"\A{uid} 0o6[02]0 /dev/pts/\d+\r\n\Z")
        self.as_before(seat)


@unittest.skipUnless(ROOT, "the other tests have an ordinary user's daemon already")
class OrdinaryUser(Terminals):
    @classmethod
    def setUpClass(cls):
        cls.lab = UserLab(**cls.flags)
        cls.lab.__enter__()
        cls.addClassCleanup(cls.lab.__exit__)

    def test_terminal_and_job_control(self):
        seat = self.seat(*SHELL[1:], options=("-t", "--exec"), env={"PS1": "x"})
        seat.type(b"PS1='ready''> '\r")
        seat.wait_for(PROMPT)
        line = f"sleep 200.{os.getpid()}"
        seat.type(b"stat -c %u-%a $(tty); " + line.encode() + b"\r")
        uid = os.stat(self.lab.dir).st_uid
        seat.wait_for(rb"%d-6[02]0\r\n" % uid)
        self.assertTrue(until(lambda: in_foreground(line)))
        seat.type(b"\x1a")
        seat.wait_for(rb"Stopped.*" + PROMPT)
        seat.type(b"kill %1; exit 7\r")
        seat.wait_for(rb"exit")
        seat.type(b"\rexit 7\r")
        self.assertEqual(seat.end(), 7)
        self.as_before(seat)


if __name__ == "__main__":
    unittest.main()
