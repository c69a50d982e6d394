"""Local repair against filling from scratch, in floating point and in exact fractions."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.fluid import max_min_rates
from simulator.sharing import Sharing

CAPACITIES = st.sampled_from([0.0, 0.1, 1.0, 1.0 + 1e-9, 3.0, 7.5, 100.0, 1e6])
CAPS = st.sampled_from([0.0, 1e-3, 0.3, 1.0, 2.5, 40.0, np.inf])
WEIGHTS = st.sampled_from([1.0, 1.0, 0.01, 0.3, 2.0, 5.0])
COUNTS = st.sampled_from([0, 0, 1, 1, 2, 3, 64])


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Flows over resources, and rounds of changes: (flow, count) or (resource, capacity)."""

    capacity: list[float]
    paths: list[list[int]]
    coefficient: list[float]
    cap: list[float]
    weight: list[float]
    rounds: list[list[tuple[str, int, float]]]

    def sharing(self, *, plain: bool) -> Sharing:
        return Sharing(
            self.capacity,
            ptr=np.cumsum([0, *(len(path) for path in self.paths)]),
            resource=[each for path in self.paths for each in path],
            coefficient=self.coefficient,
            cap=self.cap,
            weight=self.weight,
            plain=plain,
        )

    def usage(self) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        """(resources, flows): what a unit of rate takes."""
        found = np.zeros((len(self.capacity), len(self.paths)))
        uses = [(each, flow) for flow, path in enumerate(self.paths) for each in path]
        for (each, flow), coefficient in zip(uses, self.coefficient, strict=True):
            found[each, flow] = coefficient
        return found


@st.composite
def cases(draw: st.DrawFn, *, plain_numbers: bool = False) -> Case:
    resources = draw(st.integers(1, 6))
    flows = draw(st.integers(1, 10))
    paths = [
        draw(st.lists(st.integers(0, resources - 1), min_size=1, max_size=4, unique=True))
        for _ in range(flows)
    ]
    uses = sum(len(path) for path in paths)
    ones = st.just(1.0)
    coefficients = ones if plain_numbers else st.sampled_from([1.0, 1.0, 0.25, 3.0])
    change = st.one_of(
        st.tuples(st.just("count"), st.integers(0, flows - 1), COUNTS),
        st.tuples(st.just("capacity"), st.integers(0, resources - 1), CAPACITIES),
    )
    fill: list[tuple[str, int, float]]
    fill = [("count", flow, draw(COUNTS)) for flow in range(flows)]
    return Case(
        capacity=[draw(CAPACITIES) for _ in range(resources)],
        paths=paths,
        coefficient=[draw(coefficients) for _ in range(uses)],
        cap=[draw(CAPS) for _ in range(flows)],
        weight=[draw(ones if plain_numbers else WEIGHTS) for _ in range(flows)],
        rounds=[fill, *draw(st.lists(st.lists(change, min_size=1, max_size=3), max_size=8))],
    )


def exact(case: Case, capacity: list[float], count: list[int]) -> list[float]:
    """Progressive filling in fractions: no rounding until the end."""
    usage = [[Fraction(value) for value in row] for row in case.usage().tolist()]
    weight = [Fraction(value) for value in case.weight]
    room = [Fraction(value) for value in capacity]
    rate = [Fraction(0)] * len(count)
    rising = {flow for flow, busy in enumerate(count) if busy}
    level = Fraction(0)
    while rising:
        demand = [
            sum((row[f] * weight[f] * count[f] for f in rising), Fraction(0)) for row in usage
        ]
        steps = [room[r] / demand[r] for r in range(len(room)) if demand[r] > 0]
        steps += [Fraction(case.cap[f]) / weight[f] - level for f in rising if case.cap[f] < np.inf]
        step = min(steps)
        level += step
        room = [left - each * step for left, each in zip(room, demand, strict=True)]
        for flow in sorted(rising):
            rate[flow] = level * weight[flow]
            full = any(row[flow] > 0 and room[r] == 0 for r, row in enumerate(usage))
            if full or rate[flow] == case.cap[flow]:
                rising.discard(flow)
    return [float(value) for value in rate]


@settings(max_examples=150, deadline=None)
@given(cases())
def test_repair_is_exact_in_both_forms_and_tells_what_changed(case: Case) -> None:
    forms = [case.sharing(plain=True), case.sharing(plain=False)]
    capacity, count = list(case.capacity), [0] * len(case.paths)
    for changes in case.rounds:
        for what, which, value in changes:
            for sharing in forms:
                if what == "count":
                    sharing.set_count(which, int(value))
                else:
                    sharing.set_capacity(which, value)
            if what == "count":
                count[which] = int(value)
            else:
                capacity[which] = value
        before = forms[0].rate
        told = [sharing.solve() for sharing in forms]
        assert forms[0].rate.tobytes() == forms[1].rate.tobytes()
        assert told[0] == told[1] == np.flatnonzero(forms[0].rate != before).tolist()
        # Absolute where a rate is tiny beside the capacity whose rounding it is left from.
        scale = 1e-15 * max(capacity)
        wanted = exact(case, capacity, count)
        assert forms[0].rate.tolist() == pytest.approx(wanted, rel=1e-11, abs=scale)


@settings(max_examples=150, deadline=None)
@given(cases(plain_numbers=True))
def test_repair_equals_filling_from_scratch(case: Case) -> None:
    sharing = case.sharing(plain=True)
    capacity, count = np.array(case.capacity), np.zeros(len(case.paths))
    for changes in case.rounds:
        for what, which, value in changes:
            if what == "count":
                sharing.set_count(which, int(value))
                count[which] = value
            else:
                sharing.set_capacity(which, value)
                capacity[which] = value
        sharing.solve()
        dense = max_min_rates(case.usage(), capacity, np.array(case.cap), count)
        # Filling from scratch takes an overload of 1e-8 for none.
        assert sharing.rate == pytest.approx(dense, rel=3e-8, abs=1e-12)
