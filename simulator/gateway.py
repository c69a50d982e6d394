"""Gateways come up, links change: the control side of a simulation, as SimPy processes."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import simpy

from planner.plan import Plan
from simulator.network import Network
from simulator.resources import resources_of
from simulator.world import LinkChange, World


def provision(
    env: simpy.Environment, gateway: str, delay_s: float, ready_s: dict[str, float]
) -> Generator[Any, Any, None]:
    """A gateway answers `delay_s` after it was asked for."""
    yield env.timeout(delay_s)
    ready_s[gateway] = env.now


def change_links(
    env: simpy.Environment, plan: Plan, world: World, network: Network, moving: simpy.Process
) -> Generator[Any, Any, None]:
    """Carry out the World's link changes, counted from now, while the transfer is on."""
    begun_s = env.now
    rates: dict[tuple[str, str], float] = {}
    for change in _in_order(world.link_changes):
        yield env.timeout(max(0.0, begun_s + change.at_s - env.now))
        if not moving.is_alive:
            return
        rates[change.src, change.dst] = change.gbps
        network.change(
            resources_of(
                plan,
                work_conserving=world.work_conserving,
                connections_per_hop=world.connections_per_hop,
                changed=rates,
            )
        )
        moving.interrupt()


def _in_order(changes: Sequence[LinkChange]) -> list[LinkChange]:
    return sorted(changes, key=lambda change: change.at_s)
