# SPDX-License-Identifier: GPL-2.0-or-later
"""The wires: a network namespace for each router and each site, veth pairs between them. The lab's own namespace is the
management network: bridge `mgmt`, where the O-Node listens and each site's collector has a leg."""
import os
import subprocess

from virplab.sandbox import LabError

ONODE = "10.255.0.1"


def command(arguments, text=None, check=True):
    done = subprocess.run(arguments, input=text, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise LabError(f"{' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


class Network:
    def __init__(self, home, topology):
        self.folder = os.path.join(home, "net")
        self.topology = topology
        os.mkdir(self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def inside(self, name):
        """The command that runs another one in that namespace."""
        return ["nsenter", f"--net={self.path(name)}", "--"]

    def batch(self, lines, name=None):
        arguments = (self.inside(name) if name else []) + ["ip", "-batch", "-"]
        command(arguments, "\n".join(lines) + "\n")

    def build(self):
        topology = self.topology
        sites = [topology.site_name(asn) for asn in topology.sites]
        own = {name: ["link set lo up"] for name in sites + [router.name for router in topology.routers]}
        for name in own:
            open(self.path(name), "w", encoding="ascii").close()
            command(["unshare", f"--net={self.path(name)}", "true"])
        outside = ["link set lo up", "link add mgmt type bridge", f"addr add {ONODE}/16 dev mgmt", "link set mgmt up"]
        for number, site in enumerate(sites, 1):
            outside += [f"link add m{number} type veth peer name mgmt netns {self.path(site)}",
                        f"link set m{number} master mgmt up"]
            own[site] += [f"addr add 10.255.1.{number}/16 dev mgmt", "link set mgmt up",
                          "link add lan type bridge", "link set lan up"]
        for router in topology.routers:
            site = topology.site_name(router.asn)
            outside.append(f"link add lan netns {self.path(router.name)} type veth peer name p{router.number} netns {self.path(site)}")
            own[site].append(f"link set p{router.number} master lan up")
            own[router.name] += [f"addr add {topology.lan(router)}/24 dev lan", "link set lan up"]
        for index, (a, b) in enumerate(topology.links):
            outside.append(f"link add l{index} netns {self.path(a.name)} type veth peer name l{index} netns {self.path(b.name)}")
            for router, address in zip((a, b), topology.link_addresses(index)):
                own[router.name] += [f"addr add {address}/30 dev l{index}", f"link set l{index} up"]
        self.batch(outside)
        for name, lines in own.items():
            self.batch(lines, name)

    def set_link(self, index, up):
        """Of the link's first end: the other one has no carrier then."""
        self.batch([f"link set l{index} {'up' if up else 'down'}"], self.topology.links[index][0].name)

    def set_management(self, asn, up):
        """A site's way to the O-Node."""
        number = self.topology.sites.index(asn) + 1
        self.batch([f"link set m{number} {'up' if up else 'down'}"])
