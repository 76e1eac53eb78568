# SPDX-License-Identifier: GPL-2.0-or-later
"""Who is there and who peers with whom, from a small file:

    router NAME AS [v1] [ed25519] [ring MIB] [gr]   in the order in which a smaller lab takes them;
                                                gr: restarts gracefully (RFC 4724)
    link NAME NAME                               an eBGP session, or a link inside an AS beside the full mesh
    owner NAME PREFIX                            originates the prefix that all routers protect

Routers of one AS are a site: one LAN, a full mesh of iBGP, one collector."""
import dataclasses
import os

from virplab.sandbox import LabError


@dataclasses.dataclass
class Router:
    name: str
    number: int  # 1, 2, ...; in its addresses and its BGP identifier
    asn: int
    version: int = 2  # of its frames
    suite: str = "hmac"
    ring: int = 0  # MiB; 0: the module's default
    graceful: bool = False

    @property
    def source(self):
        return f"{self.name}.bgpd"

    @property
    def bgp_id(self):
        return f"192.0.2.{self.number}"

    @property
    def next_hop6(self):
        return f"fd00::{self.number:x}"


@dataclasses.dataclass
class Session:
    """One end of a BGP session."""

    own: str
    address: str
    peer: Router


@dataclasses.dataclass
class Topology:
    routers: list
    links: list  # of (Router, Router)
    owner: Router
    protected: str

    def __post_init__(self):
        self.sites = sorted({router.asn for router in self.routers})
        self.by_name = {router.name: router for router in self.routers}

    def of_site(self, asn):
        return [router for router in self.routers if router.asn == asn]

    def site_name(self, asn):
        return f"site-{asn}"

    def lan(self, router):
        return f"10.{self.sites.index(router.asn) + 1}.0.{router.number}"

    def link_addresses(self, index):
        return f"10.200.{index}.1", f"10.200.{index}.2"

    def sessions(self, router):
        out = [Session(self.lan(router), self.lan(other), other) for other in self.of_site(router.asn) if other is not router]
        for index, (a, b) in enumerate(self.links):
            one, two = self.link_addresses(index)
            if router is a:
                out.append(Session(one, two, b))
            if router is b:
                out.append(Session(two, one, a))
        return out

    def neighbors(self, router):
        """Routers of other ASes beside it."""
        return [session.peer for session in self.sessions(router) if session.peer.asn != router.asn]


def parse_router(words, number):
    router = Router(words[0], number, int(words[1]))
    rest = iter(words[2:])
    for word in rest:
        if word == "v1":
            router.version = 1
        elif word == "ed25519":
            router.suite = "ed25519"
        elif word == "gr":
            router.graceful = True
        elif word == "ring":
            router.ring = int(next(rest))
        else:
            raise ValueError(f"what is '{word}'?")
    if router.version == 1 and router.suite != "hmac":
        raise ValueError("version 1 has HMAC only")
    return router


def read(path, count=None):
    """The first `count` routers of the file, and what links them."""
    routers, links, owner = {}, [], None
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            words = line.split("#")[0].split()
            try:
                if not words:
                    continue
                if words[0] == "router":
                    routers[words[1]] = parse_router(words[1:], len(routers) + 1)
                elif words[0] == "link":
                    links.append((routers[words[1]], routers[words[2]]))
                elif words[0] == "owner":
                    owner = routers[words[1]], words[2]
                else:
                    raise ValueError(f"what is '{words[0]}'?")
            except (ValueError, IndexError, KeyError) as error:
                raise LabError(f"{path}:{number}: {error}") from error
    chosen = list(routers.values())[:count]
    if not 2 <= len(chosen) <= 200 or (count and count > len(routers)):
        raise LabError(f"{path} has {len(routers)} routers; a lab has at least 2")
    if owner is None or owner[0] not in chosen:
        raise LabError(f"{path}: the owner of the protected prefix is not among the first {len(chosen)} routers")
    inside = [link for link in links if link[0] in chosen and link[1] in chosen]
    topology = Topology(chosen, inside, *owner)
    for router in chosen:
        if not topology.sessions(router):
            raise LabError(f"{path}: nobody peers with {router.name} among the first {len(chosen)} routers")
    return topology


def default_file():
    return os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "topology")
