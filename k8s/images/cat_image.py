#!/usr/bin/python3
"""Shows what is in an image that was saved (OCI archive, or docker save's): without running it.

cat_image.py ARCHIVE              its files: mode, owner, size, path
cat_image.py ARCHIVE PATH         one of them
cat_image.py ARCHIVE --config     its configuration: user, labels, ports, how it starts"""

import gzip
import io
import json
import sys
import tarfile


class Image:
    def __init__(self, path):
        self._archive = tarfile.open(path)
        names = set(self._archive.getnames())
        if "index.json" in names:
            manifest = self._json("blobs/" + self._json("index.json")["manifests"][0]["digest"].replace(":", "/"))
            self.config = self._json("blobs/" + manifest["config"]["digest"].replace(":", "/"))
            layers = ["blobs/" + layer["digest"].replace(":", "/") for layer in manifest["layers"]]
        else:
            manifest = self._json("manifest.json")[0]
            self.config, layers = self._json(manifest["Config"]), manifest["Layers"]
        self.files = {}  # path -> (TarInfo, layer); the topmost
        for layer in layers:
            tar = tarfile.open(fileobj=io.BytesIO(self._plain(self._archive.extractfile(layer).read())))
            for member in tar:
                name = member.name.removeprefix("./").rstrip("/")
                if "/.wh." in "/" + name:
                    self.files.pop(name.replace(".wh.", "", 1), None)
                elif name and name != ".":
                    self.files[name] = (member, tar)

    def read(self, path):
        member, layer = self.files[path]
        if member.issym():
            base = path.rpartition("/")[0]
            return self.read(_normal(base, member.linkname))
        return layer.extractfile(member).read()

    def _json(self, name):
        return json.load(self._archive.extractfile(name))

    @staticmethod
    def _plain(data):
        return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def _normal(base, link):
    parts = [] if link.startswith("/") else [part for part in base.split("/") if part]
    for part in link.split("/"):
        if part == "..":
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def main():
    image = Image(sys.argv[1])
    if sys.argv[2:] == ["--config"]:
        print(json.dumps(image.config, indent=1, sort_keys=True))
    elif len(sys.argv) == 3:
        sys.stdout.buffer.write(image.read(sys.argv[2]))
    else:
        for path, (member, _) in sorted(image.files.items()):
            print(f"{member.mode:04o} {member.uid}:{member.gid} {member.size:>9} {path}" + (f" -> {member.linkname}" if member.issym() else ""))


if __name__ == "__main__":
    main()
