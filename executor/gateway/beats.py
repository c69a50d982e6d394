"""Beats: how neighbours know within seconds that the other end of a connection still lives.

Who sends data hears a beat of the receiver every half second, on each connection, however little
there is to acknowledge; after `LOST_AFTER_S` without anything the connection counts as lost and is
closed. A killed process is known at once by its closed socket; this is for frozen ones and for
links that went dark. The other way a sender with nothing to send beats too, so that receivers may
take a long silence for a loss.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from datasets.errors import TradewindError
from executor.gateway.command import Command, Kind, parse
from executor.gateway.crypto import check_signature, signed_command
from executor.gateway.tcp import TcpConnection
from executor.gateway.transport import Closed, Connection, Metrics

BEAT_S = 0.5
# Six beats: on a machine with more work than cores, fewer may be late for no fault of their own.
LOST_AFTER_S = 3.0


class Hop:
    """One connection between neighbours: whole frames, sent by one thread at a time, and beats.

    Beats are signed under the key of the ticket that opened the connection, which both ends have.
    `peer` is the gateway at the other end.
    """

    def __init__(
        self, connection: Connection, *, peer: str, ticket: bytes, key: bytes, transfer: bytes
    ) -> None:
        self.connection = connection
        self.peer = peer
        self._key = key
        self._beat = signed_command(
            Command(kind=Kind.READY, transfer=transfer, session=ticket), key
        )
        self._sending = threading.Lock()
        self._said_s = self._heard_s = time.monotonic()
        self._silent = False
        self._closing = threading.Lock()
        self._last: Metrics | None = None

    def send(self, frame: memoryview | bytes) -> None:
        """Send one frame. Raises: Closed, Idle."""
        with self.sending():
            self.connection.send(frame)

    def beat(self) -> None:
        """Say that this end lives, unless it said something just now. Raises: Closed, Idle."""
        if time.monotonic() - self._said_s < BEAT_S or not self._sending.acquire(blocking=False):
            return
        try:
            self.connection.send(self._beat)
            self._said_s = time.monotonic()
        finally:
            self._sending.release()

    @property
    def tcp(self) -> TcpConnection | None:
        """The connection, where it is one of TCP: its payloads can be spliced."""
        return self.connection if isinstance(self.connection, TcpConnection) else None

    @contextmanager
    def sending(self) -> Iterator[None]:
        """While the caller itself puts a frame on the connection. Raises: Closed, Idle."""
        with self._sending:
            try:
                yield
            except Closed as error:
                raise self._why(error) from None
            self._said_s = time.monotonic()

    def _why(self, error: Closed) -> Closed:
        """What is to be said of an end: that of a connection that was given up has a reason."""
        return Closed(f"{self.peer} was silent for {LOST_AFTER_S:g} s") if self._silent else error

    def receive(
        self,
        view: memoryview,
        *,
        on_beat: Callable[[], None] = lambda: None,
        command_alone: bool = False,
    ) -> tuple[Command, int]:
        """The next frame that is no beat, and its length; of TCP's, its command alone if so asked.

        Raises: Closed, Idle, SessionRefused.
        """
        receive = (
            self.tcp.receive_command if command_alone and self.tcp else self.connection.receive
        )
        while True:
            try:
                end = receive(view)
            except Closed as error:
                raise self._why(error) from None
            self._heard_s = time.monotonic()
            command = parse(view)
            if command.kind is not Kind.READY:
                return command, end
            check_signature(view, self._key)
            on_beat()

    def heard(self) -> None:
        """Something came, by another way than `receive`."""
        self._heard_s = time.monotonic()

    def silent_s(self) -> float:
        """How long nothing has come."""
        return time.monotonic() - self._heard_s

    def excuse(self, seconds: float) -> None:
        """So much of the silence was this process's own: it did not run."""
        self._heard_s += seconds

    def give_up(self) -> None:
        """Close it because the other end is silent: whoever waits on it learns why."""
        self._silent = True
        self.close()

    def metrics(self) -> Metrics:
        """As `Connection.metrics`; after `close`, the last ones."""
        return self._last or self.connection.metrics()

    @property
    def closed(self) -> bool:
        """Whether this end closed it."""
        return self._last is not None

    def close(self) -> None:
        """As `Connection.close`."""
        with self._closing:
            if self._last is None:
                self._last = self.connection.metrics()
        self.connection.close()


class Heart:
    """One thread a gateway: beats on incoming hops, listens for those of outgoing ones."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._incoming: set[Hop] = set()
        self._outgoing: set[Hop] = set()
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin to beat."""
        threading.Thread(target=self._run, daemon=True).start()

    def stop(self) -> None:
        """No more beats."""
        self._stopped.set()

    def beats_on(self, hop: Hop) -> None:
        """The other end of `hop` sends to us, and shall hear that we live."""
        with self._lock:
            self._incoming.add(hop)

    def listens_to(self, hop: Hop) -> None:
        """We send on `hop`; its other end shall not fall silent."""
        with self._lock:
            self._outgoing.add(hop)

    def forget(self, *hops: Hop) -> None:
        """These are closed."""
        with self._lock:
            self._incoming.difference_update(hops)
            self._outgoing.difference_update(hops)

    def _run(self) -> None:
        before_s = self._clock()
        while not self._stopped.wait(BEAT_S):
            now_s = self._clock()
            self.tick(late_s=max(now_s - before_s - 2 * BEAT_S, 0.0))
            before_s = now_s

    def tick(self, *, late_s: float) -> None:
        """One round; `late_s` is how long this thread itself could not run."""
        with self._lock:
            incoming, outgoing = list(self._incoming), list(self._outgoing)
        for hop in incoming:
            try:
                hop.beat()
            except TradewindError:
                # Whoever receives on it learns of its end, and says why.
                self.forget(hop)
        for hop in outgoing:
            if late_s:
                hop.excuse(late_s)
            elif hop.silent_s() > LOST_AFTER_S:
                hop.give_up()
                self.forget(hop)
