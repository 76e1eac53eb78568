"""The Python client as it is installed, made from the tree for a test."""
import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCE = ROOT / "clients/python"


@contextlib.contextmanager
def built():
    """A folder for PYTHONPATH with the package in it; the tree is left as it was."""
    with tempfile.TemporaryDirectory(prefix="virp-client-") as folder:
        build(pathlib.Path(folder))
        yield pathlib.Path(folder)


def build(folder):
    with tempfile.TemporaryDirectory() as notes:
        command = [sys.executable, "-W", "ignore", "setup.py", "-q", "egg_info", "--egg-base", notes, "build_py", "--build-lib", str(folder)]
        done = subprocess.run(command, cwd=SOURCE, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"the Python client cannot be built:\n{done.stdout}{done.stderr}")
