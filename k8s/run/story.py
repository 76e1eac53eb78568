"""The demo's story, told by the chart's pods: two FRR routers, one reporting over BMP; a BIRD that follows the bridge; a client."""

import json
import pathlib
import time

import connections
from cluster import Failed, run, wait_for
from release import ROOT, config_map, pod

EDGE_A, EDGE_B, BIRD, PEERS_IMAGE = "192.0.2.1", "192.0.2.2", "192.0.2.3", "localhost/virp-peers:1"
NAMES = {"onode": "virp-onode", "collector": "virp-collector", "keymgr": "virp-keymgr", "rtr-bridge": "virp-rtr-bridge"}
# docs/ARCHITECTURE.md: who calls whom, at which port; and that those around the platform may do among themselves what they like.
ARROWS = {
    ("collector", "onode", "grpc"), ("keymgr", "onode", "grpc"), ("rtr-bridge", "onode", "grpc"),
    ("onode", "keymgr", "grpc"), ("collector", "keymgr", "grpc"), ("rtr-bridge", "keymgr", "grpc"),
    ("router", "collector", "bmp"), ("router", "rtr-bridge", "rtr"), ("router", "rtr-bridge", "rtr-tls"),
    ("prometheus", "onode", "admin"), ("prometheus", "collector", "admin"), ("prometheus", "keymgr", "admin"), ("prometheus", "rtr-bridge", "admin"),
} | {(one, other, "*") for one in ("client", "router", "prometheus") for other in ("client", "router", "prometheus")}
start = time.monotonic()


def say(words):
    print(f"{time.monotonic() - start:6.1f} s  {words}", flush=True)


def table(origin):
    return json.dumps({"roas": [{"prefix": "198.51.100.0/24", "maxLength": 24, "asn": "AS64501"},
                                {"prefix": "203.0.113.0/24", "maxLength": 24, "asn": origin}]})


def part_of(running):
    labels = running.template["metadata"]["labels"]
    return labels.get("app.kubernetes.io/component", {"edge-a": "router", "edge-b": "router", "bird": "router"}.get(labels.get("app"), labels.get("app")))


class Story:
    def __init__(self, release):
        self.release, self.cluster = release, release.cluster
        self.peer = ("claim", "peer", "--router", "edge-a", "--peer", EDGE_B)
        self.route = ("claim", "route", "--router", "edge-a", "--prefix", "203.0.113.0/24", "--rib", "adj-in-pre")

    def around(self, name, namespace, command, **more):
        manifest = pod(name, namespace, PEERS_IMAGE, command, **more)
        return self.cluster.play(manifest, beside=self.release.beside, address={"edge-a": EDGE_A, "edge-b": EDGE_B, "bird": BIRD}.get(name))

    # ---- what is set up

    def people(self):
        """Who stands around: a client's place, and where Prometheus would be."""
        self.around("client", "clients", ["sleep", "infinity"])
        self.around("prometheus", "monitoring", ["sleep", "infinity"], labels={"app": "prometheus", "app.kubernetes.io/name": "prometheus"})

    def router(self, name, configuration):
        """An FRR, with what both have and its own lines below `router bgp`."""
        address, number, neighbor, neighbor_number = (EDGE_A, 64500, EDGE_B, 64501) if name == "edge-a" else (EDGE_B, 64501, EDGE_A, 64500)
        configuration = f"""\
hostname {name}
route-map BEHIND permit 10
 set as-path prepend 64510
router bgp {number}
 bgp router-id {address}
 bgp allow-martian-nexthop
 no bgp ebgp-requires-policy
 no bgp network import-check
 coalesce-time 20
 neighbor {neighbor} remote-as {neighbor_number}
 neighbor {neighbor} disable-connected-check
 neighbor {neighbor} update-source {address}
{configuration}"""
        self.release.beside.append(config_map(f"{name}-conf", {"bgpd.conf": configuration}))
        command = ["/usr/lib/frr/bgpd", "-n", "-Z", "-S", "-P", "0", "-l", address, "-p", "179", "-i", "/run/bgpd.pid", "--vty_socket", "/run",
                   "-f", "/etc/virp-frr/bgpd.conf", "-M", "bmp"]
        self.around(name, "routers", command, capabilities=["NET_RAW", "SYS_ADMIN", "NET_ADMIN"],
                    volumes=[{"name": "conf", "configMap": {"name": f"{name}-conf"}}], mounts=[{"name": "conf", "mountPath": "/etc/virp-frr"}])

    def vtysh(self, name, *commands):
        flags = [part for command in commands for part in ("-c", command)]
        return run("podman", "exec", f"{name}-main", "vtysh", "--vty_socket", "/run", "-d", "bgpd", *flags)[1]

    def routers(self):
        collector = self.cluster.running[NAMES["collector"]].address if NAMES["collector"] in self.cluster.running else self.cluster.running[NAMES["collector"] + "-0"].address
        self.router("edge-a", f"""\
 neighbor {EDGE_B} passive
 address-family ipv4 unicast
  neighbor {EDGE_B} soft-reconfiguration inbound
 exit-address-family
 bmp targets virp
  bmp connect {collector} port 11019 min-retry 100 max-retry 500
  bmp monitor ipv4 unicast pre-policy
""")
        self.router("edge-b", f"""\
 neighbor {EDGE_A} timers connect 1
 neighbor {EDGE_A} advertisement-interval 0
""")

    def bird(self):
        bridge = next(one for name, one in self.cluster.running.items() if name.startswith(NAMES["rtr-bridge"]))
        self.release.beside.append(config_map("bird-conf", {"bird.conf": f"""\
router id 192.0.2.1;
roa4 table r4;
protocol device {{ }}
protocol rpki bridge_1 {{
  roa4 {{ table r4; }};
  remote {bridge.address} port 8282;
  retry keep 1;
  transport tcp;
}}
"""}))
        self.around("bird", "routers", ["bird", "-f", "-c", "/etc/virp-bird/bird.conf", "-s", "/run/bird.ctl"],
                    volumes=[{"name": "conf", "configMap": {"name": "bird-conf"}}], mounts=[{"name": "conf", "mountPath": "/etc/virp-bird"}])

    def bird_has(self, line):
        status, said = run("podman", "exec", "bird-main", "birdc", "-r", "-s", "/run/bird.ctl", "show", "route", "table", "r4", check=False)
        return status == 0 and any(one.startswith(line + " ") for one in said.splitlines())

    # ---- what has to come out

    def tell(self):
        """From two routers that know nobody to a chain that verifies."""
        self.routers()
        self.bird()
        self.claims()
        self.loss()
        self.rtr()
        self.whole_chain()

    def claims(self, reader="app"):
        ctl = self.release
        ctl.use("reader", reader)
        wait_for("the claim about the session", lambda: ctl.succeeds(*self.peer, "--level", "checkpointed", "--save", "claim.tar"), 90)
        (ctl.folder / "work/chain.key").write_text(ctl.chain_key + "\n", encoding="utf-8")
        ctl.ctl("verify", "--offline", "claim.tar", "--trust", "chain.key", network=False)
        ctl.ctl("verify", "--offline", "claim.tar", want=3, network=False)
        say("the session of edge-a to edge-b: CONFIRMED; its evidence verifies offline")
        self.vtysh("edge-b", "configure terminal", "router bgp 64501", "address-family ipv4 unicast", "network 203.0.113.0/24 route-map BEHIND")
        wait_for("the claim about the route", lambda: ctl.succeeds(*self.route, "--origin-as", "64510"), 60)
        ctl.ctl(*self.route, "--origin-as", "64666", want=1)
        say("the route 203.0.113.0/24 with origin AS 64510: CONFIRMED; with AS 64666: REFUTED")

    def loss(self):
        ctl = self.release
        self.vtysh("edge-b", "configure terminal", "router bgp 64501", f"neighbor {EDGE_A} shutdown message ticket 4711")
        wait_for("the loss of the session", lambda: ctl.ctl(*self.peer, want=None)[0] == 1, 60)
        wait_for("YELLOW", lambda: ctl.says("peer_backward_transition", "observations", "list", "--tier", "yellow"), 60)
        ctl.ctl(*self.route, "--origin-as", "64510", want=1)
        self.vtysh("edge-b", "configure terminal", "router bgp 64501", f"no neighbor {EDGE_A} shutdown")
        say("session shut down: YELLOW peer_backward_transition, what was claimed REFUTED")

    def rtr(self):
        ctl = self.release
        ctl.use("reader", "app")
        wait_for("BIRD's table", lambda: self.bird_has("203.0.113.0/24-24 AS64510"), 60)
        folder = pathlib.Path(run("podman", "volume", "inspect", "--format", "{{.Mountpoint}}", "vrps")[1].strip())
        (folder / "vrps.json.new").write_text(table("AS64501"), encoding="utf-8")
        (folder / "vrps.json.new").rename(folder / "vrps.json")
        wait_for("BIRD's new table", lambda: self.bird_has("203.0.113.0/24-24 AS64501"), 60)
        wait_for("what was served, on record", lambda: "served: " in ctl.ctl("rtr", "served", self.bridge_name(), BIRD, want=None)[1], 60)
        said = ctl.ctl("rtr", "served", self.bridge_name(), BIRD, "--limit", "3")
        assert "proven" in said, said
        say("BIRD has the table, and its change; what it was served is in the chain, proven")

    def bridge_name(self):
        return next(name for name in self.cluster.running if name.startswith(NAMES["rtr-bridge"]))

    def whole_chain(self):
        """Its size."""
        said = self.release.ctl("chain", "verify", "--subjects")
        last = said.strip().splitlines()[-1]
        say("the whole chain verifies: " + last)
        return int(last.split()[0])

    def tamper(self):
        """One byte is changed in a copy of the database; another O-Node serves the copy, read-only, and names the entry."""
        release, claim = self.release, "virp-onode-claim"
        volume = pathlib.Path(run("podman", "volume", "inspect", "--format", "{{.Mountpoint}}", claim)[1].strip())
        copy = self.release.folder / "copy"
        copy.mkdir()
        run("cp", "-a", volume / "state", copy / "state")  # before the database, or it would be a rollback
        broken = run("python3", ROOT / "scripts/demo.d/tamper.py", volume / "chain.db", copy / "copy.db", "ticket 4711", "ticket 4712")[1].strip()
        run("chown", "-R", "10001:10001", copy)
        run("podman", "run", "--detach", "--name", "copy", "--read-only", "--cap-drop=all", "--network", "virp:alias=copy", "--tmpfs", "/run/virp:mode=1777",
            "--volumes-from", "virp-onode-pod-onode", "--volume", f"{copy}:/copy", f"{release.prefix}virp-onode:{release.tag}",
            "--config", "/etc/virp/config/config.json", "--store", "sqlite:/copy/copy.db", "--state", "/copy/state", "--read-only")
        verify = ("--onode", "copy:8443", "--state", "seen-by-another", "--trust", "chain.key", "chain", "verify")
        said = wait_for("the copy to be found broken", lambda: (told := release.ctl(*verify, want=None))[0] == 1 and told[1], 60)
        assert f"first broken entry: {broken} " in said, said
        run("podman", "rm", "--force", "--time", "2", "copy")
        say(f"one byte changed in a copy of the database: refused, entry {broken} is named")

    # ---- losses: how long until what a router reports is in the chain again

    def losses(self):
        """The leader killed, stopped, cut off from the database; the database's primary killed."""
        for what, harm, heal in (("killed", self._kill, self._start), ("stopped (SIGSTOP), and let go on", self._pause, self._unpause),
                                 ("cut off from the database, and let in again", self._cut, self._join)):
            victim = self.leader()
            container = f"{victim.name}-onode"
            harm(victim, container)
            seconds = self._until_told()
            after = self.leader()
            if after is victim and harm != self._kill:  # which comes back, and may win
                raise Failed(f"{victim.name} was {what}, and leads")
            heal(victim, container)
            self.cluster.ready(victim)
            say(f"the leader {victim.name} {what}: a change of a route is in the chain {seconds:.1f} s after, by {after.name}")
        run("podman", "kill", "--signal", "KILL", "virp-db-1-main")
        self._start(None, "virp-db-1-main")
        self.cluster.refresh(self.cluster.running["virp-db-1"])
        say(f"the database's primary killed and started again: a change of a route is in the chain {self._until_told():.1f} s after")
        self.release.ctl("gaps")
        self.whole_chain()

    def leader(self):
        def found():
            for pod in self.cluster.pods():
                if pod.name.startswith(NAMES["onode"]):
                    _, said = pod.inside("curl", "--silent", "--max-time", "1", f"http://{pod.address}:9443/metrics", check=False)
                    if any(line.startswith("virp_onode_chain_leading{") and line.endswith(" 1") for line in said.splitlines()):
                        return pod
            return None
        return wait_for("an O-Node that leads", found, 60)

    def _kill(self, _, container):
        run("podman", "kill", "--signal", "KILL", container)

    def _start(self, _, container):
        """podman starts it by itself, as kubelet would, unless it has given up."""
        wait_for(f"{container} to run", lambda: run("podman", "start", container, check=False)[0] == 0, 30)

    def _pause(self, _, container):
        run("podman", "pause", container)

    def _unpause(self, _, container):
        run("podman", "unpause", container)

    def _cut(self, pod, _):
        """Packets to the database vanish on their way, as behind a broken link: at the database's door, since what a pod's own filter drops
        its TCP knows not to have been sent."""
        rule = f"add rule inet cut in ip saddr {pod.address} tcp dport 5432 drop"
        self.cluster.running["virp-db-1"].inside("nft", "add table inet cut; add chain inet cut in { type filter hook input priority -10; }; " + rule)

    def _join(self, *_):
        self.cluster.running["virp-db-1"].inside("nft", "delete table inet cut")

    def _until_told(self):
        """Seconds until a change that edge-b makes now is proven by a claim, from whoever leads."""
        begun = time.monotonic()
        self.changes = getattr(self, "changes", 0) + 1
        prefix = f"203.0.113.{4 * self.changes}/30"  # of those that production.yaml follows
        self.vtysh("edge-b", "configure terminal", "router bgp 64501", "address-family ipv4 unicast", f"network {prefix}")
        self.release.use("reader", "app")
        claim = ("claim", "route", "--router", "edge-a", "--prefix", prefix, "--rib", "adj-in-pre")
        def told():
            return any(self.release.succeeds("--onode", f"virp-onode-{i}.virp-onode-headless.virp.svc:8443", "--timeout", "3", *claim) for i in range(3))

        try:
            wait_for("the change in the chain", told, 120)
        except Failed as failed:
            raise Failed(f"{failed}\n{self._how_it_stands(claim)}") from failed
        return time.monotonic() - begun

    def _how_it_stands(self, claim):
        """What each O-Node answers, who leads, who delivers, and what the database is at."""
        said = [self.release.ctl("--onode", f"virp-onode-{i}.virp-onode-headless.virp.svc:8443", "--timeout", "3", *claim, want=None)[1] for i in range(3)]
        for pod in self.cluster.pods():
            if part_of(pod) in ("onode", "collector"):
                port = {"onode": 9443, "collector": 9444}[part_of(pod)]
                _, page = pod.inside("curl", "--silent", "--max-time", "2", f"http://{pod.address}:{port}/metrics", check=False)
                wanted = ("virp_onode_chain_leading{", "virp_onode_chain_size{", "virp_collector_undelivered", "virp_collector_delivery_connected", "virp_collector_bmp_sessions")
                said += [f"{pod.name}: {line}" for line in page.splitlines() if line.startswith(wanted)]
        activity = "SELECT pid, client_addr, state, wait_event_type, wait_event, now() - state_change, left(query, 60) FROM pg_stat_activity WHERE usename = 'virp_onode'"
        return "\n".join(said) + run("podman", "exec", "--user", "postgres", "virp-db-1-main", "psql", "-h", "/tmp", "-X", "-d", "virp", "-c", activity, check=False)[1]

    def policies(self, *more):
        """`more`: arrows that this installation's values add."""
        tried, allowed, wrong = connections.compare(self.cluster, ARROWS.union(more), part_of)
        if wrong:
            raise Failed(f"{len(wrong)} of {tried} connections are not as the architecture has them:\n" + "\n".join(wrong[:40]))
        pods = len(self.cluster.pods())
        say(f"NetworkPolicies: {tried} connections tried between {pods * (pods - 1)} ordered pairs of pods, {allowed} allowed, {tried - allowed} denied, as the arrows")
