"""A TCP proxy that passes every byte on and keeps no boundaries: pieces of 1 to a few bytes first, so that each
length, header and tag of the handshake and the first records arrives torn, then pieces of any size up to 4 KiB.

    with Chopper(port) as chopper:
        socket.create_connection(("127.0.0.1", chopper.port))

By hand: chop.py PORT prints the port to connect to, and runs until it is interrupted.
"""

import contextlib
import random
import signal
import socket
import sys
import threading

TORN = 6000         # bytes of each direction that go in tiny pieces
TINY, SMALL = 24, 4096


class Chopper:
    def __init__(self, port, host="127.0.0.1", seed=7):
        self.target, self.seed = (host, port), seed
        self.pieces = self.connections = 0

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self.target, timeout=60)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            self.connections += 1
            pair = Pair(client, server)
            for number, (source, sink) in enumerate(((client, server), (server, client))):
                sink.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                dice = random.Random(f"{self.seed} {self.connections} {number}")
                threading.Thread(target=self._pass_on, args=(pair, source, sink, dice), daemon=True).start()

    def _pass_on(self, pair, source, sink, dice):
        passed = 0
        try:
            while data := source.recv(65536):
                view = memoryview(data)
                while view:
                    piece = dice.randint(1, TINY if passed < TORN else SMALL)
                    sink.sendall(view[:piece])
                    passed += len(view[:piece])
                    self.pieces += 1
                    view = view[piece:]
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pair.reset()
        pair.done()


class Pair:
    """Both ends of one connection, closed once both directions are over."""

    def __init__(self, *ends):
        self.ends, self.left, self.lock = ends, 2, threading.Lock()

    def reset(self):
        """One end broke: so must the other."""
        for end in self.ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def done(self):
        with self.lock:
            self.left -= 1
            if self.left == 0:
                for end in self.ends:
                    end.close()


if __name__ == "__main__":
    with Chopper(int(sys.argv[1])) as made:
        print(made.port, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
