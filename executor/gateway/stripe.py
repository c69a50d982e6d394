"""One stripe of a lane: sends chunks while its window lets it, and hears of each destination.

It ends when every chunk of the transfer is everywhere. What breaks its connections gives what was
under way back; what its source cannot do, it raises.
"""

from __future__ import annotations

import threading
import time

from datasets.errors import SessionRefused, TradewindError, TransferFailed
from datasets.events import Event
from executor.gateway.chunks import Chunk, Place
from executor.gateway.command import COMMAND_BYTES, TAG_BYTES, Kind
from executor.gateway.fanout import Fanout, Outlet
from executor.gateway.source import Source, Stripe, window_of

# How soon a free connection asks again when there is nothing for it, and how long its window may
# stay shut before it looks whether it should go on.
ASK_AGAIN_S = 0.02
LOOK_S = 0.25
# All is sent, something is not acknowledged, and for so long (or four times what it should take)
# nothing is: then it will not be, however well the neighbours' hearts beat.
STALLED_S = 30.0
STALLED_TIMES = 4.0


def run(source: Source, stripe: Stripe) -> None:
    """Send until all is over. Raises: what fails the transfer, not what breaks the stripe."""
    sender = _Sender(source, stripe)
    listeners = [
        threading.Thread(target=sender.listen, args=(outlet,), daemon=True)
        for outlet in stripe.outlets
    ]
    for listener in listeners:
        listener.start()
    try:
        sender.send_all()
    finally:
        sender.close()
        for listener in listeners:
            listener.join()


class _Sender:
    """The state that a stripe's sender and its listeners share."""

    def __init__(self, source: Source, stripe: Stripe) -> None:
        self._source = source
        self._stripe = stripe
        self._window = threading.BoundedSemaphore(window_of(stripe.lane))
        # What not every destination has; and of those, what none has: only they fill the window.
        self._under_way: dict[Place, Chunk] = {}
        self._unheard: set[Place] = set()
        self._heard: dict[Place, set[int]] = {}
        self._lock = threading.Lock()
        self._broke: TradewindError | None = None
        self._ended = 0
        self._over = False
        self._moved_s = time.monotonic()
        self._plain = memoryview(bytearray(source.chunk_bytes))
        self._frame_bytes = COMMAND_BYTES + source.record_bytes + TAG_BYTES
        self._sealed = memoryview(bytearray(self._frame_bytes))
        self._fan: Fanout | None = None
        if len(stripe.outlets) > 1:
            self._fan = Fanout(
                stripe.outlets,
                frame_bytes=self._frame_bytes,
                spill_bytes=source.spill_bytes,
                send=self._send_on,
                broken=self._break,
            )

    def _break(self, outlet: Outlet | None, error: TradewindError) -> None:
        """The connections are of no more use; what broke first counts."""
        with self._lock:
            if self._broke is None:
                self._broke = error
        self._stripe.close()

    def send_all(self) -> None:
        """Take and send until all is over or this stripe breaks."""
        while self._broke is None:
            if not self._window.acquire(timeout=LOOK_S):
                self._rest()
                continue
            grant = self._source.feed.take(self._stripe.lane.index)
            if grant.chunk is None:
                self._window.release()
                if grant.over or self._source.log.failure:
                    break
                self._rest()
                time.sleep(ASK_AGAIN_S)
                continue
            self._take(grant.chunk, again=grant.again)
        if self._broke is None:
            self._finish()
        if self._broke is not None and not self._over and not self._source.feed.take(-1).over:
            with self._lock:
                places = list(self._under_way)
            self._source.lost(self._stripe, places, self._broke)

    def _rest(self) -> None:
        """Nothing is sent now: tell the next gateways that this one lives (a branch's thread of a
        tree does so itself), and see that acknowledgements come."""
        with self._lock:
            waited_s = time.monotonic() - self._moved_s if self._under_way else 0.0
        try:
            if waited_s > max(
                STALLED_S, STALLED_TIMES * self._source.expected_s(self._stripe.lane)
            ):
                raise TransferFailed(f"nothing was acknowledged for {waited_s:.0f} s")
            if self._fan is None:
                self._stripe.outlets[0].hop.beat()
        except TradewindError as error:
            self._break(None, error)

    def _take(self, chunk: Chunk, *, again: bool) -> None:
        with self._lock:
            self._under_way[chunk.place] = chunk
            self._unheard.add(chunk.place)
        source, stripe = self._source, self._stripe
        source.stamp(Event.CHUNK_READ, stripe, chunk)
        source.read(chunk, self._plain)
        if again:
            source.stamp(Event.CHUNK_RESENT, stripe, chunk)
        try:
            for start in range(0, chunk.size, source.record_bytes):
                end = min(start + source.record_bytes, chunk.size)
                self._send(chunk, start, self._plain[start:end])
        except TradewindError as error:
            self._break(None, error)
            return
        with self._lock:
            self._moved_s = time.monotonic()
        source.stamp(Event.CHUNK_SENT, stripe, chunk)

    def _send(self, chunk: Chunk, start: int, plain: memoryview) -> None:
        source, stripe = self._source, self._stripe
        lane = stripe.lane
        if self._fan is None:
            end = source.seal(stripe, chunk, start, plain, self._sealed)
            outlet = stripe.outlets[0]
            source.limits.wait_to_send(lane, outlet.branch, len(plain), paced=True)
            outlet.hop.send(self._sealed[:end])
            return
        frame = self._fan.frame()
        end = source.seal(stripe, chunk, start, plain, frame.view)
        source.limits.wait_for_pace(lane, len(plain))
        self._fan.put(frame, end)

    def _send_on(self, outlet: Outlet, frame: memoryview) -> None:
        plain_bytes = len(frame) - COMMAND_BYTES - TAG_BYTES
        if plain_bytes > 0:
            limits = self._source.limits
            limits.wait_to_send(self._stripe.lane, outlet.branch, plain_bytes, paced=False)
        outlet.hop.send(frame)

    def _finish(self) -> None:
        """All is over: end in order, unless something that others did sooner is still under way."""
        with self._lock:
            self._over = True
            if self._under_way or self._source.log.failure:
                return
        end = self._source.end_command(self._stripe.lane)
        try:
            if self._fan is not None:
                self._fan.drain()
            for outlet in self._stripe.outlets:
                outlet.hop.send(end)
            self._await_ends()
        except TradewindError as error:
            self._break(None, error)

    def _await_ends(self) -> None:
        while True:
            with self._lock:
                if self._broke is not None or self._ended == len(self._stripe.outlets):
                    return
            time.sleep(ASK_AGAIN_S)

    def listen(self, outlet: Outlet) -> None:
        """Hear of one branch until it ends; on a thread of its own."""
        buffer = memoryview(bytearray(COMMAND_BYTES))
        try:
            while True:
                command, _ = outlet.hop.receive(buffer)
                if command.kind is Kind.END:
                    with self._lock:
                        self._ended += 1
                        over = self._over
                    if not over:
                        raise SessionRefused("the end came before its time")
                    return
                self._acknowledged(self._source.place_of(command, buffer), command.key_id)
        except TradewindError as error:
            self._break(outlet, error)

    def _acknowledged(self, place: Place, end: int) -> None:
        with self._lock:
            chunk = self._under_way.get(place)
            first = place in self._unheard
            self._moved_s = time.monotonic()
            self._unheard.discard(place)
        if chunk is None:
            # A replay, or one that a lost connection had under way: nothing is waiting for it.
            return
        if first:
            self._window.release()
        if self._source.feed.acknowledged(self._stripe.lane.index, place, end):
            self._source.stamp(Event.CHUNK_ACKNOWLEDGED, self._stripe, chunk)
        with self._lock:
            heard = self._heard.setdefault(place, set())
            heard.add(end)
            if len(heard) == self._source.ends:
                del self._heard[place]
                self._under_way.pop(place, None)

    def close(self) -> None:
        """Close the connections, and whatever fans out."""
        self._stripe.close()
        if self._fan is not None:
            self._fan.dispose()
