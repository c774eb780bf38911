"""What a command costs: CPU time, context switches, system calls, bytes on the wire; and a GiB."""

import contextlib
import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import time

from peers import SYSTEM_PATH
from section_bulk import SUITES, pipeline, rate
from tools import HANG, Relay, Unavailable, children, end_process, run, switches, timed, tree, until, whole_cpu, words

TITLE = "CPU time, system calls, context switches and bytes on the wire of a command; CPU time of a GiB"
LOCAL = "sh -c true, locally"
MASTER = "OpenSSH over a ready ControlMaster"


def cold_peers(site):
    return {"OpenSSH cold": site.openssh, "dropbear (dbclient)": site.dropbear, "ssh to dropbear": site.ssh_dropbear,
            "tinyssh (ssh)": site.tinyssh, "course server (Python client)": site.course}


def client_cpu():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def server_of(peer):
    return (peer.server if hasattr(peer, "server") else peer).process.pid


def settled_cpu(pid, alone):
    """CPU time of a server after the processes of its last connection have ended."""
    until(lambda: len(tree(pid)) <= alone, seconds=5)
    return whole_cpu(pid)


def batch(site, count, jobs=1, port=None):
    done = subprocess.run(site.rexec.batch(jobs, port), input=b"true\n" * count, capture_output=True, timeout=HANG,
                          check=False)
    if done.returncode != 0:
        raise Unavailable(f"rexec batch: status {done.returncode}")


# ---- CPU time


def cpu_cold(bench):
    site, programs = bench.site, bench.site.programs
    server = bench.book.figure("costs", "CPU time of a cold command, server's end", "ms", limit=LOCAL,
                               note="all processes of the server and the command itself")
    client = bench.book.figure("costs", "CPU time of a cold command, client's end", "ms")

    def one(name, peer, count):
        pid = server_of(peer)
        alone = len(tree(pid))
        before, own_before = settled_cpu(pid, alone), client_cpu()
        timed(programs, count, peer.command("true"))
        own = client_cpu() - own_before
        server.add(name, 1e3 * (settled_cpu(pid, alone) - before) / count)
        client.add(name, 1e3 * own / count)

    count = 20 if bench.quick else 200
    found = {"rexec": lambda: one("rexec", site.rexec, count),
             LOCAL: lambda: server.add(LOCAL, 1e3 * sum(timed(programs, count, ["/bin/sh", "-c", "true"]).cpu) / count)}
    for name, peer in cold_peers(site).items():
        if peer.missing:
            server.miss(name, peer.missing)
            client.miss(name, peer.missing)
        else:
            found[name] = lambda n=name, p=peer: one(n, p, max(4, count // 5))
    bench.book.rounds(bench.rounds(3, 1), found, [server, client])


def on_one_connection(bench):
    """CPU time and context switches of commands one after another on one connection."""
    site, programs = bench.site, bench.site.programs
    server = bench.book.figure("costs", "CPU time of a command on a connection, server's end", "ms", limit=LOCAL,
                               note="all processes of the server and the command itself")
    client = bench.book.figure("costs", "CPU time of a command on a connection, client's end", "ms",
                               note="rexec: a share of one batch; OpenSSH: a client for each command")
    turns = bench.book.figure("costs", "context switches of a command on a connection, server's processes", "",
                              note="without the command's own")
    count = 100 if bench.quick else 1000

    def add(name, pid, processes, commands, work):
        cpu, own, turned = whole_cpu(pid), client_cpu(), sum(map(switches, processes))
        work()
        server.add(name, 1e3 * (whole_cpu(pid) - cpu) / commands)
        client.add(name, 1e3 * (client_cpu() - own) / commands)
        turns.add(name, (sum(map(switches, processes)) - turned) / commands)

    found = {"rexec": lambda: add("rexec", site.rexec.process.pid, site.rexec.pids().values(), count,
                                  lambda: batch(site, count)),
             LOCAL: lambda: server.add(LOCAL, 1e3 * sum(timed(programs, count, ["/bin/sh", "-c", "true"]).cpu) / count)}
    with contextlib.ExitStack() as stack:
        figures = [server, client, turns]
        try:
            ready = stack.enter_context(site.openssh.master())
            sessions = session_processes(site.openssh.main_pid())
            found[MASTER] = lambda: add(MASTER, site.openssh.process.pid, sessions, count // 5,
                                        lambda: timed(programs, count // 5, [*ready, "true"]))
        except Unavailable as reason:
            for figure in figures:
                figure.miss(MASTER, reason)
        bench.book.rounds(bench.rounds(3, 1), found, figures)


def session_processes(pid):
    """The processes of sshd's that serve a connection: below the listening one."""
    below = children(pid)
    return below + [pid for one in below for pid in children(one)]


def cpu_of_a_gib(bench):
    """Both ends while stdout flows; the source, the same for all, is counted at the server's."""
    site = bench.site
    size = (64 << 20) if bench.quick else (1 << 30)
    server = bench.book.figure("costs", "CPU time of a GiB of stdout, server's end", "s/GiB",
                               note="with the program that writes it")
    client = bench.book.figure("costs", "CPU time of a GiB of stdout, client's end", "s/GiB",
                               note="with the program that reads it")

    def one(name, peer, command):
        pid = server_of(peer)
        alone = len(tree(pid))
        before, own = settled_cpu(pid, alone), client_cpu()
        rate(pipeline([command, [site.flow, "sink", size]], name), size, name)
        client.add(name, (client_cpu() - own) * (1 << 30) / size)
        server.add(name, (settled_cpu(pid, alone) - before) * (1 << 30) / size)

    source = ["exec", site.flow, "source", size]
    table = {f"rexec {suite}": (site.rexec, site.rexec.command(*source, suite=suite)) for suite in SUITES}
    table["OpenSSH default"] = (site.openssh, None)
    table["OpenSSH aes128-gcm"] = (site.openssh, "aes128-gcm@openssh.com")
    found = {}
    for name, (peer, command) in table.items():
        if peer.missing:
            server.miss(name, peer.missing)
            client.miss(name, peer.missing)
            continue
        if not isinstance(command, list):
            command = site.openssh.command(*source, cipher=command)
        found[name] = lambda n=name, p=peer, c=command: one(n, p, c)
    bench.book.rounds(bench.rounds(3, 1), found, [server, client])
    own = f"rexec {site.rexec.suite()}"
    for figure in (server, client):
        if own in figure.values:
            figure.values["rexec"] = list(figure.values[own])


# ---- system calls


def parse_strace(text):
    """{system call: how often} of strace -c."""
    found = {}
    for line in text.splitlines():
        match = re.match(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", line)
        if match and match.group(2) != "total":
            found[match.group(2)] = int(match.group(1))
    return found


@contextlib.contextmanager
def counting(pids):
    """The system calls of processes while the block runs: a dictionary that is filled at its end."""
    strace = shutil.which("strace", path=SYSTEM_PATH)
    if strace is None:
        raise Unavailable("strace is not installed")
    if os.geteuid() != 0:
        raise Unavailable("only root may trace the daemon's processes")
    counts = {}
    with tempfile.NamedTemporaryFile() as file:
        arguments = [part for pid in pids for part in ("-p", pid)]
        command = words(strace, "-qq", "-c", "-o", file.name, *arguments)
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as tracer:
            try:
                if not until(lambda: all(traced(pid) for pid in pids) or tracer.poll() is not None, seconds=5) \
                        or tracer.poll() is not None:
                    raise Unavailable("strace may not attach")
                yield counts
            finally:
                end_process(tracer, signal.SIGINT)
        with open(file.name, encoding="utf-8") as result:
            counts.update(parse_strace(result.read()))


def traced(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return "TracerPid:\t0\n" not in file.read()


def calls_of(pids, count, work):
    """{system call: times for each of `count` commands}, of these processes alone."""
    with counting(pids) as counts:
        work()
        time.sleep(0.1)
    if not counts:
        raise Unavailable("strace counted nothing")
    return {name: times / count for name, times in counts.items()}


def system_calls(bench):
    site, count = bench.site, 50
    total = bench.book.figure("costs", "system calls of a command on a connection, server's processes", "",
                              note="without the command's own; rexec's by process in the tables of system calls")
    whole = bench.book.figure("costs", "system calls of a cold client", "")
    tables = bench.extra.setdefault("system_calls", {})
    bench.book.progress("costs: system calls")
    try:
        for role, pid in site.rexec.pids().items():
            tables[f"rexecd, {role}"] = calls_of([pid], count, lambda: batch(site, count))
        total.add("rexec", sum(sum(tables[f"rexecd, {role}"].values()) for role in ("net", "monitor")))
    except Unavailable as reason:
        total.miss("rexec", reason)
    try:
        with site.openssh.master() as ready:
            tables["OpenSSH, a session's processes"] = calls_of(
                session_processes(site.openssh.main_pid()), count,
                lambda: timed(site.programs, count, [*ready, "true"]))
            total.add(MASTER, sum(tables["OpenSSH, a session's processes"].values()))
            count_client(whole, MASTER, [*ready, "true"], tables)
    except Unavailable as reason:
        total.miss(MASTER, reason)
        whole.miss(MASTER, reason)
    for name, peer in {"rexec": site.rexec, **cold_peers(site)}.items():
        if peer.missing:
            whole.miss(name, peer.missing)
        else:
            count_client(whole, name, peer.command("true"), tables)
    count_client(whole, "a small C program", [site.nothing], {})


def count_client(figure, name, command, tables):
    strace = shutil.which("strace", path=SYSTEM_PATH)
    if strace is None:
        figure.miss(name, "strace is not installed")
        return
    with tempfile.NamedTemporaryFile() as file:
        try:
            run([strace, "-qq", "-f", "-c", "-o", file.name, *command])
        except Unavailable as reason:
            figure.miss(name, reason)
            return
        with open(file.name, encoding="utf-8") as result:
            counts = parse_strace(result.read())
    tables[f"client, cold: {name}"] = counts
    figure.add(name, sum(counts.values()))


# ---- bytes


def bytes_on_the_wire(bench):
    site = bench.site
    cold = bench.book.figure("costs", "bytes on the wire of a cold command", "bytes",
                             note="TCP's payload, both directions")
    more = bench.book.figure("costs", "bytes on the wire of one more command on the connection", "bytes")
    bench.book.progress("costs: bytes on the wire")
    for name, peer in {"rexec": site.rexec, **cold_peers(site)}.items():
        if peer.missing:
            cold.miss(name, peer.missing)
            continue
        try:
            with Relay(peer.port) as relay:
                run(peer.command("true", port=relay.port))
            cold.add(name, relay.total())
        except Unavailable as reason:
            cold.miss(name, reason)
    counted = []
    for count in (1, 101):
        with Relay(site.rexec.port) as relay:
            batch(site, count, port=relay.port)
        counted.append(relay.total())
    more.add("rexec", (counted[1] - counted[0]) / 100)
    try:
        with Relay(site.openssh.port) as relay, site.openssh.master(port=relay.port) as ready:
            timed(site.programs, 1, [*ready, "true"])
            before = relay.total()
            timed(site.programs, 20, [*ready, "true"])
            time.sleep(0.2)
            more.add(MASTER, (relay.total() - before) / 20)
    except Unavailable as reason:
        more.miss(MASTER, reason)


def measure(bench):
    cpu_cold(bench)
    on_one_connection(bench)
    cpu_of_a_gib(bench)
    system_calls(bench)
    bytes_on_the_wire(bench)
