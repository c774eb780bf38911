"""A client that loses its connections: the independent implementation of tests/python over real sockets that are cut.

    wire = Wire(lab, psk)                       # a proven session
    command = Story(wire, "cat", data)    # EXEC; what comes is kept in command.out and command.err
    wire.run(lambda: command.started)
    wire.cut("reset")
    command.again(Wire(lab, psk))               # RESUME, or the same EXEC if there was no answer
    command.finish()
"""

import os
import select
import socket
import time

from attack_tools import reset
from lab import until

import rexec_protocol as rp

HANG = 60           # seconds after which something hangs; never how long it should take
HOWS = ("reset", "fin", "silence")


def now_ms():
    return int(time.monotonic() * 1000)


class Wire:
    """One connection of a client, and the session on it."""

    silent = []         # sockets of those that were cut in silence: the server believes in them

    def __init__(self, lab, psk, port=None):
        self.lab = lab
        self.sock = socket.create_connection(("127.0.0.1", port or lab.port), timeout=HANG)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.session = rp.ClientSession(psk, lab.server_name, rp.AEAD_SUITES, os.urandom)
        self.events, self.ended = [], False
        self.m2_ms = 0                  # when M2 came: what age_ms counts to
        self.budget = None              # bytes that may still be sent, of which the rest is lost
        self.run(lambda: self.session.state == rp.OPEN)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def turn(self, wait=0.05, read=None):
        """Sends what there is, takes what comes (at most `read` bytes), and hands it on."""
        data = self.session.data_to_send()
        if self.budget is not None:
            data, self.budget = data[:self.budget], max(0, self.budget - len(data))
        try:
            while data:
                readable, writable, _ = select.select([self.sock], [self.sock], [], HANG)
                if not readable and not writable:
                    raise AssertionError("the server does not read")
                if writable:
                    data = data[self.sock.send(data[:65536], socket.MSG_DONTWAIT):]
                elif readable:
                    self.take(read)
            if select.select([self.sock], [], [], wait)[0]:
                self.take(read)
        except BlockingIOError:
            pass
        except (ConnectionResetError, BrokenPipeError):
            self.over()
        self.hand_on()

    def take(self, read=None):
        data = self.sock.recv(read or 65536)
        if not data:
            self.over()
            return
        before = self.session.keys
        self.session.receive(data, now_ms())
        if before is None and self.session.keys is not None:
            self.m2_ms = now_ms()

    def over(self):
        self.ended = True
        self.session.receive_eof()

    def hand_on(self):
        for event in self.session.events():
            self.events.append(event)
            story = getattr(getattr(event, "command", None), "story", None)
            if story:
                story.event(event)

    def run(self, condition, read=None):
        """Until that is so; that it never is, or that the session has failed, is an error."""
        end = time.monotonic() + HANG
        while not condition():
            if self.session.state == rp.FAILED or (self.ended and not condition()):
                raise AssertionError(f"the session is over: {self.session.error}: {self.events[-3:]}")
            if time.monotonic() > end:
                raise AssertionError(f"nothing more comes: {self.events[-3:]}")
            self.turn(read=read)
        return self

    def cut(self, how):
        """The connection is lost: by RST, by FIN, or in silence; `self` is not to be used any more."""
        self.session.receive_eof()
        self.hand_on()
        if how == "reset":
            reset(self.sock)
        elif how == "fin":
            # Closed with unread bytes it would be a reset.
            try:
                self.sock.shutdown(socket.SHUT_WR)
                while self.sock.recv(65536):
                    pass
            except OSError:
                pass
            self.sock.close()
        else:
            self.silent.append(self.sock)

    def names(self, kind="refused"):
        return [event.name for event in self.events if event.kind == kind]


class Story:
    """A command, over as many connections as it takes."""

    def __init__(self, wire, line, data=b"", end=True, words=None, command=None, **header):
        self.wire, self.out, self.err = wire, bytearray(), bytearray()
        self.exit, self.refused, self.done = None, [], []
        self.started = False            # on the connection of now
        self.first_ms = now_ms()
        self.hold = set()               # of which stream nothing is acknowledged
        self.command = command or wire.session.exec(words or [(rp.WORD, line.encode())], **header)
        self.command.story = self
        self.command.stdin.write(data)
        if end:
            self.command.stdin.finish()

    @classmethod
    def taken(cls, wire, command_id, stdin=0, stdout=0):
        """One that another process of this client has started: RESUME with these offsets."""
        command = stranger(command_id)
        command.stdin.base = command.stdin.sent = command.stdin.highest = stdin
        command.stdout.start_at(stdout, rp.FIRST_WINDOW[rp.STDOUT])
        wire.session.resume(command)
        return cls(wire, "", end=False, command=command)

    @property
    def id(self):
        return self.command.id

    def event(self, event):
        if event.kind == "data":
            (self.out if event.which == rp.STDOUT else self.err).extend(event.data)
            if event.which not in self.hold:
                self.wire.session.consumed(self.command, event.which, len(event.data))
        elif event.kind in ("started", "resumed"):
            self.started, self.answer = True, event
        elif event.kind == "exit":
            self.exit = event.header
        elif event.kind == "refused":
            self.refused.append(event.name)
        elif event.kind == "done":
            self.done.append(event.n)

    def again(self, wire):
        """On another connection: RESUME, or EXEC with its age if it was never answered."""
        self.wire, self.started, self.exit = wire, False, None
        for which in (rp.STDOUT, rp.STDERR):        # what was handed out was taken
            incoming = self.command.incoming(which)
            if which not in self.hold:
                incoming.consumed = incoming.expected
        if self.command.answered:
            wire.session.resume(self.command)
        else:
            wire.session.exec_again(self.command, wire.m2_ms - self.first_ms + 1)
        return self

    def until(self, condition, read=None):
        self.wire.run(condition, read)
        return self

    def finish(self, acknowledge=True):
        """To its end: EXIT's header."""
        self.until(lambda: self.exit or self.refused)
        if self.refused:
            raise AssertionError(f"refused: {self.refused}")
        if acknowledge:
            self.wire.session.exit_ack(self.command)
            self.wire.turn(0)
        return self.exit


def stranger(command_id):
    """What somebody knows of a command who knows its id alone: it can be resumed from the beginning."""
    command = rp.ClientCommand(command_id, {}, b"")
    command.answered = True
    return command


def settled(read, rounds=10):
    """Waits until what read() gives has not changed for a while, and gives it."""
    last = [read()]

    def same():
        value = read()
        last.append(value)
        return len(last) > rounds and len(set(last[-rounds:])) == 1
    if not until(same, HANG, 0.05):
        raise AssertionError(f"it goes on: {last[-3:]}")
    return last[-1]
