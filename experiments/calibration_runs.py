"""From Runs' folders to what calibration fits, and who may not be in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets.canonical import Json, canonical_json
from datasets.errors import InputError
from datasets.run import versions
from simulator.calibrate import Executed, calibrate, executed_of
from simulator.calibration import Calibration
from simulator.recorded import Recorded, read_recorded, world_as_executed

# Providers whose links have no round-trip times of their own.
UNDELAYED = frozenset({"loopback", "netns"})
_MACHINE = ("cores", "kernel", "machine")


@dataclass(frozen=True, slots=True, kw_only=True)
class Usable:
    """Executed Runs of one provider that the processor did not bind, and how many it did."""

    runs: tuple[Executed, ...]
    provider: str
    cpu_bound: int
    machine: Mapping[str, Json]


def usable(recorded: Sequence[Recorded]) -> Usable:
    """What can be fitted. Raises: InputError if a Run is simulated, given twice, or of another
    provider than the others; DataError if a manifest does not say how it was executed.
    """
    if not recorded:
        raise InputError("Give the folders of executed runs: two or more.")
    ids = [entry.id for entry in recorded]
    for entry in recorded:
        if not entry.is_executed:
            raise InputError(
                f"The run {entry.id} is simulated; a model is calibrated on executed runs only."
            )
        if ids.count(entry.id) > 1:
            raise InputError(f"The run {entry.id} is given twice.")
    providers = sorted({entry.provider for entry in recorded})
    if len(providers) > 1:
        raise InputError(
            f"These runs are by {' and '.join(providers)}; calibrate on those of one provider."
        )
    counted = [entry for entry in recorded if not entry.cpu_bound]
    return Usable(
        runs=tuple(
            executed_of(
                entry.id,
                entry.plan,
                world_as_executed(entry),
                entry.run.events,
                entry.run.outcome,
                delayed=entry.provider not in UNDELAYED,
            )
            for entry in counted
        ),
        provider=providers[0],
        cpu_bound=len(recorded) - len(counted),
        machine=_machine(recorded),
    )


def calibrate_folders(folders: Sequence[Path], *, held_out: Sequence[Path] = ()) -> Calibration:
    """Fit to the Runs in `folders`; the error is that of those in `held_out`, or by leaving out
    each in turn. Raises: InputError or DataError, in one sentence.
    """
    return calibrate_recorded(
        [read_recorded(folder) for folder in folders],
        held_out=[read_recorded(folder) for folder in held_out],
    )


def calibrate_recorded(
    recorded: Sequence[Recorded], *, held_out: Sequence[Recorded] = ()
) -> Calibration:
    """The same of Runs that were read already."""
    every = usable([*recorded, *held_out])
    apart = {entry.id for entry in held_out}
    kept = tuple(run for run in every.runs if run.run_id in apart)
    if held_out and not kept:
        raise InputError("The processor bound every run that was held out; hold out another.")
    return calibrate(
        [run for run in every.runs if run.run_id not in apart],
        held_out=kept,
        provider=every.provider,
        cpu_bound=every.cpu_bound,
        machine=every.machine,
        versions=versions(),
    )


def _machine(recorded: Sequence[Recorded]) -> Mapping[str, Json]:
    """What the manifests say of the machine, each value once; no names, no paths."""
    seen: dict[str, dict[bytes, Json]] = {}
    for entry in recorded:
        host = entry.run.manifest.get("host")
        for key in _MACHINE:
            if isinstance(host, Mapping) and isinstance(host.get(key), str | int):
                seen.setdefault(key, {})[canonical_json(host[key])] = host[key]
    return {
        key: next(iter(values.values())) if len(values) == 1 else list(values.values())
        for key, values in seen.items()
    }
