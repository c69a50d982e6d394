"""The project's units: parse at the edge, render for people, convert in between.

Throughput is decimal Gbit/s, sizes are bytes, prices USD per decimal GB and USD an hour, time
seconds. The factors 8, 10^9 and 3600 live here and nowhere else.
"""

from __future__ import annotations

import math
import re

from datasets.errors import InputError

BITS_PER_BYTE = 8
GIGA = 10**9
SECONDS_PER_HOUR = 3600.0
MEBIBYTE = 1 << 20

# Beyond these a figure is a slip of the keyboard: one exabyte, and more than any region's uplink.
MOST_BYTES = 10**18
MOST_GBPS = 100_000.0

_SIZE_FACTORS: dict[str, int] = {
    "B": 1,
    **{prefix + "B": 1000 ** (i + 1) for i, prefix in enumerate(("K", "M", "G", "T", "P", "E"))},
    **{prefix + "iB": 1024 ** (i + 1) for i, prefix in enumerate(("K", "M", "G", "T", "P", "E"))},
}
_SIZE_BY_LOWER = {unit.lower(): factor for unit, factor in _SIZE_FACTORS.items()}
_DURATION_FACTORS = {"s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_QUANTITY = re.compile(r"\s*([0-9][0-9_]*(?:\.[0-9]+)?|\.[0-9]+)\s*([A-Za-z]*)\s*")


def parse_size_bytes(text: str) -> int:
    """Bytes of `1TB` (decimal), `1TiB` (binary) or `17B`; a unit must be given.

    >>> parse_size_bytes("1.5TB"), parse_size_bytes("1KiB")
    (1500000000000, 1024)

    Raises: InputError if the unit is missing or unknown, or the size is not from 1 B to 1 EB.
    """
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise InputError(f"Size {text!r} is not a number with a unit; write for example 500GB.")
    number, unit = match.groups()
    if not unit:
        raise InputError(f"Size {text!r} has no unit; write {text.strip()}GB, {text.strip()}TiB, …")
    factor = _SIZE_BY_LOWER.get(unit.lower())
    if factor is None:
        raise InputError(
            f"Size {text!r} has the unknown unit {unit!r}; use B, KB, MB, GB, TB, PB or KiB to PiB."
        )
    value = float(number.replace("_", "")) * factor
    size_bytes = round(value)
    if not 1 <= size_bytes <= MOST_BYTES:
        raise InputError(f"Size {text!r} is out of range; it must be from 1 B to 1 EB.")
    return size_bytes


def parse_duration_s(text: str) -> float:
    """Seconds of `2h`, `90min`, `45s` or `1d`; a unit must be given.

    Raises: InputError if the unit is missing or unknown, or the time is beyond 10 years.
    """
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise InputError(f"Time {text!r} is not a number with a unit; write for example 2h.")
    number, unit = match.groups()
    if unit.lower() not in _DURATION_FACTORS:
        found = f"the unknown unit {unit!r}" if unit else "no unit"
        raise InputError(f"Time {text!r} has {found}; use s, min, h or d, for example 2h.")
    seconds = float(number.replace("_", "")) * _DURATION_FACTORS[unit.lower()]
    if not 0 < seconds <= 10 * 365 * 86400:
        raise InputError(f"Time {text!r} is out of range; it must be above 0 and at most 10 years.")
    return seconds


def check_quantity(value: float, *, name: str, most: float, least: float = 0.0) -> float:
    """`value` if it is above 0 and within the bounds. Raises: InputError, naming `name`."""
    if math.isfinite(value) and 0 < value < least:
        raise InputError(f"{name} {value:g} is too small; the least is {least:g}.")
    if not math.isfinite(value) or not 0 < value <= most:
        raise InputError(
            f"{name} {value:g} is out of range; it must be above 0 and at most {most:g}."
        )
    return value


def gigabits(size_bytes: float) -> float:
    """Decimal gigabits in `size_bytes`."""
    return size_bytes * BITS_PER_BYTE / GIGA


def gigabytes(size_bytes: float) -> float:
    """Decimal gigabytes in `size_bytes`."""
    return size_bytes / GIGA


def bits(size_bytes: float) -> float:
    """Bits in `size_bytes`."""
    return size_bytes * BITS_PER_BYTE


def bytes_per_s(gbps: float) -> float:
    """Bytes a second at `gbps` decimal Gbit/s."""
    return gbps * GIGA / BITS_PER_BYTE


def gbps_of(size_bytes: float, seconds: float) -> float:
    """Decimal Gbit/s of `size_bytes` in `seconds`; 0 where no time passed."""
    return gigabits(size_bytes) / seconds if seconds > 0 else 0.0


def usd_per_s_of_flow(gbps: float, usd_per_gb: float) -> float:
    """USD a second that a flow of `gbps` costs at `usd_per_gb`."""
    return gbps / BITS_PER_BYTE * usd_per_gb


def usd_per_s_of_vm(usd_per_hour: float) -> float:
    """USD a second of one VM at `usd_per_hour`."""
    return usd_per_hour / SECONDS_PER_HOUR


def render_size(size_bytes: float) -> str:
    """A size for people, decimal: `1.5 TB`."""
    for unit in ("EB", "PB", "TB", "GB", "MB", "KB"):
        if size_bytes >= _SIZE_FACTORS[unit]:
            return f"{size_bytes / _SIZE_FACTORS[unit]:.4g} {unit}"
    return f"{size_bytes:.0f} B"


def render_duration(seconds: float) -> str:
    """A time for people: `2 h 5 min`, `41.2 s`."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    minutes, left_s = divmod(round(seconds), 60)
    if minutes < 120:
        return f"{minutes} min {left_s} s"
    hours, rest = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {rest} min"
    return f"{hours // 24} d {hours % 24} h"
