"""Where a region is: city and coordinates, good to tens of kilometres, for maps and distances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from datasets.sphere import great_circle_km
from datasets.tables import read_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A region's city, country (ISO 3166-1 alpha-2) and coordinates in degrees."""

    city: str
    country: str
    latitude: float
    longitude: float


def place(region: str) -> Place | None:
    """Where `region` is, or None for a region that is not in the table."""
    return _places().get(region)


def coordinates(region: str) -> tuple[float, float] | None:
    """(latitude, longitude) of `region` in degrees, or None."""
    found = place(region)
    return None if found is None else (found.latitude, found.longitude)


def city(region: str) -> str | None:
    """The city of `region` as its provider names it, or None."""
    found = place(region)
    return None if found is None else found.city


def distance_km(src: str, dst: str) -> float | None:
    """Great-circle distance of two regions, or None where one is unknown."""
    a, b = coordinates(src), coordinates(dst)
    return None if a is None or b is None else great_circle_km(a, b)


@lru_cache(maxsize=1)
def _places() -> Mapping[str, Place]:
    return {
        row["region"]: Place(
            city=row["city"],
            country=row["country"],
            latitude=float(row["latitude"]),
            longitude=float(row["longitude"]),
        )
        for row in read_rows("coordinates")
    }
