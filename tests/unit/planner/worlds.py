"""Worlds for the planner's tests, each small enough to solve on paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from datasets.matrix import Link, Matrix, RegionVm, Vm
from planner.job import Job

S, T = "aws:s", "gcp:t"
R, Q = "aws:r", "azure:q"
TB = 10**12


def vm(**figures: Any) -> Vm:
    """A VM of $3.60 an hour (0.001 USD a second) that binds nothing unless asked to."""
    return Vm(
        **{
            "type": "tiny",
            "vcpus": 4,
            "usd_per_hour": 3.6,
            "egress_public_gbps": 100.0,
            "egress_gbps": 100.0,
            "ingress_gbps": 100.0,
            **figures,
        }
    )


def matrix_of(
    links: Mapping[tuple[str, str], tuple[float, float, float]],
    vms: Mapping[str, Vm] | None = None,
) -> Matrix:
    """`links` gives (Gbit/s, USD a GB, RTT in ms) of each pair of regions."""
    regions = sorted({region for pair in links for region in pair} | set(vms or {}))
    return Matrix(
        epoch="2022-11-28",
        column="received",
        tier="premium",
        policy="as_measured",
        caps="documented",
        regions=tuple(RegionVm(id=region, vm=(vms or {}).get(region, vm())) for region in regions),
        links=tuple(
            Link(src=src, dst=dst, gbps=gbps, usd_per_gb=usd, rtt_ms=rtt)
            for (src, dst), (gbps, usd, rtt) in links.items()
        ),
    )


def diamond() -> Matrix:
    """S to T directly: 4 Gbit/s, $0.08. By way of R: 12 Gbit/s, $0.02 + $0.08. By Q: slow, near."""
    return matrix_of(
        {
            (S, T): (4.0, 0.08, 100.0),
            (S, R): (12.0, 0.02, 80.0),
            (R, T): (12.0, 0.08, 80.0),
            (S, Q): (2.0, 0.09, 20.0),
            (Q, T): (2.0, 0.09, 20.0),
        }
    )


def job(**asked: Any) -> Job:
    """1 TB from S to T."""
    return Job(**{"source": S, "destinations": (T,), "size_bytes": TB, **asked})
