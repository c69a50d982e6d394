"""What if: a Matrix with some links faster or slower, at other prices, or without some regions.

What was changed stands in the Matrix's `policy`, and so in its digest and in every Plan made on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from datasets.errors import InputError
from datasets.matrix import Link, Matrix
from datasets.units import MOST_GBPS, check_quantity

MOST_USD_PER_GB = 1e6
# What stands before the changes in a Matrix's policy.
WHAT_IF = "; what if: "
# How a link is written on a command line.
ARROWS = ("->", "→", ",")

Ends = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Edits:
    """Factors of links' Gbit/s, their prices (USD/GB), and regions left out.

    Ends of links and regions may be patterns: `gcp:*` stands for every region of GCP.
    """

    scale_links: Mapping[Ends, float] = field(default_factory=dict)
    prices: Mapping[Ends, float] = field(default_factory=dict)
    without: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.scale_links or self.prices or self.without)

    def __str__(self) -> str:
        said = [
            *(f"{src}->{dst} x{factor:g}" for (src, dst), factor in self.scale_links.items()),
            *(f"{src}->{dst} at ${usd:g}/GB" for (src, dst), usd in self.prices.items()),
            *(f"without {region}" for region in self.without),
        ]
        return "; ".join(said)


def edited(matrix: Matrix, edits: Edits) -> Matrix:
    """`matrix` with the edits, or itself if there are none.

    Raises: InputError for an edit that touches nothing; UnknownName for a region without a `*`
    that the Matrix lacks.
    """
    if not edits:
        return matrix
    dropped = {name for pattern in edits.without for name in matching(pattern, matrix)}
    links = [e for e in matrix.links if e.src not in dropped and e.dst not in dropped]
    for ends, factor in edits.scale_links.items():
        links = _changed(matrix, links, ends, gbps_factor=factor)
    for ends, usd in edits.prices.items():
        links = _changed(matrix, links, ends, usd_per_gb=usd)
    return Matrix(
        epoch=matrix.epoch,
        column=matrix.column,
        tier=matrix.tier,
        policy=f"{matrix.policy}{WHAT_IF}{edits}",
        caps=matrix.caps,
        regions=tuple(region for region in matrix.regions if region.id not in dropped),
        links=tuple(links),
    )


def matching(pattern: str, matrix: Matrix) -> tuple[str, ...]:
    """The regions that a name or pattern stands for. Raises: UnknownName, InputError for none."""
    if "*" not in pattern:
        matrix.vm(pattern)
        return (pattern,)
    found = tuple(region for region in matrix.region_ids if fnmatchcase(region, pattern))
    if not found:
        raise InputError(f"No region of the matrix {matrix.epoch} is called like {pattern!r}.")
    return found


def _changed(
    matrix: Matrix,
    links: Sequence[Link],
    ends: Ends,
    *,
    gbps_factor: float = 1.0,
    usd_per_gb: float | None = None,
) -> list[Link]:
    sources, destinations = (set(matching(end, matrix)) for end in ends)
    touched = 0
    changed = []
    for link in links:
        if link.src in sources and link.dst in destinations:
            touched += 1
            price = link.usd_per_gb if usd_per_gb is None else usd_per_gb
            gbps = round(link.gbps * gbps_factor, 9)
            check_quantity(gbps, name=f"Link {link.src} to {link.dst} (Gbit/s)", most=MOST_GBPS)
            link = replace(link, gbps=gbps, usd_per_gb=price)
        changed.append(link)
    if not touched:
        raise InputError(f"No link from {ends[0]} to {ends[1]} was measured; nothing to change.")
    return changed


def parse_ends(text: str) -> Ends:
    """`aws:us-east-1,gcp:us-east4` (or with `->`) as its two ends. Raises: InputError."""
    for arrow in ARROWS:
        src, found, dst = text.partition(arrow)
        if found and src.strip() and dst.strip():
            return src.strip(), dst.strip()
    raise InputError(f"{text!r} is not a link; write SRC,DST, for example aws:us-east-1,gcp:us-*.")


def parse_edit(text: str, *, name: str, most: float, zero: bool = False) -> tuple[Ends, float]:
    """`SRC,DST=NUMBER` as ends and number. Raises: InputError, naming the option."""
    ends, found, number = text.rpartition("=")
    try:
        if not found or "_" in number:
            raise ValueError(number)
        value = float(number)
    except ValueError as error:
        raise InputError(f"{name} {text!r} is not SRC,DST=NUMBER.") from error
    if not (zero and value == 0):
        check_quantity(value, name=name, most=most)
    return parse_ends(ends), value
