"""Channels with mutual TLS, to a server of an expected SPIFFE id.

gRPC for Python verifies the server's certificate against the roots and its DNS name or IP address against the target, and lets
nobody look at the certificate. Who the server is as SPIFFE has it, is therefore looked at in a handshake of our own before the
channel is opened: same address, same roots, same client certificate. A server that is exchanged between the two, for another one
with a certificate of the same authority and the same DNS name, is not noticed by that; in a VIRP system such a certificate is
given to one server only. The proofs of an answer do not depend on who brought it."""

from __future__ import annotations

import pathlib
import socket
import ssl
from dataclasses import dataclass

import grpc
from cryptography import x509


class IdentityError(ConnectionError):
    """The server is not who was expected."""


@dataclass(frozen=True)
class TlsFiles:
    """PEM files: this client's certificate (with its chain), its key, and the authorities of servers."""

    certificate: str
    key: str
    roots: str


def spiffe_ids(der: bytes) -> list[str]:
    """The SPIFFE ids of a certificate; there should be one."""
    try:
        names = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    uris: list[str] = names.value.get_values_for_type(x509.UniformResourceIdentifier)
    return [uri for uri in uris if uri.startswith("spiffe://")]


def _split(target: str) -> tuple[str, int]:
    host, _, port = target.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f"{target}: not HOST:PORT")
    return host.strip("[]"), int(port)


def server_id(target: str, files: TlsFiles, server_name: str | None = None, timeout: float = 10) -> str:
    """The SPIFFE id that the server shows, its certificate verified against roots and name. IdentityError when it has not one."""
    context = ssl.create_default_context(cafile=files.roots)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(files.certificate, files.key)
    context.set_alpn_protocols(["h2"])
    host, port = _split(target)
    with socket.create_connection((host, port), timeout) as plain, context.wrap_socket(plain, server_hostname=server_name or host) as secured:
        ids = spiffe_ids(secured.getpeercert(True) or b"")
    if len(ids) != 1:
        raise IdentityError(f"{target}: its certificate has {len(ids)} SPIFFE ids, not one")
    return ids[0]


def check_server(target: str, files: TlsFiles, expected: str, server_name: str | None = None, timeout: float = 10) -> None:
    """`expected`: a SPIFFE id, or one that ends in `/*` for any name of a role. IdentityError for another one."""
    shown = server_id(target, files, server_name, timeout)
    fits = shown == expected or (expected.endswith("/*") and shown.startswith(expected[:-1]) and "/" not in shown[len(expected) - 1 :])
    if not fits:
        raise IdentityError(f"{target}: the server is {shown}, not {expected}")


def open_channel(target: str, files: TlsFiles, expected: str | None = None, server_name: str | None = None, timeout: float = 10) -> grpc.Channel:
    """`target`: HOST:PORT. `expected`: as of check_server, which is done first; nothing is looked at when it is None. `server_name`: the
    name in the server's certificate where that is not the target's."""
    if expected is not None:
        check_server(target, files, expected, server_name, timeout)
    credentials = grpc.ssl_channel_credentials(*(pathlib.Path(name).read_bytes() for name in (files.roots, files.key, files.certificate)))
    options: list[tuple[str, object]] = [("grpc.keepalive_time_ms", 60_000), ("grpc.max_receive_message_length", 64 << 20)]
    if server_name is not None:
        options.append(("grpc.ssl_target_name_override", server_name))
    return grpc.secure_channel(target, credentials, options)
