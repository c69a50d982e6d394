"""What a Plan's certificates prove, worked out again without a solver, in rational arithmetic.

Everything is read off the Job and the Matrix: who may be used, at what price, with how many VMs.
Links pay price and rents; the least that a path pays is found by potentials, of which every link is
tested: in floating point where it is clear by far more than that can err, in integers elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from datasets.matrix import Link, Matrix
from datasets.power import gco2e_per_vm_hour
from datasets.price_tiers import average_factor
from datasets.provisioning import provisioning_s
from datasets.regions import cloud_of
from datasets.units import BITS_PER_BYTE, GIGA, SECONDS_PER_HOUR, gigabytes
from planner.certificate import Certificate
from planner.job import Job
from planner.plan import Plan

Floats = NDArray[np.float64]
Positions = NDArray[np.intp]

# Fixed point of the exact part: every float of a multiplier's size is a whole number of these.
_ONE = 1 << 240
# No multiplier is anywhere near this; larger ones would only overflow.
MOST_MULTIPLIER = 1e12
# Links whose slack is beyond this share of the largest weight are settled in floating point, which
# errs by less than a hundred roundings of 1.2e-16 there.
_CLEAR = 1e-10


def _fixed(value: float) -> int:
    """A float in units of 1/_ONE, exactly. Raises: ValueError where it is too fine for that."""
    numerator, denominator = value.as_integer_ratio()
    if denominator > _ONE:
        raise ValueError(f"{value} is too small a multiplier")
    return numerator * (_ONE // denominator)


def proven(certificate: Certificate, plan: Plan, matrix: Matrix) -> Fraction:
    """What the certificate proves for the Plan's Job: USD, gCO2e, or Gbit/s.

    Cost and carbon are from below, throughput from above (infinite proves nothing: -1 stands for
    it). Raises: ValueError for multipliers that prove nothing of the kind.
    """
    _refuse_nonsense(certificate, plan.job)
    most = _most_vms(plan, matrix)
    least = _least_path(certificate, plan, matrix, most.keys()) + _credit(certificate)
    excess = _excess(certificate, plan, matrix, most)
    size = _gigabits(plan)
    job = plan.job
    if certificate.proves == "gbps":
        if job.max_usd is not None:
            waiting = Fraction(0)
            if job.provisioning:
                # Every plan has at least one VM at either end.
                for end in (job.source, job.destination):
                    waits = Fraction(provisioning_s(cloud_of(end)))
                    hours = waits / Fraction(SECONDS_PER_HOUR)
                    waiting += Fraction(matrix.vm(end).usd_per_hour) * hours
            least -= Fraction(certificate.usd_weight) * (Fraction(job.max_usd) - waiting) / size
        if job.max_gco2e is not None:
            least -= Fraction(certificate.gco2e_weight) * Fraction(job.max_gco2e) / size
        return excess / least if least > 0 else Fraction(-1)
    own = 1 if certificate.proves == "gco2e" else 0
    if job.max_gco2e is not None:
        over = Fraction(certificate.gco2e_weight) - own
        least -= over * Fraction(job.max_gco2e) / size
    if certificate.goal_gbps is not None:
        least -= excess / Fraction(certificate.goal_gbps)
    elif excess > 0:
        raise ValueError("VMs earn more than they cost, and no goal limits them")
    return least * size


def _refuse_nonsense(certificate: Certificate, job: Job) -> None:
    """Rents and weights are not negative, and weigh what is proven and the Job's ceilings."""
    rents = [rent for by_row in certificate.rents.values() for rent in by_row.values()]
    numbers = [*rents, certificate.usd_weight, certificate.gco2e_weight]
    if any(not math.isfinite(value) or not 0 <= value <= MOST_MULTIPLIER for value in numbers):
        raise ValueError("a multiplier is negative, or beyond any sense")
    if any(not abs(credit) <= MOST_MULTIPLIER for credit in certificate.credits):
        raise ValueError("a credit is beyond any sense")
    if not abs(certificate.value) <= MOST_MULTIPLIER**2:
        raise ValueError("what it says to prove is beyond any sense")
    for name, weight, least, ceiling in (
        ("USD", certificate.usd_weight, certificate.proves == "usd", job.max_usd),
        ("carbon", certificate.gco2e_weight, certificate.proves == "gco2e", job.max_gco2e),
    ):
        # Beyond what is minimised, only a ceiling is weighed; a budget only for throughput.
        free = ceiling is not None and (name == "carbon" or certificate.proves == "gbps")
        if weight < least or (weight > least and not free):
            raise ValueError(f"{name} weighs {weight}")
    if certificate.goal_gbps is not None and not certificate.goal_gbps > 0:
        raise ValueError("the goal is not positive")


def _gigabits(plan: Plan) -> Fraction:
    return Fraction(plan.job.size_bytes * BITS_PER_BYTE, GIGA)


def _most_vms(plan: Plan, matrix: Matrix) -> dict[str, int]:
    """The most VMs of every region that the Job may use."""
    job = plan.job
    ends = (job.source, job.destination)
    counts_carbon = job.minimise == "gco2e" or job.max_gco2e is not None
    found = {}
    for region in matrix.region_ids:
        if region not in ends and (
            region in job.forbid or (job.within and region not in job.within)
        ):
            continue
        vcpus = matrix.vm(region).vcpus
        most = job.vm_limit
        if region in job.quotas:
            most = min(most, job.quotas[region] // vcpus)
        if most == 0 or (counts_carbon and gco2e_per_vm_hour(region, vcpus) is None):
            continue
        found[region] = most
    return found


def _excess(
    certificate: Certificate, plan: Plan, matrix: Matrix, most: Mapping[str, int]
) -> Fraction:
    """What VMs earn beyond what they cost, a second, at the most VMs everywhere."""
    job = plan.job
    usd, gco2e = _fixed(certificate.usd_weight), _fixed(certificate.gco2e_weight)
    total = Fraction(0)
    for region, by_row in certificate.rents.items():
        if region not in most:
            continue
        vm = matrix.vm(region)
        caps = {
            "vm_out_time": 1.0,
            "vm_in_time": 1.0,
            "vm_egress_public": vm.egress_public_gbps,
            "vm_egress": vm.egress_gbps,
            "vm_ingress": vm.ingress_gbps,
        }
        # Both in units of 1/_ONE², an hour.
        earned = sum(_fixed(rent) * _fixed(caps[row]) for row, rent in by_row.items())
        earned *= int(SECONDS_PER_HOUR)
        costs = usd * _fixed(vm.usd_per_hour)
        if gco2e:
            costs += gco2e * _fixed(gco2e_per_vm_hour(region, vm.vcpus) or 0.0)
        over = Fraction(earned - costs)
        if job.provisioning and certificate.goal_gbps is not None:
            waits = Fraction(provisioning_s(cloud_of(region))) * Fraction(certificate.goal_gbps)
            over = earned - costs * (1 + waits / _gigabits(plan))
        if over > 0:
            total += over * most[region]
    return total / (_ONE * _ONE * int(SECONDS_PER_HOUR))


def _credit(certificate: Certificate) -> Fraction:
    return sum((Fraction(credit) for credit in certificate.credits), Fraction(0))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Figures:
    """A Matrix's links as arrays of shape (links,), ends as positions in `regions`."""

    regions: tuple[str, ...]
    src: Positions
    dst: Positions
    gbps: Floats
    usd_per_gb: Floats
    crosses: NDArray[np.bool_]


def _figures(matrix: Matrix) -> _Figures:
    index = {region: at for at, region in enumerate(matrix.region_ids)}
    return _Figures(
        regions=matrix.region_ids,
        src=np.array([index[link.src] for link in matrix.links], dtype=np.intp),
        dst=np.array([index[link.dst] for link in matrix.links], dtype=np.intp),
        gbps=np.array([link.gbps for link in matrix.links]),
        usd_per_gb=np.array([link.usd_per_gb for link in matrix.links]),
        crosses=np.array([cloud_of(link.src) != cloud_of(link.dst) for link in matrix.links]),
    )


def _roughly(certificate: Certificate, plan: Plan, figures: _Figures) -> Floats:
    """What a gigabit pays on each link, in floating point."""

    def rents(row: str) -> Floats:
        by_region = certificate.rents
        return np.array([by_region.get(r, {}).get(row, 0.0) for r in figures.regions])

    src, dst = figures.src, figures.dst
    paid = (rents("vm_out_time")[src] + rents("vm_in_time")[dst]) / figures.gbps
    paid += rents("vm_egress")[src] + rents("vm_ingress")[dst]
    paid += np.where(figures.crosses, rents("vm_egress_public")[src], 0.0)
    usd = certificate.usd_weight * figures.usd_per_gb / BITS_PER_BYTE
    if plan.job.tiered:
        factors = np.array([_least_factor(plan, region) for region in figures.regions])
        usd = np.where(figures.crosses, usd * factors[src], usd)
    paid += usd
    for ends, credit in _credited(certificate, plan).items():
        paid -= [
            credit if figures.regions[j] == ends[1] and ends[0] in ("", figures.regions[i]) else 0.0
            for i, j in zip(src.tolist(), dst.tolist(), strict=True)
        ]
    return paid


def _least_factor(plan: Plan, region: str) -> float:
    return average_factor(cloud_of(region), gigabytes(plan.job.size_bytes))


def _credited(certificate: Certificate, plan: Plan) -> dict[tuple[str, str], float]:
    """Credit of required links, and under ("", region) of those into a required region."""
    ends = (plan.job.source, plan.job.destination)
    regions = [region for region in plan.job.require if region not in ends]
    keys = [*(("", region) for region in regions), *plan.job.require_links]
    if len(keys) != len(certificate.credits):
        raise ValueError("there are not as many credits as things required")
    return dict(zip(keys, certificate.credits, strict=True))


def _exactly(certificate: Certificate, plan: Plan, link: Link) -> int:
    """What a gigabit pays on a link in units of 1/_ONE, rounded down, from the figures."""
    out, into = certificate.rents.get(link.src, {}), certificate.rents.get(link.dst, {})
    time = _fixed(out.get("vm_out_time", 0.0)) + _fixed(into.get("vm_in_time", 0.0))
    paid = time * _ONE // _fixed(link.gbps)
    paid += _fixed(out.get("vm_egress", 0.0)) + _fixed(into.get("vm_ingress", 0.0))
    usd = _fixed(certificate.usd_weight) * _fixed(link.usd_per_gb) // (BITS_PER_BYTE * _ONE)
    if cloud_of(link.src) != cloud_of(link.dst):
        paid += _fixed(out.get("vm_egress_public", 0.0))
        if plan.job.tiered:
            usd = usd * _fixed(_least_factor(plan, link.src)) // _ONE
    if certificate.credits:
        credited = _credited(certificate, plan)
        paid -= _fixed(credited.get(("", link.dst), 0.0))
        paid -= _fixed(credited.get((link.src, link.dst), 0.0))
    return paid + usd


def _least_path(
    certificate: Certificate, plan: Plan, matrix: Matrix, regions: Set[str]
) -> Fraction:
    """The least that a path without loops pays, never above the truth; 0 if there is none."""
    figures = matrix.derived("planner.check_bound", lambda: _figures(matrix))
    job = plan.job
    if job.source not in regions or job.destination not in regions:
        return Fraction(0)
    s, t = figures.regions.index(job.source), figures.regions.index(job.destination)
    inside = np.array([region in regions for region in figures.regions])
    usable = inside[figures.src] & inside[figures.dst] & (figures.dst != s) & (figures.src != t)
    for ends in job.forbid_links:
        i, j = (figures.regions.index(end) for end in ends)
        usable &= ~((figures.src == i) & (figures.dst == j))
    paid = np.where(usable, _roughly(certificate, plan, figures), np.inf)
    least = _potentials(figures.src, figures.dst, paid, s, len(figures.regions))
    if not np.isfinite(least[t]):
        return Fraction(0)
    # What is not reached is on no path.
    usable &= np.isfinite(least[figures.src])
    # Credits may cancel what links pay; how far floats err depends on both.
    scale = max(
        float(np.abs(paid[usable]).max()) + 2 * sum(map(abs, certificate.credits)),
        float(np.abs(least[np.isfinite(least)]).max()),
    )
    src, dst = figures.src[usable], figures.dst[usable]
    slack = paid[usable] - (least[dst] - least[src])
    near = np.flatnonzero(usable)[slack < _CLEAR * max(scale, 1e-300)]
    exact = {at: _fixed(float(least[at])) for at in {s, t}}
    short = 0
    for link_at in near.tolist():
        i, j = int(figures.src[link_at]), int(figures.dst[link_at])
        for at in (i, j):
            exact.setdefault(at, _fixed(float(least[at])))
        pays = _exactly(certificate, plan, matrix.links[link_at])
        short = max(short, exact[j] - exact[i] - pays)
    # A path has fewer links than there are regions; each may fall short by that much, and those
    # that were clear in floating point do not.
    return Fraction(exact[t] - exact[s] - short * len(figures.regions), _ONE)


def _potentials(src: Positions, dst: Positions, paid: Floats, start: int, count: int) -> Floats:
    """Least sums from `start`, as far as `count` rounds take them."""
    least = np.full(count, np.inf)
    least[start] = 0.0
    for _ in range(count):
        shorter = least.copy()
        np.minimum.at(shorter, dst, least[src] + paid)
        if np.array_equal(shorter, least):
            break
        least = shorter
    return least
