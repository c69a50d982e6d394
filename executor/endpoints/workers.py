"""A few threads that carry out many small steps, where a step may bring others with it."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable

from datasets.errors import TransferFailed

logger = logging.getLogger(__name__)

# What a step answers comes next, before anything new is begun: what is begun gets finished.
Step = Callable[[], "Iterable[Step]"]

_GLANCE_S = 1.0


class _Pool:
    def __init__(self, steps: Iterable[Step]) -> None:
        self._fresh = iter(steps)
        self._next: deque[Step] = deque()
        self._running = 0
        self._exhausted = False
        self._changed = threading.Condition()
        self.failure: BaseException | None = None

    def take(self) -> Step | None:
        """The next step; None when there is none any more, or one failed."""
        with self._changed:
            while self.failure is None:
                if self._next:
                    self._running += 1
                    return self._next.popleft()
                if not self._exhausted:
                    try:
                        step = next(self._fresh)
                    except StopIteration:
                        self._exhausted = True
                        continue
                    self._running += 1
                    return step
                if self._running == 0:
                    self._changed.notify_all()
                    return None
                self._changed.wait(_GLANCE_S)
            return None

    def done(self, more: Iterable[Step]) -> None:
        with self._changed:
            self._next.extend(more)
            self._running -= 1
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        with self._changed:
            if self.failure is None:
                self.failure = error
            else:
                logger.info("another step failed after the first: %s", error)
            self._changed.notify_all()

    def work(self) -> None:
        try:
            while (step := self.take()) is not None:
                self.done(step())
        except BaseException as error:  # whatever it is, the caller raises it
            self.fail(error)


def carry_out(steps: Iterable[Step], *, workers: int) -> None:
    """Carry out `steps` and what they bring, `workers` at a time; `steps` is read as it is needed.

    Raises: the first error of any step, after the steps under way have ended; no other begins.
    """
    pool = _Pool(steps)
    threads = [threading.Thread(target=pool.work, daemon=True) for _ in range(workers)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            while thread.is_alive():
                thread.join(_GLANCE_S)
    except KeyboardInterrupt:
        pool.fail(TransferFailed("interrupted"))
        for thread in threads:
            thread.join(_GLANCE_S)
        raise
    if pool.failure is not None:
        raise pool.failure
