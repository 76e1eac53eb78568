#!/usr/bin/env python3
"""A BGP speaker that announces many routes at once and then only keeps its session.

usage: burst_speaker.py OWN_ADDRESS NEIGHBOR PORT AS COUNT [--end-later]
prints `established`, `announced`, and `lost` when the session ends
Ends with status 1 when the session does; kill it before. With --end-later its End-of-RIB comes on SIGUSR1.
"""
import select
import signal
import socket
import struct
import sys
import time

END = 16 * b"\xff" + b"\0\x17\2\0\0\0\0"  # End-of-RIB, IPv4 unicast
HOLD = 9  # seconds: what does not come in time ends the session on either side


def message(kind, body=b""):
    return b"\xff" * 16 + struct.pack(">HB", 19 + len(body), kind) + body


def opening(number):
    capabilities = b"\x02\x06\x41\x04" + struct.pack(">I", number) + b"\x02\x06\x01\x04\x00\x01\x00\x01"
    return message(1, struct.pack(">BHH4sB", 4, number, HOLD, bytes([192, 0, 2, 3]), len(capabilities)) + capabilities)


def updates(own, number, count, each=100):
    path = struct.pack(">BBII", 2, 2, number, 64510)
    attributes = b"\x40\x01\x01\x00\x40\x02" + bytes([len(path)]) + path + b"\x40\x03\x04" + socket.inet_aton(own)
    for at in range(0, count, each):
        routes = b"".join(b"\x20" + struct.pack(">I", (10 << 24) + i) for i in range(at, min(at + each, count)))
        yield message(2, b"\0\0" + struct.pack(">H", len(attributes)) + attributes + routes)


class Session:
    def __init__(self, own, to, port, number):
        self.socket = socket.socket()
        self.socket.bind((own, 0))
        self.socket.connect((to, port))
        self.buffer = b""
        self.heard = self.told = time.monotonic()
        self.socket.sendall(opening(number))

    # The kinds of messages that came; None when the session is over.
    def step(self, wait):
        now = time.monotonic()
        if now - self.told > HOLD / 3:
            self.socket.sendall(message(4))
            self.told = now
        if now - self.heard > HOLD:
            return None
        if not select.select([self.socket], [], [], wait)[0]:
            return []
        more = self.socket.recv(65536)
        if not more:
            return None
        self.buffer += more
        self.heard = now
        kinds = []
        while len(self.buffer) >= 19:
            size, kind = struct.unpack(">HB", self.buffer[16:19])
            if len(self.buffer) < size:
                break
            self.buffer = self.buffer[size:]
            kinds.append(kind)
            if kind == 1:
                self.socket.sendall(message(4))
        return None if 3 in kinds else kinds


def establish(own, to, port, number):
    for _ in range(100):
        try:
            session = Session(own, to, port, number)
            kinds = session.step(1)
            while kinds is not None and 4 not in kinds:
                kinds = session.step(1)
            if kinds is not None:
                return session
        except OSError:
            pass
        time.sleep(0.1)
    sys.exit("no session")


def main():
    own, to, port, number, count = sys.argv[1:6]
    later = "--end-later" in sys.argv
    signal.signal(signal.SIGUSR1, lambda *_: session.socket.sendall(END))
    session = establish(own, to, int(port), int(number))
    print("established", flush=True)
    session.socket.sendall(b"".join(updates(own, int(number), int(count))) + (b"" if later else END))
    print("announced", flush=True)
    while session.step(0.5) is not None:
        pass
    print("lost", flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
