#!/usr/bin/env python3
"""Writes the first seeds of control_payload_fuzz and walk_fuzz: the examples of docs/formats/payloads.md, the vector chains, and
orders to a leader. Merged findings were added to them."""
import hashlib
import json
import pathlib
import random
import re

HERE = pathlib.Path(__file__).resolve().parent
VECTORS = json.loads((HERE.parent / "data/vectors/chain.json").read_text())
START = 1750000000000000000


def put(target, name, data):
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def js(value):
    return json.dumps(value, separators=(",", ":")).encode()


def examples():
    kind, inside = 0, False
    for line in (HERE.parent.parent / "docs/formats/payloads.md").read_text().splitlines():
        if match := re.match(r"### Type (\d+)", line):
            kind = int(match.group(1))
        if inside:
            yield kind, line.encode()
        inside = line == "```json"


def order(who, kind, number, epoch, time, tier, version, payload):
    return bytes([who, kind, number, epoch, time, tier, version]) + len(payload).to_bytes(2, "big") + payload


def epoch(n):
    return START + 1 + n * 10_000_000_000


def random_orders(rng):
    peer = js({"router_id": "192.0.2.1", "peer_addr": "192.0.2.2", "new_state": "Established"})
    beat = js({"sources": [{"source_id": hashlib.sha256(name).digest()[:16].hex(), "epoch": epoch(rng.randrange(4)), "last_sequence": rng.randrange(12),
                            "connected": True} for name in (b"edge-a.bgpd", b"old.bgpd")]})
    control = [
        (25, js({"event": "source_suspended", "source": "edge-a.bgpd"})), (25, js({"event": "source_resumed", "source": "edge-a.bgpd"})),
        (25, js({"event": "source_epoch_reset", "source": "edge-a.bgpd", "epoch": epoch(2)})),
        (25, js({"event": "late_admitted", "source": "edge-a.bgpd", "epoch": epoch(1), "from": 1, "to": 9, "request_id": "r"})),
        (19, js({"event": "key_version", "source": "edge-a.bgpd", "suite": 1, "key_version": 2, "key_commitment": "00" * 32, "accept_from_ns": START,
                 "accept_until_ns": None, "previous_sign_until_ns": START + 9_000_000_000})),
        (19, js({"event": "key_compromised", "source": "old.bgpd", "key_version": 1, "compromised_since_ns": START + 200_000_000_000})),
        (23, js({"source": "edge-a.bgpd", "cause": "EQUIVOCATION", "state": "BLACK"})), (26, js({"source": "edge-a.bgpd", "cause": "EQUIVOCATION"})),
    ]
    registration = {"event": "source_registered", "source": "edge-b.bgpd", "suite": 2, "key_version": 1, "public_key": "6b" * 32, "accept_from_ns": START,
                    "accept_until_ns": None, "min_frame_version": 2, "vantage": "bmp", "types": [1, 3], "routers": [], "carried_by": []}
    changed = {**registration, "event": "source_changed", "source": "edge-a.bgpd", "suite": 1, "key_commitment": "6b" * 32, "accept_from_ns": 0}
    to_ed25519 = {"event": "key_version", "source": "old.bgpd", "suite": 2, "key_version": 3, "public_key": "6b" * 32, "accept_from_ns": 0}
    control += [(25, js(registration)), (25, js({**registration, "source": "edge-a.bgpd"})), (25, js(changed)),
                (25, js({**changed, "key_commitment": "6c" * 32})), (25, js({**registration, "types": [25], "source": "x"})), (19, js(to_ed25519)),
                (19, js({**to_ed25519, "suite": 1, "key_version": 4, "key_commitment": "00" * 32})),
                (25, js({"event": "source_suspended", "source": "virp.example.net/site1"}))]
    alarm = js({"source": rng.choice(("edge-a.bgpd", "nobody")), "cause": "BAD_TAG", "state": "ALARMED"})
    out = b"\1" + bytes([rng.randrange(256), rng.randrange(4), rng.randrange(256)])
    for _ in range(rng.randrange(5, 40)):
        pick = rng.randrange(10)
        if pick == 0:
            out += order(2, 24, 0, 0, 0, 0, 0, beat) + order(2, 23, 0, 0, 0, 0, 0, alarm)
        elif pick == 1:
            kind, payload = rng.choice(control)
            out += order(0, kind, 0, 0, 0, 0, 0, payload)
        elif pick == 2:
            loss = js({"source": "edge-a.bgpd", "epoch": epoch(rng.randrange(4)), "from": 2, "to": 4, "reason": "OVERFLOW"})
            out += order(1, 22, 0, rng.randrange(4), rng.randrange(3), 1, rng.randrange(2), loss)
        elif pick < 5:
            out += order(7, 1, rng.choice((0, 0, 1, 2, 130)), rng.randrange(6), rng.choice((16, 16, 97, 98)), 0, 0, peer)
        else:
            out += order(1, rng.choice((1, 1, 2, 64)), rng.choice((0, 0, 0, 2, 3, 129, 131)), rng.randrange(5), rng.choice((96, 97, 98, 0, 224)),
                         0 if rng.randrange(20) else 3, rng.randrange(2), peer)
    return out


def main():
    for number, (kind, payload) in enumerate(examples()):
        put("control_payload_fuzz", "example-%02d" % number, bytes([kind]) + payload)
    for name, chain in VECTORS.items():
        entries = [bytes.fromhex(row["entry_hex"]) for row in chain["entries"]]
        put("walk_fuzz", "raw-" + name, b"\0" + b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries))
        for row, entry in zip(chain["entries"], entries):
            if name == "valid":
                tag = 64 if entry[135] == 2 else 32
                put("control_payload_fuzz", "valid-%02d" % row["seq"], bytes([row["type"]]) + entry[192:-tag])
    for name, note in (("bad", b"note"), ("unknown-key", VECTORS["valid"]["checkpoints"][3]["note"].encode())):
        put("walk_fuzz", "led-note-" + name, b"\1\0\0\0" + order(255, 0, 0, 0, 0, 0, 0, note))
    rng = random.Random(1)
    for number in range(40):
        put("walk_fuzz", "led-%02d" % number, random_orders(rng))


if __name__ == "__main__":
    main()
