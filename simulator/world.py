"""World: all that a simulation assumes beyond the Plan, as one value; its JSON is in the run's id.

Rates and link figures come from the Plan. Seconds here are those of the real transfer, except for
delays that no scale changes (`simulator/assumptions.py`); where a scaled run is simulated
(`rate_scale` k, `size_scale` b), the table's clock shows seconds·b/k.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from datasets.canonical import Json
from datasets.errors import InputError
from datasets.units import MEBIBYTE, MOST_BYTES
from planner.dispatch import Dispatch
from planner.job import Job
from planner.recovery import DETECTION_S, RECOVERIES, Recovery
from simulator.assumptions import (
    FAIRNESS,
    MOST_SECONDS,
    RELAYS,
    Fairness,
    GatewayLoss,
    LinkChange,
    LinkLoss,
    Noise,
    Provisioning,
    Ramp,
    Relays,
    Store,
    Stragglers,
    check_number,
    public_provisioning,
)

DEFAULT_CHUNK_BYTES = 8 * MEBIBYTE
# Chunks of 8 MiB become larger, by doubling, until a transfer has no more than this many; but a
# connection keeps this many, or the tail of a last wave would show (1 of n waves is 1/n).
MOST_CHUNKS = 100_000
CHUNKS_A_CONNECTION = 250
# What a table can hold in a few GB: beyond, chunks must be larger.
MOST_CHUNKS_ASKED = 4_000_000
# Where relays pass on records: no more of them than this.
MOST_RECORDS = 20_000_000
MOST_CONNECTIONS = 100_000
MOST_SCALE = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What is assumed. The default is the real transfer at the Plan's figures, without noise.

    `objects` are the sizes in bytes as moved (scaled), of each source; one object of the Job's
    size by default. `connections_per_hop` replaces the planned counts, as a local run does with a
    few; such a connection has no cap but its lane's. Planned rates are caps unless
    `work_conserving`. `saturation` is a of C(n) = C64·min(1, (n/64)^a). With `relay_buffer_bytes`
    a lane's relays hold no more than that; without, cut-through relays hold next to nothing and
    storing ones any amount. `chunk_overhead_s` and `object_overhead_s` are spent by a connection
    before a chunk, and besides before the first one of an object. After a loss, noticed within
    `detection_s`, `recovery` is what is done (`planner/recovery.py`).

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
    fairness: Fairness = "maxmin"
    relays: Relays = "cut_through"
    relay_buffer_bytes: int | None = None
    record_bytes: int = MEBIBYTE
    saturation: float = 1.0
    ramp: Ramp | None = None
    loss: tuple[LinkLoss, ...] = ()
    stragglers: Stragglers | None = None
    chunk_overhead_s: float = 0.0
    object_overhead_s: float = 0.0
    store: Store | None = None
    noise: Noise | None = None
    provisioning: Provisioning = field(default_factory=public_provisioning)
    link_changes: tuple[LinkChange, ...] = ()
    losses: tuple[GatewayLoss, ...] = ()
    recovery: Recovery = "others"
    detection_s: float = DETECTION_S
    least_vm_billing: bool = False
    starts_s: tuple[float, ...] = ()
    calibration: str = ""

    def __post_init__(self) -> None:
        for name in ("rate_scale", "size_scale"):
            value = getattr(self, name)
            if not 1 / MOST_SCALE <= value <= MOST_SCALE:
                raise InputError(f"The {name} is {value:g}; it must be above 0 (1e-9 to 1e9).")
        for name in ("chunk_bytes", "connections_per_hop", "relay_buffer_bytes", "record_bytes"):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= MOST_BYTES:
                raise InputError(f"The {name} is {value}; it must be from 1 to 10^18.")
        if (self.connections_per_hop or 0) > MOST_CONNECTIONS:
            raise InputError(f"The connections_per_hop are more than {MOST_CONNECTIONS:,}.")
        if self.objects is not None and not self.objects:
            raise InputError("There are no objects to move; name at least one.")
        if self.objects is not None and any(size < 0 for size in self.objects):
            raise InputError("An object's size must be 0 bytes or more.")
        if self.seed < 0:
            raise InputError(f"Seed {self.seed} must be 0 or more.")
        self._check_choices()
        check_number(self.saturation, "The exponent of the connections' saturation", most=1.0)
        for name in ("chunk_overhead_s", "object_overhead_s", "detection_s"):
            check_number(getattr(self, name), f"The {name}", most=MOST_SECONDS)
        for start_s in self.starts_s:
            check_number(start_s, "The start of a Job", most=MOST_SECONDS)

    def _check_choices(self) -> None:
        for value, known, what in (
            (self.dispatch, ("dynamic", "static"), "Dispatch"),
            (self.fairness, FAIRNESS, "Fairness"),
            (self.relays, RELAYS, "Relaying"),
            (self.recovery, RECOVERIES, "Recovery"),
        ):
            if value not in known:
                raise InputError(f"{what} {value!r} is none of {', '.join(known)}.")

    def object_sizes(self, job: Job) -> tuple[int, ...]:
        """Bytes of each object of each source, as moved."""
        if self.objects is not None:
            return self.objects
        return (round(job.size_bytes * self.size_scale),)

    def chunk_size(self, job: Job, *, connections: int = 1) -> int:
        """Bytes of a chunk: as given, or 8 MiB doubled until there are not too many.

        At most 100,000 chunks, or 250 for each of the `connections` of all lanes if that is more.
        Raises: InputError if the chunks asked for are too many.
        """
        total = sum(self.object_sizes(job)) * len(job.sources)
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

    @property
    def real_per_wall(self) -> float:
        """Real seconds that one second of the run's clock stands for, k/b."""
        return self.rate_scale / self.size_scale

    @property
    def assumed(self) -> str:
        """What is drawn at random, in words: the label of every distribution made with it."""
        words = [] if self.noise is None else [self.noise.words]
        if self.stragglers is not None:
            words.append(
                f"connections lognormal, sigma {self.stragglers.sigma:g}, "
                f"{self.stragglers.slow_share:.0%} slow"
            )
        return "; ".join(words) or "no noise assumed"

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
            "fairness": self.fairness,
            "relays": self.relays,
            "relay_buffer_bytes": self.relay_buffer_bytes,
            "record_bytes": self.record_bytes,
            "saturation": self.saturation,
            "ramp": None if self.ramp is None else self.ramp.as_json(),
            "loss": [loss.as_json() for loss in self.loss],
            "stragglers": None if self.stragglers is None else self.stragglers.as_json(),
            "chunk_overhead_s": self.chunk_overhead_s,
            "object_overhead_s": self.object_overhead_s,
            "store": None if self.store is None else self.store.as_json(),
            "noise": None if self.noise is None else self.noise.as_json(),
            "provisioning": self.provisioning.as_json(),
            "link_changes": [change.as_json() for change in self.link_changes],
            "losses": [loss.as_json() for loss in self.losses],
            "recovery": self.recovery,
            "detection_s": self.detection_s,
            "least_vm_billing": self.least_vm_billing,
            "starts_s": list(self.starts_s),
            "calibration": self.calibration,
        }
