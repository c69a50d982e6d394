"""Distance on the globe, and what light in fibre allows over it."""

from __future__ import annotations

import math

EARTH_RADIUS_KM = 6371.0088  # mean radius, IUGG
FIBRE_KM_PER_MS = 200.0  # light in fibre, about two thirds of its rate in vacuum


def great_circle_km(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Kilometres between two (latitude, longitude) pairs in degrees, by the haversine.

    >>> round(great_circle_km((0.0, 0.0), (0.0, 180.0)))
    20015
    """
    (lat_a, lon_a), (lat_b, lon_b) = a, b
    phi_a, phi_b = math.radians(lat_a), math.radians(lat_b)
    half_phi = (phi_b - phi_a) / 2
    half_lambda = math.radians(lon_b - lon_a) / 2
    h = math.sin(half_phi) ** 2 + math.cos(phi_a) * math.cos(phi_b) * math.sin(half_lambda) ** 2
    return 2 * EARTH_RADIUS_KM * math.asin(min(1.0, math.sqrt(h)))


def least_rtt_ms(distance_km: float) -> float:
    """The round trip of light in fibre over `distance_km`: nothing measured can be faster."""
    return 2 * distance_km / FIBRE_KM_PER_MS
