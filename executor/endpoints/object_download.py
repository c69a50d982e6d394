"""One object into one local file: parts in parallel, straight to their places.

The bytes go into a hidden partial file of full length beside the destination, with notes of the
chunks that are there and their digests; both are found again when the same download is run again,
if the object still has the ETag that it had. Where the object's root digest is known before and
the connection is in clear, they go from the socket into the file without a detour. The partial
file is brought to disk, read back from there, held against what came and against the object's root
digest if it has one, and only then linked to its name, which cannot overwrite.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterable
from functools import cache, partial
from pathlib import Path

from blake3 import blake3

from datasets.errors import InputError, IntegrityError, TransferFailed
from executor.endpoints.local import root_digest
from executor.endpoints.notes import Notes
from executor.endpoints.pieces import Landed, digest_at, stretches_of
from executor.endpoints.store import CHUNK_BYTES, ObjectAbout, ObjectChanged, ObjectStore
from executor.endpoints.tally import Tally
from executor.endpoints.workers import Step
from planner.dispatch import chunk_count


def partial_name(name: str) -> str:
    """The hidden name under which `name` is built; as long for every name."""
    return f".tradewind-{blake3(os.fsencode(name)).hexdigest(length=12)}.part"


class Download:
    """One object on its way. `root` holds its root digest once it is placed."""

    def __init__(
        self,
        store: ObjectStore,
        about: ObjectAbout,
        url: str,
        final: Path,
        tally: Tally,
    ) -> None:
        self.root = b""
        self.about = about
        self.final = final
        self._store = store
        self._url = url
        self._tally = tally
        self._part = final.with_name(partial_name(final.name))
        self._notes: Notes | None = None
        self._descriptor = -1
        self._digests: dict[int, bytes] = {}
        self._promised = about.root
        self._left = 0
        self._lock = threading.Lock()

    def begin(self) -> Iterable[Step]:
        """The first step; it brings the others. Raises: InputError, TransferFailed, …"""
        chunks = chunk_count(self.about.size, CHUNK_BYTES)
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._descriptor = os.open(self._part, flags, 0o600)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if chunks > 1:
                said: dict[str, str | int] = {
                    "url": self._url,
                    "etag": self.about.etag,
                    "size": self.about.size,
                }
                self._notes = Notes(self._part.with_suffix(".notes"), said)
            os.ftruncate(self._descriptor, self.about.size)
        except BlockingIOError as error:
            self.close()
            raise InputError(f"{self.final} is being written by another process.") from error
        except OSError as error:
            raise TransferFailed(f"Cannot write {self.final}: {error.strerror}.") from error
        if self._notes is not None:
            self._take_up(self._notes)
        missing = [chunk for chunk in range(chunks) if chunk not in self._digests]
        stretches = stretches_of(missing)
        self._left = len(stretches)
        if not missing:
            return self._settle()
        if chunks == 1:
            return self._fetch(0, 1)
        return [partial(self._fetch, first, count) for first, count in stretches]

    def _take_up(self, notes: Notes) -> None:
        """What an earlier run left, as far as the disk still holds it."""
        for line in notes.lines:
            if "root" in line:
                self._promised = str(line["root"])
                continue
            chunk, digest = int(line["chunk"]), bytes.fromhex(str(line["digest"]))
            if not digest or self._read_back(chunk) == digest:
                self._digests[chunk] = digest
                self._tally.stood(self._length(chunk))

    def _length(self, chunk: int) -> int:
        return min(CHUNK_BYTES, self.about.size - chunk * CHUNK_BYTES)

    def _read_back(self, chunk: int) -> bytes:
        return digest_at(self._descriptor, chunk * CHUNK_BYTES, self._length(chunk))

    def _fetch(self, first: int, count: int) -> Iterable[Step]:
        offset = first * CHUNK_BYTES
        size = min(count * CHUNK_BYTES, self.about.size - offset)
        landed = Landed(
            self._descriptor,
            offset,
            size,
            CHUNK_BYTES,
            partial(self._landed, first),
            # What is read back is held against the root: nobody need look before.
            unseen=bool(self.about.root),
        )
        root = self._store.read(self.about, offset, size, landed)
        if self._notes is not None and root and not self._promised:
            self._notes.add({"root": root})
        with self._lock:
            self._promised = self._promised or root
            self._left -= 1
            if self._left:
                return ()
        return self._settle()

    def _landed(self, first: int, number: int, digest: bytes) -> None:
        chunk = first + number
        if self._notes is not None:
            self._notes.add({"chunk": chunk, "digest": digest.hex()})
        with self._lock:
            self._digests[chunk] = digest
        self._tally.moved(self._length(chunk))

    def _settle(self) -> Iterable[Step]:
        """All is there: to disk with it, and every chunk read back from there."""
        try:
            os.fsync(self._descriptor)
            # What is compared must come from the disk, not from the pages just written.
            os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        except OSError as error:
            raise TransferFailed(f"Cannot write {self.final}: {error.strerror}.") from error
        self._left = len(self._digests)
        if self._left <= 1:
            return self._check(0) if self._left else self._place()
        return [partial(self._check, chunk) for chunk in self._digests]

    def _check(self, chunk: int) -> Iterable[Step]:
        found = self._read_back(chunk)
        if not self._digests[chunk]:
            self._digests[chunk] = found
        elif found != self._digests[chunk]:
            self.discard()
            raise IntegrityError(f"What was written of {self._url} is not what came.")
        with self._lock:
            self._left -= 1
            if self._left:
                return ()
        return self._place()

    def _place(self) -> Iterable[Step]:
        ordered = [self._digests[chunk] for chunk in sorted(self._digests)]
        self.root = root_digest(ordered, self.about.size)
        if self._promised and self._promised != self.root.hex():
            self.discard()
            raise IntegrityError(f"What came of {self._url} is not what its root digest says.")
        try:
            os.fchmod(self._descriptor, 0o666 & ~_umask())
            os.link(self._part, self.final)
            os.unlink(self._part)
        except FileExistsError as error:
            raise InputError(
                f"{self.final} came to exist meanwhile; nothing is overwritten."
            ) from error
        except OSError as error:
            raise TransferFailed(f"Cannot place {self.final}: {error.strerror}.") from error
        if self._notes is not None:
            self._notes.remove()
        self.close()
        return ()

    def discard(self) -> None:
        """What came is worth nothing: the next time begins from nothing."""
        self._part.unlink(missing_ok=True)
        if self._notes is not None:
            self._notes.remove()
        self.close()

    def fail(self, error: BaseException) -> None:
        """Leave what the next run can use, and nothing else."""
        if self._descriptor < 0:
            return
        if self._notes is None or isinstance(error, ObjectChanged):
            self.discard()
        else:
            self._notes.close()
            self.close()

    def close(self) -> None:
        """Close the partial file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


@cache
def _umask() -> int:
    """The process's umask, read without setting it: threads share it."""
    with open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    return 0o077
