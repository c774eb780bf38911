#!/usr/bin/env python3
"""Thousands of sessions of the real client through connections that break, each with an end that is checked.

    campaign.py --sessions 2000 --seconds 600       # whichever comes first
    campaign.py --seed 7 --only 42                  # the one that failed, once more, with all that is known of it

Whatever happens to its connections, a session ends with all of its output, exactly, and the right exit status; or
with exit status 255, one line that says why, and a beginning of the right output. Its command ran once or, in the
second case, once or never; nothing of it is left in the end, and nothing hangs. The summary is JSON, on stdout.
"""

import argparse
import collections
import contextlib
import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time

from attack_tools import at_rest, client_copy
from chaos import Chaos
from lab import Lab, until

STILL = 60          # seconds without any progress after which a session hangs
SIZES = (0, 1, 4000, 65_536, 262_145, 1_000_000, 3_000_000)
QUICK = ("-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=2", "-o", "ConnectTimeout=5")
NOTE = rb"rexec: [ -~]*\n"
KINDS = ("out", "err", "cat", "hash", "both", "code", "killed", "signal", "batch", "dead")
# A server for clients that are away for a moment.
FLAGS = {"linger_max": "8", "fin_grace": "8", "drain": "1", "kill_grace": "0.5", "handshake_timeout": "5",
         "max_commands_total": "1000"}


class Material:
    """A file of random bytes, of which commands write and clients send as much as they are told."""

    def __init__(self, directory, seed):
        self.bytes = random.Random(f"material {seed}").randbytes(max(SIZES))
        self.path = directory / "material"
        self.path.write_bytes(self.bytes)


class Case:
    """What one session does, and what must come of it; drawn from the seed and its number."""

    def __init__(self, seed, number, material, marks, kind=None, size=None):
        dice = random.Random(f"campaign {seed} {number}")
        self.number = number
        self.kind = kind or dice.choice(KINDS)
        self.id = f"{seed}-{number}-{dice.randrange(1 << 40):x}"
        self.ids = [self.id]                # of its commands, each of which leaves it in the file `marks`
        self.size, self.status = size or dice.choice(SIZES), dice.choice((0, 0, 1, 7, 254))
        self.faults = dice.choice((0, 1, 2, 4, 8))
        self.patience = dice.choice((0.2, 0.5, 1.0, 4.0))
        self.stdin, self.out, self.err = None, b"", b""
        data, size, end = material.bytes, self.size, f"exit {self.status}"
        if self.kind == "out":
            self.out, line = data[:size], f"head -c {size} {material.path}; {end}"
        elif self.kind == "err":
            # As text, as rexec may say something in between.
            size //= 2
            self.err = hashlib_lines(data[:size])
            line = f"od -An -v -tx1 -w32 {material.path} -N {size} >&2; {end}"
        elif self.kind == "cat":
            self.stdin = self.out = data[-size:] if size else b""
            line = f"cat; {end}"
        elif self.kind == "hash":
            self.stdin = data[:size]
            self.out, line = hashlib.sha256(self.stdin).hexdigest().encode() + b"  -\n", f"sha256sum; {end}"
        elif self.kind == "both":
            self.stdin = data[-size:] if size else b""
            self.out = data[:size] + hashlib.sha256(self.stdin).hexdigest().encode() + b"  -\n"
            # In both directions at once: what is read is hashed while the other way is full.
            line = (f"f=$(mktemp); exec 3<&0; sha256sum <&3 >$f & head -c {size} {material.path}; wait; "
                    f"cat $f; rm $f; {end}")
        elif self.kind == "code":
            self.status = dice.randrange(255)
            line = f"exit {self.status}"
        elif self.kind == "killed":
            number, name = dice.choice(((9, "KILL"), (15, "TERM"), (10, "USR1")))
            self.status, self.out = 128 + number, data[:size]
            line = f"head -c {size} {material.path}; kill -{name} $$; sleep 60"
        elif self.kind == "signal":         # sent to the client, which passes it on
            self.status, self.out = 44, b"up\ngot it\n"
            # Silent, as the shell would tell of the death of `sleep`, which gets the signal, too.
            line = "exec 2>/dev/null; trap 'echo got it; exit 44' TERM; echo up; while :; do sleep 0.05; done"
        elif self.kind == "batch":          # many over one connection
            self.ids = [f"{self.id}.{i}" for i in range(dice.randrange(1, 40))]
            sizes = [dice.randrange(size // len(self.ids) + 1) for _ in self.ids]
            self.parts = [data[:n] + b"\n" for n in sizes]
            self.out, self.status, line = b"".join(self.parts), 0, ""
            self.stdin = b"".join(b"echo %s >>%s; head -c %d %s; echo\n"
                                  % (i.encode(), os.fsencode(marks), n, os.fsencode(material.path))
                                  for i, n in zip(self.ids, sizes))
        else:                               # the client dies, at any time: its command does, too
            self.stdin, self.dies = data[:size], dice.uniform(0, 1.0)
            line = "cat >/dev/null; sleep 600 & sleep 600"
        self.line = f"echo {self.id} >>{marks}; {line}"

    def __str__(self):
        return f"{self.number}: {self.kind}, {self.size} bytes, exit status {self.status}, {self.faults} faults"


def hashlib_lines(data):
    """What od prints."""
    return b"".join(b"".join(b" %02x" % byte for byte in data[at:at + 32]) + b"\n" for at in range(0, len(data), 32))


def in_parts(out, parts, failed):
    """Whether `out` is the beginning of all parts, one behind the other, of which those whose numbers have failed may
    each end anywhere."""
    ends = {0}
    for number, part in enumerate(parts, 1):
        if any(part.startswith(out[at:]) for at in ends):
            return True
        after = {at + len(part) for at in ends if out.startswith(part, at)}
        if number in failed:
            after |= {at + n for at in ends for n in range(len(os.path.commonprefix((out[at:], part))) + 1)}
        ends = after
    return len(out) in ends


class Session:
    """One run of the client, and what was wrong with it."""

    def __init__(self, lab, case, seed, plan=None):
        self.lab, self.case, self.seed, self.plan = lab, case, seed, plan
        self.out, self.err, self.wrong, self.verdict, self.error = bytearray(), bytearray(), [], None, None
        self.sent, self.history = 0, []

    def run(self):
        case = self.case
        chaos = Chaos(("127.0.0.1", self.lab.port), f"{self.seed} {case.number}", case.faults, patience=case.patience,
                      size=max(2000, 2 * case.size), plan=self.plan)
        with chaos as proxy:
            command = client_copy(self.lab, "batch", options=QUICK) if case.kind == "batch" else \
                self.lab.command_line(case.line, options=QUICK)
            command[command.index("-p") + 1] = str(proxy.port)
            stdin = subprocess.DEVNULL if case.stdin is None else subprocess.PIPE
            self.client = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.talk(proxy)
            self.history = proxy.told()
            self.struck = sum(c.struck or c.plan.fault == "refuse" for c in proxy.history)
            self.connections = len(proxy.history)
        self.judge()
        return self

    def talk(self, proxy):
        """Feeds and reads it until it ends; a client without progress is ended, and hangs."""
        client, case = self.client, self.case
        threads = [threading.Thread(target=self.drain, args=(client.stdout, self.out), daemon=True),
                   threading.Thread(target=self.drain, args=(client.stderr, self.err), daemon=True)]
        if case.stdin is not None:
            threads.append(threading.Thread(target=self.feed, daemon=True))
        for thread in threads:
            thread.start()
        before, since, begun, signalled = None, time.monotonic(), time.monotonic(), False
        while client.poll() is None:
            time.sleep(0.01)
            now = (self.sent, len(self.out), len(self.err), len(proxy.history))
            if now != before:
                before, since = now, time.monotonic()
            if case.kind == "signal" and not signalled and b"up\n" in self.out:
                signalled = True
                client.send_signal(signal.SIGTERM)
            if case.kind == "dead" and time.monotonic() - begun > case.dies:
                client.kill()
                break
            if time.monotonic() - since > STILL:
                self.wrong.append(f"no progress for {STILL} s: {now}")
                client.kill()
                break
        client.wait()
        for thread in threads:
            thread.join(STILL)
        for pipe in (client.stdin, client.stdout, client.stderr):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    pass

    def drain(self, pipe, into):
        while data := os.read(pipe.fileno(), 65536):
            into += data

    def feed(self):
        data, fd = memoryview(self.case.stdin), self.client.stdin.fileno()
        try:
            while self.sent < len(data):
                self.sent += os.write(fd, data[self.sent:self.sent + 65536])
            self.client.stdin.close()
        except (BrokenPipeError, ValueError):
            pass

    def judge(self):
        case, status = self.case, self.client.returncode
        notes = re.findall(NOTE, self.err)
        err = re.sub(NOTE, b"", bytes(self.err))
        failed = {int(number) for number in re.findall(rb"line (\d+): ", self.err)} if case.kind == "batch" else ()
        if not (case.out.startswith(self.out) or (failed and in_parts(bytes(self.out), case.parts, failed))):
            self.wrong.append(f"{len(self.out)} bytes of stdout are not the beginning of the right {len(case.out)}: "
                              f"{bytes(self.out[-200:])!r}")
        if not case.err.startswith(err):
            self.wrong.append(f"{len(err)} bytes of stderr are not the beginning of the right {len(case.err)}: "
                              f"{err[-200:]!r}")
        if case.kind == "dead":
            self.verdict = "dead"
        elif status == case.status:
            self.verdict = "whole"
            if len(self.out) != len(case.out) or len(err) != len(case.err):
                self.wrong.append(f"exit status {status}, and output is missing: {len(self.out)} of {len(case.out)}, "
                                  f"{len(err)} of {len(case.err)}")
        elif status == 255 and notes and self.err.endswith(notes[-1]):
            self.verdict, self.error = "error", notes[-1].decode()
        else:
            self.wrong.append(f"exit status {status} for {case.status}: {bytes(self.err[-300:])!r}")

    def ran(self, marks):
        """How often its command ran, against what it said."""
        counts = [marks[i] for i in self.case.ids]
        if max(counts) > 1:
            self.wrong.append(f"it ran {max(counts)} times")
        elif self.verdict == "whole" and min(counts) == 0:
            self.wrong.append("it did not run, and says that it did")


class Campaign:
    def __init__(self, lab, seed):
        self.lab, self.seed = lab, seed
        self.marks = lab.dir / "marks"
        self.marks.touch()
        self.material = Material(lab.dir, seed)
        self.done, self.lock, self.next, self.kills = [], threading.Lock(), 0, 0

    def one(self, number):
        return Session(self.lab, Case(self.seed, number, self.material, self.marks), self.seed).run()

    def work(self, sessions, end):
        while True:
            with self.lock:
                if self.next >= sessions or time.monotonic() > end:
                    return
                number, self.next = self.next, self.next + 1
            session = self.one(number)
            with self.lock:
                self.done.append(session)
                if session.wrong:
                    self.tell(session)

    def tell(self, session):
        print(f"seed {self.seed}, session {session.case}\n  " + "\n  ".join(session.wrong + session.history) +
              f"\n  stderr: {bytes(session.err[-500:])!r}", file=sys.stderr, flush=True)

    def kill_net(self, seconds, over):
        """Net dies now and then; the monitor starts another, but not too often."""
        while not over.wait(seconds):
            with contextlib.suppress(AssertionError, ProcessLookupError):   # another is just being started
                os.kill(self.lab.net_pid(), signal.SIGKILL)
                self.kills += 1

    def run(self, sessions, seconds, jobs=4, kill_net=None):
        end, over = time.monotonic() + seconds, threading.Event()
        if kill_net:
            threading.Thread(target=self.kill_net, args=(kill_net, over), daemon=True).start()
        workers = [threading.Thread(target=self.work, args=(sessions, end)) for _ in range(jobs)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        over.set()
        return self.summary()

    def summary(self, seconds=60):
        """Of all together; what is left of any is wrong, too."""
        rest = until(lambda: at_rest(self.lab), seconds, 0.1)
        marks = collections.Counter(self.marks.read_text().split())
        for session in self.done:
            before = len(session.wrong)
            session.ran(marks)
            if len(session.wrong) > before:
                self.tell(session)
        lines = self.lab.audit.read_text().split("\n")[:-1]
        records = [record for record in map(json.loads, lines) if record["record"] == "command"]
        errors = collections.Counter(re.sub(r"[0-9]+", "N", s.error) for s in self.done if s.error)
        kinds = {kind: collections.Counter(s.verdict or "wrong" for s in self.done if s.case.kind == kind)
                 for kind in KINDS}
        return {
            "seed": self.seed,
            "sessions": len(self.done),
            "connections": sum(s.connections for s in self.done),
            "faults": sum(s.struck for s in self.done),
            "resumed": sum(record.get("resumed", 0) for record in records),
            "net_killed": self.kills,
            "bytes": sum(len(s.out) + s.sent for s in self.done),
            "verdicts": dict(collections.Counter(s.verdict or "wrong" for s in self.done)),
            "kinds": {kind: dict(count) for kind, count in kinds.items() if count},
            "errors": dict(errors),
            "nothing_left": rest,
            "wrong": [f"{s.case}: {'; '.join(s.wrong)}" for s in self.done if s.wrong],
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--seed", default=f"{random.randrange(1 << 32):x}")
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=600, help="no session begins later")
    parser.add_argument("--jobs", type=int, default=4, help="sessions at once")
    parser.add_argument("--kill-net", type=float, metavar="SECONDS", help="net dies so often; 15 or more")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="this one session of the seed's")
    given = parser.parse_args()
    print(f"seed {given.seed}", file=sys.stderr, flush=True)
    with Lab(**FLAGS) as lab:
        campaign = Campaign(lab, given.seed)
        if given.only is not None:
            session = campaign.one(given.only)
            campaign.done.append(session)
            summary = campaign.summary()
            campaign.tell(session)
            print(lab.said(), file=sys.stderr)
        else:
            summary = campaign.run(given.sessions, given.seconds, given.jobs, given.kill_net)
    print(json.dumps(summary, indent=2))
    return 0 if summary["nothing_left"] and not summary["wrong"] else 1


if __name__ == "__main__":
    sys.exit(main())
