#!/usr/bin/python3
"""README.md: what it shows is what the programs still say, and what it points at is there."""

import collections
import os
import re
import shlex
import subprocess
import unittest

from lab import BUILD, SOURCE, LabTest

README = (SOURCE / "README.md").read_text(encoding="utf-8")
BOXES = re.compile("[│┌┐└┘├┤┬┴┼─]")


def transcripts():
    """{what was typed: [line of its output]} of all blocks; `...` stands for what is left out."""
    found = collections.defaultdict(list)
    for block in re.findall(r"(?ms)^```\n(.*?)^```$", README):
        typed = None
        for line in block.splitlines():
            if line.startswith("$ "):
                typed = line[2:]
                found[typed] += []
            elif typed is not None and line not in ("", "..."):
                found[typed].append(line)
    return found


def shape(line):
    """The line without what differs from run to run: random bytes, numbers and times, marks, how wide boxes are."""
    if BOXES.search(line):
        return "row " + re.split(BOXES, line)[0].strip()
    line = re.sub(r"\b[0-9a-f]{16,}\b", "HEX", line)
    return re.sub(r"\d+", "0", line)


class Readme(LabTest):
    def check_shown(self, shown, said):
        """All lines are there, in their order."""
        self.assertGreater(len(shown), 3)
        rest = iter(map(shape, said.splitlines()))
        for line in shown:
            self.assertIn(shape(line), rest, f"{line!r} is not in the output, or not at its place:\n{said}")

    def run_rexec(self, *words):
        run = subprocess.run([BUILD / "bin" / "rexec", *words], stdin=subprocess.DEVNULL, capture_output=True, timeout=120,
                             check=False, env={**os.environ, "LC_ALL": "C.UTF-8", "COLUMNS": "80"})
        self.assertEqual(run.returncode, 0, run)
        return run.stdout.decode()

    def test_lesson_of_the_handshake(self):
        said = self.run_rexec("lesson", "handshake")
        self.check_shown(transcripts()["rexec lesson handshake"], said)
        sum_up = re.search(r"Attacks on the toys .*", said)[0]
        self.assertIn(sum_up, README)       # these numbers are the same each time

    def test_lesson_of_sticky_packets(self):
        """What the naive receiver gets hangs on times: of that only what is said about it."""
        shown = [line for line in transcripts()["rexec lesson sticky"]
                 if not re.match(r"  [✓✗] |    sent|  *\d+( +\d+)+$", line)]
        mark = lambda line: re.sub("^[✓✗] ", "", line)
        said = "\n".join(map(mark, self.run_rexec("lesson", "sticky").splitlines()))
        self.check_shown(list(map(mark, shown)), said)

    def test_probe(self):
        shown = transcripts()["rexec probe lab01"]
        said = self.run_rexec("probe", "-F", "none", "-i", self.lab.key, "-p", str(self.lab.port), "-o",
                              "HostName=127.0.0.1", "lab01")
        self.check_shown(shown, said)
        self.assertEqual(shown[-1], said.splitlines()[-1])

    def test_commands(self):
        """Those of quickstart.sh: with the output and the status that are shown."""
        commands = {typed: lines for typed, lines in transcripts().items() if "rexec -i key" in typed}
        self.assertEqual(len(commands), 3)
        script = (SOURCE / "quickstart.sh").read_text()
        for typed, lines in commands.items():
            before, command = re.fullmatch(r"(.*)rexec -i key -p \d+ localhost (.*)", typed).groups()
            self.assertIn(shlex.split(command)[0], script)
            line = before + shlex.join(self.lab.command_line()) + " " + command
            run = subprocess.run(["sh", "-c", line], stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
            said = ["  stdout: " + text for text in run.stdout.decode().splitlines()]
            said += ["  stderr: " + text for text in run.stderr.decode().splitlines()]
            said.append(f"  status: {run.returncode}")
            self.assertEqual([re.sub(r" \(128 .*", "", line) for line in lines], said, typed)

    def test_what_it_points_at(self):
        links = re.findall(r"\]\(([^)#]+)\)", README)
        self.assertGreater(len(links), 8)
        for link in links:
            self.assertTrue((SOURCE / link).exists(), link)
        heads = {re.sub(r"[^\w -]", "", head).strip().lower().replace(" ", "-")
                 for head in re.findall(r"(?m)^#+ (.*)$", README)}
        for anchor in re.findall(r"\]\(#([^)]+)\)", README):
            self.assertIn(anchor, heads)


if __name__ == "__main__":
    unittest.main()
