#!/usr/bin/python3
"""Plain HTTP: every RPC that is no stream has a path of its own, docs/query/http.md asks by paths that there are, and Envoy with the
configuration of clients/envoy does what that page says.

envoy_test.py BUILD      exit 77: there is no Envoy; only what needs none was looked at"""
import os
import pathlib
import re
import subprocess
import sys
import urllib.error
import urllib.request

from google.protobuf import descriptor_pb2

import package
import samples
import world

sys.path.append(str(package.ROOT / "tests/testutil"))
from wire import fields  # noqa: E402

CONFIGURATION = package.ROOT / "clients/envoy/envoy.yaml"
PAGE = package.ROOT / "docs/query/http.md"
HTTP_RULE = 72295728  # google.api.http
VERBS = {2: "GET", 3: "PUT", 4: "POST", 5: "DELETE", 6: "PATCH"}
NO_RULE = {"virp.keymgr.v1.RouterKeyService/GetCustodyLog"}  # binary: nobody wants it as JSON


def rules(protoset):
    """Of each unary RPC: its request's type, verb, path and body, as the descriptors have them."""
    files = descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(protoset).read_bytes())
    messages = {f".{file.package}.{message.name}": message for file in files.file for message in file.message_type}
    out = {}
    for file in files.file:
        for service in file.service:
            for method in service.method:
                if not file.name.startswith("virp/") or method.client_streaming or method.server_streaming:
                    continue
                rule = {}
                for number, content in fields(method.options.SerializeToString()):
                    if number == HTTP_RULE:
                        rule = {field: value.decode() for field, value in fields(content)}
                verb = next((VERBS[field] for field in rule if field in VERBS), None)
                path = next((value for field, value in rule.items() if field in VERBS), None)
                out[f"{file.package}.{service.name}/{method.name}"] = (messages, method.input_type, verb, path, rule.get(7))
    return out


def pattern(path):
    """What a path of a request has to be like: {name} is one part of it, {name=**} all that follows."""
    pieces = re.split(r"(\{[^}]*\})", path)
    return re.compile("".join((".+" if piece.endswith("=**}") else "[^/:]+") if piece.startswith("{") else re.escape(piece) for piece in pieces))


def wrong_rules(found):
    out, seen = [], {}
    for name, (messages, request, verb, path, body) in found.items():
        if path is None:
            if name not in NO_RULE:
                out.append(f"{name} has no google.api.http rule")
            continue
        service = name.split("/")[0]
        shape = (service, verb, re.sub(r"\{[^}]*\}", "{}", path))
        if shape in seen:
            out.append(f"{name} and {seen[shape]} have one path, {verb} {path}")
        seen[shape] = name
        if (verb == "GET") != (body is None):
            out.append(f"{name}: {verb} with body {body}")
        for variable in re.findall(r"\{([^}=]*)", path):
            kind = request
            for part in variable.split("."):
                field = next((field for field in messages[kind].field if field.name == part), None) if kind in messages else None
                if field is None:
                    out.append(f"{name}: {{{variable}}} is no field of {request}")
                    break
                kind = field.type_name
    return out


def wrong_paths(found, page):
    """Requests on the page that no rule of a service that Envoy is configured for takes."""
    served = re.findall(r"virp\.[a-z]+\.v1\.[A-Za-z]+", " ".join(re.findall(r"services: \[(.*)\]", CONFIGURATION.read_text())))
    takes = [(verb, pattern(path)) for name, (_, _, verb, path, _) in found.items() if path and name.split("/")[0] in served]
    out = []
    for sample in samples.samples("http.md", page):
        for path in re.findall(r'\$HTTP(?:_RTR)?(/[^"?]*)', sample.command):
            verb = "POST" if "--json" in sample.command else "GET"
            known = any(verb == one and expression.fullmatch(path) for one, expression in takes)
            if known == ("/v1/nothing" in path):
                out.append(f"http.md: {verb} {path}")
    if len(served) != 4 or len(takes) < 20:
        out.append(f"envoy.yaml names {served}")
    return out


def configure(there, ports):
    """The configuration as it stands there, with this world's files and addresses."""
    text = CONFIGURATION.read_text(encoding="utf-8")
    pki = there.environment["PKI"]
    for old, new in (("/usr/share/virp/virp.protoset", there.environment["PROTOSET"]), ("/etc/virp/tls/reader.", f"{pki}/reader-app."), ("/etc/virp/tls/ca.crt", f"{pki}/ca.crt"),
                     ("port_value: 9901", f"port_value: {ports['admin']}"), ("port_value: 8080", f"port_value: {ports['HTTP']}"), ("port_value: 8081", f"port_value: {ports['HTTP_RTR']}"),
                     ("address: onode.example.org, port_value: 8443", "address: 127.0.0.1, port_value: " + there.environment["ONODE"].split(":")[1]),
                     ("address: bridge.example.org, port_value: 8446", "address: 127.0.0.1, port_value: " + there.environment["BRIDGE"].split(":")[1])):
        if old not in text:
            raise SystemExit(f"envoy_test: envoy.yaml has no {old}")
        text = text.replace(old, new)
    (there.home / "envoy.yaml").write_text(text)


def start(there, name, program):
    """Envoy in front of this world; the ports that it has."""
    held = {port: world.Port() for port in ("admin", "HTTP", "HTTP_RTR")}
    configure(there, {port: one.address.split(":")[1] for port, one in held.items()})
    with open(there.home / f"{name}.log", "wb") as log:
        there.processes[name] = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", "--", program, "--config-path", str(there.home / "envoy.yaml"), "--concurrency", "1",
                                                  "--disable-hot-restart", "--log-level", "warning"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    there.wait("Envoy", lambda: status_of(f"http://{held['admin'].address}/ready") == 200)
    return held


def through_envoy(build, program):
    with world.World(build) as there:
        there.feed()
        held = start(there, "envoy", program)
        for name in ("HTTP", "HTTP_RTR"):
            there.environment[name] = f"http://{held[name].address}"
        shell = samples.Shell(there.home, there.environment, "true")
        found = samples.samples("docs/query/http.md", PAGE.read_text(encoding="utf-8"))
        failures = [wrong for wrong in (samples.wrong(shell, sample) for sample in found) if wrong]
        shell.close()
        there.environment["ONODE"] = there.environment["COLLECTOR"]  # of the same system, and no O-Node: it is not spoken to
        held = start(there, "envoy-elsewhere", program)
        if status_of(f"http://{held['HTTP'].address}/v1/chain") != 503:
            failures.append("Envoy speaks to a server that is no O-Node")
        return failures, len(found)


def status_of(url):
    try:
        with urllib.request.urlopen(url, timeout=10) as page:
            return page.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def self_check(found, page):
    """Each of the checks of rules and paths can fail."""
    name = "virp.chain.v1.ChainService/GetEntry"
    messages, request, verb, path, body = found[name]
    other = found["virp.chain.v1.ChainService/GetChain"][3]
    breaks = {"no rule": (messages, request, None, None, None), "a path twice": (messages, request, verb, other, body),
              "no such field": (messages, request, verb, "/v1/chain/entries/{number}", body), "a body": (messages, request, verb, path, "*")}
    wrong = [f"not noticed: {what}" for what, rule in breaks.items() if not wrong_rules({**found, name: rule})]
    if not wrong_paths(found, page.replace("/v1/chain/checkpoint", "/v1/chain/checkpoints")):
        wrong.append("not noticed: a path that there is not")
    return wrong


def main():
    build = sys.argv[1]
    found = rules(f"{build}/virp.protoset")
    page = PAGE.read_text(encoding="utf-8")
    failures = wrong_rules(found) + wrong_paths(found, page) + self_check(found, page)
    program = samples.tool("envoy")
    count = 0
    if program:
        more, count = through_envoy(build, program)
        failures += more
    print("\n\n".join(failures) or f"{len(found)} RPCs, {count} samples")
    if failures:
        return 1
    if not program:
        print("envoy_test: Envoy was not tried, there is none: scripts/python-tools installs it")
        return 1 if os.environ.get("CI") else 77
    return 0


if __name__ == "__main__":
    sys.exit(main())
