"""Transports: what carries frames. One small surface, the same contract tests for all of them.

A frame is one 160-byte command and its payload (`executor/gateway/command.py`); a transport moves
whole frames and knows nothing of keys but the one that guards its own packets. It keeps frames
apart, loses none, repeats none; only `tcp` keeps their order, so nobody may rely on it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from datasets.canonical import Json, rounded
from datasets.errors import InputError, TransferFailed

CONNECT_TIMEOUT_S = 10.0
# Silence for so long on a connection that is in use is a stall.
IDLE_TIMEOUT_S = 15.0

# Given the 160 bytes that open a connection and the address that they came from: the key that
# guards the connection's own packets, or None, and nothing is answered.
Admit = Callable[[bytes, str], bytes | None]


class Closed(TransferFailed):
    """The other end closed the connection."""


class Idle(TransferFailed):
    """Nothing came, or nothing could be sent, for as long as the connection may be silent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """What a connection says of itself; a figure that the transport does not have is None.

    `limited_by`: what held the sender back for the most part: "application" (it had nothing to
    send), "receiver" (its window), "sender" (its own buffer), "network" (congestion control).
    """

    bytes_sent: int | None = None
    bytes_received: int | None = None
    delivery_gbps: float | None = None
    rtt_ms: float | None = None
    retransmitted: int | None = None
    limited_by: str | None = None

    def as_json(self) -> dict[str, Json]:
        """As the event table's `detail` has it, figures that are missing left out."""
        told: dict[str, Json] = {
            "bytes_sent": self.bytes_sent,
            "bytes_received": self.bytes_received,
            "delivery_gbps": None if self.delivery_gbps is None else rounded(self.delivery_gbps, 6),
            "rtt_ms": None if self.rtt_ms is None else rounded(self.rtt_ms, 3),
            "retransmitted": self.retransmitted,
            "limited_by": self.limited_by,
        }
        return {name: value for name, value in told.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a connection is made. `pace_bytes_per_s` 0 is unpaced; `interface` binds to a device."""

    congestion: str = "cubic"
    pace_bytes_per_s: float = 0.0
    interface: str = ""
    timeout_s: float = IDLE_TIMEOUT_S


class Connection(Protocol):
    """One connection, both ways. One thread may send while another receives."""

    def send(self, frame: memoryview | bytes) -> None:
        """Send one whole frame, or several; blocks as the other end falls behind.

        Raises: Closed, Idle.
        """

    def receive(self, view: memoryview) -> int:
        """The next frame into `view`; its length.

        Raises: Closed at the end, Idle, SessionRefused if what came is no frame, or one longer
        than `view`.
        """

    def set_timeout(self, seconds: float) -> None:
        """How long the connection may be silent."""

    def metrics(self) -> Metrics:
        """How it goes, now; harmless after `close`."""

    def finish(self) -> None:
        """Say that nothing more will be sent; what was sent still arrives."""

    def close(self) -> None:
        """Close both ways at once; harmless when repeated, and from any thread."""


class Listener(Protocol):
    """Accepts connections; `port` is where."""

    @property
    def port(self) -> int:
        """The port that it listens on."""

    def accept(self, timeout_s: float) -> tuple[Connection, bytes, str] | None:
        """The next admitted connection, the 160 bytes that opened it and its address; None after
        `timeout_s`. Raises: Closed after `close`."""

    def close(self) -> None:
        """Accept no more; connections that stand are left."""


class Transport(Protocol):
    """A way to carry frames: `tcp`, `udp`."""

    def connect(
        self,
        address: str,
        port: int,
        *,
        own_address: str,
        opening: bytes,
        secret: bytes,
        options: Options,
    ) -> Connection:
        """Connect from `own_address` ("" for any), and send `opening`, a signed command.

        `secret` is the key that the other end's `Admit` gives for `opening`; a transport that has
        packets of its own signs them under a key derived from it. Raises: TransferFailed.
        """

    def listen(self, address: str, port: int, *, admit: Admit, options: Options) -> Listener:
        """Listen; port 0 is any free one. Raises: OSError if the port is taken."""


# Name: where it is found. Imported when it is used, and by nobody else: this module has no cycle.
_TRANSPORTS: Mapping[str, str] = MappingProxyType(
    {"tcp": "executor.gateway.tcp:Tcp", "udp": "executor.gateway.udp:Udp"}
)


def find_transport(name: str) -> Transport:
    """The transport of that name. Raises: InputError."""
    if name not in _TRANSPORTS:
        raise InputError(f"No transport is called {name!r}; there are {', '.join(_TRANSPORTS)}.")
    module, _, made = _TRANSPORTS[name].partition(":")
    found: Transport = getattr(importlib.import_module(module), made)()
    return found


def transport_names() -> tuple[str, ...]:
    """What `find_transport` knows."""
    return tuple(_TRANSPORTS)
