"""Canonical JSON and digests: the same content gives the same bytes, and so the same id.

Keys are sorted, there is no white space, and a float is written as Python's shortest repr, which
every supported version shares. Callers round to the decimal places that their schema states,
so that the last bits of an arithmetic never reach an id.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]

DIGEST_LENGTH = 32


def rounded(value: float, places: int) -> float:
    """`value` at `places` decimals, never -0.0. Raises: ValueError if it is not finite."""
    if not math.isfinite(value):
        raise ValueError(f"{value} has no canonical form")
    return round(float(value), places) + 0.0


def canonical_json(value: Json) -> bytes:
    """UTF-8 JSON with sorted keys and no white space. Raises: ValueError on NaN and infinity."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def digest(value: Json) -> str:
    """The first 32 hexadecimal digits of SHA-256 over `canonical_json(value)`.

    It guards against accident, not against a forger.
    """
    return digest_of_bytes(canonical_json(value))


def digest_of_bytes(data: bytes) -> str:
    """The first 32 hexadecimal digits of SHA-256 over `data`."""
    return hashlib.sha256(data).hexdigest()[:DIGEST_LENGTH]
