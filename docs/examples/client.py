#!/usr/bin/env python3
"""Runs one command on a rexecd, with nothing but Python's standard library.

    client.py KEY SERVER-NAME HOST PORT COMMAND

It speaks the readable suite (hmac-sha256): every record is authenticated, none is encrypted, so that all of
it can be watched in Wireshark. rexecd must be started with --readable yes, and the grant made with --readable.
The numbers of sections are those of docs/PROTOCOL.md.
"""
import hashlib
import hmac
import json
import os
import socket
import struct
import sys

EXEC, WELCOME, STARTED, REFUSED, EXIT = 16, 1, 32, 34, 37
PING, PONG, CLOSE, ERROR, STDOUT, STDERR, ACK = 2, 3, 4, 6, 49, 50, 51
READABLE = 4                                         # the suite's bit
WINDOW = 262144


def mac(key, *parts):
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


def expand(key, info):                               # HKDF-Expand (RFC 5869) of one block, which is all we need
    return mac(key, info, b"\x01")


def check(good, error):
    if not good:
        sys.exit("client: " + error)


# ---- TCP gives us bytes, not messages: however they were sent, we read on until we have all that we want.

def receive(sock, n):
    data = b""
    while len(data) < n:
        piece = sock.recv(n - len(data))
        check(piece, "closed: the server ended the connection")
        data += piece
    return data


# ---- Section 5. A record is its length, its payload, and a MAC over both and over its number: nothing can be
#      changed, dropped, repeated or put in another order on the way.

class Sender:
    def __init__(self, sock, secret):
        self.sock, self.key, self.count = sock, expand(secret, b"key"), 0

    def send(self, payload):
        length = struct.pack(">I", len(payload) + 32)
        tag = mac(self.key, struct.pack(">Q", self.count), length, payload)
        self.count += 1
        self.sock.sendall(length + payload + tag)


class Receiver:
    def __init__(self, sock, secret):
        self.sock, self.key, self.count = sock, expand(secret, b"key"), 0

    def receive(self):
        length = receive(self.sock, 4)
        n = int.from_bytes(length, "big")
        check(8 + 32 <= n <= 262144, "bad_length")   # before we wait for that many bytes
        record = receive(self.sock, n)
        payload, tag = record[:-32], record[-32:]
        right = mac(self.key, struct.pack(">Q", self.count), length, payload)
        check(hmac.compare_digest(tag, right), "bad_seal: a record was altered, or is not the next one")
        self.count += 1
        return payload


# ---- Sections 2 to 4. Who is there? Both sides prove it, each over every byte that went before.

def handshake(sock, psk, name):
    k_srv = mac(psk, b"rexec/1 srv", name)           # good for this server's name and no other
    kid = mac(psk, b"rexec/1 kid", name)[:16]
    prk = mac(b"rexec/1", k_srv)                     # HKDF-Extract
    k_c, k_s, k_m = expand(prk, b"c auth"), expand(prk, b"s auth"), expand(prk, b"mix")

    nonce = os.urandom(32)
    m1 = b"rexc" + bytes([1, 1, 1, READABLE]) + kid + nonce + bytes(32)
    sock.sendall(m1)
    m2 = receive(sock, 104)
    proof = mac(k_s, nonce, hashlib.sha256(m1 + m2[:72]).digest())
    check(m2[:5] == b"rexc\x02", "not_rexec")
    check(hmac.compare_digest(m2[72:], proof), "proof_wrong: this server does not know our key by this name")
    check(m2[5:8] == bytes([1, READABLE, 0]), "no_common_suite: is rexecd --readable yes?")
    challenge = m2[8:40]
    m3 = b"rexc" + bytes([3, 1, READABLE, 0])
    m3 += mac(k_c, challenge, hashlib.sha256(m1 + m2 + m3).digest())
    sock.sendall(m3)

    prk = mac(k_m, b"")                              # nothing of X25519 in this suite
    th = hashlib.sha256(m1 + m2 + m3).digest()
    return (Sender(sock, expand(prk, b"rexec/1 c2s" + th)), Receiver(sock, expand(prk, b"rexec/1 s2c" + th)),
            expand(prk, b"rexec/1 request" + th))


# ---- Section 6. A message: type, flags, length of the JSON header, stream; header; raw bytes.

def message(kind, stream, header=None, body=b""):
    text = json.dumps(header, separators=(",", ":")).encode() if header else b""
    return struct.pack(">BBHI", kind, 0, len(text), stream) + text + body


def run(out, into, request_key, command):
    word = struct.pack(">BI", 1, len(command)) + command
    text = message(EXEC, 1, {"id": os.urandom(16).hex(), "stdin": "none"}, word)
    text += struct.pack(">Q", 1)                     # section 10: each request is counted and proven by itself
    out.send(text + mac(request_key, text))
    got = {STDOUT: 0, STDERR: 0}
    while True:
        payload = into.receive()
        kind, _, n, stream = struct.unpack(">BBHI", payload[:8])
        header, body = json.loads(payload[8:8 + n] or b"{}"), payload[8 + n:]
        if kind in (STDOUT, STDERR):
            (sys.stdout if kind == STDOUT else sys.stderr).buffer.write(body[8:])
            got[kind] += len(body) - 8               # its first 8 bytes are the offset
            # Section 9: "I have all up to here, send as much again." A reader that says nothing stops the command.
            out.send(message(ACK, 1, None, struct.pack(">BxxxIQ", 1 if kind == STDOUT else 2, WINDOW, got[kind])))
        elif kind == PING:
            out.send(message(PONG, 0, None, body + bytes(8)))
        elif kind in (REFUSED, ERROR):
            check(False, header["name"] + ": " + header["text"])
        elif kind == EXIT:                           # and not one byte may be missing
            check(stream == 1, "bad_stream: that command is not ours")
            check(struct.unpack(">QQ", body[8:24]) == (got[STDOUT], got[STDERR]), "count_mismatch")
            out.send(message(CLOSE, 0))
            return header["code"] if "code" in header else 128
        else:
            check(kind in (WELCOME, STARTED), "bad_message")


def main():
    key, name, host, port, command = sys.argv[1:]
    with open(key, encoding="utf-8") as file:
        psk = next(line.split("=")[1] for line in file if line.startswith("psk"))
    with socket.create_connection((host, int(port))) as sock:
        return run(*handshake(sock, bytes.fromhex(psk.strip()), name.lower().encode()), command.encode())


if __name__ == "__main__":
    try:
        sys.exit(main())
    except OSError as error:                         # nobody listens, or the connection was reset
        sys.exit(f"client: {error}")
