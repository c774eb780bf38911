"""What code that got into the net process finds there, and what the kernel lets it do: the keys that are not in its
memory, system calls planted in it, its rights and descriptors, and what becomes of the daemon when one of its
processes is killed.
"""

import errno
import json
import os
import pathlib
import pwd
import signal
import socket
import struct
import subprocess
import unittest

from lab import NAME, SANITIZED, Lab, alive, children, until
from hostile_net import Gone, NetProcess, UserLab, ready_nets
import rexec_protocol as rx
import tracer
from tracer import Killed, refused

ROOT = os.geteuid() == 0
AT_FDCWD = -100
MSG_FASTOPEN = 0x20000000
PAGE = os.sysconf("SC_PAGESIZE")
STEP = 256 * PAGE
SHADOW = 1 << 33        # larger maps are a sanitizer's, and hold nothing of the program's


# ---- memory

def memory(pid):
    """All that is mapped, can be read and was ever touched, in pieces that overlap by a secret's length."""
    with open(f"/proc/{pid}/mem", "rb", 0) as mem, open(f"/proc/{pid}/pagemap", "rb", 0) as pagemap:
        for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
            low, high = (int(part, 16) for part in line.split()[0].split("-"))
            if line.split()[1][0] != "r" or high - low > SHADOW or "[v" in line:
                continue
            tail = b""
            for at in range(low, high, STEP):
                size = min(STEP, high - at)
                pagemap.seek(at // PAGE * 8)
                if not any(pagemap.read(size // PAGE * 8)[7::8]):   # neither present nor swapped out
                    tail = b""
                    continue
                mem.seek(at)
                piece = mem.read(size)
                yield tail + piece
                tail = piece[-64:]


def held(pid, secrets):
    """Names of those secrets that are somewhere in the process's memory."""
    found = set()
    for piece in memory(pid):
        found |= {name for name, secret in secrets.items() if secret in piece}
    return found


def sha256_states(key):
    """What a program keeps of an HMAC key that is used often: both states behind the first block, as bytes."""
    return [compress(bytes(byte ^ pad for byte in key.ljust(64, b"\0"))) for pad in (0x36, 0x5c)]


def fraction(root, prime):
    """The first 32 bits behind the point of a prime's square or cube root, exactly."""
    low, high = 0, 1 << 40
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**root <= prime << (32 * root) else (low, middle)
    return low & 0xffffffff


PRIMES = [n for n in range(2, 312) if all(n % m for m in range(2, n))]


def compress(block):
    """SHA-256's state behind one block, in the machine's byte order."""
    turn = lambda x, n: (x >> n | x << (32 - n)) & 0xffffffff
    start = [fraction(2, prime) for prime in PRIMES[:8]]
    words = list(struct.unpack(">16I", block))
    for i in range(16, 64):
        a, b = words[i - 15], words[i - 2]
        words.append((words[i - 16] + (turn(a, 7) ^ turn(a, 18) ^ a >> 3) + words[i - 7]
                      + (turn(b, 17) ^ turn(b, 19) ^ b >> 10)) & 0xffffffff)
    a, b, c, d, e, f, g, h = start
    for word, prime in zip(words, PRIMES):
        one = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + (e & f ^ ~e & 0xffffffff & g)
               + fraction(3, prime) + word)
        two = (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + (a & b ^ a & c ^ b & c)
        a, b, c, d, e, f, g, h = (one + two) & 0xffffffff, a, b, c, (d + one) & 0xffffffff, e, f, g
    return struct.pack("=8I", *((x + y) & 0xffffffff for x, y in zip(start, (a, b, c, d, e, f, g, h))))


class Client:
    """A client by hand, whose secrets are known."""

    def __init__(self, lab, key):
        self.sock = lab.connect()
        self.session = rx.ClientSession(rx.parse_key_file(key.read_bytes())["psk"], NAME, rx.CHACHA20POLY1305,
                                        self.random)
        self.seen = []
        self.turn_until("welcome")

    def random(self, size):
        return os.urandom(size)

    def send(self):
        while data := self.session.data_to_send():
            self.sock.sendall(data)

    def turn_until(self, kind):
        self.send()
        while not any(event.kind == kind for event in self.seen):
            data = self.sock.recv(65536)
            if not data:
                raise AssertionError(f"closed before {kind}: {self.seen}")
            self.session.receive(data)
            self.seen += self.session.events()
            self.send()


@unittest.skipUnless(ROOT, "only root can read the memory of a process that is not dumpable")
class Memory(unittest.TestCase):
    make_lab = Lab

    def setUp(self):
        self.lab = self.enterContext(self.make_lab())
        self.psk = rx.parse_key_file(self.lab.key.read_bytes())["psk"]

    def long_term(self, psk, name):
        k_srv = rx.hmac_sha256(psk, b"rexec/1 srv" + NAME.encode())
        _, keys = rx.derive_grant_keys(psk, NAME)
        secrets = {"psk": psk, "K_srv": k_srv, "prk": rx.extract(b"rexec/1", k_srv), "K_c": keys.client_auth,
                   "K_s": keys.server_auth, "K_m": keys.mix}
        for kind in ("K_c", "K_s", "K_m"):
            for side, state in zip(("inner", "outer"), sha256_states(secrets[kind])):
                secrets[f"{kind} {side}"] = state
        return {f"{name} {kind}": secret for kind, secret in secrets.items()}

    def test_parsed_before_its_type_was_checked_key_leaked(self):
        """The long-term keys are nowhere in the net process's memory, whatever clients have done."""
        other = self.lab.dir / "other"
        self.lab.make_key(other)
        stranger = self.lab.dir / "stranger"
        self.lab.make_key(stranger)
        self.assertEqual(self.run_echo().stdout, b"one\n")
        self.assertEqual(self.run_echo(key=stranger).returncode, 255)
        with self.lab.connect() as sock:
            sock.sendall(bytes(300))
        with self.lab.connect() as sock:
            sock.sendall(os.urandom(50))
        kid, _ = rx.derive_grant_keys(self.psk, NAME)
        with self.lab.connect() as sock:                        # a right kid, a wrong response
            sock.sendall(b"rexc" + bytes([1, 1, 1, 3]) + kid + os.urandom(64))
            self.assertEqual(len(sock.recv(104, socket.MSG_WAITALL)), 104)
            sock.sendall(bytes(200))
        self.add_grant(other)
        self.assertTrue(until(lambda: self.run_echo(key=other).returncode == 0), self.lab.said())
        client = Client(self.lab, self.lab.key)
        client.session.exec([(rx.WORD, b"/bin/cat"), (rx.DIRECTORY, b"/")], run="exec")
        client.turn_until("started")

        secrets = {**self.long_term(self.psk, "client"), **self.long_term(rx.parse_key_file(
            other.read_bytes())["psk"], "other"), "request": client.session.keys.request}
        for side, state in zip(("inner", "outer"), sha256_states(client.session.keys.request)):
            secrets["request " + side] = state
        traffic = {"c2s": client.session.keys.c2s, "s2c": client.session.keys.s2c}
        net, monitor = self.lab.net_pid(), self.lab.server.pid
        self.assertEqual(held(net, {**secrets, **traffic}), set(traffic))
        # The search finds what is there: the monitor holds them, but for what only a client has.
        found = held(monitor, secrets)
        self.assertLessEqual({"client K_c", "client K_s", "client K_m", "other K_c", "request inner",
                              "request outer"}, found)
        self.assertEqual({name for name in found if name.endswith(("psk", "K_srv", " prk"))}, set())
        self.assertEqual(held(monitor, traffic), set())         # given away and wiped
        client.sock.close()

    def run_echo(self, **more):
        options = ("--exec",) if self.make_lab is UserLab else ()
        return self.lab.rexec(*(("/bin/echo", "one") if options else ("echo one",)), options=options, **more)

    def add_grant(self, key):
        path = self.lab.add_grant("other", key, *(("--user", UserLab.USER) if self.make_lab is UserLab else ()))
        if self.make_lab is UserLab:
            os.chown(path, os.stat(self.lab.grants).st_uid, -1)
        self.lab.server.send_signal(signal.SIGHUP)

    @unittest.skipIf(SANITIZED, "a sanitizer's heap is too large to look for an unknown secret in")
    def test_decoy_secret(self):
        """What stands in for the keys of unknown clients is the monitor's alone."""
        m1 = rx.ClientHandshake(os.urandom(32), NAME, rx.CHACHA20POLY1305, os.urandom)
        with self.lab.connect() as sock:
            sock.sendall(m1.m1)
            m2 = sock.recv(104, socket.MSG_WAITALL)
        proof = lambda keys: rx.hmac_sha256(keys.server_auth, m1.nonce + rx.sha256(m1.m1 + m2[:72]))
        secret = None
        for line in pathlib.Path(f"/proc/{self.lab.server.pid}/maps").read_text().splitlines():
            fields = line.split()
            low, high = (int(part, 16) for part in fields[0].split("-"))
            if fields[1][:2] != "rw" or fields[4] != "0" or high - low > 1 << 24:
                continue                    # neither heap nor a large block
            with open(f"/proc/{self.lab.server.pid}/mem", "rb", 0) as mem:
                mem.seek(low)
                heap = mem.read(high - low)
            for at in range(0, len(heap) - 32, 8):
                candidate = heap[at:at + 32]
                if len(set(candidate)) > 16 and proof(rx.decoy_keys(candidate, m1.kid)) == m2[72:]:
                    secret = candidate
        self.assertIsNotNone(secret, "the monitor's own secret was not found, so that nothing was looked for")
        decoy = rx.decoy_keys(secret, m1.kid)
        self.assertEqual(held(self.lab.net_pid(), {"secret": secret, "K_c": decoy.client_auth, "K_s": decoy.server_auth,
                                                   "K_m": decoy.mix}), set())


class MemoryOfUser(Memory):
    make_lab = UserLab


# ---- rights

def status_of(pid):
    return dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
                if ":\t" in line)


@unittest.skipUnless(ROOT, "only root can look into /proc of a process that is not dumpable")
class Rights(unittest.TestCase):
    def common(self, lab):
        net = lab.net_pid()
        status = status_of(net)
        for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            self.assertEqual(int(status[name], 16), 0, name)
        self.assertEqual((status["NoNewPrivs"], status["Seccomp"], status["Threads"]), ("1", "2", "1"))
        self.assertEqual(children(net), [])
        self.assertEqual(pathlib.Path(f"/proc/{net}/environ").read_bytes(), b"")
        self.descriptors(net)
        return net, status

    def descriptors(self, net):
        """The way to the monitor, listeners, the loop's own; nothing that leads to a file."""
        found = {int(entry): os.readlink(f"/proc/{net}/fd/{entry}") for entry in os.listdir(f"/proc/{net}/fd")}
        self.assertEqual(found.pop(0), "/dev/null")
        self.assertEqual(found.pop(1), "/dev/null")
        stderr = found.pop(2)
        if not SANITIZED:
            self.assertEqual(stderr, "/dev/null", "the daemon's log is open in net")
        self.assertRegex(found.pop(3), r"\Asocket:")
        pipes = [name for name in found.values() if name.startswith("pipe:")]
        self.assertIn((len(pipes), len(set(pipes))), ((0, 0), (2, 1)), "a pipe to somebody else")
        for fd, name in found.items():
            self.assertRegex(name, r"\A(socket:\[\d+\]|anon_inode:\[(eventpoll|timerfd|eventfd)\]|pipe:\[\d+\])\Z", fd)
        self.assertEqual(sum(name.startswith("socket:") for name in found.values()), 1)

    def test_as_root(self):
        empty = "/run/rexecd/empty"
        with Lab() as lab:
            lab.rexec("true")
            net, status = self.common(lab)
            self.assertEqual(len(set(status["Uid"].split())), 1)
            self.assertEqual(len(set(status["Gid"].split())), 1)
            self.assertNotIn("0", status["Uid"].split() + status["Gid"].split())
            # No command can be run as that: it is _rexecd's, who is for nothing else, or nobody's number.
            users = {str(user.pw_uid): user.pw_name for user in pwd.getpwall()}
            self.assertIn(users.get(status["Uid"].split()[0], "_rexecd"), ("_rexecd",))
            self.assertEqual(status["Groups"].strip(), "")
            self.assertEqual(os.readlink(f"/proc/{net}/root"), empty)
            self.assertEqual(os.readlink(f"/proc/{net}/cwd"), empty)
            self.assertEqual(os.listdir(empty), [])
            self.assertEqual((os.stat(empty).st_uid, os.stat(empty).st_mode & 0o022), (0, 0))

    def test_as_user(self):
        with UserLab() as lab:
            lab.rexec("/bin/true", options=("--exec",))
            _, status = self.common(lab)
            self.assertEqual(set(status["Uid"].split()), {str(os.stat(lab.grants).st_uid)})
            self.assertEqual(status["Groups"].strip(), "")
            # Not dumpable: its owner cannot look into it either.
            self.assertEqual(os.stat(f"/proc/{lab.net_pid()}/mem").st_uid, 0 if not SANITIZED else
                             os.stat(lab.grants).st_uid)


# ---- planted system calls

@unittest.skipUnless(tracer.SUPPORTED, f"no system calls are planted on {tracer.MACHINE}")
class SystemCalls(unittest.TestCase):
    def planted(self, name, *arguments, prepare=None):
        """The call's result in a net process of its own, in which nothing else was done."""
        with NetProcess() as net:
            if prepare is not None:
                arguments = prepare(net)
            result = net.call(name, *arguments)
            left = os.listdir(net.directory) if net.directory else []
        self.assertEqual(left, [])
        return result

    def test_what_serving_needs(self):
        """The way of planting works: what net may do succeeds."""
        with NetProcess() as net:
            self.assertEqual(net.call("getpid"), net.pid)
            self.assertEqual(net.call("write", 3, b"\1\0\0\0\0\0\0\0", 8), 8)
            self.assertGreater(net.call("mmap", 0, 4096, 3, 0x22, -1, 0), 0)
            self.assertEqual(net.call("fcntl", 3, 1), 0)
            self.assertEqual(net.call("accept4", net.listener_fd(), 0, 0, 0o4000), -errno.EAGAIN)

    ATTEMPTS = {
        # files
        "open": (b"/etc/passwd", 0), "openat": (AT_FDCWD, b"/etc/passwd", 0), "creat": (b"/planted", 0o600),
        "openat2": (AT_FDCWD, b"/etc/passwd", bytes(24), 24), "stat": (b"/", bytes(200)), "mkdir": (b"/planted", 0o700),
        "mkdirat": (AT_FDCWD, b"/planted", 0o700), "unlink": (b"/planted",), "unlinkat": (AT_FDCWD, b"/planted", 0),
        "rename": (b"/a", b"/b"), "renameat": (AT_FDCWD, b"/a", AT_FDCWD, b"/b"), "link": (b"/a", b"/b"),
        "linkat": (AT_FDCWD, b"/a", AT_FDCWD, b"/b", 0), "symlink": (b"/a", b"/planted"),
        "symlinkat": (b"/a", AT_FDCWD, b"/planted"), "mknodat": (AT_FDCWD, b"/planted", 0o10600, 0),
        "chmod": (b"/", 0o777), "chown": (b"/", 0, 0), "truncate": (b"/x", 0), "chdir": (b"/",), "fchdir": (3,),
        "getcwd": (bytes(64), 64), "umask": (0,), "name_to_handle_at": (AT_FDCWD, b"/", bytes(64), bytes(8), 0),
        "open_by_handle_at": (3, bytes(64), 0), "inotify_init1": (0,), "fanotify_init": (0, 0), "ioctl": (3, 0x5412, 0),
        # programs and processes
        "execve": (b"/bin/sh", 0, 0), "execveat": (AT_FDCWD, b"/bin/sh", 0, 0, 0), "fork": (), "vfork": (),
        "clone": (17, 0), "clone3": (bytes(88), 88), "ptrace": (16, 1), "process_vm_readv": (1, 0, 0, 0, 0, 0),
        "process_vm_writev": (1, 0, 0, 0, 0, 0), "pidfd_open": (1, 0), "pidfd_getfd": (3, 3, 0),
        "pidfd_send_signal": (3, 15, 0, 0), "kcmp": (1, 1, 0, 0, 0), "setpgid": (0, 0), "setsid": (),
        "rt_sigqueueinfo": (1, 15, bytes(128)), "prctl": (22, 0), "arch_prctl": (0x1002, 0), "personality": (0x400000,),
        "process_madvise": (3, 0, 0, 0, 0), "sched_setaffinity": (1, 8, bytes(8)), "setpriority": (0, 0, 5),
        "setrlimit": (7, bytes(16)), "prlimit64": (0, 7, 0, bytes(16)),
        # the network
        "socket": (2, 1, 0), "socketpair": (1, 1, 0, bytes(8)), "connect": (3, b"\2\0\0\1\x7f\0\0\1" + bytes(8), 16),
        "bind": (3, b"\2\0" + bytes(14), 16), "listen": (3, 1), "sendto": (3, b"x", 1, 0, 0, 0),
        "sendmsg": (3, bytes(56), 0), "sendmmsg": (3, bytes(64), 1, 0), "shutdown": (3, 2), "sendfile": (3, 0, 0, 1),
        "splice": (3, 0, 3, 0, 1, 0), "vmsplice": (3, 0, 0, 0), "setsockopt": (3, 1, 13, bytes(8), 8),
        "fcntl": (3, 4, 0), "dup2": (3, 9), "pipe2": (bytes(8), 0),
        # rights
        "setuid": (0,), "setgid": (0,), "setgroups": (0, 0), "setresuid": (0, 0, 0), "capset": (bytes(8), bytes(24)),
        "chroot": (b"..",), "mount": (b"none", b"/", b"tmpfs", 0, 0), "umount2": (b"/", 0), "unshare": (0x10000000,),
        "setns": (3, 0), "open_tree": (AT_FDCWD, b"/", 1), "move_mount": (3, b"", 3, b"", 0), "fsopen": (b"tmpfs", 0),
        "sethostname": (b"planted", 7), "reboot": (0xfee1dead, 672274793, 0), "acct": (0,),
        "init_module": (bytes(8), 8, b""), "finit_module": (3, b"", 0), "kexec_file_load": (3, 3, 0, 0, 0),
        "seccomp": (1, 0, 0), "landlock_create_ruleset": (0, 0, 1),
        # the kernel's larger rooms
        "io_uring_setup": (1, bytes(120)), "io_uring_enter": (3, 1, 0, 0, 0, 0), "bpf": (0, bytes(128), 128),
        "keyctl": (0, -3, 1), "add_key": (b"user", b"planted", b"x", 1, -3), "request_key": (b"user", b"x", 0, -3),
        "memfd_create": (b"planted", 0), "memfd_secret": (0,), "userfaultfd": (0,),
        "perf_event_open": (bytes(128), 0, -1, -1, 0), "shmget": (0, 4096, 0o1600), "msgget": (0, 0o1600),
        "mq_open": (b"planted", 0o102, 0o600, 0), "timer_create": (0, 0, bytes(8)), "signalfd4": (-1, bytes(8), 8, 0),
        "eventfd2": (0, 0),
        # code
        "mprotect": None, "mmap": (0, 4096, 7, 0x22, -1, 0), "pkey_mprotect": None,
    }

    def test_every_attempt_is_refused(self):
        for name, arguments in self.ATTEMPTS.items():
            if tracer.number(name) is None:
                continue                            # not on this machine
            prepare = None
            if arguments is None:                   # of the stack, which is there
                prepare = lambda net: (net.stack_page(), 4096, 5)
            with self.subTest(call=name):
                result = self.planted(name, *(arguments or ()), prepare=prepare)
                self.assertTrue(refused(result), f"{name}: {result!r}")

    def test_other_processes(self):
        """Signals to others, whoever they are: each refused, and nobody gets one."""
        with subprocess.Popen(["sleep", "100"]) as other:
            for name, arguments in (("kill", (other.pid, 9)), ("kill", (-1, 9)), ("tkill", (other.pid, 9)),
                                    ("tgkill", (other.pid, other.pid, 9)), ("kill", (os.getpid(), 0))):
                if SANITIZED and name == "tgkill":
                    continue                        # its own affair
                with self.subTest(call=name, arguments=arguments):
                    self.assertTrue(refused(self.planted(name, *arguments)))
            self.assertIsNone(other.poll())
            other.kill()

    @unittest.skipUnless(ROOT and tracer.MACHINE == "x86_64", "writes another instruction into net; takes root, x86_64")
    def test_other_doors(self):
        """The same system calls by the numbers of other ABIs: 32 bits, and x32."""
        with NetProcess() as net:
            self.assertTrue(refused(net.process.call(0x40000000 + tracer.number("getpid"))))
        with NetProcess() as net:
            self.assertTrue(refused(net.process.call(20, instruction=b"\xcd\x80")))      # getpid of 32 bits

    def test_listener(self):
        """What is done to a listener would outlive net: the monitor holds it, too, and the next net gets it."""
        drop_all = struct.pack("=HBBI", 6, 0, 0, 0)

        def filtering(net):
            program = lambda address: struct.pack("=H6xQ", 1, address + 64) + bytes(48) + drop_all
            return net.listener_fd(), socket.SOL_SOCKET, 26, program, 16

        for name, prepare in (("shutdown", lambda net: (net.listener_fd(), socket.SHUT_RD)),
                              ("shutdown", lambda net: (net.listener_fd(), socket.SHUT_RDWR)),
                              ("setsockopt", filtering),
                              ("setsockopt", lambda net: (net.listener_fd(), 1, 13, struct.pack("=ii", 1, 9999), 8)),
                              ("fcntl", lambda net: (net.listener_fd(), 4, 0))):
            with self.subTest(call=name), NetProcess() as net:
                self.assertTrue(refused(net.call(name, *prepare(net))))
                with socket.create_connection(net.address, timeout=10):
                    self.assertTrue(until(lambda: self.accepts(net.listener)))

    @staticmethod
    def accepts(listener):
        try:
            listener.accept()[0].close()
            return True
        except BlockingIOError:
            return False

    def test_connecting_without_connect(self):
        """A listener that was shut down is a socket again, and sendto with MSG_FASTOPEN connects it."""
        with socket.create_server(("127.0.0.1", 0)) as target, NetProcess() as net:
            target.setblocking(False)
            address = struct.pack("=H", socket.AF_INET) + struct.pack(">H4s8x", target.getsockname()[1], b"\x7f\0\0\1")
            listener = net.listener_fd()
            first = net.call("shutdown", listener, socket.SHUT_RD)
            second = net.call("sendto", listener, b"out", 3, MSG_FASTOPEN, address, 16)
            self.assertFalse(until(lambda: self.accepts(target), seconds=0.3), "net has connected somewhere")
            self.assertTrue(refused(first) and refused(second), (first, second))

    def test_passing_descriptors(self):
        """A socket that lingers, sent to the monitor and closed there, would hold it up: none can be sent."""
        with NetProcess() as net:
            def message(address):
                control = struct.pack("=QiiI4x", 20, socket.SOL_SOCKET, socket.SCM_RIGHTS, net.listener_fd())
                part = struct.pack("=QQ", address + 200, 8)
                header = struct.pack("=QI4xQQQQi4x", 0, 0, address + 100, 1, address + 160, 24, 0)
                return (header.ljust(100, b"\0") + part.ljust(60, b"\0") + control.ljust(40, b"\0")
                        + struct.pack("=II", 3, 1))
            self.assertTrue(refused(net.call("sendmsg", 3, message, 0)))
            try:
                self.assertIsNone(net.link.receive(0.1))
            except Gone:
                pass                                # it died of it

    @unittest.skipUnless(ROOT, "only root can trace a process that is not its child")
    def test_in_the_daemon(self):
        """The net of a running daemon: it dies of the attempt, and another serves."""
        for make_lab, options, words in ((Lab, (), ("echo well",)), (UserLab, ("--exec",), ("/bin/echo", "well"))):
            with self.subTest(lab=make_lab.__name__), make_lab() as lab:
                lab.rexec(*words, options=options)
                net, nets = lab.net_pid(), ready_nets(lab)
                process = tracer.attach(net)
                result = process.call("execve", b"/bin/sh", 0, 0)
                if SANITIZED:
                    self.assertEqual(result, -errno.EPERM)
                    process.kill()
                else:
                    self.assertEqual((type(result), result), (Killed, signal.SIGSYS))
                self.assertTrue(until(lambda: ready_nets(lab) > nets), lab.said())
                self.assertIn("net was killed by", lab.said())
                self.assertEqual(lab.rexec(*words, options=options).stdout, b"well\n")
                self.assertFalse(alive(net))


# ---- killed

class KilledProcesses(unittest.TestCase):
    """-9 to one of the two: nothing runs that nobody owns, and the daemon serves on, or is gone as a whole."""

    COMMAND = "echo $$; (sleep 1000 & echo $!); exec sleep 1000"

    def running(self, lab):
        """A client with a command, and the pids of the command's processes."""
        client = lab.popen("/bin/sh", "-c", self.COMMAND, options=("--exec", "--no-resume"))
        self.addCleanup(client.communicate)
        self.addCleanup(client.kill)
        pids = [int(client.stdout.readline()) for _ in range(2)]
        self.assertTrue(all(map(alive, pids)))
        for pid in pids:
            self.addCleanup(self.end, pid)
        return client, pids

    @staticmethod
    def end(pid):
        if alive(pid):
            os.kill(pid, signal.SIGKILL)

    def lost(self, client):
        """The client says loudly that it knows nothing of the command's end."""
        _, said = client.communicate(timeout=60)
        self.assertEqual(client.returncode, 255)
        self.assertRegex(said, rb"\Arexec: [ -~]+\n")

    def test_net(self):
        with Lab(kill_grace="0.2") as lab:
            client, pids = self.running(lab)
            nets = ready_nets(lab)
            os.kill(lab.net_pid(), signal.SIGKILL)
            self.lost(client)
            self.assertTrue(until(lambda: not any(map(alive, pids))), "a command lives on")
            self.assertTrue(until(lambda: ready_nets(lab) > nets))
            self.assertEqual(lab.rexec("/bin/echo", "well", options=("--exec",)).stdout, b"well\n")
            self.assertTrue(until(lambda: len(children(lab.server.pid)) == 1))
            self.assertTrue(until(lambda: b"lost" in lab.audit.read_bytes()))
            records = [json.loads(line) for line in lab.audit.read_text().splitlines()]
            self.assertEqual([(r.get("by"), r["record"]) for r in records if "sleep" in str(r)], [("lost", "command")])

    def test_net_again_and_again(self):
        """A net that does not stay up: after five times in a minute the daemon ends, with an error."""
        with Lab(kill_grace="0.2") as lab:
            _, pids = self.running(lab)
            for _ in range(5):
                nets = ready_nets(lab)
                os.kill(lab.net_pid(), signal.SIGKILL)
                self.assertTrue(until(lambda: ready_nets(lab) > nets), lab.said())
            self.assertEqual(lab.rexec("/bin/echo", "well", options=("--exec",)).stdout, b"well\n")
            os.kill(lab.net_pid(), signal.SIGKILL)
            self.assertTrue(until(lambda: lab.server.poll() is not None), "it goes on for ever")
            self.assertEqual(lab.server.returncode, 1)
            self.assertIn("giving up", lab.said())
            self.assertTrue(until(lambda: not any(map(alive, pids))), "a command lives on")

    def test_monitor(self):
        """net has nothing to do without it; commands end with who started them."""
        with Lab() as lab:
            client, pids = self.running(lab)
            net = lab.net_pid()
            lab.server.kill()
            lab.server.wait()
            self.lost(client)
            self.assertTrue(until(lambda: not alive(net)), "net lives on")
            self.assertTrue(until(lambda: not alive(pids[0])), "a command lives on")
            with self.assertRaises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", lab.port), timeout=5)


if __name__ == "__main__":
    unittest.main()
