#!/usr/bin/python3
"""Packs what a build folder holds, installs the packages in a throw-away root, runs the services as their units say, asks,
upgrades, removes, purges.   package_test.py BUILD_FOLDER | --packages FOLDER     Exit status 77: cannot be done here."""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

import throw_away_root
from systemd_part import Service
from throw_away_root import ThrowAwayRoot

NAMES = ("virp-onode", "virp-collector", "virp-keymgr", "virp-rtr-bridge", "virpctl")
SERVICES = ("virp-onode", "virp-collector", "virp-keymgr", "virp-rtr-bridge")
ORIGIN = "example.org/main"
SKIPPED = 77
NOT_OURS = ("/packages", "/var/lib/dpkg", "/var/log", "/var/cache", "/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-",
            "/etc/subuid-", "/etc/subgid-", "/etc/.pwd.lock", "/etc/passwd", "/etc/group", "/run/adduser", "/run/credentials", "/run/systemd", "/systemctl.log")


def say(text):
    print(f"packages: {text}", flush=True)


def expect(got, wanted, what):
    assert got == wanted, f"{what}: {got!r}, not {wanted!r}"


def pack(build, folder):
    packed = subprocess.run(["cpack", "-B", folder], cwd=build, capture_output=True, text=True, check=False)
    assert packed.returncode == 0, packed.stdout + packed.stderr
    shutil.rmtree(os.path.join(folder, "_CPack_Packages"))


def packages_in(folder):
    """name -> path."""
    found = {}
    for name in os.listdir(folder):
        if name.endswith(".deb") and "-dbgsym" not in name:
            found[name.split("_")[0]] = os.path.join(folder, name)
    expect(sorted(found), sorted(NAMES), "packages")
    return found


def field(package, name):
    return subprocess.run(["dpkg-deb", "-f", package, name], check=True, capture_output=True, text=True).stdout.strip()


def dependencies(packages):
    return [entry for path in packages for name in ("Depends", "Pre-Depends") for entry in throw_away_root.split(field(path, name))]


class Story:
    def __init__(self, root, packages, service=Service):
        self.root = root
        self.packages = packages
        self.service = service
        self.services = {}
        os.mkdir(root.inside("/packages"))
        for path in packages.values():
            shutil.copy(path, root.inside("/packages"))

    def pretend_systemd(self):
        """A systemd that runs, as far as maintainer scripts can see; it writes down what it is told."""
        os.makedirs(self.root.inside("/run/systemd/system"))
        self.root.write("/usr/bin/systemctl", '#!/bin/sh\necho "$*" >> /systemctl.log\n', 0o755)

    def dpkg(self, *arguments):
        return self.root.run("dpkg", *arguments).stdout

    def install(self):
        return self.dpkg("-i", *sorted(f"/packages/{os.path.basename(path)}" for path in self.packages.values()))

    def systemctl(self):
        """What it was told since the last time."""
        path = self.root.inside("/systemctl.log")
        told = []
        if os.path.exists(path):
            with open(path, encoding="utf-8") as log:
                told = [line for line in log.read().splitlines() if line != "daemon-reload"]
            os.unlink(path)
        return told

    def users(self):
        return [name for name in SERVICES if self.root.user(name) is not None]

    def virpctl(self, *arguments, status=0):
        done = self.root.run("virpctl", "--state", "/root/seen", "--output", "json", *arguments, check=False)
        if status is not None:
            expect(done.returncode, status, f"virpctl {' '.join(arguments)}\n{done.stdout}")
        return done.stdout

    # ---- the steps

    def installs_and_purges_without_trace(self):
        before = self.root.tree(*NOT_OURS)
        said = self.install()
        for name in SERVICES:
            assert f"{name}: not started" in said, said
        expect(self.users(), list(SERVICES), "users")
        expect(self.systemctl(), [], "what an installation does to services")
        for name in NAMES:
            version = self.root.run(name, "--version").stdout
            assert re.search(r"\d+\.\d+\.\d+", version), version
        self.modes_are_right()
        self.dpkg("-P", *NAMES)
        self.systemctl()
        after = self.root.tree(*NOT_OURS)
        expect([path for path in after if path not in before], [], "left by a purge")
        expect([path for path in before if path not in after], [], "taken along by a purge")
        expect(self.users(), [], "users left by a purge")

    def modes_are_right(self):
        tree = self.root.tree()
        onode, collector, keymgr, bridge = (self.root.user(name) for name in SERVICES)
        for path, wanted in {
                "/etc/virp/onode": ("drwxr-x---", 0, onode[1]), "/etc/virp/onode/own-key": ("drwx------", 0, 0),
                "/etc/virp/onode/checkpoint-keys": ("drwx------", 0, 0), "/etc/virp/onode/keys": ("drwx------", *onode),
                "/etc/virp/collector": ("drwxr-x---", 0, collector[1]), "/etc/virp/collector/keys": ("drwx------", 0, 0),
                "/etc/virp/keymgr": ("drwxr-x---", 0, keymgr[1]), "/etc/virp/keymgr/own-key": ("drwx------", 0, 0),
                "/etc/virp/keymgr/kek": ("drwxr-x---", 0, keymgr[1]),
                "/etc/virp/rtr-bridge": ("drwxr-x---", 0, bridge[1]), "/etc/virp/rtr-bridge/keys": ("drwx------", 0, 0),
                "/usr/share/virp/virp.protoset": ("-rw-r--r--", 0, 0), "/etc/virp/onode.json": ("-rw-r--r--", 0, 0), "/usr/bin/virp-onode": ("-rwxr-xr-x", 0, 0)}.items():
            expect(tree[path], wanted, path)

    def manual_pages_say_what_help_says(self):
        for page, program in (*((f"man8/{name}.8", name) for name in SERVICES), ("man1/virpctl.1", "virpctl")):
            with gzip.open(self.root.inside(f"/usr/share/man/{page}.gz"), "rt", encoding="utf-8") as file:
                text = file.read().replace("\\-", "-")
            offered = re.findall(r"^  (?:-\w,)?(--[a-z-]+)", self.root.run(program, "--help").stdout, re.MULTILINE)
            assert len(offered) > 8, f"{program} --help shows {len(offered)} options"
            expect([option for option in offered if option not in text], [], f"options that {page} lacks")
            assert not re.search(r"@[A-Z]+@", text), f"{page} has a placeholder left"  # an address may have a single one

    def each_names_its_own_libraries(self):
        """The root holds what all packages need together; one alone must do, too."""
        for name, package in self.packages.items():
            own = throw_away_root.closure(dependencies([package]))
            owned = subprocess.run(["dpkg", "-L", *own], check=True, capture_output=True, text=True).stdout
            there = {os.path.basename(path) for path in owned.splitlines()}
            dynamic = subprocess.run(["objdump", "-p", self.root.inside(f"/usr/bin/{name}")], check=True, capture_output=True, text=True).stdout
            needed = re.findall(r"NEEDED\s+(\S+)", dynamic)
            assert len(needed) > 4, f"{name} needs {needed}"
            expect([library for library in needed if library not in there], [], f"libraries that {name} does not depend on")

    def units_hold(self):
        if shutil.which("systemd-analyze") is None:
            say("no systemd-analyze here: units are not looked at by it")
            return
        for name in SERVICES:
            unit = f"/usr/lib/systemd/system/{name}.service"
            verified = subprocess.run(["systemd-analyze", "verify", "--man=no", self.root.inside(unit)], capture_output=True, text=True, check=False)
            # It looks for the programs outside of the root.
            absent = re.findall(rf"{name}.service: Command (\S+) is not executable", verified.stderr)
            expect([path for path in absent if not os.access(self.root.inside(path), os.X_OK)], [], "programs that the unit names")
            said = [line for line in verified.stderr.splitlines() if name in line and "is not executable" not in line]
            expect(said, [], f"systemd-analyze verify {name}")
            # 15: an exposure of 1.5. What is left of it are sockets, which these services are for.
            exposed = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=15", self.root.inside(unit)],
                                     capture_output=True, text=True, check=False)
            expect(exposed.returncode, 0, f"systemd-analyze security {name}: {exposed.stdout[-300:]}")

    def configure(self, port=0):
        """`port`: the O-Node's; 0 is any, another one at each start."""
        run = self.root.run
        run("virpctl", "--trust-domain", "example.org", "pki", "init", "--dir", "/root/pki")
        for role, name in (("onode", "node-1"), ("collector", "collector-1"), ("keymgr", "keymgr-1"), ("rtr-bridge", "rtr-bridge-1"), ("operator", "noc")):
            run("virpctl", "--trust-domain", "example.org", "pki", "issue", "--dir", "/root/pki", "--role", role, "--name", name,
                "--dns", "localhost", "--ip", "127.0.0.1")
        for service, certificate in (("onode", "onode-node-1"), ("collector", "collector-collector-1"), ("keymgr", "keymgr-keymgr-1"),
                                     ("rtr-bridge", "rtr-bridge-rtr-bridge-1")):
            for source, target, mode in ((f"{certificate}.crt", "tls.crt", "0644"), ("ca.crt", "ca.crt", "0644"), (f"{certificate}.key", "tls.key", "0640")):
                run("install", "-m", mode, "-g", f"virp-{service}", f"/root/pki/{source}", f"/etc/virp/{service}/{target}")
        self.edit("/etc/virp/onode.json", {'"127.0.0.1:8443"': f'"127.0.0.1:{port}"', '"127.0.0.1:9443"': '"127.0.0.1:0"'})
        self.root.write("/etc/virp/onode-scopes.json", '{"scopes": [{"role": "operator", "name": "*", "origins": ["**"], "sources": ["*"]}]}')

    def edit(self, path, changes):
        text = self.root.read(path)
        for old, new in changes.items():
            assert old in text, f"{path} has no {old}"
            text = text.replace(old, new)
        self.root.write(path, text)

    def start(self, name):
        service = self.service(self.root, name)
        self.services[name] = service
        service.start()
        uid = self.root.user(name)[0]
        # Not the owner of its folder: of a process that may not be dumped that is root.
        with open(f"/proc/{service.pid}/status", encoding="utf-8") as status:
            uids = next(line.split()[1:] for line in status if line.startswith("Uid:"))
        expect(uids, [str(uid)] * 4, f"user that {name} runs as")
        serving = [json.loads(line) for line in service.said().splitlines() if '"serving"' in line]
        assert serving, service.said()
        return serving[-1]

    def stop(self, name):
        expect(self.services.pop(name).stop(), 0, f"exit status of {name}")

    def starts_the_onode(self):
        key = self.root.run("virp-onode-init", ORIGIN).stdout.splitlines()[-1]
        assert key.startswith(ORIGIN + "+"), key
        expect([name for name in os.listdir(self.root.inside("/run")) if "virp-onode-init" in name], [], "copies of keys left in /run")
        refused = self.root.run("virp-onode-init", "a_b/c", check=False)
        expect(refused.returncode, 2, refused.stdout)
        address = self.start("virp-onode")["address"]
        keys = self.root.tree("/etc/virp/onode/own-key")
        expect(keys[f"/run/virp-onode/own-key/{ORIGIN}/1.seed"], ("-rw-------", *self.root.user("virp-onode")), "key that the unit laid out")
        return key, address

    def register(self, role, name, folder, types):
        """A source with a key of its own in `folder`, which it carries itself."""
        run = self.root.run
        run("virpctl", "keys", "create", name, "--dir", folder)
        listed = json.loads(run("virpctl", "--output", "json", "keys", "list", "--dir", folder).stdout)
        public = re.search(r"\b[0-9a-f]{64}\b", json.dumps(listed))[0]
        run("install", "-d", "-m", "0700", "-o", "virp-onode", "-g", "virp-onode", f"/etc/virp/onode/keys/{name}")
        self.root.write(f"/etc/virp/onode/keys/{name}/1.pub", public)
        self.services["virp-onode"].reload()
        self.root.write(f"/root/{name}.json", json.dumps({
            "name": name, "suite": "SUITE_ED25519", "keyVersion": 1, "vantage": "VANTAGE_SERVICE", "types": types,
            "carriedBy": [f"spiffe://example.org/{role}/{name}"]}))
        self.virpctl(*self.ask, "sources", "register", "--file", f"/root/{name}.json", "--reason", "installed")

    def delivers(self, service, ports, key, address):
        """Its configuration, as far as it must be edited, and a start."""
        self.edit(f"/etc/virp/{service}.json", {
            **{f'"127.0.0.1:{port}"': '"127.0.0.1:0"' for port in ports}, '"onode.example.org:8443"': f'"{address}"',
            '"the line that virp-onode init printed"': f'"{key}"'})
        return self.start(f"virp-{service}")

    def is_laid_out(self, service, seed):
        expect(self.root.tree()[f"/run/{service}/{seed}"], ("-rw-------", *self.root.user(service)), "key that the unit laid out")

    def registers_and_starts_the_collector(self, key, address):
        self.ask = ("--onode", address, "--tls-certificate", "/root/pki/operator-noc.crt", "--tls-key", "/root/pki/operator-noc.key",
                    "--tls-roots", "/root/pki/ca.crt", "--trust-domain", "example.org", "--trust", key)
        self.register("collector", "collector-1", "/etc/virp/collector/keys", [22, 23, 24])
        self.delivers("collector", (8444, 9444), key, address)
        self.is_laid_out("virp-collector", "keys/collector-1/1.seed")

    def registers_and_starts_the_key_manager(self, key, address):
        """Sealed at first: there is no key-encryption key until somebody brings one."""
        self.register("keymgr", "keymgr-1", "/etc/virp/keymgr/own-key", [19, 22, 24])
        keymgr = self.delivers("keymgr", (8445, 9445), key, address)["address"]
        self.is_laid_out("virp-keymgr", "own-key/keymgr-1/1.seed")
        ask = (*self.ask, "--keymgr", keymgr, "keys")
        self.until(lambda: "NO_KEK" in self.virpctl(*ask, "admin", "status", status=None), "the key manager is not sealed", "virp-keymgr")
        self.root.write("/root/1.kek", "5c" * 32, 0o600)
        self.root.run("install", "-m", "0440", "-g", "virp-keymgr", "/root/1.kek", "/etc/virp/keymgr/kek/1.kek")
        self.until(lambda: json.loads(self.virpctl(*ask, "admin", "status", status=None)).get("sealed") == [],
                   "it does not open with its key-encryption key", "virp-keymgr")
        self.virpctl(*ask, "admin", "status")
        self.virpctl(*ask, "o-keys", "create", "edge-a.bmp", "--signer", "spiffe://example.org/collector/collector-1", "--reason", "the first of it")
        self.until(lambda: "observation_key_created" in self.virpctl(*ask, "admin", "audit"), "no audit record", "virp-keymgr")
        said = self.services["virp-keymgr"].said()
        assert "not hardened" not in said, said
        tree = self.root.tree("/proc", "/sys")
        expect(tree["/var/lib/virp-keymgr"], ("drwx--x--x", *self.root.user("virp-keymgr")), "the key manager's state")
        expect(tree["/var/lib/virp-keymgr/keymgr.db"][0], "-rw-------", "its database")

    def registers_and_starts_the_rtr_bridge(self, key, address, routers="127.0.0.1:0"):
        """`routers`: where they are served."""
        self.register("rtr-bridge", "rtr-bridge-1", "/etc/virp/rtr-bridge/keys", [17, 18, 21, 22, 23, 24])
        self.root.write("/etc/virp/rtr-bridge/vrps.json", json.dumps({
            "metadata": {"generated": int(time.time())}, "roas": [{"prefix": "192.0.2.0/24", "maxLength": 24, "asn": 64500}]}))
        given = [f'"{name}"' for name in ("trust-domain", "tls-certificate", "tls-key", "tls-roots", "name", "onode", "origin",
                                               "checkpoint-key", "spool")]
        self.edit("/etc/virp/rtr-bridge.json", {
            **{f"// {name}": name for name in given}, '// "listen": "127.0.0.1:8446"': '"listen": "127.0.0.1:0"',
            '"127.0.0.1:9446"': '"127.0.0.1:0"', '"127.0.0.1:323"': f'"{routers}"', "/var/lib/rpki-client/json": "/etc/virp/rtr-bridge/vrps.json",
            '"onode.example.org:8443"': f'"{address}"', '"the line that virp-onode init printed"': f'"{key}"'})
        bridge = self.start("virp-rtr-bridge")
        self.is_laid_out("virp-rtr-bridge", "keys/rtr-bridge-1/1.seed")
        self.until(lambda: "192.0.2.0/24" in self.virpctl("rtr", "dump", f"tcp://{bridge['routers']}", status=None), "it serves nothing", "virp-rtr-bridge")
        ask = (*self.ask, "--rtr-bridge", bridge["address"], "rtr")
        self.until(lambda: self.root.run("virpctl", "--state", "/root/seen", *ask, "generation", "1", check=False).returncode == 0,
                   "its record is not proven", "virp-rtr-bridge")
        self.until(lambda: "STATE_VALID" in self.virpctl(*ask, "validate", "192.0.2.0/24", "64500", status=None), "the route is not valid",
                   "virp-rtr-bridge")

    def until(self, condition, otherwise, service):
        deadline = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < deadline, f"{otherwise}\n{self.services[service].said()}"
            time.sleep(0.1)

    def answers(self):
        for source, service in (("collector-1", "virp-collector"), ("keymgr-1", "virp-keymgr"), ("rtr-bridge-1", "virp-rtr-bridge")):
            self.until(lambda source=source: source in self.virpctl(*self.ask, "observations", "list", "--source", source),
                       f"no observation of {source} arrived", service)
        self.virpctl(*self.ask, "chain", "verify")
        self.virpctl("--onode", "unix:/run/virp-onode/break-glass/socket", "status")

    def upgrades(self):
        self.systemctl()
        self.install()
        expect(sorted(self.systemctl()), [f"try-restart {name}.service" for name in sorted(SERVICES)], "what an upgrade does to services")
        for path in ("/etc/virp/onode.json", "/etc/virp/collector.json", "/etc/virp/keymgr.json", "/etc/virp/rtr-bridge.json"):
            assert '"127.0.0.1:0"' in self.root.read(path), f"the upgrade changed {path}"

    def restarts(self):
        self.stop("virp-rtr-bridge")
        self.stop("virp-keymgr")
        self.stop("virp-collector")
        self.stop("virp-onode")
        address = self.start("virp-onode")["address"]
        assert "collector-1" in self.virpctl("--onode", address, *self.ask[2:], "observations", "list"), "the chain did not outlive a restart"
        self.stop("virp-onode")

    def goes(self, before):
        self.systemctl()
        self.dpkg("-r", *NAMES)
        expect(sorted(self.systemctl()), [f"disable --now {name}.service" for name in sorted(SERVICES)], "what a removal does to services")
        left = self.root.tree()
        expect([path for path in left if "/usr/" in path and "virp" in path], [], "programs and units left")
        assert "/etc/virp/onode.json" in left and "/var/lib/virp-onode/chain.db" in left
        said = self.dpkg("-P", *NAMES)
        for what in (f"{folder}{name}" for name in ("onode", "collector", "keymgr", "rtr-bridge") for folder in ("/var/lib/virp-", "/etc/virp/")):
            assert f"{what} " in said, f"purging does not say that {what} stays:\n{said}"
        expect(self.users(), list(SERVICES), "users whose evidence, or keys, stay")
        kept = [path for path in self.root.tree(*NOT_OURS, "/root") if path not in before]
        ours = re.compile(r"^(/etc/virp$|/etc/virp/(onode|collector|keymgr|rtr-bridge)(/|$)|/var/lib/virp-(onode|collector|keymgr|rtr-bridge)(/|$)|/virp-[\w-]+\.log$)")
        expect([path for path in kept if not ours.match(path)], [], "left by a purge")


def run(packages):
    say("making a root of the dependencies alone")
    with ThrowAwayRoot(dependencies(packages.values())) as root:
        story = Story(root, packages)
        story.pretend_systemd()
        try:
            say("install, purge")
            story.installs_and_purges_without_trace()
            before = root.tree(*NOT_OURS, "/root")
            story.install()
            story.systemctl()
            story.manual_pages_say_what_help_says()
            story.each_names_its_own_libraries()
            story.units_hold()
            say("configure, start, ask")
            story.configure()
            key, address = story.starts_the_onode()
            story.registers_and_starts_the_collector(key, address)
            story.registers_and_starts_the_key_manager(key, address)
            story.registers_and_starts_the_rtr_bridge(key, address)
            story.answers()
            for service in story.services.values():
                service.reload()
            say("upgrade, restart, remove, purge")
            story.upgrades()
            story.restarts()
            story.goes(before)
        finally:
            for service in story.services.values():
                service.close()
    say("all well")


def main(test):
    if os.geteuid() != 0:
        say("skipped: needs root, for a root of its own and for the services' users")
        return SKIPPED
    if sys.argv[1] == "--packages":
        test(packages_in(sys.argv[2]))
        return 0
    with tempfile.TemporaryDirectory(prefix="virp-packages.") as folder:
        say("packing")
        pack(sys.argv[1], folder)
        test(packages_in(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main(run))
