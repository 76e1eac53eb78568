#!/usr/bin/env python3
"""Writes the first seeds of rtr_session_fuzz and rtr_delta_fuzz: queries of routers, answers of caches, and what is wrong with either."""
import pathlib
import struct

FOLDER = pathlib.Path(__file__).resolve().parent / "corpus/rtr_session_fuzz"
DELTAS = FOLDER.with_name("rtr_delta_fuzz")


def pdu(version, kind, field, body=b"", length=None):
    return struct.pack(">BBHI", version, kind, field, 8 + len(body) if length is None else length) + body


def u32(*values):
    return b"".join(struct.pack(">I", value) for value in values)


def answer(version, serial=1, session=0x100, records=b"", timers=(3600, 600, 7200)):
    end = u32(serial) + (u32(*timers) if version else b"")
    return pdu(version, 3, session) + records + pdu(version, 7, session, end)


def v4(version, announce, address, length=8, longest=24, asn=1):
    return pdu(version, 4, 0, bytes([announce, length, longest, 0]) + u32(address, asn))


def v6(version, announce, high, length=32, longest=48, asn=1):
    return pdu(version, 6, 0, bytes([announce, length, longest, 0]) + u32(high, 0, 0, 0, asn))


def key(version, announce, ski=1, asn=1, spki=b"key"):
    return pdu(version, 9, announce << 8, bytes([ski]) * 20 + u32(asn) + spki)


def aspa(announce, customer, *providers):
    return pdu(2, 11, announce << 8, u32(customer, *providers))


def error(version, code, erroneous=b"", text=b"text"):
    return pdu(version, 10, code, u32(len(erroneous)) + erroneous + u32(len(text)) + text)


def seeds():
    for version in range(4):
        yield f"reset-{version}", pdu(version, 2, 0)
        for serial in (1, 3, 4, 9):
            yield f"serial-{version}-{serial}", pdu(version, 1, 0x100 + version, u32(serial))
        yield f"two-{version}", pdu(version, 2, 0) + pdu(version, 1, 0x100 + version, u32(4))
        yield f"other-session-{version}", pdu(version, 2, 0) + pdu(version, 1, 7, u32(4))
        yield f"error-{version}", error(version, 4)
        yield f"notify-{version}", pdu(version, 0, 0x100, u32(2))
    yield "version-change", pdu(1, 2, 0) + pdu(2, 2, 0)
    yield "version-change-0", pdu(0, 2, 0) + pdu(1, 2, 0)
    yield "too-high", pdu(9, 2, 0) * 4
    yield "short", pdu(1, 2, 0, length=7)
    yield "long", pdu(1, 2, 0, length=65536)
    yield "unknown", pdu(1, 99, 0)
    yield "error-short", pdu(1, 10, 0, length=7)
    yield "error-inner", pdu(1, 10, 0, u32(99, 0))
    for version in range(3):
        records = v4(version, 1, 0x0B000000) + v4(version, 1, 0x0A000000) + v6(version, 1, 0x20010DB8)
        if version >= 1:
            records += key(version, 1)
        if version == 2:
            records += aspa(1, 1, 2, 3) + aspa(1, 4, 0)
        first = answer(version, records=records)
        yield f"answer-{version}", first
        withdrawn = v4(version, 1, 0x09000000) + v4(version, 0, 0x0A000000) + v6(version, 0, 0x20010DB8)
        if version >= 1:
            withdrawn += key(version, 0)
        if version == 2:
            withdrawn += aspa(1, 1, 2) + aspa(0, 4)
        yield f"change-{version}", first + pdu(version, 0, 0x100, u32(2)) + answer(version, 2, records=withdrawn)
        yield f"cache-reset-{version}", first + pdu(version, 0, 0x100, u32(2)) + pdu(version, 8, 0) + first
        yield f"duplicate-{version}", answer(version, records=v4(version, 1, 0x0A000000) * 2)
        yield f"disorder-{version}", answer(version, records=v4(version, 1, 0x0A000000) + v4(version, 1, 0x0B000000))
        yield f"unknown-withdrawal-{version}", first + pdu(version, 0, 0x100, u32(2)) + answer(version, 2, records=v4(version, 0, 1 << 24))
        yield f"no-data-{version}", error(version, 2)
        yield f"timers-{version}", answer(version, timers=(0, 0, 0))
        yield f"host-bits-{version}", answer(version, records=v4(version, 1, 0x0A000001))
        yield f"host-bits-6-{version}", answer(version, records=v6(version, 1, 0x20010DB8, length=31))
        yield f"lengths-{version}", answer(version, records=v4(version, 1, 0, length=33, longest=33))
        yield f"lengths-6-{version}", answer(version, records=v6(version, 1, 0, length=129, longest=129))
        yield f"max-length-{version}", answer(version, records=v4(version, 1, 0x0A000000, longest=7))
        yield f"max-length-6-{version}", answer(version, records=v6(version, 1, 0x20010DB8, longest=31))
        yield f"default-routes-{version}", answer(version, records=v4(version, 1, 0, 0, 0) + v6(version, 1, 0, 0, 128))
        yield f"types-{version}", answer(version, records=v6(version, 1, 0x20010DB8) + v4(version, 1, 0x0A000000))
    yield "aspa-order", answer(2, records=aspa(1, 1, 3, 2))
    yield "aspa-none", answer(2, records=aspa(1, 1))
    yield "aspa-zero", answer(2, records=aspa(1, 1, 0, 1))
    yield "aspa-withdrawal", answer(2, records=aspa(0, 1, 2))
    yield "restart", answer(2) + error(2, 12)


def deltas():
    for name, content in seeds():
        if name.startswith(("answer", "duplicate", "no-data", "cache-reset", "lengths", "aspa", "unknown", "long", "reset-1")):
            yield name, content[0] % 3, content
    for version in range(3):
        change = v4(version, 1, 0x0B000000) + v4(version, 0, 0x0A000000) + v6(version, 1, 0x20010DB8) + v6(version, 0, 0)
        if version >= 1:
            change += key(version, 1) + key(version, 0, 2)
        if version == 2:
            change += aspa(1, 1, 2, 3) + aspa(0, 4)
        yield f"delta-{version}", version, pdu(version, 0, 0x100, u32(2)) + answer(version, 2, records=change)
        yield f"end-alone-{version}", version, answer(version)[8:]
        yield f"other-version-{version}", version, answer((version + 1) % 3)
        yield f"cache-reset-only-{version}", version, pdu(version, 8, 0)


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    DELTAS.mkdir(parents=True, exist_ok=True)
    for name, version, content in deltas():
        (DELTAS / name).write_bytes(bytes([version, 7]) + content)
    for name, content in seeds():
        # Flags of the target: of the cache's side for queries; for answers, which version listens and how.
        cache = name.startswith(("reset", "serial", "two", "too"))
        for flags in (0, 1, 2, 4, 8, 0x18, 0x30, 0x71) if cache else (0, 1, 2, 4, 5, 6, 0x0E, 0x12):
            (FOLDER / f"{name}-{flags:02x}").write_bytes(bytes([flags, 3]) + content)


if __name__ == "__main__":
    main()
