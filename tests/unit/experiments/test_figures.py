"""What the figures show, on tables by hand: `A → B` directly and by way of `C`, or a small tree."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from datasets.errors import DataError
from datasets.events import Event
from datasets.run import Run
from experiments.attempts import Attempts, attempts_of
from experiments.figures import NothingToDraw, caption_of
from experiments.figures_chunks import chunks, thinned
from experiments.figures_time import cost, costs_of, queues, throughput
from experiments.figures_trials import Trials, makespans, simulated_against_predicted, trials_of
from experiments.marks import counted, marks_of
from experiments.progress import progress_of
from experiments.queues import queues_of
from experiments.slots import slots_of
from experiments.ways import planned_gbps, ways_of
from planner.plan import Plan
from tests.event_tables import MB, PLAN, TREE_PLAN, Table, lossy, many, spread
from tests.tiny_plans import A, B, C, D, plan_of


def attempts(plan: Plan, run: Run) -> Attempts:
    return attempts_of(plan, run.events, run.outcome)


def bits_by_way(plan: Plan, run: Run) -> list[float]:
    progress = progress_of(plan, run.events, run.outcome)
    assert progress is not None
    return [float(moved[-1]) if len(moved) else 0.0 for _, moved in progress.curves]


# --- Throughput.


@pytest.mark.parametrize(
    ("plan", "run", "chunks_by_way"),
    [
        (PLAN, lossy(), [2, 2]),
        (TREE_PLAN, spread(), [2, 1]),
        (PLAN, many(40), [20, 20]),
        (PLAN, many(40, jobs=2), [20, 20, 20, 20]),
    ],
)
def test_the_curves_sum_to_the_bytes(plan: Plan, run: Run, chunks_by_way: list[int]) -> None:
    """A chunk counts once, for the way by which it arrived; Jobs are kept apart."""
    assert bits_by_way(plan, run) == pytest.approx([each * 0.008 for each in chunks_by_way])
    total = run.outcome.size_bytes * 8e-9
    assert sum(bits_by_way(plan, run)) == pytest.approx(total)


def test_ways_are_named_by_regions_trees_by_branches() -> None:
    assert ways_of(PLAN, lossy().events).names == (f"{A} → {B}", f"{A} → {C} → {B}")
    names = ways_of(TREE_PLAN, spread().events).names
    assert names == (f"{A} → {C} → ({B}, {D})", f"{A} → ({B}, {D})")
    assert ways_of(PLAN, many(4, jobs=2).events).names[2] == f"job 1: {A} → {B}"


def test_a_lane_that_is_not_the_plans_is_known_by_its_hops() -> None:
    """After a loss a plan is made anew: lane 2 goes by way of D, lane 0 is another than planned."""
    other = plan_of([((A, D, B), 1.0)], {(A, D): 5.0, (D, B): 5.0})
    run = Table(other).chunk(0, 0, 0.0, 1.0, 2.0).run()
    assert ways_of(PLAN, run.events).names[2:] == (f"{A} → {D} → {B}",)
    assert bits_by_way(PLAN, run) == pytest.approx([0.0, 0.0, 0.008])


def test_a_chunk_pieced_together_by_two_trees_counts_once() -> None:
    """By the first tree it reached only B, by the second only D: no attempt was whole."""
    table = Table(TREE_PLAN).chunk(0, 0, 0.0, 1.0, 2.0)
    table.event(Event.CHUNK_READ, 4.0, object=0, chunk=0, path=1, bytes=MB)
    about: dict[str, Any] = {"object": 0, "chunk": 0, "path": 1, "bytes": MB}
    table.event(Event.CHUNK_RECEIVED, 5.0, **about, hop=1, src=f"{A}#0", dst=f"{D}#0")
    table.event(Event.CHUNK_ACKNOWLEDGED, 5.0, **about)
    assert bits_by_way(TREE_PLAN, table.run()) == pytest.approx([0.0, 0.008])


def test_the_throughput_has_a_panel_a_run_and_predicted_as_outline() -> None:
    run = lossy()
    figure = throughput(PLAN, [many(40), run])
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["Simulated", "Executed"]
    for axes in figure.axes:
        outline = axes.lines[0]
        assert np.max(outline.get_ydata()) == PLAN.predicted.throughput_gbps
        assert np.max(outline.get_xdata()) == pytest.approx(PLAN.predicted.makespan_s)
        assert axes.get_ylim()[0] == 0
        assert axes.get_ylabel() == "Gbit/s"
    assert "seconds" in figure.axes[-1].get_xlabel()


def test_what_befell_a_run_is_marked_and_counted() -> None:
    """A gateway is back only after it was lost: A was merely ready."""
    run = lossy()
    marks = marks_of(run.events, run.outcome)
    assert [(mark.at_s, mark.words) for mark in marks] == [
        (3.0, "gateway lost"),
        (3.0, "connection lost"),
        (4.0, "chunk sent again"),
        (5.0, "gateway back"),
        (5.5, "link changed"),
    ]
    for figure in (throughput(PLAN, [run]), chunks(PLAN, run), queues(PLAN, run), cost(run)):
        words = [text.get_text() for text in figure.legends[0].get_texts()]
        assert words[-5:] == list(counted(marks))


def test_times_are_those_of_the_real_transfer() -> None:
    """At a tenth of the rates and a hundredth of the bytes, a second is ten of the real ones."""
    table = Table(PLAN, k=0.1, b=0.01).chunk(0, 0, 1.0, 2.0)
    run = table.event(Event.LINK_CHANGED, 1.5, src=A, dst=C).run()
    assert marks_of(run.events, run.outcome)[0].at_s == pytest.approx(5.0)
    assert attempts(PLAN, run).table["ended_s"].tolist() == pytest.approx([10.0])


def test_what_several_sources_carry_together_is_what_an_outcome_counts() -> None:
    assert planned_gbps(PLAN) == PLAN.predicted.throughput_gbps
    assert planned_gbps(TREE_PLAN) == 4.0


# --- Chunks.


def test_an_attempt_that_was_given_up_is_told_from_one_that_arrived() -> None:
    table = attempts(PLAN, lossy()).table
    rows = table[["chunk", "path", "began_s", "ended_s", "arrived", "resent"]].values.tolist()
    assert rows == [
        [0, 0, 0.0, 2.0, True, False],
        [1, 1, 0.0, 2.0, True, False],
        [2, 1, 2.0, 4.0, False, False],
        [2, 0, 4.0, 6.0, True, True],
        [3, 1, 6.0, 8.0, True, False],
    ]


def test_a_chunk_sent_again_without_being_read_again_begins_there() -> None:
    table = Table(PLAN).chunk(0, 0, 0.0)
    table.event(Event.CHUNK_RESENT, 2.0, object=0, chunk=0, path=0, bytes=MB)
    edge = PLAN.lanes[0].hops[0]
    about: dict[str, Any] = {"object": 0, "chunk": 0, "path": 0, "bytes": MB}
    table.event(Event.CHUNK_RECEIVED, 3.0, **about, hop=0, src=edge[0], dst=edge[1])
    table.event(Event.CHUNK_ACKNOWLEDGED, 3.0, **about)
    found = attempts(PLAN, table.run()).table
    assert found["began_s"].tolist() == [0.0, 2.0]
    assert found["ended_s"].tolist() == [2.0, 3.0]
    assert found["resent"].tolist() == [False, True]


def random_attempts(seed: int, count: int = 300) -> Attempts:
    rng = np.random.default_rng(seed)
    table = Table(PLAN)
    for number, read_s in enumerate(np.sort(rng.uniform(0, 50, count)).tolist()):
        path = int(rng.integers(2))
        ends = read_s + np.cumsum(rng.uniform(0.1, 3, 1 + path))
        table.chunk(number, path, read_s, *ends.tolist())
    return attempts(PLAN, table.run(60.0))


@pytest.mark.parametrize("seed", range(5))
def test_slots_never_overlap_and_are_as_few_as_can_be(seed: int) -> None:
    found = random_attempts(seed)
    slots = slots_of(found, most_rows=10**6)
    most = 0
    for _, row in slots.bars.groupby("row"):
        ordered = row.sort_values("began_s")
        assert (ordered["began_s"].to_numpy()[1:] >= ordered["ended_s"].to_numpy()[:-1]).all()
    for _, lane in found.table.groupby("path"):
        moments = lane["began_s"].to_numpy()
        under_way = [
            int(((lane["began_s"] <= at) & (lane["ended_s"] > at)).sum()) for at in moments
        ]
        most += max(under_way)
    assert slots.rows == slots.all_rows == most
    assert len(slots.bars) == len(found.table)


def test_above_fifty_rows_are_folded_and_the_caption_says_so() -> None:
    """120 slots a lane; those with a chunk sent again are kept."""
    run = many(960, together=120)
    slots = slots_of(attempts(PLAN, run))
    assert (slots.rows, slots.all_rows) == (50, 240)
    assert sum(rows for _, rows, _ in slots.lanes) == 50
    assert sorted(slots.bars["row"].unique()) == list(range(50))
    figure = chunks(PLAN, run)
    assert "50 of 240 rows are shown" in caption_of(figure)
    assert figure.axes[0].get_ylabel() == "50 of 240 slots"


def test_rows_with_a_chunk_sent_again_are_kept_first() -> None:
    table = Table(PLAN)
    for number in range(100):
        table.chunk(number, 0, 0.0, 5.0, connection=number)
    table.chunk(0, 0, 6.0, 7.0, connection=99)
    slots = slots_of(attempts(PLAN, table.run()), most_rows=10)
    assert slots.bars["resent"].sum() == 1
    assert slots.rows == 10


def test_many_bars_are_joined_none_is_lost_and_no_long_gap_is_covered() -> None:
    bars = slots_of(random_attempts(1, 2000), most_rows=10**6).bars
    rows = int(bars["row"].max()) + 1
    joined, each_s = thinned(bars, rows, 400)
    assert joined["chunks"].sum() == len(bars)
    assert len(joined) < 3 * 400
    assert each_s > 0
    covered = (joined["ended_s"] - joined["began_s"]).sum()
    alone = (bars["ended_s"] - bars["began_s"]).sum()
    assert alone <= covered + 1e-9 <= alone + each_s * (len(bars) - len(joined)) + 1e-6
    same, nothing_s = thinned(bars, rows, len(bars))
    assert (len(same), nothing_s) == (len(bars), 0.0)


def test_resent_and_given_up_chunks_stand_out() -> None:
    figure = chunks(PLAN, lossy())
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "chunk sent again: framed" in words
    assert "given up before it arrived" in words
    assert "framed" not in str(
        [text.get_text() for text in chunks(PLAN, many(40)).legends[0].get_texts()]
    )


# --- Queues.


def test_a_relay_holds_what_has_come_and_not_gone() -> None:
    """Chunk 0 is at C from 1 to 3 s, chunk 1 from 2 to 4 s: 1, 2 and 1 MB."""
    run = Table(PLAN).chunk(0, 1, 0.0, 1.0, 3.0).chunk(1, 1, 0.5, 2.0, 4.0).run()
    found = queues_of(attempts(PLAN, run), size_scale=1.0)
    assert found.relays == (f"{C}#0",)
    at_s, held = found.held[f"{C}#0"]
    assert at_s.tolist() == [1.0, 2.0, 3.0, 4.0]
    assert held.tolist() == [MB, 2 * MB, MB, 0]
    edges_s = np.array([0.0, 1.5, 2.5, 3.5, 5.0])
    assert found.most_bytes(f"{C}#0", edges_s).tolist() == [MB, 2 * MB, 2 * MB, MB]
    assert "at most 2 MB" in queues(PLAN, run).axes[0].get_title(loc="left")


def test_a_relay_of_a_tree_holds_a_chunk_until_every_branch_has_it() -> None:
    """Chunk 0 from 1 to 3 s, chunk 1 from 2 to 3 s; the second tree has no relay."""
    run = spread()
    found = queues_of(attempts(TREE_PLAN, run), size_scale=run.outcome.size_scale)
    at_s, held = found.held[f"{C}#0"]
    assert list(found.held) == [f"{C}#0"]
    assert at_s.tolist() == [1.0, 2.0, 3.0, 3.0]
    assert held.tolist() == [MB, 2 * MB, MB, 0]


def test_what_a_lost_relay_held_is_held_until_it_is_sent_again() -> None:
    run = lossy()
    at_s, held = queues_of(attempts(PLAN, run), size_scale=1.0).held[f"{C}#0"]
    assert held.tolist()[-1] == 0
    assert (2.5, 4.0) == (at_s[2], at_s[3])


def test_queues_are_those_of_the_real_transfer() -> None:
    run = Table(PLAN, k=0.1, b=0.01).chunk(0, 1, 0.0, 1.0, 3.0).run()
    found = queues_of(attempts(PLAN, run), size_scale=run.outcome.size_scale)
    assert found.peak_bytes(f"{C}#0") == 100 * MB


def test_where_nothing_waits_a_sentence_says_so() -> None:
    with pytest.raises(NothingToDraw, match="cut-through"):
        queues(PLAN, many(40))
    direct = plan_of([((A, B), 2.0)], {(A, B): 5.0})
    with pytest.raises(NothingToDraw, match="No gateway relays"):
        queues(direct, Table(direct).chunk(0, 0, 0.0, 1.0).run())


# --- Cost.


@pytest.mark.parametrize("run", [lossy(), many(200)])
def test_cost_ends_at_the_outcomes(run: Run) -> None:
    curves = costs_of(run)
    assert list(curves) == ["egress", "vm"]
    assert curves["egress"][1][-1] == pytest.approx(run.outcome.egress_usd)
    assert curves["vm"][1][-1] == pytest.approx(run.outcome.vm_usd)
    for at_s, so_far in curves.values():
        assert (np.diff(at_s) >= 0).all()
        assert (np.diff(so_far) >= 0).all()
    words = f"${run.outcome.cost_usd:.3g} in the end"
    assert words in caption_of(cost(run))


def test_another_kind_of_cost_is_stacked_too() -> None:
    """A request's fee, as its own row, on top of egress and VM time."""
    run = lossy()
    row = run.events[run.events["event"] == Event.COST_ACCRUED.value].tail(1)
    fee = row.assign(detail='{"kind":"request","usd":0.5}')
    events = pd.concat([run.events, fee]).sort_values("t_s", kind="stable", ignore_index=True)
    curves = costs_of(replace(run, events=events))
    assert list(curves) == ["egress", "vm", "request"]
    assert curves["request"][1].tolist() == [0.5]


# --- Trials, and several plans.


def test_makespans_mark_percentiles_and_the_promise() -> None:
    figure = makespans(list(range(1, 102)), promised_s=51.0, assumed="a coin is tossed")
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == [
        "101 trials",
        "promised 51 seconds",
        "P5: 6 seconds",
        "P50: 51 seconds",
        "P95: 96 seconds",
    ]
    assert "assumed: a coin is tossed" in caption_of(figure)
    assert "50% of them" in caption_of(figure)
    heights = np.asarray(figure.axes[0].lines[0].get_ydata(), dtype=float)
    assert (np.diff(heights) >= 0).all()
    assert (heights[0], heights[-1]) == (0.0, 100.0)
    with pytest.raises(NothingToDraw):
        makespans([], promised_s=1.0, assumed="nothing")
    assert caption_of(makespans([5.0], promised_s=5.0, assumed="nothing"))


def test_trials_come_from_the_manifest() -> None:
    value: dict[str, Any] = {"makespan_s": [1, 2], "cost_usd": [3, 4], "assumed": "σ = 0.1"}
    expected = Trials(makespan_s=(1.0, 2.0), cost_usd=(3.0, 4.0), assumed="σ = 0.1")
    assert trials_of({"trials": value}) == expected
    assert trials_of({}) is None
    wrongs: tuple[object, ...] = ([], {"makespan_s": [1]}, {**value, "makespan_s": ["x"]})
    for wrong in wrongs:
        with pytest.raises(DataError, match="trials"):
            trials_of({"trials": wrong})


@pytest.mark.parametrize("factor", [1.0, 100.0])
def test_simulated_against_predicted_has_a_marker_a_strategy(factor: float) -> None:
    points = [
        ("direct", 80.0 * factor, 80.0 * factor),
        ("overlay", 40.0, 41.0),
        ("overlay", 50.0, 49.9),
    ]
    figure = simulated_against_predicted(points)
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words[2:] == [
        "direct, 1 plan, furthest off +0.0%",
        "overlay, 2 plans, furthest off +2.5%",
    ]
    axes = figure.axes[0]
    assert axes.get_xlim() == axes.get_ylim()
    assert axes.get_xscale() == ("log" if factor > 1 else "linear")
    with pytest.raises(NothingToDraw):
        simulated_against_predicted([])
