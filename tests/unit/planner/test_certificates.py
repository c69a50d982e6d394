"""What certificates prove, against a naive sum in fractions; planted breaches are seen."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.errors import InfeasibleJob, PlanRefused
from datasets.matrix import Link, Matrix
from datasets.power import gco2e_per_vm_hour
from datasets.price_tiers import average_factor
from datasets.provisioning import provisioning_s
from datasets.synthetic import synthetic_matrix
from datasets.units import gigabits
from planner.certificate import VM_ROWS, Certificate
from planner.check_bound import proven
from planner.checks import check
from planner.job import Job
from planner.plan import Plan
from planner.strategies import solve
from tests.milp_oracle import cheapest
from tests.path_oracle import real_names, simple_paths
from tests.unit.planner.worlds import Q, R, S, T, diamond, job, matrix_of

# The naive sum and the module's differ by what potentials in floating point leave.
PRECISE = Fraction(1, 10**11)


def size_of(plan: Plan) -> Fraction:
    return Fraction(plan.job.size_bytes * 8, 10**9)


def allowed_vms(plan: Plan, matrix: Matrix) -> dict[str, int]:
    """The most VMs of each region of some path that the Job allows."""
    asked, found = plan.job, {}
    for region in matrix.region_ids:
        end = region in (asked.source, asked.destination)
        if not end and (region in asked.forbid or (asked.within and region not in asked.within)):
            continue
        count = asked.vm_limit
        if region in asked.quotas:
            count = min(count, asked.quotas[region] // matrix.vm(region).vcpus)
        if count:
            found[region] = count
    return found


def pays(one: Certificate, plan: Plan, link: Link) -> Fraction:
    """A gigabit's price on a link under the weights, and the rents of both ends' VMs."""
    out = {row: Fraction(one.rents.get(link.src, {}).get(row, 0.0)) for row in VM_ROWS}
    into = {row: Fraction(one.rents.get(link.dst, {}).get(row, 0.0)) for row in VM_ROWS}
    crosses = link.src.split(":")[0] != link.dst.split(":")[0]
    total = (out["vm_out_time"] + into["vm_in_time"]) / Fraction(link.gbps)
    total += out["vm_egress"] + into["vm_ingress"]
    price = Fraction(one.usd_weight) * Fraction(link.usd_per_gb) / 8
    if crosses:
        total += out["vm_egress_public"]
        if plan.job.tiered:
            volume = plan.job.size_bytes / 10**9
            price *= Fraction(average_factor(link.src.split(":")[0], volume))
    ends = (plan.job.source, plan.job.destination)
    keys: list[Any] = [region for region in plan.job.require if region not in ends]
    keys += plan.job.require_links
    for key, credit in zip(keys, one.credits, strict=True):
        if key in (link.dst, (link.src, link.dst)):
            total -= Fraction(credit)
    return total + price


def least_path(one: Certificate, plan: Plan, matrix: Matrix) -> Fraction:
    """Dijkstra in fractions where no link pays less than nothing; else every simple path."""
    s, t = plan.job.source, plan.job.destination
    inside = allowed_vms(plan, matrix)
    links = [
        link
        for link in matrix.links
        if link.src in inside
        and link.dst in inside
        and (link.src, link.dst) not in plan.job.forbid_links
    ]
    price = {(link.src, link.dst): pays(one, plan, link) for link in links}
    if min(price.values()) < 0:
        asked = replace(plan.job, require=(), require_links=())
        return min(
            sum((price[pair] for pair in itertools.pairwise(hops)), Fraction(0))
            for hops in simple_paths(matrix, asked)
            if set(hops) <= set(inside)
        )
    settled: dict[str, Fraction] = {}
    waiting = {s: Fraction(0)}
    while waiting:
        region = min(waiting, key=lambda name: waiting[name])
        settled[region] = waiting.pop(region)
        for (src, dst), usd in price.items():
            if src == region and dst not in settled:
                further = settled[region] + usd
                waiting[dst] = min(further, waiting.get(dst, further))
    return settled[t]


def naively(one: Certificate, plan: Plan, matrix: Matrix) -> Fraction:
    """The Lagrangian bound of the formulation, term by term, in fractions of the stored figures."""
    asked, size = plan.job, size_of(plan)
    usd, gco2e = Fraction(one.usd_weight), Fraction(one.gco2e_weight)
    least = least_path(one, plan, matrix) + sum(map(Fraction, one.credits), Fraction(0))
    excess = Fraction(0)
    waits = {
        r: Fraction(provisioning_s(r.split(":")[0])) if asked.provisioning else Fraction(0)
        for r in matrix.region_ids
    }
    hourly = {r: Fraction(matrix.vm(r).usd_per_hour) for r in matrix.region_ids}
    for region, count in allowed_vms(plan, matrix).items():
        vm = matrix.vm(region)
        caps = (1.0, 1.0, vm.egress_public_gbps, vm.egress_gbps, vm.ingress_gbps)
        by_row = one.rents.get(region, {})
        earned = sum(
            (
                Fraction(by_row.get(row, 0.0)) * Fraction(cap)
                for row, cap in zip(VM_ROWS, caps, strict=True)
            ),
            Fraction(0),
        )
        grams = Fraction(gco2e_per_vm_hour(region, vm.vcpus) or 0.0) if gco2e else Fraction(0)
        costs = (usd * hourly[region] + gco2e * grams) / 3600
        if one.goal_gbps is not None:
            costs *= 1 + waits[region] * Fraction(one.goal_gbps) / size
        excess += max(Fraction(0), earned - costs) * count
    if one.proves == "gbps":
        if asked.max_usd is not None:
            ends = (asked.source, asked.destination)
            waited = sum((hourly[r] / 3600 * waits[r] for r in ends), Fraction(0))
            least -= usd * (Fraction(asked.max_usd) - waited) / size
        if asked.max_gco2e is not None:
            least -= gco2e * Fraction(asked.max_gco2e) / size
        return excess / least
    if asked.max_gco2e is not None:
        own = 1 if one.proves == "gco2e" else 0
        least -= (gco2e - own) * Fraction(asked.max_gco2e) / size
    if one.goal_gbps is not None:
        least -= excess / Fraction(one.goal_gbps)
    return least * size


# What is asked of a small world, from a goal (Gbit/s) and the regions between the ends.
ASKED: dict[str, Callable[[float, list[str], Plan], dict[str, Any]]] = {
    "goal": lambda goal, relays, plan: {"goal_gbps": goal},
    "deadline": lambda goal, relays, plan: {"deadline_s": 8000 / goal},
    "fastest": lambda goal, relays, plan: {},
    "budget": lambda goal, relays, plan: {"max_usd": 1.1 * plan.predicted.cost_usd.total},
    "carbon": lambda goal, relays, plan: {"goal_gbps": goal, "minimise": "gco2e"},
    "carbon ceiling": lambda goal, relays, plan: {
        "goal_gbps": goal,
        "max_gco2e": 1.5 * (plan.predicted.gco2e or 0.0),
    },
    "fastest under a carbon ceiling": lambda goal, relays, plan: {
        "max_gco2e": 1.2 * (plan.predicted.gco2e or 0.0)
    },
    "provisioning": lambda goal, relays, plan: {"goal_gbps": goal, "provisioning": True},
    "budget, provisioning": lambda goal, relays, plan: {
        "max_usd": 1.2 * plan.predicted.cost_usd.total,
        "provisioning": True,
    },
    "tiered": lambda goal, relays, plan: {
        "goal_gbps": goal,
        "tiered": True,
        "size_bytes": 3 * 10**13,
    },
    "quotas": lambda goal, relays, plan: {"goal_gbps": goal, "quotas": {relays[0]: 32}},
    "within": lambda goal, relays, plan: {"goal_gbps": goal, "within": tuple(relays[:2])},
    "forbid": lambda goal, relays, plan: {"goal_gbps": goal, "forbid": (relays[0],)},
    "forbid_links": lambda goal, relays, plan: {
        "goal_gbps": goal / 2,
        "forbid_links": tuple((flow.src, flow.dst) for flow in plan.flows[:1]),
    },
    "require": lambda goal, relays, plan: {"goal_gbps": goal / 4, "require": (relays[1],)},
    "require_links": lambda goal, relays, plan: {
        "goal_gbps": goal / 4,
        "require_links": ((relays[0], relays[1]),),
    },
}


@cache
def asked_of(name: str, seed: int) -> tuple[Matrix, Plan]:
    """A plan on six regions with real names, so that their grids are known."""
    matrix = real_names(seed, 6)
    source, destination = random.Random(seed).sample(matrix.region_ids, 2)
    base = Job(source=source, destinations=(destination,), size_bytes=10**12, vm_limit=3)
    goal = round(0.7 * solve("overlay", matrix, base).predicted.throughput_gbps, 6)
    plain = solve("overlay", matrix, replace(base, goal_gbps=goal))
    relays = [region for region in matrix.region_ids if region not in (source, destination)]
    return matrix, solve("overlay", matrix, replace(base, **ASKED[name](goal, relays, plain)))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ASKED)
def test_what_is_proven_equals_a_naive_sum_in_fractions(name: str, seed: int) -> None:
    """And errs, by its floating potentials, on the safe side alone."""
    matrix, plan = asked_of(name, seed)
    assert plan.certificates
    for one in plan.certificates:
        value, exact = proven(one, plan, matrix), naively(one, plan, matrix)
        if one.proves == "gbps":
            assert exact <= value <= exact * (1 + PRECISE)
            # Branch and bound may have gone further.
            assert (plan.bound_gbps or 0.0) <= one.value * (1 + 1e-9)
        else:
            assert exact * (1 - PRECISE) <= value <= exact
        assert float(value) == pytest.approx(one.value, rel=1e-8)
    kinds = {one.proves: one.value for one in plan.certificates}
    assert kinds["usd"] == pytest.approx(plan.bound_lp_usd, rel=1e-9)
    assert ("gbps" in kinds) == (plan.job.floor_gbps is None)
    assert ("gco2e" in kinds) == (plan.job.minimise == "gco2e")


@pytest.mark.parametrize("name", ASKED)
def test_other_multipliers_are_summed_alike(name: str) -> None:
    """Not only an optimum's: any rents, where many links pay for VMs at both ends.

    Credits that make a cycle pay less than nothing may leave a bound below the least simple path's.
    """
    matrix, plan = asked_of(name, 0)
    rng = random.Random(name)
    for one in plan.certificates:
        rents = {
            region: {row: 10 ** rng.uniform(-6, -2) for row in VM_ROWS}
            for region in matrix.region_ids
        }
        other = replace(one, goal_gbps=2.5, rents=rents)
        if one.proves == "gbps":
            other = replace(other, goal_gbps=None, usd_weight=0.0, gco2e_weight=0.0)
        value, exact = proven(other, plan, matrix), naively(other, plan, matrix)
        assert (value >= exact) if one.proves == "gbps" else (value <= exact)
        if not plan.job.requires:
            assert abs(value - exact) <= PRECISE * abs(exact)


def by_hand() -> tuple[Matrix, Plan]:
    """$97.50 at 8 Gbit/s, as worked out in `test_strategies.py`; S's VM time is what binds."""
    return diamond(), solve("overlay", diamond(), job(goal_gbps=8, vm_limit=1))


def the_one(plan: Plan) -> Certificate:
    (one,) = plan.certificates
    return one


def with_one(plan: Plan, **changes: Any) -> Plan:
    return replace(plan, certificates=(replace(the_one(plan), **changes),))


def with_rent(plan: Plan, region: str, row: str, rent: float) -> Plan:
    rents = {name: dict(by_row) for name, by_row in the_one(plan).rents.items()}
    rents.setdefault(region, {})[row] = rent
    return with_one(plan, rents=rents)


BREACHES: dict[str, tuple[str, Callable[[Plan], Plan]]] = {
    "value raised by a millionth": (
        "multipliers prove",
        lambda plan: with_one(plan, value=the_one(plan).value * (1 + 1e-6)),
    ),
    "bound raised by a millionth, value with it": (
        "multipliers prove",
        lambda plan: replace(
            with_one(plan, value=the_one(plan).value * (1 + 1e-6)),
            bound_lp_usd=plan.bound_lp_usd * (1 + 1e-6),
        ),
    ),
    "bound above the value": (
        "bound_lp_usd",
        lambda plan: with_one(plan, value=the_one(plan).value * (1 - 1e-5)),
    ),
    "rent of the source raised": (
        "multipliers prove",
        lambda plan: with_rent(plan, S, "vm_out_time", 0.0245),
    ),
    "rent of the source lowered": (
        "multipliers prove",
        lambda plan: with_rent(plan, S, "vm_out_time", 0.0045),
    ),
    "rent of the relay lowered": (
        "multipliers prove",
        lambda plan: with_rent(plan, R, "vm_in_time", 0.0),
    ),
    "rent of a cap raised": (
        "multipliers prove",
        lambda plan: with_rent(plan, S, "vm_egress", 1e-3),
    ),
    "no rents": ("multipliers prove", lambda plan: with_one(plan, rents={})),
    "rent negative": ("negative", lambda plan: with_rent(plan, S, "vm_out_time", -1e-9)),
    "rent not finite": ("negative", lambda plan: with_rent(plan, S, "vm_out_time", float("nan"))),
    "dollars weigh more": ("weigh", lambda plan: with_one(plan, usd_weight=1.1)),
    "dollars weigh less": ("weigh", lambda plan: with_one(plan, usd_weight=0.5)),
    "carbon weighs less than nothing": ("negative", lambda p: with_one(p, gco2e_weight=-1.0)),
    "carbon weighs and nothing is": ("negative", lambda p: with_one(p, gco2e_weight=float("inf"))),
    "goal above the floor": ("above the job's", lambda plan: with_one(plan, goal_gbps=8.1)),
    "goal of nothing": ("not positive", lambda plan: with_one(plan, goal_gbps=0.0)),
    "no goal, and rents beyond the price": ("no goal", lambda plan: with_one(plan, goal_gbps=None)),
    "a credit for nothing required": ("credits", lambda plan: with_one(plan, credits=(1.0,))),
    "none": ("nothing proves", lambda plan: replace(plan, certificates=())),
    "none of dollars": ("nothing proves", lambda plan: with_one(plan, proves="gbps")),
    "two of a kind": ("two prove", lambda p: replace(p, certificates=(*p.certificates,) * 2)),
}


def test_the_good_certificate_holds() -> None:
    """And with a lower goal, a lower value and a rent of 0 spelled out."""
    matrix, plan = by_hand()
    check(plan, matrix)
    check(with_rent(plan, Q, "vm_egress", 0.0), matrix)
    assert float(proven(the_one(plan), plan, matrix)) == pytest.approx(97.5)
    zero = replace(plan, certificates=(), bound_lp_usd=0.0)
    check(zero, matrix)


@pytest.mark.parametrize("name", BREACHES)
def test_a_planted_breach_is_refused(name: str) -> None:
    said, breach = BREACHES[name]
    matrix, plan = by_hand()
    with pytest.raises(PlanRefused, match=said):
        check(breach(plan), matrix)


def test_a_fastest_plan_s_bound_is_held_too() -> None:
    matrix, plan = diamond(), solve("overlay", diamond(), job(vm_limit=1))
    usd, gbps = plan.certificates
    assert (usd.proves, gbps.proves) == ("usd", "gbps")
    check(plan, matrix)
    for value in (11.99, 12 * (1 - 1e-6)):
        lower = replace(plan, certificates=(usd, replace(gbps, value=value)))
        with pytest.raises(PlanRefused, match="certificate"):
            check(lower, matrix)
    above = replace(plan, bound_gbps=12.1, gap=0.1 / 12.1)
    with pytest.raises(PlanRefused, match="bound_gbps"):
        check(above, matrix)
    nothing = replace(plan, certificates=(usd, replace(gbps, rents={})))
    with pytest.raises(PlanRefused, match="certificate"):
        check(nothing, matrix)


def test_a_weight_on_a_budget_that_there_is_none_of_is_refused() -> None:
    """Of direct's 4 Gbit/s: 12 are feasible, but dollars at a million each "prove" 0."""
    matrix, plan = diamond(), solve("direct", diamond(), job(vm_limit=1))
    usd, gbps = plan.certificates
    forged = replace(gbps, value=4.0, usd_weight=1e6, rents={})
    with pytest.raises(PlanRefused, match="certificate"):
        check(replace(plan, bound_gbps=4.0, gap=0.0, certificates=(usd, forged)), matrix)


def test_a_weight_on_a_carbon_ceiling_that_there_is_none_of_is_refused() -> None:
    """Grams pay for rents that dollars never would: any plan is "proven" the cheapest."""
    matrix, plan = asked_of("goal", 0)
    rents = {region: dict.fromkeys(VM_ROWS[:2], 0.05) for region in matrix.region_ids}
    forged = replace(the_one(plan), gco2e_weight=1e3, rents=rents)
    with pytest.raises(ValueError, match="weighs"):
        proven(forged, plan, matrix)


def test_carbon_s_bound_is_held_too() -> None:
    matrix, plan = asked_of("carbon", 0)
    assert plan.bound_gco2e is not None
    usd, gco2e = plan.certificates
    assert gco2e.proves == "gco2e"
    raised = replace(gco2e, value=gco2e.value * (1 + 1e-4))
    with pytest.raises(PlanRefused, match="multipliers prove"):
        check(replace(plan, certificates=(usd, raised)), matrix)
    with pytest.raises(PlanRefused, match="carbon weighs"):
        check(replace(plan, certificates=(usd, replace(gco2e, gco2e_weight=0.5))), matrix)


def changed(matrix: Matrix, links: dict[tuple[str, str], tuple[float, float, float]]) -> Matrix:
    figures = {(e.src, e.dst): (e.gbps, e.usd_per_gb, e.rtt_ms) for e in matrix.links}
    return matrix_of({**figures, **links})


def test_on_another_matrix_it_proves_something_else() -> None:
    """Where S to R is a cent cheaper, the multipliers prove less than $97.50."""
    matrix, plan = by_hand()
    cheaper = changed(matrix, {(S, R): (12.0, 0.01, 80.0)})
    assert proven(the_one(plan), plan, cheaper) < 97.4
    with pytest.raises(PlanRefused, match="another matrix"):
        check(plan, cheaper)
    with pytest.raises(PlanRefused, match="differs"):
        check(replace(plan, matrix=cheaper.ref()), cheaper)


def test_a_link_off_the_plan_is_seen_by_its_certificate_alone() -> None:
    """By way of Q at a cent a GB: all that the plan itself says is still so, but for the bound."""
    matrix, plan = by_hand()
    other = changed(matrix, {(S, Q): (8.0, 0.005, 20.0), (Q, T): (8.0, 0.005, 20.0)})
    with pytest.raises(PlanRefused, match="multipliers prove"):
        check(replace(plan, matrix=other.ref()), other)


def test_faster_and_dearer_links_elsewhere_leave_it_a_proof() -> None:
    """Or a slower one: less is possible then, and what was proven stays so."""
    matrix, plan = by_hand()
    other = changed(matrix, {(S, Q): (1.0, 0.2, 20.0)})
    check(replace(plan, matrix=other.ref()), other)


RENTS = (st.floats(0.0, 1e-3) | st.just(0.0) | st.floats(1e-3, 10.0)).map(lambda x: round(x, 18))
WEAK_SEEDS = st.integers(0, 30)


@cache
def weak_world(seed: int, regions: int = 6) -> tuple[Matrix, Plan, float]:
    """A plan and the relaxation's optimum at its goal, by another solver."""
    matrix = synthetic_matrix(seed, regions=regions)
    source, destination = matrix.region_ids[0], matrix.region_ids[-1]
    quotas = {matrix.region_ids[1]: 64} if seed % 2 else {}
    base = Job(
        source=source, destinations=(destination,), size_bytes=10**12, vm_limit=3, quotas=quotas
    )
    goal = round((0.4, 0.9)[seed % 2] * solve("overlay", matrix, base).predicted.throughput_gbps, 6)
    plan = solve("overlay", matrix, replace(base, goal_gbps=goal))
    answer = cheapest(matrix, plan.job, goal_gbps=goal, usd_per_gigabit=0.0, whole=False)
    assert answer is not None
    return matrix, plan, answer.usd_per_s / goal * gigabits(10**12)


@settings(max_examples=60, deadline=None)
@given(seed=WEAK_SEEDS, data=st.data())
def test_no_rents_prove_more_than_the_optimum(seed: int, data: st.DataObject) -> None:
    """Weak duality, whatever the multipliers; the plan's own prove the optimum (strong duality)."""
    matrix, plan, optimum = weak_world(seed)
    one = the_one(plan)
    assert float(proven(one, plan, matrix)) == pytest.approx(optimum, rel=1e-7)
    rents = data.draw(
        st.dictionaries(
            st.sampled_from(matrix.region_ids),
            st.dictionaries(st.sampled_from(VM_ROWS), RENTS),
        )
    )
    goal = data.draw(st.sampled_from((one.goal_gbps, (one.goal_gbps or 0.0) / 3)))
    drawn = replace(one, rents=rents, goal_gbps=goal)
    assert float(proven(drawn, plan, matrix)) <= optimum * (1 + 1e-9)


@settings(max_examples=60, deadline=None)
@given(seed=WEAK_SEEDS, factors=st.lists(st.floats(0.0, 3.0), min_size=30, max_size=30))
def test_nor_do_the_plan_s_own_rents_disturbed(seed: int, factors: list[float]) -> None:
    matrix, plan, optimum = weak_world(seed)
    one, scale = the_one(plan), iter(factors)
    rents = {
        region: {row: round(rent * next(scale), 18) for row, rent in by_row.items()}
        for region, by_row in one.rents.items()
    }
    assert float(proven(replace(one, rents=rents), plan, matrix)) <= optimum * (1 + 1e-9)


@settings(max_examples=40, deadline=None)
@given(seed=WEAK_SEEDS, data=st.data())
def test_no_rents_prove_less_than_the_most_throughput(seed: int, data: st.DataObject) -> None:
    """Of the fastest: any rents bound it from above, or prove nothing (-1)."""
    matrix, plan, _ = weak_world(seed)
    fastest = solve("overlay", matrix, replace(plan.job, goal_gbps=None))
    one = next(entry for entry in fastest.certificates if entry.proves == "gbps")
    rents = {region: {row: data.draw(RENTS) for row in VM_ROWS[:2]} for region in matrix.region_ids}
    value = proven(replace(one, rents=rents), fastest, matrix)
    assert value == -1 or value >= Fraction(fastest.predicted.throughput_gbps) * (1 - PRECISE)


def test_an_infeasible_job_needs_no_certificate() -> None:
    with pytest.raises(InfeasibleJob):
        solve("overlay", diamond(), job(goal_gbps=13, vm_limit=1))
