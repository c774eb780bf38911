"""Idle sessions: what they hold, and what a command costs beside them; how costs grow; a plot."""

import contextlib
import resource
import statistics
import subprocess
import time

from plot import Line, plot
from tools import HANG, Unavailable, end_process, kernel_memory, memory, run, timed, tree, words

TITLE = "idle sessions: memory, and what a command costs beside 1,000, 5,000 and 15,000; growth (SVG)"
ALONE = "rexec, none idle"


def ready_line(process):
    line = process.stdout.readline().split()
    if len(line) != 2 or line[0] != b"ready":
        raise Unavailable("the sessions could not be opened")
    return float(line[1])


@contextlib.contextmanager
def idle_sessions(server, count):
    """So many proven clients that do nothing; seconds that it took to let them in."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if most != resource.RLIM_INFINITY and most < count + 200:
        raise Unavailable(f"{count} sessions need more descriptors than the hard limit of {most}")
    with subprocess.Popen(words(server.site.programs.sessions, "idle", *server.library(), count),
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield ready_line(process)
            process.stdin.close()
            process.stdin = None
            if process.wait(timeout=HANG) != 0:
                raise Unavailable("sessions were lost")
        finally:
            end_process(process)


def daemon_memory(server):
    """Resident and proportional bytes, net and monitor."""
    both = [memory(pid) for pid in server.pids().values()]
    return [sum(column) for column in zip(*both)]


def cost(server, count):
    """ms of a cold command, and of one on a connection that is there."""
    programs = server.site.programs
    cold = statistics.median(timed(programs, count, server.command("true")).seconds)
    warm = run([programs.sessions, "commands", *server.library(), 0, count]).split()
    return 1e3 * cold, 1e3 * statistics.median(map(float, warm))


def peer_memory(bench, figure):
    """Proportional memory of a session of a peer's: all processes of its server, with sessions and without."""
    site, count = bench.site, 8
    for name, peer in (("OpenSSH", site.openssh), ("dropbear", site.dropbear), ("tinyssh", site.tinyssh)):
        if peer.missing:
            figure.miss(name, peer.missing)
            continue
        clients = []
        try:
            before = sum(memory(pid)[1] for pid in tree(peer.process.pid))
            for _ in range(count):
                clients.append(subprocess.Popen(peer.command("echo", "ready;", "exec", "cat"),
                                                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                                stderr=subprocess.DEVNULL))
                if clients[-1].stdout.readline() != b"ready\n":
                    raise Unavailable("a session could not be opened")
            # Its `cat` is the command, not the session.
            after = sum(memory(pid)[1] for pid in tree(peer.process.pid) if not is_cat(pid))
            figure.add(name, (after - before) / count / 1024)
        except (Unavailable, OSError) as reason:
            figure.miss(name, reason)
        finally:
            for client in clients:
                end_process(client)


def is_cat(pid):
    with open(f"/proc/{pid}/comm", encoding="ascii") as file:
        return file.read() == "cat\n"


def with_sessions(bench, count):
    site = bench.site
    name = f"{count:,} idle sessions"
    held = bench.book.figure("idle", f"{name}: memory of one in the daemon", "KiB",
                             note="growth of net's and the monitor's resident memory, divided; peers: proportional "
                                  "memory of the processes of 8 sessions")
    held.goal("at most 4 KiB", 4)
    kernel = bench.book.figure("idle", f"{name}: memory of one in the kernel", "KiB",
                               note="slabs, stacks, page tables and socket buffers; of both ends, as both are here")
    entered = bench.book.figure("idle", f"{name}: let in", "1/s", higher=True)
    cold = bench.book.figure("idle", f"{name}: a cold command beside them", "ms", limit=ALONE)
    warm = bench.book.figure("idle", f"{name}: a command on another connection beside them", "ms", limit=ALONE)
    for figure in (cold, warm):
        figure.goal("does not grow: at most 1.1 x the same with none idle", 1.1, against=ALONE)
    bench.book.progress(f"idle: {name}")
    with contextlib.ExitStack() as stack:
        try:
            alone, server = (stack.enter_context(site.rexec.twin()) for _ in range(2))
            for one in (alone, server):
                cost(one, 20)
            before, kernel_before = daemon_memory(server), kernel_memory()
            seconds = stack.enter_context(idle_sessions(server, count))
            time.sleep(0.5)
            after, kernel_after = daemon_memory(server), kernel_memory()
        except (Unavailable, OSError) as reason:
            for figure in (held, kernel, entered, cold, warm):
                figure.miss("rexec", reason)
            return
        held.add("rexec", (after[0] - before[0]) / count / 1024)
        kernel.add("rexec", (kernel_after - kernel_before) / count / 1024)
        entered.add("rexec", count / seconds)
        found = {who: lambda w=who, s=one: add_cost(w, s, cold, warm)
                 for who, one in (("rexec", server), (ALONE, alone))}
        bench.book.rounds(bench.rounds(9, 2), found, [cold, warm])
    if count == bench.sessions()[0]:
        peer_memory(bench, held)


def add_cost(who, server, cold, warm):
    both = cost(server, 30)
    cold.add(who, both[0])
    warm.add(who, both[1])


# ---- growth


def powers(most):
    return [10 ** k for k in range(6) if 10 ** k <= most]


def growth(bench):
    """The cost of one command while one thing grows by powers of ten."""
    site, quick = bench.site, bench.quick
    lines = []
    count = 30 if quick else 200
    with site.rexec.twin(max_commands=2000, max_commands_total=20000) as server:
        sessions = [site.programs.sessions, "commands", *server.library()]

        def after_others(number):
            times = []
            for _ in range(max(1, count // 10 // number)):      # one of few says little
                times += list(map(float, run([*sessions, 0, number]).split()))[-count:]
            return statistics.median(times)

        def beside_streams(number):
            return statistics.median(map(float, run([*sessions, number, count]).split()))

        def beside_connections(number):
            with idle_sessions(server, number):
                return cost(server, count)[1] / 1e3

        for name, function, most in (("commands before it on its connection", after_others, 100 if quick else 10000),
                                     ("commands that run on its connection", beside_streams, 100 if quick else 1000),
                                     ("other connections", beside_connections, 100 if quick else 10000)):
            line = Line(name)
            figure = bench.book.figure("idle", f"growth: a command's cost with {most:,} {name}", "ms")
            for number in powers(most):
                bench.book.progress(f"idle: growth, {number} {name}")
                try:
                    seconds = function(number)
                except Unavailable as reason:
                    figure.miss(f"with {number:,}", reason)
                    continue
                line.points.append((number, 1e3 * seconds))
                figure.add("rexec" if number == powers(most)[-1] else f"with {number:,}", 1e3 * seconds)
            lines.append(line)
    local = 1e3 * float(run([site.programs.limits, "spawn", count, 1, "sh", "-c", "true"])) / count
    bench.files["svg"].write_text(plot("What one more `true` costs", "how many of them", "ms", lines,
                                       ("local spawn and capture", local)), encoding="utf-8")


def measure(bench):
    for count in bench.sessions():
        with_sessions(bench, count)
    growth(bench)
