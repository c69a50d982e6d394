"""Job: what a user wants moved, and one objective with its constraints.

One to one, one to many (several destinations), many to one (`more_sources`) or many to many: each
source holds `size_bytes` of its own, and every destination gets all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from datasets.canonical import Json, rounded
from datasets.errors import DataError, InputError, UnsupportedJob
from datasets.regions import check_region
from datasets.units import MOST_BYTES, MOST_GBPS, check_quantity, gigabits

Objective = Literal["cheapest", "deadline", "max_usd", "fastest"]
Minimise = Literal["usd", "gco2e"]
LinkEnds = tuple[str, str]
DEFAULT_VM_LIMIT = 8
MOST_VMS = 1000
MOST_USD = 1e12
MOST_GCO2E = 1e15
# Each thing required doubles the sets of links that are tried.
MOST_REQUIRED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Move `size_bytes` from each source to each destination (a unicast Job has one of both).

    Exactly one objective: `goal_gbps` (cheapest at that throughput or more), `deadline_s`
    (cheapest by then), `max_usd` (fastest at no more than that), or none of them (fastest).
    `minimise` is what cheapest means: USD, or grams of CO2 equivalent of VM time; `max_gco2e` is a
    ceiling of the latter under any objective. `vm_limit` holds in every region, lowered by `quotas`
    (vCPUs a region). `forbid` and `forbid_links` may not be used; `within`, if not empty, names
    the only regions that may (ends are always); every byte passes each of `require` and
    `require_links`. `provisioning` adds the VM time before a gateway is ready, `tiered` the
    volume tiers of egress prices; without them the cost is DESIGN.md's formula exactly.

    Raises: InputError, in one sentence, for anything that makes no sense.
    """

    source: str
    destinations: tuple[str, ...]
    size_bytes: int
    more_sources: tuple[str, ...] = ()
    goal_gbps: float | None = None
    deadline_s: float | None = None
    max_usd: float | None = None
    minimise: Minimise = "usd"
    max_gco2e: float | None = None
    vm_limit: int = DEFAULT_VM_LIMIT
    quotas: Mapping[str, int] = field(default_factory=dict)
    forbid: tuple[str, ...] = ()
    forbid_links: tuple[LinkEnds, ...] = ()
    within: tuple[str, ...] = ()
    require: tuple[str, ...] = ()
    require_links: tuple[LinkEnds, ...] = ()
    provisioning: bool = False
    tiered: bool = False

    def __post_init__(self) -> None:
        for region in self._named():
            check_region(region)
        self._check_ends()
        if not 1 <= self.size_bytes <= MOST_BYTES:
            raise InputError(f"Size {self.size_bytes} B is out of range; from 1 B to 1 EB.")
        self._check_objective()
        if not 1 <= self.vm_limit <= MOST_VMS:
            raise InputError(f"VM limit {self.vm_limit} is out of range; from 1 to {MOST_VMS}.")
        for region, vcpus in self.quotas.items():
            if vcpus < 0:
                raise InputError(f"Quota of {region} is {vcpus} vCPUs; it must be 0 or more.")
        self._check_residency()
        for name in ("forbid", "forbid_links", "within", "require", "require_links"):
            object.__setattr__(self, name, tuple(sorted(set(getattr(self, name)))))
        object.__setattr__(self, "quotas", dict(sorted(self.quotas.items())))

    def _named(self) -> Iterator[str]:
        yield from (*self.sources, *self.destinations, *self.quotas, *self.forbid)
        yield from (*self.within, *self.require)
        for ends in (*self.forbid_links, *self.require_links):
            yield from ends

    def _check_ends(self) -> None:
        if not self.destinations or len(set(self.destinations)) != len(self.destinations):
            raise InputError("Name at least one destination, and each of them once.")
        if len(set(self.sources)) != len(self.sources):
            raise InputError("Name each source once.")
        for source in self.sources:
            if set(self.destinations) == {source} or not (
                self.more_sources or source not in self.destinations
            ):
                raise InputError(
                    f"Source and destination are both {source}; a transfer needs two regions."
                )

    def _check_objective(self) -> None:
        given = [v for v in (self.goal_gbps, self.deadline_s, self.max_usd) if v is not None]
        if len(given) > 1:
            raise InputError(
                "Give one objective: a throughput goal, a cost ceiling, a deadline or fastest."
            )
        for value, name, least, most in (
            (self.goal_gbps, "Throughput goal (Gbit/s)", 1e-9, MOST_GBPS),
            (self.deadline_s, "Deadline (s)", 1e-6, 10 * 365 * 86400.0),
            (self.max_usd, "Cost ceiling (USD)", 1e-8, MOST_USD),
            (self.max_gco2e, "Carbon ceiling (gCO2e)", 1e-6, MOST_GCO2E),
        ):
            if value is not None:
                check_quantity(value, name=name, least=least, most=most)
        if self.minimise not in ("usd", "gco2e"):
            raise InputError(f"{self.minimise!r} cannot be minimised; usd and gco2e can.")
        if self.minimise == "gco2e" and self.floor_gbps is None:
            raise InputError(
                "The least carbon is reached at some throughput: give --goal-gbps or --deadline."
            )

    def _check_residency(self) -> None:
        ends = (*self.sources, *self.destinations)
        for region in ends:
            if region in self.forbid:
                raise InputError(f"{region} is an end of the transfer; take it out of --forbid.")
        if len(self.require) + len(self.require_links) > MOST_REQUIRED:
            raise InputError(f"At most {MOST_REQUIRED} regions and links can be required.")
        for region in {*self.require, *(end for link in self.require_links for end in link)}:
            if region in self.forbid or (self.within and region not in {*self.within, *ends}):
                raise InputError(f"{region} is required and not allowed; drop one of the two.")
        for link in self.require_links:
            if link in self.forbid_links:
                raise InputError(f"The link {link[0]} to {link[1]} is required and forbidden.")

    @property
    def sources(self) -> tuple[str, ...]:
        """Every source, the first one first."""
        return (self.source, *self.more_sources)

    @property
    def is_unicast(self) -> bool:
        """Whether there is one source and one destination."""
        return not self.more_sources and len(self.destinations) == 1

    @property
    def requires(self) -> bool:
        """Whether every byte must pass some region or link."""
        return bool(self.require or self.require_links)

    @property
    def destination(self) -> str:
        """The one destination of a unicast Job. Raises: UnsupportedJob if there are several."""
        if not self.is_unicast:
            raise UnsupportedJob(
                "This needs one source and one destination; the job has "
                f"{len(self.sources)} and {len(self.destinations)}. "
                "Strategies for several are called broadcast_…."
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
            "more_sources": list(self.more_sources),
            "destinations": list(self.destinations),
            "size_bytes": self.size_bytes,
            "objective": self.objective,
            "minimise": self.minimise,
            "goal_gbps": None if self.goal_gbps is None else rounded(self.goal_gbps, 9),
            "deadline_s": None if self.deadline_s is None else rounded(self.deadline_s, 6),
            "max_usd": None if self.max_usd is None else rounded(self.max_usd, 8),
            "max_gco2e": None if self.max_gco2e is None else rounded(self.max_gco2e, 8),
            "vm_limit": self.vm_limit,
            "quotas": dict(self.quotas),
            "forbid": list(self.forbid),
            "forbid_links": [list(ends) for ends in self.forbid_links],
            "within": list(self.within),
            "require": list(self.require),
            "require_links": [list(ends) for ends in self.require_links],
            "provisioning": self.provisioning,
            "tiered": self.tiered,
        }


def job_from_json(value: object) -> Job:
    """A Job of its canonical form. Raises: DataError that names the key."""
    if not isinstance(value, dict):
        raise DataError("The plan's job is not an object.")
    keys = {"objective", *(entry.name for entry in fields(Job))}
    for key in sorted(keys ^ set(value)):
        raise DataError(f"The plan's job has {'no' if key in keys else 'an unknown'} key {key!r}.")
    lists = ("more_sources", "destinations", "forbid", "within", "require")
    links = ("forbid_links", "require_links")
    given: dict[str, Any] = {key: value[key] for key in keys - {"objective"}}
    try:
        given |= {key: tuple(given[key]) for key in lists}
        given |= {key: tuple(_ends(entry) for entry in given[key]) for key in links}
        return Job(**given)
    except (TypeError, ValueError, AttributeError) as error:
        raise DataError(f"The plan's job does not make sense: {error}.") from error


def _ends(value: Sequence[str]) -> LinkEnds:
    src, dst = value
    return src, dst
