"""What is done to files that must last: every effect through one small surface.

A test replaces it by a recorder and plays each prefix of what was done again, without what was not
yet brought to disk: so a power cut at any boundary is tried, not argued about.
"""

from __future__ import annotations

import contextlib
import ctypes
import os

_LIBC = ctypes.CDLL(None, use_errno=True)


# File systems whose pages are all that there is: nothing is ever brought further.
_IN_MEMORY = ("tmpfs", "ramfs")


def is_in_memory(path: bytes) -> bool:
    """Whether what `path` names is on a file system without a disk beneath it."""
    about = os.stat(path).st_dev
    wanted = f"{os.major(about)}:{os.minor(about)}"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            left, _, right = line.partition(" - ")
            if left.split(" ", 3)[2] == wanted:
                return right.split(" ", 1)[0] in _IN_MEMORY
    return False


def own_umask() -> int:
    """The bits that this process's new files do not get, asked without changing them."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    return 0o777


class Disk:
    """The real one. Paths are bytes; every call raises OSError."""

    def create(self, path: bytes, *, exclusive: bool = True, mode: int = 0o600) -> int:
        """A new file, open for reading and writing; `exclusive`: it must be new."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.open(path, flags | (os.O_EXCL if exclusive else 0), mode)

    def open(self, path: bytes) -> int:
        """An existing file, open for reading and writing; links are not followed."""
        return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)

    def close(self, descriptor: int) -> None:
        """Close; what was written and not synced may still be lost."""
        os.close(descriptor)

    def allocate(self, descriptor: int, size_bytes: int) -> None:
        """Make the file that long, with room for all of it on the disk."""
        os.posix_fallocate(descriptor, 0, size_bytes)

    def stretch(self, descriptor: int, size_bytes: int) -> None:
        """Make the file that long, with holes."""
        os.ftruncate(descriptor, size_bytes)

    def write(self, descriptor: int, view: memoryview | bytes, offset: int) -> None:
        """All of `view` at `offset`."""
        done = os.pwrite(descriptor, view, offset)
        while done < len(view):
            done += os.pwrite(descriptor, view[done:], offset + done)

    def sync(self, descriptor: int) -> None:
        """Bring the file's bytes and length to disk."""
        os.fdatasync(descriptor)

    def sync_all(self, path: bytes) -> None:
        """Bring everything of the file system that holds the folder `path` to disk."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if _LIBC.syncfs(descriptor) != 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        finally:
            os.close(descriptor)

    def sync_folder(self, path: bytes) -> None:
        """Bring the names in a folder to disk."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def forget(self, descriptor: int, offset: int, size_bytes: int) -> None:
        """Drop those bytes from the page cache: what is read next comes from the disk."""
        with contextlib.suppress(OSError):  # advice: a file system may not take it
            os.posix_fadvise(descriptor, offset, size_bytes, os.POSIX_FADV_DONTNEED)

    def make_folder(self, path: bytes) -> None:
        """A new folder of mode 0700."""
        os.mkdir(path, 0o700)

    def symlink(self, target: bytes, path: bytes) -> None:
        """A new symbolic link."""
        os.symlink(target, path)

    def link(self, path: bytes, new: bytes) -> None:
        """A second name for a file; never overwrites."""
        os.link(path, new)

    def rename(self, path: bytes, new: bytes) -> None:
        """Another name; overwrites a file."""
        os.rename(path, new)

    def unlink(self, path: bytes) -> None:
        """Remove a file's name."""
        os.unlink(path)

    def dress(self, path: bytes, *, mode: int | None, mtime_ns: int) -> None:
        """Mode (None: a link's, which has none) and time of change, of a name that stands."""
        if mode is not None:
            os.chmod(path, mode)
        os.utime(path, ns=(mtime_ns, mtime_ns), follow_symlinks=mode is not None)
