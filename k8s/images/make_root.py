#!/usr/bin/python3
"""Makes the file system of one image out of the packages that are installed where this runs.

make_root.py PROGRAM FOLDER

In it: the program, the shared libraries of all packages that its own depends on, their licences, dpkg's records of them where
scanners look (/var/lib/dpkg/status.d), a list of all that (/usr/share/virp/sbom.spdx.json), a user, and authorities of the web
where the program asks web servers. Not in it: a shell, a package manager, anything else that can be run.
Times are those of SOURCE_DATE_EPOCH, so the same packages make the same file system."""

import os
import re
import shutil
import subprocess
import sys

import sbom

USER = 10001
# What packages depend on for being configured. Nothing is configured in an image.
NOT_NEEDED = {"adduser", "debconf"}
# Taken for data that no dependency names.
AUTHORITIES = {"virp-keymgr", "virp-rtr-bridge"}  # webhook; VRPs over HTTPS
KEPT = re.compile(r"""(/usr)?/lib/[a-z0-9_]+-linux-gnu[a-z0-9]*/[^/]+\.so(\.[^/]+)?   # libraries; no plugins but the next
                    | (/usr)?/lib/[a-z0-9_]+-linux-gnu[a-z0-9]*/ossl-modules/[^/]+\.so
                    | (/usr)?/lib(64|32)?/ld-linux[^/]*
                    | /usr/share/doc/[^/]+/copyright
                    | /usr/share/virp/.*
                    | /usr/share/common-licenses/.*
                    | (/usr/lib|/etc)/os-release
                    | /etc/(debian_version|services|protocols)""", re.VERBOSE)
FILES = {
    "/etc/passwd": f"root:x:0:0:root:/:/nonexistent\nvirp:x:{USER}:{USER}:VIRP:/nonexistent:/nonexistent\n",
    "/etc/group": f"root:x:0:\nvirp:x:{USER}:\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n",
}
MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")  # links to their namesakes in /usr, as in Debian


def alternatives(field):
    return [[re.split(r"[\s(:\[]", name.strip())[0] for name in entry.split("|")] for entry in field.split(",") if entry.strip()]


def closure(program, packages):
    """Names of the package and of all that it depends on."""
    provided = {}
    for name, package in packages.items():
        for entry in alternatives(package.get("Provides", "")):
            provided.setdefault(entry[0], name)
    found, waiting = set(), [[program]]
    while waiting:
        entry = waiting.pop()
        if NOT_NEEDED.intersection(entry):
            continue
        name = next((n if n in packages else provided[n] for n in entry if n in packages or n in provided), None)
        if name is None:
            sys.exit(f"make_root: {' | '.join(entry)} is depended on and not installed")
        if name not in found:
            found.add(name)
            waiting += alternatives(packages[name].get("Pre-Depends", "")) + alternatives(packages[name].get("Depends", ""))
    return found


def real(folder, path):
    """Where `path` of the image is below `folder`: through the links of a merged /usr."""
    first = path.split("/")[1]
    return folder + ("/usr" if first in MERGED else "") + path


def copy(path, folder):
    to = real(folder, path)
    os.makedirs(os.path.dirname(to), exist_ok=True)
    if os.path.islink(path):
        if not os.path.lexists(to):
            os.symlink(os.readlink(path), to)
    elif os.path.isfile(path):
        shutil.copyfile(path, to)
        os.chmod(to, 0o755 if os.access(path, os.X_OK) else 0o644)


def status_d(package):
    """One paragraph as in dpkg's status, without what is about its installation."""
    return "".join(f"{field}: " + value.replace("\n", "\n ") + "\n" for field, value in package.items() if field != "Conffiles")


def fill(program, names, packages, folder):
    for link in MERGED:
        if os.path.isdir("/usr/" + link):
            os.makedirs(f"{folder}/usr/{link}", exist_ok=True)
            os.symlink("usr/" + link, f"{folder}/{link}")
    for name in sorted(names):
        listed = subprocess.run(["dpkg", "-L", name], capture_output=True, text=True, check=True).stdout
        for path in listed.splitlines():
            if KEPT.fullmatch(path) or (name == program and path == f"/usr/bin/{program}"):
                copy(path, folder)
    if "ca-certificates" in names:
        copy("/etc/ssl/certs/ca-certificates.crt", folder)
    for path, text in FILES.items():
        os.makedirs(os.path.dirname(folder + path), exist_ok=True)
        with open(folder + path, "w", encoding="utf-8") as out:
            out.write(text)
    for path in ("/etc/virp", "/proc", "/sys", "/dev", "/run", "/var/lib", "/tmp"):
        os.makedirs(folder + path, exist_ok=True)
    os.chmod(folder + "/tmp", 0o1777)


def records(program, names, packages, folder, epoch):
    os.makedirs(folder + "/var/lib/dpkg/status.d")
    for name in names:
        with open(f"{folder}/var/lib/dpkg/status.d/{name}", "w", encoding="utf-8") as out:
            out.write(status_d(packages[name]))
    with open("/etc/os-release", encoding="utf-8") as release:
        version = re.search(r'^VERSION_ID="?([^"\n]*)', release.read(), re.MULTILINE).group(1)
    with open(f"{folder}/usr/bin/{program}", "rb") as binary:
        document = sbom.spdx(program, [packages[name] for name in names], binary.read(), f"debian-{version}", epoch)
    os.makedirs(folder + "/usr/share/virp", exist_ok=True)
    sbom.write(folder + "/usr/share/virp/sbom.spdx.json", document)


def main():
    program, folder = sys.argv[1:]
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or 0)
    with open("/var/lib/dpkg/status", encoding="utf-8") as status:
        packages = {package["Package"]: package for package in sbom.paragraphs(status.read())}
    names = closure(program, packages) | {"base-files", "netbase"} | ({"ca-certificates"} if program in AUTHORITIES else set())
    os.umask(0o022)
    os.makedirs(folder)
    fill(program, names, packages, folder)
    records(program, names, packages, folder, epoch)
    # A library that is missing is noticed here, not where the image is run.
    subprocess.run(["chroot", folder, f"/usr/bin/{program}", "--version"], check=True)
    for where, folders, files in os.walk(folder):
        for name in folders + files + ["."]:
            os.utime(os.path.join(where, name), (epoch, epoch), follow_symlinks=False)


if __name__ == "__main__":
    main()
