"""Collects what the gateways stamp, on the client's side, into one time line."""

from __future__ import annotations

import threading
import time
from typing import Any

from datasets.errors import TradewindError
from datasets.events import Event, EventWriter, detail_of
from executor.control.client import GatewayClient

_NANO = 1e-9
JOIN_TIMEOUT_S = 10.0


class Collector:
    """Watches gateways on a thread each. Their clock is the machine's monotonic one."""

    def __init__(self, begun_ns: int) -> None:
        self._begun_ns = begun_ns
        self._rows: list[tuple[str, float, dict[str, Any]]] = []
        self._threads: list[threading.Thread] = []
        self._changed = threading.Condition()
        self._done: set[str] = set()
        self._failures: dict[str, tuple[int, str]] = {}
        self._acknowledged_bytes = 0
        self._closing = False
        self._heard_s: dict[str, float] = {}
        self._forgotten: set[str] = set()

    def add(self, event: Event, *, detail: dict[str, Any] | None = None, **columns: Any) -> None:
        """An event of the client's own: what it asked for, what it read."""
        t_s = (time.monotonic_ns() - self._begun_ns) * _NANO
        with self._changed:
            self._rows.append((event.value, t_s, {**columns, "detail": detail}))

    def watch(self, client: GatewayClient) -> None:
        """Follow one gateway until it stops."""
        self._heard_s[client.gateway] = time.monotonic()
        thread = threading.Thread(target=self._follow, args=(client,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _follow(self, client: GatewayClient) -> None:
        try:
            for batch in client.stream("Watch"):
                self._take(client.gateway, batch)
        except TradewindError as error:
            with self._changed:
                if not self._closing and client.gateway not in self._forgotten:
                    self._failures.setdefault(client.gateway, (time.monotonic_ns(), str(error)))
                self._changed.notify_all()

    def _take(self, gateway: str, batch: Any) -> None:
        with self._changed:
            if gateway not in self._forgotten:
                self._heard_s[gateway] = time.monotonic()
            for row in batch.rows:
                if row.event == Event.CHUNK_ACKNOWLEDGED.value:
                    self._acknowledged_bytes += row.bytes
                self._rows.append(
                    (
                        row.event,
                        (row.at_ns - self._begun_ns) * _NANO,
                        {
                            "object": row.object,
                            "chunk": row.chunk,
                            "path": row.path,
                            "hop": row.hop,
                            "src": row.src,
                            "dst": row.dst,
                            "gateway": gateway,
                            "connection": row.connection,
                            "bytes": row.bytes,
                            "detail": detail_of(row.detail) or None,
                        },
                    )
                )
            if batch.done:
                self._done.add(gateway)
            if batch.failure:
                self._failures.setdefault(gateway, (batch.failed_at_ns, batch.failure))
            self._changed.notify_all()

    @property
    def done(self) -> set[str]:
        """Sources whose chunks are all acknowledged."""
        with self._changed:
            return set(self._done)

    @property
    def failure(self) -> str:
        """The reason of the gateway that failed first; the others' follow from it."""
        with self._changed:
            return min(self._failures.values())[1] if self._failures else ""

    def has_failed(self, gateway: str) -> bool:
        """Whether a gateway said so, or broke off what it was saying."""
        with self._changed:
            return gateway in self._failures

    def silent_s(self, gateway: str) -> float:
        """How long a gateway that is watched has said nothing; 0 for any other."""
        with self._changed:
            heard_s = self._heard_s.get(gateway)
            return 0.0 if heard_s is None else time.monotonic() - heard_s

    def forget(self, gateway: str) -> None:
        """It is lost: what it says or fails to say means nothing any more."""
        with self._changed:
            self._forgotten.add(gateway)
            self._heard_s.pop(gateway, None)
            self._failures.pop(gateway, None)

    @property
    def acknowledged_bytes(self) -> int:
        """Bytes acknowledged so far."""
        with self._changed:
            return self._acknowledged_bytes

    def wait(self, seconds: float) -> None:
        """Until something comes, or for that long."""
        with self._changed:
            self._changed.wait(seconds)

    def join(self) -> None:
        """Wait until every gateway has handed its last events over."""
        with self._changed:
            self._closing = True
        for thread in self._threads:
            thread.join(timeout=JOIN_TIMEOUT_S)

    def write(self, writer: EventWriter) -> None:
        """All rows, in order of time, into `writer`."""
        with self._changed:
            rows = sorted(self._rows, key=lambda row: row[1])
        for event, t_s, columns in rows:
            writer.add(Event(event), max(t_s, 0.0), **columns)
