#!/usr/bin/python3
"""The part of grpcurl that scripts/demo --keep tells people to use, in its spelling, since Debian has no grpcurl. Like the
original it knows our API by reflection alone.

grpcurl.py -cacert FILE -cert FILE -key FILE [-d JSON] HOST:PORT list | SERVICE/METHOD"""
import argparse
import pathlib
import sys

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "testutil"))
from wire import fields  # noqa: E402

REFLECTION = ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
LIST_SERVICES, FILE_CONTAINING_SYMBOL = 7, 4  # of ServerReflectionRequest
FILES, SERVICES = 4, 6                        # of ServerReflectionResponse


def contents(data, wanted):
    return [content for number, content in fields(data) if number == wanted]


def reflect(channel, number, text, answer):
    request = bytes([number << 3 | 2, len(text)]) + text.encode()
    for method in REFLECTION:
        call = channel.stream_stream(method, request_serializer=bytes, response_deserializer=bytes)
        try:
            return contents(contents(next(call(iter([request]), timeout=10)), answer)[0], 1)
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNIMPLEMENTED:
                raise
    raise SystemExit("grpcurl.py: no reflection")


def add(pool, channel, files):
    """Adds files to the pool, with what they import: those that are not known are asked for."""
    waiting = {file.name: file for file in map(descriptor_pb2.FileDescriptorProto.FromString, files)}

    def take(name):
        if name in waiting:
            file = waiting.pop(name)
            for dependency in file.dependency:
                take(dependency)
            pool.Add(file)

    for name in list(waiting):
        take(name)


def main():
    arguments = argparse.ArgumentParser(prefix_chars="-", allow_abbrev=False)
    for name in ("-cacert", "-cert", "-key"):
        arguments.add_argument(name, required=True, type=lambda path: open(path, "rb").read())
    arguments.add_argument("-d", default="{}")
    arguments.add_argument("address")
    arguments.add_argument("method")
    given = arguments.parse_args()
    channel = grpc.secure_channel(given.address, grpc.ssl_channel_credentials(given.cacert, given.key, given.cert))
    if given.method == "list":
        for service in reflect(channel, LIST_SERVICES, "", SERVICES):
            print(contents(service, 1)[0].decode())
        return
    service, method = given.method.split("/")
    pool = descriptor_pool.DescriptorPool()
    add(pool, channel, reflect(channel, FILE_CONTAINING_SYMBOL, service, FILES))
    found = pool.FindServiceByName(service).FindMethodByName(method)
    request, response = (message_factory.MessageFactory(pool).GetPrototype(of) for of in (found.input_type, found.output_type))
    call = channel.unary_unary(f"/{service}/{method}", request_serializer=request.SerializeToString, response_deserializer=response.FromString)
    print(json_format.MessageToJson(call(json_format.Parse(given.d, request(), descriptor_pool=pool), timeout=10), descriptor_pool=pool))


main()
