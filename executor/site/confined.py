"""A folder that cannot be left: every name is resolved beneath its descriptor, by the kernel.

`openat2` with RESOLVE_BENEATH refuses `..` and links that lead out, also where somebody moves
things meanwhile. Where a kernel lacks it, names are walked one by one, and links are not followed.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from datasets.errors import InputError
from executor.endpoints.listing import HIDDEN_PREFIX

_SYS_OPENAT2 = 437
_RESOLVE_BENEATH = 0x08
_RESOLVE_NO_MAGICLINKS = 0x02
_HOW = struct.Struct("QQQ")
_LIBC = ctypes.CDLL(None, use_errno=True)
_LEFT = (errno.EXDEV, errno.ELOOP)


class ConfinedRoot:
    """The folder that a site serves. Safe between threads; never closed while the site lives."""

    def __init__(self, root: Path, *, walk: bool = False) -> None:
        """`walk`: do without openat2. Raises: InputError if it is no folder."""
        try:
            self._descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise InputError(f"Cannot serve the folder {root}: {error.strerror}.") from error
        self._walk = walk or not self._has_openat2()

    @property
    def way(self) -> bytes:
        """A way to the root itself, by its descriptor."""
        return b"/proc/self/fd/%d" % self._descriptor

    @property
    def confinement(self) -> str:
        """By what names are confined: "openat2" or "walk"."""
        return "walk" if self._walk else "openat2"

    def _has_openat2(self) -> bool:
        try:
            os.close(self._openat2(b".", os.O_RDONLY | os.O_DIRECTORY))
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.EPERM):
                raise
            return False
        return True

    def _openat2(self, path: bytes, flags: int) -> int:
        how = _HOW.pack(flags | os.O_CLOEXEC, 0, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS)
        found: int = _LIBC.syscall(_SYS_OPENAT2, self._descriptor, path, how, len(how))
        if found < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return found

    def _walked(self, names: list[bytes], flags: int) -> int:
        at = os.dup(self._descriptor)
        try:
            for number, name in enumerate(names):
                last = number == len(names) - 1
                step = flags if last else os.O_RDONLY | os.O_DIRECTORY
                below = os.open(name, step | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
                os.close(at)
                at = below
        except OSError:
            os.close(at)
            raise
        return at

    def open(self, path: str, flags: int) -> int:
        """A descriptor of what `path` names. Raises: InputError if it leads out; OSError."""
        names = names_of(path)
        try:
            if self._walk:
                return self._walked(names, flags)
            return self._openat2(b"/".join(names) or b".", flags)
        except OSError as error:
            if error.errno in _LEFT:
                raise InputError(
                    f"{path} leads out of the folder that is served, or by way of a link."
                ) from error
            raise

    def folder_of(self, path: str) -> tuple[int, bytes]:
        """(descriptor of the folder that holds `path`, the last name); the root itself has none.

        By the descriptor it stays that folder whatever is renamed meanwhile; it is the caller's to
        close. Raises: InputError if the folder is missing or leads out.
        """
        names = names_of(path)
        above = os.fsdecode(b"/".join(names[:-1]))
        try:
            descriptor = self.open(above, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise InputError(
                f"The folder of {path} cannot be used: {error.strerror}; make it first."
            ) from error
        return descriptor, names[-1] if names else b""

    def is_folder(self, path: str) -> bool:
        """Whether `path` names a folder that stands. Raises: InputError if it leads out."""
        try:
            os.close(self.open(path, os.O_RDONLY | os.O_DIRECTORY))
        except OSError:  # missing, a file, or not ours to read: said where it is used
            return False
        return True

    @contextmanager
    def reading(self, path: str) -> Iterator[bytes]:
        """A way to the file or folder that `path` names. Raises: InputError."""
        try:
            descriptor = self.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            raise InputError(f"Cannot read {path}: {error.strerror}.") from error
        try:
            kind = os.fstat(descriptor).st_mode
            if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
                raise InputError(f"{path} is a device, pipe or socket; only files are served.")
            yield b"/proc/self/fd/%d" % descriptor
        finally:
            os.close(descriptor)


def names_of(path: str) -> list[bytes]:
    """The names in a path within the root. Raises: InputError where there is none such."""
    whole = os.fsencode(path)
    names = [name for name in whole.split(b"/") if name]
    if whole.startswith(b"/") or b".." in names or b"\0" in whole:
        raise InputError(f"{path!r} is no path within the folder that is served.")
    names = [name for name in names if name != b"."]
    if any(name.startswith(HIDDEN_PREFIX) for name in names):
        raise InputError(f"{path} is a name that tradewind keeps for itself.")
    return names
