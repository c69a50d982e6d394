from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from datasets.errors import DataError, InputError
from datasets.run import read_run
from planner.plan import save_plan
from simulator.cli import simulate
from tests.tiny_plans import A, B, plan_of

PLAN = plan_of([((A, B), 4.0)], {(A, B): 5.0}, size_bytes=10**11)


@pytest.fixture
def plan_file(tmp_path: Path) -> Path:
    save_plan(PLAN, tmp_path / "plan.json")
    return tmp_path / "plan.json"


def test_json_has_both_figures_and_the_run(plan_file: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        simulate, [str(plan_file), "--json", "--runs", str(tmp_path / "runs")]
    )
    answer = json.loads(result.output)
    assert answer["keeps_promise"] is True
    assert answer["predicted"]["makespan_s"] == 200.0
    assert answer["simulated"]["makespan_s"] == pytest.approx(200.0, rel=0.02)
    assert set(answer["simulated"]) == set(answer["predicted"])
    run = read_run(Path(answer["run"]))
    assert run.manifest["plan_id"] == answer["plan"] == PLAN.id
    assert run.manifest["kind"] == "simulated"


def test_people_read_a_verdict(plan_file: Path, tmp_path: Path) -> None:
    arguments = ["--dispatch", "static", "--chunk-size", "16MiB", "--provisioning-s", "0"]
    result = CliRunner().invoke(
        simulate, [str(plan_file), *arguments, "--runs", str(tmp_path / "runs")]
    )
    assert result.exit_code == 0
    assert "keeps its promise" in result.output
    assert "What binds:" in result.output


@pytest.mark.parametrize(
    ("content", "error"),
    [("", DataError), ('{"schema_version": 1}', DataError), (None, InputError)],
)
def test_a_bad_plan_file_is_one_sentence(
    tmp_path: Path, content: str | None, error: type[InputError]
) -> None:
    path = tmp_path / "bad.json"
    if content is not None:
        path.write_text(content)
    result = CliRunner().invoke(simulate, [str(path)])
    assert isinstance(result.exception, error)
    assert "\n" not in str(result.exception)


def test_options_that_make_no_sense_are_refused(plan_file: Path) -> None:
    for wrong in (["--chunk-size", "8"], ["--provisioning-s", "-1"], ["--seed", "-1"]):
        result = CliRunner().invoke(simulate, [str(plan_file), *wrong])
        assert isinstance(result.exception, InputError)
