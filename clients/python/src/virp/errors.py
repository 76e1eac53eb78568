"""Errors of the API with the reason that a program can tell apart (google.rpc.ErrorInfo)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import grpc


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Length-delimited fields of a message; read by hand, since other packages bring their own google.rpc into a process."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while at < len(data):
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
        raise ValueError("a message that breaks off")

    while at < len(data):
        tag = varint()
        if tag & 7 == 0:
            varint()
        elif tag & 7 == 2:
            size = varint()
            yield tag >> 3, data[at : at + size]
            at += size
        else:
            at += {1: 8, 5: 4}.get(tag & 7, len(data))


class ApiError(Exception):
    """A call that failed."""

    def __init__(self, code: str, message: str, reason: str, metadata: dict[str, str]) -> None:
        super().__init__(f"{code}{f' ({reason})' if reason else ''}: {message}")
        self.code = code  # such as UNAVAILABLE
        self.message = message
        self.reason = reason  # such as NOT_LEADER; empty when the server gave none
        self.metadata = metadata  # such as leader: where it is


def api_error(error: grpc.RpcError) -> ApiError:
    """From what grpc raised."""
    call: Any = error  # grpc's own errors are calls, too
    reason, metadata = "", {}
    for key, value in call.trailing_metadata() or ():
        if key != "grpc-status-details-bin":
            continue
        for number, detail in _fields(value):
            if number != 3:
                continue
            parts = dict(_fields(detail))
            if parts.get(1, b"").endswith(b"/google.rpc.ErrorInfo"):
                for field, content in _fields(parts.get(2, b"")):
                    if field == 1:
                        reason = content.decode()
                    elif field == 3:
                        pair = dict(_fields(content))
                        metadata[pair.get(1, b"").decode()] = pair.get(2, b"").decode()
    message = call.details() or ""
    if not reason:  # refused before it reached the service: then the sentence begins with the reason
        begin, colon, _ = message.partition(": ")
        if colon and re.fullmatch(r"[A-Z][A-Z_]*", begin):
            reason = begin
    return ApiError(call.code().name, message, reason, metadata)
