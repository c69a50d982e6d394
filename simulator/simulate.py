"""A Plan in a World, simulated: the one entry. Gives the event table that an execution also gives.

SimPy keeps time: gateways come up, the network moves chunks, links change. Everything is reckoned
in real units; the table shows the clock of the scaled run, seconds·b/k.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import simpy

from datasets.canonical import digest
from datasets.errors import InputError
from planner.dispatch import lane_paces
from planner.plan import Plan, require_paths
from simulator.chunks import DynamicQueue, Queue, StaticQueue, cut
from simulator.gateway import change_links, provision
from simulator.network import Network
from simulator.resources import resources_of
from simulator.table import History, write_table
from simulator.world import World


def run_id_of(plan: Plan, world: World) -> str:
    """The id of a simulation: the same Plan and World give the same id, and the same table."""
    return digest({"plan": plan.id, "world": world.as_json()})


def simulate(plan: Plan, world: World) -> pd.DataFrame:
    """The event table of the Plan carried out in the World; the same bytes for the same input.

    Raises: InputError if the World makes no sense for the Plan.
    """
    return write_table(run_id_of(plan, world), plan, world, history_of(plan, world))


def history_of(plan: Plan, world: World) -> History:
    """What happens, without the table: about one event a wave of chunks and lane.

    Raises: UnsupportedJob for a plan of trees; InputError as `simulate`.
    """
    require_paths(plan, "Simulating")
    for change in world.link_changes:
        if (change.src, change.dst) not in {(link.src, link.dst) for link in plan.links}:
            raise InputError(
                f"The plan has no link {change.src} to {change.dst} that could change."
            )
    objects = world.object_sizes(plan.job)
    paces = lane_paces(
        plan,
        work_conserving=world.work_conserving,
        connections_per_hop=world.connections_per_hop,
    )
    connections = sum(pace.connections for pace in paces)
    chunks = cut(objects, world.chunk_size(plan.job, connections=connections))
    queue: Queue = (
        DynamicQueue(chunks, paces)
        if world.dispatch == "dynamic"
        else StaticQueue(chunks, [pace.gbps for pace in paces])
    )
    env = simpy.Environment()
    network = Network(
        env,
        chunks=chunks,
        queue=queue,
        paces=paces,
        resources=resources_of(
            plan,
            work_conserving=world.work_conserving,
            connections_per_hop=world.connections_per_hop,
        ),
        size_scale=world.size_scale,
    )
    rng = np.random.default_rng(world.seed)
    ready_s: dict[str, float] = {}
    for gateway in plan.gateways:
        delay_s = world.provisioning.delay_s(gateway, rng)
        env.process(provision(env, gateway, delay_s, ready_s))
    env.run()  # the transfer starts when every gateway is ready
    started_s = float(env.now)
    moving = env.process(network.run())
    if world.link_changes:
        env.process(change_links(env, plan, world, network, moving))
    env.run(moving)
    wall = world.size_scale / world.rate_scale
    return History(
        objects=objects,
        chunks=chunks,
        lane=network.lane,
        began_s=network.began_s * wall,
        ended_s=network.ended_s * wall,
        ready_s={gateway: at_s * wall for gateway, at_s in ready_s.items()},
        started_s=started_s * wall,
        link_changes_s=[
            ((started_s + change.at_s) * wall, change.src, change.dst, change.gbps)
            for change in world.link_changes
        ],
    )
