"""A small World and plans for it, whose simulations can be reckoned by hand."""

from __future__ import annotations

from datasets.outcome import Outcome, outcome
from planner.plan import Plan
from simulator.assumptions import GatewayLoss, fixed_provisioning
from simulator.simulate import simulate
from simulator.world import World
from tests.tiny_plans import A, B, C, plan_of

MB = 10**6
GB = 10**9
# 10 GB at 4 Gbit/s in chunks of 10 MB on one connection a hop: 20 s.
FEW = World(chunk_bytes=GB // 100, connections_per_hop=1, provisioning=fixed_provisioning(0.0))
DIRECT = plan_of([((A, B), 4.0)], {(A, B): 5.0})
RELAYED = plan_of([((A, C, B), 4.0)], {(A, C): 5.0, (C, B): 5.0})
TWO = plan_of([((A, B), 4.0), ((A, C, B), 4.0)], {(A, B): 8.0, (A, C): 8.0, (C, B): 8.0})


def result_of(plan: Plan, world: World) -> Outcome:
    return outcome(simulate(plan, world))


def makespan_s(plan: Plan, world: World) -> float:
    return result_of(plan, world).makespan_s


def lose(at_s: float = 4.0, notice_s: float = 0.0) -> tuple[GatewayLoss, ...]:
    """The relay C dies."""
    return (GatewayLoss(at_s=at_s, gateway=f"{C}#0", notice_s=notice_s),)
