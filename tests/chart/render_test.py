"""Every set of values renders: twice alike, as an API server would take it (types, validation, Pod Security, updates), and as it was looked
at last (golden/)."""
import pathlib
import shutil
import tempfile
import unittest

import yaml

import chart

GOLDEN = pathlib.Path(__file__).parent / "golden"
UPDATE = False  # chart_test.py --update

# Objects of custom resources: every key that they may have here, nested. None: whatever Kubernetes takes there.
LABELS = None
META = {"name": None, "namespace": None, "labels": LABELS, "annotations": LABELS}
SELECTOR = {"matchLabels": None}
CUSTOM = {
    "cert-manager.io/v1 Certificate": {"metadata": META, "spec": {
        "secretName": None, "secretTemplate": {"labels": LABELS, "annotations": LABELS}, "uris": None, "dnsNames": None, "usages": None,
        "privateKey": {"algorithm": None, "size": None, "rotationPolicy": None}, "duration": None, "renewBefore": None,
        "issuerRef": {"name": None, "kind": None, "group": None}}},
    "postgresql.cnpg.io/v1 Cluster": {"metadata": META, "spec": {
        "instances": None, "imageName": None, "enableSuperuserAccess": None, "enablePDB": None, "primaryUpdateStrategy": None,
        "primaryUpdateMethod": None, "bootstrap": {"initdb": {"database": None, "owner": None, "encoding": None, "dataChecksums": None}},
        "managed": {"roles": [{"name": None, "ensure": None, "login": None, "passwordSecret": {"name": None}}]},
        "postgresql": {"synchronous": {"method": None, "number": None, "dataDurability": None}, "parameters": None},
        "affinity": {"enablePodAntiAffinity": None, "podAntiAffinityType": None, "topologyKey": None},
        "storage": {"size": None, "storageClass": None}, "walStorage": {"size": None, "storageClass": None},
        "resources": {"requests": None, "limits": None}, "backup": None, "monitoring": {"enablePodMonitor": None}}},
    "postgresql.cnpg.io/v1 ScheduledBackup": {"metadata": META, "spec": {
        "schedule": None, "immediate": None, "backupOwnerReference": None, "method": None, "cluster": {"name": None}}},
    "monitoring.coreos.com/v1 PodMonitor": {"metadata": META, "spec": {
        "selector": SELECTOR, "namespaceSelector": {"matchNames": None},
        "podMetricsEndpoints": [{"port": None, "path": None, "interval": None, "scrapeTimeout": None}]}},
    "monitoring.coreos.com/v1 ServiceMonitor": {"metadata": META, "spec": {
        "selector": SELECTOR, "namespaceSelector": {"matchNames": None},
        "endpoints": [{"port": None, "path": None, "interval": None, "scrapeTimeout": None}]}},
    "monitoring.coreos.com/v1 PrometheusRule": {"metadata": META, "spec": {"groups": [{"name": None, "rules": [
        {"alert": None, "expr": None, "for": None, "labels": None, "annotations": {"summary": None, "description": None, "runbook_url": None}}]}]}},
    "spire.spiffe.io/v1alpha1 ClusterSPIFFEID": {"metadata": META, "spec": {
        "spiffeIDTemplate": None, "dnsNameTemplates": None, "namespaceSelector": SELECTOR, "podSelector": SELECTOR}},
}


def unknown_keys(found, shape, where=""):
    if shape is None:
        return
    if isinstance(shape, list):
        for at, item in enumerate(found):
            yield from unknown_keys(item, shape[0], f"{where}[{at}]")
        return
    for key, value in found.items():
        if key not in shape:
            yield f"{where}.{key}"
        else:
            yield from unknown_keys(value, shape[key], f"{where}.{key}")


class Unique(yaml.SafeLoader):
    """Refuses a key that is there twice, which YAML's readers pass over."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        doubled = [key for key in keys if keys.count(key) > 1]
        if doubled:
            raise yaml.constructor.ConstructorError(None, None, f"{doubled[0]!r} is there twice", node.start_mark)
        return super().construct_mapping(node, deep)


class RenderTest(unittest.TestCase):
    def test_every_scenario_passes_the_linter(self):
        for name, (path, own) in chart.SCENARIOS.items():
            with self.subTest(name):
                further = [argument for text in own for argument in ("--set", text)]
                status, out, error = chart.helm("lint", "--strict", chart.CHART, "--kube-version", "1.31.0", "-f", path, *further)
                self.assertEqual(status, 0, out + error)

    def test_rendered_twice_it_is_the_same(self):
        for name in ("production", "services"):
            with self.subTest(name):
                self.assertEqual(chart.render(name), chart.render.__wrapped__(name))

    def test_an_api_server_would_take_every_object(self):
        for name in chart.SCENARIOS:
            with self.subTest(name):
                found = chart.typed(chart.render(name))
                self.assertEqual(found.wrong, [])
                self.assertEqual(len(found.custom) + found.checked, len(chart.objects(name)), "every object is one or the other")

    def test_pods_pass_pod_security_restricted(self):
        for name in chart.SCENARIOS:
            with self.subTest(name):
                forbidden = chart.typed(chart.render(name)).restricted
                if name == "nodes":  # the documented exemption: a spool on the node, in a namespace of its own
                    self.assertEqual([text.split(" (")[0] for text in forbidden], ["DaemonSet virp-collector: restricted volume types"])
                else:
                    self.assertEqual(forbidden, [])

    def test_an_upgrade_changes_nothing_that_cannot_be_changed(self):
        before = chart.render("production")
        after = chart.render("production", "image.tag=v2", "onode.replicas=5", "onode.resources.requests.cpu=2", "logLevel=debug", "rtrBridge.http.enabled=true")
        self.assertNotEqual(before, after)
        self.assertEqual(chart.typed(after, before).wrong, [])
        larger = chart.typed(chart.render("production", "onode.persistence.size=5Gi"), before).wrong
        self.assertEqual([text.split(":")[0] for text in larger], ["update StatefulSet virp-onode"], "and the check sees it")

    def test_the_checks_can_fail(self):
        for spec, what in (("{port: 1}", 'unknown field "spec.port"'), ("{ports: [{port: 70000}]}", "must be between 1 and 65535"),
                           ("{ports: [{port: 1}], ports: [{port: 2}]}", "already set")):
            with self.subTest(what):
                found = chart.typed(f"apiVersion: v1\nkind: Service\nmetadata: {{name: x, namespace: virp}}\nspec: {spec}\n")
                self.assertIn(what, " ".join(found.wrong))
        pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: x, namespace: virp}\nspec: {containers: [{name: c, image: i}]}\n"
        self.assertGreater(len(chart.typed(pod).restricted), 3)

    def test_custom_resources_have_known_keys_only(self):
        seen = set()
        for name in chart.SCENARIOS:
            for found in chart.objects(name):
                kind = f"{found['apiVersion']} {found['kind']}"
                if "." not in found["apiVersion"].split("/")[0] or found["apiVersion"].split("/")[0].endswith(".k8s.io"):
                    continue
                with self.subTest(f"{name}: {chart.name_of(found)}"):
                    self.assertIn(kind, CUSTOM)
                    seen.add(kind)
                    body = {key: value for key, value in found.items() if key not in ("apiVersion", "kind")}
                    self.assertEqual(list(unknown_keys(body, CUSTOM[kind])), [])
        self.assertEqual(seen, set(CUSTOM), "no shape is there for nothing")

    def test_no_key_is_there_twice(self):
        for name in chart.SCENARIOS:
            with self.subTest(name):
                list(yaml.load_all(chart.render(name), Unique))

    def test_no_two_objects_have_one_name(self):
        for name in chart.SCENARIOS:
            names = [(found["apiVersion"], chart.name_of(found)) for found in chart.objects(name)]
            with self.subTest(name):
                self.assertEqual(sorted(names), sorted(set(names)))

    def test_zero_false_and_null_survive(self):
        by_name = {chart.name_of(found): found for found in chart.objects("knobs")}
        self.assertEqual(by_name["StatefulSet/virp-onode"]["spec"]["replicas"], 0)
        security = by_name["StatefulSet/virp-onode"]["spec"]["template"]["spec"]["securityContext"]
        self.assertNotIn("runAsUser", {key: value for key, value in security.items() if value is not None})
        hosted = {chart.name_of(found): found for found in chart.objects("postgres")}
        self.assertIs(hosted["StatefulSet/virp-keymgr"]["spec"]["template"]["spec"]["hostUsers"], False)
        self.assertNotIn("replicas", hosted["StatefulSet/virp-onode"]["spec"], "the autoscaler has the say")

    def test_it_can_be_a_part_of_an_umbrella_chart(self):
        path, _ = chart.SCENARIOS["services"]
        with tempfile.TemporaryDirectory() as folder:
            umbrella = pathlib.Path(folder)
            shutil.copytree(chart.CHART, umbrella / "charts/virp")
            (umbrella / "Chart.yaml").write_text("apiVersion: v2\nname: all\nversion: 1.0.0\n"
                                                 "dependencies: [{name: virp, version: 0.x.x, condition: virp.enabled}]\n")
            for enabled, expected in (("true", True), ("false", False)):
                values = {"global": {"imageRegistry": "mirror.example.org", "ofOthers": 1}, "virp": {**yaml.safe_load(path.read_text()), "enabled": enabled == "true"}}
                (umbrella / "values.yaml").write_text(yaml.safe_dump(values))
                status, out, error = chart.helm("template", "x", umbrella, "--kube-version", "1.31.0")
                self.assertEqual(status, 0, error)
                self.assertEqual("image: mirror.example.org/virp-onode:" in out, expected)

    def test_notes_lead_to_the_first_answer_and_warn(self):
        for name in chart.SCENARIOS:
            with self.subTest(name):
                text = chart.notes(name)
                onode = chart.values(name)["onode"]
                if onode["enabled"]:
                    self.assertIn("VerifyService/VerifyClaim", text)
                    self.assertIn(f'"origin": "{onode["chains"][0]["origin"]}"', text)
                self.assertEqual("SQLite" in text, onode["enabled"] and onode["database"]["mode"] == "sqlite")
        self.assertIn("reflection is on", chart.notes("minimal"))
        self.assertIn("networkPolicy.enabled is false", chart.notes("knobs"))
        self.assertIn("keymgr serves with the role that owns its schema", chart.notes("postgres"))
        self.assertNotIn("WARNING", chart.notes("production"))
        self.assertIn("onode.config.store-limit is not set", chart.notes("postgres"))
        self.assertNotIn("store-limit", chart.notes("services"), "SQLite knows the room of its volume")
        self.assertIn("the chain has no backup", chart.notes("production", "cloudNativePG.scheduledBackup.schedule="), "a log without a base restores nothing")
        self.assertIn("the chain has no backup", chart.notes("production", "cloudNativePG.backup=null"))

    def test_names_fit_with_the_longest_release(self):
        out = chart.render("production", "image.tag=v1", release="a" * 53)
        for found in yaml.load_all(out, yaml.CSafeLoader):
            if found and found["kind"] in ("Service", "StatefulSet", "Job", "Pod", "Certificate"):
                self.assertLessEqual(len(found["metadata"]["name"]), 63 - 11 * (found["kind"] == "StatefulSet"), found["metadata"]["name"])

    def test_what_was_looked_at_last_is_rendered(self):
        for name in ("minimal", "production", "edge-collector"):
            file = GOLDEN / f"{name}.yaml"
            if UPDATE:
                file.parent.mkdir(exist_ok=True)
                file.write_text(chart.render(name))
            with self.subTest(name):
                self.assertEqual(chart.render(name), file.read_text(), f"if it is meant: tests/chart/chart_test.py --update, and look at the diff of {file.name}")


if __name__ == "__main__":
    unittest.main()
