#!/usr/bin/env python3
"""The contracts keep the rules that their readers rely on: names and places as buf's STANDARD set has them, and a comment
for each service, method, message, field and enum value, since the protos are the manual of the API.

proto_test.py PROTOC
"""
import pathlib
import re
import subprocess
import sys
import tempfile

from google.protobuf import descriptor_pb2

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"
SNAKE = re.compile(r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$")
CAMEL = re.compile(r"^([A-Z][a-z0-9]*)+$")


def compiled(protoc, root, names):
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run([protoc, f"-I{root}", f"-I{PROTO}/third_party", "--include_source_info", "--include_imports",
                        f"-o{out.name}", *names], check=True)
        return descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(out.name).read_bytes())


def upper_snake(camel):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", camel).upper()


class File:
    def __init__(self, file):
        self.file, self.wrong = file, []
        self.comments = {tuple(at.path): (at.leading_comments + at.trailing_comments).strip() for at in file.source_code_info.location}
        self.lines = {tuple(at.path): at.span[0] + 1 for at in file.source_code_info.location}

    def say(self, path, what):
        self.wrong.append(f"{self.file.name}:{self.lines.get(path, 1)}: {what}")

    def commented(self, path, name):
        if not self.comments.get(path):
            self.say(path, f"{name} has no comment")

    def check(self):
        if not re.fullmatch(r"virp(\.[a-z]+)+\.v\d+", self.file.package) or \
                str(pathlib.PurePosixPath(self.file.name).parent) != self.file.package.replace(".", "/"):
            self.say((), f"package {self.file.package} is not the folder, or has no version")
        for i, service in enumerate(self.file.service):
            self.service(service, (6, i))
        for i, message in enumerate(self.file.message_type):
            self.message(message, (4, i))
        for i, enum in enumerate(self.file.enum_type):
            self.enum(enum, (5, i))
        return self.wrong

    def service(self, service, path):
        self.commented(path, service.name)
        if not service.name.endswith("Service"):
            self.say(path, f"service {service.name} is not called ...Service")
        for i, method in enumerate(service.method):
            at = path + (2, i)
            self.commented(at, method.name)
            for given, want in ((method.input_type, "Request"), (method.output_type, "Response")):
                if given.split(".")[-1] != method.name + want:
                    self.say(at, f"{method.name} takes or gives {given}, not {method.name}{want}")

    def message(self, message, path):
        if message.options.map_entry:
            return
        if not CAMEL.match(message.name):
            self.say(path, f"message {message.name} is not in CamelCase")
        if not re.search(r"(Request|Response)$", message.name):  # whose meaning the method's comment gives
            self.commented(path, message.name)
        for i, field in enumerate(message.field):
            at = path + (2, i)
            self.commented(at, f"{message.name}.{field.name}")
            if not SNAKE.match(field.name):
                self.say(at, f"field {field.name} is not in snake_case")
        for i, nested in enumerate(message.nested_type):
            self.message(nested, path + (3, i))
        for i, enum in enumerate(message.enum_type):
            self.enum(enum, path + (4, i))

    def enum(self, enum, path):
        self.commented(path, enum.name)
        prefix = upper_snake(enum.name) + "_"
        for i, value in enumerate(enum.value):
            at = path + (2, i)
            if not value.name.startswith(prefix):
                self.say(at, f"value {value.name} does not begin with {prefix}")
            if value.number == 0 and value.name != prefix + "UNSPECIFIED":
                self.say(at, f"the zero value is {value.name}, not {prefix}UNSPECIFIED")
            if value.number != 0:
                self.commented(at, value.name)


def complaints(protoc, root):
    names = sorted(str(path.relative_to(root)) for path in root.glob("virp/**/*.proto"))
    files = compiled(protoc, root, names).file
    return [said for file in files if file.name in names for said in File(file).check()]


BAD = """syntax = "proto3";
package virp.other.v1;
service Wrong { rpc Ask(Question) returns (AskResponse); }
message Question { string camelCase = 1; }
message AskResponse { Colour colour = 1; }
enum Colour { RED = 0; }
"""


def main():
    protoc = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:  # the rules can fail
        bad = pathlib.Path(folder) / "virp/bad/v1"
        bad.mkdir(parents=True)
        (bad / "bad.proto").write_text(BAD)
        found = "\n".join(complaints(protoc, pathlib.Path(folder)))
    wrong = [f"not noticed in a bad proto: {what}" for what in
             ("is not the folder", "...Service", "not AskRequest", "snake_case", "has no comment", "does not begin with COLOUR_",
              "zero value") if what not in found]
    wrong += complaints(protoc, PROTO)
    print("\n".join(wrong) if wrong else "protos: every rule holds")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
