#!/usr/bin/python3
"""The chart installed, waited for, upgraded and rolled back by Helm in a real API server with Kubernetes' own controllers, under Pod Security
"restricted". What no node does is said by control_plane.py.

server_test.py [NAME...]     exit 77: VIRP_TEST_API is not 1, or the programs are not there (scripts/go-tools control-plane)"""
import os
import sys
import tempfile
import unittest

import yaml

import chart
import control_plane

PREVIOUS = chart.ROOT / "tests/data/chart/virp-0.1.0.tgz"
PLURALS = {"StatefulSet": "statefulsets", "Deployment": "deployments"}


def values_of(scenario):
    path, own = chart.SCENARIOS[scenario]
    return ["-f", path, *(argument for text in own for argument in ("--set", text))]


def custom_kinds():
    found = {(one["apiVersion"], one["kind"]) for scenario in chart.SCENARIOS for one in chart.objects(scenario)}
    return sorted((version, kind) for version, kind in found if "." in version.split("/")[0] and not version.split("/")[0].endswith(".k8s.io"))


class ServerTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.plane = cls.enterClassContext(control_plane.ControlPlane(folder))
        cls.plane.custom_resources(custom_kinds())

    def helm(self, *arguments, want=0):
        status, out, error = self.plane.helm(*arguments)
        self.assertEqual(status == 0, want == 0, out + error)
        return out + error

    def install(self, namespace, scenario, *further, what=chart.CHART, **options):
        return self.helm("install", "virp", what, "--namespace", namespace, *values_of(scenario), *further, **options)

    def kept(self, namespace):
        """What holds data: name -> identity of each claim with its volume, and of each workload."""
        claims = {name: (one["metadata"]["uid"], one["spec"].get("volumeName")) for name, one in self.plane.items("persistentvolumeclaims", namespace).items()}
        workloads = {(kind, name): one["metadata"]["uid"] for kind, plural in PLURALS.items() for name, one in self.plane.items(plural, namespace, "apps/v1").items()}
        return claims, workloads

    def pods(self, namespace):
        return {name: one["metadata"]["uid"] for name, one in self.plane.items("pods", namespace).items()}

    def test_every_scenario_is_taken_without_a_warning(self):
        for scenario in chart.SCENARIOS:
            with self.subTest(scenario):
                namespace = f"every-{scenario}"
                self.plane.namespace(namespace, "privileged" if scenario == "nodes" else "restricted")
                said = self.install(namespace, scenario, "--set", "onode.replicas=0" if scenario == "knobs" else "nameOverride=")
                self.assertNotIn("Warning", said)
                self.assertIn("STATUS: deployed", said)

    def test_the_server_refuses_and_warns(self):
        self.plane.namespace("wrong")
        self.assertIn("would violate PodSecurity", self.install("wrong", "minimal", "--set", "podSecurityContext.runAsNonRoot=null"))
        self.assertIn('Duplicate value: "tmp"', self.helm("install", "other", chart.CHART, "--namespace", "wrong", *values_of("services"), "--set-json",
                                                          'onode.extraVolumes=[{"name":"tmp","emptyDir":{}}]', want=1))

    def test_all_become_ready_are_replaced_one_by_one_and_rolled_back(self):
        namespace, quick = "whole", ("--set", "rtrBridge.minReadySeconds=1", "--wait", "--timeout", "120s")
        self.plane.namespace(namespace)
        self.install(namespace, "production", *quick)
        claims, workloads = self.kept(namespace)
        self.assertEqual(len(claims), 3 + 2 + 2 + 2)
        self.assertTrue(all(volume for _, volume in claims.values()))
        before = self.pods(namespace)
        upgrade = ("upgrade", "virp", chart.CHART, "--namespace", namespace, *values_of("production"), "--set", "logLevel=debug")
        self.helm(*upgrade, *quick)
        after = self.pods(namespace)
        services = {name for name in before if not name.startswith(("virp-onode-migrate", "virp-keymgr-migrate"))}
        self.assertEqual(services, {name for name in after if "migrate" not in name})
        self.assertEqual({name for name in services if before[name] == after[name]}, set(), "every pod is a new one")
        self.assertEqual(self.kept(namespace), (claims, workloads))
        self.assertIn("Succeeded", self.helm("test", "virp", "--namespace", namespace))

        # A manager that stands by and is not ready, as before 0.2.0, would hold it up.
        self.plane.unready.add("virp-keymgr-1")
        said = self.helm(*upgrade, "--set", "logLevel=warning", "--set", "rtrBridge.minReadySeconds=1", "--wait", "--timeout", "20s", want=1)
        self.assertIn("context deadline exceeded", said)
        self.assertEqual(self.pods(namespace)["virp-keymgr-0"], after["virp-keymgr-0"], "the other one waits")
        self.plane.unready.clear()
        self.helm("rollback", "virp", "1", "--namespace", namespace, "--wait", "--timeout", "120s")
        self.assertEqual(self.kept(namespace), (claims, workloads))

    def test_a_budget_lets_one_o_node_go_at_a_time(self):
        self.plane.namespace("budget")
        self.install("budget", "production", "--set", "rtrBridge.minReadySeconds=1", "--wait", "--timeout", "120s")
        evict = lambda name: self.plane._text("POST", f"/api/v1/namespaces/budget/pods/{name}/eviction",  # noqa: E731
                                              {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": "budget"}})
        budget = lambda: self.plane.items("poddisruptionbudgets", "budget", "policy/v1")["virp-onode"]["status"]  # noqa: E731
        self.plane.wait("the budget", lambda: budget().get("disruptionsAllowed") == 1)
        self.plane.unready.add("virp-onode-0")
        try:
            self.assertIn("Success", evict("virp-onode-0"))
            self.plane.wait("the eviction to count", lambda: budget()["disruptionsAllowed"] == 0)
            self.assertIn("429", evict("virp-onode-1"))
        finally:
            self.plane.unready.clear()
        self.plane.wait("it to come back", lambda: budget()["disruptionsAllowed"] == 1)

    def test_an_upgrade_from_the_previous_chart_keeps_what_holds_data(self):
        for scenario in ("minimal", "production", "services"):
            with self.subTest(scenario):
                namespace, quick = f"upgrade-{scenario}", ("--set", "rtrBridge.minReadySeconds=1", "--wait", "--timeout", "120s")
                self.plane.namespace(namespace)
                self.install(namespace, scenario, *quick, what=PREVIOUS)
                claims, workloads = self.kept(namespace)
                self.assertTrue(claims)
                self.helm("upgrade", "virp", chart.CHART, "--namespace", namespace, *values_of(scenario), *quick)
                self.assertEqual(self.kept(namespace), (claims, workloads))
                for pod in self.plane.items("pods", namespace).values():
                    for volume in pod["spec"]["volumes"]:
                        if "persistentVolumeClaim" in volume:
                            self.assertIn(volume["persistentVolumeClaim"]["claimName"], claims)
                self.helm("uninstall", "virp", "--namespace", namespace, "--wait")
                self.assertEqual(self.kept(namespace)[0], claims, "what holds data stays when the release goes")

    def test_the_job_of_the_archive_runs(self):
        self.plane.namespace("archive")
        self.install("archive", "postgres")
        made = self.plane.items("cronjobs", "archive", "batch/v1")["virp-onode-archive-0"]
        self.plane.post("/apis/batch/v1/namespaces/archive/jobs", {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "now"}, "spec": made["spec"]["jobTemplate"]["spec"]})
        self.plane.wait("the job", lambda: self.plane.items("jobs", "archive", "batch/v1")["now"].get("status", {}).get("succeeded") == 1)

    def test_a_release_holds_no_secret(self):
        self.plane.namespace("secrets")
        self.install("secrets", "production")
        for name, found in self.plane.items("secrets", "secrets").items():
            self.assertEqual(found["type"], "helm.sh/release.v1", name)
        values = yaml.safe_load(self.helm("get", "values", "virp", "--namespace", "secrets", "--all", "--output", "yaml"))
        self.assertNotRegex(yaml.safe_dump(values), r"[a-z]+://[^/\s:@]+:[^/\s@]+@|PRIVATE KEY|\b[0-9a-f]{64}\b")


def main():
    if os.environ.get("VIRP_TEST_API") != "1":
        print("VIRP_TEST_API is not 1")
        return 77
    missing = control_plane.missing() + chart.missing_tools()
    if missing:
        print(f"{', '.join(missing)}: not there; scripts/go-tools control-plane builds them, which takes long")
        return 77
    unittest.main(verbosity=2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
