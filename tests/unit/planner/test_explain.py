"""An explanation is plans made again: each figure against the plans, or by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from datasets.edits import Edits, edited
from datasets.errors import InfeasibleJob, UnsupportedJob
from datasets.matrix import Matrix
from planner.evaluate import carried
from planner.explain import SLOWER, Explanation, _between, explain, value_of
from planner.explain_words import ASSUMPTIONS, as_json, sentences
from planner.gain import gains_of
from planner.job import Job
from planner.strategies import solve
from tests.path_oracle import real_names
from tests.unit.planner.worlds import Q, R, S, T, diamond, job, matrix_of

TB = 10**12


def at_eight() -> Explanation:
    """$98: 2 Gbit/s directly, 6 by way of R, one VM each."""
    return explain(diamond(), job(goal_gbps=8, vm_limit=1))


def said(found: Explanation) -> str:
    return "\n".join(line for _, lines in sentences(found, None) for line in lines)


@pytest.mark.parametrize("region", [S, R, T])
def test_one_more_vm_is_worth_the_difference_of_two_plans(region: str) -> None:
    """Two VMs allowed in that region alone: quotas of 4 vCPUs hold the others at one VM."""
    found = at_eight()
    others = {name: 4 for name in (S, R, Q, T) if name != region}
    with_it = solve("overlay", diamond(), job(goal_gbps=8, vm_limit=2, quotas=others))
    (worth,) = (w for w in found.worths if (w.what, w.where) == ("vm", region))
    saved = found.plan.predicted.cost_usd.total - with_it.predicted.cost_usd.total
    assert worth.usd == pytest.approx(saved, abs=1e-6)
    assert worth.usd >= 0


def test_one_more_vm_at_both_ends_would_save_the_relay() -> None:
    """$84 directly on two VMs at either end; one of them alone buys less."""
    both = solve("overlay", diamond(), job(goal_gbps=8, vm_limit=2))
    assert both.predicted.cost_usd.total == pytest.approx(84)
    assert all(w.usd < 14 for w in at_eight().worths if w.what == "vm")


def test_other_worths_are_plans_again_too() -> None:
    """A link a tenth faster, a tenth less asked, a tenth more time or budget."""
    found = at_eight()
    cost = found.plan.predicted.cost_usd.total
    for flow in found.plan.flows:
        faster = edited(diamond(), Edits(scale_links={(flow.src, flow.dst): 1.1}))
        again = solve("overlay", faster, job(goal_gbps=8, vm_limit=1))
        (worth,) = (w for w in found.worths if w.where == f"{flow.src}→{flow.dst}")
        assert worth.usd == pytest.approx(cost - again.predicted.cost_usd.total, abs=1e-6)
    less = solve("overlay", diamond(), job(goal_gbps=8 * 0.9, vm_limit=1))
    (goal,) = (w for w in found.worths if w.what == "goal")
    assert goal.usd == pytest.approx(cost - less.predicted.cost_usd.total, abs=1e-6)
    assert goal.usd > 0
    budget = explain(diamond(), job(max_usd=98, vm_limit=1))
    more = solve("overlay", diamond(), job(max_usd=98 * 1.1, vm_limit=1))
    (worth,) = (w for w in budget.worths if w.what == "budget")
    gained = more.predicted.throughput_gbps - budget.plan.predicted.throughput_gbps
    assert worth.gbps == pytest.approx(gained, abs=1e-6)
    assert worth.gbps > 1


def test_where_no_limit_binds_nothing_is_worth_anything() -> None:
    found = explain(diamond(), job(goal_gbps=2, vm_limit=8))
    assert found.plan.relays == ()
    assert not [w for w in found.worths if w.what == "vm"]
    assert "no relay pays here" in said(found)


def test_the_runner_up_goes_without_the_relay() -> None:
    """At 8 Gbit/s with two VMs each, R left out, the direct link does it; with one, nothing."""
    found = explain(diamond(), job(goal_gbps=12, vm_limit=1))
    assert found.plan.relays == (R,)
    assert found.runner_up is None
    assert "there is no other plan" in said(found)
    other = explain(diamond(), job(goal_gbps=9, vm_limit=2))
    assert other.runner_up is not None
    assert other.runner_up_without in (*other.plan.relays, "the direct link")
    if other.runner_up_without == "the direct link":
        assert (S, T) not in {(f.src, f.dst) for f in other.runner_up.flows}
    else:
        assert other.runner_up_without not in other.runner_up.vms
    assert value_of(other.runner_up) >= value_of(other.plan) * (1 - 1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_no_plan_without_one_relay_beats_the_runner_up(seed: int) -> None:
    matrix = real_names(seed, 6)
    asked = Job(
        source=matrix.region_ids[0],
        destinations=(matrix.region_ids[-1],),
        size_bytes=TB,
        vm_limit=2,
    )
    most = solve("overlay", matrix, asked).predicted.throughput_gbps
    asked = replace(asked, goal_gbps=round(0.9 * most, 6))
    found = explain(matrix, asked)
    assert value_of(found.plan) <= (value_of(found.runner_up) if found.runner_up else 1e99)
    for relay in found.plan.relays:
        try:
            other = solve("overlay", matrix, replace(asked, forbid=(relay,)))
        except InfeasibleJob:
            continue
        assert found.runner_up is not None
        assert value_of(found.runner_up) <= value_of(other) * (1 + 1e-6)


def slower_world(src: str, dst: str) -> Matrix:
    return edited(diamond(), Edits(scale_links={(src, dst): SLOWER}))


def test_a_slower_link_keeps_what_dispatch_can_save() -> None:
    found = at_eight()
    assert {(e.src, e.dst) for e in found.slower} == {(f.src, f.dst) for f in found.plan.flows}
    for entry in found.slower:
        world = slower_world(entry.src, entry.dst)
        kept = carried(found.plan, world, dispatch="dynamic", work_conserving=True)
        assert entry.kept_gbps == pytest.approx(kept.gbps)
        assert entry.kept_usd == pytest.approx(kept.cost_usd.total)
        assert entry.survives == (kept.gbps >= 8 * (1 - 1e-6))
        again = solve("overlay", world, job(goal_gbps=8, vm_limit=1))
        assert entry.again_gbps == pytest.approx(again.predicted.throughput_gbps)
        assert entry.again_usd == pytest.approx(again.predicted.cost_usd.total)


def test_what_cannot_be_planned_again_says_so() -> None:
    """12 Gbit/s need all of both links by way of R."""
    found = explain(diamond(), job(goal_gbps=12, vm_limit=1))
    assert all(entry.again_gbps == 0 and not entry.survives for entry in found.slower)
    assert "falls short" in said(found)
    assert "no plan does what is asked" in said(found)
    told = as_json(found, None)
    assert isinstance(told["slower_links"], list)
    assert all(
        isinstance(entry, dict) and entry["planned_again_usd"] is None
        for entry in told["slower_links"]
    )


def relay_pays() -> Matrix:
    """Directly 4 Gbit/s at $0.08; by way of Azure 12 Gbit/s at $0.01 + $0.02. No other link."""
    relay = "azure:r"
    return matrix_of(
        {
            (S, T): (4.0, 0.08, 100.0),
            (S, relay): (12.0, 0.01, 80.0),
            (relay, T): (12.0, 0.02, 80.0),
        }
    )


def test_break_even_sizes_by_hand() -> None:
    """One VM a region at $0.001 a second; ready after 25.8 s (AWS), 25 s (GCP), 90 s (Azure).

    By way of Azure, a TB of x: $30 x egress and 666.67 x s of three VMs, $32 x in all; before the
    first byte $0.1408 and 90 s. Directly $80 x and 2,000 x s of two VMs: $84 x; $0.0508 and 25.8 s.

    Costs are equal at 32 x + 0.1408 = 84 x + 0.0508: x = 0.09/52, 1.7308 GB.
    Times are equal at 666.67 x + 90 = 2,000 x + 25.8: x = 64.2/1,333.3, 48.15 GB.
    """
    found = explain(relay_pays(), job(vm_limit=1))
    assert found.plan.relays == ("azure:r",)
    even = found.break_even
    assert even is not None
    assert even.cheaper_from_bytes == pytest.approx(0.09 / 52 * TB, rel=1e-6)
    assert even.cheaper_until_bytes is None
    assert even.faster_from_bytes == pytest.approx(64.2 / (4000 / 3) * TB, rel=1e-6)
    assert "cheaper from 1.731 GB on, and faster from 48.15 GB on" in said(found)


def test_at_the_break_even_size_both_plans_cost_the_same() -> None:
    """The same by two plans that count the waiting themselves: equal there, not at twice it."""
    size = round(0.09 / 52 * TB)
    cost = {}
    for times in (1, 2):
        for name in ("overlay", "direct"):
            asked = job(vm_limit=1, provisioning=True, size_bytes=times * size)
            cost[times, name] = solve(name, relay_pays(), asked).predicted.cost_usd.total
    assert cost[1, "overlay"] == pytest.approx(cost[1, "direct"], rel=1e-6)
    assert cost[2, "overlay"] < cost[2, "direct"] * 0.95


def test_a_dearer_relay_never_breaks_even_on_cost() -> None:
    """By way of R 12 Gbit/s at $0.10 against $0.08: faster from the first byte, never cheaper."""
    even = explain(diamond(), job(vm_limit=1)).break_even
    assert even is not None
    assert (even.cheaper_from_bytes, even.cheaper_until_bytes) == (None, None)
    assert even.faster_from_bytes == 0.0
    assert explain(diamond(), job(goal_gbps=2)).break_even is None


@pytest.mark.parametrize(
    ("each", "first", "other_each", "other_first", "answer"),
    [
        (1.0, 5.0, 2.0, 1.0, (4.0, None)),
        (1.0, 1.0, 2.0, 5.0, (0.0, None)),
        (2.0, 1.0, 1.0, 5.0, (0.0, 4.0)),
        (2.0, 5.0, 1.0, 1.0, None),
        (1.0, 1.0, 1.0, 2.0, (0.0, None)),
        (1.0, 2.0, 1.0, 1.0, None),
        (1.0, 1.0, 1.0, 1.0, None),
    ],
)
def test_two_lines_and_where_the_first_is_lower(
    each: float,
    first: float,
    other_each: float,
    other_first: float,
    answer: tuple[float, float | None] | None,
) -> None:
    assert _between(each, first, other_each, other_first) == answer


def deciding() -> Matrix:
    """10 Gbit/s fit through R to T (10.5) by a hair; S to R (30) has room, direct (15) is dear."""
    return matrix_of(
        {
            (S, T): (15.0, 0.09, 100.0),
            (S, R): (30.0, 0.02, 80.0),
            (R, T): (10.5, 0.02, 80.0),
        }
    )


def test_the_link_that_decides_is_worth_measuring_first() -> None:
    """If R to T carried 7.35, the plan's own links could not do 10 Gbit/s: knowing decides.

    S to R at 21 still does, on the same links: worth nothing.
    """
    asked = job(goal_gbps=10, vm_limit=1)
    found = explain(deciding(), asked)
    assert [(f.src, f.dst) for f in found.plan.flows] == [(R, T), (S, R)]
    first = found.information[0]
    assert (first.src, first.dst, first.used, first.decides) == (R, T, True, True)
    assert all(entry.value >= 0 and not entry.decides for entry in found.information[1:])
    assert (S, R) not in {(entry.src, entry.dst) for entry in found.information}
    assert any("decides whether what is asked is met" in line for line in told_by(found))


def told_by(found: Explanation) -> list[str]:
    return [line for _, listed in sentences(found, None) for line in listed]


OBJECTIVES: dict[str, dict[str, Any]] = {
    "goal": {"goal_gbps": 3.0},
    "deadline": {"deadline_s": 3000.0},
    "fastest": {},
    "budget": {"max_usd": 200.0},
    "carbon": {"goal_gbps": 3.0, "minimise": "gco2e"},
    "ceiling": {"goal_gbps": 3.0, "max_gco2e": 1000.0},
    "provisioning": {"goal_gbps": 3.0, "provisioning": True},
    "tiered": {"goal_gbps": 3.0, "tiered": True, "size_bytes": 30 * TB},
    "quota": {"goal_gbps": 3.0, "vm_limit": 2},
}


def infinite(value: object) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return True
    return False


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", OBJECTIVES)
def test_all_is_finite_and_in_sentences(name: str, seed: int) -> None:
    matrix = real_names(seed, 6)
    ends = (matrix.region_ids[0], matrix.region_ids[-1])
    given: dict[str, Any] = {"size_bytes": TB, "vm_limit": 3, **OBJECTIVES[name]}
    asked = Job(source=ends[0], destinations=(ends[1],), **given)
    found = explain(matrix, asked)
    gains = gains_of(dict.fromkeys(("received", "sent", "min"), matrix), found.plan)
    told = as_json(found, gains)
    assert not infinite(told)
    assert all(entry.value >= 0 for entry in found.information)
    values = [entry.value for entry in found.information]
    assert values == sorted(values, reverse=True)
    lines = told["sentences"]
    assert isinstance(lines, list)
    assert lines[-len(ASSUMPTIONS) :] == list(ASSUMPTIONS)
    for line in lines:
        assert isinstance(line, str)
        assert line.endswith(".")
        assert "inf" not in line.split()
        assert "nan" not in line
    unit = "gbps" if asked.floor_gbps is None else "gco2e" if name == "carbon" else "usd"
    for entry in told["value_of_information"] or ():  # type: ignore[union-attr]
        assert isinstance(entry, dict)
        assert set(entry) == {"src", "dst", "used", "decides", unit}


def test_sentences_have_the_dollars_and_the_gigabits() -> None:
    text = said(at_eight())
    for figure in ("$0.08 a GB", "$0.1 a GB", "2 Gbit/s, 25.0 %", "6 Gbit/s, 75.0 %"):
        assert figure in text
    assert "is worth $" in text
    assert f"By way of {R}" in text
    assert "The direct link cannot do it: at most 4 Gbit/s, for $84.00." in text
    fastest = said(explain(diamond(), job(vm_limit=1)))
    assert "for $84.00 ($18.00 less)" in fastest
    assert "is worth 1.2 Gbit/s" not in fastest or "One more VM" in fastest


def test_what_has_no_plan_has_no_explanation() -> None:
    with pytest.raises(InfeasibleJob):
        explain(diamond(), job(goal_gbps=13, vm_limit=1))
    several = Job(source=S, destinations=(T, R), size_bytes=TB)
    with pytest.raises(UnsupportedJob):
        explain(diamond(), several)


@pytest.mark.parametrize("strategy", ["direct", "one_hop", "overlay_exact"])
def test_any_strategy_s_plan_can_be_explained(strategy: str) -> None:
    found = explain(diamond(), job(goal_gbps=4, vm_limit=1), strategy)
    assert found.plan.strategy == strategy
    assert not infinite(as_json(found, None))
