#!/usr/bin/python3
"""Writes the first seeds of est_message_fuzz and tcp_ao_export_fuzz below tests/fuzz/corpus. Keys are new each time."""
import base64
import datetime
import pathlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7

CORPUS = pathlib.Path(__file__).with_name("corpus")


def put(target, name, data):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def request(line, fields, body=b"", end=b"\r\n"):
    return line + end + b"".join(f + end for f in fields) + end + body


def est():
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    csr = base64.encodebytes(x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
                             .public_bytes(serialization.Encoding.DER))
    now = datetime.datetime(2026, 11, 22)
    certificate = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
                   .serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
                   .sign(key, hashes.SHA256()))
    certs = base64.encodebytes(pkcs7.serialize_certificates([certificate], serialization.Encoding.DER))
    host, root = b"Host: est.example.net:8446", b"/.well-known/est/"
    pkcs10 = b"Content-Type: application/pkcs10; charset=us-ascii"

    def length(data):
        return b"Content-Length: %d" % len(data)

    seeds = {
        "cacerts": request(b"GET " + root + b"cacerts HTTP/1.1", [host]),
        "old": request(b"GET / HTTP/1.0", []),
        "enroll": request(b"POST " + root + b"simpleenroll HTTP/1.1", [host, pkcs10, length(csr)], csr),
        "labelled": request(b"POST " + root + b"as64496/simplereenroll HTTP/1.1",
                            [host, pkcs10, b"Expect: 100-continue", length(csr)], csr),
        "optional": request(b"POST " + root + b"serverkeygen HTTP/1.1", [host, length(b"x")], b"x"),
        "chunked": request(b"POST / HTTP/1.1", [host, b"Transfer-Encoding: chunked"], b"0\r\n\r\n"),
        "both": request(b"POST / HTTP/1.1", [host, b"Transfer-Encoding: chunked", length(b"x")], b"x"),
        "twice": request(b"POST / HTTP/1.1", [host, length(b"x"), length(b"x")], b"x"),
        "folded": request(b"GET / HTTP/1.1", [host, b"X: a", b" b"]),
        "no_host": request(b"GET / HTTP/1.1", []),
        "version": request(b"GET / HTTP/2.0", [host]),
        "expects": request(b"POST / HTTP/1.1", [host, b"Expect: more", length(b"x")], b"x"),
        "unsaid": request(b"POST / HTTP/1.1", [host]),
        "large": request(b"POST / HTTP/1.1", [host, b"Content-Length: 4001"]),
        "long_head": request(b"GET / HTTP/1.1", [host, b"X: " + b"x" * 2100]),
        "fields": request(b"GET / HTTP/1.1", [host] + [b"X: y"] * 16),
        "not_base64": request(b"POST " + root + b"simpleenroll HTTP/1.1", [host, pkcs10, length(b"!")], b"!"),
        "not_der": request(b"POST " + root + b"simpleenroll HTTP/1.1", [host, pkcs10, length(b"aGVsbG8=")], b"aGVsbG8="),
        "bad_label": request(b"GET " + root + b"cacerts/cacerts HTTP/1.1", [host]),
    }
    for name, data in seeds.items():
        put("est_message_fuzz", "request_" + name, b"\x20" + data)
        put("est_message_fuzz", "request_" + name + "_dripping", b"\x00" + data)
    p7 = b"Content-Type: application/pkcs7-mime; smime-type=certs-only"
    answers = {
        "certs": request(b"HTTP/1.1 200 OK", [p7, length(certs)], certs),
        "until_the_end": request(b"HTTP/1.1 200 OK", [p7], certs),
        "pending": request(b"HTTP/1.1 100 Continue", []) +
        request(b"HTTP/1.1 202 Accepted", [b"Retry-After: 300", length(b"")]),
        "date": request(b"HTTP/1.1 503 No", [b"Retry-After: Fri, 31 Dec 2027 23:59:59 GMT", length(b"no")], b"no"),
        "no_content": request(b"HTTP/1.1 204 No Content", []),
        "chunked": request(b"HTTP/1.1 200 OK", [b"Transfer-Encoding: chunked"], b"0\r\n\r\n"),
        "key": request(b"HTTP/1.1 200 OK", [p7.replace(b"certs-only", b"server-generated-key"), length(certs)], certs),
        "not_certs": request(b"HTTP/1.1 200 OK", [p7, length(b"aGVsbG8=")], b"aGVsbG8="),
        "not_base64": request(b"HTTP/1.1 200 OK", [p7, length(b"!")], b"!"),
        "length": request(b"HTTP/1.1 200 OK", [b"Content-Length: x"]),
        "large": request(b"HTTP/1.1 200 OK", [b"Content-Length: 4001"]),
        "flood": request(b"HTTP/1.1 200 OK", [], b"x" * 4100),
        "none": b"SSH-2.0-OpenSSH\r\n\r\n",
    }
    for name, data in answers.items():
        put("est_message_fuzz", "response_" + name, b"\x21" + data)
        put("est_message_fuzz", "response_" + name + "_dripping", b"\x01" + data)


def tcp_ao():
    names = b"edge-a/core-1\0edge-a\0spiffe://example.net/producer/edge-a\0%s\0core-1\0\0%s\0"
    key = bytes([70, 1, 2, 10, 11, 12])
    for flags in range(16):
        four = names % (b"192.0.2.1", b"192.0.2.2")
        six = names % (b"2001:db8::1", b"2001:db8::2")
        put("tcp_ao_export_fuzz", f"two_keys_{flags}",
            bytes([flags, 2]) + key + bytes([71, 3, 4, 11, 12, 0]) + bytes([1, 69, 9, 10]) + (four if flags % 3 else six))
    put("tcp_ao_export_fuzz", "no_key", bytes([8, 0, 0]) + names % (b"192.0.2.1", b"192.0.2.2"))
    put("tcp_ao_export_fuzz", "device_that_is_none",
        bytes([8, 1]) + key + bytes([0]) + (names % (b"192.0.2.1", b"192.0.2.2")).replace(b"core-1\0\0", b'c"; }\n\0\0'))


if __name__ == "__main__":
    est()
    tcp_ao()
