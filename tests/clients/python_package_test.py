#!/usr/bin/python3
"""The Python client as pip installs it, from the tree and from what is handed out; and its types, as mypy --strict reads them.

python_package_test.py BUILD      exit 77: there is no mypy"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import package

PIP = [sys.executable, "-m", "pip", "install", "--quiet", "--no-build-isolation", "--no-deps", "--no-index", "--no-cache-dir", "--no-compile"]


def run(*command, **more):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **more)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def mypy():
    tools = os.environ.get("VIRP_TOOLS") or os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "virp/bin")
    return shutil.which("mypy", path=tools)


def main():
    with tempfile.TemporaryDirectory(prefix="virp-client-") as name:
        folder = pathlib.Path(name)
        environment = {**os.environ, "PIP_ROOT_USER_ACTION": "ignore", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "HOME": name}
        # As in the tree, so that the tree itself stays as it is.
        shutil.copytree(package.SOURCE, folder / "tree/clients/python", ignore=shutil.ignore_patterns("*.egg-info", "build", "__pycache__"))
        shutil.copytree(package.ROOT / "proto", folder / "tree/proto")
        run(*PIP, "--target", folder / "installed", folder / "tree/clients/python", env=environment)
        look = "import virp.client, virp.keymgr.v1.router_key_pb2_grpc, virp.evidence, importlib.metadata as m; print(m.version('virp-client'), virp.client.__file__)"
        said = run(sys.executable, "-B", "-c", look, env={**environment, "PYTHONPATH": str(folder / "installed")}, cwd=folder)
        if said.split() != ["0.1.0", str(folder / "installed/virp/client.py")]:
            sys.exit(f"another package was installed: {said}")
        for file in ("py.typed", "verify/v1/verify_service_pb2.pyi", "verify/v1/verify_service_pb2_grpc.pyi"):
            if not (folder / "installed/virp" / file).exists():
                sys.exit(f"not installed: {file}")
        if (folder / "installed/google").exists():
            sys.exit("it brings a package google, which others do, too")
        # From what is handed out the tree is not needed.
        run(sys.executable, "-W", "ignore", "setup.py", "-q", "sdist", "--dist-dir", folder / "dist", cwd=folder / "tree/clients/python", env=environment)
        shutil.rmtree(folder / "tree")
        run(*PIP, "--target", folder / "again", next((folder / "dist").glob("*.tar.gz")), env=environment)
        first, second = ({str(path.relative_to(folder / place)): path.read_bytes() for path in (folder / place / "virp").rglob("*") if path.is_file()} for place in ("installed", "again"))
        if first != second:
            sys.exit(f"the tree and what is handed out differ: {sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))}")
        program = mypy()
        if not program:
            print("python_package_test: the types were not looked at, there is no mypy: scripts/python-tools installs it")
            return 1 if os.environ.get("CI") else 77
        cache = pathlib.Path(sys.argv[1]) / "clients-mypy"
        print(run(program, "--strict", "--config-file", package.SOURCE / "pyproject.toml", "--cache-dir", cache, "-p", "virp", cwd=folder / "installed", env=environment))
        (folder / "installed/virp/wrong.py").write_text("def f(x): return x\n")
        if subprocess.run([program, "--strict", "--cache-dir", str(cache), "-p", "virp.wrong"], cwd=folder / "installed", capture_output=True).returncode == 0:
            sys.exit("mypy finds nothing wrong with a function without types")
    return 0


if __name__ == "__main__":
    sys.exit(main())
