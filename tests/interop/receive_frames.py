#!/usr/bin/env python3
"""A receiver of v1-le frames with what a published one has, struct and hmac; its reads are looped, and a connection may bring
many frames. It shares no code with ours.

usage: receive_frames.py SOCKET KEY [--count]    listens there; a line for each frame: `type tier sequence payload`, or `BAD ...`
With --count one line in the end: `N frames`. A number that does not follow the one before is only said to be BAD then.
Ends with the first connection: status 0 when every frame of it was verified and whole.
"""
import hashlib
import hmac
import os
import socket
import struct
import sys


def read(connection, size):
    got = b""
    while len(got) < size:
        more = connection.recv(size - len(got))
        if not more:
            return got
        got += more
    return got


def main():
    path, key_file = sys.argv[1:3]
    counting = sys.argv[3:] == ["--count"]
    frames = 0
    with open(key_file, "rb") as file:
        key = file.read()
    key = key if len(key) == 32 else key.rstrip(b"\r\n")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path + ".new")
    os.chmod(path + ".new", 0o660)
    listener.listen(1)
    os.rename(path + ".new", path)
    connection, _ = listener.accept()
    while True:
        header = read(connection, 24)
        if not header:
            if counting:
                print(frames, "frames")
            return 0
        if len(header) < 24:
            print("BAD short header")
            return 1
        magic, version, kind, tier, _ = struct.unpack("!IBBBB", header[:8])
        timestamp, sequence, length = struct.unpack("<QII", header[8:])
        payload = read(connection, length)
        tag = read(connection, 32)
        wanted = hmac.new(key, header + payload, hashlib.sha256).digest()
        if magic != 0x56495250 or version != 1 or timestamp == 0 or not hmac.compare_digest(tag, wanted):
            print("BAD frame", sequence)
            return 1
        frames += 1
        if not counting:
            print(kind, tier, sequence, payload.decode(), flush=True)
        elif sequence != frames:
            print("BAD sequence", sequence)
            return 1


if __name__ == "__main__":
    sys.exit(main())
