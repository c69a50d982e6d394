"""Worlds made for tests, examples and scaling: one solved by hand, and any number by seed."""

from __future__ import annotations

import math

import numpy as np

from datasets.canonical import rounded
from datasets.errors import InputError
from datasets.matrix import Link, Matrix, RegionVm, Vm
from datasets.sphere import great_circle_km

LEAST_GBPS, MOST_GBPS = 0.5, 20.0
LEAST_USD_PER_GB, MOST_USD_PER_GB = 0.01, 0.15

_TINY_SOURCE, _TINY_RELAY = "azure:canadacentral", "azure:westus2"
_TINY_DESTINATION = "gcp:asia-northeast1"
_TINY_VM = Vm(
    type="tiny",
    vcpus=32,
    usd_per_hour=1.5,
    egress_public_gbps=16.0,
    egress_gbps=16.0,
    ingress_gbps=32.0,
)

# Cloud: (VM type, USD an hour, egress to other clouds, egress, ingress), as of the real catalogue.
_CLOUDS: dict[str, tuple[str, float, float, float, float]] = {
    "aws": ("m5.8xlarge", 1.536, 5.0, 5.0, 10.0),
    "azure": ("Standard_D32_v5", 1.536, 16.0, 16.0, 32.0),
    "gcp": ("n2-standard-32", 1.55389, 7.0, 32.0, 32.0),
}
_MS_PER_KM = 1.5 * 2 / 200.0  # light in fibre goes 200 km a millisecond; cables are not straight


def tiny_matrix() -> Matrix:
    """Five regions on three clouds, where one relay makes a transfer three times as fast.

    From S = azure:canadacentral to T = gcp:asia-northeast1, with R = azure:westus2:

    - S to T directly: 4 Gbit/s at $0.08 a GB.
    - S to R: 12 Gbit/s at $0.02; R to T: 12 Gbit/s at $0.08.
    - Every other link out of S carries 5 Gbit/s at $0.08, every other link into T 6 Gbit/s; every
      remaining link 5 Gbit/s at $0.09. All VMs cost $1.50 an hour and cap at 16 out and 32 in.

    With one VM a region, 1 TB (8,000 Gbit):

    - `direct` goes at 4 Gbit/s for 2,000 s: $80 egress + 2 VMs · 2,000/3,600 h · $1.50 = $1.6667,
      in all **$81.6667**.
    - By way of R it goes at 12 Gbit/s for 666.67 s: 1,000 GB · ($0.02 + $0.08) = $100 egress
      + 3 VMs · 666.67/3,600 h · $1.50 = $0.8333, in all **$100.8333**.
    - 12 Gbit/s is the most: the time budget of S's one VM, Σ F/B ≤ 1, gives at most the largest
      B out of S, and that is 12.
    - With vm_limit v the most is 12·v by way of R. A goal of 8 Gbit/s with two VMs at each end is
      cheapest directly: 1,000 s, $80 + 4 VMs · 1,000/3,600 h · $1.50 = **$81.6667**.
    """
    others = ("aws:us-east-1", "aws:ap-northeast-1")
    regions = (_TINY_SOURCE, _TINY_RELAY, _TINY_DESTINATION, *others)
    named = {
        (_TINY_SOURCE, _TINY_DESTINATION): (4.0, 0.08, 160.0),
        (_TINY_SOURCE, _TINY_RELAY): (12.0, 0.02, 60.0),
        (_TINY_RELAY, _TINY_DESTINATION): (12.0, 0.08, 95.0),
    }
    links = []
    for src in regions:
        for dst in regions:
            if src == dst:
                continue
            gbps, usd_per_gb, rtt_ms = 5.0, 0.09, 120.0
            if dst == _TINY_DESTINATION:
                gbps = 6.0
            if src == _TINY_SOURCE:
                gbps, usd_per_gb = 5.0, 0.08
            gbps, usd_per_gb, rtt_ms = named.get((src, dst), (gbps, usd_per_gb, rtt_ms))
            links.append(Link(src=src, dst=dst, gbps=gbps, usd_per_gb=usd_per_gb, rtt_ms=rtt_ms))
    return Matrix(
        epoch="tiny",
        column="received",
        tier="premium",
        policy="as_measured",
        caps="documented",
        regions=tuple(RegionVm(id=region, vm=_TINY_VM) for region in regions),
        links=tuple(links),
    )


def synthetic_matrix(seed: int, *, regions: int = 12) -> Matrix:
    """A complete, plausible world of `regions` regions: same seed, same digest, on any machine.

    Regions are drawn on the sphere between 45° S and 60° N and take the clouds in turn. RTT is
    1.5 times light in fibre over the great circle; throughput is the sender's cap falling with RTT
    (e-fold at 300 ms) times a lognormal of sigma 0.3, from 0.5 to 20 Gbit/s; prices are 0.01–0.05
    USD a GB inside a cloud and 0.05–0.15 between clouds.
    Raises: InputError if there are fewer than two regions.
    """
    if regions < 2:
        raise InputError(f"A synthetic matrix needs at least 2 regions, not {regions}.")
    rng = np.random.default_rng(seed)
    clouds = sorted(_CLOUDS)
    names = [f"{clouds[i % 3]}:synthetic-{i + 1:03d}" for i in range(regions)]
    places = [(float(rng.uniform(-45, 60)), float(rng.uniform(-180, 180))) for _ in names]
    links = []
    for i, src in enumerate(names):
        for j, dst in enumerate(names):
            if i == j:
                continue
            rtt_ms = rounded(1.0 + great_circle_km(places[i], places[j]) * _MS_PER_KM, 3)
            inside = src.split(":")[0] == dst.split(":")[0]
            _, _, public_gbps, private_gbps, _ = _CLOUDS[src.split(":")[0]]
            cap_gbps = private_gbps if inside else public_gbps
            noise = math.exp(0.3 * float(rng.standard_normal()))
            gbps = cap_gbps * math.exp(-rtt_ms / 300) * noise
            low, high = (LEAST_USD_PER_GB, 0.05) if inside else (0.05, MOST_USD_PER_GB)
            links.append(
                Link(
                    src=src,
                    dst=dst,
                    gbps=rounded(min(max(gbps, LEAST_GBPS), MOST_GBPS), 6),
                    usd_per_gb=rounded(float(rng.uniform(low, high)), 4),
                    rtt_ms=rtt_ms,
                )
            )
    return Matrix(
        epoch=f"synthetic-{seed}-{regions}",
        column="received",
        tier="premium",
        policy="as_measured",
        caps="documented",
        regions=tuple(RegionVm(id=name, vm=_synthetic_vm(name.split(":")[0])) for name in names),
        links=tuple(links),
    )


def _synthetic_vm(cloud: str) -> Vm:
    kind, usd_per_hour, egress_public_gbps, egress_gbps, ingress_gbps = _CLOUDS[cloud]
    return Vm(
        type=kind,
        vcpus=32,
        usd_per_hour=usd_per_hour,
        egress_public_gbps=egress_public_gbps,
        egress_gbps=egress_gbps,
        ingress_gbps=ingress_gbps,
    )
