"""Verification of a chain's evidence without asking anybody: checkpoints, inclusion, consistency, proof files.

Formats: docs/formats/chain.md of the project (RFC 9162 section 2.1 with SHA-256; C2SP signed-note, tlog-checkpoint, tlog-proof).
The one thing that a verifier brings is the chain's verifier key, from somewhere else than the O-Node that it asks.
Every refusal is an EvidenceError whose text says what does not hold."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import pathlib
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

MAX_NOTE = 65_536
MAX_SIGNATURES = 64
MAX_PROOF_FILE = 1_048_576
MAX_PATH = 63
MAX_ENTRY = 65_535
MAX_SIZE = 2**63
_HEADER = struct.Struct(">8s16sQ32sQ8sQQQQIIBBBBI")
_NONE = 2**64 - 1


class EvidenceError(ValueError):
    """What was shown does not prove what it should."""


class NotTrusted(EvidenceError):
    """A checkpoint that none of the given keys signed."""


def _need(condition: bool, why: str) -> None:
    if not condition:
        raise EvidenceError(why)


def _sha256(*parts: bytes) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.digest()


def leaf_hash(entry: bytes) -> bytes:
    return _sha256(b"\0", entry)


def _node(left: bytes, right: bytes) -> bytes:
    return _sha256(b"\1", left, right)


def _base64(text: str, what: str, size: int | None = None) -> bytes:
    """One spelling only: what is decoded must encode to the same text."""
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except (ValueError, binascii.Error):
        raise EvidenceError(f"{what}: not base64") from None
    _need(base64.b64encode(raw).decode() == text, f"{what}: not the one spelling of its base64")
    _need(size is None or len(raw) == size, f"{what}: {len(raw)} bytes, not {size}")
    return raw


def _utf8(text: str, what: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise EvidenceError(f"{what}: not Unicode text") from None


def _decimal(text: str, what: str) -> int:
    _need(text.isascii() and text.isdigit() and str(int(text[:20])) == text and int(text) <= MAX_SIZE, f"{what}: not a decimal number in its one spelling")
    return int(text)


@dataclass(frozen=True)
class VerifierKey:
    """Public half of a checkpoint key: C2SP `name+id+base64`; the name is the chain's origin."""

    name: str
    key_id: bytes
    public_key: bytes

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        parts = text.strip().split("+", 2)
        _need(len(parts) == 3 and parts[0] != "" and not any(c.isspace() for c in parts[0]), "verifier key: not of the form name+id+base64")
        name, key_id, encoded = parts
        raw = _base64(encoded, "verifier key", 33)
        _need(raw[0] == 1, "verifier key: not an Ed25519 key")
        expected = _sha256(_utf8(name, "verifier key"), b"\n", raw)[:4]
        _need(key_id == expected.hex(), "verifier key: its id is not that of its name and bytes")
        return cls(name, expected, raw[1:])


def read_trust(items: Iterable[str]) -> tuple[VerifierKey, ...]:
    """Verifier keys from their texts, or from files with one on a line; lines that begin with # are skipped."""
    keys: list[VerifierKey] = []
    for item in items:
        try:
            keys.append(VerifierKey.parse(item))
            continue
        except EvidenceError:
            if item.count("+") >= 2 and not pathlib.Path(item).exists():
                raise
        lines = pathlib.Path(item).read_text(encoding="utf-8").splitlines()
        keys += [VerifierKey.parse(line) for line in lines if line.strip() and not line.startswith("#")]
    _need(bool(keys), "no verifier key in what was given")
    return tuple(keys)


@dataclass(frozen=True)
class Checkpoint:
    """A signed tree head."""

    origin: str
    size: int
    root: bytes
    note: str


def _read_note(note: str) -> tuple[Checkpoint, bytes, list[tuple[str, bytes]]]:
    """Shape only: the checkpoint, the signed text, and the signatures with their names."""
    _need(len(_utf8(note, "checkpoint")) <= MAX_NOTE, "checkpoint: longer than 64 KiB")
    _need(all(ord(c) >= 32 and ord(c) != 127 or c == "\n" for c in note), "checkpoint: a control character in it")
    text, gap, tail = note.rpartition("\n\n")
    _need(gap != "" and tail.endswith("\n"), "checkpoint: no signatures")
    lines = text.split("\n")
    _need(len(lines) == 3 and lines[0] != "", "checkpoint: not the three lines origin, size, root")
    signatures = []
    for line in tail[:-1].split("\n"):
        parts = line.split(" ")
        _need(len(parts) == 3 and parts[0] == "\u2014" and parts[1] != "", "checkpoint: a line that is no signature")
        value = _base64(parts[2], "checkpoint: signature")
        _need(len(value) > 4, "checkpoint: a signature without its bytes")
        signatures.append((parts[1], value))
    _need(len(signatures) <= MAX_SIGNATURES, "checkpoint: more than 64 signatures")
    checkpoint = Checkpoint(lines[0], _decimal(lines[1], "checkpoint: size"), _base64(lines[2], "checkpoint: root", 32), note)
    return checkpoint, (text + "\n").encode(), signatures


def open_checkpoint(note: str, keys: Sequence[VerifierKey]) -> Checkpoint:
    """The checkpoint that the note signs. At least one given key whose name is the origin must have signed it; a bad signature of
    any given key refuses it; lines of other keys are not looked at. NotTrusted when no given key signed."""
    checkpoint, text, signatures = _read_note(note)
    trusted = False
    for name, value in signatures:
        for key in keys:
            if key.name != name or key.key_id != value[:4]:
                continue
            try:
                Ed25519PublicKey.from_public_bytes(key.public_key).verify(value[4:], text)
            except InvalidSignature:
                raise EvidenceError(f"checkpoint: the signature of {name} does not verify") from None
            trusted = trusted or name == checkpoint.origin
    if not trusted:
        raise NotTrusted(f"checkpoint of {checkpoint.origin!r}: signed by none of the keys that were given")
    return checkpoint


def verify_inclusion(index: int, size: int, leaf: bytes, path: Sequence[bytes], root: bytes) -> None:
    """RFC 9162, 2.1.3.2."""
    _need(0 <= index < size, f"inclusion: entry {index} is not below size {size}")
    at, last, seed = index, size - 1, leaf
    for sibling in path:
        _need(last > 0, "inclusion: the proof is too long")
        if at & 1 or at == last:
            seed = _node(sibling, seed)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            seed = _node(seed, sibling)
        at, last = at >> 1, last >> 1
    _need(last == 0, "inclusion: the proof is too short")
    _need(seed == root, "inclusion: the entry is not in this tree")


def verify_consistency(old_size: int, old_root: bytes, size: int, root: bytes, path: Sequence[bytes]) -> None:
    """RFC 9162, 2.1.4.2. Size 0 is extended by every tree."""
    _need(0 <= old_size <= size, f"consistency: size {size} is smaller than {old_size}")
    if old_size == size:
        _need(not path, "consistency: a proof between equal sizes")
        _need(old_root == root, f"consistency: two roots for one size, {size}")
        return
    if old_size == 0:
        _need(not path, "consistency: a proof from the empty tree")
        return
    hashes = list(path)
    at, last = old_size - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    if at:
        _need(bool(hashes), "consistency: the proof is too short")
        old = new = hashes.pop(0)
    else:
        old = new = old_root
    for sibling in hashes:
        _need(last > 0, "consistency: the proof is too long")
        if at & 1 or at == last:
            old, new = _node(sibling, old), _node(sibling, new)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            new = _node(new, sibling)
        at, last = at >> 1, last >> 1
    _need(last == 0, "consistency: the proof is too short")
    _need(old == old_root and new == root, f"consistency: the tree of size {size} does not extend the one of size {old_size}")


@dataclass(frozen=True)
class Entry:
    """An entry of a chain: what its header of 128 bytes says, and the frame as it was received."""

    origin_prefix: bytes
    sequence: int
    previous_leaf: bytes
    received_us: int
    source_prefix: bytes
    source_epoch: int
    source_sequence: int
    source_previous: int | None
    subject_previous: int | None
    key_version: int
    kind: int
    checked_by: int
    result: int
    spelling: int
    frame: bytes

    @classmethod
    def parse(cls, data: bytes) -> Entry:
        _need(_HEADER.size <= len(data) <= MAX_ENTRY, f"entry: {len(data)} bytes are no entry")
        (first, origin, sequence, previous, received, source, epoch, number, of_source, of_subject, line, version, kind, checked, result, spelling,
         length) = _HEADER.unpack_from(data)
        _need(first == b"onode/1\n", "entry: not of format onode/1")
        _need(length == len(data) - _HEADER.size, "entry: the frame is not as long as the header says")
        _need(line == 1 and kind <= 6 and checked in (1, 2) and result < 16 and 1 <= spelling <= 4, "entry: a value that the format does not define")
        return cls(origin, sequence, previous, received, source, epoch, number, None if of_source == _NONE else of_source,
                   None if of_subject == _NONE else of_subject, version, kind, checked, result, spelling, data[_HEADER.size :])

    def payload(self) -> dict[str, Any]:
        """What the frame says. The tag of the frame is not checked here: that the O-Node checked it is its word."""
        if self.spelling == 4:
            start, order = 64, ">"
            (length,) = struct.unpack_from(">I", self.frame, 24)
        else:
            start, order = (28 if self.spelling == 3 else 24), ("<" if self.spelling == 1 else ">")
            (length,) = struct.unpack_from(order + "I", self.frame, 20)
        try:
            value = json.loads(self.frame[start : start + length])
        except ValueError:
            raise EvidenceError("entry: the payload is no JSON") from None
        _need(isinstance(value, dict), "entry: the payload is no JSON object")
        return dict(value)


@dataclass(frozen=True)
class Proof:
    """A proof file (C2SP tlog-proof) as it stands there; verify_proof says whether it holds."""

    entry: bytes
    index: int
    path: tuple[bytes, ...]
    note: str

    @classmethod
    def parse(cls, text: str) -> Proof:
        _need(len(text) <= MAX_PROOF_FILE, "proof: longer than 1 MiB")
        head, gap, note = text.partition("\n\n")
        lines = head.split("\n")
        _need(gap != "" and len(lines) >= 3 and lines[0] == "c2sp.org/tlog-proof@v1", "proof: not a c2sp.org/tlog-proof@v1 file")
        _need(lines[1].startswith("extra "), "proof: no entry in an extra line")
        _need(lines[2].startswith("index "), "proof: no index")
        _need(len(lines) - 3 <= MAX_PATH, "proof: more than 63 hashes")
        path = tuple(_base64(line, "proof: hash", 32) for line in lines[3:])
        return cls(_base64(lines[1][6:], "proof: entry"), _decimal(lines[2][6:], "proof: index"), path, note)


@dataclass(frozen=True)
class ProvenEntry:
    """An entry that is in the chain at its place, and the checkpoint that says so."""

    entry: Entry
    checkpoint: Checkpoint


def verify_proof(proof: Proof | str, keys: Sequence[VerifierKey]) -> ProvenEntry:
    """Signature, inclusion, and that the entry names this chain and this place."""
    if isinstance(proof, str):
        proof = Proof.parse(proof)
    checkpoint = open_checkpoint(proof.note, keys)
    verify_inclusion(proof.index, checkpoint.size, leaf_hash(proof.entry), proof.path, checkpoint.root)
    entry = Entry.parse(proof.entry)
    _need(entry.origin_prefix == _sha256(checkpoint.origin.encode())[:16], "proof: the entry is of another chain")
    _need(entry.sequence == proof.index, f"proof: the entry is number {entry.sequence}, not {proof.index}")
    return ProvenEntry(entry, checkpoint)
