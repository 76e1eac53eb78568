"""Types of gRPC calls, for type checkers: grpcio of Debian 12 has none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

Request = TypeVar("Request", contravariant=True)
Response = TypeVar("Response", covariant=True)
Metadata = Sequence[tuple[str, str]]


class Stream(Iterator[Response], Protocol[Response]):
    def cancel(self) -> bool: ...


class UnaryUnary(Protocol[Request, Response]):
    def __call__(self, request: Request, timeout: float | None = None, metadata: Metadata | None = None, *, wait_for_ready: bool | None = None) -> Response: ...


class UnaryStream(Protocol[Request, Response]):
    def __call__(self, request: Request, timeout: float | None = None, metadata: Metadata | None = None, *, wait_for_ready: bool | None = None) -> Stream[Response]: ...


class StreamUnary(Protocol[Request, Response]):
    def __call__(self, request_iterator: Iterable[Request], timeout: float | None = None, metadata: Metadata | None = None, *, wait_for_ready: bool | None = None) -> Response: ...


class StreamStream(Protocol[Request, Response]):
    def __call__(self, request_iterator: Iterable[Request], timeout: float | None = None, metadata: Metadata | None = None, *, wait_for_ready: bool | None = None) -> Stream[Response]: ...
