"""A figure inside a page: SVG without ids, links or fonts, in the colours of the page's theme.

matplotlib's SVG refers to shapes by id, and ids must be unique in a page; here each reference is
replaced by what it refers to, so that no id is left. Numbers keep a tenth of a point.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from experiments.figures import caption_of, svg_with_text
from experiments.markup import Markup, joined, tag
from experiments.style import THEME

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SVG, _XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
_KEPT = frozenset({"d", "x", "y", "width", "height", "transform", "points", "cx", "cy", "r"})
_SILENT = frozenset({"metadata", "defs", "style", "title"})
_NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
_STEP = re.compile(r"([ML])\s*(-?[\d.]+)[ ,](-?[\d.]+)\s*|([zZ])\s*")
# matplotlib 3.10 writes one `font`, later ones a size, weight and family each.
_FONT = re.compile(r"font: (?:(\w+) )?([\d.]+)px .*")
_FAMILY = "font-family:"
_NO_TURN = re.compile(r"rotate\(-?0 [^)]*\)")
_VARIABLES = {colour: f"var(--{name})" for name, colour in THEME.items()}
# What an SVG's text or shape has anyway.
_DEFAULTS = frozenset({"stroke-linejoin: miter", "stroke-linecap: butt", "text-anchor: start"})


def inline_svg(figure: Figure, *, class_: str | None = None) -> Markup:
    """The figure as an element that scales to the width there is; its caption is its label."""
    root = ElementTree.fromstring(svg_with_text(figure))  # noqa: S314  # our own, of this moment
    shapes = {
        str(shape.get("id")): shape
        for defs in root.iter(f"{_SVG}defs")
        for shape in defs
        if shape.get("id")
    }
    return tag(
        "svg",
        *(_element(child, shapes) for child in root),
        viewBox=str(root.get("viewBox")),
        class_=class_,
        role="img",
        aria_label=caption_of(figure),
    )


def _element(element: ElementTree.Element, shapes: Mapping[str, ElementTree.Element]) -> Markup:
    name = element.tag.removeprefix(_SVG)
    if name in _SILENT:
        return Markup("")
    if name == "use":
        return _used(element, shapes[element.attrib[f"{_XLINK}href"][1:]])
    children = joined(_element(child, shapes) for child in element)
    if name == "g" and not (element.get("transform") or element.get("style")):
        return children
    if name == "g" and not children:
        return children
    text = element.text if name in {"text", "tspan"} and element.text else ""
    kept = {
        key: _rounded(value)
        for key, value in element.attrib.items()
        if key in _KEPT and not _NO_TURN.fullmatch(value)
    }
    if "d" in kept:
        kept["d"] = _compact(element.attrib["d"])
    return tag(name, text, children, style=_styled(element.get("style", "")), **kept)


def _used(use: ElementTree.Element, shape: ElementTree.Element) -> Markup:
    """The shape itself, moved to where it is used."""
    x, y = _rounded(use.get("x", "0.0")), _rounded(use.get("y", "0.0"))
    return tag(
        "path",
        d=_compact(shape.attrib["d"]),
        transform=f"translate({x} {y})",
        style=_styled(use.get("style", shape.get("style", ""))),
    )


def _styled(style: str) -> str | None:
    """A style with the page's variables for the theme's colours, and the page's font."""
    for colour, variable in _VARIABLES.items():
        style = style.replace(colour, variable)
    parts = [part.strip() for part in style.split(";")]
    parts = [part for part in parts if part and not part.startswith(_FAMILY)]
    kept = [_FONT.sub(_font, part) for part in parts if part not in _DEFAULTS]
    return ";".join(_rounded(part).replace(": ", ":") for part in kept) or None


def _font(match: re.Match[str]) -> str:
    weight, size = match.groups()
    return f"font-size:{size}px" + (f";font-weight:{weight}" if weight else "")


def _rounded(text: str) -> str:
    """Every number in it to a tenth."""
    return _NUMBER.sub(lambda match: _tenth(match.group()), text)


def _tenth(number: str) -> str:
    short = f"{float(number):.1f}".removesuffix(".0")
    return "0" if short == "-0" else short


def _compact(trail: str) -> str:
    """A path's steps, along an axis where they are: a third of matplotlib's length."""
    if _STEP.sub("", trail).strip():  # curves, too
        return _rounded(" ".join(trail.split()))
    parts = []
    last = ("", "")
    for match in _STEP.finditer(trail):
        kind, x, y, end = match.groups()
        if end:
            parts.append("z")
            continue
        here = (_tenth(x), _tenth(y))
        if kind == "L" and here[1] == last[1]:
            parts.append(f"H{here[0]}")
        elif kind == "L" and here[0] == last[0]:
            parts.append(f"V{here[1]}")
        else:
            parts.append(f"{kind}{here[0]} {here[1]}")
        last = here
    return "".join(parts)
