"""How a simulation's time grows with its chunks: `python -m benchmarks.simulator_growth [--write]`.

64 lanes of one connection each, all of different rates, so that every chunk is an event of its own:
the worst case of cohorts. Seconds of this process's CPU; what is drawn is of the machine at hand.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmarks.fluid import wide_plan
from datasets.canonical import Json, canonical_json
from datasets.units import MEBIBYTE
from experiments.figures import WIDE_IN, drawing, legend_below, new_figure, save
from experiments.style import BLUE, GREY, ORANGE
from planner.plan import Plan, restated
from simulator.assumptions import fixed_provisioning
from simulator.simulate import history_of, run_id_of
from simulator.table import table_of
from simulator.world import World

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

CHUNKS = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
PAGE = Path("docs/simulator_growth.svg")


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """CPU seconds of the simulation alone, and with its table of `events` rows."""

    chunks: int
    happens_s: float
    table_s: float
    events: int

    def as_json(self) -> dict[str, Json]:
        """One row."""
        return {
            "chunks": self.chunks,
            "happens_s": round(self.happens_s, 4),
            "table_s": round(self.table_s, 4),
            "events": self.events,
        }


def apart(plan: Plan) -> Plan:
    """The Plan with no two lanes of one rate, so that no two chunks end together."""
    lanes = tuple(
        replace(lane, gbps=lane.gbps * (1.0 - 0.001 * at)) for at, lane in enumerate(plan.lanes)
    )
    return replace(plan, lanes=lanes)


def measured(plan: Plan, chunks: int) -> Point:
    """The Plan with so many chunks of 1 MiB, on one connection a lane."""
    sized = restated(plan, chunks * MEBIBYTE)
    world = World(chunk_bytes=MEBIBYTE, connections_per_hop=1, provisioning=fixed_provisioning(0.0))
    begin_s = time.process_time()
    history = history_of(sized, world)
    happens_s = time.process_time() - begin_s
    table = table_of(run_id_of(sized, world), history)
    return Point(
        chunks=len(history.listing),
        happens_s=happens_s,
        table_s=time.process_time() - begin_s,
        events=len(table),
    )


def growth(points: Sequence[Point]) -> Figure:
    """Time against chunks, both logarithmic, with a line that doubles where chunks double."""
    chunks = [point.chunks for point in points]
    linear = [points[0].happens_s * count / chunks[0] for count in chunks]
    with drawing():
        figure, (axes,) = new_figure(width_in=WIDE_IN, height_in=3.2)
        entries: list[tuple[Artist, str]] = []
        for name, colour, style, seconds in (
            ("with every event in a table", ORANGE, "s-", [point.table_s for point in points]),
            ("what happens, alone", BLUE, "o-", [point.happens_s for point in points]),
            ("in proportion to chunks", GREY, "--", linear),
        ):
            (line,) = axes.plot(chunks, seconds, style, color=colour)
            entries.append((line, name))
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("chunks, each an event of its own")
        axes.set_ylabel("CPU time, s")
        legend_below(figure, entries, width_in=WIDE_IN)
    return figure


@click.command()
@click.option("--write", is_flag=True, help=f"Draw {PAGE}.")
@click.option("--most", default=CHUNKS[-1], show_default=True, help="The most chunks.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(*, write: bool, most: int, as_json: bool) -> None:
    """Measure, print, and draw."""
    plan = apart(wide_plan(1))
    measured(plan, CHUNKS[0])  # what is loaded once is paid for before
    points = [measured(plan, chunks) for chunks in CHUNKS if chunks <= most]
    if as_json:
        click.echo(canonical_json([point.as_json() for point in points]).decode())
    else:
        for point in points:
            click.echo(
                f"{point.chunks:>9,} chunks {point.happens_s:9.3f} s, "
                f"{1e6 * point.happens_s / point.chunks:6.2f} us a chunk; with {point.events:>9,} "
                f"rows {point.table_s:9.3f} s"
            )
    if write:
        save(growth(points), PAGE)


if __name__ == "__main__":
    main()
