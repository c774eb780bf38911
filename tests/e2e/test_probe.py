"""rexec probe against the real programs, which pass, and against broken ones, whose fault it names.

All checks against each of the broken ones; REXEC_ATTACKS_LONG=1 does that with several seeds.
"""

import concurrent.futures
import json
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import threading
import unittest
import xml.etree.ElementTree

from hostile import LONG, Impostor
from lab import NAME, REXEC, SANITIZED, Lab, LabTest

import faulty
import rexec_protocol as rp

HANG = 120
SEEDS = range(1, 6) if LONG else (1,)

# fault of a server -> the checks that see it: all of them do, and no other does.
SERVERS = {
    "length_unchecked": ("record_length", "second_m3"),     # first, as it takes longest; M3 as a record has 1.8 GiB
    "none": (),
    "after_close": ("after_close",),
    "ack_unchecked": ("ack",),
    "any_key": ("reflection",),
    "any_offer": ("nothing_common",),
    "choice_not_covered": ("m2_altered",),
    "command_before_proof": ("command_before_proof",),
    "compare_from_one": ("response_altered",),
    "constant_challenge": ("challenge_repeats",),
    "constant_key": ("ephemeral_repeats",),
    "counting_challenge": ("challenge_repeats",),
    "crossed": ("crossed",),
    "direction_unchecked": ("server_only",),
    "downgrade": ("downgrade",),
    "duplicate_id": ("duplicate_id",),
    "form_unchecked": ("message_form", "server_only"),
    "header_length_unchecked": ("message_form",),
    "m2_not_zero": ("m2_form",),
    "more_guesses": ("second_response",),
    "no_stream": ("message_form",),
    "one_direction": ("record_keys", "record_reflected", "server_only"),
    "versions_unchecked": ("m1_versions",),
    "words_unchecked": ("words",),
    "zero_key": ("record_keys",),
    "zero_response": ("random_response",),
    "early_exit": ("response_nul",),
    "garbage_answered": ("m1_garbage", "command_before_proof"),
    "header_not_compared": ("m3_header",),
    "json_depth": ("json_depth",),
    "json_duplicate": ("json_duplicate",),
    "json_form": ("json_form",),
    "json_nul": ("json_nul",),
    "low_order": ("low_order",),
    "mac_half": ("request_mac",),
    "mac_of_exec_alone": ("request_mac", "request_sequence"),
    "mac_once": ("request_mac",),
    "mac_unchecked": ("request_mac",),
    "no_transcript": ("no_transcript",),
    "offer_not_covered": ("m1_altered",),
    "offset_unchecked": ("offset",),
    "order_unchecked": ("record_order",),
    "reflection": ("reflection",),
    "replay": ("replay",),
    "second_m1": ("second_m1", "bytes_behind_m1"),
    "second_m3": ("second_m3",),
    "sequence_unchecked": ("request_sequence",),
    "short_compare": ("response_altered",),
    "short_kid": ("kid_altered",),
    "short_tag": ("record_altered",),
    "short_response": ("response_cut",),
    "state_unchecked": ("message_state", "offset"),         # data behind LAST is a matter of state
    "tag_unchecked": ("record_altered",),
    "transcript_without_m2": ("no_transcript",),
    "unknown_no_proof": ("unknown_told_apart",),
    "unknown_one_challenge": ("unknown_told_apart",),
    "unknown_user": ("unknown_told_apart",),
    "unknown_user_told": ("unknown_told_apart", "kid_altered"),
    "window_unchecked": ("window",),
    "zero_nonce": ("m1_zero_nonce",),
}

STATES = ("welcome_twice", "pong_unasked", "started_unasked", "stdout_unasked", "exit_unasked", "output_early",
          "output_behind_end", "exit_early", "exit_twice", "started_twice", "welcome_missing")

# fault of a client -> likewise
CLIENTS = {
    "length_unchecked": ("length_above", "length_huge"),
    "none": (),
    "trusting_nothing": (),
    "any_role": ("proof_role",),
    "any_suite": ("suite_downgrade",),
    "any_version": ("version_0", "version_above"),
    "constant_nonce": ("m2_replayed",),
    "counts_unchecked": ("exit_count_more", "exit_count_less"),
    "direction_unchecked": ("client_only", "client_only_stdin"),
    "header_unchecked": ("json_duplicate", "json_nul", "json_depth", "json_form", "exit_both"),
    "no_transcript": ("proof_no_transcript",),
    "no_welcome": ("welcome_missing",),
    "offset_unchecked": ("output_gap", "output_twice", "ack_ahead"),
    "order_unchecked": ("record_doubled", "record_missing"),
    "proof_from_one": ("proof_begin",),
    "proof_unchecked": ("proof_random", "proof_zero", "proof_bit", "proof_half", "proof_begin", "proof_end",
                        "proof_role", "proof_own_bytes", "proof_no_transcript", "m2_challenge", "m2_key", "m2_replayed"),
    "short_proof": ("proof_half", "proof_end"),
    "small_order": ("key_zero", "key_one", "key_order_8"),
    "state_unchecked": STATES,
    "tag_unchecked": ("record_altered", "welcome_altered"),
    "window_unchecked": ("output_window",),
    "zero_challenge": ("zero_challenge",),
}
# What depends on which bit was picked.
SAMPLED = {"short_proof": {"proof_bit"}, "proof_from_one": {"proof_bit"}, "tag_unchecked": {"record_altered", "welcome_altered"}}


def failed(results):
    return {check["name"]: check["text"] for check in results["checks"] if check["result"] == "failed"}


def command_line(*words, key, patience):
    return [str(REXEC), "probe", "-F", "none", "-o", "HostName=127.0.0.1", "-o", f"ConnectTimeout={patience}",
            *(["-i", str(key)] if key else []), *map(str, words)]


def try_server(job):
    """One broken server, probed: (the run, what went wrong in the server besides)."""
    name, grant, command = job
    with faulty.Server(name, grant) as server:
        command[2:2] = ["-p", str(server.port)]
        run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=HANG)
        return run, list(map(repr, server.failures))


class Probe(LabTest):
    flags = {"handshake_timeout": 1}

    def probe(self, *words, port=None, key=None, host=NAME, patience=30, stdout=subprocess.PIPE):
        """Runs `rexec probe` to its end."""
        command = command_line("-p", port or self.lab.port, *words, *([host] if host else []), key=key, patience=patience)
        return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE,
                              timeout=HANG, env={**os.environ, "HOME": str(self.lab.dir)})

    def results(self, run, status):
        self.assertEqual((run.returncode, run.stderr), (status, b""), run.stdout)
        return json.loads(run.stdout)

    # ---- the real server

    def test_real_server_passes_with_a_key(self):
        for seed in SEEDS:
            results = self.results(self.probe("--json", "--slow", 20, "--seed", seed, key=self.lab.key), 0)
            self.assertEqual(failed(results), {})
            self.assertEqual([c["name"] for c in results["checks"] if c["result"] == "skipped"], [])
            self.assertGreater(results["passed"], 50)

    def test_real_server_passes_without_a_key(self):
        results = self.results(self.probe("--json", "--no-key"), 0)
        self.assertEqual(failed(results), {})
        self.assertGreater(results["passed"], 14)
        self.assertGreater(results["skipped"], 30)
        # Nor is a key needed where there is none in its place.
        self.assertEqual(self.results(self.probe("--json"), 0)["passed"], results["passed"])

    def test_real_server_passes_over_the_readable_suite(self):
        with Lab(grant_options=("--readable",), readable="yes") as lab:
            results = self.results(self.probe("--json", "--readable", key=lab.key, port=lab.port), 0)
        self.assertEqual(failed(results), {})
        self.assertEqual({c["name"] for c in results["checks"] if c["result"] == "skipped"},
                         {"ephemeral_repeats", "low_order", "deadline"})

    def test_server_is_well_afterwards_and_ran_what_it_was_asked_for(self):
        marks = self.lab.audit.read_text().count('"record":"command"') if self.lab.audit.exists() else 0
        self.probe("--no-key")
        self.check(self.lab.rexec("echo fine"), 0, b"fine\n")
        self.probe(key=self.lab.key)
        self.check(self.lab.rexec("echo fine"), 0, b"fine\n")
        records = [json.loads(line) for line in self.lab.audit.read_text().splitlines()]
        words = {tuple(record["words"]) for record in records[marks:] if record["record"] == "command"}
        self.assertLessEqual(words, {("true",), ("cat",), ("echo fine",)})

    def test_key_that_the_server_does_not_know(self):
        other = self.lab.dir / "unknown"
        if not other.exists():
            self.lab.make_key(other)
        results = self.results(self.probe("--json", key=other), 1)
        self.assertEqual(set(failed(results)), {"server_proof"})
        self.assertIn("no grant of this key under the name lab01", failed(results)["server_proof"])
        self.assertGreater(results["passed"], 14)

    # ---- what is no server

    def test_not_a_rexec_server(self):
        def closes(_sock):
            pass

        def talks(sock):
            sock.sendall(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n" + bytes(200))
            sock.recv(1000)

        def answers(sock):
            sock.recv(1000)
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

        def echoes(sock):
            while data := sock.recv(1000):
                sock.sendall(data)

        def silent(sock):
            while sock.recv(1000):
                pass

        for act in (closes, talks, answers, echoes, silent):
            with self.subTest(act.__name__), Impostor(act) as impostor:
                for key in (None, self.lab.key) if act in (closes, talks) else (None,):
                    run = self.probe("--tap", key=key, port=impostor.port, patience=1 if act in (echoes, silent) else 30)
                    self.assertEqual(run.returncode, 2)
                    self.assertRegex(run.stderr, rb"\Arexec: lab01: not a rexec server: .*; check the host and the port\n\Z")
                    self.assertRegex(run.stdout, rb"\ABail out! not a rexec server")

    def test_nobody_listens(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        run = self.probe(port=port)
        self.one_line(run, "no connection: Connection refused")
        run = self.probe("--json", port=port)
        self.assertEqual((run.returncode, json.loads(run.stdout)["checks"]), (255, []))
        suite = xml.etree.ElementTree.fromstring(self.probe("--junit", port=port).stdout)
        self.assertEqual([suite.get(name) for name in ("tests", "failures", "errors")], ["1", "0", "1"])
        self.assertIn("Connection refused", suite.find("testcase/error").get("message"))

    # ---- words and formats

    def test_formats_say_the_same(self):
        names = "replay,m1_cut,deadline"
        human = self.probe("--only", names, "--seed", 7, key=self.lab.key)
        self.assertRegex(human.stdout, rb"\Aprobe of lab01 \(127.0.0.1 port \d+\), seed 7\npassed   m1_cut .*\n"
                         rb"passed   replay .*\nskipped  deadline .*needs --slow\n2 passed, 0 failed, 1 could not be tried\n\Z")
        tap = self.probe("--only", names, "--tap", "--seed", 7, key=self.lab.key).stdout.decode().splitlines()
        self.assertEqual(tap[0], "TAP version 13")
        self.assertEqual([line.split(":")[0] for line in tap[2:-1]],
                         ["1..3", "ok 1 - m1_cut", "ok 2 - replay", "ok 3 - deadline # SKIP it needs --slow"])
        results = self.results(self.probe("--only", names, "--json", "--seed", 7, key=self.lab.key), 0)
        self.assertEqual([(c["name"], c["result"]) for c in results["checks"]],
                         [("m1_cut", "passed"), ("replay", "passed"), ("deadline", "skipped")])
        self.assertEqual((results["seed"], results["passed"], results["failed"], results["skipped"]), ("7", 2, 0, 1))
        suite = xml.etree.ElementTree.fromstring(
            self.probe("--only", names, "--junit", "--seed", 7, key=self.lab.key).stdout)
        self.assertEqual([suite.get(name) for name in ("tests", "failures", "skipped")], ["3", "0", "1"])
        self.assertEqual([case.get("name") for case in suite.iter("testcase")], ["m1_cut", "replay", "deadline"])
        self.assertIsNotNone(suite.findall("testcase")[2].find("skipped"))
        self.assertEqual(suite.find("properties/property").attrib, {"name": "seed", "value": "7"})

    def test_formats_of_a_failure(self):
        with faulty.Server("zero_nonce", self.grant()) as server:
            def run(*words):
                return self.probe("--only", "m1_zero_nonce", *words, port=server.port, key=self.lab.key)
            human, tap, junit = run(), run("--tap"), run("--junit")
            self.assertEqual({run.returncode for run in (human, tap, junit)}, {1})
            self.assertRegex(human.stdout, rb"\nFAILED   m1_zero_nonce .*: it answered behind an all-zero nonce\n"
                             rb"0 passed, 1 failed, 0 could not be tried\n\Z")
            self.assertRegex(tap.stdout, rb"\nnot ok 1 - m1_zero_nonce: .*\n# it answered behind an all-zero nonce\n")
            suite = xml.etree.ElementTree.fromstring(junit.stdout)
            self.assertIn("all-zero nonce", suite.find("testcase/failure").get("message"))

    def test_list_and_only(self):
        listed = self.probe("--list", host=None)
        self.assertEqual(listed.returncode, 0)
        names = [line.split()[0] for line in listed.stdout.decode().splitlines()]
        self.assertEqual(len(names), len(set(names)))
        self.assertGreater(len(names), 50)
        # Each fault is named after a check that there is.
        self.assertLessEqual({name for seen in SERVERS.values() for name in seen}, set(names))
        serving = self.probe("--serve", 0, "--list", host=None).stdout.decode().splitlines()
        self.assertLessEqual({name for seen in CLIENTS.values() for name in seen}, {line.split()[0] for line in serving})
        for words in (("--only", "no_such"), ("--only", "replay,"), ("--only", "replay,replay"), ("--tap", "--json"),
                      ("--seed", "0"), ("--seed", "x"), ("--slow", "0"), ("--serve", "0", "--no-key")):
            with self.subTest(words):
                self.one_line(self.probe(*words))

    def test_output_that_nobody_reads(self):
        for words, host in ((("--list",), None), (("--only", "m1_garbage"), NAME)):
            reading, writing = os.pipe()
            os.close(reading)
            run = self.probe(*words, host=host, stdout=writing)
            os.close(writing)
            self.assertEqual((run.returncode, run.stderr), (128 + signal.SIGPIPE, b""))

    def test_only_what_could_not_be_tried(self):
        run = self.probe("--only", "deadline")
        self.assertEqual(run.returncode, 2)

    # ---- broken servers

    def grant(self):
        return rp.parse_grant_file((self.lab.grants / "me").read_bytes())

    def test_names_the_fault_of_a_broken_server(self):
        self.assertEqual(set(SERVERS), set(faulty.SERVER_FAULTS) - {"no_deadline"})
        listed = self.probe("--list", host=None).stdout.decode().splitlines()
        names = ",".join(line.split()[0] for line in listed if not line.startswith("timing "))
        jobs = [(name, seed) for name in SERVERS for seed in SEEDS]
        tries = [(name, self.grant(), command_line("--json", "--only", names, "--seed", seed, NAME, key=self.lab.key,
                                                   # Nothing tells this one but that nothing comes.
                                                   patience=(10 if SANITIZED else 4) if name == "length_unchecked" else 30))
                 for name, seed in jobs]
        # A process each: the interpreter runs one thread at a time.
        with multiprocessing.get_context("fork").Pool(4) as pool:
            for (name, seed), (run, failures) in zip(jobs, pool.imap(try_server, tries)):
                with self.subTest(name, seed=seed):
                    self.assertEqual(failures, [])
                    results = self.results(run, 1 if SERVERS[name] else 0)
                    self.assertEqual(set(failed(results)), set(SERVERS[name]), failed(results))

    def test_names_a_server_without_a_deadline(self):
        with faulty.Server("no_deadline", self.grant()) as server:
            run = self.probe("--json", "--slow", 2, "--only", "deadline,replay", port=server.port, key=self.lab.key)
            self.assertEqual(set(failed(self.results(run, 1))), {"deadline"})

    def test_same_seed_same_samples(self):
        """What it finds and says is the same with the same seed."""
        with faulty.Server("offer_not_covered", self.grant()) as server:
            texts = {seed: {self.probe("--only", "m1_cut,m1_altered", "--seed", seed, "--tap", port=server.port,
                                       key=self.lab.key).stdout for _ in range(3)} for seed in (1, 2)}
        self.assertEqual([len(found) for found in texts.values()], [1, 1])

    # ---- clients

    def serve(self, *words, patience=30):
        """A hostile server: (process, port)."""
        process = subprocess.Popen([str(REXEC), "probe", "-F", "none", "-i", self.lab.key, "--serve", "0", "-o",
                                    f"ConnectTimeout={patience}", "--json", *words, NAME], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        said = process.stderr.readline()
        port = re.search(rb"listening on 127\.0\.0\.1 port (\d+) as lab01 for (\d+) connections", said)
        self.assertIsNotNone(port, said)
        return process, int(port[1]), int(port[2])

    def test_real_client_passes(self):
        process, port, count = self.serve()
        once = ["--no-resume"] if b"--no-resume" in subprocess.run([REXEC, "help"], capture_output=True,
                                                                    timeout=HANG).stdout else []
        command = [str(REXEC), *once, "-F", "none", "-i", str(self.lab.key), "-p", str(port), "-o",
                   "HostName=127.0.0.1", NAME, "true"]
        statuses = [subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=HANG).returncode
                    for _ in range(count)]
        out, _ = process.communicate(timeout=HANG)
        results = json.loads(out)
        self.assertEqual((process.returncode, failed(results), results["skipped"]), (0, {}, 0), results)
        # And what the user saw: an error each time, but where the server did nothing wrong at first.
        self.assertEqual(set(statuses[1:]), {255, 0} if 0 in statuses[1:] else {255})
        self.assertLessEqual(statuses[1:].count(0), 1)

    def test_names_the_fault_of_a_broken_client(self):
        self.assertEqual(set(CLIENTS), set(faulty.CLIENT_FAULTS))
        psk = rp.parse_key_file(self.lab.key.read_bytes())["psk"]

        def try_client(name):
            silent = name in ("length_unchecked", "state_unchecked")    # nothing tells them but that nothing comes
            process, port, _ = self.serve("--seed", "1", patience=(10 if SANITIZED else 3) if silent else 30)
            client = threading.Thread(target=faulty.run_client, args=(name, psk, NAME, port))
            client.start()
            out, _ = process.communicate(timeout=HANG)
            client.join(HANG)
            return process.returncode, json.loads(out)

        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            for (name, seen), (status, results) in zip(CLIENTS.items(), pool.map(try_client, CLIENTS)):
                with self.subTest(name):
                    found, sampled = failed(results), SAMPLED.get(name, set())
                    self.assertEqual(status, 1 if seen else 0)
                    self.assertEqual(set(found) - sampled, set(seen) - sampled, found)
                    self.assertTrue(found or not seen)

    def test_client_with_another_key_is_not_judged(self):
        process, port, _ = self.serve("--only", "proof_zero")
        faulty.run_client("none", bytes(range(32)), NAME, port)
        out, _ = process.communicate(timeout=HANG)
        results = json.loads(out)
        self.assertEqual((process.returncode, results["skipped"]), (2, 1))
        self.assertIn("another key", results["checks"][0]["text"])


if __name__ == "__main__":
    unittest.main()
