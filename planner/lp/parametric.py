"""The relaxation at every throughput at once: a convex, piecewise linear cost rate, exactly.

The multipliers that prove the cost at one throughput prove a line under the cost rate everywhere
(`unicast.Line`). Two lines meet where a better one may stand between them: solve there; if nothing
is cheaper than both, it is a breakpoint, otherwise go on to either side. A curve of k breakpoints
takes 2k + 1 programmes, each begun from the last one's basis and links.
Source: Eisner & Severance, Mathematical techniques for efficient record segmentation (1976).
"""

from __future__ import annotations

from dataclasses import dataclass

from planner.lp.answers import Corner, Line
from planner.lp.unicast import UnicastModel
from planner.topology import Topology

# Lines that meet this near (a share) to the curve meet on it.
ON_CURVE = 1e-9
# The curve ends this share below the most, so that the solver's noise does not end it sooner; where
# the programme is so stiff that nothing is found there (one pair in some thousands), a little more.
BELOW_MOST = (1e-9, 1e-8, 1e-7, 1e-6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """The relaxation's cost rate by throughput.

    `lines[k]` holds between `corners[k]` and `corners[k + 1]`; the first corner is at no
    throughput, where plans are those of the first line slowed down, the last at the most.
    """

    corners: tuple[Corner, ...]
    lines: tuple[Line, ...]

    @property
    def most_gbps(self) -> float:
        """The most throughput that is feasible."""
        return self.corners[-1].gbps

    def line(self, gbps: float) -> Line:
        """What proves the cost at `gbps`."""
        return self.lines[self._segment(gbps)]

    def _segment(self, gbps: float) -> int:
        k = 0
        while k < len(self.lines) - 1 and self.corners[k + 1].gbps < gbps:
            k += 1
        return k

    def at(self, gbps: float) -> Corner:
        """The optimum at `gbps`, up to the most."""
        k = self._segment(gbps)
        low, high, line = self.corners[k], self.corners[k + 1], self.lines[k]
        width = high.gbps - low.gbps
        share = min(1.0, (gbps - low.gbps) / width) if width > 0 else 1.0
        regions = sorted({*low.vms, *high.vms})
        return Corner(
            gbps=gbps,
            usd_per_gigabit=line.bound(gbps),
            line=line,
            vms={
                region: (1 - share) * low.vms.get(region, 0.0) + share * high.vms.get(region, 0.0)
                for region in regions
            },
        )


def curve(topology: Topology) -> Curve | None:
    """The whole curve; None where nothing moves."""
    model = UnicastModel(topology)
    first = model.cheapest(None)
    if first.line is None:
        return None
    most = model.fastest()
    if not most.optimal or most.gbps <= 0:
        return None
    ends = (model.corner(most.gbps * (1 - below)) for below in BELOW_MOST)
    last = next((corner for corner in ends if corner is not None), None)
    if last is None:
        return None
    found = _between_lines(model, first.line, last.line, 0.0, last.gbps)
    start = Corner(gbps=0.0, usd_per_gigabit=first.usd_per_gigabit, vms={}, line=first.line)
    return Curve(
        corners=(start, *(corner for corner, _ in found), last),
        lines=(first.line, *(line for _, line in found)),
    )


def _between_lines(
    model: UnicastModel, low: Line, high: Line, from_gbps: float, to_gbps: float
) -> list[tuple[Corner, Line]]:
    """Corners between two lines that hold at two throughputs, each with the line beginning there.

    Lines that meet at one of the two are the same but for noise.
    """
    steeper = high.per_gigabit - low.per_gigabit
    if steeper <= ON_CURVE * abs(low.per_gigabit):
        return []
    gbps = (high.excess - low.excess) / steeper
    if not from_gbps * (1 + ON_CURVE) < gbps < to_gbps * (1 - ON_CURVE):
        return []
    corner = model.corner(gbps)
    if corner is None:
        return []
    meet = low.per_gigabit - low.excess / gbps
    if corner.usd_per_gigabit - meet <= ON_CURVE * corner.usd_per_gigabit:
        return [(corner, high)]
    before = _between_lines(model, low, corner.line, from_gbps, gbps)
    after = _between_lines(model, corner.line, high, gbps, to_gbps)
    return [*before, *after]
