#!/usr/bin/python3
"""What NetworkPolicies say, by k8s/run/policy.py: each feature of networking.k8s.io/v1 allows and refuses, and the rules name the same."""
import pathlib
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "k8s/run"))
from policy import Cluster, Pod, selects  # noqa: E402

ONODE = Pod("onode", "virp", {"app": "onode"}, "10.1.0.2", {"grpc": 8443, "admin": 9443})
COLLECTOR = Pod("collector", "virp", {"app": "collector"}, "10.1.0.3", {"grpc": 8444})
DNS = Pod("dns", "kube-system", {"k8s-app": "kube-dns"}, "10.1.0.1", {"dns": 53})
PROMETHEUS = Pod("prometheus", "monitoring", {"app": "prometheus"}, "10.1.0.4")
ROUTER = Pod("router", None, {}, "192.0.2.7")
PODS = [ONODE, COLLECTOR, DNS, PROMETHEUS, ROUTER]
NAMESPACES = {"virp": {"name": "virp"}, "kube-system": {"name": "kube-system"}, "monitoring": {"name": "monitoring"}}
NOBODY = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def cluster(*specs, namespace="virp"):
    return Cluster(PODS, [{"metadata": {"name": str(i), "namespace": namespace}, "spec": spec} for i, spec in enumerate(specs)], NAMESPACES)


def into_onode(**rule):
    return {"podSelector": {"matchLabels": {"app": "onode"}}, "policyTypes": ["Ingress"], "ingress": [rule]}


class PolicyTest(unittest.TestCase):
    def test_without_a_policy_all_is_open(self):
        self.assertTrue(cluster().allows(ROUTER, ONODE, "TCP", 8443))

    def test_a_policy_for_all_without_rules_closes_both_directions(self):
        closed = cluster(NOBODY)
        self.assertFalse(closed.allows(COLLECTOR, ONODE, "TCP", 8443))
        self.assertFalse(closed.allows(PROMETHEUS, ONODE, "TCP", 9443))
        self.assertFalse(closed.allows(ONODE, DNS, "UDP", 53))
        self.assertTrue(closed.allows(PROMETHEUS, DNS, "UDP", 53))  # other namespaces are not meant

    def test_both_ends_have_to_allow(self):
        to_onode = {"podSelector": {"matchLabels": {"app": "collector"}}, "policyTypes": ["Egress"],
                    "egress": [{"to": [{"podSelector": {"matchLabels": {"app": "onode"}}}], "ports": [{"port": 8443}]}]}
        from_collector = into_onode(**{"from": [{"podSelector": {"matchLabels": {"app": "collector"}}}], "ports": [{"port": "grpc"}]})
        self.assertFalse(cluster(NOBODY, to_onode).allows(COLLECTOR, ONODE, "TCP", 8443))
        self.assertFalse(cluster(NOBODY, from_collector).allows(COLLECTOR, ONODE, "TCP", 8443))
        both = cluster(NOBODY, to_onode, from_collector)
        self.assertTrue(both.allows(COLLECTOR, ONODE, "TCP", 8443))
        self.assertFalse(both.allows(COLLECTOR, ONODE, "TCP", 9443))
        self.assertFalse(both.allows(COLLECTOR, ONODE, "UDP", 8443))
        self.assertFalse(both.allows(ONODE, COLLECTOR, "TCP", 8444))

    def test_pods_of_other_namespaces_are_meant_only_by_a_namespace_selector(self):
        monitoring = {"matchLabels": {"name": "monitoring"}}
        prometheus = {"matchLabels": {"app": "prometheus"}}
        self.assertFalse(cluster(into_onode(**{"from": [{"podSelector": prometheus}]})).allows(PROMETHEUS, ONODE, "TCP", 9443))
        self.assertTrue(cluster(into_onode(**{"from": [{"namespaceSelector": monitoring}]})).allows(PROMETHEUS, ONODE, "TCP", 9443))
        both = cluster(into_onode(**{"from": [{"namespaceSelector": {}, "podSelector": prometheus}]}))
        self.assertTrue(both.allows(PROMETHEUS, ONODE, "TCP", 9443))
        self.assertFalse(both.allows(COLLECTOR, ONODE, "TCP", 9443))
        either = cluster(into_onode(**{"from": [{"namespaceSelector": monitoring}, {"podSelector": {"matchLabels": {"app": "collector"}}}]}))
        self.assertTrue(either.allows(COLLECTOR, ONODE, "TCP", 9443))

    def test_blocks_of_addresses_and_what_they_except(self):
        block = cluster(into_onode(**{"from": [{"ipBlock": {"cidr": "192.0.2.0/24", "except": ["192.0.2.128/25"]}}]}))
        self.assertTrue(block.allows(ROUTER, ONODE, "TCP", 1))
        self.assertFalse(block.allows(COLLECTOR, ONODE, "TCP", 1))
        self.assertFalse(block.allows(Pod("r", None, {}, "192.0.2.200"), ONODE, "TCP", 1))
        self.assertFalse(cluster(into_onode(**{"from": [{"namespaceSelector": {}}]})).allows(ROUTER, ONODE, "TCP", 1))

    def test_no_peers_are_all_and_no_ports_are_all(self):
        anybody = cluster(into_onode(ports=[{"port": 8440, "endPort": 8450}]))
        self.assertTrue(anybody.allows(ROUTER, ONODE, "TCP", 8443))
        self.assertFalse(anybody.allows(ROUTER, ONODE, "TCP", 8451))
        self.assertTrue(cluster(into_onode()).allows(ROUTER, ONODE, "UDP", 4))

    def test_types_that_are_not_written(self):
        self.assertTrue(cluster({"podSelector": {}}).allows(COLLECTOR, DNS, "UDP", 53))
        self.assertFalse(cluster({"podSelector": {}, "egress": []}).allows(COLLECTOR, DNS, "UDP", 53))
        self.assertFalse(cluster({"podSelector": {}}).allows(COLLECTOR, ONODE, "TCP", 8443))

    def test_expressions(self):
        labels = {"tier": "edge"}
        for operator, values, holds in (("In", ["edge", "core"], True), ("In", ["core"], False), ("NotIn", ["core"], True),
                                        ("NotIn", ["edge"], False), ("Exists", None, True), ("DoesNotExist", None, False)):
            expression = {"key": "tier", "operator": operator, "values": values}
            self.assertIs(selects({"matchExpressions": [expression]}, labels), holds, operator)
        self.assertFalse(selects(None, labels))


class RulesTest(unittest.TestCase):
    def test_rules_name_peers_and_ports(self):
        rules = cluster(NOBODY, into_onode(**{"from": [{"podSelector": {"matchLabels": {"app": "collector"}}}], "ports": [{"port": "grpc"}]}),
                        into_onode(**{"from": [{"ipBlock": {"cidr": "192.0.2.0/24", "except": ["192.0.2.128/25"]}}]})).rules(ONODE)
        self.assertIn("    ip saddr 10.1.0.3 tcp dport 8443 accept\n", rules)
        self.assertIn("    ip saddr 192.0.2.0/24 ip saddr != { 192.0.2.128/25 } accept\n", rules)
        self.assertEqual(rules.count("policy drop"), 2)
        self.assertEqual(rules.count(" accept\n"), 2 * 3 + 2)

    def test_a_named_port_of_whom_is_called(self):
        rules = cluster({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [{"podSelector": {}}], "ports": [{"port": "grpc"}]}]}).rules(ONODE)
        self.assertIn("    ip daddr 10.1.0.3 tcp dport 8444 accept\n", rules)
        self.assertIn("    ip daddr 10.1.0.2 tcp dport 8443 accept\n", rules)
        self.assertEqual(rules.count("policy drop"), 1)

    def test_nft_takes_them(self):
        command = ["unshare", "--net", "--map-root-user", "nft", "-c", "-f", "-"]
        if not shutil.which("nft") or subprocess.run([*command[:-3], "list", "ruleset"], capture_output=True, check=False).returncode != 0:
            self.skipTest("no nft, or no network namespaces")
        rules = cluster(NOBODY, into_onode(), into_onode(ports=[{"port": 1, "endPort": 9}, {"protocol": "UDP"}]),
                        into_onode(**{"from": [{"ipBlock": {"cidr": "2001:db8::/32"}}, {"namespaceSelector": {}}]})).rules(ONODE)
        done = subprocess.run(command, input=rules, text=True, capture_output=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr + rules)


if __name__ == "__main__":
    unittest.main()
