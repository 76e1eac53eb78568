"""Kubernetes NetworkPolicies without Kubernetes: what they say about a connection, and the nftables rules that say the same.

podman does not know NetworkPolicies. The rules of a pod are loaded into its own network namespace: what it may receive by the
policies of type Ingress that select it, what it may send by those of type Egress. As in Kubernetes a pod that no policy of a
type selects is open in that direction, and answers to what was let through pass."""

import dataclasses
import ipaddress

PROTOCOLS = {"TCP": "tcp", "UDP": "udp", "SCTP": "sctp"}


@dataclasses.dataclass
class Pod:
    """Somebody with an address. `namespace` None: outside the cluster; only blocks of addresses match it."""
    name: str
    namespace: str | None
    labels: dict
    address: str
    ports: dict = dataclasses.field(default_factory=dict)  # name -> number


@dataclasses.dataclass
class Cluster:
    pods: list
    policies: list  # manifests; with metadata.namespace
    namespaces: dict  # name -> labels

    # ---- what the policies say

    def allows(self, source, target, protocol, port):
        """Whether a connection of this protocol (TCP, UDP) from the one to that port of the other may be made."""
        return self._passes(source, target, target, "egress", protocol, port) and self._passes(target, source, target, "ingress", protocol, port)

    def _passes(self, pod, other, target, way, protocol, port):
        policies = self.selecting(pod, way)
        return not policies or any(
            self._peer(policy, rule, other, way) and _port(rule, target, protocol, port)
            for policy in policies for rule in policy["spec"].get(way) or [])

    def selecting(self, pod, way):
        """The policies of that type that select the pod."""
        return [policy for policy in self.policies
                if pod.namespace is not None and policy["metadata"]["namespace"] == pod.namespace and _is(policy, way)
                and selects(policy["spec"].get("podSelector"), pod.labels)]

    def _peer(self, policy, rule, other, way):
        peers = rule.get("to" if way == "egress" else "from")
        return not peers or any(self._is_peer(policy, peer, other) for peer in peers)

    def _is_peer(self, policy, peer, other):
        if "ipBlock" in peer:
            address = ipaddress.ip_address(other.address)
            return (address in ipaddress.ip_network(peer["ipBlock"]["cidr"])
                    and not any(address in ipaddress.ip_network(block) for block in peer["ipBlock"].get("except") or []))
        if other.namespace is None:
            return False
        if "namespaceSelector" in peer:
            if not selects(peer["namespaceSelector"], self.namespaces.get(other.namespace, {})):
                return False
        elif other.namespace != policy["metadata"]["namespace"]:
            return False
        return "podSelector" not in peer or selects(peer["podSelector"], other.labels)

    # ---- the same as rules

    def rules(self, pod):
        """For `nft -f -` in the pod's network namespace; once more replaces what was loaded before."""
        lines = ["table inet netpol", "delete table inet netpol", "table inet netpol {"]
        for way, hook in (("ingress", "input"), ("egress", "output")):
            policies = self.selecting(pod, way)
            lines.append(f"  chain {way}_rules {{")
            lines.append(f"    type filter hook {hook} priority 0; policy {'drop' if policies else 'accept'};")
            lines.append(f"    {'iif' if way == 'ingress' else 'oif'} lo accept")
            lines.append("    ct state established,related accept")
            lines.append("    meta l4proto ipv6-icmp accept")
            for policy in policies:
                for rule in policy["spec"].get(way) or []:
                    lines += [f"    {match} accept" for match in self._matches(policy, rule, pod, way)]
            lines.append("  }")
        return "\n".join(lines + ["}"]) + "\n"

    def _matches(self, policy, rule, pod, way):
        side = "saddr" if way == "ingress" else "daddr"
        peers = rule.get("from" if way == "ingress" else "to")
        for peer in peers or [None]:
            if peer is None:
                yield from _nft_ports(rule, "meta nfproto { ipv4, ipv6 }", [pod] if way == "ingress" else self.pods, way)
            elif "ipBlock" in peer:
                block = peer["ipBlock"]
                family = "ip6" if ":" in block["cidr"] else "ip"
                match = f"{family} {side} {block['cidr']}"
                if block.get("except"):
                    match += f" {family} {side} != {{ {', '.join(block['except'])} }}"
                yield from _nft_ports(rule, match, [pod] if way == "ingress" else self.pods, way)
            else:
                for other in self.pods:
                    if self._is_peer(policy, peer, other):
                        family = "ip6" if ":" in other.address else "ip"
                        yield from _nft_ports(rule, f"{family} {side} {other.address}", [pod if way == "ingress" else other], way)


def _is(policy, way):
    types = policy["spec"].get("policyTypes")
    if not types:
        types = ["Ingress"] + (["Egress"] if "egress" in policy["spec"] else [])
    return way.capitalize() in types


def selects(selector, labels):
    """A label selector; an empty one selects all, none at all nothing."""
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    for expression in selector.get("matchExpressions") or []:
        key, values = expression["key"], expression.get("values") or []
        holds = {"In": key in labels and labels[key] in values, "NotIn": labels.get(key) not in values,
                 "Exists": key in labels, "DoesNotExist": key not in labels}[expression["operator"]]
        if not holds:
            return False
    return True


def _number(port, target):
    return target.ports.get(port) if isinstance(port, str) else port


def _port(rule, target, protocol, port):
    if not rule.get("ports"):
        return True
    for entry in rule["ports"]:
        if entry.get("protocol", "TCP") != protocol:
            continue
        first = _number(entry.get("port"), target)
        if "port" not in entry or (first is not None and first <= port <= entry.get("endPort", first)):
            return True
    return False


def _nft_ports(rule, match, targets, way):
    if not rule.get("ports"):
        yield match
        return
    for entry in rule["ports"]:
        protocol = PROTOCOLS[entry.get("protocol", "TCP")]
        if "port" not in entry:
            yield f"{match} meta l4proto {protocol}"
            continue
        for target in targets:  # a name means another number for each of them
            first = _number(entry["port"], target)
            if first is None:
                continue
            last = entry.get("endPort", first)
            narrowed = match
            if isinstance(entry["port"], str) and way == "egress" and len(targets) > 1:
                narrowed = f"{match} {'ip6' if ':' in target.address else 'ip'} daddr {target.address}"
            yield f"{narrowed} {protocol} dport {first if first == last else f'{first}-{last}'}"
            if isinstance(entry["port"], int):
                break
