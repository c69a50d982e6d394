"""A Run's folder: `runs/<id>/` with manifest, plan, events, outcome and the page."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd

from datasets.canonical import Json, canonical_json
from datasets.errors import DataError, InputError
from datasets.events import EVENT_SCHEMA_VERSION, events_digest, read_events, write_events
from datasets.outcome import Outcome, outcome

MANIFEST, PLAN, EVENTS, OUTCOME, REPORT = (
    "manifest.json",
    "plan.json",
    "events.parquet",
    "outcome.json",
    "report.html",
)
_LIBRARIES = ("tradewind", "numpy", "ortools", "pandas", "pyarrow", "simpy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One simulation or execution, as read from its folder."""

    folder: Path
    manifest: Mapping[str, Any]
    events: pd.DataFrame
    outcome: Outcome


def versions() -> dict[str, str]:
    """What a manifest says about the software: Python and the libraries that matter."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        found[name] = metadata.version(name)
    return found


def prepare_runs(runs: Path) -> None:
    """Make the folder of Runs, before anything is done whose record it must take.

    Raises: InputError if it cannot be written.
    """
    try:
        runs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"Cannot write runs to {runs}: {error.strerror}.") from error
    if not os.access(runs, os.W_OK | os.X_OK):
        raise InputError(f"Cannot write runs to {runs}: it is not writable.")


def write_run(
    runs: Path,
    run_id: str,
    *,
    kind: str,
    plan: Mapping[str, Json],
    events: pd.DataFrame,
    manifest: Mapping[str, Json],
) -> Path:
    """Write `runs/<run_id>/` and return it; the manifest comes last, so its presence says whole.

    `kind` is `simulated` or `executed`; `plan` the Plan's JSON; `manifest` what the producer knows
    (seed, scale, host). Raises: InputError if the folder cannot be written.
    """
    folder = runs / run_id
    result = outcome(events)
    full = {
        **manifest,
        "run_id": run_id,
        "kind": kind,
        "plan_id": plan["id"],
        "matrix": plan["matrix"],
        "event_schema_version": EVENT_SCHEMA_VERSION,
        "events_digest": events_digest(events),
        "versions": versions(),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_events(events, folder / EVENTS)
        (folder / PLAN).write_bytes(canonical_json(dict(plan)) + b"\n")
        (folder / OUTCOME).write_bytes(canonical_json(result.as_json()) + b"\n")
        part = folder / f".{MANIFEST}.part"
        part.write_bytes(canonical_json(full) + b"\n")
        part.replace(folder / MANIFEST)
    except OSError as error:
        raise InputError(f"Cannot write the run to {folder}: {error.strerror}.") from error
    return folder


def read_run(folder: Path) -> Run:
    """Read a Run's folder. Raises: DataError if it is not one, or is damaged."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{folder} is not a run's folder, or its manifest is damaged.") from error
    events = read_events(folder / EVENTS)
    if manifest.get("events_digest") != events_digest(events):
        raise DataError(f"{folder}: the events no longer match the manifest's digest.")
    return Run(folder=folder, manifest=manifest, events=events, outcome=outcome(events))
