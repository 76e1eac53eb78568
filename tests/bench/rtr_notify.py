#!/usr/bin/env python3
"""How long routers wait for a Serial Notify while one of them is stuck, one reads an octet now and then, and many are idle.

  tests/bench/rtr_notify.py --build build/release [--routers 1000] [--rounds 20] [--records 10000]

Starts the bridge, connects the routers over the loopback, changes the table (one VRP) and sends SIGHUP, again and again; first
with good routers alone, then with a stuck and a dripping one in the middle of their tables. Prints, of each router and
round, the time from SIGHUP to the Notify in ms (reading, merging and comparing the file are in it), and that from the first
router's Notify to the last one's. A Notify is there when the kernel says that its octets came: the routers, which in
truth have machines of their own, read it later and do not compete with the bridge for the cores. Exit 1 when a router is not notified at all; times are for a person to judge.
"""
import argparse
import json
import os
import resource
import select
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

SO_TIMESTAMPNS = 35  # Linux
RESET_QUERY = bytes.fromhex("0102000000000008")
NOTIFY = 0
PER_ADDRESS = 50  # the bridge lets 64 of one address in


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def write_table(path, records, extra):
    roas = [{"prefix": f"10.{i >> 8 & 255}.{i & 255}.0/24", "asn": 64496 + (i >> 16)} for i in range(records)]
    roas.append({"prefix": "192.0.2.0/24", "asn": extra})
    with open(path + ".new", "w", encoding="ascii") as file:
        json.dump({"roas": roas}, file)
    os.replace(path + ".new", path)


class Router:
    def __init__(self, number, port, room=0):
        self.line = socket.socket()
        if room:
            self.line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        self.line.bind((f"127.0.{1 + number // PER_ADDRESS // 200}.{2 + number // PER_ADDRESS % 200}", 0))
        self.line.connect(("127.0.0.1", port))
        self.line.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.unread, self.came = b"", 0.0

    def types(self):
        """Of the PDUs that are there; `came` is when the last octets did, in seconds since 1970."""
        part, notes, _, _ = self.line.recvmsg(1 << 16, 64)
        for level, kind, stamp in notes:
            if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
                seconds, nanos = struct.unpack("qq", stamp[:16])
                self.came = seconds + nanos / 1e9
        self.unread += part
        out, at = [], 0
        while len(self.unread) - at >= 8:
            length = int.from_bytes(self.unread[at + 4:at + 8], "big")
            if len(self.unread) - at < length:
                break
            out.append(self.unread[at + 1])
            at += length
        self.unread = self.unread[at:]
        return out


class Bench:
    def __init__(self, options, folder):
        self.options, self.extra = options, 1
        self.table = os.path.join(folder, "vrps.json")
        write_table(self.table, options.records, self.extra)
        self.port = free_port()
        self.server = subprocess.Popen(
            [os.path.join(options.build, "services/rtr-bridge/virp-rtr-bridge"), "--rtr", f"127.0.0.1:{self.port}", "--vrps", self.table,
             "--source-max-age", "0", "--state", os.path.join(folder, "state"), "--admin-listen", f"127.0.0.1:{free_port()}",
             "--log-level", "warning", "--notify-interval", "0", "--generation-interval", "0"], stdout=subprocess.DEVNULL)
        self.poll = select.epoll()
        self.routers = {}

    def await_data(self):
        """Whoever asks before the file is read is told that there is nothing, and is notified later: no table comes."""
        first = self.open(100_002)
        with first.line:
            kinds = []
            while 7 not in kinds:
                if not kinds or 10 in kinds:
                    first.line.sendall(RESET_QUERY)
                kinds = first.types()

    def connect(self):
        self.await_data()
        for number in range(self.options.routers):
            router = self.open(number)
            router.line.sendall(RESET_QUERY)
            self.routers[router.line.fileno()] = router
            self.poll.register(router.line, select.EPOLLIN)
        self.await_type(7, time.time())

    def open(self, number, room=0):
        while self.server.poll() is None:
            try:
                return Router(number, self.port, room)
            except ConnectionRefusedError:
                time.sleep(0.01)
        sys.exit("the bridge ended")

    def await_type(self, kind, began, meanwhile=lambda: None):
        """When the octets came that told each router so, in ms from `began` on."""
        when = {}
        while len(when) < len(self.routers):
            time.sleep(0.2)
            for number, _ in self.poll.poll(0):
                if kind in self.routers[number].types():
                    when.setdefault(number, 1e3 * (self.routers[number].came - began))
            meanwhile()
            if time.time() - began > 60:
                sys.exit(f"{len(self.routers) - len(when)} routers heard nothing within a minute")
        return sorted(when.values())

    def rounds(self, title, meanwhile=lambda: None):
        all_times, spread = [], []
        for _ in range(self.options.rounds):
            self.extra += 1
            write_table(self.table, self.options.records, self.extra)
            began = time.time()
            self.server.send_signal(signal.SIGHUP)
            times = self.await_type(NOTIFY, began, meanwhile)
            all_times += times
            spread.append(times[-1] - times[0])
        all_times.sort()
        print(f"{title:40}{statistics.median(all_times):10.1f}{all_times[len(all_times) * 99 // 100]:10.1f}{all_times[-1]:10.1f}"
              f"{statistics.median(spread):12.1f}{max(spread):10.1f}", flush=True)

    def run(self):
        print(f"{self.options.routers} routers, {self.options.records} VRPs, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")
        print(f"{'ms':40}{'median':>10}{'99 %':>10}{'longest':>10}{'first-last':>12}{'longest':>10}")
        self.connect()
        self.rounds("good routers alone")
        stuck, dripping = self.open(100_000, 4096), self.open(100_001, 4096)
        for router in stuck, dripping:
            router.line.sendall(100 * RESET_QUERY)
        time.sleep(1)  # until they are stuck
        self.rounds("one stuck, one dripping", lambda: dripping.line.recv(1))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True, help="build folder")
    parser.add_argument("--routers", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--records", type=int, default=10_000)
    options = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, options.routers + 100), hard), hard))
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, folder)
        try:
            bench.run()
        finally:
            bench.server.terminate()
            bench.server.wait()


if __name__ == "__main__":
    main()
