"""Keeps connections to sites at work until every chunk of a copy is on disk."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from datasets.errors import (
    InputError,
    IntegrityError,
    ProviderError,
    SessionRefused,
    TradewindError,
    TransferFailed,
)
from datasets.units import bytes_per_s
from executor.endpoints.units import Unit
from executor.gateway.fetching import WAIT_S
from executor.gateway.missing import MissingChunks
from executor.gateway.records import Way
from executor.gateway.transport import Closed, Connection, Idle, Options, find_transport
from executor.operations.site_client import Place, SiteClient
from executor.retry import delays_s
from executor.site.client_file import ClientCredentials

CONNECTIONS = 2
# The schedule keeps a limit to the byte; the kernel may go so far beyond a connection's share.
SMOOTHING = 1.25
# How long a copy goes on trying without a single chunk getting through.
PATIENCE_S = 20.0

# Told now and then: (bytes that are on disk at the destination, bytes in all).
Observe = Callable[[int, int], None]
Received = Mapping[int, Sequence[tuple[int, int]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyOptions:
    """How to copy. `limit_gbps` 0 is unlimited; an interface "" is as the routes say."""

    connections: int = CONNECTIONS
    transport: str = "tcp"
    congestion: str = "cubic"
    limit_gbps: float = 0.0
    interfaces: tuple[str, ...] = ("",)

    def __post_init__(self) -> None:
        if self.connections < 1 or not self.interfaces:
            raise InputError("A copy needs at least one connection.")
        for interface in self.interfaces:
            if interface and interface not in {name for _, name in socket.if_nameindex()}:
                raise InputError(f"This machine has no network interface {interface!r}.")
        if self.limit_gbps < 0:
            raise InputError("A limit of throughput is above 0 Gbit/s.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A site's word: sessions to connect by (the first is its own), what is to be moved, and what
    has arrived."""

    routes: tuple[tuple[SiteClient, Way], ...]
    units: tuple[Unit, ...]
    received: Received

    @property
    def way(self) -> Way:
        return self.routes[0][1]


class Direction(Protocol):
    """An upload or a download, as the mover sees it."""

    def begin(self, client: SiteClient) -> Begun:
        """Ask the site for a session."""

    def serve(self, connection: Connection, way: Way, queue: MissingChunks) -> None:
        """Move chunks until none is left; those that were not moved go back to the queue."""


class Mover:
    """Keeps connections at work until every chunk is on disk. Use `run` once."""

    def __init__(self, direction: Direction, options: CopyOptions, observe: Observe) -> None:
        self._direction = direction
        self._options = options
        self._observe = observe
        self._transport = find_transport(options.transport)
        self._lock = threading.Lock()
        self._fatal: TradewindError | None = None
        self._broken: TradewindError | None = None
        self._moved_s = time.monotonic()
        self._first = True
        self.resumed_bytes = 0

    def broke(self, error: TradewindError) -> None:
        """The site was lost after the last chunk: `run` is to be called again."""
        self._broken = error
        self._moved_s = time.monotonic()

    def run(self, place: Place, credentials: ClientCredentials) -> tuple[SiteClient, Way]:
        """The site's control, open, and the session under which the last chunk went."""
        waits = delays_s(total_s=PATIENCE_S)
        while True:
            try:
                found = self._once(SiteClient(place, credentials))
            except ProviderError as error:
                if self._first:
                    raise
                self._broken, found = error, None
            except (Closed, Idle) as error:
                self._broken, found = error, None
            self._first = False
            if found is not None:
                return found
            if self._fatal is not None:
                raise self._fatal
            if time.monotonic() - self._moved_s > PATIENCE_S:
                raise TransferFailed(
                    f"Nothing has got through for {PATIENCE_S:.0f} s ({self._broken}); what "
                    "arrived is kept: run the same command again to go on."
                )
            time.sleep(next(waits, 1.0))

    def _once(self, client: SiteClient) -> tuple[SiteClient, Way] | None:
        """Move all with one session; None if connections were lost on the way."""
        try:
            begun = self._direction.begin(client)
            queue = MissingChunks(begun.units, begun.received, chunk_bytes=begun.way.chunk_bytes)
            if self._first:
                self.resumed_bytes = queue.held_bytes
            self._move(begun, queue)
        except BaseException:
            client.close()
            raise
        if queue.left:
            client.close()
            return None
        return client, begun.way

    def _move(self, begun: Begun, queue: MissingChunks) -> None:
        threads = [
            threading.Thread(
                target=self._keep,
                args=(
                    *begun.routes[number % len(begun.routes)],
                    queue,
                    self._options.interfaces[number % len(self._options.interfaces)],
                ),
                daemon=True,
            )
            for number in range(max(self._connections, len(begun.routes)))
        ]
        for thread in threads:
            thread.start()
        try:
            while any(thread.is_alive() for thread in threads):
                held_bytes = queue.held_bytes
                queue.wait(WAIT_S)
                if queue.held_bytes != held_bytes:
                    self._moved_s = time.monotonic()
                self._observe(queue.held_bytes, queue.total_bytes)
                if queue.left == 0:
                    break
        except BaseException:
            queue.stop()
            raise
        for thread in threads:
            thread.join(timeout=WAIT_S)

    @property
    def _connections(self) -> int:
        return max(self._options.connections, len(self._options.interfaces))

    def _keep(self, client: SiteClient, way: Way, queue: MissingChunks, interface: str) -> None:
        """One connection at a time, opened anew where it broke."""
        options = Options(
            congestion=self._options.congestion,
            interface=interface,
            pace_bytes_per_s=self._pace_bytes_per_s(),
        )
        for wait_s in [0.0, *delays_s(total_s=PATIENCE_S / 4)]:
            if queue.stopped:
                return
            time.sleep(wait_s)
            try:
                connection = client.connect(way, self._transport, options)
                try:
                    self._direction.serve(connection, way, queue)
                finally:
                    connection.close()
            except (Closed, Idle, IntegrityError, SessionRefused) as error:
                with self._lock:
                    self._broken = error
            except TradewindError as error:
                with self._lock:
                    self._fatal = self._fatal or error
                queue.stop()
                return

    def _pace_bytes_per_s(self) -> float:
        """The kernel's part only smooths: it counts headers too, and an idle one's share."""
        return SMOOTHING * bytes_per_s(self._options.limit_gbps) / self._connections
