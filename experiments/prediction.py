"""A prediction of a Plan, fit to be registered before a Run; and its score afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from datasets.canonical import Json, digest, rounded
from datasets.errors import DataError, InputError
from datasets.run import EVENTS, versions
from experiments.prediction_log import PREDICTION, SCORE, Line
from planner.plan import Plan
from simulator.recorded import Recorded
from simulator.simulate import history_of
from simulator.world import World

_PLACES = 9
# What restating a Plan for another number of bytes changes (`planner.plan.restated`).
_BY_SIZE = ("predicted", "bound_usd", "bound_lp_usd", "bound_gco2e", "certificates", "gap")
SOURCES = ("predicted", "simulated")


def prediction_of(plan: Plan, world: World) -> dict[str, Json]:
    """What is registered: the figures as predicted and as simulated, and what they rest on.

    `plan_of_any_size` is the same for the Plan restated to another size, as executing it does.
    """
    told = history_of(plan, world).outcome().as_json()
    return {
        "plan": plan.id,
        "plan_of_any_size": digest_of_any_size(plan),
        "strategy": plan.strategy,
        "matrix": plan.matrix.digest,
        "size_bytes": plan.job.size_bytes,
        "predicted": plan.predicted.comparable(),
        "simulated": {key: told[key] for key in ("throughput_gbps", "makespan_s", "cost_usd")},
        "world": digest(world.as_json()),
        "calibration": world.calibration,
        "assumed": world.assumed,
        "versions": dict(versions()),
    }


def digest_of_any_size(plan: Plan) -> str:
    """Digest of what of a Plan does not depend on how many bytes it moves."""
    content = {key: value for key, value in plan.content().items() if key not in _BY_SIZE}
    job = {key: value for key, value in plan.job.as_json().items() if key != "size_bytes"}
    return digest({**content, "job": job})


@dataclass(frozen=True, slots=True, kw_only=True)
class Began:
    """When an execution began, by its manifest or (weaker) by when its files were written."""

    at: datetime
    known_by: str


def began(recorded: Recorded) -> Began:
    """When the Run began: `started_utc` of its manifest, or its files' time less its length.

    Raises: DataError if the manifest's word is no time.
    """
    told = recorded.run.manifest.get("started_utc")
    if told is None:
        written = (recorded.run.folder / EVENTS).stat().st_mtime
        length_s = float(recorded.run.events["t_s"].max())
        at = datetime.fromtimestamp(written, timezone.utc) - timedelta(seconds=length_s)
        return Began(at=at, known_by="files")
    try:
        at = datetime.fromisoformat(str(told).replace("Z", "+00:00"))
    except ValueError as error:
        raise DataError(f"The run {recorded.id} began at {told!r}, which is no time.") from error
    return Began(at=at if at.tzinfo else at.replace(tzinfo=timezone.utc), known_by="manifest")


def score_of(recorded: Recorded, lines: Sequence[Line]) -> dict[str, Json]:
    """The score of the latest prediction that was registered before the Run began.

    Errors are (figure − executed) / executed; cost has none, as an executed one is computed. A
    prediction for another size of the same plan is marked `restated`, its makespans in proportion.

    Raises: InputError if the Run is no execution, has no such prediction, or was scored before.
    """
    if not recorded.is_executed:
        raise InputError(f"The run {recorded.id} is simulated; only an executed one has a score.")
    result = recorded.run.outcome
    if not result.ok:
        raise InputError(f"The run {recorded.id} did not end well; it has no score.")
    if any(line.kind == SCORE and line.content.get("run") == recorded.id for line in lines):
        raise InputError(f"The run {recorded.id} has a score in this log already.")
    start = began(recorded)
    line, number = _prediction_before(recorded, lines, start)
    content = line.content
    ratio = result.size_bytes / float(content["size_bytes"])
    return {
        "run": recorded.id,
        "plan": recorded.plan_id,
        "prediction": line.digest,
        "registered_utc": line.at_utc,
        "began_utc": start.at.isoformat(timespec="seconds"),
        "began_known_by": start.known_by,
        "predictions_before": number,
        "restated": recorded.plan.id != content["plan"],
        "size_bytes": result.size_bytes,
        "provider": recorded.provider,
        "cpu_bound": recorded.cpu_bound,
        "executed": {
            "throughput_gbps": rounded(result.throughput_gbps, _PLACES),
            "makespan_s": rounded(result.makespan_s, 6),
        },
        "errors": {
            source: {
                "throughput": _error(
                    _figure(content, source, "throughput_gbps"), result.throughput_gbps
                ),
                "makespan": _error(
                    _figure(content, source, "makespan_s") * ratio, result.makespan_s
                ),
            }
            for source in SOURCES
        },
    }


def _prediction_before(recorded: Recorded, lines: Sequence[Line], start: Began) -> tuple[Line, int]:
    """The latest prediction older than the Run, of its very plan if there is one; and how many."""
    plan = recorded.plan
    same = digest_of_any_size(plan)
    fitting = [
        line
        for line in lines
        if line.kind == PREDICTION and line.content.get("plan_of_any_size") == same
    ]
    if not fitting:
        raise InputError(
            f"No prediction of the plan {plan.id} is registered in this log; register one by "
            "`tradewind predict PLAN --register` before executing it."
        )
    older = [line for line in fitting if line.at < start.at]
    if not older:
        raise InputError(
            f"The prediction was registered at {fitting[0].at_utc}, and the run {recorded.id} had "
            f"begun at {start.at.isoformat(timespec='seconds')}: it is no prediction of it."
        )
    exact = [line for line in older if line.content.get("plan") == plan.id]
    return (exact or older)[-1], len(older)


def _figure(content: Mapping[str, Any], source: str, name: str) -> float:
    """Raises: DataError if the registered line does not have it."""
    try:
        return float(content[source][name])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"The registered prediction has no {name} as {source}.") from error


def _error(figure: float, executed: float) -> dict[str, Json]:
    """Signed and absolute, as shares of what was executed."""
    signed = rounded((figure - executed) / executed, _PLACES)
    return {"signed": signed, "absolute": abs(signed)}
