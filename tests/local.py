"""Executing small plans on this machine, for tests of every kind."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from pathlib import Path

from executor.cleanup import Left, audit
from executor.execute import Executed, Execution, Progress
from executor.ledger import Ledger
from executor.placement import Ports
from executor.providers import find_provider
from executor.scale import scale_for
from planner.dispatch import Dispatch
from planner.plan import Plan, restated
from tests.tiny_plans import A, B, C, D, plan_of

# What a test assumes of the machine: little, so that the network sets the pace.
MACHINE_GBPS = 10.0


def relayed_plan(*, vms_each: int = 1) -> Plan:
    """Two paths, direct and by two relays: three hops, on four regions."""
    return plan_of(
        [((A, C), 1.0), ((A, B, D, C), 3.0)],
        {(A, C): 4.0, (A, B): 4.0, (B, D): 5.0, (D, C): 4.0},
        vms_each=vms_each,
    )


def write_source(path: Path, size_bytes: int, *, seed: int = 0) -> str:
    """A file of seeded bytes; its SHA-256."""
    data = random.Random(seed).randbytes(size_bytes)
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def sha256_of(path: Path) -> str:
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        return (
            hashlib.file_digest(file, "sha256").hexdigest()
            if hasattr(hashlib, "file_digest")
            else hashlib.sha256(file.read()).hexdigest()
        )


def execution(
    plan: Plan,
    source: Path,
    destination: Path,
    *,
    ledger: Ledger,
    backing: str,
    size_bytes: int,
    port: int = 7400,
    dispatch: Dispatch = "dynamic",
    work_conserving: bool = False,
    observe: Callable[[Progress], None] = lambda progress: None,
    wall_s: float | None = None,
) -> Execution:
    """An Execution of `plan` restated for the source's size, at a test's modest scale."""
    fitting = restated(plan, max(size_bytes, 1))
    scale = scale_for(fitting, machine_gbps=MACHINE_GBPS, moved_bytes=size_bytes)
    return Execution(
        plan=fitting,
        source=source,
        destination=destination,
        provider=find_provider(backing),
        ledger=ledger,
        scale=scale,
        ports=Ports(data=port),
        dispatch=dispatch,
        work_conserving=work_conserving,
        observe=observe,
    )


def execute_small(
    plan: Plan,
    source: Path,
    destination: Path,
    *,
    ledger: Ledger,
    backing: str,
    size_bytes: int,
    dispatch: Dispatch = "dynamic",
) -> Executed:
    """Execute at once."""
    return execution(
        plan,
        source,
        destination,
        ledger=ledger,
        backing=backing,
        size_bytes=size_bytes,
        dispatch=dispatch,
    ).run()


def left_of(ledger: Ledger, transfer: str) -> list[Left]:
    """What an audit finds of one transfer; others' tests may leave things at the same time."""
    found = [left for left in audit(ledger).left if left.transfer == transfer]
    assert transfer not in {open_one.id for open_one in ledger.transfers()}
    return found
