"""Names: a region is `cloud:region`, without a zone; a gateway in it is `cloud:region#n`."""

from __future__ import annotations

import re

from datasets.errors import InputError

_REGION = re.compile(r"[a-z][a-z0-9]*:[a-z0-9][a-z0-9-]*")
_GCP_ZONE = re.compile(r"(gcp:[a-z0-9-]*[0-9])-[a-z]")


def check_region(name: str) -> str:
    """`name` if it is written `cloud:region`. Raises: InputError."""
    if _REGION.fullmatch(name) is None:
        raise InputError(
            f"{name!r} is not a region; write cloud:region, for example aws:us-east-1 "
            "(`tradewind matrix show EPOCH` lists them)."
        )
    return name


def is_region(name: str) -> bool:
    """Whether `name` is written as a region is."""
    return _REGION.fullmatch(name) is not None


def without_zone(name: str) -> str:
    """A region as published, its GCP zone dropped: `gcp:us-east4-a` becomes `gcp:us-east4`."""
    match = _GCP_ZONE.fullmatch(name)
    return match.group(1) if match else name


def cloud_of(region: str) -> str:
    """`aws` of `aws:us-east-1`."""
    return region.split(":", 1)[0]


def gateway_name(region: str, ordinal: int) -> str:
    """The name of gateway number `ordinal` in `region`."""
    return f"{region}#{ordinal}"


def region_of_gateway(gateway: str) -> str:
    """`aws:us-east-1` of `aws:us-east-1#0`."""
    return gateway.rsplit("#", 1)[0]
