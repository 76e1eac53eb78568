#!/usr/bin/env python3
"""The hash of a set of RPKI payloads (docs/formats/vrp-set.md), from a JSON export and Python's standard library alone.

vrp_set_hash.py FILE...          prints the hash of each export (rpki-client's dialect)
vrp_set_hash.py --check FILE...  FILE.sha256 says what it must be; exit 1 when it is not
"""
import base64
import hashlib
import ipaddress
import json
import struct
import sys


def number(asn):
    return int(str(asn).upper().removeprefix("AS"))


def prefixes(roas, version):
    found = set()
    for roa in roas:
        prefix = ipaddress.ip_network(roa["prefix"], strict=False)
        if prefix.version == version:
            found.add((int(prefix.network_address), roa["maxLength"], prefix.prefixlen, number(roa["asn"])))
    return sorted(found, reverse=True)


def set_hash(export):
    v4 = prefixes(export.get("roas", []), 4)
    v6 = prefixes(export.get("roas", []), 6)
    keys = set()
    for key in export.get("bgpsec_keys", []):
        keys.add((bytes.fromhex(key["ski"]), base64.b64decode(key["pubkey"]), number(key["asn"])))
    keys = sorted(keys, key=lambda k: (k[0], len(k[1]), k[1], k[2]))
    customers = {}
    for aspa in export.get("aspas", []):
        customers.setdefault(number(aspa["customer_asid"]), set()).update(number(p) for p in aspa["providers"])
    digest = hashlib.sha256(b"virp vrp set 1\n" + struct.pack(">IIII", len(v4), len(v6), len(keys), len(customers)))
    for address, longest, length, asn in v4:
        digest.update(struct.pack(">IBBI", address, length, longest, asn))
    for address, longest, length, asn in v6:
        digest.update(address.to_bytes(16, "big") + struct.pack(">BBI", length, longest, asn))
    for ski, spki, asn in keys:
        digest.update(ski + struct.pack(">II", asn, len(spki)) + spki)
    for customer, providers in sorted(customers.items()):
        if len(providers) > 1:
            providers.discard(0)
        digest.update(struct.pack(">II", customer, len(providers)))
        digest.update(b"".join(struct.pack(">I", provider) for provider in sorted(providers)))
    return digest.hexdigest()


def main():
    check = sys.argv[1:2] == ["--check"]
    wrong = 0
    for path in sys.argv[2 if check else 1:]:
        with open(path, encoding="utf-8") as file:
            got = set_hash(json.load(file))
        if not check:
            print(got, path)
            continue
        with open(path + ".sha256", encoding="utf-8") as file:
            want = file.read().split()[0]
        if got != want:
            print(f"{path}: {got}, should be {want}")
            wrong = 1
    return wrong


if __name__ == "__main__":
    sys.exit(main())
