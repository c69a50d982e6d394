"""Fitting to Runs whose parameters are known, and the file of what was found."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from datasets.errors import DataError, InputError
from datasets.outcome import outcome
from simulator.assumptions import Provisioning, Ramp, fixed_provisioning
from simulator.calibrate import Executed, calibrate, error_of, executed_of
from simulator.calibration import Calibration, load_calibration, save_calibration
from simulator.least_error import Response, values_of
from simulator.saturation import LaneRate, fit_saturation
from simulator.simulate import simulate
from simulator.world import World
from tests.tiny_plans import A, B, C, plan_of

MB = 10**6
TRUE: dict[str, Any] = {"ramp": Ramp(base_s=0.03, test_s=0.0), "chunk_overhead_s": 0.002}


def executed(number: int, *, size_bytes: int, chunk_bytes: int, **true: Any) -> Executed:
    """A Run of a plan of 1 Gbit/s in a World with `true` parameters, told as executed.

    Its start-up is made to show: an executed Run reads its first chunk when its connections stand.
    """
    plan = plan_of([((A, B), 1.0)], {(A, B): 1.0}, size_bytes=10**10)
    world = World(
        size_scale=size_bytes / 10**10,
        objects=(size_bytes,),
        chunk_bytes=chunk_bytes,
        connections_per_hop=1,
        provisioning=fixed_provisioning(0.5),
    )
    events = simulate(plan, replace(world, **true))
    told = executed_of(f"run{number}", plan, world, events, outcome(events), delayed=False)
    opened_s = float(events.loc[events["event"] == "connection_open", "t_s"].max())
    last_s = float(events.loc[events["event"] == "chunk_acknowledged", "t_s"].max())
    return replace(told, wall_s=last_s - opened_s)


RUNS = [
    executed(number, size_bytes=size * MB, chunk_bytes=chunk * MB, **TRUE)
    for number, (size, chunk) in enumerate(
        [(100, 10), (100, 1), (200, 2), (50, 5), (80, 8), (160, 4)]
    )
]


def test_known_parameters_are_found_again() -> None:
    found = calibrate(RUNS, provider="test")
    assert found.ramp_base_s.value == pytest.approx(0.03, abs=1e-4)
    assert found.chunk_overhead_s.value == pytest.approx(0.002, abs=1e-5)
    assert found.ramp_base_s.runs == len(RUNS)
    assert found.error.method == "leave_one_out"
    assert found.error.closer == found.error.runs == len(RUNS)
    assert found.error.median_after < 0.05 * found.error.median_before


def test_runs_held_out_are_judged_and_not_fitted() -> None:
    found = calibrate(RUNS[:4], held_out=RUNS[4:], provider="test")
    assert (found.error.method, found.error.runs) == ("held_out", 2)
    assert found.held_out_runs == ("run4", "run5")
    assert found.error.mean_after < 0.1 * found.error.mean_before


def test_the_calibration_of_a_world_is_what_was_fitted() -> None:
    found = calibrate(RUNS, provider="test")
    world = found.applied_to(RUNS[0].world)
    assert world.ramp == Ramp(base_s=found.ramp_base_s.value or 0.0, test_s=0.0)
    assert world.calibration == found.digest
    assert abs(error_of(RUNS[0], world)) < 1e-3 < abs(error_of(RUNS[0], RUNS[0].world))
    assert world.saturation == 1.0
    assert world.provisioning.delay_s(f"{A}#0", seed=1) == pytest.approx(0.5, rel=1e-6)


def test_what_the_runs_do_not_tell_is_said_and_keeps_its_default() -> None:
    """Equal Runs: as many chunks each, no round trips, paced."""
    found = calibrate([RUNS[0], replace(RUNS[0], run_id="again")], provider="test")
    for name, words in (
        ("chunk_overhead_s", "as many chunks a connection"),
        ("ramp_rtts", "no round-trip times"),
        ("saturation", "paced below that"),
    ):
        fitted = getattr(found, name)
        assert fitted.value is None
        assert words in fitted.reason
    world = World(saturation=0.9, chunk_overhead_s=0.5)
    assert found.applied_to(world).saturation == 0.9
    assert found.applied_to(world).chunk_overhead_s == 0.5


def test_an_outlier_does_not_pull_start_up_to_itself() -> None:
    slow = replace(RUNS[0], run_id="slow", wall_s=2 * RUNS[0].wall_s)
    found = calibrate([*RUNS, slow], provider="test")
    assert found.ramp_base_s.value == pytest.approx(0.03, abs=1e-3)


def test_round_trips_are_found_where_links_have_them() -> None:
    """Makespan = 10 s + 0.1 s + 2 RTT, of RTTs from 10 to 200 ms."""
    seen = [
        Response(
            wall_s=10.1 + 2 * rtt_s,
            by_overhead_s=(10.0,) * 6,
            base_slope=1.0,
            rtt_slope_s=rtt_s,
            chunks_each=100,
        )
        for rtt_s in (0.01, 0.05, 0.1, 0.15, 0.2)
    ]
    found = values_of(seen)
    assert found.base_s == pytest.approx(0.1, abs=1e-3)
    assert found.rtts == pytest.approx(2.0, abs=1e-2)


def rate(connections: int, gbps: float, run_id: str = "one") -> LaneRate:
    return LaneRate(run_id=run_id, connections=connections, full_gbps=8.0, gbps=gbps)


def test_saturation_is_the_slope_of_the_logarithms() -> None:
    """C(16) = 8·(1/4)^0.8, C(4) = 8·(1/16)^0.8."""
    rates = [rate(n, 8.0 * (n / 64) ** 0.8, run_id=str(n)) for n in (4, 16, 32)]
    found = fit_saturation(rates)
    assert found.value == pytest.approx(0.8, abs=1e-5)
    assert found.runs == 3


@pytest.mark.parametrize(
    ("rates", "words"),
    [([], "paced below that"), ([rate(16, 2.0), rate(16, 2.1)], "same number of connections")],
)
def test_saturation_that_is_not_told_has_a_reason(rates: list[LaneRate], words: str) -> None:
    found = fit_saturation(rates)
    assert found.value is None
    assert words in found.reason


def test_saturation_is_found_in_unpaced_runs_of_several_connections() -> None:
    runs = []
    for number, connections in enumerate((8, 16, 32)):
        plan = plan_of([((A, B), 1.0)], {(A, B): 8.0}, connections=connections)
        world = World(chunk_bytes=10 * MB, work_conserving=True)
        # The shape that an execution would have had: a of 0.9 at these connections.
        carried = 8.0 * (connections / 64) ** 0.9
        true = plan_of([((A, B), carried)], {(A, B): 8.0}, connections=64)
        events = simulate(true, replace(world, work_conserving=False))
        runs.append(
            executed_of(f"run{number}", plan, world, events, outcome(events), delayed=False)
        )
    assert fit_saturation(
        [replace(r, run_id=run.run_id) for run in runs for r in run.rates]
    ).value == pytest.approx(0.9, abs=5e-3)


def test_provisioning_is_the_median_and_the_spread_by_cloud() -> None:
    run = replace(RUNS[0], ready_s=(("aws", 10.0), ("aws", 40.0), ("gcp", 7.0)))
    other = replace(RUNS[1], ready_s=(("aws", 20.0),))
    found = {each.cloud: each for each in calibrate([run, other], provider="p").provisioning}
    assert (found["aws"].median_s, found["aws"].gateways, found["aws"].runs) == (20.0, 3, 2)
    logarithms = [math.log(value) for value in (10.0, 20.0, 40.0)]
    spread = math.sqrt(sum((x - sum(logarithms) / 3) ** 2 for x in logarithms) / 2)
    assert found["aws"].sigma == pytest.approx(spread, abs=1e-6)
    assert found["gcp"].sigma is None
    applied = calibrate([run, other], provider="p").applied_to(
        World(provisioning=Provisioning(name="x", median_s={"azure": 3.0}, sigma={"gcp": 0.2}))
    )
    assert applied.provisioning.median_s == {"aws": 20.0, "azure": 3.0, "gcp": 7.0}
    assert applied.provisioning.sigma["gcp"] == 0.2


def test_too_few_runs_and_a_failed_one_are_refused() -> None:
    with pytest.raises(InputError, match=r"there is 1 \(3 left out\)"):
        calibrate(RUNS[:1], provider="test", cpu_bound=3)
    plan = plan_of([((A, C, B), 1.0)], {(A, C): 1.0, (C, B): 1.0})
    events = simulate(plan, World())
    result = replace(outcome(events), ok=False)
    with pytest.raises(InputError, match="did not end well"):
        executed_of("r", plan, World(), events, result, delayed=False)


# --- The file.


@pytest.fixture(scope="module")
def found() -> Calibration:
    return calibrate(
        RUNS, provider="test", machine={"cores": 2}, versions={"tradewind": "0"}, cpu_bound=1
    )


def test_a_calibration_is_read_back_as_it_was_written(found: Calibration, tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    save_calibration(found, path)
    assert load_calibration(path) == found
    assert load_calibration(path).digest == found.digest
    assert str(tmp_path) not in path.read_text()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda told: told.pop("error"), "no longer matches"),
        (lambda told: told["parameters"]["saturation"].update(value=2.0), "no longer matches"),
        (lambda told: told.update(schema_version=9), "schema version is 9"),
    ],
)
def test_a_changed_file_is_refused(
    found: Calibration, change: Any, words: str, tmp_path: Path
) -> None:
    told = json.loads(json.dumps(found.as_json()))
    change(told)
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps(told))
    with pytest.raises(DataError, match=words):
        load_calibration(path)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    with pytest.raises(InputError, match="Cannot read the calibration"):
        load_calibration(path)
    for data, words in ((b"", "not JSON"), (b"[1]", "is a JSON object"), (b"\xff", "not JSON")):
        path.write_bytes(data)
        with pytest.raises(DataError, match=words):
            load_calibration(path)
    with pytest.raises(InputError, match="Cannot write the calibration"):
        save_calibration(calibrate(RUNS, provider="test"), tmp_path / "none" / "file")
