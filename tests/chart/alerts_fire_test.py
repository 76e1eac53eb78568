"""When alerts fire: Prometheus' own engine (chart-typed --fires) is given what services serve in one trouble, and asked."""
import json
import subprocess
import unittest

import chart

NOW = 1_800_000_000
HOUR = 3600


def series(metric, pod="virp-onode-0", **labels):
    inner = ",".join(f'{key}="{value}"' for key, value in {"namespace": chart.NAMESPACE, "pod": pod, **labels}.items())
    return f"{metric}{{{inner}}}"


def led(*leading, **metrics):
    """One chain at several O-Nodes: what each serves, by metric without prefix."""
    out = {series("virp_onode_chain_leading", f"virp-onode-{i}", origin="o"): [one] for i, one in enumerate(leading)}
    for metric, values in metrics.items():
        out |= {series(f"virp_onode_{metric}", f"virp-onode-{i}", origin="o"): [one] for i, one in enumerate(values)}
    return out


CERTIFICATES = "virp_onode_certificate_expiry_seconds"
AGE = "virp_rtr_bridge_source_age_seconds"
SEALED = {series("virp_keymgr_active", "virp-keymgr-0"): [1]}

# alert -> (what is served, whether it fires)
CASES = {
    "VirpKeyManagerNotActive": [
        ({}, True), ({series("virp_keymgr_active", "virp-keymgr-0"): [0]}, True),
        ({series("virp_keymgr_active", "virp-keymgr-0"): [0], series("virp_keymgr_active", "virp-keymgr-1"): [1]}, False)],
    "VirpChainWithoutLeader": [({}, True), (led(0, 0), True), (led(0, 1), False)],
    "VirpNotDelivering": [({}, True), ({series("virp_collector_delivering"): [0]}, True), ({series("virp_collector_delivering"): [1]}, False)],
    "VirpRtrStale": [({}, True), ({series("virp_rtr_bridge_stale"): [1]}, True), ({series("virp_rtr_bridge_stale"): [0]}, False)],
    "VirpStoreReserveOnly": [(led(0, 1, store_reserve_only=(1, 0)), False), (led(1, 0, store_reserve_only=(1, 0)), True)],
    "VirpStoreFilling": [
        (led(0, 1, store_used_bytes=(90, 10), store_limit_bytes=(100, 100)), False), (led(1, 0, store_used_bytes=(90, 10), store_limit_bytes=(100, 100)), True),
        (led(1, store_used_bytes=(90,), store_limit_bytes=(0,)), False)],
    "VirpCertificateNotRenewed": [
        ({series(CERTIFICATES): [NOW + 7 * HOUR]}, False), ({series(CERTIFICATES): [NOW + 5 * HOUR]}, True), ({series(CERTIFICATES): [0]}, False)],
    "VirpCertificateUnusable": [({series(CERTIFICATES): [0]}, True), ({series(CERTIFICATES): [NOW + HOUR]}, False)],
    "VirpKeyManagerSealed": [
        (SEALED | {series("virp_keymgr_sealed", "virp-keymgr-0", why="CLOCK"): [1]}, True),
        (SEALED | {series("virp_keymgr_sealed", "virp-keymgr-0", why="STARTING"): [1]}, False)],
    "VirpKeyManagerStarting": [
        (SEALED | {series("virp_keymgr_sealed", "virp-keymgr-0", why="STARTING"): [1]}, True),
        (SEALED | {series("virp_keymgr_sealed", "virp-keymgr-0", why="CLOCK"): [1], series("virp_keymgr_sealed", "virp-keymgr-0", why="STARTING"): [0]}, False)],
    "VirpRtrSourceNeverRead": [({series(AGE, source="a"): [-1]}, True), ({series(AGE, source="a"): [0]}, False)],
    "VirpRtrSourceOld": [({series(AGE, source="a"): [-1]}, False), ({series(AGE, source="a"): [9000]}, True)],
}


def rules(scenario, *sets):
    for found in chart.objects(scenario, *sets):
        if found["kind"] == "PrometheusRule":
            return {rule["alert"]: rule for group in found["spec"]["groups"] for rule in group["rules"]}
    raise AssertionError(f"{scenario} {sets}: no alerts")


def asked(cases):
    """What each (expression, series) gives: a list of (labels, value) for each."""
    text = json.dumps([{"expr": expression, "now": NOW, "series": served} for expression, served in cases])
    done = subprocess.run([chart.TOOLS / "chart-typed", "--fires"], input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(done.stdout + done.stderr + "\nan old chart-typed? scripts/go-tools builds it")
    return [[(one["labels"], float(one["value"])) for one in found] for found in json.loads(done.stdout)]


class AlertsFireTest(unittest.TestCase):
    def test_an_alert_fires_when_it_should_and_only_then(self):
        found = rules("production")
        told = [(name, served, expected) for name, cases in CASES.items() for served, expected in cases]
        answers = asked([(found[name]["expr"], served) if name in found else ("vector(0) > 1", {}) for name, served, _ in told])
        for (name, served, expected), answer in zip(told, answers):
            with self.subTest(f"{name}: {served}"):
                self.assertTrue(name in found)
                self.assertEqual(bool(answer), expected)

    def test_a_bad_source_is_one_however_many_replicas_show_it(self):
        served = {series("virp_onode_sources", f"virp-onode-{i}", origin="o", state="BLACK"): [1] for i in range(3)}
        ((labels, value),), = asked([(rules("production")["VirpSourceNotOk"]["expr"], served)])
        self.assertEqual((labels, value), ({"origin": "o", "state": "BLACK"}, 1))

    def test_the_dashboard_counts_a_bad_source_once_too(self):
        dashboard = next(found for found in chart.objects("production") if found["metadata"]["name"].endswith("-dashboard"))
        panel = next(one for one in json.loads(dashboard["data"]["virp.json"])["panels"] if one["title"] == "Sources that are not OK")
        served = {series("virp_onode_sources", f"virp-onode-{i}", origin=origin, state="BLACK"): [1] for i in range(3) for origin in ("o", "p")}
        expression = panel["targets"][0]["expr"].replace("$namespace", chart.NAMESPACE)
        self.assertEqual(asked([(expression, served)]), [[({"state": "BLACK"}, 2)]])

    def test_renewal_is_waited_for_as_long_as_certificates_live(self):
        on = "monitoring.prometheusRule.enabled=true"
        for scenario, sets, left, fires in (
                ("services", ("mtls.duration=2h", "mtls.renewBefore=40m"), 35 * 60, False), ("services", ("mtls.duration=2h", "mtls.renewBefore=40m"), 25 * 60, True),
                ("spire", (on,), 30 * 60, False), ("spire", (on,), 10 * 60, True), ("spiffe", (on,), 20 * 60, False),
                ("spire", (on, "mtls.collectorMode=certManager", "mtls.issuerRef.name=ca"), 30 * 60, False),
                ("services", ("monitoring.prometheusRule.thresholds.certificateSecondsLeft=60",), HOUR, False)):
            with self.subTest(f"{scenario} {sets}: {left}"):
                (answer,) = asked([(rules(scenario, *sets)["VirpCertificateNotRenewed"]["expr"], {series(CERTIFICATES): [NOW + left]})])
                self.assertEqual(bool(answer), fires)

    def test_the_engine_reads_what_is_given(self):
        served = {'a{x="1"}': [1, 2, 3]}
        self.assertEqual(asked([("a", served), ("rate(a[5m]) * 60 > 0.4", served), ("b", served), ('sum(a{x!="1"}) or vector(7)', served)]),
                         [[({"__name__": "a", "x": "1"}, 3)], [({"x": "1"}, 0.5)], [], [({}, 7)]])


if __name__ == "__main__":
    unittest.main()
