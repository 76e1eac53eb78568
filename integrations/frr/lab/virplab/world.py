# SPDX-License-Identifier: GPL-2.0-or-later
"""A lab that runs: network, routers, collectors, O-Node; what is done to them is written down with its time."""
import concurrent.futures
import dataclasses
import os
import time

from virplab.network import Network
from virplab.process import wait_for
from virplab.router import BGPD, Bgpd
from virplab.sandbox import LabError
from virplab.services import Postgres, Services


@dataclasses.dataclass
class Build:
    """Programs of a build folder."""

    onode: str
    collector: str
    keymgr: str
    virpctl: str
    module: str

    @staticmethod
    def of(folder, module=None):
        build = Build(*(os.path.join(folder, name) for name in (
            "services/onode/virp-onode", "services/collector/virp-collector", "services/keymgr/virp-keymgr", "tools/virpctl/virpctl",
            "integrations/frr/bgpd_virp.so")))
        build.module = os.path.realpath(module or build.module)
        for path in (*dataclasses.astuple(build), BGPD):
            if not os.path.exists(path):
                raise LabError(f"there is no {path}; build virp-onode, virp-collector, virp-keymgr, virpctl and bgpd_virp, install frr")
        return build


@dataclasses.dataclass
class Sample:
    """What a router showed while its module said nothing: so what was said up to `sequence` is this."""

    label: str
    router: str
    life: int  # which start of bgpd
    epoch: int
    sequence: int
    peers: set
    table: dict


class Lab:
    def __init__(self, home, topology, build, options):
        self.home, self.topology, self.options = home, topology, options
        self.network = Network(home, topology)
        self.services = Services(home, build, topology, self.network)
        self.build = build
        self.routers = {}
        self.samples = []
        self.pool = concurrent.futures.ThreadPoolExecutor(8)
        self.started = time.monotonic()
        self.postgres = None
        self.figures = {}

    def say(self, text):
        print(f"{time.monotonic() - self.started:7.1f} s  {text}", flush=True)

    def each(self, work, routers=None):
        """For all routers, some at a time; results by name."""
        chosen = list(self.routers.values()) if routers is None else routers
        return dict(zip([bgpd.name for bgpd in chosen], self.pool.map(work, chosen)))

    # ---- start and end

    def bring_up(self):
        topology, services = self.topology, self.services
        self.network.build()
        self.say(f"network: {len(topology.routers)} routers in {len(topology.sites)} autonomous systems, "
                 f"{sum(len(topology.sessions(router)) for router in topology.routers) // 2} sessions")
        services.make_keys()
        if self.options.postgres:
            self.postgres = Postgres(self.home)
        services.start_keymgr()
        services.start_onode(self.postgres.url if self.postgres else f"sqlite:{services.file('chain.db')}")
        for asn in topology.sites:
            services.start_collector(asn)
        services.register()
        self.say(f"O-Node on {'PostgreSQL' if self.postgres else 'SQLite'}, {len(topology.sites)} collectors, keys and registrations")
        keepalive = 3 if len(topology.routers) < 10 else 10
        for router in topology.routers:
            options = {"module": self.build.module, "key": services.router_key(router, 1), "keepalive": keepalive, "hold": 3 * keepalive,
                       "socket": f"{services.sockets(router.asn)}/{router.name}.sock"}
            self.routers[router.name] = Bgpd(router, topology, self.network, self.home, options)
        for asn in topology.sites:  # the module would wait for its socket, but a lab begins in order
            for router in topology.of_site(asn):
                path = f"{services.sockets(asn)}/{router.name}.sock"
                wait_for(f"the collector listens for {router.name}", lambda path=path: os.path.exists(path))
        for bgpd in self.routers.values():
            bgpd.start()
        self.each(lambda bgpd: bgpd.await_answer())
        self.settle("all sessions are up")

    def shut_down(self):
        """In order, so that everything has said its last word."""
        self.each(lambda bgpd: bgpd.stop(), [bgpd for bgpd in self.routers.values() if bgpd.process.running])

    def measure(self):
        """What it took, of the processes that run now."""
        def cpu(processes):
            return round(sum(process.cpu_seconds() for process in processes), 1)

        bgpds = [bgpd.process for bgpd in self.routers.values() if bgpd.process.running]
        self.figures = {"s of CPU of all bgpd": cpu(bgpds), "s of CPU of all collectors": cpu(self.services.collectors.values()),
                        "s of CPU of the O-Node": cpu([self.services.onode]),
                        "KiB resident of the largest bgpd": max(process.resident_kib() for process in bgpds),
                        "s since the start": round(time.monotonic() - self.started, 1)}

    def need_all(self):
        self.services.need_all()
        for bgpd in self.routers.values():
            bgpd.process.need()

    # ---- waiting

    def expected(self, bgpd):
        return {session.address for session in self.topology.sessions(bgpd.router) if session.peer.name in self.running()}

    def running(self):
        return {bgpd.name for bgpd in self.routers.values() if bgpd.process.running}

    def settle(self, what, sessions=True, patience=180):
        """Until all sessions are up and no module has anything to say but beats."""
        def quiet():
            self.need_all()
            alive = [bgpd for bgpd in self.routers.values() if bgpd.process.running]
            if sessions and not all(self.each(lambda bgpd: bgpd.established() >= self.expected(bgpd), alive).values()):
                return False
            before = self.each(self.routes_said, alive)
            time.sleep(0.4)
            return before == self.each(self.routes_said, alive) and not any(said[0] for said in before.values())

        wait_for(what, quiet, patience)

    @staticmethod
    def routes_said(bgpd):
        figures = bgpd.figures()
        return figures["pending"], figures["type1"], figures["type2"], figures["type3"], figures["type4"]

    def take_samples(self, label):
        """What each router shows, at a moment when its module says nothing."""
        def sample(bgpd):
            for _ in range(100):
                before = bgpd.figures()
                peers, table = bgpd.established(), bgpd.routes()
                after = bgpd.figures()
                if before["sequence"] == after["sequence"] and before["epoch"] == after["epoch"] and not before["pending"]:
                    return Sample(label, bgpd.name, len(bgpd.starts), after["epoch"], after["sequence"], peers, table)
                time.sleep(0.1)
            raise LabError(f"{bgpd.name} never is quiet: {after}")

        self.samples += self.each(sample, [bgpd for bgpd in self.routers.values() if bgpd.process.running]).values()

    def verdict(self, *claim):
        """The first word of what `virpctl claim` answers."""
        said = self.services.virpctl("claim", *claim, who="reader-app", check=False)
        return (said.stdout.split() or [said.stderr.strip()])[0]

    def await_verdict(self, wanted, *claim, patience=60):
        """Seconds until the claim has one of these verdicts, or (with `not`) none of them."""
        begin = time.monotonic()
        wait_for(f"claim {' '.join(claim)}: {wanted}", lambda: self.verdict(*claim) in wanted, patience, every=0.2)
        return time.monotonic() - begin

    def await_delivery(self, patience=120):
        """Until the chain has what each module that runs has said."""
        def delivered():
            self.need_all()
            figures = self.each(lambda bgpd: bgpd.figures())
            return all(each["queued"] == 0 and each["connected"] for each in figures.values())

        wait_for("everything is with the collectors", delivered, patience)
