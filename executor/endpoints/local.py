"""Local files and folders as source and destination.

A destination is built whole in a hidden staging folder beside it, read back from disk, compared,
and only then put in its place by operations that cannot overwrite. What is killed on the way
leaves the staging folder alone, which the ledger knows.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from blake3 import blake3

from datasets.errors import InputError, TransferFailed
from datasets.units import render_size
from executor.endpoints.disk import Disk
from planner.dispatch import chunk_count

# Kept free beside what is written: folders, links and the file system's own needs.
SPARE_BYTES = 16 << 20


class EntryKind(IntEnum):
    """What an entry of a listing is; the same numbers as in `messages.proto`."""

    FILE = 0
    FOLDER = 1
    LINK = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file, folder or symbolic link. `path` is relative to the root, as bytes; empty for the
    root itself. Only files have bytes to move."""

    index: int
    path: bytes
    kind: EntryKind
    size: int
    mode: int
    mtime_ns: int
    target: bytes = b""

    def identity(self, transfer: bytes) -> bytes:
        """16 bytes that change when the file does: a changed source is another object."""
        about = b"\0".join(
            (transfer, self.path, str(self.size).encode(), str(self.mtime_ns).encode())
        )
        return blake3(about).digest(length=16)


def files(entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """The entries that have bytes."""
    return tuple(entry for entry in entries if entry.kind is EntryKind.FILE)


def total_bytes(entries: tuple[Entry, ...]) -> int:
    """Bytes of all files."""
    return sum(entry.size for entry in files(entries))


def list_source(source: Path, *, shown: str = "") -> tuple[Entry, ...]:
    """Every file, folder and link under `source`, in the order of their names; links unfollowed.

    `shown` is what an error calls it. Raises: InputError if it is missing, unreadable, or holds
    something that is none of these.
    """
    root = os.fsencode(source)
    found: list[tuple[bytes, os.stat_result]] = []
    try:
        about = os.stat(root) if os.path.islink(root) else os.lstat(root)
        found.append((b"", about))
        if stat.S_ISDIR(about.st_mode):
            found.extend(_walk(root, b""))
    except OSError as error:
        where = os.fsdecode(error.filename) if error.filename else str(source)
        where = where.replace(str(source), shown, 1) if shown else where
        raise InputError(f"Cannot read the source {where}: {error.strerror}.") from error
    return tuple(
        _entry(index, path, about, root, shown) for index, (path, about) in enumerate(found)
    )


def _walk(root: bytes, inside: bytes) -> Iterator[tuple[bytes, os.stat_result]]:
    with os.scandir(os.path.join(root, inside) if inside else root) as entries:
        children = sorted(entries, key=lambda child: child.name)
    for child in children:
        path = os.path.join(inside, child.name) if inside else child.name
        about = child.stat(follow_symlinks=False)
        yield path, about
        if stat.S_ISDIR(about.st_mode):
            yield from _walk(root, path)


def _entry(index: int, path: bytes, about: os.stat_result, root: bytes, shown: str = "") -> Entry:
    full = os.path.join(root, path) if path else root
    name = os.path.join(shown, os.fsdecode(path)) if shown else os.fsdecode(full)
    mode = stat.S_IMODE(about.st_mode)
    if stat.S_ISREG(about.st_mode):
        if not os.access(full, os.R_OK):
            raise InputError(f"Cannot read the source {name}: Permission denied.")
        kind, size, target = EntryKind.FILE, about.st_size, b""
    elif stat.S_ISDIR(about.st_mode):
        kind, size, target = EntryKind.FOLDER, 0, b""
    elif stat.S_ISLNK(about.st_mode):
        kind, size, target = EntryKind.LINK, 0, os.readlink(full)
    else:
        raise InputError(
            f"The source {name} is a device, pipe or socket; only files, folders and links can "
            "be moved."
        )
    return Entry(
        index=index,
        path=path,
        kind=kind,
        size=size,
        mode=mode,
        mtime_ns=about.st_mtime_ns,
        target=target,
    )


def place_for(
    destination: Path,
    source: Path,
    entries: tuple[Entry, ...],
    *,
    remote: bool = False,
    room: bool = True,
) -> Path:
    """Where the source will stand, checked: nothing overwritten, writable, `room` enough.

    A file sent to an existing folder goes into it under its own name; a folder is merged into an
    existing one if no entry stands there already. `remote`: the source is on another machine.
    Raises: InputError.
    """
    try:
        return _place_for(destination, source, entries, remote, room)
    except OSError as error:
        where = os.fsdecode(error.filename) if error.filename else str(destination)
        raise InputError(f"Cannot use the destination {where}: {error.strerror}.") from error


def _place_for(
    destination: Path, source: Path, entries: tuple[Entry, ...], remote: bool, room: bool
) -> Path:
    single = entries[0].kind is not EntryKind.FOLDER
    final = destination / source.name if single and destination.is_dir() else destination
    folder = check_place(final, entries)
    if room:
        check_space(folder, total_bytes(entries))
    inside = not remote and source.resolve() in (final.resolve(), *final.resolve().parents)
    if inside and not single:
        raise InputError(f"The destination {final} lies inside the source {source}.")
    return final


def check_place(final: Path, entries: tuple[Entry, ...], *, shown: str = "") -> Path:
    """The folder in which `entries` are built before they stand at `final`, which is checked.

    It must be free and writable; `shown` is what an error calls `final`.
    Raises: InputError; OSError where it cannot be looked at.
    """
    single = entries[0].kind is not EntryKind.FOLDER
    # What is written stands in this folder while it comes: an existing one takes it itself.
    folder = final if final.is_dir() else final.parent
    name = shown or str(final)
    above = name if folder == final else os.path.dirname(name) or "that is served"
    if not folder.is_dir():
        raise InputError(f"The destination's folder {above} does not exist; make it first.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"The destination's folder {above} is not writable.")
    if os.path.lexists(final):
        # What is served is reached by a descriptor's link: of no account, unlike a link by name.
        linked = final.is_symlink() and not os.fsencode(final).startswith(b"/proc/self/fd/")
        if single or not final.is_dir() or linked:
            raise InputError(f"{name} exists; nothing is overwritten. Name another destination.")
        for entry in entries[1:]:
            there = os.path.join(os.fsencode(final), entry.path)
            # A link to a folder is no folder: what goes into it would land elsewhere.
            both_folders = entry.kind is EntryKind.FOLDER and _is_folder(there)
            if os.path.lexists(there) and not both_folders:
                raise InputError(
                    f"{os.path.join(name, os.fsdecode(entry.path))} exists; nothing is "
                    "overwritten. Name another destination."
                )
    return folder


def _is_folder(path: bytes) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)


def check_space(folder: Path, size_bytes: int, *, shown: str = "") -> None:
    """Raises: InputError if `folder`'s disk has no room for `size_bytes`."""
    space = os.statvfs(folder)
    free = space.f_bavail * space.f_frsize
    if free < size_bytes + SPARE_BYTES:
        raise InputError(
            f"The disk of {shown or folder} has {render_size(free)} free; the source needs "
            f"{render_size(size_bytes)}, and {render_size(SPARE_BYTES)} are kept free."
        )


class SourceReader:
    """Reads chunks of the listed files, and notices one that changed."""

    def __init__(self, root: bytes, entries: tuple[Entry, ...]) -> None:
        self._root = root
        self._entries = {entry.index: entry for entry in entries}

    def open(self, index: int) -> int:
        """A descriptor of the file. Raises: TransferFailed if it is gone or not as listed."""
        entry = self._entries[index]
        path = os.path.join(self._root, entry.path) if entry.path else self._root
        follow = 0 if not entry.path else os.O_NOFOLLOW
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | follow)
        except OSError as error:
            raise TransferFailed(
                f"the source {os.fsdecode(path)} cannot be read: {error.strerror}"
            ) from error
        try:
            self.check_unchanged(index, descriptor)
        except TransferFailed:
            os.close(descriptor)
            raise
        return descriptor

    def check_unchanged(self, index: int, descriptor: int) -> None:
        """Raises: TransferFailed if the file is no longer the one that was listed."""
        entry = self._entries[index]
        about = os.fstat(descriptor)
        if (about.st_size, about.st_mtime_ns) != (entry.size, entry.mtime_ns):
            name = os.fsdecode(entry.path or self._root)
            raise TransferFailed(f"the source {name} changed while it was being read")


def read_into(descriptor: int, view: memoryview, offset: int) -> None:
    """Fill `view` from `offset`. Raises: TransferFailed at an early end of the file."""
    done = 0
    while done < len(view):
        count = os.preadv(descriptor, [view[done:]], offset + done)
        if count == 0:
            raise TransferFailed("a source file became shorter while it was being read")
        done += count


class Staging:
    """The destination's tree once it is whole, and how it is put in its place."""

    def __init__(
        self, staging: bytes, entries: tuple[Entry, ...], *, disk: Disk | None = None
    ) -> None:
        self._disk = disk or Disk()
        self._tree = os.path.join(staging, b"tree")
        self._staging = staging
        self._entries = entries

    def _path(self, entry: Entry) -> bytes:
        return os.path.join(self._tree, entry.path) if entry.path else self._tree

    def place(self, final: bytes, *, again: bool = False, dressed: Container[int] = ()) -> None:
        """Modes and times as at the source, then the tree into its place; never overwrites.

        `again`: placing was begun before and interrupted; what was placed then stays. `dressed`:
        indices of files that have their modes and times already. Raises: InputError if something
        stands there by now, TransferFailed otherwise.
        """
        try:
            if os.path.lexists(self._tree):
                self._place_tree(final, again=again, dressed=dressed)
            elif not (again and os.path.lexists(final)):
                raise TransferFailed("what was to be placed is gone")
            self._disk.sync_folder(os.path.dirname(final) or b".")
            shutil.rmtree(self._staging)
        except FileExistsError as error:
            raise InputError(
                f"{os.fsdecode(error.filename2 or error.filename)} came to exist meanwhile; "
                "nothing is overwritten."
            ) from error
        except OSError as error:
            raise TransferFailed(f"the destination cannot be placed: {error.strerror}") from error

    def _place_tree(self, final: bytes, *, again: bool, dressed: Container[int]) -> None:
        for entry in reversed(self._entries):
            if entry.index in dressed:
                continue
            path = self._path(entry)
            if entry.path and not (again and not os.path.lexists(path)):
                self._dress(path, entry)
        self._disk.sync_all(self._staging)
        if self._entries[0].kind is not EntryKind.FOLDER:
            self._dress(self._tree, self._entries[0])
            self._move_file(self._tree, final, self._entries[0], again=again)
        elif os.path.lexists(final):
            self._merge(final, again=again)
        else:
            self._disk.rename(self._tree, final)
            self._dress(final, self._entries[0])

    def _dress(self, path: bytes, entry: Entry) -> None:
        mode = None if entry.kind is EntryKind.LINK else entry.mode
        self._disk.dress(path, mode=mode, mtime_ns=entry.mtime_ns)

    def _move_file(self, staged: bytes, final: bytes, entry: Entry, *, again: bool = False) -> None:
        if again and _was_placed(staged, final, entry):
            self._disk.unlink(staged)
            return
        if entry.kind is EntryKind.LINK:
            self._disk.symlink(entry.target, final)
            self._dress(final, entry)
        else:
            self._disk.link(staged, final)
        # The new name is on disk before the old one goes.
        self._disk.sync_folder(os.path.dirname(final) or b".")
        self._disk.unlink(staged)

    def _merge(self, final: bytes, *, again: bool) -> None:
        made = []
        for entry in self._entries[1:]:
            there, staged = os.path.join(final, entry.path), self._path(entry)
            if entry.kind is not EntryKind.FOLDER:
                if again and not os.path.lexists(staged) and os.path.lexists(there):
                    continue
                os.chmod(os.path.dirname(staged), 0o700)
                self._move_file(staged, there, entry, again=again)
            elif not _is_folder(there):
                self._disk.make_folder(there)
                self._disk.sync_folder(os.path.dirname(there))
                made.append((there, entry))
        for there, entry in reversed(made):
            self._dress(there, entry)


def _was_placed(staged: bytes, final: bytes, entry: Entry) -> bool:
    """Whether what stands at `final` was put there from `staged`, which was not removed yet."""
    if not os.path.lexists(final):
        return False
    if entry.kind is EntryKind.LINK:
        return os.path.islink(final) and os.readlink(final) == entry.target
    return os.path.samestat(os.lstat(staged), os.lstat(final))


def chunk_digest(view: memoryview | bytes) -> bytes:
    """BLAKE3 of one chunk's bytes."""
    return blake3(view).digest()


def file_digests(descriptor: int, size: int, chunk_bytes: int) -> Iterator[bytes]:
    """The digest of each chunk of an open file."""
    buffer = memoryview(bytearray(min(chunk_bytes, max(size, 1))))
    for chunk in range(chunk_count(size, chunk_bytes)):
        offset = chunk * chunk_bytes
        view = buffer[: min(chunk_bytes, size - offset)]
        read_into(descriptor, view, offset)
        yield chunk_digest(view)


class RootDigest:
    """An object's root: BLAKE3 over its size and its chunks' digests, added in order."""

    def __init__(self, size: int) -> None:
        self._whole = blake3(b"tradewind root v1" + size.to_bytes(8, "big"))

    def add(self, digest: bytes) -> None:
        """The next chunk's digest."""
        self._whole.update(digest)

    def digest(self) -> bytes:
        """The root, when all were added."""
        found: bytes = self._whole.digest()
        return found


def root_digest(digests: Iterable[bytes], size: int) -> bytes:
    """The root of an object whose chunks have these digests, in order."""
    whole = RootDigest(size)
    for entry in digests:
        whole.add(entry)
    return whole.digest()
