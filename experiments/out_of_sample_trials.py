"""Plans made on one epoch and judged on the other: the trials of the out-of-sample study.

Both epochs are cut to the regions and links that both have, so that no plan meets a link of which
nothing is known.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from datasets.epochs import MatrixChoice, load_matrix
from datasets.errors import DataError, InfeasibleJob, TradewindError
from datasets.matrix import Matrix
from datasets.regions import cloud_of
from planner.dispatch import Dispatch
from planner.evaluate import Connections, carried
from planner.job import Job
from planner.plan import Plan
from planner.strategies import solve

EPOCHS = ("2022-01-29", "2022-11-28")
COLUMNS = ("received", "sent", "min")
STRATEGIES = ("direct", "one_hop", "overlay")
SIZE_BYTES = 10**12
# The goal of the cheapest plans: this share of the most that `overlay` can do on the epoch planned.
GOAL_SHARE = 0.5
# A plan that carries this share of its goal still meets it.
MEETS = 0.98
# How a plan may be carried out: (dispatch, work-conserving, connections).
MODES: dict[str, tuple[Dispatch, bool, Connections]] = {
    "static": ("static", False, "planned"),
    "static_wc": ("static", True, "planned"),
    "dynamic": ("dynamic", False, "planned"),
    "dynamic_wc": ("dynamic", True, "planned"),
    "dynamic_full": ("dynamic", True, "full"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One pair of regions on one choice of figures; `gcp_links` keeps GCP to GCP links."""

    source: str
    destination: str
    column: str
    gcp_links: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One Plan made on `planned_on` and judged on the other epoch; Gbit/s and USD for 1 TB.

    `carried_gbps` and `carried_usd` are by mode. `replanned_*` is the same strategy's answer to the
    same Job on the epoch judged, None where that is infeasible; `best_gbps` is what `overlay`
    replanned reaches.
    """

    source: str
    destination: str
    column: str
    gcp_links: bool
    planned_on: str
    strategy: str
    objective: str
    goal_gbps: float | None
    promised_gbps: float
    promised_usd: float
    carried_gbps: dict[str, float]
    carried_usd: dict[str, float]
    replanned_gbps: float | None
    replanned_usd: float | None
    best_gbps: float | None

    def kept(self, mode: str) -> float:
        """Carried throughput as a share of the promised one."""
        return self.carried_gbps[mode] / self.promised_gbps

    def dearer(self, mode: str) -> float:
        """Carried cost over promised cost."""
        return self.carried_usd[mode] / self.promised_usd

    def regret(self, mode: str) -> float | None:
        """What planning anew would save: of throughput (fastest) or of cost (at a goal).

        None where there is no plan to compare with, or the goal is missed by more than 2 %: a
        slower transfer is no bargain.
        """
        if self.replanned_gbps is None or self.replanned_usd is None:
            return None
        if self.objective == "fastest":
            return 1 - self.carried_gbps[mode] / self.replanned_gbps
        return self.carried_usd[mode] / self.replanned_usd - 1 if self.meets(mode) else None

    def meets(self, mode: str) -> bool:
        """Whether it carries its goal, or what it promised where there is none."""
        return self.carried_gbps[mode] >= MEETS * (self.goal_gbps or self.promised_gbps)


@cache
def common_matrices(column: str, gcp_links: bool) -> dict[str, Matrix]:
    """Both epochs, cut to the links that both measured and priced; by name.

    Without `gcp_links` those from GCP to GCP are left out of both: they rose about 3.6 times in
    between, by another way of measuring (private addresses).
    """
    whole = {name: load_matrix(MatrixChoice(epoch=name, column=column)) for name in EPOCHS}
    first, second = whole.values()
    both = {
        (link.src, link.dst)
        for link in first.links
        if second.link(link.src, link.dst) is not None
        and (gcp_links or not cloud_of(link.src) == cloud_of(link.dst) == "gcp")
    }
    regions = {region for pair in both for region in pair}
    return {
        name: Matrix(
            epoch=name,
            column=column,
            tier=matrix.tier,
            policy=matrix.policy,
            caps=matrix.caps,
            regions=tuple(entry for entry in matrix.regions if entry.id in regions),
            links=tuple(link for link in matrix.links if (link.src, link.dst) in both),
        )
        for name, matrix in whole.items()
    }


def distinct_columns(columns: Sequence[str]) -> tuple[str, ...]:
    """The columns whose figures differ: `min` is `received` where no sender wrote less."""
    found: dict[tuple[tuple[float, ...], ...], str] = {}
    for column in columns:
        figures = tuple(
            tuple(link.gbps for link in matrix.links)
            for matrix in common_matrices(column, True).values()
        )
        found.setdefault(figures, column)
    return tuple(found.values())


def draw_pairs(matrix: Matrix, *, count: int, seed: int) -> tuple[tuple[str, str], ...]:
    """`count` of the pairs that have a direct link, by seed, without replacement."""
    rng = np.random.default_rng(seed)
    drawn = rng.permutation(len(matrix.links))[:count]
    return tuple((matrix.links[at].src, matrix.links[at].dst) for at in sorted(drawn))


def questions(*, count: int, seed: int, columns: Sequence[str]) -> tuple[Question, ...]:
    """Every pair on every choice of figures; pairs inside GCP are asked with those links only."""
    pairs = draw_pairs(common_matrices(columns[0], True)[EPOCHS[0]], count=count, seed=seed)
    return tuple(
        Question(source=src, destination=dst, column=column, gcp_links=gcp_links)
        for column in columns
        for gcp_links in (True, False)
        for src, dst in pairs
        if gcp_links or not cloud_of(src) == cloud_of(dst) == "gcp"
    )


def trials(question: Question) -> tuple[Trial, ...]:
    """Both directions, both objectives, each strategy."""
    matrices = common_matrices(question.column, question.gcp_links)
    fastest = Job(
        source=question.source, destinations=(question.destination,), size_bytes=SIZE_BYTES
    )
    fast = {
        (name, way): solve(way, matrices[name], fastest) for name in EPOCHS for way in STRATEGIES
    }
    found = []
    for planned_on, judged_on in (EPOCHS, EPOCHS[::-1]):
        goal = GOAL_SHARE * fast[planned_on, "overlay"].predicted.throughput_gbps
        at_goal = Job(
            source=question.source,
            destinations=(question.destination,),
            size_bytes=SIZE_BYTES,
            goal_gbps=goal,
        )
        best = fast[judged_on, "overlay"]
        best_at_goal = _solved("overlay", matrices[judged_on], at_goal)
        for way in STRATEGIES:
            plan_fast, again_fast = fast[planned_on, way], fast[judged_on, way]
            found.append(_trial(question, plan_fast, matrices[judged_on], again_fast, best))
            plan = _solved(way, matrices[planned_on], at_goal)
            if plan is None:
                continue
            again = best_at_goal if way == "overlay" else _solved(way, matrices[judged_on], at_goal)
            found.append(_trial(question, plan, matrices[judged_on], again, best_at_goal))
    return tuple(found)


def _solved(way: str, matrix: Matrix, job: Job) -> Plan | None:
    try:
        return solve(way, matrix, job)
    except InfeasibleJob:
        return None


def _trial(
    question: Question, plan: Plan, matrix: Matrix, replanned: Plan | None, best: Plan | None
) -> Trial:
    came_to = {
        name: carried(
            plan, matrix, dispatch=dispatch, work_conserving=free, connections=connections
        )
        for name, (dispatch, free, connections) in MODES.items()
    }
    return Trial(
        source=question.source,
        destination=question.destination,
        column=question.column,
        gcp_links=question.gcp_links,
        planned_on=plan.matrix.epoch,
        strategy=plan.strategy,
        objective="fastest" if plan.job.goal_gbps is None else "half",
        goal_gbps=plan.job.goal_gbps,
        promised_gbps=plan.predicted.throughput_gbps,
        promised_usd=plan.predicted.cost_usd.total,
        carried_gbps={name: each.gbps for name, each in came_to.items()},
        carried_usd={name: each.cost_usd.total for name, each in came_to.items()},
        replanned_gbps=replanned.predicted.throughput_gbps if replanned else None,
        replanned_usd=replanned.predicted.cost_usd.total if replanned else None,
        best_gbps=best.predicted.throughput_gbps if best else None,
    )


def run(asked: Sequence[Question], *, workers: int) -> Iterator[tuple[Trial, ...]]:
    """The trials of each question, in their order whatever the number of workers.

    Raises: DataError, naming the question, if one has no answer.
    """
    if workers == 1:
        for question in asked:
            yield _unless_failed(_answer(question))
        return
    # Spawned, not forked: the same on every system, and no solver's state is shared. Ctrl-C is the
    # parent's to handle: leaving the block ends the workers.
    with multiprocessing.get_context("spawn").Pool(workers, _leave_interrupts) as pool:
        for answer in pool.imap(_answer, asked):
            yield _unless_failed(answer)


def _answer(question: Question) -> tuple[Trial, ...] | str:
    """The trials, or what went wrong in words: errors with fields do not cross processes."""
    try:
        return trials(question)
    except TradewindError as error:
        return f"{question}: {error}"


def _unless_failed(answer: tuple[Trial, ...] | str) -> tuple[Trial, ...]:
    if isinstance(answer, str):
        raise DataError(answer)
    return answer


def _leave_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
