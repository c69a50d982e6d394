"""Predicted, simulated and executed side by side, for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from datasets.errors import InfeasibleJob
from experiments.pipeline import ThreeWay, error_of, figures_of
from planner.render import age, console


def print_three_way(
    done: Sequence[ThreeWay | tuple[str, InfeasibleJob]],
    today: date,
    *,
    screen: Console | None = None,
) -> None:
    """One block a strategy: the plan in words, three rows of figures, and where the page is."""
    out = screen or console()
    for entry in done:
        if isinstance(entry, tuple):
            out.print(f"{entry[0]}: {entry[1]}", markup=False)
            continue
        out.print(f"[bold]{entry.plan.strategy}[/bold], {_way(entry)}")
        out.print(_table(entry))
        out.print(_footer(entry), markup=False)
        out.print(str(entry.page), markup=False, soft_wrap=True)
        out.print()
    shown = [entry for entry in done if isinstance(entry, ThreeWay)]
    if shown:
        out.print(
            "Errors are against the figure on their left: simulated against predicted, executed "
            "against simulated. This verifies the software, not the world: "
            f"{age(shown[0].plan.matrix, today)}. Executed cost is computed: price book × executed "
            "times and bytes.",
            markup=False,
        )


def _way(entry: ThreeWay) -> str:
    relays = ", ".join(entry.plan.relays)
    return f"by way of {relays}" if relays else "by the direct link"


def _table(entry: ThreeWay) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for name in ("predicted", "simulated", "error", "executed", "error"):
        table.add_column(name, justify="right")
    predicted, simulated, executed = figures_of(entry)
    for label, places, at in (
        ("throughput, Gbit/s", 4, 0),
        ("makespan, s", 5, 1),
        ("cost, USD", 5, 2),
    ):
        is_cost = at == 2
        table.add_row(
            label,
            f"{predicted[at]:.{places}g}",
            f"{simulated[at]:.{places}g}",
            f"{error_of(simulated[at], predicted[at]):+.2%}",
            f"{executed[at]:.{places}g}",
            "computed" if is_cost else f"{error_of(executed[at], simulated[at]):+.2%}",
        )
    return table


def _footer(entry: ThreeWay) -> str:
    manifest = entry.executed.manifest
    bound = " The processor bound this run: leave it out." if entry.cpu_bound else ""
    return (
        f"Executed by {manifest['provider']}: {manifest['moved_bytes'] / 1e6:.4g} MB at "
        f"{manifest['rate_scale']:.3g} of the rates, {entry.executed.outcome.wall_s:.3g} s on the "
        f"wall, {manifest['cpu']['share']:.0%} of the CPU.{bound}"
    )
