"""The queue of chunks at the source that heads a transfer; lanes take from it as they come free.

A chunk leaves the queue when every destination has acknowledged it, not before: what was under
way on a lane that is lost stands in front again, by the rules that the simulator follows too
(`planner/dispatch.py`). What it holds in memory are the chunks under way, whatever the transfer's
size.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from types import MappingProxyType

from executor.endpoints.intervals import IntervalSet
from executor.endpoints.local import Entry
from planner.dispatch import Dispatch, LanePace, chunk_count, static_shares, takes_next

# Near the end a chunk that a lane has had for so many times what it should take, and so much
# longer, is sent by another lane as well, once.
OVERDUE_TIMES = 2.0
OVERDUE_S = 0.5

Place = tuple[int, int]
_NONE = IntervalSet()


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """One chunk of one object of the listing."""

    object: int
    chunk: int
    offset: int
    size: int

    @property
    def place(self) -> Place:
        """(object, chunk)."""
        return self.object, self.chunk


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a lane gets: a chunk, or nothing for now, or (`over`) nothing ever more.

    `again`: the chunk was handed out before.
    """

    chunk: Chunk | None = None
    over: bool = False
    again: bool = False


@dataclass(slots=True)
class _UnderWay:
    """A chunk that was handed out: to whom and when, and which destinations have it."""

    chunk: Chunk
    since_s: dict[int, float] = field(default_factory=dict)
    ends: set[int] = field(default_factory=set)
    doubled: bool = False


class ChunkQueue:
    """Every chunk in order to whichever lane asks and should have it, until all have arrived.

    `paces` are those of the lanes, `expected_s` how long one chunk should be under way on each;
    `ends` is how many destinations must acknowledge a chunk; `held` are the chunks of each object
    that earlier attempts brought to all of them. Safe between threads.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        *,
        chunk_bytes: int,
        paces: Sequence[LanePace],
        dispatch: Dispatch,
        ends: int = 1,
        expected_s: Sequence[float] = (),
        held: Mapping[int, IntervalSet] = MappingProxyType({}),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._held = held
        self._entries = [entry for entry in entries if entry.size > 0]
        self._chunk_bytes = chunk_bytes
        self._paces = list(paces)
        self._expected_s = list(expected_s) or [0.0] * len(paces)
        self._took_s: dict[int, float] = {}
        self._living = list(range(len(paces)))
        self._clock = clock
        self._ends = ends
        held_count, held_bytes = self._held_already()
        self._unassigned_bytes = sum(entry.size for entry in self._entries) - held_bytes
        self._at = self._not_held(0, 0)  # position among the entries, chunk
        self._returned: deque[Chunk] = deque()
        self._under_way: dict[Place, _UnderWay] = {}
        self._left: list[int] | None = None
        if dispatch == "static":
            count = sum(chunk_count(entry.size, chunk_bytes) for entry in self._entries)
            count -= held_count
            self._left = list(static_shares(count, [pace.gbps for pace in self._paces]))
        self._lock = Lock()

    @property
    def over(self) -> bool:
        """Whether every chunk is at every destination."""
        with self._lock:
            return self._over()

    def _over(self) -> bool:
        return self._at[0] == len(self._entries) and not self._under_way

    @property
    def living(self) -> tuple[int, ...]:
        """The lanes that are not lost."""
        with self._lock:
            return tuple(self._living)

    def take(self, lane: int) -> Grant:
        """The next chunk for `lane`, or nothing for it now, or nothing ever more."""
        with self._lock:
            if self._over():
                return Grant(over=True)
            if lane not in self._living:
                return Grant()
            chunk = self._first()
            if chunk is None:
                return self._overdue(lane)
            if not self._may_take(lane, chunk):
                return Grant()
            self._unassigned_bytes -= chunk.size
            again = self._pop(chunk)
            entry = self._under_way.setdefault(chunk.place, _UnderWay(chunk))
            entry.since_s[lane] = self._clock()
            return Grant(chunk=chunk, again=again)

    def _first(self) -> Chunk | None:
        if self._returned:
            return self._returned[0]
        position, chunk = self._at
        if position == len(self._entries):
            return None
        entry = self._entries[position]
        offset = chunk * self._chunk_bytes
        size = min(self._chunk_bytes, entry.size - offset)
        return Chunk(object=entry.index, chunk=chunk, offset=offset, size=size)

    def _may_take(self, lane: int, chunk: Chunk) -> bool:
        if self._left is not None:
            if self._left[lane] == 0:
                return False
            self._left[lane] -= 1
            return True
        paces = [self._paces[other] for other in self._living]
        at = self._living.index(lane)
        return takes_next(at, paces, chunk.size, self._unassigned_bytes)

    def _pop(self, chunk: Chunk) -> bool:
        """Take the first chunk out; whether it had been handed out before."""
        if self._returned:
            self._returned.popleft()
            return True
        position, number = self._at
        self._at = self._not_held(position, number + 1)
        return False

    def _not_held(self, position: int, number: int) -> tuple[int, int]:
        """The first place from there on that is not at its destinations already."""
        while position < len(self._entries):
            entry = self._entries[position]
            count = chunk_count(entry.size, self._chunk_bytes)
            ranges = self._held.get(entry.index, _NONE)
            found = next(ranges.missing(number, count), None)
            if found is not None:
                return position, found[0]
            position, number = position + 1, 0
        return position, 0

    def _held_already(self) -> tuple[int, int]:
        """(chunks, bytes) that earlier attempts brought to their destinations."""
        chunks = size_bytes = 0
        for entry in self._entries:
            ranges = self._held.get(entry.index, _NONE)
            last = chunk_count(entry.size, self._chunk_bytes) - 1
            short = (last + 1) * self._chunk_bytes - entry.size if last in ranges else 0
            chunks += ranges.total
            size_bytes += ranges.total * self._chunk_bytes - short
        return chunks, size_bytes

    def _overdue(self, lane: int) -> Grant:
        """A chunk that a slow lane has had for too long, for an idle one to send as well."""
        if self._left is not None:
            return Grant()
        now_s = self._clock()
        own_s = self._took_s.get(lane, self._expected_s[lane])
        for entry in self._under_way.values():
            if entry.doubled or lane in entry.since_s or not entry.since_s:
                continue
            should_s = max(own_s, *(self._expected_s[other] for other in entry.since_s))
            if now_s - min(entry.since_s.values()) > OVERDUE_TIMES * should_s + OVERDUE_S:
                entry.doubled = True
                entry.since_s[lane] = now_s
                return Grant(chunk=entry.chunk, again=True)
        return Grant()

    def acknowledged(self, lane: int, place: Place, end: int) -> bool:
        """Destination `end` has the chunk; whether all have it now, and had not before."""
        with self._lock:
            entry = self._under_way.get(place)
            if entry is None:
                return False
            if lane in entry.since_s:
                took_s = self._clock() - entry.since_s[lane]
                self._took_s[lane] = max(took_s, self._took_s.get(lane, 0.0) / 2)
            entry.ends.add(end)
            if len(entry.ends) < self._ends:
                return False
            del self._under_way[place]
            if entry.chunk in self._returned:
                # It was given up for lost, and was not.
                self._returned.remove(entry.chunk)
                self._unassigned_bytes -= entry.chunk.size
            return True

    def lost(self, lane: int, places: Iterable[Place]) -> None:
        """What a lost connection of `lane` had under way: in front again, if nobody else has it."""
        with self._lock:
            back = []
            for place in places:
                entry = self._under_way.get(place)
                if entry is None:
                    continue
                entry.since_s.pop(lane, None)
                if not entry.since_s and entry.chunk not in self._returned:
                    entry.doubled = False
                    back.append(entry.chunk)
            for chunk in sorted(back, key=lambda each: each.place, reverse=True):
                self._returned.appendleft(chunk)
                self._unassigned_bytes += chunk.size
            self._house(len(back))

    def lane_lost(self, lane: int) -> None:
        """The lane takes nothing any more; what was its share is the others'."""
        with self._lock:
            if lane in self._living:
                self._living.remove(lane)
            if self._left is not None:
                homeless, self._left[lane] = self._left[lane], 0
                self._house(homeless)

    def retire(self) -> None:
        """No lane that there is takes anything more; what they have under way they finish."""
        with self._lock:
            self._living.clear()
            if self._left is not None:
                self._left = [0] * len(self._left)

    def joined(self, paces: Sequence[LanePace], expected_s: Sequence[float]) -> None:
        """More lanes, numbered after those there are."""
        with self._lock:
            first = len(self._paces)
            self._paces += paces
            self._expected_s += expected_s
            self._living += range(first, len(self._paces))
            if self._left is not None:
                self._left += [0] * len(paces)
                # What is in nobody's share, the new ones' too, is shared anew.
                waiting = len(self._returned) + self._not_handed_out()
                self._house(waiting - sum(self._left))

    def _not_handed_out(self) -> int:
        position, chunk = self._at
        counts = [chunk_count(each.size, self._chunk_bytes) for each in self._entries[position:]]
        return sum(counts) - chunk

    def _house(self, homeless: int) -> None:
        """Static shares alone: chunks that are no lane's are the living ones'."""
        if self._left is None or not self._living or homeless <= 0:
            return
        shares = static_shares(homeless, [self._paces[lane].gbps for lane in self._living])
        for lane, share in zip(self._living, shares, strict=True):
            self._left[lane] += share
