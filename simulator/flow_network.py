"""Transfers over lanes: a `Sharing` with a clock, which says what ends when.

Who owns one lets it `advance` to the next instant that matters, tells it what changes there, and
lets it advance again: all that changes at one instant is repaired once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from simulator.flow_kernel import FINISHED, TOLD
from simulator.kernel_state import lanes_of
from simulator.sharing import Numbers, Sharing, Whole
from simulator.sharing_kernel import NONE, note_count


class FlowNetwork:
    """Transfers, each of a lane (a flow of `sharing`), a size, and a number of connections.

    `lane` and `size` are (transfers,). A transfer has one connection unless `set_many` says more,
    which each move `size`, in lockstep. Those in `told` are told of when they end. `arrivals` are
    pairs of an instant and a transfer that begins then by itself. A transfer may begin again once
    it ended.
    """

    def __init__(
        self,
        sharing: Sharing,
        *,
        lane: Whole,
        size: Numbers,
        told: Sequence[int] = (),
        arrivals: Sequence[tuple[float, int]] = (),
    ) -> None:
        self.sharing = sharing
        self.now = 0.0
        self.lanes = lanes_of(
            sharing.kernels.state,
            lanes=len(sharing.state.cap),
            lane=lane,
            size=size,
            told=told,
            arrivals=arrivals,
        )

    def set_many(self, transfer: int, many: int) -> None:
        """Over how many connections `transfer`, not under way now, moves from its next begin on."""
        self.lanes.many[transfer] = many

    def begin(self, transfer: int, now: float) -> None:
        """`transfer` begins at `now`."""
        self.sharing.kernels.begin(self.sharing.state, self.lanes, transfer, now)

    def under_way(self, lane: int) -> list[int]:
        """The transfers of `lane` that began and did not end."""
        found, look = [], [int(self.lanes.top[lane])]
        while look:
            transfer = look.pop()
            if transfer != NONE:
                found.append(transfer)
                look += [int(self.lanes.left[transfer]), int(self.lanes.right[transfer])]
        return sorted(found)

    def drop(self, lane: int) -> list[int]:
        """Everything under way on `lane` ends without being through; which transfers that were."""
        found = self.under_way(lane)
        self.lanes.top[lane] = NONE
        self.lanes.busy[lane] = 0
        note_count(self.sharing.state, lane, 0)
        return found

    def still_since(self, transfer: int) -> float:
        """When the rate of the transfer's lane became what it is."""
        return float(self.lanes.since[self.lanes.lane[transfer]])

    def advance(self, until: float) -> float:
        """Let time pass until a transfer ends that is told of, or to `until`; the instant reached.

        Infinite where `until` is and nothing will ever end.
        """
        reached = self.sharing.kernels.advance(self.sharing.state, self.lanes, self.now, until)
        if reached < np.inf:
            self.now = float(reached)
        return float(reached)

    def ended(self) -> list[int]:
        """The transfers that ended at the instant reached, of those that are told of."""
        return [int(transfer) for transfer in self.lanes.told[: self.lanes.tally[TOLD]]]

    def finished(self) -> int:
        """How many transfers ended so far, without those that are told of."""
        return int(self.lanes.tally[FINISHED])
