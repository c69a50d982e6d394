"""What a simulation came to, straight from its record: what the event table would say, sooner.

`planner/billing.py` makes the bill and `datasets/outcome.py` names the figures, as they do for a
table; a test holds both ways to the same outcome.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from datasets.events import Event
from datasets.outcome import Outcome
from datasets.regions import cloud_of, region_of_gateway
from datasets.stores import least_vm_s, object_store
from datasets.units import gbps_of, gigabits
from planner.billing import MOST_INTERVALS, CostRow, Moved, Requests, VmSpan, bill
from planner.plan import Plan
from simulator.chunks import IntArray
from simulator.fluid import Array
from simulator.record import Hop, Record, Span
from simulator.routes import Bundle, Route
from simulator.vm_spans import VmSpans, on_clock
from simulator.world import World

_Either = TypeVar("_Either", Span, Hop)


def _bytes_of(sums: IntArray, spans: Sequence[Span] | Sequence[Hop]) -> IntArray:
    """(spans,) the bytes of each; `sums` (chunks + 1,) are those before each chunk."""
    first = np.array([span.first for span in spans], dtype=np.int64)
    count = np.array([span.chunks for span in spans], dtype=np.int64)
    moved: IntArray = sums[first + count] - sums[first]
    return moved


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Every chunk of every feed, (chunks,): its Job, object, number in it, and bytes as moved."""

    job: IntArray
    object: IntArray
    chunk: IntArray
    size_bytes: IntArray
    objects: Sequence[tuple[int, int, int, str]]  # (job, object, bytes, source region)

    def __len__(self) -> int:
        return len(self.size_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What happened, in real seconds. `plans` are as they were at the end (some planned anew)."""

    world: World
    plans: Sequence[Plan]
    listing: Listing
    routes: Sequence[Route]
    bundles: Sequence[Bundle]
    record: Record
    started_s: Sequence[float]
    vms: VmSpans
    solves: int
    most_gbps: float

    @property
    def bound_s(self) -> float:
        """The fluid bound: the volume at the highest rate that was reached, without any tail."""
        volume = gigabits(float(self.listing.size_bytes.sum()) / self.world.size_scale)
        return volume / self.most_gbps if self.most_gbps else 0.0

    @property
    def wall_per_real(self) -> float:
        """Seconds of the run's clock for each real one."""
        return 1.0 / self.world.real_per_wall

    @property
    def ok(self) -> bool:
        """Whether everything arrived."""
        return not self.record.failures

    def times_s(self, job: int) -> tuple[float, float] | None:
        """First chunk read and last acknowledged (or received) of a Job; None if none was read."""
        began = [span.t_s for span in self._of(self.record.began, job)]
        ended = [span.t_s for span in self._of(self.record.acknowledged, job)]
        if not began:
            return None
        if not ended:
            ended = [hop.t_s for hop in self._of(self.record.received, job)]
        return min(began), max(ended, default=min(began))

    @property
    def makespan_s(self) -> float:
        """First byte read to last acknowledged, over all Jobs; real seconds."""
        if not self.record.acknowledged:
            return 0.0
        return max(span.t_s for span in self.record.acknowledged) - min(
            span.t_s for span in self.record.began
        )

    def makespan_of(self, job: int) -> float:
        """The same of one Job."""
        times_s = self.times_s(job)
        return 0.0 if times_s is None else times_s[1] - times_s[0]

    def _of(self, spans: Sequence[_Either], job: int | None) -> Sequence[_Either]:
        """Those of one Job, or all of them."""
        if job is None or len(self.plans) == 1:
            return spans
        return [span for span in spans if self._job(span) == job]

    def _job(self, span: Span | Hop) -> int:
        return self.routes[self.bundles[span.bundle].route].job

    def bill_of(self, job: int, *, intervals: int = MOST_INTERVALS) -> list[CostRow]:
        """The bill of one Job, on the run's clock."""
        moved = self._moved(job)
        if moved is None:
            return []
        return bill(
            self.plans[job],
            moved,
            rate_scale=self.world.rate_scale,
            size_scale=self.world.size_scale,
            intervals=intervals,
        )

    def _moved(self, job: int) -> Moved | None:
        times_s = self.times_s(job)
        if times_s is None:
            return None
        wall = self.wall_per_real
        parts: dict[tuple[str, str], list[Hop]] = {}
        for hop in self.record.received:
            route = self.routes[self.bundles[hop.bundle].route]
            if route.job == job:
                for edge in hop.edges:
                    link = route.links[edge]
                    parts.setdefault((link.src, link.dst), []).append(hop)
        sums = np.concatenate([[0], np.cumsum(self.listing.size_bytes)])
        links = {
            ends: (np.array([hop.t_s for hop in hops]) * wall, _bytes_of(sums, hops))
            for ends, hops in parts.items()
        }
        vms: Sequence[VmSpan] | None = None
        if not self.vms.plain:
            every = [self.times_s(other) or (0.0, 0.0) for other in range(len(self.plans))]
            vms = on_clock(self.vms.of_job(job, every), wall)
        return Moved(
            links=links,
            start_s=times_s[0] * wall,
            end_s=times_s[1] * wall,
            vms=vms,
            least_vm_s=least_vm_s() if self.world.least_vm_billing else {},
            requests=self._requests(job),
            waited_s=self._waited_s(job) if self.plans[job].job.provisioning else None,
        )

    def _waited_s(self, job: int) -> dict[str, float]:
        """Real VM seconds from asking for a Job's gateways to their answer, by region."""
        asked: dict[str, float] = {}
        waited: dict[str, float] = {}
        for note in self.record.notes:
            name = str(note.columns.get("gateway", ""))
            if note.job == job and note.event == Event.GATEWAY_REQUESTED.value:
                asked[name] = note.t_s
            elif note.job == job and note.event == Event.GATEWAY_READY.value:
                region = region_of_gateway(name)
                waited[region] = waited.get(region, 0.0) + note.t_s - asked.pop(name)
        return waited

    def _requests(self, job: int) -> list[Requests]:
        """Chunks read at the source and written at destinations, where stores are counted."""
        if self.world.store is None:
            return []
        times: dict[tuple[str, bool], list[Array]] = {}
        for span in self.record.began:
            if self._job(span) == job:
                route = self.routes[self.bundles[span.bundle].route]
                key = (region_of_gateway(route.source), True)
                times.setdefault(key, []).append(np.full(span.chunks, span.t_s))
        for hop in self.record.received:
            route = self.routes[self.bundles[hop.bundle].route]
            for edge in hop.edges:
                if route.job == job and edge in route.ends:
                    key = (region_of_gateway(route.edges[edge][1]), False)
                    times.setdefault(key, []).append(np.full(hop.chunks, hop.t_s))
        found = []
        for (region, reads), spans in sorted(times.items()):
            store = object_store(cloud_of(region))
            price = store and (store.usd_per_1000_reads if reads else store.usd_per_1000_writes)
            if price:
                t_s = np.concatenate(spans) * self.wall_per_real
                found.append(Requests(region=region, t_s=t_s, usd_per_1000=price))
        return found

    def outcome(self, *, job: int | None = None) -> Outcome:
        """The outcome of the whole simulation, as its event table gives it; or that of one Job."""
        sums = np.concatenate([[0], np.cumsum(self.listing.size_bytes)])

        def size_of(spans: Sequence[Span]) -> int:
            return int(_bytes_of(sums, self._of(spans, job)).sum())

        costs: dict[str, list[float]] = {"egress": [], "vm": [], "request": []}
        for number in range(len(self.plans)) if job is None else (job,):
            for row in self.bill_of(number, intervals=1):
                costs[row.kind].append(row.usd)
        real_bytes = size_of(self.record.acknowledged) / self.world.size_scale
        makespan_s = self.makespan_s if job is None else self.makespan_of(job)
        return Outcome(
            clock="sim",
            ok=self.ok if job is None else job not in self.record.failures,
            throughput_gbps=gbps_of(real_bytes, makespan_s),
            makespan_s=makespan_s,
            egress_usd=math.fsum(costs["egress"]),
            vm_usd=math.fsum(costs["vm"]),
            request_usd=math.fsum(costs["request"]),
            size_bytes=round(real_bytes),
            chunks=sum(span.chunks for span in self._of(self.record.acknowledged, job)),
            retransmitted_bytes=round(size_of(self.record.resent) / self.world.size_scale),
            objects_verified=sum(job in (None, of) for of, _ in self.verified_s()),
            rate_scale=self.world.rate_scale,
            size_scale=self.world.size_scale,
            wall_s=makespan_s * self.wall_per_real,
        )

    def verified_s(self) -> Mapping[tuple[int, int], float]:
        """When each (job, object) that is whole was verified, real seconds.

        An empty one when its Job's transfer starts.
        """
        listing = self.listing
        if len(listing.objects) == 1:
            ((job, number, _, _),) = listing.objects
            done = sum(span.chunks for span in self.record.acknowledged)
            last_s = max((span.t_s for span in self.record.acknowledged), default=0.0)
            whole = done == len(listing)
            return {(job, number): max(last_s, self.started_s[job])} if whole else {}
        key = {(job, number): at for at, (job, number, _, _) in enumerate(listing.objects)}
        ends: Any = np.array([self.started_s[job] for job, _, _, _ in listing.objects])
        missing: Any = np.zeros(len(listing.objects), dtype=np.int64)
        of_chunk = np.array(
            [key[job, number] for job, number in zip(listing.job, listing.object, strict=True)],
            dtype=np.int64,
        )
        np.add.at(missing, of_chunk, 1)
        for span in self.record.acknowledged:
            mine = of_chunk[span.first : span.first + span.chunks]
            np.maximum.at(ends, mine, span.t_s)
            np.subtract.at(missing, mine, 1)
        return {
            (job, number): float(ends[at])
            for at, (job, number, _, _) in enumerate(listing.objects)
            if missing[at] == 0
        }
