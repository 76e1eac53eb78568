#!/usr/bin/python3
"""The Python client's verification of evidence: what the vectors say is taken, and every change to it refused."""
import base64
import importlib
import json
import pathlib
import random
import sys
import tempfile
import unittest

import package

VECTORS = json.loads((package.ROOT / "tests/data/vectors/chain.json").read_text())


def hashes(texts):
    return [bytes.fromhex(text) for text in texts]


def proof_text(chain, index, size):
    path = next(p for p in chain["inclusion"] if (p["size"], p["index"]) == (size, index))["path_hex"]
    note = next(c for c in chain["checkpoints"] if c["size"] == size)["note"]
    lines = ["c2sp.org/tlog-proof@v1", "extra " + base64.b64encode(bytes.fromhex(chain["entries"][index]["entry_hex"])).decode(), f"index {index}"]
    lines += [base64.b64encode(h).decode() for h in hashes(path)]
    return "\n".join(lines) + "\n\n" + note


class Case(unittest.TestCase):
    def setUp(self):
        self.chain = VECTORS["valid"]
        self.keys = (evidence.VerifierKey.parse(self.chain["verifier_key"]),)
        self.other = (evidence.VerifierKey.parse(VECTORS["bytes"]["verifier_key"]),)
        self.roots = {0: b""} | {e["seq"] + 1: bytes.fromhex(e["root_hex"]) for e in self.chain["entries"]}
        self.notes = {c["size"]: c["note"] for c in self.chain["checkpoints"]}

    def refused(self, *call, kind=None):
        with self.assertRaises(kind or evidence.EvidenceError) as caught:
            call[0](*call[1:])
        self.assertTrue(str(caught.exception))


class Vectors(Case):
    def test_all_of_them_hold(self):
        for chain in VECTORS.values():
            keys = [evidence.VerifierKey.parse(chain["verifier_key"])]
            roots = {e["seq"] + 1: bytes.fromhex(e["root_hex"]) for e in chain["entries"]}
            leaves = [evidence.leaf_hash(bytes.fromhex(e["entry_hex"])) for e in chain["entries"]]
            self.assertEqual([leaf.hex() for leaf in leaves], [e["leaf_hash_hex"] for e in chain["entries"]])
            for item in chain["inclusion"]:
                evidence.verify_inclusion(item["index"], item["size"], leaves[item["index"]], hashes(item["path_hex"]), roots[item["size"]])
            for item in chain["consistency"]:
                evidence.verify_consistency(item["old"], roots[item["old"]], item["new"], roots[item["new"]], hashes(item["path_hex"]))
            for item in chain["checkpoints"]:
                opened = evidence.open_checkpoint(item["note"], keys)
                self.assertEqual((opened.origin, opened.size, opened.root), (chain["origin"], item["size"], roots[item["size"]]))
            for index in range(len(leaves)):
                proven = evidence.verify_proof(proof_text(chain, index, len(leaves)), keys)
                self.assertEqual(proven.entry.sequence, index)
                self.assertEqual(proven.checkpoint.origin, chain["origin"])

    def test_a_payload_is_read_in_every_spelling(self):
        spellings = set()
        for item in VECTORS["bytes"]["entries"] + VECTORS["valid"]["entries"]:
            entry = evidence.Entry.parse(bytes.fromhex(item["entry_hex"]))
            spellings.add(entry.spelling)
            if entry.result & 4 == 0:
                self.assertIsInstance(entry.payload(), dict)
        self.assertEqual(spellings, {1, 2, 3, 4})


class Tampering(Case):
    def test_every_changed_character_of_a_proof(self):
        text = proof_text(self.chain, 3, 12)
        evidence.verify_proof(text, self.keys)
        for at in range(len(text)):
            for change in (text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :], text[:at] + text[at + 1 :], text[:at] + text[at] + text[at:]):
                if change != text:
                    self.refused(evidence.verify_proof, change, self.keys)

    def test_every_changed_bit_of_a_header(self):
        # Each bit of it is under the leaf hash, so this is about Entry.parse and the bindings: the path is made to fit.
        entry = bytes.fromhex(self.chain["entries"][0]["entry_hex"])
        for at in list(range(0, 32)) + [112, 113, 114, 115, 120, 121, 122, 123, 124, 125, 126, 127]:
            changed = bytearray(entry)
            changed[at] ^= 0x80
            proof = self.resigned(bytes(changed))
            self.refused(evidence.verify_proof, proof, (self.own,))

    def resigned(self, entry):
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        secret = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(self.chain["checkpoint_seed_hex"]))
        self.own = self.keys[0]
        root = base64.b64encode(evidence.leaf_hash(entry)).decode()
        text = f"{self.chain['origin']}\n1\n{root}\n"
        signature = base64.b64encode(self.own.key_id + secret.sign(text.encode())).decode()
        note = f"{text}\n\u2014 {self.own.name} {signature}\n"
        return evidence.Proof(entry, 0, (), note)

    def test_the_resigned_entry_itself_holds(self):
        entry = bytes.fromhex(self.chain["entries"][0]["entry_hex"])
        evidence.verify_proof(self.resigned(entry), self.keys)

    def test_proofs_of_other_places(self):
        for item in self.chain["inclusion"]:
            leaf, path, root = bytes.fromhex(self.chain["entries"][item["index"]]["leaf_hash_hex"]), hashes(item["path_hex"]), self.roots[item["size"]]
            for other in range(item["size"] + 2):
                if other != item["index"]:
                    self.refused(evidence.verify_inclusion, other, item["size"], leaf, path, root)
            self.refused(evidence.verify_inclusion, item["index"], item["size"], leaf, [*path, root], root)
            self.refused(evidence.verify_inclusion, item["index"], item["size"], bytes(32), path, root)
            if path:
                self.refused(evidence.verify_inclusion, item["index"], item["size"], leaf, path[:-1], root)
                self.refused(evidence.verify_inclusion, item["index"], item["size"], leaf, path[::-1] if path != path[::-1] else [root], root)

    def test_consistency_with_other_roots(self):
        for item in self.chain["consistency"]:
            old, new, path = item["old"], item["new"], hashes(item["path_hex"])
            self.refused(evidence.verify_consistency, old, bytes(32), new, self.roots[new], path)
            self.refused(evidence.verify_consistency, old, self.roots[old], new, bytes(32), path)
            self.refused(evidence.verify_consistency, old, self.roots[old], new, self.roots[new], [*path, bytes(32)])
            for at in range(len(path)):
                self.refused(evidence.verify_consistency, old, self.roots[old], new, self.roots[new], path[:at] + path[at + 1 :])
                self.refused(evidence.verify_consistency, old, self.roots[old], new, self.roots[new], path[:at] + [bytes(32)] + path[at + 1 :])
        self.refused(evidence.verify_consistency, 12, self.roots[12], 11, self.roots[11], ())

    def test_notes(self):
        note = self.notes[12]
        line = note.split("\n")[4]
        self.refused(evidence.open_checkpoint, note, self.other, kind=evidence.NotTrusted)
        self.refused(evidence.open_checkpoint, note, (), kind=evidence.NotTrusted)
        foreign = line.replace(self.chain["origin"], "witness.example")
        evidence.open_checkpoint(note + foreign + "\n", self.keys)  # lines of unknown keys do not count, and do no harm
        self.refused(evidence.open_checkpoint, note.replace(line, foreign), self.keys, kind=evidence.NotTrusted)
        bad = base64.b64encode(self.keys[0].key_id + bytes(64)).decode()
        self.refused(evidence.open_checkpoint, note + f"\u2014 {self.keys[0].name} {bad}\n", self.keys)  # one good and one bad
        self.refused(evidence.open_checkpoint, note.replace("\n\n", "\nextension\n\n"), self.keys)
        self.refused(evidence.open_checkpoint, note.replace("\n12\n", "\n012\n"), self.keys)
        self.refused(evidence.open_checkpoint, note + (foreign + "\n") * 64, self.keys)
        self.refused(evidence.open_checkpoint, note.replace("\n", "\r\n"), self.keys)
        self.refused(evidence.open_checkpoint, note + "x" * 70_000, self.keys)
        for size in range(1, 12):  # a note of another size with this root
            self.refused(evidence.open_checkpoint, note.replace("\n12\n", f"\n{size}\n"), self.keys)

    def test_keys(self):
        text = self.chain["verifier_key"]
        for at in range(len(text)):
            self.refused(evidence.VerifierKey.parse, text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :])
        self.refused(evidence.VerifierKey.parse, "")
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder, "trust")
            file.write_text(f"# ours\n{text}\n")
            self.assertEqual(evidence.read_trust([str(file)]), self.keys)
            file.write_text("# none\n")
            self.refused(evidence.read_trust, [str(file)])

    def test_random_bytes(self):
        chance = random.Random(20261122)
        text = proof_text(self.chain, 7, 12)
        for _ in range(2000):
            cut = chance.randrange(len(text))
            noise = "".join(chance.choice("\n\0 +=/az\u2014\ud800") for _ in range(chance.randrange(1, 9)))
            self.refused(evidence.verify_proof, text[:cut] + noise + text[cut + chance.randrange(40) :], self.keys)


class Kept(Case):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.store = kept.CheckpointStore(folder.name + "/seen")

    def open(self, size):
        return evidence.open_checkpoint(self.notes[size], self.keys)

    def path(self, old, new):
        return hashes(next(c for c in self.chain["consistency"] if (c["old"], c["new"]) == (old, new))["path_hex"])

    def test_it_only_grows(self):
        for size in (3, 3, 7, 5, 12, 1):
            self.store.see(self.open(size), self.keys, self.path)
        self.assertEqual(self.store.load(self.chain["origin"], self.keys).size, 12)

    def test_a_fork_is_kept_with_both_notes(self):
        for order in ((3, 7), (7, 3)):
            self.store.path_of(self.chain["origin"]).unlink(missing_ok=True)
            self.store.see(self.open(order[0]), self.keys, self.path)
            self.refused(self.store.see, self.open(order[1]), self.keys, lambda old, new: [bytes(32)] * 3, kind=kept.Mismatch)
            self.assertEqual(self.store.load(self.chain["origin"], self.keys).size, order[0])
        records = sorted(self.store.folder.glob("*.mismatch-*"))
        self.assertEqual([record.name[-2:] for record in records], ["00", "01"])
        self.assertIn(self.notes[3], records[0].read_text())
        self.assertIn(self.notes[7], records[0].read_text())

    def test_read_only_it_compares_and_writes_nothing(self):
        self.store.see(self.open(3), self.keys, self.path)
        before = {file: file.read_bytes() for file in self.store.folder.iterdir()}
        looking = kept.CheckpointStore(self.store.folder, read_only=True)
        looking.see(self.open(7), self.keys, self.path)
        self.refused(looking.see, self.open(7), self.keys, lambda old, new: [bytes(32)] * 3, kind=kept.Mismatch)
        self.assertEqual({file: file.read_bytes() for file in self.store.folder.iterdir()}, before)
        kept.CheckpointStore(self.store.folder / "none", read_only=True).see(self.open(3), self.keys, self.path)
        self.assertFalse((self.store.folder / "none").exists())

    def test_two_roots_for_one_size(self):
        self.store.see(self.open(3), self.keys, self.path)
        forged = evidence.Checkpoint(self.chain["origin"], 3, bytes(32), self.notes[3])
        self.refused(self.store.see, forged, self.keys, self.path, kind=kept.Mismatch)

    def test_a_changed_file_is_noticed(self):
        self.store.see(self.open(3), self.keys, self.path)
        file = self.store.path_of(self.chain["origin"])
        for content in (self.notes[3].replace("\n3\n", "\n2\n").encode(), b"", b"\xff", VECTORS["bytes"]["checkpoints"][2]["note"].encode()):
            file.write_bytes(content)
            self.refused(self.store.see, self.open(7), self.keys, self.path)

    def test_the_file_is_named_as_the_other_programs_name_it(self):
        self.assertEqual(self.store.path_of("virp.example.net/site1").name, "virp_example_net_site1-a14881ee231c7609")


if __name__ == "__main__":
    with package.built() as folder:
        sys.path.insert(0, str(folder))
        evidence, kept = importlib.import_module("virp.evidence"), importlib.import_module("virp.kept")
        unittest.main()
