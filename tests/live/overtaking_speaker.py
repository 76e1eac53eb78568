#!/usr/bin/env python3
"""A BGP speaker that changes its mind within one write: 203.0.113.0/24 is announced and withdrawn, 198.51.100.0/24 announced,
changed, withdrawn, announced, withdrawn and announced again. On SIGUSR1 the latter is withdrawn, announced as it was, and withdrawn; on
SIGUSR2 announced, changed, withdrawn, announced as it was, withdrawn, announced with the neighbor's own AS in its path, which it refuses,
withdrawn, and announced as it was before. It keeps its session.

usage: overtaking_speaker.py OWN_ADDRESS NEIGHBOR PORT AS
"""
import signal
import socket
import struct
import sys

import burst_speaker

NEIGHBOR_AS = 64500
FLEETING, LASTING = b"\x18\xcb\x00\x71", b"\x18\xc6\x33\x64"


def announcement(own, number, prefix, origin):
    path = struct.pack(">BBII", 2, 2, number, origin)
    attributes = b"\x40\x01\x01\x00\x40\x02" + bytes([len(path)]) + path + b"\x40\x03\x04" + socket.inet_aton(own)
    return burst_speaker.message(2, b"\0\0" + struct.pack(">H", len(attributes)) + attributes + prefix)


def withdrawal(prefix):
    return burst_speaker.message(2, struct.pack(">H", len(prefix)) + prefix + b"\0\0")


def main():
    own, to, port, number = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    def announced(prefix, origin):
        return announcement(own, number, prefix, origin)

    def once_more(*_):
        session.socket.sendall(withdrawal(LASTING) + announced(LASTING, 64513) + withdrawal(LASTING))

    def to_and_fro(*_):
        last = announced(LASTING, 64511)
        session.socket.sendall(announced(LASTING, 64510) + last + withdrawal(LASTING) + last + withdrawal(LASTING) +
                               announced(LASTING, NEIGHBOR_AS) + withdrawal(LASTING) + last)

    signal.signal(signal.SIGUSR1, once_more)
    signal.signal(signal.SIGUSR2, to_and_fro)
    session = burst_speaker.establish(own, to, port, number)
    session.socket.sendall(b"".join((
        announced(FLEETING, 64510), withdrawal(FLEETING),
        announced(LASTING, 64510), announced(LASTING, 64511), withdrawal(LASTING), announced(LASTING, 64512), withdrawal(LASTING),
        announced(LASTING, 64513))))
    while session.step(0.5) is not None:
        pass
    return 1


if __name__ == "__main__":
    sys.exit(main())
