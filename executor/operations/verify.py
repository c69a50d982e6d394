"""`tradewind verify`: later rot of what was copied, by the roots that are kept with files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from datasets.errors import InputError
from executor.endpoints.kept_root import Standing, standing_of
from executor.endpoints.local import EntryKind, list_source


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """How many files stand how, and the names of those that are not as they were."""

    counts: dict[Standing, int]
    rotten: tuple[str, ...]
    edited: tuple[str, ...]
    size_bytes: int


def verify(
    paths: Iterable[Path], observe: Callable[[int, int], None] = lambda done, total: None
) -> Verified:
    """Read every file under `paths`. Raises: InputError if one cannot be read."""
    files = [
        (os.path.join(os.fsencode(path), entry.path) if entry.path else os.fsencode(path), entry)
        for path in paths
        for entry in list_source(path)
        if entry.kind is EntryKind.FILE
    ]
    total_bytes = sum(entry.size for _, entry in files)
    found: dict[Standing, list[str]] = {standing: [] for standing in Standing}
    done_bytes = 0
    for path, entry in files:
        try:
            found[standing_of(path)].append(os.fsdecode(path))
        except OSError as error:
            raise InputError(f"Cannot read {os.fsdecode(path)}: {error.strerror}.") from error
        done_bytes += entry.size
        observe(done_bytes, total_bytes)
    return Verified(
        counts={standing: len(names) for standing, names in found.items()},
        rotten=tuple(found[Standing.ROTTEN]),
        edited=tuple(found[Standing.EDITED]),
        size_bytes=total_bytes,
    )
