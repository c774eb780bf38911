#!/usr/bin/python3
"""A toy rexec server and client over a connected socket, for interoperability tests.

    toy.py server FD GRANTFILE [--readable] [--version-min N] [--version-max N]
    toy.py client FD KEYFILE SERVERNAME SUITE     (aes256gcm, chacha20poly1305, hmac-sha256, any)

The server runs no processes; its commands (run=exec, named by the first word) are in the class Toy below. The
client runs a fixed scenario with them, checks everything, and prints one line of JSON.
"""
import argparse
import json
import os
import re
import select
import socket
import struct
import sys
import time

import rexec_protocol as rexec

DEADLINE = 25                           # seconds for everything
PATTERN = bytes((i * 31 + 7) & 255 for i in range(256))


def pattern(offset, count):
    """`count` bytes of what `big` writes, from `offset` on; it repeats every 256 bytes."""
    start = offset % 256
    return (PATTERN * ((start + count) // 256 + 1))[start:start + count]


class Connection:
    """A session on a socket: moves bytes until there is nothing to move."""

    def __init__(self, fd, session):
        self.socket = socket.socket(fileno=fd)
        self.socket.setblocking(False)
        self.session, self.output = session, b""
        self.ended = self.deaf = False  # the other side has closed; it no longer reads
        self.deadline = time.monotonic() + DEADLINE

    def move(self):
        """Send what there is, or wait for something to come and hand it to the session."""
        self.output = b"" if self.deaf else self.output or self.session.data_to_send()
        timeout = max(0, self.deadline - time.monotonic())
        readable, writable, _ = select.select([self.socket], [self.socket] if self.output else [], [], timeout)
        if not readable and not writable:
            raise TimeoutError("nothing more came")
        if writable:
            try:
                self.output = self.output[self.socket.send(self.output):]
            except (BrokenPipeError, ConnectionResetError):
                self.deaf = True        # but what it sent before that still counts
        if readable:
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                data = b""
            if data:
                self.session.receive(data, int(time.monotonic() * 1000))
            else:
                self.ended = True
                self.session.receive_eof()

    def finish(self):
        """Send what is left, then close."""
        try:
            while not self.ended and not self.deaf:
                self.output = self.output or self.session.data_to_send()
                if not self.output:
                    break
                self.move()
        except TimeoutError:
            pass
        self.socket.close()


# ------------------------------------------------------------------------------------------------ the server

class Toy:
    """One command. It makes output little by little, so that all get their turn and nothing piles up."""
    AHEAD = 131072                      # make no more while that much waits to be sent

    def __init__(self, session, command):
        self.session, self.command = session, command
        self.name, *self.arguments = command.arguments or [b""]
        self.input, self.input_ended, self.made = b"", False, 0

    def start(self):
        """False if there is no such command."""
        ready = {b"echo": True, b"cat": True, b"both": True, b"wait": True, b"words": True,
                 b"big": len(self.arguments) == 1 and re.fullmatch(rb"[0-9]{1,15}", self.arguments[0])}
        if self.command.header.get("run", "shell") != "exec" or not ready.get(self.name):
            return False
        self.session.started(self.command, start_us=int(time.time() * 1e6), user="toy")
        stdout = self.command.stdout
        if self.name == b"echo":
            stdout.write(b" ".join(self.arguments) + b"\n")
            self.exit(code=0)
        elif self.name == b"both":
            stdout.write(b"out\n")
            self.command.stderr.write(b"err\n")
            self.exit(code=3)
        elif self.name == b"words":
            stdout.write(rexec.encode_words(self.command.words))
            self.exit(code=0)
        self.step()
        return True

    def exit(self, by="self", **how):
        now = int(time.time() * 1e6)
        self.command.exit(by=by, start_us=now, end_us=now, **how)

    def step(self):
        """Make some more output, if there is room."""
        stdout = self.command.stdout
        if self.command.exit_header is not None:
            return
        if self.name == b"big":
            total = int(self.arguments[0])
            count = min(self.AHEAD - stdout.unsent, total - self.made)
            if count > 0:
                stdout.write(pattern(self.made, count))
                self.made += count
            if self.made == total:
                self.exit(code=0)
        elif self.name == b"cat":
            room = self.AHEAD - stdout.unsent
            if room > 0 and self.input:
                data, self.input = self.input[:room], self.input[room:]
                stdout.write(data)
                self.session.consumed(self.command, rexec.STDIN, len(data))
            if self.input_ended and not self.input:
                self.exit(code=0)

    def data(self, data, last):
        if self.name == b"cat":
            self.input += data
            self.input_ended = self.input_ended or last
        else:                           # nobody reads it
            self.session.consumed(self.command, rexec.STDIN, len(data))

    def signal(self, signal, number):
        if self.command.exit_header is not None:
            self.session.refuse(self.command.stream, "already_ended", n=number)
            return
        if signal not in ("HUP", "INT", "QUIT", "KILL", "TERM", "USR1", "USR2"):
            self.session.refuse(self.command.stream, "unknown_signal", n=number)
            return
        self.session.done(self.command.stream, number)
        self.exit(by="client", signal=signal)


class ToyServer:
    """A session, and the commands of all sessions: `toys` and `table` may be shared, so that they outlive one."""

    def __init__(self, session, toys):
        self.session, self.toys, self.closed = session, toys, False

    def handle_events(self):
        for event in self.session.events():
            if event.kind == "exec":
                toy = Toy(self.session, event.command)
                if toy.start():
                    self.toys[event.command] = toy
                else:
                    self.session.refuse(event.stream, "command_not_found")
            elif event.kind == "moved":
                self.toys[event.command].session = self.session
            elif event.kind == "data" and event.command in self.toys:
                self.toys[event.command].data(event.data, event.last)
            elif event.kind == "signal" and event.n is None:
                self.session.refuse(event.stream, "not_supported")
            elif event.kind == "signal":
                self.toys[event.command].signal(event.signal, event.n)
            elif event.kind == "close":
                self.closed = True
        for toy in self.toys.values():
            toy.step()


def run_server(arguments):
    with open(arguments.grantfile, "rb") as file:
        grant = rexec.parse_grant_file(file.read())

    def find_grant(kid):
        return grant if kid == grant.kid and grant.usable(time.time(), "unix") else None

    table = rexec.CommandTable(int(time.monotonic() * 1000) - 1)
    welcome = {"server": grant.server, "version": "toy.py", "time_us": int(time.time() * 1e6), "commands": 64}
    session = rexec.ServerSession(find_grant, os.urandom(32), os.urandom, table, welcome, arguments.readable,
                                  arguments.version_min, arguments.version_max, max_commands=64)
    connection, server = Connection(arguments.fd, session), ToyServer(session, {})
    while not session.finished:
        connection.move()
        server.handle_events()
    connection.finish()
    if not server.closed:
        print(f"toy.py server: {session.error or 'the client was lost'}", file=sys.stderr)
    return 0 if server.closed else 1


# ------------------------------------------------------------------------------------------------ the client

class Wrong(Exception):
    """Something did not come as it has to."""


def check(condition, what):
    if not condition:
        raise Wrong(what)


class Client:
    """Runs commands, and collects what comes of them."""

    def __init__(self, connection, session):
        self.connection, self.session = connection, session
        self.output = {}                # (command, which) -> bytearray
        self.ended = {}                 # command or stream -> its exit or refused event
        self.welcome = None
        self.pongs, self.listed, self.done = [], [], set()

    def until(self, condition):
        while not condition():
            self.connection.move()
            for event in self.session.events():
                self.handle(event)

    def handle(self, event):
        if event.kind == "welcome":
            self.welcome = event.header
        elif event.kind == "data":
            self.output.setdefault((event.command, event.which), bytearray()).extend(event.data)
            self.session.consumed(event.command, event.which, len(event.data))
        elif event.kind == "exit":
            self.ended[event.command] = event
        elif event.kind == "refused" and event.last:
            self.ended[event.command or event.stream] = event
        elif event.kind == "refused":
            raise Wrong(f"refused: {event.name}")
        elif event.kind == "pong":
            self.pongs.append(event.payload)
        elif event.kind == "listed":
            self.listed.append(event)
        elif event.kind == "done":
            self.done.add((event.command, event.n))
        elif event.kind in ("failed", "lost"):
            raise Wrong(f"the session is over: {getattr(event, 'name', 'lost')} {getattr(event, 'text', '')}")

    def start(self, *words, **header):
        return self.session.exec([(rexec.WORD, word) for word in words], run="exec", **header)

    def result(self, command, **expected):
        """Wait for the end of a command; check the names of EXIT given, return (stdout, stderr)."""
        self.until(lambda: command in self.ended)
        event = self.ended[command]
        check(event.kind == "exit", f"refused: {event}")
        for name, value in expected.items():
            check(event.header.get(name) == value, f"EXIT: {name} is {event.header.get(name)}, not {value}")
        self.session.exit_ack(command)
        return tuple(bytes(self.output.pop((command, which), b"")) for which in (rexec.STDOUT, rexec.STDERR))


def scenario(client):
    session = client.session
    client.until(lambda: session.state in (rexec.START, rexec.OPEN))

    # The first request goes out with M3, before WELCOME.
    echo = client.start(b"echo", b"hello", b"", b"world")
    echo.stdin.finish()
    check(client.result(echo, code=0) == (b"hello  world\n", b""), "echo")
    check(client.welcome is not None, "no WELCOME")

    check(client.result(client.start(b"both"), code=3) == (b"out\n", b"err\n"), "both")

    big = client.start(b"big", b"1000000")
    check(client.result(big, code=0) == (pattern(0, 1000000), b""), "big")

    # Two at once: cat gives back what it gets while big writes on another stream.
    text = bytes((i * i) >> 3 & 255 for i in range(300000))
    cat, big = client.start(b"cat"), client.start(b"big", b"500000")
    cat.stdin.write(text)
    cat.stdin.finish()
    check(client.result(cat, code=0) == (text, b""), "cat")
    check(client.ended[cat].counts[0] == len(text), "cat: bytes of stdin taken")
    check(client.result(big, code=0) == (pattern(0, 500000), b""), "big beside cat")

    wait = client.start(b"wait")
    number = session.signal(wait, "TERM")
    client.until(lambda: (wait, number) in client.done)     # before EXIT, or behind it
    check(client.result(wait, signal="TERM", by="client") == (b"", b""), "wait")

    words = [(rexec.WORD, b"words"), (rexec.WORD, bytes(range(1, 256))), (rexec.WORD, b""),
             (rexec.ENVIRONMENT, b"NAME=value=\xff"), (rexec.DIRECTORY, b"/tmp/\xc3\x28")]
    stdout, stderr = client.result(session.exec(words, run="exec"), code=0)
    expected = b"".join(struct.pack(">BI", kind, len(word)) + word for kind, word in words)
    check((stdout, stderr) == (expected, b""), "words")

    unknown = client.start(b"no-such-command", b"at all")
    client.until(lambda: unknown in client.ended)
    event = client.ended[unknown]
    check(event.kind == "refused" and event.name == "command_not_found", f"unknown command: {event}")

    for payload in (b"12345678", bytes(8), b"\xff" * 8):
        session.ping(payload)
    client.until(lambda: len(client.pongs) == 3)

    number = session.list()
    client.until(lambda: number in client.ended or (client.listed and client.listed[-1].last))
    if number in client.ended:
        check(client.ended[number].name == "not_supported", f"LIST: {client.ended[number]}")

    session.close("done")
    client.until(lambda: client.connection.ended)


def run_client(arguments):
    with open(arguments.keyfile, "rb") as file:
        psk = rexec.parse_key_file(file.read())["psk"]
    suites = rexec.AEAD_SUITES if arguments.suite == "any" else rexec.SUITES[arguments.suite]
    session = rexec.ClientSession(psk, arguments.servername, suites, os.urandom)
    client = Client(Connection(arguments.fd, session), session)
    try:
        scenario(client)
    except (Wrong, TimeoutError) as error:
        print(json.dumps({"ok": False, "error": str(error)}))
        return 1
    finally:
        client.connection.finish()
    suite = {bit: name for name, bit in rexec.SUITES.items()}[session.keys.suite]
    print(json.dumps({"ok": True, "suite": suite, "server": client.welcome["server"]}))
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    roles = parser.add_subparsers(dest="role", required=True)
    server = roles.add_parser("server")
    server.add_argument("fd", type=int)
    server.add_argument("grantfile")
    server.add_argument("--readable", action="store_true")
    server.add_argument("--version-min", type=int, default=1)
    server.add_argument("--version-max", type=int, default=1)
    client = roles.add_parser("client")
    client.add_argument("fd", type=int)
    client.add_argument("keyfile")
    client.add_argument("servername")
    client.add_argument("suite", choices=[*rexec.SUITES, "any"])
    arguments = parser.parse_args()
    return run_server(arguments) if arguments.role == "server" else run_client(arguments)


if __name__ == "__main__":
    sys.exit(main())
