"""Every pair of regions at once: what one VM a region carries directly and by its best relay.

Arrays are (sources, destinations) in the order of `Matrix.region_ids`, or (relays, sources,
destinations); `nan` where nothing was measured. Exact for paths of at most one relay: a path
carries the least of its links, each no more than its two VMs' caps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from datasets.matrix import Matrix
from datasets.regions import cloud_of
from datasets.units import usd_per_s_of_flow, usd_per_s_of_vm

Array = np.ndarray[Any, np.dtype[np.float64]]
Indices = np.ndarray[Any, np.dtype[np.int64]]
# USD a GB of 1 GB: so that rates a second become prices a GB.
GIGABITS_A_GB = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """`gbps` and `usd_per_gb` (egress and VM time) of the routes of one kind, for every pair.

    `egress_usd_per_gb` leaves VM time out.
    """

    gbps: Array
    egress_usd_per_gb: Array
    usd_per_gb: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class AllPairs:
    """One Matrix, as arrays: its regions, direct routes, and routes by each relay."""

    regions: tuple[str, ...]
    direct: Routes
    by_relay: Routes

    def at(self, region: str) -> int:
        """A region's position. Raises: ValueError."""
        return self.regions.index(region)

    def best_relay(self) -> tuple[Indices, Array]:
        """The fastest relay of each pair and its speed-up over the direct link; nan without."""
        speedups = self.speedups()
        known = np.where(np.isnan(speedups), -np.inf, speedups)
        best = np.asarray(known.argmax(axis=0), dtype=np.int64)
        return best, self.speedups_by(best)

    def speedups(self) -> Array:
        """(relays, sources, destinations) throughput by that relay over the direct one."""
        found: Array = self.by_relay.gbps / self.direct.gbps
        return found

    def speedups_by(self, relay: Indices) -> Array:
        """The speed-up of one chosen relay a pair."""
        found: Array = np.take_along_axis(self.speedups(), relay[None], axis=0)[0]
        return found

    def best_within(self, cost_ratio: float) -> Array:
        """The best speed-up of any relay that costs at most `cost_ratio` times the direct link."""
        affordable = self.by_relay.usd_per_gb <= cost_ratio * self.direct.usd_per_gb
        found: Array = np.where(affordable, np.nan_to_num(self.speedups(), nan=0.0), 0.0).max(
            axis=0
        )
        return found


def all_pairs(matrix: Matrix, *, capped: bool = True) -> AllPairs:
    """The routes of every pair of the Matrix, with one VM a region, within its caps if `capped`."""
    regions = matrix.region_ids
    carried, egress, hourly = _links(matrix, capped)
    through: Array = np.minimum(carried[:, :, None].transpose(1, 0, 2), carried[:, None, :])
    return AllPairs(
        regions=regions,
        direct=_routes(carried, egress, hourly[:, None] + hourly[None, :]),
        by_relay=_routes(
            through,
            egress.T[:, :, None] + egress[:, None, :],
            hourly[:, None, None] + hourly[None, :, None] + hourly[None, None, :],
        ),
    )


def _links(matrix: Matrix, capped: bool) -> tuple[Array, Array, Array]:
    """Gbit/s of a VM pair within both VMs' caps, USD a GB, and USD a second of a VM."""
    at = {region: number for number, region in enumerate(matrix.region_ids)}
    carried = np.full((len(at), len(at)), np.nan)
    egress = np.full((len(at), len(at)), np.nan)
    for link in matrix.links:
        sender, receiver = matrix.vm(link.src), matrix.vm(link.dst)
        leaves = cloud_of(link.src) != cloud_of(link.dst)
        sends = sender.egress_public_gbps if leaves else sender.egress_gbps
        pair = at[link.src], at[link.dst]
        most = min(sends, sender.egress_gbps, receiver.ingress_gbps) if capped else np.inf
        carried[pair] = min(link.gbps, most)
        egress[pair] = GIGABITS_A_GB * usd_per_s_of_flow(1.0, link.usd_per_gb)
    hourly = np.array([usd_per_s_of_vm(matrix.vm(r).usd_per_hour) for r in matrix.region_ids])
    return carried, egress, hourly


def _routes(gbps: Array, egress: Array, vm_usd_per_s: Array) -> Routes:
    return Routes(
        gbps=gbps,
        egress_usd_per_gb=egress,
        usd_per_gb=egress + vm_usd_per_s * GIGABITS_A_GB / gbps,
    )
