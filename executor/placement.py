"""What is to be placed, and where it was: gateways, links, addresses and ports as values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySpec:
    """A gateway to be made: its name in the Plan and its role."""

    name: str
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSpec:
    """A pair of gateways that a lane joins, and what it carries locally (bytes a second).

    `delay_ms` is one way; `loss` is the share of packets that do not arrive.
    """

    src: str
    dst: str
    bytes_per_s: float
    delay_ms: float = 0.0
    loss: float = 0.0

    @property
    def is_emulated(self) -> bool:
        """Whether it takes more than a rate."""
        return self.delay_ms > 0 or self.loss > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """Where a gateway is: the address by which its peers know it, and that of the client there."""

    address: str
    client_address: str
    control_address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The ports of every gateway: data, and control one above."""

    data: int

    @property
    def control(self) -> int:
        """The port of the control channel."""
        return self.data + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Carriage:
    """What carries data between gateways: a transport by name, and TCP's congestion control; ""
    is cubic where any user may choose it, else the kernel's own."""

    transport: str = "tcp"
    congestion: str = ""
