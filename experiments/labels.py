"""Labels that do not overlap: each in turn takes the cheapest of its candidate places."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle: left, top, right, bottom, in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: Box) -> float:
        """Area in common."""
        wide = min(self.right, other.right) - max(self.left, other.left)
        high = min(self.bottom, other.bottom) - max(self.top, other.top)
        return wide * high if wide > 0 and high > 0 else 0.0

    def holds(self, point: Point) -> bool:
        """Whether the point is inside."""
        return self.left <= point[0] <= self.right and self.top <= point[1] <= self.bottom


def text_width(text: str, size: float = 12.0) -> float:
    """About how wide a text is in a system font: no page may ask a browser while it is written."""
    return 0.52 * size * len(text)


@dataclass(slots=True)
class Ground:
    """What is taken already: the frame, boxes of labels and dots, and points of lines."""

    frame: Box
    taken: list[Box] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)

    def place(self, candidates: Sequence[Box]) -> Box:
        """The candidate that covers least; it is taken from now on. Earlier ones win ties."""
        best = min(candidates, key=lambda box: self._cost(box))
        self.taken.append(best)
        return best

    def _cost(self, box: Box) -> float:
        outside = (box.right - box.left) * (box.bottom - box.top) - box.overlap(self.frame)
        covered = sum(box.overlap(other) for other in self.taken)
        return 90.0 * outside + 60.0 * covered + 30.0 * sum(map(box.holds, self.points))


def around(at: Point, width: float, height: float, gap: float) -> Iterable[Box]:
    """Boxes of that size right, left, above, below and at the corners of a dot."""
    x, y = at
    for dx, dy in ((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (1, 1), (-1, -1), (-1, 1)):
        left = x + dx * gap - (width if dx < 0 else width / 2 if dx == 0 else 0)
        shift = gap if dx == 0 else gap / 2
        top = y + dy * shift - (height if dy < 0 else height / 2 if dy == 0 else 0)
        yield Box(left, top, left + width, top + height)
