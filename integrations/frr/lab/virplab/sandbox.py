# SPDX-License-Identifier: GPL-2.0-or-later
"""A lab's own namespaces: network, mounts, processes. Its files are in memory, its first process takes all others along when it
ends, however that comes: nothing stays behind."""
import ctypes
import os
import shutil
import signal
import sys
import tempfile
import traceback

NEWNS, NEWUSER, NEWPID, NEWNET = 0x00020000, 0x10000000, 0x20000000, 0x40000000
MS_REC, MS_PRIVATE = 0x4000, 1 << 18
PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None, use_errno=True)


class LabError(Exception):
    """Something that ends the lab, in words."""


def call(name, *arguments):
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise LabError(f"{name}: {os.strerror(number)}; the lab needs network, mount and PID namespaces of its own")


def separate():
    """This process's children are in namespaces of their own; who is not root becomes root of those only."""
    user, group = os.geteuid(), os.getegid()
    call("unshare", NEWNS | NEWPID | NEWNET | (NEWUSER if user != 0 else 0))
    if user != 0:
        for file, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
            with open(f"/proc/self/{file}", "w", encoding="ascii") as out:
                out.write(text)
    call("mount", None, b"/", None, MS_REC | MS_PRIVATE, None)


class Stop(Exception):
    """A signal asked the lab to end."""


def first_process(home, work):
    """The lab itself: process 1 of its namespaces."""
    call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()
    call("mount", b"proc", b"/proc", b"proc", 0, None)

    def stop(number, frame):
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        raise Stop(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        return work(home)
    except Stop as why:
        return 128 + why.args[0]
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr, flush=True)
        return 1
    except Exception:
        traceback.print_exc()
        return 1


def keep_files(home):
    """What everybody said, for whoever looks for the reason."""
    out = tempfile.mkdtemp(prefix="virp-lab-failed.")
    wanted = (".log", ".conf", ".json", ".tar", ".txt")
    for folder, _, names in os.walk(home):
        for name in names:
            if name.endswith(wanted) and "pki" not in folder:
                to = os.path.join(out, os.path.relpath(folder, home))
                os.makedirs(to, exist_ok=True)
                shutil.copy(os.path.join(folder, name), to)
    return out


def run(work, started=None):
    """work(home) as process 1 of the lab; its status. `started(pid)` learns its number outside."""
    home = tempfile.mkdtemp(prefix="virp-lab.")  # mode 0700
    try:
        if len(home) > 60:
            raise LabError(f"{home} is too long for sockets below it; set TMPDIR")
        separate()
        call("mount", b"tmpfs", home.encode(), b"tmpfs", 0, b"mode=0700")
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            status = first_process(home, work)
            sys.stdout.flush()
            os._exit(status)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda number, frame: os.kill(pid, number))
        if started:
            started(pid)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if 0 < status < 128:
            print(f"lab: what everybody said is in {keep_files(home)}", file=sys.stderr)
        libc.umount2(home.encode(), 2)
        return status if status >= 0 else 128 - status
    finally:
        if os.path.isdir(home):
            os.rmdir(home)
