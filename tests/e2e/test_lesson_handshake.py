"""`rexec lesson handshake`: what it shows is what happened, and all of it holds."""

import hashlib
import hmac
import html.parser
import os
import re
import subprocess
import sys
import tempfile
import unittest

from lab import REXEC, SOURCE

sys.path.insert(0, str(SOURCE / "tests" / "python"))
import rexec_protocol  # noqa: E402

CHECKS = {"not_rexec", "proof_wrong", "response_wrong", "bad_seal"}


def play(*options, status=0, **environment):
    """The lesson's output; environment variables beside the usual."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("LC_") and key != "LANG"}
    run = subprocess.run([REXEC, "lesson", "handshake", *options], capture_output=True, timeout=120,
                         env={**clean, **environment}, stdin=subprocess.DEVNULL, check=False)
    if run.returncode != status:
        raise AssertionError(f"status {run.returncode}: {run.stderr.decode()}")
    return run.stdout if status == 0 else run.stderr


def scenes(text):
    """{number: its text} of the English lesson."""
    parts = re.split(r"(?m)^(\d+)\. [^\n]*\n-+\n", text)
    return {int(number): part for number, part in zip(parts[1::2], parts[2::2])}


def values(scene, name):
    """All values of this name in a scene, as bytes: hex, 16 bytes a line."""
    found = re.findall(rf"(?m)^ {{6}}{name} +([0-9a-f]+)(?: .*)?\n((?: {{20}}[0-9a-f]{{2,32}}(?: .*)?\n)*)", scene)
    return [bytes.fromhex(first + "".join(line.split()[0] for line in rest.splitlines())) for first, rest in found]


class Lesson(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.text = play("--lang", "en").decode()
        cls.scenes = scenes(cls.text)

    def test_every_toy_is_broken(self):
        self.assertEqual(sorted(self.scenes), list(range(1, 14)))
        for number in (1, 3, 4, 5, 6):
            self.assertEqual(self.scenes[number].count("=> GOT IN"), 1, number)
            self.assertNotIn("=> STOPPED", self.scenes[number])
        self.assertEqual(self.scenes[2].count("=> STOPPED"), 1)

    def test_ours_is_not_and_says_which_check(self):
        ours = "".join(self.scenes[number] for number in range(7, 14))
        self.assertNotIn("GOT IN", ours)
        ends = {number: re.findall(r"=> STOPPED: (\w+)", self.scenes[number]) for number in range(7, 14)}
        self.assertEqual(ends, {7: [], 8: ["response_wrong"], 9: ["response_wrong"],
                                10: ["proof_wrong", "response_wrong"], 11: ["proof_wrong"],
                                12: ["bad_seal"] * 4, 13: []})

    def test_every_field_of_the_handshake_is_tried(self):
        rows = re.findall(r"(?m)^(M[123] [a-zA-Z_]+(?: m\w+)?) +(alice|lab01) +(\w+) ", self.scenes[13])
        self.assertEqual([row[0] for row in rows], [
            "M1 magic", "M1 type", "M1 version min", "M1 version max", "M1 suites", "M1 kid", "M1 nonce_c", "M1 E_c",
            "M2 magic", "M2 type", "M2 version", "M2 suite", "M2 zero", "M2 challenge", "M2 E_s", "M2 proof",
            "M3 magic", "M3 type", "M3 version", "M3 suite", "M3 zero", "M3 response"])
        self.assertLessEqual({row[2] for row in rows}, CHECKS)
        for name, who, _ in rows:
            self.assertEqual(who, "lab01" if name[:2] == "M3" else who)

    def test_the_bytes_are_of_this_run(self):
        again = scenes(play("--lang", "en").decode())
        for number, name in ((2, "challenge"), (3, "response"), (5, "challenge"), (7, "nonce_c"), (9, "proof")):
            mine, other = values(self.scenes[number], name), values(again[number], name)
            self.assertEqual(len(mine), len(other))
            self.assertGreater(len(mine), 0)
            self.assertFalse(set(mine) & set(other), (number, name))

    def test_a_response_is_what_it_says(self):
        scene = self.scenes[2]
        key, challenge, response = (values(scene, name) for name in ("key", "challenge", "response"))
        self.assertEqual(hmac.new(key[0], challenge[0], hashlib.sha256).digest(), response[0])
        self.assertNotEqual(challenge[0], challenge[1])
        self.assertEqual(response[0], response[1])

    def test_reflection_and_relay_pass_the_same_bytes(self):
        challenge = values(self.scenes[5], "challenge")
        response = values(self.scenes[5], "response")
        self.assertEqual(challenge[1], challenge[2])
        self.assertEqual(response[1], response[2])
        challenge, response = values(self.scenes[3], "challenge"), values(self.scenes[3], "response")
        self.assertEqual((len(set(challenge)), len(set(response))), (1, 1))

    def test_the_handshake_is_that_of_the_protocol(self):
        """An implementation of its own comes to the same proof, response and keys."""
        scene = self.scenes[7]
        get = lambda name, i=0: values(scene, name)[i]  # noqa: E731
        kid, keys = rexec_protocol.derive_grant_keys(get("psk"), "lab01")
        self.assertEqual([kid, *keys], [get("kid"), get("K_c"), get("K_s"), get("K_m")])
        magic, types, zero = get("magic"), values(scene, "type"), get("zero")
        m1 = magic + types[0] + get("versions") + get("suites") + get("kid", 1) + get("nonce_c") + get("E_c")
        m2 = magic + types[1] + get("version") + get("suite") + zero + get("challenge") + get("E_s")
        m3 = magic + types[2] + get("version", 1) + get("suite", 1) + values(scene, "zero")[1]

        def mac(key, nonce, said):
            return hmac.new(key, nonce + hashlib.sha256(said).digest(), hashlib.sha256).digest()

        self.assertEqual(mac(keys.server_auth, get("nonce_c"), m1 + m2), get("proof"))
        m2 += get("proof")
        self.assertEqual(mac(keys.client_auth, get("challenge"), m1 + m2 + m3), get("response"))
        self.assertEqual((len(m1), len(m2), len(m3) + 32), (88, 104, 40))

    def test_fits_a_terminal(self):
        for language in ("en", "zh"):
            for line in play("--lang", language).decode().splitlines():
                width = sum(2 if ord(c) >= 0x2e80 else 1 for c in line)
                self.assertLessEqual(width, 80, line)
                self.assertNotIn("\033", line)

    def test_language(self):
        chinese = "客户端如何证明自己".encode()
        for environment, expected in (({}, False), ({"LANG": "zh_CN.UTF-8"}, True), ({"LANG": "de_DE.UTF-8"}, False),
                                      ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, False),
                                      ({"LC_MESSAGES": "zh_TW.UTF-8", "LANG": "C"}, True)):
            self.assertEqual(chinese in play(**environment), expected, environment)
        self.assertTrue(chinese in play("--lang=zh", LANG="C"))
        self.assertFalse(chinese in play("--lang", "en", LANG="zh_CN.UTF-8"))
        self.assertTrue(play("--lang", "en").isascii())

    def test_both_languages_tell_the_same(self):
        chinese = play("--lang", "zh").decode()
        self.assertEqual(chinese.count("=> 攻击成功"), self.text.count("=> GOT IN"))
        self.assertEqual(re.findall(r"=> 攻击失败: (\w+)", chinese), re.findall(r"=> STOPPED: (\w+)", self.text))

    def test_page_is_well_formed_and_stands_alone(self):
        class Check(html.parser.HTMLParser):
            def __init__(self):
                super().__init__()
                self.open_tags, self.seen, self.links = [], [], []

            def handle_starttag(self, tag, attrs):
                self.seen.append(tag)
                self.links += [value for name, value in attrs if name in ("href", "src")]
                if tag not in ("meta", "br"):
                    self.open_tags.append(tag)

            def handle_endtag(self, tag):
                if self.open_tags.pop() != tag:
                    raise AssertionError(f"</{tag}> closes another")

        for language in ("en", "zh"):
            with tempfile.TemporaryDirectory() as place:
                file = os.path.join(place, "page.html")
                said = play("--lang", language, "--html", file).decode()
                self.assertTrue(said.startswith({"en": "How a client", "zh": "客户端如何"}[language]))
                with open(file, encoding="utf-8") as page:
                    text = page.read()
            check = Check()
            check.feed(text)
            self.assertEqual((check.open_tags, check.links), ([], []))
            self.assertIn(f'<html lang="{language}">', text)
            self.assertNotIn("url(", text)
            self.assertEqual(text.count('class="end in"'), 5)
            self.assertEqual(text.count('class="end stop"'), 10)
            self.assertEqual(check.seen.count("tr"), 23)
        self.assertTrue(play("--html", "-").startswith(b"<!doctype html>"))     # and no text before it

    def test_wrong_options(self):
        for options in (("--lang", "fr"), ("--nonsense",), ("word",), ("--html",), ("--svg", "x"),
                        ("--json",), ("--count", "3"), ("--size", "9"), ("--delay", "9"), ("--buffer", "9"),
                        ("--send-buffer", "9"), ("--columns", "80")):
            said = play(*options, status=255).decode()
            self.assertRegex(said, r"\Arexec: [ -~]*\n\Z")
        self.assertIn("cannot write", play("--html", "/no/such/directory/page", status=255).decode())

    def test_lessons_are_listed(self):
        run = subprocess.run([REXEC, "lesson"], capture_output=True, timeout=60, check=True)
        self.assertIn(b"handshake", run.stdout)
        run = subprocess.run([REXEC, "lesson", "nothing"], capture_output=True, timeout=60, check=False)
        self.assertEqual((run.returncode, run.stdout), (255, b""))
        self.assertIn(b"there is no such lesson", run.stderr)


if __name__ == "__main__":
    unittest.main()
