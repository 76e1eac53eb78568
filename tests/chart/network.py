"""What NetworkPolicies let through, as Kubernetes defines them: a connection is let through when every side that a policy speaks of lets it
through; a side that no policy speaks of lets everything through."""
import dataclasses
import ipaddress


@dataclasses.dataclass(frozen=True)
class Party:
    """A pod, or an address outside of the cluster (without namespace)."""
    name: str
    namespace: str = ""
    labels: tuple = ()             # of the pod, as items
    namespace_labels: tuple = ()   # beside kubernetes.io/metadata.name
    ports: tuple = ()              # (name, number), what it listens on
    address: str = ""

    @property
    def in_cluster(self):
        return bool(self.namespace)


def selects(selector, labels):
    labels = dict(labels)
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for expression in selector.get("matchExpressions") or []:
        key, values = expression["key"], expression.get("values", [])
        held = {"In": labels.get(key) in values, "NotIn": labels.get(key) not in values,
                "Exists": key in labels, "DoesNotExist": key not in labels}[expression["operator"]]
        if not held:
            return False
    return True


def is_peer(peer, policy_namespace, party):
    if "ipBlock" in peer:
        # Of pods nobody knows how their addresses are seen; the chart names blocks for what is outside only.
        if party.in_cluster:
            return False
        address, block = ipaddress.ip_address(party.address), peer["ipBlock"]
        return address in ipaddress.ip_network(block["cidr"]) and not any(
            address in ipaddress.ip_network(cidr) for cidr in block.get("except", []))
    if not party.in_cluster:
        return False
    if "namespaceSelector" in peer:
        labels = {**dict(party.namespace_labels), "kubernetes.io/metadata.name": party.namespace}
        if not selects(peer["namespaceSelector"], labels.items()):
            return False
    elif party.namespace != policy_namespace:
        return False
    return "podSelector" not in peer or selects(peer["podSelector"], party.labels)


def rule_allows(rule, side, namespace, other, target, port, protocol):
    peers = rule.get(side)
    if peers and not any(is_peer(peer, namespace, other) for peer in peers):
        return False  # without any, all are meant
    ports = rule.get("ports")
    if not ports:
        return True
    for allowed in ports:
        if allowed.get("protocol", "TCP") != protocol:
            continue
        number = allowed.get("port")
        if isinstance(number, str):
            number = dict(target.ports).get(number)
        if number is None or number == port or ("endPort" in allowed and number <= port <= allowed["endPort"]):
            return True
    return False


def side_allows(policies, kind, side, own, other, target, port, protocol):
    if not own.in_cluster:
        return True
    speaking = [policy for policy in policies if policy["metadata"]["namespace"] == own.namespace
                and kind in policy["spec"]["policyTypes"] and selects(policy["spec"]["podSelector"], own.labels)]
    rules = [(policy["metadata"]["namespace"], rule) for policy in speaking for rule in policy["spec"].get(kind.lower()) or []]
    return not speaking or any(rule_allows(rule, side, namespace, other, target, port, protocol) for namespace, rule in rules)


def allowed(policies, source, target, port, protocol="TCP"):
    return (side_allows(policies, "Egress", "to", source, target, target, port, protocol) and
            side_allows(policies, "Ingress", "from", target, source, target, port, protocol))
