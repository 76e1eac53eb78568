#!/usr/bin/env python3
"""What the module costs bgpd: a burst of prefixes from one neighbour, with and without it, HMAC and Ed25519.

  tests/bench/frr_cost.py --build build/dev [--prefixes 100000] [--rounds 3]

Two programs on loopback addresses, bgpd and tests/live/burst_speaker.py, and a listener that only reads. Prints CPU time, which
other programs on the machine change little: of bgpd's main thread (the hook, and all else that bgpd does), of the module's thread
(signing and sending), of both for each event; and, in a run of its own, the time in the hook bgp_process, by hooks in front of it and
behind it (frr_hook_time.c). Exit 1 when a frame is missing; times are for a person to judge.
"""
import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", ".."))
OWN, SPEAKER, PORT = "127.0.77.1", "127.0.77.3", 1797


class Listener(threading.Thread):
    """Reads what comes and throws it away."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(path)
        os.chmod(path, 0o660)
        self.socket.listen(1)

    def run(self):
        while True:
            connection, _ = self.socket.accept()
            while connection.recv(1 << 20):
                pass


class Bgpd:
    def __init__(self, home, modules, lines):
        self.home = home
        with open(f"{home}/bgpd.conf", "w", encoding="ascii") as file:
            file.write("\n".join(["router bgp 64500", " bgp router-id 192.0.2.1", " no bgp ebgp-requires-policy", " bgp allow-martian-nexthop",
                                  " neighbor BURST peer-group", " neighbor BURST remote-as 64502", " neighbor BURST disable-connected-check",
                                  " bgp listen range 127.0.0.0/8 peer-group BURST", *lines]) + "\n")
        loaded = [word for module in modules for word in ("-M", module)]
        self.process = subprocess.Popen(
            ["/usr/lib/frr/bgpd", "-l", OWN, "-p", str(PORT), "-n", "-Z", "-S", "-P", "0", "-f", f"{home}/bgpd.conf", "-i", f"{home}/pid",
             "--vty_socket", home, "--log", f"file:{home}/log", *loaded], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.vty = None
        for _ in range(100):
            try:
                self.vty = socket.socket(socket.AF_UNIX)
                self.vty.connect(f"{home}/bgpd.vty")
                break
            except OSError:
                time.sleep(0.1)
        self.show("enable")

    def show(self, command):
        self.vty.sendall(command.encode() + b"\0")
        answer = b""
        while not (len(answer) >= 4 and answer[-4:-1] == b"\0\0\0"):
            more = self.vty.recv(65536)
            if not more:
                sys.exit(f"frr_cost: bgpd is gone: {self.home}/log")
            answer += more
        return answer[:-4].decode()

    def routes(self):
        return json.loads(self.show("show bgp ipv4 unicast summary json") or "{}").get("ribCount", 0)

    def cpu(self):
        """Of each thread by its name, in seconds."""
        out = {}
        for task in os.listdir(f"/proc/{self.process.pid}/task"):
            base = f"/proc/{self.process.pid}/task/{task}"
            with open(f"{base}/comm", encoding="ascii") as name, open(f"{base}/schedstat", encoding="ascii") as figures:
                out[name.read().strip()] = int(figures.read().split()[0]) / 1e9
        return out

    def resident_mib(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) // 1024

    def stop(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def run(modules, lines, prefixes, signs):
    """Figures of one burst."""
    home = tempfile.mkdtemp(prefix="frr-cost.")
    os.chmod(home, 0o750)
    try:
        Listener(f"{home}/frames.sock").start()
        bgpd = Bgpd(home, modules, [line.format(home=home) for line in lines])
        before = bgpd.cpu()
        speaker = subprocess.Popen(["/usr/bin/python3", "-B", f"{ROOT}/tests/live/burst_speaker.py", SPEAKER, OWN, str(PORT), "64502", str(prefixes)],
                                   stdout=subprocess.DEVNULL)
        figures = {}
        while bgpd.routes() < prefixes:
            time.sleep(0.5)
        while signs:
            figures = json.loads(bgpd.show("show bgp virp status json"))
            if figures["pending"] == 0 and figures["delivered"] == figures["sequence"] - figures["lost"]:
                break
            time.sleep(0.5)
        time.sleep(0.5)
        after = bgpd.cpu()
        figures["cpu"] = {name: seconds - before.get(name, 0) for name, seconds in after.items()}
        figures["resident"] = bgpd.resident_mib()
        if len(modules) > 1:
            figures["hook"] = json.loads(bgpd.show("show bgp hook-time"))
        speaker.kill()
        bgpd.stop()
        speaker.wait()
        return figures
    finally:
        shutil.rmtree(home)


def build_meter(build, folder):
    """frr_hook_time.so, with what the module's own build wrote about FRR."""
    made, source = f"{build}/integrations/frr/bgpd_virp.so.d", os.path.join(ROOT, "build/frr-source/src")
    with open(f"{made}/version.h", encoding="ascii") as file:
        major, minor = file.read().split('"')[1].split(".")[:2]
    out = f"{folder}/frr_hook_time.so"
    subprocess.run(["/usr/bin/gcc", "-shared", "-fPIC", "-O2", "-std=gnu11", "-fms-extensions", "-DHAVE_CONFIG_H", f"-DVIRP_FRR_MAJOR={major}",
                    f"-DVIRP_FRR_MINOR={minor}", f"-I{ROOT}/integrations/frr/src/frr", f"-I{ROOT}/integrations/frr/src",
                    *(word for each in (made, f"{made}/lib", source, f"{source}/include", f"{source}/lib", f"{source}/lib/assert") for word in ("-isystem", each)),
                    "-o", out, f"{ROOT}/tests/bench/frr_hook_time.c"], check=True)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True)
    parser.add_argument("--prefixes", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    module = os.path.realpath(f"{options.build}/integrations/frr/bgpd_virp.so")
    keys = tempfile.mkdtemp(prefix="frr-cost-keys.")
    for name in ("1.hmac", "1.seed"):
        with open(f"{keys}/{name}", "w", encoding="ascii") as file:
            file.write("0123456789abcdef" * (4 if name == "1.hmac" else 2))
        os.chmod(f"{keys}/{name}", 0o600)

    def lines(version, key, ring):
        return [f" virp frame-version {version}", " virp source-name edge-a.bgpd", f" virp hmac-key {keys}/{key}",
                " virp onode-socket {home}/frames.sock", f" virp ring-size {ring}", " virp enable"]

    cases = {"without": ([], [], False), "HMAC, version 1": ([module], lines(1, "1.hmac", 64), True),
             "HMAC, version 2": ([module], lines(2, "1.hmac", 64), True), "Ed25519": ([module], lines(2, "1.seed", 1024), True)}
    measured = {name: [] for name in cases}
    missing = 0
    for _ in range(options.rounds):
        for name, (modules, config, signs) in cases.items():
            figures = run(modules, config, options.prefixes, signs)
            measured[name].append(figures)
            if signs:
                missing += figures["lost"] + max(0, 2 * options.prefixes - figures["type3"] - figures["type4"])
    alone = statistics.median(figures["cpu"]["bgpd"] for figures in measured["without"])
    print(f"{'':18} {'main thread':>12} {'module thread':>14} {'events':>8} {'each, of both':>14} {'of that, main':>14} {'resident':>9}")
    for name, all_figures in measured.items():
        main_cpu = statistics.median(figures["cpu"]["bgpd"] for figures in all_figures)
        own_cpu = statistics.median(figures["cpu"].get("virp", 0) for figures in all_figures)
        events = all_figures[0].get("type3", 0) + all_figures[0].get("type4", 0)
        each = f"{(main_cpu - alone + own_cpu) / events * 1e6:11.2f} us {(main_cpu - alone) / events * 1e6:11.2f} us" if events else f"{'':29}"
        resident = statistics.median(figures["resident"] for figures in all_figures)
        print(f"{name:18} {main_cpu:10.2f} s {own_cpu:12.2f} s {events:8} {each} {resident:5.0f} MiB")
    meter = build_meter(options.build, keys)
    hooks = [run([module, meter], lines(1, "1.hmac", 64), options.prefixes, True)["hook"] for _ in range(options.rounds)]
    clock = statistics.median(each["emptyNs"] / each["emptyCalls"] for each in hooks)
    all_calls = statistics.median(each["ns"] / each["calls"] for each in hooks) - clock
    whole = statistics.median(each["wholeNs"] / each["wholeCalls"] for each in hooks) - clock
    stopped = statistics.median(each["calls"] - each["wholeCalls"] for each in hooks)
    print(f"in the hook bgp_process {whole:.0f} ns a call, or {all_calls:.0f} ns with the {stopped:.0f} calls in which something else ran; the reading of "
          f"the clock ({clock:.0f} ns) is taken off")
    shutil.rmtree(keys)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
