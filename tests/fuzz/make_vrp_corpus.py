#!/usr/bin/env python3
"""The first seeds of vrp_json_fuzz and slurm_fuzz: a document in each dialect, and each way to be wrong.

make_vrp_corpus.py   writes corpus/vrp_json_fuzz and corpus/slurm_fuzz beside it
"""
import base64
import copy
import json
import pathlib

HERE = pathlib.Path(__file__).resolve().parent
SMALL = (HERE.parent / "data/vrps/small.json").read_text(encoding="utf-8")
KEY = json.loads(SMALL)["bgpsec_keys"][0]
SKI = bytes.fromhex(KEY["ski"])
SPKI = base64.b64decode(KEY["pubkey"])


def url(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def write(target, name, content):
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def slurm(version=1, filters=None, assertions=None):
    return {"slurmVersion": version,
            "validationOutputFilters": {"prefixFilters": [], "bgpsecFilters": [], **(filters or {})},
            "locallyAddedAssertions": {"prefixAssertions": [], "bgpsecAssertions": [], **(assertions or {})}}


def exports():
    write("vrp_json_fuzz", "rpki-client", SMALL)
    write("vrp_json_fuzz", "routinator", json.dumps({
        "metadata": {"generated": 1700000000, "generatedTime": "2023-11-14T22:13:20Z"},
        "roas": [{"asn": "AS64500", "prefix": "10.0.0.0/8", "maxLength": 24, "ta": "x"},
                 {"asn": "AS0", "prefix": "2001:db8::1.2.3.4/128", "maxLength": 128}],
        "routerKeys": [{"asn": "AS1", "SKI": KEY["ski"], "routerPublicKey": KEY["pubkey"]}],
        "aspas": [{"customer": "AS1", "providers": ["AS2", "AS3"]}]}))
    write("vrp_json_fuzz", "old", json.dumps({"roas": [], "provider_authorizations": {
        "ipv4": [{"customer_asid": 1, "expires": 50, "providers": [2]}], "ipv6": [{"customer_asid": 1, "providers": [3, 0]}]}}))
    write("vrp_json_fuzz", "octorpki", r'{"metadata":{"counts":1,"generated":1600000000,"valid":1600003600,"signature":"3006020101020101",'
          r'"signatureDate":"3006020101020101"},"roas":[{"prefix":"10.0.0.0\/8","maxLength":24,"asn":"AS64500","ta":"\u00e9\ud83d\ude00\n"}],'
          r'"x":[1.5e3,-2,true,null,{"a":{}}]}')
    write("vrp_json_fuzz", "bad-records", json.dumps({
        "roas": [{"asn": "AS", "prefix": "10.0.0.0/8"}, {"asn": 1, "prefix": "10.0.0.0/8", "maxLength": 99}, 7,
                 {"asn": -1, "prefix": None, "expires": "x"}, {"asn": 4294967296, "prefix": "::/129"}],
        "aspas": [{"customer": 1, "providers": []}, {"customer": 1, "providers": 5}],
        "bgpsec_keys": [{"asn": 1, "ski": "00", "pubkey": "!"}]}))
    write("vrp_json_fuzz", "nested", '{"x":' + "[" * 40 + "]" * 40 + "}")


def exceptions():
    write("slurm_fuzz", "rfc", json.dumps(slurm(1, {
        "prefixFilters": [{"prefix": "192.0.2.0/24", "comment": "x"}, {"asn": 64496}, {"prefix": "198.51.100.0/24", "asn": 64497}],
        "bgpsecFilters": [{"asn": 64496}, {"SKI": url(SKI)}, {"asn": 64497, "SKI": base64.b64encode(SKI).decode()}]}, {
            "prefixAssertions": [{"asn": 64496, "prefix": "198.51.100.0/24"}, {"asn": 64496, "prefix": "2001:db8::/32", "maxPrefixLength": 48}],
            "bgpsecAssertions": [{"asn": 64496, "SKI": url(SKI), "routerPublicKey": url(SPKI)}]})))
    aspa = slurm(2, {
        "prefixFilters": [{"prefix": "::/0"}, {"prefix": "10.0.0.0/8", "asn": 1}, {"prefix": "10.1.2.3/32"}, {"prefix": "0.0.0.0/0", "asn": 2},
                          {"prefix": "2001:db8:1:2:3::/80"}, {"prefix": "::1/128"}],
        "aspaFilters": [{"customer_asid": 1, "comment": "x"}, {"customerAsn": 64496}]}, {
            "aspaAssertions": [{"customer_asid": 1, "provider_set": [2, 3]}, {"customerAsid": 2, "providerSet": [0]}]})
    write("slurm_fuzz", "aspa", json.dumps(aspa))

    def block(prefix):
        return json.dumps(slurm(1, {"prefixFilters": [{"prefix": prefix}]})).encode()

    keys = json.dumps(slurm(1, {"bgpsecFilters": [{"asn": 1}]})).encode()
    write("slurm_fuzz", "two", block("10.0.0.0/8") + b"\0" + block("11.0.0.0/8"))
    write("slurm_fuzz", "overlap", block("10.0.0.0/8") + b"\0" + block("10.1.0.0/16"))
    write("slurm_fuzz", "keys", keys + b"\0" + keys)
    version = copy.deepcopy(aspa)
    version["slurmVersion"] = 1
    bad = ['{"slurmVersion":3}', '{"slurmVersion":1}', '{"slurmVersion":1,"slurmVersion":1}', '{"slurmVersion":1,"x":1}', json.dumps(version),
           json.dumps(slurm(1, {"prefixFilters": [{}]})), json.dumps(slurm(1, {"bgpsecFilters": [{}]})),
           json.dumps(slurm(1, None, {"prefixAssertions": [{"asn": 1, "prefix": "10.0.0.0/8", "maxPrefixLength": 7}]})),
           json.dumps(slurm(1, None, {"bgpsecAssertions": [{"asn": "AS1"}]})), "[]",
           json.dumps(slurm(1, {"x": []})), json.dumps(slurm(1, None, {"x": []}))]
    for number, text in enumerate(bad):
        write("slurm_fuzz", f"bad-{number}", text)


if __name__ == "__main__":
    exports()
    exceptions()
