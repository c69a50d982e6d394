"""Parts of a difference: they sum to it, and the right one is blamed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.canonical import canonical_json
from datasets.errors import InputError
from datasets.events import Event
from datasets.outcome import outcome
from datasets.run import Run, write_run
from experiments.attribution import Side, parts_between, terms_of
from experiments.diff_cli import diff
from experiments.difference import (
    Difference,
    between,
    from_prediction,
    in_microseconds,
)
from experiments.progress import Progress
from experiments.sides import predicted_progress
from planner.plan import Plan, restated
from simulator.assumptions import GatewayLoss, LinkChange, Noise, fixed_provisioning
from simulator.recorded import Recorded
from simulator.simulate import run_id_of, simulate
from simulator.world import World
from tests.tiny_plans import A, B, C, D, plan_of

LINKS = {(A, B): 5.0, (A, C): 9.6, (C, B): 9.0, (A, D): 5.0, (D, B): 5.0}
PLAN = plan_of([((A, B), 2.0), ((A, C, B), 3.0), ((A, D, B), 1.0)], LINKS, size_bytes=10**11)
TWICE = plan_of([((A, B), 2.0), ((A, C, B), 4.0)], LINKS, size_bytes=10**11, vms_each=2)
LOCAL = World(
    rate_scale=0.1,
    size_scale=0.01,
    connections_per_hop=2,
    chunk_bytes=2**18,
    provisioning=fixed_provisioning(1.0),
)


def recorded(
    world: World, plan: Plan = PLAN, *, events: pd.DataFrame | None = None, **manifest: Any
) -> Recorded:
    table = simulate(plan, world) if events is None else events
    told = {"kind": "executed", "run_id": run_id_of(plan, world), **manifest}
    run = Run(folder=Path(), manifest=told, events=table, outcome=outcome(table))
    return Recorded(run=run, plan=plan)


def seconds(found: Difference) -> dict[str, float]:
    return {part.cause: part.seconds for part in found.parts}


def sums(found: Difference) -> None:
    assert sum(part.seconds for part in found.parts) == pytest.approx(found.seconds, abs=1e-6)
    told: Any = found.as_json()
    micro = [round(part["seconds"] * 10**6) for part in told["parts"]]
    assert sum(micro) == round(told["difference_s"] * 10**6)


PLAIN = recorded(LOCAL, kind="simulated")


def test_a_prediction_and_a_run_that_kept_it_part_by_a_chunk_or_so() -> None:
    found = from_prediction(PLAIN)
    sums(found)
    assert (found.first, found.second) == ("predicted", "simulated")
    assert found.first_s == pytest.approx(PLAN.predicted.makespan_s, rel=1e-9)
    assert abs(found.seconds) < 0.5
    assert "was scaled" in found.notes[0]


def test_the_path_below_its_measurement_is_blamed() -> None:
    slow = replace(LOCAL, link_changes=(LinkChange(at_s=0.0, src=D, dst=B, gbps=0.5),))
    found = between(PLAIN, recorded(slow))
    sums(found)
    parts = seconds(found)
    assert max(parts, key=lambda cause: parts[cause]) == f"steady rate of {A} → {D} → {B}"
    assert found.same_plan


def test_a_straggling_lane_is_told_from_its_path() -> None:
    """The second VM's direct lane takes 1.6 times as long: its sibling tells the link."""
    plain = recorded(LOCAL, TWICE)
    slow_lane = _slower(simulate(TWICE, LOCAL), lane=1, factor=1.6)
    found = between(plain, recorded(LOCAL, TWICE, events=slow_lane))
    sums(found)
    parts = seconds(found)
    assert parts["straggler"] > 0.5 * found.seconds > 1.0
    assert abs(parts[f"steady rate of {A} → {B}"]) < 0.5 * parts["straggler"]


def _slower(events: pd.DataFrame, *, lane: int, factor: float) -> pd.DataFrame:
    """The table with one lane's time stretched."""
    begun_s = float(events.loc[events["event"] == Event.CHUNK_READ.value, "t_s"].min())
    of_chunks = events["event"].str.startswith("chunk_") & (events["path"] == lane)
    t_s = events["t_s"].where(~of_chunks, begun_s + (events["t_s"] - begun_s) * factor)
    later: pd.DataFrame = events.assign(t_s=t_s)
    ordered: pd.DataFrame = later.sort_values("t_s", kind="stable", ignore_index=True)
    return ordered


def test_a_last_chunk_that_hangs_is_a_straggler_and_no_tail() -> None:
    events = simulate(PLAN, LOCAL)
    late = events["event"] == Event.CHUNK_ACKNOWLEDGED.value
    last = events[late].index[-1]
    key = events.loc[last, ["object", "chunk"]]
    mine = (events["chunk"] == key["chunk"]) & events["event"].isin(
        ["chunk_received", "chunk_verified", "chunk_acknowledged"]
    )
    t_s = events["t_s"].where(~mine, events["t_s"] + 3.0)
    hung = events.assign(t_s=t_s).sort_values("t_s", kind="stable", ignore_index=True)
    found = between(PLAIN, recorded(LOCAL, events=hung))
    sums(found)
    assert seconds(found)["straggler"] == pytest.approx(30.0, rel=0.05)  # 3 s, ten to one


def test_a_lost_gateway_is_blamed_for_what_it_cost() -> None:
    lost = replace(LOCAL, losses=(GatewayLoss(at_s=40.0, gateway=f"{C}#0"),))
    found = between(PLAIN, recorded(lost))
    sums(found)
    parts = seconds(found)
    assert max(parts, key=lambda cause: parts[cause]) == "losses and recovery"
    assert parts["losses and recovery"] > 0.5 * found.seconds


def test_a_busy_processor_takes_the_blame_for_steady_rates() -> None:
    slow = replace(LOCAL, link_changes=(LinkChange(at_s=0.0, src=D, dst=B, gbps=0.5),))
    found = between(PLAIN, recorded(slow, cpu={"bound": True}))
    sums(found)
    parts = seconds(found)
    assert parts["CPU"] > 0.5 * found.seconds
    assert all(s == 0.0 for cause, s in parts.items() if cause.startswith("steady"))


def test_another_size_of_the_same_plan_is_told_as_bytes() -> None:
    large = restated(PLAN, 2 * 10**11)
    found = between(PLAIN, recorded(LOCAL, large))
    sums(found)
    assert found.same_plan
    assert seconds(found)["bytes"] == pytest.approx(PLAN.predicted.makespan_s, rel=0.01)


def test_other_plans_are_compared_by_their_totals() -> None:
    direct = plan_of([((A, B), 2.0)], LINKS, size_bytes=10**11)
    found = between(PLAIN, recorded(LOCAL, direct))
    sums(found)
    assert not found.same_plan
    assert found.notes[0].startswith("The plans differ")
    assert seconds(found)["steady rate of all paths together"] > 200


@settings(max_examples=20, deadline=None)
@given(
    seeds=st.tuples(st.integers(0, 99), st.integers(0, 99)),
    sigmas=st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0)),
    lost=st.none() | st.floats(1.0, 60.0),
    bound=st.booleans(),
    plan=st.sampled_from([PLAN, TWICE]),
    size=st.integers(2, 40),
)
def test_parts_always_sum_to_the_difference(
    seeds: tuple[int, int],
    sigmas: tuple[float, float],
    lost: float | None,
    bound: bool,
    plan: Plan,
    size: int,
) -> None:
    chunk = 2**20
    worlds = [
        replace(
            LOCAL,
            seed=seed,
            chunk_bytes=chunk,
            objects=(size * chunk,),
            noise=Noise(sigma=sigma, correlation_s=20.0) if sigma > 0.01 else None,
        )
        for seed, sigma in zip(seeds, sigmas, strict=True)
    ]
    if lost is not None:
        worlds[1] = replace(worlds[1], losses=(GatewayLoss(at_s=lost, gateway=f"{C}#0"),))
    one, two = (recorded(world, plan, cpu={"bound": bound}) for world in worlds)
    for found in (between(one, two), between(two, one), from_prediction(one), from_prediction(two)):
        sums(found)


RATES = st.lists(st.floats(0.01, 50.0), min_size=3, max_size=3)
SHARES = st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0))


def _progress(rates: list[float], shares: tuple[float, float], end_s: float) -> Progress:
    times_s = np.linspace(0.0, end_s, 7)
    first, empty = sorted(shares)
    return Progress(
        names=("one", "two", "three"),
        curves=tuple((times_s, rate * times_s**1.3) for rate in rates),
        first_s=first * end_s,
        empty_s=empty * end_s,
        end_s=end_s,
    )


@settings(deadline=None)
@given(
    rates=st.tuples(RATES, RATES),
    shares=st.tuples(SHARES, SHARES),
    ends=st.tuples(st.floats(0.1, 1e4), st.floats(0.1, 1e4)),
    tails=st.tuples(st.floats(0.0, 5.0), st.floats(0.0, 5.0)),
    lost=st.sets(st.integers(0, 2)),
    bound=st.booleans(),
)
def test_parts_of_any_two_curves_sum(
    rates: tuple[list[float], list[float]],
    shares: tuple[tuple[float, float], tuple[float, float]],
    ends: tuple[float, float],
    tails: tuple[float, float],
    lost: set[int],
    bound: bool,
) -> None:
    sides = [
        Side(
            label=str(at),
            progress=_progress(rates[at], shares[at], ends[at]),
            slow_gbps=(0.1, 0.0, 0.2),
            slow_tail_s=tails[at],
            lost_tail_s=tails[1 - at],
            lost=lost,
        )
        for at in (0, 1)
    ]
    for side in sides:
        terms = terms_of(side.progress)
        whole_s = terms.start_s + terms.gigabits / terms.rate + terms.tail_s
        assert whole_s == pytest.approx(side.progress.end_s, rel=1e-6)
    parts = parts_between(sides[0], sides[1], ("p", "q"), cpu_bound=bound, of=(0, 0, 1))
    total = sum(part.seconds for part in parts)
    scale = max(1.0, *(abs(part.seconds) for part in parts))
    assert total == pytest.approx(ends[1] - ends[0], abs=1e-9 * scale + 1e-6)


@given(
    st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=20),
)
def test_rounded_parts_sum_exactly(parts: list[float]) -> None:
    total, rounded = in_microseconds(sum(parts), parts)
    assert sum(rounded) == total
    assert all(abs(a - b * 10**6) <= len(parts) for a, b in zip(rounded, parts, strict=True))


def test_a_prediction_moves_all_bytes_at_the_planned_rates() -> None:
    progress = predicted_progress(PLAN)
    assert sum(float(moved[-1]) for _, moved in progress.curves) == pytest.approx(800.0)
    assert terms_of(progress).rates == pytest.approx([2.0, 3.0, 1.0])


def test_a_run_in_which_nothing_arrived_is_refused() -> None:
    events = PLAIN.run.events
    started = events["event"].isin([Event.RUN_STARTED.value, Event.RUN_ENDED.value])
    empty = recorded(LOCAL, events=events[started].reset_index(drop=True))
    with pytest.raises(InputError, match="Nothing arrived"):
        from_prediction(empty)


# --- The verb.


def written(tmp_path: Path, world: World) -> Path:
    events = simulate(PLAN, world)
    return write_run(
        tmp_path,
        run_id_of(PLAN, world),
        kind="simulated",
        plan=PLAN.as_json(),
        events=events,
        manifest={"world": world.as_json()},
    )


def test_the_verb_shows_one_run_or_two(tmp_path: Path) -> None:
    one = written(tmp_path, LOCAL)
    two = written(tmp_path, replace(LOCAL, seed=3))
    single = CliRunner().invoke(diff, [str(one)])
    assert single.exit_code == 0, single.output
    assert "predicted" in single.output
    both = CliRunner().invoke(diff, [str(one), str(two), "--json"])
    assert both.exit_code == 0, both.output
    assert '"difference_s":0.0' in both.output
    assert str(tmp_path) not in both.output


def test_the_verb_refuses_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a run's folder"):
        CliRunner().invoke(diff, [str(tmp_path)], catch_exceptions=False)
    with pytest.raises(InputError, match="One run or two"):
        CliRunner().invoke(diff, ["a", "b", "c"], catch_exceptions=False)
    other = written(tmp_path, LOCAL)
    changed = plan_of([((A, B), 2.0)], LINKS).as_json()
    (other / "plan.json").write_bytes(canonical_json(changed))
    with pytest.raises(InputError, match="not the one that the manifest names"):
        CliRunner().invoke(diff, [str(other)], catch_exceptions=False)
