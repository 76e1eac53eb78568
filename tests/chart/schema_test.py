"""A wrong value ends the installation with a sentence that names it; values.yaml, its schema and README.md say the same."""
import json
import re
import subprocess
import unittest

import jsonschema
import yaml

import chart

# (scenario, what is set) -> what the message must hold.
REFUSED = {
    ("services", "onode.replicas=two"): "/onode/replicas",
    ("services", "onode.replica=2"): "replica",
    ("services", "unknown=1"): "unknown",
    ("services", "mtls.mode=none"): "/mtls/mode",
    ("services", "trustDomain="): "trustDomain:",
    ("services", "trustDomain=Example.ORG"): "/trustDomain",
    ("services", "image.tag=latest"): "image.tag: latest",
    ("services", "collector.image.tag=latest"): "collector.image.tag: latest",
    ("services", "onode.image.digest=sha256:123"): "/onode/image/digest",
    ("services", "onode.replicas=2"): "onode.replicas: more than one needs PostgreSQL",
    ("services", "keymgr.replicas=2"): "keymgr.replicas: more than one needs PostgreSQL",
    ("services", "onode.kind=Deployment,onode.replicas=2"): "onode.replicas: 2 with kind Deployment",
    ("services", "onode.kind=DaemonSet"): "/onode/kind",
    ("services", "onode.chains=null"): "onode.chains: is needed",
    ("services", "onode.chains[0].origin=Main"): "/onode/chains/0/origin",
    ("services", "onode.persistence.enabled=false"): "onode.persistence.enabled:",
    ("services", "onode.persistence.existingClaim=mine"): "onode.persistence.existingClaim:",
    ("services", "onode.persistence.size=ten"): "/onode/persistence/size",
    ("services", "onode.database.mode=existingSecret"): "onode.database.secret.name: is needed",
    ("services", "onode.database.mode=cloudNativePG"): "cloudNativePG.enabled: onode.database.mode",
    ("services", "onode.database.mode=mysql"): "/onode/database/mode",
    ("services", "onode.config.store=sqlite:/x"): "onode.config.store: comes from the chart",
    ("services", "keymgr.config.migrate-store=postgresql://u:p@h/d"): "keymgr.config.migrate-store: comes from the chart",
    ("services", "onode.podDisruptionBudget.minAvailable=1"): "onode.podDisruptionBudget.minAvailable: is set beside maxUnavailable",
    ("services", "onode.autoscaling.enabled=true"): "onode.replicas: more than one needs PostgreSQL",
    ("services", "onode.scopes[0].rolle=reader"): "rolle",
    ("services", "mtls.issuerRef.name="): "mtls.issuerRef.name: is needed for mtls.mode certManager",
    ("services", "mtls.mode=existingSecret"): "mtls.existingSecrets.",
    ("services", "mtls.mode=csiDriverSpiffe"): "mtls.idFormat: must be serviceAccount",
    ("services", "checkpointKeys=null"): "checkpointKeys: is needed",
    ("services", "checkpointKeys[0]=no-key"): "/checkpointKeys/0",
    ("services", "drainDelay=1m"): "drainDelay: write it in seconds",
    ("services", "terminationGracePeriodSeconds=25"): "terminationGracePeriodSeconds: 25 is not more than",
    ("services", "collector.kind=DaemonSet"): "collector.kind: a DaemonSet uses hostPath",
    ("services", "collector.keys[0].secret=x"): "files",
    ("services", "collector.routerPorts[0].name=a,collector.routerPorts[0].port=70000"): "/collector/routerPorts/0/port",
    ("services", "keymgr.ownKey.secret="): "keymgr.ownKey.secret: is needed",
    ("services", "keymgr.kek.secret="): "keymgr.kek.secret: is needed",
    ("services", "keymgr.kek.mode=token"): "keymgr.token.enabled: is needed",
    ("services", "keymgr.token.enabled=true"): "keymgr.token.module: is needed",
    ("services", "rtrBridge.sources=null"): "rtrBridge.sources: is needed",
    ("services", "rtrBridge.rtr.tcp.enabled=false,rtrBridge.rtr.tls.enabled=false,rtrBridge.rtr.ssh.enabled=false"): "rtrBridge.rtr.tcp.enabled: no transport",
    ("services", "rtrBridge.rtr.ssh.secret="): "rtrBridge.rtr.ssh.secret: is needed",
    ("services", "onode.enabled=false,collector.enabled=false,keymgr.enabled=false,rtrBridge.enabled=false"): "onode.enabled: no service is on",
    ("postgres", "networkPolicy.database=null"): "networkPolicy.database: is needed",
    ("postgres", "mtls.existingSecrets.test="): "mtls.existingSecrets.test: is needed",
    ("postgres", "onode.database.ca.secret=x"): "onode.database.ca.configMap: is set beside ca.secret",
    ("postgres", "onode.autoscaling.minReplicas=9"): "onode.autoscaling.minReplicas: is more than maxReplicas",
    ("postgres", "onode.kind=Deployment"): "onode.autoscaling.enabled: needs kind StatefulSet",
    ("production", "mtls.mode=existingSecret,mtls.existingSecrets.onode=a,mtls.existingSecrets.collector=b,mtls.existingSecrets.keymgr=c,mtls.existingSecrets.rtrBridge=d,mtls.existingSecrets.test=e"):
        "mtls.mode: existingSecret with mtls.idFormat role gives all pods of collector one id",
    ("production", "mtls.mode=spire,mtls.idFormat=serviceAccount,collector.replicas=1,collector.podSources.1=null"): "mtls.mode: spire with mtls.idFormat serviceAccount gives all pods of rtrBridge one id",
    ("production", "rtrBridge.sources[0].location=keymgr:x-virp-keymgr.default.svc:8445"): "rtrBridge.sources: keymgr:x-virp-keymgr.default.svc:8445 is any of several key managers",
    ("services", "onode.archive.enabled=true"): "onode.archive.enabled: needs PostgreSQL",
    ("postgres", "checkpointKeys[0]=example.org/other+c74f20a3+AZzs3J0VsTdZLyJJYlwSPXQ6o7oYqsk0cTQcV3wSGeuA"): "checkpointKeys: is needed for onode.archive",
    ("postgres", "onode.archive.schedule=monthly"): "/onode/archive/schedule",
    ("nodes", "mtls.mode=csiDriver"): "collector.kind: with mtls.mode csiDriver each pod of a DaemonSet has another id",
    ("nodes", "mtls.mode=spire,mtls.idFormat=role"): "collector.kind: with mtls.mode spire each pod of a DaemonSet has another id",
    ("nodes", "external.keyManagers[0]=keymgr.example.org:8445"): "mtls.mode: certManager with mtls.idFormat serviceAccount gives all pods of collector one id",
    ("nodes", "collector.sources.bmp.routers[0].source=r.bmp"): "collector.sources: r.bmp is of more than one collector",
    ("edge-collector", "collector.sources.bmp.routers[0].source=r.bmp,collector.replicas=2"): "collector.sources: r.bmp is of more than one collector",
    ("production", "collector.podSources.1.bmp.routers[0].source=edge-a.bmp"): "collector.podSources: edge-a.bmp is of more than one collector",
    ("services", "mtls.renewBefore=24h"): "mtls.renewBefore: 24h is not less than mtls.duration",
    ("production", "cloudNativePG.scheduledBackup.schedule=0 2 * * *"): "/cloudNativePG/scheduledBackup/schedule",
    ("nodes", "external.onodes=null"): "external.onodes: is needed",
    ("nodes", "external.origin="): "external.origin: is needed",
    ("nodes", "networkPolicy.externalServices=null"): "networkPolicy.externalServices: is needed",
}


def objects_of(schema, where=""):
    """Every part of a schema that says what an object's keys are, with its place."""
    if isinstance(schema, dict):
        if "properties" in schema:
            yield where, schema
        for key, value in schema.items():
            yield from objects_of(value, f"{where}/{key}")
    elif isinstance(schema, list):
        for at, value in enumerate(schema):
            yield from objects_of(value, f"{where}/{at}")


class SchemaTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.schema = json.loads((chart.CHART / "values.schema.json").read_text())
        cls.values = yaml.safe_load((chart.CHART / "values.yaml").read_text())

    def test_a_wrong_value_is_named(self):
        for (scenario, what), sentence in REFUSED.items():
            with self.subTest(what):
                path, own = chart.SCENARIOS[scenario]
                further = [argument for text in own for argument in ("--set", text)]
                status, _, error = chart.helm("template", "x", chart.CHART, "--kube-version", "1.31.0", "-f", path, *further, "--set", what)
                self.assertNotEqual(status, 0)
                self.assertIn(sentence, error)

    def test_values_yaml_fits_its_own_schema(self):
        jsonschema.validate(self.values, self.schema)

    def test_the_schema_is_strict_but_for_what_umbrella_charts_hand_down(self):
        # These are other people's: what a Kubernetes object or a program takes there is checked by them.
        loose = {"/properties/global", "/properties/rtrBridge/properties/sources/items"}
        for where, part in objects_of(self.schema):
            if where.endswith("/properties"):
                continue  # a property that is called so
            with self.subTest(where):
                self.assertEqual(part.get("additionalProperties", True) is not False, where in loose)
        self.assertIn("enabled", self.schema["properties"])

    def test_every_value_is_in_the_schema_and_every_property_in_the_values(self):
        def walk(values, schema, where):
            shared = "$ref" in schema  # what is used in several places may say more than one of them does
            while "$ref" in schema:
                schema = self.schema["$defs"][schema["$ref"].rsplit("/", 1)[1]]
            self.assertLessEqual(set() if shared else set(schema.get("properties", {})) - {"enabled"}, set(values), f"{where} in the schema alone")
            for key, value in values.items():
                if "properties" in schema:
                    self.assertIn(key, schema["properties"], where + key)
                    if isinstance(value, dict):
                        walk(value, schema["properties"][key], f"{where}{key}.")
        values = {key: value for key, value in self.values.items() if key != "global"}
        walk(values, {**self.schema, "properties": {key: value for key, value in self.schema["properties"].items() if key != "global"}}, "")

    def test_readme_is_made_of_the_comments(self):
        done = subprocess.run([chart.ROOT / "scripts/chart-readme", "--check"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_every_value_is_described(self):
        described = set(re.findall(r"^\| `([^`]+)`", (chart.CHART / "README.md").read_text(), re.MULTILINE))
        services = ("onode", "collector", "keymgr", "rtrBridge")

        def walk(values, where):
            for key, value in values.items():
                path = f"{where}.{key}".lstrip(".")
                _, _, rest = path.partition(".")
                # What services share is described once.
                if path in described or any(f"{service}.{rest}" in described for service in services):
                    continue
                self.assertTrue(isinstance(value, dict) and value, f"{path}: no comment that begins with '# -- '")
                walk(value, path)
        walk(self.values, "")

    def test_versions_are_the_projects(self):
        version = (chart.ROOT / "CMakeLists.txt").read_text().split("project(virp VERSION ")[1].split()[0]
        self.assertEqual(yaml.safe_load((chart.CHART / "Chart.yaml").read_text())["appVersion"], version)


if __name__ == "__main__":
    unittest.main()
