#!/usr/bin/python3
"""The idioms of shells around ssh, with rexec in its place, and every kind of descriptor that a caller may hand over:
what comes out is complete, and what was shared with others is as it was."""

import contextlib
import fcntl
import hashlib
import itertools
import os
import pty
import select
import socket
import subprocess
import termios
import threading
import time
import unittest

from callers import CallerTest, both_ways, needs
from lab import REXEC, alive, until

FLAGS = os.O_NONBLOCK | os.O_APPEND | os.O_ASYNC
# A line of shell: waits until the process named in the file $1 is sleep. bash catches TERM until then, and forgets one
# that comes just before it executes sleep.
ASLEEP = 'until test -s $1 && grep -qs sleep /proc/$(cat $1)/comm; do sleep 0.05; done; '


@both_ways
class Idioms(CallerTest):
    def test_file_to_file(self):
        data = os.urandom(2_000_000)
        (self.dir / "file").write_bytes(data)
        for name, script in (("a", 'cat file | rexec $h "cat > $1"'), ("b", 'rexec $h "cat > $1" < file'),
                             ("c", 'rexec $h "dd of=$1 bs=64k status=none" < file'),
                             ("d", 'cat file | ssh $h "tee $1" >copy; cmp copy file')):
            with self.subTest(script=script):
                self.shell(script, self.dir / name)
                self.assertEqual((self.dir / name).read_bytes(), data)
        self.shell('rexec $h "cat $1" > e; rexec $h cat "$1" | cmp - "$1"; rexec $h "exec cat <$1" | cat > f',
                   self.dir / "file")
        self.assertEqual([(self.dir / name).read_bytes() == data for name in "ef"], [True, True])

    def test_nothing_to_read(self):
        self.check(self.shell("rexec $h cat </dev/null; rexec -n $h 'cat; echo end'", input=b"not for it\n"), 0,
                   b"end\n")
        self.check(self.shell(": | rexec $h wc -c; printf '' | rexec $h 'read x || echo none'"), 0, b"0\nnone\n")

    def test_loops_keep_their_stdin(self):
        """A loop that reads a list: -n, -f and </dev/null leave it alone; so does another descriptor."""
        names = [f"line {i}" for i in range(15)]
        (self.dir / "list").write_text("".join(name + "\n" for name in names))
        expected = "".join(f"<{name}>\n" for name in names).encode()
        for loop in ('while read -r l; do rexec -n $h "echo \'<$l>\'"; done < list',
                     'while read -r l; do rexec $h "echo \'<$l>\'" </dev/null; done < list',
                     'cat list | while read -r l; do ssh -xn $h "echo \'<$l>\'"; done',
                     'cat list | while read -r l; do ssh -oStdinNull=yes $h "echo \'<$l>\'"; done',
                     'while read -r l <&3; do rexec $h "echo \'<$l>\'; cat"; done 3< list < /dev/null',
                     'while read -r l <&3; do echo "<$l>" | rexec $h cat; done 3< list'):
            with self.subTest(loop=loop):
                self.check(self.shell(loop), 0, expected)

    def test_substitution(self):
        self.check(self.shell('x=$(rexec $h "echo one; echo; exit 3"); echo "$?<$x>"; echo "$(rexec $h pwd)" >f; '
                              'echo `rexec $h "echo a b"`; [ "$(ssh $h id -u)" = "$(id -u)" ] && echo same'),
                   0, b"3<one>\na b\nsame\n")

    def test_background(self):
        """Many at once, then all of them waited for."""
        run = self.shell('for i in 1 2 3 4 5 6 7 8; do rexec $h "echo $i; exit $i" > out$i & p="$p $!"; done; '
                         'for i in $p; do wait $i; echo $?; done; cat out?')
        self.assertEqual(run.stdout.split(), [b"%d" % i for i in range(1, 9)] * 2)

    def test_killed_in_the_background(self):
        """The command goes with its client."""
        script = 'rexec $h \'echo $$ > "\'$1\'"; exec sleep 600\' & ' + ASLEEP + 'kill $!; wait $!; echo $?'
        self.check(self.shell(script, self.dir / "pid"), 0, b"143\n")
        pid = int((self.dir / "pid").read_text())
        self.assertTrue(until(lambda: not alive(pid)))

    @needs("bash")
    def test_killed_with_a_job_of_its_own_group(self):
        """As GNU parallel has them: what the command started goes with it, also out of its process group."""
        script = 'rexec $h \'cd "\'$2\'"; exec bash -c "set -m; sleep 600 & echo \\$! >job; echo \\$\\$ >pid; exec sleep 600"\' & ' + \
            ASLEEP + 'kill $!; wait $!; echo $?'
        self.check(self.shell(script, self.dir / "pid", self.dir), 0, b"143\n")
        pid = int((self.dir / "job").read_text())
        self.assertTrue(until(lambda: not alive(pid)))

    @needs("timeout")
    def test_timeout(self):
        """ALRM is what timeout's own clock sends it: so the time is up when the command is there, not before."""
        script = 'timeout 600 rexec $h \'echo x; echo $$ > "\'$1\'"; exec sleep 600\' & ' + ASLEEP + \
            'kill -ALRM $!; wait $!'
        self.check(self.shell(script, self.dir / "pid", status=124), 124, b"x\n")

    def test_left_behind(self):
        """What nohup leaves behind runs on, and nobody waits for it."""
        self.check(self.shell("rexec $h \"cd '$1'; nohup sh -c 'until test -e go; do sleep 0.05; done; touch done' "
                              ">/dev/null 2>&1 </dev/null & echo begun\"", self.dir), 0, b"begun\n")
        self.assertFalse((self.dir / "done").exists())
        (self.dir / "go").touch()
        self.assertTrue(until((self.dir / "done").exists))

    def test_scripts_through_stdin(self):
        self.check(self.shell('rexec $h sh <<EOF\necho here $((1+1))\nEOF\nrexec $h "sh -s a \'b c\'" <<"EOF"\n'
                              'for i; do echo "<$i>"; done\nEOF'), 0, b"here 2\n<a>\n<b c>\n")
        self.check(self.shell("echo 'echo one\nexit 9\necho two' | rexec $h sh; echo $?"), 0, b"one\n9\n")

    @needs("bash")
    def test_bash(self):
        """PIPESTATUS, process substitution, printf %q, a coprocess."""
        run = self.call("bash", "-c", f'h={self.host}\n' + r'''
            rexec $h "echo a; exit 3" | rexec $h "cat; exit 4" | rexec $h cat; echo ${PIPESTATUS[@]}
            diff <(rexec $h "seq 5") <(rexec $h "seq 5") && echo equal
            words=("a  b" "c'd" 'e"f' '$g' $'new\nline' ''); rexec $h "printf '<%s>' $(printf '%q ' "${words[@]}")"; echo
            rexec $h cat > >(sed s/^/got:/) <<<"string"; sleep 0.2; wait
            coproc rexec $h "while read x; do echo \$((x*x)); done"
            for i in 5 6 7; do echo $i >&${COPROC[1]}; read y <&${COPROC[0]}; echo $y; done
            exec {COPROC[1]}>&-; wait $COPROC_PID; echo $?''')
        self.check(run, 0, b"a\n3 4 0\nequal\n<a  b><c'd><e\"f><$g><new\nline><>\ngot:string\n25\n36\n49\n0\n")

    @needs("bash")
    def test_bashrc(self):
        """Where bash is built to read it for sshd's commands, it can be told to read it for ours."""
        (self.dir / ".bashrc").write_text("echo read\n")
        for variable in ((), ("-o", "SetEnv=SSH_CLIENT=rexec")):
            here = subprocess.run(["bash", "-c", "echo run"], stdin=subprocess.DEVNULL, capture_output=True, check=True,
                                  timeout=60, env={"HOME": str(self.dir), **({"SSH_CLIENT": "x"} if variable else {})})
            run = self.call("rexec", "-n", *variable, "--env", f"HOME={self.dir}", "--exec", self.host, "bash", "-c",
                            "echo run")
            self.check(run, 0, here.stdout)

    def test_conditions(self):
        self.check(self.shell('if rexec $h test -d /; then echo yes; fi; rexec $h false || echo no; '
                              'rexec $h "kill -9 \\$\\$"; echo $?; ! rexec $h exit 5 && rexec $h exit 6; echo $?; '
                              'rexec -i/no/such/key $h true 2>err; echo $?'), 0, b"yes\nno\n137\n6\n255\n")

    def test_one_file_for_all(self):
        """The offset of an open file is shared, and nothing is written over."""
        for mode in (">", ">>"):
            self.shell(f"{{ echo 1; rexec $h 'echo 2; echo 3 >&2; echo 4'; echo 5; }} {mode}file 2>&1")
        said = (self.dir / "file").read_text().split()
        self.assertEqual([sorted(said[:5]), sorted(said[5:])], [list("12345")] * 2)
        self.assertEqual([said[0], said[4], said[5], said[9]], list("1515"))


# ---- descriptors

class Kinds:
    """Makes descriptors in pairs: one for the client, and one to feed it with or to take from it. For one that waits
    for nobody, the second is a path."""

    def __init__(self, stack, directory):
        self.stack, self.directory = stack, directory
        self.number = 0

    def keep(self, *fds):
        for fd in fds:
            self.stack.callback(self.close, fd)
        return fds

    @staticmethod
    def close(fd):
        with contextlib.suppress(OSError):
            os.close(fd)

    def path(self):
        self.number += 1
        return self.directory / f"kind{self.number}"

    def pipe(self, out):
        return self.keep(*(reversed(os.pipe()) if out else os.pipe()))

    def fifo(self, out):
        path = self.path()
        os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        writer = os.open(path, os.O_WRONLY)
        os.set_blocking(reader, True)
        return self.keep(*((writer, reader) if out else (reader, writer)))

    def socket(self, _out):
        return self.keep(*(end.detach() for end in socket.socketpair()))

    def tcp(self, _out):
        with socket.create_server(("127.0.0.1", 0)) as server:
            one = socket.create_connection(server.getsockname())
            return self.keep(one.detach(), server.accept()[0].detach())

    def terminal(self, _out):
        master, slave = pty.openpty()
        settings = termios.tcgetattr(slave)
        settings[1] &= ~termios.OPOST
        settings[3] &= ~(termios.ECHO | termios.ICANON | termios.ISIG)
        settings[0] &= ~(termios.ICRNL | termios.IXON)
        termios.tcsetattr(slave, termios.TCSANOW, settings)
        return self.keep(slave, master)

    def pty_master(self, _out):
        """As the terminal, the other way round."""
        return self.keep(*reversed(self.terminal(_out)))


STREAMS = ("pipe", "fifo", "socket", "tcp", "terminal", "pty_master")
INPUT = bytes(range(1, 256)) * 1200      # more than any of them holds


def feed(fd, data):
    """Writes all, while the caller does other things. The end is not told: a terminal has none."""
    def write():
        view = memoryview(data)
        with contextlib.suppress(OSError):
            while view:
                view = view[os.write(fd, view[:65536]):]
    threading.Thread(target=write, daemon=True).start()


def take(fd, n, seconds=20):
    """Exactly n bytes, or less at the end."""
    got = bytearray()
    end = time.monotonic() + seconds
    while len(got) < n and time.monotonic() < end:
        if select.select([fd], [], [], 0.5)[0]:
            try:
                piece = os.read(fd, min(65536, n - len(got)))
            except OSError:
                break
            if not piece:
                break
            got += piece
    return bytes(got)


@both_ways
class Descriptors(CallerTest):
    def setUp(self):
        super().setUp()
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        self.kinds = Kinds(self.stack, self.dir)

    def client(self, *words, **fds):
        client = subprocess.Popen([str(REXEC), self.host, *words], env=self.environment(), **fds)
        self.stack.callback(lambda: (client.kill(), client.wait()))
        return client

    def open_flags(self, *fds):
        return [fcntl.fcntl(fd, fcntl.F_GETFL) & FLAGS for fd in fds]

    def through(self, name_in, name_out, name_err, nonblocking=False, kill=False):
        """Bytes go in and come out of both; the flags of what is shared stay as they are, at every moment."""
        (stdin, feeder), (stdout, out), (stderr, err) = (
            getattr(self.kinds, name)(number > 0) for number, name in enumerate((name_in, name_out, name_err)))
        for fd in (stdin, stdout, stderr):
            os.set_blocking(fd, not nonblocking)
        before = self.open_flags(stdin, stdout, stderr)
        n = len(INPUT)
        client = self.client(f"head -c {n} | tee /dev/fd/2", stdin=stdin, stdout=stdout, stderr=stderr)
        feed(feeder, INPUT)
        errors = []
        reader = threading.Thread(target=lambda: errors.append(take(err, n)), daemon=True)
        reader.start()
        begin = take(out, 1000)
        self.assertEqual(self.open_flags(stdin, stdout, stderr), before, "while it runs")
        if kill:
            client.kill()
            client.wait()
            self.assertEqual(self.open_flags(stdin, stdout, stderr), before, "after a kill")
            os.close(err)
            return
        self.assertEqual(hashlib.sha256(begin + take(out, n - len(begin))).digest(), hashlib.sha256(INPUT).digest())
        reader.join(20)
        self.assertEqual(errors, [INPUT])
        self.assertEqual(client.wait(timeout=60), 0)
        self.assertEqual(self.open_flags(stdin, stdout, stderr), before, "after its end")

    def test_kinds(self):
        for name_in, name_out, name_err in zip(STREAMS, STREAMS[1:] + STREAMS[:1], STREAMS[3:] + STREAMS[:3]):
            with self.subTest(stdin=name_in, stdout=name_out, stderr=name_err):
                self.through(name_in, name_out, name_err)

    def test_kinds_that_do_not_block(self):
        """As some event loops hand over what they have: EAGAIN is no error, and the flag stays."""
        for name_in, name_out, name_err in zip(STREAMS, STREAMS, STREAMS[2:] + STREAMS[:2]):
            with self.subTest(stdin=name_in, stdout=name_out, stderr=name_err):
                self.through(name_in, name_out, name_err, nonblocking=True)

    def test_killed(self):
        """There is nothing to put right at the end, so a client that gets no end leaves nothing wrong."""
        for name in STREAMS:
            with self.subTest(all=name):
                self.through(name, name, name, kill=True)

    def test_files(self):
        (self.dir / "in").write_bytes(INPUT)
        with open(self.dir / "in", "rb") as stdin, open(self.dir / "out", "w+b") as stdout:
            before = self.open_flags(stdin.fileno(), stdout.fileno())
            client = self.client("cat; echo e >&2", stdin=stdin, stdout=stdout, stderr=subprocess.PIPE)
            self.assertEqual((client.stderr.read(), client.wait(timeout=60)), (b"e\n", 0))
            self.assertEqual(self.open_flags(stdin.fileno(), stdout.fileno()), before)
            client.stderr.close()
        self.assertEqual((self.dir / "out").read_bytes(), INPUT)

    def test_closed(self):
        """Descriptors that are not there do not get to be the connection; the command runs, and its status counts."""
        done = self.dir / "done"
        for closed in itertools.chain.from_iterable(itertools.combinations((0, 1, 2), n) for n in (1, 2, 3)):
            with self.subTest(closed=closed):
                redirections = " ".join(f"{fd}<&-" if fd == 0 else f"{fd}>&-" for fd in closed)
                run = self.shell(f'rexec $h "cat; echo out; echo err >&2; echo x > $1; exit 3" {redirections}', done,
                                 input=b"in\n", status=None)
                self.assertEqual(done.read_text(), "x\n")
                done.unlink()
                self.assertEqual(run.stdout, b"" if 1 in closed else b"out\n" if 0 in closed else b"in\nout\n")
                if 1 not in closed and 2 not in closed:
                    self.assertEqual((run.returncode, run.stderr), (3, b"err\n"))

    def socketpair(self, kind=socket.AF_UNIX):
        ours, theirs = socket.socketpair(kind)
        self.stack.callback(ours.close)
        self.stack.callback(theirs.close)
        ours.settimeout(60)
        return ours, theirs

    def test_one_socketpair(self):
        """As scp, sftp and sshfs have it: 0 and 1 are one socket, half-closed each way by itself."""
        ours, theirs = self.socketpair()
        before = self.open_flags(theirs.fileno())
        client = self.client("cat; echo end", stdin=theirs, stdout=theirs)
        theirs.close()
        sender = threading.Thread(target=lambda: (ours.sendall(INPUT), ours.shutdown(socket.SHUT_WR)), daemon=True)
        sender.start()
        got = bytearray()
        while piece := ours.recv(65536):
            got += piece
        self.assertEqual((bytes(got), client.wait(timeout=60)), (INPUT + b"end\n", 0))
        self.assertEqual(before, [0])

    def test_one_socketpair_output_ends_first(self):
        """The command closes its output and reads on: the caller sees the end, and what it sends still arrives."""
        ours, theirs = self.socketpair()
        client = self.client(f"echo last; exec >&- 2>&-; cat > {self.dir}/got", stdin=theirs, stdout=theirs)
        theirs.close()
        got = bytearray()
        while piece := ours.recv(100):
            got += piece
        self.assertEqual(bytes(got), b"last\n")
        self.assertIsNone(client.poll())
        ours.sendall(INPUT)
        ours.shutdown(socket.SHUT_WR)
        self.assertEqual(client.wait(timeout=60), 0)
        self.assertEqual((self.dir / "got").read_bytes(), INPUT)

    def test_pipe_output_ends_first(self):
        client = self.client(f"echo last; exec >&- 2>&-; cat > {self.dir}/got", stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        with client.stdin, client.stdout, client.stderr:
            self.assertEqual(client.stdout.read(), b"last\n")
            self.assertIsNone(client.poll())
            client.stdin.write(INPUT)
            client.stdin.close()
            self.assertEqual(client.wait(timeout=60), 0)
        self.assertEqual((self.dir / "got").read_bytes(), INPUT)

    def test_what_was_wrong_comes_before_the_end(self):
        """Callers as rsync end their ssh as soon as its stdout ends: by then stderr is there. (Here a shell comes
        late with it, which on a busy machine may be too late.)"""
        said = []
        for _ in range(20):
            client = self.client("exec >&-; sleep 0.01; echo why >&2; exit 3", stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            with client.stdin, client.stdout, client.stderr:
                self.assertEqual(client.stdout.read(), b"")
                client.kill()
                said.append(client.stderr.read())
            client.wait()
        self.assertGreater(said.count(b"why\n"), 5, said)

    def test_shared_socket_stays_usable(self):
        """The caller's own copy of the socket is not in another mode afterwards: a blocking read still waits."""
        ours, theirs = self.socketpair()
        client = self.client("head -c 5", stdin=theirs, stdout=theirs)
        ours.sendall(b"12345")
        self.assertEqual(ours.recv(5, socket.MSG_WAITALL), b"12345")
        self.assertEqual(client.wait(timeout=60), 0)
        self.assertTrue(os.get_blocking(theirs.fileno()))


if __name__ == "__main__":
    unittest.main()
