"""What a Plan carries on other figures: by hand, against the simulator, and over pairs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from datasets.matrix import Link, Matrix, RegionVm
from datasets.outcome import outcome
from datasets.synthetic import synthetic_matrix, tiny_matrix
from experiments.out_of_sample_page import page
from experiments.out_of_sample_trials import (
    COLUMNS,
    EPOCHS,
    MODES,
    common_matrices,
    distinct_columns,
    questions,
    run,
)
from experiments.resample import mean_over_pairs
from planner.evaluate import as_measured_on, carried
from planner.job import Job
from planner.plan import Plan
from planner.strategies import solve
from simulator.simulate import simulate
from simulator.world import World
from tests.tiny_plans import A, B, C, plan_of, vm

LINKS = {(A, B): 10.0, (A, C): 15.0, (C, B): 15.0}
TB = 10**12


def matrix_of(links: Mapping[tuple[str, str], float], usd_per_gb: float = 0.02) -> Matrix:
    return Matrix(
        epoch="hand",
        column="received",
        tier="premium",
        policy="as_measured",
        caps="documented",
        regions=tuple(RegionVm(id=region, vm=vm()) for region in (A, B, C)),
        links=tuple(
            Link(src=src, dst=dst, gbps=gbps, usd_per_gb=usd_per_gb, rtt_ms=100.0)
            for (src, dst), gbps in links.items()
        ),
    )


def two_paths() -> Plan:
    """4 Gbit/s directly and 6 by way of C, one VM each: connections 26, 26, 26 of 64."""
    return plan_of([((A, B), 4.0), ((A, C, B), 6.0)], LINKS)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("strategy", ["direct", "one_hop", "overlay"])
def test_on_its_own_figures_a_plan_carries_what_it_promised(strategy: str, mode: str) -> None:
    matrix = synthetic_matrix(3)
    source, destination = matrix.region_ids[0], matrix.region_ids[-1]
    plan = solve(strategy, matrix, Job(source=source, destinations=(destination,), size_bytes=TB))
    dispatch, free, connections = MODES[mode]
    found = carried(plan, matrix, dispatch=dispatch, work_conserving=free, connections=connections)
    assert found.gbps >= plan.predicted.throughput_gbps * (1 - 1e-6)
    if not free:
        assert found.gbps == pytest.approx(plan.predicted.throughput_gbps)
        assert found.cost_usd.total == pytest.approx(plan.predicted.cost_usd.total)


def test_a_slower_link_holds_fixed_shares_up() -> None:
    """C to B falls to 3: with 26 of 64 connections its lane carries 39/32, and has 60 %."""
    there = matrix_of({**LINKS, (C, B): 3.0})
    found = carried(two_paths(), there, dispatch="static")
    assert found.gbps == pytest.approx(26 / 64 * 3.0 / 0.6)


def test_with_all_connections_the_receiver_is_what_fixed_shares_wait_for() -> None:
    """B's time: 0.4/10 + 0.6/3 a gigabit of the whole, so 1/0.24."""
    there = matrix_of({**LINKS, (C, B): 3.0})
    found = carried(two_paths(), there, dispatch="static", connections="full")
    assert found.gbps == pytest.approx(1 / 0.24)


def test_dynamic_dispatch_sends_more_where_there_is_room() -> None:
    """Directly 4 (the planned rate), then B's time leaves (1 − 0.4)·3 = 1.8 by way of C."""
    there = matrix_of({**LINKS, (C, B): 3.0})
    found = carried(two_paths(), there, dispatch="dynamic", connections="full")
    assert found.lane_gbps == pytest.approx((4.0, 1.8))
    free = carried(two_paths(), there, dispatch="dynamic", work_conserving=True, connections="full")
    assert free.gbps == pytest.approx(10.0)  # all of B's time to the direct link


def test_planned_rates_are_caps_on_faster_links_too() -> None:
    there = matrix_of({pair: 2 * gbps for pair, gbps in LINKS.items()})
    assert carried(two_paths(), there, dispatch="dynamic").gbps == pytest.approx(10.0)
    free = carried(two_paths(), there, dispatch="static", work_conserving=True)
    assert free.gbps == pytest.approx(26 / 64 * 20.0 / 0.4)  # the direct lane's 26 connections


def test_a_missing_link_stops_fixed_shares_and_not_dynamic_ones() -> None:
    there = matrix_of({(A, B): 10.0})
    stopped = carried(two_paths(), there, dispatch="static")
    assert stopped.gbps == 0
    assert stopped.makespan_s == stopped.cost_usd.total == float("inf")
    assert carried(two_paths(), there, dispatch="dynamic").gbps == pytest.approx(4.0)
    with pytest.raises(KeyError):
        as_measured_on(two_paths(), there)


def test_cost_is_by_the_other_matrix_prices_and_the_time_it_takes() -> None:
    """10 GB: 40 % over one link and 60 % over two at $0.05, and 3 VMs at $0.001 a second."""
    found = carried(two_paths(), matrix_of(LINKS, usd_per_gb=0.05), dispatch="dynamic")
    assert found.cost_usd.egress == pytest.approx(10 * 0.05 * (0.4 + 2 * 0.6))
    assert found.makespan_s == pytest.approx(8.0)
    assert found.cost_usd.vm == pytest.approx(3 * 0.001 * 8.0)


@pytest.mark.parametrize("dispatch", ["static", "dynamic"])
def test_the_simulator_agrees(dispatch: str) -> None:
    there = matrix_of({**LINKS, (C, B): 9.0})
    plan = two_paths()
    world = World(dispatch=dispatch, connections_per_hop=64, chunk_bytes=2**18)  # type: ignore[arg-type]
    found = carried(plan, there, dispatch=dispatch, connections="full")  # type: ignore[arg-type]
    simulated = outcome(simulate(as_measured_on(plan, there), world)).throughput_gbps
    # Fair sharing gives the two lanes B's time in other parts than a coordinated sender would.
    assert 0.96 * found.gbps <= simulated <= 1.005 * found.gbps


def test_intervals_are_over_regions_and_by_seed() -> None:
    pairs = [("a", "b"), ("b", "a"), ("a", "c"), ("c", "b")]
    found = mean_over_pairs(pairs, [1.0, 2.0, 3.0, 4.0], seed=5)
    assert found == mean_over_pairs(pairs, [1.0, 2.0, 3.0, 4.0], seed=5)
    assert found.mean == 2.5
    assert 1.0 <= found.low < 2.5 < found.high <= 4.0
    same = mean_over_pairs(pairs, [7.0] * 4, seed=5)
    assert (same.mean, same.low, same.high) == (7.0, 7.0, 7.0)
    assert mean_over_pairs([], [], seed=5).pairs == 0


def test_pairs_that_share_a_region_count_for_less_than_as_many_apart() -> None:
    star = [("hub", f"r{n}") for n in range(12)]
    apart = [(f"s{n}", f"r{n}") for n in range(12)]
    values = [1.0] * 6 + [0.0] * 6
    # The hub is drawn or nothing is: intervals over pairs would be the same for both.
    assert mean_over_pairs(star, values, seed=1).pairs == 12
    wide = mean_over_pairs(apart, values, seed=1)
    assert wide.high - wide.low > 0.5


def test_both_epochs_are_cut_to_what_both_measured() -> None:
    first, second = common_matrices("received", False).values()
    assert (first.epoch, second.epoch) == EPOCHS
    ends = [[(link.src, link.dst) for link in matrix.links] for matrix in (first, second)]
    assert ends[0] == ends[1]
    assert not any(src.startswith("gcp") and dst.startswith("gcp") for src, dst in ends[0])


def test_a_column_of_the_same_figures_is_not_asked_twice() -> None:
    assert distinct_columns(COLUMNS) == ("received", "sent")


def test_a_trial_of_one_pair_makes_a_page() -> None:
    asked = questions(count=1, seed=3, columns=("sent",))
    (found,) = list(run(asked[:1], workers=1))
    assert {trial.planned_on for trial in found} == set(EPOCHS)
    assert {trial.strategy for trial in found} == {"direct", "one_hop", "overlay"}
    for trial in found:
        paced, free = trial.carried_gbps["dynamic"], trial.carried_gbps["dynamic_wc"]
        assert trial.carried_gbps["static"] <= paced * (1 + 1e-6)
        assert paced <= trial.promised_gbps * (1 + 1e-6)
        assert paced <= free * (1 + 1e-6)
    text = page(found, [], columns=("sent",), command="here", seed=1)
    assert "printed by `here`" in text
    assert text.count("| sent |") >= 12


def test_the_page_names_its_command() -> None:
    text = Path("docs/out_of_sample.md").read_text()
    assert "python -m experiments.out_of_sample --pairs" in text


def test_the_plan_of_the_tiny_world_is_not_changed_by_judging_it() -> None:
    matrix = tiny_matrix()
    job = Job(source=matrix.region_ids[2], destinations=(matrix.region_ids[4],), size_bytes=TB)
    plan = solve("overlay", matrix, job)
    before = plan.id
    carried(plan, matrix, dispatch="dynamic")
    assert plan.id == before
    assert as_measured_on(plan, matrix).predicted == plan.predicted
