# SPDX-License-Identifier: GPL-2.0-or-later
"""A lab that stays: it runs in the background and answers on a socket, one command a connection."""
import fcntl
import os
import shlex
import socket
import sys
import tempfile
import time

from virplab.sandbox import LabError


def place():
    """A folder of this user's own, for the one lab that stays."""
    folder = os.path.join(tempfile.gettempdir(), f"virp-lab-of-{os.geteuid()}")
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        pass
    seen = os.lstat(folder)
    if seen.st_uid != os.geteuid() or seen.st_mode & 0o177777 != 0o40700:
        raise LabError(f"{folder} is not a folder that only you may use")
    return folder


def path():
    return os.path.join(place(), "control")


def ask(words, patience=600):
    """What the lab answers: whether it was done, and its text."""
    with socket.socket(socket.AF_UNIX) as to:
        to.settimeout(patience)
        try:
            to.connect(path())
        except OSError as error:
            raise LabError("no lab is up; `lab up` starts one") from error
        to.sendall(shlex.join(words).encode() + b"\n")
        answer = b""
        while more := to.recv(65536):
            answer += more
    return answer[:1] == b"0", answer[1:].decode()


class Answers:
    """The lab's side."""

    def __init__(self, lab, day):
        self.lab, self.day = lab, day
        self.over = False

    def status(self):
        lines = [f"{'router':8} {'AS':>6} {'sessions':>9} {'routes':>7} {'signed':>8} {'queued':>7} {'lost':>6}  collector"]
        for bgpd in self.lab.routers.values():
            if not bgpd.process.running:
                lines.append(f"{bgpd.name:8} {bgpd.router.asn:>6} does not run")
                continue
            figures, routes = bgpd.figures(), len(bgpd.routes())
            lines.append(f"{bgpd.name:8} {bgpd.router.asn:>6} {len(bgpd.established()):>4} of {len(self.lab.topology.sessions(bgpd.router)):<2}"
                         f" {routes:>7} {figures['signed']:>8} {figures['queued']:>7} {figures['lost']:>6}"
                         f"  {'connected' if figures['connected'] else 'not connected'}")
        return "\n".join(lines) + "\n" + self.lab.services.virpctl("status", check=False).stdout

    def act(self, *names):
        self.day.live(names)
        return "done\n"

    def vty(self, name, *command):
        if name not in self.lab.routers:
            raise LabError(f"there is no router {name}")
        return self.lab.routers[name].show(" ".join(command))

    def virpctl(self, *arguments):
        done = self.lab.services.virpctl(*arguments, check=False)
        return done.stdout + done.stderr

    def compare(self):
        from virplab import evening
        findings = evening.close(self.lab, self.day, stop=False)
        return "".join(f"FINDING: {finding}\n" for finding in findings) or "nothing missing, nothing invented\n"

    def down(self):
        self.over = True
        return ""

    def answer(self, words):
        commands = {"status": self.status, "act": self.act, "vty": self.vty, "virpctl": self.virpctl, "compare": self.compare,
                    "down": self.down}
        try:
            if not words or words[0] not in commands:
                raise LabError(f"what is '{' '.join(words)}'?")
            return "0" + commands[words[0]](*words[1:])
        except (LabError, OSError, TypeError) as error:
            return f"1{error}\n"


def serve(lab, day):
    """Until somebody says `down`, or a signal ends it."""
    listener = socket.socket(socket.AF_UNIX)
    if os.path.exists(path()):
        os.unlink(path())
    listener.bind(path())
    listener.listen(4)
    answers = Answers(lab, day)
    try:
        while not answers.over:
            connection, _ = listener.accept()
            with connection:
                words = shlex.split(connection.makefile().readline())
                connection.sendall(answers.answer(words).encode())
    finally:
        os.unlink(path())


def in_background(run):
    """run() in a process of its own that outlives this one; returns when it answers, or with its status when it ended."""
    log = os.path.join(place(), "log")
    with open(os.path.join(place(), "lock"), "w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LabError("a lab is up already; `lab down` ends it") from error
        child = os.fork()
        if child == 0:
            os.setsid()
            out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            for number, to in enumerate((os.open("/dev/null", os.O_RDONLY), out, out)):
                os.dup2(to, number)
            os.set_inheritable(lock.fileno(), False)
            os._exit(run())
    while not os.path.exists(path()):
        if os.waitpid(child, os.WNOHANG)[0]:
            with open(log, encoding="utf-8") as said:
                sys.stderr.write(said.read())
            return 1
        time.sleep(0.1)
    with open(log, encoding="utf-8") as said:
        sys.stdout.write(said.read())
    return 0
