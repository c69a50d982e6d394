"""Files written whole or not at all, and JSON files that carry a schema version and a digest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datasets.canonical import Json, canonical_json, digest
from datasets.errors import DataError, InputError


def write_whole(path: Path, data: bytes, *, what: str) -> None:
    """Write a file, whole or not at all. Raises: InputError, naming `what`, if it cannot be."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        raise InputError(f"Cannot write the {what} to {path}: {error.strerror}.") from error


def write_json(path: Path, value: Mapping[str, Json], *, what: str) -> None:
    """The same of canonical JSON, on one line."""
    write_whole(path, canonical_json(dict(value)) + b"\n", what=what)


def read_json(path: Path, *, what: str) -> Any:
    """What a JSON file holds. Raises: InputError if it cannot be read, DataError if it is none."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"Cannot read the {what} {path}: {error.strerror}.") from error
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataError(f"The {what} file {path} is empty or damaged: it is not JSON.") from error


def checked_content(
    value: object, *, what: str, version: int, key: str, advice: str
) -> dict[str, Any]:
    """The content of a JSON object whose `schema_version` is `version`, and `key` its digest.

    `advice` says what to do about one that is not so. Raises: DataError, in one sentence.
    """
    if not isinstance(value, dict):
        raise DataError(f"A {what} is a JSON object; this is not.")
    if value.get("schema_version") != version:
        raise DataError(
            f"The {what}'s schema version is {value.get('schema_version')!r}; this tradewind "
            f"reads version {version}. {advice}"
        )
    content = {name: entry for name, entry in value.items() if name != key}
    try:
        found = digest(content)
    except ValueError as error:
        raise DataError(f"The {what} holds what no {what} holds: {error}.") from error
    if value.get(key) != found:
        raise DataError(
            f"The {what} no longer matches its {key}: it was changed or cut short. {advice}"
        )
    return content
