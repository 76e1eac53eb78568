#!/usr/bin/env python3
"""Runs verify_evidence.py over what evidence_interop_test emitted: each file as it is, and with each byte changed.

usage: check_evidence.py DIRECTORY    The directory holds cases.json: key and list of [kind, files]; export.tar; claim.tar.
"""
import hashlib
import json
import os
import sys
import tarfile

import verify_evidence as verify


def refused(key, kind, content):
    try:
        verify.check(key, kind, *content)
    except Exception as error:  # whatever stops it: it must not say yes
        return error
    return None


def changes(good):
    """Each byte changed in two ways; numbers changed as numbers."""
    if good.isdigit():
        return [b"%d" % (int(good) + 1), b"%d" % (int(good) ^ 1)]
    return [good[:at] + bytes([good[at] ^ flip]) + good[at + 1:] for at in range(len(good)) for flip in (1, 0x20)]


def check_case(key, kind, files):
    content = [name.encode() if name.isdigit() else open(name, "rb").read() for name in files]
    error = refused(key, kind, content)
    assert error is None, "%s %s: %r" % (kind, files, error)
    count = 0
    for place, good in enumerate(content):
        for at, bad in enumerate(changes(good)):
            assert refused(key, kind, content[:place] + [bad] + content[place + 1:]), \
                "%s: change %d of %s still verified" % (kind, at, files[place])
            count += 1
    return count


def node(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


def root(hashes):
    if len(hashes) == 1:
        return hashes[0]
    split = 1 << (len(hashes) - 1).bit_length() - 1
    return node(root(hashes[:split]), root(hashes[split:]))


def check_export(key):
    """Another implementation of tar, and of the tree, reads our export."""
    with tarfile.open("export.tar") as tar:
        files = {member.name: tar.extractfile(member).read() for member in tar}
    _, size, expected = verify.checkpoint(key, files.pop("checkpoint"))
    assert json.loads(files.pop("keys.json"))["checkpoint_keys"] == [key]
    leaves = []
    for name in sorted(name for name in files if name.startswith("tile/entries/")):
        bundle = files.pop(name)
        while bundle:
            length = int.from_bytes(bundle[:2], "big")
            leaves.append(hashlib.sha256(b"\0" + bundle[2:2 + length]).digest())
            bundle = bundle[2 + length:]
    assert len(leaves) == size and root(leaves) == expected
    level, row = 0, leaves
    while row:
        for index in range(0, len(row), 256):
            tile = row[index:index + 256]
            name = "tile/%d/%03d" % (level, index // 256) + (".p/%d" % len(tile) if len(tile) < 256 else "")
            assert files.pop(name) == b"".join(tile), name
        row = [root(row[at:at + 256]) for at in range(0, len(row) - 255, 256)]
        level += 1
    assert not files, files.keys()
    return size


def check_claim(key):
    with tarfile.open("claim.tar") as tar:
        members = [(member.name, tar.extractfile(member).read()) for member in tar]
    assert members[0][0] == "claim.json" and json.loads(members[0][1])["verdict"] == "CONFIRMED"
    for name, text in members[1:]:
        verify.proof(key, text)
        assert name == "proof/%020d.tlog-proof" % int(text.split(b"index ")[1].split(b"\n")[0])
    return len(members) - 1


def main():
    os.chdir(sys.argv[1])
    with open("cases.json") as file:
        cases = json.load(file)
    changed = sum(check_case(cases["key"], kind, files) for kind, files in cases["cases"])
    print("%d cases verified, %d changed bytes refused" % (len(cases["cases"]), changed))
    print("export of %d entries, claim of %d proofs" % (check_export(cases["key"]), check_claim(cases["key"])))


if __name__ == "__main__":
    main()
