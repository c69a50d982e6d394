"""Broadcast by real gateways on every local backing: each destination whole, by any tree."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from datasets.errors import InputError, TransferFailed, UnsupportedJob
from datasets.events import Event
from datasets.outcome import outcome
from executor.execute import Executed, Execution, Progress
from executor.ledger import Ledger
from executor.machine import find_gateways
from executor.providers import find_provider
from executor.scale import scale_for
from planner.plan import Plan, restated
from tests.fault.test_lost_gateway import send
from tests.local import MACHINE_GBPS, left_of, sha256_of, write_source
from tests.tiny_plans import A, B, C, D
from tests.tiny_trees import trees_of

pytestmark = pytest.mark.xdist_group("fault")
SIZE_BYTES = 8 << 20
E = "gcp:e-1"

STAR = [([(A, C), (A, D)], 2.0)]
RELAY = [([(A, B), (B, C), (B, D)], 2.0)]
CHAIN = [([(A, C), (C, B), (B, D)], 2.0)]
SEVERAL = [
    ([(A, B), (B, C), (B, D)], 1.5),
    ([(A, C), (C, D)], 1.0),
    ([(A, E), (E, D), (D, C)], 1.5),
]
SHAPES = {"star": STAR, "relay": RELAY, "destination passes on": CHAIN, "several": SEVERAL}


def plan_for(shape: str) -> Plan:
    trees = SHAPES[shape]
    return trees_of(trees, [C, D], {edge: 4.0 for edges, _ in trees for edge in edges})


def broadcast(
    plan: Plan,
    folder: Path,
    ledger: Ledger,
    *,
    backing: str = "loopback",
    observe: Callable[[Progress], None] = lambda progress: None,
) -> Execution:
    fitting = restated(plan, SIZE_BYTES)
    return Execution(
        plan=fitting,
        source=folder / "source",
        destination={region: folder / name for region, name in ((C, "at-c"), (D, "at-d"))},
        provider=find_provider(backing),
        ledger=ledger,
        scale=scale_for(fitting, machine_gbps=MACHINE_GBPS, moved_bytes=SIZE_BYTES),
        observe=observe,
    )


def verified(done: Executed) -> dict[str, int]:
    rows: pd.DataFrame = done.events[done.events["event"] == Event.CHUNK_VERIFIED.value]
    rows = rows.drop_duplicates(["gateway", "object", "chunk"])
    return {str(name): int(size) for name, size in rows.groupby("gateway")["bytes"].sum().items()}


def assert_everywhere(done: Executed, digest: str, folder: Path, ledger: Ledger) -> None:
    assert sha256_of(folder / "at-c") == sha256_of(folder / "at-d") == digest
    assert verified(done) == {f"{C}#0": SIZE_BYTES, f"{D}#0": SIZE_BYTES}
    assert not find_gateways(done.run_id)
    assert not left_of(ledger, done.run_id)
    assert sorted(entry.name for entry in folder.iterdir()) == ["at-c", "at-d", "source", "state"]


@pytest.mark.parametrize(
    ("shape", "backing"),
    [
        *((shape, "loopback") for shape in SHAPES),
        pytest.param("several", "netns", marks=pytest.mark.netns),
    ],
    indirect=["backing"],
)
def test_every_destination_has_every_byte(
    shape: str, backing: str, ledger: Ledger, tmp_path: Path
) -> None:
    digest = write_source(tmp_path / "source", SIZE_BYTES)
    done = broadcast(plan_for(shape), tmp_path, ledger, backing=backing).run()
    assert_everywhere(done, digest, tmp_path, ledger)
    result = outcome(done.events)
    assert (result.ok, result.size_bytes, result.objects_verified) == (True, SIZE_BYTES, 2)
    assert result.retransmitted_bytes == 0
    acknowledged = done.events[done.events["event"] == Event.CHUNK_ACKNOWLEDGED.value]
    assert not acknowledged.duplicated(["object", "chunk"]).any()
    # Acknowledged last: when the slower of the two has it.
    seen = done.events[done.events["event"] == Event.CHUNK_VERIFIED.value]
    last = seen.groupby(["object", "chunk"])["t_s"].max()
    first_word = acknowledged.set_index(["object", "chunk"])["t_s"].sort_index()
    assert (last.sort_index() <= first_word).all()


def test_each_edge_carries_a_byte_once(ledger: Ledger, tmp_path: Path) -> None:
    """One record in, two out: what leaves the source is not what the destinations add up to."""
    write_source(tmp_path / "source", SIZE_BYTES)
    done = broadcast(plan_for("relay"), tmp_path, ledger).run()
    received = done.events[done.events["event"] == Event.CHUNK_RECEIVED.value]
    per_edge = received.groupby(["src", "dst"])["bytes"].sum().to_dict()
    ends = [(A, B), (B, C), (B, D)]
    assert per_edge == {(f"{src}#0", f"{dst}#0"): SIZE_BYTES for src, dst in ends}


def test_a_slow_branch_does_not_hold_the_fast_one_back(ledger: Ledger, tmp_path: Path) -> None:
    """D takes in a fifth of what the tree is planned for: C is done long before it."""
    digest = write_source(tmp_path / "source", SIZE_BYTES)
    plan = plan_for("relay")
    slow = tuple(
        replace(each, vm=replace(each.vm, ingress_gbps=0.4)) if each.id == D else each
        for each in plan.regions
    )
    done = broadcast(replace(plan, regions=slow), tmp_path, ledger).run()
    assert_everywhere(done, digest, tmp_path, ledger)
    seen = done.events[done.events["event"] == Event.CHUNK_VERIFIED.value]
    ends_s = seen.groupby("gateway")["t_s"].max() - seen["t_s"].min()
    assert ends_s[f"{C}#0"] < 0.5 * ends_s[f"{D}#0"]


def test_a_killed_relay_of_one_tree_leaves_the_others(ledger: Ledger, tmp_path: Path) -> None:
    digest = write_source(tmp_path / "source", SIZE_BYTES)
    killed: list[str] = []

    def observe(progress: Progress) -> None:
        if progress.acknowledged_bytes > SIZE_BYTES // 5 and not killed:
            killed.append(f"{B}#0")
            send(signal.SIGKILL, run.transfer, f"{B}#0")

    run = broadcast(plan_for("several"), tmp_path, ledger, observe=observe)
    done = run.run()
    assert_everywhere(done, digest, tmp_path, ledger)
    assert done.manifest["lost"] == {f"{B}#0": "was lost"}
    assert outcome(done.events).retransmitted_bytes > 0


def test_a_killed_destination_fails_the_whole_and_leaves_nothing(
    ledger: Ledger, tmp_path: Path
) -> None:
    write_source(tmp_path / "source", SIZE_BYTES)
    killed: list[str] = []

    def observe(progress: Progress) -> None:
        if progress.acknowledged_bytes > SIZE_BYTES // 5 and not killed:
            killed.append(f"{D}#0")
            send(signal.SIGKILL, run.transfer, f"{D}#0")

    run = broadcast(plan_for("several"), tmp_path, ledger, observe=observe)
    with pytest.raises(TransferFailed, match=f"{D}#0.* lost"):
        run.run()
    assert not find_gateways(run.transfer)
    assert not left_of(ledger, run.transfer)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["source", "state"]


def test_destinations_are_named_one_by_one(ledger: Ledger, tmp_path: Path) -> None:
    write_source(tmp_path / "source", 1000)
    run = broadcast(plan_for("star"), tmp_path, ledger)
    for given, said in (
        (tmp_path / "there", "give --destination REGION=PATH"),
        ({C: tmp_path / "there"}, f"{D} is without a --destination"),
        ({C: tmp_path / "x", D: tmp_path / "y", B: tmp_path / "z"}, f"{B} is no destination"),
    ):
        with pytest.raises(InputError, match=said):
            Execution(
                plan=run.plan,
                source=run.source,
                destination=given,
                provider=run.provider,
                ledger=ledger,
                scale=run.scale,
            )
    run._destinations = {C: tmp_path / "there", D: tmp_path / "there"}
    with pytest.raises(InputError, match="both at"):
        run.run()


def test_several_sources_are_refused(ledger: Ledger, tmp_path: Path) -> None:
    plan = plan_for("star")
    many = replace(plan, job=replace(plan.job, more_sources=(B,)))
    with pytest.raises(UnsupportedJob, match="from 2 sources"):
        broadcast(many, tmp_path, ledger)
