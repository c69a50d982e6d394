"""The drawing board of every figure: one look, deterministic bytes, files and inline SVG.

Figures are matplotlib's, without its global state. `figures_time.py`, `figures_chunks.py` and
`figures_trials.py` draw on this; `report_figures.py` puts them on pages, `figures_cli.py` in files.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets.errors import InputError, TradewindError
from datasets.files import write_whole
from experiments.style import THEME

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# matplotlib is imported where something is drawn: pages and verbs start without it.

FORMATS = ("svg", "png", "pdf")
# Inches: on a page, a wide figure is shown at about 1.4 times its points, a narrow one at 1.3.
WIDE_IN, NARROW_IN = 9.0, 3.6
_NARROW_BELOW_IN = 6.0
_MOST_LEGEND = 8
# Of a line of a legend: characters over the whole width, and its height.
_MOST_CHARACTERS, _MOST_CHARACTERS_NARROW = 130, 46
_LINE_IN = 0.19
_PNG_DPI = 160
# Keys are a closed set to matplotlib's types, which a plain dict is not to mypy: hence Any.
_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "tradewind",
    "font.family": "DejaVu Sans",
    "axes.edgecolor": THEME["quiet"],
    "axes.labelcolor": THEME["text"],
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "grid.color": THEME["line"],
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.handlelength": 1.3,
    "text.color": THEME["text"],
    "xtick.color": THEME["quiet"],
    "ytick.color": THEME["quiet"],
    "pdf.fonttype": 42,
}


class NothingToDraw(TradewindError):
    """A figure that does not apply to what it was asked of; the message says why in a sentence."""


@contextmanager
def drawing(**settings: str) -> Iterator[None]:
    """matplotlib with this project's settings and nobody else's, whatever is set outside."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE | settings)
        yield


def is_narrow(width_in: float) -> bool:
    """Whether a figure so wide is for a telephone: fewer ticks, one column of a legend."""
    return width_in < _NARROW_BELOW_IN


def new_figure(
    *, width_in: float, height_in: float, panels: int = 1
) -> tuple[Figure, tuple[Axes, ...]]:
    """A figure with panels one above the other on the same horizontal axis; inside `drawing`."""
    from matplotlib import rcParams
    from matplotlib.figure import Figure

    rcParams["font.size"] = 8 if is_narrow(width_in) else 9
    rcParams["axes.titlesize"] = rcParams["font.size"]
    rcParams["legend.fontsize"] = rcParams["font.size"]
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    grid = figure.subplots(panels, 1, sharex=True, squeeze=False)
    return figure, tuple(grid[:, 0])


def legend_below(
    figure: Figure,
    entries: Sequence[tuple[Artist, str]],
    *,
    width_in: float,
    left_out: int = 0,
    beside: bool = False,
) -> None:
    """A legend below the axes, in as many columns as its words leave room for, and that room.

    The figure grows by it, so that the axes keep theirs. `beside`: to the right of a square
    figure, where it is wide enough.
    """
    from matplotlib.lines import Line2D

    if not entries:
        return
    listed = list(entries)
    if left_out:
        listed.append((Line2D([], [], linestyle="none"), f"and {left_out} more"))
    narrow = is_narrow(width_in)
    beside = beside and not narrow
    most = _MOST_CHARACTERS_NARROW if narrow else _MOST_CHARACTERS
    words = [textwrap.fill(each, most, subsequent_indent="  ") for _, each in listed]
    longest = max(len(line) for each in words for line in each.splitlines())
    columns = 1 if beside or narrow else max(1, min(4, int(_MOST_CHARACTERS / (longest + 8))))
    figure.legend(
        [handle for handle, _ in listed],
        words,
        loc="outside right upper" if beside else "outside lower left",
        ncols=columns,
        borderaxespad=0.2,
    )
    if not beside:
        lines = sum(each.count("\n") + 1 for each in words)
        figure.set_figheight(figure.get_figheight() + _LINE_IN * (-(-lines // columns) + 0.5))


def listed_few(entries: Sequence[tuple[Artist, str]]) -> tuple[list[tuple[Artist, str]], int]:
    """The first entries of a long legend, and how many are left out."""
    return list(entries[:_MOST_LEGEND]), max(0, len(entries) - _MOST_LEGEND)


def caption_of(figure: Figure) -> str:
    """What is to be said below a figure: each is labelled with its caption."""
    return str(figure.get_label())


def save(figure: Figure, path: Path) -> None:
    """Write a figure as SVG, PNG or PDF by its suffix, whole or not at all.

    The same figure gives the same bytes: no dates, no random names.
    Raises: InputError for another suffix, or if the file cannot be written.
    """
    kind = path.suffix[1:].lower()
    if kind not in FORMATS:
        raise InputError(f"{path} is no picture; end it in {', '.join(f'.{f}' for f in FORMATS)}.")
    data = _rendered(figure, kind)
    write_whole(path, data, what="picture")


def svg_with_text(figure: Figure) -> bytes:
    """The figure as SVG whose text is text, in whatever font the reader has; no background."""
    return _rendered(figure, "svg", transparent=True, **{"svg.fonttype": "none"})


def _rendered(figure: Figure, kind: str, *, transparent: bool = False, **settings: str) -> bytes:
    about = {
        "svg": {"Date": None, "Description": caption_of(figure)},
        "png": {"Description": caption_of(figure)},
        "pdf": {"CreationDate": None, "ModDate": None, "Subject": caption_of(figure)},
    }[kind]
    whole = io.BytesIO()
    with drawing(**settings):
        figure.savefig(whole, format=kind, metadata=about, dpi=_PNG_DPI, transparent=transparent)
    return whole.getvalue()
