"""Job: what a user wants moved, and one objective with its constraints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from datasets.canonical import Json, rounded
from datasets.errors import DataError, InputError, UnsupportedJob
from datasets.regions import check_region
from datasets.units import MOST_BYTES, MOST_GBPS, check_quantity, gigabits

Objective = Literal["cheapest", "deadline", "max_usd", "fastest"]
DEFAULT_VM_LIMIT = 8
MOST_VMS = 1000
MOST_USD = 1e12


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Move `size_bytes` from `source` to each of `destinations` (a unicast Job has one).

    Exactly one objective: `goal_gbps` (cheapest at that throughput or more), `deadline_s`
    (cheapest by then), `max_usd` (fastest at no more than that), or none of them (fastest).
    `vm_limit` holds in every region, lowered by `quotas` (vCPUs a region); `forbid` names regions
    that may not be used.

    Raises: InputError, in one sentence, for anything that makes no sense.
    """

    source: str
    destinations: tuple[str, ...]
    size_bytes: int
    goal_gbps: float | None = None
    deadline_s: float | None = None
    max_usd: float | None = None
    vm_limit: int = DEFAULT_VM_LIMIT
    quotas: Mapping[str, int] = field(default_factory=dict)
    forbid: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for region in (self.source, *self.destinations, *self.quotas, *self.forbid):
            check_region(region)
        if self.source in self.destinations:
            raise InputError(
                f"Source and destination are both {self.source}; a transfer needs two regions."
            )
        if not self.destinations or len(set(self.destinations)) != len(self.destinations):
            raise InputError("Name at least one destination, and each of them once.")
        if not 1 <= self.size_bytes <= MOST_BYTES:
            raise InputError(f"Size {self.size_bytes} B is out of range; from 1 B to 1 EB.")
        given = [v for v in (self.goal_gbps, self.deadline_s, self.max_usd) if v is not None]
        if len(given) > 1:
            raise InputError(
                "Give one objective: a throughput goal, a cost ceiling, a deadline or fastest."
            )
        if self.goal_gbps is not None:
            check_quantity(
                self.goal_gbps, name="Throughput goal (Gbit/s)", least=1e-9, most=MOST_GBPS
            )
        if self.deadline_s is not None:
            check_quantity(
                self.deadline_s, name="Deadline (s)", least=1e-6, most=10 * 365 * 86400.0
            )
        if self.max_usd is not None:
            check_quantity(self.max_usd, name="Cost ceiling (USD)", least=1e-8, most=MOST_USD)
        if not 1 <= self.vm_limit <= MOST_VMS:
            raise InputError(f"VM limit {self.vm_limit} is out of range; from 1 to {MOST_VMS}.")
        for region, vcpus in self.quotas.items():
            if vcpus < 0:
                raise InputError(f"Quota of {region} is {vcpus} vCPUs; it must be 0 or more.")
        for region in (self.source, *self.destinations):
            if region in self.forbid:
                raise InputError(f"{region} is an end of the transfer; take it out of --forbid.")
        object.__setattr__(self, "forbid", tuple(sorted(set(self.forbid))))
        object.__setattr__(self, "quotas", dict(sorted(self.quotas.items())))

    @property
    def destination(self) -> str:
        """The one destination of a unicast Job. Raises: UnsupportedJob if there are several."""
        if len(self.destinations) != 1:
            raise UnsupportedJob(
                f"This needs one destination; the job has {len(self.destinations)}."
            )
        return self.destinations[0]

    @property
    def objective(self) -> Objective:
        """Which of the four objectives this Job has."""
        if self.goal_gbps is not None:
            return "cheapest"
        if self.deadline_s is not None:
            return "deadline"
        return "max_usd" if self.max_usd is not None else "fastest"

    @property
    def floor_gbps(self) -> float | None:
        """The least throughput that meets this Job, or None where it asks for the most."""
        if self.goal_gbps is not None:
            return self.goal_gbps
        if self.deadline_s is not None:
            return gigabits(self.size_bytes) / self.deadline_s
        return None

    def resized(self, size_bytes: int) -> Job:
        """The same Job for another number of bytes."""
        return replace(self, size_bytes=size_bytes)

    def as_json(self) -> dict[str, Json]:
        """Canonical form; what is not asked for is null."""
        return {
            "source": self.source,
            "destinations": list(self.destinations),
            "size_bytes": self.size_bytes,
            "objective": self.objective,
            "goal_gbps": None if self.goal_gbps is None else rounded(self.goal_gbps, 9),
            "deadline_s": None if self.deadline_s is None else rounded(self.deadline_s, 6),
            "max_usd": None if self.max_usd is None else rounded(self.max_usd, 8),
            "vm_limit": self.vm_limit,
            "quotas": dict(self.quotas),
            "forbid": list(self.forbid),
        }


def job_from_json(value: object) -> Job:
    """A Job of its canonical form. Raises: DataError that names the key."""
    if not isinstance(value, dict):
        raise DataError("The plan's job is not an object.")
    keys = {
        "source",
        "destinations",
        "size_bytes",
        "objective",
        "goal_gbps",
        "deadline_s",
        "max_usd",
        "vm_limit",
        "quotas",
        "forbid",
    }
    for key in sorted(keys ^ set(value)):
        raise DataError(f"The plan's job has {'no' if key in keys else 'an unknown'} key {key!r}.")
    fields = {key: value[key] for key in keys - {"objective", "forbid", "destinations"}}
    try:
        return Job(
            **fields,
            destinations=tuple(value["destinations"]),
            forbid=tuple(value["forbid"]),
        )
    except (TypeError, ValueError, AttributeError) as error:
        raise DataError(f"The plan's job does not make sense: {error}.") from error
