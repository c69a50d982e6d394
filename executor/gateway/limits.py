"""A gateway's limits as pacers: what its VM, its links and each lane may carry."""

from __future__ import annotations

from collections.abc import Iterable

from executor.control import messages_pb2 as messages
from executor.gateway.pacing import Pacer, wait_for


class Limits:
    """The pacers of one gateway. A byte on its way out or in waits for all that bind it.

    A link's measured rate is what a pair of VMs carried, so a byte also takes a share of each
    VM's time: 1/(link's rate) seconds of it, out at the sender and in at the receiver.
    """

    def __init__(self, configuration: messages.Configuration) -> None:
        limits = configuration.limits
        self._egress = _pacer(limits.egress_bytes_per_s)
        self._public = _pacer(limits.egress_public_bytes_per_s)
        self._ingress = _pacer(limits.ingress_bytes_per_s)
        self._time_out = Pacer(1.0)
        self._time_in = Pacer(1.0)
        self._hop: dict[tuple[int, int], Pacer | None] = {}
        self._pace: dict[int, Pacer | None] = {}
        self.add(configuration.lanes)

    def add(self, lanes: Iterable[messages.Lane]) -> None:
        """More lanes."""
        for lane in lanes:
            self._pace[lane.index] = _pacer(lane.pace_bytes_per_s)
            for branch in lane.branches:
                self._hop[lane.index, branch.hop] = _pacer(branch.hop_bytes_per_s)

    def wait_to_send(
        self, lane: messages.Lane, branch: messages.Branch, size_bytes: int, *, paced: bool
    ) -> None:
        """Wait until `size_bytes` may have left by a branch; `paced` at the source alone."""
        pacers = [self._hop[lane.index, branch.hop], self._egress]
        if branch.public:
            pacers.append(self._public)
        if paced:
            pacers.append(self._pace[lane.index])
        reservations = [pacer.reserve(size_bytes) for pacer in pacers if pacer is not None]
        if branch.link_bytes_per_s:
            reservations.append(self._time_out.reserve(size_bytes / branch.link_bytes_per_s))
        wait_for(reservations)

    def wait_for_pace(self, lane: messages.Lane, size_bytes: int) -> None:
        """Wait until the lane's plan lets `size_bytes` go, whatever its branches do."""
        pacer = self._pace[lane.index]
        wait_for([] if pacer is None else [pacer.reserve(size_bytes)])

    def late_s(self) -> float:
        """The most time that any paced lane lost by coming late to its schedule."""
        return max((pacer.lost_s for pacer in self._pace.values() if pacer is not None), default=0)

    def wait_to_receive(self, lane: messages.Lane, size_bytes: int) -> None:
        """Wait until `size_bytes` of the lane may have come in; the sender feels it."""
        reservations = []
        if self._ingress is not None:
            reservations.append(self._ingress.reserve(size_bytes))
        if lane.incoming_bytes_per_s:
            reservations.append(self._time_in.reserve(size_bytes / lane.incoming_bytes_per_s))
        wait_for(reservations)


def _pacer(bytes_per_s: float) -> Pacer | None:
    return Pacer(bytes_per_s) if bytes_per_s > 0 else None
