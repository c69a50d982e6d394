from __future__ import annotations

from dataclasses import replace

import pytest

from datasets.errors import InputError
from planner.recovery import joined, remaining_job
from tests.tiny_plans import A, B, C, D, plan_of, vm

PLAN = plan_of([((A, C, B), 4.0)], {(A, C): 8.0, (C, B): 8.0}, size_bytes=10**10)
AFTER = plan_of([((A, D, B), 3.0), ((A, B), 1.0)], {(A, D): 8.0, (D, B): 8.0, (A, B): 2.0})
VM = vm()


def test_a_relay_region_without_vms_left_is_forbidden() -> None:
    job = replace(PLAN.job, vm_limit=1)
    rest = remaining_job(job, missing_bytes=7, lost=[f"{C}#0"], vm=VM)
    assert (rest.size_bytes, rest.forbid, rest.vm_limit) == (7, (C,), 1)


def test_a_region_keeps_the_vms_that_live() -> None:
    job = replace(PLAN.job, vm_limit=4)
    rest = remaining_job(job, missing_bytes=7, lost=[f"{C}#0", f"{C}#2"], vm=VM)
    assert rest.quotas == {C: 2 * VM.vcpus}
    under_quota = replace(job, quotas={C: 3 * VM.vcpus})
    rest = remaining_job(under_quota, missing_bytes=7, lost=[f"{C}#0"], vm=VM)
    assert rest.quotas == {C: 2 * VM.vcpus}


def test_an_end_without_vms_cannot_be_planned_around() -> None:
    with pytest.raises(InputError, match="No VM is left"):
        remaining_job(replace(PLAN.job, vm_limit=1), missing_bytes=7, lost=[f"{B}#0"], vm=VM)


def test_what_was_for_the_whole_is_not_asked_of_the_rest() -> None:
    for asked in ({"deadline_s": 60.0}, {"max_usd": 5.0}):
        job = replace(PLAN.job, goal_gbps=None, **asked)  # type: ignore[arg-type]
        rest = remaining_job(job, missing_bytes=7, lost=[f"{C}#0"], vm=VM)
        assert rest.objective == "fastest"


def test_a_goal_stays() -> None:
    job = replace(PLAN.job, goal_gbps=3.0)
    assert remaining_job(job, missing_bytes=7, lost=[f"{C}#0"], vm=VM).goal_gbps == 3.0


def test_the_record_of_both_plans_keeps_the_old_lanes_first() -> None:
    both = joined(PLAN, AFTER, [f"{C}#0"])
    assert both.paths == (*PLAN.paths, *AFTER.paths)
    assert [lane.path for lane in both.lanes] == [0, 1, 2]
    assert both.lanes[0] == PLAN.lanes[0]
    assert {(link.src, link.dst) for link in both.links} == {
        (link.src, link.dst) for link in (*PLAN.links, *AFTER.links)
    }
    assert set(both.vms) == {A, B, C, D}
    assert AFTER.id in both.notes[-1]
