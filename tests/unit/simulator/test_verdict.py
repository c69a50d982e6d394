from __future__ import annotations

from dataclasses import replace

from datasets.outcome import outcome
from simulator.assumptions import LinkChange
from simulator.simulate import simulate
from simulator.verdict import Verdict, verdict
from simulator.world import World
from tests.tiny_plans import A, B, C, plan_of, vm

LINKS = {(A, B): 5.0, (A, C): 9.6, (C, B): 6.0}


def _judge(world: World, **plan: object) -> Verdict:
    made = plan_of([((A, B), 2.0), ((A, C, B), 3.0)], LINKS, size_bytes=10**12, **plan)  # type: ignore[arg-type]
    events = simulate(made, world)
    return verdict(made, events, outcome(events))


def test_a_plan_in_its_own_world_keeps_its_promise() -> None:
    judged = _judge(World())
    assert judged.keeps_promise
    assert 0 <= judged.margin < 0.02
    assert judged.words.startswith("The plan keeps its promise")


def test_a_plan_on_a_slow_link_does_not() -> None:
    judged = _judge(World(link_changes=(LinkChange(at_s=0.0, src=A, dst=B, gbps=1.0),)))
    assert not judged.keeps_promise
    assert judged.margin > 0.1
    assert "does not keep" in judged.words


def test_what_binds_is_named_by_region() -> None:
    judged = _judge(World(), vms={A: vm(egress_public_gbps=2.0)})
    assert judged.binds == (f"egress to other clouds of {A}",)


def test_where_no_vm_is_full_the_pacing_binds() -> None:
    assert _judge(World()).binds == ("the planned rates (pacing)",)


def test_a_run_that_failed_keeps_no_promise() -> None:
    made = plan_of([((A, B), 2.0)], LINKS)
    events = simulate(made, World())
    assert not verdict(made, events, replace(outcome(events), ok=False)).keeps_promise
