"""A simulated run's bill where tiers and waiting count: what the plan predicts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from datasets.epochs import MatrixChoice, load_matrix
from datasets.events import Event
from datasets.outcome import outcome
from datasets.price_tiers import average_factor
from planner.billing import cost_events
from planner.job import Job
from planner.plan import Plan
from planner.strategies import solve
from simulator.simulate import simulate
from simulator.world import World
from tests.unit.planner.worlds import S, T, diamond, job

TB = 10**12
# Filling the way and the last chunks take time that a plan does not count.
NEAR = 0.005

ASKED: dict[str, dict[str, Any]] = {
    "tiered": {"tiered": True},
    "provisioning": {"provisioning": True},
    "both": {"tiered": True, "provisioning": True},
    "neither": {},
}


def bill(plan: Plan, table: pd.DataFrame) -> dict[str, float]:
    """USD by kind."""
    sums = {"egress": 0.0, "vm": 0.0}
    for row in cost_events(plan, table, rate_scale=1.0, size_scale=1.0):
        sums[row.kind] += row.usd
    return sums


def agrees(plan: Plan, table: pd.DataFrame) -> None:
    """Egress, and VM time with what is paid before; in sum and in the outcome too."""
    predicted, billed = plan.predicted.cost_usd, bill(plan, table)
    assert billed["egress"] == pytest.approx(predicted.egress, rel=NEAR)
    assert billed["vm"] == pytest.approx(predicted.vm + predicted.provisioning, rel=NEAR)
    told = outcome(table)
    assert told.egress_usd + told.vm_usd == pytest.approx(predicted.total, rel=NEAR)


@pytest.mark.parametrize(
    ("name", "goal"),
    [("tiered", 8.0), ("provisioning", 8.0), ("both", 2.0), ("both", 12.0), ("neither", 8.0)],
)
def test_a_simulated_bill_is_the_predicted_one(name: str, goal: float) -> None:
    """30 TB, so that AWS' first tier ends at a third; directly, both ways, and by way of R."""
    asked = job(goal_gbps=goal, vm_limit=1, size_bytes=30 * TB, **ASKED[name])
    plan = solve("overlay", diamond(), asked)
    agrees(plan, simulate(plan, World()))


@pytest.mark.parametrize("name", ["both"])
def test_so_is_one_on_measured_links(name: str) -> None:
    """GCP's first tier ends at 1 of 3 TB; chunks are 32 MiB, so that the last ones do not show."""
    matrix = load_matrix(MatrixChoice(epoch="2022-11-28"))
    asked = Job(
        source="gcp:europe-west4",
        destinations=("aws:ap-northeast-1",),
        size_bytes=3 * TB,
        goal_gbps=30.0,
        vm_limit=4,
        **ASKED[name],
    )
    plan = solve("overlay", matrix, asked)
    assert plan.relays
    agrees(plan, simulate(plan, World()))


def test_tiers_by_hand() -> None:
    """Directly, 30 TB from AWS: 10 at $0.08, 20 at 17/18 of it: $2,311.11 of $2,400."""
    asked = job(goal_gbps=2, vm_limit=1, size_bytes=30 * TB, tiered=True)
    plan = solve("direct", diamond(), asked)
    by_hand = 0.08 * (10_000 + 20_000 * 0.944444)
    assert plan.predicted.cost_usd.egress == pytest.approx(by_hand, rel=1e-9)
    assert plan.predicted.cost_usd.egress == pytest.approx(2311.11, abs=0.01)
    assert bill(plan, simulate(plan, World()))["egress"] == pytest.approx(by_hand, rel=1e-6)


def test_waiting_is_billed_at_the_start_for_each_vm() -> None:
    """$0.001 a second for 25.8 s on AWS and 25 s on GCP, whatever the simulator waits itself."""
    asked = job(goal_gbps=2, vm_limit=1, provisioning=True)
    plan = solve("direct", diamond(), asked)
    table = simulate(plan, World())
    rows = cost_events(plan, table, rate_scale=1.0, size_scale=1.0)
    start_s = float(table.loc[table["event"] == Event.CHUNK_READ.value, "t_s"].min())
    waited = {row.region: row.usd for row in rows if row.kind == "vm" and row.t_s == start_s}
    assert waited == pytest.approx({S: 0.0258, T: 0.025})
    plain = solve("direct", diamond(), replace(asked, provisioning=False))
    vm_usd = sum(row.usd for row in rows if row.kind == "vm")
    assert vm_usd == pytest.approx(bill(plain, simulate(plain, World()))["vm"] + 0.0508)


def test_a_tier_counts_what_was_sent_again_too() -> None:
    """A run of twice the bytes pays the average of twice the volume."""
    asked = job(goal_gbps=2, vm_limit=1, size_bytes=30 * TB, tiered=True)
    plan = solve("direct", diamond(), asked)
    table = simulate(plan, World())
    received = table[table["event"] == Event.CHUNK_RECEIVED.value]
    twice = pd.concat([table, received], ignore_index=True)
    once, again = bill(plan, table)["egress"], bill(plan, twice)["egress"]
    shares = [average_factor("aws", volume) for volume in (30_000, 60_000)]
    assert again / once == pytest.approx(2 * shares[1] / shares[0], rel=1e-6)
    assert again < 2 * once
