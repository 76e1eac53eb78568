#!/usr/bin/env python3
"""The rules of docs/ARCHITECTURE.md that a compiler does not know: who may include whom, and how long a file may be.

layout_test.py            checks the tree; exit 1 names each line that breaks a rule
layout_test.py --self     checks that each rule can fail
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
LONGEST = 600  # lines; a file that needs more has two ideas
INCLUDE = re.compile(r'^\s*#\s*include\s+[<"]([^>"]+)[>"]')

# What plain C++ never sees: gRPC, generated code, SQL, OpenSSL, sockets of libraries, metrics.
FOREIGN = re.compile(
    r"^(grpc|grpcpp|google/protobuf|virp/|google/rpc|pqxx|libpq|sqlite3|openssl|prometheus|curl|systemd|CLI|p11-kit|libssh|rapidjson|simdjson)\b")
# The library rooms whose headers show none of the above, by who may use them.
LIBRARIES_OF_DOMAIN = {"base", "bgpsec", "bmp", "chain", "crypto", "deliver", "frame", "rpki", "rtr", "tcpao", "vrp"}
# Which library rooms a library room may build on: the arrows go down only.
BELOW = {
    "base": set(),
    "crypto": {"base"},
    "bmp": {"base"},
    "bgpsec": {"base", "crypto"},
    "tcpao": {"base", "crypto"},
    "rpki": {"base", "crypto"},
    "rtr": {"base", "crypto", "vrp"},
    "http": {"base"},
    "est": {"base", "crypto", "http"},
    "pkcs11": {"base", "crypto"},
    "frame": {"base", "crypto"},
    "chain": {"base", "crypto", "frame"},
    "store": {"base"},
    "service": {"base", "crypto", "http"},
    "deliver": {"base", "crypto", "frame", "chain", "service"},
    "keys": {"base", "crypto", "frame", "service"},
    "vrp": {"base", "crypto"},
    "rtr": {"base", "crypto", "vrp"},
}


def is_test(path):
    return bool(re.search(r"(_test|_test_util|_fixture|test_[a-z]+|_bench)\.(cc|h|proto)$", path)) or path.startswith("tests/")


def broken_include(path, header):
    """Why this file may not include this header; None when it may."""
    parts = pathlib.PurePosixPath(path).parts
    target = pathlib.PurePosixPath(header).parts
    if is_test(path):
        return None
    if header.startswith("tests/"):
        return "product code includes a test's header"
    if parts[0] == "lib":
        if target[0] in ("services", "tools"):
            return "a library includes what is built on it"
        if target[0] == "lib" and target[1] != parts[1] and target[1] not in BELOW.get(parts[1], set()):
            return f"lib/{parts[1]} does not stand on lib/{target[1]}"
    if parts[0] in ("services", "tools") and target[0] in ("services", "tools") and target[:2] != parts[:2]:
        return "services and tools meet in proto/, never in each other's headers"
    if parts[0] != "services" or len(parts) < 4:
        return None
    service, layer = parts[1], parts[2]
    if layer == "domain":
        if FOREIGN.match(header):
            return "domain code is plain C++"
        if target[0] == "lib" and target[1] not in LIBRARIES_OF_DOMAIN:
            return f"domain code does not know lib/{target[1]}"
        if target[:2] == ("services", service) and target[2] != "domain":
            return "the domain knows no other layer"
    if layer == "storage":
        if target[:2] == ("services", service) and target[2] == "transport":
            return "storage does not know transport"
        if re.match(r"^(grpc|grpcpp)\b", header):
            return "storage does not speak gRPC"
    if layer == "transport" and target[:2] == ("services", service) and target[2] == "storage":
        return "transport does not know storage"
    return None


def complaints(files):
    for path, text in files:
        lines = text.splitlines()
        if len(lines) > LONGEST:
            yield f"{path}: {len(lines)} lines, at most {LONGEST}: split it by idea"
        if not path.endswith((".cc", ".h", ".c")):
            continue
        for number, line in enumerate(lines, 1):
            found = INCLUDE.match(line)
            why = found and broken_include(path, found.group(1))
            if why:
                yield f"{path}:{number}: includes {found.group(1)}: {why}"


def tracked():
    names = subprocess.run(["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=True).stdout.split()
    for name in names:
        if name.endswith((".cc", ".h", ".c", ".proto", ".py", ".cmake", ".sql", ".sh")) and "third_party" not in name:
            yield name, (ROOT / name).read_text(encoding="utf-8", errors="replace")


def self_check():
    breaks = [
        ("services/onode/domain/a.cc", '#include "virp/chain/v1/chain_service.pb.h"'),
        ("services/onode/domain/a.cc", "#include <grpcpp/grpcpp.h>"),
        ("services/onode/domain/a.h", "#include <openssl/evp.h>"),
        ("services/keymgr/domain/a.cc", "#include <p11-kit/pkcs11.h>"),
        ("services/keymgr/domain/a.cc", '#include "lib/pkcs11/token.h"'),
        ("services/onode/domain/a.cc", '#include "lib/store/sqlite.h"'),
        ("services/onode/domain/a.cc", '#include "services/onode/storage/open.h"'),
        ("services/onode/domain/a.cc", '#include "services/collector/domain/outbox.h"'),
        ("services/onode/storage/a.cc", '#include "services/onode/transport/wire.h"'),
        ("services/collector/transport/a.cc", '#include "services/collector/storage/x.h"'),
        ("services/collector/main.cc", '#include "services/onode/config.h"'),
        ("tools/virpctl/a.cc", '#include "services/onode/config.h"'),
        ("lib/frame/a.cc", '#include "lib/chain/entry.h"'),
        ("lib/base/a.cc", '#include "services/onode/domain/chain.h"'),
        ("lib/base/a.cc", '#include "tests/testutil/wait.h"'),
        ("lib/base/a.py", "x\n" * (LONGEST + 1)),
    ]
    allowed = [
        ("services/onode/domain/a.cc", '#include "lib/chain/walk.h"\n#include <vector>\n#include "absl/status/status.h"'),
        ("services/onode/storage/a.cc", '#include "services/onode/domain/chain_store.h"\n#include "lib/store/sqlite.h"'),
        ("services/onode/transport/a.cc", '#include "services/onode/domain/chain.h"\n#include <grpcpp/grpcpp.h>'),
        ("services/onode/domain/a_test.cc", '#include "services/onode/storage/open.h"'),
        ("lib/base/a.cc", "x\n" * LONGEST),
    ]
    wrong = [f"not noticed: {path}: {text[:60]}" for path, text in breaks if not list(complaints([(path, text)]))]
    wrong += [f"refused: {said}" for case in allowed for said in complaints([case])]
    return wrong


def main():
    wrong = self_check() + ([] if "--self" in sys.argv[1:] else list(complaints(tracked())))
    print("\n".join(wrong) if wrong else "layout: every rule holds")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
