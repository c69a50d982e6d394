"""One local file into one object: parts in parallel, each compared, the root digest kept with it.

The file is read once for its digests, which must stand in the request that begins an upload, and
once more part by part; a part that no longer has its digest is a source that changed. The name of
the upload and the parts that the store has acknowledged are noted, so that the same upload run
again sends the others only. Where the store's checksum of a part was not held against ours, the
object is read back whole before success is said.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from blake3 import blake3

from datasets.errors import IntegrityError, TransferFailed
from executor.endpoints.local import chunk_digest, read_into, root_digest
from executor.endpoints.notes import Notes
from executor.endpoints.pieces import Digested, buffer_of, digest_at, stretches_of
from executor.endpoints.store import (
    CHUNK_BYTES,
    ObjectAbout,
    ObjectExists,
    ObjectStore,
    PartDone,
    UploadGone,
)
from executor.endpoints.tally import Tally
from executor.endpoints.workers import Step
from executor.ledger import state_folder
from planner.dispatch import chunk_count

# S3's own limit: docs.aws.amazon.com, "Amazon S3 multipart upload limits", November 2026.
MOST_PARTS = 10_000


class SourceChanged(TransferFailed):
    """The file is not the one that was being sent any more."""


def part_bytes_for(size: int) -> int:
    """Whole chunks a part, so few that no object has more parts than S3 allows."""
    chunks = chunk_count(size, CHUNK_BYTES)
    return CHUNK_BYTES * max(1, -(-chunks // MOST_PARTS))


class Upload:
    """One file on its way. `root` holds its root digest, `read_back` whether it was read back."""

    def __init__(
        self,
        store: ObjectStore,
        source: Path,
        key: str,
        url: str,
        there: bool,
        tally: Tally,
    ) -> None:
        self.root = b""
        self.read_back = False
        self.size = 0
        self._store = store
        self._source = source
        self._key = key
        self._url = url
        self._there = there
        self._tally = tally
        self._descriptor = -1
        self._seen = (0, 0)
        self._digests: dict[int, bytes] = {}
        self._parts: dict[int, PartDone] = {}
        self._upload = ""
        self._notes: Notes | None = None
        self._left = 0
        self._lock = threading.Lock()
        self._part_bytes = CHUNK_BYTES

    def begin(self) -> Iterable[Step]:
        """The first step; it brings the others. Raises: ObjectExists, TransferFailed, …"""
        try:
            self._descriptor = os.open(self._source, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise TransferFailed(f"Cannot read {self._source}: {error.strerror}.") from error
        about = os.fstat(self._descriptor)
        self.size, self._seen = about.st_size, (about.st_size, about.st_mtime_ns)
        self._part_bytes = part_bytes_for(self.size)
        chunks = chunk_count(self.size, CHUNK_BYTES)
        if chunks <= 1:
            return self._whole()
        self._left = chunks
        return [partial(self._digest, chunk) for chunk in range(chunks)]

    def _length(self, chunk: int) -> int:
        return min(CHUNK_BYTES, self.size - chunk * CHUNK_BYTES)

    def _whole(self) -> Iterable[Step]:
        """A small file in one request."""
        view = buffer_of(self.size)
        read_into(self._descriptor, view, 0)
        self._check_unchanged()
        self._digests = {0: chunk_digest(view)} if self.size else {}
        self._seal()
        if not self._stands_already():
            compared = self._store.put(self._key, view, self.root.hex())
            self._tally.moved(self.size)
            if not compared and self.size:
                return self._read_all_back()
        return self._end()

    def _seal(self) -> None:
        ordered = [self._digests[chunk] for chunk in sorted(self._digests)]
        self.root = root_digest(ordered, self.size)

    def _stands_already(self) -> bool:
        """Whether the very same object stands there already. Raises: ObjectExists."""
        if not self._there:
            return False
        about = self._store.about(self._key)
        if about is None:
            return False
        if (about.size, about.root) != (self.size, self.root.hex()):
            raise ObjectExists(
                f"{self._url} exists; nothing is overwritten. Name another destination."
            )
        self._tally.stood(self.size)
        return True

    def _digest(self, chunk: int) -> Iterable[Step]:
        digest = digest_at(self._descriptor, chunk * CHUNK_BYTES, self._length(chunk))
        with self._lock:
            self._digests[chunk] = digest
            self._left -= 1
            if self._left:
                return ()
        self._check_unchanged()
        self._seal()
        if self._stands_already():
            return self._end()
        if not self._store.resumes:
            self._store.put_file(self._key, self._descriptor, self.size, self.root.hex())
            self._check_unchanged()
            self._tally.moved(self.size)
            return self._read_all_back()
        return self._send()

    def _send(self) -> Iterable[Step]:
        said: dict[str, str | int] = {
            "url": self._url,
            "root": self.root.hex(),
            "size": self.size,
            "part_bytes": self._part_bytes,
        }
        name = blake3(f"{self._url}\0{self._source.resolve()}".encode()).hexdigest(length=16)
        self._notes = Notes(state_folder() / "uploads" / f"{name}.notes", said)
        for line in self._notes.discarded[:1]:
            if line.get("upload"):
                self._store.abort(self._key, str(line["upload"]))
        self._take_up(self._notes)
        if not self._upload:
            self._upload = self._store.begin(self._key, self.root.hex())
            self._notes.begin({**said, "upload": self._upload})
        numbers = range(1, chunk_count(self.size, self._part_bytes) + 1)
        missing = [number for number in numbers if number not in self._parts]
        self._left = len(missing)
        if not missing:
            return self._complete()
        return [partial(self._part, number) for number in missing]

    def _take_up(self, notes: Notes) -> None:
        """The parts that an earlier run noted and the store still has, as they were noted."""
        upload = str(notes.about.get("upload", ""))
        if not upload:
            return
        try:
            there = self._store.parts(self._key, upload)
        except UploadGone:
            return
        self._upload = upload
        for line in notes.lines:
            part = PartDone(
                number=int(line["part"]),
                etag=str(line["etag"]),
                checksum=str(line["checksum"]),
                compared=bool(line["compared"]),
            )
            if there.get(part.number) == (self._part_length(part.number), part.etag):
                self._parts[part.number] = part
                self._tally.stood(self._part_length(part.number))

    def _part_length(self, number: int) -> int:
        return min(self._part_bytes, self.size - (number - 1) * self._part_bytes)

    def _part(self, number: int) -> Iterable[Step]:
        view = buffer_of(self._part_length(number))
        offset = (number - 1) * self._part_bytes
        read_into(self._descriptor, view, offset)
        first = offset // CHUNK_BYTES
        for at in range(chunk_count(len(view), CHUNK_BYTES)):
            piece = view[at * CHUNK_BYTES : (at + 1) * CHUNK_BYTES]
            if chunk_digest(piece) != self._digests[first + at]:
                raise SourceChanged(f"{self._source} changed while it was being sent.")
        part = self._store.put_part(self._key, self._upload, number, view)
        if self._notes is not None:
            self._notes.add(
                {
                    "part": number,
                    "etag": part.etag,
                    "checksum": part.checksum,
                    "compared": int(part.compared),
                }
            )
        self._tally.moved(len(view))
        with self._lock:
            self._parts[number] = part
            self._left -= 1
            if self._left:
                return ()
        return self._complete()

    def _complete(self) -> Iterable[Step]:
        self._check_unchanged()
        parts = list(self._parts.values())
        self._store.complete(self._key, self._upload, parts, self.root.hex(), self.size)
        self._upload = ""
        if self._notes is not None:
            self._notes.remove()
        if not all(part.compared for part in parts):
            return self._read_all_back()
        about = self._store.about(self._key)
        if about is None or (about.size, about.root or self.root.hex()) != (
            self.size,
            self.root.hex(),
        ):
            raise IntegrityError(f"{self._url} is not what its parts made.")
        return self._end()

    def _read_all_back(self) -> Iterable[Step]:
        self.read_back = True
        about = self._store.about(self._key)
        if about is None or about.size != self.size:
            raise IntegrityError(f"{self._url} is not there as it was written.")
        stretches = stretches_of(sorted(self._digests))
        self._left = len(stretches)
        return [partial(self._compare, about, first, count) for first, count in stretches]

    def _compare(self, about: ObjectAbout, first: int, count: int) -> Iterable[Step]:
        offset = first * CHUNK_BYTES
        size = min(count * CHUNK_BYTES, self.size - offset)
        sink = Digested(size, CHUNK_BYTES, partial(self._compared, first))
        self._store.read(about, offset, size, sink)
        with self._lock:
            self._left -= 1
            if self._left:
                return ()
        return self._end()

    def _compared(self, first: int, chunk: int, digest: bytes) -> None:
        if digest != self._digests[first + chunk]:
            raise IntegrityError(f"What {self._url} holds is not what was sent.")

    def _check_unchanged(self) -> None:
        about = os.fstat(self._descriptor)
        if (about.st_size, about.st_mtime_ns) != self._seen:
            raise SourceChanged(f"{self._source} changed while it was being sent.")

    def _end(self) -> Iterable[Step]:
        self.close()
        return ()

    def fail(self, error: BaseException) -> None:
        """Keep what the next run can go on with; give up what no run will."""
        if isinstance(error, (ObjectExists, SourceChanged, IntegrityError)) and self._upload:
            self._store.abort(self._key, self._upload)
            self._upload = ""
            if self._notes is not None:
                self._notes.remove()
        elif self._notes is not None:
            self._notes.close()
        self.close()

    def close(self) -> None:
        """Close the source."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
