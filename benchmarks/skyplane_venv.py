"""The peer's own environment: Skyplane and its solvers, made on demand in the user's cache.

It never shares an interpreter with us: Skyplane needs libraries older than ours. Its rounding
and its programme run there, in `skyplane_solver.py`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from benchmarks.peer_venv import folder_of, is_ready, made, quietly

# Skyplane 0.3.2 was written for numpy 1 and an older pandas; CBC is the solver that it picks by
# itself, HiGHS a faster free one of today.
REQUIREMENTS = ("skyplane[solver]==0.3.2", "numpy<2", "pandas<2.2", "cylp", "highspy")
MAKING_S = 1200
_NAME = "skyplane-0.3.2"


class PeerMissing(Exception):
    """The peer's environment could not be made: one sentence that says why."""


@cache
def peer_python() -> Path:
    """The peer's interpreter; made first if it is not there, which takes about a minute.

    Raises: PeerMissing, and again without another try if it did so before.
    """
    found = _made()
    if isinstance(found, str):
        raise PeerMissing(found)
    return found


def is_there() -> bool:
    """Whether the environment was made before."""
    return is_ready(folder_of(_NAME), REQUIREMENTS)


@cache
def _made() -> Path | str:
    """The interpreter, or why there is none."""
    found = made(
        folder_of(_NAME),
        REQUIREMENTS,
        lambda pip: quietly([*pip, *REQUIREMENTS], timeout_s=MAKING_S),
    )
    if isinstance(found, str):
        return f"Skyplane's environment could not be made, so its rows are left out: {found}"
    return found
