#!/usr/bin/python3
"""git through rexec: GIT_SSH, GIT_SSH_COMMAND, core.sshCommand and a program named ssh, protocol version 2."""

import os
import re
import unittest

from callers import ME, CallerTest, both_ways, needs
from lab import REXEC

IDENTITY = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b.invalid",
            "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b.invalid", "GIT_TERMINAL_PROMPT": "0"}


@needs("git")
@both_ways
class Git(CallerTest):
    def git(self, *words, env=None, **more):
        return self.call("git", "-c", "init.defaultBranch=main", *words, env={**IDENTITY, **(env or {})}, **more)

    def setUp(self):
        """A repository with a commit, and a bare one, whose name needs quotes, that has it too."""
        super().setUp()
        self.work, self.there = self.dir / "work", self.dir / "there's.git"
        self.git("init", "-q", self.work)
        for i in range(10):
            (self.work / f"file{i}").write_bytes(os.urandom(2000 * i))
        (self.work / "large").write_bytes(os.urandom(3_000_000))
        self.commit("one")
        self.git("init", "-q", "--bare", self.there)
        self.git("-C", self.there, "symbolic-ref", "HEAD", "refs/heads/main")
        self.git("-C", self.work, "push", "-q", self.there, "HEAD:main")

    def commit(self, text, where=None):
        self.git("-C", where or self.work, "add", "-A")
        self.git("-C", where or self.work, "commit", "-q", "-m", text)

    def head(self, where, name="HEAD"):
        return self.git("-C", where, "rev-parse", name).stdout.strip()

    def round_trip(self, env, address, version=2):
        """clone, commit, push, fetch, pull: both repositories end equal, and are whole."""
        copy, trace, packets = self.dir / "copy", self.dir / "trace", self.dir / "packets"
        env = {**env, "GIT_TRACE": str(trace), "GIT_TRACE_PACKET": str(packets)}
        self.git("clone", "-q", address, copy, env=env)
        self.assertEqual(self.head(copy), self.head(self.work))
        self.assertEqual("clone< version 2" in packets.read_text(), version == 2)
        (copy / "mine").write_bytes(os.urandom(1_000_000))
        self.commit("two", copy)
        self.git("-C", copy, "push", "-q", "origin", "HEAD:main", "HEAD:refs/heads/other", env=env)
        self.assertEqual(self.head(self.there, "other"), self.head(copy))
        self.git("-C", self.work, "pull", "-q", address, "main", env=env)
        self.assertEqual(self.head(self.work), self.head(copy))
        self.git("-C", self.work, "push", "-q", self.there, "HEAD~1:refs/heads/old")
        packets.unlink()
        self.git("-C", copy, "fetch", "-q", "--tags", "origin", env=env)
        self.assertEqual("fetch< version 2" in packets.read_text(), version == 2)
        self.assertEqual(self.head(copy, "origin/old"), self.head(self.work, "HEAD~1"))
        run = self.git("ls-remote", address, env=env)
        self.assertEqual(len(run.stdout.splitlines()), 4)       # HEAD, main, old, other
        for repository in (copy, self.there):
            self.git("-C", repository, "fsck", "--strict")
        return trace.read_text()

    def test_git_ssh(self):
        """A program not named ssh is asked first (-G) whether it takes ssh's options."""
        trace = self.round_trip({"GIT_SSH": str(REXEC)}, f"ssh://{ME}@{self.host}:{self.port()}{self.there}")
        self.assertRegex(trace, rf"run_command: '?{REXEC}'? -G ")
        self.assertRegex(trace, rf"-o SendEnv=GIT_PROTOCOL -p {self.port()} {ME}@{self.host} ")

    def test_git_ssh_command(self):
        """Its words are split by a shell; the address is scp's form."""
        trace = self.round_trip({"GIT_SSH_COMMAND": f"{REXEC} -o 'BatchMode yes'"}, f"{self.host}:{self.there}")
        self.assertIn(" -G ", trace)

    def test_core_ssh_command(self):
        self.round_trip({"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.sshCommand",
                         "GIT_CONFIG_VALUE_0": f"{REXEC} -T"}, f"ssh://{self.host}{self.there}")

    def test_named_ssh(self):
        """Nothing is configured: git finds a program named ssh in PATH, and need not ask it."""
        trace = self.round_trip({}, f"{ME}@{self.host}:{self.there}")
        self.assertNotIn(" -G ", trace)
        self.assertRegex(trace, re.compile(r"run_command: (?:unset \S+ )?.*\bssh -o SendEnv=GIT_PROTOCOL"))

    def test_old_protocol(self):
        self.round_trip({"GIT_SSH": str(REXEC), "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "protocol.version",
                         "GIT_CONFIG_VALUE_0": "0"}, f"{self.host}:{self.there}", version=0)

    def test_variant_simple(self):
        """GIT_SSH_VARIANT keeps git from asking, as users set it for programs that do not answer."""
        for variant in ("ssh", "simple"):
            run = self.git("ls-remote", f"{self.host}:{self.there}",
                           env={"GIT_SSH": str(REXEC), "GIT_SSH_VARIANT": variant})
            self.assertIn(b"refs/heads/main", run.stdout)

    def test_archive_and_shallow(self):
        env = {"GIT_SSH": str(REXEC)}
        run = self.git("archive", f"--remote={self.host}:{self.there}", "main", "file3", env=env)
        self.assertIn((self.work / "file3").read_bytes(), run.stdout)
        self.git("clone", "-q", "--depth=1", "--filter=blob:none", f"{self.host}:{self.there}", "shallow", env=env)
        self.assertEqual((self.dir / "shallow" / "large").read_bytes(), (self.work / "large").read_bytes())

    def test_failures(self):
        env = {"GIT_SSH": str(REXEC)}
        run = self.git("clone", "-q", f"{self.host}:{self.dir}/none", "x", env=env, status=128)
        self.assertIn(b"does not appear to be a git repository", run.stderr)
        run = self.git("clone", "-q", f"{self.host}:{self.there}", "x", status=128,
                       env={"GIT_SSH_COMMAND": f"{REXEC} -i /no/such/key"})
        self.assertIn(b"/no/such/key", run.stderr)
        self.git("ls-remote", f"{self.host}:{self.there}", env=env)


if __name__ == "__main__":
    unittest.main()
