"""Throughput over time, stacked by path: simulated light, executed solid, predicted an outline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.marks import Mark
from experiments.markup import Markup, joined, tag
from experiments.progress import Progress
from experiments.style import MARKS, PREDICTED_DASH, path_colour, time_unit

# Marks on the axis: a page does not grow with what befell a Run; its words say how many.
_MOST_MARKS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One Run in the chart, and what befell it."""

    name: str
    progress: Progress
    opacity: float
    marks: tuple[Mark, ...]


def throughput_chart(layers: Sequence[Layer], *, promised_gbps: float, promised_s: float) -> Markup:
    """The chart in both sizes, one panel a Run above the other, on the same axes.

    What was promised (all paths or trees together) is the outline.
    """
    return joined(
        _draw(layers, promised_gbps, promised_s, width=width, class_=class_)
        for width, class_ in ((900.0, "wide"), (340.0, "narrow"))
    )


def _draw(
    layers: Sequence[Layer], promised_gbps: float, promised_s: float, *, width: float, class_: str
) -> Markup:
    most_s = max([promised_s, *(layer.progress.end_s for layer in layers)]) * 1.02
    stacks = [layer.progress.stacked(coarser=1 if width > 600 else 2) for layer in layers]
    most_gbps = max([promised_gbps, *(float(stack[-1].max(initial=0)) for _, stack in stacks)])
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
                d=f"M{x(0):.1f} {y(0):.1f}V{y(promised_gbps):.1f}H{x(promised_s):.1f}V{y(0):.1f}",
                class_="predicted",
                stroke_dasharray=PREDICTED_DASH,
            )
        )
        parts.append(tag("line", x1=left, x2=width - right, y1=floor, y2=floor, class_="axis"))
        for mark in layer.marks[:_MOST_MARKS]:
            if 0 <= mark.at_s <= most_s:
                place = x(mark.at_s)
                parts.append(
                    tag(
                        "g",
                        tag("title", f"{mark.words} at {mark.at_s:.4g} s"),
                        tag(
                            "polygon",
                            points=f"{place:.1f},{floor:.1f} {place - 5:.1f},{floor + 9:.1f}"
                            f" {place + 5:.1f},{floor + 9:.1f}",
                            fill=MARKS[mark.words][0],
                        ),
                        tabindex="0",
                    )
                )
        unit_s, unit = time_unit(most_s)
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


def _area(xs: Sequence[float], low: Sequence[float], high: Sequence[float]) -> str:
    """Steps along the top and back along the bottom."""
    there = "".join(f"V{y:.1f}H{x:.1f}" for x, y in zip(xs[1:], high, strict=True))
    back = "".join(
        f"V{y:.1f}H{x:.1f}" for x, y in zip(reversed(xs[:-1]), reversed(low), strict=True)
    )
    return f"M{xs[0]:.1f} {low[0]:.1f}{there}{back}Z"


def _ticks(most: float, count: int) -> list[float]:
    """Round values from 0 up, about `count` of them."""
    raw = most / count
    power = 10.0 ** np.floor(np.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    return [round(float(step) * at, 10) for at in range(int(most / step) + 1)]


def _text(text: str, x: float, y: float, anchor: str) -> Markup:
    return tag("text", text, x=x, y=y, text_anchor=anchor, class_="quiet")
