#!/usr/bin/env python3
"""A proxy that treats connections badly, and the same way again for the same seed.

    with Chaos(("127.0.0.1", port), seed=7, faults=5) as proxy:
        ...connect to 127.0.0.1, proxy.port...
    proxy.history                       # what was done to whom

    chaos.py --target 127.0.0.1:2222 --listen 127.0.0.1:2223 --seed 7
    chaos.py --self-test

Each connection has a plan, drawn from the seed and the connection's number: how it is carried (delay, bandwidth, in
pieces of one byte), and what befalls it at which byte of which direction (a reset, FIN to one side or to both, a
stall, a black hole that heals or does not). Of those behind the first `faults` connections nothing befalls any: what
a client begins comes to its end.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import hashlib
import random
import socket
import struct
import sys
import threading
import time

UP, DOWN = "up", "down"                 # to the server, to the client
# What befalls a connection. `fin_client`: the client sees the end, the server does not, and so on. `hole`: nothing
# passes any more, for `seconds`, then it is reset; `heal`: then it goes on. `flip`: a bit of that byte is another.
FAULTS = ("none", "refuse", "reset", "reset_client", "reset_server", "fin_client", "fin_server", "fin_both", "stall",
          "hole", "heal", "flip")
CHUNK = 65536
HANDSHAKE = 300                         # about so many bytes each way come before the first command


@dataclasses.dataclass
class Plan:
    """What is done to one connection."""

    fault: str = "none"
    way: str = UP                       # of the bytes that are counted
    at: int = 0                         # the fault comes behind so many of them, to the byte
    seconds: float = 0.0                # how long a stall or a hole lasts
    delay: float = 0.0                  # of each piece
    bandwidth: int = 0                  # bytes in a second, each way; 0: as fast as it goes
    trickle: int = 0                    # so many of the first bytes, each way, come one at a time

    @classmethod
    def draw(cls, dice, patience=1.0, size=1_000_000):
        """At random; holes and stalls last about `patience` seconds, and `size` is what a connection may carry."""
        plan = cls(fault=dice.choice(FAULTS), way=dice.choice((UP, DOWN)))
        # In the handshake and the first request, near the beginning of what follows, and anywhere.
        plan.at = dice.choice((dice.randrange(2 * HANDSHAKE), int(size ** dice.random()), dice.randrange(size),
                               dice.randrange(size)))
        if plan.fault in ("stall", "hole", "heal"):
            plan.seconds = patience * dice.uniform(0.1, 1.0)
        carried = dice.random()
        if carried < 0.15:
            plan.delay = dice.uniform(0.001, 0.02)
        elif carried < 0.3:
            plan.bandwidth = dice.choice((200_000, 1_000_000, 10_000_000))
        elif carried < 0.45:
            plan.trickle = dice.randrange(1, 2 * HANDSHAKE)
        return plan


class Connection:
    """One client's connection and the one to the server that belongs to it."""

    def __init__(self, proxy, number, plan, client):
        self.proxy, self.number, self.plan = proxy, number, plan
        self.client, self.server = client, None         # (reader, writer)
        self.counts, self.struck = {UP: 0, DOWN: 0}, False
        self.open = asyncio.Event()                     # not set: nothing passes
        self.open.set()
        self.over = asyncio.Event()
        self.swallow = set()                            # ways whose bytes are thrown away

    async def run(self):
        try:
            if self.plan.fault == "refuse":
                self.break_off(self.client)
                return
            self.server = await asyncio.open_connection(*self.proxy.target, limit=CHUNK)
            for _, writer in (self.client, self.server):
                writer.transport.set_write_buffer_limits(high=0)
                writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            ways = [asyncio.ensure_future(self.carry(UP, self.client[0], self.server[1])),
                    asyncio.ensure_future(self.carry(DOWN, self.server[0], self.client[1]))]
            over = asyncio.ensure_future(self.over.wait())
            both = asyncio.gather(*ways, return_exceptions=True)
            await asyncio.wait((both, over), return_when=asyncio.FIRST_COMPLETED)
            for task in (*ways, over):
                task.cancel()
            await asyncio.gather(both, over, return_exceptions=True)
        except OSError:
            self.break_off(self.client)                 # there is no server: as it looks without a proxy
        finally:
            self.close()

    async def carry(self, way, reader, writer):
        try:
            while True:
                await self.open.wait()
                data = await reader.read(self.share(way))
                await self.open.wait()                  # what came while nothing passes, waits
                if not data:
                    break
                await self.pace(len(data))
                due = not self.struck and self.plan.way == way and self.counts[way] + len(data) >= self.plan.at
                if due and self.plan.fault == "flip":
                    data = data[:-1] + bytes([data[-1] ^ 0x10])
                if way not in self.swallow:
                    writer.write(data)
                    await writer.drain()
                self.counts[way] += len(data)
                if due:
                    self.strike()
            if way not in self.swallow and writer.can_write_eof():
                writer.write_eof()
        except (ConnectionError, OSError):
            # One side is broken: so must the other be, as it would have heard of it.
            self.break_off(self.client, self.server)
            self.over.set()

    def share(self, way):
        """How many bytes may be taken now, so that the fault comes at its byte."""
        most = 1 if self.counts[way] < self.plan.trickle else CHUNK
        if self.plan.bandwidth:
            most = min(most, max(1, self.plan.bandwidth // 50))
        if not self.struck and self.plan.fault != "none" and self.plan.way == way:
            most = min(most, max(1, self.plan.at - self.counts[way]))
        return most

    async def pace(self, count):
        seconds = self.plan.delay + (count / self.plan.bandwidth if self.plan.bandwidth else 0)
        if seconds:
            await asyncio.sleep(seconds)

    def strike(self):
        self.struck, fault = True, self.plan.fault
        if fault in ("reset", "reset_client", "reset_server"):
            first, second = (self.client, self.server) if fault != "reset_server" else (self.server, self.client)
            self.break_off(first)
            if fault == "reset":
                self.break_off(second)
                self.over.set()
            else:                       # the other side hears of it later, when it is told nothing for long
                self.open.clear()
                self.later(self.plan.seconds or 0.5, self.end)
        elif fault in ("fin_client", "fin_server"):
            way = DOWN if fault == "fin_client" else UP
            self.swallow.add(way)
            self.finish(self.client if way == DOWN else self.server)
        elif fault == "fin_both":
            self.swallow |= {UP, DOWN}
            self.finish(self.client)
            self.finish(self.server)
            self.later(0.5, self.end)
        elif fault in ("stall", "heal", "hole"):
            self.open.clear()
            self.later(self.plan.seconds, self.end if fault == "hole" else self.open.set)

    def later(self, seconds, act):
        asyncio.get_running_loop().call_later(seconds, act)

    def end(self):
        self.break_off(self.client, self.server)
        self.over.set()

    @staticmethod
    def finish(side):
        with contextlib.suppress(OSError):
            if side[1].can_write_eof():
                side[1].write_eof()

    @staticmethod
    def break_off(*sides):
        """RST."""
        for side in sides:
            if side is None or side[1].transport.is_closing():
                continue
            with contextlib.suppress(OSError):
                side[1].get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                                            struct.pack("ii", 1, 0))
            side[1].transport.abort()

    def close(self):
        for side in (self.client, self.server):
            if side is not None and side[1].transport.get_write_buffer_size() > 0:
                self.break_off(side)    # what waits would never go
            elif side is not None:
                side[1].close()


class Chaos:
    """Listens on loopback, in a thread of its own. plan(number, dice) may give a Plan in place of a drawn one."""

    def __init__(self, target, seed=0, faults=None, plan=None, listen=("127.0.0.1", 0), patience=1.0, size=1_000_000):
        self.target, self.seed, self.faults, self.listen = target, seed, faults, listen
        self.plan = plan or (lambda number, dice: Plan.draw(dice, patience, size))
        self.history = []               # a Connection each
        self.running = set()

    def plan_of(self, number):
        """The plan of the connection of that number, from 0: the same for the same seed."""
        if self.faults is not None and number >= self.faults:
            return Plan()
        return self.plan(number, random.Random(f"chaos {self.seed} {number}"))

    def __enter__(self):
        ready = threading.Event()
        self.failure = None
        self.thread = threading.Thread(target=self.serve, args=(ready,), daemon=True)
        self.thread.start()
        ready.wait()
        if self.failure:
            raise self.failure
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.stop.set)
        self.thread.join()

    def serve(self, ready):
        asyncio.run(self.work(ready))

    async def work(self, ready):
        self.loop, self.stop = asyncio.get_running_loop(), asyncio.Event()
        try:
            server = await asyncio.start_server(self.accept, *self.listen, limit=CHUNK)
        except OSError as failure:
            self.failure = failure
            ready.set()
            return
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await self.stop.wait()
        server.close()
        for task in list(self.running):
            task.cancel()
        await asyncio.gather(*self.running, return_exceptions=True)
        await asyncio.sleep(0.01)       # so that all of them are closed indeed

    async def accept(self, reader, writer):
        task = asyncio.current_task()
        self.running.add(task)
        number = len(self.history)
        connection = Connection(self, number, self.plan_of(number), (reader, writer))
        self.history.append(connection)
        try:
            await connection.run()
        except asyncio.CancelledError:
            pass                        # the proxy is at its end
        finally:
            self.running.discard(task)

    def told(self):
        """What was done, in words; for a report of what failed."""
        return [f"{c.number}: {c.plan.fault} {'happened' if c.struck or c.plan.fault == 'refuse' else 'not reached'} "
                f"({c.plan.way} {c.plan.at}, {c.plan.seconds:.2f} s), up {c.counts[UP]}, down {c.counts[DOWN]}"
                for c in self.history]


# ---- the proxy's own test

class Echo:
    """A server that sends back what it gets, and remembers how each connection ended."""

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        self.ends, self.got = [], []
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.close()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self.listener.accept()
                threading.Thread(target=self.echo, args=(sock,), daemon=True).start()

    def echo(self, sock):
        got = 0
        try:
            while data := sock.recv(65536):
                got += len(data)
                sock.sendall(data)
            how = "fin"
        except OSError:
            how = "reset"
        self.got.append(got)
        self.ends.append(how)
        sock.close()


def through(proxy, data):
    """Sends it and closes that way; (what came back, how that ended)."""
    try:
        sock = socket.create_connection(("127.0.0.1", proxy.port), timeout=30)
    except ConnectionResetError:
        return b"", "reset"

    broken = []

    def send():
        try:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
        except OSError as failure:      # a reset is told once, to whoever asks first
            broken.append(failure)
    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    got, how = b"", "fin"
    try:
        while piece := sock.recv(65536):
            got += piece
    except ConnectionError:
        how = "reset"
    except TimeoutError:
        how = "hang"
    sender.join(30)
    sock.close()
    return got, "reset" if how == "fin" and any(isinstance(f, ConnectionResetError) for f in broken) else how


def self_test():
    """Each fault does what it is called after, at its byte; the same seed does the same."""
    data = random.Random(1).randbytes(300_000)
    expect = {
        # fault: what the client sees, and whether all of it came back
        "none": ("fin", True), "refuse": ("reset", False), "reset": ("reset", False), "reset_client": ("reset", False),
        "reset_server": ("reset", False), "fin_client": ("fin", False), "fin_server": ("fin", False),
        "fin_both": ("fin", False), "stall": ("fin", True), "hole": ("reset", False), "heal": ("fin", True),
        "flip": ("fin", False),
    }
    assert set(expect) == set(FAULTS)
    for fault, (how, whole) in expect.items():
        for way in (UP, DOWN):
            with Echo() as echo, Chaos(echo.address, plan=lambda *_, f=fault, w=way: Plan(f, w, 100_001, 0.2)) as proxy:
                got, ended = through(proxy, data)
                right = data if fault != "flip" else data[:100_000] + bytes([data[100_000] ^ 0x10]) + data[100_001:]
                assert right.startswith(got), (fault, way, "what came is not what was sent")
                # What the server had before its way ended, it answers: that may be all.
                any_of_it = (fault, way) == ("fin_server", DOWN)
                assert ended == how and (any_of_it or (got == data) == whole), (fault, way, ended, len(got))
                connection = proxy.history[0]
                if fault in ("reset", "hole"):
                    assert connection.counts[way] == 100_001, (fault, way, connection.counts)
                if fault == "fin_client" and way == DOWN:
                    assert len(got) == 100_001, (fault, len(got))
                if fault == "fin_server" and way == UP:
                    assert (echo.got, echo.ends) == ([100_001], ["fin"]), (echo.got, echo.ends)
    for plan in (Plan(trickle=3000), Plan(delay=0.005), Plan(bandwidth=2_000_000)):
        with Echo() as echo, Chaos(echo.address, plan=lambda *_, p=plan: p) as proxy:
            start = time.monotonic()
            assert through(proxy, data[:100_000]) == (data[:100_000], "fin"), plan
            if plan.bandwidth:
                assert time.monotonic() - start >= 0.05, "the bandwidth is not limited"
    with Echo() as echo:
        runs = []
        for _ in range(2):
            with Chaos(echo.address, seed=5, faults=6, patience=0.1) as proxy:
                runs.append(([hashlib.sha256(through(proxy, data)[0]).hexdigest() == hashlib.sha256(data).hexdigest()
                              for _ in range(8)], [c.plan for c in proxy.history]))
        assert runs[0][1] == runs[1][1], "one seed, two plans"
        assert runs[0][0][6:] == [True, True] and runs[0][1][6:] == [Plan(), Plan()], "behind the faults there are more"
        assert Chaos(echo.address, seed=6).plan_of(0) != runs[0][1][0] or \
            Chaos(echo.address, seed=6).plan_of(1) != runs[0][1][1], "two seeds, one plan"
    with socket.create_server(("127.0.0.1", 0)) as closed:
        target = closed.getsockname()
    with Chaos(target, faults=0) as proxy:
        assert through(proxy, b"x") == (b"", "reset"), "there is no server, and the client is not told"
    return 0


def address(text):
    host, _, port = text.rpartition(":")
    return host, int(port)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--target", type=address, metavar="HOST:PORT")
    parser.add_argument("--listen", type=address, metavar="HOST:PORT", default=("127.0.0.1", 0))
    parser.add_argument("--seed", default="0")
    parser.add_argument("--faults", type=int, help="so many connections suffer, those behind them not (default: all)")
    parser.add_argument("--patience", type=float, default=1.0, help="seconds that stalls and holes last, about")
    parser.add_argument("--size", type=int, default=1_000_000, help="bytes within which a connection is cut")
    parser.add_argument("--self-test", action="store_true")
    given = parser.parse_args()
    if given.self_test:
        self_test()
        print("ok")
        return 0
    if given.target is None:
        parser.error("--target is needed")
    with Chaos(given.target, given.seed, given.faults, listen=given.listen, patience=given.patience,
               size=given.size) as proxy:
        print(f"listening on port {proxy.port}, seed {given.seed}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
        print("\n".join(proxy.told()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
