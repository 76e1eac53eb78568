#!/usr/bin/env python3
"""Writes the first seeds of the fuzz targets for texts, files and saved states; merged findings were added to them."""
import hashlib
import json
import pathlib
import struct
import zlib

HERE = pathlib.Path(__file__).resolve().parent


def put(target, name, data):
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())


def u8(*numbers):
    return bytes(numbers)


def u16(number):
    return struct.pack(">H", number)


def u32(number):
    return struct.pack(">I", number)


def u64(number):
    return struct.pack(">Q", number)


def text(value):  # what collector_states.h calls Text
    value = value.encode() if isinstance(value, str) else value
    return u16(len(value)) + value


def texts():
    lines = ["1h30m", "500ms", "2d3us1ns", "0", "9223372036854775807ns", "99999999999h", "10MB", "64KiB", "512", "1TiB", "18446744073709551615",
             "host:8443", "192.0.2.1:0", "[2001:db8::1]:65535", "[::1]:65536", ":1", "host", "192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1",
             "::", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "2001:DB8:0:0:1::1", "fe80::1", "169.254.0.1", "203.0.113.0/24", "2001:db8::/32", "0.0.0.0/0",
             "203.0.113.1/24", "::/129", "10.0.0.0/08", "00ff7F", "0g", "AQID", "AQ==", "AR==", "a", "edge-a.bgpd", "virp.example.net/site1", "-x",
             "a" * 300, "\u00e9\u4e2d\U0001f600", "sqlite:/var/lib/chain.db", "sqlite://x", "sqlite:", "postgresql://u@h/db",
             "postgresql://u:p@h:5432/db?sslmode=require", "postgres://h/db?user=u&pass%77ord=secret&sslpassword=x", "mysql://h"]
    for number, line in enumerate(lines):
        put("text_fuzz", f"text-{number:02}", line)
    for number, raw in enumerate([b"\xc3\x28", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xff\xfe", b"\xe2\x82", b"a\0b", bytes(32), bytes(16), bytes(4), b"\xfe\x80" + bytes(14)]):
        put("text_fuzz", f"raw-{number}", raw)


def key_files():
    seed = hashlib.sha256(b"seed").hexdigest()
    files = {"raw.hmac": b"1.hmac\n" + bytes(range(32)), "text": "7.txt\ncorrect horse battery staple, and more\n", "hex.seed": f"2.seed\n{seed}\r\n",
             "raw.pub": b"3.pub\n" + bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"),
             "times": '1.json\n{"accept_from_ns": 5, "accept_until_ns": null}', "until": '1.json\n{"accept_from_ns": 5, "accept_until_ns": 9}',
             "before": '1.json\n{"accept_from_ns": 5, "accept_until_ns": 4}', "bad-from": '1.json\n{"accept_from_ns": -1}',
             "bad-until": '1.json\n{"accept_until_ns": "x"}', "no-json": "1.json\n[", "zero": "0.hmac\nx", "leading": "01.seed\nx", "readme": "README\nx",
             "backup": "1.hmac~\n", "large": "4294967296.pub\n", "short": "1.txt\nshort\n", "not-hex": "1.seed\n" + "z" * 64}
    for name, data in files.items():
        put("key_file_fuzz", name, data)


def sources_files():
    router = {"source": "edge-a.bmp", "addresses": ["192.0.2.1", "2001:db8::1"], "sys_name": "edge-a", "mode": "prefixes",
              "peers": [{"address": "192.0.2.2", "vrf": "red", "mode": "routes"}], "prefixes": ["203.0.113.0/24"], "ribs": ["adj-in-pre", "loc"],
              "vrfs": {"64500:1": "red", "192.0.2.1:7": "blue", "0x0002000000010001": "green"}, "path_ids": "auto", "max_paths": 10,
              "max_attribute_bytes": "1MiB", "max_peers": 5,
              "red": {"protected_prefixes": [{"prefix": "203.0.113.0/24", "origins": [64510]}], "sessions_lost": 2, "within": "60s", "maximum_prefix": True}}
    bmp = {"listen": ["127.0.0.1:11019", "[::1]:11019"], "max_connections": 4, "max_connections_per_address": 2, "initiation_timeout": "5s",
           "quiet": "30s", "restate_peers": "900s", "routers": [router, {"source": "edge-b.bmp", "dial": "192.0.2.9:11019", "mode": "routes"}]}
    frames = [{"listen": "unix:/run/virp/a.sock", "source": "edge-a.bgpd", "spelling": "v1-le", "uid": 7},
              {"listen": "127.0.0.1:9000", "source": "edge-b.bgpd", "spelling": "v1-producer", "producers": {"7": "edge-c.bgpd", "4294967295": "edge-d.bgpd"},
               "allow": ["192.0.2.0"]},
              {"listen": "0.0.0.0:9001", "source": "edge-e.bgpd", "spelling": "auto", "tls": True, "clients": ["spiffe://example.net/producer/p"]}]
    producers = [{"identity": "spiffe://example.net/producer/p", "sources": ["edge-a.bgpd"], "types": [1, 2, 255]}]
    put("sources_file_fuzz", "all", json.dumps({"frames": frames, "producers": producers, "bmp": bmp}, indent=1))
    put("sources_file_fuzz", "frames", "// comment\n" + json.dumps({"frames": frames}))
    put("sources_file_fuzz", "producers", json.dumps({"producers": producers}))
    put("sources_file_fuzz", "bmp", json.dumps({"bmp": bmp}))
    put("sources_file_fuzz", "empty", "{}")

    def broken(name, section, **changes):
        original = {"frames": frames[1], "producers": producers[0], "router": router, "bmp": bmp}[section]
        changed = {key: value for key, value in {**original, **changes}.items() if value != "gone"}
        put("sources_file_fuzz", f"{section}-{name}", json.dumps({"bmp": {**bmp, "routers": [changed]}} if section == "router" else
                                                                 {"bmp": changed} if section == "bmp" else {section: [changed]}))
    for name, changes in {"tls": {"tls": 1}, "unix-tls": {"listen": "unix:/a", "tls": True}, "clients": {"clients": ["spiffe://t/a"]},
                          "client-id": {"tls": True, "clients": ["x"]}, "source": {"source": "-"}, "no-source": {"source": "gone"}, "spelling": {"spelling": "v3"},
                          "producer-id": {"producers": {"4294967296": "a"}}, "producer-name": {"producers": {"x": "a"}}, "uid": {"uid": -1}, "other": {"x": 1},
                          "allow": {"allow": [1]}}.items():
        broken(name, "frames", **changes)
    for name, changes in {"types": {"types": 7}, "type": {"types": [0]}, "type-name": {"types": ["a"]}, "source": {"sources": ["-"]}, "identity": {"identity": 1}}.items():
        broken(name, "producers", **changes)
    for name, changes in {"md5": {"md5_key_file": "/dev/null"}, "md5-none": {"md5_key_file": "/nowhere"}, "mode": {"mode": "x"}, "address": {"addresses": ["x"]},
                          "rib": {"ribs": ["x"]}, "ribs": {"ribs": "all"}, "vrfs": {"vrfs": []}, "vrf-name": {"vrfs": {"64500:1": 7}}, "rd": {"vrfs": {"x": "a"}},
                          "rd-as4": {"vrfs": {"65536:1": "a"}}, "rd-dot": {"vrfs": {"1.1:1": "a"}}, "rd-large": {"vrfs": {"1:4294967296": "a"}},
                          "rd-address": {"vrfs": {"192.0.2.1:65536": "a"}}, "path-ids": {"path_ids": "never"}, "path-ids-bad": {"path_ids": "x"},
                          "prefix": {"prefixes": ["x"]}, "dial-name": {"dial": "host:1"}, "dial-zero": {"dial": "192.0.2.1:0"}, "dial": {"dial": "x"},
                          "paths": {"max_paths": -1}, "bytes": {"max_attribute_bytes": "x"}, "bytes-number": {"max_attribute_bytes": 7}, "peers": {"peers": {}},
                          "peer": {"peers": [{"address": "x"}]}, "red": {"red": 1}, "red-within": {"red": {"sessions_lost": 1}}, "red-list": {"red": {"protected_prefixes": 1}},
                          "red-origin": {"red": {"protected_prefixes": [{"prefix": "203.0.113.0/24", "origins": ["x"]}]}},
                          "red-maximum": {"red": {"maximum_prefix": 1}}, "red-duration": {"red": {"within": "1ms"}}}.items():
        broken(name, "router", **changes)
    for name, changes in {"listen": {"listen": ["x"]}, "listen-name": {"listen": ["host:1"]}, "no-listen": {"listen": []}, "default": {"listen": "gone"},
                          "zero": {"max_connections": 0}, "routers": {"routers": []}, "quiet": {"quiet": "0s"}, "quiet-word": {"quiet": "x"}}.items():
        broken(name, "bmp", **changes)


def saved(value):  # AppendSaved
    value = value.encode() if isinstance(value, str) else value
    return u64(value) if isinstance(value, int) else u64(len(value)) + value


def bmp_text(value):
    return u32(len(value)) + value.encode()


def address(*parts):
    return u8(len(parts), *parts)


def bmp_tables(version=1, kind=10):
    table = u8(kind) + u32(2) + bmp_text('"as_path":"64501"') + bmp_text("") + u64(2)
    table += address(203, 0, 113, 0) + u8(24) + u32(0) + u32(0) + address(*bytes(16)) + u8(0) + u32(7) + u32(1)
    peer = bmp_text("default") + address(192, 0, 2, 2) + u32(64501) + u32(64500) + address(192, 0, 2, 1) + address(192, 0, 2, 2)
    peer += bmp_text("b") + u8(1, 2) + u64(5) + u8(1) + table + u8(0, 0, 0, 0)
    owed = bmp_text("edge-a.bgpd") + u8(3, 1) + bmp_text('{"event":"route_announce"}') + bmp_text("nobody") + u8(3, 1) + bmp_text("{}")
    return u32(version) + u32(2) + bmp_text("edge-a.bgpd") + u32(1) + peer + bmp_text("gone") + u32(1) + peer + u32(2) + owed


def folded(version=1):
    key = "default\n192.0.2.2\nadj-in-pre"
    table = saved(key) + saved('"peer_addr":"192.0.2.2","vrf":"default","rib":"adj-in-pre"') + saved(1) + saved('{"event":"table_complete"}')
    table += b"".join(saved(number) for number in (3, 1, 0, 5, 9))
    waiting = saved(key) + saved(key + "\n203.0.113.0/24\n0") + saved('{"event":"route_announce","prefix":"203.0.113.0/24"}')
    return saved(version) + saved(1) + saved("edge-a.bgpd") + saved(1) + table + saved(2) + waiting + waiting


def answer(key):
    return u32(len(key)) + key + bytes(32) + (u64(7) + u64(1) + bytes(32)) * 2


def answers():
    return b"".join(u32(len(one)) + one for one in (answer(b"spiffe://t/p\nrequest-1"), answer(b"spiffe://t/p\nrequest-2")))


def run(count=2):
    return u8(1) + u64(1750000000000000000) + u32(3) + u64(1750000000000000009) + u64(0) + u16(count) + bytes(range(16)) * count


def runs():
    return b"".join(u32(len(name)) + u32(len(run())) + name + run() for name in (b"edge-a.bgpd", b"old.bgpd"))


PEER = '"domain":"bgp","peer":"b","peer_addr":"192.0.2.2","peer_as":64501,"local_as":64500,"router_id":"192.0.2.1","vrf":"default"'
ROUTE = PEER + ',"rib":"adj-in-pre"'
PATH = ROUTE + ',"prefix":"203.0.113.0/24","path_id":0'
PAYLOADS = [(1, '{"event":"peer_state_change",%s,"old_state":"Idle","new_state":"Established","peer_bgp_id":"192.0.2.2"}' % PEER),
            (3, '{"event":"route_announce",%s,"as_path":"64501 64510","next_hop":"192.0.2.2","med":7}' % PATH),
            (3, '{"event":"table_complete",%s}' % ROUTE), (3, '{"event":"table_complete",%s,"prefixes":["203.0.113.0/24","::/0"]}' % ROUTE),
            (3, '{"event":"routes_summarised",%s,"open":true,"announced":3,"withdrawn":1}' % ROUTE),
            (3, '{"event":"route_announce",%s,"restated":true}' % PATH), (3, '{"event":"route_withdraw",%s}' % PATH),
            (3, '{"event":"routes_summarised",%s,"open":false}' % ROUTE), (2, '{"event":"peer_down",%s,"last_state":"Established"}' % PEER),
            (1, '{"event":"peer_state_change",%s,"old_state":"Established","new_state":"Idle","restated":true}' % PEER),
            (3, '{"event":"route_announce",%s}' % PATH.replace("203.0.113.0", "x")), (3, "no JSON"), (24, '{"sources":[]}')]


def frame(spelling, kind, payload, sequence, time=1750000000000000000):
    return u8(spelling, kind, 0) + u64(time + sequence) + u32(sequence) + text(payload)


def story(spelling=3, source=0):
    return [u8(source) + frame(spelling, kind, payload, number + 1) for number, (kind, payload) in enumerate(PAYLOADS)]


def collector_states():
    states = {0: [bmp_tables(), bmp_tables(2), bmp_tables(1, 1), bmp_tables(1, 2), bmp_tables()[:-3], b""],
              1: [folded(), folded(2), folded()[:-9], folded() + b"x", b""], 2: [answers(), answers()[:-1], answers()[:2], b""],
              3: [runs(), runs()[:-1], runs()[:5], u32(1) + u32(3) + b"axyz", u32(1) + u32(len(run())) + b"a" + run()[:-1] + b"", b""]}
    for which, saves in states.items():
        for number, save in enumerate(saves):
            put("collector_state_fuzz", f"state-{which}-{number}", u8(which) + text(save) + b"".join(story()))
        put("collector_state_fuzz", f"old-{which}", u8(which) + text(b"") + b"".join(story(0, 3)))
        put("collector_state_fuzz", f"note-{which}", u8(which) + text(b"") + u8(0x80) + text(answer(b"k")) + u8(0x80) + text(b"x"))


def outbox_snapshot(version=1):
    tags = {"bmp": bmp_tables(), "folded": folded(), "submit": answers(), "runs": runs()}
    out = saved(version) + saved(1) + saved("edge-a.bgpd") + saved(7) + saved(5) + saved(9) + saved(1) + saved("old.bgpd") + saved(7) + saved(2)
    return out + saved(len(tags)) + b"".join(saved(tag) + saved(value) for tag, value in tags.items())


def spools():
    records = b"".join(one[:1] + u8(number % 3 == 0) + one[1:] for number, one in enumerate(story())) + u8(0x80, 0) + text(answer(b"k"))
    put("spool_fuzz", "packed", u8(2) + text(outbox_snapshot()) + records)
    put("spool_fuzz", "packed-no-snapshot", u8(2) + text("") + records)
    put("spool_fuzz", "packed-old", u8(2) + text(outbox_snapshot(2)) + records)
    put("spool_fuzz", "packed-cut", u8(2) + text(outbox_snapshot()[:-4]) + records)
    put("spool_fuzz", "packed-bad-note", u8(2) + text("") + u8(0x80, 0) + text("x"))
    put("spool_fuzz", "packed-note-of-nobody", u8(2) + text("") + u8(0x83, 0) + text("x") + u8(0, 0) + frame(3, 1, "{}", 1))
    header = b"virpspl1" + u64(1)
    header += u32(zlib.crc32(header))

    def record(number, durable=0, more=0, source=b"edge-a.bgpd", content=b"x"):
        body = u32(len(content)) + u64(number) + u64(durable) + u64(7) + u8(2 | more, 4) + u16(len(source)) + source + content
        return b"\x56\x52" + u32(zlib.crc32(body)) + body
    put("spool_fuzz", "raw-segment", u8(1) + text("") + header + record(1) + record(2, 1) + record(3, 1, 0x80))
    put("spool_fuzz", "raw-torn", u8(1) + text("") + header + record(1) + record(2, 1)[:-1])
    put("spool_fuzz", "raw-damaged", u8(1) + text("") + header + record(1) + b"y" + record(2)[1:] + record(3, 2))
    put("spool_fuzz", "raw-harmless", u8(1) + text("") + header + record(1) + b"y" + record(2)[1:] + record(3, 1))
    put("spool_fuzz", "raw-header", u8(1) + text("") + b"x" + header[1:] + record(1))
    put("spool_fuzz", "raw-header-torn", u8(1) + text("") + header[:7])
    put("spool_fuzz", "raw-snapshot", u8(1) + text("virpsnp1" + "x" * 30) + header)
    put("spool_fuzz", "record", u8(0) + record(9, 3, 0x80))
    put("spool_fuzz", "segment-header", u8(0) + header)


def facts():
    kinds = {1: 0, 2: 1, 3: 2, 4: 3, 24: 4, 22: 5}

    def say(source, kind, payload, time=4):
        return u8(source, kinds[kind], time) + text(payload)
    bmp = b"".join(say(1, kind, payload) for kind, payload in PAYLOADS)
    put("facts_fuzz", "bmp", bmp)
    daemon = b"".join(say(0, kind, payload) for kind, payload in PAYLOADS[:2])
    best = '{"event":"best_path_change",%s,"prefix":"203.0.113.0/24","new_next_hop":"192.0.2.2","new_as_path":"64501 64510","new_peer_addr":"192.0.2.2"}' % PEER
    gone = '{"event":"best_path_change",%s,"prefix":"203.0.113.0/24"}' % PEER
    beat = '{"domain":"virp","event":"heartbeat","sources":[{"source":"edge-a.bmp","connected":true,"last_sequence":9,"boot_epoch":1750000000000000001}]}'
    own_beat = '{"domain":"virp","event":"heartbeat","last_sequence":3}'
    loss = '{"domain":"virp","event":"gap","first":3,"last":4}'
    put("facts_fuzz", "daemon", daemon + say(0, 4, best) + say(0, 24, own_beat) + say(0, 4, gone) + say(0, 22, loss) + say(0x80, 1, PAYLOADS[0][1]))
    # As the daemon's producers write them: with attributes, without, of the local AS, and of an unspecified next hop.
    best = '{"domain":"bgp","event":"bestpath_change","prefix":"%s","safi":1,"router_id":"192.0.2.1","local_as":64500,"new":%s}'
    paths = ['{"peer_addr":"192.0.2.2","nexthop":"192.0.2.2","as_path":"64501 64510"}', '{"nexthop":"0.0.0.0","as_path":""}', '{"as_path":"{64501}"}', "null"]
    bests = b"".join(say(0, 4, best % ("203.0.113.0/24", path)) for path in paths) + say(0, 4, best % ("x", "{}"))
    hop = say(1, 3, '{"event":"route_announce",%s,"as_path":"64501 ","nexthop":"192.0.2.2"}' % PATH) + say(1, 3, '{"event":"route_announce",%s,"as_path":"","nexthop":"::"}' % PATH)
    about = [{"source_id": hashlib.sha256(name.encode()).hexdigest()[:32], "epoch": 1750000000000000001, "last_sequence": 9, "connected": True}
             for name in ("edge-a.bmp", "nobody")]
    beats = say(2, 24, json.dumps({"domain": "virp", "event": "heartbeat", "sources": about}))
    compromised, new_key, changed = (lambda source, time=0, act=act: u8(source, len(kinds) + act, time) + text("cpu/") for act in range(3))
    put("facts_fuzz", "best", bests + hop + beats)
    put("facts_fuzz", "compromised", bests + daemon + bmp + hop + compromised(0, 40) + compromised(1, 40) + beats)
    put("facts_fuzz", "compromised-all", bests + bmp + compromised(0, 127) + compromised(1, 127) + new_key(0) + new_key(1) + say(1, 1, PAYLOADS[0][1]) + bests)
    put("facts_fuzz", "changed", daemon + changed(0) + changed(1) + bmp + changed(0) + u8(0, len(kinds) + 2, 0) + text("x/") + bests)
    put("facts_fuzz", "beats", bmp + say(2, 24, beat) + say(2, 24, beat, 0x84) + say(1, 1, PAYLOADS[0][1], 0x81) + say(0x81, 3, PAYLOADS[1][1]))


def claims():
    for number, condition in enumerate(["med >= 7", "as_path = \"64501 64510\"", "a.b.0 != -1.5", "x exists", "x absent", "x<true", "x > 1e3", "x <= \"a", "x !", "= 1",
                                        "x", "x =", "x = text", "x = 9223372036854775808"]):
        put("claim_fuzz", f"condition-{number:02}", "c" + condition)
    acceptance = {"maxAge": "30s", "maxEventAge": "3600.5s", "worstTier": "TIER_YELLOW", "minSources": 2, "independence": "INDEPENDENCE_COLLECTOR",
                  "requireSources": ["edge-a.bmp"], "excludeSources": ["edge-b.bmp"], "maxDissent": 1, "level": "CHAIN_LEVEL_CHECKPOINTED", "refuseAlarmed": True}
    forms = {"peer": {"peer": {"router": "edge-a", "vrf": "red", "peerAddress": "192.0.2.2", "peerAs": 64501, "state": "Established", "negate": True}},
             "route": {"route": {"router": "edge-a", "rib": "best", "prefix": "203.0.113.0/24", "absent": True, "originAs": 64510, "nextHop": "2001:DB8::1",
                                 "peerAddress": "192.0.2.2"}},
             "field": {"field": {"subject": "bgp/edge-a", "event": "x", "conditions": [
                 {"path": "a", "operator": "OPERATOR_EQ", "stringValue": "x"}, {"path": "a.b", "operator": "OPERATOR_LT", "numberValue": 1.5},
                 {"path": "c", "operator": "OPERATOR_GE", "integerValue": "7"}, {"path": "d", "operator": "OPERATOR_NEQ", "boolValue": True},
                 {"path": "e", "operator": "OPERATOR_EXISTS"}]}}}
    for name, claim in forms.items():
        put("claim_fuzz", f"json-{name}", "j" + json.dumps({"claim": claim, "acceptance": acceptance}))
        put("claim_fuzz", f"json-{name}-only", "j" + json.dumps({"claim": claim}))
    put("claim_fuzz", "json-none", "j{}")
    put("claim_fuzz", "json-durations", "j" + json.dumps({"acceptance": {"maxAge": "-1s", "maxEventAge": "99999999999s"}}))
    put("claim_fuzz", "json-no-operator", "j" + json.dumps({"claim": {"field": {"subject": "x", "conditions": [{"path": "a"}]}}}))
    put("claim_fuzz", "json-no-value", "j" + json.dumps({"claim": {"field": {"subject": "x", "conditions": [{"path": "a", "operator": "OPERATOR_LT"}]}}}))
    for name, change in {"router": {"router": "-"}, "vrf": {"vrf": "a/b"}, "prefix": {"prefix": "x"}, "rib": {"rib": "x"}, "hop": {"nextHop": "x"}, "peer": {"peerAddress": "x"}}.items():
        put("claim_fuzz", f"json-bad-{name}", "j" + json.dumps({"claim": {"route": {**forms["route"]["route"], **change}}}))


def notes():
    one = hashlib.sha256(b"\0one").digest()
    import base64
    body = "fuzz\n1\n" + base64.b64encode(one).decode() + "\n"
    put("kept_note_fuzz", "signed", "s" + body)
    put("kept_note_fuzz", "other-chain", "s" + body.replace("fuzz", "else"))
    put("kept_note_fuzz", "unsigned", "n" + body + "\n\u2014 fuzz AAAAAA==\n")
    put("kept_note_fuzz", "audited", "a" + body + "--\n\nfrontier " + one.hex())
    put("kept_note_fuzz", "audited-unlike", "a" + body + "--\n\nfrontier " + "00" * 32)
    put("kept_note_fuzz", "audited-other-chain", "a" + body.replace("fuzz", "else") + "--\n\nfrontier " + one.hex())
    put("kept_note_fuzz", "audited-short", "a" + body + "--\n\nfrontier 00")
    put("kept_note_fuzz", "audited-no-hex", "a" + body + "--\n\nfrontier zz")
    put("kept_note_fuzz", "audited-no-frontier", "a" + body + "--\n")


def access():
    limit = {"entries_per_second": 5, "burst": 7, "bytes_per_day": 9}
    limits = {"all": {"sources": {"others": limit, "named": {"edge-a.bgpd": {"burst": 1}}}, "deliverers": {"named": {}}}, "number": {"sources": {"others": {"burst": -1}}},
              "named": {"sources": {"named": [1]}}, "one": {"sources": {"named": {"a": {"x": 1}}}}, "table": {"deliverers": 7}, "other": {"x": {}}}
    for name, file in limits.items():
        put("access_config_fuzz", f"limits-{name}", "l" + json.dumps(file))
    rule = {"path": "/ci/{n}", "role": "producer", "name": "{n}"}
    for name, change in {"no-rule": {"rules": []}, "no-list": {"rules": 1}, "domain": {"trust_domain": "-/"}, "no-domain": {"trust_domain": 1}, "key": {"x": 1},
                         "both": {"rules": [{**rule, "id": "spiffe://t/a"}]}, "neither": {"rules": [{"role": "producer", "name": "a"}]},
                         "foreign": {"rules": [{"id": "spiffe://u/a", "role": "reader", "name": "a"}]}, "id": {"rules": [{"id": "x", "role": "reader", "name": "a"}]},
                         "role": {"rules": [{**rule, "role": "king"}]}, "part": {"rules": [{**rule, "name": "{m}"}]}, "open": {"rules": [{**rule, "name": "{n"}]},
                         "name": {"rules": [{**rule, "name": "-"}]}, "path": {"rules": [{**rule, "path": "ci"}]}, "twice": {"rules": [{**rule, "path": "/{n}/{n}"}]},
                         "brace": {"rules": [{**rule, "path": "/a{n}"}]}, "empty-part": {"rules": [{**rule, "path": "/{}/x"}]}, "same": {"rules": [rule, rule]},
                         "exact-twice": {"rules": [{"id": "spiffe://t/a", "role": "reader", "name": "a"}] * 2}, "role-part": {"rules": [{**rule, "role": "{m}"}]},
                         "unused": {"rules": [{**rule, "name": "a"}]}, "no-object": {"rules": [1]}, "no-text": {"rules": [{**rule, "name": 1}]}}.items():
        put("access_config_fuzz", f"map-{name}", "i" + json.dumps({"trust_domain": "t", "rules": [rule], **change}))
    scope = {"role": "collector", "name": "c1", "origins": ["a"], "sources": ["a"], "types": [1]}
    for name, change in {"role": {"role": "x"}, "name": {"name": ""}, "origins": {"origins": 1}, "sources": {"sources": [1]}, "type": {"types": ["a"]}, "types": {"types": 1},
                         "large": {"types": [256]}, "key": {"x": 1}, "pattern": {"sources": ["-"]}}.items():
        put("access_config_fuzz", f"scope-{name}", "s" + json.dumps({"scopes": [{**scope, **change}]}))
    put("access_config_fuzz", "scopes-none", "s" + json.dumps({"scopes": 1}))
    for name, text_ in {"word": "who x", "id": "id", "long": "serial " + "a" * 300, "bad-id": "id spiffe://t/\x01"}.items():
        put("access_config_fuzz", f"deny-{name}", "d" + text_)


if __name__ == "__main__":
    for make in (access, texts, key_files, sources_files, collector_states, spools, facts, claims, notes):
        make()
