# SPDX-License-Identifier: GPL-2.0-or-later
"""The day: what happens to a lab, one act after the other. Each ends when bgpd shows what it led to; what the chain makes of it
is looked at in the end (compare.py), beside the few claims that are asked here."""
import random
import time

from virplab.process import wait_for
from virplab.sandbox import LabError

FAKE_AS = 64666


class Day:
    def __init__(self, lab, pause=0, seed=1):
        self.lab, self.pause = lab, pause
        self.topology, self.services = lab.topology, lab.services
        self.random = random.Random(seed)  # the same day for the same number
        self.figures = {}  # what was measured, by name

    ACTS = ["morning", "announcements", "changes", "withdrawals", "flaps", "policies", "rewired", "hijack", "router_killed", "switched_off", "collector_outage",
            "flood", "onode_outage", "cut_off", "key_roll", "key_manager", "evening"]

    def live(self, acts=None):
        for act in acts or self.ACTS:
            if act not in self.ACTS:
                raise LabError(f"there is no act {act}; there are {', '.join(self.ACTS)}")
            self.lab.say(f"{act.replace('_', ' ')}: {getattr(self, act).__doc__}")
            getattr(self, act)()
            self.lab.settle(f"it is quiet after {act}")
            self.lab.take_samples(act)
            time.sleep(self.pause)

    # ---- who

    def some(self, count):
        routers = list(self.lab.routers.values())
        return self.random.sample(routers, min(count, len(routers)))

    def claim_of(self, bgpd):
        """That its first session is Established."""
        return ["peer", "--router", bgpd.name, "--peer", self.topology.sessions(bgpd.router)[0].address]

    @staticmethod
    def own_prefixes(bgpd, count=5):
        return [f"100.{100 + i}.{bgpd.router.number}.0/24" for i in range(count)]

    @staticmethod
    def own_prefix6(bgpd):
        return f"2001:db8:{bgpd.router.number:x}:100::/56"

    def flap(self, bgpd, words="maintenance"):
        """One session goes and comes back."""
        session = self.random.choice(self.topology.sessions(bgpd.router))
        bgpd.under_bgp(f"neighbor {session.address} shutdown message {words}")
        wait_for("the session is down", lambda: session.address not in bgpd.established())
        bgpd.under_bgp(f"no neighbor {session.address} shutdown")
        wait_for("the session is up", lambda: session.address in bgpd.established())

    # ---- acts

    def morning(self):
        """all tables are learnt"""
        routers = len(self.lab.routers)
        for bgpd in self.lab.routers.values():
            wait_for(f"{bgpd.name} has a route to everybody", lambda bgpd=bgpd: len(bgpd.routes()) > 2 * routers)

    def announcements(self):
        """every router originates five prefixes more, and one of IPv6"""
        self.lab.each(lambda bgpd: bgpd.networks(*(f"network {prefix} route-map OWN" for prefix in self.own_prefixes(bgpd))))
        self.lab.each(lambda bgpd: bgpd.under_bgp("address-family ipv6 unicast", f"network {self.own_prefix6(bgpd)} route-map OWN"))

    def changes(self):
        """other MEDs, then longer AS paths"""
        for line in ("set metric 70", "set as-path prepend 64999 64999", "set community 64500:4711", "no set metric"):
            self.lab.each(lambda bgpd, line=line: bgpd.configure("route-map OWN permit 10", line), self.some(4))
            self.lab.settle("changes have spread")

    def withdrawals(self):
        """half of the routers take their prefixes back, one announces them again at once"""
        chosen = self.some(max(1, len(self.lab.routers) // 2))
        self.lab.each(lambda bgpd: bgpd.networks(*(f"no network {prefix}" for prefix in self.own_prefixes(bgpd))), chosen)
        self.lab.each(lambda bgpd: bgpd.under_bgp("address-family ipv6 unicast", f"no network {self.own_prefix6(bgpd)}"), chosen)
        chosen[0].networks(*(f"network {prefix} route-map OWN" for prefix in self.own_prefixes(chosen[0])))

    def flaps(self):
        """sessions are shut down and come back, are cleared, lose their wire"""
        self.lab.each(self.flap, self.some(4))
        for bgpd in self.some(3):
            session = self.random.choice(self.topology.sessions(bgpd.router))
            bgpd.show(f"clear bgp {session.address}")
        self.lab.settle("cleared sessions are up again")
        index = self.random.randrange(len(self.topology.links))
        first = self.lab.routers[self.topology.links[index][0].name]
        address = self.topology.link_addresses(index)[1]
        self.lab.network.set_link(index, up=False)
        wait_for("the hold timer ends the session", lambda: address not in first.established())
        self.lab.network.set_link(index, up=True)

    def policies(self):
        """a router refuses what it had taken from a neighbour, and takes it again; another one asks for it all once more"""
        for bgpd in self.some(2):
            session = self.random.choice(self.topology.sessions(bgpd.router))
            bgpd.configure(f"ip prefix-list FEW deny 100.64.{session.peer.number}.0/24", "ip prefix-list FEW permit 0.0.0.0/0 le 32")
            bgpd.networks(f"neighbor {session.address} prefix-list FEW in")
            bgpd.show(f"clear bgp {session.address} in")
            self.lab.settle("what is refused is gone")
            bgpd.networks(f"no neighbor {session.address} prefix-list FEW in")
            bgpd.show(f"clear bgp {session.address} in")
        self.lab.settle("what was refused is back")

    def rewired(self):
        """a neighbour is taken out of a router's configuration, and put in again"""
        bgpd = self.some(1)[0]
        session = self.random.choice(self.topology.sessions(bgpd.router))
        bgpd.under_bgp(f"no neighbor {session.address}")
        self.lab.settle("the others know", sessions=False)
        bgpd.under_bgp(*bgpd.neighbor(session))

    def hijack(self):
        """another AS announces the protected prefix, then a part of it: RED at once, and over when it is withdrawn"""
        owner = self.topology.owner
        hijacker = [bgpd for bgpd in self.lab.routers.values() if bgpd.router.asn != owner.asn][-1]
        network, length = self.topology.protected.split("/")
        part = f"{network}/{int(length) + 1}"
        begin = time.time_ns()
        hijacker.networks(f"network {self.topology.protected}", f"network {part}")
        self.lab.settle("the hijack has spread")
        seen = wait_for("the chain has it in RED", self.red_observations)
        self.figures["RED observations in the hijack"] = seen
        hijacker.networks(f"no network {self.topology.protected}", f"no network {part}")
        self.figures["hijack"] = (begin, time.time_ns(), hijacker.router.asn)

    def red_observations(self):
        return self.services.virpctl("observations", "list", "--tier", "red", "--limit", "1000", who="reader-app").stdout.count(" RED ")

    def router_killed(self):
        """bgpd is killed: claims about it are confirmed no more, though its collector lives; a route goes meanwhile; it comes back"""
        bgpd = self.killable()
        claim = self.claim_of(bgpd)
        self.lab.await_verdict(["CONFIRMED"], *claim)
        route = self.route_that_goes(bgpd)
        bgpd.kill()
        self.figures["seconds until nothing is confirmed of a killed bgpd"] = self.until_not_confirmed(claim)
        self.withdraw(route)
        self.lab.settle("the others know", sessions=False)
        bgpd.start()
        bgpd.await_answer()
        self.lab.settle("the router is back")
        self.lab.await_verdict(["CONFIRMED"], *claim)
        self.is_gone(route, bgpd)

    def route_that_goes(self, bgpd):
        """One of another router's, whose best path at this one is CONFIRMED."""
        other = [each for each in self.lab.routers.values() if each is not bgpd][-1]
        self.lab.await_verdict(["CONFIRMED"], *self.best_claim(bgpd, other))
        return other

    @staticmethod
    def best_claim(bgpd, other):
        return ["route", "--router", bgpd.name, "--rib", "best", "--prefix", f"100.64.{other.router.number}.0/24"]

    def withdraw(self, other):
        other.networks(f"no network 100.64.{other.router.number}.0/24")
        self.lab.settle("the route is gone", sessions=False)

    def is_gone(self, other, bgpd):
        """What went while nobody looked is not confirmed by what was said before."""
        verdict = self.lab.verdict(*self.best_claim(bgpd, other))
        if verdict == "CONFIRMED":
            raise LabError(f"{' '.join(self.best_claim(bgpd, other))} is {verdict}, {bgpd.name} has no such route")
        other.networks(f"network 100.64.{other.router.number}.0/24")
        self.lab.settle("the route is back")
        self.lab.await_verdict(["CONFIRMED"], *self.best_claim(bgpd, other))

    def killable(self):
        return [bgpd for bgpd in self.lab.routers.values() if bgpd.router.version == 2][-1]

    def until_not_confirmed(self, claim):
        begin = time.monotonic()
        wait_for(f"claim {' '.join(claim)} is confirmed no more", lambda: self.lab.verdict(*claim) != "CONFIRMED", every=0.2)
        return round(time.monotonic() - begin, 1)

    def switched_off(self):
        """`no virp enable`: the same; what happens meanwhile is not said, and what holds is stated when it is on again"""
        bgpd = self.killable()
        claim = self.claim_of(bgpd)
        route = self.route_that_goes(bgpd)
        off = time.time_ns()
        bgpd.under_bgp("no virp enable")
        self.figures["seconds until nothing is confirmed of a module that is off"] = self.until_not_confirmed(claim)
        self.withdraw(route)
        bgpd.under_bgp("virp enable")
        self.figures.setdefault("off", []).append((bgpd.name, off, time.time_ns()))
        self.lab.settle("it has restated")
        self.lab.await_verdict(["CONFIRMED"], *claim)
        self.is_gone(route, bgpd)

    def collector_of(self, bgpd):
        return self.services.collectors[bgpd.router.asn]

    def collector_outage(self):
        """a site's collector is killed, sessions flap and routes change meanwhile, it comes back"""
        bgpd = list(self.lab.routers.values())[0]
        self.collector_of(bgpd).kill()
        self.flap(bgpd)
        bgpd.networks(f"network 100.99.{bgpd.router.number}.0/24 route-map OWN")
        self.lab.settle("changes have spread")
        bgpd.networks(f"no network 100.99.{bgpd.router.number}.0/24")
        self.collector_of(bgpd).start()
        self.lab.await_delivery()

    def flood(self):
        """the same where memory is small, with more routes than it holds: a signed record says what was lost"""
        small = [bgpd for bgpd in self.lab.routers.values() if bgpd.router.ring == 1]
        if not small:
            raise LabError("no router of this topology has a ring of 1 MiB")
        speaker = self.lab.routers[self.topology.neighbors(small[0].router)[0].name]
        many = [f"100.65.{i >> 6}.{(i & 63) * 4}/30" for i in range(5000)]
        self.keep_between(speaker, small[0], "100.65.0.0/16")
        self.collector_of(small[0]).stop()
        speaker.networks(*(f"network {prefix}" for prefix in many))
        wait_for("events are lost", lambda: small[0].figures()["lost"] > 0)
        self.lab.settle("the flood has spread")
        self.figures["events lost in the flood, each signed for"] = small[0].figures()["lost"]
        self.collector_of(small[0]).start()
        self.lab.await_delivery()
        wait_for("the loss is told", lambda: small[0].figures()["type22"] > 0)
        speaker.networks(*(f"no network {prefix}" for prefix in many))

    def keep_between(self, speaker, listener, prefix):
        """What the speaker announces of that prefix goes to the listener only, and not out of its AS."""
        speaker.configure(f"ip prefix-list FLOOD permit {prefix} le 32", "route-map TO-ONE permit 10", "match ip address prefix-list FLOOD",
                          "set community no-export", "exit", "route-map TO-ONE permit 20", "exit", "route-map TO-OTHERS deny 10",
                          "match ip address prefix-list FLOOD", "exit", "route-map TO-OTHERS permit 20")
        speaker.networks(*(f"neighbor {session.address} route-map {'TO-ONE' if session.peer is listener.router else 'TO-OTHERS'} out"
                           for session in self.topology.sessions(speaker.router)))
        self.lab.settle("the policy holds")

    def onode_outage(self):
        """the O-Node is killed, sessions flap meanwhile, it comes back"""
        self.services.onode.kill()
        self.lab.each(self.flap, self.some(3))
        self.services.onode.start()
        self.services.await_onode()

    def cut_off(self):
        """a site loses its way to the O-Node, and gets it back"""
        bgpd = list(self.lab.routers.values())[-1]
        self.lab.network.set_management(bgpd.router.asn, up=False)
        self.flap(bgpd)
        self.lab.network.set_management(bgpd.router.asn, up=True)

    def key_roll(self):
        """the next O-Key of some routers, in files: O-Node, collector, then the router; routes change meanwhile"""
        chosen = [bgpd for bgpd in self.lab.routers.values() if bgpd.router.version == 2][:3]
        for bgpd in chosen:
            self.roll(bgpd)
            self.flap(bgpd, "with the next key")
            self.figures.setdefault("rolled", {})[bgpd.router.source] = 2

    def key_manager(self):
        """a router's key moves to the key manager, and is rolled there: approved, then vouched for by the one before; routes change meanwhile"""
        bgpd = [bgpd for bgpd in self.lab.routers.values() if bgpd.router.version == 2 and bgpd.router.suite != "ed25519"][-1]
        router, services = bgpd.router, self.services
        rolled = self.figures.setdefault("rolled", {})
        first = rolled.get(router.source, 1) + 1
        self.operator("create", router.source, "--form", "raw", "--carrier", services.carrier(router.asn))
        for version in (first, first + 1):
            named = ["--suite", "hmac", "--key-version", str(version)] if version == first else []
            self.operator("prepare", router.source, *named)
            if version == first:
                services.virpctl("keys", "o-keys", "approve", router.source, "--key-version", str(version), "--reason", "compared", who="approver-boss")
            wait_for("the chain has the manager's key", lambda version=version: self.knows_version(router.source, version))
            services.export_key(router, version)
            wait_for("the module signs with it", lambda version=version: f"virp key-version {version}" in bgpd.show("show running-config"))
            self.operator("activate", router.source, "--key-version", str(version))
            self.flap(bgpd, "with a key of the manager's")
            rolled[router.source] = version

    def operator(self, what, source, *more):
        self.services.virpctl("keys", "o-keys", what, source, *more, "--reason", "the lab")

    def roll(self, bgpd):
        router, services = bgpd.router, self.services
        services.make_key(router.source, router.suite, 2, "next")
        services.give_key(router.source, 2, "next", "onode")
        services.give_key(router.source, 2, "next", services.collector_name(router.asn))
        wait_for("the chain has the next key", lambda: self.knows_version(router.source, 2))
        services.give_secret(router, 2, "next")
        wait_for("the module signs with it", lambda: "virp key-version 2" in bgpd.show("show running-config"))

    def knows_version(self, source, version):
        shown = self.services.virpctl("sources", "show", source, "--output", "json").stdout
        return f'"keyVersion":{version}' in shown.replace(" ", "") or f'"version":{version}' in shown.replace(" ", "")

    def evening(self):
        """the last routes are taken back"""
        for bgpd in self.some(2):
            bgpd.networks(f"no network 100.64.{bgpd.router.number}.0/24")
