"""Commands on one connection: one after another, and several at once."""

import contextlib
import statistics
import subprocess
import time

from tools import HANG, Unavailable, bare_server, run

TITLE = "commands on one connection: one after another, 4 and 16 at once"
LOCAL = "local spawn and capture"
MASTER = "OpenSSH over a ready ControlMaster"
CHAIN = "limit of two processes: bytes over TCP, passed on, local spawn"
PROVEN = "limit of a proof: two processes and the pipes, requests signed, all of it sealed, nothing else"
SAFE = "limit of a proof that starts commands safely: the same, as the user and in a cgroup of its own"
SPAWN = "rexecd's spawning alone: as the user, in a session and cgroup of its own, two pipes"
COURSE = "course server (a connection each)"


def batch_rate(site, count, jobs):
    """Commands a second through `rexec batch`, from the start of the process to its end."""
    lines = b"true\n" * count
    begin = time.perf_counter()
    done = subprocess.run(site.rexec.batch(jobs), input=lines, capture_output=True, timeout=HANG, check=False)
    took = time.perf_counter() - begin
    if done.returncode != 0:
        raise Unavailable(f"rexec batch: status {done.returncode}: {done.stderr.decode(errors='replace')[-200:]}")
    return count / took


def spawn_rate(site, count, jobs, command):
    return count / float(run([site.programs.limits, "spawn", count, jobs, *command]))


def chain_rate(site, count, command):
    return count / float(run([site.programs.limits, "chain", count, *command]))


def course_rate(site, count, jobs):
    client = site.course.command("true")
    client[client.index("run")] = "many"
    seconds, done = run([*client, count, jobs]).split()
    return int(done) / float(seconds)


def latency(bench, ready):
    """One after another, the time of each."""
    site = bench.site
    count = 100 if bench.quick else 600
    figure = bench.book.figure("commands", "`true` one after another on one connection", "ms each", limit=LOCAL,
                               note="rexec batch -j 1, whole process; library: a connection that is there already")
    figure.goal("at most 1.15 x local spawn and capture", 1.15, against=LOCAL)

    def library():
        times = run([site.programs.sessions, "commands", *site.rexec.library(), 0, count]).split()
        figure.add("rexec, from the library", 1e3 * statistics.fmean(map(float, times)))

    found = {"rexec": lambda: figure.add("rexec", 1e3 / batch_rate(site, count, 1)),
             "rexec, from the library": library,
             LOCAL: lambda: figure.add(LOCAL, 1e3 / spawn_rate(site, count, 1, ["sh", "-c", "true"])),
             CHAIN: lambda: figure.add(CHAIN, 1e3 / chain_rate(site, count, ["sh", "-c", "true"])),
             SPAWN: lambda: figure.add(SPAWN, 1e3 * float(run(
                 [site.programs.spawn, count, site.user, "sh", "-c", "true"])) / count)}
    peers(site, ready, figure, found, count, 1, lambda rate: 1e3 / rate)
    prover = site.programs.prover
    with bare_server(prover) as (proven, _), bare_server(prover, "-u", site.user) as (safe, _):
        for name, port in ((PROVEN, proven), (SAFE, safe)):
            found[name] = lambda name=name, port=port: figure.add(
                name, 1e3 * float(run([site.programs.prove, port, count])) / count)
        # The limits are close to the goal, and to each other: a few rounds would not tell them apart.
        bench.book.rounds(bench.rounds(31, 2), found, [figure])


def rate(bench, ready, jobs):
    site = bench.site
    count = 400 if bench.quick else 2000
    figure = bench.book.figure("commands", f"`true`, {jobs} at once on one connection", "commands/s", limit=LOCAL,
                               higher=True)
    figure.goal("at least 0.85 x local spawning with the same parallelism", 0.85, against=LOCAL, at_least=True)
    found = {"rexec": lambda: figure.add("rexec", batch_rate(site, count, jobs)),
             LOCAL: lambda: figure.add(LOCAL, spawn_rate(site, count, jobs, ["sh", "-c", "true"]))}
    peers(site, ready, figure, found, count, jobs, lambda value: value)
    bench.book.rounds(bench.rounds(15, 2), found, [figure])


def peers(site, ready, figure, found, count, jobs, unit):
    """Adds those that both figures have; they are slower, and run fewer."""
    fewer = max(count // 4, jobs)
    if ready:
        found[MASTER] = lambda: figure.add(MASTER, unit(spawn_rate(site, fewer, jobs, [*ready, "true"])))
    else:
        figure.miss(MASTER, site.openssh.missing or "no master could be started")
    if site.course.missing:
        figure.miss(COURSE, site.course.missing)
    else:
        found[COURSE] = lambda: figure.add(COURSE, unit(course_rate(site, fewer, jobs)))


def measure(bench):
    with contextlib.ExitStack() as stack:
        try:
            ready = stack.enter_context(bench.site.openssh.master())
        except Unavailable:
            ready = None
        latency(bench, ready)
        for jobs in (4, 16):
            rate(bench, ready, jobs)
