# SPDX-License-Identifier: GPL-2.0-or-later
"""One router: Debian's bgpd with our module, in its own network namespace; no zebra, no kernel routes."""
import json
import os
import socket
import threading
import time

from virplab.process import Process, wait_for
from virplab.sandbox import LabError

BGPD = "/usr/lib/frr/bgpd"
SUCCESS, WARNING = 0, 1  # status bytes of a vty


class Vty:
    """bgpd's own socket: the command and a zero byte; the answer ends with three zero bytes and a status."""

    def __init__(self, path, patience=60):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(patience)
        self.socket.connect(path)

    def command(self, text):
        self.socket.sendall(text.encode() + b"\0")
        answer = bytearray()
        while len(answer) < 4 or answer[-4:-1] != b"\0\0\0":
            more = self.socket.recv(1 << 16)
            if not more:
                raise ConnectionError(f"bgpd closed its vty at '{text}'")
            answer += more
        return bytes(answer[:-4]).decode(errors="replace"), answer[-1]


class Bgpd:
    def __init__(self, router, topology, network, home, options):
        self.router, self.topology = router, topology
        self.name = router.name
        self.folder = os.path.join(home, router.name)
        self.options = options  # module, socket, key
        self.lock = threading.Lock()
        self.vty = None
        self.starts = []  # ns, of each life
        self.kills = []  # ns
        os.mkdir(self.folder, 0o700)
        file = self.file
        self.process = Process(router.name, file("output.log"), network.inside(router.name) + [
            BGPD, "-n", "-Z", "-S", "-P", "0", "-i", file("pid"), "--vty_socket", self.folder, "-f", file("bgpd.conf"),
            "-M", options["module"]])

    def file(self, name):
        return os.path.join(self.folder, name)

    def configuration(self):
        router, topology = self.router, self.topology
        lines = [f"hostname {self.name}", f"log file {self.file('bgpd.log')}", "log timestamp precision 6", "log immediate-mode",
                 "debug bgp updates in", f"ip prefix-list OURS seq 5 permit {topology.protected} le 32",
                 # Sessions are over IPv4, and without zebra bgpd knows no IPv6 address of its own.
                 "route-map V6 permit 10", f"set ipv6 next-hop global {router.next_hop6}", "exit", "route-map OWN permit 10", "exit",
                 f"router bgp {router.asn}", f" bgp router-id {router.bgp_id}",
                 " bgp log-neighbor-changes", " no bgp ebgp-requires-policy", " no bgp network import-check",
                 " coalesce-time 50", f" timers bgp {self.options['keepalive']} {self.options['hold']}"]
        lines += [" bgp graceful-restart"] if router.graceful else []
        for session in topology.sessions(router):
            lines += self.neighbor(session)
        lines += [" virp frame-version 2"] if router.version == 2 else []
        lines += [f" virp source-name {router.source}", f" virp hmac-key {self.options['key']}",
                  f" virp onode-socket {self.options['socket']}"]
        if router.version == 2:
            lines.append(f" virp state-file {self.file('epoch')}")
        if router.ring:
            lines.append(f" virp ring-size {router.ring}")
        lines += [f" virp protect prefix-list OURS origin {topology.owner.asn}", " virp enable", " address-family ipv4 unicast",
                  f"  network 100.64.{router.number}.0/24"]
        if router is topology.owner:
            lines.append(f"  network {topology.protected}")
        lines += [" exit-address-family", " address-family ipv6 unicast", f"  network 2001:db8:{router.number:x}::/48"]
        return "\n".join(lines) + "\n"

    def neighbor(self, session):
        """What a session takes under `router bgp`."""
        neighbor = f" neighbor {session.address} "
        inside = [f" {neighbor}next-hop-self"] if session.peer.asn == self.router.asn else []
        return [f"{neighbor}remote-as {session.peer.asn}", f"{neighbor}update-source {session.own}", f"{neighbor}timers connect 2",
                f"{neighbor}advertisement-interval 0", " address-family ipv4 unicast", *inside, " exit-address-family",
                " address-family ipv6 unicast", f" {neighbor}activate", f" {neighbor}route-map V6 out", " exit-address-family"]

    def start(self):
        with open(self.file("bgpd.conf"), "w", encoding="ascii") as file:
            file.write(self.configuration())
        self.starts.append(time.time_ns())
        self.process.start()

    def await_answer(self):
        def answers():
            self.process.need()
            try:
                self.vty = Vty(self.file("bgpd.vty"))
                self.vty.command("enable")
                return True
            except OSError:
                return False

        wait_for(f"{self.name} answers", answers)

    def kill(self):
        self.process.kill()
        self.kills.append(time.time_ns())
        self.vty = None

    def stop(self):
        self.process.stop()
        self.vty = None

    def show(self, command):
        with self.lock:
            if self.vty is None:
                raise LabError(f"{self.name} does not run")
            answer, status = self.vty.command(command)
        if status not in (SUCCESS, WARNING):
            raise LabError(f"{self.name} refuses '{command}' ({status}): {answer.strip()}")
        return answer

    def show_json(self, command):
        answer = self.show(command + " json")
        return json.loads(answer) if answer.strip() else {}

    def configure(self, *lines):
        with self.lock:
            for line in ("configure terminal", *lines, "end"):
                answer, status = self.vty.command(line)
                if status not in (SUCCESS, WARNING):
                    self.vty.command("end")
                    raise LabError(f"{self.name} refuses '{line}' ({status}): {answer.strip()}")

    def under_bgp(self, *lines):
        self.configure(f"router bgp {self.router.asn}", *lines)

    def networks(self, *lines):
        self.under_bgp("address-family ipv4 unicast", *lines)

    def routes(self):
        """Both families, by prefix."""
        out = {}
        for family in ("ipv4", "ipv6"):
            out |= self.show_json(f"show bgp {family} unicast").get("routes", {})
        return out

    def figures(self):
        return self.show_json("show bgp virp status")

    def established(self):
        peers = self.show_json("show bgp neighbors")
        return {address for address, peer in peers.items() if isinstance(peer, dict) and peer.get("bgpState") == "Established"}
