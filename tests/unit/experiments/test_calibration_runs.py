"""Which Runs a calibration may rest on, and the verb that makes it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from datasets.epochs import MatrixChoice, load_matrix
from datasets.errors import DataError, InputError
from datasets.events import Event
from datasets.run import write_run
from executor.scale import LEAST_CHUNK_BYTES, MOST_CHUNK_BYTES
from experiments.calibrate_cli import calibrate
from experiments.calibration_study import draw
from simulator.assumptions import fixed_provisioning
from simulator.calibration import load_calibration
from simulator.simulate import simulate
from simulator.world import World
from tests.tiny_plans import A, B, C, plan_of

MB = 10**6
PLAN = plan_of([((A, C, B), 1.0)], {(A, C): 1.0, (C, B): 1.0}, size_bytes=10**10)
START_UP_S = 0.02


def executed(
    runs: Path, number: int, *, size_mb: int, chunk_mb: float = 1.0, **manifest: Any
) -> Path:
    """A simulation told as an execution that took `START_UP_S` longer to begin."""
    world = World(
        size_scale=size_mb * MB / 10**10,
        objects=(size_mb * MB,),
        chunk_bytes=round(chunk_mb * MB),
        connections_per_hop=2,
        provisioning=fixed_provisioning(0.5),
    )
    events = simulate(PLAN, world)
    begun = events["event"] == Event.CHUNK_READ.value
    first_s = float(events.loc[begun, "t_s"].min())
    late = events["t_s"] > first_s
    events = events.assign(t_s=events["t_s"].where(~late, events["t_s"] + START_UP_S))
    told: dict[str, Any] = {
        "provider": "loopback",
        "dispatch": "dynamic",
        "work_conserving": False,
        "rate_scale": 1.0,
        "size_scale": world.size_scale,
        "moved_bytes": size_mb * MB,
        "chunk_bytes": world.chunk_bytes,
        "record_bytes": 2**16,
        "connections": 2,
        "cpu": {"bound": False},
        "host": {"cores": 2, "kernel": "6.1", "machine": "x86_64", "name": "secret-host"},
        **manifest,
    }
    kind = str(told.pop("kind", "executed"))
    return write_run(
        runs, f"run{number}", kind=kind, plan=PLAN.as_json(), events=events, manifest=told
    )


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    return [
        executed(tmp_path / "runs", number, size_mb=size, chunk_mb=chunk)
        for number, (size, chunk) in enumerate([(50, 1.0), (100, 5.0), (80, 2.0), (120, 1.0)])
    ]


def call(*words: str | Path) -> Result:
    return CliRunner().invoke(calibrate, [str(word) for word in words], catch_exceptions=False)


def test_the_verb_fits_and_writes_what_can_be_published(
    folders: list[Path], tmp_path: Path
) -> None:
    file = tmp_path / "calibration.json"
    shown = call(*folders, "-o", file)
    assert shown.exit_code == 0
    assert "Not identifiable from these Runs: saturation" in shown.output
    found = load_calibration(file)
    assert found.ramp_base_s.value == pytest.approx(START_UP_S, abs=2e-4)
    assert found.error.median_after < 0.1 * found.error.median_before
    assert found.error.closer == 4
    assert found.fitted_runs == ("run0", "run1", "run2", "run3")
    assert found.machine == {"cores": 2, "kernel": "6.1", "machine": "x86_64"}
    text = file.read_text()
    assert "secret-host" not in text
    assert str(tmp_path) not in text
    assert json.loads(call(*folders, "--json").output) == json.loads(text)


def test_runs_that_are_held_out_are_not_fitted(folders: list[Path]) -> None:
    told = json.loads(call(*folders[:3], "--held-out", folders[3], "--json").output)
    assert told["held_out_runs"] == ["run3"]
    assert "run3" not in told["fitted_runs"]
    assert told["error"]["method"] == "held_out"
    assert told["error"]["mean_after"] < told["error"]["mean_before"]


def test_runs_that_the_processor_bound_are_left_out_and_counted(
    folders: list[Path], tmp_path: Path
) -> None:
    bound = executed(tmp_path / "runs", 9, size_mb=50, cpu={"bound": True})
    told = json.loads(call(*folders, bound, "--json").output)
    assert told["cpu_bound"] == 1
    assert "run9" not in told["fitted_runs"]
    with pytest.raises(InputError, match="bound every run that was held out"):
        call(*folders, "--held-out", bound)
    with pytest.raises(InputError, match=r"there is 1 \(1 left out\)"):
        call(folders[0], bound)


def test_what_may_not_be_fitted_is_refused(folders: list[Path], tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    with pytest.raises(InputError, match="two or more"):
        call()
    with pytest.raises(InputError, match="there is 1"):
        call(folders[0])
    with pytest.raises(InputError, match="run0 is given twice"):
        call(folders[0], folders[0])
    with pytest.raises(InputError, match="run0 is given twice"):
        call(*folders, "--held-out", folders[0])
    with pytest.raises(InputError, match="run7 is simulated"):
        call(folders[0], executed(runs, 7, size_mb=50, kind="simulated"))
    with pytest.raises(InputError, match="by loopback and netns"):
        call(folders[0], executed(runs, 8, size_mb=50, provider="netns"))
    with pytest.raises(DataError, match="does not say its connections"):
        call(folders[0], executed(runs, 10, size_mb=50, connections=None))
    with pytest.raises(DataError, match="not a run's folder"):
        call(tmp_path)
    (folders[1] / "events.parquet").write_bytes(b"none")
    with pytest.raises(DataError, match="missing or damaged"):
        call(*folders)


def test_the_study_draws_runs_that_differ_and_repeats_itself() -> None:
    matrix = load_matrix(MatrixChoice())
    draws = draw(matrix, count=8, seed=1)
    again = draw(matrix, count=8, seed=1)
    assert [replace(each, plan=other.plan) for each, other in zip(draws, again, strict=True)] == (
        list(draws)
    )
    assert len({each.wall_s for each in draws}) > 1
    assert len({each.connections for each in draws}) > 1
    for each in draws:
        scale = each.scale(10.0)
        assert LEAST_CHUNK_BYTES <= scale.chunk_bytes <= MOST_CHUNK_BYTES
        assert scale.record_bytes <= scale.chunk_bytes
        assert scale.connections == each.connections
