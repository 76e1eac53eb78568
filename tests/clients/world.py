"""The platform as it is run, for samples to be tried on: an O-Node on SQLite, a collector, a key manager with its RPKI, an RTR
bridge, each a process of its own on loopback, with development certificates. All ends, and nothing is left, with the test.

world.py BUILD [COMMAND...]    runs a command (a shell without one) in that world's folder and environment"""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

ORIGIN = "virp.example.net/site1"
DOMAIN = "example.org"
PATIENCE = 60  # seconds, for anything on a machine that has other things to do
IDENTITIES = ("onode/node-1", "collector/collector-1", "keymgr/keymgr-1", "rtr-bridge/bridge-1", "operator/noc", "operator/noc-2", "approver/audit",
              "reader/app", "producer/agent", "router/edge-a", "collector/collector-2")
ROUTE = {"domain": "bgp", "event": "route_announce", "peer_addr": "192.0.2.2", "peer_as": 64501, "prefix": "203.0.113.0/24", "as_path": "64501 64510",
         "nexthop": "192.0.2.2", "router_id": "192.0.2.1"}
ZONE = {"domain": "dns", "event": "zone_checked", "subject": "ns1.example.org", "answer": {"serial": 2026112201}}
PEER = {"domain": "bgp", "event": "peer_state_change", "peer_addr": "192.0.2.2", "peer_as": 64501, "old_state": "OpenConfirm", "new_state": "Established",
        "router_id": "192.0.2.1"}


def spiffe(identity):
    return f"spiffe://{DOMAIN}/{identity}"


SOURCES = {
    "keymgr-1": {"vantage": "SERVICE", "types": [19, 22, 24], "carriedBy": [spiffe("keymgr/keymgr-1")]},
    "collector-1": {"vantage": "SERVICE", "types": [22, 23, 24], "carriedBy": [spiffe("collector/collector-1")]},
    "bridge-1": {"vantage": "SERVICE", "types": [17, 18, 21, 22, 23, 24], "subjectPrefixes": ["rtr/bridge-1/"], "carriedBy": [spiffe("rtr-bridge/bridge-1")]},
    "edge-b.bmp": {"vantage": "BMP", "types": [1, 2, 3, 22], "routers": [{"name": "edge-b", "bgpIds": ["192.0.2.11"]}], "carriedBy": [spiffe("collector/collector-1")]},
    "edge-a.agent": {"vantage": "DEVICE", "types": [1, 2, 3, 4, 22, 64], "routers": [{"name": "edge-a", "bgpIds": ["192.0.2.1"]}],
                     "subjectPrefixes": ["dns/"], "carriedBy": [spiffe("collector/collector-1")]},
}
VRPS = {"roas": [{"prefix": "198.51.100.0/24", "maxLength": 24, "asn": "AS64501"}, {"prefix": "203.0.113.0/24", "maxLength": 24, "asn": "AS64510"},
                 {"prefix": "2001:db8::/32", "maxLength": 48, "asn": "AS64501"}],
        "aspas": [{"customer_asid": 64501, "providers": [64496, 64497]}]}


class Port:
    """A port that is nobody else's: bound and never listening, so that a server may take it and the kernel gives it to no other."""

    def __init__(self):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"


class World:
    def __init__(self, build):
        self.build = pathlib.Path(build).resolve()
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="virp-world-"))
        self.processes = {}
        self.ports = {name: Port() for name in ("onode", "collector", "keymgr", "bridge")}
        clean = {name: value for name, value in os.environ.items() if not name.startswith("VIRP")}
        self.environment = clean | {
            "PKI": str(self.home / "pki"), "TRUST": str(self.home / "chain.key"), "PROTOSET": str(self.build / "virp.protoset"),
            "ONODE": self.ports["onode"].address, "COLLECTOR": self.ports["collector"].address, "KEYMGR": self.ports["keymgr"].address,
            "BRIDGE": self.ports["bridge"].address, "VIRPCTL_TRUST_DOMAIN": DOMAIN, "VIRPCTL_TLS_ROOTS": str(self.home / "pki/ca.crt"),
            "VIRPCTL_ONODE": self.ports["onode"].address, "VIRPCTL_KEYMGR": self.ports["keymgr"].address, "VIRPCTL_STATE": str(self.home / "seen"),
            "PATH": f"{self.build / 'tools/virpctl'}:{clean.get('PATH', '/usr/bin:/bin')}"}

    def __enter__(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: sys.exit(130))
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    # ---- processes

    def run(self, *command, who="operator-noc", **more):
        """A command that has to succeed; its output."""
        environment = self.environment | {"VIRPCTL_TLS_CERTIFICATE": f"{self.home}/pki/{who}.crt", "VIRPCTL_TLS_KEY": f"{self.home}/pki/{who}.key"}
        done = subprocess.run([str(part) for part in command], cwd=self.home, env=environment, capture_output=True, text=True, **more)
        if done.returncode != 0:
            raise SystemExit(f"world: {' '.join(map(str, command))}\n{done.stdout}{done.stderr}{self.logs()}")
        return done.stdout

    def launch(self, name, program, *arguments):
        command = ["setpriv", "--pdeathsig", "TERM", "--", str(self.build / program), *map(str, arguments)]
        with open(self.home / f"{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen(command, cwd=self.home, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def wait(self, what, condition):
        end = time.monotonic() + PATIENCE
        while not condition():
            for name, process in self.processes.items():
                if process.poll() is not None:
                    raise SystemExit(f"world: {name} has ended\n{self.logs()}")
            if time.monotonic() > end:
                raise SystemExit(f"world: waited in vain for {what}\n{self.logs()}")
            time.sleep(0.05)

    def serving(self, name):
        self.wait(f"{name} to serve", lambda: ": serving " in (self.home / f"{name}.log").read_text())

    def logs(self):
        return "".join(f"--- {path.name}\n{path.read_text()[-2000:]}" for path in sorted(self.home.glob("*.log")))

    def stop(self):
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.home, ignore_errors=True)

    # ---- the world

    def tls(self, identity):
        stem = f"{self.home}/pki/{identity.replace('/', '-')}"
        return ["--tls-certificate", stem + ".crt", "--tls-key", stem + ".key", "--tls-roots", f"{self.home}/pki/ca.crt", "--trust-domain", DOMAIN,
                "--admin-listen", "127.0.0.1:0"]

    def start(self):
        self.run("virpctl", "pki", "init", "--dir", "pki")
        for identity in IDENTITIES:
            role, name = identity.split("/")
            self.run("virpctl", "pki", "issue", "--dir", "pki", "--role", role, "--name", name, "--dns", "localhost", "--ip", "127.0.0.1")
        for folder, names in (("own-key", [ORIGIN]), ("checkpoint-keys", [ORIGIN]), ("keys", SOURCES)):
            for name in names:
                self.run("virpctl", "keys", "create", name, "--dir", folder)
        self.write("scopes.json", {"scopes": [{"role": "operator", "name": "*", "origins": ["**"], "sources": ["**", "*"]}]})
        self.write("sources.json", {"producers": [{"identity": spiffe("producer/agent"), "sources": ["edge-a.agent"], "types": [1, 2, 3, 4, 64]}],
                                    "bmp": {"listen": ["127.0.0.1:0"], "routers": [{"source": "edge-b.bmp", "addresses": ["127.0.0.1"], "sys_name": "edge-b"}]}})
        self.write("vrps.json", VRPS)
        (self.home / "kek").mkdir(mode=0o700)
        kek = self.home / "kek/1.kek"
        kek.touch(mode=0o400)
        kek.chmod(0o600)
        kek.write_bytes(os.urandom(32))
        kek.chmod(0o400)

        keymgr = self.ports["keymgr"].address
        onode = ["--store", f"sqlite:{self.home}/chain.db", "--state", "onode", "--keys", "keys", "--own-key", "own-key", "--checkpoint-keys", "checkpoint-keys",
                 "--key-manager", keymgr, "--key-state", "onode-keys", "--scopes", "scopes.json", "--reflection", "--checkpoint-interval", "200ms",
                 "--listen", self.ports["onode"].address, *self.tls("onode/node-1")]
        key = self.run(self.build / "services/onode/virp-onode", *onode, "init", "--origin", ORIGIN)
        (self.home / "chain.key").write_text(key)
        chain = ["--onode", self.ports["onode"].address, "--origin", ORIGIN, "--checkpoint-key", key.strip()]
        self.launch("onode", "services/onode/virp-onode", *onode)
        self.serving("onode")
        for name, source in SOURCES.items():
            self.write(f"{name}.json", {"name": name, "suite": "SUITE_ED25519", "keyVersion": 1, **source, "vantage": "VANTAGE_" + source["vantage"]})
            self.wait("the chain's leader", lambda: self.succeeds("virpctl", "sources", "register", "--file", f"{name}.json", "--reason", "set up"))
        self.launch("keymgr", "services/keymgr/virp-keymgr", "--name", "keymgr-1", "--store", f"sqlite:{self.home}/keymgr.db", "--own-key", "keys", "--kek", "kek",
                    "--state", "keymgr", *chain, "--lease", "1s", "--reflection", "--rpki-base-uri", "rsync://rpki.example.net/virp/", "--rpki-as", "64496-64511",
                    "--rpki-address", "192.0.2.0/24", "--rpki-publication", "publication", "--expiry-calendar", "certificates.ics", "--listen", keymgr, *self.tls("keymgr/keymgr-1"))
        self.launch("collector", "services/collector/virp-collector", "--name", "collector-1", *chain, "--keys", "keys", "--spool", "spool", "--sources", "sources.json",
                    "--reflection", "--listen", self.ports["collector"].address, *self.tls("collector/collector-1"))
        self.launch("bridge", "services/rtr-bridge/virp-rtr-bridge", "--name", "bridge-1", *chain, "--keys", "keys", "--spool", "bridge-spool", "--state", "bridge",
                    "--vrps", "vrps.json", "--source-max-age", "0", "--max-drop", "100%", "--rtr", "127.0.0.1:0", "--reflection",
                    "--listen", self.ports["bridge"].address, *self.tls("rtr-bridge/bridge-1"))
        for name in ("keymgr", "collector", "bridge"):
            self.serving(name)
        self.wait("the key manager to be active", lambda: self.succeeds("virpctl", "keys", "admin", "status"))

    def feed(self):
        """Says again what the samples ask about: a session, a route, a zone; and waits until the chain has it."""
        self.submit((1, PEER), (3, ROUTE), (64, ZONE))
        self.wait("the observations in the chain", lambda: self.succeeds("virpctl", "claim", "peer", "--router", "edge-a", "--peer", "192.0.2.2", "--max-age", "5s"))

    def submit(self, *observations):
        files, pool = descriptor_pb2.FileDescriptorSet.FromString((self.build / "virp.protoset").read_bytes()), descriptor_pool.DescriptorPool()
        for file in files.file:
            pool.Add(file)
        request = message_factory.MessageFactory(pool).GetPrototype(pool.FindMessageTypeByName("virp.collector.v1.SubmitRequest"))()
        request.request_id = str(uuid.uuid4())
        for kind, payload in observations:
            request.observations.add(source="edge-a.agent", type=kind, payload=json.dumps(payload))
        tls = [(self.home / "pki" / name).read_bytes() for name in ("ca.crt", "producer-agent.key", "producer-agent.crt")]
        with grpc.secure_channel(self.ports["collector"].address, grpc.ssl_channel_credentials(*tls)) as channel:
            call = channel.unary_unary("/virp.collector.v1.CollectorService/Submit", request_serializer=lambda m: m.SerializeToString(), response_deserializer=bytes)
            call(request, timeout=PATIENCE, wait_for_ready=True)

    def succeeds(self, *command, who="operator-noc"):
        environment = self.environment | {"VIRPCTL_TLS_CERTIFICATE": f"{self.home}/pki/{who}.crt", "VIRPCTL_TLS_KEY": f"{self.home}/pki/{who}.key"}
        return subprocess.run(command, cwd=self.home, env=environment, capture_output=True).returncode == 0

    def write(self, name, content):
        (self.home / name).write_text(json.dumps(content))


if __name__ == "__main__":
    with World(sys.argv[1]) as world:
        sys.exit(subprocess.run(sys.argv[2:] or ["/bin/bash"], cwd=world.home, env=world.environment).returncode)
