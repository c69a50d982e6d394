"""What befell a Run, for the axis of time: losses, deaths, recoveries and links that changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from datasets.events import Event
from datasets.outcome import Outcome
from experiments.clock import Array, real_clock
from experiments.style import MARKS, THEME

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

_WORDS = {
    Event.GATEWAY_LOST.value: "gateway lost",
    Event.GATEWAY_READY.value: "gateway back",
    Event.CONNECTION_LOST.value: "connection lost",
    Event.CHUNK_RESENT.value: "chunk sent again",
    Event.LINK_CHANGED.value: "link changed",
}
# Places along the axis: marks of one kind at the same place are drawn once.
_PLACES = 150
_BELOW_IN = 0.06


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Something that happened, at real seconds since the first byte was read."""

    at_s: float
    words: str


def marks_of(events: pd.DataFrame, result: Outcome) -> tuple[Mark, ...]:
    """Every mark of a Run, in the order of time; a gateway is back if it was lost before."""
    rows = events[events["event"].isin(list(_WORDS))]
    at_s = real_clock(events, result).real_s(rows["t_s"])
    lost: set[str] = set()
    marks = []
    for when, event, gateway in zip(at_s.tolist(), rows["event"], rows["gateway"], strict=True):
        if event == Event.GATEWAY_LOST.value:
            lost.add(gateway)
        if event != Event.GATEWAY_READY.value or gateway in lost:
            marks.append(Mark(at_s=when, words=_WORDS[event]))
    return tuple(marks)


def counted(marks: tuple[Mark, ...]) -> Mapping[str, int]:
    """How many there are of each kind, in the order of `style.MARKS`."""
    counts = {words: sum(mark.words == words for mark in marks) for words in MARKS}
    return {words: count for words, count in counts.items() if count}


def mark_words(words: str, count: int) -> str:
    """One kind of mark, and how often where it is more than once."""
    return words if count == 1 else f"{words} ({count:,} times)"


def draw_marks(
    axes: Axes, marks: tuple[Mark, ...], *, unit_s: float, most_s: float
) -> list[tuple[Artist, str]]:
    """Draw them just below the axis of time; gives legend entries, with how many there are."""
    from matplotlib.transforms import ScaledTranslation

    figure = axes.figure
    below = axes.get_xaxis_transform() + ScaledTranslation(0, -_BELOW_IN, figure.dpi_scale_trans)
    entries: list[tuple[Artist, str]] = []
    for words, count in list(counted(marks).items())[::-1]:  # deaths above all others
        colour, marker = MARKS[words]
        at_s: Array = np.array([mark.at_s for mark in marks if mark.words == words])
        places = np.unique(np.round(np.clip(at_s, 0, most_s) / most_s * _PLACES)) / _PLACES
        (line,) = axes.plot(
            places * most_s / unit_s,
            np.zeros(len(places)),
            transform=below,
            linestyle="none",
            marker=marker,
            markersize=5.5,
            markerfacecolor=colour,
            markeredgecolor=THEME["text"],
            markeredgewidth=0.4,
            clip_on=False,
            zorder=5,
        )
        entries.append((line, mark_words(words, count)))
    return entries[::-1]
