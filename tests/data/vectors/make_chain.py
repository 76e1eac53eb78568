#!/usr/bin/env python3
"""Writes chain.json: known-answer vectors for docs/formats/chain.md. Independent of the platform's code. Needs frames.json beside it."""
import base64, hashlib, hmac, json, struct, sys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

NONE = 2**64 - 1
FAMILY = {"v1-le": 1, "v1-be": 2, "v1-producer": 3, "v2": 4}
KIND = {22: 1, 23: 2, 26: 2, 19: 3, 25: 4, 27: 5, 28: 6}
T0 = 1750000000000000000                      # ns; every time stamp below is T0 plus something

def sha(b): return hashlib.sha256(b).digest()
def id8(text): return struct.unpack(">Q", sha(text.encode())[:8])[0]
def leaf(e): return sha(b"\0" + e)
def node(l, r): return sha(b"\1" + l + r)
def split(n):
    k = 1
    while k * 2 < n: k *= 2
    return k
def root(h):
    if not h: return sha(b"")
    if len(h) == 1: return h[0]
    k = split(len(h)); return node(root(h[:k]), root(h[k:]))
def inclusion(m, h):
    if len(h) <= 1: return []
    k = split(len(h))
    return inclusion(m, h[:k]) + [root(h[k:])] if m < k else inclusion(m - k, h[k:]) + [root(h[:k])]
def consistency(m, h, whole=True):
    if m == len(h): return [] if whole else [root(h)]
    k = split(len(h))
    if m <= k: return consistency(m, h[:k], whole) + [root(h[k:])]
    return consistency(m - k, h[k:], False) + [root(h[:k])]
def public(key): return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
def js(o): return json.dumps(o, separators=(",", ":")).encode()

def v2(key, suite, source, kind, tier, seq, body, keyver, epoch, ts):
    head = struct.pack(">IBBBBQQIIQ16sQ", 0x56495250, 2, kind, tier, suite, ts, seq, len(body), keyver, epoch, sha(source.encode())[:16], 0)
    return head + body + (key.sign(head + body) if suite == 2 else hmac.new(key, head + body, hashlib.sha256).digest())

class Chain:
    def __init__(self, origin, seed):
        self.origin, self.key = origin, Ed25519PrivateKey.from_private_bytes(seed)
        self.seed, self.rows, self.hashes, self.last_source, self.last_subject = seed, [], [], {}, {}
        self.genesis = sha(b"\0" + f"onode/1 genesis\n{origin}\n".encode())
        self.key_id = sha(origin.encode() + b"\n\x01" + public(self.key))[:4]

    def add(self, source, epoch, seq, kind, suite, keyver, spelling, frame, subject="", flags=0, received_us=None):
        n, src, sub = len(self.rows), id8(source), id8(subject) if subject else 0
        received = received_us or T0 // 1000 + 100000 + n
        head = b"onode/1\n" + sha(self.origin.encode())[:16] + struct.pack(">Q", n) + (self.hashes[-1] if self.hashes else self.genesis)
        head += struct.pack(">QQQQQQIIBBBBI", received, src, epoch, seq, self.last_source.get(src, NONE),
                            self.last_subject.get(sub, NONE) if sub else NONE, 1, keyver, KIND.get(kind, 0), suite, flags, FAMILY[spelling], len(frame))
        assert len(head) == 128
        self.last_source[src] = n
        if sub: self.last_subject[sub] = n
        self.rows.append({"seq": n, "source": source, "subject": subject, "type": kind, "entry_hex": (head + frame).hex()})
        self.hashes.append(leaf(head + frame))
        self.rows[-1].update(leaf_hash_hex=self.hashes[-1].hex(), root_hex=root(self.hashes).hex())

    def checkpoint(self, n):
        text = f"{self.origin}\n{n}\n{base64.b64encode(root(self.hashes[:n])).decode()}\n"
        return text + "\n\u2014 " + self.origin + " " + base64.b64encode(self.key_id + self.key.sign(text.encode())).decode() + "\n"

    def dump(self):
        h, n = self.hashes, len(self.hashes)
        return {"origin": self.origin, "genesis_hex": self.genesis.hex(), "checkpoint_seed_hex": self.seed.hex(), "public_key_hex": public(self.key).hex(),
                "verifier_key": f"{self.origin}+{self.key_id.hex()}+{base64.b64encode(bytes([1]) + public(self.key)).decode()}", "entries": self.rows,
                "inclusion": [{"size": s, "index": i, "path_hex": [p.hex() for p in inclusion(i, h[:s])]} for s in range(1, n + 1) for i in range(s)],
                "consistency": [{"old": m, "new": s, "path_hex": [p.hex() for p in consistency(m, h[:s])]} for s in range(1, n + 1) for m in range(1, s + 1)],
                "checkpoints": [{"size": s, "note": self.checkpoint(s)} for s in range(1, n + 1)]}

# 1. bytes: every spelling in a row. Fixes layout only; the frames are samples and break the source rules.
b = Chain("virp.example.net/bytes", bytes(range(32, 64)))
for f in (f for f in json.load(open("frames.json"))["valid"] if f["name"] != "v1-le empty payload"):
    b.add("edge-a.bgpd" if f["spelling"] == "v2" else f"sample.{f['spelling']}", f.get("boot_epoch", f["timestamp_ns"]), f["sequence"], f["type"], f.get("suite", 1), f.get("key_version", 1), f["spelling"], bytes.fromhex(f["frame_hex"]))

# 2. valid: what a correct O-Node would have written; VerifyChain accepts all of it.
ORIGIN = "virp.example.net/site1"
c = Chain(ORIGIN, bytes(range(64, 96)))
onode = Ed25519PrivateKey.from_private_bytes(bytes(range(96, 128)))
daemon_key = bytes(range(32))                                               # HMAC O-Key of edge-a.bgpd, version 3
collector = Ed25519PrivateKey.from_private_bytes(bytes(range(128, 160)))    # O-Key of collector-1, version 1
EPOCH_O, EPOCH_A, EPOCH_C = T0 + 10, T0 + 20, T0 + 30
count = {"o": 0}

def o(kind, tier, body, about):                                             # the O-Node speaks
    count["o"] += 1
    ts = T0 + 1000000 * len(c.rows)
    c.add(ORIGIN, EPOCH_O, count["o"], kind, 2, 1, "v2", v2(onode, 2, ORIGIN, kind, tier, count["o"], js(body), 1, EPOCH_O, ts), f"source/{about}")
def a(kind, tier, seq, body, subject):                                      # bgpd's module speaks
    ts = T0 + 1000000 * seq
    c.add("edge-a.bgpd", EPOCH_A, seq, kind, 1, 3, "v2", v2(daemon_key, 1, "edge-a.bgpd", kind, tier, seq, js(body), 3, EPOCH_A, ts), subject)
def k(kind, tier, seq, body, subject):                                      # the collector speaks for itself
    ts = T0 + 1000000 * len(c.rows)
    c.add("collector-1", EPOCH_C, seq, kind, 2, 1, "v2", v2(collector, 2, "collector-1", kind, tier, seq, js(body), 1, EPOCH_C, ts), subject)
def registration(name, suite, version, vantage, types, routers, carried_by, **key):
    return {"event": "source_registered", "source": name, "suite": suite, "key_version": version, **key, "accept_from_ns": T0, "accept_until_ns": None,
            "min_frame_version": 2, "vantage": vantage, "types": types, "routers": routers, "carried_by": carried_by}
commitment = hmac.new(daemon_key, b"virp key commitment/1\nedge-a.bgpd\n3\n", hashlib.sha256).hexdigest()
ROUTER = {"name": "edge-a", "bgp_ids": ["192.0.2.1"], "addresses": ["192.0.2.1"], "vrfs": ["default"]}
peer = {"domain": "bgp", "vrf": "default", "peer": "edge-b", "peer_addr": "192.0.2.2", "peer_as": 64501, "local_as": 64500, "router_id": "192.0.2.1"}
sid = sha(b"edge-a.bgpd")[:16].hex()

o(25, 0, registration(ORIGIN, 2, 1, "service", [19, 22, 23, 25, 26, 27, 28], [], [], public_key=public(onode).hex()), ORIGIN)
o(25, 0, registration("edge-a.bgpd", 1, 3, "daemon", [1, 2, 3, 4, 22, 24], [ROUTER], ["spiffe://example.net/collector/collector-1"], key_commitment=commitment), "edge-a.bgpd")
o(25, 0, registration("collector-1", 2, 1, "service", [22, 23, 24], [], ["spiffe://example.net/collector/collector-1"], public_key=public(collector).hex()), "collector-1")
PEER, ROUTE = "bgp/edge-a/default/peer/192.0.2.2", "bgp/edge-a/default/adj-in-pre/192.0.2.2/203.0.113.0/24/0"
a(1, 0, 1, {**peer, "event": "peer_state_change", "old_state": "OpenConfirm", "new_state": "Established"}, PEER)
route = {**peer, "rib": "adj-in-pre", "path_id": 0, "prefix": "203.0.113.0/24", "afi": 1, "safi": 1}
a(3, 0, 2, {**route, "event": "route_announce", "nexthop": "192.0.2.2", "as_path": "64501 64510", "origin": "IGP", "med": 0, "local_pref": 100, "communities": []}, ROUTE)
k(24, 0, 1, {"domain": "virp", "event": "heartbeat", "sources": [{"source_id": sid, "epoch": EPOCH_A, "last_sequence": 2, "connected": True, "since_ns": T0, "last_bytes_ns": T0 + 2000000}]}, "source/collector-1")
o(22, 1, {"domain": "virp", "event": "gap", "source": "edge-a.bgpd", "epoch": EPOCH_A, "from": 3, "to": 3, "reason": "MISSING"}, "edge-a.bgpd")
a(2, 1, 4, {**peer, "event": "peer_down", "last_state": "Established", "last_event": 20, "uptime": 3600}, PEER)
a(3, 0, 3, {**route, "event": "route_withdraw"}, ROUTE)                     # late: fills the gap
o(23, 1, {"domain": "virp", "event": "channel_alarm", "source": "edge-a.bgpd", "cause": "BAD_TAG", "state": "ALARMED", "count": 2,
          "first_sha256": sha(b"forged 1").hex(), "last_sha256": sha(b"forged 2").hex()}, "edge-a.bgpd")
o(26, 0, {"domain": "virp", "event": "alarm_cleared", "source": "edge-a.bgpd", "cause": "BAD_TAG", "by": "spiffe://example.net/operator/noc-1", "reason": "port scan"}, "edge-a.bgpd")
o(19, 0, {"domain": "virp", "event": "key_version", "source": "collector-1", "suite": 2, "key_version": 2, "public_key": public(Ed25519PrivateKey.from_private_bytes(bytes(range(160, 192)))).hex(),
          "accept_from_ns": T0 + 60000000000, "accept_until_ns": None, "previous_sign_until_ns": T0 + 90000000000, "previous_accept_until_ns": T0 + 900000000000}, "collector-1")
d = c.dump()
d["keys"] = {ORIGIN: {"1": {"suite": 2, "seed_hex": bytes(range(96, 128)).hex()}}, "edge-a.bgpd": {"3": {"suite": 1, "key_hex": daemon_key.hex()}},
             "collector-1": {"1": {"suite": 2, "seed_hex": bytes(range(128, 160)).hex()}, "2": {"suite": 2, "seed_hex": bytes(range(160, 192)).hex()}}}
json.dump({"bytes": b.dump(), "valid": d}, open(sys.argv[1] if len(sys.argv) > 1 else "chain.json", "w"), indent=1, ensure_ascii=False)
