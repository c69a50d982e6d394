"""robust: one set of VMs for every compiled epoch that has both ends; least worst regret.

Kouvelis and Yu's relative robust deviation, with recourse: flows adapt to the epoch, VMs do not.
"""

from __future__ import annotations

from functools import cache

from datasets.epochs import MatrixChoice, epoch_names, load_matrix
from datasets.errors import InputError
from datasets.matrix import Matrix
from planner.job import Job
from planner.plan import Plan
from planner.robust import robust_over


def robust(matrix: Matrix, job: Job) -> Plan:
    """The Plan on `matrix`; its notes say how it does in each epoch. Raises: InfeasibleJob."""
    return robust_over([matrix, *other_epochs(matrix, job)], job).plan


def other_epochs(matrix: Matrix, job: Job) -> list[Matrix]:
    """The other compiled epochs, of the same column, tier, policy and caps, that hold both ends.

    None for a user's own figures: nothing says that an epoch of 2022 is another day of theirs.
    """
    if matrix.epoch not in epoch_names():
        return []
    found = []
    for name in epoch_names():
        other = (
            None
            if name == matrix.epoch
            else _loaded(name, matrix.column, matrix.tier, matrix.policy, matrix.caps)
        )
        if other is not None and {job.source, *job.destinations} <= set(other.region_ids):
            found.append(other)
    return found


@cache
def _loaded(epoch: str, column: str, tier: str, policy: str, caps: str) -> Matrix | None:
    """The Matrix, or None where nothing was measured so."""
    try:
        return load_matrix(
            MatrixChoice(epoch=epoch, column=column, tier=tier, policy=policy, caps=caps)
        )
    except InputError:
        return None
