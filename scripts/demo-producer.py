#!/usr/bin/env python3
"""Speaks as the published FRR module does: version 1 frames, little-endian, HMAC over a text key. Events come on stdin."""
import hashlib, hmac, json, socket, struct, sys, time

connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
key = open(sys.argv[2], "rb").read().rstrip(b"\r\n")
PEER = {"domain": "bgp", "peer": "edge-b", "peer_addr": "192.0.2.2", "peer_as": 64501, "local_as": 64500, "router_id": "192.0.2.1"}
EVENTS = {
    "up": [(1, 0, {"event": "peer_state_change", "old_state": "OpenConfirm", "new_state": "Established"})],
    "announce": [(3, 0, {"event": "route_announce", "prefix": "203.0.113.0/24", "afi": 1, "safi": 1, "nexthop": "192.0.2.2",
                         "as_path": "64501 64510", "origin": "IGP"})],
    "down": [(1, 1, {"event": "peer_state_change", "old_state": "Established", "new_state": "Idle"}),
             (2, 1, {"event": "peer_down", "last_state": "Established", "last_event": 20, "uptime": 60})],
}
sequence = 0
for line in sys.stdin:
    for kind, tier, fields in EVENTS[line.strip()]:
        sequence += 1
        payload = json.dumps({**PEER, **fields}, separators=(",", ":")).encode()
        signed = struct.pack(">IBBBB", 0x56495250, 1, kind, tier, 0) + struct.pack("<QII", time.time_ns(), sequence, len(payload)) + payload
        connection.sendall(signed + hmac.new(key, signed, hashlib.sha256).digest())
