#!/usr/bin/python3
"""Measures rexec beside its peers on this machine: prints a table, writes JSON and a plot. See docs/PERFORMANCE.md.

tests/bench/run.sh builds what is measured and starts this.
"""

import argparse
import json
import pathlib
import shutil
import signal
import sys
import time
import traceback

import report
import section_bulk
import section_byte
import section_cold
import section_commands
import section_core
import section_costs
import section_handshakes
import section_idle
from figures import Book
from peers import Site
from tools import SOURCE, Programs

SECTIONS = {"core": section_core, "cold": section_cold, "commands": section_commands, "bulk": section_bulk,
            "byte": section_byte, "handshakes": section_handshakes, "idle": section_idle, "costs": section_costs}


class Bench:
    """One run: what the sections are given."""

    def __init__(self, options, site):
        self.site, self.quick, self.sections = site, options.quick, options.only
        self.began, self.machine, self.extra = time.time(), report.machine(), {}
        self.files = {"json": options.json, "svg": options.json.with_suffix(".svg")}
        self.begin = time.monotonic()
        self.book = Book(self.progress)
        self.wide = sys.stderr.isatty()

    def rounds(self, many, few):
        return few if self.quick else many

    def sessions(self):
        return (100, 1000) if self.quick else (1000, 5000, 15000)

    def section(self, name):
        if not self.wide:
            print(f"{time.monotonic() - self.begin:6.0f} s  {name}", file=sys.stderr, flush=True)

    def progress(self, text):
        """On a terminal: what is measured now."""
        if self.wide:
            columns = shutil.get_terminal_size().columns - 1
            line = f"{time.monotonic() - self.begin:6.0f} s  {text}"[:columns]
            print(f"\r{line:<{columns}}", end="", file=sys.stderr, flush=True)


def arguments():
    parser = argparse.ArgumentParser(prog="tests/bench/run.sh", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--list", action="store_true", help="print the sections, do nothing")
    parser.add_argument("--only", action="append", metavar="SECTION", help="this section; may be given several times")
    parser.add_argument("--quick", action="store_true", help="a smoke run of two minutes; its numbers mean little")
    parser.add_argument("--without", action="append", default=[], metavar="CONTENDER",
                        help="as if it were not installed")
    parser.add_argument("--no-user", action="store_true", help="as root: make no user, run commands as root")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="default: bench.json in the build directory; "
                        "the plot goes beside it")
    parser.add_argument("--from", dest="read", type=pathlib.Path, metavar="FILE",
                        help="measure nothing, take what a run has written")
    parser.add_argument("--write-docs", action="store_true", help="put the result into docs/PERFORMANCE.md, too")
    parser.add_argument("--build", type=pathlib.Path, default=SOURCE / "build-bench", metavar="DIR",
                        help="a directory that is built already; without, build-bench is built")
    options = parser.parse_args()
    unknown = set(options.only or ()) - set(SECTIONS)
    if unknown:
        parser.error(f"no such section: {', '.join(sorted(unknown))} (there are {', '.join(SECTIONS)})")
    options.only = [name for name in SECTIONS if not options.only or name in options.only]
    options.build = options.build.resolve()
    options.json = (options.read or options.json or options.build / "bench.json").resolve()
    return options


ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def stop(number, _):
    for each in ENDING:                     # once is enough: what follows cleans up
        signal.signal(each, signal.SIG_IGN)
    raise SystemExit(128 + number)


def say(run, options):
    print(report.table(run))
    print("\n" + report.summary(run))
    if options.write_docs:
        report.write_docs(SOURCE / "docs" / "PERFORMANCE.md",
                          report.markdown(run, {name: section.TITLE for name, section in SECTIONS.items()}))
        if "idle" in run["sections"]:
            shutil.copyfile(options.json.with_suffix(".svg"), SOURCE / "docs" / "performance.svg")


def measure(options):
    for number in ENDING:
        signal.signal(number, stop)
    with Site(Programs(options.build), options.without, options.no_user) as site:
        bench = Bench(options, site)
        print("\n".join(report.heading(report.result(bench, 0))), flush=True)
        for name in options.only:
            bench.section(name)
            try:
                SECTIONS[name].measure(bench)
            except Exception as error:      # the other sections took minutes: they are not thrown away
                traceback.print_exc()
                bench.extra.setdefault("broken_sections", {})[name] = f"{type(error).__name__}: {error}"
        seconds = time.monotonic() - bench.begin
        if bench.wide:
            print("\r", end="", file=sys.stderr)
        run = report.result(bench, seconds)
    report.write_json(options.json, run)
    say(run, options)
    print(f"took {seconds:.0f} s; written to {options.json}")
    for name, error in bench.extra.get("broken_sections", {}).items():
        print(f"bench: section {name} broke off: {error}", file=sys.stderr)
    return 1 if "broken_sections" in bench.extra else 0


def main():
    options = arguments()
    if options.list:
        for name, section in SECTIONS.items():
            print(f"{name:<12}{section.TITLE}")
        return 0
    if options.read:
        with open(options.read, encoding="utf-8") as file:
            run = json.load(file)
        print("\n".join(report.heading(run)))
        say(run, options)
        return 0
    return measure(options)


if __name__ == "__main__":
    sys.exit(main())
