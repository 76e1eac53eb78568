#!/usr/bin/python3
"""The Python client against the platform: what its README says, who the server is, and answers that somebody changed on the way.

python_client_test.py BUILD"""
import copy
import importlib
import os
import subprocess
import sys
import types
import unittest

import package
import samples
import world


class Case(unittest.TestCase):
    def setUp(self):
        there.feed()
        pki = there.environment["PKI"]
        self.files = client.TlsFiles(f"{pki}/reader-app.crt", f"{pki}/reader-app.key", f"{pki}/ca.crt")
        self.claim = client.peer_claim("edge-a", "192.0.2.2")
        self.checkpointed = client.acceptance(chain_level="CHECKPOINTED")

    def open(self, **more):
        opened = client.Client(there.environment["ONODE"], self.files, trust=[there.environment["TRUST"]], **more)
        self.addCleanup(opened.close)
        return opened


class Claims(Case):
    def test_the_body_runs_only_when_the_claim_is_confirmed(self):
        asker, ran = self.open(server="spiffe://example.org/onode/node-1"), []
        with asker.act_only_on_confirmed(self.claim, self.checkpointed) as answer:
            ran.append(answer.opinions[0].source)
        self.assertEqual(ran, ["edge-a.agent"])
        for claim, verdict in ((client.peer_claim("edge-a", "192.0.2.2", negate=True), "REFUTED"), (client.peer_claim("edge-z", "192.0.2.2"), "NO_EVIDENCE")):
            with self.assertRaises(client.NotConfirmed) as refused:
                with asker.act_only_on_confirmed(claim):
                    ran.append("this must not be reached")
            self.assertEqual(refused.exception.verdict, verdict)
            self.assertIn(verdict, str(refused.exception))
        with self.assertRaises(client.NotConfirmed) as refused:
            client.confirmed(asker.verify_claim(self.claim, client.acceptance(min_sources=2)))
        self.assertEqual((refused.exception.verdict, refused.exception.reason), ("INSUFFICIENT", "MIN_SOURCES"))
        self.assertEqual(len(ran), 1)

    def test_every_other_verdict_stops(self):
        for number in range(-1, 40):
            answer = pb.ClaimAnswer(verdict=number)
            if number == pb.VERDICT_CONFIRMED:
                self.assertIs(client.confirmed(answer), answer)
            else:
                self.assertRaises(client.NotConfirmed, client.confirmed, answer)

    def test_errors_have_reasons(self):
        asker = self.open()
        for call, code, reason in ((lambda: asker.verify_claim(client.peer_claim("edge-a", "192.0.2")), "INVALID_ARGUMENT", "INVALID_ARGUMENT"),
                                   (lambda: self.open(origin="virp.example.net/other").verify_claim(self.claim), "NOT_FOUND", "NO_CHAIN")):
            with self.assertRaises(client.ApiError) as refused:
                call()
            self.assertEqual(refused.exception.code, code)
            self.assertTrue(refused.exception.reason, reason)
        with self.assertRaises(importlib.import_module("grpc").RpcError) as refused:
            grpc_stub = importlib.import_module("virp.source.v1.source_service_pb2_grpc").SourceServiceStub(asker.channel)
            source = importlib.import_module("virp.source.v1.source_service_pb2")
            grpc_stub.SuspendSource(source.SuspendSourceRequest(name="edge-a.agent"), timeout=10)
        self.assertEqual(importlib.import_module("virp.errors").api_error(refused.exception).reason, "METHOD_DENIED")


class Server(Case):
    def test_it_is_who_was_expected(self):
        tls = importlib.import_module("virp.tls")
        target = there.environment["ONODE"]
        self.assertEqual(tls.server_id(target, self.files), "spiffe://example.org/onode/node-1")
        for fits in ("spiffe://example.org/onode/node-1", "spiffe://example.org/onode/*"):
            tls.check_server(target, self.files, fits)
        for other in ("spiffe://example.org/onode/node-2", "spiffe://example.org/collector/*", "spiffe://example.org/*", "spiffe://example.org/onode/", ""):
            with self.assertRaises(tls.IdentityError):
                self.open(server=other)
        with self.assertRaises(tls.IdentityError):  # another service of the same system
            tls.check_server(there.environment["COLLECTOR"], self.files, "spiffe://example.org/onode/*")
        with self.assertRaises(OSError):  # another name than the certificate's
            tls.check_server(target, self.files, "spiffe://example.org/onode/*", server_name="elsewhere.example")


class Proofs(Case):
    def test_an_answer_that_was_changed_on_the_way_is_refused(self):
        asker = self.open(seen=there.home / "python-seen")
        good = asker.verify_claim(self.claim, self.checkpointed)
        self.assertEqual(len(asker.check_proofs(good)), len(good.proofs))
        self.assertGreater(len(good.proofs), 0)
        other = asker.verify_claim(client.route_claim("edge-a", "203.0.113.0/24"), self.checkpointed)
        changes = {
            "no proof": lambda a: a.ClearField("proofs"),
            "the proof of something else": lambda a: a.proofs.__setitem__(0, other.proofs[0]),
            "another entry": lambda a: a.opinions[0].entries.__setitem__(0, a.opinions[0].entries[0] - 1),
            "another chain": lambda a: setattr(a, "origin", "virp.example.net/other"),
            "a hash": lambda a: a.proofs.__setitem__(0, a.proofs[0].replace("\nindex ", "\nindex 1")),
            "a signature": lambda a: a.proofs.__setitem__(0, a.proofs[0][:-12] + "AAAA" + a.proofs[0][-8:]),
        }
        for what, change in changes.items():
            changed = copy.deepcopy(good)
            change(changed)
            with self.assertRaises(client.EvidenceError, msg=what):
                asker.check_proofs(changed)

    def test_a_server_cannot_lower_the_level_that_was_asked_for(self):
        asker = self.open()
        good = asker.verify_claim(self.claim, self.checkpointed)

        def claimed(change):
            answer = copy.deepcopy(good)
            answer.chain_level = pb.CHAIN_LEVEL_COMMITTED
            change(answer)
            asker.verify = types.SimpleNamespace(VerifyClaim=lambda request, timeout: pb.VerifyClaimResponse(answer=answer))
            return asker.verify_claim(self.claim, self.checkpointed)

        self.assertEqual(claimed(lambda a: None).verdict, pb.VERDICT_CONFIRMED)
        changes = {
            "no proofs": lambda a: a.ClearField("proofs"),
            "nobody says so": lambda a: (a.ClearField("opinions"), a.ClearField("proofs")),
            "by nothing": lambda a: (a.opinions[0].ClearField("entries"), a.ClearField("proofs")),
            "nobody agrees": lambda a: setattr(a.opinions[0], "says", pb.SourceOpinion.SAYS_DISSENTS),
            "somebody else": lambda a: setattr(a.opinions[0], "source", "collector-1"),
        }
        for what, change in changes.items():
            with self.assertRaises(client.EvidenceError, msg=what):
                claimed(change)

    def test_what_was_seen_is_kept_and_compared(self):
        asker = self.open(seen=there.home / "python-watch")
        first = asker.watch_checkpoint()
        there.feed()
        asker.verify_claim(self.claim, self.checkpointed)
        kept = asker.seen.load(world.ORIGIN, asker.keys)
        self.assertGreater(kept.size, first)
        # What was signed goes beyond what the O-Node has: it was put back.
        evidence = importlib.import_module("virp.evidence")
        forged = evidence.Checkpoint(kept.origin, kept.size + 1000, kept.root, kept.note)
        with self.assertRaisesRegex(client.EvidenceError, "rolled back"):
            asker.seen.see(forged, asker.keys, asker._consistency(kept.origin))

    def test_without_the_key_nothing_is_believed(self):
        keys = there.home / "other-chain.key"
        keys.write_text("virp.example.net/site1+f0032480+ASVDuS/xCVURR2rcg2nbbdyTNmWhGXjdoUBO4QZsqVWd\n")
        asker = client.Client(there.environment["ONODE"], self.files, trust=[str(keys)])
        self.addCleanup(asker.close)
        with self.assertRaises(importlib.import_module("virp.evidence").NotTrusted):
            asker.verify_claim(self.claim, self.checkpointed)


class Readme(Case):
    def test_the_sample_does_what_it_says(self):
        for sample in samples.blocks((package.SOURCE / "README.md").read_text(encoding="utf-8"), "python"):
            done = subprocess.run([sys.executable, "-c", sample], cwd=there.home, env=there.environment | {"PYTHONPATH": str(folder)}, capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertEqual(done.stdout, "the session is up, seen by ['edge-a.agent']\n1 source says otherwise.\n")


if __name__ == "__main__":
    build = sys.argv.pop(1)
    with package.built() as folder, world.World(build) as there:
        sys.path.insert(0, str(folder))
        os.chdir(there.home)
        client, pb = importlib.import_module("virp.client"), importlib.import_module("virp.verify.v1.verify_service_pb2")
        unittest.main()
