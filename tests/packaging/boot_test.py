#!/usr/bin/python3
"""The packages on a machine that systemd boots: what package_test plays with systemd's part acted is real here, the sandbox
and the watchdog included.   boot_test.py BUILD_FOLDER | --packages FOLDER     Exit status 77: cannot be done here."""

import os
import resource
import shutil
import signal
import socket
import subprocess
import sys

from machine import Machine, Unit, why_not
from package_test import NAMES, SERVICES, SKIPPED, Story, dependencies, expect, main, say
from throw_away_root import ThrowAwayRoot

SYSTEMD = [["systemd"]]
CAPABILITIES = {"virp-rtr-bridge": 1 << 10}  # CAP_NET_BIND_SERVICE


class Booted(Unit):
    """systemd_part.Service, by the real one."""

    def start(self):
        self.ctl("enable", "--now")
        expect(self.show("ActiveState"), "active", self.name)
        expect(self.show("UnitFileState"), "enabled", self.name)

    def reload(self):
        self.ctl("reload")
        expect(self.show("ActiveState"), "active", f"{self.name} after a reload")

    def stop(self):
        self.ctl("stop")
        expect(self.show("Result"), "success", f"end of {self.name}")
        return 0


def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def free_port():
    """The O-Node's must outlive its restarts; there is a moment in which somebody else could take it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


def most_locked(wanted):
    """What a service here is let lock of that many bytes: where root itself may not raise the limit, it is as it is."""
    if subprocess.run(["prlimit", f"--memlock={wanted}", "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0:
        return wanted
    return resource.getrlimit(resource.RLIMIT_MEMLOCK)[1]


class BootStory(Story):
    def unit(self, name):
        return self.services[name]

    def stands_in_its_sandbox(self, name):
        pid = self.unit(name).pid
        status = status_of(pid)
        expect((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"), f"no new privileges, filtered calls of {name}")
        held = {int(status[field], 16) for field in ("CapEff", "CapPrm", "CapBnd", "CapAmb", "CapInh")}
        expect(held, {CAPABILITIES.get(name, 0)}, f"capabilities of {name}")
        inside = f"/proc/{pid}/root"
        for path in ("/etc", "/usr", "/var"):
            expect(os.statvfs(inside + path).f_flag & os.ST_RDONLY, os.ST_RDONLY, f"{path} as {name} sees it")
        for path in (f"/var/lib/{name}", f"/run/{name}", "/tmp"):
            expect(os.statvfs(inside + path).f_flag & os.ST_RDONLY, 0, f"{path} as {name} sees it")
        expect(os.listdir(inside + "/root"), [], f"root's home as {name} sees it")
        expect(os.path.exists(inside + "/dev/kmsg"), False, f"/dev/kmsg as {name} sees it")
        refused = self.root.run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "ls", f"/run/credentials/{name}.service", check=False)
        assert refused.returncode != 0, f"anybody reads the credentials of {name}:\n{refused.stdout}"

    def keeps_secrets_out_of_dumps(self, name):
        with open(f"/proc/{self.unit(name).pid}/limits", encoding="utf-8") as file:
            limits = {line[:26].strip(): line[26:].split()[:2] for line in file}
        expect(limits["Max core file size"], ["0", "0"], f"core dumps of {name}")
        expect(limits["Max locked memory"], [str(most_locked(64 << 20))] * 2, f"memory that {name} may lock")
        assert int(status_of(self.unit(name).pid)["VmLck"].split()[0]) > 0, f"{name} locks no memory"

    def comes_back(self, name, what, harm):
        """It is started anew after `harm`, and is ready again."""
        unit = self.unit(name)
        before = int(unit.show("NRestarts"))
        harm(unit)
        unit.wait(lambda: int(unit.show("NRestarts")) > before and unit.show("ActiveState") == "active", f"back after {what}")

    def watchdog_bites(self, name):
        folder = f"/etc/systemd/system/{name}.service.d"
        os.makedirs(self.root.inside(folder))
        self.root.write(f"{folder}/watchdog.conf", "[Service]\nWatchdogSec=1s\nTimeoutAbortSec=2s\n")
        self.root.run("systemctl", "daemon-reload")
        self.unit(name).ctl("restart")
        self.comes_back(name, "being stopped", lambda unit: os.kill(unit.pid, signal.SIGSTOP))
        assert "watchdog" in self.root.run("journalctl", "--no-pager", "-u", f"{name}.service").stdout.lower()
        shutil.rmtree(self.root.inside(folder))
        self.root.run("systemctl", "daemon-reload")
        self.unit(name).ctl("restart")

    def upgrades_running(self):
        pids = {name: self.unit(name).pid for name in SERVICES}
        self.install()
        for name in SERVICES:
            self.unit(name).wait(lambda name=name: self.unit(name).show("ActiveState") == "active", "active after an upgrade")
            assert self.unit(name).pid != pids[name], f"the upgrade left the old {name} running"

    def outlives_a_reboot(self, machine):
        machine.power_off()
        machine.boot()
        for name in SERVICES:
            self.unit(name).wait(lambda name=name: self.unit(name).show("ActiveState") == "active", "up after a reboot")

    def is_removed(self):
        self.dpkg("-r", *NAMES)
        for name in SERVICES:
            expect(self.unit(name).show("ActiveState"), "inactive", f"{name} after its removal")
            expect(self.unit(name).show("LoadState"), "not-found", f"{name} after its removal")


def tell(root, packages, machine):
    story = BootStory(root, packages, Booted)
    say("install, configure, start")
    story.install()
    expect([name for name in SERVICES if Booted(root, name).show("ActiveState") != "inactive"], [], "started by an installation")
    story.configure(free_port())
    key, address = story.starts_the_onode()
    story.registers_and_starts_the_collector(key, address)
    story.registers_and_starts_the_key_manager(key, address)
    story.registers_and_starts_the_rtr_bridge(key, address, f"127.{os.getpid() >> 8 & 255}.{os.getpid() & 255}.1:323")
    story.keeps_secrets_out_of_dumps("virp-keymgr")
    story.answers()
    for name in SERVICES:
        say(f"{name}: sandbox, reload, kill, watchdog")
        story.stands_in_its_sandbox(name)
        story.unit(name).reload()
        story.comes_back(name, "a kill", lambda unit: os.kill(unit.pid, signal.SIGKILL))
        story.watchdog_bites(name)
    story.answers()
    say("upgrade, reboot, remove")
    story.upgrades_running()
    story.outlives_a_reboot(machine)
    story.answers()
    story.is_removed()


def run(packages):
    say("making a root of the dependencies and systemd")
    with ThrowAwayRoot(dependencies(packages.values()) + SYSTEMD) as root:
        reason = why_not(root)
        if reason:
            say(f"skipped: {reason}")
            sys.exit(SKIPPED)
        with Machine(root) as machine:
            tell(root, packages, machine)
    say("all well")


if __name__ == "__main__":
    if shutil.which("systemd-nspawn") is None:
        say("skipped: there is no systemd-nspawn (package systemd-container)")
        sys.exit(SKIPPED)
    sys.exit(main(run))
