"""Unicast Jobs on tiny worlds by brute force: every whole number of VMs, every simple path.

Written from DESIGN.md's model over paths instead of links, by SciPy's HiGHS; it shares nothing with
`planner/lp` and reads prices, watts and waits from `datasets` alone. For given VMs N and f = F/G,
u = 1/G everything is linear in f and u:

    sum of f = 1,  use(f) <= N u  (VM time, caps),  u <= 1 / floor
    USD a gigabit = egress(f) + u · N · hourly/3600 + N · hourly/3600 · wait / gigabits
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from scipy.optimize import linprog

from datasets.epochs import MatrixChoice, load_matrix
from datasets.matrix import Matrix, RegionVm
from datasets.power import gco2e_per_vm_hour
from datasets.provisioning import provisioning_s
from datasets.synthetic import synthetic_matrix
from datasets.units import gigabits
from planner.job import Job

Hops = tuple[str, ...]
Vms = Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The best flows of some VMs: Gbit/s, USD and gCO2e of the whole transfer."""

    gbps: float
    usd: float
    gco2e: float
    vms: Vms


@cache
def real_names(seed: int, regions: int) -> Matrix:
    """A synthetic world whose regions have the names, and so the grids, of real ones."""
    world = synthetic_matrix(seed, regions=regions)
    rng = np.random.default_rng(seed)
    known: dict[str, list[str]] = {}
    for name in load_matrix(MatrixChoice(epoch="2022-11-28")).region_ids:
        known.setdefault(name.split(":")[0], []).append(name)
    taken = {cloud: list(rng.permutation(sorted(names))) for cloud, names in known.items()}
    called = {name: str(taken[name.split(":")[0]].pop()) for name in world.region_ids}
    return replace(
        world,
        regions=tuple(RegionVm(id=called[entry.id], vm=entry.vm) for entry in world.regions),
        links=tuple(replace(e, src=called[e.src], dst=called[e.dst]) for e in world.links),
    )


def simple_paths(matrix: Matrix, job: Job) -> tuple[Hops, ...]:
    """Every path without loops that the Job allows each byte to take."""
    s, t = job.source, job.destination
    usable = [
        region
        for region in matrix.region_ids
        if region not in (s, t)
        and region not in job.forbid
        and (not job.within or region in job.within)
    ]
    found = []
    for count in range(len(usable) + 1):
        for relays in itertools.permutations(usable, count):
            hops = (s, *relays, t)
            links = list(itertools.pairwise(hops))
            if (
                all(
                    matrix.link(*ends) is not None and ends not in job.forbid_links
                    for ends in links
                )
                and set(job.require) <= set(hops)
                and set(job.require_links) <= set(links)
            ):
                found.append(hops)
    return tuple(found)


def limits_of(matrix: Matrix, job: Job) -> dict[str, int]:
    """The most VMs of each region."""
    return {
        region: min(job.vm_limit, job.quotas.get(region, 10**6) // matrix.vm(region).vcpus)
        for region in matrix.region_ids
    }


def best_with(matrix: Matrix, job: Job, vms: Vms) -> Best | None:
    """The best flows for exactly those VMs by what the Job asks; None if it cannot be met.

    Cheapest (in USD or gCO2e) at a floor, or the fastest; within the ceilings.
    """
    paths = [
        hops for hops in simple_paths(matrix, job) if all(vms.get(region, 0) for region in hops)
    ]
    if not paths:
        return None
    rows, size = [], gigabits(job.size_bytes)
    for region, n in vms.items():
        vm = matrix.vm(region)
        use: dict[str, list[float]] = {name: [] for name in ("out", "in", "public", "send", "take")}
        for hops in paths:
            links = [matrix.link(*ends) for ends in itertools.pairwise(hops)]
            out = [e for e in links if e is not None and e.src == region]
            into = [e for e in links if e is not None and e.dst == region]
            use["out"].append(sum(1 / e.gbps for e in out))
            use["in"].append(sum(1 / e.gbps for e in into))
            use["public"].append(sum(e.dst.split(":")[0] != e.src.split(":")[0] for e in out))
            use["send"].append(len(out))
            use["take"].append(len(into))
        caps = (1.0, 1.0, vm.egress_public_gbps, vm.egress_gbps, vm.ingress_gbps)
        rows += [[*used, -n * cap] for used, cap in zip(use.values(), caps, strict=True)]
    limits = [0.0] * len(rows)
    egress = [
        sum(e.usd_per_gb / 8 for e in map(matrix.link, hops[:-1], hops[1:]) if e is not None)
        for hops in paths
    ]
    hourly = sum(n * matrix.vm(r).usd_per_hour for r, n in vms.items()) / 3600
    waits = {r: provisioning_s(r.split(":")[0]) if job.provisioning else 0.0 for r in vms}
    waited = sum(n * matrix.vm(r).usd_per_hour / 3600 * waits[r] for r, n in vms.items())
    grams = sum(n * grams_per_s(matrix, r) for r, n in vms.items())
    grams_waited = sum(n * grams_per_s(matrix, r) * waits[r] for r, n in vms.items())
    usd = [*egress, hourly]
    carbon = [*([0.0] * len(paths)), grams]
    if job.max_usd is not None:
        rows.append(usd)
        limits.append((job.max_usd - waited) / size)
    if job.max_gco2e is not None:
        rows.append(carbon)
        limits.append((job.max_gco2e - grams_waited) / size)
    floor = job.floor_gbps
    objective = [*([0.0] * len(paths)), 1.0]
    if floor is not None:
        objective = carbon if job.minimise == "gco2e" else usd
    found = linprog(
        objective,
        A_ub=rows,
        b_ub=limits,
        A_eq=[[*([1.0] * len(paths)), 0.0]],
        b_eq=[1.0],
        bounds=[*([(0, None)] * len(paths)), (0, None if floor is None else 1 / floor)],
    )
    if found.x is None:
        return None
    return Best(
        gbps=1 / float(found.x[-1]),
        usd=float(np.dot(usd, found.x)) * size + waited,
        gco2e=float(np.dot(carbon, found.x)) * size + grams_waited,
        vms={region: n for region, n in vms.items() if n},
    )


def grams_per_s(matrix: Matrix, region: str) -> float:
    """gCO2e a second of one VM; NaN where it is not known."""
    hourly = gco2e_per_vm_hour(region, matrix.vm(region).vcpus)
    return math.nan if hourly is None else hourly / 3600


def brute_force(matrix: Matrix, job: Job) -> Best | None:
    """The best of all whole VMs within the limits; None if the Job is infeasible."""

    def key(best: Best) -> float:
        if job.floor_gbps is None:
            return -best.gbps
        return best.gco2e if job.minimise == "gco2e" else best.usd

    return min(_all(matrix, job), key=key, default=None)


def _all(matrix: Matrix, job: Job) -> Iterator[Best]:
    limits = limits_of(matrix, job)
    used = {region for hops in simple_paths(matrix, job) for region in hops}
    ranges = [range(limits[r] + 1 if r in used else 1) for r in matrix.region_ids]
    for counts in itertools.product(*ranges):
        vms = dict(zip(matrix.region_ids, counts, strict=True))
        if vms[job.source] and vms[job.destination]:
            found = best_with(matrix, job, vms)
            if found is not None:
                yield found
