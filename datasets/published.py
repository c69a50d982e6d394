"""The folder of published files: finds them, reads them, and says where each is from.

Laid out as `README.md` (a table: file, commit, path there, rows), `raw/<file>.csv.gz`, and the
tables put together from other public material beside it.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from datasets.errors import DataError

_THROUGHPUT = re.compile(r"throughput_(?:[a-z]+_)?(\d{4}-\d{2}-\d{2})")
_PRICE = re.compile(r"price_(\d{4}-\d{2}-\d{2})")
_ORIGIN = re.compile(r"\|\s*(\w[\w.-]*)\s*\|\s*([0-9a-f]{7,40})\s*\|\s*(\S+)\s*\|\s*([\d,]+)\s*\|")
REPOSITORY = "github.com/skyplane-project/skyplane"
LICENCE = "Apache-2.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One published file: its rows as found, its columns, its origin and its digest."""

    name: str
    commit: str
    path: str
    sha256: str
    columns: tuple[str, ...]
    rows: tuple[Mapping[str, str], ...]

    def origin(self) -> dict[str, str | int]:
        """For a provenance: where it is from; no local path."""
        return {
            "repository": REPOSITORY,
            "commit": self.commit,
            "path": self.path,
            "licence": LICENCE,
            "file": self.name,
            "sha256": self.sha256,
            "rows": len(self.rows),
        }


class PublishedFolder:
    """The folder given to `tradewind matrix compile`.

    Raises: DataError if it is not one, or lacks a raw file that its README.md lists.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            text = (folder / "README.md").read_text(encoding="utf-8")
            self.names = sorted(file.name[:-7] for file in (folder / "raw").glob("*.csv.gz"))
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(
                f"{folder} is not a folder of published files: it needs README.md and raw/."
            ) from error
        self._origins = {
            m[1]: (m[2], m[3], int(m[4].replace(",", ""))) for m in _ORIGIN.finditer(text)
        }
        if not self.names:
            raise DataError(f"{folder}/raw holds no .csv.gz file.")
        missing = sorted(set(self._origins) - set(self.names))
        if missing:
            raise DataError(f"{folder}/raw lacks {missing[0]}.csv.gz, which README.md lists.")

    def epochs(self) -> dict[str, str]:
        """Date of each throughput epoch and the file that holds it, oldest first."""
        return self._dated(_THROUGHPUT)

    def price_books(self) -> dict[str, str]:
        """Date of each price book and its file, oldest first."""
        return self._dated(_PRICE)

    def _dated(self, pattern: re.Pattern[str]) -> dict[str, str]:
        found = {}
        for name in self.names:
            match = pattern.fullmatch(name)
            if match:
                found[match.group(1)] = name
        return dict(sorted(found.items()))

    def named(self, prefix: str) -> str:
        """The one raw file whose name starts with `prefix`. Raises: DataError."""
        found = [name for name in self.names if name.startswith(prefix)]
        if len(found) != 1:
            raise DataError(f"{self._folder}/raw needs one file {prefix}*, and has {len(found)}.")
        return found[0]

    def raw(self, name: str) -> Published:
        """A raw file. Raises: DataError if it is missing, damaged, or not as README.md says."""
        file = self._folder / "raw" / f"{name}.csv.gz"
        try:
            packed = file.read_bytes()
            text = gzip.decompress(packed).decode()
        except (OSError, EOFError, ValueError) as error:
            raise DataError(f"{file} is missing or damaged.") from error
        if name not in self._origins:
            raise DataError(f"{self._folder}/README.md does not say where {name} is from.")
        commit, path, stated = self._origins[name]
        reader = csv.DictReader(io.StringIO(text))
        rows = tuple(dict(row) for row in reader)
        if len(rows) != stated:
            raise DataError(f"{file} has {len(rows)} rows; README.md says {stated}.")
        return Published(
            name=name,
            commit=commit,
            path=path,
            sha256=hashlib.sha256(packed).hexdigest(),
            columns=tuple(reader.fieldnames or ()),
            rows=rows,
        )

    def table(self, name: str) -> list[dict[str, str]]:
        """A compiled table beside `raw/`. Raises: DataError if it is missing or damaged."""
        file = self._folder / f"{name}.csv"
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{file} is missing or damaged.") from error
        return [dict(row) for row in csv.DictReader(io.StringIO(text))]


def number(text: str, *, file: str, row: int, column: str) -> float:
    """A published figure. Raises: DataError naming file, row (1 is the first) and column."""
    try:
        return float(text)
    except (TypeError, ValueError) as error:
        raise DataError(f"{file}, row {row}, {column}: {text!r} is not a number.") from error
