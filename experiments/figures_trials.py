"""Figures of many Runs: makespans over trials, and simulated against predicted by plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from datasets.errors import DataError
from experiments.figures import (
    WIDE_IN,
    NothingToDraw,
    drawing,
    is_narrow,
    legend_below,
    new_figure,
)
from experiments.style import BLUE, PREDICTED_DASHES, THEME, strategy_look, time_unit

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

PERCENTILES = (5, 50, 95)
# A promise is kept up to so much above (the simulator's verdict); here the band about y = x.
BAND = 0.02
# Axes are logarithmic where the largest is so many times the least.
_LOG_FROM = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trials:
    """Makespans and costs of a plan over seeds, and the noise `assumed`, in words."""

    makespan_s: tuple[float, ...]
    cost_usd: tuple[float, ...]
    assumed: str


def trials_of(manifest: Mapping[str, object]) -> Trials | None:
    """What a Run's manifest says under `trials`, or None. Raises: DataError if it is not that."""
    value = manifest.get("trials")
    if value is None:
        return None
    try:
        if not isinstance(value, Mapping):
            raise TypeError("no object")
        return Trials(
            makespan_s=tuple(float(each) for each in value["makespan_s"]),
            cost_usd=tuple(float(each) for each in value["cost_usd"]),
            assumed=str(value["assumed"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"The manifest's trials do not make sense: {error}.") from error


def makespans(
    makespan_s: Sequence[float], *, promised_s: float, assumed: str, width_in: float = WIDE_IN
) -> Figure:
    """The share of trials done by when, with P5, P50 and P95, and the promise as a line.

    `assumed` says in words what the trials draw. Raises: NothingToDraw if there is none.
    """
    if not makespan_s:
        raise NothingToDraw("There are no trials, so no distribution of makespans.")
    ordered = np.sort(np.array(makespan_s, dtype=np.float64))
    share = 100 * np.arange(1, len(ordered) + 1) / len(ordered)
    low_s, high_s = min(ordered[0], promised_s), max(ordered[-1], promised_s)
    margin_s = 0.06 * (high_s - low_s) or 0.02 * high_s
    from_s, to_s = max(0.0, low_s - margin_s), high_s + margin_s
    unit_s, name = time_unit(high_s)
    in_time = float(np.mean(ordered <= promised_s))
    with drawing():
        figure, (axes,) = new_figure(width_in=width_in, height_in=2.5)
        (curve,) = axes.step(
            np.concatenate([[from_s], ordered, [to_s]]) / unit_s,
            np.concatenate([[0.0], share, [100.0]]),
            where="post",
            color=BLUE,
            linewidth=1.6,
        )
        promise = axes.axvline(
            promised_s / unit_s, color=THEME["text"], linewidth=1.3, linestyle=PREDICTED_DASHES
        )
        entries: list[tuple[Artist, str]] = [
            (curve, f"{len(ordered):,} trials"),
            (promise, f"promised {_figure(promised_s / unit_s)} {name}"),
        ]
        for percent, marker in zip(PERCENTILES, ("v", "o", "^"), strict=True):
            at = float(np.percentile(ordered, percent)) / unit_s
            axes.plot([at, at], [0, percent], color=BLUE, linewidth=0.7)
            (point,) = axes.plot(
                at, percent, marker, color=BLUE, markeredgecolor=THEME["card"], markersize=7
            )
            entries.append((point, f"P{percent}: {_figure(at)} {name}"))
        axes.set_xlim(from_s / unit_s, to_s / unit_s)
        axes.set_ylim(0, 104)
        axes.set_yticks([0, 25, 50, 75, 100])
        axes.set_ylabel("trials done, %")
        axes.set_xlabel(f"makespan, {name}")
        axes.grid(axis="y")
        legend_below(figure, entries, width_in=width_in)
        figure.set_label(
            f"Makespans of {len(ordered):,} simulated trials; assumed: {assumed}. "
            f"{in_time:.0%} of them are done by the {_figure(promised_s / unit_s)} {name} promised."
        )
    return figure


def simulated_against_predicted(
    points: Sequence[tuple[str, float, float]], *, width_in: float = WIDE_IN
) -> Figure:
    """Simulated over predicted makespan, in seconds, of (strategy, predicted, simulated).

    On the line y = x a plan does what it promised. Raises: NothingToDraw if there is no point.
    """
    if not points:
        raise NothingToDraw("There is no simulated plan to compare with its prediction.")
    figures_s = np.array([[predicted, simulated] for _, predicted, simulated in points])
    low_s, high_s = float(figures_s.min()), float(figures_s.max())
    logarithmic = low_s > 0 and high_s / low_s > _LOG_FROM
    margin_s = 0.08 * (high_s - low_s) or 0.05 * high_s or 1.0
    ends_s = np.array([max(0.0, low_s - margin_s), high_s + margin_s])
    if logarithmic:
        ends_s = np.array([low_s / 1.3, high_s * 1.3])
    unit_s, name = (1.0, "seconds") if logarithmic else time_unit(high_s)
    ends = np.geomspace(float(ends_s[0]), float(ends_s[1]), 50) if logarithmic else ends_s / unit_s
    with drawing():
        from matplotlib.ticker import FuncFormatter

        figure, (axes,) = new_figure(
            width_in=width_in, height_in=(0.95 if is_narrow(width_in) else 0.45) * width_in
        )
        (equal,) = axes.plot(ends, ends, color=THEME["quiet"], linewidth=1)
        band = axes.fill_between(
            ends, ends * (1 - BAND), ends * (1 + BAND), color=THEME["line"], linewidth=0
        )
        entries: list[tuple[Artist, str]] = [
            (equal, "as predicted"),
            (band, f"within {BAND:.0%}"),
        ]
        for strategy in dict.fromkeys(strategy for strategy, _, _ in points):
            mine = figures_s[[each == strategy for each, _, _ in points]]
            colour, marker = strategy_look(strategy)
            (dots,) = axes.plot(
                mine[:, 0] / unit_s,
                mine[:, 1] / unit_s,
                linestyle="none",
                marker=marker,
                markersize=7,
                markerfacecolor=colour,
                markeredgecolor=THEME["text"],
                markeredgewidth=0.5,
            )
            entries.append((dots, f"{strategy}, {_off(mine)}"))
        if logarithmic:
            axes.set_xscale("log")
            axes.set_yscale("log")
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
        axes.set_xlim(ends[0], ends[-1])
        axes.set_ylim(ends[0], ends[-1])
        axes.set_aspect("equal", anchor="W")
        axes.grid(visible=True)
        axes.set_xlabel(f"predicted makespan, {name}")
        axes.set_ylabel(f"simulated makespan, {name}")
        legend_below(figure, entries, width_in=width_in, beside=True)
        count = len(points)
        figure.set_label(
            f"Simulated against predicted makespan of {count} plan{'' if count == 1 else 's'}: on "
            f"the line a plan does what it promised, in the band it is within {BAND:.0%}."
        )
    return figure


def _off(figures_s: np.ndarray) -> str:
    """How many plans, and the one furthest from its prediction."""
    off = figures_s[:, 1] / figures_s[:, 0] - 1
    worst = float(off[np.argmax(np.abs(off))])
    return f"{len(off)} plan{'' if len(off) == 1 else 's'}, furthest off {worst:+.1%}"


def _figure(value: float) -> str:
    return f"{value:.4g}"
