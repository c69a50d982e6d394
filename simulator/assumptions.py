"""What a simulation may assume of the world, one value an effect; all are off unless given.

Each is a documented choice with its source. Times are seconds of the real transfer, but delays
that no scale changes (ramp-up, overheads, detection, provisioning) are those of the run's clock.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from datasets.canonical import Json
from datasets.errors import InputError
from datasets.provisioning import DEFAULT_PROVISIONING_S, provisioning_spread
from datasets.regions import cloud_of, region_of_gateway
from datasets.stores import object_store
from datasets.units import GIGA, MOST_GBPS, bits
from simulator.draws import generator

Fairness = Literal["maxmin", "inverse_rtt"]
Relays = Literal["cut_through", "store_and_forward"]
FAIRNESS: tuple[Fairness, ...] = ("maxmin", "inverse_rtt")
RELAYS: tuple[Relays, ...] = ("cut_through", "store_and_forward")

ANY = "*"
# A thousand years: a time beyond is a slip.
MOST_SECONDS = 3.2e10
MOST_SPREAD = 10.0
_MS_PER_S = 1e3
# Mathis, Semke, Mahdavi, Ott: The macroscopic behavior of the TCP congestion avoidance algorithm,
# CCR 27(3), 1997: rate <= MSS/RTT · C/sqrt(p), C = sqrt(3/2) for periodic loss.
MATHIS_C = 1.22
MSS_BYTES = 1460
# The formula is of rare losses.
MOST_LOSS = 0.1


def check_number(value: float, name: str, *, least: float = 0.0, most: float = math.inf) -> None:
    """Raises: InputError, naming it, for what is not a finite number within the bounds."""
    if not math.isfinite(value) or not least <= value <= most:
        upper = "" if most == math.inf else f" and at most {most:g}"
        number = "" if math.isfinite(value) else "a number, "
        raise InputError(f"{name} is {value:g}; it must be {number}at least {least:g}{upper}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Provisioning:
    """How long a VM takes from the request to the answer: lognormal, one draw a gateway.

    `median_s` and `sigma` (of the logarithm, 0 for a fixed delay) by cloud, `other_s` and
    `other_sigma` for the rest; `by_gateway` are exact seconds of named gateways. The makespan does
    not contain it (first byte read to last acknowledged). A draw depends on seed and gateway only.
    """

    name: str
    median_s: Mapping[str, float] = field(default_factory=dict)
    sigma: Mapping[str, float] = field(default_factory=dict)
    other_s: float = 0.0
    other_sigma: float = 0.0
    by_gateway: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for value in (*self.median_s.values(), *self.by_gateway.values(), self.other_s):
            check_number(value, "A provisioning time", most=MOST_SECONDS)
        for value in (*self.sigma.values(), self.other_sigma):
            check_number(value, "The spread of a provisioning time", most=MOST_SPREAD)

    def delay_s(self, gateway: str, seed: int) -> float:
        """One draw for one gateway."""
        if gateway in self.by_gateway:
            return self.by_gateway[gateway]
        cloud = cloud_of(region_of_gateway(gateway))
        sigma = self.sigma.get(cloud, self.other_sigma)
        median_s = self.median_s.get(cloud, self.other_s)
        if not sigma or not median_s:
            return median_s
        drawn = float(generator(seed, "provisioning", gateway).standard_normal())
        return median_s * math.exp(sigma * drawn)

    def as_json(self) -> dict[str, Json]:
        """As in a World."""
        return {
            "name": self.name,
            "median_s": dict(sorted(self.median_s.items())),
            "sigma": dict(sorted(self.sigma.items())),
            "other_s": self.other_s,
            "other_sigma": self.other_sigma,
            "by_gateway": dict(sorted(self.by_gateway.items())),
        }


def public_provisioning() -> Provisioning:
    """Public measurements of booting VMs: typical as median, slow as 95th percentile.

    Source: datasets/tables/provisioning.csv, each row with its own; reading `slow_s` as a 95th
    percentile is an assumption, and a cloud without one takes the least spread of the others.
    """
    spread = provisioning_spread()
    return Provisioning(
        name="public boot times (datasets/tables/provisioning.csv), none of our gateway",
        median_s={cloud: median_s for cloud, (median_s, _) in spread.items()},
        sigma={cloud: sigma for cloud, (_, sigma) in spread.items()},
        other_s=DEFAULT_PROVISIONING_S,
        other_sigma=max(sigma for _, sigma in spread.values()),
    )


def fixed_provisioning(seconds: float) -> Provisioning:
    """Every gateway is ready after `seconds`."""
    return Provisioning(name="fixed", other_s=seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkChange:
    """`at_s` real seconds after the transfer's start a VM pair carries `gbps` from src to dst.

    0 Gbit/s is an outage; a later change ends it, None with what the Plan has.
    """

    at_s: float
    src: str
    dst: str
    gbps: float | None

    def __post_init__(self) -> None:
        where = f"of the link {self.src} to {self.dst}"
        check_number(self.at_s, f"The time of a change {where}", most=MOST_SECONDS)
        if self.gbps is not None:
            check_number(self.gbps, f"The rate after a change {where}", most=MOST_GBPS)

    def as_json(self) -> dict[str, Json]:
        """As in a World."""
        return {"at_s": self.at_s, "src": self.src, "dst": self.dst, "gbps": self.gbps}


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayLoss:
    """A gateway's VM is gone `at_s` real seconds after the transfer's start.

    With `notice_s` (spot reclaim) it takes no new chunk from that long before.
    """

    at_s: float
    gateway: str
    notice_s: float = 0.0

    def __post_init__(self) -> None:
        check_number(self.at_s, f"The time at which {self.gateway} is lost", most=MOST_SECONDS)
        check_number(self.notice_s, f"The notice that {self.gateway} is given", most=MOST_SECONDS)

    def as_json(self) -> dict[str, Json]:
        """As in a World."""
        return {"at_s": self.at_s, "gateway": self.gateway, "notice_s": self.notice_s}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ramp:
    """A connection carries nothing for t0 = `base_s` + `rtts`·RTT after it was opened.

    Chunks are read meanwhile: the start-up is part of the makespan, as it is of an execution's.

    The links' capacity is then what was received, over the rest of the test: received·T/(T−t0),
    T = `test_s`, clipped at the VM caps (never twice: DESIGN.md, "What was measured"). With
    `test_s` 0 the figures are steady rates already, as those of a calibrated local run.
    """

    rtts: float = 0.0
    base_s: float = 0.2
    test_s: float = 5.0

    def __post_init__(self) -> None:
        check_number(self.rtts, "The ramp-up in round trips", most=100.0)
        check_number(self.base_s, "The ramp-up's fixed part in seconds", most=MOST_SECONDS)
        check_number(self.test_s, "The length of the test in seconds", most=MOST_SECONDS)

    def delay_s(self, rtt_ms: float) -> float:
        """t0 of a connection over that round-trip time."""
        return self.base_s + self.rtts * rtt_ms / _MS_PER_S

    def steady_gbps(self, received_gbps: float, rtt_ms: float, most_gbps: float) -> float:
        """The capacity that a link of `received_gbps` has after its start-up.

        Raises: InputError if the start-up would fill the whole test.
        """
        if not self.test_s:
            return received_gbps
        left_s = self.test_s - self.delay_s(rtt_ms)
        if left_s <= 0:
            raise InputError(
                f"A ramp-up of {self.delay_s(rtt_ms):.3g} s at an RTT of {rtt_ms:g} ms leaves "
                f"nothing of a test of {self.test_s:g} s; take fewer round trips."
            )
        return max(received_gbps, min(most_gbps, received_gbps * self.test_s / left_s))

    def as_json(self) -> dict[str, Json]:
        """As in a World."""
        return {"rtts": self.rtts, "base_s": self.base_s, "test_s": self.test_s}


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkLoss:
    """Packets lost on a link: a connection carries at most MSS/RTT · 1.22/sqrt(p) (Mathis 1997).

    `src` or `dst` may be `*`; n connections carry n times that (Hacker, Athey, Noble, 2002).
    """

    probability: float
    src: str = ANY
    dst: str = ANY

    def __post_init__(self) -> None:
        check_number(self.probability, "The probability of loss", most=MOST_LOSS)

    def covers(self, src: str, dst: str) -> bool:
        """Whether it is given for the link between those regions."""
        return self.src in (ANY, src) and self.dst in (ANY, dst)

    def connection_gbps(self, rtt_ms: float) -> float:
        """The most that one connection carries; unlimited without loss or without delay."""
        if not self.probability or not rtt_ms:
            return math.inf
        a_second = MSS_BYTES / (rtt_ms / _MS_PER_S)
        return bits(a_second) / GIGA * MATHIS_C / math.sqrt(self.probability)

    def as_json(self) -> dict[str, Json]:
        """As in a World."""
        return {"probability": self.probability, "src": self.src, "dst": self.dst}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stragglers:
    """One multiplier a group of connections for a whole transfer: lognormal, median 1.

    `slow_share` of the groups run at `slow_factor` besides. What a connection may carry is its
    share of the link (1/64) times the multiplier. No public data fix `sigma` and `slow_share`:
    take them from executed Runs.
    """

    sigma: float = 0.15
    slow_share: float = 0.0
    slow_factor: float = 0.1
    group: int = 8

    def __post_init__(self) -> None:
        check_number(self.sigma, "The stragglers' sigma", most=10.0)
        check_number(self.slow_share, "The share of slow connections", most=1.0)
        check_number(self.slow_factor, "The slow connections' factor", least=1e-6, most=1.0)
        check_number(self.group, "The stragglers' group of connections", least=1)

    def factors(self, seed: int, groups: int, *names: str) -> list[float]:
        """The multiplier of each of `groups` groups of what `names` name."""
        rng = generator(seed, "stragglers", *names)
        drawn = rng.standard_normal(groups).tolist()
        slow = (rng.random(groups) < self.slow_share).tolist()
        return [
            math.exp(self.sigma * normal) * (self.slow_factor if is_slow else 1.0)
            for normal, is_slow in zip(drawn, slow, strict=True)
        ]

    def as_json(self) -> dict[str, Json]:
        """As in a World."""
        return {
            "sigma": self.sigma,
            "slow_share": self.slow_share,
            "slow_factor": self.slow_factor,
            "group": self.group,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Links' capacity varies within a transfer: exp of an Ornstein-Uhlenbeck process, median 1.

    `sigma` is that of the logarithm, `correlation_s` its correlation time in real seconds (each
    value holds for a fifth of it); 0 means one draw for the whole transfer. Named, since two grids
    ten months apart say nothing of seconds. It is other traffic: every connection over the link has
    that much more or less, while a planned pace is never exceeded. Each link draws from (seed,
    link): the same for every strategy, so that comparisons are paired.
    """

    sigma: float
    correlation_s: float = 30.0

    def __post_init__(self) -> None:
        check_number(self.sigma, "The noise's sigma", most=5.0)
        check_number(self.correlation_s, "The noise's correlation time", most=MOST_SECONDS)
        if 0 < self.correlation_s < LEAST_CORRELATION_S:
            raise InputError(
                f"A correlation time of {self.correlation_s:g} s is too short; the least is "
                f"{LEAST_CORRELATION_S:g} s (0: one draw for the whole transfer)."
            )

    @property
    def step_s(self) -> float:
        """How long a value holds; infinite where one draw is for the whole transfer."""
        return self.correlation_s / NOISE_STEPS if self.correlation_s else math.inf

    @property
    def words(self) -> str:
        """How figures made with it are labelled."""
        if not self.correlation_s:
            return f"links lognormal, sigma {self.sigma:g}, one draw a transfer"
        return f"links lognormal, sigma {self.sigma:g}, correlated over {self.correlation_s:g} s"

    def as_json(self) -> dict[str, Json]:
        """As in a World."""
        return {"sigma": self.sigma, "correlation_s": self.correlation_s}


# A value holds for one part of so many of the correlation time.
NOISE_STEPS = 5
LEAST_CORRELATION_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Object stores at both ends: what a VM reads and writes, and requests a second and prefix.

    A chunk is one request. 0 means no limit, or (`published`, for requests) what the region's cloud
    publishes (`datasets/tables/object_stores.csv`, with the price of requests); what a VM reads or
    writes a second is not published.
    """

    published: bool = False
    read_gbps_per_vm: float = 0.0
    write_gbps_per_vm: float = 0.0
    reads_per_s_per_prefix: float = 0.0
    writes_per_s_per_prefix: float = 0.0
    prefixes: int = 1

    def __post_init__(self) -> None:
        for name in (
            "read_gbps_per_vm",
            "write_gbps_per_vm",
            "reads_per_s_per_prefix",
            "writes_per_s_per_prefix",
        ):
            check_number(getattr(self, name), f"The store's {name}")
        check_number(self.prefixes, "The store's number of prefixes", least=1)

    def requests_per_s(self, cloud: str, *, reads: bool) -> float:
        """The limit of requests in a region of `cloud`, over all prefixes; 0: none."""
        per_s = self.reads_per_s_per_prefix if reads else self.writes_per_s_per_prefix
        known = object_store(cloud) if self.published else None
        if not per_s and known is not None:
            per_s = known.reads_per_s if reads else known.writes_per_s
        return per_s * self.prefixes

    def as_json(self) -> dict[str, Json]:
        """As in a World."""
        return {
            "published": self.published,
            "read_gbps_per_vm": self.read_gbps_per_vm,
            "write_gbps_per_vm": self.write_gbps_per_vm,
            "reads_per_s_per_prefix": self.reads_per_s_per_prefix,
            "writes_per_s_per_prefix": self.writes_per_s_per_prefix,
            "prefixes": self.prefixes,
        }
