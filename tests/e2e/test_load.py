"""Much at once, through real clients: every result right, and nothing left behind."""

import hashlib
import json
import os
import pathlib
import resource
import subprocess
import threading
import unittest

from lab import SANITIZED, Lab, children, until

CONNECTIONS = 100 if SANITIZED else 1000
BULK = (1 << 26) if SANITIZED else (1 << 30)


def descriptors(pid):
    """None: only root may look, as the process hides itself from others."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except PermissionError:
        if os.geteuid() == 0:
            raise
        return None


def resident_kib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


class Watch(threading.Thread):
    """The greatest memory of some processes while something runs."""

    def __init__(self, pids):
        super().__init__(daemon=True)
        self.pids, self.most, self.over = pids, 0, threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()

    def run(self):
        while not self.over.wait(0.05):
            try:
                self.most = max(self.most, *(resident_kib(pid) for pid in self.pids))
            except (FileNotFoundError, StopIteration):
                pass


class Load(unittest.TestCase):
    def test_many_connections_with_four_commands_each(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        with Lab(max_commands_total="100000") as lab:
            lab.rexec("true")
            pids = (lab.server.pid, lab.net_pid())
            self.assertTrue(until(lambda: len(children(pids[0])) == 1))
            before = [descriptors(pid) for pid in pids]
            clients, gate = [], lab.dir / "gate"
            os.mkfifo(gate)
            for number in range(CONNECTIONS):
                command = lab.command_line()
                batch = [command[0], "batch", "-j", "4", "--json", *command[1:]]
                client = subprocess.Popen(batch, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                          stderr=subprocess.DEVNULL)
                lines = [f": <{gate}; echo {number} {part} | sha256sum; exit {part}" for part in range(4)]
                client.stdin.write("\n".join(lines).encode() + b"\n")
                client.stdin.close()
                client.stdin = None
                clients.append(client)
            # All of them run, and wait for somebody who opens the other end.
            self.assertTrue(until(lambda: len(children(pids[0])) == 1 + 4 * CONNECTIONS, seconds=280, step=0.5))
            opened = os.open(gate, os.O_WRONLY)
            self.addCleanup(os.close, opened)
            for number, client in enumerate(clients):
                out, _ = client.communicate(timeout=280)
                results = [json.loads(line) for line in out.splitlines()]
                expected = [(part, hashlib.sha256(f"{number} {part}\n".encode()).hexdigest() + "  -\n")
                            for part in range(4)]
                self.assertEqual([(r.get("code"), r.get("stdout")) for r in results], expected)
            self.assertTrue(until(lambda: len(children(pids[0])) == 1), "a process is left")
            self.assertTrue(until(lambda: [descriptors(pid) for pid in pids] == before),
                            "a descriptor is left")

    def test_one_gibibyte_each_way(self):
        with Lab() as lab:
            lab.rexec("true")
            pids = (lab.server.pid, lab.net_pid())
            block = os.urandom(1 << 20)
            # Numbered: none may come in another's place.
            heads = [b"%d\n" % number for number in range(BULK >> 20)]
            digest = hashlib.sha256()
            for head in heads:
                digest.update(head + block)
            with Watch(pids) as watch:
                before = max(resident_kib(pid) for pid in pids)
                path = lab.dir / "block"
                path.write_bytes(block)
                copies = f"i=0; while [ $i -lt {BULK >> 20} ]; do echo $i; cat {path}; i=$((i+1)); done"
                client = lab.popen(copies, stdin=subprocess.DEVNULL)
                received = hashlib.sha256()
                while piece := client.stdout.read(1 << 20):
                    received.update(piece)
                client.communicate(timeout=60)
                self.assertEqual((client.returncode, received.hexdigest()), (0, digest.hexdigest()))

                client = lab.popen("sha256sum")
                for head in heads:
                    client.stdin.write(head + block)
                out, err = client.communicate(timeout=60)
                self.assertEqual((client.returncode, out.split()[0].decode(), err),
                                 (0, digest.hexdigest(), b""))
            if not SANITIZED:
                self.assertLess(watch.most - before, 16 * 1024)


if __name__ == "__main__":
    unittest.main()
