"""A recorded Run with its Plan, as whatever looks back at Runs reads it from its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets.errors import DataError
from datasets.run import PLAN, Run, read_run
from planner.dispatch import Dispatch
from planner.plan import Plan, load_plan
from simulator.assumptions import fixed_provisioning
from simulator.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One simulation or execution, and the Plan that it carried out."""

    run: Run
    plan: Plan

    @property
    def id(self) -> str:
        """The Run's id."""
        return str(self.run.manifest["run_id"])

    @property
    def plan_id(self) -> str:
        """The id of the Plan, as the manifest names it."""
        return str(self.run.manifest["plan_id"])

    @property
    def kind(self) -> str:
        """`simulated` or `executed`."""
        return str(self.run.manifest["kind"])

    @property
    def is_executed(self) -> bool:
        """Whether real bytes moved."""
        return self.kind == "executed"

    @property
    def provider(self) -> str:
        """Who gave the gateways; empty for a simulation."""
        return str(self.run.manifest.get("provider", ""))

    @property
    def jobs(self) -> int:
        """How many Jobs moved at once."""
        plans = self.run.manifest.get("plans")
        return len(plans) if isinstance(plans, list) else 1

    @property
    def cpu_bound(self) -> bool:
        """Whether the processor and not the network set the pace."""
        cpu = self.run.manifest.get("cpu")
        return isinstance(cpu, Mapping) and cpu.get("bound") is True

    @property
    def paced(self) -> bool:
        """Whether planned rates were caps."""
        told = self.run.manifest.get("world", self.run.manifest)
        return not isinstance(told, Mapping) or told.get("work_conserving") is not True


def read_recorded(folder: Path) -> Recorded:
    """Read a Run's folder with its Plan. Raises: DataError if it is not one, or is damaged."""
    run = read_run(folder)
    plan = load_plan(folder / PLAN)
    for key in ("run_id", "kind", "plan_id"):
        if not isinstance(run.manifest.get(key), str):
            raise DataError(f"{folder}: the manifest has no {key}.")
    if run.manifest["kind"] not in ("simulated", "executed"):
        raise DataError(f"{folder}: a run is simulated or executed, not {run.manifest['kind']!r}.")
    # The id in the file, which `load_plan` has held against its content.
    if run.manifest["plan_id"] != json.loads((folder / PLAN).read_bytes())["id"]:
        raise DataError(f"{folder}: the plan in it is not the one that the manifest names.")
    return Recorded(run=run, plan=plan)


def world_as_executed(recorded: Recorded) -> World:
    """The World that simulates an executed Run at its own scale: chunks, connections, dispatch.

    Raises: DataError if the manifest does not say how it was executed.
    """
    told = recorded.run.manifest
    dispatch: Dispatch = "static" if _of(told, "dispatch", str) == "static" else "dynamic"
    return World(
        rate_scale=float(_of(told, "rate_scale", (int, float))),
        size_scale=float(_of(told, "size_scale", (int, float))),
        objects=_objects(recorded),
        chunk_bytes=_of(told, "chunk_bytes", int),
        connections_per_hop=_of(told, "connections", int),
        record_bytes=_of(told, "record_bytes", int),
        work_conserving=_of(told, "work_conserving", bool),
        dispatch=dispatch,
        provisioning=fixed_provisioning(0.0),
    )


def _objects(recorded: Recorded) -> tuple[int, ...]:
    """Sizes of the objects moved, from what was verified of each."""
    verified = recorded.run.events
    verified = verified[verified["event"] == "chunk_verified"]
    verified = verified.drop_duplicates(["job", "object", "chunk"])
    sizes = verified.groupby("object", sort=True)["bytes"].sum()
    return tuple(int(size) for size in sizes)


def _of(manifest: Mapping[str, Any], key: str, kind: Any) -> Any:
    value = manifest.get(key)
    if not isinstance(value, kind):
        raise DataError(f"The run's manifest does not say its {key}: it was not executed by this.")
    return value
