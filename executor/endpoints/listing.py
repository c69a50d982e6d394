"""Listings that travel: entries as rows of a document, and checked again where they arrive.

A transfer's id, and the name of the hidden folder in which it comes, follow from its listing.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

from blake3 import blake3

from datasets.canonical import Json, canonical_json
from datasets.errors import TransferFailed
from executor.endpoints.local import Entry, EntryKind

HIDDEN_PREFIX = b".tradewind-"
PARTIAL_PREFIX = HIDDEN_PREFIX + b"partial-"


def listing_document(entries: Sequence[Entry]) -> list[Json]:
    """Entries as rows of JSON: path, kind, size, mode, time, target (bytes as Latin-1)."""
    return [
        [
            entry.path.decode("latin-1"),
            int(entry.kind),
            entry.size,
            entry.mode,
            entry.mtime_ns,
            entry.target.decode("latin-1"),
        ]
        for entry in entries
    ]


def entries_of(document: object) -> tuple[Entry, ...]:
    """The entries of a `listing_document`, checked: what came from elsewhere is not trusted.

    Raises: TransferFailed if it is none, a path leaves the root or goes through what is no folder
    of the same listing, or a name comes twice.
    """
    if not isinstance(document, list) or not document:
        raise TransferFailed("a listing is a list of entries, with the root first")
    entries = tuple(_entry_of(index, row) for index, row in enumerate(document))
    folders = {entry.path for entry in entries if entry.kind is EntryKind.FOLDER}
    if entries[0].path or (len(entries) > 1 and b"" not in folders):
        raise TransferFailed("a listing begins with its root, a folder if there is more")
    seen: set[bytes] = set()
    for entry in entries:
        _check_path(entry, folders)
        if entry.path in seen:
            raise TransferFailed(f"a listing names {os.fsdecode(entry.path)!r} twice")
        seen.add(entry.path)
    return entries


def _entry_of(index: int, row: object) -> Entry:
    if not isinstance(row, list) or len(row) != 6:
        raise TransferFailed(f"entry {index} of a listing has not the six fields of one")
    path, kind, size, mode, mtime_ns, target = row
    numbers = (kind, size, mode, mtime_ns)
    if not (isinstance(path, str) and isinstance(target, str)) or not all(
        isinstance(number, int) and not isinstance(number, bool) for number in numbers
    ):
        raise TransferFailed(f"entry {index} of a listing has a field of the wrong type")
    if kind not in EntryKind._value2member_map_ or not 0 <= size < 1 << 63:
        raise TransferFailed(f"entry {index} of a listing is of no known kind, or size")
    if not 0 <= mode <= 0o7777 or abs(mtime_ns) >= 1 << 63:
        raise TransferFailed(f"entry {index} of a listing has an impossible mode or time")
    try:
        path_bytes, target_bytes = path.encode("latin-1"), target.encode("latin-1")
    except UnicodeEncodeError as error:
        raise TransferFailed(f"entry {index} of a listing has a path that is no bytes") from error
    return Entry(
        index=index,
        path=path_bytes,
        kind=EntryKind(kind),
        size=size if kind == EntryKind.FILE else 0,
        # What runs as another user is not made by a transfer.
        mode=mode & 0o1777,
        mtime_ns=mtime_ns,
        target=target_bytes,
    )


def _check_path(entry: Entry, folders: set[bytes]) -> None:
    names = entry.path.split(b"/") if entry.path else []
    if any(name in (b"", b".", b"..") or b"\0" in name for name in names):
        raise TransferFailed(f"a listing's path {os.fsdecode(entry.path)!r} is no plain one")
    if names and b"/".join(names[:-1]) not in folders:
        raise TransferFailed(f"{os.fsdecode(entry.path)!r} lies in no folder of its listing")
    if entry.kind is EntryKind.LINK and leaves_root(entry.path, entry.target):
        raise TransferFailed(
            f"the link {os.fsdecode(entry.path)!r} leads out of what is moved, to "
            f"{os.fsdecode(entry.target)!r}"
        )


def transfer_id(place: str, entries: Sequence[Entry], chunk_bytes: int) -> bytes:
    """16 bytes that name what comes where: the first half by the place, the other by the source.

    The same command run again has the same; a source that changed has another in the same place.
    """
    where = blake3(os.fsencode(place)).digest(length=8)
    about = canonical_json([place, chunk_bytes, listing_document(entries)])
    return where + blake3(about).digest(length=8)


def partial_name(transfer: bytes) -> bytes:
    """The name of the hidden folder in which a transfer comes."""
    return PARTIAL_PREFIX + transfer.hex().encode()


def partial_folder(folder: bytes, transfer: bytes) -> bytes:
    """The hidden folder of a transfer in `folder`; what another source left there is removed."""
    name = partial_name(transfer)
    for other in os.listdir(folder):
        if other.startswith(name[: -len(transfer)]) and not other.startswith(name):
            shutil.rmtree(os.path.join(folder, other), ignore_errors=True)
    return os.path.join(folder, name)


def leaves_root(path: bytes, target: bytes) -> bool:
    """Whether a link at `path` (relative to the root) to `target` leads out of the root."""
    if target.startswith(b"/") or b"\0" in target or not target:
        return True
    depth = path.count(b"/")
    for name in target.split(b"/"):
        if name == b"..":
            depth -= 1
            if depth < 0:
                return True
        elif name not in (b"", b"."):
            depth += 1
    return False
