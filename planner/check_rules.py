"""Rules that every judge of a Plan applies: tolerances, refusals, and what VMs may be loaded with.

Shares nothing with the solver; sums are exact fractions of the stored figures.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from fractions import Fraction

from datasets.errors import PlanRefused
from datasets.regions import cloud_of
from datasets.units import GIGA
from planner.plan import Plan

# The share by which a limit or a stated figure may be off: rates are stored to the bit, solvers
# work to 1e-9, and nothing measured is known to a millionth.
TOLERANCE = Fraction(1, 10**6)
# The same where only stored rates are added up: each is within half a bit a second.
BIT_GBPS = Fraction(1, GIGA)
# Shares are stored to 12 decimals.
SHARE_TOLERANCE = Fraction(1, 10**9)
CONNECTIONS_OF_A_LINK = 64


def refuse(rule: str, found: str) -> None:
    """Raises: PlanRefused, naming the rule."""
    raise PlanRefused(f"The plan breaks the rule {rule!r}: {found}.")


def require(holds: bool, rule: str, found: str) -> None:
    """Nothing if it holds. Raises: PlanRefused."""
    if not holds:
        refuse(rule, found)


def at_most(value: Fraction, limit: Fraction, rule: str, where: str) -> None:
    """Nothing if `value` is within the limit. Raises: PlanRefused."""
    if value > limit * (1 + TOLERANCE) + BIT_GBPS:
        refuse(rule, f"{where} has {float(value):.9g}, more than {float(limit):.9g}")


def same(
    value: Fraction, other: Fraction, rule: str, where: str, absolute: Fraction = BIT_GBPS
) -> None:
    """Nothing if the two are equal but for what is stored. Raises: PlanRefused."""
    if abs(value - other) > TOLERANCE * max(abs(value), abs(other)) + absolute:
        refuse(rule, f"{where}: {float(value):.9g} against {float(other):.9g}")


def check_loads(
    plan: Plan, rates: Mapping[tuple[str, str], Fraction], vms: Mapping[str, Fraction]
) -> None:
    """VM time and caps at regions (of several VMs) or at gateways (of one)."""
    loads: dict[tuple[str, str], Fraction] = defaultdict(Fraction)
    for (src, dst), rate in rates.items():
        time = rate / Fraction(plan.link(src, dst).gbps)
        loads["vm_out_time", src] += time
        loads["vm_in_time", dst] += time
        loads["vm_egress", src] += rate
        loads["vm_ingress", dst] += rate
        if cloud_of(src) != cloud_of(dst):
            loads["vm_egress_public", src] += rate
    for (rule, where), load in loads.items():
        vm = plan.vm(where)
        per_vm = {
            "vm_out_time": 1.0,
            "vm_in_time": 1.0,
            "vm_egress": vm.egress_gbps,
            "vm_ingress": vm.ingress_gbps,
            "vm_egress_public": vm.egress_public_gbps,
        }[rule]
        at_most(load, vms[where] * Fraction(per_vm), rule, where)
