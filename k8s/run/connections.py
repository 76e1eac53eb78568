#!/usr/bin/python3
"""Which connections can be made: tried, from inside the network of each pod, and compared with what policies and arrows say.

connections.py < [[ADDRESS, PORT], ...]    prints for each "open", "refused" (somebody answered that nobody listens) or "silent" """

import json
import selectors
import socket
import subprocess
import sys
import time

PATIENCE = 2.0  # seconds; a packet that is dropped is never answered


def attempt(targets):
    selector, found = selectors.DefaultSelector(), {}
    for address, port in targets:
        client = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        client.setblocking(False)
        error = client.connect_ex((address, port))
        if error in (0, 115):  # EINPROGRESS
            selector.register(client, selectors.EVENT_WRITE, (address, port))
        else:
            found[address, port] = "refused" if error == 111 else "silent"
    deadline = time.monotonic() + PATIENCE
    while selector.get_map() and time.monotonic() < deadline:
        for key, _ in selector.select(deadline - time.monotonic()):
            error = key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            found[key.data] = {0: "open", 111: "refused"}.get(error, "silent")
            selector.unregister(key.fileobj)
            key.fileobj.close()
    return [found.get(tuple(target), "silent") for target in targets]


def from_within(pid, targets):
    """The same from inside the network namespace of that process."""
    done = subprocess.run(["nsenter", "-t", str(pid), "-n", "--", "/usr/bin/python3", __file__],
                          input=json.dumps(targets), text=True, capture_output=True, check=True, timeout=60)
    return json.loads(done.stdout)


def port_of(pod, port):
    """A number, or the name of a container's port."""
    if isinstance(port, int):
        return port
    return pod.policy_pod().ports.get(port)


def compare(cluster, arrows, part_of, unused=(9, 22)):
    """Every ordered pair of pods that run, at every port that either listens on, and at two where nobody should.

    `arrows`: {(part, part, port)} of the architecture; a part is what `part_of` says of a pod.
    Gives (tried, allowed, [sentence]): the sentences name what differs between tried, policies and arrows."""
    view, wrong, tried, allowed = cluster.policy_cluster(), [], 0, 0
    ports = sorted({port for pod in cluster.pods() for port in pod.policy_pod().ports.values()} | set(unused))
    for source in cluster.pods():
        targets = [(target, port) for target in cluster.pods() if target is not source for port in ports]
        results = from_within(source.pid, [[target.address, port] for target, port in targets])
        for (target, port), result in zip(targets, results):
            tried += 1
            passes = result != "silent"
            policies = view.allows(source.policy_pod(), target.policy_pod(), "TCP", port)
            arrow = any((part_of(source), part_of(target), name) in arrows or (part_of(source), part_of(target), "*") in arrows
                        for name, number in [*target.policy_pod().ports.items(), (port, port)] if number == port)
            allowed += passes
            if not passes == policies == arrow:
                wrong.append(f"{source.name} -> {target.name}:{port}: connection {result}, policies say {'yes' if policies else 'no'}, "
                             f"the architecture {'yes' if arrow else 'no'}")
    return tried, allowed, wrong


if __name__ == "__main__":
    print(json.dumps(attempt([tuple(target) for target in json.load(sys.stdin)])))
