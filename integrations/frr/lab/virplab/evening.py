# SPDX-License-Identifier: GPL-2.0-or-later
"""The end of a day: everybody stops in order, the chain is exported, verified offline, and compared."""
import time

from virplab.chain import ED25519, HMAC_SHA256, Broken, Chain
from virplab.compare import Comparison


def close(lab, day):
    """Findings, a sentence each; none: the chain and the routers agree."""
    lab.settle("the day is over")
    lab.take_samples("the day")
    memory = max(bgpd.process.resident_kib() for bgpd in lab.routers.values())
    cpu = {"bgpd": sum(bgpd.process.cpu_seconds() for bgpd in lab.routers.values()),
           "collectors": sum(process.cpu_seconds() for process in lab.services.collectors.values()),
           "O-Node": lab.services.onode.cpu_seconds()}
    lab.shut_down()
    for process in lab.services.collectors.values():
        process.stop(60)
    time.sleep(1.5)  # a checkpoint covers the last entries
    path = lab.services.file("chain.tar")
    lab.services.virpctl("chain", "export", path)
    said = lab.services.virpctl("verify", "--offline", path, "--trust", lab.services.trust, "--keys",
                                lab.services.file("keys", "onode"), "--subjects", check=False)
    findings = [] if said.returncode == 0 else [f"virpctl verify --offline: {said.stdout}{said.stderr}"]
    alarms = lab.services.virpctl("alarms", "list").stdout.strip().split("\n")[1:]
    findings += [f"an alarm stands: {alarm}" for alarm in alarms]
    try:
        chain = Chain(path, lab.services.file("keys", "onode"))
    except Broken as broken:
        return findings + [f"the chain, read independently: {broken}"]
    comparison = Comparison(lab, day, chain)
    findings += comparison.run()
    report(lab, day, chain, comparison, memory, cpu)
    return findings


def report(lab, day, chain, comparison, memory, cpu):
    frames = sum(len(chain.frames.get(bgpd.router.source, [])) for bgpd in lab.routers.values())
    print(f"\n{chain.size} entries, {frames} of them frames of {len(lab.routers)} routers; verified offline by virpctl with the pinned key,")
    print(f"and here: links, root, {chain.tags[HMAC_SHA256]} HMAC tags ({chain.v1} of version 1); Ed25519 ({chain.tags[ED25519]}) by virpctl alone")
    for name, value in sorted(comparison.counts.items()):
        print(f"  {value:8}  {name}")
    for name, value in day.figures.items():
        if isinstance(value, (int, float)):
            print(f"  {value:8}  {name}")
    print(f"  {memory:8}  KiB resident of the largest bgpd")
    for name, seconds in cpu.items():
        print(f"  {seconds:8.1f}  s of CPU, {name}")
