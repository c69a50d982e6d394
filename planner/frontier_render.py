"""A frontier for people: what it says in words, and its table of at most 80 columns."""

from __future__ import annotations

from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.table import Table

from datasets.units import gigabits, render_duration, render_size
from planner.frontier import Frontier
from planner.job import Job
from planner.render import usd


def frontier_sentences(found: Frontier, job: Job) -> Iterator[str]:
    """From where to where, and the knee."""
    first, last = found.points[0], found.points[-1]
    what = f"{render_size(job.size_bytes)} from {job.source} to {job.destination}"
    yield (
        f"{what}: from {usd(first.cost_usd)} at {first.throughput_gbps:.4g} Gbit/s to "
        f"{usd(last.cost_usd)} at {last.throughput_gbps:.4g}; {len(found.points)} points."
    )
    if found.knee is not None:
        knee = found.points[found.knee]
        yield (
            f"The knee: {usd(knee.cost_usd)} at {knee.throughput_gbps:.4g} Gbit/s; beyond it each "
            "Gbit/s costs more than on the whole way."
        )
    if found.breakpoints:
        bends = ", ".join(f"{gbps:.4g}" for gbps, _ in found.breakpoints[:8])
        more = len(found.breakpoints) - 8
        tail = f" and {more} more" if more > 0 else ""
        yield f"The relaxation's cost rate bends at {bends}{tail} Gbit/s."


def frontier_table(found: Frontier) -> Table:
    """One row a point; the knee is marked, and in words, not by colour."""
    table = Table("Gbit/s", box=SIMPLE_HEAD)
    for name in ("time", "total $", "at least $", "gap %", "VMs", "relays", ""):
        table.add_column(name, justify="left" if name == "relays" else "right", no_wrap=True)
    for at, point in enumerate(found.points):
        seconds = gigabits(point.within.job.size_bytes) / point.throughput_gbps
        ends = {point.within.source, point.within.destination}
        relays = sorted({end for pair in point.flows for end in pair} - ends)
        gap = (point.cost_usd - point.bound_usd) / point.cost_usd if point.cost_usd else 0.0
        table.add_row(
            f"{point.throughput_gbps:.4g}",
            render_duration(seconds),
            f"{point.cost_usd:,.2f}",
            f"{point.bound_usd:,.2f}",
            f"{100 * gap:.2f}",
            str(sum(point.vms.values())),
            str(len(relays)),
            "knee" if at == found.knee else "",
        )
    return table
