"""One byte there and back through `cat`."""

import contextlib
import subprocess
import time

from figures import percentile
from tools import Unavailable, run

TITLE = "one byte there and back through `cat`, p50 and p99; also beside a full stream"
PIPED, DIRECT = "bare TCP and pipes, a client process too", "bare TCP and pipes, client in the process"
LOADED = "OpenSSH (one ControlMaster)"
HUGE = 1 << 50


class Pair:
    """The same contenders at p50 and at p99."""

    def __init__(self, bench, name, limit, **more):
        self.half = bench.book.figure("byte", f"{name}, p50", "us", limit=limit, **more)
        self.tail = bench.book.figure("byte", f"{name}, p99", "us", limit=limit)

    def both(self):
        return [self.half, self.tail]

    def add(self, who, text, lines=None):
        times = [float(line) for line in text.split("\n")[:lines] if line and " " not in line]
        self.half.add(who, 1e6 * percentile(times, 0.5))
        self.tail.add(who, 1e6 * percentile(times, 0.99))

    def miss(self, who, reason):
        for figure in self.both():
            figure.miss(who, reason)


def alone(bench, count):
    site, programs = bench.site, bench.site.programs
    pair = Pair(bench, "a byte through `cat`", PIPED,
                note="between pipes of a client process; library: without one, against TCP without one")
    pair.half.goal("at most 2 x bare TCP and pipes", 2, against=PIPED)
    pair.half.goal("the same of the library: at most 2 x bare TCP and pipes", 2, against=DIRECT,
                   subject="rexec, from the library")
    found = {"rexec": lambda: pair.add("rexec", run([programs.echo, "run", count, *site.rexec.command("exec cat")])),
             "rexec, from the library": lambda: pair.add("rexec, from the library", run(
                 [programs.echo, "library", *site.rexec.library(), count]))}
    for name, peer in (("OpenSSH", site.openssh), ("dropbear", site.dropbear), ("tinyssh", site.tinyssh)):
        if peer.missing:
            pair.miss(name, peer.missing)
        else:
            found[name] = lambda n=name, p=peer: pair.add(n, run(
                [programs.echo, "run", count, *p.command("exec cat")]))
    found[PIPED] = lambda: pair.add(PIPED, run([programs.limits, "byte", count, "client"]))
    found[DIRECT] = lambda: pair.add(DIRECT, run([programs.limits, "byte", count]))
    bench.book.rounds(bench.rounds(15, 2), found, pair.both())


def loaded(bench, count):
    """While another command's output on the same connection runs at full rate."""
    site, programs = bench.site, bench.site.programs
    pair = Pair(bench, "the same while another stream of the connection runs at full rate", None)
    flow = bench.book.figure("byte", "that stream meanwhile", "GB/s", higher=True)

    def library():
        text = run([programs.echo, "library", *site.rexec.library(), count, f"exec {site.flow} source {HUGE}"])
        size, seconds = text.strip().rsplit("\n", 1)[1].split()
        pair.add("rexec", text)
        flow.add("rexec", int(size) / float(seconds) / 1e9)

    found = {"rexec": library}
    with contextlib.ExitStack() as stack:
        try:
            ready = stack.enter_context(site.openssh.master())
            found[LOADED] = lambda: openssh_loaded(site, ready, count, pair, flow)
        except Unavailable as reason:
            for figure in (*pair.both(), flow):
                figure.miss(LOADED, reason)
        bench.book.rounds(bench.rounds(15, 2), found, [*pair.both(), flow])


def openssh_loaded(site, ready, count, pair, flow):
    with subprocess.Popen([*ready, "exec", str(site.flow), "source", str(HUGE)], stdout=subprocess.PIPE,
                          stdin=subprocess.DEVNULL) as load:
        with subprocess.Popen([str(site.flow), "sink", "0"], stdin=load.stdout, stdout=subprocess.PIPE) as sink:
            load.stdout.close()
            load.stdout = None
            time.sleep(0.2)
            try:
                pair.add(LOADED, run([site.programs.echo, "run", max(20, count // 10), *ready, "exec cat"]))
            finally:
                load.terminate()
                load.wait()
                size, seconds = sink.communicate()[0].split()
            flow.add(LOADED, int(size) / float(seconds) / 1e9)


def measure(bench):
    count = 500 if bench.quick else 2000
    alone(bench, count)
    loaded(bench, count)
