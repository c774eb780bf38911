"""docs/examples: the client in a page, and what becomes of each exercise."""

import contextlib
import hashlib
import os
import re
import socket
import subprocess
import sys
import tempfile
import unittest

from lab import NAME, REXEC, SOURCE, LabTest

EXAMPLES = SOURCE / "docs" / "examples"


def exercises():
    """[(title, [(old, new)...], text, outcome)] of docs/examples/README.md."""
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8").split("## Exercises")[1]
    found = []
    for part in re.split(r"(?m)^### ", text)[1:]:
        diff = re.search(r"```diff\n(.*?)```", part, re.DOTALL).group(1).splitlines(keepends=True)
        old = "".join(line[1:] for line in diff if line[0] == "-")
        new = "".join(line[1:] for line in diff if line[0] == "+")
        outcome = re.search(r"(?m)^Outcome: `(.*)`$", part).group(1)
        found.append((part.splitlines()[0], old, new, part, outcome))
    return found


class Examples(LabTest):
    flags = {"readable": "yes"}
    grant_options = ("--readable",)

    def client(self, *words, program=EXAMPLES / "client.py", port=None, name=NAME):
        """A run of the client to its end: (status, stdout, stderr)."""
        run = subprocess.run([sys.executable, "-B", program, self.lab.key, name, "127.0.0.1",
                              str(port or self.lab.port), *words], capture_output=True, timeout=120,
                             stdin=subprocess.DEVNULL, check=False)
        return run.returncode, run.stdout, run.stderr

    @contextlib.contextmanager
    def helper(self, name, *words):
        """A program of docs/examples that prints its port; what else it says comes in the list."""
        said = []
        with subprocess.Popen([sys.executable, "-B", EXAMPLES / name, *words], stdout=subprocess.PIPE,
                              stdin=subprocess.DEVNULL) as process:
            try:
                yield int(process.stdout.readline()), said
                said.append(process.communicate(timeout=60)[0].decode())
            finally:
                process.kill()

    def test_standard_library_only(self):
        imports = re.findall(r"(?m)^\s*(?:import|from) (\w+)", (EXAMPLES / "client.py").read_text(encoding="utf-8"))
        self.assertGreater(len(imports), 4)
        self.assertLessEqual(set(imports), set(sys.stdlib_module_names))

    def test_run_as_its_readme_says(self):
        for program in EXAMPLES.glob("*.py"):
            self.assertTrue(os.access(program, os.X_OK), program)
        run = subprocess.run([EXAMPLES / "client.py", self.lab.key, NAME, "127.0.0.1", str(self.lab.port),
                              "echo hello; exit 3"], capture_output=True, timeout=60, check=False)
        self.assertEqual((run.returncode, run.stdout), (3, b"hello\n"))

    def test_both_streams_and_status(self):
        self.assertEqual(self.client("echo out; echo err >&2; exit 3"), (3, b"out\n", b"err\n"))

    def test_more_than_a_window_comes_whole(self):
        status, out, err = self.client("head -c 3000000 /dev/zero | tr '\\0' x; exit 5")
        self.assertEqual((status, hashlib.sha256(out).hexdigest(), err),
                         (5, hashlib.sha256(b"x" * 3000000).hexdigest(), b""))

    def test_refusals_are_named(self):
        status, out, err = self.client("echo hi", name="lab02")
        self.assertEqual((status, out), (1, b""))
        self.assertIn(b"proof_wrong", err)

    def test_nobody_listens_is_one_line(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        status, out, err = self.client("echo hi", port=port)
        self.assertEqual((status, out), (1, b""))
        self.assertRegex(err, rb"\Aclient: [^\n]*refused\n\Z")

    def test_a_grant_that_is_not_readable(self):
        key = self.lab.dir / "other"
        self.lab.make_key(key)
        self.lab.add_grant("other", key)
        self.lab.stop()
        self.lab.start()
        run = subprocess.run([sys.executable, "-B", EXAMPLES / "client.py", key, NAME, "127.0.0.1",
                              str(self.lab.port), "echo hi"], capture_output=True, timeout=60, check=False)
        self.assertEqual((run.returncode, run.stdout), (1, b""))
        self.assertIn(b"suite_not_permitted", run.stderr)

    def test_through_drip(self):
        with self.helper("drip.py", "127.0.0.1", str(self.lab.port)) as (port, _):
            self.assertEqual(self.client("echo hello; exit 4", port=port), (4, b"hello\n", b""))

    def test_a_changed_record_is_refused(self):
        with self.helper("tamper.py", "127.0.0.1", str(self.lab.port)) as (port, _):
            status, out, err = self.client("echo hello", port=port)
        self.assertEqual((status, out), (1, b""))
        self.assertIn(b"bad_seal", err)

    def test_impostor_is_told_nothing(self):
        with self.helper("impostor.py") as (port, said):
            status, out, err = self.client("echo hello", port=port)
        self.assertEqual((status, out), (1, b""))
        self.assertIn(b"proof_wrong", err)
        self.assertEqual(said, ["impostor: the client went away and told me nothing\n"])

    def test_what_is_left(self):
        """A hostile server finds in the client what its README says, and nothing else."""
        left = (EXAMPLES / "README.md").read_text(encoding="utf-8").split("## What is left")[1]
        named = re.findall(r"`([a-z]+_[a-z_]+)`", left)
        self.assertGreater(len(named), 5)
        probe = [REXEC, "probe", "-F", "none", "-i", self.lab.key, "--serve", "0", NAME]
        listed = subprocess.run([*probe, "--list"], capture_output=True, timeout=60, check=True)
        with subprocess.Popen(probe, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                              text=True) as server:
            try:
                line = server.stderr.readline()
                port = re.search(r"listening on 127\.0\.0\.1 port (\d+)", line)[1]
                for _ in listed.stdout.splitlines():
                    self.client("true", port=port)
                said = server.communicate(timeout=60)[0]
            finally:
                server.kill()
        self.assertEqual(server.returncode, 1)
        self.assertEqual(sorted(re.findall(r"(?m)^FAILED +(\w+)", said)), sorted(named))

    def test_every_exercise(self):
        good = (EXAMPLES / "client.py").read_text(encoding="utf-8")
        all_of_them = exercises()
        self.assertEqual(len(all_of_them), 8)
        for title, old, new, text, outcome in all_of_them:
            with self.subTest(title), tempfile.TemporaryDirectory() as place:
                self.assertEqual(good.count(old), 1, "the exercise does not fit client.py")
                program = os.path.join(place, "client.py")
                with open(program, "w", encoding="utf-8") as file:
                    file.write(good.replace(old, new))
                command = re.search(r"Run `(.*?)`:", text)
                command = command.group(1) if command else "echo hello"
                said = []
                if "then through `drip.py`" in text:
                    helper = self.helper("drip.py", "127.0.0.1", str(self.lab.port))
                elif "through `tamper.py`" in text:
                    helper = self.helper("tamper.py", "127.0.0.1", str(self.lab.port))
                elif "against `impostor.py`" in text:
                    helper = self.helper("impostor.py")
                else:
                    helper = contextlib.nullcontext((self.lab.port, said))
                with helper as (port, said):
                    _, out, err = self.client(command, program=program, port=port)
                self.assertNotIn(b"Traceback", err)
                self.assertIn(outcome, out.decode() + err.decode() + "".join(said))


if __name__ == "__main__":
    unittest.main()
