"""A short slice of the campaign (campaign.py runs the long one), and the chaos proxy's own test.

REXEC_SESSIONS=2000 and REXEC_SEED=... make it longer and other.
"""

import contextlib
import io
import os
import unittest

import chaos
from campaign import FLAGS, KINDS, Campaign, Case, Session
from lab import SANITIZED, Lab

SESSIONS = int(os.environ.get("REXEC_SESSIONS", "0")) or (20 if SANITIZED else 40)
SEED = os.environ.get("REXEC_SEED", "everyday")


class Proxy(unittest.TestCase):
    def test_the_proxy_does_what_it_says(self):
        self.assertEqual(chaos.self_test(), 0)


class Slice(unittest.TestCase):
    def test_sessions_through_chaos(self):
        """Each ends whole, or with a clear error and no lie; no command runs twice; nothing hangs, nothing is left."""
        with Lab(**FLAGS) as lab:
            summary = Campaign(lab, SEED).run(SESSIONS, 240)
            self.assertNotRegex(lab.said(), "Sanitizer|runtime error")
            self.assertIsNone(lab.server.poll(), lab.said())
        self.assertEqual(summary["wrong"], [])
        self.assertTrue(summary["nothing_left"])
        # It is a campaign only if connections break, commands are taken up again, and most of it comes whole.
        self.assertGreater(summary["faults"], SESSIONS // 2, summary)
        self.assertGreater(summary["resumed"], 0, summary)
        self.assertGreater(summary["verdicts"].get("whole", 0), SESSIONS // 2, summary)

    def test_each_fault_in_the_middle(self):
        """What befalls three connections in a row, in the middle of output or of input, loses nothing."""
        with Lab(**FLAGS) as lab:
            campaign = Campaign(lab, SEED)

            def run(fault, kind):
                case = Case(SEED, f"{fault}-{kind}", campaign.material, campaign.marks, kind, 2_000_000)
                case.faults = 3
                way = chaos.DOWN if kind == "out" else chaos.UP

                def plan(number, _dice):
                    return chaos.Plan(fault, way, 200_000 + 7919 * number, 0.3)
                session = Session(lab, case, SEED, plan).run()
                self.assertEqual((session.verdict, session.wrong), ("whole", []), (session.error, session.history))
                # Each connection that was cut was had again.
                lost = {"none": 0, "stall": 0, "heal": 0}.get(fault, 3)
                self.assertEqual(session.connections, lost + 1, session.history)
                campaign.done.append(session)
            for fault in chaos.FAULTS:
                # `refuse` is for those that are to be had again.
                for kind in ("out", "cat") if fault != "refuse" else ():
                    with self.subTest(fault=fault, kind=kind):
                        run(fault, kind)
            summary = campaign.summary()
            self.assertEqual((summary["wrong"], summary["nothing_left"]), ([], True))

    def test_the_campaign_sees_what_is_wrong(self):
        """Its judge, on sessions that lie."""
        with Lab(**FLAGS) as lab:
            campaign = Campaign(lab, SEED)
            cases = (Case(SEED, number, campaign.material, campaign.marks) for number in range(1000))
            case = next(case for case in cases if case.kind == "out" and case.size > 4000)
            self.assertEqual({kind for kind in KINDS}, {Case(SEED, number, campaign.material, campaign.marks).kind
                                                        for number in range(200)})
            case.faults = 0
            session = Session(lab, case, SEED).run()
            self.assertEqual((session.verdict, session.wrong), ("whole", []))
            for lie in ("short", "changed", "status", "silent", "twice", "never"):
                with self.subTest(lie=lie):
                    session.out, session.err, session.wrong = bytearray(case.out), bytearray(), []
                    session.client.returncode = case.status
                    marks = {case.id: 1}
                    if lie == "short":
                        del session.out[-1:]
                    elif lie == "changed":
                        session.out[100] ^= 1
                    elif lie == "status":
                        session.client.returncode = case.status + 1
                    elif lie == "silent":
                        session.client.returncode = 255
                    else:
                        marks[case.id] = 2 if lie == "twice" else 0
                    session.judge()
                    session.ran(marks)
                    self.assertEqual(len(session.wrong), 1, session.wrong)
            # What is left of a command is seen, too.
            campaign.done.append(session)
            left = lab.popen("echo up; sleep 600")
            self.assertEqual(left.stdout.readline(), b"up\n")
            with contextlib.redirect_stderr(io.StringIO()):
                self.assertFalse(campaign.summary(1)["nothing_left"])
            left.kill()
            left.communicate()


if __name__ == "__main__":
    unittest.main()
