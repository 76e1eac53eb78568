# SPDX-License-Identifier: GPL-2.0-or-later
"""The chain, read from virpctl's export with nothing of ours but docs/formats/chain.md and frame.md: links, tree and the HMAC tags
are checked on the way, the latter as the published minimal receiver does (struct and hmac)."""
import base64
import dataclasses
import hashlib
import hmac
import json
import os
import struct
import tarfile

MAGIC = 0x56495250
V1_LE, V2 = 1, 4  # spellings
HMAC_SHA256, ED25519 = 1, 2


class Broken(Exception):
    """The export, or a frame in it, is not what it should be."""


@dataclasses.dataclass
class Frame:
    source: str
    entry: int
    epoch: int
    sequence: int
    kind: int
    tier: int
    time_ns: int
    received_us: int
    key_version: int
    flags: int
    payload: dict


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def tree_root(leaves):
    """RFC 9162, 2.1.1, by a stack of complete subtrees."""
    stack = []
    for leaf in leaves:
        size = 1
        while stack and stack[-1][0] == size:
            leaf = sha(b"\1", stack.pop()[1], leaf)
            size *= 2
        stack.append((size, leaf))
    root = stack.pop()[1]
    while stack:
        root = sha(b"\1", stack.pop()[1], root)
    return root


def key_of(folder, source, version):
    """As the published procedure says: 32 bytes are a key as they are, of text its characters are."""
    with open(os.path.join(folder, source, f"{version}.hmac"), "rb") as file:
        key = file.read()
    return key if len(key) == 32 else key.rstrip(b"\r\n")


def read_frame(header, frame, name, keys):
    """`header`: what the entry says of it."""
    spelling, checked, key_version = header[123], header[121], struct.unpack(">I", header[116:120])[0]
    magic, version, kind, tier, suite = struct.unpack(">IBBBB", frame[:8])
    if magic != MAGIC:
        raise Broken(f"{name}: no frame")
    if spelling == V1_LE and version == 1:
        time_ns, sequence, length = struct.unpack("<QII", frame[8:24])
        begin, tag = 24, 32
    elif spelling == V2 and version == 2:
        time_ns, sequence, length = struct.unpack(">QQI", frame[8:28])
        begin, tag = 64, 32 if suite == HMAC_SHA256 else 64
    else:
        raise Broken(f"{name}: spelling {spelling} of version {version}")
    if len(frame) != begin + length + tag:
        raise Broken(f"{name}: {len(frame)} bytes, {begin + length + tag} expected")
    if checked == HMAC_SHA256:
        wanted = hmac.new(key_of(keys, name, key_version), frame[:-32], hashlib.sha256).digest()
        if not hmac.compare_digest(wanted, frame[-32:]):
            raise Broken(f"{name}: number {sequence} has a bad tag")
    return kind, tier, time_ns, sequence, json.loads(frame[begin:begin + length])


class Chain:
    """Frames by source, each list in the order of (epoch, sequence); verified counts."""

    def __init__(self, path, keys):
        self.frames, self.own, self.tags = {}, [], {HMAC_SHA256: 0, ED25519: 0}
        self.v1 = 0
        with tarfile.open(path) as tar:
            note = tar.extractfile("checkpoint").read()
            names = json.loads(tar.extractfile("keys.json").read())
            bundles = b"".join(tar.extractfile(member).read() for member in tar if member.name.startswith("tile/entries/"))
        self.origin, size, root = note.split(b"\n")[:3]
        sources = {sha(each["source"].encode())[:8]: each["source"] for each in names["sources"]}
        sources[sha(self.origin)[:8]] = self.origin.decode()
        leaves, at = [], 0
        before = sha(b"\0", b"onode/1 genesis\n" + self.origin + b"\n")
        while at < len(bundles):
            length = struct.unpack(">H", bundles[at:at + 2])[0]
            entry = bundles[at + 2:at + 2 + length]
            at += 2 + length
            if entry[:32] != b"onode/1\n" + sha(self.origin)[:16] + len(leaves).to_bytes(8, "big") or entry[32:64] != before:
                raise Broken(f"entry {len(leaves)} does not follow on the one before")
            before = sha(b"\0", entry)
            self.take(sources, len(leaves), entry, keys)
            leaves.append(before)
        self.size = len(leaves)
        if self.size != int(size) or base64.b64encode(tree_root(leaves)) != root:
            raise Broken("the entries do not give the checkpoint's root")
        for frames in self.frames.values():
            frames.sort(key=lambda frame: (frame.epoch, frame.sequence))

    def take(self, sources, number, entry, keys):
        received_us, source, epoch, sequence = struct.unpack(">Q8sQQ", entry[64:96])
        name = sources.get(source)
        if name is None:
            raise Broken(f"entry {number}: of a source that nobody registered")
        kind, tier, time_ns, said, payload = read_frame(entry[:128], entry[128:], name, keys)
        if said != sequence:
            raise Broken(f"entry {number}: number {sequence}, the frame says {said}")
        self.tags[entry[121]] += 1
        self.v1 += entry[123] == V1_LE
        frame = Frame(name, number, epoch, sequence, kind, tier, time_ns, received_us, struct.unpack(">I", entry[116:120])[0],
                      entry[122], payload)
        if name == self.origin.decode():
            self.own.append(frame)
        else:
            self.frames.setdefault(name, []).append(frame)

    def epochs(self, source):
        """{epoch: frames}, oldest first."""
        out = {}
        for frame in self.frames.get(source, []):
            out.setdefault(frame.epoch, []).append(frame)
        return out
