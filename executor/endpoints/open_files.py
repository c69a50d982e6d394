"""Files that are open while their units come: so many and no more, however long the listing."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from executor.endpoints.disk import Disk
from executor.endpoints.units import Unit

MOST_OPEN = 256


@dataclass(slots=True)
class _Opened:
    descriptor: int
    users: int = 0


class OpenFiles:
    """Descriptors by unit; who was used longest ago is closed, but none in use. Thread-safe."""

    def __init__(self, disk: Disk, path_of: Callable[[Unit], bytes]) -> None:
        self._disk = disk
        self._path_of = path_of
        self._files: OrderedDict[int, _Opened] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def descriptor(self, unit: Unit) -> Iterator[int]:
        """The unit's file, open until this is left at least. Raises: OSError."""
        with self._lock:
            found = self._files.get(unit.index)
            if found is None:
                found = self._files[unit.index] = _Opened(self._disk.open(self._path_of(unit)))
            self._files.move_to_end(unit.index)
            found.users += 1
        try:
            yield found.descriptor
        finally:
            with self._lock:
                found.users -= 1
                self._close_idle(MOST_OPEN)

    def _close_idle(self, most: int) -> None:
        idle = [index for index, opened in self._files.items() if not opened.users]
        for index in idle[: max(len(self._files) - most, 0)]:
            self._disk.close(self._files.pop(index).descriptor)

    def close(self) -> None:
        """Close all that nobody uses."""
        with self._lock:
            self._close_idle(0)
