#!/usr/bin/python3
"""The manual pages: well-formed, and complete where the programs can be asked."""
import glob
import os
import re
import subprocess
import unittest

SOURCE = os.environ.get("REXEC_SOURCE", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
REXEC = os.path.join(os.environ.get("REXEC_BUILD", "."), "bin", "rexec")
PAGES = sorted(glob.glob(os.path.join(SOURCE, "docs", "man", "*.[1-8]")))


class TestPages(unittest.TestCase):
    def test_lint(self):
        self.assertTrue(PAGES)
        for page in PAGES:
            result = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", page], capture_output=True, check=False)
            self.assertEqual((result.returncode, result.stdout + result.stderr), (0, b""), page)

    def test_every_option_of_rexec(self):
        options = subprocess.run([REXEC, "help"], capture_output=True, check=True, text=True).stdout
        options = re.findall(r"^  (?:-(\w))?[, ]*(?:--([\w-]+))?", options.split("options:\n")[1], re.MULTILINE)
        self.assertGreater(len(options), 25)
        page = os.path.join(SOURCE, "docs", "man", "rexec.1")
        page = subprocess.run(["mandoc", "-T", "ascii", page], capture_output=True, check=True).stdout.decode()
        page = re.sub(".\b", "", page)
        for letter, name in options:
            for option in ("-" + letter if letter else None, "--" + name if name else None):
                if option is not None:
                    self.assertRegex(page, r"(?m)^ +(?:[^ ]+.*, )?" + option + r"\b", option)

    def test_every_field_of_audit_records(self):
        with open(os.path.join(SOURCE, "rexecd", "audit.c"), encoding="ascii") as file:
            fields = set(re.findall(r'\bput\w*\(object, "(\w+)"', file.read()))
        with open(os.path.join(SOURCE, "rexecd", "monitor_exec.c"), encoding="ascii") as file:
            runs = re.findall(r'\[RX_RUN_\w+\] = "(\w+)"', file.read())
        self.assertGreater(len(fields), 30)
        self.assertGreater(len(runs), 3)
        with open(os.path.join(SOURCE, "docs", "man", "rexecd.8"), encoding="ascii") as file:
            section = file.read().split(".Sh AUDIT RECORDS\n")[1].split("\n.Sh ")[0]
        said = set(re.findall(r"^\.Cm (\w+)", section, re.MULTILINE)) | set(re.findall(r"\(oq(\w+)\\\(cq", section))
        self.assertEqual(fields.union(runs) - said, set())


if __name__ == "__main__":
    unittest.main()
