"""Large flows: stdout and stdin of one command. The sink counts and times: from the first byte to the end."""

import statistics
import subprocess

from tools import HANG, Unavailable, end_process, words

TITLE = "2 GiB of stdout, and of stdin"
SUITES = ("aes256gcm", "chacha20poly1305", "hmac-sha256")
CIPHERS = {"OpenSSH default": None, "OpenSSH aes128-gcm": "aes128-gcm@openssh.com",
           "OpenSSH aes256-gcm": "aes256-gcm@openssh.com"}
LOOPS = {"aes256gcm": "bare loop, aes256gcm", "chacha20poly1305": "bare loop, chacha20poly1305"}
FAST_LOOPS = {suite: f"{loop}, libcrypto's" for suite, loop in LOOPS.items()}
WIDE_LOOPS = {suite: f"{loop}, IPSec_MB's" for suite, loop in LOOPS.items()}
SLOW = 4            # who is far slower than the others is given a fraction of the bytes
ROUNDS = 9          # flows are unsteady


def rate(said, size, who):
    if len(said.split()) != 2:
        raise Unavailable(f"{who}: the sink has seen no end")
    got, seconds = said.split()
    if int(got) != size:
        raise Unavailable(f"{who}: {got} of {size} bytes came")
    return size / float(seconds) / 1e9


def finish(process, who):
    try:
        if process.wait(timeout=HANG) != 0:
            raise Unavailable(f"{who}: status {process.returncode}")
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise Unavailable(f"{who}: no end after {HANG} s") from None


def pipeline(commands, who):
    """Runs them, the stdout of each the stdin of the next; the stdout of the last."""
    processes = []
    before = subprocess.DEVNULL
    try:
        for command in commands:
            processes.append(subprocess.Popen(words(*command), stdin=before, stdout=subprocess.PIPE,
                                              stderr=subprocess.DEVNULL))
            if before is not subprocess.DEVNULL:
                before.close()
            before = processes[-1].stdout
        said = processes[-1].communicate(timeout=HANG)[0].decode()
        for process in processes[:-1]:
            finish(process, who)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{who}: no end after {HANG} s") from None
    finally:
        for process in processes:
            end_process(process)
    if processes[-1].returncode != 0:
        raise Unavailable(f"{who}: status {processes[-1].returncode}: {said.strip()[-200:]}")
    return said


def stdout_rate(site, client, size, who):
    return rate(pipeline([client("exec", site.flow, "source", size), [site.flow, "sink", size]], who), size, who)


def stdin_rate(site, client, size, who):
    return rate(pipeline([[site.flow, "source", size], client("exec", site.flow, "sink", size)], who), size, who)


def loop_rate(site, suite, size, who, more):
    """The bare loop, between the source and the sink that the others have."""
    loop = [site.programs.limits, "aead", suite, *more]
    return rate(pipeline([[site.flow, "source", size], loop, [site.flow, "sink", size]], who), size, who)


def ncat_stdout(site, size):
    with site.ncat.serving([site.flow, "source", size]) as port:
        client = [site.ncat.ncat, "--recv-only", "127.0.0.1", port]
        return rate(pipeline([client, [site.flow, "sink", size]], "ncat"), size, "ncat")


def ncat_stdin(site, size):
    """Without --sh-exec: that ends its command where the client ends its stream."""
    with site.ncat.receiving([site.flow, "sink", size]) as (port, sink):
        with subprocess.Popen(words(site.flow, "source", size), stdout=subprocess.PIPE) as source:
            client = [site.ncat.ncat, "--send-only", "127.0.0.1", port]
            with subprocess.Popen(words(*client), stdin=source.stdout, stdout=subprocess.DEVNULL) as sender:
                source.stdout.close()
                source.stdout = None
                finish(sender, "ncat")
            finish(source, "ncat")
        said = sink.communicate(timeout=HANG)[0].decode()
    return rate(said, size, "ncat")


def clients(site):
    """Name -> (peer, function of the command that gives the client's command line, fraction of the bytes)."""
    found = {f"rexec {suite}": (site.rexec, lambda *c, s=suite: site.rexec.command(*c, suite=s),
                                SLOW if suite == "hmac-sha256" else 1)
             for suite in SUITES}
    for name, cipher in CIPHERS.items():
        found[name] = (site.openssh, lambda *c, k=cipher: site.openssh.command(*c, cipher=k), 1)
    found["dropbear"] = (site.dropbear, site.dropbear.command, SLOW)
    return found


def goals(figure):
    best = "OpenSSH's fastest cipher"
    figure.goal("at least 1.2 x OpenSSH's fastest cipher", 1.2, against=best, at_least=True)
    figure.goal("at least 2 x OpenSSH's default", 2, against="OpenSSH default", at_least=True)
    for loops in (LOOPS, FAST_LOOPS):
        for suite, loop in loops.items():
            figure.goal(f"at least 0.9 x the {loop.replace('bare', 'bare AEAD')}", 0.9, against=loop, at_least=True,
                        subject=f"rexec {suite}")
    figure.note = ("`rexec` is the suite that it chooses by itself here; the sink times from its first "
                   "byte to its last; the loop is the same both ways, between the same source and sink; its AEAD is "
                   "libsodium's where nothing else is said; OpenSSH's fastest cipher is the one whose median is best")


def direction(bench, name, one_rate, ncat):
    site = bench.site
    size = (64 << 20) if bench.quick else (2 << 30)
    loop = LOOPS["aes256gcm"]
    figure = bench.book.figure("bulk", f"{'64 MiB' if bench.quick else '2 GiB'} of {name}", "GB/s", limit=loop,
                               higher=True)
    goals(figure)
    found = {}
    for who, (peer, client, part) in clients(site).items():
        if peer.missing:
            figure.miss(who, peer.missing)
        else:
            found[who] = lambda w=who, c=client, n=size // part: figure.add(w, one_rate(site, c, n, w))
    if site.ncat.missing:
        figure.miss("ncat in the clear", site.ncat.missing)
    else:
        found["ncat in the clear"] = lambda: figure.add("ncat in the clear", ncat(site, size))
    for loops, more in ((LOOPS, []), (FAST_LOOPS, ["libcrypto"]), (WIDE_LOOPS, ["IPSec_MB"])):
        for suite, who in loops.items():
            found[who] = lambda s=suite, w=who, m=more: figure.add(w, loop_rate(site, s, size, w, m))
    bench.book.rounds(bench.rounds(ROUNDS, 1), found, [figure])
    own = f"rexec {site.rexec.suite()}"
    if own in figure.values:
        figure.values = {"rexec": list(figure.values[own]), **figure.values}
    best_of_openssh(figure)


def best_of_openssh(figure):
    """The one cipher that is fastest here. Not the fastest of each round: of several that are nearly
    as fast, that would be whoever had luck."""
    rows = [figure.values[name] for name in CIPHERS if figure.values.get(name)]
    most = max(map(len, rows), default=0)
    rows = [row for row in rows if len(row) == most]
    if rows:
        figure.values["OpenSSH's fastest cipher"] = list(max(rows, key=statistics.median))
    else:
        figure.miss("OpenSSH's fastest cipher", figure.missing.get("OpenSSH default", "not measured"))


def measure(bench):
    direction(bench, "stdout", stdout_rate, ncat_stdout)
    direction(bench, "stdin", stdin_rate, ncat_stdin)
