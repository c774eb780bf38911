#!/usr/bin/python3
"""Servers and clients that are broken on purpose, each in one way, for the tests of `rexec probe`.

    faulty.py FAULT GRANTFILE [PORT]        a server on loopback, until it is killed; FAULT may be "none"

They rest on the independent implementation beside this file, so that each does all right but its fault.
"""
import os
import socket
import sys
import threading
import time

import rexec_protocol as rexec

DEADLINE = 0.7                          # seconds for a handshake
SERVER_FAULTS = {}                      # name -> the class of its sessions
P = 2**255 - 19


def fault(base):
    """Decorator: the class is the fault of its name."""
    def add(cls):
        base[cls.__name__] = cls
        return cls
    return add


class World:
    """What all sessions of one server share."""

    def __init__(self, grant):
        self.grant, self.decoy = grant, os.urandom(32)
        self.table = rexec.CommandTable(int(time.monotonic() * 1000) - 1)
        self.seen, self.waiting, self.count = {}, {}, 0
        self.secret = os.urandom(32)


class Session(rexec.ServerSession):
    """One connection's. Faults override what they break."""

    deadline = DEADLINE
    Handshake = rexec.ServerHandshake

    def __init__(self, world):
        self.world = world
        grant = world.grant
        super().__init__(lambda kid: grant if kid == grant.kid else None, world.decoy, os.urandom, world.table,
                         {"server": grant.server, "version": "faulty.py", "time_us": int(time.time() * 1e6)})
        self.handshake = self.Handshake(self.handshake.find_grant, world.decoy, self.random)
        self.handshake.world = world

    def end(self):
        """The connection is over."""

    def handle(self, event):
        """`true` ends, `cat` takes what it gets."""
        if event.kind != "exec":
            if event.kind == "data":
                self.consumed(event.command, rexec.STDIN, len(event.data))
            return
        command, now = event.command, int(time.time() * 1e6)
        if command.arguments[:1] not in ([b"true"], [b"cat"]):
            self.refuse(event.stream, "command_not_found")
            return
        self.started(command, start_us=now)
        if command.arguments[0] == b"true":
            command.exit(code=0, by="self", start_us=now, end_us=now)

    def output(self, data):
        """Bytes as they are."""
        self._output += data


SERVER_FAULTS["none"] = Session


class Server:
    """Serves on loopback in threads, until the block ends."""

    def __init__(self, name, grant, port=0):
        self.make, self.world, self.listener = SERVER_FAULTS[name], World(grant), None
        self.port, self.failures = port, []

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def run(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        session = self.make(self.world)
        try:
            with sock:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.talk(sock, session)
        except OSError:
            pass
        except Exception as failure:    # pylint: disable=broad-except
            self.failures.append(failure)
        finally:
            session.end()

    @staticmethod
    def talk(sock, session):
        began = time.monotonic()
        while not session.finished:
            left = 30
            if session.state == rexec.HANDSHAKE and session.deadline:
                left = began + session.deadline - time.monotonic()
                if left <= 0:
                    return
            sock.settimeout(left)
            try:
                data = sock.recv(65536)
            except TimeoutError:
                return
            if data:
                session.receive(data, int(time.monotonic() * 1000))
            else:
                session.receive_eof()
            for event in session.events():
                if not session.finished:
                    session.handle(event)
            out = session.data_to_send()
            while out:
                sock.sendall(out)
                out = session.data_to_send()
            if not data:
                return


# ------------------------------------------------------------------------------------------ the handshake's faults

class Lenient(rexec.ServerHandshake):
    """Takes another M3 as well, if `accepts` says so; keys come of what was sent."""

    def receive_m3(self, m3):
        try:
            return super().receive_m3(m3)
        except rexec.RexecError:
            header = rexec.MAGIC + bytes([3, self.version, self.suite, 0])
            right = header + self.hmac(self.challenge + rexec.sha256(self.m1 + self.m2 + header))
            if not self.known or not self.accepts(m3, right):
                raise
            dh = rexec.x25519_shared(self.secret, self.public)
            return rexec.session_keys(self.suite, self.keys.mix, dh, self.m1 + self.m2 + m3)

    def hmac(self, data):
        return rexec.hmac_sha256(self.keys.client_auth, data)

    def accepts(self, m3, right):
        raise NotImplementedError


def lenient(accepts):
    """Makes an M3 fault of a function."""
    handshake = type("Handshake", (Lenient,), {"accepts": accepts})
    SERVER_FAULTS[accepts.__name__] = type(accepts.__name__, (Session,), {"Handshake": handshake})
    return accepts


@lenient
def early_exit(_self, m3, right):
    """strncmp: what follows a zero byte is not looked at."""
    end = right.find(0, 8 + 1) + 1
    return end > 0 and m3[:end] == right[:end]


@lenient
def short_compare(_self, m3, right):
    return m3[:8 + 16] == right[:8 + 16]


@lenient
def compare_from_one(_self, m3, right):
    """Begins at byte 1."""
    return m3[:8] == right[:8] and m3[9:] == right[9:]


@lenient
def any_key(self, m3, right):
    """A response under any of the client's keys."""
    return m3 == right[:8] + rexec.hmac_sha256(self.keys.mix, self.challenge + rexec.sha256(self.m1 + self.m2 + right[:8]))


@lenient
def no_transcript(self, m3, right):
    return m3 == right[:8] + self.hmac(self.challenge)


@lenient
def transcript_without_m2(self, m3, right):
    return m3 == right[:8] + self.hmac(self.challenge + rexec.sha256(self.m1 + right[:8]))


@lenient
def offer_not_covered(self, m3, right):
    """What M1 offers may be another on its way."""
    others = [self.m1[:5] + bytes(offer) + self.m1[8:] for offer in ((1, 1, 1), (1, 1, 2), (1, 1, 3))]
    return m3 in [right[:8] + self.hmac(self.challenge + rexec.sha256(m1 + self.m2 + right[:8])) for m1 in others]


@lenient
def reflection(self, m3, right):
    return m3 == right[:8] + self.m2[72:]


@lenient
def header_not_compared(_self, m3, right):
    return m3[8:] == right[8:]


@lenient
def zero_response(_self, m3, right):
    """Zerologon."""
    return m3 == right[:8] + bytes(32)


@lenient
def choice_not_covered(self, m3, right):
    """What M2 chose may be another on its way."""
    changed = [self.m2[:at] + bytes([self.m2[at] ^ 1 << bit]) + self.m2[at + 1:] for at in (5, 6, 7) for bit in range(8)]
    return m3 in [right[:8] + self.hmac(self.challenge + rexec.sha256(self.m1 + m2 + right[:8])) for m2 in changed]


class Remembering(Lenient):
    def receive_m3(self, m3):
        keys = super().receive_m3(m3)
        self.world.seen[self.m1] = m3
        return keys

    def accepts(self, m3, right):
        return self.world.seen.get(self.m1) == m3


@fault(SERVER_FAULTS)
class replay(Session):
    Handshake = Remembering


class AnyConnection(Lenient):
    def receive_m1(self, m1):
        m2 = super().receive_m1(m1)
        header = rexec.MAGIC + bytes([3, self.version, self.suite, 0])
        self.world.waiting[self] = header + self.hmac(self.challenge + rexec.sha256(m1 + m2 + header))
        return m2

    def receive_m3(self, m3):
        keys = super().receive_m3(m3)
        self.world.waiting.pop(self, None)
        return keys

    def accepts(self, m3, right):
        return m3 in self.world.waiting.values()


@fault(SERVER_FAULTS)
class crossed(Session):
    Handshake = AnyConnection

    def end(self):
        self.world.waiting.pop(self.handshake, None)


@fault(SERVER_FAULTS)
class no_deadline(Session):
    deadline = None


@fault(SERVER_FAULTS)
class short_response(Session):
    """Compares as many bytes as came (AMT CVE-2017-5689)."""

    def receive_eof(self):
        got = bytes(self._input)
        if self.m1_done and self.state == rexec.HANDSHAKE and 8 <= len(got) < 40:
            h = self.handshake
            response = rexec.hmac_sha256(h.keys.client_auth, h.challenge + rexec.sha256(h.m1 + h.m2 + got[:8]))
            if got[8:] == response[:len(got) - 8]:
                self._input[:] = got[:8] + response
                self._step()
                return
        super().receive_eof()


@fault(SERVER_FAULTS)
class command_before_proof(Session):
    def _handshake_step(self):
        # A record's length begins with zeros: random bytes at this place are not taken for EXEC.
        if self.m1_done and len(self._input) >= 12 and self._input[:2] == bytes(2) and self._input[4] == 16:
            self.output(rexec.struct.pack(">IBBHI", 40, 32, 0, 0, 1) + bytes(32))
            self._input.clear()
            return False
        return super()._handshake_step()


@fault(SERVER_FAULTS)
class unknown_user(Session):
    def _handshake_step(self):
        if not self.m1_done and len(self._input) >= 88 and bytes(self._input[8:24]) != self.world.grant.kid:
            raise rexec.RexecError("response_wrong")
        return super()._handshake_step()


@fault(SERVER_FAULTS)
class unknown_user_told(Session):
    """The decoy keys' M3 gets an answer of its own."""

    def _handshake_step(self):
        if self.m1_done and len(self._input) >= 40 and not self.handshake.known:
            self.output(b"unknown client\n")
        return super()._handshake_step()


def unknown_m2(name, change):
    """M2 for clients that are not known: not what known ones get."""

    def receive_m1(self, m1):
        m2 = rexec.ServerHandshake.receive_m1(self, m1)
        return m2 if self.known else change(m2, self.world.secret)
    handshake = type("Handshake", (rexec.ServerHandshake,), {"receive_m1": receive_m1})
    SERVER_FAULTS[name] = type(name, (Session,), {"Handshake": handshake})


unknown_m2("unknown_no_proof", lambda m2, _secret: m2[:72] + bytes(32))
unknown_m2("unknown_one_challenge", lambda m2, secret: m2[:8] + secret + m2[40:])


@fault(SERVER_FAULTS)
class short_kid(Session):
    """Finds clients by half of their kid."""

    def __init__(self, world):
        super().__init__(world)
        self.handshake.find_grant = lambda kid: world.grant if kid[:8] == world.grant.kid[:8] else None


@fault(SERVER_FAULTS)
class more_guesses(Session):
    """A wrong response may be followed by another."""

    guesses = 3

    def _handshake_step(self):
        while True:
            try:
                return super()._handshake_step()
            except rexec.RexecError as error:
                self.guesses -= 1
                if error.name != "response_wrong" or not self.m1_done or not self.guesses:
                    raise


class Downgrading(rexec.ServerHandshake):
    def _choose_suite(self, offered):
        return rexec.HMAC_SHA256 if offered & rexec.HMAC_SHA256 else super()._choose_suite(offered)


@fault(SERVER_FAULTS)
class downgrade(Session):
    Handshake = Downgrading


class Accommodating(rexec.ServerHandshake):
    def _choose_suite(self, offered):
        return super()._choose_suite(offered) if offered & 7 else rexec.CHACHA20POLY1305


@fault(SERVER_FAULTS)
class any_offer(Session):
    Handshake = Accommodating


class AnyVersions(rexec.ServerHandshake):
    def receive_m1(self, m1):
        if not 1 <= m1[5] <= m1[6]:
            m1 = m1[:5] + b"\1\1" + m1[7:]
        return super().receive_m1(m1)


@fault(SERVER_FAULTS)
class versions_unchecked(Session):
    Handshake = AnyVersions


class NotZero(rexec.ServerHandshake):
    def receive_m1(self, m1):
        m2 = super().receive_m1(m1)
        self.m2 = m2[:7] + b"\1" + m2[8:72]
        self.m2 += rexec.hmac_sha256(self.keys.server_auth, m1[24:56] + rexec.sha256(m1 + self.m2))
        return self.m2


@fault(SERVER_FAULTS)
class m2_not_zero(Session):
    Handshake = NotZero


class ZeroNonce(rexec.ServerHandshake):
    def receive_m1(self, m1):
        if m1[24:56] == rexec.ZERO32:
            m1 = m1[:24] + bytes([1]) * 32 + m1[56:]
        return super().receive_m1(m1)


@fault(SERVER_FAULTS)
class zero_nonce(Session):
    Handshake = ZeroNonce


class LowOrder(rexec.ServerHandshake):
    def receive_m3(self, m3):
        try:
            return super().receive_m3(m3)
        except rexec.RexecError as error:
            if error.name != "low_order":
                raise
            return rexec.session_keys(self.suite, self.keys.mix, rexec.ZERO32, self.m1 + self.m2 + m3)


@fault(SERVER_FAULTS)
class low_order(Session):
    Handshake = LowOrder


class Sequence:
    """Random bytes that are none: of a handshake, the first are the challenge, the next the secret key."""

    def __init__(self, challenge, secret):
        self.values = [challenge, secret]

    def __call__(self, size):
        return (self.values.pop(0) if self.values else None) or os.urandom(size)


def unrandom(name, values):
    def __init__(self, world):
        Session.__init__(self, world)
        world.count += 1
        self.handshake.random = Sequence(*values(world))
    SERVER_FAULTS[name] = type(name, (Session,), {"__init__": __init__})


unrandom("constant_challenge", lambda world: (world.secret, None))
unrandom("counting_challenge", lambda world: (world.secret[:28] + world.count.to_bytes(4, "big"), None))
unrandom("constant_key", lambda world: (None, world.secret))


@fault(SERVER_FAULTS)
class second_m1(Session):
    """Begins anew whenever M1 comes."""

    def _handshake_step(self):
        if self.m1_done and bytes(self._input[:5]) == rexec.MAGIC + b"\1":
            self.m1_done = False
        return super()._handshake_step()


@fault(SERVER_FAULTS)
class second_m3(Session):
    """Takes M3 again, and its records count from 0 again (KRACK)."""

    def _step(self):
        if self.opener and bytes(self._input[:5]) == rexec.MAGIC + b"\3":
            if len(self._input) < 40:
                return False
            del self._input[:40]
            self.opener = rexec.RecordKeys(self.keys.suite, self.keys.c2s)
            return True
        return super()._step()


@fault(SERVER_FAULTS)
class garbage_answered(Session):
    def _handshake_step(self):
        if not self.m1_done and len(self._input) >= 4 and self._input[:4] != rexec.MAGIC:
            self.output(b"protocol mismatch\n")
            raise rexec.RexecError("not_rexec")
        return super()._handshake_step()


# ------------------------------------------------------------------------------------------ the records' faults

class AnyLength(rexec.RecordKeys):
    def open(self, received):
        if len(received) >= 4 and int.from_bytes(received[:4], "big") > rexec.RECORD_MAX:
            return None                 # waits for all of it
        return super().open(received)


class AnyOrder(rexec.RecordKeys):
    def open(self, received):
        if len(received) < 4 or len(received) < 4 + int.from_bytes(received[:4], "big"):
            return super().open(received)
        for counter in range(8):
            self.counter, copy = counter, bytearray(received)
            try:
                payload = super().open(copy)
            except rexec.RexecError as error:
                if error.name != "bad_seal":
                    raise
                continue
            received[:] = copy
            return payload
        raise rexec.RexecError("bad_seal")


class NoTag(rexec.RecordKeys):
    """What GCM encrypts, decrypted without a look at the tag."""

    def open(self, received):
        counter, copy = self.counter, bytes(received)
        try:
            return super().open(received)
        except rexec.RexecError as error:
            if error.name != "bad_seal" or self.suite != rexec.AES256GCM:
                raise
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
        end = 4 + int.from_bytes(copy[:4], "big")
        start = bytes(4) + counter.to_bytes(8, "big") + b"\0\0\0\2"
        return Cipher(algorithms.AES(self.key), modes.CTR(start)).decryptor().update(copy[4:end - 16])


class ShortTag(rexec.RecordKeys):
    """Compares all bytes of the tag but the last."""

    def open(self, received):
        counter, end = self.counter, 4 + int.from_bytes(received[:4], "big")
        last = received[end - 1:end]
        for byte in range(256) if last and self.suite == rexec.AES256GCM else ():
            copy = received[:end - 1] + bytes([byte])
            self.counter = counter
            try:
                payload = super().open(copy)
            except rexec.RexecError as error:
                if error.name != "bad_seal":
                    raise
                continue
            del received[:end]
            return payload
        self.counter = counter
        return super().open(received)


class OtherKeys(rexec.RecordKeys):
    """Opens under another secret, too."""

    other = rexec.ZERO32

    def open(self, received):
        counter, copy = self.counter, bytearray(received)
        try:
            return super().open(received)
        except rexec.RexecError as error:
            if error.name != "bad_seal":
                raise
        keys = rexec.RecordKeys(self.suite, self.other)
        keys.counter = counter
        payload = keys.open(copy)
        received[:] = copy
        return payload


def opening(name, keys):
    def _handshake_step(self):
        went_on = Session._handshake_step(self)
        if self.opener:
            self.opener = keys(self.keys.suite, self.keys.c2s)
        return went_on
    SERVER_FAULTS[name] = type(name, (Session,), {"_handshake_step": _handshake_step})


opening("length_unchecked", AnyLength)
opening("order_unchecked", AnyOrder)
opening("short_tag", ShortTag)
opening("tag_unchecked", NoTag)
opening("zero_key", OtherKeys)


# ------------------------------------------------------------------------------------------ the messages' faults

def ignoring(name, *which):
    """Overlooks messages that are refused for one of these reasons."""
    def _receive_message(self, payload):
        try:
            Session._receive_message(self, payload)
        except rexec.RexecError as error:
            if error.name not in which:
                raise
    SERVER_FAULTS[name] = type(name, (Session,), {"_receive_message": _receive_message})


ignoring("state_unchecked", "bad_state", "bad_stream")
ignoring("window_unchecked", "window_exceeded")
ignoring("form_unchecked", "bad_message")


@fault(SERVER_FAULTS)
class header_length_unchecked(Session):
    """As much of the header as there is."""

    def _receive_message(self, payload):
        if int.from_bytes(payload[2:4], "big") > len(payload) - 8:
            payload = payload[:2] + bytes(2) + payload[4:]
        super()._receive_message(payload)


@fault(SERVER_FAULTS)
class no_stream(Session):
    """Overlooks EXEC that opens no stream."""

    def _receive_message(self, payload):
        if payload[0] != 16 or any(payload[4:8]):
            super()._receive_message(payload)


@fault(SERVER_FAULTS)
class words_unchecked(Session):
    def _on_exec(self, stream, header, message):
        try:
            super()._on_exec(stream, header, message)
        except rexec.RexecError as error:
            if error.name != "bad_body":
                raise
            super()._on_exec(stream, header, message._replace(body=rexec.encode_words([(rexec.WORD, b"true")])))


@fault(SERVER_FAULTS)
class one_direction(Session):
    """Takes its own records for the client's, and what only it may send for nothing."""

    def _handshake_step(self):
        went_on = super()._handshake_step()
        if self.opener:
            self.opener = OtherKeys(self.keys.suite, self.keys.c2s)
            self.opener.other = self.keys.s2c
        return went_on

    def _receive_message(self, payload):
        if payload[0] != 1:
            super()._receive_message(payload)


@fault(SERVER_FAULTS)
class direction_unchecked(Session):
    """libssh CVE-2018-10933."""

    def _receive_message(self, payload):
        entry = rexec.MESSAGES.get(payload[0])
        if entry is None or entry.direction != "S->C":
            super()._receive_message(payload)


def checking_requests(name, judge, forgive=lambda *_: False):
    def _check_request(self, payload):
        self.sequence += 1
        mac = rexec.hmac_sha256(self.keys.request, payload[:-32])
        number = rexec.struct.unpack(">Q", payload[-40:-32])[0]
        rexec.require(judge(mac == payload[-32:], number == self.sequence) or forgive(self, payload, mac, number),
                      "request_rejected")
    SERVER_FAULTS[name] = type(name, (Session,), {"_check_request": _check_request})


checking_requests("mac_unchecked", lambda _mac, number: number)
checking_requests("sequence_unchecked", lambda mac, _number: mac)
checking_requests("mac_of_exec_alone", lambda mac, number: mac and number, lambda _s, payload, _m, _n: payload[0] != 16)
checking_requests("mac_once", lambda mac, number: mac and number,
                  lambda session, _payload, _mac, number: number == session.sequence > 1)
checking_requests("mac_half", lambda mac, number: mac and number,
                  lambda session, payload, mac, number: number == session.sequence and payload[-16:] == mac[-16:])


def reading_json(name, check):
    """EXEC's header read by json alone, and what is wrong with it forgiven if `check` says so."""
    def _receive_message(self, payload):
        length = int.from_bytes(payload[2:4], "big")
        header = payload[8:8 + length]
        if payload[0] == 16 and check(header):
            rexec.require(self.state != rexec.HANDSHAKE, "misuse")
            good = b'{"id":"' + os.urandom(16).hex().encode() + b'","run":"exec"}'
            self._check_request(payload)
            self.sequence -= 1
            message = payload[:2] + len(good).to_bytes(2, "big") + payload[4:8] + good + payload[8 + length:-40]
            payload = rexec.add_trailer(self.keys.request, message, self.sequence + 1)
        Session._receive_message(self, payload)
    SERVER_FAULTS[name] = type(name, (Session,), {"_receive_message": _receive_message})


reading_json("json_duplicate", lambda header: header.count(b'"run"') > 1)
reading_json("json_nul", lambda header: b"\\u0000" in header)
reading_json("json_depth", lambda header: b"[[[[[[[[" in header)
reading_json("json_form", lambda header: header.endswith(b"} x"))


@fault(SERVER_FAULTS)
class duplicate_id(Session):
    def _on_exec(self, stream, header, message):
        self.table.commands.pop(header["id"], None)
        super()._on_exec(stream, header, message)


@fault(SERVER_FAULTS)
class after_close(Session):
    """What came in one segment with CLOSE is served."""

    closing = False

    def _on_close(self, header, message):
        self.closing = True

    def data_to_send(self, limit=65536):
        data = super().data_to_send(limit)
        if self.closing and not data:
            self.state = rexec.CLOSED
        return data


@fault(SERVER_FAULTS)
class offset_unchecked(Session):
    def _on_data(self, stream, message):
        expected = stream.command.stdin.expected.to_bytes(8, "big")
        super()._on_data(stream, message._replace(body=expected + message.body[8:]))


@fault(SERVER_FAULTS)
class ack_unchecked(Session):
    def _on_ack(self, stream, header, message):
        try:
            super()._on_ack(stream, header, message)
        except rexec.RexecError:
            pass


# ---------------------------------------------------------------------------------------------- broken clients

CLIENT_FAULTS = {}


class Client(rexec.ClientSession):
    """Asks for one command, and is content when it has its EXIT."""

    Handshake = rexec.ClientHandshake

    def __init__(self, psk, name):
        super().__init__(psk, name, rexec.AEAD_SUITES, os.urandom)
        self.handshake = self.Handshake(psk, name, rexec.AEAD_SUITES, os.urandom)
        self._output[:] = self.handshake.m1
        self.asked = False

    def go_on(self):
        """After something came."""
        if self.state in (rexec.START, rexec.OPEN) and not self.asked:
            self.asked = True
            self.exec([(rexec.WORD, b"true")], run="exec", stdin="none")
        for event in self.events():
            if event.kind == "data" and self.state in (rexec.OPEN, rexec.GOING):
                self.consumed(event.command, event.which, len(event.data))
            elif event.kind == "exit" and self.state in (rexec.OPEN, rexec.GOING):
                self.exit_ack(event.command)
                self.close()


CLIENT_FAULTS["none"] = Client


def run_client(name, psk, server_name, port):
    """Connects as long as somebody listens: how often."""
    connections = 0
    while True:
        try:
            sock = socket.create_connection(("127.0.0.1", port), timeout=30)
        except ConnectionError:
            return connections
        connections += 1
        session = CLIENT_FAULTS[name](psk, server_name)
        with sock:
            try:
                while True:
                    out = session.data_to_send()
                    if out:
                        sock.sendall(out)
                        continue
                    if session.state in (rexec.CLOSING, rexec.CLOSED, rexec.FAILED):
                        break
                    data = sock.recv(65536)
                    if not data:
                        break
                    session.receive(data)
                    session.go_on()
            except (ConnectionError, TimeoutError):
                pass


class Trusting(rexec.ClientHandshake):
    """Takes a wrong proof as well, if `accepts` says so; may take what it did not offer."""

    any_version = any_suite = zero_challenge = small_order = False

    def accepts(self, proof, m2):
        return False

    def receive_m2(self, m2):
        proof = rexec.hmac_sha256(self.keys.server_auth, self.nonce + rexec.sha256(self.m1 + m2[:72]))
        rexec.require(m2[72:] == proof or self.accepts(m2[72:], m2), "proof_wrong")
        rexec.require(m2[:5] == rexec.MAGIC + b"\2" and m2[7] == 0, "not_rexec")
        version, suite = m2[5], m2[6]
        rexec.require(version == 1 or self.any_version, "downgrade")
        offered = rexec.AEAD_SUITES | (rexec.HMAC_SHA256 if self.any_suite else 0)
        rexec.require(suite in rexec.TAG_SIZE and suite & offered, "downgrade")
        rexec.require(any(m2[8:40]) or self.zero_challenge, "zero_value")
        dh = b""
        if suite != rexec.HMAC_SHA256:
            try:
                dh = rexec.x25519_shared(self.secret, m2[40:72])
            except rexec.RexecError:
                if not self.small_order:
                    raise
                dh = rexec.ZERO32
        header = rexec.MAGIC + bytes([3, version, suite, 0])
        m3 = header + rexec.hmac_sha256(self.keys.client_auth, m2[8:40] + rexec.sha256(self.m1 + m2 + header))
        return m3, rexec.session_keys(suite, self.keys.mix, dh, self.m1 + m2 + m3)


def trusting(name, **how):
    CLIENT_FAULTS[name] = type(name, (Client,), {"Handshake": type("Handshake", (Trusting,), how)})


trusting("trusting_nothing")
trusting("proof_unchecked", accepts=lambda self, proof, m2: True)
trusting("short_proof", accepts=lambda self, proof, m2: proof[:16] == rexec.hmac_sha256(
    self.keys.server_auth, self.nonce + rexec.sha256(self.m1 + m2[:72]))[:16])
trusting("proof_from_one", accepts=lambda self, proof, m2: proof[1:] == rexec.hmac_sha256(
    self.keys.server_auth, self.nonce + rexec.sha256(self.m1 + m2[:72]))[1:])
trusting("any_role", accepts=lambda self, proof, m2: proof == rexec.hmac_sha256(
    self.keys.client_auth, self.nonce + rexec.sha256(self.m1 + m2[:72])))
trusting("no_transcript", accepts=lambda self, proof, m2: proof == rexec.hmac_sha256(
    self.keys.server_auth, self.nonce))
trusting("zero_challenge", zero_challenge=True)
trusting("any_suite", any_suite=True)
trusting("any_version", any_version=True)
trusting("small_order", small_order=True)


class Same(rexec.ClientHandshake):
    """Its nonce and its key are the same each time."""

    def __init__(self, psk, name, suites, _random):
        super().__init__(psk, name, suites, bytes([7]).__mul__)


@fault(CLIENT_FAULTS)
class constant_nonce(Client):
    Handshake = Same


def client_opening(name, keys):
    def _handshake_step(self):
        went_on = Client._handshake_step(self)
        if self.opener:
            self.opener = keys(self.keys.suite, self.keys.s2c)
        return went_on
    CLIENT_FAULTS[name] = type(name, (Client,), {"_handshake_step": _handshake_step})


client_opening("length_unchecked", AnyLength)
client_opening("order_unchecked", AnyOrder)
client_opening("tag_unchecked", NoTag)


def client_ignoring(name, *which):
    def _receive_message(self, payload):
        try:
            Client._receive_message(self, payload)
        except rexec.RexecError as error:
            if error.name not in which:
                raise
    CLIENT_FAULTS[name] = type(name, (Client,), {"_receive_message": _receive_message})


client_ignoring("state_unchecked", "bad_state", "bad_stream")
client_ignoring("window_unchecked", "window_exceeded")
client_ignoring("offset_unchecked", "bad_offset")
client_ignoring("header_unchecked", "bad_header")


@fault(CLIENT_FAULTS)
class no_welcome(Client):
    def _receive_message(self, payload):
        if self.state == rexec.START and payload[0] != 1:
            self.state = rexec.OPEN
        super()._receive_message(payload)


@fault(CLIENT_FAULTS)
class counts_unchecked(Client):
    def _receive_message(self, payload):
        try:
            super()._receive_message(payload)
        except rexec.RexecError as error:
            if error.name != "count_mismatch":
                raise
            self.close()


@fault(CLIENT_FAULTS)
class direction_unchecked(Client):
    def _receive_message(self, payload):
        entry = rexec.MESSAGES.get(payload[0])
        if entry is None or entry.direction != "C->S":
            super()._receive_message(payload)


def main():
    name, path, *port = sys.argv[1:]
    with open(path, "rb") as file:
        grant = rexec.parse_grant_file(file.read())
    with Server(name, grant, int(port[0]) if port else 0) as server:
        print(f"listening on 127.0.0.1:{server.port}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
