#!/usr/bin/python3
"""The frozen vectors in $REXEC_SOURCE/tests/vectors/*.json, recomputed by the Python implementation.

A file is one JSON object, of a whole session or of `cases`: records of one direction around a change of keys. All
values but `name`, `server_name`, `suite`, `direction` and the numbers are lower case hex. The inputs are the psk, the
server's name, the suite, the nonces, the secrets (for cases: the direction's first one) and the messages in clear, of
requests with their trailer; everything else is computed from them and compared. A name that is not known in here is a
failure: nobody would check it.
"""
import glob
import json
import os
import re
import struct
import sys
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import rexec_protocol as rexec  # noqa: E402

SOURCE = os.environ.get("REXEC_SOURCE", os.path.join(HERE, "..", ".."))
HEX = {"psk", "kid", "client_auth", "server_auth", "mix", "nonce_c", "client_secret", "challenge",
       "server_secret", "m1", "m2", "m3", "th", "c2s_secret", "s2c_secret", "request_key", "session_id"}
DECOY = {"kid", "client_auth", "server_auth", "mix"}
RECORD = {"counter", "message", "record"}


def fixed(*values):
    """A source of "randomness" that gives just these values, in this order."""
    left = list(values)
    return lambda size: left.pop(0)


def at(suite, secret, counter):
    """The keys of one direction when so many records have passed."""
    keys = rexec.RecordKeys(suite, secret)
    keys.counter = counter
    return keys


class Vectors(unittest.TestCase):
    def test_vectors(self):
        suites = set()
        for path in sorted(glob.glob(os.path.join(SOURCE, "tests", "vectors", "*.json"))):
            with self.subTest(file=os.path.basename(path)), open(path, encoding="utf-8") as file:
                vector = json.load(file)
                if "cases" in vector:
                    self.check_cases(vector)
                else:
                    self.check(vector)
                    suites.add(vector["suite"])
        self.assertEqual(suites, set(rexec.SUITES), "vectors are missing")

    def hex_values(self, names, values):
        for name in names:
            self.assertRegex(values[name], re.compile(r"\A([0-9a-f]{2})*\Z"), name)
        return {name: bytes.fromhex(values[name]) for name in names}

    def check_cases(self, vector):
        self.assertEqual(set(vector), {"name", "cases"})
        for case in vector["cases"]:
            self.assertEqual(set(case), {"suite", "secret", "records"})
            secret, suite = self.hex_values(["secret"], case)["secret"], rexec.SUITES[case["suite"]]
            self.assertTrue(case["records"], "no records")
            for record in case["records"]:
                self.assertEqual(set(record), RECORD)
                with self.subTest(suite=case["suite"], counter=record["counter"]):
                    self.check_record(record, suite, secret)

    def check(self, vector):
        extra = {"decoy_secret", "decoy"} & set(vector)
        self.assertEqual(set(vector), HEX | extra | {"name", "server_name", "suite", "records"})
        value = self.hex_values(HEX, vector)
        suite = rexec.SUITES[vector["suite"]]
        kid, keys = rexec.derive_grant_keys(value["psk"], vector["server_name"])
        self.assertEqual(kid.hex(), vector["kid"], "kid")
        self.compare_keys(keys, vector)
        if extra:
            secret = self.hex_values(["decoy_secret"], vector)["decoy_secret"]
            self.assertEqual(set(vector["decoy"]), DECOY)
            self.compare_keys(rexec.decoy_keys(secret, bytes.fromhex(vector["decoy"]["kid"])), vector["decoy"])
        session = self.check_handshake(value, suite, vector["server_name"], keys)
        for name, computed in (("th", session.th), ("c2s_secret", session.c2s), ("s2c_secret", session.s2c),
                               ("request_key", session.request), ("session_id", session.session_id)):
            self.assertEqual(computed.hex(), vector[name], name)
        self.assertTrue(vector["records"], "no records")
        for number, record in enumerate(vector["records"]):
            with self.subTest(record=number):
                self.check_message(record, session)
                self.check_record(record, suite, session.c2s if record["direction"] == "c2s" else session.s2c)

    def compare_keys(self, keys, values):
        for name in keys._fields:
            self.assertEqual(getattr(keys, name).hex(), values[name], name)

    def check_handshake(self, value, suite, server_name, keys):
        """Both sides, each with its own secrets; the bitmap and the versions offered are taken from M1 itself."""
        low, high, offered = value["m1"][5:8]
        self.assertTrue(offered & suite, "the suite was not offered")
        empty = suite == rexec.HMAC_SHA256
        self.assertEqual((value["client_secret"] == b"", value["server_secret"] == b""), (empty, empty), "secrets")
        client_random = fixed(value["nonce_c"]) if empty else fixed(value["nonce_c"], value["client_secret"])
        client = rexec.ClientHandshake(value["psk"], server_name, offered, client_random, low, high)
        self.assertEqual(client.m1.hex(), value["m1"].hex(), "m1")
        grant = rexec.Grant(server_name, value["kid"], keys)
        server_random = fixed(value["challenge"]) if empty else fixed(value["challenge"], value["server_secret"])
        version = value["m2"][5]
        server = rexec.ServerHandshake(lambda kid: grant, b"unused", server_random, True, version, version)
        m2 = server.receive_m1(value["m1"])
        self.assertEqual(m2.hex(), value["m2"].hex(), "m2")
        m3, client_session = client.receive_m2(m2)
        self.assertEqual(m3.hex(), value["m3"].hex(), "m3")
        server_session = server.receive_m3(m3)
        self.assertEqual(client_session, server_session)
        return client_session

    def check_message(self, record, session):
        """It is one that its receiver takes, and a request's trailer is the right one."""
        self.assertEqual(set(record) - {"sequence"}, RECORD | {"direction"})
        payload = bytes.fromhex(record["message"])
        message = rexec.split_message(payload, {"c2s": "S", "s2c": "C"}[record["direction"]])
        rexec.decode_header(message)
        self.assertEqual("sequence" in record, message.type.trailer, "sequence")
        if message.type.trailer:
            again = rexec.add_trailer(session.request, payload[:-rexec.TRAILER], record["sequence"])
            self.assertEqual(again.hex(), record["message"], "trailer")

    def check_record(self, record, suite, secret):
        values = self.hex_values(["message", "record"], record)
        payload, sealed = values["message"], values["record"]
        self.assertEqual(record["record"], at(suite, secret, record["counter"]).seal(payload).hex(), "record")
        self.assertEqual(at(suite, secret, record["counter"]).open(bytearray(sealed)), payload)
        for position in (0, 4, len(sealed) - 1):
            bad = bytearray(sealed)
            bad[position] ^= 1
            with self.assertRaises(rexec.RexecError):
                if at(suite, secret, record["counter"]).open(bad) is None:
                    raise rexec.RexecError("closed_early")
        with self.assertRaises(rexec.RexecError):
            at(suite, secret, record["counter"] + 1).open(bytearray(sealed))
        self.assertEqual(struct.unpack(">I", sealed[:4])[0], len(sealed) - 4)


if __name__ == "__main__":
    unittest.main()
