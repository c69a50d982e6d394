"""The log of predictions: a chain that shows what was changed, and scores that come after."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from datasets.canonical import Json, canonical_json
from datasets.epochs import MatrixChoice, load_matrix
from datasets.errors import DataError, InputError
from datasets.outcome import outcome
from datasets.run import Run, write_run
from experiments.predict_cli import predict
from experiments.prediction import began, digest_of_any_size, prediction_of, score_of
from experiments.prediction_log import (
    PREDICTION,
    SCORE,
    Line,
    append,
    line_digest,
    read_log,
    verified,
)
from planner.job import Job
from planner.plan import Plan, restated, save_plan
from planner.strategies import solve
from simulator.recorded import Recorded
from simulator.simulate import simulate
from simulator.world import World
from tests.tiny_plans import A, B, C, plan_of

PLAN = plan_of([((A, C, B), 3.0)], {(A, C): 4.0, (C, B): 4.0}, size_bytes=10**9)
NOON = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)


def add(path: Path, content: dict[str, Json], at: datetime = NOON, kind: str = PREDICTION) -> Line:
    return append(path, kind, lambda before: content, now=lambda: at)


def executed(plan: Plan = PLAN, *, started: datetime | None = NOON, **more: Any) -> Recorded:
    """A simulation told as an execution."""
    events = simulate(plan, World())
    manifest: dict[str, Any] = {
        "kind": "executed",
        "run_id": "run1",
        "plan_id": plan.id,
        "provider": "test",
        **more,
    }
    if started is not None:
        manifest["started_utc"] = started.isoformat()
    run = Run(folder=Path(), manifest=manifest, events=events, outcome=outcome(events))
    return Recorded(run=run, plan=plan)


def registered(path: Path, plan: Plan = PLAN, at: datetime = NOON - timedelta(hours=1)) -> Line:
    return add(path, prediction_of(plan, World()), at)


# --- The chain.


def test_each_line_holds_the_digest_of_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "log"
    lines = [add(path, {"n": n}, NOON + timedelta(seconds=n)) for n in range(4)]
    found = read_log(path)
    assert found.broken_at is None
    assert [line.previous for line in found.lines] == ["", *(line.digest for line in lines[:-1])]
    assert found.last_digest == lines[-1].digest
    assert len(lines[0].digest) == 64


def _changed(raw: list[bytes]) -> list[bytes]:
    return [raw[0], raw[1].replace(b'"n":1', b'"n":7'), *raw[2:]]


def _with_new_digest(raw: list[bytes]) -> list[bytes]:
    value = json.loads(raw[1])
    del value["digest"]
    value["content"]["n"] = 7
    forged = canonical_json({**value, "digest": line_digest(value)}) + b"\n"
    return [raw[0], forged, *raw[2:]]


def _with_a_key_twice(raw: list[bytes]) -> list[bytes]:
    return [raw[0], raw[1].replace(b'"kind":', b'"kind":"prediction","kind":', 1), *raw[2:]]


@pytest.mark.parametrize(
    ("forge", "at", "why"),
    [
        (_changed, 2, "no longer matches"),
        (_with_new_digest, 3, "does not follow"),
        (_with_a_key_twice, 2, "not written as"),
        (lambda raw: [raw[0], raw[1].replace(b",", b", ", 1), *raw[2:]], 2, "not written as"),
        (lambda raw: [raw[0].replace(b'"n":0', b'"n":8e400', 1), *raw[1:]], 1, "no line holds"),
        (lambda raw: [raw[0], *raw[2:]], 2, "does not follow"),
        (lambda raw: raw[1:], 1, "does not follow"),
        (lambda raw: [raw[0], raw[2], raw[1], raw[3]], 2, "does not follow"),
        (lambda raw: [*raw[:3], raw[3][:-1]], 4, "cut short"),
        (lambda raw: [*raw[:3], raw[3][:40]], 4, "cut short"),
        (lambda raw: [b"{}\n", *raw], 1, "no line of a log"),
        (lambda raw: [b"\xff\xfe\n", *raw], 1, "not JSON"),
    ],
)
def test_what_was_changed_inserted_or_taken_out_is_found(
    forge: Any, at: int, why: str, tmp_path: Path
) -> None:
    path = tmp_path / "log"
    for n in range(4):
        add(path, {"n": n})
    path.write_bytes(b"".join(forge(path.read_bytes().splitlines(keepends=True))))
    found = read_log(path)
    assert found.broken_at == at
    assert why in found.why
    with pytest.raises(InputError, match=f"broken at line {at}"):
        add(path, {"n": 9})


def test_an_empty_log_holds_and_a_missing_one_is_said(tmp_path: Path) -> None:
    assert verified(b"").lines == ()
    with pytest.raises(InputError, match="Cannot read the log"):
        read_log(tmp_path / "log")
    with pytest.raises(InputError, match="Cannot write the log"):
        add(tmp_path / "none" / "log", {})


def test_a_clock_that_goes_back_does_not_break_the_chain(tmp_path: Path) -> None:
    path = tmp_path / "log"
    add(path, {"n": 0}, NOON)
    assert add(path, {"n": 1}, NOON - timedelta(hours=1)).at == NOON
    assert read_log(path).broken_at is None


def test_nothing_is_written_where_the_content_fails(tmp_path: Path) -> None:
    path = tmp_path / "log"
    add(path, {"n": 0})
    before = path.read_bytes()

    def fail(lines: Sequence[Line]) -> dict[str, Json]:
        raise InputError("no")

    with pytest.raises(InputError, match="no"):
        append(path, SCORE, fail)
    assert path.read_bytes() == before


def _add_many(path: Path, writer: int) -> None:
    for n in range(20):
        append(path, PREDICTION, lambda before, n=n: {"writer": writer, "n": n})  # type: ignore[misc]


def test_concurrent_writers_make_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "log"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_add_many, args=(path, at)) for at in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    found = read_log(path)
    assert found.broken_at is None
    assert len(found.lines) == 60


# --- Scores.


def test_a_score_is_how_far_each_figure_was_from_the_execution(tmp_path: Path) -> None:
    path = tmp_path / "log"
    line = registered(path)
    run = executed()
    told: Any = score_of(run, read_log(path).lines)
    assert told["prediction"] == line.digest
    assert not told["restated"]
    assert told["began_known_by"] == "manifest"
    assert told["errors"]["simulated"]["makespan"]["absolute"] < 1e-6
    predicted = told["errors"]["predicted"]
    makespan_s = PLAN.predicted.makespan_s / run.run.outcome.makespan_s
    assert predicted["makespan"]["signed"] == pytest.approx(makespan_s - 1)
    assert predicted["makespan"]["absolute"] == abs(predicted["makespan"]["signed"])
    assert predicted["throughput"]["signed"] > 0 > predicted["makespan"]["signed"]
    assert "cost" not in json.dumps(told)


def test_a_restated_plan_is_scored_in_proportion_and_marked(tmp_path: Path) -> None:
    path = tmp_path / "log"
    registered(path)
    other = restated(PLAN, 3 * 10**9)
    assert other.id != PLAN.id
    assert digest_of_any_size(other) == digest_of_any_size(PLAN)
    told: Any = score_of(executed(other), read_log(path).lines)
    assert told["restated"]
    assert told["size_bytes"] == 3 * 10**9
    assert told["errors"]["predicted"]["makespan"]["absolute"] < 0.1


def test_the_latest_older_prediction_counts_and_their_number_is_told(tmp_path: Path) -> None:
    path = tmp_path / "log"
    registered(path, at=NOON - timedelta(hours=2))
    second = registered(path, at=NOON - timedelta(hours=1))
    registered(path, at=NOON + timedelta(hours=1))
    told: Any = score_of(executed(), read_log(path).lines)
    assert told["prediction"] == second.digest
    assert told["predictions_before"] == 2


def test_a_prediction_must_be_older_than_the_run(tmp_path: Path) -> None:
    path = tmp_path / "log"
    registered(path, at=NOON + timedelta(seconds=1))
    with pytest.raises(InputError, match="it is no prediction of it"):
        score_of(executed(), read_log(path).lines)


def test_what_cannot_be_scored_is_said(tmp_path: Path) -> None:
    path = tmp_path / "log"
    registered(path)
    lines = read_log(path).lines
    with pytest.raises(InputError, match="is simulated"):
        score_of(executed(kind="simulated"), lines)
    other = plan_of([((A, B), 1.0)], {(A, B): 1.0})
    with pytest.raises(InputError, match="No prediction of the plan"):
        score_of(executed(other), lines)
    with pytest.raises(DataError, match="which is no time"):
        score_of(executed(started=None, started_utc="noon"), lines)
    run = executed()
    failed = replace(run, run=replace(run.run, outcome=replace(run.run.outcome, ok=False)))
    with pytest.raises(InputError, match="did not end well"):
        score_of(failed, lines)
    add(path, score_of(run, lines), kind=SCORE)
    with pytest.raises(InputError, match="has a score in this log already"):
        score_of(run, read_log(path).lines)


def test_without_a_word_in_the_manifest_the_files_tell_when_a_run_began(tmp_path: Path) -> None:
    run = executed(started=None)
    file = tmp_path / "events.parquet"
    file.write_bytes(b"")
    os.utime(file, (NOON.timestamp(), NOON.timestamp()))
    found = began(replace(run, run=replace(run.run, folder=tmp_path)))
    length_s = float(run.run.events["t_s"].max())
    assert found.known_by == "files"
    assert (NOON - found.at).total_seconds() == pytest.approx(length_s, abs=1e-3)


# --- The verb.


@pytest.fixture
def plan_file(tmp_path: Path) -> Path:
    job = Job(
        source="aws:us-east-1",
        destinations=("aws:us-west-2",),
        size_bytes=10**10,
        goal_gbps=2.0,
        vm_limit=1,
    )
    path = tmp_path / "plan.json"
    save_plan(solve("direct", load_matrix(MatrixChoice()), job), path)
    return path


def call(*words: str | Path) -> Result:
    return CliRunner().invoke(predict, [str(word) for word in words], catch_exceptions=False)


def test_a_prediction_is_registered_and_holds_nothing_of_the_machine(
    plan_file: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log.jsonl"
    plain = call(plan_file, "--log", log)
    assert plain.exit_code == 0
    assert "Not registered" in plain.output
    assert not log.exists()
    told = json.loads(call(plan_file, "--log", log, "--register", "--json").output)
    again = call(plan_file, "--log", log, "--register")
    assert "Registered at" in again.output
    assert told["registered"]["content"] == told["prediction"]
    assert set(told["prediction"]["simulated"]) == {"throughput_gbps", "makespan_s", "cost_usd"}
    text = log.read_text()
    assert text.count("\n") == 2
    for secret in (str(tmp_path), os.uname().nodename, str(Path.home())):
        assert secret not in text or len(secret) < 3
    checked = json.loads(call("--verify", "--log", log, "--json").output)
    assert checked["ok"]
    assert checked["lines"] == 2
    log.write_text(text.replace("direct", "dirext", 1))
    broken = call("--verify", "--log", log)
    assert "broken at line 1" in broken.output


def test_words_that_make_no_sense_are_refused(plan_file: Path, tmp_path: Path) -> None:
    for words, sentence in (
        ((), "Give one of"),
        ((plan_file, "--verify"), "Give one of"),
        (("--register", "--verify"), "are for a PLAN"),
        (("--verify", "--log", tmp_path / "none"), "Cannot read the log"),
        ((tmp_path / "none",), "Cannot read the plan"),
        (("--score", tmp_path), "not a run's folder"),
        ((plan_file, "--calibration", plan_file), "schema version"),
    ):
        with pytest.raises(InputError, match=sentence):
            call(*words)


def test_scoring_needs_a_log(tmp_path: Path) -> None:
    run = executed()
    folder = write_run(
        tmp_path,
        run.id,
        kind="executed",
        plan=PLAN.as_json(),
        events=run.run.events,
        manifest={"provider": "test"},
    )
    with pytest.raises(InputError, match="There is no log"):
        call("--score", folder, "--log", tmp_path / "log")
    registered(tmp_path / "log", at=datetime.now(timezone.utc) - timedelta(days=1))
    done = call("--score", folder, "--log", tmp_path / "log")
    assert "throughput" in done.output
    told = json.loads((tmp_path / "log").read_text().splitlines()[-1])
    assert told["kind"] == SCORE
    assert told["content"]["began_known_by"] == "files"
