"""World: all that a simulation assumes beyond the Plan, as one value; its JSON is in the run's id.

Rates and link figures come from the Plan. Seconds here are those of the real transfer: where a
scaled run is simulated (`rate_scale` k, `size_scale` b), the table's clock shows seconds·b/k.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from datasets.canonical import Json
from datasets.errors import InputError
from datasets.regions import cloud_of, region_of_gateway
from datasets.units import MEBIBYTE
from planner.dispatch import Dispatch
from planner.job import Job

DEFAULT_CHUNK_BYTES = 8 * MEBIBYTE
# Chunks of 8 MiB become larger, by doubling, until a transfer has no more than this many; but a
# connection keeps this many, or the tail of a last wave would show (1 of n waves is 1/n).
MOST_CHUNKS = 100_000
CHUNKS_A_CONNECTION = 250
# What a table can hold in a few GB: beyond, chunks must be larger.
MOST_CHUNKS_ASKED = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Provisioning:
    """How long a VM takes from the request to the answer: lognormal, one draw a gateway.

    `median_s` by cloud, `other_s` for the rest; `sigma` is that of the logarithm, 0 for a fixed
    delay. The makespan does not contain it (first byte read to last acknowledged).
    """

    name: str
    median_s: Mapping[str, float] = field(default_factory=dict)
    other_s: float = 0.0
    sigma: float = 0.0

    def __post_init__(self) -> None:
        for value in (*self.median_s.values(), self.other_s, self.sigma):
            if not math.isfinite(value) or value < 0:
                raise InputError(f"Provisioning time {value:g} s must be 0 or more.")

    def delay_s(self, gateway: str, rng: np.random.Generator) -> float:
        """One draw for one gateway; always takes one number from `rng`."""
        median_s = self.median_s.get(cloud_of(region_of_gateway(gateway)), self.other_s)
        return median_s * math.exp(self.sigma * float(rng.standard_normal()))

    def as_json(self) -> dict[str, Json]:
        """As in a World."""
        return {
            "name": self.name,
            "median_s": dict(sorted(self.median_s.items())),
            "other_s": self.other_s,
            "sigma": self.sigma,
        }


# Unverified: none of these was measured, no source was opened. They only place the start of the
# transfer on the clock; no throughput, makespan or cost depends on them.
UNVERIFIED_PROVISIONING = Provisioning(
    name="unverified: assumed medians, none measured",
    median_s={"aws": 40.0, "azure": 60.0, "gcp": 40.0},
    other_s=40.0,
    sigma=0.2,
)


def fixed_provisioning(seconds: float) -> Provisioning:
    """Every gateway is ready after `seconds`."""
    return Provisioning(name="fixed", other_s=seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkChange:
    """`at_s` real seconds after the transfer's start a VM pair carries `gbps` from src to dst."""

    at_s: float
    src: str
    dst: str
    gbps: float

    def __post_init__(self) -> None:
        if not self.at_s >= 0 or not 0 < self.gbps < math.inf:
            raise InputError(f"A link change needs a time from 0 and a rate above 0, not {self}.")

    def as_json(self) -> dict[str, Json]:
        """As in a World."""
        return {"at_s": self.at_s, "src": self.src, "dst": self.dst, "gbps": self.gbps}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What is assumed. The default is the real transfer at the Plan's figures, without noise.

    `objects` are the sizes in bytes as moved (scaled), one object of the Job's size by default.
    `connections_per_hop` replaces the planned counts, as a local run does with a few; such a
    connection has no cap but its lane's. Planned rates are caps unless `work_conserving`.

    Raises: InputError, in one sentence, for what makes no sense.
    """

    seed: int = 0
    rate_scale: float = 1.0
    size_scale: float = 1.0
    objects: tuple[int, ...] | None = None
    chunk_bytes: int | None = None
    connections_per_hop: int | None = None
    work_conserving: bool = False
    dispatch: Dispatch = "dynamic"
    provisioning: Provisioning = UNVERIFIED_PROVISIONING
    link_changes: tuple[LinkChange, ...] = ()

    def __post_init__(self) -> None:
        for name in ("rate_scale", "size_scale"):
            value = getattr(self, name)
            if not math.isfinite(value) or value <= 0:
                raise InputError(f"The {name} is {value:g}; it must be above 0.")
        for name in ("chunk_bytes", "connections_per_hop"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"The {name} is {value}; it must be 1 or more.")
        if self.objects is not None and any(size < 0 for size in self.objects):
            raise InputError("An object's size must be 0 bytes or more.")
        if self.seed < 0:
            raise InputError(f"Seed {self.seed} must be 0 or more.")
        if self.dispatch not in ("dynamic", "static"):
            raise InputError(f"Dispatch {self.dispatch!r} is neither dynamic nor static.")

    def object_sizes(self, job: Job) -> tuple[int, ...]:
        """Bytes of each object, as moved."""
        if self.objects is not None:
            return self.objects
        return (round(job.size_bytes * self.size_scale),)

    def chunk_size(self, job: Job, *, connections: int = 1) -> int:
        """Bytes of a chunk: as given, or 8 MiB doubled until there are not too many.

        At most 100,000 chunks, or 250 for each of the `connections` of all lanes if that is more.
        Raises: InputError if the chunks asked for are too many.
        """
        total = sum(self.object_sizes(job))
        if self.chunk_bytes is not None:
            if total > self.chunk_bytes * MOST_CHUNKS_ASKED:
                raise InputError(
                    f"Chunks of {self.chunk_bytes} B would be {total // self.chunk_bytes:,}; at "
                    f"most {MOST_CHUNKS_ASKED:,} can be simulated: choose larger ones."
                )
            return self.chunk_bytes
        most = max(MOST_CHUNKS, CHUNKS_A_CONNECTION * connections)
        size = DEFAULT_CHUNK_BYTES
        while total > size * most:
            size *= 2
        return size

    def as_json(self) -> dict[str, Json]:
        """Everything above; digested into the id of the run."""
        return {
            "seed": self.seed,
            "rate_scale": self.rate_scale,
            "size_scale": self.size_scale,
            "objects": None if self.objects is None else list(self.objects),
            "chunk_bytes": self.chunk_bytes,
            "connections_per_hop": self.connections_per_hop,
            "work_conserving": self.work_conserving,
            "dispatch": self.dispatch,
            "provisioning": self.provisioning.as_json(),
            "link_changes": [change.as_json() for change in self.link_changes],
        }
