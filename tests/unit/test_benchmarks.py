from __future__ import annotations

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from benchmarks.__main__ import main, measure
from benchmarks.registry import specs
from benchmarks.spec import BenchSpec, Measure

NAMES = [spec.name for spec in specs()]


def test_every_subject_has_a_case() -> None:
    assert {name.split(".")[0] for name in NAMES} == {
        *("solve", "frontier", "growth", "broadcast", "fluid", "gateway", "ledger"),
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_case_runs_beside_its_peer_at_its_tiny_size(name: str) -> None:
    done = CliRunner().invoke(main, ["--rounds", "1", "--tiny", "--json", "--only", name])
    assert done.exit_code == 0, done.output
    (told,) = json.loads(done.stdout)["benchmarks"]
    assert told["name"] == name
    assert len(told["runs"]) == len(told["peers"]) == 1
    assert min(*told["runs"], *told["peers"]) > 0


def test_rounds_are_interleaved_and_who_goes_first_alternates() -> None:
    order: list[str] = []

    def noting(name: str) -> Measure:
        def noted(size: int) -> float:
            order.append(f"{name}{size}")
            return 1.0

        return noted

    base = next(spec for spec in specs() if spec.name == "ledger.commit")
    two: list[BenchSpec] = [
        replace(
            base,
            name=name,
            run=noting(name),
            peer=noting(name.upper()),
        )
        for name in ("a", "b")
    ]
    found = measure(two, rounds=2, tiny=False)
    assert order == [
        *("a3", "b3"),
        *("a200", "A200", "b200", "B200"),
        *("B200", "b200", "A200", "a200"),
    ]
    assert [entry.ratios for entry in found] == [(1.0, 1.0)] * 2


def test_the_table_names_each_case_and_an_unknown_one_is_a_misuse() -> None:
    done = CliRunner().invoke(main, ["--rounds", "1", "--tiny", "--only", "fluid"])
    assert "fluid.table" in done.stdout
    assert "round 1 of 1" in done.stderr
    assert CliRunner().invoke(main, ["--only", "nothing"]).exit_code == 2
