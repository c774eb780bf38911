"""A lost connection loses nothing: the real client and daemon, and a relay between them that goes away."""

import contextlib
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
import unittest

from lab import NAME, Lab, alive, until

QUICK = ("-oServerAliveInterval=1", "-oServerAliveCountMax=1")


class Relay:
    """Passes connections on to a port, until told otherwise: cut() ends those that there are, `open` says whether
    new ones are taken, `stranger` what those that are not get to read, `limits` how many bytes each of the next
    connections gets (to the server, to the client)."""

    def __init__(self, port):
        self.to, self.open, self.limits, self.pairs, self.count = port, True, [], set(), 0
        self.stranger, self.strangers, self.seen = None, 0, []
        self.lock = threading.Lock()

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.cut()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if not self.open:
                if self.stranger is not None:
                    client.sendall(self.stranger)
                    self.strangers += 1
                self.end((client,), fin=self.stranger is not None)
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self.to))
            except OSError:
                client.close()
                continue
            self.count += 1
            limits = self.limits.pop(0) if self.limits else (None, None, False)
            pair = {"ends": (client, server), "silent": False, "passed": [0, 0]}
            with self.lock:
                self.pairs.add(id(pair))
                self.seen.append(pair)
            for way, (source, sink) in enumerate(((client, server), (server, client))):
                threading.Thread(target=self.pump, args=(pair, way, source, sink, limits), daemon=True).start()

    def pump(self, pair, way, source, sink, limits):
        left, fin = limits[way], limits[2]
        try:
            while data := source.recv(65536):
                if pair["silent"]:
                    continue
                if left is not None and len(data) >= left:
                    sink.sendall(data[:left])
                    pair["passed"][way] += left
                    self.end(pair["ends"], fin)
                    return
                if left is not None:
                    left -= len(data)
                sink.sendall(data)
                pair["passed"][way] += len(data)
            if not pair["silent"]:
                sink.shutdown(socket.SHUT_WR)
        except OSError:
            self.end(pair["ends"], fin=False)

    @staticmethod
    def end(ends, fin):
        for one in ends:
            with contextlib.suppress(OSError):
                if fin:
                    one.shutdown(socket.SHUT_RDWR)
                else:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    one.shutdown(socket.SHUT_RD)
            one.close()

    def cut(self, fin=False):
        with self.lock:
            for pair in self.seen:
                self.end(pair["ends"], fin)

    def silence(self):
        """What there is stays open and says nothing any more, not even that it has ended."""
        for pair in self.seen:
            pair["silent"] = True


class Resume(unittest.TestCase):
    flags = {}

    def setUp(self):
        self.lab = self.enterContext(Lab(**self.flags))
        self.relay = self.enterContext(Relay(self.lab.port))
        self.lab.port = self.relay.port
        self.marks = self.lab.dir / "marks"

    def ran(self):
        return len(self.marks.read_bytes()) if self.marks.exists() else 0

    def audit(self):
        lines = [json.loads(line) for line in self.lab.audit.read_text().splitlines()]
        return [line for line in lines if line.get("type") == "command" or "by" in line]

    def gone(self, pid):
        self.assertTrue(until(lambda: not alive(pid)), f"process {pid} is still there")

    def started(self, command, *options, **more):
        """A client whose command has said its pid."""
        client = self.enterContext(self.lab.popen(f"echo $$; {command}", options=options, **more))
        self.addCleanup(client.kill)
        return client, int(client.stdout.readline())


class Cut(Resume):
    def test_at_every_byte_from_the_server(self):
        """The answer is whole, the status right, and it ran once, wherever the stream was cut."""
        self.cut_everywhere(1)

    def test_at_every_byte_from_the_client(self):
        self.cut_everywhere(0)

    def cut_everywhere(self, way):
        command = f"printf x >>{self.marks}; echo hello; echo sorry >&2; cat; exit 7"
        run = self.lab.rexec(command, input=b"input\n")
        self.assertEqual((run.returncode, run.stdout), (7, b"hello\ninput\n"))
        whole = self.relay.seen[0]["passed"][way]
        self.assertGreater(whole, 100)
        dice = random.Random(way)
        places = sorted({*range(0, whole, max(1, whole // 24)), *dice.sample(range(whole), 8), whole - 1})
        for number, place in enumerate(places):
            limits = [None, None, number % 2 == 0]
            limits[way] = place
            self.relay.limits = [tuple(limits)]
            self.marks.unlink()
            run = self.lab.rexec(command, input=b"input\n")
            self.assertEqual((run.returncode, run.stdout, run.stderr, self.ran()),
                             (7, b"hello\ninput\n", b"sorry\n", 1), f"cut at {place} of {whole}")

    def test_again_and_again_both_ways(self):
        data = random.Random(5).randbytes(4_000_000)
        for fin in (False, True):
            self.relay.limits = [(place, None, fin) if number % 2 else (None, place, fin)
                                 for number, place in enumerate([100_000, 70_000, 333_333, 1_000_000] * 4)]
            run = self.lab.rexec("cat; echo end >&2; exit 3", input=data)
            self.assertEqual((run.returncode, run.stderr), (3, b"end\n"))
            self.assertEqual(hashlib.sha256(run.stdout).digest(), hashlib.sha256(data).digest())
            # How far each connection comes depends on how the two directions share it.
            self.assertLessEqual(len(self.relay.limits), 16 - 5)

    def test_batch(self):
        lines = b"".join(b"echo %d; exit %d\n" % (n, n % 3) for n in range(200))
        self.relay.limits = [(None, place, place % 2 == 0) for place in (700, 5001, 20_000, 1500, 9999)]
        command = self.lab.command_line(options=("-j", "8"))
        run = subprocess.run([command[0], "batch", *command[1:]], input=lines, capture_output=True, timeout=120)
        self.assertEqual(run.returncode, 1, run.stderr)
        self.assertEqual(run.stdout, b"".join(b"%d\n" % n for n in range(200)))
        self.assertFalse(self.relay.limits)


class Away(Resume):
    """The connection is gone for a while."""

    def test_silence(self):
        client, _ = self.started("sleep 1; echo x; cat; exit 4", *QUICK)
        self.relay.silence()
        out, error = client.communicate(b"input\n", timeout=60)
        self.assertEqual((client.returncode, out, error), (4, b"x\ninput\n", b""))
        self.assertEqual(self.relay.count, 2)

    def test_signal_meanwhile(self):
        client, _ = self.started("exec 2>/dev/null; trap 'echo got; exit 5' TERM; echo ready; while :; do sleep 0.1; done")
        self.assertEqual(client.stdout.readline(), b"ready\n")
        self.relay.open = False
        self.relay.cut()
        time.sleep(0.2)
        client.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        self.relay.open = True
        out, error = client.communicate(timeout=60)
        self.assertEqual((client.returncode, out, error), (5, b"got\n", b""))

    def test_batch_goes_on_reading(self):
        """Lines that come while a stranger answers in the server's place are run like all others."""
        go = self.lab.dir / "go"
        command = self.lab.command_line(options=("-j", "8"))
        client = self.enterContext(subprocess.Popen([command[0], "batch", *command[1:]], stdin=subprocess.PIPE,
                                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE))
        self.addCleanup(client.kill)
        client.stdin.write(f"echo begun; until test -e {go}; do sleep 0.05; done\n".encode())
        client.stdin.flush()
        self.assertEqual(client.stdout.readline(), b"begun\n")
        self.relay.open, self.relay.stranger = False, b"HTTP/1.1 302 Found\r\n\r\n"
        self.relay.cut()
        for number in range(3):
            before = self.relay.strangers
            self.assertTrue(until(lambda now=before: self.relay.strangers > now))
            client.stdin.write(b"echo %d\n" % number)
            client.stdin.flush()
            self.assertTrue(until(lambda now=before: self.relay.strangers > now + 1))
        self.relay.open = True
        go.touch()
        out, error = client.communicate(timeout=60)
        self.assertEqual((client.returncode, out), (0, b"0\n1\n2\n"), error)

    def test_a_note_when_it_takes_long(self):
        client, _ = self.started("sleep 1; echo x")
        self.relay.open = False
        self.relay.cut()
        time.sleep(4.5)
        self.relay.open = True
        out, error = client.communicate(timeout=60)
        self.assertEqual((client.returncode, out), (0, b"x\n"))
        self.assertRegex(error.decode(), rf"\Arexec: {NAME}: the connection was lost \d seconds ago, trying [^\n]*\n"
                                         rf"rexec: {NAME}: connected again\n\Z")

    def test_output_stops_at_the_window(self):
        client, pid = self.started("exec head -c 3000000 /dev/zero")
        self.relay.open = False
        self.relay.cut()
        stat = pathlib.Path(f"/proc/{pid}/wchan")
        self.assertTrue(until(lambda: "pipe" in stat.read_text() or not os.access(stat, os.R_OK)))
        self.assertTrue(alive(pid))
        self.relay.open = True
        rest = len(client.stdout.read())  # communicate() knows nothing of what readline() has read ahead
        self.assertEqual((client.wait(timeout=60), rest, client.stderr.read()), (0, 3_000_000, b""))

    def test_linger_is_over(self):
        client, pid = self.started("sleep 600", "--linger", "1")
        self.relay.open = False
        self.relay.cut()
        out, error = client.communicate(timeout=60)
        self.assertEqual((client.returncode, out), (255, b""))
        self.assertRegex(error.decode(), rf"\Arexec: {NAME}: the connection was lost and cannot be had again: [^\n]*not "
                                         r"known[^\n]*\n\Z")
        self.gone(pid)
        self.assertTrue(until(lambda: any(line.get("by") == "lost" for line in self.audit())), self.lab.audit.read_text())

    def test_no_resume(self):
        client, pid = self.started("sleep 600", "--no-resume")
        self.relay.cut()
        out, error = client.communicate(timeout=60)
        self.assertEqual((client.returncode, out, self.relay.count), (255, b"", 1))
        self.assertIn(b"was lost before the command had ended", error)
        self.gone(pid)

    def test_the_client_is_killed(self):
        client, pid = self.started("trap '' TERM HUP; while :; do sleep 0.1; done")
        client.kill()
        self.gone(pid)


class Full(Resume):
    flags = {"max_connections": 1}

    def test_another_has_the_place(self):
        """A server that is full for a moment is no reason to give up what runs there."""
        client, _ = self.started("cat; exit 4")
        self.relay.open = False
        self.relay.cut()
        self.assertTrue(until(lambda: "session closed" in self.lab.said()), self.lab.said())
        self.lab.port = self.relay.to
        other = self.enterContext(self.lab.popen(options=("-N",)))
        self.addCleanup(other.kill)
        self.assertTrue(until(lambda: self.lab.said().count("session opened") == 2), self.lab.said())
        self.relay.open = True
        self.assertTrue(until(lambda: "too many connections" in self.lab.said()), self.lab.said())
        other.terminate()
        out, _ = client.communicate(b"input\n", timeout=60)
        self.assertEqual((client.returncode, out), (4, b"input\n"))


@unittest.skipUnless(os.geteuid() == 0 and shutil.which("unshare"), "only root may have another /etc/hosts")
@unittest.skipUnless(pathlib.Path("/proc/net/if_inet6").exists(), "there is no IPv6 here")
class Addresses(Resume):
    def test_the_one_that_led_there_comes_first(self):
        """Of a name with two addresses, the first leads nowhere until the connection is lost, and then elsewhere."""
        hosts = self.lab.dir / "hosts"
        hosts.write_text("::1 two\n127.0.0.1 two\n")
        words = self.lab.command_line("echo begun; cat; exit 4", options=("--linger", "10"))
        words[words.index("HostName=127.0.0.1")] = "HostName=two"
        client = self.enterContext(subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", f"mount --bind {hosts} /etc/hosts && exec \"$@\"", "sh", *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
        self.addCleanup(client.kill)
        self.assertEqual(client.stdout.readline(), b"begun\n")
        with socket.create_server(("::1", self.relay.port), family=socket.AF_INET6) as elsewhere:
            self.relay.cut()
            out, error = client.communicate(b"input\n", timeout=60)
            self.assertEqual((client.returncode, out, error), (4, b"input\n", b""))
            elsewhere.setblocking(False)
            self.assertRaises(BlockingIOError, elsewhere.accept)


class Callers(Resume):
    """Programs that call rexec where they would call ssh: their connection is cut again and again, and they never
    know."""

    def setUp(self):
        super().setUp()
        self.shell = self.lab.dir / "sh"
        words = self.lab.command_line()[:-1]
        self.shell.write_text("#!/bin/sh\nexec " + " ".join(f"'{word}'" for word in words) + ' "$@"\n')
        self.shell.chmod(0o700)
        self.tree = self.lab.dir / "tree"
        self.tree.mkdir()
        dice = random.Random(9)
        for number in range(60):
            (self.tree / f"file{number}").write_bytes(dice.randbytes(dice.choice((0, 100, 40_000, 900_000))))
        (self.tree / "big").write_bytes(dice.randbytes(20_000_000))

    def cut_often(self, step):
        self.relay.limits = [(step, step, number % 2 == 0) for number in range(12)]

    def call(self, *words, **more):
        return subprocess.run([str(word) for word in words], capture_output=True, timeout=120, **more)

    def same(self, other):
        run = self.call("diff", "-r", self.tree, other)
        self.assertEqual((run.returncode, run.stdout), (0, b""))
        self.assertLess(len(self.relay.limits), 8, "it was hardly ever cut")

    def test_connections_shorter_than_a_record(self):
        """A path that lets through less than a record of full size at a time: small ones pass."""
        data = random.Random(4).randbytes(400_000)
        self.relay.limits = [(25_000, 25_000, number % 2 == 0) for number in range(200)]
        run = self.call(self.shell, NAME, "cat", input=data)
        self.assertEqual((run.returncode, run.stderr, run.stdout == data), (0, b"", True))
        self.assertLess(len(self.relay.limits), 190, "it was hardly ever cut")

    @unittest.skipUnless(shutil.which("rsync"), "needs rsync")
    def test_rsync(self):
        for number, (source, target) in enumerate(((f"{self.tree}/", f"{NAME}:{self.lab.dir}/pushed/"),
                                                   (f"{NAME}:{self.tree}/", f"{self.lab.dir}/pulled/"))):
            self.cut_often(2_000_000)
            run = self.call("rsync", "-a", "-e", self.shell, source, target)
            self.assertEqual((run.returncode, run.stderr), (0, b""))
            self.same(self.lab.dir / ("pushed", "pulled")[number])

    def test_git_clone(self):
        def git(*words):
            run = self.call("git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "safe.directory=*", *words,
                            env={**os.environ, "GIT_SSH": str(self.shell), "GIT_CONFIG_GLOBAL": "/nonexistent"})
            self.assertEqual(run.returncode, 0, run.stderr)
        git("init", "-q", self.tree)
        git("-C", self.tree, "add", ".")
        git("-C", self.tree, "commit", "-qm", "all")
        self.cut_often(1_000_000)
        git("clone", "-q", f"{NAME}:{self.tree}", self.lab.dir / "clone")
        shutil.rmtree(self.lab.dir / "clone" / ".git")
        shutil.rmtree(self.tree / ".git")
        self.same(self.lab.dir / "clone")

    def test_tar_through_a_pipe(self):
        target = self.lab.dir / "copy"
        target.mkdir()
        self.cut_often(3_000_000)
        run = self.call("sh", "-c", f"tar -C {self.tree} -cf - . | {self.shell} {NAME} 'tar -C {target} -xf -'")
        self.assertEqual((run.returncode, run.stderr), (0, b""))
        self.same(target)


class Server(Resume):
    """The other side dies."""

    def test_net_dies(self):
        client, pid = self.started("trap '' TERM HUP; while :; do sleep 0.1; done")
        os.kill(self.lab.net_pid(), signal.SIGKILL)
        out, error = client.communicate(timeout=60)
        self.assertEqual((client.returncode, out), (255, b""))
        self.assertRegex(error.decode(), rf"\Arexec: {NAME}: [^\n]*how it ended[^\n]*\n\Z")
        self.gone(pid)
        self.assertEqual(self.lab.rexec("echo again").stdout, b"again\n")

    def test_the_daemon_dies_and_is_restarted(self):
        client, pid = self.started("sleep 600")
        self.lab.stop(signal.SIGKILL)
        self.relay.cut()
        self.lab.start()
        self.relay.to, self.lab.port = self.lab.port, self.relay.port
        out, error = client.communicate(timeout=60)
        self.assertEqual((client.returncode, out), (255, b""))
        self.assertRegex(error.decode(), rf"\Arexec: {NAME}: [^\n]*knows nothing of this command[^\n]*not known[^\n]*\n\Z")
        self.gone(pid)


@unittest.skipUnless(os.geteuid() == 0 and shutil.which("ip"), "needs root and iproute2")
class Address(unittest.TestCase):
    def test_the_client_has_another_address(self):
        """In a network of its own, whose client's address is taken away under a running command."""
        name = f"rexec{os.getpid()}"
        near, far = f"rx{os.getpid()}a"[:15], f"rx{os.getpid()}b"[:15]

        def ip(*words):
            subprocess.run(["ip", *words], check=True, capture_output=True, timeout=60)
        ip("netns", "add", name)
        self.addCleanup(subprocess.run, ["ip", "netns", "del", name], capture_output=True, timeout=60)
        ip("link", "add", near, "type", "veth", "peer", "name", far, "netns", name)
        self.addCleanup(subprocess.run, ["ip", "link", "del", near], capture_output=True, timeout=60)
        ip("addr", "add", "10.213.7.1/24", "dev", near)
        ip("link", "set", near, "up")
        ip("-n", name, "addr", "add", "10.213.7.2/24", "dev", far)
        ip("-n", name, "link", "set", far, "up")
        ip("netns", "exec", name, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/conf/all/promote_secondaries")
        with Lab(listen=("10.213.7.1:0",)) as lab:
            command = lab.command_line("echo on; sleep 2; echo off; exit 6", options=QUICK)
            command = ["10.213.7.1".join(word.split("127.0.0.1")) for word in command]
            with subprocess.Popen(["ip", "netns", "exec", name, *command], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE) as client:
                self.assertEqual(client.stdout.readline(), b"on\n")
                ip("-n", name, "addr", "add", "10.213.7.3/24", "dev", far)
                ip("-n", name, "addr", "del", "10.213.7.2/24", "dev", far)
                out, error = client.communicate(timeout=60)
            self.assertEqual((client.returncode, out, error), (6, b"off\n", b""))
            self.assertIn("goes on here", lab.said())


if __name__ == "__main__":
    unittest.main()
