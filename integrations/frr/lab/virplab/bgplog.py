# SPDX-License-Identifier: GPL-2.0-or-later
"""What bgpd itself logged: sessions that came and went (`bgp log-neighbor-changes`), routes that it took and gave up (`debug bgp
updates in`). No line of our module is looked at."""
import dataclasses
import datetime
import re

STAMP = re.compile(r"^(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d)\.(\d{6}) ")
CHANGE = re.compile(r"%ADJCHANGE: neighbor ([0-9a-f.:]+)\S* in vrf \S+ (Up|Down)\s?(.*)")
PEER = r"([0-9a-f.:]+)(?:\([^)]*\))? rcvd "
PREFIX = r"([0-9a-f.:]+/\d+)"
ATTRIBUTES = re.compile(PEER + r"UPDATE w/ attr: (.*)$")
GONE = re.compile(PEER + "UPDATE about " + PREFIX + r".* -- (withdrawn|DENIED)")
TAKEN = re.compile(PEER + PREFIX + r"(?: IPv[46] unicast)?(\.\.\.duplicate ignored)?\s*$")  # more behind it: said twice


@dataclasses.dataclass
class Said:
    time_ns: int
    what: str  # up, down, announce, repeat, withdraw
    peer: str
    prefix: str = ""
    as_path: str = ""
    med: int = 0


def time_of(line):
    found = STAMP.match(line)
    if not found:
        return None
    second = datetime.datetime.strptime(found[1], "%Y/%m/%d %H:%M:%S").timestamp()
    return int(second) * 1_000_000_000 + int(found[2]) * 1000


def attributes_of(text):
    """Of "nexthop 10.0.0.2, origin i, metric 70, path 64501 64502": path and MED."""
    out = {"as_path": "", "med": 0}
    for part in text.split(", "):
        name, _, value = part.strip().partition(" ")
        if name == "metric":
            out["med"] = int(value)
        if name == "path":
            out["as_path"] = value.strip()
    return out


def read(path):
    out, attributes = [], {}
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            time_ns = time_of(line)
            if time_ns is None:
                continue
            if found := CHANGE.search(line):
                out.append(Said(time_ns, found[2].lower(), found[1]))
            elif found := ATTRIBUTES.search(line):
                attributes[found[1]] = attributes_of(found[2])
            elif found := GONE.search(line):
                out.append(Said(time_ns, "withdraw", found[1], found[2]))
            elif found := TAKEN.search(line):
                out.append(Said(time_ns, "repeat" if found[3] else "announce", found[1], found[2], **attributes[found[1]]))
    return out
