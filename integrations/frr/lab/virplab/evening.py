# SPDX-License-Identifier: GPL-2.0-or-later
"""The end of a day: the chain is exported, verified offline, and compared with the routers."""
import collections
import copy
import time

from virplab import bgplog
from virplab.chain import ED25519, HMAC_SHA256, Broken, Chain
from virplab.compare import DOWN, PROCESS, STATUS, Comparison, is_last_word


def fetch(lab, stopped, patience=60):
    """The chain, once it has what every module had said; or as it is then. Throws Broken."""
    path, keys = lab.services.file("chain.tar"), lab.services.verifier_keys()
    last = {sample.router: sample for sample in lab.samples}
    deadline = time.monotonic() + patience
    while True:
        over = time.monotonic() > deadline  # asked before: to read a long chain takes longer than this on a busy machine
        lab.services.virpctl("chain", "export", path)
        chain = Chain(path, keys)
        ends = {bgpd.name: chain.frames[bgpd.router.source][-1] for bgpd in lab.routers.values() if bgpd.router.source in chain.frames}
        if over or len(ends) == len(lab.routers) and all(
                is_last_word(frame) if stopped else frame.sequence >= last[name].sequence for name, frame in ends.items()):
            return chain
        time.sleep(0.5)


def ask(lab, day, count=24):
    """The O-Node's own view: claims about what routers show, and about what they do not have. Findings."""
    last = [sample for sample in lab.samples if sample.label == "the day"]
    findings, asked = [], collections.Counter()
    for sample in [day.random.choice(last) for _ in range(count)]:
        prefix = day.random.choice(sorted(sample.table))
        paths = [path for path in sample.table[prefix] if path["peerId"] != "(unspec)" and not path.get("stale")]
        name = ["route", "--router", sample.router, "--prefix", prefix]
        claims = {"best path": name + ["--rib", "best"]}
        if paths:
            claims["path"] = name + ["--rib", "adj-in-post", "--peer", paths[0]["peerId"]]
        if sample.peers:
            claims["session"] = ["peer", "--router", sample.router, "--peer", sorted(sample.peers)[0]]
            claims["absence"] = name[:-1] + ["192.0.2.128/25", "--rib", "adj-in-post", "--peer", sorted(sample.peers)[0], "--absent"]
        for what, claim in claims.items():
            verdict = lab.verdict(*claim)
            asked[f"claims about a {what} CONFIRMED"] += verdict == "CONFIRMED"
            if verdict != "CONFIRMED":
                findings.append(f"{sample.router} shows it, the O-Node says {verdict}: {' '.join(claim)}")
    day.figures |= asked
    return findings


def close(lab, day, stop=True, doubt=False):
    """Findings, a sentence each; none: the chain and the routers agree. `doubt`: shows that it would have found something."""
    lab.settle("the day is over")
    lab.await_delivery()
    lab.take_samples("the day")
    lab.measure()
    findings = ask(lab, day)
    if stop:
        lab.shut_down()
    try:
        chain = fetch(lab, stop)
    except Broken as broken:
        return findings + [f"the chain, read independently: {broken}"]
    said = lab.services.virpctl("verify", "--offline", lab.services.file("chain.tar"), "--trust", lab.services.trust, "--keys",
                                lab.services.verifier_keys(), "--subjects", check=False)
    findings += [] if said.returncode == 0 else [f"virpctl verify --offline: {said.stdout}{said.stderr}"]
    findings += [f"an alarm stands: {alarm}" for alarm in lab.services.virpctl("alarms", "list").stdout.strip().split("\n")[1:]]
    logs = {bgpd.name: bgplog.read(bgpd.file("bgpd.log")) for bgpd in lab.routers.values()}
    comparison = Comparison(lab, day, chain, logs, lab.samples)
    comparison.ended = stop
    findings += comparison.run()
    report(lab, day, chain, comparison)
    if doubt and not findings:
        findings = unnoticed(lab, day, chain, logs)
    return findings


def report(lab, day, chain, comparison):
    frames = sum(len(chain.frames.get(bgpd.router.source, [])) for bgpd in lab.routers.values())
    print(f"\n{chain.size} entries, {frames} of them frames of {len(lab.routers)} routers; verified offline by virpctl with the pinned key,")
    print(f"and here: links, root, {chain.tags[HMAC_SHA256]} HMAC tags ({chain.v1} of version 1); {chain.tags[ED25519]} Ed25519 by virpctl alone")
    for name, value in sorted(comparison.counts.items()):
        print(f"  {value:8}  {name}")
    for name, value in [*day.figures.items(), *lab.figures.items()]:
        if isinstance(value, (int, float)):
            print(f"  {value:8}  {name}")


# ---- is the comparison worth something? Each of these has to be found.

def first(frames, kind, **wanted):
    return next(frame for frame in frames if frame.kind == kind and all(frame.payload.get(key) == value for key, value in wanted.items())
                and not frame.payload.get("restated"))


def spoil_gone(frames, log, samples):
    """a frame is gone"""
    frames.remove(first(frames, PROCESS, event="route_announce"))


def spoil_prefix(frames, log, samples):
    """an announcement is of another prefix"""
    first(frames, PROCESS, event="route_announce", rib="adj-in-post").payload["prefix"] = "192.0.2.0/24"


def spoil_path(frames, log, samples):
    """an announcement has another AS path"""
    first(frames, PROCESS, event="route_announce", rib="adj-in-post").payload["as_path"] = "64666"


def spoil_tier(frames, log, samples):
    """the loss of a session is GREEN"""
    first(frames, STATUS, old_state="Established").tier = 0


def spoil_down(frames, log, samples):
    """the loss of a session is no type 2"""
    first(frames, DOWN).payload["last_state"] = "OpenSent"


def spoil_loss(frames, log, samples):
    """bgpd logged a loss that nobody signed"""
    said = next(said for said in log if said.what == "down")
    log.insert(log.index(said), copy.copy(said))


def spoil_route(frames, log, samples):
    """bgpd logged a route that nobody signed"""
    said = next(said for said in log if said.what == "announce")
    log.insert(log.index(said), copy.copy(said))


def spoil_best(frames, log, samples):
    """a router shows another best path"""
    paths = samples[-1].table[sorted(samples[-1].table)[0]]
    next(path for path in paths if path.get("bestpath"))["path"] = "64666"


def spoil_peer(frames, log, samples):
    """a router shows a session less"""
    samples[-1].peers.pop()


SPOILS = (spoil_gone, spoil_prefix, spoil_path, spoil_tier, spoil_down, spoil_loss, spoil_route, spoil_best, spoil_peer)


def unnoticed(lab, day, chain, logs):
    """Each spoils what was said by or about one router."""
    bgpd, out = list(lab.routers.values())[0], []
    for spoil in SPOILS:
        spoilt, said, samples = copy.copy(chain), dict(logs), copy.deepcopy(lab.samples)
        spoilt.frames = dict(chain.frames)
        spoilt.frames[bgpd.router.source] = copy.deepcopy(chain.frames[bgpd.router.source])
        said[bgpd.name] = copy.deepcopy(logs[bgpd.name])
        spoil(spoilt.frames[bgpd.router.source], said[bgpd.name], [sample for sample in samples if sample.router == bgpd.name])
        if not Comparison(lab, day, spoilt, said, samples).run():
            out.append(f"the comparison does not notice that {spoil.__doc__}")
    print(f"{len(SPOILS) - len(out)} of {len(SPOILS)} spoilt copies noticed")
    return out
