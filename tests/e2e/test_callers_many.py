#!/usr/bin/python3
"""Programs that run a command on many machines through ssh, with rexec in its place: GNU parallel, pdsh, pssh,
clush, ansible, and the command lines of Open MPI and docker. Each of the many is the same server."""

import json
import os
import unittest

from callers import ME, CallerTest, both_ways, make_tree, needs, needs_sftp_server, tree
from lab import REXEC

COUNT = 12


class Many(CallerTest):
    def hosts(self, count=COUNT):
        """Names of the server, each another to the caller."""
        return [f"{self.host}{i}" for i in range(1, count + 1)]

    def range(self, count=COUNT):
        return f"{self.host}[1-{count}]"

    def host_file(self, count=COUNT):
        path = self.dir / "hosts"
        path.write_text("".join(host + "\n" for host in self.hosts(count)))
        return path


@needs("parallel")
@both_ways
class Parallel(Many):
    def parallel(self, *words, env=None, **more):
        return self.call("parallel", "--no-notice", *words, env={"PARALLEL_HOME": str(self.dir / "p"), **(env or {})},
                         **more)

    def setUp(self):
        super().setUp()
        (self.dir / "p").mkdir()
        (self.dir / "p" / "will-cite").touch()

    def test_jobs(self):
        """Arguments that need care come back as they are, in order."""
        words = ["one", "two words", "quo'te\"", "$HOME", "*", "new\\nline", "ü", "a;b|c&d", ""] + \
            [str(i) for i in range(20)]
        run = self.parallel("--ssh", REXEC, "-S", ",".join(f"2/{host}" for host in self.hosts(4)), "-k",
                            "printf '<%s>\\n'", ":::", *words)
        self.assertEqual(run.stdout.decode().splitlines(), [f"<{word}>" for word in words])

    def test_user_port_and_status(self):
        run = self.parallel("--ssh", f"{REXEC} -p {self.port()} -l {ME}", "-S", self.host, "-k", "--halt", "never",
                            "echo out{}; echo err{} >&2; exit {}", ":::", "0", "3", "0", "7", status=2)
        self.assertEqual(run.stdout.split(), [b"out0", b"out3", b"out0", b"out7"])
        self.assertIn(b"err7", run.stderr)
        run = self.parallel("-S", f"rexec {ME}@{self.host}", "echo $REXEC_CONNECTION #", ":::", "x")
        self.assertTrue(run.stdout.startswith(b"127.0.0.1 "), run.stdout)

    @needs("rsync")
    def test_transfer(self):
        """--transfer, --return and --cleanup copy by rsync over the same program."""
        names = [f"in{i}" for i in range(4)]
        for name in names:
            (self.dir / name).write_bytes(os.urandom(10_000))
        # --cleanup removes the directory when it is empty, also under another job that is about to write to it.
        (self.dir / "there").mkdir(exist_ok=True)
        (self.dir / "there" / "kept").touch()
        self.parallel("--ssh", REXEC, "-S", self.host, "--wd", self.dir / "there", "--trc", "{}.out",
                      "rev <{} >/dev/null; cp {} {}.out", ":::", *names, env={"PARALLEL_SSH": str(REXEC)})
        for name in names:
            self.assertEqual((self.dir / f"{name}.out").read_bytes(), (self.dir / name).read_bytes())

    def test_pipe(self):
        """--pipe: blocks of stdin to each."""
        lines = b"".join(b"%d\n" % i for i in range(100_000))
        run = self.parallel("--ssh", REXEC, "-S", ",".join(f"1/{host}" for host in self.hosts(2)), "--pipe",
                            "--block", "100k", "wc -l", input=lines)
        self.assertEqual(sum(map(int, run.stdout.split())), 100_000)


@needs("pdsh")
@both_ways
class Pdsh(Many):
    def answers(self, run):
        return sorted(run.stdout.decode().splitlines())

    def test_exec(self):
        """%h, %u and %n are pdsh's; the words are one argument each."""
        run = self.call("pdsh", "-R", "exec", "-f", "8", "-w", self.range(), REXEC, "-l", "%u", "%h",
                        "echo %h %n; echo err >&2")
        self.assertEqual(self.answers(run), sorted(f"{host}: {host} {i}" for i, host in enumerate(self.hosts())))
        self.assertEqual(run.stderr.count(b": err\n"), COUNT)

    def test_ssh(self):
        """A program named ssh in PATH; pdsh adds flags of its own."""
        run = self.call("pdsh", "-R", "ssh", "-l", ME, "-t", "20", "-f", "8", "-w", self.range(), "echo $0; exit 3",
                        status=None)
        self.assertEqual(run.stdout.count(b"\n"), COUNT, run.stderr)
        self.assertEqual(run.stderr.count(b"exited with exit code 3"), COUNT, run.stderr)
        run = self.call("pdsh", "-S", "-R", "ssh", "-w", self.range(2), "exit 3", status=3)

    def test_ssh_arguments(self):
        env = {"PDSH_SSH_ARGS_APPEND": f"-p{self.port()} -oBatchMode=yes"}
        run = self.call("pdsh", "-R", "ssh", "-w", self.range(2), "echo", "a  b", "'c  d'", env=env)
        self.assertEqual(self.answers(run), [f"{host}: a b c  d" for host in self.hosts(2)])

    def test_large_output(self):
        run = self.call("pdsh", "-R", "ssh", "-w", self.range(4), "seq 20000")
        self.assertEqual(self.answers(run), sorted(f"{host}: {i}" for host in self.hosts(4) for i in range(1, 20001)))


@needs("parallel-ssh")
@both_ways
class Pssh(Many):
    """It has no option for the program: one named ssh is found in PATH."""

    def test_command(self):
        """Options behind the host; variables by SendEnv."""
        run = self.call("parallel-ssh", "-h", self.host_file(), "-l", ME, "-t", "60", "-o", "out", "-e", "err",
                        "-x", "-o 'BatchMode yes' -q", "echo $PSSH_NODENUM/$PSSH_NUMNODES/$PSSH_HOST; echo e >&2")
        self.assertEqual(run.stdout.count(b"[SUCCESS]"), COUNT)
        said = {path.name: path.read_text() for path in (self.dir / "out").iterdir()}
        self.assertEqual(said, {host: f"{i}/{COUNT}/{host}\n" for i, host in enumerate(self.hosts())})
        self.assertEqual({path.read_text() for path in (self.dir / "err").iterdir()}, {"e\n"})

    def test_input_and_status(self):
        run = self.call("parallel-ssh", "-I", "-i", "-H", " ".join(self.hosts(3)), "sort -r", input=b"a\nb\n")
        self.assertEqual(run.stdout.count(b"b\na\n"), 3)
        run = self.call("parallel-ssh", "-H", f"{ME}@{self.host}:{self.port()}", "exit 9", status=5)
        self.assertIn(b"Exited with error code 9", run.stdout)

    @needs("parallel-scp", "scp")
    @needs_sftp_server
    def test_scp(self):
        """scp has a program of its own for ssh, which -S replaces."""
        (self.dir / "file").write_bytes(b"file")
        self.call("parallel-scp", "-x", f"-S {REXEC}", "-H", self.host, self.dir / "file", self.dir / "there")
        self.assertEqual((self.dir / "there").read_bytes(), b"file")

    @needs("parallel-rsync", "rsync")
    def test_rsync(self):
        (self.dir / "file").write_bytes(b"file")
        self.call("parallel-rsync", "-H", self.host, self.dir / "file", self.dir / "there")
        self.assertEqual((self.dir / "there").read_bytes(), b"file")


@needs("clush")
@both_ways
class Clush(Many):
    def clush(self, *words, **more):
        return self.call("clush", "-O", f"ssh_path={REXEC}", "-O", "color=never", *words, **more)

    def test_command(self):
        run = self.clush("-L", "-l", ME, "-t", "20", "-f", "8", "-w", self.range(), "echo a  b; echo e >&2")
        self.assertEqual(sorted(run.stdout.decode().splitlines()), sorted(f"{host}: a b" for host in self.hosts()))
        self.assertEqual(run.stderr.count(b": e\n"), COUNT)

    def test_status_and_gathering(self):
        run = self.clush("-S", "-b", "-w", self.range(3), "echo same; exit 4", status=4)
        self.assertEqual(run.stdout.count(b"same"), 1)
        self.assertIn(f"{self.host}[1-3] (3)".encode(), run.stdout)

    def test_input(self):
        run = self.clush("-L", "-o", f"-p {self.port()}", "-w", self.range(3), "cat", input=b"to all\n")
        self.assertEqual(sorted(run.stdout.decode().splitlines()), [f"{host}: to all" for host in self.hosts(3)])

    @needs("scp")
    @needs_sftp_server
    def test_copy(self):
        """Its scp is told to use rexec by scp_options."""
        here = make_tree(self.dir / "here", files=5, large=100_000)
        for path in list(here.iterdir()):
            if path.is_symlink() or "\n" in path.name or "\udcff" in path.name:
                path.unlink()
        self.clush("-O", f"scp_options=-S {REXEC}", "-w", self.host, "-c", here, "--dest", self.dir / "there/")
        self.assertEqual({k: v[1] for k, v in tree(self.dir / "there").items()},
                         {k: v[1] for k, v in tree(here).items()})


@both_ways
class CommandLines(Many):
    """Programs that are large to install: their command lines, from their sources."""

    def test_open_mpi(self):
        """plm_rsh_agent: a probe of the shell, then a long command line with quotes in it."""
        shell = self.call(REXEC, self.host, "echo $SHELL")
        self.assertTrue(shell.stdout.startswith(b"/"))
        self.check(self.call(REXEC, "-x", self.host, "PATH=/opt/ompi/bin:$PATH ; export PATH ; "
                             "LD_LIBRARY_PATH=/opt/ompi/lib:${LD_LIBRARY_PATH:-} ; export LD_LIBRARY_PATH ; "
                             "echo", "${PATH%%:*}", "$LD_LIBRARY_PATH", "-mca", "ess_base_jobid", '"4711"', "-mca",
                             "orte_node_regex", '"a[1:1-3]@0(3)"'),
                   0, b"/opt/ompi/bin /opt/ompi/lib: -mca ess_base_jobid 4711 -mca orte_node_regex a[1:1-3]@0(3)\n")

    def test_docker(self):
        """ssh://: one connection that carries a protocol both ways until one side ends it."""
        data = os.urandom(3_000_000)
        run = self.call("ssh", "-l", ME, "-p", self.port(), "-o ConnectTimeout=30", "-T", "--", self.host,
                        "cat # docker system dial-stdio", input=data)
        self.assertEqual((run.stdout == data, run.stderr), (True, b""))

    def test_xargs(self):
        run = self.shell(f"printf '%s\\n' {' '.join(self.hosts())} | xargs -P 6 -I % rexec % 'echo % \"$((6*7))\"'")
        self.assertEqual(sorted(run.stdout.decode().splitlines()), sorted(f"{host} 42" for host in self.hosts()))


@needs("ansible-playbook")
@both_ways
class Ansible(Many):
    """Its connection named ssh, with ssh_executable in its configuration."""

    def play(self, settings=""):
        (self.dir / "file").write_bytes(os.urandom(300_000))
        (self.dir / "ansible.cfg").write_text(
            "[defaults]\ninterpreter_python = /usr/bin/python3\n"
            f"local_tmp = {self.dir}/local\nremote_tmp = {self.dir}/remote\n"
            f"[ssh_connection]\nssh_executable = {REXEC}\ncontrol_path_dir = {self.dir}/cp\n{settings}\n")
        (self.dir / "play.yml").write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [
            {"raw": "echo raw", "register": "raw"},
            {"command": {"argv": ["printf", "%s", "two  words"]}, "register": "words"},
            {"assert": {"that": ["raw.stdout_lines == ['raw']", "words.stdout == 'two  words'"]}},
            {"copy": {"src": str(self.dir / "file"), "dest": str(self.dir / "there")}},
            {"fetch": {"src": str(self.dir / "there"), "dest": str(self.dir / "back"), "flat": True}},
            {"command": "exit-with-an-error", "register": "failed", "failed_when": "failed.rc != 2"}]}]))
        run = self.call("ansible-playbook", "-v", "-i", f"{self.host},", "play.yml",
                        env={"ANSIBLE_CONFIG": str(self.dir / "ansible.cfg"), "ANSIBLE_HOME": str(self.dir / "a")})
        self.assertIn(b"ok=6", run.stdout)
        for name in ("there", "back"):
            self.assertEqual((self.dir / name).read_bytes(), (self.dir / "file").read_bytes())

    def test_pipelining(self):
        """Modules go through stdin, files through pipes; it asks for no terminal."""
        self.play("pipelining = True\ntransfer_method = piped\nusetty = False")

    @needs("sftp")
    @needs_sftp_server
    def test_sftp(self):
        """Modules and files go by sftp."""
        self.play(f"sftp_executable = {self.sftp()}\ntransfer_method = sftp\nusetty = False")

    def sftp(self):
        """Ansible's sftp takes no -S."""
        script = self.dir / "sftp"
        script.write_text(f'#!/bin/sh\nexec sftp -S {REXEC} "$@"\n')
        script.chmod(0o755)
        return script


if __name__ == "__main__":
    unittest.main()
