#!/usr/bin/python3
"""The Go example: made as its README says, its own tests, and its samples against the platform.

go_test.py BUILD      exit 77: there is no Go, or its modules cannot be had"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import package
import samples
import world

EXAMPLE = package.ROOT / "clients/go"


def skip(why):
    print(f"go_test: skipped: {why}")
    sys.exit(1 if os.environ.get("CI") else 77)


def main():
    found = subprocess.run([package.ROOT / "scripts/go-tools", "--print-go"], capture_output=True, text=True)
    if found.returncode != 0 or not shutil.which("protoc"):
        skip("there is no Go, or no protoc")
    go = found.stdout.strip()
    environment = {**os.environ, "PATH": f"{os.path.dirname(go)}:{os.environ['PATH']}", "GOFLAGS": "-trimpath -buildvcs=false", "VIRP_VECTORS": str(package.ROOT / "tests/data/vectors/chain.json")}
    with tempfile.TemporaryDirectory(prefix="virp-go-") as folder:
        made = pathlib.Path(folder, "go")
        ignored = [line.strip("/\n") for line in (EXAMPLE / ".gitignore").read_text().splitlines() if line.startswith("/")]
        shutil.copytree(EXAMPLE, made, ignore=shutil.ignore_patterns(*ignored))

        def run(*command):
            done = subprocess.run(command, cwd=made, env=environment, capture_output=True, text=True)
            return done.returncode, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"

        status, said = run(go, "mod", "download")
        if status != 0:
            skip(f"the modules cannot be had: {said}")
        for command in ((made / "generate", package.ROOT / "proto"), (go, "build", "-o", "bin/", "./cmd/virp-claim"), (go, "test", "./cmd/...")):
            status, said = run(*command)
            if status != 0:
                sys.exit(said)
        with world.World(sys.argv[1]) as there:
            there.feed()
            there.environment["PATH"] = f"{made}/bin:{there.environment['PATH']}"
            shell = samples.Shell(there.home, there.environment, "true")
            found = samples.samples("clients/go/README.md", (EXAMPLE / "README.md").read_text(encoding="utf-8"))
            failures = [wrong for wrong in (samples.wrong(shell, sample) for sample in found) if wrong]
            shell.close()
    print("\n\n".join(failures) or f"{len(found)} samples")
    return 1 if failures or len(found) != 3 else 0


if __name__ == "__main__":
    sys.exit(main())
