"""What a copy remembers on disk while it is under way: lines of JSON, each written whole.

The first line says what the notes are about; a line that a kill cut short is no line. One process
at a time holds them.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path

from datasets.errors import InputError, TransferFailed

Line = Mapping[str, str | int]


class Notes:
    """Notes in a file. Those about something else are discarded when they are opened."""

    def __init__(self, path: Path, about: Line) -> None:
        """Open, or begin. Raises: InputError if another process holds them, TransferFailed."""
        self._path = path
        self._lock = threading.Lock()
        self.about: dict[str, str | int] = dict(about)
        self.lines: list[dict[str, str | int]] = []
        # What stood there about something else: the caller may have to clean up after it.
        self.discarded: list[dict[str, str | int]] = []
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise TransferFailed(f"Cannot keep notes in {path}: {error.strerror}.") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            raise InputError("The same copy is already under way in another process.") from error
        found = _whole_lines(self._descriptor)
        if found and all(found[0].get(name) == about[name] for name in about):
            self.about, self.lines = found[0], found[1:]
            self._cut(found)
        else:
            self.discarded = found
            self.begin(about)

    def begin(self, about: Line) -> None:
        """Forget what stood there; these notes are about this now."""
        self.about, self.lines = dict(about), []
        self._cut([self.about])

    def _cut(self, lines: list[dict[str, str | int]]) -> None:
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        _write(self._descriptor, b"".join(json.dumps(line).encode() + b"\n" for line in lines))

    def add(self, line: Line) -> None:
        """Write one more line."""
        with self._lock:
            _write(self._descriptor, json.dumps(dict(line)).encode() + b"\n")

    def remove(self) -> None:
        """The copy is over: nothing is to be remembered."""
        self._path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Leave the notes for the next time."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _write(descriptor: int, text: bytes) -> None:
    view = memoryview(text)
    while view:
        view = view[os.write(descriptor, view) :]


def _whole_lines(descriptor: int) -> list[dict[str, str | int]]:
    size = os.fstat(descriptor).st_size
    text = os.pread(descriptor, size, 0)
    found = []
    for line in text.split(b"\n")[:-1]:
        try:
            parsed = json.loads(line)
        except ValueError:
            break
        if not isinstance(parsed, dict):
            break
        found.append(parsed)
    return found
