"""What a gateway stamps: its events, whether it is done, and why it failed if it did."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

from datasets.events import Event
from executor.control import messages_pb2 as messages

_BATCH = 2000


class GatewayLog:
    """Events in the order they were stamped, handed to whoever watches. Safe between threads."""

    def __init__(self) -> None:
        self._rows: list[messages.EventRow] = []
        self._done = False
        self._failure = ""
        self._failed_at_ns = 0
        self._closed = False
        self._changed = threading.Condition()

    def stamp(
        self, event: Event, *, detail: dict[str, object] | None = None, **columns: Any
    ) -> None:
        """One event, now."""
        row = messages.EventRow(
            event=event.value,
            at_ns=time.monotonic_ns(),
            detail=json.dumps(detail, sort_keys=True) if detail else "",
            **{"object": -1, "chunk": -1, "path": -1, "hop": -1, "connection": -1, **columns},
        )
        with self._changed:
            self._rows.append(row)

    def done(self) -> None:
        """Say that every chunk this gateway took is acknowledged."""
        with self._changed:
            self._done = True
            self._changed.notify_all()

    def fail(self, reason: str) -> None:
        """Say why the transfer cannot go on; the first reason counts."""
        with self._changed:
            if not self._failure:
                self._failure, self._failed_at_ns = reason, time.monotonic_ns()
            self._changed.notify_all()

    @property
    def failure(self) -> str:
        """The first reason given, or nothing."""
        with self._changed:
            return self._failure

    def close(self) -> None:
        """End every watch once its rows are handed over."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def watch(self) -> Iterator[messages.EventBatch]:
        """Batches of new rows, at least one a second, until closed."""
        at = 0
        told = False
        while True:
            with self._changed:
                if at == len(self._rows) and not (self._closed or self._failure or self._done):
                    self._changed.wait(0.2)
                rows = self._rows[at : at + _BATCH]
                last = at + len(rows) == len(self._rows)
                done, closed = self._done and last, self._closed and last
                failure, failed_at_ns = self._failure, self._failed_at_ns
                if told and not rows and not closed:
                    self._changed.wait(0.2)
            at += len(rows)
            told = done or bool(failure)
            yield messages.EventBatch(
                rows=rows, done=done, failure=failure, failed_at_ns=failed_at_ns
            )
            if closed:
                return
