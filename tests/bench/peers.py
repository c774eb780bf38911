"""The contenders: rexec and its peers, each with a server of its own on loopback, keys and one plain user.

    with Site(programs, without) as site:
        site.rexec.command("true")          # the client's command line
        site.openssh.missing                # why it is not here, or None

All of it lives in a temporary directory and ends with the block: servers, the user, the directory.
"""

import contextlib
import getpass
import json
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile

from tools import Unavailable, answers, children, end_process, free_port, run, until, words

HERE = pathlib.Path(__file__).resolve().parent
USER = "rexecbench"
NAME = "bench01"
PREFIX = "rexec-bench-"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def program(name):
    """The path of a program, also of those in sbin. Unavailable if it is not installed."""
    path = shutil.which(name, path=SYSTEM_PATH)
    if path is None:
        raise Unavailable(f"{name} is not installed")
    return path


def package_version(package):
    try:
        return run(["dpkg-query", "-W", "-f", "${Version}", package]).strip()
    except Unavailable:
        return "of unknown version"


def pids_of(uid):
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if entry.stat().st_uid == uid:
                    found.append(int(entry.name))
    return found


class Peer:
    """A server and the client for it. `missing` says why it cannot be measured; None: it can."""

    name, package = "", ""
    kept = True         # under bench_keeper, for the CPU time of processes that it does not wait for

    def __init__(self, site):
        self.site, self.process, self.port = site, None, None
        self.missing, self.version = None, None

    def start(self):
        """Starts the server. Unavailable if that can't be."""
        raise NotImplementedError

    def try_start(self):
        """Starts it and runs a command through it; otherwise `missing` says why."""
        try:
            if self.name in self.site.without:
                raise Unavailable("left out by --without")
            self.start()
            said = run(self.command("echo", "hello"), timeout=60)
            if said != "hello\n":
                raise Unavailable(f"a command's output is wrong: {said!r}")
            if self.version is None:
                self.version = f"{self.package} {package_version(self.package)}"
        except Unavailable as reason:
            self.missing = str(reason)
            self.stop()

    def spawn(self, command, port=None):
        """Starts the server's process and waits until it serves at the port."""
        if self.kept:
            command = [self.site.programs.keeper, *command]
        with open(self.site.dir / f"{self.name}.log", "ab") as log:
            process = subprocess.Popen(words(*command), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
        self.site.processes.append(process)
        if port is not None and not until(lambda: answers(port) or process.poll() is not None):
            raise Unavailable("the server does not serve")
        if process.poll() is not None:
            said = (self.site.dir / f"{self.name}.log").read_text(errors="replace").strip().splitlines()
            raise Unavailable(f"the server ended: {said[-1] if said else 'without a word'}")
        return process

    def command(self, *command, **more):
        """The client's command line that runs this; more: port."""
        raise NotImplementedError

    def main_pid(self):
        """The server's own process."""
        return children(self.process.pid)[0] if self.kept else self.process.pid

    def stop(self):
        if self.process is not None:
            end_process(self.process)
            self.process = None


class Rexec(Peer):
    name, kept = "rexec", False

    def start(self):
        site = self.site
        self.key = site.dir / "rexec.key"
        grants = site.dir / "grants"
        grants.mkdir(mode=0o700)
        run([site.programs.rexec, "keygen", self.key])
        grant = grants / "bench"
        grant.touch(mode=0o600)
        grant.write_text(run([site.programs.rexec, "grant", "--readable", "--user", site.user, self.key, NAME]))
        self.grants = grants
        self.version = run([site.programs.rexec, "--version"]).strip()
        self.restart()

    def restart(self, **flags):
        """The server anew, with these flags beside its defaults."""
        self.stop()
        self.port = free_port()
        command = [self.site.programs.rexecd, "--name", NAME, "--grants", self.grants, "--readable", "yes", "--listen",
                   f"127.0.0.1:{self.port}"]
        for flag, value in flags.items():
            command += ["--" + flag.replace("_", "-"), value]
        self.process = self.spawn(command, self.port)

    def pids(self):
        """{role: pid} of the daemon."""
        net = [pid for pid in children(self.process.pid)
               if b"--role" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()]
        if len(net) != 1:
            raise Unavailable("rexecd's net process is not to be seen")
        return {"monitor": self.process.pid, "net": net[0]}

    def options(self, suite=None, port=None):
        chosen = ["--readable"] if suite == "hmac-sha256" else []
        chosen += ["-o", f"suite={suite}"] if suite else []
        return words("-F", "none", "-o", "SendEnv=-*", *chosen, "-i", self.key, "-p", port or self.port,
                     "-o", "HostName=127.0.0.1", NAME)

    def command(self, *command, suite=None, port=None):
        return words(self.site.programs.rexec, *self.options(suite, port), *command)

    def batch(self, jobs, port=None):
        return words(self.site.programs.rexec, "batch", "-j", jobs, *self.options(port=port))

    def suite(self):
        """The suite that client and server choose by themselves."""
        return json.loads(run([self.site.programs.rexec, "ping", "--json", "-c", 1, *self.options()]))["suite"]

    @contextlib.contextmanager
    def twin(self, **flags):
        """Another server of the same key and grants, with these flags."""
        other = Rexec(self.site)
        other.key, other.grants = self.key, self.grants
        try:
            other.restart(**flags)
            yield other
        finally:
            other.stop()

    def library(self):
        """PORT KEY NAME USER, as the programs take them that are on the library."""
        return words(self.port, self.key, NAME, self.site.user)


class OpenSsh(Peer):
    name, package = "OpenSSH", "openssh-server"

    def start(self):
        site, sshd = self.site, program("sshd")
        self.ssh = program("ssh")
        self.port = free_port()
        config = site.dir / "sshd_config"
        config.write_text("\n".join([
            f"Port {self.port}", "ListenAddress 127.0.0.1", f"HostKey {site.dir}/host_ed25519",
            f"AuthorizedKeysFile {site.keys_file}", "PasswordAuthentication no", "KbdInteractiveAuthentication no",
            "UsePAM no", "UseDNS no", "PidFile none", "PrintMotd no",
            "PrintLastLog no", "MaxSessions 200", "MaxStartups 200:30:400", f"AllowUsers {site.user}",
            "Ciphers +aes128-gcm@openssh.com,aes256-gcm@openssh.com", ""]))
        if os.geteuid() == 0:
            site.make_directory(pathlib.Path("/run/sshd"))
        else:                               # whoever builds below /tmp can't help who may write there
            config.write_text(config.read_text() + "StrictModes no\n")
        self.process = self.spawn([sshd, "-D", "-e", "-f", config], self.port)
        self.version = f"OpenSSH {package_version(self.package)}"

    def options(self, port=None, cipher=None):
        chosen = ["-c", cipher] if cipher else []
        return words("-F", "none", "-T", *chosen, "-i", self.site.dir / "id_ed25519", "-p", port or self.port, "-l",
                     self.site.user, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR",
                     "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null")

    def command(self, *command, port=None, cipher=None):
        return words(self.ssh, *self.options(port, cipher), "127.0.0.1", *command)

    @contextlib.contextmanager
    def master(self, port=None):
        """A ready ControlMaster: the command line's beginning, to be followed by the command."""
        if self.missing:
            raise Unavailable(self.missing)
        path = self.site.sockets / "master"
        ready = words(self.ssh, *self.options(port), "-S", path)
        run([*ready, "-M", "-N", "-f", "-o", "ControlPersist=yes", "127.0.0.1"],
            stderr_file=self.site.dir / "master.log")
        try:
            yield words(self.ssh, "-F", "none", "-T", "-S", path, "-p", port or self.port, "-l", self.site.user,
                        "127.0.0.1")
        finally:
            with contextlib.suppress(Unavailable):
                run([*ready, "-O", "exit", "127.0.0.1"])
            until(lambda: not path.exists(), seconds=5)


class Dropbear(Peer):
    name, package = "dropbear", "dropbear-bin"

    def start(self):
        site, server, convert = self.site, program("dropbear"), program("dropbearkey")
        site.own_home()
        self.dbclient = program("dbclient")
        for name in ("dropbear_host", "dropbear_id"):
            run([convert, "-t", "ed25519", "-f", site.dir / name])
        public = run([convert, "-y", "-f", site.dir / "dropbear_id"]).splitlines()
        site.authorize(next(line for line in public if line.startswith("ssh-ed25519 ")))
        self.port = free_port()
        self.process = self.spawn([server, "-F", "-E", "-s", "-j", "-k", "-p", f"127.0.0.1:{self.port}", "-P", "",
                                   "-r", site.dir / "dropbear_host"], self.port)

    def command(self, *command, port=None):
        return words(self.dbclient, "-y", "-y", "-T", "-q", "-i", self.site.dir / "dropbear_id", "-p",
                     port or self.port, "-l", self.site.user, "127.0.0.1", *command)


class SshTo(Peer):
    """OpenSSH's client to another's server."""

    def __init__(self, site, name, server):
        super().__init__(site)
        self.name, self.server = name, server

    def start(self):
        for needed in (self.server, self.site.openssh):
            if needed.missing:
                raise Unavailable(needed.missing)
        self.port, self.version = self.server.port, "see its server"

    def command(self, *command, port=None):
        return self.site.openssh.command(*command, port=port or self.port)


class TinySsh(Peer):
    name, package = "tinyssh", "tinysshd"

    def start(self):
        site, server = self.site, program("tinysshd")
        site.own_home()
        keys = site.dir / "tinyssh_keys"
        run([program("tinysshd-makekey"), keys])
        if site.openssh.missing:
            raise Unavailable("its client, OpenSSH's, is missing")
        self.port = free_port()
        loop = shutil.which("tcpserver", path=SYSTEM_PATH)
        if loop:
            command = [loop, "-HRDl0", "127.0.0.1", self.port, server, keys]
        else:
            command = [program("ncat"), "-lk", "127.0.0.1", self.port, "--sh-exec", f"exec {server} {keys}"]
        self.process = self.spawn(command, self.port)
        self.version = f"tinyssh {package_version(self.package)} under {pathlib.Path(command[0]).name}"

    def command(self, *command, port=None):
        return self.site.openssh.command(*command, port=port or self.port)


class Course(Peer):
    """The Python server that socket courses write, and its client."""

    name = "course server"

    def start(self):
        self.port = free_port()
        self.secret = self.site.dir / "course.secret"
        self.secret.write_bytes(os.urandom(32))
        command = [sys.executable, "-B", HERE / "course.py", "serve", self.port, self.secret]
        self.process = self.spawn(command, self.port)
        self.version = f"tests/bench/course.py, Python {sys.version.split()[0]}"

    def command(self, *command, port=None):
        return words(sys.executable, "-B", HERE / "course.py", "run", port or self.port, self.secret, " ".join(command))


class Ncat(Peer):
    """Bytes in the clear. It serves one command, so a server is started for each flow."""

    name, package, kept = "ncat", "ncat", False

    def start(self):
        self.ncat = program("ncat")

    @contextlib.contextmanager
    def serving(self, command):
        """The port at which ncat runs this for each that connects."""
        if self.missing:
            raise Unavailable(self.missing)
        port = free_port()
        process = self.spawn([self.ncat, "-lk", "127.0.0.1", port, "--sh-exec", "exec " + " ".join(words(*command))])
        try:
            self.await_listening(port)
            yield port
        finally:
            end_process(process)

    @contextlib.contextmanager
    def receiving(self, command):
        """The port at which ncat takes one connection, and the process that gets what comes."""
        if self.missing:
            raise Unavailable(self.missing)
        port = free_port()
        with subprocess.Popen(words(self.ncat, "-l", "--recv-only", "127.0.0.1", port), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE) as listener:
            with subprocess.Popen(words(*command), stdin=listener.stdout, stdout=subprocess.PIPE) as taker:
                listener.stdout.close()
                listener.stdout = None
                try:
                    self.await_listening(port)
                    yield port, taker
                finally:
                    end_process(listener)
                    end_process(taker)

    def await_listening(self, port):
        """Without a connection, which would be taken for the one that is waited for."""
        if not until(lambda: f":{port:04X} 00000000:0000 0A" in pathlib.Path("/proc/net/tcp").read_text(), seconds=5):
            raise Unavailable("it does not listen")

    def try_start(self):
        try:
            if self.name in self.site.without:
                raise Unavailable("left out by --without")
            self.start()
            self.version = f"ncat {package_version(self.package)}"
        except Unavailable as reason:
            self.missing = str(reason)


class Site:
    """All of them. As root commands run as a user made for that; otherwise as who runs this."""

    def __init__(self, programs, without=(), no_user=False):
        self.programs, self.without, self.no_user = programs, set(without), no_user
        self.processes, self.made, self.made_user = [], [], False

    def __enter__(self):
        # Servers refuse keys below a directory that others may write to, as /tmp is.
        parent = "/var/lib" if os.geteuid() == 0 else self.programs.build
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        self.dir.chmod(0o755)
        self.sockets = pathlib.Path(tempfile.mkdtemp(prefix=PREFIX))     # names of sockets are short
        try:
            self.make_user()
            self.copy_programs()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            with contextlib.suppress(OSError):
                end_process(process)
        for directory in self.made:
            with contextlib.suppress(OSError):
                directory.rmdir()
        if self.made_user:
            until(self.remove_user, seconds=10, step=0.2)
        for directory in (self.dir, self.sockets):
            shutil.rmtree(directory, ignore_errors=True)

    def make_directory(self, path):
        if not path.is_dir():
            path.mkdir(mode=0o755)
            self.made.append(path)

    def remove_user(self):
        """Ends what still runs as the user, which is of our making; True if the user is gone."""
        with contextlib.suppress(KeyError):
            uid = pwd.getpwnam(USER).pw_uid
            for pid in pids_of(uid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        return subprocess.run(["userdel", USER], capture_output=True, check=False).returncode == 0

    def make_user(self):
        """With nothing that a shell reads when it starts."""
        self.home = self.dir / "home"
        self.home.mkdir(mode=0o755)
        (self.home / ".ssh").mkdir(mode=0o700)
        self.keys_file = self.home / ".ssh" / "authorized_keys"
        self.user = getpass.getuser()
        # For all that is started from here: nobody reads files of who runs this.
        os.environ.clear()
        os.environ.update({"PATH": SYSTEM_PATH, "HOME": str(self.home), "LC_ALL": "C"})
        if os.geteuid() != 0 or self.no_user:
            return
        with contextlib.suppress(KeyError):     # of a run that was killed
            if PREFIX not in pwd.getpwnam(USER).pw_dir or not self.remove_user():
                raise SystemExit(f"bench: there is a user {USER} already; remove it, or run as an ordinary user")
        run(["useradd", "-M", "-d", self.home, "-s", "/bin/sh", "-p", "*", USER])
        self.made_user, self.user = True, USER

    def copy_programs(self):
        """Where the user may execute them."""
        self.bin = self.dir / "bin"
        self.bin.mkdir(mode=0o755)
        for name in (self.programs.flow, self.programs.nothing):
            shutil.copy(name, self.bin)
        self.flow = self.bin / "bench_flow"
        self.nothing = self.bin / "bench_nothing"

    def authorize(self, public):
        """Lets a public key in, where all servers look."""
        with open(self.keys_file, "a", encoding="ascii") as file:
            file.write(public.strip() + "\n")
        self.keys_file.chmod(0o600)

    def own_home(self):
        """For servers that take keys from the home directory alone. Unavailable if that is somebody's."""
        if not self.made_user:
            raise Unavailable("takes keys from the user's home directory only, which is not touched; run as root")

    def make_keys(self):
        keygen = program("ssh-keygen")
        for name in ("host_ed25519", "id_ed25519"):
            run([keygen, "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", self.dir / name])
        self.authorize((self.dir / "id_ed25519.pub").read_text())

    def start(self):
        with contextlib.suppress(Unavailable):
            self.make_keys()
        self.rexec, self.openssh, self.dropbear = Rexec(self), OpenSsh(self), Dropbear(self)
        self.tinyssh, self.course, self.ncat = TinySsh(self), Course(self), Ncat(self)
        self.ssh_dropbear = SshTo(self, "ssh to dropbear", self.dropbear)
        self.peers = [self.rexec, self.openssh, self.dropbear, self.ssh_dropbear, self.tinyssh, self.course, self.ncat]
        # All keys are in their files before anybody reads them, and the files the user's.
        for peer in self.peers:
            peer.try_start()
            if self.made_user:
                self.give_home()
        if self.rexec.missing:
            raise SystemExit(f"bench: rexec itself: {self.rexec.missing}")

    def give_home(self):
        shutil.chown(self.home, USER, USER)
        for path in self.home.rglob("*"):
            shutil.chown(path, USER, USER)
