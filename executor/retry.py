"""The retry policy: the only one. For what may work a moment later; never for what was refused."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

_Result = TypeVar("_Result")

FIRST_S = 0.05
GROWTH = 2.0
MOST_S = 2.0


def delays_s(*, total_s: float) -> Iterator[float]:
    """Growing waits, 0.05 s to 2 s, that sum to no more than `total_s`."""
    wait, spent = FIRST_S, 0.0
    while spent + wait <= total_s:
        yield wait
        spent += wait
        wait = min(wait * GROWTH, MOST_S)


def retried(
    action: Callable[[], _Result],
    *,
    on: type[Exception],
    total_s: float,
    sleep: Callable[[float], None] = time.sleep,
) -> _Result:
    """`action`'s result, tried again after each failure `on` until the waits are used up.

    Raises: the last failure.
    """
    for wait in delays_s(total_s=total_s):
        try:
            return action()
        except on:
            sleep(wait)
    return action()
