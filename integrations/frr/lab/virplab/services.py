# SPDX-License-Identifier: GPL-2.0-or-later
"""The platform: an O-Node, a collector for each site, their keys and certificates as virpctl makes them for development."""
import json
import os
import shutil
import subprocess
import tempfile

from virplab.network import ONODE
from virplab.process import Process, clean_environment, wait_for
from virplab.sandbox import LabError

ORIGIN, DOMAIN, PORT, KEYMGR_PORT = "virp.example.net/lab", "lab.example", 8443, 8445
POSTGRES = "/usr/lib/postgresql/15/bin"


class Postgres:
    """A cluster of the lab's own, on a Unix socket. It refuses to run as root, so it runs as user postgres."""

    def __init__(self, home):
        self.folder = tempfile.mkdtemp(prefix="pg.", dir=home)
        os.chmod(home, 0o711)
        shutil.chown(self.folder, "postgres")
        self.run("initdb", "-D", f"{self.folder}/data", "-A", "trust", "-U", "virp")
        self.process = Process("postgres", os.path.join(home, "postgres.log"), self.wrapped(
            "postgres", "-D", f"{self.folder}/data", "-k", self.folder, "-c", "listen_addresses="))
        self.process.start()
        wait_for("PostgreSQL answers", lambda: self.run("pg_isready", "-h", self.folder, "-q", check=False) == 0)
        self.run("createdb", "-h", self.folder, "-U", "virp", "virp")
        self.url = f"postgresql://virp@/virp?host={self.folder}"

    def wrapped(self, program, *arguments):
        return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", f"{POSTGRES}/{program}", *arguments]

    def run(self, program, *arguments, check=True):
        done = subprocess.run(self.wrapped(program, *arguments), capture_output=True, text=True, cwd="/", check=False)
        if check and done.returncode != 0:
            raise LabError(f"{program}: {done.stderr.strip()}")
        return done.returncode


class Services:
    def __init__(self, home, build, topology, network):
        self.home, self.build, self.topology, self.network = home, build, topology, network
        self.onode = self.keymgr = None
        self.collectors = {}  # by AS
        self.trust = ""

    def file(self, *parts):
        return os.path.join(self.home, *parts)

    def virpctl(self, *arguments, who="operator-noc", check=True):
        environment = clean_environment() | {
            "VIRPCTL_ONODE": f"{ONODE}:{PORT}", "VIRPCTL_KEYMGR": f"{ONODE}:{KEYMGR_PORT}", "VIRPCTL_TRUST_DOMAIN": DOMAIN, "VIRPCTL_STATE": self.file("seen"),
            "VIRPCTL_TLS_ROOTS": self.file("pki", "ca.crt"), "VIRPCTL_TLS_CERTIFICATE": self.file("pki", f"{who}.crt"),
            "VIRPCTL_TLS_KEY": self.file("pki", f"{who}.key"), "VIRPCTL_TIMEOUT": "60"}
        done = subprocess.run([self.build.virpctl, *arguments], capture_output=True, text=True, env=environment, check=False)
        if check and done.returncode != 0:
            raise LabError(f"virpctl {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done

    def collector_name(self, asn):
        return f"collector-{asn}"

    def issue(self, role, name):
        self.virpctl("pki", "issue", "--dir", self.file("pki"), "--role", role, "--name", name, "--dns", "localhost", "--ip", ONODE)

    def tls(self, who):
        pki = self.file("pki")
        return ["--tls-certificate", f"{pki}/{who}.crt", "--tls-key", f"{pki}/{who}.key", "--tls-roots", f"{pki}/ca.crt",
                "--trust-domain", DOMAIN]

    # ---- keys: the O-Node verifies all, a collector what its site says, a router has its own

    def key_folder(self, holder, source):
        folder = self.file("keys", holder, source)
        os.makedirs(folder, 0o700, exist_ok=True)
        return folder

    def make_key(self, source, suite, version, signer):
        """A key of the source: made at the signer, who alone keeps an Ed25519 seed."""
        self.virpctl("keys", "create", source, "--dir", self.file("keys", signer), "--suite", suite, "--key-version", str(version))

    def give_key(self, source, version, signer, holder):
        """What verifies it, to somebody else."""
        folder, to = self.key_folder(signer, source), self.key_folder(holder, source)
        name = f"{version}.hmac"
        if os.path.exists(os.path.join(folder, name)):
            shutil.copy(os.path.join(folder, name), os.path.join(to, ".new"))
        else:
            name = f"{version}.pub"
            listed = json.loads(self.virpctl("keys", "list", "--dir", self.file("keys", signer), "--output", "json").stdout)
            public = [key["publicKey"] for key in listed["keys"] if (key["name"], key["version"]) == (source, version)]
            with open(os.path.join(to, ".new"), "w", encoding="ascii") as out:
                out.write(public[0])
        os.rename(os.path.join(to, ".new"), os.path.join(to, name))

    def give_secret(self, router, version, signer):
        """A router's next key, beside the one that it uses."""
        name = os.path.basename(self.router_key(router, version))
        folder = self.key_folder(router.name, router.source)
        shutil.copy(os.path.join(self.key_folder(signer, router.source), name), os.path.join(folder, ".new"))
        os.rename(os.path.join(folder, ".new"), os.path.join(folder, name))

    def router_key(self, router, version):
        return os.path.join(self.key_folder(router.name, router.source), f"{version}.{'seed' if router.suite == 'ed25519' else 'hmac'}")

    def make_keys(self):
        self.virpctl("pki", "init", "--dir", self.file("pki"))
        self.issue("onode", "node-1")
        self.issue("operator", "noc")
        self.issue("reader", "app")
        self.issue("approver", "boss")
        self.issue("keymgr", "keymgr-1")
        self.virpctl("keys", "create", "keymgr-1", "--dir", self.file("keymgr-key"))
        for folder in ("own-key", "checkpoint-keys"):
            self.virpctl("keys", "create", ORIGIN, "--dir", self.file(folder))
        os.makedirs(self.file("keys", "onode"), 0o700)
        for asn in self.topology.sites:
            name = self.collector_name(asn)
            os.makedirs(self.file("keys", name), 0o700)
            self.issue("collector", name)
            self.make_key(name, "ed25519", 1, name)
            self.give_key(name, 1, name, "onode")
        for router in self.topology.routers:
            os.makedirs(self.file("keys", router.name), 0o700)
            self.make_key(router.source, router.suite, 1, router.name)
            self.give_key(router.source, 1, router.name, "onode")
            self.give_key(router.source, 1, router.name, self.collector_name(router.asn))

    def exported(self, source, version):
        """A key of the manager's, as it was handed out."""
        return self.file("exported", f"{source}.{version}")

    def carrier(self, asn):
        return f"spiffe://{DOMAIN}/collector/{self.collector_name(asn)}"

    def export_key(self, router, version):
        """As an operator does for a producer that reads a file; put beside the key that the router uses."""
        os.makedirs(self.file("exported"), 0o700, exist_ok=True)
        self.virpctl("keys", "o-keys", "export", router.source, "--key-version", str(version), "--save",
                     self.exported(router.source, version), "--reason", "to the router")
        folder = self.key_folder(router.name, router.source)
        shutil.copy(self.exported(router.source, version), os.path.join(folder, ".new"))
        os.chmod(os.path.join(folder, ".new"), 0o600)
        os.rename(os.path.join(folder, ".new"), os.path.join(folder, f"{version}.hmac"))

    def verifier_keys(self):
        """A folder with all keys that tags are checked with at the end: the O-Node's files, and those of the key manager."""
        folder = self.file("keys", "verifier")
        shutil.copytree(self.file("keys", "onode"), folder, dirs_exist_ok=True)
        for name in os.listdir(self.file("exported")) if os.path.isdir(self.file("exported")) else []:
            source, version = name.rsplit(".", 1)
            shutil.copy(self.exported(source, version), os.path.join(folder, source, f"{version}.hmac"))
        return folder

    # ---- programs

    def start_keymgr(self):
        os.mkdir(self.file("kek"), 0o700)
        with open(self.file("kek", "1.kek"), "wb") as file:
            file.write(os.urandom(32))
        os.chmod(self.file("kek", "1.kek"), 0o400)
        self.keymgr = Process("virp-keymgr", self.file("keymgr.log"), [
            self.build.keymgr, "--store", f"sqlite:{self.file('keymgr.db')}", "--name", "keymgr-1", "--own-key", self.file("keymgr-key"),
            "--kek", self.file("kek"), "--listen", f"{ONODE}:{KEYMGR_PORT}", "--admin-listen", "127.0.0.1:9445", *self.tls("keymgr-keymgr-1")])
        self.keymgr.start()

    def key_supply(self, holder):
        return ["--key-manager", f"{ONODE}:{KEYMGR_PORT}", "--key-state", self.file(f"supply-{holder}")]

    def onode_arguments(self, store):
        return [self.build.onode, "--store", store, "--state", self.file("state"), "--keys", self.file("keys", "onode"),
                "--own-key", self.file("own-key"), "--checkpoint-keys", self.file("checkpoint-keys"), "--scopes",
                self.file("scopes.json"), "--listen", f"{ONODE}:{PORT}", "--admin-listen", "127.0.0.1:9443", *self.key_supply("onode"),
                *self.tls("onode-node-1")]

    def start_onode(self, store):
        with open(self.file("scopes.json"), "w", encoding="ascii") as file:
            json.dump({"scopes": [{"role": "operator", "name": "*", "origins": ["**"], "sources": ["*"]}]}, file)
        arguments = self.onode_arguments(store)
        done = subprocess.run(arguments + ["init", "--origin", ORIGIN], capture_output=True, text=True,
                              env=clean_environment(), check=False)
        if done.returncode != 0:
            raise LabError(f"virp-onode init: {done.stdout}{done.stderr}")
        self.trust = done.stdout.strip()
        with open(self.file("chain-key.txt"), "w", encoding="ascii") as file:
            file.write(self.trust + "\n")
        self.onode = Process("virp-onode", self.file("onode.log"), arguments)
        self.onode.start()
        self.await_onode()

    def await_onode(self):
        def leads():
            self.onode.need()
            return self.virpctl("status", check=False).returncode == 0

        wait_for("the O-Node leads", leads, every=0.3)

    def sockets(self, asn):
        return self.file(f"run-{asn}")

    def start_collector(self, asn):
        name, site = self.collector_name(asn), self.topology.site_name(asn)
        if asn not in self.collectors:
            os.mkdir(self.sockets(asn), 0o750)
            frames = [{"listen": f"unix:{self.sockets(asn)}/{router.name}.sock", "source": router.source,
                       "spelling": "v1-le" if router.version == 1 else "v2"} for router in self.topology.of_site(asn)]
            with open(self.file(f"{name}.json"), "w", encoding="ascii") as file:
                json.dump({"frames": frames}, file)
            self.collectors[asn] = Process(name, self.file(f"{name}.log"), self.network.inside(site) + [
                self.build.collector, "--name", name, "--onode", f"{ONODE}:{PORT}", "--origin", ORIGIN, "--checkpoint-key", self.trust,
                "--keys", self.file("keys", name), "--spool", self.file(f"spool-{asn}"), "--sources", self.file(f"{name}.json"),
                "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:9444", *self.key_supply(name), *self.tls(f"collector-{name}")])
        self.collectors[asn].start()

    def register(self):
        carrier = {asn: self.carrier(asn) for asn in self.topology.sites}
        sources = [{"name": self.collector_name(asn), "suite": "SUITE_ED25519", "vantage": "VANTAGE_SERVICE", "types": [22, 23, 24],
                    "carriedBy": [carrier[asn]]} for asn in self.topology.sites]
        for router in self.topology.routers:
            sources.append({"name": router.source, "suite": "SUITE_ED25519" if router.suite == "ed25519" else "SUITE_HMAC_SHA256",
                            "vantage": "VANTAGE_DAEMON", "types": [1, 2, 3, 4, 22] + ([24] if router.version == 2 else []),
                            "minFrameVersion": router.version, "carriedBy": [carrier[router.asn]],
                            "routers": [{"name": router.name, "bgpIds": [router.bgp_id]}]})
        for source in sources:
            with open(self.file("source.json"), "w", encoding="ascii") as file:
                json.dump(source | {"keyVersion": 1}, file)
            self.virpctl("sources", "register", "--file", self.file("source.json"), "--reason", "the lab")

    def need_all(self):
        for process in [self.onode, self.keymgr, *self.collectors.values()]:
            process.need()

