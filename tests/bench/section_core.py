"""The parts alone, without sockets: handshakes, sealing, the engine. CPU time of one thread, medians of 15 slices."""

import json

from tools import run

TITLE = "parts alone, in memory: handshakes, a bad M3, sealing, the engine"


def measure(bench):
    for program in (bench.site.programs.auth, bench.site.programs.engine):
        bench.book.progress(f"core: {program.rsplit('/', 1)[1]}")
        for line in run([program]).splitlines():
            found = json.loads(line)
            figure = bench.book.figure("core", found["figure"], found["unit"],
                                       higher="/s" in found["unit"] or found["unit"] == "x")
            figure.add("rexec", found["value"])
            if found["goal"]:
                kind, bound = found["goal"].split()
                figure.goal(found["goal"], float(bound), at_least=kind == ">=")
