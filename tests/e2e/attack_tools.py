"""What the tests of commands and of load under attack share: who is left, and connections that are cut."""

import os
import pathlib
import select
import socket
import struct

from lab import SOURCE, children

# Rounds of the campaigns: REXEC_ROUNDS=5000 by hand.
ROUNDS = int(os.environ.get("REXEC_ROUNDS", "0"))
ROOT = os.geteuid() == 0
# Flags of a daemon whose commands do not wait for clients whose connection was reset: who is killed with much unread
# looks like that.
NO_LINGER = {"linger": "0"} if "X(linger," in (SOURCE / "rexecd" / "config.def").read_text() else {}


def descriptors(pid):
    """None: only root may look, as the process hides itself from others."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except PermissionError:
        if ROOT:
            raise
        return None


def open_files(pid):
    """Where its descriptors lead, for who has to find out which of them is left."""
    try:
        return sorted(os.readlink(entry) for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir())
    except OSError as error:
        return str(error)


def resident_kib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


def processor_seconds(pid):
    """User and system time of a process so far."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def marked(mark):
    """Pids of the processes, zombies not, that have the mark in the environment they were started with."""
    found = set()
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if mark in (entry / "environ").read_bytes():
                    found.add(int(entry.name))
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
    return found


def at_rest(lab):
    """Of the daemon's children only net is there, and no zombie."""
    return children(lab.server.pid) == [lab.net_pid()]


def reset(sock):
    """Closes with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def cut(lab, to_server=None, to_client=None, by_reset=False, seen=None):
    """An Impostor's act: passes on to the real server and back, and ends both connections when that many bytes went.

    `seen` gets the bytes that went to the server and to the client."""
    def act(sock):
        server = lab.connect(timeout=60)
        left, counts, target = {sock: to_server, server: to_client}, {sock: 0, server: 0}, {sock: server, server: sock}
        opened = [sock, server]
        try:
            while opened and 0 not in left.values():
                for source in select.select(opened, [], [], 60)[0]:
                    data = source.recv(65536)[:left[source]]
                    if not data:
                        target[source].shutdown(socket.SHUT_WR)
                        opened.remove(source)
                        continue
                    target[source].sendall(data)
                    counts[source] += len(data)
                    if left[source] is not None:
                        left[source] -= len(data)
                    if 0 in left.values():
                        break
        finally:
            if seen is not None:
                seen[:] = [counts[sock], counts[server]]
            for end in (sock, server):
                if by_reset and 0 in left.values():
                    reset(end)
                end.close()
    return act


def client_copy(lab, *words, **more):
    """The command line of `rexec VERB ...`: command_line's, with a verb in front."""
    verb, *rest = words
    program, *options = lab.command_line(*rest, **more)
    return [program, *verb.split(), *options]
