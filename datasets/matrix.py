"""Matrix: the directed links of one epoch, with the VM that each region offers. Immutable.

Everything above this floor reads measurements through it. How it is made is in `epochs.py`
(compiled epochs) and `user_matrix.py` (a user's own file).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from datasets.canonical import Json, digest, rounded
from datasets.errors import DataError, UnknownName
from datasets.regions import check_region

COLUMNS = ("received", "sent", "min")
TIERS = ("premium", "standard")

# Decimal places of the canonical form: 1 bit/s, a hundred-millionth of a dollar, a microsecond.
GBPS_PLACES = 9
USD_PLACES = 8
RTT_PLACES = 3

REGIONS_NAMED = 12  # of a user's own Matrix, in an error that says what there is
_Derived = TypeVar("_Derived")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Vm:
    """The VM that a region's gateways run on, and what it may carry (Gbit/s)."""

    type: str
    vcpus: int
    usd_per_hour: float
    egress_public_gbps: float  # to other clouds
    egress_gbps: float  # to anywhere
    ingress_gbps: float

    def __post_init__(self) -> None:
        for name in ("usd_per_hour", "egress_public_gbps", "egress_gbps", "ingress_gbps"):
            value = getattr(self, name)
            if not math.isfinite(value) or value < 0 or (name.endswith("gbps") and value == 0):
                raise DataError(
                    f"VM {self.type!r}: {name} is {value}; it must be a positive number."
                )
        if self.vcpus < 1:
            raise DataError(f"VM {self.type!r}: vcpus is {self.vcpus}; it must be at least 1.")

    def as_json(self) -> dict[str, Json]:
        """As in `tradewind matrix export`."""
        return {
            "type": self.type,
            "vcpus": self.vcpus,
            "usd_per_hour": rounded(self.usd_per_hour, USD_PLACES),
            "egress_public_gbps": rounded(self.egress_public_gbps, GBPS_PLACES),
            "egress_gbps": rounded(self.egress_gbps, GBPS_PLACES),
            "ingress_gbps": rounded(self.ingress_gbps, GBPS_PLACES),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionVm:
    """One region of a Matrix and its VM."""

    id: str
    vm: Vm

    def __post_init__(self) -> None:
        check_region(self.id)

    def as_json(self) -> dict[str, Json]:
        """As in `tradewind matrix export`."""
        return {"id": self.id, "vm": self.vm.as_json()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What one pair of VMs carried from `src` to `dst`, its egress price and round-trip time."""

    src: str
    dst: str
    gbps: float
    usd_per_gb: float
    rtt_ms: float

    def __post_init__(self) -> None:
        where = f"link {self.src} to {self.dst}"
        if self.src == self.dst:
            raise DataError(f"{where}: a link must join two regions.")
        if not math.isfinite(self.gbps) or self.gbps <= 0:
            raise DataError(f"{where}: gbps is {self.gbps}; it must be above 0.")
        for name in ("usd_per_gb", "rtt_ms"):
            if not math.isfinite(getattr(self, name)) or getattr(self, name) < 0:
                raise DataError(f"{where}: {name} is {getattr(self, name)}; it must be 0 or more.")

    def as_json(self) -> dict[str, Json]:
        """As in `tradewind matrix export`."""
        return {
            "src": self.src,
            "dst": self.dst,
            "gbps": rounded(self.gbps, GBPS_PLACES),
            "usd_per_gb": rounded(self.usd_per_gb, USD_PLACES),
            "rtt_ms": rounded(self.rtt_ms, RTT_PLACES),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixRef:
    """Which Matrix a Plan was made on: enough to find it again, and to say how old it is."""

    epoch: str
    digest: str
    column: str
    tier: str
    policy: str
    caps: str

    def as_json(self) -> dict[str, Json]:
        """As in a Plan."""
        return {
            "epoch": self.epoch,
            "digest": self.digest,
            "column": self.column,
            "tier": self.tier,
            "policy": self.policy,
            "caps": self.caps,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """One dated epoch of directed links. Regions and links are kept sorted by name.

    `epoch` is the date of the measurement (ISO) or, for a user's own file, its name; `column`,
    `tier` and `policy` say which figures were picked and how they were repaired, `caps` whose
    table of VM caps. All of them are part of the digest.
    """

    epoch: str
    column: str
    tier: str
    policy: str
    caps: str
    regions: tuple[RegionVm, ...]
    links: tuple[Link, ...]
    _vms: Mapping[str, Vm] = field(init=False, repr=False, compare=False)
    _links: Mapping[tuple[str, str], Link] = field(init=False, repr=False, compare=False)
    _derived: dict[str, Any] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        vms = {region.id: region.vm for region in self.regions}
        links = {(link.src, link.dst): link for link in self.links}
        if len(vms) != len(self.regions) or len(links) != len(self.links):
            raise DataError(f"matrix {self.epoch}: a region or a link stands in it twice.")
        for link in self.links:
            if link.src not in vms or link.dst not in vms:
                raise DataError(
                    f"matrix {self.epoch}: no VM for an end of {link.src} to {link.dst}."
                )
        object.__setattr__(self, "regions", tuple(sorted(self.regions, key=lambda r: r.id)))
        object.__setattr__(self, "links", tuple(sorted(self.links, key=lambda e: (e.src, e.dst))))
        object.__setattr__(self, "_vms", vms)
        object.__setattr__(self, "_links", links)

    @property
    def region_ids(self) -> tuple[str, ...]:
        """The names of its regions, sorted."""
        return tuple(region.id for region in self.regions)

    def vm(self, region: str) -> Vm:
        """The VM of `region`. Raises: UnknownName, with the nearest names."""
        if region not in self._vms:
            raise UnknownName(
                kind="region",
                name=region,
                known=self._vms,
                hint=self._how_to_list(),
            )
        return self._vms[region]

    def _how_to_list(self) -> str:
        """How to see its regions: `matrix show` knows epochs, and an epoch is a date."""
        if _DATE.fullmatch(self.epoch):
            return f"`tradewind matrix show {self.epoch}` lists them."
        named = self.region_ids[:REGIONS_NAMED]
        more = len(self.regions) - len(named)
        tail = (
            f" and {more} more; `tradewind matrix export` with --matrix lists them" if more else ""
        )
        return f"The matrix {self.epoch!r} has {', '.join(named)}{tail}."

    def link(self, src: str, dst: str) -> Link | None:
        """The link from `src` to `dst`, or None where nothing was measured or priced."""
        return self._links.get((src, dst))

    def without(self, regions: Collection[str]) -> Matrix:
        """The same Matrix less `regions` and every link that ends there."""
        return Matrix(
            epoch=self.epoch,
            column=self.column,
            tier=self.tier,
            policy=self.policy,
            caps=self.caps,
            regions=tuple(r for r in self.regions if r.id not in regions),
            links=tuple(e for e in self.links if e.src not in regions and e.dst not in regions),
        )

    @property
    def digest(self) -> str:
        """Digest of the choices and of every figure."""
        return self.derived("digest", self._digest)

    def _digest(self) -> str:
        return digest(
            {
                "epoch": self.epoch,
                "column": self.column,
                "tier": self.tier,
                "policy": self.policy,
                "caps": self.caps,
                "regions": [region.as_json() for region in self.regions],
                "links": [link.as_json() for link in self.links],
            }
        )

    def derived(self, name: str, make: Callable[[], _Derived]) -> _Derived:
        """What `make` gives, made once for this Matrix: nothing in it ever changes."""
        if name not in self._derived:
            self._derived[name] = make()
        found: _Derived = self._derived[name]
        return found

    def ref(self) -> MatrixRef:
        """What a Plan keeps of this Matrix."""
        return MatrixRef(
            epoch=self.epoch,
            digest=self.digest,
            column=self.column,
            tier=self.tier,
            policy=self.policy,
            caps=self.caps,
        )

    def as_json(self) -> dict[str, Json]:
        """Exactly what `tradewind matrix export --format json` prints."""
        return {
            "epoch": self.epoch,
            "digest": self.digest,
            "regions": [region.as_json() for region in self.regions],
            "links": [link.as_json() for link in self.links],
        }
