"""Landing: a transfer that comes in, on disk before it is acknowledged, resumable after any crash.

A hidden folder beside the destination holds the listing, journals of what arrived, and the tree as
it grows. Order of effects: the listing is on disk before its folder has its name; a chunk's bytes
are on disk before the journal says so; the journal is on disk before a chunk is acknowledged; all
is read back from disk before it is put in its place; it is there before success is said. So
whatever is killed, or loses power, leaves a folder that the next attempt goes on from.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from blake3 import blake3

from datasets.canonical import Json, canonical_json
from datasets.errors import InputError, IntegrityError, TradewindError, TransferFailed
from executor.endpoints.disk import Disk, is_in_memory, own_umask
from executor.endpoints.journal import PREFIX, Journal
from executor.endpoints.kept_root import keep_root
from executor.endpoints.listing import entries_of, listing_document
from executor.endpoints.local import (
    Entry,
    EntryKind,
    RootDigest,
    Staging,
    chunk_digest,
    read_into,
    root_digest,
)
from executor.endpoints.open_files import OpenFiles
from executor.endpoints.units import Unit, pack_root, units_of
from planner.dispatch import chunk_count

_LISTING = b"listing"
_TREE = b"tree"
_PLACING = b"placing"
# Digests of chunks are kept in memory up to this many; what is beyond is read again for a root.
MOST_DIGESTS = 1 << 20
# Chunks that are read back at once, and how much of each at a time: it stays in a core's cache.
READ_WINDOW = 64
# More files than this in one commit are brought to disk with the whole file system, at once.
_SYNC_ONE_BY_ONE = 16
_READ_BYTES = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arrived:
    """A chunk whose records are all written, and what to do when it is on disk."""

    unit: Unit
    chunk: int
    then: Callable[[], None]


def kept_chunk_bytes(folder: bytes) -> int | None:
    """The chunk size of the transfer that an earlier attempt left in `folder`; None if none did."""
    try:
        with open(os.path.join(folder, _LISTING), "rb") as file:
            return int(json.loads(file.read())["chunk_bytes"])
    except (OSError, ValueError, KeyError, TypeError):  # missing, or of no form that is known
        return None


def is_placing(folder: bytes) -> bool:
    """Whether a transfer was killed while it was put in its place, all of it confirmed."""
    return os.path.lexists(os.path.join(folder, _PLACING))


def has_arrived(folder: bytes) -> bool:
    """Whether a transfer's folder holds anything that a later attempt could go on from."""
    try:
        names = os.listdir(folder)
        return any(
            name.startswith(PREFIX) and os.stat(os.path.join(folder, name)).st_size
            for name in names
        )
    except OSError:
        return False


def landing_at(folder: bytes, *, sparse: bool = False) -> Landing:
    """The landing that stands in a folder, as its own listing says. Raises: TransferFailed."""
    try:
        with open(os.path.join(folder, _LISTING), "rb") as file:
            told = json.loads(file.read())
        return Landing(
            folder,
            entries_of(told["entries"]),
            chunk_bytes=int(told["chunk_bytes"]),
            sparse=sparse,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TransferFailed("an unfinished transfer's folder cannot be read") from error


class Landing:
    """One transfer's arrival. Safe between threads; `close` it, or `place` it."""

    def __init__(
        self,
        folder: bytes,
        entries: tuple[Entry, ...],
        *,
        chunk_bytes: int,
        disk: Disk | None = None,
        sparse: bool = False,
        packed: bool = True,
    ) -> None:
        """`sparse`: large files are made with holes, not with room for all of them.

        Without `packed` each file is a unit of its own.
        """
        self._sparse = sparse
        self.folder = folder
        self.entries = entries
        self.units = units_of(entries, packed=packed)
        self._by_index = {unit.index: unit for unit in self.units}
        self._chunk_bytes = chunk_bytes
        self._disk = disk or Disk()
        self._in_memory = disk is None and is_in_memory(os.path.dirname(folder))
        self._begin()
        self._staging = Staging(folder, entries, disk=self._disk)
        self._journal = Journal(folder, self._disk)
        # Small files that have their modes and times already.
        self._dressed: set[int] = set()
        self._umask = own_umask()
        self._open = OpenFiles(self._disk, lambda unit: self._path(unit.entries[0]))
        self._writing = threading.Lock()  # what the journal's file is appended under
        self._changed = threading.Condition()
        self._arrived: list[_Arrived] = []
        self._committing = False
        self._closing = False
        self._failure: TradewindError | None = None
        self._committer = threading.Thread(target=self._run, daemon=True)
        self._committer.start()

    # Before the first byte.

    def _begin(self) -> None:
        told: Json = {
            "chunk_bytes": self._chunk_bytes,
            "entries": listing_document(self.entries),
        }
        wanted = canonical_json(told)
        path = os.path.join(self.folder, _LISTING)
        if os.path.lexists(path):
            with open(path, "rb") as file:
                if file.read() == wanted:
                    return
            raise TransferFailed("an unfinished transfer of another source stands there")
        try:
            # Made under another name: a folder of the right name has its listing and tree.
            making = self.folder + b".new"
            shutil.rmtree(making, ignore_errors=True)
            self._disk.make_folder(making)
            self._build(making)
            descriptor = self._disk.create(os.path.join(making, _LISTING))
            try:
                self._disk.write(descriptor, wanted, 0)
                self._disk.sync(descriptor)
            finally:
                self._disk.close(descriptor)
            self._disk.sync_folder(making)
            self._disk.rename(making, self.folder)
            self._disk.sync_folder(os.path.dirname(self.folder))
        except OSError as error:
            raise TransferFailed(f"the destination cannot be built: {error.strerror}") from error

    def _build(self, making: bytes) -> None:
        """Folders, links and empty files, and large files at full length."""
        tree = os.path.join(making, _TREE)
        folders = []
        for entry in self.entries:
            path = os.path.join(tree, entry.path) if entry.path else tree
            if entry.kind is EntryKind.FOLDER:
                self._disk.make_folder(path)
                folders.append(path)
            elif entry.kind is EntryKind.LINK:
                self._disk.symlink(entry.target, path)
        # Files that are packed are made when they come.
        packed = {entry.index for unit in self.units if unit.is_pack for entry in unit.entries}
        for entry in self.entries:
            if entry.kind is not EntryKind.FILE or entry.index in packed:
                continue
            path = os.path.join(tree, entry.path) if entry.path else tree
            descriptor = self._disk.create(path)
            try:
                if entry.size and (self._sparse or self._in_memory):
                    # In memory, pages are made as they are written: now it would only take time.
                    self._disk.stretch(descriptor, entry.size)
                elif entry.size:
                    self._disk.allocate(descriptor, entry.size)
                    self._disk.sync(descriptor)
            finally:
                self._disk.close(descriptor)
        for path in folders:
            self._disk.sync_folder(path)

    # While bytes come.

    def next_attempt(self) -> int:
        """As `Journal.next_attempt`."""
        with self._writing:
            return self._journal.next_attempt()

    def received(self) -> Mapping[int, list[tuple[int, int]]]:
        """Unit: ranges of chunks that are on disk, whichever worker brought them there."""
        with self._changed:
            self._journal.load()
            return {index: list(ranges) for index, ranges in self._journal.received.items()}

    def has(self, unit: Unit, chunk: int) -> bool:
        """Whether a chunk is on disk."""
        with self._changed:
            ranges = self._journal.received.get(unit.index)
            return ranges is not None and chunk in ranges

    def unit(self, index: int) -> Unit | None:
        """The unit of that index."""
        return self._by_index.get(index)

    def _path(self, entry: Entry) -> bytes:
        tree = os.path.join(self.folder, _TREE)
        return os.path.join(tree, entry.path) if entry.path else tree

    def write(self, unit: Unit, offset: int, view: memoryview) -> None:
        """Write a record's bytes at their place. Raises: TransferFailed."""
        try:
            if unit.is_pack:
                self._write_pack(unit, offset, view)
                return
            with self._open.descriptor(unit) as descriptor:
                self._disk.write(descriptor, view, offset)
        except OSError as error:
            raise TransferFailed(f"the destination cannot be written: {error.strerror}") from error

    def _write_pack(self, unit: Unit, offset: int, view: memoryview) -> None:
        for entry, inside, at, size in unit.parts(offset, len(view)):
            part = view[at : at + size]
            if size == entry.size:
                self._write_whole(entry, part)
                continue
            descriptor = self._disk.create(self._path(entry), exclusive=False)
            try:
                self._disk.write(descriptor, part, inside)
            finally:
                self._disk.close(descriptor)

    def _write_whole(self, entry: Entry, view: memoryview) -> None:
        """A small file that comes in one record: written and dressed in one go."""
        path = self._path(entry)
        try:
            descriptor = self._disk.create(path, exclusive=False, mode=entry.mode)
        except PermissionError:
            # An earlier attempt made it, and by its mode it is not to be written.
            self._disk.unlink(path)
            descriptor = self._disk.create(path, mode=entry.mode)
        try:
            self._disk.write(descriptor, view, 0)
            if entry.mode & self._umask:
                os.fchmod(descriptor, entry.mode)
            os.utime(descriptor, ns=(entry.mtime_ns, entry.mtime_ns))
        finally:
            self._disk.close(descriptor)
        self._dressed.add(entry.index)

    def done(self, unit: Unit, chunk: int, then: Callable[[], None]) -> None:
        """All of a chunk is written: bring it to disk, note it in the journal, then call `then`.

        Raises: TransferFailed if bringing an earlier one to disk failed.
        """
        with self._changed:
            self._raise_failure()
            self._arrived.append(_Arrived(unit=unit, chunk=chunk, then=then))
            self._changed.notify_all()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise TransferFailed(str(self._failure))

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._arrived and not self._closing:
                    self._changed.wait(1.0)
                if not self._arrived:
                    return
                batch, self._arrived = self._arrived, []
                self._committing = True
            try:
                self._commit(batch)
            except OSError as error:
                self._fail(TransferFailed(f"the destination cannot be written: {error.strerror}"))
            except TradewindError as error:
                self._fail(error)
            finally:
                with self._changed:
                    self._committing = False
                    self._changed.notify_all()

    def _fail(self, error: TradewindError) -> None:
        with self._changed:
            self._failure = self._failure or error

    def _commit(self, batch: list[_Arrived]) -> None:
        """To disk, into the journal, told: in that order."""
        if not self._in_memory:
            self._sync(batch)
        chunks = [(arrived.unit.index, arrived.chunk) for arrived in batch]
        # Not under the lock that every record takes: who receives need not wait for the disk.
        with self._writing:
            self._journal.write(chunks)
        with self._changed:
            self._journal.note(chunks)
        for arrived in batch:
            arrived.then()

    def _sync(self, batch: list[_Arrived]) -> None:
        units = {arrived.unit.index: arrived.unit for arrived in batch}
        files = sum(len(unit.entries) for unit in units.values())
        if files > _SYNC_ONE_BY_ONE:
            self._disk.sync_all(self.folder)
            return
        folders = set()
        for unit in units.values():
            if not unit.is_pack:
                with self._open.descriptor(unit) as descriptor:
                    self._disk.sync(descriptor)
                continue
            for entry in unit.entries:
                path = self._path(entry)
                descriptor = self._disk.open(path)
                try:
                    self._disk.sync(descriptor)
                finally:
                    self._disk.close(descriptor)
                folders.add(os.path.dirname(path))
        for folder in sorted(folders):
            self._disk.sync_folder(folder)

    def settle(self) -> None:
        """Wait until all that arrived is on disk and told. Raises: what failed on the way."""
        with self._changed:
            while self._arrived or self._committing:
                self._changed.wait(1.0)
            self._raise_failure()

    # What the disk says.

    def confirm(self, roots: Mapping[int, bytes]) -> None:
        """Read all of it back from the disk, and hold it against the source's roots.

        Several threads read, a window of chunks at a time. What is not as it was sent is forgotten,
        so that the next attempt sends it anew. Raises: IntegrityError.
        """
        self.settle()
        with self._changed:
            self._journal.load()
        if set(roots) != set(self._by_index):
            raise IntegrityError("The roots to confirm are not those of the listing.")
        for unit in self.units:
            ranges = self._journal.received.get(unit.index)
            if ranges is None or ranges.total != chunk_count(unit.size, self._chunk_bytes):
                raise IntegrityError(f"Of {self._name(unit)} not every chunk arrived.")
        wrong = [unit for unit, root in self._roots_on_disk() if not self._is(unit, root, roots)]
        if wrong:
            with self._writing, self._changed:
                self._journal.forget({unit.index for unit in wrong})
            names = ", ".join(self._name(unit) for unit in wrong[:3])
            more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
            raise IntegrityError(f"What was written as {names}{more} is not what was sent.")

    def _is(self, unit: Unit, root: bytes, roots: Mapping[int, bytes]) -> bool:
        if root != roots[unit.index]:
            return False
        if not unit.is_pack:
            keep_root(self._path(unit.entries[0]), unit.entries[0], root, self._chunk_bytes)
        return True

    def _roots_on_disk(self) -> Iterator[tuple[Unit, bytes]]:
        """Each unit with its root, as the disk has it now."""
        chunks = (
            (unit, chunk)
            for unit in self.units
            for chunk in range(chunk_count(unit.size, self._chunk_bytes))
        )
        with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
            whole = None
            while window := list(islice(chunks, READ_WINDOW)):
                for (unit, chunk), digest in zip(
                    window, pool.map(self._read_back, window), strict=True
                ):
                    if unit.is_pack:
                        yield unit, digest
                        continue
                    if chunk == 0:
                        whole = RootDigest(unit.size)
                    if whole is None:
                        raise IntegrityError("a root was begun in its middle")
                    whole.add(digest)
                    if chunk + 1 == chunk_count(unit.size, self._chunk_bytes):
                        yield unit, whole.digest()

    def _read_back(self, place: tuple[Unit, int]) -> bytes:
        """The digest of a chunk as the disk has it now; a pack's files keep their roots."""
        unit, chunk = place
        buffer = memoryview(bytearray(min(_READ_BYTES, unit.size)))
        if unit.is_pack:
            return pack_root(unit, [self._file_root(entry, buffer) for entry in unit.entries])
        offset = chunk * self._chunk_bytes
        size = min(self._chunk_bytes, unit.size - offset)
        whole = blake3()
        with self._open.descriptor(unit) as descriptor:
            self._disk.forget(descriptor, offset, size)
            for start in range(0, size, _READ_BYTES):
                view = buffer[: min(_READ_BYTES, size - start)]
                read_into(descriptor, view, offset + start)
                whole.update(view)
        return whole.digest()

    def _file_root(self, entry: Entry, buffer: memoryview) -> bytes:
        path = self._path(entry)
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            self._disk.forget(descriptor, 0, entry.size)
            view = buffer[: entry.size]
            read_into(descriptor, view, 0)
            root = root_digest([chunk_digest(view)], entry.size)
            keep_root(descriptor, entry, root, self._chunk_bytes)
        finally:
            os.close(descriptor)
        return root

    def _name(self, unit: Unit) -> str:
        return os.fsdecode(unit.entries[0].path) or "the file"

    # After the last byte.

    def place(self, final: bytes) -> None:
        """Put the tree in its place, as `Staging.place`; the folder is gone afterwards.

        Killed in the middle, it is done again by the next one who opens the folder: `is_placing`.
        """
        self.close()
        marker = os.path.join(self.folder, _PLACING)
        again = self.is_placing
        try:
            if not again:
                self._disk.close(self._disk.create(marker))
                self._disk.sync_folder(self.folder)
        except OSError as error:
            raise TransferFailed(f"the destination cannot be placed: {error.strerror}") from error
        try:
            self._staging.place(final, again=again, dressed=self._dressed)
        except InputError:
            # Something came to stand there: nothing was placed, and it may be elsewhere.
            if not again:
                self._disk.unlink(marker)
            raise

    @property
    def is_placing(self) -> bool:
        """Whether all was confirmed before, and putting it in its place was begun."""
        return is_placing(self.folder)

    def close(self) -> None:
        """Stop; what arrived stays for the next attempt."""
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._changed.notify_all()
        self._committer.join()
        self._journal.close()
        self._open.close()
