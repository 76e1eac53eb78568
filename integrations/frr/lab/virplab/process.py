# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs that the lab runs, each with its output in a file."""
import os
import subprocess
import time

from virplab.sandbox import LabError


def clean_environment():
    return {name: value for name, value in os.environ.items() if not name.startswith("VIRP")}


def wait_for(what, condition, patience=60.0, every=0.1):
    """Until the condition holds; its value."""
    deadline = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise LabError(f"waited {patience:.0f} s in vain: {what}")
        time.sleep(every)


class Process:
    """One program; may be started again."""

    def __init__(self, name, log, arguments=None):
        self.name, self.log, self.arguments = name, log, arguments
        self.child = None

    def start(self):
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(self.arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                          env=clean_environment())

    @property
    def running(self):
        return self.child is not None and self.child.poll() is None

    def need(self):
        if self.child is not None and self.child.poll() is not None:
            raise LabError(f"{self.name} has ended with {self.child.returncode}: {self.said()[-2000:]}")

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def kill(self):
        self.child.kill()
        self.child.wait()
        self.child = None

    def stop(self, patience=30):
        if self.child is None:
            return
        self.child.terminate()
        try:
            status = self.child.wait(patience)
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise LabError(f"{self.name} did not end within {patience} s") from error
        self.child = None
        if status not in (0, -15):
            raise LabError(f"{self.name} ended with {status}: {self.said()[-2000:]}")

    def cpu_seconds(self):
        with open(f"/proc/{self.child.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_kib(self):
        with open(f"/proc/{self.child.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * 4
