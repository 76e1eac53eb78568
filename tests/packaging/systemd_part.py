"""Plays systemd's part for one unit inside a ThrowAwayRoot: its user, state, runtime and credentials folders, notify socket,
commands, environment. What it does not play is the sandbox: systemd-analyze looks at that."""

import os
import re
import shlex
import socket
import subprocess
import time


class Unit:
    """A unit file: section -> key -> values in order, an empty value forgets those before it."""

    def __init__(self, text):
        self.sections = {}
        section = None
        for line in text.splitlines():
            if not line or line[0] in "#;":
                continue
            if line.startswith("["):
                section = self.sections.setdefault(line.strip("[]"), {})
                continue
            key, _, value = line.partition("=")
            values = section.setdefault(key, [])
            if value == "":
                values.clear()
            else:
                values.append(value)

    def all(self, key, section="Service"):
        return self.sections[section].get(key, [])

    def one(self, key, section="Service"):
        values = self.all(key, section)
        assert len(values) == 1, f"{key}= stands {len(values)} times in the unit"
        return values[0]


def seconds(span):
    """'1min', '2s', 'infinity' as in systemd.time(7)."""
    if span == "infinity":
        return 600
    number, unit = re.fullmatch(r"(\d+)(s|min)", span).groups()
    return int(number) * {"s": 1, "min": 60}[unit]


class Service:
    def __init__(self, root, name):
        self.root = root
        self.name = name
        self.unit = Unit(root.read(f"/usr/lib/systemd/system/{name}.service"))
        self.log = root.inside(f"/{name}.log")  # its standard error, which is the journal's
        self.notified = []
        self.process = None
        assert self.unit.one("Type") == "notify"

    # ---- what systemd makes before a start

    def _folder(self, parent, key):
        path = f"{parent}/{self.unit.one(key)}"
        real = self.root.inside(path)
        os.makedirs(real, exist_ok=True)
        os.chmod(real, int(self.unit.one(key + "Mode"), 8))
        os.chown(real, *self.owner)
        return path

    def _credentials(self):
        path = f"/run/credentials/{self.name}.service"
        real = self.root.inside(path)
        subprocess.run(["rm", "-rf", real], check=True)
        os.makedirs(real)
        for setting in self.unit.all("LoadCredential"):
            name, source = setting.split(":", 1)
            self._load(real, name, self.root.inside(source))
        os.chown(real, *self.owner)
        os.chmod(real, 0o500)
        return path

    def _load(self, real, name, source):
        """A directory is handed over flat: every file below it as NAME_FOLDER_FILE; links are left out."""
        if os.path.islink(source):
            return
        if os.path.isdir(source):
            for entry in os.listdir(source):
                self._load(real, f"{name}_{entry}", os.path.join(source, entry))
            return
        with open(source, "rb") as secret, open(os.path.join(real, name), "xb") as credential:
            credential.write(secret.read())
        os.chown(os.path.join(real, name), *self.owner)
        os.chmod(os.path.join(real, name), 0o400)

    def _prepare(self):
        self.owner = self.root.user(self.unit.one("User"))
        assert self.owner is not None, f"there is no user {self.unit.one('User')}"
        notify = "/run/notify." + self.name
        if os.path.lexists(self.root.inside(notify)):
            os.unlink(self.root.inside(notify))
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.root.inside(notify))
        os.chmod(self.root.inside(notify), 0o777)
        self.environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8",
            "USER": self.unit.one("User"), "LOGNAME": self.unit.one("User"), "NOTIFY_SOCKET": notify,
            "WATCHDOG_USEC": str(seconds(self.unit.one("WatchdogSec")) * 1_000_000),
            "STATE_DIRECTORY": self._folder("/var/lib", "StateDirectory"),
            "RUNTIME_DIRECTORY": self._folder("/run", "RuntimeDirectory"),
            "CREDENTIALS_DIRECTORY": self._credentials(),
        }

    def _command(self, line):
        """The words of a command line; ${NAME} is taken from the environment, as systemd does."""
        words = shlex.split(line)
        assert words[0].startswith("/"), f"no absolute path: {line}"
        return [re.sub(r"\$\{(\w+)\}", lambda match: self.environment[match[1]], word) for word in words]

    def _launch(self, line):
        drop = ["setpriv", f"--reuid={self.owner[0]}", f"--regid={self.owner[1]}", "--init-groups", "--no-new-privs",
                "--bounding-set=-all", "--inh-caps=-all", "--"]
        with open(self.log, "ab") as log:
            return subprocess.Popen(["chroot", self.root.path, *drop, *self._command(line)], env=self.environment,
                                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, umask=int(self.unit.one("UMask"), 8))

    # ---- its life

    def start(self):
        self._prepare()
        self.notified = []
        for line in self.unit.all("ExecStartPre"):
            status = self._launch(line).wait(30)
            assert status == 0, f"{line}: exit status {status}\n{self.said()}"
        self.process = self._launch(self.unit.one("ExecStart"))
        self.environment["MAINPID"] = str(self.process.pid)
        self.wait_notified("READY=1", min(60, seconds(self.unit.one("TimeoutStartSec"))))
        self.wait_notified("WATCHDOG=1", 10)

    @property
    def pid(self):
        return self.process.pid

    def reload(self):
        self.notified = []
        status = self._launch(self.unit.one("ExecReload")).wait(10)
        assert status == 0, f"ExecReload: exit status {status}\n{self.said()}"
        self.wait_notified("RELOADING=1", 10)
        self.wait_notified("READY=1", 10)
        assert any(line.startswith("MONOTONIC_USEC=") for line in self.notified)

    def stop(self):
        """The exit status."""
        self.process.terminate()
        self.wait_notified("STOPPING=1", 10)
        status = self.process.wait(seconds(self.unit.one("TimeoutStopSec")))
        self.close()
        subprocess.run(["rm", "-rf", self.root.inside(self.environment["RUNTIME_DIRECTORY"]),
                        self.root.inside(self.environment["CREDENTIALS_DIRECTORY"])], check=True)
        return status

    def close(self):
        """Ends it, however it is."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process is not None:
            self.socket.close()
            os.unlink(self.root.inside("/run/notify." + self.name))
        self.process = None

    def wait_notified(self, line, timeout):
        """Waits until it has told the notify socket that line."""
        deadline = time.monotonic() + timeout
        while line not in self.notified:
            self.socket.settimeout(0.1)
            try:
                self.notified += self.socket.recv(4096).decode().splitlines()
            except TimeoutError:
                assert self.process.poll() is None, f"{self.name} ended ({self.process.returncode})\n{self.said()}"
                assert time.monotonic() < deadline, f"{self.name} did not say {line}\n{self.said()}"

    def said(self):
        with open(self.log, encoding="utf-8") as log:
            return log.read()
