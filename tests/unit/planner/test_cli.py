"""tradewind plan and compare from the shell: answers, statuses, one sentence for bad input."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from planner.checks import check
from planner.plan import load_plan, plan_from_json

ENDS = ("azure:canadacentral", "gcp:asia-northeast2")
JOB = (*ENDS, "--bytes", "1TB", "--vm-limit", "2")
GOAL = ("--goal-gbps", "5")


def tradewind(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "experiments.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )


def answer(*arguments: str, status: int = 0) -> Any:
    done = tradewind(*arguments, "--json")
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout)


def test_a_plan_as_json_is_a_plan_file(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    printed = answer("plan", *JOB, *GOAL, "-o", str(file))
    assert {"id", "strategy", "feasible", "predicted", "bound_usd", "gap"} <= set(printed)
    assert {"vms", "flows", "paths"} <= set(printed)
    assert printed["predicted"]["throughput_gbps"] >= 5
    plan = plan_from_json(printed)
    assert load_plan(file) == plan
    check(plan)


@pytest.mark.parametrize(
    "objective",
    [("--fastest",), ("--max-usd", "120"), ("--deadline", "1h"), ("--goal-gbps", "8")],
)
def test_people_are_answered_in_the_first_line(objective: tuple[str, ...]) -> None:
    done = tradewind("plan", *JOB, *objective)
    assert done.returncode == 0, done.stderr
    first = done.stdout.splitlines()[0]
    assert first.startswith(("By way of", "Directly"))
    for said in ("Gbit/s", "1 TB in", "$", "figures measured 28", "November 2022"):
        assert said in " ".join(done.stdout.split())
    assert max(len(line) for line in done.stdout.splitlines()) <= 80


def test_infeasible_is_an_answer() -> None:
    printed = answer("plan", *JOB, "--goal-gbps", "5000", status=1)
    assert printed["feasible"] is False
    assert 0 < printed["most_gbps"] < 5000
    assert printed["binds"]
    done = tradewind("plan", *JOB, "--goal-gbps", "5000")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Infeasible: 1 TB from azure:canadacentral")


def test_compare_has_a_row_a_strategy_even_if_infeasible() -> None:
    printed = answer("compare", *JOB, *GOAL, "--strategy", "direct,overlay,ron")
    rows = {row["strategy"]: row for row in printed["rows"]}
    assert list(rows) == ["direct", "overlay", "ron"]
    assert rows["overlay"]["feasible"]
    assert rows["overlay"]["plan"] == rows["overlay"]["id"]
    for row in rows.values():
        assert row["feasible"] or row["most_gbps"] < 5
    done = tradewind("compare", *JOB, "--goal-gbps", "12", "--vm-limit", "1")
    assert done.returncode in (0, 1)
    assert "infeasible" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 80


BAD: dict[str, tuple[tuple[str, ...], str]] = {
    "unknown source": (("azure:canadacentrl", ENDS[1], "--bytes", "1TB", *GOAL), "canadacentral"),
    "unknown destination": ((ENDS[0], "gcp:asia-nrtheast2", "--bytes", "1TB", *GOAL), "northeast2"),
    "not a region": (("canadacentral", ENDS[1], "--bytes", "1TB", *GOAL), "cloud:region"),
    "unknown quota region": ((*JOB, *GOAL, "--quota", "aws:us-east-9=8"), "did you mean"),
    "unknown forbidden region": ((*JOB, *GOAL, "--forbid", "aws:us-east-9"), "did you mean"),
    "forbidden end": ((*JOB, *GOAL, "--forbid", ENDS[0]), "--forbid"),
    "quota without number": ((*JOB, *GOAL, "--quota", "aws:us-east-1"), "REGION=VCPUS"),
    "unknown epoch": ((*JOB, *GOAL, "--epoch", "2022-11-29"), "2022-11-28"),
    "unknown strategy": ((*JOB, *GOAL, "--strategy", "overlai"), "overlay"),
    "unit missing": ((*ENDS, "--bytes", "1000", *GOAL), "no unit"),
    "unit absurd": ((*ENDS, "--bytes", "1XB", *GOAL), "unknown unit"),
    "size absurd": ((*ENDS, "--bytes", "5000PB", *GOAL), "out of range"),
    "deadline without unit": ((*JOB, "--deadline", "2"), "no unit"),
    "goal not a number": ((*JOB, "--goal-gbps", "fast"), "not a number"),
    "goal of nothing": ((*JOB, "--goal-gbps", "0"), "out of range"),
    "goal not finite": ((*JOB, "--goal-gbps", "nan"), "out of range"),
    "goal below a bit": ((*JOB, "--goal-gbps", "1e-11"), "too small"),
    "same ends": ((ENDS[0], ENDS[0], "--bytes", "1TB", *GOAL), "two regions"),
    "two objectives": ((*JOB, *GOAL, "--fastest"), "one objective"),
    "no objective": (JOB, "one objective"),
    "no VM": ((*JOB, *GOAL, "--vm-limit", "0"), "VM limit"),
    "two destinations": (
        (*JOB, *GOAL, "aws:us-east-1", "--strategy", "overlay"),
        "one destination",
    ),
    "no matrix": ((*JOB, *GOAL, "--matrix", "/nowhere.csv"), "/nowhere.csv"),
    "no folder to write to": ((*JOB, *GOAL, "-o", "/nowhere/plan.json"), "Cannot write"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_sentence_and_status_2(name: str) -> None:
    arguments, said = BAD[name]
    done = tradewind("plan", *arguments)
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    "asked",
    [
        ("--bytes", "1MB", "--deadline", "1d"),
        ("--bytes", "17B", "--deadline", "2h"),
        ("--bytes", "1TB", "--goal-gbps", "1e-7"),
    ],
)
@pytest.mark.parametrize("strategy", ["direct", "overlay"])
def test_a_tiny_floor_is_no_obstacle(asked: tuple[str, ...], strategy: str) -> None:
    done = tradewind("plan", "aws:us-east-1", "gcp:us-east4", *asked, "--strategy", strategy)
    assert done.returncode == 0, done.stderr
