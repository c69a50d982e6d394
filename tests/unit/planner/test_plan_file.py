"""Plan files: whole or refused, in one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from datasets.canonical import digest
from datasets.errors import DataError, InputError
from planner.plan import Plan, load_plan, restated, save_plan
from planner.strategies import solve
from tests.unit.planner.worlds import T, diamond, job


@pytest.fixture
def plan() -> Plan:
    return solve("overlay", diamond(), job(goal_gbps=8, quotas={T: 32}, vm_limit=2))


def test_a_plan_comes_back_from_its_file_as_it_was(plan: Plan, tmp_path: Path) -> None:
    save_plan(plan, tmp_path / "plan.json")
    assert load_plan(tmp_path / "plan.json") == plan
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]


def test_the_same_job_on_the_same_matrix_has_the_same_id(plan: Plan) -> None:
    again = solve("overlay", diamond(), job(goal_gbps=8, quotas={T: 32}, vm_limit=2))
    other = solve("overlay", diamond(), job(goal_gbps=7, quotas={T: 32}, vm_limit=2))
    assert again.id == plan.id != other.id


def test_another_size_takes_proportionally_long(plan: Plan) -> None:
    half = restated(plan, plan.job.size_bytes // 2)
    assert half.predicted.makespan_s == pytest.approx(plan.predicted.makespan_s / 2)
    assert half.bound_usd == pytest.approx(plan.bound_usd / 2)


def without(key: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda value: {k: v for k, v in value.items() if k != key}


def rehashed(value: dict[str, Any]) -> dict[str, Any]:
    content = without("id")(value)
    return {"id": digest(content), **content}


SPOILT: dict[str, Callable[[dict[str, Any]], object]] = {
    "not an object": lambda value: [value],
    "changed": lambda value: {**value, "gap": 0.5},
    "not a number": lambda value: {**value, "gap": float("nan")},
    "no id": without("id"),
    "other id": lambda value: {**value, "id": "0" * 32},
    "other version": lambda value: rehashed({**value, "schema_version": 1}),
    "no version": without("schema_version"),
    "infeasible": lambda value: {"feasible": False, "most_gbps": 0.0, "binds": []},
    "unknown key": lambda value: rehashed({**value, "colour": "blue"}),
    "missing key": lambda value: rehashed(without("lanes")(value)),
    "unknown key in the job": lambda v: rehashed({**v, "job": {**v["job"], "colour": 1}}),
    "text for a flow": lambda value: rehashed({**value, "flows": ["much"]}),
    "text for a link's rate": lambda v: rehashed({**v, "links": [{**v["links"][0], "gbps": "x"}]}),
    "no region": lambda value: rehashed({**value, "regions": [{"name": "aws:s"}]}),
    "job without sense": lambda v: rehashed({**v, "job": {**v["job"], "vm_limit": 0}}),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_spoilt_plan_is_refused_in_one_sentence(name: str, plan: Plan, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(SPOILT[name](plan.as_json())))
    with pytest.raises(InputError) as raised:
        load_plan(file)
    assert str(file) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"null", b"17"])
def test_a_damaged_or_empty_file_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_bytes(data)
    with pytest.raises(DataError, match=r"plan\.json"):
        load_plan(tmp_path / "plan.json")


def test_a_file_cut_short_anywhere_is_refused(plan: Plan, tmp_path: Path) -> None:
    save_plan(plan, tmp_path / "plan.json")
    data = (tmp_path / "plan.json").read_bytes().rstrip(b"\n")
    for length in range(0, len(data), 97):
        (tmp_path / "cut.json").write_bytes(data[:length])
        with pytest.raises(DataError):
            load_plan(tmp_path / "cut.json")


def test_a_missing_file_and_a_folder_are_refused(plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Cannot read"):
        load_plan(tmp_path / "none.json")
    with pytest.raises(InputError, match="Cannot read"):
        load_plan(tmp_path)
    with pytest.raises(InputError, match="Cannot write"):
        save_plan(plan, tmp_path / "no" / "plan.json")
