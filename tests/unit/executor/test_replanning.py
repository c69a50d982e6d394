"""Planning anew over the gateways that live: nothing that is not there is asked for."""

from __future__ import annotations

from datasets.epochs import MatrixChoice, load_matrix
from datasets.errors import InputError
from executor.replanning import Anew, matrix_of, over_the_living, plan_anew
from planner.checks import check
from planner.job import Job
from planner.plan import Plan
from planner.strategies import solve
from tests.tiny_plans import A, B, C, plan_of

MATRIX = load_matrix(MatrixChoice(epoch="2022-11-28"))


def overlay() -> Plan:
    """A plan by at least one relay, the fastest that two VMs a region reach."""
    job = Job(
        source="azure:canadacentral",
        destinations=("gcp:asia-northeast2",),
        size_bytes=10**12,
        vm_limit=2,
        max_usd=200.0,
    )
    plan = solve("overlay", MATRIX, job)
    assert plan.relays
    return plan


def test_the_new_plan_stays_among_the_living_and_holds() -> None:
    plan = overlay()
    lost = [name for name in plan.gateways if name.startswith(f"{plan.relays[0]}#")][:1]
    solved = over_the_living(MATRIX)(plan, lost, 10**11)
    check(solved)
    assert solved.job.size_bytes == 10**11
    found = plan_anew(plan, over_the_living(MATRIX), lost=lost, missing_bytes=10**11)
    assert found.plan is not None
    assert {*found.plan.gateways} <= {*plan.gateways} - {*lost}
    assert found.as_detail()["plan"] == solved.id


def test_the_matrix_of_a_plan_is_the_one_it_was_made_on() -> None:
    assert matrix_of(overlay(), None).digest == MATRIX.digest


def test_without_a_matrix_or_an_answer_the_reason_is_told() -> None:
    plan = plan_of([((A, B, C), 1.0)], {(A, B): 4.0, (B, C): 4.0})
    assert plan_anew(plan, None, lost=[f"{B}#0"], missing_bytes=1).as_detail() == {
        "plan": None,
        "why": "no matrix was given to plan on",
    }

    def none(plan: Plan, lost: object, missing_bytes: int) -> Plan:
        raise InputError("No VM is left.")

    assert plan_anew(plan, none, lost=[], missing_bytes=1) == Anew(plan=None, why="No VM is left.")


def test_a_plan_with_a_lost_gateway_in_it_is_not_followed() -> None:
    plan = plan_of([((A, B, C), 1.0)], {(A, B): 4.0, (B, C): 4.0})
    found = plan_anew(plan, lambda *_: plan, lost=[f"{B}#0"], missing_bytes=1)
    assert found.plan is None
    assert f"{B}#0, which is not there" in found.why
