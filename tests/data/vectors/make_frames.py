#!/usr/bin/env python3
"""Writes frames.json: known-answer vectors for docs/formats/frame.md. Independent of the platform's own code."""
import hashlib, hmac, json, struct, sys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

MAGIC = 0x56495250
TS = 1750000000000000001

def payload(obj):
    return json.dumps(obj, separators=(",", ":")).encode()

UP = payload({"domain": "bgp", "event": "peer_state_change", "peer": "edge-b", "peer_addr": "192.0.2.2", "peer_as": 64501,
              "local_as": 64500, "old_state": "OpenConfirm", "new_state": "Established", "router_id": "192.0.2.1"})
DOWN = payload({"domain": "bgp", "event": "peer_down", "peer": "edge-b", "peer_addr": "192.0.2.2", "peer_as": 64501,
                "local_as": 64500, "last_state": "Established", "last_event": 20, "uptime": 3600, "router_id": "192.0.2.1"})
WITHDRAW = payload({"domain": "bgp", "event": "route_withdraw", "prefix": "2001:db8:42::/48", "peer": "edge-b",
                    "peer_addr": "2001:db8::2", "peer_as": 64501, "afi": 2, "safi": 1, "router_id": "192.0.2.1"})

def v1(kind, obs, tier, seq, body, key, reserved=0, ts=TS):
    order = "<" if kind == "v1-le" else ">"
    head = struct.pack(">IBBBB", MAGIC, 1, obs, tier, reserved) + struct.pack(order + "QII", ts, seq, len(body))
    if kind == "v1-producer":
        head += struct.pack(">I", 0xC0000201)
    return head + body + hmac.new(key, head + body, hashlib.sha256).digest()

def v2(suite, obs, tier, seq, body, key, keyver, epoch, source, ts=TS):
    head = struct.pack(">IBBBBQQIIQ16sQ", MAGIC, 2, obs, tier, suite, ts, seq, len(body), keyver, epoch,
                       hashlib.sha256(source.encode()).digest()[:16], 0)
    assert len(head) == 64
    if suite == 1:
        return head + body + hmac.new(key, head + body, hashlib.sha256).digest()
    return head + body + Ed25519PrivateKey.from_private_bytes(key).sign(head + body)

TEXT_KEY = b"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
RAW_KEY = bytes(range(32))
ED_SEED = bytes(range(32, 64))
SOURCE = "edge-a.bgpd"
out = {"about": "key_hex is the HMAC key, or the Ed25519 seed for suite 2; a text key is the bytes of its characters",
       "ed25519_public_hex": Ed25519PrivateKey.from_private_bytes(ED_SEED).public_key().public_bytes(
           Encoding.Raw, PublicFormat.Raw).hex(),
       "source": SOURCE, "source_id_hex": hashlib.sha256(SOURCE.encode()).digest()[:16].hex(), "valid": [], "invalid": []}

def add(where, name, frame, key, **more):
    out[where].append({"name": name, "key_hex": key.hex(), "frame_hex": frame.hex(), **more})

for kind in ("v1-le", "v1-be", "v1-producer"):
    for obs, tier, seq, body in ((1, 0, 1, UP), (2, 1, 2, DOWN), (3, 0, 3, WITHDRAW)):
        add("valid", f"{kind} type {obs}", v1(kind, obs, tier, seq, body, TEXT_KEY), TEXT_KEY, spelling=kind, type=obs, tier=tier,
            sequence=seq, timestamp_ns=TS, payload=body.decode())
add("valid", "v1-le raw key", v1("v1-le", 2, 1, 7, DOWN, RAW_KEY), RAW_KEY, spelling="v1-le", type=2, tier=1, sequence=7,
    timestamp_ns=TS, payload=DOWN.decode())
add("valid", "v1-le empty payload", v1("v1-le", 1, 0, 8, b"", RAW_KEY), RAW_KEY, spelling="v1-le", type=1, tier=0, sequence=8,
    timestamp_ns=TS, payload="")
for suite, key in ((1, RAW_KEY), (2, ED_SEED)):
    add("valid", f"v2 suite {suite}", v2(suite, 2, 1, 9, DOWN, key, 3, TS - 5, SOURCE), key, spelling="v2", suite=suite, type=2,
        tier=1, sequence=9, timestamp_ns=TS, key_version=3, boot_epoch=TS - 5, payload=DOWN.decode())

good = v1("v1-le", 2, 1, 2, DOWN, TEXT_KEY)
good2 = v2(1, 2, 1, 9, DOWN, RAW_KEY, 3, TS - 5, SOURCE)
def flip(frame, at, mask=1):
    b = bytearray(frame); b[at] ^= mask; return bytes(b)
for name, frame, key, why in (
        ("v1 tier lowered from YELLOW to GREEN", flip(good, 6), TEXT_KEY, "tag"),
        ("v1 timestamp changed", flip(good, 9), TEXT_KEY, "tag"),
        ("v1 payload bit flipped", flip(good, 40), TEXT_KEY, "tag"),
        ("v1 tag bit flipped", flip(good, len(good) - 1, 0x80), TEXT_KEY, "tag"),
        ("v1 wrong key", good, RAW_KEY, "tag"),
        ("bad magic", flip(good, 0), TEXT_KEY, "shape"),
        ("unknown version", flip(good, 4, 8), TEXT_KEY, "shape"),
        ("tier 4", flip(good, 6, 5), TEXT_KEY, "shape"),
        ("cut short", good[:-1], TEXT_KEY, "shape"),
        ("one byte too many", good + b"\0", TEXT_KEY, "shape"),
        ("length beyond the limit", good[:20] + b"\xff\xff\xff\xff" + good[24:], TEXT_KEY, "shape"),
        ("v2 reserved not zero", flip(good2, 60), RAW_KEY, "shape"),
        ("v2 unknown suite", flip(good2, 7, 4), RAW_KEY, "shape"),
        ("v2 key version changed", flip(good2, 31), RAW_KEY, "tag"),
        ("v2 source id changed", flip(good2, 41), RAW_KEY, "tag")):
    add("invalid", name, frame, key, fails=why)
json.dump(out, open(sys.argv[1] if len(sys.argv) > 1 else "frames.json", "w"), indent=1)
