"""What a taken-over net process holds and can say: the datagrams of rexecd/ipc.h, spoken by hand.

    monitor = Monitor(lab)                # the real monitor, from the place of its net (takes root)
    net = NetProcess()                    # the real net, with this test in the monitor's place
"""

import collections
import ctypes
import functools
import os
import pwd
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import unittest.mock

from lab import NAME, REXECD, SOURCE, Lab        # finds rexec_protocol, too

import rexec_protocol as rx
import tracer

IPC_FD = 3
PIDFD_GETFD = 438

CONSTANTS = {"RX_M1_SIZE": 88, "RX_M2_SIZE": 104, "RX_M3_SIZE": 40, "RX_KEY_SIZE": 32, "RX_SESSION_ID_SIZE": 16}


class Source(ctypes.Structure):
    """struct rx_source."""

    _fields_ = [("family", ctypes.c_uint32), ("address", ctypes.c_uint8 * 16), ("bits", ctypes.c_uint8)]


def read_structures():
    """Those of rexecd/ipc.h, by name: laid out as the compiler does."""
    kinds = {"uint8_t": ctypes.c_uint8, "uint16_t": ctypes.c_uint16, "uint32_t": ctypes.c_uint32,
             "uint64_t": ctypes.c_uint64, "struct rx_source": Source}
    found = {}
    text = re.sub(r"/\*.*?\*/", "", (SOURCE / "rexecd" / "ipc.h").read_text(), flags=re.S)
    for name, body in re.findall(r"^struct ipc_(\w+) \{\n(.*?)^\};", text, re.M | re.S):
        fields = []
        if name == "message":
            continue                        # not one that goes over
        for kind, names in re.findall(r"^\s*(struct rx_source|\w+) ([^;()]+);", body, re.M):
            for field in names.split(","):
                field, _, count = field.strip().rstrip("]").partition("[")
                count = CONSTANTS.get(count) or int(count or 0)
                fields.append((field, kinds.get(kind, ctypes.c_uint8) * count if count else
                               kinds.get(kind, ctypes.c_uint8)))
        found[name] = type(name, (ctypes.Structure,), {"_fields_": fields})
    return found


CLOSE, FIN, RESET, SILENCE, ERROR = range(5)

Type = collections.namedtuple("Type", "number name side structure fixed tail fds states")
Got = collections.namedtuple("Got", "name session fixed tail fds")


def read_types():
    """rexecd/ipc.def."""
    limits = {"IPC_NAME_MAX": 128, "IPC_REQUEST_MAX": 8 + 4096 + 192512 + 40}
    structures, types = read_structures(), {}
    for line in re.findall(r"^X\((.*)\)$", (SOURCE / "rexecd" / "ipc.def").read_text(), re.M):
        name, side, fixed, tail, fds, states = [part.strip() for part in line.split(",")]
        structure = structures[re.search(r"ipc_(\w+)", fixed)[1]] if fixed != "0" else None
        types[name] = Type(len(types) + 1, name, side, structure, ctypes.sizeof(structure) if structure else 0,
                           limits.get(tail) or int(tail), int(fds), {state.strip() for state in states.split("|")})
    return types


TYPES = read_types()
BY_NUMBER = {entry.number: entry for entry in TYPES.values()}
FROM_NET = [entry for entry in TYPES.values() if entry.side == "NET"]
OF_SESSIONS = [entry for entry in FROM_NET if not entry.states & {"WHOLE", "COMMAND"}]
OF_COMMANDS = [entry for entry in FROM_NET if "COMMAND" in entry.states]


def datagram(name, session, tail=b"", **fields):
    """A message as it goes; fields that are not named are 0."""
    entry, fixed = TYPES[name], b""
    if entry.structure:
        fixed = entry.structure()
        for field, value in fields.items():
            if isinstance(value, bytes):
                value = (ctypes.c_uint8 * len(value))(*value)
            setattr(fixed, field, value)
    return struct.pack("=II", entry.number, session) + bytes(fixed) + tail


def m1_from_somewhere(session, m1):
    """M1 of a client at 192.0.2.1."""
    peer = Source(2, (ctypes.c_uint8 * 16)(192, 0, 2, 1), 32)
    return datagram("M1", session, peer=peer, port=1234, m1=m1)


class Gone(Exception):
    """The other side has closed the way."""


class Link:
    """One end of the way."""

    def __init__(self, sock):
        self.sock = sock
        self.waiting = []       # what was read while something else was looked for

    def send_raw(self, data, fds=(), seconds=30):
        """One datagram, of whatever shape."""
        self.sock.settimeout(seconds)
        try:
            if fds:
                socket.send_fds(self.sock, [data], list(fds))
            else:
                self.sock.send(data)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Gone from error

    def send(self, name, session, tail=b"", fds=(), **fields):
        self.send_raw(datagram(name, session, tail, **fields), fds)

    def receive(self, seconds=20):
        """The next message; None if none came."""
        if not select.select([self.sock], [], [], seconds)[0]:
            return None
        try:
            data, fds, _, _ = socket.recv_fds(self.sock, 1 << 19, 4)
        except ConnectionResetError as error:
            raise Gone from error
        if not data:
            raise Gone
        number, session = struct.unpack_from("=II", data)
        entry = BY_NUMBER[number]
        fixed = entry.structure.from_buffer_copy(data, 8) if entry.structure else None
        return Got(entry.name, session, fixed, data[8 + entry.fixed:], fds)

    def take(self, wanted, seconds=20):
        """The next message that is wanted; the others wait."""
        for got in self.waiting:
            if wanted(got):
                self.waiting.remove(got)
                return got
        while True:
            got = self.receive(seconds)
            if got is None:
                raise AssertionError(f"nothing came of what must; there are {self.waiting[-5:]}")
            if wanted(got):
                return got
            self.waiting.append(got)

    def expect(self, session, *names, seconds=20):
        """The next message of this session, which must be one of these."""
        got = self.take(lambda got: got.session == session, seconds)
        if got.name not in names:
            raise AssertionError(f"session {session}: {got} in place of {names}")
        return got

    def drain(self):
        """All that has come, thrown away."""
        messages, self.waiting = self.waiting, []
        while (got := self.receive(0)) is not None:
            messages.append(got)
        for got in messages:
            for fd in got.fds:
                os.close(fd)
        return messages

    def ended(self, seconds=20):
        """Waits until the other side closes it."""
        try:
            while self.receive(seconds) is not None:
                pass
        except Gone:
            return True
        return False

    def close(self):
        for got in self.waiting:
            for fd in got.fds:
                os.close(fd)
        self.sock.close()


class Monitor(Link):
    """The real monitor, from the place of its net, which stands still. Sessions are numbered from high up."""

    def __init__(self, lab):
        self.lab, self.pid, self.last = lab, lab.net_pid(), 1 << 20
        os.kill(self.pid, signal.SIGSTOP)
        pidfd = os.pidfd_open(self.pid)
        fd = tracer.libc.syscall(PIDFD_GETFD, pidfd, IPC_FD, 0)
        os.close(pidfd)
        if fd < 0:
            raise OSError(ctypes.get_errno(), "pidfd_getfd")
        super().__init__(socket.socket(fileno=fd))
        self.psk = rx.parse_key_file(lab.key.read_bytes())["psk"]

    def session(self, **more):
        """A proven client behind this net."""
        self.last += 1
        return Session(self, self.last, **more)

    def close(self):
        """All its sessions end; the real net goes on, if it was not killed."""
        try:
            for number in range((1 << 20) + 1, self.last + 1):
                self.send("CLOSED", number, how=ERROR)
                self.drain()
        except Gone:
            pass
        super().close()
        try:
            os.kill(self.pid, signal.SIGCONT)
        except ProcessLookupError:
            pass


class Session:
    """A session, and its client's secrets, which net has not."""

    def __init__(self, monitor, number, prove=True):
        self.monitor, self.number, self.sequence = monitor, number, 0
        self.handshake = rx.ClientHandshake(monitor.psk, NAME, rx.CHACHA20POLY1305, os.urandom)
        monitor.send_raw(m1_from_somewhere(number, self.handshake.m1))
        self.m2 = bytes(monitor.expect(number, "M2").fixed.m2)
        self.m3, self.keys = self.handshake.receive_m2(self.m2)
        if prove:
            self.prove()

    def prove(self):
        self.say("M3", m3=self.m3)
        given = self.expect("KEYS").fixed
        keys = self.keys
        if (bytes(given.c2s), bytes(given.s2c), bytes(given.id)) != (keys.c2s, keys.s2c, keys.session_id):
            raise AssertionError("other keys than the client's")

    def sign(self, message):
        """As the client does, with the next number."""
        self.sequence += 1
        return rx.add_trailer(self.keys.request, message, self.sequence)

    def request(self, data):
        self.monitor.send("REQUEST", self.number, tail=data)

    def say(self, name, **fields):
        self.monitor.send(name, self.number, **fields)

    def expect(self, *names, **more):
        return self.monitor.expect(self.number, *names, **more)

    def of_command(self, name, command, **fields):
        """A message of a command, which is its session's, or the whole process's, as the list has it."""
        self.monitor.send(name, 0 if "COMMAND" in TYPES[name].states else self.number, command=command, **fields)

    def started(self):
        """START must come: the command's number. Its pipes are closed."""
        got = self.expect("START", "START_NO_STDIN")
        for fd in got.fds:
            os.close(fd)
        return got.fixed.command

    def finish(self, command):
        """ENDED must come; the client has everything."""
        self.monitor.take(lambda got: got.name == "ENDED" and got.fixed.command == command)
        self.of_command("FINISHED", command)
        if "GONE" in TYPES:
            self.of_command("GONE", command)

    def close(self, how=CLOSE):
        self.say("CLOSED", how=how, received=10, sent=20)


def exec_message(line, stream=1, **header):
    """EXEC of a command line, without its trailer; by /bin/sh, as not every user has a shell."""
    words = [(rx.WORD, word) for word in (b"/bin/sh", b"-c", line.encode())]
    header = {"id": os.urandom(16).hex(), "run": "exec", **header}
    return rx.join_message("EXEC", stream, header, rx.encode_words([*words, (rx.DIRECTORY, b"/")]))


class UserLab(Lab):
    """A server that an ordinary user runs, though the test is root: it can take over net all the same."""

    USER = "nobody"

    def __enter__(self):
        with unittest.mock.patch.dict(os.environ, LOGNAME=self.USER):       # whom grants are for
            return super().__enter__()

    def start(self):
        for path in (self.dir, *self.dir.rglob("*")):
            shutil.chown(path, self.USER)
        group = pwd.getpwnam(self.USER).pw_gid
        popen = functools.partial(subprocess.Popen, user=self.USER, group=group, extra_groups=[])
        with unittest.mock.patch("subprocess.Popen", popen):
            super().start()


def ready_nets(lab):
    """How many net processes have come up so far."""
    return lab.said().count("rexecd: listening on ")


class NetProcess:
    """The real net in its sandbox, traced; a listener is there, and this test is its monitor."""

    SETUP = {"handshake_ms": 10000, "max_connections": 100, "max_unproven": 100, "max_commands": 10,
             "keepalive_ms": 60000, "window": 65536}

    def __init__(self):
        self.directory = None
        argv = ["rexecd: net", "--role", "net"]
        if os.geteuid() == 0:
            self.directory = tempfile.mkdtemp(prefix="rexec-net-")
            os.chmod(self.directory, 0o755)
            argv += ["65534", "65534", self.directory]
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs.setblocking(False)
        self.said, stderr = os.pipe()
        null = os.open(os.devnull, os.O_RDWR)
        self.process = tracer.Traced(argv, REXECD, {0: null, 1: null, 2: stderr, IPC_FD: theirs.fileno()})
        theirs.close()
        os.close(stderr)
        os.close(null)
        self.link = Link(ours)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.address = self.listener.getsockname()
        self.link.send("SETUP", 0, **self.SETUP)
        self.link.send("LISTENER", 0, tail=b"here", fds=[self.listener.fileno()])
        self.link.send("SERVE", 0)
        self.link.expect(0, "READY")

    @property
    def pid(self):
        return self.process.pid

    def call(self, name, *arguments):
        return self.process.call(name, *arguments)

    def listener_fd(self):
        """Its number in net; for who may not look it up, the one behind the way, the loop and the loop's pipe."""
        if os.geteuid() != 0:
            return IPC_FD + 4
        name = f"socket:[{os.fstat(self.listener.fileno()).st_ino}]"
        return next(int(fd) for fd in os.listdir(f"/proc/{self.pid}/fd")
                    if os.readlink(f"/proc/{self.pid}/fd/{fd}") == name)

    def stack_page(self):
        self.process.stop()
        return self.process.stack() & ~4095

    def close(self):
        self.process.close()
        self.link.close()
        self.listener.close()
        os.close(self.said)
        if self.directory is not None:
            os.rmdir(self.directory)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
