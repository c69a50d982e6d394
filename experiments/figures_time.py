"""Figures of a Run over time: throughput by path, what relays hold, what it costs so far.

All from the event table and the Plan, in real units. Simulated is light, executed solid, predicted
a dashed outline.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from datasets.events import Event, detail_of
from datasets.run import Run
from datasets.units import render_size
from experiments.attempts import Attempts, attempts_of
from experiments.clock import Array, real_clock
from experiments.figures import (
    WIDE_IN,
    NothingToDraw,
    drawing,
    is_narrow,
    legend_below,
    listed_few,
    new_figure,
)
from experiments.marks import Mark, draw_marks, marks_of
from experiments.progress import progress_of
from experiments.queues import queues_of
from experiments.style import (
    BLUE,
    COSTS,
    EXECUTED_OPACITY,
    GREY,
    PREDICTED_DASHES,
    SIMULATED_OPACITY,
    THEME,
    path_colour,
    time_unit,
)
from experiments.ways import planned_gbps
from planner.plan import Plan

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_QUEUES = 8
_STEPS = (1, 2, 2.5, 5, 10)  # of ticks


def is_simulated(run: Run) -> bool:
    """Whether a simulator wrote it: its clock says so."""
    return run.outcome.clock == "sim"


def opacity(run: Run) -> float:
    """Simulated is light, executed solid."""
    return SIMULATED_OPACITY if is_simulated(run) else EXECUTED_OPACITY


def kind(run: Run) -> str:
    """Its name above a panel."""
    return "Simulated" if is_simulated(run) else "Executed"


def throughput(plan: Plan, runs: Sequence[Run], *, width_in: float = WIDE_IN) -> Figure:
    """Throughput over time stacked by path (or tree), a panel a Run, predicted as the outline.

    Raises: NothingToDraw if nothing arrived in any of them.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    found = [(run, progress_of(plan, run.events, run.outcome)) for run in runs]
    shown = [(run, progress) for run, progress in found if progress is not None]
    if not shown:
        raise NothingToDraw("Nothing arrived, so there is no throughput to show.")
    promised_gbps, promised_s = planned_gbps(plan), plan.predicted.makespan_s
    marks = [marks_of(run.events, run.outcome) for run, _ in shown]
    ends_s = [latest(p.end_s, mine) for (_, p), mine in zip(shown, marks, strict=True)]
    most_s = 1.02 * max(promised_s, *ends_s)
    names = list(dict.fromkeys(name for _, progress in shown for name in progress.names))
    with drawing():
        figure, panels = new_figure(
            width_in=width_in, height_in=0.6 + 1.9 * len(shown), panels=len(shown)
        )
        entries: list[tuple[Artist, str]] = []
        for axes, (run, progress), mine in zip(panels, shown, marks, strict=True):
            unit_s = time_axis(axes, most_s, width_in=width_in, last=axes is panels[-1])
            edges_s, stack = progress.ordered(names).stacked(coarser=1 + is_narrow(width_in))
            for at in range(len(names)):
                axes.stairs(
                    stack[at + 1],
                    edges_s / unit_s,
                    baseline=stack[at],
                    fill=True,
                    color=path_colour(at),
                    alpha=opacity(run),
                    linewidth=0,
                )
            axes.plot(
                [0, 0, promised_s / unit_s, promised_s / unit_s],
                [0, promised_gbps, promised_gbps, 0],
                color=THEME["text"],
                linewidth=1.3,
                linestyle=PREDICTED_DASHES,
            )
            axes.set_ylabel("Gbit/s")
            axes.set_ylim(0, 1.08 * max(promised_gbps, float(stack[-1].max(initial=0))))
            axes.set_title(kind(run))
            entries += draw_marks(axes, mine, unit_s=unit_s, most_s=most_s)
        ways, left_out = listed_few([(Patch(color=path_colour(i)), w) for i, w in enumerate(names)])
        outline = Line2D([], [], color=THEME["text"], linewidth=1.3, linestyle=PREDICTED_DASHES)
        legend_below(
            figure,
            [*ways, (outline, "predicted"), *_once(entries)],
            width_in=width_in,
            left_out=left_out,
        )
        figure.set_label(
            f"Throughput stacked by {'tree' if plan.trees else 'path'}: simulated light, executed "
            "solid, the dashed outline predicted. Each chunk's bytes are spread over the time from "
            "its reading to its arrival."
        )
    return figure


def queues(
    plan: Plan, run: Run, *, attempts: Attempts | None = None, width_in: float = WIDE_IN
) -> Figure:
    """Bytes that each relay gateway holds over time: received whole, not yet passed on.

    `attempts` are the Run's, where the caller has them already.
    Raises: NothingToDraw where there is no relay, or none ever holds a whole chunk.
    """
    attempts = attempts or attempts_of(plan, run.events, run.outcome)
    found = queues_of(attempts, size_scale=run.outcome.size_scale)
    if not found.relays:
        raise NothingToDraw("No gateway relays anything, so nothing waits at one.")
    if not found.held:
        raise NothingToDraw(
            "No relay ever holds a whole chunk: bytes are passed on as they come (cut-through)."
        )
    marks = marks_of(run.events, run.outcome)
    most_s = 1.02 * latest(found.end_s, marks)
    longest = sorted(found.held, key=lambda gateway: -found.peak_bytes(gateway))
    shown = sorted(longest[:_MOST_QUEUES])
    edges_s = np.linspace(0, max(found.end_s, 1e-6), (120 if is_narrow(width_in) else 300) + 1)
    with drawing():
        from matplotlib.ticker import FuncFormatter, MaxNLocator

        each_in = 1.6 if len(shown) == 1 else 0.8
        figure, panels = new_figure(
            width_in=width_in, height_in=0.6 + each_in * len(shown), panels=len(shown)
        )
        for axes, gateway in zip(panels, shown, strict=True):
            unit_s = time_axis(axes, most_s, width_in=width_in, last=axes is panels[-1])
            axes.stairs(
                found.most_bytes(gateway, edges_s),
                edges_s / unit_s,
                fill=True,
                color=BLUE,
                alpha=opacity(run),
                linewidth=0,
            )
            axes.set_ylim(0, 1.08 * found.peak_bytes(longest[0]))
            axes.yaxis.set_major_locator(MaxNLocator(2 if len(shown) > 1 else 4, steps=_STEPS))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda size, _: render_size(size)))
            axes.set_title(f"{gateway}, at most {render_size(found.peak_bytes(gateway))}")
        entries = draw_marks(panels[-1], marks, unit_s=unit_s, most_s=most_s)
        legend_below(figure, entries, width_in=width_in)
        few = len(longest) - len(shown)
        figure.set_label(
            f"{kind(run)}: bytes of the real transfer that each relay has received as whole chunks "
            f"and not yet passed on; the most in each {float(edges_s[1]):.3g} s."
            + (f" The {len(shown)} gateways with the longest queues; {few} more." if few else "")
        )
    return figure


def cost(run: Run, *, width_in: float = WIDE_IN) -> Figure:
    """Cost so far, stacked by kind, in real USD. Raises: NothingToDraw where none accrued."""
    from matplotlib.patches import Patch

    curves = costs_of(run)
    if not curves:
        raise NothingToDraw("No cost accrued.")
    marks = marks_of(run.events, run.outcome)
    end_s = max(float(at_s[-1]) for at_s, _ in curves.values())
    most_s = 1.02 * latest(end_s, marks)
    grid_s = np.unique(np.concatenate([[0.0], *(at_s for at_s, _ in curves.values())]))
    with drawing():
        figure, (axes,) = new_figure(width_in=width_in, height_in=2.5)
        unit_s = time_axis(axes, most_s, width_in=width_in)
        entries: list[tuple[Artist, str]] = []
        floor = np.zeros(len(grid_s))
        for name, (at_s, so_far) in curves.items():
            colour, words = COSTS.get(name, (GREY, name))
            # At a moment's end counts all that accrued by then: none before the first row.
            top = floor + np.concatenate([[0.0], so_far])[np.searchsorted(at_s, grid_s, "right")]
            axes.fill_between(
                grid_s / unit_s,
                floor,
                top,
                color=colour,
                alpha=opacity(run),
                linewidth=0,
            )
            usd = float(so_far[-1])
            patch = Patch(color=colour, alpha=opacity(run))
            entries.append((patch, f"{words}, {_usd(usd)}"))
            floor = top
        axes.set_ylim(0, 1.08 * float(floor[-1]) or 1.0)
        axes.set_ylabel("USD so far")
        axes.set_title(kind(run))
        entries += draw_marks(axes, marks, unit_s=unit_s, most_s=most_s)
        legend_below(figure, entries, width_in=width_in)
        how = "simulated" if is_simulated(run) else "computed (price book × executed times, bytes)"
        figure.set_label(
            f"Cost of the real transfer as it accrues, stacked by kind, {how}: "
            f"{_usd(float(floor[-1]))} in the end."
        )
    return figure


def costs_of(run: Run) -> dict[str, tuple[Array, Array]]:
    """Of each kind of cost: (real seconds, USD so far), both rising; kinds in `style`'s order."""
    rows = run.events[run.events["event"] == Event.COST_ACCRUED.value]
    at_s = real_clock(run.events, run.outcome).real_s(rows["t_s"])
    details = [detail_of(str(row)) for row in rows["detail"]]
    kinds = np.array([str(detail["kind"]) for detail in details], object)
    usd = np.array([float(detail["usd"]) for detail in details])
    listed = [kind for kind in COSTS if kind in kinds]
    listed += sorted(set(kinds.tolist()) - set(COSTS))
    return {name: (at_s[kinds == name], np.cumsum(usd[kinds == name])) for name in listed}


def time_axis(axes: Axes, most_s: float, *, width_in: float, last: bool = True) -> float:
    """An axis of real seconds from 0; gives what it counts in."""
    from matplotlib.ticker import MaxNLocator

    unit_s, name = time_unit(most_s)
    axes.set_xlim(0, most_s / unit_s)
    axes.xaxis.set_major_locator(MaxNLocator(4 if is_narrow(width_in) else 8, steps=_STEPS))
    axes.tick_params(axis="x", pad=7)  # room for marks
    axes.grid(axis="y")
    if last:
        short = is_narrow(width_in)
        axes.set_xlabel(
            f"{name} since the first byte was read{'' if short else ' (real transfer)'}"
        )
    return unit_s


def latest(end_s: float, marks: Sequence[Mark]) -> float:
    """Where the axis ends: with the last byte, or with what befell the Run after it."""
    return max([end_s, 1e-6, *(mark.at_s for mark in marks)])


def _once(entries: Sequence[tuple[Artist, str]]) -> list[tuple[Artist, str]]:
    return list({words: (artist, words) for artist, words in entries}.values())


def _usd(value: float) -> str:
    return f"${value:,.2f}" if value >= 1 else f"${value:.3g}"
