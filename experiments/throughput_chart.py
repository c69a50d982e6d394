"""Throughput over time, stacked by path: simulated light, executed solid, predicted an outline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from datasets.events import Event
from datasets.outcome import Outcome
from datasets.units import SECONDS_PER_HOUR
from experiments.markup import Markup, joined, tag
from experiments.progress import Array, Progress
from experiments.style import PREDICTED_DASH, VERMILION, path_colour
from planner.cost import Predicted

# Intervals of the whole chart, shared by the paths of a plan, so that no page grows with them.
_MOST_INTERVALS, _LEAST_INTERVALS, _ALL_INTERVALS = 200, 40, 2000
_LOSSES = {
    Event.CONNECTION_LOST.value: "connection lost",
    Event.GATEWAY_LOST.value: "gateway lost",
    Event.CHUNK_RESENT.value: "chunk sent again",
    Event.LINK_CHANGED.value: "link changed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One Run in the chart; `marks` are (real seconds, what happened)."""

    name: str
    progress: Progress
    opacity: float
    marks: tuple[tuple[float, str], ...]


def marks_of(events: pd.DataFrame, result: Outcome) -> tuple[tuple[float, str], ...]:
    """Losses and changes of a Run, at most 50, in real seconds since the first byte was read."""
    read_s = events.loc[events["event"] == Event.CHUNK_READ.value, "t_s"]
    rows = events[events["event"].isin(list(_LOSSES))].head(50)
    scale = result.rate_scale / result.size_scale
    zero_s = float(read_s.min()) if len(read_s) else 0.0
    return tuple(
        ((float(t_s) - zero_s) * scale, _LOSSES[event])
        for t_s, event in zip(rows["t_s"], rows["event"], strict=True)
    )


def throughput_chart(layers: Sequence[Layer], predicted: Predicted) -> Markup:
    """The chart in both sizes, one panel a Run above the other, on the same axes."""
    return joined(
        [_draw(layers, predicted, 900.0, "wide"), _draw(layers, predicted, 340.0, "narrow")]
    )


def _draw(layers: Sequence[Layer], predicted: Predicted, width: float, class_: str) -> Markup:
    most_s = max([predicted.makespan_s, *(layer.progress.end_s for layer in layers)]) * 1.02
    stacks = [_stack(layer.progress, 1 if width > 600 else 2) for layer in layers]
    most_gbps = max(
        [predicted.throughput_gbps, *(float(stack[-1].max(initial=0)) for _, stack in stacks)]
    )
    most_gbps *= 1.08
    panel = 170.0 if width > 600 else 130.0
    left, right, top = 46.0, 10.0, 26.0
    step = panel + 50
    height = top + len(layers) * step + 8

    def x(seconds: float) -> float:
        return left + (width - left - right) * seconds / most_s

    parts: list[str] = []
    for at, (layer, (edges_s, stack)) in enumerate(zip(layers, stacks, strict=True)):
        floor = top + at * step + panel

        def y(gbps: float, floor: float = floor) -> float:
            return floor - panel * gbps / most_gbps

        for value in _ticks(most_gbps, 4):
            parts.append(
                tag("line", x1=left, x2=width - right, y1=y(value), y2=y(value), class_="grid")
            )
            parts.append(_text(f"{value:g}", left - 6, y(value) + 4, "end"))
        parts.append(tag("text", layer.name, x=left, y=floor - panel - 9, class_="name"))
        parts.append(_text("Gbit/s", 4, floor - panel - 9, "start"))
        for path in range(len(stack) - 1):
            parts.append(
                tag(
                    "path",
                    d=_area(
                        [x(s) for s in edges_s],
                        [y(v) for v in stack[path]],
                        [y(v) for v in stack[path + 1]],
                    ),
                    fill=path_colour(path),
                    fill_opacity=layer.opacity,
                )
            )
        parts.append(
            tag(
                "path",
                d=f"M{x(0):.1f} {y(0):.1f}V{y(predicted.throughput_gbps):.1f}"
                f"H{x(predicted.makespan_s):.1f}V{y(0):.1f}",
                class_="predicted",
                stroke_dasharray=PREDICTED_DASH,
            )
        )
        parts.append(tag("line", x1=left, x2=width - right, y1=floor, y2=floor, class_="axis"))
        for seconds, what in layer.marks:
            if 0 <= seconds <= most_s:
                place = x(seconds)
                parts.append(
                    tag(
                        "g",
                        tag("title", f"{what} at {seconds:.4g} s"),
                        tag(
                            "polygon",
                            points=f"{place:.1f},{floor:.1f} {place - 5:.1f},{floor + 9:.1f}"
                            f" {place + 5:.1f},{floor + 9:.1f}",
                            fill=VERMILION,
                        ),
                        tabindex="0",
                    )
                )
        unit_s, unit = _unit(most_s)
        for value in _ticks(most_s / unit_s, 8 if width > 600 else 4):
            parts.append(_text(f"{value:g}", x(value * unit_s), floor + 20, "middle"))
    parts.append(
        _text(
            f"{unit} since the first byte was read (real transfer)",
            width - right,
            height - 4,
            "end",
        )
    )
    return tag(
        "svg",
        *parts,
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        class_=class_,
        role="img",
        aria_label="Throughput over time by path",
    )


def _stack(progress: Progress, coarser: int) -> tuple[Array, Array]:
    """(intervals + 1,) edges, and (paths + 1, intervals) sums of throughput from 0 up."""
    paths = len(progress.curves)
    count = max(_LEAST_INTERVALS, min(_MOST_INTERVALS, _ALL_INTERVALS // paths)) // coarser
    edges_s: Array = np.linspace(0.0, max(progress.end_s, 1e-6), count + 1)
    rates = np.array([progress.gbps(path, edges_s) for path in range(paths)])
    return edges_s, np.vstack([np.zeros(count), np.cumsum(rates, axis=0)])


def _area(xs: Sequence[float], low: Sequence[float], high: Sequence[float]) -> str:
    """Steps along the top and back along the bottom."""
    there = "".join(f"V{y:.1f}H{x:.1f}" for x, y in zip(xs[1:], high, strict=True))
    back = "".join(
        f"V{y:.1f}H{x:.1f}" for x, y in zip(reversed(xs[:-1]), reversed(low), strict=True)
    )
    return f"M{xs[0]:.1f} {low[0]:.1f}{there}{back}Z"


def _unit(most_s: float) -> tuple[float, str]:
    if most_s < 180:
        return 1.0, "seconds"
    return (60.0, "minutes") if most_s < 3 * SECONDS_PER_HOUR else (SECONDS_PER_HOUR, "hours")


def _ticks(most: float, count: int) -> list[float]:
    """Round values from 0 up, about `count` of them."""
    raw = most / count
    power = 10.0 ** np.floor(np.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    return [round(float(step) * at, 10) for at in range(int(most / step) + 1)]


def _text(text: str, x: float, y: float, anchor: str) -> Markup:
    return tag("text", text, x=x, y=y, text_anchor=anchor, class_="quiet")
