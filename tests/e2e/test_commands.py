"""Commands through the real client and the real daemon."""

import hashlib
import os
import signal
import unittest

from lab import LabTest, alive, until


class Commands(LabTest):
    def test_both_streams_and_status(self):
        self.check(self.lab.rexec("echo out; echo err >&2; exit 3"), 3, b"out\n", b"err\n")

    def test_words_are_joined_for_the_shell(self):
        self.check(self.lab.rexec("echo", "a", "b  c"), 0, b"a b c\n")

    def test_stdin_comes_back(self):
        data = os.urandom(3_000_000)
        run = self.lab.rexec("cat", input=data)
        self.assertEqual((run.returncode, hashlib.sha256(run.stdout).digest(), run.stderr),
                         (0, hashlib.sha256(data).digest(), b""))

    def test_stdin_not_read(self):
        self.check(self.lab.rexec("exit 5", input=bytes(2_000_000)), 5)

    def test_no_stdin(self):
        self.check(self.lab.rexec("cat; readlink /proc/self/fd/0"), 0, b"/dev/null\n")

    def test_large_output(self):
        run = self.lab.rexec("head -c 50000000 /dev/zero | tr '\\0' 'x'; echo end >&2")
        self.assertEqual((run.returncode, len(run.stdout), set(run.stdout), run.stderr),
                         (0, 50_000_000, {ord("x")}, b"end\n"))

    def test_directory(self):
        self.check(self.lab.rexec("pwd", options=("--cwd", "/usr")), 0, b"/usr\n")
        self.one_line(self.lab.rexec("pwd", options=("--cwd", "/no/such")), "/no/such")

    def test_command_not_found(self):
        run = self.lab.rexec("/no/such/program", options=("--exec",))
        self.one_line(run, "no/such/program")

    def test_timeout(self):
        run = self.lab.rexec("trap '' TERM; sleep 60", options=("--timeout", "0.3"), timeout=30)
        self.assertIn(run.returncode, (128 + signal.SIGTERM, 128 + signal.SIGKILL))

    def test_typed_signals_reach_the_command(self):
        run = self.lab.popen("trap 'echo got; exit 9' TERM; echo ready; while :; do sleep 0.1; done")
        self.assertEqual(run.stdout.readline(), b"ready\n")
        run.send_signal(signal.SIGTERM)
        out, _ = run.communicate(timeout=30)
        self.assertEqual((run.returncode, out), (9, b"got\n"))

    def test_output_is_live(self):
        run = self.lab.popen("echo first; read line; echo second $line")
        self.assertEqual(run.stdout.readline(), b"first\n")
        out, _ = run.communicate(b"go\n", timeout=30)
        self.assertEqual((run.returncode, out), (0, b"second go\n"))


class Ends(LabTest):
    flags = {"kill_grace": "0.3"}

    def start_tree(self):
        """A command with a child and a grandchild that ignore TERM; the client and all their pids."""
        script = ("trap '' INT TERM HUP; sh -c 'trap \"\" INT TERM HUP; sleep 600 & echo $!; echo $$; wait' & "
                  "echo $$; wait")
        client = self.lab.popen(script)
        pids = [int(client.stdout.readline()) for _ in range(3)]
        self.assertTrue(all(alive(pid) for pid in pids))
        return client, pids

    def gone(self, pids):
        return until(lambda: not any(alive(pid) for pid in pids))

    def finish(self, client):
        client.wait(timeout=30)
        for pipe in (client.stdin, client.stdout, client.stderr):
            pipe.close()

    def test_second_interrupt_gives_up(self):
        client, pids = self.start_tree()
        client.send_signal(signal.SIGINT)
        self.assertFalse(until(lambda: client.poll() is not None, 1))
        client.send_signal(signal.SIGINT)
        self.finish(client)
        self.assertTrue(self.gone(pids), "a process of the tree is left")


if __name__ == "__main__":
    unittest.main()
