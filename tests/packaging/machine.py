"""A ThrowAwayRoot that systemd has booted as a container: systemd-nspawn, this machine's network, everything else its own."""

import os
import subprocess
import time

from throw_away_root import ThrowAwayRoot


# Its services may lock memory, as those of a machine may: a container's may not.
NSPAWN = ("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--link-journal=no", "--resolv-conf=off", "--timezone=off",
          "--console=pipe", "--system-call-filter=@memlock", "--rlimit=RLIMIT_MEMLOCK=64M")


def why_not(root):
    """Why nothing can be booted here, such as within a container that may not make one; "" when it can."""
    tried = subprocess.run([*NSPAWN, "--directory", root.path, "true"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
    return "" if tried.returncode == 0 else tried.stdout or f"systemd-nspawn ends with {tried.returncode}"


class Machine:
    """`with Machine(root) as machine:`; as long as it is up, the root's paths are those that its own processes see."""

    def __init__(self, root: ThrowAwayRoot):
        self.root = root
        self.folder = root.path
        self.log = f"{self.folder}.boot"
        self.nspawn = None
        self.leader = None

    def __enter__(self):
        self.boot()
        return self

    def __exit__(self, *_):
        self.power_off()
        os.unlink(self.log)

    def boot(self):
        with open(self.log, "wb") as log:
            self.nspawn = subprocess.Popen([*NSPAWN, "--directory", self.folder, "--boot"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._until(self._find_leader, "no process of its own")
        self.root.path = f"/proc/{self.leader}/root"
        self.root.enter = ["nsenter", f"--target={self.leader}", "--mount", "--uts", "--ipc", "--pid", "--root", "--wd=/", "--"]
        self._until(lambda: self.root.run("systemctl", "is-system-running", check=False).stdout.strip() in ("running", "degraded"), "did not boot")

    def power_off(self):
        if self.nspawn is None:
            return
        self.root.path, self.root.enter, self.leader = self.folder, None, None
        self.nspawn.terminate()  # asks the systemd in it to power off
        try:
            self.nspawn.wait(60)
        except subprocess.TimeoutExpired:
            self.nspawn.kill()
            self.nspawn.wait()
        self.nspawn = None

    def _find_leader(self):
        path = f"/proc/{self.nspawn.pid}/task/{self.nspawn.pid}/children"
        with open(path, encoding="ascii") as file:
            children = file.read().split()
        # The first is there before it has its own root; systemd has made /run/systemd/private once it can be asked.
        for child in children:
            if os.path.exists(f"/proc/{child}/root/run/systemd/private"):
                self.leader = int(child)
        return self.leader is not None

    def _until(self, condition, otherwise):
        deadline = time.monotonic() + 90
        while not condition():
            with open(self.log, encoding="utf-8", errors="replace") as log:
                said = log.read()
            assert self.nspawn.poll() is None, f"systemd-nspawn ended with {self.nspawn.returncode}\n{said}"
            assert time.monotonic() < deadline, f"{otherwise}\n{said}"
            time.sleep(0.1)


class Unit:
    """One service of a machine, as systemctl and the journal show it."""

    def __init__(self, root, name):
        self.root = root
        self.name = name

    def ctl(self, verb, *arguments, **more):
        return self.root.run("systemctl", verb, *arguments, f"{self.name}.service", **more)

    def show(self, field):
        return self.ctl("show", "--value", "-p", field).stdout.strip()

    @property
    def pid(self):
        """As this machine, not the booted one, numbers it."""
        inner = self.show("MainPID")
        for entry in os.listdir("/proc"):
            if entry.isdigit() and self._numbers(entry)[1:] == [inner]:
                return int(entry)
        raise AssertionError(f"{self.name} does not run\n{self.said()}")

    def _numbers(self, pid):
        try:
            with open(f"/proc/{pid}/status", encoding="utf-8") as status:
                return next((line.split()[1:] for line in status if line.startswith("NSpid:")), [])
        except OSError:
            return []

    def said(self):
        return self.root.run("journalctl", "-o", "cat", "--no-pager", "-u", f"{self.name}.service").stdout

    def wait(self, condition, what, seconds=60):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"{self.name}: not {what}\n{self.ctl('status', check=False).stdout}\n{self.said()}"
            time.sleep(0.1)
