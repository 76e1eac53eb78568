"""The largest checkpoint of each chain, kept in a folder: a rollback or fork that anybody shows later is noticed.

One file per origin, as the project's other programs keep it (docs/formats/chain.md, "Largest checkpoint, kept")."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence

from virp.evidence import Checkpoint, EvidenceError, VerifierKey, open_checkpoint, verify_consistency

_MAX_MISMATCHES = 16


class Mismatch(EvidenceError):
    """Two checkpoints that contradict each other. Both are kept: signed by the same key, they convict it."""


class CheckpointStore:
    """Safe between threads and processes that use the same folder. With `read_only` it is compared with, and nothing is written."""

    def __init__(self, folder: str | os.PathLike[str], read_only: bool = False) -> None:
        self.folder = pathlib.Path(folder)
        self.read_only = read_only
        if not read_only:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path_of(self, origin: str) -> pathlib.Path:
        raw = origin.encode()
        readable = "".join(chr(b) if 32 < b < 127 and b not in b"/." else "_" for b in raw[:100])
        return self.folder / f"{readable}-{hashlib.sha256(raw).hexdigest()[:16]}"

    def load(self, origin: str, keys: Sequence[VerifierKey]) -> Checkpoint | None:
        path = self.path_of(origin)
        try:
            note = path.read_bytes().decode()
        except FileNotFoundError:
            return None
        except UnicodeDecodeError:
            raise EvidenceError(f"{path}: not a checkpoint; find out who changed it") from None
        try:
            kept = open_checkpoint(note, keys)
        except EvidenceError as error:
            raise EvidenceError(f"{path} does not verify, find out who changed it: {error}") from None
        if kept.origin != origin:
            raise EvidenceError(f"{path} is of another chain, {kept.origin}")
        return kept

    def see(self, checkpoint: Checkpoint, keys: Sequence[VerifierKey], consistency: Callable[[int, int], Sequence[bytes]]) -> None:
        """Compares a checkpoint that verified with the one kept, and keeps the larger one. `consistency` fetches the proof from one
        size to a larger one. Mismatch when neither extends the other. The first one of an origin is kept on trust in its signature."""
        with self._locked():
            kept = self.load(checkpoint.origin, keys)
            if kept is not None:
                small, large = sorted((kept, checkpoint), key=lambda c: c.size)
                path: Sequence[bytes] = ()
                if small.size not in (0, large.size):
                    path = consistency(small.size, large.size)
                try:
                    verify_consistency(small.size, small.root, large.size, large.root, path)
                except EvidenceError as error:
                    where = "" if self.read_only else f"; both are in {self._record(kept, checkpoint, path, error)}"
                    raise Mismatch(f"{error}{where}") from None
                if checkpoint.size <= kept.size:
                    return
            if not self.read_only:
                self._replace(self.path_of(checkpoint.origin), checkpoint.note)

    def _record(self, kept: Checkpoint, shown: Checkpoint, path: Sequence[bytes], why: EvidenceError) -> pathlib.Path:
        text = f"{why}\n\nkept:\n{kept.note}\noffered:\n{shown.note}"
        if path:
            text += "\nconsistency proof:\n" + "".join(base64.b64encode(h).decode() + "\n" for h in path[:64])
        file = self.path_of(kept.origin)
        for number in range(_MAX_MISMATCHES):
            file = self.path_of(kept.origin).with_name(f"{self.path_of(kept.origin).name}.mismatch-{number:02}")
            if not file.exists():
                self._replace(file, text)
                break
            if file.read_text(encoding="utf-8") == text:
                break
        return file

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        if self.read_only:
            yield
            return
        with open(self.folder / ".lock", "a+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _replace(self, path: pathlib.Path, text: str) -> None:
        beside = path.with_name(f".{path.name}.{os.getpid()}.new")
        with open(beside, "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
