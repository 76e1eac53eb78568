#!/usr/bin/python3
"""The RTR bridge beside Debian's stayrtr: same data, same routers, in turns.

    tests/bench/rtr_beside_stayrtr.py --build build/release [--records 600000] [--runs 3]

Routers are played by `virpctl rtr bench`. What counts is the server's CPU time (user and system, of the kernel's clock of
its process); wall time is shown beside it, with the part of the machine that others took meanwhile. Medians of the runs,
the limit of each figure, and the ratio to stayrtr.
"""
import argparse
import json
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

LIMITS = {"start, CPU s": 0.25, "one table, CPU ms": 6, "100 routers, CPU s": 0.6, "100 routers, wall s": 1.5,
          "1 % changed, CPU s": 0.25, "1 % from a delta, CPU ms": 20, "peak memory, MB": 150,
          "one table over TLS, CPU ms": 18, "one table over SSH, CPU ms": 50}


def make_table(count, seed):
    """`count` different VRPs, three of five of IPv4, with lengths about as the Internet has them."""
    rng = random.Random(seed)
    seen = set()
    while len(seen) < count:
        asn = int(400_000 * rng.random() ** 3) + 1
        if len(seen) % 5 < 3:
            length = rng.choice((24, 24, 24, 24, 24, 24, 23, 22, 22, 21, 20, 19, 18, 16))
            bits = rng.getrandbits(length) << (32 - length)
            text = f"{socket.inet_ntop(socket.AF_INET, bits.to_bytes(4, 'big'))}/{length}"
            longest = min(32, length + rng.choice((0, 0, 0, 1, 2)))
        else:
            length = rng.choice((48, 48, 48, 48, 44, 40, 36, 32, 32))
            bits = (0b001 << 125) | (rng.getrandbits(length - 3) << (128 - length))
            text = f"{socket.inet_ntop(socket.AF_INET6, bits.to_bytes(16, 'big'))}/{length}"
            longest = min(64, length + rng.choice((0, 0, 0, 4, 8)))
        seen.add((asn, text, longest))
    return sorted(seen)


def write_table(path, table, now):
    roas = [{"asn": asn, "prefix": prefix, "maxLength": longest, "ta": "bench", "expires": now + 86_400}
            for asn, prefix, longest in table]
    metadata = {"buildtime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)), "vrps": len(roas)}
    with open(path + ".new", "w") as out:
        json.dump({"metadata": metadata, "roas": roas}, out)
    os.replace(path + ".new", path)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu(pid):
    return time.clock_gettime((~pid << 3) | 2)  # the kernel's number of a process's CPU clock


def peak_memory(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def busy_seconds():
    with open("/proc/stat") as stat:
        ticks = [int(field) for field in stat.readline().split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


class Bench:
    def __init__(self, options, folder):
        self.options, self.folder, self.json = options, folder, os.path.join(folder, "vrps.json")
        self.tables = [make_table(options.records, 1)]
        changed = options.records // 200  # as many go as come: 1 % in all
        others = sorted(set(make_table(2 * changed, 2)) - set(self.tables[0]))
        self.tables.append(self.tables[0][changed:] + others[:changed])
        self.files, now = [], int(time.time())
        for number, table in enumerate(self.tables):
            self.files.append(os.path.join(folder, f"table-{number}.json"))
            write_table(self.files[-1], table, now)  # who stays expires as before
        self.certificate, self.key = (os.path.join(folder, name) for name in ("tls.crt", "tls.key"))
        # The bridge's own certificate, too, and its only authority: its name is what a second bridge goes by.
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", self.key, "-out", self.certificate, "-days", "2", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=IP:127.0.0.1,URI:spiffe://bench/rtr-bridge/one"],
                       check=True, capture_output=True)
        self.ssh_key = os.path.join(folder, "ssh")
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", self.ssh_key], check=True)
        with open(self.ssh_key + ".pub") as public, open(self.ssh_key + ".users", "w") as users:
            users.write("router " + public.read())

    def command(self, name, ports, source=None):
        if name == "stayrtr":
            return ["stayrtr", "-bind", ports["tcp"], "-tls.bind", ports["tls"], "-tls.cert", self.certificate,
                    "-tls.key", self.key, "-ssh.bind", ports["ssh"], "-ssh.key", self.ssh_key,
                    "-ssh.method.key", "-ssh.auth.key.bypass", "-metrics.addr", "", "-cache", self.json,
                    "-refresh", "86400", "-checktime=false", "-loglevel", "warning"]
        return [os.path.join(self.options.build, "services/rtr-bridge/virp-rtr-bridge"), "--rtr", ports["tcp"],
                "--rtr-tls", ports["tls"], "--rtr-tls-certificate", self.certificate, "--rtr-tls-key", self.key,
                "--rtr-ssh", ports["ssh"], "--rtr-ssh-host-key", self.ssh_key, "--rtr-ssh-keys", self.ssh_key + ".users",
                "--vrps", source or self.json, "--state", tempfile.mkdtemp(dir=self.folder), "--listen", ports["grpc"],
                "--tls-certificate", self.certificate, "--tls-key", self.key, "--tls-roots", self.certificate,
                "--trust-domain", "bench", "--admin-listen", f"127.0.0.1:{free_port()}", "--log-level", "warning",
                "--max-connections-per-address", "0", "--notify-interval", "0s", "--generation-interval", "0s"]

    def start(self, name, source=None):
        ports = {kind: f"127.0.0.1:{free_port()}" for kind in ("tcp", "tls", "ssh", "grpc")}
        server = subprocess.Popen(self.command(name, ports, source), stdout=subprocess.DEVNULL)
        self.await_table(server, int(ports["tcp"].rsplit(":", 1)[1]))
        return server, ports

    def routers(self, place, routers=1, version=1, more=()):
        ctl = os.path.join(self.options.build, "tools/virpctl/virpctl")
        command = [ctl, "--output", "json", "rtr", "bench", place, "--routers", str(routers),
                   "--min-version", str(version), "--max-version", str(version), *more]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def full(self, pid, place, routers=1, more=()):
        before, busy, began = cpu(pid), busy_seconds(), time.monotonic()
        process = self.routers(place, routers, more=more)
        out, err = process.communicate()
        spent, took = cpu(pid) - before, time.monotonic() - began
        answer = json.loads(out or b"{}")
        if answer.get("failed", 1) or int(answer["records"]) != self.options.records:
            sys.exit(f"{place}: {out.decode()}{err.decode()}")
        others = (busy_seconds() - busy - spent - answer["clientCpuSeconds"]) / took / (os.cpu_count() or 1)
        return spent, answer["fullMaxSeconds"], max(0, 100 * others)

    def run(self, name):
        shutil.copyfile(self.files[0], self.json)
        figures, ours = {}, name == "virp"
        server, ports = self.start(name)
        second = None
        try:
            figures["start, CPU s"] = cpu(server.pid)
            ones = [self.full(server.pid, "tcp://" + ports["tcp"])[0] for _ in range(9 if ours else 3)]
            figures["one table, CPU ms"] = statistics.median(ones) * 1e3
            spent, wall, others = self.full(server.pid, "tcp://" + ports["tcp"], 100)
            figures["100 routers, CPU s"], figures["100 routers, wall s"] = spent, wall
            figures["others meanwhile, %"] = others
            for kind, place, more in (("TLS", "tls://" + ports["tls"], ["--ca", self.certificate]),
                                      ("SSH", "ssh://router@" + ports["ssh"], ["--ssh-key", self.ssh_key, "--insecure"])):
                spent = [self.full(server.pid, place, more=more)[0] for _ in range(5 if ours else 1)]
                figures[f"one table over {kind}, CPU ms"] = statistics.median(spent) * 1e3
            figures["1 % changed, CPU s"] = self.change(server, server, ports["tcp"], self.files[1])
            figures["peak memory, MB"] = peak_memory(server.pid)
            if ours:
                second, theirs = self.start(name, "bridge:" + ports["grpc"])
                spent = [self.change(server, second, theirs["tcp"], self.files[turn % 2]) for turn in range(3)]
                figures["1 % from a delta, CPU ms"] = statistics.median(spent) * 1e3
        finally:
            for process in (second, server):
                if process is not None:
                    process.terminate()
                    process.wait()
        return figures

    @staticmethod
    def await_table(server, port):
        """A whole table, read octet by octet of one connection: the first that gets one ends the start."""
        query = bytes.fromhex("0102000000000008")
        while server.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", port)) as line:
                    line.settimeout(120)
                    line.sendall(query)
                    data = bytearray()
                    while True:
                        part = line.recv(1 << 20)
                        if not part or (not data and part[1] == 10):  # error 2: there are no data yet
                            break
                        data = data[-24:] + part
                        # End of Data is 24 octets long in version 1, and nothing follows it.
                        if len(data) >= 24 and data[-24:-22] == b"\x01\x07" and data[-20:-16] == b"\x00\x00\x00\x18":
                            return
            except OSError:
                pass
            time.sleep(0.001)
        sys.exit("the server ended")

    def change(self, server, measured, address, table):
        """CPU of `measured` from a new file of the server's to Serial Notify and answer at the address."""
        process = self.routers("tcp://" + address, 1, more=["--refreshes", "1"])
        time.sleep(2 if self.options.records < 200_000 else 5)  # it has its table, and waits
        before = cpu(measured.pid)
        shutil.copyfile(table, self.json + ".new")
        os.replace(self.json + ".new", self.json)
        server.send_signal(signal.SIGHUP)
        out, err = process.communicate()
        answer = json.loads(out or b"{}")
        if answer.get("failed", 1) or not answer["refreshes"]:
            sys.exit(f"{address}: {out.decode()}{err.decode()}")
        return cpu(measured.pid) - before


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True, help="build folder, preset release")
    parser.add_argument("--records", type=int, default=600_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--without-stayrtr", action="store_true", help="it takes minutes a run")
    options = parser.parse_args()
    options.build = os.path.abspath(options.build)
    servers = ["virp"] if options.without_stayrtr else ["virp", "stayrtr"]
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, folder)
        runs = {name: [] for name in servers}
        for number in range(options.runs):
            for name in servers:
                runs[name].append(bench.run(name))
                print(f"run {number + 1} {name}: {runs[name][-1]}", file=sys.stderr, flush=True)
    print(f"{options.records} VRPs, medians of {options.runs}, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")
    print(f"{'':28}{'virp':>10}{'limit':>8}{'stayrtr':>10}{'ratio':>8}")
    for what in runs["virp"][0]:
        values = {name: statistics.median(run[what] for run in of) for name, of in runs.items() if what in of[0]}
        line = f"{what:28}{values['virp']:10.3f}{LIMITS.get(what, ''):>8}"
        if "stayrtr" in values:
            line += f"{values['stayrtr']:10.3f}{values['virp'] / values['stayrtr']:8.4f}"
        print(line)


if __name__ == "__main__":
    main()
