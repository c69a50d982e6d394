"""What clouds allow and charge beside egress: requests to object stores, and the least VM time.

Facts from tables/object_stores.csv and tables/vm_billing.csv, each with its source; a row whose
source was not opened says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from datasets.tables import read_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectStore:
    """Requests a second of a cloud's store, for each `scope`; prices None where none is known."""

    reads_per_s: float
    writes_per_s: float
    scope: str
    usd_per_1000_reads: float | None
    usd_per_1000_writes: float | None


def object_store(cloud: str) -> ObjectStore | None:
    """The store of `cloud`; None for an unknown cloud."""
    return _stores().get(cloud)


def least_vm_s() -> Mapping[str, float]:
    """Seconds that each cloud charges for a VM at least; none where it is by the second."""
    return {row["cloud"]: float(row["least_s"]) for row in read_rows("vm_billing")}


@lru_cache(maxsize=1)
def _stores() -> Mapping[str, ObjectStore]:
    return {
        row["cloud"]: ObjectStore(
            reads_per_s=float(row["reads_per_s"]),
            writes_per_s=float(row["writes_per_s"]),
            scope=row["scope"],
            usd_per_1000_reads=_price(row["usd_per_1000_reads"]),
            usd_per_1000_writes=_price(row["usd_per_1000_writes"]),
        )
        for row in read_rows("object_stores")
    }


def _price(cell: str) -> float | None:
    return float(cell) if cell else None
