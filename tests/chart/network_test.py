"""For every ordered pair of pods and every port: what the rendered NetworkPolicies let through is what the architecture says."""
import unittest

import arrows
import chart
import network
from network import Party

SCENARIOS = ("minimal", "production", "edge-collector", "services", "postgres", "nodes", "spire")
OUTSIDE = {
    "router": Party("router", address="192.0.2.1"),
    "other-router": Party("other-router", address="192.0.2.200"),
    "stranger-outside": Party("stranger-outside", address="100.64.0.1"),
    "core": Party("core", address="203.0.113.5"),
    "database-outside": Party("database-outside", address="198.51.100.7"),
    "validator": Party("validator", address="198.51.100.20"),
    "token": Party("token", address="198.51.100.9"),
}
IN_CLUSTER = {
    "dns": Party("dns", "kube-system", (("k8s-app", "kube-dns"),)),
    "prometheus": Party("prometheus", "monitoring", (("app.kubernetes.io/name", "prometheus"),)),
    "grafana": Party("grafana", "monitoring", (("app.kubernetes.io/name", "grafana"),)),
    "operator": Party("operator", "cnpg-system", (("app", "cloudnative-pg"),)),
    "database": Party("database", chart.NAMESPACE, (("cnpg.io/cluster", "virp-db"),)),
    "asker": Party("asker", "automation", (("app", "argo"),), (("virp.example.org/asks", "true"), ("virp.example.org/operates", "true"))),
    "reader": Party("reader", chart.NAMESPACE, (("app", "reader"),)),
    "neighbour": Party("neighbour", chart.NAMESPACE, (("app", "something"),)),
    "stranger": Party("stranger", "elsewhere", (("app.kubernetes.io/name", "virp"), ("app.kubernetes.io/component", "collector"))),
    "other-release": Party("other-release", chart.NAMESPACE, (("app.kubernetes.io/name", "virp"), ("app.kubernetes.io/instance", "other"),
                                                              ("app.kubernetes.io/component", "collector"))),
}
# Ports beside those that pods listen on: what others listen on, and what nobody should.
PORTS = {53, 22, 443, 1792, 4317, 5432, 6432, 8000, 8443, 8444, 8445, 8446, 9187, 9443, 9444, 9445, 9446}


def release_parties(scenario):
    out = {}
    for _, metadata, spec in chart.pods(scenario):
        part = metadata["labels"]["app.kubernetes.io/component"]
        ports = tuple((port["name"], port["containerPort"]) for container in spec["containers"] for port in container.get("ports", []))
        out[part] = Party(part, chart.NAMESPACE, tuple(metadata["labels"].items()), ports=ports)
    return out


class NetworkTest(unittest.TestCase):
    def policies(self, scenario):
        return [found for found in chart.objects(scenario) if found["kind"] == "NetworkPolicy"]

    def test_policies_are_the_arrows(self):
        for scenario in SCENARIOS:
            own, policies = release_parties(scenario), self.policies(scenario)
            wanted = arrows.arrows(chart.values(scenario))
            parties = {**OUTSIDE, **IN_CLUSTER, **own}
            guarded = set(own) | ({"database"} if chart.values(scenario)["cloudNativePG"]["enabled"] else set())
            ports = PORTS | {number for party in own.values() for _, number in party.ports} | {port for _, _, port in wanted}
            pairs = [(source, target) for source in parties for target in parties if {source, target} & guarded]
            found = set()
            for source, target in pairs:
                for port in ports:
                    if source == "database" and target not in own and target != "database":
                        continue  # where an instance goes (API server, backups) is the operator's business
                    if network.allowed(policies, parties[source], parties[target], port):
                        found.add((source, target, port))
            with self.subTest(scenario):
                self.assertEqual(sorted(found - wanted), [], "let through, and no arrow")
                self.assertEqual(sorted(wanted - found), [], "an arrow, and not let through")

    def test_each_pod_is_under_a_policy_for_both_directions(self):
        for scenario in SCENARIOS:
            for part, party in release_parties(scenario).items():
                with self.subTest(f"{scenario}: {part}"):
                    for kind in ("Ingress", "Egress"):
                        self.assertTrue(any(kind in policy["spec"]["policyTypes"] and network.selects(policy["spec"]["podSelector"], party.labels)
                                            for policy in self.policies(scenario)))

    def test_names_are_resolved_by_udp_too(self):
        policies, own = self.policies("minimal"), release_parties("minimal")
        self.assertTrue(network.allowed(policies, own["collector"], IN_CLUSTER["dns"], 53, "UDP"))
        self.assertFalse(network.allowed(policies, own["collector"], IN_CLUSTER["neighbour"], 53, "UDP"))

    def test_what_is_excepted_of_a_block_stays_out(self):
        policies, own = self.policies("services"), release_parties("services")
        self.assertTrue(network.allowed(policies, OUTSIDE["router"], own["rtr-bridge"], 8282))
        self.assertFalse(network.allowed(policies, OUTSIDE["other-router"], own["rtr-bridge"], 8282))

    def test_no_rule_is_for_everybody(self):
        for scenario in chart.SCENARIOS:
            for policy in self.policies(scenario):
                for kind, side in (("ingress", "from"), ("egress", "to")):
                    for rule in policy["spec"].get(kind) or []:
                        with self.subTest(f"{scenario}: {chart.name_of(policy)}"):
                            self.assertTrue(rule.get(side))
                            self.assertTrue(rule.get("ports"))

    def test_who_may_come_by_a_load_balancer_is_let_in(self):
        ranges = "service.type=LoadBalancer,{0}.service.loadBalancerSourceRanges[0]=192.0.2.0/25"
        for part, key in arrows.KEYS.items():
            sets = f"{key}." + ranges.format(key)
            policies = [found for found in chart.objects("services", sets) if found["kind"] == "NetworkPolicy"]
            own = release_parties("services")[part]
            with self.subTest(part):
                self.assertTrue(network.allowed(policies, OUTSIDE["router"], own, arrows.GRPC[part]))
                self.assertFalse(network.allowed(policies, OUTSIDE["other-router"], own, arrows.GRPC[part]))
        policies = [found for found in chart.objects("edge-collector", "collector.routerPorts[0].from[0].ipBlock.cidr=198.51.100.0/24") if found["kind"] == "NetworkPolicy"]
        self.assertTrue(network.allowed(policies, OUTSIDE["router"], release_parties("edge-collector")["collector"], 7801))

    def test_services_elsewhere_are_reached_at_their_ports(self):
        sets = ("external.onodes[0]=onode.example.org:30443", "external.keyManagers[0]=keymgr.example.org:30445")
        policies = [found for found in chart.objects("edge-collector", *sets) if found["kind"] == "NetworkPolicy"]
        own = release_parties("edge-collector")["collector"]
        self.assertEqual([port for port in (8443, 30443, 8445, 30445) if network.allowed(policies, own, OUTSIDE["core"], port)], [8443, 30443, 30445])

    def test_they_can_be_left_out(self):
        self.assertEqual(self.policies("knobs"), [])


class EvaluatorTest(unittest.TestCase):
    """The evaluator itself, by Kubernetes' own words about NetworkPolicies."""

    def policy(self, spec):
        return {"metadata": {"namespace": "n"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress"], **spec}}

    def test_a_pod_without_a_policy_is_open_and_one_with_it_is_closed(self):
        a, b = Party("a", "n"), Party("b", "n")
        self.assertTrue(network.allowed([], a, b, 1))
        self.assertFalse(network.allowed([self.policy({})], a, b, 1))
        self.assertTrue(network.allowed([self.policy({"policyTypes": ["Egress"]})], Party("c", "m"), b, 1), "ingress was not spoken of")

    def test_rules_add_up_and_an_empty_one_lets_everybody_in(self):
        a, b = Party("a", "n", (("x", "1"),)), Party("b", "n")
        to_a = {"ingress": [{"from": [{"podSelector": {"matchLabels": {"x": "1"}}}], "ports": [{"port": 1}]}]}
        self.assertTrue(network.allowed([self.policy({}), self.policy(to_a)], a, b, 1))
        self.assertFalse(network.allowed([self.policy({}), self.policy(to_a)], a, b, 2))
        self.assertFalse(network.allowed([self.policy(to_a)], Party("a", "m", (("x", "1"),)), b, 1), "a pod selector alone is of this namespace")
        self.assertTrue(network.allowed([self.policy({"ingress": [{}]})], Party("a", "m"), b, 9))

    def test_named_ports_ranges_and_blocks(self):
        b = Party("b", "n", ports=(("web", 80),))
        rule = {"ingress": [{"from": [{"ipBlock": {"cidr": "192.0.2.0/24", "except": ["192.0.2.9/32"]}}], "ports": [{"port": "web"}, {"port": 90, "endPort": 92}]}]}
        for address, port, expected in (("192.0.2.1", 80, True), ("192.0.2.9", 80, False), ("192.0.2.1", 91, True), ("192.0.2.1", 93, False)):
            self.assertEqual(network.allowed([self.policy(rule)], Party("x", address=address), b, port), expected)


if __name__ == "__main__":
    unittest.main()
