"""The client called as programs call ssh, with the real daemon: their command lines as they are."""

import getpass
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import unittest

from lab import NAME, REXEC, LabTest, until

ME = getpass.getuser()


class Caller(LabTest):
    """Where the key is and where the server listens stands in the configuration, as for a user."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.home = cls.lab.dir / "home"
        config = cls.home / ".config" / "rexec"
        config.mkdir(parents=True)
        shutil.copy(cls.lab.key, config / "key")
        (config / "config").write_text(
            f"[*]\nport = {cls.lab.port}\nhostname = 127.0.0.1\nname = {NAME}\n")
        cls.ssh = cls.lab.dir / "libexec" / "ssh"
        cls.ssh.parent.mkdir()
        cls.ssh.symlink_to(REXEC)

    def environment(self, **more):
        return {"HOME": str(self.home), "PATH": os.environ["PATH"], **more}

    def call(self, *words, program=None, input=None, env=None, timeout=60):
        stdin = {"input": input} if input is not None else {"stdin": subprocess.DEVNULL}
        return subprocess.run([program or self.ssh, *words], capture_output=True, timeout=timeout,
                              env=self.environment(**(env or {})), **stdin)

    def refused(self, *words, part, **more):
        self.one_line(self.call(*words, **more), part)


class Programs(Caller):
    def test_rsync(self):
        self.check(self.call("-l", ME, "h", "echo", "--server", "-logDtpre.iLsfxCIvu", ".", "/tmp/d"),
                   0, b"--server -logDtpre.iLsfxCIvu . /tmp/d\n")

    def test_scp_and_sftp_flags(self):
        self.check(self.call("-x", "-oPermitLocalCommand=no", "-oClearAllForwardings=yes",
                             "-oRemoteCommand=none", "-oRequestTTY=no", "-oControlMaster=no",
                             "-oForwardAgent=no", "-p", str(self.lab.port), "-l", ME, "--", "h", "cat"),
                   0)
        self.check(self.call("-oForwardX11 no", "-oPermitLocalCommand no", "-oClearAllForwardings yes",
                             "-oControlMaster no", "-oForwardAgent no", f"-oPort {self.lab.port}", "-l", ME,
                             "--", "h", "cat", input=b"both\n"), 0, b"both\n")

    def test_parallel(self):
        self.check(self.call("-p", str(self.lab.port), "-l", ME, "h", "--", "exec", "echo", "a  b"),
                   0, b"a b\n")

    def test_pdsh(self):
        self.check(self.call("-oConnectTimeout=10", "-2", "-a", "-x", f"-l{ME}", "h", "echo", "-n", "x"),
                   0, b"x")

    def test_pssh(self):
        run = self.call("-T", "h", "-o", "NumberOfPasswordPrompts=1", "-o",
                        "SendEnv=PSSH_NODENUM PSSH_NUMNODES PSSH_HOST", "-l", ME, "-p", str(self.lab.port),
                        "echo $PSSH_NODENUM/$PSSH_NUMNODES/$PSSH_HOST",
                        env={"PSSH_NODENUM": "3", "PSSH_NUMNODES": "7", "PSSH_HOST": "h"})
        self.check(run, 0, b"3/7/h\n")

    def test_clush(self):
        self.check(self.call("-oForwardAgent=no", "-oForwardX11=no", "-l", ME, "-oConnectTimeout=15",
                             "-oBatchMode=yes", "h", "echo a; exit 4"), 4, b"a\n")

    def test_open_mpi(self):
        shell = self.call("-x", "h", "echo $SHELL")
        self.assertEqual((shell.returncode, shell.stderr), (0, b""))
        self.assertTrue(shell.stdout.startswith(b"/"))
        self.check(self.call("-x", "h", "V=1;export V;echo $V", "-mca", "ess", '"env"'), 0, b"1 -mca ess env\n")

    def test_docker(self):
        self.check(self.call("-l", ME, "-p", str(self.lab.port), "-o ConnectTimeout=30", "-T", "--", "h",
                             "cat", input=bytes(range(256)) * 100), 0, bytes(range(256)) * 100)

    def test_ansible(self):
        self.check(self.call("-C", "-o", "ControlMaster=auto", "-o", "ControlPersist=60s", "-o",
                             "StrictHostKeyChecking=no", "-o", "KbdInteractiveAuthentication=no", "-o",
                             f'User="{ME}"', "-o", "ConnectTimeout=10", "-o", 'ControlPath="/tmp/cp/%h"',
                             "h", "/bin/sh -c 'echo one && sleep 0'"), 0, b"one\n")

    def test_git(self):
        """Its own probe (-G), then protocol version 2 by SendEnv."""
        if shutil.which("git") is None:
            self.skipTest("git is not installed")
        with tempfile.TemporaryDirectory() as directory:
            work, copy = pathlib.Path(directory, "work"), pathlib.Path(directory, "copy")
            trace = pathlib.Path(directory, "trace")
            env = self.environment(GIT_CONFIG_NOSYSTEM="1", GIT_AUTHOR_NAME="a", GIT_AUTHOR_EMAIL="a@b",
                                   GIT_COMMITTER_NAME="a", GIT_COMMITTER_EMAIL="a@b",
                                   GIT_CONFIG_COUNT="1", GIT_CONFIG_KEY_0="safe.directory",
                                   GIT_CONFIG_VALUE_0="*")

            def git(*words, **more):
                run = subprocess.run(["git", *words], env={**env, **more}, capture_output=True, timeout=60,
                                     stdin=subprocess.DEVNULL)
                self.assertEqual(run.returncode, 0, run.stderr)
                return run.stdout

            git("init", "-q", str(work))
            (work / "file").write_bytes(os.urandom(100_000))
            git("-C", str(work), "add", "file")
            git("-C", str(work), "commit", "-q", "-m", "x")
            for program in (str(REXEC), str(self.ssh)):
                shutil.rmtree(copy, ignore_errors=True)
                git("clone", "-q", f"ssh://{ME}@h:{self.lab.port}{work}", str(copy), GIT_SSH=program,
                    GIT_TRACE_PACKET=str(trace))
                self.assertEqual((copy / "file").read_bytes(), (work / "file").read_bytes())
                self.assertIn("clone< version 2", trace.read_text())
                trace.unlink()

    def test_scp_old_protocol(self):
        if shutil.which("scp") is None:
            self.skipTest("scp is not installed")
        with tempfile.TemporaryDirectory() as directory:
            data = os.urandom(300_000)
            here, there, back = (pathlib.Path(directory, name) for name in ("here", "there", "back"))
            here.write_bytes(data)
            for source, target in ((str(here), f"h:{there}"), (f"{ME}@h:{there}", str(back))):
                run = subprocess.run(["scp", "-O", "-q", "-S", str(self.ssh), "-P", str(self.lab.port), source,
                                      target], env=self.environment(), capture_output=True, timeout=60,
                                     stdin=subprocess.DEVNULL)
                self.assertEqual(run.returncode, 0, run.stderr)
            self.assertEqual(back.read_bytes(), data)


class Grammar(Caller):
    def test_words_and_options(self):
        for words in (("-xaT", "h", "echo", "-n", "a"), ("h", "-xaT", "echo", "-n", "a"),
                      ("-l" + ME, "--", "h", "echo", "-n", "a"), ("h", "-T", "--", "echo", "-n", "a"),
                      ("-o", " PORT = %d " % self.lab.port, "h", "-oBatchMode yes", "echo", "-n", "a"),
                      (f"{ME}@h", "echo -n", "a"), (f"ssh://{ME}@h:{self.lab.port}/", "echo -n a")):
            with self.subTest(words=words):
                self.check(self.call(*words), 0, b"a")
                self.check(self.call(*words, program=REXEC), 0, b"a")

    def test_named_ssh(self):
        """A program of that name has no verbs: a host may be called like one."""
        self.check(self.call("run", "echo", "x"), 0, b"x\n")
        self.check(self.call("keygen", "echo", "x"), 0, b"x\n")
        self.check(self.call("run", "run", "echo", "x", program=REXEC), 0, b"x\n")

    def test_tunnels(self):
        for words in (("-L", "1:h:2"), ("-R1:h:2",), ("-D", "1080"), ("-W", "i:22"), ("-w0:0",), ("-J", "i"),
                      ("-oProxyCommand=nc %h %p",), ("-oLocalForward 1 h:2",), ("-oTunnel=yes",)):
            with self.subTest(words=words):
                self.refused(*words, "h", "echo ran", part="rexec runs commands")
        self.check(self.call("-oClearAllForwardings=yes", "-L", "1:h:2", "h", "echo x"), 0, b"x\n")

    def test_configuration_file(self):
        self.refused("-F", "/no/such/file", "h", "echo ran", part="/no/such/file")
        command = ["-i", str(self.lab.key), "-p", str(self.lab.port), "-oHostName=127.0.0.1",
                   f"-oHostKeyAlias={NAME}", "h", "echo x"]
        self.check(self.call("-F", "none", *command), 0, b"x\n")
        self.check(self.call("-F/dev/null", *command), 0, b"x\n")

    def test_settings_shown(self):
        run = self.call("-G", "-oConnectTimeout=1m", "-tt", "-oSendEnv=GIT_PROTOCOL", "-oBatchMode=yes",
                        "-i~/k", "-oServerAliveInterval=9", "bob@h", "no command")
        self.assertEqual((run.returncode, run.stderr), (0, b""))
        lines = run.stdout.decode().splitlines()
        for line in ("host h", "user bob", "hostname 127.0.0.1", f"port {self.lab.port}", f"hostkeyalias {NAME}",
                     f"identityfile {self.home}/k", "requesttty force", "connecttimeout 60", "batchmode yes",
                     "serveraliveinterval 9", "serveralivecountmax 3", "sendenv LANG", "sendenv LC_*",
                     "sendenv GIT_PROTOCOL"):
            self.assertIn(line, lines)
        self.assertEqual([line for line in lines if line != line[:1].lower() + line[1:]], [])

    def test_version(self):
        run = self.call("-V")
        self.assertEqual((run.returncode, run.stdout), (0, b""))
        self.assertRegex(run.stderr, rb"\Arexec [0-9.]+")
        run = self.call("--version")
        self.assertEqual((run.returncode, run.stderr), (0, b""))
        self.assertRegex(run.stdout, rb"\Arexec [0-9.]+")

    def test_control(self):
        for word in ("check", "stop", "exit"):
            self.refused("-O", word, "h", part="no master")
        self.refused("-O", "nonsense", "h", part="-O knows")

    def test_query(self):
        self.check(self.call("-Q", "cipher"), 0, b"aes256gcm\nchacha20poly1305\nhmac-sha256\n")
        self.refused("-Q", "nonsense", part="-Q does not know")

    def test_remote_command(self):
        self.check(self.call("-oRemoteCommand=echo \"%n  %r\"", f"{ME}@there"), 0, f"there  {ME}\n".encode())
        self.refused("-oRemoteCommand=echo", "h", "echo", part="RemoteCommand")

    def test_one_empty_word(self):
        """No command, as to ssh: the login shell reads what comes. Two are a command that does nothing."""
        for words, said in (((), b"login"), (("",), b"login"), (("", ""), b""), ((" ",), b"")):
            run = self.call("h", *words, input=b"case $0 in -*) echo login;; esac\n")
            self.assertEqual((run.returncode, run.stdout.strip()), (0, said), words)
        self.check(self.call("-oRemoteCommand=echo instead", "h", ""), 0, b"instead\n")
        self.refused("-f", "h", "", part="-f")
        self.refused("--exec", "h", "", part="empty")

    def test_no_stdin(self):
        for option in ("-n", "-oStdinNull=yes"):
            self.check(self.call(option, "h", "cat; readlink /proc/self/fd/0", input=b"not sent"), 0, b"/dev/null\n")

    def test_log_file(self):
        log = self.lab.dir / "client.log"
        run = self.call("-E", str(log), "-i/no/such/key", "h", "echo ran")
        self.assertEqual((run.returncode, run.stdout, run.stderr), (255, b"", b""))
        self.assertRegex(log.read_bytes(), rb"\Arexec: h: [^\n]*/no/such/key[^\n]*\n\Z")
        run = self.call("-E", str(log), "h", "echo out >&2")
        self.assertEqual((run.returncode, run.stderr), (0, b"out\n"))         # the command's own is not ours
        self.refused("-E", "/no/such/directory/log", "h", "echo ran", part="/no/such/directory/log")

    def test_verbosity(self):
        for quiet in (("-q",), ("-oLogLevel=ERROR",)):
            self.one_line(self.call(*quiet, "-i/no/such/key", "h", "x"), "/no/such/key")
        self.check(self.call("h", "true"), 0)
        self.assertIn(b"connected to", self.call("-v", "h", "true").stderr)
        self.assertIn(b"session:", self.call("-oLogLevel=DEBUG2", "h", "true").stderr)

    def test_bind(self):
        run = self.call("-b", "127.0.0.2", "h", "echo $REXEC_CONNECTION")
        self.assertEqual((run.returncode, run.stdout.split()[:1]), (0, [b"127.0.0.2"]), run.stderr)
        run = self.call("-B", "lo", "h", "echo $REXEC_CONNECTION")
        self.assertEqual((run.returncode, run.stdout.split()[:1]), (0, [b"127.0.0.1"]), run.stderr)
        self.refused("-b", "192.0.2.1", "h", "echo ran", part="from 192.0.2.1")
        self.refused("-B", "nosuch0", "h", "echo ran", part="from nosuch0")


class Background(Caller):
    def run_apart(self, *words):
        """Its output goes where nobody waits for its end."""
        with open(self.lab.dir / "out", "wb") as out, open(self.lab.dir / "err", "wb") as err:
            return subprocess.run([self.ssh, *words], stdin=subprocess.PIPE, stdout=out, stderr=err, timeout=60,
                                  env=self.environment()).returncode

    def said(self, name):
        return (self.lab.dir / name).read_bytes()

    def test_goes_on(self):
        """It returns while the command runs, which only ends after that."""
        go = self.lab.dir / "go"
        script = f"echo begun; while ! test -e {go}; do sleep 0.05; done; cat; echo ended"
        self.assertEqual(self.run_apart("-f", "h", script), 0, self.said("err"))
        self.assertNotIn(b"ended", self.said("out"))
        go.touch()
        self.assertTrue(until(lambda: self.said("out") == b"begun\nended\n"), self.said("out"))
        self.assertEqual(self.said("err"), b"")

    def test_fails_in_the_foreground(self):
        for words, part in ((("-f", "-i/no/such/key", "h", "x"), b"/no/such/key"),
                            (("-f", "--exec", "h", "/no/such/program"), b"/no/such/program"),
                            (("-f", "h"), b"background"),
                            (("-f", "-p1", "h", "x"), b"refused")):
            with self.subTest(words=words):
                self.assertEqual(self.run_apart(*words), 255)
                self.assertEqual(self.said("err").count(b"\n"), 1)
                self.assertIn(part, self.said("err"))


class Hold(Caller):
    def commands(self):
        """How many commands the audit has records of."""
        return sum(json.loads(line)["record"] == "command" for line in self.lab.audit.read_text().splitlines())

    def test_no_command(self):
        """-N holds a connection and runs nothing."""
        with subprocess.Popen([self.ssh, "-N", "-v", "h"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env=self.environment()) as client:
            for line in client.stderr:
                if b"the server is" in line:
                    break
            self.assertIsNone(client.poll())
            client.send_signal(signal.SIGTERM)
            self.assertEqual((client.wait(timeout=30), client.stdout.read()), (128 + signal.SIGTERM, b""))
        self.check(self.call("h", "true"))
        self.assertTrue(until(lambda: self.commands() > 0))
        self.assertEqual(self.commands(), 1)
        self.refused("-N", "-i/no/such/key", "h", part="/no/such/key")

    def test_in_the_background(self):
        """-f -N: who called it sees the end of its output, while it holds the connection."""
        self.check(self.call("-f", "-N", "h"))
        self.assertNotIn("session closed", self.lab.said().rsplit("session opened", 1)[-1])
        self.refused("-f", "-N", "-i/no/such/key", "h", part="/no/such/key")


class Environment(Caller):
    flags = {"accept_env": "LANG LC_* GOOD"}

    def names(self, *words, **env):
        run = self.call(*words, "h", "env", env=env)
        self.assertEqual((run.returncode, run.stderr), (0, b""))
        return dict(line.split("=", 1) for line in run.stdout.decode().splitlines())

    def test_locale_by_default(self):
        got = self.names(LANG="C.UTF-8", LC_TIME="C", GOOD="1")
        self.assertEqual((got.get("LANG"), got.get("LC_TIME"), got.get("GOOD")), ("C.UTF-8", "C", None))
        self.assertNotIn("LANG", self.names("-oSendEnv=-L*", LANG="C.UTF-8", LC_TIME="C"))

    def test_not_accepted_is_dropped(self):
        """As ssh's servers do it: the command runs without it."""
        got = self.names("-oSendEnv=GOOD BAD LD_PRELOAD HOME", "-oSetEnv=LC_X=2 WORSE=1", GOOD="1", BAD="1",
                         LD_PRELOAD="")
        self.assertEqual((got.get("GOOD"), got.get("LC_X")), ("1", "2"))
        for name in ("BAD", "WORSE", "LD_PRELOAD"):
            self.assertNotIn(name, got)
        self.assertNotEqual(got["HOME"], str(self.home))

    def test_strict_is_refused(self):
        self.refused("--env", "BAD=1", "h", "echo ran", part="BAD")
        self.assertEqual(self.names("--env", "GOOD=2", "-oSendEnv=GOOD", "-oSetEnv=GOOD=3", GOOD="1")["GOOD"], "2")

    def test_set_counts_more_than_sent(self):
        self.assertEqual(self.names("-oSendEnv=G*", "-oSetEnv=GOOD=\"a b\"", GOOD="1")["GOOD"], "a b")

    def test_too_much_to_send(self):
        """What there is no room for is dropped, and the command runs."""
        env = {f"LC_{i}": "x" * 100_000 for i in range(5)}
        got = self.names("-oSendEnv=GOOD", GOOD="1", **env)
        self.assertLess(sum(name in env for name in got), 5)


class Silence(Caller):
    def test_server_alive(self):
        """A server that stops answering is given up; one that answers is not."""
        self.check(self.call("-oServerAliveInterval=1", "-oServerAliveCountMax=3", "h", "sleep 5; echo x"),
                   0, b"x\n")
        with subprocess.Popen([self.ssh, "-oServerAliveInterval=2", "-oServerAliveCountMax=1", "-oResume=no", "h",
                               "echo x; sleep 600"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env=self.environment()) as client:
            self.assertEqual(client.stdout.readline(), b"x\n")
            net = self.lab.net_pid()
            os.kill(net, signal.SIGSTOP)
            try:
                out, error = client.communicate(timeout=60)
            finally:
                os.kill(net, signal.SIGCONT)
                client.kill()
        self.assertEqual((client.returncode, out), (255, b""))
        self.assertRegex(error, rb"\Arexec: h: [^\n]*has not answered[^\n]*\n\Z")


if __name__ == "__main__":
    unittest.main()
