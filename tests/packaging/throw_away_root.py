"""A file system to install packages in and throw away: made of the files that this machine's own Debian packages consist
of, of those packages alone that the ones under test depend on. No network, no mounts; needs root (chroot, owners)."""

import os
import re
import shutil
import stat
import subprocess
import tempfile

LEFT_OUT = re.compile(r"^/usr/share/(doc|info|locale|man|zoneinfo)/.")


class Missing(Exception):
    """A package that is depended on and not installed here."""


def _installed():
    """name -> (name for dpkg, essential, [dependencies]), provided name -> name."""
    fields = ("Package", "binary:Package", "db:Status-Abbrev", "Essential", "Pre-Depends", "Depends", "Provides")
    shown = subprocess.run(["dpkg-query", "-W", "-f", "\\t".join("${%s}" % f for f in fields) + "\\n"],
                           check=True, capture_output=True, text=True).stdout
    packages, provided = {}, {}
    for line in shown.splitlines():
        name, full, status, essential, pre_depends, depends, provides = line.split("\t")
        if status.strip() != "ii":
            continue
        packages[name] = (full, essential == "yes", split(pre_depends) + split(depends))
        for entry in split(provides):
            provided.setdefault(entry[0], name)
    return packages, provided


def split(field):
    """'a (>= 1) | b, c' -> [[a, b], [c]]; of each the plain names."""
    entries = [entry.split("|") for entry in field.split(",") if entry.strip()]
    return [[re.split(r"[\s(:\[]", name.strip())[0] for name in entry] for entry in entries]


def closure(depends):
    """Names for dpkg of all that is essential, and of what the dependencies `depends` need, in no order."""
    packages, provided = _installed()
    wanted = [name for name, (_, essential, _) in packages.items() if essential]
    waiting = list(depends) + [entry for name in wanted for entry in packages[name][2]]
    found = set(wanted)
    while waiting:
        entry = waiting.pop()
        name = next((n if n in packages else provided[n] for n in entry if n in packages or n in provided), None)
        if name is None:
            raise Missing(" | ".join(entry))
        if name not in found:
            found.add(name)
            waiting += packages[name][2]
    return sorted(packages[name][0] for name in found)


class ThrowAwayRoot:
    """`with ThrowAwayRoot(dependencies) as root:`; root.path is the folder."""

    def __init__(self, depends):
        self.path = tempfile.mkdtemp(prefix="virp-root.")
        self.enter = None  # the command that leads inside; chroot when there is none
        try:
            self._fill(closure(depends))
        except BaseException:
            shutil.rmtree(self.path)
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path)

    def inside(self, path):
        return self.path + path

    def read(self, path):
        with open(self.inside(path), encoding="utf-8") as file:
            return file.read()

    def write(self, path, text, mode=0o644):
        with open(self.inside(path), "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self.inside(path), mode)

    def run(self, *command, check=True, **more):
        """As root, inside; what it said, both streams as one."""
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "DEBIAN_FRONTEND": "noninteractive",
                       "LC_ALL": "C.UTF-8"}
        done = subprocess.run([*(self.enter or ["chroot", self.path]), *command], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL, env=environment, timeout=120, check=False, **more)
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout}")
        return done

    def user(self, name):
        """(uid, gid), or None when there is no such user."""
        for line in self.read("/etc/passwd").splitlines():
            fields = line.split(":")
            if fields[0] == name:
                return int(fields[2]), int(fields[3])
        return None

    def tree(self, *without):
        """path -> (type and mode, uid, gid) of all there is, but below `without` and what the kernel shows. It may run meanwhile."""
        found = {}
        without += ("/proc", "/sys")
        for folder, folders, files in os.walk(self.path):
            here = folder[len(self.path):] or "/"
            folders[:] = [name for name in folders if os.path.join(here, name) not in without]
            for name in folders + files:
                try:
                    info = os.lstat(os.path.join(folder, name))
                except FileNotFoundError:
                    continue
                path = os.path.join(here, name)
                if path not in without:
                    found[path] = (stat.filemode(info.st_mode), info.st_uid, info.st_gid)
        return found

    # ---- how it is made

    def _fill(self, packages):
        os.chmod(self.path, 0o755)
        for link in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
            if os.path.islink("/" + link):
                os.symlink(os.readlink("/" + link), self.inside("/" + link))
                os.makedirs(self.inside("/usr/" + link), exist_ok=True)
        self._copy_files(packages)
        self._copy_database(packages)
        for name in ("passwd", "group"):
            shutil.copy(self.inside(f"/usr/share/base-passwd/{name}.master"), self.inside(f"/etc/{name}"))
        if not os.path.lexists(self.inside("/bin/sh")):
            os.symlink("dash", self.inside("/bin/sh"))
        for folder in ("/root", "/tmp", "/run", "/proc", "/dev", "/var/lib", "/var/log"):
            os.makedirs(self.inside(folder), exist_ok=True)
        os.chmod(self.inside("/tmp"), 0o1777)
        for name, minor in (("null", 3), ("zero", 5), ("random", 8), ("urandom", 9)):
            self._make_device("/dev/" + name, minor)
        self.run("ldconfig")

    def _copy_files(self, packages):
        listed = subprocess.run(["dpkg", "-L", *packages], check=True, capture_output=True, text=True).stdout
        paths = {line for line in listed.splitlines() if line.startswith("/") and line != "/." and not LEFT_OUT.match(line)}
        names = "".join(f".{path}\0" for path in sorted(paths) if os.path.lexists(path))
        with subprocess.Popen(["tar", "-C", "/", "--no-recursion", "--null", "-T", "-", "-cf", "-"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
            with subprocess.Popen(["tar", "-C", self.path, "--keep-directory-symlink", "-xpf", "-"], stdin=reader.stdout) as writer:
                reader.stdin.write(names.encode())
                reader.stdin.close()
                if writer.wait() != 0 or reader.wait() != 0:
                    raise OSError("cannot copy the packages' files")

    def _copy_database(self, packages):
        database = self.inside("/var/lib/dpkg")
        for folder in ("info", "updates", "triggers", "alternatives", "parts"):
            os.makedirs(os.path.join(database, folder), exist_ok=True)
        status = subprocess.run(["dpkg-query", "-s", *packages], check=True, capture_output=True, text=True).stdout
        with open(os.path.join(database, "status"), "w", encoding="utf-8") as file:
            file.write(status)
        for name in ("available", "diversions", "statoverride"):
            open(os.path.join(database, name), "w", encoding="utf-8").close()
        shutil.copy("/var/lib/dpkg/info/format", os.path.join(database, "info/format"))
        plain = {name.split(":")[0] for name in packages}
        for name in os.listdir("/var/lib/dpkg/info"):
            package = name.rsplit(".", 1)[0].split(":")[0]
            # Not the triggers: man-db's and systemd's are not what is tested here.
            if package in plain and not name.endswith(".triggers"):
                shutil.copy(os.path.join("/var/lib/dpkg/info", name), os.path.join(database, "info", name))

    def _make_device(self, path, minor):
        """Where devices cannot be made, or are not let work: a file."""
        path = self.inside(path)
        try:
            os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, minor))
            with open(path, "r+b", buffering=0):
                pass
        except OSError:
            if os.path.lexists(path):
                os.unlink(path)
            open(path, "wb").close()
        os.chmod(path, 0o666)
