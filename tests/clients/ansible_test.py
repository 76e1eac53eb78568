#!/usr/bin/python3
"""The Ansible collection, built and installed as its README says, and run by ansible-core against the platform.

ansible_test.py BUILD      exit 77: there is no ansible-core"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest

import yaml

import package
import samples
import world

COLLECTION = package.ROOT / "clients/ansible"
HEAD = """- hosts: localhost
  gather_facts: false
  module_defaults:
    virp.evidence.claim:
      onode: "{{ lookup('env', 'ONODE') }}"
      tls_certificate: "{{ lookup('env', 'PKI') }}/reader-app.crt"
      tls_key: "{{ lookup('env', 'PKI') }}/reader-app.key"
      tls_roots: "{{ lookup('env', 'PKI') }}/ca.crt"
      trust: ["{{ lookup('env', 'TRUST') }}"]
  tasks:
"""


def task(name, *options, after=()):
    return "".join([f"    - name: {name}\n      virp.evidence.claim:\n", *(f"        {line}\n" for line in options), *(f"      {line}\n" for line in after)])


class Case(unittest.TestCase):
    def setUp(self):
        there.feed()

    def play(self, text, *options):
        """Exit status, and the result of each task by its name."""
        book = there.home / "play.yml"
        book.write_text(text)
        environment = there.environment | {"PYTHONPATH": str(library), "ANSIBLE_COLLECTIONS_PATHS": str(there.home / "collections"), "ANSIBLE_HOME": str(there.home),
                                           "ANSIBLE_LOCAL_TEMP": str(there.home / "tmp"), "ANSIBLE_STDOUT_CALLBACK": "virp_results",
                                           "ANSIBLE_CALLBACK_PLUGINS": str(pathlib.Path(__file__).parent / "callback"), "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
                                           "HOME": str(there.home), "LC_ALL": "C.UTF-8"}
        done = subprocess.run([ANSIBLE, "-c", "local", *options, str(book)], cwd=there.home, env=environment, capture_output=True, text=True)
        said = [line for line in done.stdout.splitlines() if line.startswith("RESULTS ")]
        self.assertEqual(len(said), 1, done.stdout + done.stderr)
        return done.returncode, json.loads(said[0][8:])

    def test_the_playbook_of_the_readme(self):
        play = samples.blocks((COLLECTION / "README.md").read_text(encoding="utf-8"), "yaml")[0]
        seen = there.home / "seen-by-ansible"
        for mode in (("--check",), ()):
            self.assertFalse(seen.exists())  # check mode writes nothing
            status, results = self.play(play, *mode)
            self.assertEqual(status, 0, results)
            self.assertFalse(any(result.get("changed") for result in results.values()))
            self.assertEqual(results["Only then"]["msg"], "shutting the link down; the zone is CONFIRMED")
            first = next(iter(results.values()))
            self.assertEqual(first["proven"], sorted({int(e) for o in first["answer"]["opinions"] for e in o["entries"]}))
        self.assertTrue(any(seen.iterdir()))

    def test_it_fails_on_the_verdict(self):
        status, results = self.play(HEAD + task("refuted", "peer: {router: edge-a, address: 192.0.2.2, negate: true}") + task("not reached", "peer: {router: a, address: 192.0.2.2}"))
        self.assertEqual((status, list(results)), (2, ["refuted"]))
        peer, wrong = "peer: {router: edge-a, address: 192.0.2.2}", ("ignore_errors: true",)
        agent = [f'tls_{kind}: "{{{{ lookup(\'env\', \'PKI\') }}}}/producer-agent.{end}"' for kind, end in (("certificate", "crt"), ("key", "key"))]
        cases = {
            "refuted": (["peer: {router: edge-a, address: 192.0.2.2, negate: true}"], "not confirmed: REFUTED: "),
            "no evidence": (["peer: {router: edge-z, address: 192.0.2.2}"], "not confirmed: NO_EVIDENCE: "),
            "too few": ([peer, "min_sources: 2"], "not confirmed: INSUFFICIENT (MIN_SOURCES): "),
            "not allowed": ([peer, *agent], "PERMISSION_DENIED (METHOD_DENIED)"),
            "no address": (["peer: {router: edge-a, address: 192.0.2}"], "claim.peer.peer_address"),
            "another server": ([peer, "server: spiffe://example.org/onode/other"], "the server is spiffe://example.org/onode/node-1, not spiffe://example.org/onode/other"),
            "no claim": (["max_age: 3"], "one of the following is required: peer, route, field"),
            "two claims": ([peer, "route: {router: edge-a, prefix: 192.0.2.0/24}"], "mutually exclusive"),
            "a bad tier": ([peer, "worst_tier: BLACK"], "worst_tier"),
        }
        quiet = task("quiet", "peer: {router: edge-a, address: 192.0.2.2, negate: true}", "fail: false")
        status, results = self.play(HEAD + quiet + "".join(task(name, *options, after=wrong) for name, (options, _) in cases.items()))
        self.assertEqual(status, 0)
        for name, (_, words) in cases.items():
            self.assertTrue(results[name]["failed"], name)
            self.assertIn(words, results[name]["msg"])
        self.assertEqual((results["refuted"]["verdict"], results["too few"]["reason"]), ("REFUTED", "MIN_SOURCES"))
        self.assertEqual((results["quiet"]["failed"], results["quiet"]["confirmed"], results["quiet"]["verdict"]), (False, False, "REFUTED"))

    def test_until_waits(self):
        book = HEAD + task("ask", "field: {subject: dns/ns9.example.org, conditions: [{path: answer.serial, value: 7}]}",
                           after=("register: zone", "until: zone is succeeded", "retries: 100", "delay: 1"))
        retried = there.home / "retried"
        ended = threading.Event()

        def later():  # it was asked in vain: now the observation is made
            there.wait("a retry", lambda: retried.exists() or ended.is_set())
            there.submit((64, {"domain": "dns", "event": "zone_checked", "subject": "ns9.example.org", "answer": {"serial": 7}}))

        feeder = threading.Thread(target=later)
        feeder.start()
        status, results = self.play(book)
        ended.set()
        feeder.join()
        self.assertTrue(retried.exists())
        self.assertEqual((status, results["ask"]["verdict"]), (0, "CONFIRMED"))
        self.assertGreater(results["ask"]["attempts"], 1)

    def test_its_documentation_is_read(self):
        done = subprocess.run([DOC, "-t", "module", "--json", "virp.evidence.claim"], env=there.environment | {"ANSIBLE_COLLECTIONS_PATHS": str(there.home / "collections"), "HOME": str(there.home)},
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        documented = json.loads(done.stdout)["virp.evidence.claim"]
        sys.path.insert(0, str(COLLECTION / "plugins/modules"))
        import claim
        self.assertEqual(set(documented["doc"]["options"]), set(claim.ARGUMENTS))
        for name, option in claim.ARGUMENTS.items():
            described = documented["doc"]["options"][name]
            for key in ("type", "required", "choices", "default", "elements"):
                self.assertEqual(described.get(key, False if key == "required" else None), option.get(key, False if key == "required" else None), (name, key))
            self.assertEqual(set(described.get("suboptions", {})), set(option.get("options", {})), name)
        examples = yaml.safe_load(documented["examples"])
        self.assertGreater(len(examples), 2)
        for example in examples:
            given = example["virp.evidence.claim"]
            self.assertLessEqual(set(given), set(claim.ARGUMENTS), example["name"])
            for form in ("peer", "route", "field"):
                self.assertLessEqual(set(given.get(form, {})), set(claim.ARGUMENTS[form]["options"]), example["name"])
        returned = {"changed"} | set(documented["return"])
        _, results = self.play(HEAD + task("ask", "peer: {router: edge-a, address: 192.0.2.2}"))
        self.assertEqual({name for name in results["ask"] if not name.startswith("_") and name not in ("failed", "invocation")}, returned)


if __name__ == "__main__":
    ANSIBLE, GALAXY, DOC = (shutil.which(name, path="/usr/bin:" + os.environ.get("PATH", "")) for name in ("ansible-playbook", "ansible-galaxy", "ansible-doc"))
    if not ANSIBLE:
        print("ansible_test: there is no ansible-core; scripts/bootstrap installs it")
        sys.exit(77)
    build = sys.argv.pop(1)
    with package.built() as library, world.World(build) as there, tempfile.TemporaryDirectory() as made:
        environment = there.environment | {"HOME": made}
        subprocess.run([GALAXY, "collection", "build", str(COLLECTION), "--output-path", made], env=environment, check=True, stdout=subprocess.DEVNULL)
        archive = next(pathlib.Path(made).glob("*.tar.gz"))
        subprocess.run([GALAXY, "collection", "install", str(archive), "-p", str(there.home / "collections")], env=environment, check=True, stdout=subprocess.DEVNULL)
        sys.path.insert(0, str(library))
        unittest.main()
