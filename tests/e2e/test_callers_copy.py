#!/usr/bin/python3
"""Programs that copy files through ssh, as installed, with rexec in its place: rsync, scp, sftp, sshfs, tar, and
those that keep backups. Both ends are real; what arrives is compared with what was sent."""

import json
import os
import shutil
import signal
import time
import unittest

from callers import ME, CallerTest, both_ways, digest, make_tree, needs, needs_sftp_server, tree
from lab import REXEC, until


@needs("rsync")
@both_ways
class Rsync(CallerTest):
    def rsync(self, *words, program=REXEC, **more):
        return self.call("rsync", "-e", program, "-a", *words, **more)

    def test_push_pull_delete(self):
        here, there, back = make_tree(self.dir / "here"), self.dir / "there", self.dir / "back"
        self.rsync(f"{here}/", f"{self.host}:{there}/")
        self.assertEqual(tree(there), tree(here))
        self.rsync("-z", "--checksum", f"{ME}@{self.host}:{there}/", f"{back}/")
        self.assertEqual(tree(back), tree(here))
        shutil.rmtree(here / "d3")
        (here / "with space").unlink()
        (here / "new").write_bytes(b"new")
        with open(here / "large", "r+b") as file:        # a delta
            file.seek(1_000_000)
            file.write(b"changed")
        os.utime(here / "large", (1_700_000_000, 1_700_000_000))
        self.rsync("--delete", f"{here}/", f"{self.host}:{there}/")
        self.assertEqual(tree(there), tree(here))
        self.assertFalse((there / "d3").exists())
        self.rsync("--delete", f"{self.host}:{there}/", f"{back}/")
        self.assertEqual(tree(back), tree(here))

    def test_large_tree(self):
        """Thousands of small files, all of them again for nothing, one large one."""
        here, there = make_tree(self.dir / "here", files=2500, large=24_000_000), self.dir / "there"
        self.rsync("-l", f"{here}/", f"{self.host}:{there}/", program=self.ssh)
        self.assertEqual(tree(there), tree(here))
        run = self.rsync("-i", f"{here}/", f"{self.host}:{there}/", program=self.ssh)
        self.assertEqual(run.stdout, b"")

    def test_port_and_user(self):
        """The words of -e are split by rsync itself; RSYNC_RSH counts as -e."""
        (self.dir / "one").write_bytes(b"one")
        self.call("rsync", "-e", f"{REXEC} -p {self.port()} -o 'BatchMode yes' -l {ME}", "one",
                  f"{self.host}:{self.dir}/two")
        self.call("rsync", "two", f"{ME}@{self.host}:{self.dir}/three", env={"RSYNC_RSH": "rexec"})
        self.assertEqual((self.dir / "three").read_bytes(), b"one")

    @needs("rrsync")
    def test_forced_to_one_directory(self):
        """rrsync, which looks for what sshd would have said."""
        key = self.dir / "key"
        self.lab.make_key(key)
        (self.dir / "open").mkdir()
        (self.dir / "open" / "one").write_bytes(b"one")
        self.lab.add_grant("forced", key, "--command", 'SSH_ORIGINAL_COMMAND="$REXEC_ORIGINAL_COMMAND" exec '
                           f"rrsync -ro '{self.dir}/open'")
        self.lab.server.send_signal(signal.SIGHUP)
        words = ["rsync", "-a", "-e", f"{REXEC} -i {key}"]
        self.assertTrue(until(lambda: self.call(*words, f"{self.host}:/one", "two", status=None).returncode == 0))
        self.assertEqual((self.dir / "two").read_bytes(), b"one")
        self.call(*words, "two", f"{self.host}:/two", status=12)
        self.assertFalse((self.dir / "open" / "two").exists())

    def test_failures(self):
        """The statuses of rsync: the remote side's is not mistaken for the transport's. Where its child has
        not ended yet, rsync says 12."""
        run = self.rsync(f"{self.host}:{self.dir}/none", "x", status=23)
        self.assertIn(b"No such file", run.stderr)
        for words, own in ((("--rsync-path=/no/such/rsync", "-e", REXEC), 127),
                           (("-e", f"{REXEC} -i /no/such/key"), 255)):
            run = self.call("rsync", *words, f"{self.host}:/etc/passwd", "x", status=None)
            self.assertIn(run.returncode, (own, 12), run.stderr)
            self.assertIn(b"/no/such", run.stderr)
        self.rsync("/etc/passwd", f"{self.host}:{self.dir}/x")      # it reaches the host all the same


@needs("scp")
@both_ways
class Scp(CallerTest):
    def scp(self, *words, **more):
        return self.call("scp", "-q", "-S", self.ssh, *words, **more)

    def copies(self, *flags):
        here, there, back = make_tree(self.dir / "here", files=40), self.dir / "there", self.dir / "back"
        (here / "link").unlink()        # scp follows
        for name in os.listdir(os.fsencode(here)):
            if b"\n" in name or b"\xff" in name:
                os.unlink(os.path.join(os.fsencode(here), name))    # not in its protocol
        self.scp(*flags, here / "large", f"{self.host}:{self.dir}/large")
        self.scp(*flags, "-P", self.port(), f"{ME}@{self.host}:{self.dir}/large", "large2")
        self.assertEqual(digest(self.dir / "large2"), digest(here / "large"))
        self.scp(*flags, "-rp", here, f"{self.host}:{there}")
        self.assertEqual(tree(there), tree(here))
        self.scp(*flags, "-r", "-p", f"{self.host}:{there}", back)
        self.assertEqual(tree(back), tree(here))
        self.scp(*flags, "-3", f"{self.host}:{there}/large", f"{self.host}:{self.dir}/large3")
        self.assertEqual(digest(self.dir / "large3"), digest(here / "large"))
        run = self.scp(*flags, f"{self.host}:{self.dir}/none", "x", status=1)
        self.assertIn(b"No such file", run.stderr)

    @needs_sftp_server
    def test_sftp_protocol(self):
        self.copies()

    def test_old_protocol(self):
        self.copies("-O")


@needs("sftp")
@needs_sftp_server
@both_ways
class Sftp(CallerTest):
    def sftp(self, commands, *words, status=0):
        return self.call("sftp", "-q", "-b", "-", "-S", REXEC, *words, self.host, input=commands.encode(),
                         status=status)

    def test_put_get_recursive(self):
        here = make_tree(self.dir / "here", files=60)
        (here / "link").unlink()        # sftp skips it
        for name in os.listdir(os.fsencode(here)):
            if b"\n" in name or b"\xff" in name:
                os.unlink(os.path.join(os.fsencode(here), name))
        self.sftp(f"mkdir {self.dir}/there\nput -R {here}/* {self.dir}/there/\nput -p {here}/script "
                  f"{self.dir}/there/\nget -R {self.dir}/there {self.dir}/back\n", "-P", self.port(),
                  "-oUser=" + ME)
        names = {path: what for path, (_, what) in tree(here).items()}
        for copy in ("there", "back"):
            self.assertEqual({path: what for path, (_, what) in tree(self.dir / copy).items()}, names)
        run = self.sftp(f"ls -1 {self.dir}/there/d3\nrename {self.dir}/there/large {self.dir}/there/l2\n"
                        f"rm {self.dir}/there/l2\n")
        self.assertIn(b"/d3/e0", run.stdout)
        self.assertFalse((self.dir / "there" / "large").exists())

    def test_resume(self):
        """reput and reget go on where the copy ends."""
        data = os.urandom(5_000_000)
        (self.dir / "whole").write_bytes(data)
        for command, end in ((f"reput whole {self.dir}/up", "up"), (f"reget {self.dir}/whole down", "down")):
            (self.dir / end).write_bytes(data[:3_210_987])
            self.sftp(command + "\n")
            self.assertEqual(digest(self.dir / end), digest(self.dir / "whole"))

    def test_failures(self):
        run = self.sftp("get /no/such/file\n", status=1)
        self.assertIn(b"not found", run.stderr)
        self.sftp("-get /no/such/file\npwd\n")
        run = self.call("sftp", "-b", "-", "-S", REXEC, "-s", "no-such", self.host, input=b"pwd\n", status=255)
        self.assertIn(b"no-such: the server has no such subsystem", run.stderr)

    def test_as_its_user_at_home(self):
        run = self.sftp("pwd\n")
        self.assertIn(os.path.realpath(os.path.expanduser("~" + ME)).encode(), run.stdout)


@both_ways
class Subsystems(CallerTest):
    """What sftp asks for, by hand; the server's configuration names two, and no sftp."""

    flags = {**CallerTest.flags, "subsystem": "hello=/bin/hostname gone=/no/such/program"}

    def records(self):
        text = self.lab.audit.read_text()
        lines = map(json.loads, text[:text.rfind("\n") + 1].splitlines())      # the last may be half there
        return [line for line in lines if line["record"] == "command" and line["run"] == "subsystem"]

    def test_subsystem(self):
        self.check(self.call("ssh", "-s", self.host, "hello"), 0, self.call("hostname").stdout)
        self.assertTrue(until(self.records))
        self.assertEqual(self.records()[-1]["words"], ["hello"])

    def test_program_not_there(self):
        """The user's shell says so, and its status counts."""
        run = self.call("ssh", "-s", self.host, "gone", status=127)
        self.assertIn(b"/no/such/program", run.stderr)

    def test_unknown(self):
        for name in ("sftp", "hell", "hello=", "/bin/hostname"):
            run = self.call("ssh", self.host, "-s", name, status=255)
            self.one_line(run, f"{name}: the server has no such subsystem; see subsystem in rexecd.conf(5) there")
            self.assertEqual(self.records()[-1]["refused"], "no_such_subsystem")

    def test_forced_command(self):
        """It runs in the place of any subsystem, which it is told."""
        key = self.dir / "key"
        self.lab.make_key(key)
        self.lab.add_grant("forced", key, "--command", "echo forced $REXEC_ORIGINAL_COMMAND")
        self.lab.server.send_signal(signal.SIGHUP)
        words = ["ssh", "-i", key, "-s", self.host]
        self.assertTrue(until(lambda: self.call(*words, "hello", status=None).returncode == 0))
        for name in ("hello", "sftp", "no-such"):
            self.check(self.call(*words, name), 0, f"forced {name}\n".encode())


@needs("sshfs", "fusermount3")
@needs_sftp_server
@both_ways
class Sshfs(CallerTest):
    def test_mount(self):
        here, mount, back = make_tree(self.dir / "here", files=40), self.dir / "mount", self.dir / "back"
        mount.mkdir()
        (self.dir / "there").mkdir()
        run = self.call("sshfs", "-o", f"ssh_command={REXEC}", f"{self.host}:{self.dir}/there", mount, status=None)
        if run.returncode != 0 and (b"fuse" in run.stderr.lower() or b"mount" in run.stderr.lower()):
            self.skipTest(f"nothing can be mounted here: {run.stderr.decode(errors='replace').strip()}")
        self.assertEqual((run.returncode, run.stderr), (0, b""))
        try:
            self.call("cp", "-dR", "--preserve=mode", f"{here}/.", mount)
            self.assertEqual(tree(self.dir / "there"), tree(here))
            self.call("cp", "-dR", "--preserve=mode", mount, back)
            self.assertEqual(tree(back), tree(here))
            (mount / "large").rename(mount / "larger")
            with open(mount / "larger", "r+b") as file:
                file.seek(123_456)
                file.write(b"changed")
            shutil.rmtree(mount / "d1")
        finally:
            self.call("fusermount3", "-u", mount)
        self.assertEqual((self.dir / "there" / "larger").read_bytes()[123_456:123_463], b"changed")
        self.assertFalse((self.dir / "there" / "d1").exists())


@both_ways
class Tar(CallerTest):
    def test_both_directions(self):
        here = make_tree(self.dir / "here", files=400, large=10_000_000)
        for name in ("there", "back"):
            (self.dir / name).mkdir()
        self.shell('tar -C here -cf - . | rexec $h "tar -C $1 -xpf -"', self.dir / "there")
        self.assertEqual(tree(self.dir / "there"), tree(here))
        self.shell('rexec $h "tar -C $1 -czf - ." | tar -C back -xpzf -', self.dir / "there")
        self.assertEqual(tree(self.dir / "back"), tree(here))

    def test_reader_goes_away(self):
        """Who took enough is not an error of ours: the pipe's end ends the command."""
        run = self.shell("rexec $h 'yes' | head -n 1000000 | sha256sum; echo \"$(rexec $h yes | head -c 3)\"")
        self.assertEqual(run.stdout.splitlines()[1:], [b"y", b"y"])


@both_ways
class Backups(CallerTest):
    @needs("rdiff-backup")
    def test_rdiff_backup(self):
        here, back = make_tree(self.dir / "here", files=60), self.dir / "back"
        before = tree(here)
        schema = f"{REXEC} {{h}} rdiff-backup --server" if self.old_rdiff_backup() else \
            f"{REXEC} {{h}} rdiff-backup server"
        where = f"{self.host}::{self.dir}/there"
        self.call("rdiff-backup", "--remote-schema", schema, "backup", here, where)
        (here / "large").write_bytes(b"small")
        time.sleep(1.1)         # its backups have names in whole seconds
        self.call("rdiff-backup", "--remote-schema", schema, "backup", here, where)
        self.call("rdiff-backup", "--remote-schema", schema, "restore", "--at", "1B", where, back)
        self.assertEqual(tree(back), before)

    def old_rdiff_backup(self):
        return b" 2.0" in self.call("rdiff-backup", "--version").stdout

    @needs("borg")
    def test_borg(self):
        here = make_tree(self.dir / "here", files=60)
        env = {"BORG_RSH": str(REXEC), "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
               "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes", "BORG_BASE_DIR": str(self.dir / "borg")}
        where = f"ssh://{self.host}{self.dir}/there"
        self.call("borg", "init", "-e", "none", where, env=env)
        self.call("borg", "create", f"{where}::one", "here", env=env)
        (self.dir / "back").mkdir()
        self.call("borg", "extract", f"{where}::one", env=env, cwd=self.dir / "back")
        self.assertEqual(tree(self.dir / "back" / "here"), tree(here))

    @needs("unison")
    def test_unison(self):
        """It speaks both ways at once on one pair of pipes."""
        here, there = make_tree(self.dir / "here", files=60), self.dir / "there"
        for name in os.listdir(os.fsencode(here)):
            if b"\n" in name or b"\xff" in name:
                os.unlink(os.path.join(os.fsencode(here), name))    # not in its protocol
        there.mkdir()
        (there / "theirs").write_bytes(b"theirs")
        self.call("unison", here, f"ssh://{self.host}/{there}", "-sshcmd", REXEC, "-batch", "-silent", "-perms",
                  "-1", "-servercmd", f"env UNISON={self.dir}/unison-there unison",
                  env={"UNISON": str(self.dir / "unison")})
        self.assertEqual(tree(there), tree(here))
        self.assertEqual((here / "theirs").read_bytes(), b"theirs")


if __name__ == "__main__":
    unittest.main()
