"""The rexec protocol, version 1, written from docs/PROTOCOL.md alone ("section N" below is there).

This is a second, independent implementation that exists to test the first one, and to be read. It does
no I/O: there are no sockets, no clock and no source of randomness in here. The caller

  * hands in the bytes that came:      session.receive(data, now_ms)
  * takes out what happened:           for event in session.events(): ...
  * takes out the bytes to send:       session.data_to_send(limit)
  * gives randomness as a function:    random(n) -> n bytes (os.urandom, or something fixed in a test)

From bottom to top: errors, cryptography, key and grant files, the handshake, records, messages and their
JSON headers, byte streams, and at last the two roles, ClientSession and ServerSession.

The readable suite needs the standard library only; the other two need the package `cryptography`.
"""
import calendar
import collections
import hashlib
import hmac
import ipaddress
import json
import re
import struct
import time

# ---------------------------------------------------------------------------------------- errors, section 12

ERRORS = {
    1: "bad_length", 2: "bad_seal", 3: "bad_message", 4: "bad_state", 5: "bad_header", 6: "bad_body",
    7: "bad_offset", 8: "window_exceeded", 9: "bad_stream", 10: "count_mismatch", 11: "request_rejected",
    12: "flood", 13: "counter_exhausted", 14: "no_memory", 15: "internal", 16: "idle_timeout",
    17: "session_limit", 18: "suite_not_permitted", 19: "closed_early", 20: "grant_ended",
    64: "limit_reached",
    65: "shutting_down", 66: "not_permitted", 67: "no_such_user", 68: "no_such_directory",
    69: "command_not_found", 70: "cannot_execute", 71: "no_such_subsystem", 72: "duplicate_id",
    73: "unknown_command", 74: "fate_unknown", 75: "data_lost", 76: "taken_over", 77: "attached_elsewhere",
    78: "still_running", 79: "already_ended", 80: "bad_request", 81: "no_terminal", 82: "no_resources",
    83: "not_supported", 84: "unknown_signal", 85: "too_long", 128: "not_rexec", 129: "no_common_version",
    130: "no_common_suite", 131: "proof_wrong", 132: "response_wrong", 133: "zero_value", 134: "low_order",
    135: "downgrade", 136: "misuse", 137: "crypto_failed", 138: "bad_file", 139: "bad_name",
    140: "no_space", 141: "streams_exhausted",
}
ERROR_CODES = {name: code for code, name in ERRORS.items()}


class RexecError(Exception):
    """A refusal, by its name in the table above. 1-63 end the session with ERROR, 128-255 stay at home."""

    def __init__(self, name, detail=""):
        super().__init__(f"{name}: {detail}" if detail else name)
        self.name, self.code, self.detail = name, ERROR_CODES[name], detail


def require(condition, name, detail=""):
    if not condition:
        raise RexecError(name, detail)


# ---------------------------------------------------------------------------------------------- cryptography

AES256GCM, CHACHA20POLY1305, HMAC_SHA256 = 0x01, 0x02, 0x04
SUITES = {"aes256gcm": AES256GCM, "chacha20poly1305": CHACHA20POLY1305, "hmac-sha256": HMAC_SHA256}
AEAD_SUITES = AES256GCM | CHACHA20POLY1305
TAG_SIZE = {AES256GCM: 16, CHACHA20POLY1305: 16, HMAC_SHA256: 32}
ZERO32 = bytes(32)


def sha256(data):
    return hashlib.sha256(data).digest()


def hmac_sha256(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def extract(salt, ikm):
    """HKDF-Extract of RFC 5869."""
    return hmac_sha256(salt, ikm)


def expand(prk, info, length):
    """HKDF-Expand of RFC 5869."""
    require(length <= 255 * 32, "misuse", "HKDF gives at most 255 blocks")
    output, block, number = b"", b"", 0
    while len(output) < length:
        number += 1
        block = hmac_sha256(prk, block + info + bytes([number]))
        output += block
    return output[:length]


def x25519_public(secret):
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def x25519_shared(secret, public):
    """The shared secret; an all-zero one (the other side's point has a small order) is refused."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
    try:
        shared = X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:                      # OpenSSL refuses an all-zero result by itself
        raise RexecError("low_order") from None
    require(shared != ZERO32, "low_order")
    return shared


def aead(suite, key):
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
    return AESGCM(key) if suite == AES256GCM else ChaCha20Poly1305(key)


# ------------------------------------------------------------------------- keys, grants and names, section 2

def fold_name(name):
    """A server name as it is used: checked, and folded to lower case."""
    if isinstance(name, str):
        require(name.isascii(), "bad_name")
        name = name.encode()
    require(1 <= len(name) <= 255 and all(0x21 <= byte <= 0x7e for byte in name), "bad_name")
    return name.lower()                     # bytes.lower() touches A-Z only


# What the server proves itself with, what the client does, and what enters the session's keys.
AuthKeys = collections.namedtuple("AuthKeys", "client_auth server_auth mix")


def auth_keys(prk):
    return AuthKeys(expand(prk, b"c auth", 32), expand(prk, b"s auth", 32), expand(prk, b"mix", 32))


def derive_grant_keys(psk, server_name):
    """From the client's key and a server's name: (kid, AuthKeys)."""
    name = fold_name(server_name)
    k_srv = hmac_sha256(psk, b"rexec/1 srv" + name)
    kid = hmac_sha256(psk, b"rexec/1 kid" + name)[:16]
    return kid, auth_keys(extract(b"rexec/1", k_srv))


def decoy_keys(decoy_secret, kid):
    """What the server goes on with if it has no grant for this kid, so that nobody can tell."""
    return auth_keys(extract(decoy_secret, kid))


class Grant:
    """What a server holds about one client. The optional policy stands in `policy`, by its names in the file."""

    def __init__(self, server, kid, keys, **policy):
        self.server, self.kid, self.keys, self.policy = server, kid, keys, policy

    def usable(self, now, address=None):
        """May it be used at this time (seconds since 1970), from this address ("unix", or an IP address)?"""
        policy = self.policy
        if policy.get("revoked", False) or now < policy.get("not-before", now):
            return False
        if "expires" in policy and now >= policy["expires"]:
            return False
        if "from" not in policy:
            return True
        for allowed in policy["from"]:
            if allowed == "unix" or address == "unix" or address is None:
                if allowed == address:
                    return True
            elif ipaddress.ip_address(address) in ipaddress.ip_network(allowed, strict=False):
                return True
        return False


def make_grant(psk, server_name, **policy):
    kid, keys = derive_grant_keys(psk, server_name)
    return Grant(fold_name(server_name).decode(), kid, keys, **policy)


def _hex_value(size, zero_allowed=False):
    def parse(text):
        require(re.fullmatch(f"[0-9A-Fa-f]{{{2 * size}}}", text), "bad_file", "hex digits expected")
        value = bytes.fromhex(text)
        require(zero_allowed or any(value), "bad_file", "all zero")
        return value
    return parse


def _text_value(longest):
    def parse(text):
        require(1 <= len(text.encode()) <= longest, "bad_file", "too long or empty")
        require(not any(ord(char) < 0x20 or ord(char) == 0x7f for char in text), "bad_file", "control character")
        return text
    return parse


def _server_value(text):
    try:
        require(fold_name(text).decode() == text, "bad_file", "the server's name is not folded")
    except RexecError:
        raise RexecError("bad_file", "bad server name") from None
    return text


def _name_value(text):
    require(re.fullmatch(r"[A-Za-z0-9._@+-]{1,64}", text), "bad_file", "bad name")
    return text


def _users_value(text):
    users = text.split(",")
    require(len(users) <= 32 and all(re.fullmatch(r"[^\s,]+", user) and len(user.encode()) <= 32 for user in users),
            "bad_file", "bad users")
    return users


def _from_value(text):
    addresses = text.split(",")
    require(len(addresses) <= 32, "bad_file", "too many addresses")
    for address in addresses:
        if address != "unix":
            try:
                require(re.fullmatch(r"[0-9A-Fa-f.:]+(/(0|[1-9][0-9]{0,2}))?", address), "bad_file", "bad address")
                ipaddress.ip_network(address, strict=False)
            except ValueError:
                raise RexecError("bad_file", "bad address") from None
    return addresses


def _time_value(text):
    """YYYY-MM-DDTHH:MM:SSZ as seconds since 1970."""
    require(re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z", text), "bad_file", "bad time")
    try:
        parts = time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        raise RexecError("bad_file", "bad time") from None
    require(parts.tm_sec < 60, "bad_file", "bad time")
    return calendar.timegm(parts)


def _flag_value(text):
    require(text in ("yes", "no"), "bad_file", "yes or no expected")
    return text == "yes"


def _count_value(text):
    require(re.fullmatch(r"[1-9][0-9]{0,4}", text) and int(text) <= 65535, "bad_file", "bad number")
    return int(text)


KEY_FILE = {"psk": _hex_value(32), "comment": _text_value(128)}
GRANT_FILE = {
    "server": _server_value, "kid": _hex_value(16, zero_allowed=True), "client-auth": _hex_value(32),
    "server-auth": _hex_value(32), "mix": _hex_value(32), "name": _name_value, "users": _users_value,
    "from": _from_value, "not-before": _time_value, "expires": _time_value, "revoked": _flag_value,
    "max-commands": _count_value, "readable": _flag_value, "pty": _flag_value, "command": _text_value(1000),
}


def _parse_file(data, first, names, required, longest):
    require(len(data) <= longest, "bad_file", "too long")
    require(b"\r" not in data and b"\0" not in data, "bad_file", "CR or NUL")
    require(data.endswith(b"\n"), "bad_file", "the last line does not end in LF")
    require(all(len(line) <= 1024 for line in data.split(b"\n")), "bad_file", "a line is too long")
    try:
        lines = [line.strip(" ") for line in data.decode("utf-8").split("\n")]
    except UnicodeDecodeError:
        raise RexecError("bad_file", "not UTF-8") from None
    lines = [line for line in lines if line and not line.startswith("#")]
    require(lines and lines[0] == first, "bad_file", f"the first line is not `{first}`")
    values = {}
    for line in lines[1:]:
        name, equals, value = line.partition("=")
        name, value = name.rstrip(" "), value.lstrip(" ")
        require(equals and name in names, "bad_file", f"unknown name: {name}")
        require(name not in values, "bad_file", f"twice: {name}")
        values[name] = names[name](value)
    for name in required:
        require(name in values, "bad_file", f"missing: {name}")
    return values


def parse_key_file(data):
    """The file's bytes -> {"psk": bytes, "comment": str or not there}"""
    return _parse_file(data, "rexec-key 1", KEY_FILE, ("psk",), 4096)


def print_key_file(psk, comment=None):
    text = f"rexec-key 1\npsk = {psk.hex()}\n" + (f"comment = {comment}\n" if comment else "")
    parse_key_file(text.encode())
    return text.encode()


def parse_grant_file(data):
    required = ("server", "kid", "client-auth", "server-auth", "mix")
    values = _parse_file(data, "rexec-grant 1", GRANT_FILE, required, 16384)
    if "not-before" in values and "expires" in values:
        require(values["not-before"] < values["expires"], "bad_file", "expires before it begins")
    keys = AuthKeys(values.pop("client-auth"), values.pop("server-auth"), values.pop("mix"))
    return Grant(values.pop("server"), values.pop("kid"), keys, **values)


def print_grant_file(grant):
    lines = ["rexec-grant 1", f"server = {grant.server}", f"kid = {grant.kid.hex()}",
             f"client-auth = {grant.keys.client_auth.hex()}", f"server-auth = {grant.keys.server_auth.hex()}",
             f"mix = {grant.keys.mix.hex()}"]
    for name in GRANT_FILE:
        if name in grant.policy:
            value = grant.policy[name]
            if isinstance(value, bool):
                value = "yes" if value else "no"
            elif isinstance(value, list):
                value = ",".join(value)
            elif name in ("not-before", "expires"):
                value = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(value))
            lines.append(f"{name} = {value}")
    data = "".join(line + "\n" for line in lines).encode()
    parse_grant_file(data)
    return data


# ---------------------------------------------------------------------------- the handshake, sections 3 and 4

MAGIC = b"rexc"
M1_SIZE, M2_SIZE, M3_SIZE = 88, 104, 40

# What comes out of a handshake: the suite, the first secrets of both directions, the key of requests, the id.
SessionKeys = collections.namedtuple("SessionKeys", "suite c2s s2c request session_id th")


def session_keys(suite, mix, dh, transcript):
    prk1, th = extract(mix, dh), sha256(transcript)
    return SessionKeys(suite, expand(prk1, b"rexec/1 c2s" + th, 32), expand(prk1, b"rexec/1 s2c" + th, 32),
                       expand(prk1, b"rexec/1 request" + th, 32), expand(prk1, b"rexec/1 session" + th, 16), th)


def _random_nonzero(random, size):
    value = random(size)
    require(len(value) == size and any(value), "zero_value", "the source of randomness is broken")
    return value


class ClientHandshake:
    """M1 -> (M2) -> M3 of the client. `suites` is the bitmap it offers."""

    def __init__(self, psk, server_name, suites, random, version_min=1, version_max=1):
        require(suites == HMAC_SHA256 or (suites and not suites & ~AEAD_SUITES), "misuse", "these suites together")
        self.kid, self.keys = derive_grant_keys(psk, server_name)
        self.suites, self.versions = suites, (version_min, version_max)
        self.nonce = _random_nonzero(random, 32)
        self.secret, public = b"", ZERO32
        if suites != HMAC_SHA256:
            self.secret = random(32)
            public = x25519_public(self.secret)
        self.m1 = MAGIC + bytes([1, version_min, version_max, suites]) + self.kid + self.nonce + public

    def receive_m2(self, m2):
        """Check M2; the answer is (M3, SessionKeys)."""
        magic, kind, version, suite, zero, challenge, public, proof = struct.unpack(">4sBBBB32s32s32s", m2)
        require((magic, kind, zero) == (MAGIC, 2, 0), "not_rexec")
        expected = hmac_sha256(self.keys.server_auth, self.nonce + sha256(self.m1 + m2[:72]))
        require(hmac.compare_digest(proof, expected), "proof_wrong")
        # From here on the server is proven, and what it says can be believed.
        version_offered = self.versions[0] <= version <= self.versions[1]
        if suite == 0:
            raise RexecError("no_common_suite" if version_offered else "no_common_version")
        require(version_offered and suite in TAG_SIZE and suite & self.suites, "downgrade")
        require(challenge != ZERO32, "zero_value", "challenge")
        if suite == HMAC_SHA256:
            require(public == ZERO32, "zero_value", "E_s must be zero")
            dh = b""
        else:
            dh = x25519_shared(self.secret, public)
        header = MAGIC + bytes([3, version, suite, 0])
        m3 = header + hmac_sha256(self.keys.client_auth, challenge + sha256(self.m1 + m2 + header))
        return m3, session_keys(suite, self.keys.mix, dh, self.m1 + m2 + m3)


class ServerHandshake:
    """(M1) -> M2 -> (M3) of the server. find_grant(kid) gives a Grant that may be used now, or None."""

    def __init__(self, find_grant, decoy_secret, random, readable=False, version_min=1, version_max=1):
        self.find_grant, self.decoy_secret, self.random = find_grant, decoy_secret, random
        self.readable, self.versions = readable, (version_min, version_max)

    def receive_m1(self, m1):
        """Check M1; the answer is M2. If self.suite is 0 afterwards, close behind it."""
        magic, kind, low, high, suites, kid, nonce, self.public = struct.unpack(">4sBBBB16s32s32s", m1)
        require((magic, kind) == (MAGIC, 1), "not_rexec")
        require(1 <= low <= high, "bad_message", "versions")
        require(nonce != ZERO32, "zero_value", "nonce_c")
        self.grant = self.find_grant(kid)
        # The decoy is made in any case, so that its time does not tell known clients from unknown ones.
        decoy = decoy_keys(self.decoy_secret, kid)
        self.known = int(self.grant is not None)
        self.keys = (decoy, self.grant.keys if self.grant else decoy)[self.known]
        self.version = min(high, self.versions[1])
        self.suite = 0
        if self.version < max(low, self.versions[0]):
            self.version, self.failure = self.versions[1], "no_common_version"
        else:
            self.suite, self.failure = self._choose_suite(suites), "no_common_suite"
        challenge = _random_nonzero(self.random, 32)
        self.secret, public = b"", ZERO32
        if self.suite & AEAD_SUITES:
            self.secret = self.random(32)
            public = x25519_public(self.secret)
        m2 = MAGIC + bytes([2, self.version, self.suite, 0]) + challenge + public
        m2 += hmac_sha256(self.keys.server_auth, nonce + sha256(m1 + m2))
        self.m1, self.m2, self.challenge = m1, m2, challenge
        return m2

    def _choose_suite(self, offered):
        offered &= AEAD_SUITES | HMAC_SHA256
        if offered & AES256GCM:
            return AES256GCM
        if offered & CHACHA20POLY1305:
            return CHACHA20POLY1305
        return HMAC_SHA256 if offered == HMAC_SHA256 and self.readable else 0

    def receive_m3(self, m3):
        """Check M3; the answer is SessionKeys."""
        header = MAGIC + bytes([3, self.version, self.suite, 0])
        response = hmac_sha256(self.keys.client_auth, self.challenge + sha256(self.m1 + self.m2 + header))
        good = hmac.compare_digest(m3, header + response)
        require(good & self.known, "response_wrong")
        dh = x25519_shared(self.secret, self.public) if self.suite != HMAC_SHA256 else b""
        return session_keys(self.suite, self.keys.mix, dh, self.m1 + self.m2 + m3)


# -------------------------------------------------------------------------------- records, sections 4 and 5

RECORD_MAX = 262144
RECORDS_PER_KEY = 1 << 20


class RecordKeys:
    """The keys of one direction. Counts its records from 0; each RECORDS_PER_KEY of them have another key."""

    def __init__(self, suite, secret, records_per_key=RECORDS_PER_KEY):
        self.suite, self.tag_size, self.per_key = suite, TAG_SIZE[suite], records_per_key
        self.counter, self.epoch, self.secret = 0, 0, secret
        self._take_key()

    def _take_key(self):
        self.key = expand(self.secret, b"key", 32)
        self.cipher = None if self.suite == HMAC_SHA256 else aead(self.suite, self.key)

    def next_counter(self):
        require(self.counter < 2**64 - 1, "counter_exhausted")
        while self.epoch < self.counter // self.per_key:
            self.secret = expand(self.secret, b"rekey", 32)
            self.epoch += 1
            self._take_key()
        self.counter += 1
        return struct.pack(">Q", self.counter - 1)

    def seal(self, payload):
        counter = self.next_counter()
        length = struct.pack(">I", len(payload) + self.tag_size)
        if self.suite == HMAC_SHA256:
            return length + payload + hmac_sha256(self.key, counter + length + payload)
        return length + self.cipher.encrypt(bytes(4) + counter, payload, length)

    def open(self, received):
        """Take one record off the front of a bytearray. The payload, or None while it is not complete."""
        if len(received) < 4:
            return None
        size = int.from_bytes(received[:4], "big")
        require(8 + self.tag_size <= size <= RECORD_MAX, "bad_length")
        if len(received) < 4 + size:
            return None
        length, sealed = bytes(received[:4]), bytes(received[4:4 + size])
        del received[:4 + size]
        counter = self.next_counter()
        if self.suite == HMAC_SHA256:
            payload, tag = sealed[:-32], sealed[-32:]
            require(hmac.compare_digest(tag, hmac_sha256(self.key, counter + length + payload)), "bad_seal")
            return payload
        from cryptography.exceptions import InvalidTag
        try:
            return self.cipher.decrypt(bytes(4) + counter, sealed, length)
        except InvalidTag:
            raise RexecError("bad_seal") from None


# ------------------------------------------------------------------------------------- messages, section 6

MESSAGE_TABLE = """
| 1 | WELCOME | S->C | - | 4096 | 0 | 0 | - | session |
| 2 | PING | both | - | 0 | 8 | 8 | - | session |
| 3 | PONG | both | - | 0 | 16 | 16 | - | session |
| 4 | CLOSE | C->S | - | 1024 | 0 | 0 | - | session |
| 5 | GOAWAY | S->C | - | 1024 | 0 | 0 | - | session |
| 6 | ERROR | both | - | 1024 | 0 | 0 | - | session |
| 16 | EXEC | C->S | - | 4096 | 0 | 192512 | yes | idle |
| 17 | RESUME | C->S | - | 1024 | 32 | 32 | yes | idle |
| 18 | ATTACH | C->S | - | 1024 | 0 | 0 | yes | idle |
| 19 | DETACH | C->S | - | 1024 | 0 | 0 | yes | asked running exited closed |
| 20 | SIGNAL | C->S | - | 1024 | 0 | 0 | yes | idle asked running exited closed |
| 21 | RESIZE | C->S | - | 1024 | 0 | 0 | yes | asked running exited closed |
| 22 | LIST | C->S | - | 1024 | 0 | 0 | yes | idle |
| 23 | FORGET | C->S | - | 1024 | 0 | 0 | yes | idle |
| 32 | STARTED | S->C | - | 1024 | 32 | 32 | - | asked |
| 33 | RESUMED | S->C | - | 1024 | 32 | 32 | - | asked |
| 34 | REFUSED | S->C | yes | 1024 | 0 | 0 | - | asked asking running exited closed |
| 35 | DONE | S->C | yes | 1024 | 0 | 0 | - | asking running exited closed |
| 36 | LISTED | S->C | yes | 4096 | 0 | 192512 | - | asking |
| 37 | EXIT | S->C | - | 4096 | 24 | 24 | - | running |
| 48 | STDIN | C->S | yes | 0 | 8 | 261128 | - | asked running exited closed |
| 49 | STDOUT | S->C | yes | 0 | 8 | 261128 | - | running |
| 50 | STDERR | S->C | yes | 0 | 8 | 261128 | - | running |
| 51 | ACK | both | - | 0 | 16 | 16 | - | asked running exited closed |
| 52 | EXIT_ACK | C->S | - | 0 | 0 | 0 | - | exited closed |
"""
LAST = 0x01
TRAILER = 40
MessageType = collections.namedtuple(
    "MessageType", "number name direction last header_max body_min body_max trailer states")
Message = collections.namedtuple("Message", "type last stream header body")      # header: its bytes, not decoded


def _read_table(text):
    for line in text.strip().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        yield MessageType(int(cells[0]), cells[1], cells[2], cells[3] == "yes", int(cells[4]), int(cells[5]),
                          int(cells[6]), cells[7] == "yes", tuple(cells[8].split()))


MESSAGES = {entry.number: entry for entry in _read_table(MESSAGE_TABLE)}
MESSAGE_BY_NAME = {entry.name: entry for entry in MESSAGES.values()}


def split_message(payload, receiver):
    """Check a record's payload against the table for this receiver ("C" or "S"), and take it apart."""
    number, flags, header_length, stream = struct.unpack(">BBHI", payload[:8])
    entry = MESSAGES.get(number)
    require(entry, "bad_message", f"unknown type {number}")
    require(entry.direction in ("both", "C->S" if receiver == "S" else "S->C"), "bad_message", "direction")
    require(not flags & ~(LAST if entry.last else 0), "bad_message", "flags")
    end = len(payload) - (TRAILER if entry.trailer else 0)
    require(header_length <= entry.header_max, "bad_message", "header too long")
    require(entry.body_min <= end - 8 - header_length <= entry.body_max, "bad_message", "body size")
    require((stream == 0) == (entry.states == ("session",)), "bad_message", "stream")
    return Message(entry, bool(flags & LAST), stream, payload[8:8 + header_length], payload[8 + header_length:end])


def join_message(name, stream, header=None, body=b"", last=False):
    """The opposite; `header` is a dict. A request's trailer is not yet there."""
    entry = MESSAGE_BY_NAME[name]
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode() if header else b""
    require(len(text) <= entry.header_max and entry.body_min <= len(body) <= entry.body_max, "misuse", "too long")
    require(not last or entry.last, "misuse", "LAST")
    return struct.pack(">BBHI", entry.number, LAST if last else 0, len(text), stream) + text + body


def add_trailer(request_key, message, sequence):
    """Section 10: what makes a message a request of this session, and of no other place in it."""
    message += struct.pack(">Q", sequence)
    return message + hmac_sha256(request_key, message)


# -------------------------------------------------------------------------- JSON headers, sections 6, 7 and 8

INTEGER_MAX = 2**53 - 1
NESTING_MAX = 8


def decode_json(data):
    """One JSON object, by the strict rules of section 6."""
    if not data:
        return {}
    try:
        text = data.decode("utf-8")
        _check_nesting(text)
        value = json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
        _check_strings(value)
    except (ValueError, RecursionError) as error:       # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise RexecError("bad_header", str(error)) from None
    require(isinstance(value, dict), "bad_header", "not an object")
    return value


def _check_nesting(text):
    """Before parsing, so that a deep one cannot hurt. Brackets within strings do not count."""
    depth, in_string, escaped = 0, False, False
    for char in text:
        if in_string:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                in_string = False
        elif char == '"':
            in_string = True
        elif char in "[{":
            depth += 1
            require(depth <= NESTING_MAX, "bad_header", "nested too deep")
        elif char in "]}":
            depth -= 1


def _no_duplicates(pairs):
    result = dict(pairs)
    require(len(result) == len(pairs), "bad_header", "duplicate name")
    return result


def _no_constant(name):
    raise ValueError(f"{name} is not JSON")


def _check_strings(value):
    if isinstance(value, str):
        value.encode("utf-8")                           # a lone surrogate (\ud800) is no text: ValueError
        require("\0" not in value, "bad_header", "NUL in a string")
    elif isinstance(value, dict):
        for name, member in value.items():
            _check_strings(name)
            _check_strings(member)
    elif isinstance(value, list):
        for member in value:
            _check_strings(member)


# Each checker below says whether a value has the right type and is in its range.

def _integer(low=0, high=INTEGER_MAX):
    return lambda value: type(value) is int and low <= value <= high        # `type`: True is no integer


def _string(low=0, high=4096):
    return lambda value: isinstance(value, str) and low <= len(value.encode()) <= high


def _one_of(*words):
    return lambda value: isinstance(value, str) and value in words


def _boolean(value):
    return isinstance(value, bool)


def _id(value):
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{32}", value) is not None


def _array(check, most):
    return lambda value: isinstance(value, list) and len(value) <= most and all(check(member) for member in value)


def _object(*required, **members):
    return lambda value: isinstance(value, dict) and all(name in value for name in required) and all(
        check(value[name]) for name, check in members.items() if name in value)


def _integers_by_name(value):
    return isinstance(value, dict) and len(value) <= 72 and all(
        1 <= len(name.encode()) <= 12 and _integer(0, 2**32 - 1)(member) for name, member in value.items())


_SIZES = {name: _integer(0, 65535) for name in ("rows", "cols", "width", "height")}
_POSITIVE = _integer(1)
_RUSAGE = ("utime_us", "stime_us", "maxrss_kib", "minflt", "majflt", "inblock", "oublock", "nvcsw", "nivcsw")
_EXIT = {
    "code": _integer(0, 255), "signal": _string(1, 16), "core": _boolean, "detail": _string(0, 512), "start_us": _integer(),
    "by": _string(0, 16),                               # unknown ones are shown, not refused
    "end_us": _integer(), "rusage": _object(**{name: _integer() for name in _RUSAGE}), "holders": _array(_integer(1), 32),
}


def _error_names(low, high):
    return {"code!": _integer(low, high), "name!": _string(1, 64), "text!": _string(0, 512)}


# Names and checkers of each header; a name with "!" is required.
HEADERS = {
    "WELCOME": {"server!": _string(1, 255), "version!": _string(1, 64), "time_us!": _integer(), "commands": _integer(0),
                "linger_ms": _integer(0), "keepalive_ms": _integer(0), "features": _array(_string(1, 32), 16)},
    "CLOSE": {"reason": _string(0, 512)},
    "GOAWAY": {**_error_names(1, 127), "grace_ms": _integer(0)},
    "ERROR": _error_names(1, 63),
    "EXEC": {"id!": _id, "run": _one_of("shell", "exec", "login", "subsystem"), "user": _string(1, 32),
             "age_ms": _integer(0), "timeout_ms": _POSITIVE, "linger_ms": _integer(0), "drain_ms": _integer(0),
             "detach": _boolean, "label": _string(1, 64), "stdin": _one_of("stream", "none"),
             "pty": _object("term", "rows", "cols", term=_string(1, 64), modes=_integers_by_name, **_SIZES),
             "limits": _object(cpu_ms=_POSITIVE, memory=_POSITIVE, output=_POSITIVE, files=_POSITIVE,
                               processes=_POSITIVE, file_size=_POSITIVE, core=_integer(0))},
    "RESUME": {"id!": _id},
    "ATTACH": {"id!": _id, "steal": _boolean},
    "DETACH": {"linger_ms": _integer(0)},
    "SIGNAL": {"signal!": _string(1, 16), "n": _POSITIVE, "id": _id},
    "RESIZE": {f"{name}!": check for name, check in _SIZES.items()},
    "LIST": {"id": _id},
    "FORGET": {"id!": _id},
    "STARTED": {"pid": _integer(), "start_us": _integer(), "user": _string(), "already": _boolean},
    "RESUMED": {"pid": _integer(), "start_us": _integer(), "n": _integer(0)},
    "REFUSED": {**_error_names(64, 127), "n": _POSITIVE},
    "DONE": {"n": _POSITIVE},
    "LISTED": {"id!": _id, "state!": _one_of("running", "exited"), "start_us!": _integer(), "label": _string(1, 64),
               "attached": _boolean, "user": _string(), **_EXIT},
    "EXIT": _EXIT,
}


def decode_header(message):
    name, header = message.type.name, decode_json(message.header)
    if name == "LISTED" and message.last and not header:
        return header                                   # "the last may be {}: none"
    for known, check in HEADERS.get(name, {}).items():
        plain = known.rstrip("!")
        if plain in header:
            require(check(header[plain]), "bad_header", f"{name}: {plain}")
        else:
            require(not known.endswith("!"), "bad_header", f"{name}: {plain} is missing")
    if name == "EXIT" or (name == "LISTED" and header["state"] == "exited"):
        require(("code" in header) != ("signal" in header), "bad_header", "either code or signal")
    return header


# -------------------------------------------------------------------------------------- words, section 8

WORD, ENVIRONMENT, DIRECTORY = 1, 2, 3
WORDS_EACH = {"exec": (1, None), "shell": (1, 1), "subsystem": (1, 1), "login": (0, 0)}     # least, most


def encode_words(words):
    return b"".join(struct.pack(">BI", kind, len(text)) + text for kind, text in words)


def decode_words(body):
    """[(kind, bytes)], kinds 128-255 left out."""
    words, at = [], 0
    while at < len(body):
        require(at + 5 <= len(body), "bad_body", "words")
        kind, length = struct.unpack_from(">BI", body, at)
        at += 5
        require(length <= len(body) - at, "bad_body", "words")
        text = body[at:at + length]
        at += length
        require(b"\0" not in text, "bad_body", "NUL in a word")
        if kind >= 128:
            continue
        require(kind in (WORD, ENVIRONMENT, DIRECTORY), "bad_body", "kind of a word")
        require(kind != ENVIRONMENT or text.find(b"=") > 0, "bad_body", "environment")
        require(kind != DIRECTORY or text, "bad_body", "empty directory")
        words.append((kind, text))
    return words


def check_words(run, words):
    arguments = [text for kind, text in words if kind == WORD]
    least, most = WORDS_EACH[run]
    require(len(arguments) >= least and (most is None or len(arguments) <= most), "bad_body", "number of words")
    require(run != "exec" or arguments[0], "bad_body", "the first word is empty")
    require(sum(kind == DIRECTORY for kind, _ in words) <= 1, "bad_body", "two directories")


# --------------------------------------------------------------------------------- byte streams, section 9

STDIN, STDOUT, STDERR = 0, 1, 2
STREAM_NAMES = ("STDIN", "STDOUT", "STDERR")
FIRST_WINDOW = (65536, 262144, 262144)
WINDOW_MAX = 16777216
ACK_AT_LATEST = 131072
CHUNK = 32768                           # bytes in one data message; up to 261,120 would be allowed


class Outgoing:
    """The sender's end of a byte stream. It outlives a connection, and keeps what is not acknowledged."""

    def __init__(self, window):
        self.kept = bytearray()         # the bytes from offset `base` on: sent but not acknowledged, then not sent
        self.base = 0
        self.sent = 0                   # offset of the next byte to send
        self.highest = 0                # the highest that `sent` ever was
        self.limit = window
        self.ended = False              # nothing comes behind `end`
        self.last_sent = False

    @property
    def end(self):
        return self.base + len(self.kept)

    @property
    def unsent(self):
        return self.end - self.sent

    def write(self, data):
        require(not self.ended, "misuse", "written behind the end")
        self.kept += data

    def finish(self):
        self.ended = True

    def take(self, most=CHUNK):
        """What to send next, as (offset, bytes, last); None if there is nothing or the window is full."""
        count = min(self.unsent, self.limit - self.sent, most)
        last = self.ended and self.sent + count == self.end
        if count <= 0 and (not last or self.last_sent):
            return None
        offset, start = self.sent, self.sent - self.base
        data = bytes(self.kept[start:start + count])
        self.sent += count
        self.highest = max(self.highest, self.sent)
        self.last_sent = last
        return offset, data, last

    def acknowledge(self, offset, window):
        require(self.base <= offset <= self.sent, "bad_offset", "ACK")
        require(offset + window >= self.limit, "bad_offset", "ACK takes back window")
        del self.kept[:offset - self.base]
        self.base, self.limit = offset, offset + window

    def rewind(self, offset, window):
        """Go on from `offset` on a new connection."""
        self.sent, self.limit, self.last_sent = offset, offset + window, False


class Incoming:
    """The receiver's end of a byte stream."""

    def __init__(self, window):
        self.window = window            # what we like to have open
        self.last = False
        self.start_at(0, window)

    def start_at(self, offset, window):
        self.expected = self.consumed = self.acked = offset
        self.limit, self.granted = offset + window, window

    def resume_with(self, window):
        self.limit, self.granted = self.expected + window, window
        self.acked = 0                  # as if none had been sent: the one that was may be lost

    def reopen(self):
        """What was consumed without a connection could not be acknowledged: the new connection opens with it."""
        self.acked = 0
        self.limit = max(self.limit, self.consumed + self.window)
        self.granted = self.limit - self.consumed

    def accept(self, offset, data, last):
        require(data or last, "bad_body", "no bytes and no LAST")
        require(not self.last, "bad_state", "data behind LAST")
        require(offset == self.expected, "bad_offset")
        require(offset + len(data) <= self.limit, "window_exceeded")
        self.expected += len(data)
        self.last = last

    def consume(self, count):
        """The application is done with these bytes."""
        require(self.consumed + count <= self.expected, "misuse", "more consumed than received")
        self.consumed += count

    def take_ack(self):
        """The ACK that is due now as (offset, window), or None."""
        if self.last or self.consumed - self.acked < min(ACK_AT_LATEST, max(1, self.granted // 2)):
            return None
        self.acked = self.consumed
        self.granted = max(self.window, self.limit - self.consumed)         # the limit never falls
        self.limit = self.consumed + self.granted
        return self.acked, self.granted


def pack_offsets(stdin, stdout, stderr, window, flags):
    return struct.pack(">QQQII", stdin, stdout, stderr, window, flags)


# ------------------------------------------------------------- what both roles share, sections 7, 8 and 10

HANDSHAKE, START, OPEN, GOING, CLOSING, CLOSED, FAILED = "handshake start open going closing closed failed".split()
PINGS_MAX = 16


class Event:
    """Something the application should know. `kind` says what, the other attributes depend on it."""

    def __init__(self, kind, **fields):
        self.kind = kind
        self.__dict__.update(fields)

    def __repr__(self):
        return f"Event({self.__dict__})"


class Stream:
    """A number on one connection, its state, and the command that lives there."""

    def __init__(self, number, opened_by, state, command=None):
        self.number, self.opened_by, self.state, self.command = number, opened_by, state, command
        self.turn = 0                   # server: whose turn it is, stdout's or stderr's
        self.deferred = []              # server: requests that came before STARTED was sent
        self.unanswered = []            # client: RESIZE and DETACH that were not answered yet


class Session:
    ROLE = ""                           # "C" or "S"

    def __init__(self, random, records_per_key=RECORDS_PER_KEY):
        self.random, self.records_per_key = random, records_per_key
        self.state = HANDSHAKE
        self.keys = self.sealer = self.opener = None
        self.sequence = 0               # of the last request
        self.streams, self.highest = {}, 0      # those that are not closed, and the highest number used
        self.now_ms = 0
        self.error = None               # why it failed
        self._input, self._output, self._events = bytearray(), bytearray(), collections.deque()
        self._pings, self._pongs_waiting = collections.deque(), 0
        self._turns = collections.deque()       # the order in which streams send data

    # --- the application's side

    def receive(self, data, now_ms=0):
        """Bytes from the connection; now_ms is the time by any clock that does not go back."""
        self.now_ms = now_ms
        if self.state in (CLOSING, CLOSED, FAILED):
            return
        self._input += data
        try:
            while self.state not in (CLOSING, CLOSED, FAILED) and self._step():
                pass
        except RexecError as error:
            self._fail(error)

    def receive_eof(self):
        """The connection has ended."""
        if self.state in (CLOSED, FAILED):
            return
        if self.state == CLOSING:
            self.state = CLOSED
            self._event("closed")
        elif self.state == HANDSHAKE or self._input:
            self._input.clear()
            self._fail(RexecError("closed_early"))
        else:
            self.state = CLOSED
            self._event("lost")
        self._leave_commands()

    def events(self):
        while self._events:
            yield self._events.popleft()

    @property
    def finished(self):
        """Nothing more is received; send what data_to_send() still gives, then close."""
        return self.state in (CLOSED, FAILED)

    def data_to_send(self, limit=65536):
        """Bytes for the connection. Data messages are made here, not earlier, one from each command in turn."""
        while len(self._output) < limit and self.state in (START, OPEN, GOING) and self._send_some_data():
            pass
        data = bytes(self._output)
        self._output.clear()
        self._pongs_waiting = 0
        return data

    def ping(self, payload):
        require(self.state in (OPEN, GOING) and len(self._pings) < PINGS_MAX, "misuse", "PING")
        self._pings.append(payload)
        self._send("PING", 0, body=payload)

    # --- receiving

    def _step(self):
        if self.opener is None:
            return self._handshake_step()
        payload = self.opener.open(self._input)
        if payload is None:
            return False
        self._receive_message(payload)
        return True

    def _receive_message(self, payload):
        message = split_message(payload, self.ROLE)
        name = message.type.name
        if message.type.trailer:
            self._check_request(payload)
        require(self.state != START or name in ("WELCOME", "ERROR"), "bad_state", f"{name} before WELCOME")
        if message.stream == 0:
            header = decode_header(message)
            getattr(self, "_on_" + name.lower())(header, message)
            return
        stream = self.streams.get(message.stream)
        state = stream.state if stream else "closed" if message.stream <= self.highest else "idle"
        if state not in message.type.states:
            never_or_before = state == "idle" or "idle" in message.type.states
            raise RexecError("bad_stream" if never_or_before else "bad_state", f"{name} in {state}")
        if state == "closed" or (state == "exited" and name in ("STDIN", "ACK")):
            return                                      # it crossed the end on its way
        header = decode_header(message)
        getattr(self, "_on_" + name.lower())(stream, header, message)

    def _check_request(self, payload):
        self.sequence += 1
        mac = hmac_sha256(self.keys.request, payload[:-32])
        good = hmac.compare_digest(mac, payload[-32:])
        require(good and struct.unpack(">Q", payload[-40:-32])[0] == self.sequence, "request_rejected")

    def _on_ping(self, _header, message):
        self._pongs_waiting += 1
        require(self._pongs_waiting <= PINGS_MAX, "flood")
        self._send("PONG", 0, body=message.body + bytes(8))         # 0: no clock in here

    def _on_pong(self, _header, message):
        require(self._pings, "bad_state", "PONG without PING")
        require(self._pings.popleft() == message.body[:8], "bad_body", "PONG")
        self._event("pong", payload=message.body[:8], time_ns=struct.unpack(">Q", message.body[8:])[0])

    def _on_error(self, header, _message):
        self.state = FAILED
        self.error = ERRORS.get(header["code"], header["name"])
        self._event("failed", name=self.error, text=header["text"], remote=True)
        self._leave_commands()

    def _on_data(self, stream, message):
        which = STREAM_NAMES.index(message.type.name)
        offset, data = struct.unpack(">Q", message.body[:8])[0], message.body[8:]
        stream.command.incoming(which).accept(offset, data, message.last)
        self._event("data", stream=stream.number, command=stream.command, which=which, data=data, last=message.last)

    def consumed(self, command, which, count):
        """The application is done with that many bytes; says so to the other side when it is time."""
        incoming = command.incoming(which)
        incoming.consume(count)
        stream = self.streams.get(command.stream) if command.session is self else None
        if not stream or self.state not in (OPEN, GOING):
            return
        if stream.state == "running" or (stream.state == "asked" and stream.opened_by == "EXEC"):
            ack = incoming.take_ack()
            if ack:
                self._send("ACK", stream.number, body=struct.pack(">BxxxIQ", which, ack[1], ack[0]))

    def _on_ack(self, stream, _header, message):
        which, zeros, window, offset = struct.unpack(">B3sIQ", message.body)
        require(which <= 2 and zeros == bytes(3) and window <= WINDOW_MAX, "bad_body", "ACK")
        outgoing = stream.command.outgoing(which)
        require(outgoing, "bad_body", "ACK for the wrong direction")
        outgoing.acknowledge(offset, window)

    # --- sending

    def _event(self, kind, **fields):
        self._events.append(Event(kind, **fields))

    def _send(self, name, stream, header=None, body=b"", last=False):
        message = join_message(name, stream, header, body, last)
        if MESSAGE_BY_NAME[name].trailer:
            self.sequence += 1
            message = add_trailer(self.keys.request, message, self.sequence)
        self._output += self.sealer.seal(message)

    def _send_chunk(self, stream, which):
        chunk = stream.command.outgoing(which).take()
        if chunk is None:
            return False
        self._send(STREAM_NAMES[which], stream.number, body=struct.pack(">Q", chunk[0]) + chunk[1], last=chunk[2])
        return True

    def _send_some_data(self):
        """One message of the next stream in turn that has something."""
        for _ in range(len(self._turns)):
            number = self._turns[0]
            self._turns.rotate(-1)
            if self._send_from(self.streams[number]):
                return True
        return False

    def _open_stream(self, number, opened_by, state, command=None):
        stream = self.streams[number] = Stream(number, opened_by, state, command)
        self.highest = number
        self._turns.append(number)
        if command:
            command.session, command.stream = self, number
        return stream

    def _close_stream(self, stream):
        del self.streams[stream.number]
        self._turns.remove(stream.number)
        if stream.command and stream.command.session is self and stream.command.stream == stream.number:
            stream.command.session = None

    def _leave_commands(self):
        for stream in list(self.streams.values()):
            self._close_stream(stream)

    def _fail(self, error):
        """Fatal: say so if the other side can read it and it is its business, then nothing more."""
        silent = self.ROLE == "S" and error.name in ("bad_length", "bad_seal")
        if self.sealer and error.code < 64 and error.name not in ("closed_early", "counter_exhausted") and not silent:
            self._send("ERROR", 0, error_header(error.name, error.detail))
        self.state, self.error = FAILED, error.name
        self._event("failed", name=error.name, text=error.detail, remote=False)
        self._leave_commands()


def error_header(name, text=""):
    text = text.encode()[:512].decode("utf-8", "ignore")
    return {"code": ERROR_CODES[name], "name": name, "text": text or name}


# ------------------------------------------------------------------------------------------- the client

class ClientCommand:
    """A command as the client knows it. It outlives a connection: see resume()."""

    def __init__(self, command_id, header, body):
        self.id, self.header, self.body = command_id, header, body
        self.session, self.stream = None, 0
        self.stdin = Outgoing(FIRST_WINDOW[STDIN])
        self.stdout, self.stderr = Incoming(FIRST_WINDOW[STDOUT]), Incoming(FIRST_WINDOW[STDERR])
        self.answered = False           # STARTED or RESUMED came: resume() it, else exec_again()
        self.signals, self.next_signal = {}, 1          # those without an answer, by their n
        self.size = None                # the terminal's, as last sent
        self.exit = None                # the header of EXIT

    def incoming(self, which):
        return (None, self.stdout, self.stderr)[which]

    def outgoing(self, which):
        return (self.stdin, None, None)[which]


class ClientSession(Session):
    """Events: ready (M3 is out; requests may be sent), welcome, started, resumed, refused, done, listed, data,
    exit, pong, goaway, failed, lost, closed."""
    ROLE = "C"

    def __init__(self, psk, server_name, suites, random, version_min=1, version_max=1, records_per_key=RECORDS_PER_KEY):
        super().__init__(random, records_per_key)
        self.handshake = ClientHandshake(psk, server_name, suites, random, version_min, version_max)
        self._output += self.handshake.m1

    def _handshake_step(self):
        if len(self._input) < M2_SIZE:
            # What can be told from the first bytes is told at once: this may be quite another protocol.
            require(MAGIC.startswith(self._input[:4]), "not_rexec")
            return False
        m2 = bytes(self._input[:M2_SIZE])
        del self._input[:M2_SIZE]
        m3, self.keys = self.handshake.receive_m2(m2)
        self._output += m3
        self.sealer = RecordKeys(self.keys.suite, self.keys.c2s, self.records_per_key)
        self.opener = RecordKeys(self.keys.suite, self.keys.s2c, self.records_per_key)
        self.state = START
        self._event("ready", session_id=self.keys.session_id)
        return True

    # --- requests

    def _request(self, name, header, body=b"", state="asked", command=None):
        """A request that opens a stream."""
        require(self.state in (START, OPEN, GOING), "misuse", name)
        require(self.highest < 2**32 - 1, "streams_exhausted")
        number = self.highest + 1
        self._send(name, number, header, body)
        self._open_stream(number, name, state, command)
        return number

    def exec(self, words, **header):
        command_id = self.random(16).hex()
        command = ClientCommand(command_id, {"id": command_id, **header}, encode_words(words))
        command.size = header.get("pty")
        self._request("EXEC", command.header, command.body, command=command)
        return command

    def exec_again(self, command, age_ms):
        """The same EXEC on a new connection, if no answer to it ever came. For age_ms see section 11."""
        self._request("EXEC", {**command.header, "age_ms": age_ms}, command.body, command=command)
        self.streams[command.stream].opened_by = "EXEC again"

    def resume(self, command):
        """Go on with a command on this new connection."""
        for incoming in (command.stdout, command.stderr):
            incoming.resume_with(incoming.window)
        flags = 2 * command.stdout.last + 4 * command.stderr.last
        body = pack_offsets(command.stdin.base, command.stdout.expected, command.stderr.expected,
                            command.stdout.window, flags)
        self._request("RESUME", {"id": command.id}, body, command=command)

    def attach(self, command_id, steal=False):
        command = ClientCommand(command_id, {}, b"")
        self._request("ATTACH", {"id": command_id, **({"steal": True} if steal else {})}, command=command)
        return command

    def list(self, command_id=None):
        return self._request("LIST", {"id": command_id} if command_id else {}, state="asking")

    def forget(self, command_id):
        return self._request("FORGET", {"id": command_id}, state="asking")

    def signal_id(self, command_id, signal):
        """A signal to a command that is not on this connection."""
        return self._request("SIGNAL", {"signal": signal, "id": command_id}, state="asking")

    def signal(self, command, signal):
        number, command.next_signal = command.next_signal, command.next_signal + 1
        command.signals[number] = signal
        self._send_on(command, "SIGNAL", {"signal": signal, "n": number})
        return number

    def resize(self, command, rows, cols, width=0, height=0):
        command.size = {"rows": rows, "cols": cols, "width": width, "height": height}
        self._send_on(command, "RESIZE", command.size)

    def detach(self, command, linger_ms=None):
        self._send_on(command, "DETACH", None if linger_ms is None else {"linger_ms": linger_ms})

    def exit_ack(self, command):
        stream = self._send_on(command, "EXIT_ACK", states=("exited",))
        self._close_stream(stream)

    def close(self, reason=None):
        require(self.state in (OPEN, GOING), "misuse", "CLOSE")
        self._send("CLOSE", 0, {"reason": reason} if reason else None)
        self.state = CLOSING

    def _send_on(self, command, name, header=None, states=("asked", "running", "exited")):
        stream = self.streams.get(command.stream) if command.session is self else None
        require(stream and stream.state in states, "misuse", name)
        self._send(name, stream.number, header)
        if name in ("RESIZE", "DETACH"):
            stream.unanswered.append(name)
        return stream

    def _send_from(self, stream):
        """stdin. After a lost connection it waits until the server has said where it goes on."""
        if stream.state == "running" or (stream.state == "asked" and stream.opened_by == "EXEC"):
            return self._send_chunk(stream, STDIN)
        return False

    # --- what comes

    def _on_welcome(self, header, _message):
        require(self.state == START, "bad_state", "a second WELCOME")
        self.state = OPEN
        self._event("welcome", header=header)

    def _on_goaway(self, header, _message):
        self.state = GOING
        self._event("goaway", header=header)

    def _on_started(self, stream, header, message):
        require(stream.opened_by in ("EXEC", "EXEC again"), "bad_state", "STARTED without EXEC")
        stdin, stdout, stderr, window, flags = self._offsets(message)
        require(stdout == 0 and stderr == 0, "bad_offset", "output of a started command begins at 0")
        outgoing = stream.command.stdin
        if stream.opened_by == "EXEC again":
            self._go_on(outgoing, stdin, window, flags)
        else:
            require(not header.get("already"), "bad_state", "`already`, but the id is new")
            require(outgoing.base <= stdin <= outgoing.sent, "bad_offset", "stdin")
            require(stdin + window >= outgoing.limit, "bad_offset", "STARTED takes back window")
            require(not flags or (outgoing.last_sent and stdin == outgoing.end), "bad_offset", "LAST was not sent")
            outgoing.limit = stdin + window
        self._answered("started", stream, header)

    def _on_resumed(self, stream, header, message):
        require(stream.opened_by in ("RESUME", "ATTACH"), "bad_state", "RESUMED without RESUME")
        stdin, stdout, stderr, window, flags = self._offsets(message)
        command = stream.command
        if stream.opened_by == "ATTACH":                # this side knows nothing of the command yet
            command.stdin.base, command.stdin.highest = stdin, stdin
            command.stdin.ended = bool(flags)
            command.stdout.start_at(stdout, FIRST_WINDOW[STDOUT])
            command.stderr.start_at(stderr, FIRST_WINDOW[STDERR])
        require(stdout == command.stdout.expected and stderr == command.stderr.expected, "bad_offset", "RESUMED")
        self._go_on(command.stdin, stdin, window, flags)
        self._answered("resumed", stream, header)
        done = header.get("n", 0)
        command.next_signal = max(command.next_signal, done + 1)
        for number, signal in list(command.signals.items()):
            if number <= done:
                del command.signals[number]
                self._event("done", stream=stream.number, command=command, n=number)
            else:
                self._send_on(command, "SIGNAL", {"signal": signal, "n": number})
        if command.size and command.header.get("pty") is not None:
            sizes = {name: command.size[name] for name in _SIZES if name in command.size}
            self._send_on(command, "RESIZE", sizes)

    def _offsets(self, message):
        *values, window, flags = struct.unpack(">QQQII", message.body)
        require(window <= WINDOW_MAX and not flags & ~1, "bad_body", "offsets")
        return (*values, window, flags)

    def _go_on(self, outgoing, offset, window, flags):
        require(outgoing.base <= offset <= outgoing.highest, "bad_offset", "stdin")
        require(not flags or (outgoing.ended and offset == outgoing.end), "bad_offset", "LAST was not sent")
        outgoing.rewind(offset, window)
        outgoing.last_sent = bool(flags)

    def _answered(self, kind, stream, header):
        stream.state, stream.command.answered = "running", True
        self._event(kind, stream=stream.number, command=stream.command, header=header)
        for which in (STDOUT, STDERR):
            self.consumed(stream.command, which, 0)     # what an old connection had may be due

    def _on_refused(self, stream, header, message):
        require(message.last or stream.state in ("running", "exited"), "bad_message", "REFUSED without LAST")
        if not message.last:
            self._take_answer(stream, header)
        self._event("refused", stream=stream.number, command=stream.command, header=header, last=message.last,
                    name=ERRORS.get(header["code"], header["name"]))
        if message.last:
            self._close_stream(stream)

    def _on_done(self, stream, header, message):
        require(message.last == (stream.state == "asking"), "bad_message", "LAST of DONE")
        require(stream.opened_by != "LIST", "bad_state", "DONE to LIST")
        if not message.last:
            self._take_answer(stream, header)
        self._event("done", stream=stream.number, command=stream.command, n=header.get("n"))
        if message.last:
            self._close_stream(stream)

    def _take_answer(self, stream, header):
        """Each answer must belong to a request."""
        if "n" in header:
            require(stream.command.signals.pop(header["n"], None), "bad_state", "an answer to no SIGNAL")
        else:
            require(stream.unanswered, "bad_state", "an answer to no request")
            stream.unanswered.pop(0)

    def _on_listed(self, stream, header, message):
        require(stream.opened_by == "LIST", "bad_state", "LISTED without LIST")
        require(header or not message.body, "bad_body", "LISTED")
        self._event("listed", stream=stream.number, header=header, words=decode_words(message.body), last=message.last)
        if message.last:
            self._close_stream(stream)

    def _on_stdout(self, stream, _header, message):
        self._on_data(stream, message)

    def _on_stderr(self, stream, _header, message):
        self._on_data(stream, message)

    def _on_exit(self, stream, header, message):
        command = stream.command
        stdin, stdout, stderr = struct.unpack(">QQQ", message.body)
        require((stdout, stderr) == (command.stdout.expected, command.stderr.expected), "count_mismatch")
        require(stdin <= command.stdin.highest, "count_mismatch", "stdin")
        stream.state, command.exit = "exited", header
        self._event("exit", stream=stream.number, command=command, header=header, counts=(stdin, stdout, stderr))


# ------------------------------------------------------------------------------------------- the server

class ServerCommand:
    """A command as the server keeps it. The application writes to stdout and stderr, and says exit()."""

    def __init__(self, owner, header, body, words, start_ms):
        self.owner, self.id, self.header = owner, header["id"], header
        self.body, self.words, self.start_ms = body, words, start_ms
        self.session, self.stream = None, 0
        self.stdin = Incoming(FIRST_WINDOW[STDIN])
        self.stdout, self.stderr = Outgoing(FIRST_WINDOW[STDOUT]), Outgoing(FIRST_WINDOW[STDERR])
        self.about = None               # what STARTED and RESUMED say, once it is started
        self.signal_done = 0            # the highest n done
        self.detached = header.get("detach", False)
        self.exit_header = None

    def incoming(self, which):
        return (self.stdin, None, None)[which]

    def outgoing(self, which):
        return (None, self.stdout, self.stderr)[which]

    def exit(self, **header):
        """It has ended; the client hears of it behind the last byte of stdout and stderr."""
        self.exit_header = header

    @property
    def arguments(self):
        return [text for kind, text in self.words if kind == WORD]


class CommandTable:
    """All commands a server knows, of all connections. Times are milliseconds of the server's clock."""

    def __init__(self, start_ms=0):
        self.commands, self.horizon_ms = {}, start_ms

    def find(self, owner, command_id):
        command = self.commands.get(command_id)
        return command if command and command.owner == owner else None

    def drop(self, command):
        """Forget it, id and all: from now on nothing can be said of ids as old as this one."""
        del self.commands[command.id]
        self.horizon_ms = max(self.horizon_ms, command.start_ms)


class ServerSession(Session):
    """Events: proven (with the grant), exec (answer with started() or refuse()), moved (a command came over from
    another connection), data, signal (answer with done() or refuse()), resize, close (with the commands that have
    to end), pong, failed, lost. RESUME, ATTACH, DETACH, LIST and FORGET are answered in here."""
    ROLE = "S"

    def __init__(self, find_grant, decoy_secret, random, table, welcome, readable=False, version_min=1, version_max=1,
                 max_commands=65535, records_per_key=RECORDS_PER_KEY):
        super().__init__(random, records_per_key)
        self.handshake = ServerHandshake(find_grant, decoy_secret, random, readable, version_min, version_max)
        self.table, self.welcome, self.max_commands = table, welcome, max_commands
        self.m1_done, self.m2_ms = False, 0

    def _handshake_step(self):
        if len(self._input) < (M3_SIZE if self.m1_done else M1_SIZE):
            return False
        if not self.m1_done:
            m1 = bytes(self._input[:M1_SIZE])
            del self._input[:M1_SIZE]
            self._output += self.handshake.receive_m1(m1)
            self.m1_done, self.m2_ms = True, self.now_ms
            require(self.handshake.suite, self.handshake.failure)
            return True
        m3 = bytes(self._input[:M3_SIZE])
        del self._input[:M3_SIZE]
        self.keys = self.handshake.receive_m3(m3)
        self.grant = self.handshake.grant
        self.sealer = RecordKeys(self.keys.suite, self.keys.s2c, self.records_per_key)
        self.opener = RecordKeys(self.keys.suite, self.keys.c2s, self.records_per_key)
        self.max_commands = min(self.max_commands, self.grant.policy.get("max-commands", 65535))
        require(self.keys.suite != HMAC_SHA256 or self.grant.policy.get("readable", False), "suite_not_permitted")
        self._send("WELCOME", 0, self.welcome)
        self.state = OPEN
        self._event("proven", grant=self.grant, session_id=self.keys.session_id)
        return True

    # --- the application's answers

    def started(self, command, **about):
        command.about = about
        self._answer(self.streams[command.stream])

    def refuse(self, number, name, text="", n=None):
        """REFUSED to what opened the stream, or to a SIGNAL (with its n) on a command that goes on."""
        stream = self.streams.get(number)
        if stream is None:
            return                                      # closed meanwhile: no answer
        last = stream.state in ("asked", "asking")
        self._send("REFUSED", number, {**error_header(name, text), **({"n": n} if n else {})}, last=last)
        if last:
            if stream.command and stream.opened_by == "EXEC" and stream.command.about is None:
                self.table.commands.pop(stream.command.id, None)        # it never ran
            self._close_stream(stream)

    def done(self, number, n=None):
        stream = self.streams.get(number)
        if stream is None:
            return
        asking = stream.state == "asking"
        if n and stream.command:
            stream.command.signal_done = max(stream.command.signal_done, n)
        self._send("DONE", number, {"n": n} if n else None, last=asking)
        if asking:
            self._close_stream(stream)

    def goaway(self, name, text="", grace_ms=None):
        require(self.state in (OPEN, GOING), "misuse", "GOAWAY")
        self._send("GOAWAY", 0, {**error_header(name, text), **({} if grace_ms is None else {"grace_ms": grace_ms})})
        self.state = GOING

    def _answer(self, stream):
        """STARTED or RESUMED, by what opened the stream."""
        command, header = stream.command, dict(stream.command.about)
        stdin = command.stdin
        stdin.reopen()
        if stream.opened_by == "EXEC":
            name = "STARTED"
        elif stream.opened_by == "EXEC again":
            name, header["already"] = "STARTED", True
        else:
            name = "RESUMED"
            header.pop("user", None)
            header["n"] = command.signal_done
        self._send(name, stream.number, header, pack_offsets(stdin.expected, command.stdout.sent, command.stderr.sent,
                                                             stdin.limit - stdin.expected, int(stdin.last)))
        stream.state = "running"
        self.consumed(command, STDIN, 0)
        deferred, stream.deferred = stream.deferred, []
        for handler, request_header, message in deferred:
            handler(stream, request_header, message)

    def _send_from(self, stream):
        """stdout and stderr by turns; EXIT when both are through."""
        if stream.state != "running":
            return False
        for _ in range(2):
            stream.turn ^= 1
            if self._send_chunk(stream, STDERR if stream.turn == 0 else STDOUT):
                return True
        command = stream.command
        if command.exit_header is None or command.stdout.unsent or command.stderr.unsent:
            return False
        counts = struct.pack(">QQQ", command.stdin.consumed, command.stdout.end, command.stderr.end)
        self._send("EXIT", stream.number, command.exit_header, counts)
        stream.state = "exited"
        return True

    # --- requests that open a stream

    def _on_exec(self, _stream, header, message):
        words = decode_words(message.body)
        check_words(header.get("run", "shell"), words)
        stream = self._open_stream(message.stream, "EXEC", "asked")
        known, age = self.table.commands.get(header["id"]), header.get("age_ms")
        running = sum(other.command is not None for other in self.streams.values())
        if self.state == GOING:
            self.refuse(stream.number, "shutting_down")
        elif known and (age is None or known.owner != self.grant.kid):
            self.refuse(stream.number, "duplicate_id")
        elif known and (known.stdout.base or known.stderr.base):
            self.refuse(stream.number, "data_lost")
        elif known:
            stream.opened_by = "EXEC again"
            known.stdout.rewind(0, FIRST_WINDOW[STDOUT])
            known.stderr.rewind(0, FIRST_WINDOW[STDERR])
            self._move(known, stream)
        elif age is not None and self.m2_ms - age <= self.table.horizon_ms:
            self.refuse(stream.number, "fate_unknown")
        elif running >= self.max_commands:
            self.refuse(stream.number, "limit_reached")
        else:
            command = ServerCommand(self.grant.kid, header, message.body, words, self.now_ms)
            self.table.commands[command.id] = stream.command = command
            command.session, command.stream = self, stream.number
            self._event("exec", stream=stream.number, command=command, header=header, words=words)

    def _on_resume(self, _stream, header, message):
        stdin, stdout, stderr, window, flags = struct.unpack(">QQQII", message.body)
        require(window <= WINDOW_MAX and not flags & ~6, "bad_body", "offsets")
        stream = self._open_stream(message.stream, "RESUME", "asked")
        command = self._find(stream, header)
        if command is None:
            return
        ends = ((command.stdout, stdout, bool(flags & 2)), (command.stderr, stderr, bool(flags & 4)))
        if any(offset > outgoing.highest or (last and not (outgoing.ended and offset == outgoing.end))
               for outgoing, offset, last in ends):
            self.refuse(stream.number, "bad_request", "offsets that were never sent")
        elif stdin > command.stdin.expected or any(offset < outgoing.base for outgoing, offset, _ in ends):
            self.refuse(stream.number, "data_lost")
        else:
            for outgoing, offset, last in ends:
                outgoing.rewind(offset, window)
                outgoing.last_sent = last
            self._move(command, stream)

    def _on_attach(self, _stream, header, message):
        stream = self._open_stream(message.stream, "ATTACH", "asked")
        command = self._find(stream, header)
        if command is None:
            return
        if command.session and not header.get("steal", False):
            self.refuse(stream.number, "attached_elsewhere")
        else:
            command.stdout.rewind(command.stdout.base, FIRST_WINDOW[STDOUT])
            command.stderr.rewind(command.stderr.base, FIRST_WINDOW[STDERR])
            self._move(command, stream)

    def _find(self, stream, header):
        """The client's command of that id; if there is none, the refusal has been sent."""
        command = self.table.find(self.grant.kid, header["id"])
        if self.state == GOING and stream.opened_by in ("RESUME", "ATTACH"):
            self.refuse(stream.number, "shutting_down")
            return None
        if command is None:
            self.refuse(stream.number, "unknown_command")
        return command

    def _move(self, command, stream):
        """Take the command away from where it was, to this stream."""
        before = command.session
        if before and before.state in (OPEN, GOING):
            before._send("REFUSED", command.stream, error_header("taken_over"), last=True)
            before._close_stream(before.streams[command.stream])
        stream.command = command
        command.session, command.stream = self, stream.number
        self._event("moved", stream=stream.number, command=command)
        if command.about is not None:
            self._answer(stream)

    def _on_list(self, _stream, header, message):
        stream = self._open_stream(message.stream, "LIST", "asking")
        wanted = [command for command in self.table.commands.values() if command.owner == self.grant.kid
                  and command.about is not None and header.get("id", command.id) == command.id]
        for command in wanted:
            about = {"id": command.id, "state": "running" if command.exit_header is None else "exited",
                     "start_us": command.start_ms * 1000, "attached": command.session is not None,
                     **(command.exit_header or {})}
            if "label" in command.header:
                about["label"] = command.header["label"]
            self._send("LISTED", stream.number, about, command.body, last=command is wanted[-1])
        if not wanted:
            self._send("LISTED", stream.number, last=True)
        self._close_stream(stream)

    def _on_forget(self, _stream, header, message):
        stream = self._open_stream(message.stream, "FORGET", "asking")
        command = self._find(stream, header)
        if command is None:
            return
        if command.exit_header is None:
            self.refuse(stream.number, "still_running")
        else:
            if command.session:
                command.session._close_stream(command.session.streams[command.stream])
            self.table.drop(command)
            self.done(stream.number)

    # --- requests, and more, on a stream that is there

    def _on_signal(self, stream, header, message):
        if stream is None:                              # an idle one: a command elsewhere
            require("id" in header and "n" not in header, "bad_header", "SIGNAL by id")
            stream = self._open_stream(message.stream, "SIGNAL", "asking")
            command, number = self._find(stream, header), None
            if command is None:
                return
        else:
            require("n" in header and "id" not in header, "bad_header", "SIGNAL")
            if stream.state == "asked":                 # the answer must not come before STARTED
                stream.deferred.append((self._on_signal, header, message))
                return
            command, number = stream.command, header["n"]
            if number <= command.signal_done:
                self.done(stream.number, number)
                return
        if command.exit_header is not None:
            self.refuse(stream.number, "already_ended", n=number)
        else:
            self._event("signal", stream=stream.number, command=command, signal=header["signal"], n=number)

    def _on_resize(self, stream, header, message):
        if stream.state == "asked":
            stream.deferred.append((self._on_resize, header, message))
        elif "pty" not in stream.command.header:
            self.refuse(stream.number, "no_terminal")
        else:
            self._event("resize", stream=stream.number, command=stream.command, header=header)
            self.done(stream.number)

    def _on_detach(self, stream, header, message):
        if stream.state == "asked":
            stream.deferred.append((self._on_detach, header, message))
        else:
            stream.command.detached = True
            self.done(stream.number)

    def _on_stdin(self, stream, _header, message):
        # Until the answer has said where stdin goes on, only a command that is new takes any.
        require(stream.state != "asked" or (stream.opened_by == "EXEC" and "age_ms" not in stream.command.header),
                "bad_state", "STDIN before the answer")
        self._on_data(stream, message)

    def _on_exit_ack(self, stream, _header, _message):
        for outgoing in (stream.command.stdout, stream.command.stderr):
            outgoing.base = outgoing.end                # the client has it all
            outgoing.kept.clear()
        self._close_stream(stream)

    def _on_close(self, header, _message):
        """The client wants nothing more: what is not detached has to end, and is forgotten."""
        ending = [stream.command for stream in self.streams.values() if stream.command and not stream.command.detached]
        self._leave_commands()
        for command in ending:
            self.table.drop(command)
        self.state = CLOSED
        self._event("close", reason=header.get("reason"), commands=ending)
