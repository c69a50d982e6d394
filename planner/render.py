"""A Plan for people: one sentence that answers, then tables of at most 80 columns."""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from datetime import date

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from datasets.matrix import MatrixRef
from datasets.power import network_gco2e_range
from datasets.units import bytes_per_s, gigabytes, render_duration, render_size
from planner.compare import Row
from planner.gain import Gains
from planner.plan import Plan, Tree

WIDTH = 80


def console() -> Console:
    """Standard output, 80 columns, without colours of its own."""
    return Console(width=WIDTH, highlight=False)


def sentence(plan: Plan, today: date) -> str:
    """The answer in words and numbers."""
    predicted = plan.predicted
    proven = f"bound ${plan.bound_usd:,.4g}, gap {100 * plan.gap:.2f} %"
    if plan.bound_gbps is not None:
        proven = f"at most {plan.bound_gbps:.4g} Gbit/s by any plan, gap {100 * plan.gap:.2f} %"
    return (
        f"{_way(plan)}: {predicted.throughput_gbps:.4g} Gbit/s, "
        f"{render_size(plan.job.size_bytes)} in {render_duration(predicted.makespan_s)}, "
        f"{usd(predicted.cost_usd.total)}; {proven}; {age(plan.matrix, today)}."
    )


def age(matrix: MatrixRef, today: date) -> str:
    """When the figures were measured and how old that is; a user's own by their name."""
    try:
        measured = date.fromisoformat(matrix.epoch)
    except ValueError:
        return f"figures of {matrix.epoch!r}"
    months = (today.year - measured.year) * 12 + today.month - measured.month
    months -= today.day < measured.day
    day = f"{measured.day} {calendar.month_name[measured.month]} {measured.year}"
    return f"figures measured {day} ({_months(months)} old)"


def plan_tables(plan: Plan, direct: Row) -> tuple[Table, ...]:
    """Paths; VMs; the plan beside the direct link."""
    ways = _paths(plan) if plan.is_unicast else _trees(plan)
    return (ways, _vms(plan), rows_table((row_of(plan), direct)))


def row_of(plan: Plan) -> Row:
    """A Plan as a row."""
    return Row(strategy=plan.strategy, plan=plan, infeasible=None)


def rows_table(rows: Sequence[Row]) -> Table:
    """One row a strategy; the best value of a column is bold."""
    table = _table("strategy", "Gbit/s", "time", "egress $", "VM $", "total $", "gap %", "VMs")
    plans = [row.plan for row in rows if row.plan is not None]
    fastest = max((p.predicted.throughput_gbps for p in plans), default=0.0)
    cheapest = min((p.predicted.cost_usd.total for p in plans), default=0.0)
    for row in rows:
        if row.unsupported:
            table.add_row(row.strategy, "", "not for this")
            continue
        if row.plan is None:
            most = row.infeasible.most_gbps if row.infeasible else 0.0
            table.add_row(row.strategy, f"≤ {most:.4g}", "infeasible")
            continue
        predicted, cost = row.plan.predicted, row.plan.predicted.cost_usd
        table.add_row(
            row.strategy,
            _bold(f"{predicted.throughput_gbps:.4g}", predicted.throughput_gbps == fastest),
            _bold(render_duration(predicted.makespan_s), predicted.throughput_gbps == fastest),
            f"{cost.egress:,.2f}",
            f"{cost.vm:,.2f}",
            _bold(f"{cost.total:,.2f}", cost.total == cheapest),
            f"{100 * row.plan.gap:.2f}",
            str(sum(row.plan.vms.values())),
        )
    return table


def gain_sentence(gains: Gains) -> str:
    """What the relays gain on each column, and whether that is the test's start-up."""
    columns = (("received", gains.received), ("sent", gains.sent), ("min", gains.min))
    shown = ", ".join(f"{name} {_percent(gain)}" for name, gain in columns)
    label = "Start-up dependent: the gain" if gains.start_up_dependent else "The links' gain"
    return f"{label} over direct, at the VM limit, by column: {shown}."


def carbon_sentence(plan: Plan) -> str:
    """Grams of VM time, and apart from them what networks may use; empty where not known."""
    if plan.predicted.gco2e is None:
        return ""
    seconds = plan.predicted.makespan_s
    ranges = [
        network_gco2e_range(flow.src, flow.dst, gigabytes(bytes_per_s(flow.gbps) * seconds))
        for flow in plan.flows
    ]
    least = sum(found[0] for found in ranges if found is not None)
    most = sum(found[1] for found in ranges if found is not None)
    return (
        f"Carbon of VM time: {plan.predicted.gco2e:,.4g} gCO2e, by yearly means of each grid. "
        f"Networks apart: {least:,.0f} to {most:,.0f} g for so many bytes, though what they use "
        "hardly follows load."
    )


def _percent(gain: float | None) -> str:
    return "no direct link" if gain is None else f"{100 * gain:+.1f} %"


def _way(plan: Plan) -> str:
    if not plan.relays:
        return "Directly"
    *others, last = plan.relays
    return f"By way of {', '.join(others)} and {last}" if others else f"By way of {last}"


def usd(value: float) -> str:
    """Dollars for people: cents, or four digits of less than one."""
    return f"${value:,.2f}" if value >= 1 else f"${value:.4g}"


def _months(months: int) -> str:
    years, rest = divmod(max(0, months), 12)
    parts = [
        f"{count} {unit}{'' if count == 1 else 's'}"
        for count, unit in ((years, "year"), (rest, "month"))
        if count
    ]
    return " ".join(parts) or "less than a month"


def _paths(plan: Plan) -> Table:
    table = Table("path", box=SIMPLE_HEAD)
    for name in ("Gbit/s", "share %", "lanes"):
        table.add_column(name, justify="right", no_wrap=True)
    for at, path in enumerate(plan.paths):
        lanes = sum(lane.path == at for lane in plan.lanes)
        table.add_row(
            " → ".join(path.hops), f"{path.gbps:.4g}", f"{100 * path.share:.2f}", str(lanes)
        )
    return table


def _trees(plan: Plan) -> Table:
    table = Table("tree", box=SIMPLE_HEAD)
    for name in ("Gbit/s", "share %", "lanes"):
        table.add_column(name, justify="right", no_wrap=True)
    for at, tree in enumerate(plan.trees):
        lanes = sum(lane.tree == at for lane in plan.tree_lanes)
        table.add_row(branches(tree), f"{tree.gbps:.4g}", f"{100 * tree.share:.2f}", str(lanes))
    return table


def branches(tree: Tree) -> str:
    """A tree in words, a region and what it sends to a line."""
    onward: dict[str, list[str]] = {}
    for src, dst in tree.edges:
        onward.setdefault(src, []).append(dst)
    return "\n".join(f"{src} → {', '.join(listed)}" for src, listed in onward.items())


def _vms(plan: Plan) -> Table:
    table = Table("region", "VM", box=SIMPLE_HEAD)
    for name in ("VMs", "$/h each"):
        table.add_column(name, justify="right", no_wrap=True)
    for region, count in sorted(plan.vms.items()):
        vm = plan.vm(region)
        table.add_row(region, vm.type, str(count), f"{vm.usd_per_hour:.4g}")
    return table


def _table(first: str, *numbers: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column(first, no_wrap=True)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _bold(text: str, best: bool) -> str:
    return f"[bold]{text}[/bold]" if best else text
