"""What the tests of attacks are made of: clients, servers and middlemen that do as they like, over real sockets.

They rest on the independent implementation in tests/python. Nothing in here checks what the other side says:
an attacker does not either.
"""

import collections
import json
import os
import select
import signal
import socket
import struct
import subprocess
import threading
import time

from lab import SANITIZED, LabTest, until

import rexec_protocol as rp

# All of what is sampled in an everyday run, and campaigns that take minutes.
LONG = os.environ.get("REXEC_ATTACKS_LONG", "") not in ("", "0")
HANG = 30           # seconds after which something hangs; never how long it should take

Said = collections.namedtuple("Said", "name stream header body")


def some(items, step=4):
    """All of them; in a sanitizer's build, where all is slower, an even sample unless all are asked for."""
    items = list(items)
    return items[::step] if SANITIZED and not LONG else items


def raw_message(number, stream=0, header=b"", body=b"", flags=0, header_len=None):
    """A message as somebody writes it who does not keep to the table."""
    length = len(header) if header_len is None else header_len
    return struct.pack(">BBHI", number, flags, length, stream) + header + body


def number_of(name):
    return rp.MESSAGE_BY_NAME[name].number


def answer(handshake, m2, m1=None, auth=None):
    """M3 and the session's keys as a client makes them that looks at nothing in M2. (M3, SessionKeys)"""
    m1, auth = m1 or handshake.m1, auth or handshake.keys
    header = rp.MAGIC + bytes([3, m2[5], m2[6], 0])
    m3 = header + rp.hmac_sha256(auth.client_auth, m2[8:40] + rp.sha256(m1 + m2 + header))
    suite = m2[6] if m2[6] in rp.TAG_SIZE else rp.CHACHA20POLY1305
    dh = b""
    if suite != rp.HMAC_SHA256:
        try:
            dh = rp.x25519_shared(handshake.secret, m2[40:72])
        except rp.RexecError:
            dh = rp.ZERO32
    return m3, rp.session_keys(suite, auth.mix, dh, m1 + m2 + m3)


class Wire:
    """A bare connection. Each send is a segment of its own; a peer that has closed is no error."""

    def __init__(self, lab):
        self.sock = lab.connect(timeout=HANG)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.how = None             # it ended: "fin", "reset"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, *parts):
        try:
            self.sock.sendall(b"".join(parts))
        except (BrokenPipeError, ConnectionResetError):
            pass

    def finish(self):
        """No more will come from here."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def receive(self):
        """What is there, b"" for a close; it hangs, which is an error, if there is neither."""
        try:
            data = self.sock.recv(65536)
            self.how = None if data else "fin"
            return data
        except ConnectionResetError:
            self.how = "reset"
            return b""
        except TimeoutError:
            raise AssertionError("the server neither answers nor closes") from None

    def take(self, size):
        """So many bytes, or fewer if the connection ends before."""
        data = b""
        try:
            while len(data) < size and (piece := self.sock.recv(size - len(data))):
                data += piece
        except ConnectionResetError:
            pass
        except TimeoutError:
            raise AssertionError(f"{len(data)} of {size} bytes came, and no close") from None
        return data

    def rest(self):
        """All that comes until the close."""
        data = b""
        while piece := self.receive():
            data += piece
        return data


class Client(Wire):
    """A client that can do all that a right one can, in any order."""

    def __init__(self, lab, psk, suites=rp.AEAD_SUITES, name=None):
        super().__init__(lab)
        self.handshake = rp.ClientHandshake(psk, name or lab.server_name, suites, os.urandom)
        self.m1, self.m2, self.m3, self.keys = self.handshake.m1, b"", b"", None
        self.input, self.sequence = bytearray(), 0

    def challenge(self, sent=None):
        """Sends M1, or `sent` in its place, and takes M2. True if one came; M3 is there then, not sent."""
        self.send(self.m1 if sent is None else sent)
        return self.take_m2()

    def take_m2(self):
        self.m2 = self.take(rp.M2_SIZE)
        if len(self.m2) < rp.M2_SIZE:
            return False
        self.use(*answer(self.handshake, self.m2))
        return True

    def use(self, m3, keys):
        self.m3, self.keys, self.sequence = m3, keys, 0
        self.sealer = rp.RecordKeys(keys.suite, keys.c2s)
        self.opener = rp.RecordKeys(keys.suite, keys.s2c)

    def prove(self):
        """The whole handshake; WELCOME has come."""
        if not self.challenge():
            raise AssertionError("no M2 for an honest M1")
        self.send(self.m3)
        self.messages("WELCOME")
        return self

    # ---- records, made but not sent

    def seal(self, message):
        return self.sealer.seal(message)

    def request(self, message):
        self.sequence += 1
        return self.sealer.seal(rp.add_trailer(self.keys.request, message, self.sequence))

    def exec(self, line, stream=1, **header):
        """EXEC of a line for the shell."""
        header = {"id": os.urandom(16).hex(), "stdin": "none", **header}
        return self.request(rp.join_message("EXEC", stream, header, rp.encode_words([(rp.WORD, line.encode())])))

    def ping(self, text=b"hostile."):
        return self.seal(rp.join_message("PING", 0, body=text))

    def close(self):
        return self.seal(rp.join_message("CLOSE", 0))

    # ---- what comes

    def opened(self):
        """The records that have come, opened."""
        found = []
        while (payload := self.opener.open(self.input)) is not None:
            number, _, header_len, stream = struct.unpack(">BBHI", payload[:8])
            found.append(Said(rp.MESSAGES[number].name, stream, rp.decode_json(payload[8:8 + header_len]),
                              payload[8 + header_len:]))
        return found

    def messages(self, last=None):
        """What the server says until a message of that name, or until it closes; an EXIT or REFUSED that is not waited
        for is the last, too: nothing closes behind it."""
        found = self.opened()
        ends = (last,) if last else ("EXIT", "REFUSED")
        while not any(said.name in ends for said in found):
            piece = self.receive()
            if not piece:
                if last:
                    raise AssertionError(f"closed before {last}: {found}")
                return found
            self.input += piece
            found += self.opened()
        return found


class Impostor:
    """Listens on loopback and treats each connection as act(sock) says, one after the other."""

    def __init__(self, act):
        self.act, self.failure = act, None

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(HANG)

    def run(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.settimeout(HANG)
            with sock:
                try:
                    self.act(sock)
                except OSError:
                    pass                # the client went: its exit status says why
                except Exception as failure:  # pylint: disable=broad-except
                    self.failure = failure

    def client(self, lab, *words, **more):
        """The real client, sent here."""
        command = lab.command_line(*words, **more)
        command[command.index("-p") + 1] = str(self.port)
        command.insert(1, "--no-resume")  # one attempt is what is judged
        run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=HANG)
        if self.failure:
            raise self.failure
        return run


def take(sock, size):
    data = b""
    while len(data) < size and (piece := sock.recv(size - len(data))):
        data += piece
    return data


def middle(lab, to_server=None, to_client=None):
    """An Impostor's act: pass on to the real server and back, what comes changed by change(data, offset).

    A change that answers None ends both connections."""
    def act(sock):
        with lab.connect(timeout=HANG) as server:
            ways = {sock: [server, to_server, 0], server: [sock, to_client, 0]}
            end = time.monotonic() + HANG
            while ways and time.monotonic() < end:
                for source in select.select(list(ways), [], [], 1)[0]:
                    target, change, offset = ways[source]
                    try:
                        data = source.recv(65536)
                    except ConnectionResetError:
                        data = b""
                    if not data:
                        try:
                            target.shutdown(socket.SHUT_WR)
                        except OSError:
                            pass
                        del ways[source]
                        continue
                    ways[source][2] += len(data)
                    data = change(data, offset) if change else data
                    if data is None:
                        return
                    target.sendall(data)
    return act


class Row(LabTest):
    """Rows of the tables of attacks. Each ends with an honest client that is served, and with a look at what ran.

    A hostile command appends its tag to the file `marks`; `ran` are the tags that may stand there."""

    def setUp(self):
        self.psk = rp.parse_key_file(self.lab.key.read_bytes())["psk"]
        self.kid = rp.derive_grant_keys(self.psk, self.lab.server_name)[0]
        self.marks = self.lab.dir / "marks"
        self.marks.unlink(missing_ok=True)
        self.before, self.ran = self.audited(), []

    def tearDown(self):
        super().tearDown()
        self.assertNotRegex(self.lab.said(), "Sanitizer|runtime error")
        self.honest()
        self.only_ran(*self.ran)

    def honest(self, lab=None):
        lab = lab or self.lab
        tag = f"honest-{os.urandom(8).hex()}"
        self.check(lab.rexec(f"echo {tag}"), 0, tag.encode() + b"\n")
        self.assertTrue(until(lambda: any(tag in record["words"][0] for record in self.commands(lab))))

    def client(self, **more):
        return Client(self.lab, self.psk, **more)

    def mark(self, tag):
        """The line of a command that leaves its tag."""
        return f"echo {tag} >> {self.marks}"

    def commands(self, lab=None):
        audit = (lab or self.lab).audit
        # A line that is being written has no end yet.
        lines = audit.read_text().split("\n")[:-1] if audit.exists() else []
        return [record for record in map(json.loads, lines) if record["record"] == "command"]

    def only_ran(self, *tags):
        """By the file and by the audit: these commands of ours ran, each once, and none besides."""
        marked = self.marks.read_text().split() if self.marks.exists() else []
        self.assertEqual(sorted(marked), sorted(tags))
        until(lambda: len(self.audited()) >= len(self.before) + len(tags))      # the record comes behind EXIT
        self.assertEqual(sorted(self.audited()), sorted(self.before + list(tags)))

    def audited(self):
        """The tags of the commands that the audit says were started."""
        return [record["words"][0].split()[1] for record in self.commands()
                if str(self.marks) in record["words"][0] and "refused" not in record]

    def kill_net(self):
        """Ends the net process; the next one serves."""
        before = self.lab.said().count("listening on")
        os.kill(self.lab.net_pid(), signal.SIGKILL)
        self.assertTrue(until(lambda: self.lab.said().count("listening on") > before), self.lab.said())

    def no_session(self, wire):
        """Closed, and not one byte more."""
        self.assertEqual(wire.take(1), b"")
