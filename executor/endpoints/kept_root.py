"""The root digest that is kept with a file, in an attribute of it, and what it says later.

`user.tradewind.root` holds `v1 CHUNK_BYTES MTIME_NS ROOT`: so later rot (other bytes, same time) is
told from an edit (another time).
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from enum import Enum

from executor.endpoints.local import Entry, file_digests, root_digest

ROOT_ATTRIBUTE = b"user.tradewind.root"


class Standing(str, Enum):
    """What a file's kept root says of it."""

    WHOLE = "whole"
    ROTTEN = "rotten"  # other bytes than were confirmed, and nobody changed it
    EDITED = "edited"  # changed since, by its time or size
    UNKNOWN = "unknown"  # nothing was kept with it


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRoot:
    """What was confirmed of a file when it arrived."""

    chunk_bytes: int
    mtime_ns: int
    root: bytes

    def as_bytes(self) -> bytes:
        """As the attribute holds it."""
        return b"v1 %d %d %s" % (self.chunk_bytes, self.mtime_ns, self.root.hex().encode())


def keep_root(file: bytes | int, entry: Entry, root: bytes, chunk_bytes: int) -> None:
    """Keep a root with a file, a path or a descriptor, where its file system takes attributes."""
    value = KeptRoot(chunk_bytes=chunk_bytes, mtime_ns=entry.mtime_ns, root=root).as_bytes()
    with contextlib.suppress(OSError):  # not every file system has them
        if isinstance(file, int):
            os.setxattr(file, ROOT_ATTRIBUTE, value)
        else:
            os.setxattr(file, ROOT_ATTRIBUTE, value, follow_symlinks=False)


def kept_root(path: bytes) -> KeptRoot | None:
    """What is kept with a file; None if nothing of a form that is known."""
    try:
        words = os.getxattr(path, ROOT_ATTRIBUTE, follow_symlinks=False).split()
        if len(words) == 4 and words[0] == b"v1":
            return KeptRoot(
                chunk_bytes=int(words[1]),
                mtime_ns=int(words[2]),
                root=bytes.fromhex(words[3].decode()),
            )
    except (OSError, ValueError):  # no attributes there, or somebody else's
        return None
    return None


def standing_of(path: bytes) -> Standing:
    """Read a file from its disk and hold it against its kept root. Raises: OSError."""
    kept = kept_root(path)
    if kept is None or kept.chunk_bytes <= 0:
        return Standing.UNKNOWN
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        about = os.fstat(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        found = root_digest(
            file_digests(descriptor, about.st_size, kept.chunk_bytes), about.st_size
        )
    finally:
        os.close(descriptor)
    if found == kept.root:
        return Standing.WHOLE
    return Standing.ROTTEN if about.st_mtime_ns == kept.mtime_ns else Standing.EDITED
