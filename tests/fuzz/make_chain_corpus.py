#!/usr/bin/env python3
"""Writes the first seeds of the chain fuzz targets from tests/data/vectors/chain.json; merged findings were added to them."""
import base64
import hashlib
import io
import json
import pathlib
import tarfile

HERE = pathlib.Path(__file__).resolve().parent
CHAIN = json.loads((HERE.parent / "data/vectors/chain.json").read_text())["bytes"]
ENTRIES = [bytes.fromhex(row["entry_hex"]) for row in CHAIN["entries"]]
LEAVES = [bytes.fromhex(row["leaf_hash_hex"]) for row in CHAIN["entries"]]
NOTES = {row["size"]: row["note"].encode() for row in CHAIN["checkpoints"]}
KEYS = {"format": "virp export keys/1", "checkpoint_keys": [CHAIN["verifier_key"]], "sources": [
    {"source": "edge-a.bgpd", "keys": [{"version": 3, "suite": 1, "key_commitment": "00" * 32, "accept_from_ns": 1, "accept_until_ns": None}]},
    {"source": "a/b", "keys": [{"version": 1, "suite": 2, "public_key": "11" * 32, "accept_from_ns": 1, "accept_until_ns": 2}]}]}


def put(target, name, data):
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def b64(data):
    return base64.b64encode(data)


def proof_file(index, size):
    path = next(row["path_hex"] for row in CHAIN["inclusion"] if (row["size"], row["index"]) == (size, index))
    lines = [b"c2sp.org/tlog-proof@v1", b"extra " + b64(ENTRIES[index]), b"index %d" % index]
    return b"\n".join(lines + [b64(bytes.fromhex(hash)) for hash in path]) + b"\n\n" + NOTES[size]


def raw_tar(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return b"\0" + out.getvalue()


def listed(files):
    return b"\1" + b"".join(bytes([len(name)]) + name.encode() + len(content).to_bytes(2, "big") + content for name, content in files)


def root(hashes):
    if len(hashes) == 1:
        return hashes[0]
    split = 1 << (len(hashes) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + root(hashes[:split]) + root(hashes[split:])).digest()


def export(entries, note, keys):
    files, leaves = [("checkpoint", note), ("keys.json", keys)], [hashlib.sha256(b"\0" + e).digest() for e in entries]
    for at in range(0, len(leaves), 256):
        tile, width = leaves[at:at + 256], "" if at + 256 <= len(leaves) else ".p/%d" % (len(leaves) - at)
        files.append(("tile/0/%03d%s" % (at // 256, width), b"".join(tile)))
        files.append(("tile/entries/%03d%s" % (at // 256, width), b"".join(len(e).to_bytes(2, "big") + e for e in entries[at:at + 256])))
    if len(leaves) >= 256:
        above = [root(leaves[at:at + 256]) for at in range(0, len(leaves) - 255, 256)]
        files.append(("tile/1/000.p/%d" % len(above), b"".join(above)))
    return files


def main():
    for index, entry in enumerate(ENTRIES):
        put("chain_entry_fuzz", "entry-%d" % index, entry)
    for size in (1, 7, 12):
        put("chain_note_fuzz", "note-%d" % size, b"\0" + NOTES[size])
    put("chain_note_fuzz", "witnessed", b"\0" + NOTES[3] + "\u2014 witness.example.org/w1 SA4spQAAAABqsTuAt5Y=\n".encode())
    put("chain_note_fuzz", "key", b"\1" + CHAIN["verifier_key"].encode())
    put("chain_note_fuzz", "text", b"\2fuzz\n7\n" + b64(bytes(32)) + b"\n")
    put("chain_note_fuzz", "text-of-another", b"\2other\n7\n" + b64(bytes(32)) + b"\n")
    for index, size in ((0, 1), (3, 12), (11, 12)):
        put("chain_proof_fuzz", "proof-%d-%d" % (index, size), b"\0" + proof_file(index, size))
    for row in CHAIN["consistency"][::17]:
        hashes = b"".join(bytes.fromhex(hash) for hash in row["path_hex"])
        put("chain_proof_fuzz", "hashes-%d-%d" % (row["old"], row["new"]), b"\1" + row["old"].to_bytes(8, "big") + row["new"].to_bytes(8, "big") + hashes)
    keys = json.dumps(KEYS, separators=(",", ":")).encode()
    put("chain_export_fuzz", "keys", keys)
    for path in ("tile/0/x001/x234/067", "tile/3/000.p/5", "tile/entries/x001/000.p/255"):
        put("chain_export_fuzz", path.replace("/", "-"), path.encode())
    small = export(ENTRIES, NOTES[12], keys)
    many = [b"%d" % i for i in range(257)]
    large = export(many, NOTES[1], keys)
    leaves = [hashlib.sha256(b"\0" + entry).digest() for entry in many]
    large[0] = ("checkpoint", b"fuzz\n257\n" + b64(root(leaves)) + "\n\n\u2014 fuzz c2lnbmF0dXJl\n".encode())
    for name, files in (("12", small), ("257", large)):
        put("chain_export_fuzz", "raw-" + name, raw_tar(files))
        put("chain_export_fuzz", "listed-" + name, listed(files))
    claim = [("claim.json", b"{}")] + [("proof/%020d.tlog-proof" % at, proof_file(at, 12)) for at in (3, 5)]
    put("claim_bundle_fuzz", "raw", raw_tar(claim))
    put("claim_bundle_fuzz", "listed", listed(claim))
    put("claim_bundle_fuzz", "wrong-order", listed([claim[0], claim[2], claim[1]]))


if __name__ == "__main__":
    main()
