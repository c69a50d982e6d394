"""The options of a Job, and of what-if changes to the Matrix, for every verb that plans."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

from datasets.edits import (
    MOST_USD_PER_GB,
    Edits,
    edited,
    matching,
    parse_edit,
    parse_ends,
)
from datasets.errors import InputError
from datasets.matrix import Matrix
from datasets.units import parse_duration_s, parse_size_bytes
from planner.job import DEFAULT_VM_LIMIT, Job
from planner.strategies import strategy

_Command = TypeVar("_Command", bound=Callable[..., Any])

_MOST_FACTOR = 1e4

_ENDS = (
    click.argument("source", metavar="SRC"),
    click.argument("destinations", metavar="DST", nargs=-1, required=True),
    click.option(
        "--also-from",
        "more_sources",
        multiple=True,
        metavar="REGION",
        help="One more source, with as many bytes of its own (repeatable).",
    ),
)
_OBJECTIVES = (
    click.option("--goal-gbps", help="Cheapest at this throughput (Gbit/s) or more."),
    click.option("--max-usd", help="Fastest at no more than this cost (USD)."),
    click.option("--deadline", help="Cheapest within this time: 2h, 90min."),
    click.option("--fastest", is_flag=True, help="As fast as possible."),
    click.option(
        "--minimise",
        default="usd",
        show_default=True,
        type=click.Choice(["usd", "gco2e"]),
        help="What cheapest means: USD, or grams of CO2 equivalent of VM time.",
    ),
)
_LIMITS = (
    click.option("--max-gco2e", help="No more carbon than this (grams of CO2 equivalent)."),
    click.option(
        "--vm-limit",
        type=int,
        default=DEFAULT_VM_LIMIT,
        show_default=True,
        help="The most VMs in a region.",
    ),
    click.option(
        "--quota",
        "quotas",
        multiple=True,
        metavar="REGION=VCPUS",
        help="vCPUs that you have in a region (repeatable).",
    ),
    click.option(
        "--forbid", multiple=True, metavar="REGION", help="Never use it; * matches (repeatable)."
    ),
    click.option(
        "--forbid-link",
        "forbid_links",
        multiple=True,
        metavar="SRC,DST",
        help="Never use this link (repeatable).",
    ),
    click.option(
        "--within",
        multiple=True,
        metavar="REGION",
        help="Stay within these regions and the ends; * matches (repeatable).",
    ),
    click.option(
        "--require",
        multiple=True,
        metavar="REGION",
        help="Every byte passes this region (repeatable).",
    ),
    click.option(
        "--require-link",
        "require_links",
        multiple=True,
        metavar="SRC,DST",
        help="Every byte crosses this link (repeatable).",
    ),
    click.option(
        "--provisioning", is_flag=True, help="Count the VM time before gateways are ready."
    ),
    click.option("--tiered", is_flag=True, help="Price egress by volume tiers."),
)
_WHAT_IF = (
    click.option(
        "--scale-link",
        multiple=True,
        metavar="SRC,DST=FACTOR",
        help="What if this link were faster or slower; * matches (repeatable).",
    ),
    click.option(
        "--price",
        multiple=True,
        metavar="SRC,DST=USD",
        help="What if a GB cost this much there; * matches (repeatable).",
    ),
    click.option(
        "--without",
        multiple=True,
        metavar="REGION",
        help="What if this region did not exist; * matches (repeatable).",
    ),
)


def job_options(command: _Command) -> _Command:
    """SRC DST and the options of a Job with an objective, for `job_of`."""
    size = click.option("--bytes", "size", required=True, help="How much: 1TB, 500GiB.")
    return _with(command, (*_ENDS, size, *_OBJECTIVES, *_LIMITS))


def open_job_options(command: _Command) -> _Command:
    """SRC DST and the options of a Job without an objective, for `open_job_of`."""
    size = click.option(
        "--bytes", "size", default="1TB", show_default=True, help="How much: 1TB, 500GiB."
    )
    return _with(command, (*_ENDS[:2], size, *_LIMITS))


def what_if_options(command: _Command) -> _Command:
    """--scale-link, --price and --without, passed as one `edits`."""

    @functools.wraps(command)
    def with_edits(
        *args: Any,
        scale_link: tuple[str, ...],
        price: tuple[str, ...],
        without: tuple[str, ...],
        **others: Any,
    ) -> Any:
        edits = Edits(
            scale_links=dict(
                parse_edit(text, name="--scale-link", most=_MOST_FACTOR) for text in scale_link
            ),
            prices=dict(
                parse_edit(text, name="--price", most=MOST_USD_PER_GB, zero=True) for text in price
            ),
            without=without,
        )
        return command(*args, edits=edits, **others)

    return _with(with_edits, _WHAT_IF)  # type: ignore[return-value]


def _with(command: _Command, options: Sequence[Callable[..., Any]]) -> _Command:
    for option in reversed(options):
        command = option(command)
    return command


def changed(matrix: Matrix, edits: Edits, asked: Mapping[str, Any]) -> Matrix:
    """The Matrix of what-if options. Raises: InputError if an end of the transfer is left out."""
    found = edited(matrix, edits)
    ends = (asked["source"], *asked.get("more_sources", ()), *asked["destinations"])
    for end in ends:
        if end in matrix.region_ids and end not in found.region_ids:
            raise InputError(f"{end} is an end of the transfer; take it out of --without.")
    return found


def job_of(
    matrix: Matrix,
    *,
    goal_gbps: str | None,
    max_usd: str | None,
    deadline: str | None,
    fastest: bool,
    minimise: str,
    more_sources: tuple[str, ...],
    **asked: Any,
) -> Job:
    """The Job that the options ask for, patterns expanded. Raises: InputError, in one sentence."""
    objectives = [goal_gbps is not None, max_usd is not None, deadline is not None, fastest]
    if sum(objectives) != 1:
        raise InputError(
            "Give one objective: --goal-gbps, --max-usd, --deadline or --fastest"
            f" ({sum(objectives) or 'none'} given)."
        )
    return _job(
        matrix,
        **asked,
        more_sources=more_sources,
        goal_gbps=None if goal_gbps is None else _number(goal_gbps, "Throughput goal"),
        max_usd=None if max_usd is None else _number(max_usd, "Cost ceiling"),
        deadline_s=None if deadline is None else parse_duration_s(deadline),
        minimise=minimise,
    )


def open_job_of(matrix: Matrix, **asked: Any) -> Job:
    """The Job without an objective that the options ask for. Raises: InputError."""
    return _job(matrix, **asked)


def _job(
    matrix: Matrix,
    *,
    size: str,
    max_gco2e: str | None,
    quotas: tuple[str, ...],
    forbid: tuple[str, ...],
    within: tuple[str, ...],
    forbid_links: tuple[str, ...],
    require_links: tuple[str, ...],
    **given: Any,
) -> Job:
    return Job(
        size_bytes=parse_size_bytes(size),
        max_gco2e=None if max_gco2e is None else _number(max_gco2e, "Carbon ceiling"),
        quotas=_quotas(quotas),
        forbid=_expanded(forbid, matrix),
        within=_expanded(within, matrix),
        forbid_links=tuple(map(parse_ends, forbid_links)),
        require_links=tuple(map(parse_ends, require_links)),
        **given,
    )


def strategy_list(names: str) -> tuple[str, ...]:
    """The strategies named, each known. Raises: InputError or UnknownName."""
    wanted = tuple(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    if not wanted:
        raise InputError("Name at least one strategy, for example --strategy direct,overlay.")
    for name in wanted:
        strategy(name)
    return wanted


def _expanded(patterns: tuple[str, ...], matrix: Matrix) -> tuple[str, ...]:
    """Patterns as the regions they match; plain names as they are, known or not."""
    return tuple(
        name
        for pattern in patterns
        for name in (matching(pattern, matrix) if "*" in pattern else (pattern,))
    )


def _number(text: str, name: str) -> float:
    try:
        if "_" in text:
            raise ValueError(text)
        return float(text)
    except ValueError as error:
        raise InputError(f"{name} {text!r} is not a number; write for example 5.") from error


def _quotas(texts: tuple[str, ...]) -> dict[str, int]:
    found: dict[str, int] = {}
    for region, vcpus in map(_quota, texts):
        if region in found:
            raise InputError(f"The quota of {region} is given twice; give it once.")
        found[region] = vcpus
    return found


def _quota(text: str) -> tuple[str, int]:
    region, _, vcpus = text.rpartition("=")
    if not region or not vcpus.isdecimal():
        raise InputError(f"Quota {text!r} is not REGION=VCPUS; write aws:us-east-1=64.")
    return region, int(vcpus)
