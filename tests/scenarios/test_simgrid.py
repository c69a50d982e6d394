"""Our finish times beside SimGrid's: the scenarios given, and hundreds drawn by seed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import simgrid_venv
from simulator.scenario_file import read_scenario, scenario_from_json
from simulator.scenario_run import run_scenario
from tests.scenarios.answer import FILE, asked, digest, known, listed_ids
from tests.scenarios.draw import FAMILIES, drawn

GIVEN = sorted((Path(__file__).parent / "given").glob("*.json"))
AGREE = 1e-6
ANSWERS = known()


def ours(seed: int, *, plain: bool | None = None) -> list[float]:
    scenario = drawn(seed)
    finish_s = run_scenario(scenario_from_json(scenario), plain=plain).finish_s
    return [finish_s[each] for each in listed_ids(scenario)]


def test_there_are_scenarios() -> None:
    assert len(GIVEN) == 8
    assert len(ANSWERS) >= 300
    for family in range(len(FAMILIES)):
        assert sum(seed % len(FAMILIES) == family for seed in ANSWERS) >= 20


@pytest.mark.parametrize("plain", [True, False], ids=["plain", "compiled"])
@pytest.mark.parametrize("path", GIVEN, ids=lambda path: path.stem)
def test_a_given_scenario_comes_out_right(path: Path, plain: bool) -> None:
    expected = json.loads(path.read_text())["expected"]
    result = run_scenario(read_scenario(path), plain=plain)
    assert result.finish_s == pytest.approx(expected["finish"], rel=AGREE)
    assert result.makespan_s == pytest.approx(expected["makespan"], rel=AGREE)


def test_seeds_draw_the_same_scenarios_everywhere() -> None:
    assert digest(list(ANSWERS)) == json.loads(FILE.read_text())["digest"]


@pytest.mark.parametrize("family", range(len(FAMILIES)), ids=lambda at: FAMILIES[at].__name__[1:])
def test_drawn_scenarios_agree_with_simgrid(family: int) -> None:
    """Flow by flow: no two of these are open to a tie."""
    for seed, expected in ANSWERS.items():
        if seed % len(FAMILIES) == family:
            assert ours(seed) == pytest.approx(expected, rel=AGREE), seed


@pytest.mark.parametrize("family", range(len(FAMILIES)), ids=lambda at: FAMILIES[at].__name__[1:])
def test_compiled_and_plain_give_the_same_bytes(family: int) -> None:
    seeds = [seed for seed in ANSWERS if seed % len(FAMILIES) == family][:10]
    for seed in seeds:
        assert ours(seed, plain=True) == ours(seed, plain=False), seed


def test_simgrid_says_today_what_is_checked_in() -> None:
    if not simgrid_venv.is_there():
        pytest.skip("SimGrid: its environment was not made on this machine")
    seeds = list(ANSWERS)[::9]
    for seed, finish in asked(seeds).items():
        assert finish == pytest.approx(ANSWERS[seed], rel=1e-9), seed
