"""Small random Plans and Worlds for the property tests of the simulator, by seed.

A case is drawn from one `random.Random`, so that a number names it anywhere; all Jobs of a case
live in one world of links and VMs.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from datasets.matrix import Vm
from planner.job import Job
from planner.plan import Plan, Tree, TreeLane
from simulator.assumptions import (
    RELAYS,
    GatewayLoss,
    LinkChange,
    Ramp,
    Stragglers,
    fixed_provisioning,
)
from simulator.world import World
from tests.tiny_plans import A, B, C, D, plan_of, vm

Feature = Literal[
    "apart",
    "bounded",
    "jobs",
    "links",
    "losses",
    "objects",
    "overheads",
    "ramp",
    "rtt",
    "saturation",
    "short",
    "starts",
    "static",
    "stragglers",
]
Pair = tuple[str, str]
MB = 10**6
CHUNK = 10 * MB
ROUTES = ((A, B), (A, C, B), (A, D, C, B), (A, D, B))
# Trees, some with several edges out of the source.
TREES = (
    ((A, C), (C, B), (C, D)),
    ((A, D), (D, C), (C, B)),
    ((A, B), (B, C), (C, D)),
    ((A, B), (A, C), (A, D)),
    ((A, C), (A, D), (D, B)),
)


@dataclass(slots=True)
class _Earth:
    """The links and VMs that all Plans of a case share."""

    rng: random.Random
    vms: dict[str, Vm] | None = None
    gbps: dict[Pair, float] = field(default_factory=dict)
    rtt_ms: dict[Pair, float] = field(default_factory=dict)

    def links(self, pairs: Collection[Pair]) -> dict[Pair, float]:
        for pair in sorted(pairs):
            self.gbps.setdefault(pair, self.rng.uniform(1.0, 10.0))
            self.rtt_ms.setdefault(pair, self.rng.choice([10.0, 50.0, self.rng.uniform(5, 200)]))
        return {pair: self.gbps[pair] for pair in sorted(pairs)}


def random_case(seed: int, features: Collection[Feature]) -> tuple[list[Plan], World]:
    """Plans and a World in which only the named effects occur."""
    rng = random.Random(seed)
    earth = _Earth(rng)
    if rng.random() < 0.6:
        earth.vms = {
            region: vm(
                egress_gbps=rng.uniform(2, 20),
                egress_public_gbps=rng.uniform(2, 20),
                ingress_gbps=rng.uniform(2, 20),
            )
            for region in (A, B, C, D)
        }
    size = rng.randint(1, 40) * CHUNK
    count = rng.choice([1, 2, 3]) if "jobs" in features else 1
    plans = [_plan(earth, size) for _ in range(count)]
    return plans, _world(rng, plans, features)


def _plan(earth: _Earth, size: int) -> Plan:
    rng = earth.rng
    if rng.random() < 0.25:
        return _tree_plan(earth, size)
    routes = rng.sample(ROUTES, rng.randint(1, 3))
    links = earth.links({pair for route in routes for pair in itertools.pairwise(route)})
    vms_each = rng.choice([1, 1, 2])
    paths = []
    for route in routes:
        most = min(links[pair] for pair in itertools.pairwise(route))
        paths.append((route, vms_each * rng.uniform(0.3, 1.2) * most / len(routes)))
    plan = plan_of(
        paths,
        links,
        size_bytes=size,
        vms_each=vms_each,
        vms=earth.vms,
        connections=rng.choice([None, None, 2, 5]),
    )
    lanes = plan.lanes
    if rng.random() < 0.3:
        lanes = tuple(
            replace(lane, connections=tuple(rng.randint(1, 6) for _ in lane.connections))
            for lane in lanes
        )
    return replace(plan, lanes=lanes, links=_with_rtts(plan, earth))


def _tree_plan(earth: _Earth, size: int) -> Plan:
    rng = earth.rng
    edges = rng.sample(TREES, rng.randint(1, 2))
    pairs = sorted({pair for tree in edges for pair in tree})
    links = earth.links(pairs)
    flat = plan_of([(pair, 1.0) for pair in pairs], links, size_bytes=size, vms=earth.vms)
    gbps = [rng.uniform(0.3, 1.0) * min(links[pair] for pair in tree) / 2 for tree in edges]
    job = Job(source=A, destinations=(B, C, D), size_bytes=size, goal_gbps=sum(gbps))
    trees = tuple(
        Tree(source=A, edges=tree, gbps=rate, share=rate / sum(gbps))
        for tree, rate in zip(edges, gbps, strict=True)
    )
    lanes = tuple(
        TreeLane(
            tree=at,
            edges=tuple((f"{src}#0", f"{dst}#0") for src, dst in tree.edges),
            connections=tuple(rng.randint(1, 6) for _ in tree.edges),
            gbps=tree.gbps,
            share=tree.share,
        )
        for at, tree in enumerate(trees)
    )
    return replace(
        flat,
        job=job,
        flows=(),
        paths=(),
        lanes=(),
        trees=trees,
        tree_lanes=lanes,
        links=_with_rtts(flat, earth),
    )


def _with_rtts(plan: Plan, earth: _Earth) -> Any:
    return tuple(replace(link, rtt_ms=earth.rtt_ms[link.src, link.dst]) for link in plan.links)


def _world(rng: random.Random, plans: Sequence[Plan], features: Collection[Feature]) -> World:
    told: dict[str, Any] = {
        "seed": rng.randint(0, 99),
        "chunk_bytes": CHUNK,
        "connections_per_hop": rng.choice([None, None, 1, 3]),
        "work_conserving": rng.random() < 0.4,
        "dispatch": rng.choice(["dynamic", "static"]) if "static" in features else "dynamic",
        "provisioning": fixed_provisioning(rng.choice([0.0, 2.5])),
        "detection_s": rng.uniform(0.01, 0.3),
    }
    if "objects" in features:
        sizes = [CHUNK, 2 * CHUNK, 3 * CHUNK]
        sizes += [rng.randint(0, 3 * CHUNK)] if "short" in features else []
        told["objects"] = tuple(rng.choice(sizes) for _ in range(rng.randint(1, 12)))
    if "apart" in features:
        told["relays"] = rng.choice(RELAYS) if "bounded" in features else RELAYS[1]
    if "bounded" in features:
        told["record_bytes"] = CHUNK // rng.choice([1, 2, 5])
        passed_on = told["record_bytes"] if told["relays"] == "cut_through" else CHUNK
        told["relay_buffer_bytes"] = rng.choice([1, 2, 5, 30]) * passed_on
    if "ramp" in features:
        told["ramp"] = Ramp(
            rtts=rng.choice([0.0, 1.0, 5.0]),
            base_s=rng.choice([0.0, 0.05, 0.2]),
            test_s=rng.choice([0.0, 5.0]),
        )
    if "stragglers" in features:
        told["stragglers"] = Stragglers(
            sigma=rng.choice([0.0, 0.3]), slow_share=0.2, group=rng.choice([1, 2, 8])
        )
    if "overheads" in features:
        told["chunk_overhead_s"] = rng.uniform(0.0, 0.05)
        told["object_overhead_s"] = rng.choice([0.0, 0.07])
    if "saturation" in features:
        told["saturation"] = rng.choice([0.0, 0.5, 0.8, 1.0])
    if "rtt" in features:
        told["fairness"] = rng.choice(["maxmin", "inverse_rtt"])
    if "starts" in features:
        told["starts_s"] = tuple(rng.uniform(0.0, 1.0) for _ in plans)
    if "links" in features:
        told["link_changes"] = _changes(rng, plans)
    if "losses" in features:
        told["losses"] = _losses(rng, plans)
        told["recovery"] = rng.choice(["others", "replace", "none"])
    return World(**told)


def _changes(rng: random.Random, plans: Sequence[Plan]) -> tuple[LinkChange, ...]:
    """Slower, faster, out, and mostly back."""
    pairs = sorted({(link.src, link.dst) for plan in plans for link in plan.links})
    found = []
    for _ in range(rng.randint(1, 3)):
        (src, dst), at_s = rng.choice(pairs), rng.choice([0.0, rng.uniform(0.0, 1.5)])
        gbps = rng.choice([0.0, 0.0, rng.uniform(0.2, 12.0)])
        found.append(LinkChange(at_s=at_s, src=src, dst=dst, gbps=gbps))
        if rng.random() < 0.7:
            later_s, back = at_s + rng.uniform(0.01, 1.0), rng.choice([None, rng.uniform(0.2, 12)])
            found.append(LinkChange(at_s=later_s, src=src, dst=dst, gbps=back))
    return tuple(found)


def _losses(rng: random.Random, plans: Sequence[Plan]) -> tuple[GatewayLoss, ...]:
    gateways = sorted({gateway for plan in plans for gateway in plan.gateways})
    return tuple(
        GatewayLoss(
            at_s=rng.choice([0.0, rng.uniform(0.0, 1.5), rng.uniform(0.0, 0.3)]),
            gateway=name,
            notice_s=rng.choice([0.0, 0.0, rng.uniform(0.0, 0.5)]),
        )
        for name in rng.sample(gateways, min(len(gateways), rng.randint(1, 2)))
    )
