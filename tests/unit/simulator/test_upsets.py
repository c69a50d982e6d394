"""What happens after losses and outages: several Jobs, losses again, what opens onto an outage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from datasets.events import Event
from datasets.outcome import outcome
from planner.job import Job
from planner.plan import Flow, Plan, Tree, TreeLane
from planner.recovery import RECOVERIES, Recovery
from simulator.assumptions import GatewayLoss, LinkChange, fixed_provisioning
from simulator.simulate import history_of, simulate
from simulator.verdict import lost_relays
from simulator.world import World
from tests.tiny_plans import A, B, C, D, plan_of, seconds
from tests.tiny_worlds import DIRECT, FEW, GB, MB, TWO, lose, makespan_s

BY_D = plan_of([((A, B), 3.0), ((A, D, B), 4.0)], {(A, B): 8.0, (A, D): 8.0, (D, B): 8.0})
TO_C = plan_of([((A, C), 4.0)], {(A, C): 8.0})
OUT_OF_C = LinkChange(at_s=3.0, src=C, dst=B, gbps=0.0)


@pytest.mark.parametrize("recovery", RECOVERIES[:2])
def test_a_job_that_failed_stays_failed_while_another_goes_on(recovery: Recovery) -> None:
    dies = f"{D}#0" if recovery == "none" else f"{B}#0"
    world = replace(FEW, recovery=recovery, losses=(GatewayLoss(at_s=4.0, gateway=dies),))
    history = history_of([BY_D, TO_C], world)
    assert set(history.record.failures) == {0}
    assert history.outcome(job=1).ok
    assert history.outcome(job=1).size_bytes == 10 * GB
    after_s = history.record.failures[0][0]
    late = [span for span in history.record.began if span.t_s > after_s]
    assert {history.routes[history.bundles[span.bundle].route].job for span in late} == {1}


def test_no_row_comes_after_the_end_of_a_run_that_failed() -> None:
    world = replace(FEW, losses=(GatewayLoss(at_s=4.0, gateway=f"{B}#0"),))
    events = simulate(TWO, world)
    assert events["event"].iloc[-1] == Event.RUN_ENDED.value
    assert (events["event"] == Event.GATEWAY_LOST.value).sum() == 1
    assert not outcome(events).ok


def test_a_second_loss_reaches_lanes_that_were_planned_anew() -> None:
    """C dies at 2 s, D takes its place, and dies at 8 s: nothing crosses D after that."""
    after = BY_D

    def replan(plan: Plan, lost: Sequence[str], missing: int) -> Plan:
        return after if f"{D}#0" not in lost else DIRECT

    world = replace(
        FEW,
        recovery="replan",
        losses=(*lose(2.0), GatewayLoss(at_s=8.0, gateway=f"{D}#0")),
    )
    # D is no gateway of the first plan, so the World may name it only with a plan that has it.
    both = plan_of(
        [((A, B), 2.0), ((A, C, B), 3.0), ((A, D, B), 1.0)],
        {(A, B): 8.0, (A, C): 8.0, (C, B): 8.0, (A, D): 8.0, (D, B): 8.0},
    )
    events = simulate(both, world, replan=replan)
    assert outcome(events).ok
    received = events[(events["event"] == "chunk_received") & (events["t_s"] > 8.0)]
    assert f"{D}#0" not in set(received["dst"])
    assert (events["event"] == Event.REPLANNED.value).sum() == 2


def test_a_new_plan_that_names_a_lost_gateway_gets_a_new_vm() -> None:
    world = replace(FEW, recovery="replan", losses=lose(2.0), provisioning=fixed_provisioning(3.0))
    events = simulate(TWO, world, replan=lambda plan, lost, missing: TWO)
    asked = events[events["event"] == Event.GATEWAY_REQUESTED.value]
    assert (asked["gateway"] == f"{C}#0").sum() == 2
    assert outcome(events).ok


def test_a_job_that_starts_after_a_loss_gets_a_vm_of_its_own() -> None:
    world = replace(
        FEW, losses=lose(2.0), starts_s=(0.0, 5.0), provisioning=fixed_provisioning(1.0)
    )
    events = simulate([TWO, TWO], world)
    assert outcome(events).ok
    asked = events[events["event"] == Event.GATEWAY_REQUESTED.value]
    assert (asked["gateway"] == f"{C}#0").sum() == 2
    begun = events[(events["event"] == "chunk_read") & (events["job"] == 1)]
    assert set(begun["path"]) == {0, 1}


def test_what_opens_onto_an_outage_waits_for_its_end() -> None:
    """C to B stops at 3 s; C dies at 4.5 s and is replaced: the direct lane carries the rest."""
    replaced = replace(FEW, recovery="replace", link_changes=(OUT_OF_C,), losses=lose(4.5))
    assert makespan_s(TWO, replaced) == pytest.approx(3.0 + seconds(7 * GB, 4.0), rel=5e-3)
    mended = replace(
        replaced,
        link_changes=(OUT_OF_C, LinkChange(at_s=8.0, src=C, dst=B, gbps=None)),
    )
    # 3 s at 8, 5 s at 4: 5.5 GB; the rest at 8.
    assert makespan_s(TWO, mended) == pytest.approx(8.0 + seconds(45 * GB // 10, 8.0), rel=5e-3)


def test_a_job_that_starts_during_an_outage_uses_what_carries() -> None:
    world = replace(FEW, link_changes=(OUT_OF_C,), starts_s=(0.0, 5.0))
    history = history_of([DIRECT, TWO], world)
    assert history.ok
    own = [hop for hop in history.record.received if _job(history, hop.bundle) == 1]
    assert {history.routes[history.bundles[hop.bundle].route].lane for hop in own} == {0}


def _job(history: object, bundle: int) -> int:
    routes, bundles = history.routes, history.bundles  # type: ignore[attr-defined]
    return int(routes[bundles[bundle].route].job)


@pytest.mark.parametrize("recovery", RECOVERIES[1:3])
def test_no_bill_is_ever_negative(recovery: Recovery) -> None:
    """Two Jobs share a relay that dies; the same loss is named twice."""
    for plans in ([TWO, TWO], [TWO]):
        world = replace(
            FEW,
            losses=(*lose(4.0), *lose(6.0)),
            recovery=recovery,
            provisioning=fixed_provisioning(1.0),
        )
        history = history_of(plans, world)
        rows = [row for job in range(len(plans)) for row in history.bill_of(job)]
        assert min(row.usd for row in rows) >= 0.0
        vm_usd = sum(row.usd for row in rows if row.kind == "vm")
        assert vm_usd == pytest.approx(0.001 * _vm_seconds(history.makespan_s, recovery), rel=1e-3)


def _vm_seconds(makespan: float, recovery: str) -> float:
    """A, B throughout; C until 4 s, and where it is replaced again from 6 s (1 + 1 s) on."""
    again = makespan - 6.0 if recovery == "replace" else 0.0
    return 2 * makespan + 4.0 + again


def test_static_shares_are_spread_over_all_lanes_that_come_back() -> None:
    plan = plan_of([((A, B), 4.0), ((A, B), 4.0)], {(A, B): 16.0})
    changes = (
        LinkChange(at_s=1.0, src=A, dst=B, gbps=0.0),
        LinkChange(at_s=3.0, src=A, dst=B, gbps=None),
    )
    world = replace(FEW, dispatch="static", link_changes=changes)
    history = history_of(plan, world)
    assert history.makespan_s == pytest.approx(12.0, rel=5e-3)
    by_lane = [0, 0]
    for span in history.record.acknowledged:
        by_lane[history.routes[history.bundles[span.bundle].route].lane] += span.chunks
    assert by_lane == pytest.approx([500, 500], abs=2)


def test_every_edge_out_of_the_source_begins_at_once() -> None:
    """A star to B and C, 10 chunks stored: each takes 0.4 s, both at the same time."""
    flat = plan_of([((A, B), 2.0), ((A, C), 2.0)], {(A, B): 8.0, (A, C): 8.0}, size_bytes=GB)
    edges = ((A, B), (A, C))
    star = replace(
        flat,
        job=Job(source=A, destinations=(B, C), size_bytes=GB, goal_gbps=2.0),
        flows=tuple(Flow(src=src, dst=dst, gbps=2.0) for src, dst in edges),
        paths=(),
        lanes=(),
        trees=(Tree(source=A, edges=edges, gbps=2.0, share=1.0),),
        tree_lanes=(
            TreeLane(
                tree=0,
                edges=tuple((f"{src}#0", f"{dst}#0") for src, dst in edges),
                connections=(16, 16),
                gbps=2.0,
                share=1.0,
            ),
        ),
    )
    world = replace(FEW, chunk_bytes=100 * MB, relays="store_and_forward")
    assert makespan_s(star, world) == pytest.approx(4.0)


def test_missing_bytes_are_counted_by_chunk() -> None:
    told = []

    def replan(plan: Plan, lost: Sequence[str], missing: int) -> Plan:
        told.append(missing)
        return DIRECT

    sizes = (5 * GB, *([1000] * 1000), 5 * GB)
    world = replace(FEW, objects=sizes, losses=lose(4.0), recovery="replan")
    history_of(replace(TWO, job=TWO.job.resized(sum(sizes))), world, replan=replan)
    # 4 s at 8 Gbit/s and one at 4 are 4.5 GB.
    assert told[0] == pytest.approx(sum(sizes) - 4.5 * GB, rel=0.01)


def test_connections_of_all_jobs_saturate_a_pair_together() -> None:
    """16 and 16 of 64 on one link of 8, a = 0.5: each 8·(1/2)^0.5/2 = 2.83 Gbit/s."""
    plan = plan_of([((A, B), 8.0)], {(A, B): 8.0}, connections=16)
    world = World(chunk_bytes=MB, saturation=0.5, provisioning=fixed_provisioning(0.0))
    history = history_of([plan, plan], world)
    assert history.makespan_s == pytest.approx(seconds(10 * GB, 8.0 * 0.5**0.5 / 2), rel=1e-2)


def test_what_a_lost_relay_costs_is_told_beside_the_other_jobs() -> None:
    plans = [TWO, TWO]
    whole = history_of(plans, FEW).outcome(job=0)
    (lost,) = lost_relays(plans, FEW, whole)
    assert lost.more_s is not None
    assert lost.more_s > 0


def test_a_vm_lost_before_its_job_asked_for_it_is_asked_for_then() -> None:
    later = plan_of([((D, B), 4.0)], {(D, B): 8.0})
    world = replace(
        FEW,
        recovery="replace",
        losses=(GatewayLoss(at_s=2.0, gateway=f"{D}#0"),),
        starts_s=(0.0, 5.0),
    )
    history = history_of([DIRECT, later], world)
    assert history.ok
    assert history.makespan_of(1) == pytest.approx(20.0, rel=0.3)


def test_provisioning_that_a_job_counts_is_the_simulated_one() -> None:
    counted = replace(
        DIRECT,
        job=replace(DIRECT.job, provisioning=True),
        provisioning_s={A: 30.0, B: 30.0},
    )
    for seconds_each in (0.0, 100.0):
        world = replace(FEW, provisioning=fixed_provisioning(seconds_each))
        waited_usd = history_of(counted, world).outcome().vm_usd - 0.001 * 2 * 20.0
        assert waited_usd == pytest.approx(0.001 * 2 * seconds_each, abs=1e-9)
