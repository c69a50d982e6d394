"""The frontier: its points against the exact planner, its relaxation against another solver."""

from __future__ import annotations

import itertools
import json
import random
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from datasets.canonical import canonical_json
from datasets.epochs import MatrixChoice, load_matrix
from datasets.errors import InfeasibleJob, InputError, UnsupportedJob
from datasets.matrix import Matrix
from datasets.synthetic import synthetic_matrix
from datasets.units import gigabits
from planner.checks import check
from planner.frontier import Frontier, Point, frontier
from planner.frontier_picture import draw
from planner.frontier_render import frontier_sentences, frontier_table
from planner.job import Job
from planner.plan import plan_from_json
from planner.strategies import solve
from tests.milp_oracle import cheapest
from tests.unit.planner.worlds import R, S, T, diamond, job

EPOCHS = ("2022-01-29", "2022-11-28")
TB = 10**12
PAIRS = (
    ("azure:canadacentral", "gcp:asia-northeast2"),
    ("aws:us-east-1", "azure:uksouth"),
    ("gcp:europe-west4", "aws:ap-northeast-1"),
)


@cache
def epoch(name: str) -> Matrix:
    return load_matrix(MatrixChoice(epoch=name))


def asked(ends: tuple[str, str], **changes: Any) -> Job:
    given: dict[str, Any] = {"size_bytes": TB, "vm_limit": 4, **changes}
    return Job(source=ends[0], destinations=(ends[1],), **given)


@cache
def found_on(name: str, ends: tuple[str, str]) -> Frontier:
    return frontier(epoch(name), asked(ends), 12)


WORLDS = list(itertools.product(EPOCHS, PAIRS))


def rises(points: tuple[Point, ...]) -> None:
    """Faster and dearer from point to point; so none is dominated."""
    for one, other in itertools.pairwise(points):
        assert one.throughput_gbps < other.throughput_gbps
        assert one.cost_usd < other.cost_usd


@pytest.mark.parametrize(("name", "ends"), WORLDS)
def test_points_rise_and_every_plan_holds(name: str, ends: tuple[str, str]) -> None:
    matrix, found = epoch(name), found_on(name, ends)
    rises(found.points)
    assert len(found.points) >= 5
    for point in found.points:
        assert point.bound_usd <= point.cost_usd * (1 + 1e-9)
        plan = point.plan()
        check(plan, matrix)
        assert plan.certificates
        assert plan.predicted.throughput_gbps == pytest.approx(point.throughput_gbps, rel=1e-6)
        assert plan.predicted.cost_usd.total == pytest.approx(point.cost_usd, rel=1e-6)
        assert plan.bound_usd == pytest.approx(point.bound_usd, rel=1e-9)
    last = found.points[-1].throughput_gbps
    assert last <= found.most_gbps * (1 + 1e-9)
    assert last == pytest.approx(
        solve("overlay", matrix, asked(ends)).predicted.throughput_gbps, rel=1e-6
    )
    for lower, upper in itertools.pairwise(point.bound_usd for point in found.points):
        assert lower <= upper * (1 + 1e-9)


@pytest.mark.parametrize(("name", "ends"), WORLDS)
def test_between_breakpoints_the_cost_rate_is_a_line(name: str, ends: tuple[str, str]) -> None:
    """At random goals the line between two breakpoints is HiGHS' optimum of the relaxation.

    Before the first one the cost itself is constant: the rate is a line through nothing.
    """
    matrix, found = epoch(name), found_on(name, ends)
    size, rng = gigabits(TB), random.Random(name)
    rates = [(0.0, 0.0), *((gbps, gbps * usd / size) for gbps, usd in found.breakpoints)]
    segments = [
        (low, high) for low, high in itertools.pairwise(rates) if high[0] - low[0] > 1e-3 * high[0]
    ]
    assert found.most_gbps == pytest.approx(rates[-1][0], rel=1e-8)
    slopes = [(high[1] - low[1]) / (high[0] - low[0]) for low, high in segments]
    for one, other in itertools.pairwise(slopes):
        assert one <= other * (1 + 1e-6)
    for low, high in rng.sample(segments, min(3, len(segments))):
        share = rng.uniform(0.05, 0.95)
        gbps = low[0] + share * (high[0] - low[0])
        answer = cheapest(matrix, asked(ends), goal_gbps=gbps, usd_per_gigabit=0.0, whole=False)
        assert answer is not None
        assert low[1] + share * (high[1] - low[1]) == pytest.approx(answer.usd_per_s, rel=1e-6)
    beyond = cheapest(
        matrix,
        asked(ends),
        goal_gbps=found.most_gbps * (1 + 1e-5),
        usd_per_gigabit=0.0,
        whole=False,
    )
    assert beyond is None


@pytest.mark.parametrize(("name", "ends"), WORLDS)
def test_a_point_s_bound_is_the_relaxation_s_cost_there(name: str, ends: tuple[str, str]) -> None:
    matrix, found = epoch(name), found_on(name, ends)
    for point in found.points[1::4]:
        answer = cheapest(
            matrix,
            asked(ends),
            goal_gbps=point.throughput_gbps,
            usd_per_gigabit=0.0,
            whole=False,
        )
        assert answer is not None
        usd = answer.usd_per_s / point.throughput_gbps * gigabits(TB)
        assert point.bound_usd == pytest.approx(usd, rel=1e-6)


@pytest.mark.parametrize(("name", "ends"), WORLDS[::2])
def test_no_point_is_half_a_per_cent_above_the_best_plan(name: str, ends: tuple[str, str]) -> None:
    matrix, found = epoch(name), found_on(name, ends)
    for point in found.points[::4]:
        goal = round(point.throughput_gbps * (1 - 1e-9), 9)
        best = solve("overlay_exact", matrix, asked(ends, goal_gbps=goal))
        assert point.cost_usd <= best.predicted.cost_usd.total * 1.005
        assert point.bound_usd <= best.predicted.cost_usd.total * (1 + 1e-9)


def below_the_chord(points: tuple[Point, ...], at: int) -> float:
    first, last, point = points[0], points[-1], points[at]
    along = (point.throughput_gbps - first.throughput_gbps) / (
        last.throughput_gbps - first.throughput_gbps
    )
    return along - (point.cost_usd - first.cost_usd) / (last.cost_usd - first.cost_usd)


@pytest.mark.parametrize(("name", "ends"), WORLDS)
def test_the_knee_is_furthest_below_the_chord(name: str, ends: tuple[str, str]) -> None:
    found = found_on(name, ends)
    assert found.knee is not None
    furthest = below_the_chord(found.points, found.knee)
    assert all(below_the_chord(found.points, k) <= furthest for k in range(len(found.points)))
    assert furthest >= 0


def test_by_hand() -> None:
    """One VM each: $84 up to 4 Gbit/s directly, then more and more by way of R.

    At 12 Gbit/s: $100 egress, three VMs for 667 s at $0.001 a second: $2. The relaxation's rate
    bends once, at 4: $84 of 2,000 s; and ends at 12: $102 of 667 s.
    """
    found = frontier(diamond(), job(vm_limit=1), 9)
    rises(found.points)
    first, last = found.points[0], found.points[-1]
    assert (first.throughput_gbps, first.cost_usd) == pytest.approx((4.0, 84.0))
    assert (last.throughput_gbps, last.cost_usd) == pytest.approx((12.0, 102.0))
    bends = [figure for bend in found.breakpoints for figure in bend]
    assert bends == pytest.approx([4.0, 84.0, 12.0, 102.0])
    # At 8 the fractional relay costs half a VM: $97.50; whole, $98.
    (middle,) = (p for p in found.points if p.throughput_gbps == pytest.approx(8.0))
    assert (middle.cost_usd, middle.bound_usd) == pytest.approx((98.0, 97.5))
    assert middle.vms == {S: 1, R: 1, T: 1}


def test_one_point_is_the_fastest_and_two_have_no_knee() -> None:
    (only,) = frontier(diamond(), job(vm_limit=1), 1).points
    assert only.throughput_gbps == pytest.approx(12.0)
    two = frontier(diamond(), job(vm_limit=1), 2)
    assert [point.throughput_gbps for point in two.points] == pytest.approx([4.0, 12.0])
    assert two.knee is None
    straight = frontier(diamond(), job(vm_limit=1, forbid=(R,)), 5)
    assert len(straight.points) == 1
    assert straight.knee is None


def test_a_pair_without_a_way_is_infeasible() -> None:
    asked_for = job(forbid=(R, "azure:q"), forbid_links=((S, T),))
    with pytest.raises(InfeasibleJob) as answer:
        frontier(diamond(), asked_for, 5)
    assert answer.value.most_gbps == 0
    assert answer.value.binds
    for changes in ({"provisioning": True}, {"tiered": True}, {"quotas": {S: 0}}):
        changed: dict[str, Any] = changes
        with pytest.raises(InfeasibleJob):
            frontier(diamond(), replace(asked_for, **changed), 5)


def test_several_destinations_have_no_frontier() -> None:
    several = Job(source=S, destinations=(T, R), size_bytes=TB)
    with pytest.raises(UnsupportedJob):
        frontier(diamond(), several, 5)


ASKED: dict[str, dict[str, Any]] = {
    "provisioning": {"provisioning": True, "size_bytes": 10**11},
    "tiered": {"tiered": True, "size_bytes": 30 * TB},
    "require": {"require": ("aws:us-west-2",)},
    "ceiling": {"max_gco2e": 800.0},
    "both": {"provisioning": True, "tiered": True},
}


@pytest.mark.parametrize("name", ASKED)
def test_where_cost_is_not_in_proportion_each_point_is_its_own_plan(name: str) -> None:
    matrix = epoch("2022-11-28")
    given = asked(PAIRS[0], **ASKED[name])
    found = frontier(matrix, given, 4)
    rises(found.points)
    assert found.breakpoints == ()
    assert len(found.points) >= 2
    for point in found.points:
        plan = point.plan()
        check(plan, matrix)
        assert point.bound_usd <= point.cost_usd * (1 + 1e-9)
        assert (plan.job.provisioning, plan.job.tiered) == (given.provisioning, given.tiered)
        assert all(set(given.require) <= set(path.hops) for path in plan.paths)
        if given.max_gco2e is not None:
            assert (plan.predicted.gco2e or 0.0) <= given.max_gco2e * (1 + 1e-6)
        if name != "require":
            assert point.cost_usd <= point.bound_usd * 1.02


def test_the_json_has_exactly_these_keys_and_whole_plans() -> None:
    matrix, found = epoch("2022-11-28"), found_on("2022-11-28", PAIRS[0])
    told = json.loads(canonical_json(found.as_json()))
    assert set(told) == {"points", "knee", "breakpoints", "most_gbps"}
    assert len(told["points"]) == len(found.points)
    for point in told["points"]:
        assert set(point) == {"throughput_gbps", "cost_usd", "bound_usd", "plan"}
        plan = plan_from_json(point["plan"])
        check(plan, matrix)
        assert plan.predicted.throughput_gbps == point["throughput_gbps"]
        assert plan.predicted.cost_usd.total == pytest.approx(point["cost_usd"], abs=2e-8)
        assert plan.bound_usd == point["bound_usd"]
    for entry in told["breakpoints"]:
        assert set(entry) == {"throughput_gbps", "cost_usd"}


@pytest.mark.parametrize("seed", range(4))
def test_the_same_question_has_the_same_bytes(seed: int, tmp_path: Path) -> None:
    """Of a Matrix read twice, too: nothing that one answer leaves behind changes the next."""
    pictures, texts = set(), set()
    for number in range(2):
        matrix = synthetic_matrix(seed, regions=9)
        given = asked((matrix.region_ids[0], matrix.region_ids[-1]))
        found = frontier(matrix, given, 7)
        texts.add(canonical_json(found.as_json()))
        for ending in (".svg", ".png"):
            path = tmp_path / f"{number}{ending}"
            draw(found, given, matrix.ref(), path)
            pictures.add((ending, path.read_bytes()))
    assert len(texts) == 1
    assert len(pictures) == 2
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        "0.png",
        "0.svg",
        "1.png",
        "1.svg",
    ]


def test_a_picture_of_no_known_kind_is_refused_before_it_is_made(tmp_path: Path) -> None:
    found = frontier(diamond(), job(vm_limit=1), 3)
    for name in ("picture.gif", "picture", "picture.svgz"):
        with pytest.raises(InputError, match="is no picture"):
            draw(found, job(), diamond().ref(), tmp_path / name)
    with pytest.raises(InputError, match="Cannot write"):
        draw(found, job(), diamond().ref(), tmp_path / "nowhere" / "picture.svg")
    assert not [path for path in tmp_path.iterdir() if path.is_file()]


def test_one_point_can_be_drawn_and_told(tmp_path: Path) -> None:
    for points in (1, 2, 3):
        found = frontier(diamond(), job(vm_limit=1), points)
        draw(found, job(), diamond().ref(), tmp_path / "picture.svg")
        assert (tmp_path / "picture.svg").read_text().lstrip().startswith("<?xml")
        said = list(frontier_sentences(found, job()))
        assert "$102.00" in said[0]
        assert frontier_table(found).row_count == len(found.points)
    assert any("knee" in sentence for sentence in said)


def test_nothing_in_the_picture_asks_for_anything_elsewhere(tmp_path: Path) -> None:
    """But for the names of formats that an SVG's head has."""
    draw(frontier(diamond(), job(vm_limit=1), 5), job(), diamond().ref(), tmp_path / "p.svg")
    text = (tmp_path / "p.svg").read_text()
    assert "<script" not in text
    assert 'href="http' not in text.replace('xlink:href="#', "")
