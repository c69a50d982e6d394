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
    """A pair of gateways that a lane joins, and what it carries locally (bytes a second)."""

    src: str
    dst: str
    bytes_per_s: float


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
