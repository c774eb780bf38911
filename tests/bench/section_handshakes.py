"""Handshakes over sockets, and floods of those that prove nothing while proven clients work."""

import contextlib
import subprocess
import time

from figures import percentile
from tools import HANG, Unavailable, bare_server, end_process, own_cpu, run, timed, tree, words

TITLE = "handshakes a second; floods of bad M3s and of half-open connections while proven clients work"
BAD_RATE, HALF_OPEN, HALF_RATE = 10000, 10000, 2000
PROVEN = "limit of a proof: two processes with rexec's handshake, nothing else"
UNDISTURBED = "rexec, no flood"


def daemon_cpu(site):
    return sum(own_cpu(pid) for pid in site.rexec.pids().values())


def good(bench):
    site = bench.site
    rate = bench.book.figure("handshakes", "handshakes over sockets, both ends on this machine", "1/s", higher=True,
                             note="connect, handshake, WELCOME, close; 8 at a time, one client process")
    core = bench.book.figure("handshakes", "the same, of a core that the daemon has", "1/s per core", higher=True,
                             note="by the CPU time of net and monitor, the kernel's work on their sockets included")
    core.goal("5,000 a second and core", 5000, at_least=True)

    def one():
        before = daemon_cpu(site)
        count, seconds = run([site.programs.sessions, "shake", *site.rexec.library(), 0.5 if bench.quick else 2,
                              8]).split()
        rate.add("rexec", int(count) / float(seconds))
        core.add("rexec", int(count) / (daemon_cpu(site) - before))

    with bare_server(site.programs.prover) as (proven, server):
        both = tree(server)

        def bare():
            count = 500 if bench.quick else 5000
            before = sum(map(own_cpu, both))
            run([site.programs.prove, proven, "shake", count])
            core.add(PROVEN, count / (sum(map(own_cpu, both)) - before))

        bench.book.rounds(bench.rounds(9, 1), {"rexec": one, PROVEN: bare}, [rate, core])


def bad(bench):
    site = bench.site
    figure = bench.book.figure("handshakes", "a bad M3 over sockets, CPU time of the daemon", "us",
                               note="the whole connection: accept, M1, M2 with a fresh key pair, M3, close; what the "
                                    "M3 alone costs is in the section of the parts")

    def one():
        before = daemon_cpu(site)
        _, refused, wrong, *_ = run([site.programs.flood, "bad", site.rexec.port, 0, 0.5 if bench.quick else 2]).split()
        if int(wrong) > 0:
            raise Unavailable(f"{wrong} connections were not refused as they should be")
        figure.add("rexec", 1e6 * (daemon_cpu(site) - before) / int(refused))

    bench.book.rounds(bench.rounds(5, 1), {"rexec": one}, [figure])


@contextlib.contextmanager
def flooding(site, kinds, seconds):
    """Floods, each a process; the list that it gives gets their results when they have ended."""
    commands = {"bad": ["bad", site.rexec.port, BAD_RATE, seconds],
                "half": ["half", site.rexec.port, HALF_OPEN, HALF_RATE, seconds]}
    processes = {kind: subprocess.Popen(words(site.programs.flood, *commands[kind]), stdout=subprocess.PIPE)
                 for kind in kinds}
    results = {}
    try:
        time.sleep(min(seconds / 2, HALF_OPEN / HALF_RATE + 1) if "half" in kinds else 0.5)
        yield results
        for kind, process in processes.items():
            said = process.communicate(timeout=HANG)[0].split()
            if process.returncode != 0:
                raise Unavailable(f"bench_flood {kind}: status {process.returncode}")
            results[kind] = [float(number) for number in said]
    finally:
        for process in processes.values():
            end_process(process)


def clients(site, count):
    """(share of new connections served, p99 of them, share on one connection, p99 there); times in ms."""
    cold = timed(site.programs, count, site.rexec.command("true"), pause_us=2000, may_fail=True)
    served = [seconds for seconds, status in zip(cold.seconds, cold.status) if status == 0]
    warm = subprocess.run(words(site.programs.sessions, "commands", *site.rexec.library(), 0, count),
                          capture_output=True, timeout=HANG, check=False)
    times = [float(line) for line in warm.stdout.split()]
    if not served or not times:
        raise Unavailable("not one command was served")
    return len(served) / count, 1e3 * percentile(served, 0.99), len(times) / count, 1e3 * percentile(times, 0.99)


def beside(bench, kinds, title):
    site = bench.site
    count = 100 if bench.quick else 500
    share = bench.book.figure("handshakes", f"{title}: share of new connections served", "share", higher=True)
    share.goal("99.9 % served", 0.999, at_least=True)
    on_one = bench.book.figure("handshakes", f"{title}: share served on a connection that was there", "share",
                               higher=True)
    on_one.goal("99.9 % served", 0.999, at_least=True)
    cold = bench.book.figure("handshakes", f"{title}: p99 of a cold command", "ms", limit=UNDISTURBED)
    warm = bench.book.figure("handshakes", f"{title}: p99 of a command on a connection that was there", "ms",
                             limit=UNDISTURBED)
    offered = [bench.book.figure("handshakes", f"{title}: {what}", unit, note=note, higher=None) for what, unit, note in
               (("bad M3s refused", "1/s", f"{BAD_RATE} a second are tried"),
                ("half-open connections", "most at once",
                 f"{HALF_OPEN} are tried, {HALF_RATE} new ones a second; the server keeps max_unproven = 4096 at most"))]

    def quiet():
        _, p99_cold, _, p99_warm = clients(site, count)
        cold.add(UNDISTURBED, p99_cold)
        warm.add(UNDISTURBED, p99_warm)

    def flooded():
        seconds = 4 if bench.quick else 14
        with flooding(site, kinds, seconds) as results:
            found = clients(site, count)
        for figure, value in zip((share, cold, on_one, warm), found):
            figure.add("rexec", value)
        if "bad" in results:
            offered[0].add("rexec", results["bad"][1] / results["bad"][5])
        if "half" in results:
            offered[1].add("rexec", results["half"][4])

    bench.book.rounds(bench.rounds(2, 1), {UNDISTURBED: quiet, "rexec": flooded}, [share, on_one, cold, warm, *offered])
    bench.book.figures = [figure for figure in bench.book.figures if figure not in offered or figure.values]


def measure(bench):
    good(bench)
    bad(bench)
    beside(bench, ("bad",), "beside 10,000 bad M3s a second")
    beside(bench, ("half",), "beside 10,000 half-open connections")
