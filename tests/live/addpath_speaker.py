#!/usr/bin/env python3
"""A BGP speaker that announces three paths of 203.0.113.0/24 (RFC 7911), withdraws two, and keeps its session.

usage: addpath_speaker.py OWN_ADDRESS NEIGHBOR PORT AS
"""
import socket
import struct
import sys

import burst_speaker

PREFIX = b"\x18\xcb\x00\x71"


def opening(number):
    capabilities = b"\x02\x06\x41\x04" + struct.pack(">I", number) + b"\x02\x06\x01\x04\x00\x01\x00\x01\x02\x06\x45\x04\x00\x01\x01\x02"
    return burst_speaker.message(1, struct.pack(">BHH4sB", 4, number, burst_speaker.HOLD, bytes([192, 0, 2, 3]), len(capabilities)) + capabilities)


def announcement(own, number, path_id, origin):
    path = struct.pack(">BBII", 2, 2, number, origin)
    attributes = b"\x40\x01\x01\x00\x40\x02" + bytes([len(path)]) + path + b"\x40\x03\x04" + socket.inet_aton(own)
    return burst_speaker.message(2, b"\0\0" + struct.pack(">H", len(attributes)) + attributes + struct.pack(">I", path_id) + PREFIX)


def withdrawal(path_id):
    routes = struct.pack(">I", path_id) + PREFIX
    return burst_speaker.message(2, struct.pack(">H", len(routes)) + routes + b"\0\0")


def main():
    own, to, port, number = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    burst_speaker.opening = opening
    session = burst_speaker.establish(own, to, port, number)
    messages = [announcement(own, number, path_id, 64509 + path_id) for path_id in (1, 2, 3)] + [withdrawal(1), withdrawal(2)]
    session.socket.sendall(b"".join(messages))
    while session.step(0.5) is not None:
        pass
    return 1


if __name__ == "__main__":
    sys.exit(main())
