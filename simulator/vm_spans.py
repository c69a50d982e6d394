"""How long each VM of a simulation is paid for: what losses, replacements and sharing change.

By Job and gateway: when it was there. VMs of a Plan that no lane uses are there throughout.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from datasets.regions import region_of_gateway
from planner.billing import VmSpan
from planner.plan import Plan

Interval = tuple[float, float]
_EVER_S = float("inf")


@dataclass(slots=True)
class VmSpans:
    """Real seconds. `plain` while every Job's VMs are simply its Plan's, from start to end."""

    plain: bool = True
    _there: dict[int, dict[str, list[list[float]]]] = field(default_factory=dict)
    _idle: dict[int, list[tuple[str, int, float, float]]] = field(default_factory=dict)

    def begin(self, job: int, plan: Plan, at_s: float) -> None:
        """The Job's VMs are there from its first byte on."""
        self.plain = self.plain and not self._there
        self._there[job] = {gateway: [[at_s, _EVER_S]] for gateway in plan.gateways}
        self._idle[job] = [
            (region, count, at_s, _EVER_S) for region, count in _idle_of(plan).items()
        ]

    def lost(self, gateway: str, at_s: float) -> None:
        """A VM is paid for no longer, by any Job that uses it."""
        self.plain = False
        for gateways in self._there.values():
            _close(gateways.get(gateway, []), at_s)

    def replaced(self, gateway: str, at_s: float) -> None:
        """It is there again, for those that had it."""
        for gateways in self._there.values():
            spans = gateways.get(gateway)
            if spans and spans[-1][1] <= at_s:
                spans.append([at_s, _EVER_S])

    def planned_anew(self, job: int, after: Plan, at_s: float) -> None:
        """From now on the Job has the VMs of `after`."""
        gateways = self._there[job]
        for gateway, spans in gateways.items():
            if gateway not in after.gateways:
                _close(spans, at_s)
        for gateway in after.gateways:
            spans = gateways.setdefault(gateway, [])
            if not spans or spans[-1][1] <= at_s:
                spans.append([at_s, _EVER_S])
        self._idle[job] = [
            (region, count, from_s, min(until_s, at_s))
            for region, count, from_s, until_s in self._idle[job]
        ] + [(region, count, at_s, _EVER_S) for region, count in _idle_of(after).items()]

    def of_job(self, job: int, times_s: Sequence[Interval]) -> list[VmSpan]:
        """The spans that a Job pays, real seconds: a VM that several use is the first one's.

        `times_s` has the start and end of each Job.
        """
        spans = [
            VmSpan(region=region, count=count, from_s=from_s, until_s=until_s)
            for region, count, start_s, stop_s in self._idle.get(job, ())
            for from_s, until_s in _within([(start_s, stop_s)], times_s[job])
        ]
        for gateway in sorted(self._there.get(job, {})):
            paid = [
                span
                for other in range(job)
                for span in _within(self._of(other, gateway), times_s[other])
            ]
            for from_s, until_s in _without(
                _within(self._of(job, gateway), times_s[job]), _union(paid)
            ):
                region = region_of_gateway(gateway)
                spans.append(VmSpan(region=region, count=1, from_s=from_s, until_s=until_s))
        return spans

    def _of(self, job: int, gateway: str) -> list[Interval]:
        return [(a, b) for a, b in self._there.get(job, {}).get(gateway, ())]


def on_clock(spans: Sequence[VmSpan], wall_per_real: float) -> list[VmSpan]:
    """The same spans on the run's clock."""
    return [
        replace(
            span,
            from_s=None if span.from_s is None else span.from_s * wall_per_real,
            until_s=None if span.until_s is None else span.until_s * wall_per_real,
        )
        for span in spans
    ]


def _idle_of(plan: Plan) -> dict[str, int]:
    """VMs of each region that no lane uses."""
    used = Counter(region_of_gateway(gateway) for gateway in plan.gateways)
    return {
        region: count - used[region]
        for region, count in sorted(plan.vms.items())
        if count > used[region]
    }


def _close(spans: list[list[float]], at_s: float) -> None:
    if spans and spans[-1][1] > at_s:
        spans[-1][1] = at_s


def _within(spans: Sequence[Interval], limits: Interval) -> list[Interval]:
    cut = [(max(a, limits[0]), min(b, limits[1])) for a, b in spans]
    return [(a, b) for a, b in cut if b > a]


def _union(spans: Sequence[Interval]) -> list[Interval]:
    """Overlapping intervals joined."""
    found: list[Interval] = []
    for start_s, end_s in sorted(spans):
        if found and start_s <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end_s))
        else:
            found.append((start_s, end_s))
    return found


def _without(spans: Sequence[Interval], paid: Sequence[Interval]) -> list[Interval]:
    """What of `spans` is in none of `paid`, which are sorted and apart."""
    found = []
    for start_s, end_s in spans:
        at_s = start_s
        for from_s, until_s in paid:
            if from_s >= end_s or until_s <= at_s:
                continue
            if from_s > at_s:
                found.append((at_s, from_s))
            at_s = max(at_s, until_s)
        if at_s < end_s:
            found.append((at_s, end_s))
    return found
