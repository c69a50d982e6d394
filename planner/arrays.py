"""A Matrix as arrays over its regions, made once: what pricing and shortest paths work on.

Shapes are (n,) and (n, n) for n regions in the order of `Matrix.region_ids`; [i, j] is the link
from i to j.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datasets.matrix import Matrix
from datasets.regions import cloud_of
from datasets.units import usd_per_s_of_flow, usd_per_s_of_vm
from planner.certificate import VM_ROWS

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Arrays:
    """The figures of one Matrix.

    `measured` says where there is a link; elsewhere `gbps` is 1 and `usd_per_gigabit` 0.
    `per_vm` is (rows of VM_ROWS, n): what one VM adds to each row of its region, Gbit/s or 1.
    """

    index: Mapping[str, int]
    regions: tuple[str, ...]
    measured: Bools
    gbps: Floats
    usd_per_gigabit: Floats
    crosses: Bools
    usd_per_s: Floats
    per_vm: Floats
    vcpus: tuple[int, ...]


def arrays_of(matrix: Matrix) -> Arrays:
    """The arrays of `matrix`."""
    return matrix.derived("planner.arrays", lambda: _arrays_of(matrix))


def _arrays_of(matrix: Matrix) -> Arrays:
    regions = matrix.region_ids
    index = {region: at for at, region in enumerate(regions)}
    n = len(regions)
    src = np.fromiter((index[e.src] for e in matrix.links), dtype=np.intp, count=len(matrix.links))
    dst = np.fromiter((index[e.dst] for e in matrix.links), dtype=np.intp, count=len(matrix.links))
    measured = np.zeros((n, n), dtype=bool)
    measured[src, dst] = True
    gbps = np.ones((n, n))
    gbps[src, dst] = [e.gbps for e in matrix.links]
    usd = np.zeros((n, n))
    usd[src, dst] = [usd_per_s_of_flow(1.0, e.usd_per_gb) for e in matrix.links]
    clouds = np.array([cloud_of(region) for region in regions])
    vms = [matrix.vm(region) for region in regions]
    per_vm = {
        "vm_out_time": [1.0] * n,
        "vm_in_time": [1.0] * n,
        "vm_egress_public": [vm.egress_public_gbps for vm in vms],
        "vm_egress": [vm.egress_gbps for vm in vms],
        "vm_ingress": [vm.ingress_gbps for vm in vms],
    }
    return Arrays(
        index=index,
        regions=regions,
        measured=measured,
        gbps=gbps,
        usd_per_gigabit=usd,
        crosses=clouds[:, None] != clouds[None, :],
        usd_per_s=np.array([usd_per_s_of_vm(vm.usd_per_hour) for vm in vms]),
        per_vm=np.array([per_vm[row] for row in VM_ROWS]),
        vcpus=tuple(vm.vcpus for vm in vms),
    )
