"""skyplane_ilp: a baseline, Skyplane's integer programme with its rounding, re-implemented.

The model (`planner/lp/skyplane.py`) answers in whole VMs and fractional connections; its rounding
to connections between VMs may lose throughput or need a VM too many. What is left of the goal is
judged by our model: where the rounded answer carries it, it is a Plan like any other; where it
does not, the Job is infeasible *for this strategy*, with what it carries and `skyplane_rounding`
as what binds.
"""

from __future__ import annotations

from datasets.errors import InfeasibleJob, UnsupportedJob
from datasets.matrix import Matrix
from planner.job import Job
from planner.lp.skyplane import TIME_LIMIT_S, SkyplaneSolution, cheapest
from planner.plan import Plan
from planner.realise import Bounds, realised
from planner.skyplane_rounding import carried_gbps, rounded, vms_used
from planner.topology import Topology, topology
from planner.unicast import ROUNDED_UP, asked_of, plan_over
from planner.whole_vms import ANY_GBPS

NAME = "skyplane_ilp"
# A rounded answer that misses the goal by this share still carries it: plans are checked to that.
GOAL_NOISE = 1e-6


def skyplane_ilp(matrix: Matrix, job: Job) -> Plan:
    """The Plan of Skyplane's programme at the Job's throughput.

    Raises: UnsupportedJob for what the programme cannot express; InfeasibleJob where there is no
    plan, or where the rounded one does not carry the goal within the VM limits.
    """
    # Far below any link's rate cost does not fall any more, and numbers span too many digits.
    goal_gbps = max(_goal_gbps(job), ANY_GBPS)
    full = topology(matrix, job)
    # The bound is the one that every strategy states; where nothing is feasible, this says so.
    proof = plan_over(full, full, strategy=NAME, effort=ROUNDED_UP)
    found = cheapest(full, goal_gbps)
    if not found.found:
        why = "time_limit" if found.status == "timed_out" else "skyplane_model"
        raise InfeasibleJob(asked=asked_of(job), most_gbps=0.0, binds=(why,))
    unproven = f"Not proven optimal by SCIP in {TIME_LIMIT_S:g} s."
    return realised(
        full,
        strategy=NAME,
        flows=found.flows,
        vms=_kept(full, found, goal_gbps),
        floor_gbps=goal_gbps,
        bounds=Bounds(
            usd=proof.bound_usd, lp_usd=proof.bound_lp_usd, certificates=proof.certificates
        ),
        notes=(
            "Baseline: Skyplane's integer programme and rounding, re-implemented.",
            *([] if found.status == "optimal" else [unproven]),
        ),
    )


def _goal_gbps(job: Job) -> float:
    """The throughput that is asked. Raises: UnsupportedJob for what the programme cannot say."""
    asks = {
        "no throughput goal": job.floor_gbps is None,
        "carbon": job.minimise == "gco2e" or job.max_gco2e is not None,
        "required regions or links": job.requires,
        "the time before gateways are ready": job.provisioning,
        "volume tiers": job.tiered,
    }
    refused = [what for what, asked in asks.items() if asked]
    if refused or job.floor_gbps is None:
        raise UnsupportedJob(
            f"{NAME} finds the cheapest plan at a throughput goal or deadline, as Skyplane does; "
            f"this job has {' and '.join(refused)}. Use overlay."
        )
    return job.floor_gbps


def _kept(full: Topology, found: SkyplaneSolution, goal_gbps: float) -> dict[str, int]:
    """VMs of the rounded answer. Raises: InfeasibleJob where it breaks the goal or a limit."""
    groups = rounded(found.connections, found.vms)
    used = vms_used(groups)
    vms = {r: max(found.vms.get(r, 0), used.get(r, 0)) for r in sorted({*found.vms, *used})}
    carried = carried_gbps(full, groups)
    over = [region for region, count in vms.items() if count > full.limits[region]]
    if over or carried < goal_gbps * (1 - GOAL_NOISE):
        beyond = f", which wants a VM beyond the limit in {', '.join(over)}" if over else ""
        raise InfeasibleJob(
            asked=f"{asked_of(full.job)} after Skyplane's rounding{beyond}",
            most_gbps=min(carried, goal_gbps),
            binds=("skyplane_rounding",),
        )
    return vms
