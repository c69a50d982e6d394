"""How things look, on pages and in figures alike: one place for colours, strategies and layers.

The palette is Okabe and Ito's, safe for the colour-blind. Predicted is an outline, simulated is
light, executed is solid.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from datasets.units import SECONDS_PER_HOUR

BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#E69F00", "#009E73", "#CC79A7"
SKY, VERMILION, YELLOW, GREY = "#56B4E9", "#D55E00", "#F0E442", "#8A8F98"

# Paths of a plan, in their order; a plan with more paths starts again.
PATH_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, YELLOW, GREY)

# Strategy: (colour, matplotlib marker).
STRATEGIES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "direct": (GREY, "o"),
        "ron": (PURPLE, "s"),
        "one_hop": (ORANGE, "^"),
        "overlay": (BLUE, "D"),
        "overlay_exact": (GREEN, "v"),
        "skyplane_ilp": (VERMILION, "X"),
        "robust": (SKY, "P"),
        # From or to many: never beside the ones above, so that colours may serve again.
        "broadcast_direct": (GREY, "<"),
        "broadcast_mst": (PURPLE, ">"),
        "broadcast_steiner": (ORANGE, "p"),
        "broadcast_overlay": (BLUE, "h"),
    }
)
_OTHER_STRATEGY = (GREY, "*")

# What befell a Run, as marks on the axis of time: (colour, matplotlib marker).
MARKS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "gateway lost": (VERMILION, "X"),
        "gateway back": (GREEN, "o"),
        "connection lost": (VERMILION, "v"),
        "chunk sent again": (ORANGE, "^"),
        "link changed": (BLUE, "D"),
    }
)

# Kinds of cost: the colour and the words; other kinds follow in grey.
COSTS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "egress": (BLUE, "egress"),
        "vm": (ORANGE, "VM time"),
        "request": (GREEN, "requests"),
    }
)

# What a figure draws in neither path nor strategy: in light mode, as in `CSS` below. A page
# replaces each by its variable, and so follows the reader's preference.
THEME: Mapping[str, str] = MappingProxyType(
    {"text": "#1b1f24", "quiet": "#5b6470", "line": "#d5dae1", "card": "#f6f7f9"}
)

# How full a link is: up to that share, the colour and its name in the legend.
FULLNESS: tuple[tuple[float, str, str], ...] = (
    (0.5, SKY, "below 50 %"),
    (0.8, BLUE, "50 to 80 %"),
    (0.95, ORANGE, "80 to 95 %"),
    (float("inf"), VERMILION, "95 % and more"),
)

SIMULATED_OPACITY = 0.45
EXECUTED_OPACITY = 1.0
PREDICTED_DASH = "7 4"
PREDICTED_DASHES = (0, (5, 3))  # the same for matplotlib, in widths of the line


def path_colour(path: int) -> str:
    """The colour of path number `path` of a plan."""
    return PATH_COLOURS[path % len(PATH_COLOURS)]


def strategy_look(strategy: str) -> tuple[str, str]:
    """Colour and marker of a strategy; one for all that are not of this project."""
    return STRATEGIES.get(strategy, _OTHER_STRATEGY)


def time_unit(most_s: float) -> tuple[float, str]:
    """What an axis of time up to `most_s` counts in: (seconds of one, its name)."""
    if most_s < 180:
        return 1.0, "seconds"
    return (60.0, "minutes") if most_s < 3 * SECONDS_PER_HOUR else (SECONDS_PER_HOUR, "hours")


def fullness_colour(share: float) -> str:
    """The colour of a link that is full to `share`."""
    return next(colour for most, colour, _ in FULLNESS if share < most)


CSS = """
:root{color-scheme:light dark;--ground:#fff;--text:#1b1f24;--quiet:#5b6470;--line:#d5dae1;
--card:#f6f7f9;--accent:#0072B2}
@media(prefers-color-scheme:dark){:root{--ground:#14171b;--text:#e8eaed;--quiet:#a2abb6;
--line:#3a424c;--card:#1d2126;--accent:#56B4E9}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--text);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:940px;margin:0 auto;padding:1.5rem 1rem 3rem}
h1{font-size:1.45rem;line-height:1.35;margin:0 0 .5rem}
h2{font-size:1.1rem;margin:2.2rem 0 .4rem}
p{margin:.4rem 0}.quiet{color:var(--quiet);font-size:.9rem}
.wrap{overflow-wrap:anywhere}
figure{margin:1rem 0;padding:.6rem;background:var(--card);border:1px solid var(--line);
border-radius:8px}
figcaption{color:var(--quiet);font-size:.9rem;margin:.3rem .2rem 0}
svg{display:block;width:100%;height:auto;font:12px system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue",Arial,sans-serif;font-variant-numeric:tabular-nums;fill:var(--text)}
svg .quiet{fill:var(--quiet);font-size:11px}
svg .halo{paint-order:stroke;stroke:var(--card);stroke-width:4px;stroke-linejoin:round}
svg .name{font-weight:600}svg .grid{stroke:var(--line);stroke-width:1;fill:none}
svg .axis{stroke:var(--quiet);stroke-width:1}
svg .predicted{fill:none;stroke:var(--text);stroke-width:1.6}
svg .dot{stroke:var(--card);stroke-width:2;fill:var(--text)}svg .relay .dot{fill:var(--accent)}
svg .number{font-weight:700;font-size:11px;fill:var(--card)}
ol.names{font-size:.85rem;margin:.2rem 0;padding-left:1.6rem;columns:18rem}
svg .tip{visibility:hidden}
svg .labels{pointer-events:none}svg g.with-tip{cursor:help;outline:none}
svg g.with-tip:hover .tip,svg g.with-tip:focus .tip{visibility:visible}
svg g.with-tip:hover .shape,svg g.with-tip:focus .shape{filter:brightness(1.25)}
svg g.with-tip:focus-visible .shape{stroke-dasharray:10 4}
svg g.with-tip:focus-visible .dot{stroke:var(--text);stroke-width:4}
.narrow{display:none}
@media(max-width:640px){.wide{display:none}.narrow{display:block}h1{font-size:1.2rem}
figure{padding:.3rem;margin:1rem -.4rem}}
.legend{display:flex;flex-wrap:wrap;gap:.2rem 1rem;font-size:.85rem;color:var(--quiet);
margin:.3rem .2rem;padding:0;list-style:none}
.swatch{display:inline-block;width:.9em;height:.9em;border-radius:2px;margin-right:.4em;
vertical-align:-.1em;print-color-adjust:exact;-webkit-print-color-adjust:exact}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;width:100%;font-size:.92rem;
margin:.4rem 0}
th,td{text-align:right;padding:.3rem .5rem;border-bottom:1px solid var(--line);vertical-align:top}
th:first-child,td:first-child,.words{text-align:left}
thead th{color:var(--quiet);font-weight:600;vertical-align:bottom}
tfoot td{font-weight:600;border-bottom:0}
details{border-top:1px solid var(--line);padding:.5rem 0}summary{cursor:pointer;font-weight:600}
pre{overflow-x:auto;font-size:.8rem;background:var(--card);padding:.6rem;border-radius:6px;
white-space:pre-wrap;overflow-wrap:anywhere}
@media print{body{font-size:11pt}main{max-width:none;padding:0}.scroll{overflow:visible}
figure,tr{break-inside:avoid}
svg,.swatch{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""
