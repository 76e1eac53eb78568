#!/usr/bin/python3
"""docs/query: every RPC of every service is there, and every sample comes back as the page says, by the real grpcurl.

query_doc_test.py BUILD [PAGE...]             the test (exit 77: there is no grpcurl; only what needs none was looked at)
query_doc_test.py BUILD --record [PAGE...]    for who writes a page: puts what came back into it"""
import dataclasses
import os
import pathlib
import re
import sys

from google.protobuf import descriptor_pb2

import samples
import world

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs/query"
PAGES = ("README.md", "verify.md", "sources.md", "collector.md", "rtr.md", "keymgr.md", "router-keys.md", "tcp-ao.md",
         "chain.md")  # the last one, since it opens more chains
METHOD = re.compile(r"\b((?:virp|grpc)(?:\.[a-zA-Z0-9]+)+/[A-Za-z]+)\b")


def methods(protoset):
    files = descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(protoset).read_bytes())
    return {f"{file.package}.{service.name}/{method.name}" for file in files.file for service in file.service for method in service.method}


def coverage(protoset, pages):
    """RPCs without a sample, and samples of RPCs that there are not."""
    asked = {name for sample in pages for name in METHOD.findall(sample.command)}
    there = methods(protoset)
    if "virp.verify.v1.VerifyService/VerifyClaim" not in there:
        return ["the descriptor set has no VerifyClaim"]
    return [f"no sample of {name}" for name in sorted(there - asked)] + [f"there is no {name}" for name in sorted(asked - there)]


def self_check(protoset, pages):
    """Each of the checks can fail."""
    one = next(sample for sample in pages if "/GetStatus" in sample.command)
    found = [name for name, missed in (
        ("a missing sample", not coverage(protoset, [sample for sample in pages if "VerifyClaims" not in sample.command])),
        ("a sample of nothing", not coverage(protoset, [*pages, dataclasses.replace(one, command="virp.verify.v1.VerifyService/Gone")])),
        ("other output", samples.fits('{"a": 1}', '{"a": 2}') or samples.fits("a\nb", "a") or samples.fits("a", "a\n...\nb")),
    ) if missed]
    return [f"not noticed: {name}" for name in found]


def main():
    build, arguments = sys.argv[1], sys.argv[2:]
    record = "--record" in arguments
    chosen = [name for name in arguments if name != "--record"] or PAGES
    texts = {name: (DOCS / name).read_text(encoding="utf-8") for name in PAGES}
    everything = [sample for name, text in texts.items() for sample in samples.samples(name, text)]
    failures = coverage(f"{build}/virp.protoset", everything) + self_check(f"{build}/virp.protoset", everything)
    setup = samples.blocks(texts["README.md"], "sh")[0]
    tool = samples.tool("grpcurl")
    if tool:
        with world.World(build) as there:
            there.environment["PATH"] = f"{os.path.dirname(tool)}:{there.environment['PATH']}"
            for name in chosen:
                there.feed()
                shell = samples.Shell(there.home, there.environment, setup)
                found = samples.samples(name, texts[name])
                if record:
                    write(name, texts[name], [(sample, shell.run(sample.command)) for sample in found])
                else:
                    failures += filter(None, (samples.wrong(shell, sample) for sample in found))
                shell.close()
    print("\n\n".join(failures) or f"{len(everything)} samples, {len(methods(f'{build}/virp.protoset'))} RPCs")
    if failures:
        return 1
    if not tool:
        print("query_doc_test: the samples were not run, there is no grpcurl: scripts/go-tools builds it")
        return 1 if os.environ.get("CI") else 77
    return 0


def write(name, text, results):
    lines = text.split("\n")
    for sample, (status, said) in reversed(results):
        masked = samples.mask(said)
        begin = sample.line + 1 + sample.command.count("\n")
        lines[begin : sample.end] = masked.split("\n") if masked else []
        if status != 0 and "ERROR:" not in masked:
            print(f"{name}:{sample.line + 1}: exit status {status}: {sample.command}\n{said}")
    (DOCS / name).write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
