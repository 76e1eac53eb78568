#!/usr/bin/env python3
"""Verifies a v1-le frame with what a published receiver has: struct and hmac (docs/formats/frame.md, "Version 1").

usage: verify_frame.py FRAME KEY    exit 0: verified, payload on stdout; 1: refused, reason on stderr
KEY is the key's file; a text key is its characters without trailing CR and LF, a file of 32 bytes is raw.
"""
import hashlib
import hmac
import struct
import sys


def verify(frame, key):
    if len(frame) < 56:
        raise ValueError("shorter than header and tag")
    magic, version, kind, tier, _ = struct.unpack("!IBBBB", frame[:8])
    timestamp, sequence, length = struct.unpack("<QII", frame[8:24])
    if magic != 0x56495250 or version != 1 or tier > 3:
        raise ValueError("not a version 1 frame")
    if length > 65279 or len(frame) != 24 + length + 32:
        raise ValueError("length does not fit")
    if not hmac.compare_digest(hmac.new(key, frame[:-32], hashlib.sha256).digest(), frame[-32:]):
        raise ValueError("tag does not fit")
    return kind, tier, timestamp, sequence, frame[24:-32].decode()


def main():
    with open(sys.argv[1], "rb") as file:
        frame = file.read()
    with open(sys.argv[2], "rb") as file:
        key = file.read()
    try:
        print("type %d tier %d time %d sequence %d %s" % verify(frame, key if len(key) == 32 else key.rstrip(b"\r\n")))
    except ValueError as error:
        sys.exit("refused: %s" % error)


if __name__ == "__main__":
    main()
