"""Generates the code of the API from the .proto files when the package is built. Everything else is in pyproject.toml.

Takes protoc and grpc_python_plugin from PATH (Debian: protobuf-compiler, protobuf-compiler-grpc), else grpc_tools from this Python."""

import importlib.util
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from google.protobuf import descriptor_pb2
from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

HERE = pathlib.Path(__file__).resolve().parent
FOLDERS = ("virp",)  # below the proto folder; tests' and third parties' files are not for clients


def proto_folder():
    for folder in (HERE / "proto", HERE.parent.parent / "proto"):  # of an sdist, of the project's tree
        if (folder / "virp").is_dir():
            return folder
    raise SystemExit("virp-client: the .proto files are not there: build it inside the project's tree, or from an sdist of it")


def run_protoc(*arguments):
    plugin = shutil.which("grpc_python_plugin")
    if shutil.which("protoc") and plugin:
        command = ["protoc", f"--plugin=protoc-gen-grpc_python={plugin}"]
    elif importlib.util.find_spec("grpc_tools"):
        command = [sys.executable, "-m", "grpc_tools.protoc"]
    else:
        raise SystemExit("virp-client: neither protoc with grpc_python_plugin nor grpcio-tools is there")
    subprocess.run([*command, *map(str, arguments)], check=True)


def without_http(files):
    """The same descriptors without google.api: another package in the same process may bring its own files of these names."""
    out = descriptor_pb2.FileDescriptorSet()
    for file in files.file:
        if file.name.startswith("google/api/"):
            continue
        kept = out.file.add()
        kept.CopyFrom(file)
        del kept.dependency[:]
        kept.dependency.extend(name for name in file.dependency if not name.startswith("google/api/"))
        for service in kept.service:
            for method in service.method:
                method.ClearField("options")
    return out


CALLS = {(False, False): "UnaryUnary", (False, True): "UnaryStream", (True, False): "StreamUnary", (True, True): "StreamStream"}


def stub_types(file):
    """What a type checker is told of NAME_pb2_grpc.py, whose stubs have no types of their own."""

    def type_of(name):
        for other in [file.name, *file.dependency]:
            package = other.rsplit("/", 1)[0].replace("/", ".")
            if name.startswith(f".{package}.") and (package, name.rsplit(".", 1)[1]) in known:
                module = known[package, name.rsplit(".", 1)[1]]
                modules.add(module)
                return f"{module}.{name.rsplit('.', 1)[1]}"
        raise SystemExit(f"virp-client: {file.name} uses {name}, which it does not import")

    known, modules = stub_types.known, set()
    body = []
    for service in file.service:
        body += ["", "", f"class {service.name}Stub:", "    def __init__(self, channel: grpc.Channel) -> None: ..."]
        for method in service.method:
            kind = CALLS[method.client_streaming, method.server_streaming]
            body.append(f"    {method.name}: {kind}[{type_of(method.input_type)}, {type_of(method.output_type)}]")
    head = ["import grpc", "", *(f"import {module}" for module in sorted(modules)), "from virp.calls import StreamStream, StreamUnary, UnaryStream, UnaryUnary"]
    return "\n".join(head + body) + "\n"


def strict(stubs):
    """protoc 3.21 leaves out what its Mapping maps, and what keyword arguments are; mypy --strict wants to know."""
    body = re.sub(r"\b_Mapping(?=\])", "_Mapping[str, _Any]", stubs).replace("**kwargs)", "**kwargs: _Any)")
    return "from typing import Any as _Any\n" + body


def generate(target):
    """Writes virp/<area>/v1/*_pb2.py, *_pb2.pyi, *_pb2_grpc.py and *_pb2_grpc.pyi below `target`."""
    protos = proto_folder()
    names = sorted(str(path.relative_to(protos)) for folder in FOLDERS for path in (protos / folder).rglob("*.proto"))
    with tempfile.TemporaryDirectory() as temporary:
        whole, stripped = pathlib.Path(temporary, "whole"), pathlib.Path(temporary, "stripped")
        run_protoc("-I", protos, "-I", protos / "third_party", "--include_imports", f"--descriptor_set_out={whole}", *names)
        files = without_http(descriptor_pb2.FileDescriptorSet.FromString(whole.read_bytes()))
        stripped.write_bytes(files.SerializeToString())
        target.mkdir(parents=True, exist_ok=True)
        run_protoc(f"--descriptor_set_in={stripped}", f"--python_out={target}", f"--pyi_out={target}", f"--grpc_python_out={target}", *names)
    stub_types.known = {}
    for file in files.file:
        for message in file.message_type:
            stub_types.known[file.package, message.name] = file.name.removesuffix(".proto").replace("/", ".") + "_pb2"
    for file in files.file:
        stem = target / file.name.removesuffix(".proto")
        if not file.name.startswith("virp/"):
            continue
        for folder in (stem.parent, stem.parent.parent):
            (folder / "__init__.py").touch()
        stubs = stem.with_name(stem.name + "_pb2.pyi")
        stubs.write_text(strict(stubs.read_text(encoding="utf-8")), encoding="utf-8")
        if file.service:
            stem.with_name(stem.name + "_pb2_grpc.pyi").write_text(stub_types(file), encoding="utf-8")
        else:
            stem.with_name(stem.name + "_pb2_grpc.py").unlink(missing_ok=True)


class Build(build_py):
    def run(self):
        super().run()
        generate(pathlib.Path(self.build_lib))


class Source(sdist):
    def make_release_tree(self, base_dir, files):
        super().make_release_tree(base_dir, files)
        shutil.copytree(proto_folder(), pathlib.Path(base_dir, "proto"), dirs_exist_ok=True)


setup(cmdclass={"build_py": Build, "sdist": Source})
