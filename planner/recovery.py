"""What is done after a gateway or a link was lost: pure rules, for simulator and executor alike.

Only what is missing moves again: chunks that were acknowledged stay, those under way on a lane
that is gone are handed out anew.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Literal

from datasets.errors import InputError
from datasets.matrix import Vm
from datasets.regions import region_of_gateway
from planner.job import Job
from planner.plan import Plan

# none: the transfer ends; others: the lanes that are left carry the rest; replace: that, and the
# gateway is asked for again; replan: that, and what is missing is planned anew without it.
Recovery = Literal["none", "others", "replace", "replan"]
RECOVERIES: tuple[Recovery, ...] = ("none", "others", "replace", "replan")
# Within this a lost neighbour is noticed: half-second heartbeats, two of them missed.
DETECTION_S = 1.0


def joined(plan: Plan, after: Plan, lost: Collection[str]) -> Plan:
    """One Plan to read a Run by that began with `plan` and went on with `after`.

    Its paths, lanes (trees, tree lanes) are those of both, `after`'s later; figures are `after`'s
    where both have them. It is a record, not a plan to carry out: `lost` and old lanes stand in it.
    """
    links = {(link.src, link.dst): link for link in (*plan.links, *after.links)}
    regions = {region.id: region for region in (*plan.regions, *after.regions)}
    return replace(
        plan,
        vms={
            region: max(plan.vms.get(region, 0), after.vms.get(region, 0))
            for region in sorted({*plan.vms, *after.vms})
        },
        paths=(*plan.paths, *after.paths),
        lanes=(
            *plan.lanes,
            *(replace(lane, path=lane.path + len(plan.paths)) for lane in after.lanes),
        ),
        trees=(*plan.trees, *after.trees),
        tree_lanes=(
            *plan.tree_lanes,
            *(replace(lane, tree=lane.tree + len(plan.trees)) for lane in after.tree_lanes),
        ),
        regions=tuple(regions[name] for name in sorted(regions)),
        links=tuple(links[ends] for ends in sorted(links)),
        certificates=(),
        notes=(*plan.notes, f"planned anew without {', '.join(lost)}: {after.id}"),
    )


def remaining_job(job: Job, *, missing_bytes: int, lost: Collection[str], vm: Vm) -> Job:
    """The Job of what is missing once the gateways `lost` of one region are gone.

    The region keeps its other VMs, as a quota; if none is left, a relay's region is forbidden.
    Objectives stay, but a deadline or budget was for the whole and becomes the fastest plan of the
    rest. `vm` is that of the region. Raises: InputError if an end has no VM left.
    """
    (region,) = {region_of_gateway(gateway) for gateway in lost}
    left = job.vm_limit
    if region in job.quotas:
        left = min(left, job.quotas[region] // vm.vcpus)
    left -= len(lost)
    rest = replace(job.resized(max(missing_bytes, 1)), deadline_s=None, max_usd=None)
    if left > 0:
        return replace(rest, quotas={**job.quotas, region: left * vm.vcpus})
    if region in (*job.sources, *job.destinations):
        raise InputError(f"No VM is left at {region}, an end of the transfer: nothing to replan.")
    return replace(rest, forbid=(*job.forbid, region))
