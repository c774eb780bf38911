#!/usr/bin/python3
"""rexec lesson sticky: what is shown is what the sockets did, in a terminal, as JSON, SVG and a page."""

import collections
import json
import os
import pathlib
import re
import subprocess
import tempfile
import unicodedata
import unittest
import xml.etree.ElementTree as ElementTree

from lab import REXEC

WORDS = ["ls -l", "pwd", "你好", "date", "whoami", "df -h /"]
SCENES = ["merge", "split", "slow", "nagle-on", "nagle-off", "empty", "cure-length", "cure-header", "udp"]
SVG = "{http://www.w3.org/2000/svg}"


def lesson(*options, **variables):
    environment = {**{name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG"))},
                   "LC_ALL": "C.UTF-8", **variables}
    run = subprocess.run([REXEC, "lesson", "sticky", *options], env=environment, stdin=subprocess.DEVNULL,
                         capture_output=True, timeout=120, check=False)
    assert run.returncode == 0 and run.stderr == b"", run
    return run.stdout


def columns(text):
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def scenes(*options):
    """The events of each scene: {scene: {what: [event]}}."""
    found = collections.defaultdict(lambda: collections.defaultdict(list))
    for line in lesson("--json", *options).decode().splitlines():
        event = json.loads(line)
        found[event["scene"]][event["what"]].append(event)
    return found


def content(events):
    return b"".join(bytes.fromhex(event["hex"]) for event in events)


def words(count, empty=False):
    return [b"" if empty and i == 2 else WORDS[i % len(WORDS)].encode() for i in range(count)]


class WhatHappened(unittest.TestCase):
    """The events: bytes are neither lost nor made."""

    @classmethod
    def setUpClass(cls):
        cls.scenes = scenes("--size", "200000")

    def test_scenes(self):
        self.assertEqual(list(self.scenes), SCENES)

    def test_calls_follow_each_other(self):
        for name, scene in self.scenes.items():
            for what in ("message", "send", "recv"):
                at = 0
                for event in scene[what]:
                    self.assertEqual(event["at"], at, (name, what))
                    at += event["whole"] if what != "send" else event["bytes"]
                self.assertEqual(at, sum(e["whole"] for e in scene["message"]), (name, what))
            times = [event["ns"] for event in scene["recv"]]
            self.assertEqual(times, sorted(times))

    def test_no_byte_is_received_before_it_was_sent(self):
        for name, scene in self.scenes.items():
            for received in scene["recv"]:
                sent = [e for e in scene["send"] if e["at"] < received["at"] + received["bytes"]]
                self.assertLess(sent[-1]["ns"] if sent else -1, received["ns"], name)

    def test_bytes_are_the_same(self):
        for name in ("merge", "slow", "nagle-on", "nagle-off", "empty"):
            messages = words(4, True) if name == "empty" else words(6)
            self.assertEqual([bytes.fromhex(e["hex"]) for e in self.scenes[name]["message"]], messages, name)
            self.assertEqual(content(self.scenes[name]["recv"]), b"".join(messages), name)

    def test_large_send_in_pieces(self):
        split = self.scenes["split"]
        self.assertEqual([e["bytes"] for e in split["message"]], [200000])
        self.assertEqual(sum(e["bytes"] for e in split["recv"]), 200000)
        self.assertGreater(len(split["recv"]), 200000 // 65536)
        self.assertGreater(len(split["send"]), 1)       # the send buffer is smaller
        self.assertEqual(len(split["right"]), 0)

    def test_naive_receiver_is_wrong(self):
        merge = self.scenes["merge"]
        self.assertEqual([len(merge[what]) for what in ("send", "recv", "right", "wrong", "missing")],
                         [6, 1, 0, 1, 5])
        self.assertEqual(content(merge["wrong"]), b"".join(words(6)))
        self.assertLess(len(self.scenes["slow"]["right"]), 6)
        self.assertGreater(len(self.scenes["slow"]["wrong"]), 0)

    def test_naive_answers_are_judged_by_what_came(self):
        for name in ("merge", "slow", "nagle-on", "nagle-off", "empty", "udp"):
            scene = self.scenes[name]
            sent, got = scene["message"], scene["recv"]
            right = [g["hex"] for s, g in zip(sent, got) if s["hex"] == g["hex"]]
            self.assertEqual([e["hex"] for e in scene["right"]], right, name)
            self.assertEqual(len(scene["right"]) + len(scene["wrong"]), len(got), name)
            self.assertEqual(len(scene["missing"]), max(0, len(sent) - len(got)), name)

    def test_empty_message_is_not_there(self):
        empty = self.scenes["empty"]
        self.assertEqual([e["bytes"] for e in empty["send"]], [5, 3, 0, 4])
        self.assertNotIn(0, [e["bytes"] for e in empty["recv"]])
        self.assertGreater(len(empty["missing"]), 0)

    def test_cures_are_right(self):
        for name, count in (("cure-length", 6), ("cure-header", 3)):
            scene = self.scenes[name]
            self.assertEqual([bytes.fromhex(e["hex"]) for e in scene["right"]], words(count, True), name)
            self.assertEqual((scene["wrong"], scene["missing"]), ([], []), name)
            self.assertNotEqual([e["bytes"] for e in scene["recv"]], [e["bytes"] for e in scene["send"]], name)

    def test_frames_on_the_wire(self):
        wire, at, got = content(self.scenes["cure-length"]["recv"]), 0, []
        while at < len(wire):
            n = int.from_bytes(wire[at:at + 4], "big")
            got.append(wire[at + 4:at + 4 + n])
            at += 4 + n
        self.assertEqual(got, words(6, True))
        wire, at, got = content(self.scenes["cure-header"]["recv"]), 0, []
        while at < len(wire):
            n = int.from_bytes(wire[at:at + 4], "big")
            size = json.loads(wire[at + 4:at + 4 + n])["size"]
            got.append(wire[at + 4 + n:at + 4 + n + size])
            at += 4 + n + size
        self.assertEqual(got, words(3, True))

    def test_datagrams_never_stick_and_are_cut(self):
        udp = self.scenes["udp"]
        self.assertEqual([bytes.fromhex(e["hex"]) for e in udp["recv"]], [w[:5] for w in words(6, True)])
        self.assertEqual([e["whole"] for e in udp["recv"]], [len(w) for w in words(6, True)])
        self.assertEqual(len(udp["right"]), sum(len(w) <= 5 for w in words(6, True)))


class Parameters(unittest.TestCase):
    def test_counts_and_buffers(self):
        found = scenes("--count", "9", "--buffer", "4", "--size", "1000", "--delay", "10")
        self.assertEqual([bytes.fromhex(e["hex"]) for e in found["merge"]["message"]], words(9))
        for name, scene in found.items():
            self.assertTrue(all(e["bytes"] <= 4 for e in scene["recv"]), name)
        self.assertEqual(len(found["split"]["recv"]), 250)
        self.assertEqual(len(found["cure-length"]["right"]), 9)
        self.assertEqual(len(found["cure-header"]["right"]), 9)

    def test_mistakes(self):
        for options in (["--count", "0"], ["--count", "65"], ["--lang", "fr"], ["--columns", "3"], ["--delay", "x"],
                        ["--svg", "/nonexistent/file"], ["more"]):
            run = subprocess.run([REXEC, "lesson", "sticky", "--delay", "1", *options], capture_output=True, timeout=120,
                                 check=False)
            self.assertEqual(run.returncode, 255, options)
            self.assertRegex(run.stderr.decode(), r"\Arexec: [^\n]+; [^\n]+\n\Z", options)
        run = subprocess.run([REXEC, "lesson", "none"], capture_output=True, timeout=60, check=False)
        self.assertEqual((run.returncode, run.stdout), (255, b""))
        run = subprocess.run([REXEC, "lesson"], capture_output=True, timeout=60, check=False)
        self.assertEqual(run.returncode, 0)
        self.assertIn(b"sticky", run.stdout)


class Terminal(unittest.TestCase):
    def boxes(self, text, width):
        """Every line fits; what is drawn closes: edges stand below edges."""
        lines = text.splitlines()
        for line in lines:
            self.assertLessEqual(columns(line), width, line)
        below = {"┌": "│", "┬": "│", "┐": "│", "├": "│", "┤": "│", "┼": "│"}
        edges = 0
        for line, under in zip(lines, lines[1:]):
            place = 0
            for c in line:
                if c in below:
                    at, found = 0, None
                    for other in under:
                        if at == place:
                            found = other
                        at += columns(other)
                    self.assertEqual(found, "│", f"{line}\n{under}")
                    edges += 1
                place += columns(c)
        self.assertGreater(edges, 100)

    def test_english(self):
        for width in (40, 80):
            text = lesson("--delay", "10", "--columns", str(width)).decode()
            self.assertTrue(text.startswith("Sticky packets\n"))
            self.boxes(text, width)
        # A head that is too long for the table goes on below.
        self.assertRegex(lesson("--delay", "10", "--columns", "40").decode(), r"\n {4}sent +the naive\n +receiver\n")

    def test_titles_and_words_follow_what_happened(self):
        def said(*options):
            return " ".join(lesson("--delay", "40", "--columns", "160", *options).decode().split())
        usual = said()
        for words in ("Many small sends, one receive", "One large send, many receives", "A slow receiver with a small buffer",
                      "Now they stick together and are cut apart at once"):
            self.assertIn(words, usual)
        cut = said("--buffer", "1", "--size", "500")
        self.assertIn("They are cut apart;", cut)
        for wrong in ("one receive", "stick together"):
            self.assertNotIn(wrong, cut)
        whole = said("--buffer", "100000", "--size", "10")
        for words in ("Many small sends, one receive", "One send, one receive", "They stick together; a smaller buffer"):
            self.assertIn(words, whole)
        for wrong in ("many receives", "a small buffer", "cut apart"):
            self.assertNotIn(wrong, whole)
        self.assertNotIn("Many small sends", said("--count", "1"))

    def test_a_small_buffer_is_no_endless_picture(self):
        events = scenes("--delay", "1", "--size", "20000", "--buffer", "1")
        self.assertEqual(len(events["split"]["recv"]), 20000)
        text = lesson("--delay", "1", "--size", "20000", "--buffer", "1", "--columns", "80").decode()
        self.assertLess(len(text.splitlines()), 2000)
        self.assertIn("Of 20000 calls of recv(), the first 100 are shown.", text)
        self.assertIn("recv() calls: 20000. The receiver has 20000,", text)

    def test_chinese(self):
        for width in (40, 60, 80, 133):
            text = lesson("--delay", "10", "--columns", str(width), LC_ALL="zh_CN.UTF-8").decode("utf-8")
            self.assertTrue(text.startswith("粘包\n"))
            self.boxes(text, width)
        self.assertTrue(lesson("--delay", "10", "--lang", "zh").decode().startswith("粘包\n"))
        self.assertTrue(lesson("--delay", "10", "--lang", "en", LC_ALL="zh_CN.UTF-8").startswith(b"Sticky"))
        # Where the terminal has ASCII only, Chinese that was asked for by name is UTF-8 all the same.
        self.assertTrue(lesson("--delay", "10", "--lang", "zh", LC_ALL="C").decode().startswith("粘包\n"))

    def test_ascii(self):
        text = lesson("--delay", "10", LC_ALL="C")
        self.assertTrue(text.isascii())
        self.assertIn(b"| ls -l", text)
        self.assertIn(rb"\xe4\xbd\xa0", text)

    def test_terminal_says_what_the_sockets_did(self):
        """The numbers of the boxes add up to the message."""
        text = lesson("--delay", "10", "--size", "123457", "--columns", "160").decode()
        part = text[text.index("One large send"):text.index("A slow receiver")]
        for row in ("send()", "recv()"):
            line = re.search(rf"^{re.escape(row)} +(│.*│)$", part, re.MULTILINE)[1]
            self.assertEqual(sum(int(n) for n in re.findall(r"│ *(\d+)", line)), 123457, row)


class Pictures(unittest.TestCase):
    def test_to_standard_output(self):
        with tempfile.TemporaryDirectory() as directory:
            before = os.getcwd()
            os.chdir(directory)
            self.addCleanup(os.chdir, before)
            self.assertEqual(ElementTree.fromstring(lesson("--delay", "10", "--svg", "-")).tag, SVG + "svg")
            page = lesson("--delay", "10", "--html", "-").decode()
            self.assertTrue(page.startswith("<!DOCTYPE html>\n"))
            ElementTree.fromstring(page.split("\n", 1)[1])
            self.assertEqual(os.listdir(), [])

    def test_files(self):
        for language in ("en", "zh"):
            with self.subTest(language), tempfile.TemporaryDirectory() as directory:
                svg, html = pathlib.Path(directory, "a.svg"), pathlib.Path(directory, "a.html")
                lesson("--delay", "10", "--lang", language, "--svg", str(svg), "--html", str(html))
                picture = ElementTree.parse(svg).getroot()
                self.assertEqual(picture.tag, SVG + "svg")
                self.assertIn("max-width:100%", picture.get("style"))       # opened alone, on a phone
                rectangles = [r for r in picture.iter(SVG + "rect") if "k1" in r.get("class", "")]
                self.assertGreater(len(rectangles), 30)     # the sends
                width, height = float(picture.get("width")), float(picture.get("height"))
                for r in picture.iter(SVG + "rect"):
                    if r.get("x"):
                        self.assertLessEqual(float(r.get("x")) + float(r.get("width")), width)
                        self.assertLessEqual(float(r.get("y")) + float(r.get("height")), height)
                texts = [t.text for t in picture.iter(SVG + "text")]
                for word in WORDS:
                    self.assertIn(word, texts)
                page = html.read_text()
                ElementTree.fromstring(page.split("\n", 1)[1])
                self.assertTrue(page.startswith("<!DOCTYPE html>\n"))
                self.assertNotRegex(page, r"(src|href)=|@import|url\(|<script")     # all of it is in the file
                self.assertIn("粘包" if language == "zh" else "Sticky packets", page)


if __name__ == "__main__":
    unittest.main()
