"""Fit a World's parameters to executed Runs: event tables in, a Calibration out; nothing is read.

The error of simulated against executed makespans is minimised, where each Run is simulated as it
was executed (same scale, chunks, connections, dispatch).

- Ramp-up and the overhead of a chunk: `least_error.py`.
- `saturation` is a least-squares slope through the origin of ln(rate / C64) over ln(n/64), of
  lanes that nothing but their n connections held (`saturation.py`); it is applied first.
- Provisioning is the median and the spread of the logarithms, by cloud.

A parameter that the Runs do not tell is said to be so, with the reason, and keeps its default.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from datasets.canonical import Json, rounded
from datasets.errors import InputError
from datasets.outcome import Outcome
from datasets.regions import cloud_of, region_of_gateway
from planner.plan import Plan
from simulator.calibration import Calibration, CloudProvisioning, Fitted, HeldOutError
from simulator.least_error import Response, Values, response_of, simulated_wall_s, values_of
from simulator.recorded_events import provisioned_s
from simulator.saturation import LaneRate, fit_saturation, lane_rates
from simulator.world import World

LEAST_RUNS = 2
# Until it is measured.
_UNKNOWN = HeldOutError(
    method="held_out",
    runs=0,
    closer=0,
    median_before=0.0,
    median_after=0.0,
    mean_before=0.0,
    mean_after=0.0,
)
_PLACES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """One executed Run as calibration sees it; `wall_s` is its makespan on its own clock.

    `world` simulates it as it was executed. `delayed`: its links had the round-trip times of the
    Plan (a local provider's have none). `ready_s` are (cloud, seconds from request to answer).
    """

    run_id: str
    plan: Plan
    world: World
    wall_s: float
    delayed: bool
    rates: tuple[LaneRate, ...]
    ready_s: tuple[tuple[str, float], ...]


def executed_of(
    run_id: str, plan: Plan, world: World, events: pd.DataFrame, result: Outcome, *, delayed: bool
) -> Executed:
    """What calibration needs of one Run. Raises: InputError if not every byte arrived."""
    if not result.ok or not result.wall_s > 0:
        raise InputError(f"The run {run_id} did not end well; it cannot be fitted.")
    return Executed(
        run_id=run_id,
        plan=plan,
        world=world,
        wall_s=result.wall_s,
        delayed=delayed,
        rates=lane_rates(plan, events, result) if world.work_conserving else (),
        ready_s=tuple(
            (cloud_of(region_of_gateway(gateway)), seconds)
            for gateway, seconds in sorted(provisioned_s(events).items())
        ),
    )


def calibrate(
    executed: Sequence[Executed],
    *,
    provider: str,
    held_out: Sequence[Executed] = (),
    cpu_bound: int = 0,
    machine: Mapping[str, Json] | None = None,
    versions: Mapping[str, str] | None = None,
) -> Calibration:
    """Fit to `executed`; the error is that of `held_out`, or by leaving out each in turn.

    Raises: InputError if there are fewer than two Runs to fit.
    """
    if len(executed) < LEAST_RUNS:
        raise InputError(
            f"Calibrating needs {LEAST_RUNS} executed runs or more that the processor did not "
            f"bind; there {'is' if len(executed) == 1 else 'are'} {len(executed)}"
            f"{f' ({cpu_bound} left out)' if cpu_bound else ''}."
        )
    saturation = fit_saturation([rate for run in executed for rate in run.rates])
    seen = [_response(run, saturation.value) for run in executed]
    whole = values_of(seen)
    folds = [values_of([*seen[:at], *seen[at + 1 :]]) for at in range(len(seen))]
    found = Calibration(
        provider=provider,
        ramp_base_s=_fitted(whole, folds, "base_s"),
        ramp_rtts=_fitted(whole, folds, "rtts"),
        chunk_overhead_s=_fitted(whole, folds, "overhead_s"),
        saturation=saturation,
        provisioning=_provisioning(executed),
        error=_UNKNOWN,
        fitted_runs=tuple(sorted(run.run_id for run in executed)),
        held_out_runs=tuple(sorted(run.run_id for run in held_out)),
        cpu_bound=cpu_bound,
        machine=machine or {},
        versions=versions or {},
    )
    if held_out:
        pairs = [(run, found) for run in held_out]
        return replace(found, error=held_out_error("held_out", pairs))
    pairs = [
        (run, _with(found, fold, [*executed[:at], *executed[at + 1 :]]))
        for at, (run, fold) in enumerate(zip(executed, folds, strict=True))
    ]
    return replace(found, error=held_out_error("leave_one_out", pairs))


def held_out_error(method: str, pairs: Sequence[tuple[Executed, Calibration]]) -> HeldOutError:
    """The errors of Runs, each before and after a Calibration that did not see it."""
    before = [abs(error_of(run, run.world)) for run, _ in pairs]
    after = [abs(error_of(run, found.applied_to(run.world))) for run, found in pairs]
    return HeldOutError(
        method=method,
        runs=len(pairs),
        closer=sum(late < soon for soon, late in zip(before, after, strict=True)),
        median_before=rounded(statistics.median(before), _PLACES),
        median_after=rounded(statistics.median(after), _PLACES),
        mean_before=rounded(statistics.fmean(before), _PLACES),
        mean_after=rounded(statistics.fmean(after), _PLACES),
    )


def error_of(run: Executed, world: World) -> float:
    """(simulated − executed) / executed makespan, of that World."""
    return (simulated_wall_s(run.plan, world) - run.wall_s) / run.wall_s


def _response(run: Executed, saturation: float | None) -> Response:
    world = run.world if saturation is None else replace(run.world, saturation=saturation)
    return response_of(run.plan, world, wall_s=run.wall_s, delayed=run.delayed)


def _fitted(whole: Values, folds: Sequence[Values], name: str) -> Fitted:
    value: float | None = getattr(whole, name)
    if value is None:
        return Fitted(value=None, reason=whole.reasons[name])
    others = [getattr(fold, name) for fold in folds if getattr(fold, name) is not None]
    return Fitted(
        value=value,
        runs=whole.runs,
        least=min(others, default=value),
        most=max(others, default=value),
    )


def _with(found: Calibration, fold: Values, others: Sequence[Executed]) -> Calibration:
    """The Calibration that a fold's fit to the other Runs would have been."""
    return replace(
        found,
        ramp_base_s=replace(found.ramp_base_s, value=fold.base_s),
        ramp_rtts=replace(found.ramp_rtts, value=fold.rtts),
        chunk_overhead_s=replace(found.chunk_overhead_s, value=fold.overhead_s),
        saturation=fit_saturation([rate for run in others for rate in run.rates]),
    )


def _provisioning(executed: Sequence[Executed]) -> tuple[CloudProvisioning, ...]:
    waited: dict[str, list[float]] = {}
    runs: dict[str, set[str]] = {}
    for run in executed:
        for cloud, seconds in run.ready_s:
            waited.setdefault(cloud, []).append(seconds)
            runs.setdefault(cloud, set()).add(run.run_id)
    found = []
    for cloud, each in sorted(waited.items()):
        logarithms = [math.log(seconds) for seconds in each if seconds > 0]
        found.append(
            CloudProvisioning(
                cloud=cloud,
                median_s=rounded(statistics.median(each), _PLACES),
                sigma=rounded(statistics.stdev(logarithms), _PLACES)
                if len(logarithms) > 1
                else None,
                gateways=len(each),
                runs=len(runs[cloud]),
            )
        )
    return tuple(found)
