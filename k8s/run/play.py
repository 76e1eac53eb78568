#!/usr/bin/python3
"""Plays the chart within k8s/run/machine: play.py minimal|upgrade|demo|production FOLDER HELM TAG. Ends with 0 when all was as it has to be."""

import json
import pathlib
import sys

from cluster import Failed, wait_for
from database import Database
from release import ROOT, Release, config_map
from story import NAMES, Story, say, table

HERE = pathlib.Path(__file__).resolve().parent
MINIMAL = ROOT / "k8s/examples/minimal.yaml"
PREVIOUS = ROOT / "tests/data/chart/virp-0.1.0.tgz"
LOCAL = "image=" + json.dumps({"registry": "localhost", "tag": sys.argv[4], "pullPolicy": "Never"})


def lab(release, chart=None):
    """k8s/examples/minimal.yaml and its lab-secrets, as a newcomer would: sources are asked through a forwarded port. Gives (story, pods)."""
    story = Story(release)
    release.lab_secrets()
    story.people()
    started = release.play(release.render(MINIMAL, settings=[f'checkpointKeys=["{release.chain_key}"]', LOCAL], chart=chart))
    for one in started:
        release.cluster.ready(one)
    say("k8s/examples/minimal.yaml runs: " + ", ".join(one.name for one in started))
    release.environment["VIRPCTL_ONODE"] = "localhost:8443"
    release.place = "virp-onode-pod"  # as kubectl port-forward
    release.describe("collector-1", [22, 23, 24], "collector/collector-1")
    release.describe("edge-a.bmp", [1, 2, 3, 22], "collector/collector-1", routers=[{"name": "edge-a", "bgpIds": ["192.0.2.1"]}])
    release.use("operator", "me")
    for source in ("collector-1", "edge-a.bmp"):
        release.ctl("sources", "register", "--file", f"{source}.json", "--reason", "the run")
    story.routers()
    story.claims("test")
    return story, started


def minimal(release):
    story, _ = lab(release)
    story.loss()
    story.whole_chain()
    say("helm test: " + ", ".join(release.test()) + ": passed")
    story.policies()


def upgrade(release):
    """The same as the chart before rendered it; then this one on its volumes. virpctl remembers the chain, so a shorter one would be a rollback."""
    story, started = lab(release, chart=PREVIOUS)
    before = story.whole_chain()
    for one in started:
        release.cluster.remove(one)
    for one in release.play(release.render(MINIMAL, settings=[f'checkpointKeys=["{release.chain_key}"]', LOCAL])):
        release.cluster.ready(one)
    after = wait_for("the chain to go on", lambda: (size := story.whole_chain()) > before and size, 90)
    release.ctl("gaps")
    say(f"upgraded from {PREVIOUS.name}: {before} entries before, {after} after, all in order, and none missing")


def demo(release):
    story, values = Story(release), HERE / "values/demo.yaml"
    release.make_pki()
    release.make_keys()
    release.existing_certificates(NAMES)
    release.beside.append(config_map("vrps", {"vrps.json": table("AS64510")}))
    say("keys and certificates are made")
    story.people()

    documents = release.render(values, settings=[LOCAL, f'checkpointKeys=["{release.chain_key}"]'])
    release.environment |= {"VIRPCTL_ONODE": f"{NAMES['onode']}.virp.svc:8443", "VIRPCTL_KEYMGR": f"{NAMES['keymgr']}.virp.svc:8445",
                            "VIRPCTL_RTR_BRIDGE": f"{NAMES['rtr-bridge']}.virp.svc:8446"}
    started = release.play(documents)
    say("the chart's pods are started: " + ", ".join(one.name for one in started))
    release.cluster.ready(next(one for one in started if one.name.startswith(NAMES["onode"])))
    tell_sources(release, [NAMES["collector"]], [NAMES["rtr-bridge"]], [release.environment["VIRPCTL_KEYMGR"]])
    for one in started:
        release.cluster.ready(one)
    say("key manager, collector and RTR bridge are ready, their keys issued")
    story.tell()
    story.tamper()
    story.policies(*(("client", part, "grpc") for part in NAMES))


def production(release):
    """k8s/examples/production.yaml after the conversion of README.md: three O-Nodes and two key managers on PostgreSQL with a synchronous
    standby, two collectors, two RTR bridges."""
    story, database = Story(release), Database(release)
    asks = release.cluster.namespaces["clients"]
    asks["virp.example.org/asks"] = "true"
    release.make_pki()
    release.make_keys("virp-own-key", "virp-checkpoint-key", "virp-keymgr-key", "virp-kek", "virp-source-keys")
    roots = (release.folder / "pki/ca.crt").read_text(encoding="utf-8")
    release.beside += [config_map("vrps", {"vrps.json": table("AS64510")}), config_map("virp-roots", {"ca.crt": roots}), config_map("virp-deny", {"deny": ""})]
    story.people()
    database.make()
    say("PostgreSQL runs, and a standby that has each commit before it is acknowledged")

    documents = release.render(ROOT / "k8s/examples/production.yaml", HERE / "values/production.yaml",
                               settings=[f'checkpointKeys=["{release.chain_key}"]', LOCAL])
    documents = release.issue_certificates(documents)
    for job in [one["metadata"]["name"] for one in documents if one["kind"] == "Job"]:
        (migration,) = release.play(documents, [job])
        release.cluster.finish(migration)
    say("the databases' schema is there, by the chart's jobs")
    documents = [one for one in documents if one["kind"] != "Job"]
    started = release.play(documents)
    say("the chart's pods are started: " + ", ".join(one.name for one in started))
    for one in started:
        if one.name.startswith(NAMES["onode"]):
            release.cluster.ready(one)
    # virpctl asks one of each. Writing is for the O-Node that leads; the key manager that is active says so.
    release.environment["VIRPCTL_ONODE"] = f"{story.leader().manifest['metadata']['name']}.{NAMES['onode']}-headless.virp.svc:8443"
    release.environment["VIRPCTL_RTR_BRIDGE"] = f"{NAMES['rtr-bridge']}-0.{NAMES['rtr-bridge']}-headless.virp.svc:8446"
    tell_sources(release, [f"{NAMES['collector']}-0", f"{NAMES['collector']}-1"], [f"{NAMES['rtr-bridge']}-0", f"{NAMES['rtr-bridge']}-1"],
                 [f"{NAMES['keymgr']}-{i}.{NAMES['keymgr']}-headless.virp.svc:8445" for i in range(2)], edge_a_by=0)
    for one in started:
        release.cluster.ready(one)
    say("all are ready, the key manager that stands by too; their keys issued")
    story.tell()
    around = ("client", "router", "prometheus")
    story.policies(*(("client", part, "grpc") for part in NAMES), ("onode", "database", "postgresql"), ("keymgr", "database", "postgresql"),
                   ("database", "database", "postgresql"), *(("database", other, "*") for other in around))
    story.losses()


def tell_sources(release, collectors, bridges, managers, edge_a_by=None):
    """Registers all sources, and has each get its first key. `edge_a_by`: the collector that edge-a reports to, one of several."""
    signer = collectors[edge_a_by or 0]
    release.describe("keymgr", [19, 22, 24], *(f"keymgr/{address.split('.')[0]}" for address in managers))
    release.describe("edge-a.bmp", [1, 2, 3, 22], f"collector/{signer}", routers=[{"name": "edge-a", "bgpIds": ["192.0.2.1"]}])
    release.use("operator", "noc")
    release.ctl("sources", "register", "--file", "keymgr.json", "--reason", "the run")
    wait_for("the key manager", lambda: any(release.finds_keymgr(address) for address in managers), 90)
    release.issue("edge-a.bmp", f"collector/{signer}")
    for name in collectors:
        release.describe(name, [22, 23, 24], f"collector/{name}")
        release.issue(name, f"collector/{name}")
    for name in bridges:
        release.describe(name, [17, 18, 21, 22, 23, 24], f"rtr-bridge/{name}", subjectPrefixes=[f"rtr/{name}/"])
        release.issue(name, f"rtr-bridge/{name}")


def main():
    which, folder, helm, tag = sys.argv[1:]
    release = Release(folder, tag, helm)
    try:
        {"minimal": minimal, "upgrade": upgrade, "demo": demo, "production": production}[which](release)
    except Failed as failed:
        print(f"play: {failed}", file=sys.stderr)
        for one in release.cluster.pods():
            print(f"---- {one.name}\n{release.cluster.logs(one)[-2500:]}", file=sys.stderr)
        return 1
    say(f"{which}: everything as it has to be")
    return 0


if __name__ == "__main__":
    sys.exit(main())
