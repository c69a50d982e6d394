"""HTML and SVG as values: whatever is not markup already is escaped, in text and attributes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

_VOID = frozenset({"meta", "line", "rect", "circle", "path", "polygon", "polyline", "br"})


class Markup(str):
    """Text that is HTML already; only this module and constants make it."""


def tag(element: str, /, *children: str, **attributes: str | float | None) -> Markup:
    """An element. `class_` is `class`, `stroke_width` is `stroke-width`; None leaves one out.

    >>> print(tag("p", "a < b", class_="quiet"))
    <p class="quiet">a &lt; b</p>
    """
    given = "".join(
        f' {key if key == "viewBox" else key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if element in _VOID and not children:
        return Markup(
            f"<{element}{given}>" if element in {"meta", "br"} else f"<{element}{given}/>"
        )
    return Markup(f"<{element}{given}>{joined(children)}</{element}>")


def joined(children: Iterable[str]) -> Markup:
    """Children one after the other, escaped unless they are markup."""
    return Markup(
        "".join(child if isinstance(child, Markup) else escape(child) for child in children)
    )


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    words: frozenset[int] = frozenset(),
    foot: Sequence[str] | None = None,
) -> Markup:
    """A table that scrolls by itself where it is too wide; columns in `words` are text."""

    def cells(kind: str, row: Sequence[str]) -> Markup:
        return tag(
            "tr",
            *(
                tag(kind, cell, class_="words" if at in words else None)
                for at, cell in enumerate(row)
            ),
        )

    parts = [tag("thead", cells("th", head)), tag("tbody", *(cells("td", row) for row in rows))]
    if foot is not None:
        parts.append(tag("tfoot", cells("td", foot)))
    return tag("div", tag("table", *parts), class_="scroll")


def folded(summary: str, *children: str) -> Markup:
    """Details that open on a click."""
    return tag("details", tag("summary", summary), *children)


def _value(value: str | float) -> str:
    if isinstance(value, str):
        return escape(value)
    return f"{value:.2f}".rstrip("0").rstrip(".")
