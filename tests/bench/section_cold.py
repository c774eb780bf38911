"""Cold: one `true`, the client as a whole process, nothing kept warm."""

import contextlib
import statistics

from tools import Unavailable, bare_server, timed

TITLE = "cold: `HOST true`, the client as a whole process"
LIMIT = "a small C program + sh -c true, locally"
BARE = "limit of two processes: a small C program that asks for it, in the clear"
PROVEN = "limit of a proof: the same with rexec's handshake, sealed, and nothing else"
SAFE = "limit of a proof that starts commands safely: the same, as the user and in a cgroup of its own"
MASTER = "OpenSSH over a ready ControlMaster"


def contenders(site, ready, figure):
    """Name -> (runs a round, command line). Those that cannot run are told to the figure."""
    table = {"rexec": (20, site.rexec.command("true")), MASTER: (20, [*ready, "true"] if ready else None),
             "OpenSSH cold": (2, site.openssh), "dropbear (dbclient)": (4, site.dropbear),
             "ssh to dropbear": (2, site.ssh_dropbear), "tinyssh (ssh)": (2, site.tinyssh),
             "course server (Python client)": (4, site.course)}
    found = {}
    for name, (count, peer) in table.items():
        if isinstance(peer, list):
            found[name] = (count, peer)
        elif peer is None:
            figure.miss(name, site.openssh.missing or "no master could be started")
        elif peer.missing:
            figure.miss(name, peer.missing)
        else:
            found[name] = (count, peer.command("true"))
    return found


def measure(bench):
    site, programs = bench.site, bench.site.programs
    figure = bench.book.figure("cold", "cold `HOST true`", "ms", limit=LIMIT)
    figure.goal("at most 1.5 x the limit", 1.5, against=LIMIT)
    figure.goal("at most half of OpenSSH over a ready ControlMaster", 0.5, against=MASTER)
    figure.goal("60 x faster than OpenSSH cold", 60, against="OpenSSH cold", at_least=True, inverse=True)

    def one(name, count, command):
        return lambda: figure.add(name, 1e3 * statistics.median(timed(programs, count, command).seconds))

    def limit():
        program = statistics.median(timed(programs, 20, [site.nothing]).seconds)
        command = statistics.median(timed(programs, 20, ["/bin/sh", "-c", "true"]).seconds)
        figure.add(LIMIT, 1e3 * (program + command))

    def all_of(ready):
        found = {name: one(name, *what) for name, what in contenders(site, ready, figure).items()}
        with bare_server(programs.limits, "serve") as (bare, _), bare_server(programs.prover) as (proven, _), \
                bare_server(programs.prover, "-u", site.user) as (safe, _):
            for name, program, port in ((BARE, programs.ask, bare), (PROVEN, programs.prove, proven),
                                        (SAFE, programs.prove, safe)):
                found[name] = one(name, 20, [program, port])
            bench.book.rounds(bench.rounds(15, 2), dict(found, **{LIMIT: limit}), [figure])

    with contextlib.ExitStack() as stack:
        try:
            ready = stack.enter_context(site.openssh.master())
        except Unavailable:
            ready = None
        all_of(ready)
