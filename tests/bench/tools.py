"""What the benchmarks share: programs that are run and read, processes that are looked at, and relays that count."""

import contextlib
import os
import pathlib
import select
import signal
import socket
import subprocess
import threading
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
TICKS = os.sysconf("SC_CLK_TCK")
HANG = 300          # seconds after which a program that is measured has hung


class Unavailable(Exception):
    """Something cannot be measured here: why, in a few words."""


class Programs:
    """The programs of a build directory."""

    def __init__(self, build):
        self.build = pathlib.Path(build)
        self.rexec, self.rexecd = self.build / "bin" / "rexec", self.build / "bin" / "rexecd"

    def __getattr__(self, name):
        return str(self.build / "tests" / "bench" / f"bench_{name}")


def words(*parts):
    return [str(part) for part in parts]


def run(command, timeout=HANG, stderr_file=None, **more):
    """Runs a program to its end; its stdout as text. Unavailable with its own words if it fails. What goes on behind it
    (ssh -f) keeps its stderr: that must be a file then."""
    more.setdefault("stdin", subprocess.DEVNULL)
    if stderr_file is not None:
        return run_with_file(command, timeout, stderr_file, **more)
    try:
        done = subprocess.run(words(*command), stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout,
                              check=False, **more)
    except FileNotFoundError:
        raise Unavailable(f"{command[0]}: not found") from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{pathlib.Path(command[0]).name}: no end after {timeout} s") from None
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise Unavailable(f"{pathlib.Path(command[0]).name}: status {done.returncode}"
                          + (f": {said[-1]}" if said else ""))
    return done.stdout.decode()


def run_with_file(command, timeout, stderr_file, **more):
    with open(stderr_file, "wb") as file:
        done = subprocess.run(words(*command), stdout=file, stderr=file, timeout=timeout, check=False, **more)
    said = pathlib.Path(stderr_file).read_text(errors="replace")
    if done.returncode != 0:
        raise Unavailable(f"{pathlib.Path(command[0]).name}: status {done.returncode}: {said.strip()[-200:]}")
    return said


class Runs:
    """What bench_timer saw of each run of a command."""

    def __init__(self, text):
        rows = [line.split() for line in text.splitlines()]
        self.seconds = [float(row[0]) for row in rows]
        self.cpu = [float(row[1]) + float(row[2]) for row in rows]
        self.switches = [int(row[3]) + int(row[4]) for row in rows]
        self.status = [int(row[5]) for row in rows]
        self.failed = sum(status != 0 for status in self.status)


def timed(programs, count, command, pause_us=0, may_fail=False):
    """Runs a command so many times, one after another; Runs. Unavailable if one fails, unless it may."""
    runs = Runs(run([programs.timer, count, pause_us, *command]))
    if runs.failed and not may_fail:
        raise Unavailable(f"{pathlib.Path(command[0]).name}: {runs.failed} of {count} runs failed")
    return runs


def until(condition, seconds=20, step=0.01):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(step)
    return bool(condition())


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def answers(port):
    """Whether somebody accepts connections there."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        return True
    except OSError:
        return False


def end_process(process, number=signal.SIGTERM):
    """Ends a process of ours and waits for it."""
    if process.poll() is None:
        process.send_signal(number)
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


# ---- processes


def stat_fields(pid):
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def children(pid):
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                if int(stat_fields(entry.name)[1]) == pid:
                    found.append(int(entry.name))
    return found


def tree(pid):
    """A process and all that descend from it."""
    found, fresh = [], [pid]
    while fresh:
        found += fresh
        fresh = [child for parent in fresh for child in children(parent)]
    return found


def own_cpu(pid):
    """CPU seconds of a process. In nanoseconds' resolution where the kernel tells; that tells of one thread only, so
    that the ticks of the whole process count if they are more."""
    fields = stat_fields(pid)
    ticks = (int(fields[11]) + int(fields[12])) / TICKS
    try:
        return max(ticks, int(pathlib.Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9)
    except (OSError, IndexError):
        return ticks


def whole_cpu(pid):
    """CPU seconds of a process and of all that live under it or ended under it."""
    total = 0.0
    for member in tree(pid):
        with contextlib.suppress(OSError, IndexError):
            total += own_cpu(member) + sum(map(int, stat_fields(member)[13:15])) / TICKS
    return total


def switches(pid):
    """Context switches of a process so far."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return sum(int(line.split()[1]) for line in status.splitlines() if "ctxt_switches" in line)


def memory(pid):
    """(resident, proportional) bytes of a process."""
    found = {}
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value = line.split()[:2]
        found[name.rstrip(":")] = int(value) * 1024
    return found["Rss"], found["Pss"]


def kernel_memory():
    """Bytes that the kernel holds for itself: slabs, its stacks, page tables and sockets' buffers."""
    lines = (line.split() for line in pathlib.Path("/proc/meminfo").read_text().splitlines())
    info = {fields[0].rstrip(":"): int(fields[1]) * 1024 for fields in lines if len(fields) > 1}
    sockets = 0
    for line in pathlib.Path("/proc/net/sockstat").read_text().splitlines():
        fields = line.split()
        if fields[0] == "TCP:" and "mem" in fields:
            sockets = int(fields[fields.index("mem") + 1]) * os.sysconf("SC_PAGE_SIZE")
    return info["Slab"] + info.get("KernelStack", 0) + info.get("PageTables", 0) + sockets


# ---- bytes on the wire


class Relay:
    """Passes connections on to a port of loopback and counts the bytes of either direction."""

    def __init__(self, port):
        self.target, self.up, self.down = port, 0, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.over = False
        self.threads = [threading.Thread(target=self.accept, daemon=True)]
        self.threads[0].start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.over = True
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join(timeout=20)

    def total(self):
        return self.up + self.down

    def accept(self):
        while not self.over:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            thread = threading.Thread(target=self.serve, args=(client,), daemon=True)
            self.threads.append(thread)
            thread.start()

    def serve(self, client):
        with client, socket.create_connection(("127.0.0.1", self.target)) as server:
            other, opened = {client: server, server: client}, [client, server]
            while opened and not self.over:
                for source in select.select(opened, [], [], 1)[0]:
                    try:
                        data = source.recv(65536)
                        other[source].sendall(data)
                    except OSError:
                        return
                    if source is client:
                        self.up += len(data)
                    else:
                        self.down += len(data)
                    if not data:
                        opened.remove(source)
                        with contextlib.suppress(OSError):
                            other[source].shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def bare_server(*program):
    """The port and the process of a server in two, of which one passes bytes on and the other runs a command for them.
    """
    with subprocess.Popen(words(*program, "/bin/sh", "-c", "true"), stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as server:
        try:
            yield server.stdout.readline().strip(), server.pid
        finally:
            server.stdin.close()
            server.wait()
