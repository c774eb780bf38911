"""A lost connection loses nothing, and no command runs twice: the server's side of it, with real daemons and commands.

The client is the independent one of tests/python. REXEC_ROUNDS=500 makes the campaign of random cuts long."""

import hashlib
import json
import os
import random
import select
import signal
import unittest

from attack_tools import ROOT, ROUNDS, marked, resident_kib
from lab import SANITIZED, Lab, LabTest, alive, until
from resuming import HOWS, Story, Wire, settled, stranger

import rexec_protocol as rp

# Who is lost may be away for long, unless a test is about that.
PATIENT = {"linger": "600", "fin_grace": "600"}
SEED = int(os.environ.get("REXEC_SEED", "1"))


def psk_of(lab, key=None):
    return rp.parse_key_file((key or lab.key).read_bytes())["psk"]


def digest(data):
    return hashlib.sha256(data).hexdigest()


def commands(lab):
    lines = lab.audit.read_text().split("\n")[:-1] if lab.audit.exists() else []
    return [record for record in map(json.loads, lines) if record["record"] == "command"]


def record_of(lab, command_id):
    """The audit record of a command that was started; it comes behind EXIT."""
    found = []

    def there():
        found[:] = [record for record in commands(lab) if record["id"] == command_id and "refused" not in record]
        return bool(found)
    if not until(there):
        raise AssertionError(f"no record of {command_id}: {lab.said()}")
    if len(found) != 1:
        raise AssertionError(f"it ran {len(found)} times: {found}")
    return found[0]


def kill_marked(*marks):
    """What a command has started besides itself has no parent that could tell it."""
    for pid in set().union(*map(marked, marks)):
        os.kill(pid, signal.SIGKILL)


class Resuming(LabTest):
    flags = PATIENT

    def setUp(self):
        self.psk = psk_of(self.lab)
        self.marks = self.lab.dir / f"marks-{self.id()}"

    def tearDown(self):
        super().tearDown()
        while Wire.silent:
            Wire.silent.pop().close()
        self.assertNotRegex(self.lab.said(), "Sanitizer|runtime error")
        self.check(self.lab.rexec("echo well"), 0, b"well\n")

    def wire(self):
        return Wire(self.lab, self.psk)

    def mark(self, tag):
        return f"echo {tag} >> '{self.marks}'"

    def ran(self):
        return self.marks.read_text().split() if self.marks.exists() else []

    def whole(self, story, out, err, code=7):
        """All of it came, once, in order."""
        end = story.finish()
        self.assertEqual((len(story.out), digest(story.out)), (len(out), digest(out)))
        self.assertEqual((len(story.err), digest(story.err)), (len(err), digest(err)))
        self.assertEqual((end["code"], end["by"]), (code, "self"))


class Stages(Resuming):
    """Cut at every stage of a request's life."""

    data = random.Random(SEED).randbytes(900_000)
    err = b"".join(b"%d\n" % i for i in range(1, 60001))

    def story(self, wire, tag, **more):
        return Story(wire, f"{self.mark(tag)}; seq 1 60000 >&2; cat; exit 7", self.data, **more)

    def each(self, stage, answered):
        """By each way in which a connection is lost. stage(story, wire) brings it to where it is cut."""
        for how in HOWS:
            with self.subTest(how=how):
                tag = f"{stage.__name__}-{how}"
                wire = self.wire()
                story = self.story(wire, tag)
                stage(story, wire)
                ended = story.exit is not None
                self.assertEqual(story.command.answered, answered)
                wire.cut(how)
                with self.wire() as second:
                    self.whole(story.again(second), self.data, self.err)
                    second.cut("fin")
                record = record_of(self.lab, story.id)
                # One that had ended was recorded before its client came back.
                if answered and not ended:
                    self.assertEqual(record.get("resumed"), 1)
                self.assertEqual((record["by"], record["stdin"], record["stdout"], record["stderr"]),
                                 ("self", len(self.data), len(self.data), len(self.err)))
                self.assertEqual(self.ran().count(tag), 1)

    def test_before_exec_leaves(self):
        def before_exec(_story, wire):
            wire.budget = 0
            wire.turn(0)
        self.each(before_exec, False)

    def test_in_the_middle_of_exec(self):
        def middle_of_exec(_story, wire):
            wire.budget = 100
            wire.turn(0)
        self.each(middle_of_exec, False)

    def test_before_started_arrives(self):
        def before_started(_story, wire):
            before = len(self.ran())
            wire.sock.sendall(wire.session.data_to_send(1))     # EXEC alone
            self.assertTrue(until(lambda: len(self.ran()) > before))
        self.each(before_started, False)

    def test_in_the_output(self):
        def in_output(story, wire):
            wire.run(lambda: len(story.out) > 300_000 and len(story.err) > 100_000, read=4096)
        self.each(in_output, True)

    def test_between_output_and_exit(self):
        for how in HOWS:
            with self.subTest(how=how):
                tag, gate = f"between-{how}", self.lab.dir / f"gate-{how}"
                wire = self.wire()
                story = Story(wire, f"{self.mark(tag)}; seq 1 60000 >&2; cat; while ! test -e {gate}; do sleep 0.05; "
                                    "done; exit 7", self.data)
                wire.run(lambda: len(story.out) == len(self.data) and len(story.err) == len(self.err))
                self.assertIsNone(story.exit)
                wire.cut(how)
                gate.touch()
                with self.wire() as second:
                    self.whole(story.again(second), self.data, self.err)
                    second.cut("fin")
                self.assertEqual(self.ran().count(tag), 1)

    def test_before_the_acknowledgement(self):
        def before_ack(story, wire):
            wire.run(lambda: story.exit)
        self.each(before_ack, True)

    def test_behind_the_acknowledgement(self):
        """Nothing is left, and that is what is said: never that it may be started again."""
        wire = self.wire()
        story = self.story(wire, "acked")
        self.whole(story, self.data, self.err)
        wire.cut("fin")
        with self.wire() as second:
            story.again(second).until(lambda: story.refused)
            self.assertEqual(story.refused, ["data_lost"])
            story.command.answered = False
            story.again(second).until(lambda: len(story.refused) == 2)
            self.assertEqual(story.refused, ["data_lost"] * 2)
            second.cut("fin")
        self.assertEqual(self.ran(), ["acked"])

    def test_random_cuts_in_a_row(self):
        """Many cuts in each command's life, at any byte, in any way."""
        for number in range(ROUNDS or (3 if SANITIZED else 8)):
            dice = random.Random(f"{SEED} {number}")
            with self.subTest(seed=SEED, number=number):
                tag = f"random-{number}"
                data = dice.randbytes(dice.choice((0, 1, 5000, 70_000, 800_000)))
                count = dice.choice((0, 1, 30_000, 100_000))
                err = b"".join(b"%d\n" % i for i in range(1, count + 1))
                wire = self.wire()
                story = Story(wire, f"{self.mark(tag)}; seq 1 {count} >&2; cat; exit 7", data)
                for _ in range(dice.randrange(1, 12)):
                    goal, read = dice.randrange(0, 150_000), dice.choice((100, 3000, 65536))
                    if dice.random() < 0.3:
                        wire.budget = dice.randrange(0, 50_000)
                    turns, before = 0, len(story.out) + len(story.err)
                    while len(story.out) + len(story.err) - before < goal and turns < 40 and not wire.ended:
                        wire.turn(0.01, read)
                        turns += 1
                    wire.cut(dice.choice(HOWS))
                    wire = self.wire()
                    story.again(wire)
                self.whole(story, data, err)
                wire.cut("fin")
                self.assertEqual(self.ran().count(tag), 1)
                record_of(self.lab, story.id)


class Who(Resuming):
    def test_two_connections_race_for_one_command(self):
        """Both ask at once: one has it in the end, the other is told; nothing is lost or doubled."""
        wire = self.wire()
        story = Story(wire, f"{self.mark('race')}; seq 1 100000; exit 7", end=False)
        story.hold = {rp.STDOUT}            # so that all of it can be sent again
        wire.run(lambda: len(story.out) > 10_000)
        wire.cut("reset")
        racers = [Story.taken(self.wire(), story.id) for _ in range(4)]
        for told in racers:                 # all that is asked, before anything is read
            told.wire.sock.sendall(told.wire.session.data_to_send())
        self.assertTrue(until(lambda: [told.wire.turn(0.01) for told in racers] and
                              sum(bool(told.exit) for told in racers) == 1 and
                              sum(told.refused == ["taken_over"] for told in racers) == 3))
        winner = next(told for told in racers if told.exit)
        self.assertEqual(digest(winner.out), digest(b"".join(b"%d\n" % i for i in range(1, 100001))))
        self.assertEqual(winner.exit["code"], 7)
        self.assertEqual(self.ran(), ["race"])
        for told in racers:
            told.wire.cut("fin")

    def test_another_clients_command_is_as_if_it_were_not(self):
        """Another key is told the same of an id that is there and of one that is not, and touches nothing."""
        other = self.lab.dir / "other"
        self.lab.make_key(other)
        self.lab.add_grant("other", other)
        self.lab.server.send_signal(signal.SIGHUP)
        self.assertTrue(until(lambda: self.lab.rexec("true", key=other).returncode == 0))
        wire = self.wire()
        story = Story(wire, f"{self.mark('mine')}; cat; exit 7", b"before ", end=False)
        wire.run(lambda: story.out == b"before ")
        wire.cut("reset")
        said = []
        with Wire(self.lab, psk_of(self.lab, other)) as foreign:
            for command_id in (story.id, os.urandom(16).hex()):
                foreign.session.resume(stranger(command_id))
                foreign.session.signal_id(command_id, "KILL")
            foreign.run(lambda: len(foreign.names()) == 4)
            said = [(event.name, event.header) for event in foreign.events if event.kind == "refused"]
            self.assertEqual(said[:2], said[2:])
            self.assertEqual({name for name, _ in said}, {"unknown_command"})
            # Nor can it run something under this id.
            for age in (None, 5):
                header = {"id": story.id} if age is None else {"id": story.id, "age_ms": age}
                foreign.session._request("EXEC", header, rp.encode_words([(rp.WORD, self.mark("foreign").encode())]),
                                         command=stranger(story.id))
            foreign.run(lambda: len(foreign.names()) == 6)
            self.assertEqual(foreign.names()[4:], ["duplicate_id"] * 2)
        with self.wire() as second:
            story.again(second)
            story.command.stdin.write(b"after")
            story.command.stdin.finish()
            self.whole(story, b"before after", b"")
            second.cut("fin")
        self.assertEqual(self.ran(), ["mine"])

    def test_an_old_connection_speaks_after_it_was_taken_over(self):
        """What it says of the command counts for nothing, not even CLOSE; all else on it goes on."""
        wire = self.wire()
        story = Story(wire, f"{self.mark('old')}; cat; exit 7", b"first ", end=False)
        wire.run(lambda: story.out == b"first ")
        stream = story.command.stream
        with self.wire() as second:
            moved = Story.taken(second, story.id, stdin=6, stdout=6)
            moved.out += b"first "
            second.run(lambda: moved.started)
            session = wire.session
            session._send("STDIN", stream, body=(6).to_bytes(8, "big") + b"EVIL")
            session._send("SIGNAL", stream, {"signal": "KILL", "n": 1})
            session._send("ACK", stream, body=b"\1\0\0\0" + (262144).to_bytes(4, "big") + (6).to_bytes(8, "big"))
            session._send("EXIT_ACK", stream)
            wire.run(lambda: story.refused)
            self.assertEqual(story.refused, ["taken_over"])
            beside = Story(wire, "echo beside")
            beside.finish()
            self.assertEqual(bytes(beside.out), b"beside\n")
            session.close()
            wire.turn(0)
            self.assertTrue(until(lambda: [wire.turn(0.01)] and wire.ended))
            moved.command.stdin.write(b"last")
            moved.command.stdin.finish()
            self.whole(moved, b"first last", b"")
            second.cut("fin")

    def test_signals_are_sent_once(self):
        """One without an answer is sent again with its number; the server knows which it has done."""
        wire = self.wire()
        story = Story(wire, "trap 'echo hup' HUP; trap 'echo usr; exit 7' USR1; echo up; "
                            "while :; do sleep 0.05; done", end=False)
        wire.run(lambda: story.out == b"up\n")
        wire.session.signal(story.command, "HUP")
        wire.sock.sendall(wire.session.data_to_send())      # its answer is lost
        self.assertTrue(until(lambda: select.select([wire.sock], [], [], 0)[0]))
        wire.cut("reset")
        with self.wire() as second:
            story.again(second).until(lambda: story.started and b"hup" in story.out)
            number = second.session.signal(story.command, "USR1")
            story.finish()
            self.assertEqual((bytes(story.out), story.exit["code"]), (b"up\nhup\nusr\n", 7))
            self.assertIn(number, story.done)
            second.cut("fin")


class Output(Resuming):
    def test_lost_clients_output_stops_the_command_at_the_window(self):
        """Nobody takes it: the command waits, net does not grow; then all of it comes."""
        progress, total = self.lab.dir / "progress", 40_000_000
        wire = self.wire()
        program = ("import os\nn = 0\nblock = bytes(range(256)) * 256\n"
                   f"while n < {total}:\n"
                   f"    n += os.write(1, block[:min(65536, {total} - n)])\n"
                   f"    open({str(progress)!r} + '.new', 'w').write(str(n))\n"
                   f"    os.rename({str(progress)!r} + '.new', {str(progress)!r})\n")
        words = [(rp.WORD, word.encode()) for word in ("/usr/bin/python3", "-S", "-c", program)]
        story = Story(wire, "", words=words, run="exec", stdin="none")
        wire.run(lambda: len(story.out) > 1_000_000)
        net = self.lab.net_pid()
        before = resident_kib(net) if ROOT else None
        wire.cut("reset")
        written = settled(lambda: int(progress.read_text()))
        # What it wrote, the client did not take: the window, a pipe, and what was on its way to it.
        self.assertLess(written - len(story.out), 16_000_000)
        self.assertLess(written, total)
        if ROOT and not SANITIZED:
            self.assertLess(resident_kib(net) - before, 4096)
        with self.wire() as second:
            story.again(second).finish()
            self.assertEqual(len(story.out), total)
            self.assertEqual(digest(story.out), digest((bytes(range(256)) * (total // 256 + 1))[:total]))
            second.cut("fin")


class Policy(unittest.TestCase):
    """What becomes of the tree of a command whose client is gone, and what the audit record says of it."""

    TREE = "sleep 600 & (sleep 600 & sleep 600) & echo up; cat >/dev/null; sleep 600"

    def start(self, lab, **header):
        mark = os.urandom(16).hex()
        wire = Wire(lab, psk_of(lab))
        words = [(rp.WORD, self.TREE.encode()), (rp.ENVIRONMENT, f"MARK={mark}".encode())]
        story = Story(wire, "", words=words, end=False, **header)
        wire.run(lambda: story.out == b"up\n")
        self.assertTrue(until(lambda: len(marked(mark.encode())) >= 4))
        return wire, story, mark.encode()

    def gone(self, lab, story, mark, by):
        self.assertTrue(until(lambda: not marked(mark)), lab.said())
        record = record_of(lab, story.id)
        self.assertEqual((record["by"], "resumed" in record), (by, False))

    def test_fin_ends_the_tree_and_reset_lets_it_wait(self):
        with Lab(linger="600", fin_grace="0.2") as lab:
            reset_wire, reset_story, reset_mark = self.start(lab)
            reset_wire.cut("reset")
            fin_wire, fin_story, fin_mark = self.start(lab)
            fin_wire.cut("fin")
            self.gone(lab, fin_story, fin_mark, "lost")
            self.assertGreaterEqual(len(marked(reset_mark)), 4)
            # One that came back is not ended by what was to be done if it had not.
            with Wire(lab, psk_of(lab)) as second:
                reset_story.again(second).until(lambda: reset_story.started)
                second.session.close()
                second.turn(0)
                self.assertTrue(until(lambda: not marked(reset_mark)), lab.said())
            record = record_of(lab, reset_story.id)
            self.assertEqual((record["by"], record["resumed"]), ("closed", 1))

    def test_reset_ends_the_tree_after_its_linger(self):
        with Lab(linger="0.3") as lab:
            wire, story, mark = self.start(lab)
            wire.cut("reset")
            self.gone(lab, story, mark, "lost")
            with Wire(lab, psk_of(lab)) as second:
                story.again(second).until(lambda: story.refused)
                self.assertEqual(story.refused, ["data_lost"])

    def test_linger_that_is_asked_for_is_capped(self):
        with Lab(linger="0.1", linger_max="600") as lab:
            wire, story, mark = self.start(lab, linger_ms=600_000)
            short_wire, short_story, short_mark = self.start(lab)
            wire.cut("reset")
            short_wire.cut("reset")
            self.gone(lab, short_story, short_mark, "lost")
            self.assertGreaterEqual(len(marked(mark)), 4)
        with Lab(linger_max="0.2") as lab:
            wire, story, mark = self.start(lab, linger_ms=600_000)
            wire.cut("reset")
            self.gone(lab, story, mark, "lost")

    def test_silence_is_noticed(self):
        """Who answers nothing is lost in the end; its command waits as after a reset."""
        with Lab(keepalive="0.3", **PATIENT) as lab:
            wire, story, mark = self.start(lab)

            def closed():
                lines = lab.audit.read_text().split("\n")[:-1]
                return [record for record in map(json.loads, lines) if record["record"] == "session"]
            self.assertTrue(until(closed), lab.said())
            self.assertEqual(closed()[0]["how"], "silence")
            self.assertGreaterEqual(len(marked(mark)), 4)
            wire.cut("silence")
            with Wire(lab, psk_of(lab)) as second:
                story.again(second).until(lambda: story.started)
                second.session.close()
                second.turn(0)
                self.assertTrue(until(lambda: not marked(mark)))
            wire.sock.close()

    def test_stop_while_lost(self):
        with Lab(stop_grace="1", **PATIENT) as lab:
            wire, story, mark = self.start(lab)
            wire.cut("reset")
            self.assertTrue(until(lambda: "session closed (reset)" in lab.said()))
            self.assertEqual(lab.stop(), 0)
            self.gone(lab, story, mark, "shutdown")

    @unittest.skipUnless(ROOT, "only root may see the processes that hide")
    def test_kill_9_of_net(self):
        """Whose client was there, and whose was away: nothing is left of either, and nobody is told that it may run
        again."""
        with Lab(kill_grace="0.3", **PATIENT) as lab:
            away_wire, away, away_mark = self.start(lab)
            away_wire.cut("reset")
            wire, story, mark = self.start(lab)
            os.kill(lab.net_pid(), signal.SIGKILL)
            self.assertTrue(until(lambda: lab.said().count("listening on") == 2), lab.said())
            self.gone(lab, story, mark, "lost")
            self.gone(lab, away, away_mark, "lost")
            self.assertTrue(until(lambda: [wire.turn(0.01)] and wire.ended))
            with Wire(lab, psk_of(lab)) as second:
                for lost in (story, away):
                    lost.again(second).until(lambda lost=lost: lost.refused)
                    lost.command.answered = False
                    lost.again(second).until(lambda lost=lost: len(lost.refused) == 2)
                    self.assertEqual(lost.refused, ["data_lost"] * 2)
                Story(second, "exit 0").finish()

    @unittest.skipUnless(ROOT, "only root may see the processes that hide")
    def test_kill_9_of_the_monitor(self):
        """Net and the commands go with it; the next server knows nothing, and says so."""
        with Lab(**PATIENT) as lab:
            away_wire, away, away_mark = self.start(lab)
            away_wire.cut("reset")
            wire, story, mark = self.start(lab)
            self.addCleanup(kill_marked, mark, away_mark)
            net, pids = lab.net_pid(), [int(story.answer.header["pid"]), int(away.answer.header["pid"])]
            os.kill(lab.server.pid, signal.SIGKILL)
            lab.server.wait(timeout=60)
            self.assertTrue(until(lambda: not alive(net) and not any(map(alive, pids))))
            self.assertTrue(until(lambda: [wire.turn(0.01)] and wire.ended))
            lab.log_file.close()
            lab.start()
            with Wire(lab, psk_of(lab)) as second:
                story.again(second).until(lambda: story.refused)
                self.assertEqual(story.refused, ["unknown_command"])
                away.command.answered = False
                away.again(second).until(lambda: away.refused)
                self.assertEqual(away.refused, ["fate_unknown"])


if __name__ == "__main__":
    unittest.main()
