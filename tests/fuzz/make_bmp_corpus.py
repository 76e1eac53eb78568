#!/usr/bin/env python3
"""Cuts tests/data/bmp into the seed corpora of bmp_stream_fuzz and bgp_update_fuzz, one of each kind of message."""
import hashlib
import pathlib
import struct

ROOT = pathlib.Path(__file__).resolve().parent
RECORDINGS = sorted((ROOT.parent / "data" / "bmp").glob("*.bin"))


def messages(stream):
    while stream:
        (length,) = struct.unpack(">I", stream[1:5])
        yield stream[:length]
        stream = stream[length:]


def write(target, seeds):
    folder = ROOT / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for seed in seeds:
        (folder / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)


def attribute(flags, code, value):
    return bytes([flags, code, len(value)]) + value


def main():
    streams, updates = {}, {}
    for path in RECORDINGS:
        seen = list(messages(path.read_bytes()))
        # The start of a connection, and one message of each type, peer, flags and length.
        streams[path.name] = b"\x14" + b"".join(seen[:12])
        for message in seen:
            streams.setdefault((message[5], message[6:8], len(message)), b"\x1c" + message)
            if message[5] == 0:
                updates.setdefault((len(message), message[7]), b"\x00" + message[48 + 19:])
    # What no recording holds.
    origin = attribute(0x40, 1, b"\0")
    next_hop = attribute(0x40, 3, bytes([192, 0, 2, 2]))
    legacy = origin + next_hop + attribute(0x40, 2, bytes.fromhex("0303fbf55ba05ba0" "02015ba0" "0101fbf6"))
    legacy += attribute(0xC0, 7, bytes.fromhex("5ba0c0000207")) + attribute(0xC0, 18, bytes.fromhex("0001000ec0000208"))
    legacy += attribute(0xC0, 17, bytes.fromhex("02010001000e" "01010000fbf6"))
    rest = origin + next_hop + attribute(0x40, 2, b"") + attribute(0x40, 6, b"") + attribute(0x80, 9, b"\xc0\0\2\1")
    rest += attribute(0x80, 10, b"\0\0\0\1") + attribute(0xC0, 35, b"\0\0\xfb\xf5")
    rest += attribute(0x80, 14, bytes.fromhex("0019460400000000" "00") + b"evpn") + attribute(0x80, 15, bytes.fromhex("000180"))
    for key, (context, attributes, nlri) in {
        "legacy": (1, legacy, bytes.fromhex("18cb0071")),
        "rest": (0, rest, bytes.fromhex("18cb0071")),
        "path ids": (2, rest, bytes.fromhex("0000000718cb0071")),
        "adapts": (6, rest, bytes.fromhex("18cb0071")),
    }.items():
        updates[key] = bytes([context]) + b"\0\0" + struct.pack(">H", len(attributes)) + attributes + nlri
    write("bmp_stream_fuzz", streams.values())
    write("bgp_update_fuzz", updates.values())


if __name__ == "__main__":
    main()
