"""A Plan in another world than it was made from: its links and VMs as another Matrix has them."""

from __future__ import annotations

from dataclasses import replace

from datasets.errors import InputError
from datasets.matrix import Matrix, RegionVm
from planner.plan import Plan


def plan_on(plan: Plan, matrix: Matrix, *, other: bool) -> Plan:
    """The Plan with the figures of `matrix`; what it promised and how it is paced stay.

    `other` allows a Matrix that is not the Plan's own. Raises: InputError if it is another one and
    that was not allowed, or if it lacks a link that the Plan uses; UnknownName for a region.
    """
    if matrix.digest == plan.matrix.digest:
        return plan
    if not other:
        raise InputError(
            f"The plan was made from another matrix ({_name(plan.matrix.epoch, plan.matrix.digest)}"
            f", not {_name(matrix.epoch, matrix.digest)}); give that one, or --other-matrix to "
            "see how the plan fares here."
        )
    links = []
    for link in plan.links:
        found = matrix.link(link.src, link.dst)
        if found is None:
            raise InputError(
                f"The plan uses the link {link.src} to {link.dst}, which the matrix "
                f"{matrix.epoch} does not have."
            )
        links.append(found)
    regions = tuple(RegionVm(id=region.id, vm=matrix.vm(region.id)) for region in plan.regions)
    return replace(plan, links=tuple(links), regions=regions, matrix=matrix.ref())


def _name(epoch: str, digest: str) -> str:
    return f"{epoch}, {digest[:8]}"
