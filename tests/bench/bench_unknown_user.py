#!/usr/bin/python3
"""Does the time that a refusal takes tell known clients from unknown ones? (CVE-2016-6210, CVE-2018-15473)

    tests/bench/bench_unknown_user.py [--rounds N] [--json FILE] [--build DIR]

Against a real rexecd on loopback: in each round one handshake of each kind, in an order drawn anew, each with a wrong
response. Measured are the times from M1 to M2 and from M3 to the close. Printed is Welch's t between a known
client and each kind that is not: above 4.5 in size, the kinds can be told apart by their times. Beside it stands the
t of the known client against itself, as another kind with a kid of its own: what this machine's noise does.

Ends with status 1 if they can be told apart.
"""

import argparse
import json
import math
import os
import pathlib
import random
import socket
import statistics
import sys
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
LIMIT = 4.5
TRIM = 0.95         # the slowest are the scheduler's, not the server's: both kinds lose as many


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=20000)
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--build", default=os.environ.get("REXEC_BUILD", SOURCE / "build"), metavar="DIR")
    return parser.parse_args()


def welch(one, other):
    """Welch's t of two samples of unequal variance."""
    spread = statistics.variance(one) / len(one) + statistics.variance(other) / len(other)
    return (statistics.fmean(one) - statistics.fmean(other)) / math.sqrt(spread) if spread else 0.0


def trimmed(sample):
    return sorted(sample)[:int(len(sample) * TRIM)]


def take(sock, size):
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        if not piece:
            break
        data += piece
    return data


def refused(port, kid):
    """One handshake with a wrong response: nanoseconds to M2, and from M3 to the close."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        m1 = b"rexc\1\1\1\3" + kid + os.urandom(64)
        response = os.urandom(32)
        begin = time.perf_counter_ns()
        sock.sendall(m1)
        m2 = take(sock, 104)
        answered = time.perf_counter_ns()
        if len(m2) != 104:
            sys.exit("no M2: was there an error? See the server's log")
        m3 = b"rexc\3" + m2[5:7] + b"\0" + response
        sent = time.perf_counter_ns()
        sock.sendall(m3)
        rest = take(sock, 1)
        closed = time.perf_counter_ns()
        if rest:
            sys.exit("a wrong response was answered")
        return answered - begin, closed - sent


def make_kinds(lab, rp):
    """A kid of each kind: known to the server, and not or not now."""
    def kid_of(key):
        return rp.derive_grant_keys(rp.parse_key_file(key.read_bytes())["psk"], lab.server_name)[0]

    kinds = {"known": kid_of(lab.key)}
    for name, options in {"known too": (), "expired": ("--expires", "2001-01-01T00:00:00Z"),
                          "elsewhere": ("--from", "192.0.2.1"), "revoked": ()}.items():
        key = lab.dir / name.replace(" ", "-")
        lab.make_key(key)
        grant = lab.add_grant(key.name, key, *options)
        if name == "revoked":
            grant.write_bytes(grant.read_bytes() + b"revoked = yes\n")
        kinds[name] = kid_of(key)
    kinds["unknown"] = os.urandom(16)
    lab.stop()
    lab.start()
    return kinds


def measure(lab, kinds, rounds):
    times = {name: ([], []) for name in kinds}
    order = list(kinds)
    for number in range(-100, rounds):
        random.shuffle(order)
        for name in order:
            pair = refused(lab.port, kinds[name])
            if number >= 0:
                for sample, value in zip(times[name], pair):
                    sample.append(value)
    return times


def main():
    options = arguments()
    os.environ["REXEC_BUILD"] = str(options.build)
    os.environ.setdefault("REXEC_SOURCE", str(SOURCE))
    sys.path.insert(0, str(SOURCE / "tests" / "e2e"))
    sys.dont_write_bytecode = True
    from lab import Lab     # it reads the environment

    import rexec_protocol as rp
    with Lab() as lab:
        kinds = make_kinds(lab, rp)
        times = measure(lab, kinds, options.rounds)
    results, worst = [], 0.0
    print(f'{"kind":<12}{"part":<14}{"median us":>10}{"t":>8}{"t, slowest 5 % left out":>26}')
    for part, title in enumerate(("M1 to M2", "M3 to close")):
        known = times["known"][part]
        for name, samples in times.items():
            sample = samples[part]
            t = welch(known, sample) if name != "known" else 0.0
            t_trimmed = welch(trimmed(known), trimmed(sample)) if name != "known" else 0.0
            if name not in ("known", "known too"):
                worst = max(worst, abs(t), abs(t_trimmed))
            median = statistics.median(sample) / 1000
            print(f"{name:<12}{title:<14}{median:>10.1f}{t:>8.2f}{t_trimmed:>26.2f}")
            results.append({"kind": name, "part": title, "median_us": median, "t": t, "t_trimmed": t_trimmed})
    told_apart = worst >= LIMIT
    print(f"{options.rounds} handshakes of each kind; the largest t is {worst:.2f}: "
          f"{'they CAN be told apart' if told_apart else 'they cannot be told apart'} (limit {LIMIT})")
    if options.json:
        result = {"rounds": options.rounds, "limit": LIMIT, "worst": worst, "told_apart": told_apart,
                  "results": results}
        pathlib.Path(options.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return int(told_apart)


if __name__ == "__main__":
    sys.exit(main())
