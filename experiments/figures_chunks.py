"""The chunks of a Run as a Gantt: one row a connection or slot, coloured by path or tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from datasets.run import Run
from experiments.attempts import Attempts, attempts_of
from experiments.clock import Array
from experiments.figures import (
    WIDE_IN,
    NothingToDraw,
    drawing,
    is_narrow,
    legend_below,
    listed_few,
    new_figure,
)
from experiments.figures_time import kind, latest, opacity, time_axis
from experiments.marks import draw_marks, marks_of
from experiments.slots import Slots, slots_of
from experiments.style import THEME, path_colour
from planner.plan import Plan

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# More bars than these cannot be told apart, and would fill a page.
_MOST_BARS, _MOST_BARS_NARROW = 4000, 1500
_MOST_LANE_NAMES = 12
_HIGH = 0.78
# Bars are parted by a line where they are so many points wide, or there would be little left.
_LEAST_EDGED, _POINTS_PER_IN = 3.0, 72
_FIRST, _AGAIN, _GIVEN_UP = "first", "again", "given up"


def chunks(
    plan: Plan, run: Run, *, attempts: Attempts | None = None, width_in: float = WIDE_IN
) -> Figure:
    """From a chunk's reading to its arrival, one row a connection or slot; at most 50 rows.

    `attempts` are the Run's, where the caller has them already.
    Raises: NothingToDraw if no chunk was read.
    """
    attempts = attempts or attempts_of(plan, run.events, run.outcome)
    if attempts.table.empty:
        raise NothingToDraw("No chunk was read, so there is none to show.")
    slots = slots_of(attempts)
    bars, each_s = thinned(
        slots.bars, slots.rows, _MOST_BARS_NARROW if is_narrow(width_in) else _MOST_BARS
    )
    marks = marks_of(run.events, run.outcome)
    most_s = 1.02 * latest(float(attempts.table["ended_s"].max()), marks)
    with drawing():
        figure, (axes,) = new_figure(width_in=width_in, height_in=0.8 + 0.11 * max(slots.rows, 8))
        unit_s = time_axis(axes, most_s, width_in=width_in)
        axes.grid(visible=False)
        entries = _draw_bars(axes, bars, unit_s=unit_s, most_s=most_s, width_in=width_in, run=run)
        axes.set_ylim(slots.rows - 0.4, -0.6)
        axes.set_ylabel(_rows_words(slots))
        _name_lanes(axes, slots)
        axes.set_title(kind(run))
        names = attempts.ways.names
        used = sorted(set(bars["way"].tolist()))
        ways, left_out = listed_few([(_patch(path_colour(way), run), names[way]) for way in used])
        entries += draw_marks(axes, marks, unit_s=unit_s, most_s=most_s)
        legend_below(figure, [*ways, *entries], width_in=width_in, left_out=left_out)
        figure.set_label(_caption(slots, bars, each_s))
    return figure


def thinned(bars: pd.DataFrame, rows: int, most: int) -> tuple[pd.DataFrame, float]:
    """At most about `most` bars: neighbours of a kind in a row are joined while below so long.

    Gives (bars with `row`, `way`, `look`, `began_s`, `ended_s`, `chunks`; that length, 0 if each
    bar is one chunk). No gap longer than that length is covered.
    """
    look = np.where(bars["resent"], _AGAIN, _FIRST).astype(object)
    look[~bars["arrived"].to_numpy()] = _GIVEN_UP
    ordered = bars.assign(look=look, chunks=1).sort_values(["row", "began_s"], kind="stable")
    columns = ["row", "way", "look", "began_s", "ended_s", "chunks"]
    ordered = ordered[columns].reset_index(drop=True)
    if len(ordered) <= most:
        return ordered, 0.0
    span_s = float(ordered["ended_s"].max() - ordered["began_s"].min())
    each_s = span_s * rows / most
    began_s, ended_s = ordered["began_s"].tolist(), ordered["ended_s"].tolist()
    same = (
        (ordered[["row", "way", "look"]] == ordered[["row", "way", "look"]].shift(1))
        .all(axis=1)
        .tolist()
    )
    groups = []
    start_s, number = 0.0, -1
    for at, (began, ended) in enumerate(zip(began_s, ended_s, strict=True)):
        close = at > 0 and began - ended_s[at - 1] <= each_s
        if not (same[at] and close and ended - start_s <= 2 * each_s):
            number += 1
            start_s = began
        groups.append(number)
    joined = ordered.groupby(np.array(groups), sort=True).agg(
        row=("row", "first"),
        way=("way", "first"),
        look=("look", "first"),
        began_s=("began_s", "min"),
        ended_s=("ended_s", "max"),
        chunks=("chunks", "sum"),
    )
    return joined, each_s


def _draw_bars(
    axes: Axes, bars: pd.DataFrame, *, unit_s: float, most_s: float, width_in: float, run: Run
) -> list[tuple[Artist, str]]:
    """One shape a path and kind; gives the legend's entries of what is not usual."""
    from matplotlib.patches import Patch

    typical_s = float((bars["ended_s"] - bars["began_s"]).median())
    wide = typical_s / most_s * width_in * _POINTS_PER_IN
    edge = 0.4 if wide > _LEAST_EDGED else 0.0
    entries: dict[str, Artist] = {}
    for (look, way), mine in bars.groupby(["look", "way"], sort=True):
        colour = path_colour(int(str(way)))
        outline = _outline(
            mine["began_s"].to_numpy() / unit_s,
            mine["ended_s"].to_numpy() / unit_s,
            mine["row"].to_numpy(dtype=np.float64),
        )
        if look == _GIVEN_UP:
            style = {"facecolor": "none", "edgecolor": colour, "linewidth": 0.9}
            entries["given up before it arrived"] = Patch(
                facecolor="none", edgecolor=THEME["text"], linewidth=0.9
            )
        elif look == _AGAIN:
            style = {"facecolor": colour, "edgecolor": THEME["text"], "linewidth": 1.1}
            entries["chunk sent again: framed"] = Patch(
                facecolor="none", edgecolor=THEME["text"], linewidth=1.6
            )
        else:
            style = {"facecolor": colour, "edgecolor": THEME["card"], "linewidth": edge}
        _add(axes, outline, alpha=None if look == _GIVEN_UP else opacity(run), **style)
    return [(artist, words) for words, artist in sorted(entries.items())]


def _add(axes: Axes, outline: tuple[Array, Array], **style: Any) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    vertices, codes = outline
    axes.add_patch(PathPatch(Path(vertices, codes), **style))


def _outline(began: Array, ended: Array, row: Array) -> tuple[Array, Array]:
    """All rectangles as one path: (points, 2) corners and the (points,) codes of matplotlib."""
    from matplotlib.path import Path

    top, bottom = row - _HIGH / 2, row + _HIGH / 2
    xs = np.stack([began, ended, ended, began, began], axis=1)
    ys = np.stack([top, top, bottom, bottom, top], axis=1)
    codes = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY]
    vertices: Array = np.stack([xs.ravel(), ys.ravel()], axis=1)
    return vertices, np.tile(np.array(codes, dtype=np.uint8), len(row))


def _name_lanes(axes: Axes, slots: Slots) -> None:
    """Names at the left, as many as there is room for; a line between lanes where all fit."""
    step = -(-len(slots.lanes) // _MOST_LANE_NAMES)
    named = slots.lanes[::step]
    several = len({job for _, _, (job, _) in slots.lanes}) > 1
    axes.set_yticks(
        [first + (rows - 1) / 2 for first, rows, _ in named],
        [f"job {job}, lane {path}" if several else f"lane {path}" for _, _, (job, path) in named],
    )
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    if step == 1:
        for first, _, _ in slots.lanes[1:]:
            axes.axhline(first - 0.5, color=THEME["line"], linewidth=0.7, zorder=0)


def _patch(colour: str, run: Run) -> Artist:
    from matplotlib.patches import Patch

    return Patch(color=colour, alpha=opacity(run))


def _rows_words(slots: Slots) -> str:
    if slots.rows == slots.all_rows:
        return "slots"
    return f"{slots.rows} of {slots.all_rows:,} slots"


def _caption(slots: Slots, bars: pd.DataFrame, each_s: float) -> str:
    words = "From each chunk's reading to its arrival at the lane's end, one row a slot: a "
    words += "connection, or one of the chunks that it (or the lane) has under way at once."
    if slots.rows < slots.all_rows:
        words += f" {slots.rows} of {slots.all_rows:,} rows are shown, of each lane in proportion"
        words += "; rows with a chunk sent again first." if bars["look"].eq(_AGAIN).any() else "."
    if each_s:
        most = int(bars["chunks"].max())
        words += f" Neighbours up to {each_s:.3g} s apart are joined, up to {most:,} chunks a bar."
    return words
