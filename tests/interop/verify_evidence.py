#!/usr/bin/env python3
"""Verifies evidence of a VIRP chain with nothing of ours (docs/formats/chain.md). exit 0: verified; 1: refused, reason on stderr
usage: verify_evidence.py KEY checkpoint NOTE | inclusion NOTE ENTRY INDEX HASHES | consistency OLD_NOTE NOTE HASHES | proof FILE
KEY is the chain's verifier key (name+id+base64), HASHES a file with one base64 hash a line."""
import base64
import hashlib
import sys
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

def sha(*parts): return hashlib.sha256(b"".join(parts)).digest()
def need(condition, why):
    if not condition: raise ValueError(why)
def unbase64(text, size):
    raw = base64.b64decode(text, validate=True)
    need(base64.b64encode(raw) == text and size in (None, len(raw)), "not canonical base64 of the right length")
    return raw
def number(text):
    need(text.isdigit() and str(int(text)).encode() == text, "not a decimal number")
    return int(text)
def hashes(text): return [unbase64(line, 32) for line in text.split(b"\n")[:-1]]

def checkpoint(key, note):  # c2sp.org/signed-note, c2sp.org/tlog-checkpoint
    name, key_id, key = key.encode().split(b"+", 2)
    key, key_id = unbase64(key, 33), bytes.fromhex(key_id.decode())
    need(key[:1] == b"\1" and sha(name, b"\n", key)[:4] == key_id, "not a verifier key")
    text, signatures = note.rsplit(b"\n\n", 1)
    origin, size, root = text.split(b"\n")
    mine = [line for line in signatures.split(b"\n")[:-1] if line.startswith("\u2014 ".encode() + name + b" ")]
    signature = unbase64(mine[0].split(b" ", 2)[2], 68)
    need(origin == name and signature[:4] == key_id, "not signed with this key")
    Ed25519PublicKey.from_public_bytes(key[1:]).verify(signature[4:], text + b"\n")
    return origin, number(size), unbase64(root, 32)

def climb(at, last, path, seeds):  # RFC 9162, 2.1.3.2 and 2.1.4.2: a sibling on the right belongs to the newer tree only
    for sibling in path:
        need(last > 0, "the proof is too long")
        if at & 1 or at == last:
            seeds = [sha(b"\1", sibling, seed) for seed in seeds]
            while not at & 1 and at: at, last = at >> 1, last >> 1
        else:
            seeds[-1] = sha(b"\1", seeds[-1], sibling)
        at, last = at >> 1, last >> 1
    need(last == 0, "the proof is too short")
    return seeds
def inclusion(entry, index, size, root, path):
    need(index < size and climb(index, size - 1, path, [sha(b"\0", entry)]) == [root], "the entry is not in this tree")
def consistency(old_size, old_root, size, root, path):
    if old_size == size: return need(old_root == root and not path, "two roots for one size")
    need(0 < old_size < size, "the newer tree is smaller, or the older one empty")
    at, last = old_size - 1, size - 1
    while at & 1: at, last = at >> 1, last >> 1
    start, *path = path if at else [old_root, *path]
    need(climb(at, last, path, [start, start]) == [old_root, root], "the tree does not extend the older one")

def proof(key, text):  # c2sp.org/tlog-proof with the entry in its extra line
    head, note = text.split(b"\n\n", 1)
    first, extra, index, path = (head + b"\n").split(b"\n", 3)
    need(first == b"c2sp.org/tlog-proof@v1" and extra[:6] == b"extra " and index[:6] == b"index ", "not a proof file")
    (origin, size, root), entry, index = checkpoint(key, note), unbase64(extra[6:], None), number(index[6:])
    inclusion(entry, index, size, root, hashes(path))
    need(entry[:32] == b"onode/1\n" + sha(origin)[:16] + index.to_bytes(8, "big"), "the entry is of another place")

def check(key, kind, *content):
    if kind == "checkpoint": checkpoint(key, content[0])
    if kind == "inclusion": inclusion(content[1], number(content[2]), *checkpoint(key, content[0])[1:], hashes(content[3]))
    if kind == "consistency": consistency(*checkpoint(key, content[0])[1:], *checkpoint(key, content[1])[1:], hashes(content[2]))
    if kind == "proof": proof(key, content[0])

if __name__ == "__main__":
    try:
        check(*sys.argv[1:3], *(name.encode() if name.isdigit() else open(name, "rb").read() for name in sys.argv[3:]))
    except (ValueError, IndexError, InvalidSignature) as error:
        sys.exit("refused: %r" % error)
