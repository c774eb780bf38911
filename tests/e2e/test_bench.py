"""tests/bench: a run says what it measured, what it could not and why, and leaves nothing behind. No time is judged."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import unittest

from lab import BUILD, SANITIZED, SOURCE, until

BENCH = SOURCE / "tests" / "bench"
BUILT = (BUILD / "tests" / "bench" / "bench_timer").exists()
sys.path.insert(0, str(BENCH))

import report                                                   # noqa: E402
from figures import Book, Figure, percentile, spread            # noqa: E402
from plot import Line, plot                                     # noqa: E402
from section_costs import parse_strace                          # noqa: E402
from tools import Unavailable                                   # noqa: E402

SECTIONS = ["core", "cold", "commands", "bulk", "byte", "handshakes", "idle", "costs"]
PEERS = ["OpenSSH", "dropbear", "ssh to dropbear", "tinyssh", "course server", "ncat"]


def run_bench(*words):
    return subprocess.run([BENCH / "run.sh", *words], capture_output=True, text=True, timeout=200,
                          stdin=subprocess.DEVNULL, check=False)


def site_directories():
    """Those of runs, wherever they are made."""
    return {path for parent in ("/var/lib", tempfile.gettempdir(), BUILD)
            for path in pathlib.Path(parent).glob("rexec-bench-*")}


def command_lines():
    lines = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                lines.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
            except OSError:
                continue
    return lines


class Figures(unittest.TestCase):
    def figure(self, rexec, other, **more):
        figure = Figure("cold", "a figure", "ms", limit="other", **more)
        for name, values in (("rexec", rexec), ("other", other)):
            for value in values:
                figure.add(name, value)
        return figure

    def test_spread_and_percentiles(self):
        self.assertEqual(spread([5, 1, 2, 4, 3]), {"median": 3, "min": 1, "q1": 2, "q3": 4, "max": 5, "n": 5})
        self.assertEqual(spread([7])["q3"], 7)
        self.assertEqual([percentile(range(100), share) for share in (0, 0.5, 0.99, 1)], [0, 50, 99, 99])

    def test_a_ratio_is_of_the_same_round(self):
        # 4, 5 and 2 times; the medians' ratio is 3.
        figure = self.figure([4, 10, 6], [1, 2, 3])
        self.assertEqual(figure.ratio("rexec", "other"), 4)

    def test_goals_are_judged_by_their_direction(self):
        figure = self.figure([3, 3, 3], [2, 2, 2])
        for text, bound, more in (("less", 1.5, {}), ("less", 1.4, {}), ("more", 1.5, {"at_least": True}),
                                  ("more", 1.6, {"at_least": True}),
                                  ("faster", 0.6, {"at_least": True, "inverse": True}),
                                  ("faster", 0.7, {"at_least": True, "inverse": True})):
            figure.goal(text, bound, against="other", **more)
        figure.goal("itself", 3).goal("itself", 2.9)
        judged = [goal["reached"] for goal in figure.as_json()["goals"]]
        self.assertEqual(judged, [True, False] * 4)

    def test_what_is_missing_is_no_success_and_no_failure(self):
        figure = self.figure([3], []).goal("less", 1000, against="other").goal("of another", 1, subject="nobody")
        figure.miss("other", "not installed")
        result = figure.as_json()
        self.assertEqual([goal["reached"] for goal in result["goals"]], [None, None])
        self.assertIn("not installed", result["goals"][0]["why_not_judged"])
        self.assertEqual(result["limit"], {"missing": "not installed", "name": "other"})
        self.assertIn("2 not judged", report.summary({"figures": [result]}))

    def test_one_that_fails_is_left_out_and_the_others_go_on(self):
        book, calls = Book(lambda text: None), []
        figure = book.figure("cold", "a figure", "ms")

        def fails():
            calls.append("fails")
            if len(calls) > 2:
                raise Unavailable("it broke")
            figure.add("peer", 1)

        book.rounds(4, {"rexec": lambda: figure.add("rexec", 1), "peer": fails}, [figure])
        result = figure.as_json()
        self.assertEqual((result["rexec"]["n"], result["peers"]["peer"]["n"], len(calls)), (4, 2, 3))
        self.assertEqual(result["peers"]["peer"]["stopped"], "it broke")

    def test_strace_is_read(self):
        text = ("% time     seconds  usecs/call     calls    errors syscall\n"
                "------ ----------- ----------- --------- --------- ----------------\n"
                " 60.00    0.000300           3       100        20 read\n"
                " 40.00    0.000200           2       100           write\n"
                "------ ----------- ----------- --------- --------- ----------------\n"
                "100.00    0.000500           2       200        20 total\n")
        self.assertEqual(parse_strace(text), {"read": 100, "write": 100})

    def test_the_plot_is_xml_with_every_point(self):
        import xml.etree.ElementTree
        line = Line("<commands> & more")
        line.points = [(1, 0.9), (10, 1), (1000, 12)]
        root = xml.etree.ElementTree.fromstring(plot("a title", "x", "ms", [line], ("limit", 0.5)))
        self.assertEqual(sum(element.tag.endswith("circle") for element in root.iter()), 3)

    def test_the_page_has_room_for_the_result(self):
        page = (SOURCE / "docs" / "PERFORMANCE.md").read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as directory:
            copy = pathlib.Path(directory) / "page.md"
            copy.write_text(page, encoding="utf-8")
            report.write_docs(copy, "the | result")
            written = copy.read_text(encoding="utf-8")
            report.write_docs(copy, "the | result")
            self.assertEqual(copy.read_text(encoding="utf-8"), written)
            self.assertIn(f"{report.BEGIN}\nthe | result\n{report.END}", written)
            copy.write_text(page.replace(report.END, ""), encoding="utf-8")
            with self.assertRaises(SystemExit):
                report.write_docs(copy, "lost")


class Runs(unittest.TestCase):
    def test_list(self):
        run = run_bench("--list")
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        self.assertEqual([line.split()[0] for line in run.stdout.splitlines()], SECTIONS)
        page = (SOURCE / "docs" / "PERFORMANCE.md").read_text(encoding="utf-8")
        for name in SECTIONS:
            self.assertIn(f"\n| `{name}` |", page)

    def test_no_such_section(self):
        run = run_bench("--build", str(BUILD), "--only", "nothing")
        self.assertEqual(run.returncode, 2)
        self.assertIn("no such section: nothing", run.stderr)

    def check_sample(self, sample):
        self.assertGreater(sample["n"], 0)
        ordered = [sample[part] for part in ("min", "q1", "median", "q3", "max")]
        self.assertEqual(ordered, sorted(ordered))
        self.assertGreater(ordered[0], 0)

    @unittest.skipUnless(BUILT, "the programs of tests/bench are not built here")
    def test_a_quick_run_without_peers_is_whole_and_honest(self):
        before = site_directories()
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / "result.json"
            without = [word for peer in PEERS for word in ("--without", peer)]
            run = run_bench("--build", str(BUILD), "--quick", "--no-user", "--only", "cold", "--json", str(path),
                            *without)
            self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
            result = json.loads(path.read_text(encoding="utf-8"))
        self.assertEqual(site_directories(), before)
        self.assertEqual((result["sections"], result["quick"]), (["cold"], True))
        self.assertEqual(set(PEERS) | {"rexec"}, set(result["contenders"]))
        for name, contender in result["contenders"].items():
            self.assertEqual(contender["missing"], None if name == "rexec" else "left out by --without", name)
        self.assertRegex(result["contenders"]["rexec"]["version"], r"^rexec \d")
        for field in ("cpu", "kernel", "system", "cpu_flags", "cores", "memory_gib", "load_average"):
            self.assertIn(field, result["machine"])

        [figure] = result["figures"]
        self.check_sample(figure["rexec"])
        self.check_sample(figure["limit"])
        self.assertGreater(len(figure["peers"]), 4)
        for name, peer in figure["peers"].items():
            if name.startswith("limit"):
                self.check_sample(peer)
            else:
                self.assertIn("left out", peer.get("missing", ""), name)
        # What was measured is judged, by its ratio; what was not is not.
        judged = {goal["against"]: goal for goal in figure["goals"]}
        of_limit = judged.pop(figure["limit"]["name"])
        self.assertAlmostEqual(of_limit["ratio"], figure["limit"]["rexec_is_times"])
        self.assertEqual(of_limit["reached"], of_limit["ratio"] <= 1.5)
        self.assertEqual([goal["reached"] for goal in judged.values()], [None, None])
        # Two rounds: the ratio lies between the extremes' ratios.
        self.assertLessEqual(of_limit["ratio"], figure["rexec"]["max"] / figure["limit"]["min"])
        self.assertGreaterEqual(of_limit["ratio"], figure["rexec"]["min"] / figure["limit"]["max"])
        # The table says the same.
        left_out = sum(not name.startswith("limit") for name in figure["peers"])
        self.assertEqual(run.stdout.count("not measured: left out by --without"), left_out)
        self.assertEqual(run.stdout.count(": not judged ("), 2)
        self.assertTrue(re.search(r"goal: at most 1\.5 x the limit .*: (NOT )?reached", run.stdout), run.stdout)

    @unittest.skipUnless(BUILT, "the programs of tests/bench are not built here")
    @unittest.skipIf(SANITIZED, "LeakSanitizer and strace exclude each other")
    def test_sections_that_share_their_ways_are_whole(self):
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / "result.json"
            without = [word for peer in PEERS for word in ("--without", peer)]
            run = run_bench("--build", str(BUILD), "--quick", "--no-user", "--only", "bulk", "--only", "costs",
                            "--json", str(path), *without)
            self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
            result = json.loads(path.read_text(encoding="utf-8"))
        self.assertNotIn("broken_sections", result)
        # System calls are counted as root only.
        figures = [f for f in result["figures"] if f["section"] == "bulk" or f["figure"].startswith("CPU time")]
        self.assertEqual(len(figures), 2 + 6)
        for figure in figures:
            with self.subTest(figure["figure"]):
                self.check_sample(figure["rexec"])
                for loop, sample in figure["peers"].items():
                    if loop.startswith("bare loop"):
                        self.check_sample(sample)

    @unittest.skipUnless(BUILT, "the programs of tests/bench are not built here")
    def test_an_interrupt_leaves_nothing(self):
        before = site_directories()
        without = [word for peer in PEERS if peer != "course server" for word in ("--without", peer)]
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / "result.json"
            with subprocess.Popen([BENCH / "run.sh", "--build", str(BUILD), "--no-user", "--only", "commands", "--json",
                                   str(path), *without], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                  stdin=subprocess.DEVNULL) as run:
                try:
                    while (line := run.stdout.readline()) and not line.startswith(b"ncat: "):
                        pass
                    self.assertEqual(line, b"ncat: NOT HERE: left out by --without\n")
                    [made] = [path for path in site_directories() - before if (path / "grants").exists()]
                    self.assertTrue(until(lambda: any("batch -j" in line and str(made) in line
                                                      for line in command_lines())))
                    run.send_signal(signal.SIGINT)
                    self.assertEqual(run.wait(timeout=60), 130)
                finally:
                    if run.poll() is None:
                        run.terminate()
            self.assertFalse(path.exists())
        self.assertEqual(site_directories(), before)
        self.assertTrue(until(lambda: not any(str(made) in line for line in command_lines())),
                        [line for line in command_lines() if str(made) in line])


if __name__ == "__main__":
    os.environ.pop("REXEC_DEPS_CHECK", None)
    unittest.main()
