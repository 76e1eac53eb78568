#!/usr/bin/python3
"""Looks at images that were saved, and starts them: check.py [--run] ARCHIVE...

What is in one: one program and libraries, nothing else that can be run, nobody's rights raised; labels; an SBOM that names this
program by its hash and the same packages as dpkg's records. --run: podman starts it as it is meant to be run (uid 10001, read-only,
no capability, no network), and it says its version. Exit 1 names what is wrong."""

import hashlib
import json
import stat
import subprocess
import sys

import cat_image

LABELS = ("title", "description", "version", "revision", "created", "source", "licenses")
TOOLS = {"sh", "bash", "dash", "busybox", "perl", "python3", "apt", "apt-get", "dpkg", "cc", "gcc", "g++", "ld", "make", "curl", "ldconfig"}


def what_is_wrong(image):
    config = image.config["config"]
    program = (config.get("Entrypoint") or ["/"])[0]
    name = program.rpartition("/")[2]
    if program != f"/usr/bin/{name}" or program[1:] not in image.files:
        yield f"its entry point is {config.get('Entrypoint')}"
        return
    if config.get("User") != "10001:10001":
        yield f"runs as {config.get('User')}"
    if config.get("Cmd") or config.get("Volumes"):
        yield "has a command or volumes of its own"
    for label in LABELS:
        if not (config.get("Labels") or {}).get(f"org.opencontainers.image.{label}"):
            yield f"no label {label}"
    yield from _files(image, name)
    yield from _sbom(image, name)


def _files(image, name):
    for path, (member, _) in image.files.items():
        if member.issym():
            continue
        if member.mode & (stat.S_ISUID | stat.S_ISGID):
            yield f"{path} raises rights"
        if member.mode & stat.S_IWOTH and path != "tmp":
            yield f"{path} can be written by all"
        if member.uid or member.gid:
            yield f"{path} is not root's"
        if member.isfile() and path != f"usr/bin/{name}" and (path.rpartition("/")[2] in TOOLS or "bin/" in path):
            yield f"{path} is in it"
        if member.isfile() and image.read(path)[:2] == b"#!":
            yield f"{path} is a script"


def _sbom(image, name):
    if "usr/share/virp/sbom.spdx.json" not in image.files:
        yield "no SBOM"
        return
    document = json.loads(image.read("usr/share/virp/sbom.spdx.json"))
    sums = {one["algorithm"]: one["checksumValue"] for one in document["files"][0]["checksums"]}
    if sums["SHA256"] != hashlib.sha256(image.read(f"usr/bin/{name}")).hexdigest():
        yield "the SBOM is of another program"
    listed = {package["name"] for package in document["packages"]}
    recorded = {path.rpartition("/")[2] for path in image.files if path.startswith("var/lib/dpkg/status.d/")}
    if listed != recorded or name not in listed or "libc6" not in listed:
        yield f"SBOM and dpkg's records differ: {sorted(listed ^ recorded)}"


def start(archive, image):
    """What is wrong when it is run; "" when nothing is."""
    loaded = subprocess.run(["podman", "pull", "--quiet", f"oci-archive:{archive}"], capture_output=True, text=True, check=True).stdout.strip()
    run = ["podman", "run", "--rm", "--read-only", "--cap-drop=all", "--security-opt=no-new-privileges", "--network=none", loaded]
    done = subprocess.run([*run, "--version"], capture_output=True, text=True, check=False, timeout=60)
    version = image.config["config"]["Labels"]["org.opencontainers.image.version"]
    return "" if done.returncode == 0 and done.stdout.split()[-1:] == [version] else f"--version: {done.returncode} {done.stdout}{done.stderr}"


def main():
    arguments = sys.argv[1:]
    really = "--run" in arguments
    failed = False
    for archive in [argument for argument in arguments if argument != "--run"]:
        image = cat_image.Image(archive)
        wrong = list(what_is_wrong(image)) + ([started] if really and (started := start(archive, image)) else [])
        failed = failed or bool(wrong)
        size = sum(member.size for member, _ in image.files.values() if member.isfile())
        print(f"{archive}: " + ("; ".join(wrong) or f"in order, {len(image.files)} files, {size / 1e6:.0f} MB"))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
