"""A site's index: where each transfer's state stands, for every worker of the site to find.

One small file a transfer in a hidden folder of the root, on disk before the transfer is told of.
"""

from __future__ import annotations

import contextlib
import json
import os

from datasets.canonical import canonical_json
from datasets.errors import TransferFailed
from executor.endpoints.disk import Disk
from executor.endpoints.listing import HIDDEN_PREFIX

FOLDER = HIDDEN_PREFIX + b"transfers"


class Index:
    """`transfer`: (what it is, its path within the root). Safe between threads and processes."""

    def __init__(self, root: bytes, disk: Disk | None = None) -> None:
        self._folder = os.path.join(root, FOLDER)
        self._disk = disk or Disk()
        with contextlib.suppress(OSError):  # a folder that is only read from
            self._disk.make_folder(self._folder)

    def put(self, transfer: bytes, kind: str, path: str) -> None:
        """Raises: TransferFailed."""
        data = canonical_json([kind, path])
        try:
            new = self._path(transfer) + b"." + os.urandom(4).hex().encode()
            descriptor = self._disk.create(new)
            try:
                self._disk.write(descriptor, data, 0)
                self._disk.sync(descriptor)
            finally:
                self._disk.close(descriptor)
            self._disk.rename(new, self._path(transfer))
            self._disk.sync_folder(self._folder)
        except OSError as error:
            raise TransferFailed(f"the site cannot keep its index: {error.strerror}") from error

    def find(self, transfer: bytes) -> tuple[str, str] | None:
        """(kind, path), or None where nothing is known of it."""
        try:
            with open(self._path(transfer), "rb") as file:
                kind, path = json.loads(file.read())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise TransferFailed("the site's index cannot be read") from error
        return str(kind), str(path)

    def drop(self, transfer: bytes) -> None:
        """Forget it; harmless when repeated."""
        with contextlib.suppress(FileNotFoundError):
            self._disk.unlink(self._path(transfer))

    def drop_others(self, transfer: bytes) -> None:
        """Forget what came to the same place from another source: the first half names the place.

        What it left there is removed by `partial_folder`.
        """
        mine = transfer.hex().encode()
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self._folder):
                if name.startswith(mine[:16]) and not name.startswith(mine):
                    with contextlib.suppress(FileNotFoundError):
                        self._disk.unlink(os.path.join(self._folder, name))

    def drop_stale(self, before_unix_s: float) -> None:
        """Forget offers that were made before that time: their sessions have expired."""
        with contextlib.suppress(FileNotFoundError):
            for entry in list(os.scandir(self._folder)):
                transfer = entry.name.split(b".")[0]
                if entry.stat().st_mtime < before_unix_s and self._is_offer(transfer):
                    self._disk.unlink(entry.path)

    def _is_offer(self, transfer: bytes) -> bool:
        known = self.find(bytes.fromhex(transfer.decode()))
        return known is not None and known[0] == "offer"

    def _path(self, transfer: bytes) -> bytes:
        return os.path.join(self._folder, transfer.hex().encode())
