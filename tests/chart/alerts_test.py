"""Alerts and the dashboard speak of metrics that exist, link to a section that is there, and use every threshold."""
import json
import re
import subprocess
import unittest

import yaml

import chart

METRIC = re.compile(r"\b(?:virp_[a-z_]+|rpki_[a-z]+|rtr_[a-z]+)\b")
HISTOGRAM_PARTS = ("_bucket", "_count", "_sum")
# What PromQL itself brings, and Prometheus knows of each target.
PROMQL = {"up", "sum", "max", "min", "by", "on", "and", "or", "rate", "increase", "histogram_quantile", "time", "le", "ignoring"}


def known_metrics():
    """The names in docs/metrics.md, which tests hold against what the services serve."""
    lines = (chart.ROOT / "docs/metrics.md").read_text().splitlines()
    cells = [line.split(" | ")[0] for line in lines if line.startswith("| `")]
    return {name for cell in cells for name in re.findall(r"`([a-z_]+)`", cell)}


def unknown(expression, known):
    for name in METRIC.findall(expression):
        stem = next((name.removesuffix(part) for part in HISTOGRAM_PARTS if name.endswith(part) and name.removesuffix(part) in known), name)
        if stem not in known:
            yield name


def labels_of(expression):
    """metric -> labels that the expression matches it by."""
    for name, matchers in re.findall(r"(virp_[a-z_]+)\{([^}]*)\}", expression):
        yield name, re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)", matchers)


def refused_by_prometheus(expressions):
    done = subprocess.run([chart.TOOLS / "chart-typed", "--promql"], input=json.dumps(expressions), capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    if lines[-1:] != [f"checked {len(expressions)}"]:
        raise AssertionError(done.stdout + done.stderr)
    return lines[:-1]


class AlertsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.known = known_metrics()
        cls.files = {path.stem: path for path in (chart.CHART / "alerts").rglob("*.yaml")}
        cls.rules = {}
        for found in chart.objects("production"):
            if found["kind"] == "PrometheusRule":
                cls.rules = {rule["alert"]: rule for group in found["spec"]["groups"] for rule in group["rules"]}

    def test_every_file_is_an_alert(self):
        self.assertGreater(len(self.files), 30)
        self.assertEqual(set(self.rules), set(self.files))

    def test_metrics_exist(self):
        for name, rule in self.rules.items():
            with self.subTest(name):
                self.assertEqual(list(unknown(rule["expr"], self.known)), [])
                self.assertNotIn("$(", rule["expr"], "something was not put in")
                for metric, labels in labels_of(rule["expr"]):
                    self.assertIn("namespace", labels, f"{metric} of all releases of the cluster")
        self.assertEqual(list(unknown("rate(virp_onode_nothing_total[5m])", self.known)), ["virp_onode_nothing_total"])

    def test_prometheus_takes_every_expression(self):
        found = next(found for found in chart.objects("production") if found["metadata"]["name"].endswith("-dashboard"))
        panels = [target["expr"].replace("$__rate_interval", "5m") for panel in json.loads(found["data"]["virp.json"])["panels"]
                  for target in panel.get("targets", [])]
        self.assertEqual(refused_by_prometheus([rule["expr"] for rule in self.rules.values()] + panels), [])
        self.assertEqual(len(refused_by_prometheus(["sum by (a) (rate(x[5m])", "up == 1"])), 1)

    def test_each_says_what_it_is_and_where_its_page_is(self):
        runbook = (chart.ROOT / "docs/operations/runbook.md").read_text()
        sections = re.findall(r"^### (\w+)$", runbook, re.MULTILINE)
        self.assertEqual(sorted(sections), sorted(self.rules), "one section each")
        for name, rule in self.rules.items():
            with self.subTest(name):
                self.assertIn(rule["labels"]["severity"], ("warning", "critical"))
                self.assertEqual(rule["annotations"]["runbook_url"], f"https://docs.example.org/virp/operations/runbook.md#{name.lower()}")
                self.assertTrue(rule["annotations"]["summary"] and rule["annotations"]["description"])
                body = runbook.split(f"### {name}\n")[1].split("\n#")[0]
                for part in (f"**Means** ({rule['labels']['severity']})", "**Look first**", "**Way out**"):
                    self.assertIn(part, body)

    def test_every_threshold_is_used_and_can_be_set(self):
        thresholds = chart.values("production")["monitoring"]["prometheusRule"]["thresholds"]
        texts = "".join(path.read_text() for path in self.files.values())
        self.assertEqual({name for name in re.findall(r"\$\((\w+)\)", texts)} - {"namespace", "fullname"}, set(thresholds))
        rendered = chart.render("production", "monitoring.prometheusRule.thresholds.spoolUsedRatio=0.123")
        self.assertIn("> 0.123\n", rendered)

    def test_alerts_can_be_left_out_and_are_of_what_runs(self):
        services = next(found for found in chart.objects("services") if found["kind"] == "PrometheusRule")
        names = {rule["alert"] for group in services["spec"]["groups"] for rule in group["rules"]}
        self.assertNotIn("VirpServiceDown", names)
        alone = [found for found in chart.objects("edge-collector", "monitoring.prometheusRule.enabled=true") if found["kind"] == "PrometheusRule"]
        groups = {group["name"] for group in alone[0]["spec"]["groups"]}
        self.assertEqual(groups, {"edge.all", "edge.collector"})

    def test_dashboard_speaks_of_metrics_that_exist(self):
        found = next(found for found in chart.objects("production") if found["metadata"]["name"].endswith("-dashboard"))
        dashboard = json.loads(found["data"]["virp.json"])
        expressions = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
        self.assertGreater(len(expressions), 30)
        for expression in expressions:
            with self.subTest(expression):
                self.assertEqual(list(unknown(expression, self.known)), [])
                self.assertEqual(expression.count("("), expression.count(")"))
        places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard["panels"]]
        self.assertEqual(len(places), len(set(places)))
        self.assertEqual(found["metadata"]["labels"]["grafana_dashboard"], "1")


if __name__ == "__main__":
    unittest.main()
