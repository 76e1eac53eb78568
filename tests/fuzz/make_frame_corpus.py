#!/usr/bin/env python3
"""Writes the first seeds of the frame fuzz targets from tests/data/vectors/frames.json; merged findings were added to them."""
import json
import pathlib
import struct

HERE = pathlib.Path(__file__).resolve().parent
VECTORS = json.loads((HERE.parent / "data/vectors/frames.json").read_text())
SPELLINGS = ["v1-le", "v1-be", "v1-producer", "v2"]
AUTO = 4

PAYLOADS = [
    '{}', '{"a":[],"b":{},"c":null,"d":true,"e":false}', '{"n":[0,-1,9223372036854775807,18446744073709551615,1.5,1e3,-0]}',
    '{"s":"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00 \u00e9"}', '{"a":1,"\\u0061":2}', '{"x":{"y":[{"z":1}]}}',
    '{"s":"\\uffff"}', '{"s":"\\ud83d"}', '{"n":18446744073709551616}', '[1]', '{"a":1}x',
    '{"d":' + '[' * 33 + ']' * 33 + '}', '{' + ",".join('"k%d":%d' % (i, i) for i in range(30)) + '}']


def put(target, name, data):
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name.replace(" ", "-")).write_bytes(data)


def main():
    streams = {}
    for group in ("valid", "invalid"):
        for vector in VECTORS[group]:
            frame = bytes.fromhex(vector["frame_hex"])
            number = SPELLINGS.index(vector.get("spelling", "v2" if vector["name"].startswith("v2") else "v1-le"))
            put("frame_decode_fuzz", vector["name"], bytes([number]) + frame)
            tag = 64 if number == 3 and frame[7] == 2 else 32
            good = frame[:-tag] + b"K" + frame[len(frame) - tag + 1:]
            streams[number] = streams.get(number, b"") + good
    for kind in list(range(1, 5)) + list(range(16, 29)):
        put("frame_decode_fuzz", "type %d" % kind,
            bytes([3]) + struct.pack(">4sBBBBQQIIQ16sQ", b"VIRP", 2, kind, kind % 4, 1, 5, 1, 2, 1, 1, b"s" * 16, 0) + b"{}" + b"t" * 32)
    for number, stream in streams.items():
        put("frame_stream_fuzz", SPELLINGS[number], bytes([number, 7]) + stream)
        put("frame_stream_fuzz", SPELLINGS[number] + "-auto", bytes([AUTO, 7]) + stream)
    put("frame_stream_fuzz", "auto-mixed", bytes([AUTO, 3]) + streams[1] + streams[3])
    for number, payload in enumerate(PAYLOADS + [v["payload"] for v in VECTORS["valid"][:3]]):
        put("payload_fuzz", "seed-%02d.json" % number, payload.encode())


if __name__ == "__main__":
    main()
