"""A frontier as a picture: cost against throughput, whole plans over the relaxation."""

from __future__ import annotations

from pathlib import Path

from datasets.errors import InputError
from datasets.matrix import MatrixRef
from datasets.units import render_size
from planner.frontier import Frontier
from planner.job import Job

FORMATS = (".svg", ".png", ".pdf")
# Okabe and Ito's palette, safe for the colour-blind: the planner's blue, the bound's grey.
BLUE, GREY, ORANGE = "#0072B2", "#666666", "#D55E00"


def draw(found: Frontier, job: Job, matrix: MatrixRef, path: Path) -> None:
    """Write the picture, whole or not at all; the same frontier gives the same bytes.

    Raises: InputError for another ending, or if it cannot be written.
    """
    if path.suffix not in FORMATS:
        raise InputError(f"{path} is no picture; end it in {', '.join(FORMATS)}.")
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError("Pictures need matplotlib; install tradewind[sweep].") from error

    with mpl.rc_context({"svg.hashsalt": "tradewind", "font.size": 10}):
        figure = Figure(figsize=(7, 4.2), layout="constrained")
        axes = figure.add_subplot()
        points = found.points
        gbps = [point.throughput_gbps for point in points]
        axes.step(
            gbps,
            [point.cost_usd for point in points],
            where="pre",
            color=BLUE,
            linewidth=1.2,
            label="whole VMs: the least that such a throughput costs",
        )
        axes.plot(gbps, [point.cost_usd for point in points], "o", color=BLUE, markersize=3.5)
        axes.plot(
            gbps,
            [point.bound_usd for point in points],
            color=GREY,
            linewidth=1,
            linestyle="--",
            label="proven bound at each point",
        )
        if found.knee is not None:
            knee = points[found.knee]
            axes.plot(
                knee.throughput_gbps, knee.cost_usd, "D", color=ORANGE, markersize=7, label="knee"
            )
        axes.set_xlabel("throughput, Gbit/s")
        axes.set_ylabel(f"cost of {render_size(job.size_bytes)}, USD")
        axes.set_ylim(bottom=0)
        axes.set_xlim(left=0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, loc="lower right")
        axes.set_title(
            f"{job.source} to {job.destination}; figures of {matrix.epoch}, {matrix.column}",
            fontsize=10,
            loc="left",
        )
        part = path.with_name(f".{path.name}.part")
        try:
            date = {"Date": None} if path.suffix == ".svg" else {}
            dated = {"CreationDate": None} if path.suffix == ".pdf" else date
            figure.savefig(part, format=path.suffix[1:], metadata=dated, dpi=160)
            part.replace(path)
        except OSError as error:
            raise InputError(f"Cannot write the picture to {path}: {error.strerror}.") from error
