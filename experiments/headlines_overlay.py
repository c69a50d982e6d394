"""The overlay over all pairs, one VM a region: computed once, kept in `experiments/data/`.

Any number of paths and relays, within documented caps. A minute or more an epoch, so that
`python -m experiments.headlines --overlay` computes and keeps it, and pages read it.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import closing
from importlib import resources
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import track

from datasets.canonical import rounded
from datasets.epochs import MatrixChoice, load_matrix
from datasets.errors import DataError
from datasets.matrix import COLUMNS, Matrix
from experiments.relays import Array
from planner.job import Job
from planner.lp.unicast import UnicastModel
from planner.topology import topology

FOLDER = Path("experiments/data")
WORKERS = 2
# A millionth of a Gbit/s: the page shows four digits.
PLACES = 6


class Part(NamedTuple):
    """One source's row of one column: Gbit/s to each region, None where no link was measured."""

    column: str
    source: str
    gbps: list[float | None]


def most_gbps(matrix: Matrix, source: str, destination: str) -> float:
    """The most throughput of any plan with one VM a region."""
    job = Job(source=source, destinations=(destination,), size_bytes=10**12, vm_limit=1)
    return rounded(UnicastModel(topology(matrix, job)).fastest().gbps, PLACES)


def stored_gbps(epoch: str, column: str) -> Array:
    """(sources, destinations) Gbit/s by region's name, as kept; nan where nothing was measured.

    Raises: DataError where the epoch was not computed, or its Matrix has changed since.
    """
    file = resources.files("experiments").joinpath(f"data/{_name(epoch)}")
    if not file.is_file():
        raise DataError(
            f"The overlay of {epoch} was not computed: run python -m experiments.headlines "
            f"--overlay --epochs {epoch} first."
        )
    kept = json.loads(file.read_text(encoding="utf-8"))
    if kept["matrices"][column] != load_matrix(MatrixChoice(epoch=epoch, column=column)).digest:
        raise DataError(
            f"The figures of {epoch} have changed since its overlay was computed: run "
            f"python -m experiments.headlines --overlay --epochs {epoch} again."
        )
    found: Array = np.array(kept["gbps"][column], dtype=np.float64)
    return found


def keep(epoch: str) -> None:
    """Compute every pair of an epoch on each column, in two processes, and keep it."""
    matrices = {column: load_matrix(MatrixChoice(epoch=epoch, column=column)) for column in COLUMNS}
    asked = [(column, src) for column in COLUMNS for src in matrices[column].region_ids]
    console = Console(stderr=True)
    rows: dict[tuple[str, str], list[float | None]] = {}
    with closing(_computed(epoch, asked)) as parts:
        for part in track(
            parts,
            total=len(asked),
            description=f"Overlay of {epoch}",
            console=console,
            disable=not console.is_terminal,
        ):
            rows[part.column, part.source] = part.gbps
    kept = {
        "epoch": epoch,
        "matrices": {column: matrix.digest for column, matrix in matrices.items()},
        "gbps": {
            column: [rows[column, src] for src in matrix.region_ids]
            for column, matrix in matrices.items()
        },
    }
    text = json.dumps(kept, separators=(",", ":")).replace("],[", "],\n[")
    (FOLDER / _name(epoch)).write_text(text + "\n", encoding="utf-8")


def _name(epoch: str) -> str:
    return f"overlay_{epoch}.json"


_OF_WORKER: dict[str, Matrix] = {}


def _begin(epoch: str) -> None:
    """A worker's matrices; Ctrl-C is for the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for column in COLUMNS:
        _OF_WORKER[column] = load_matrix(MatrixChoice(epoch=epoch, column=column))


def _part(column: str, source: str) -> Part:
    matrix = _OF_WORKER[column]
    row = [
        None if matrix.link(source, other) is None else most_gbps(matrix, source, other)
        for other in matrix.region_ids
    ]
    return Part(column, source, row)


def _computed(epoch: str, asked: Sequence[tuple[str, str]]) -> Generator[Part, None, None]:
    pool = ProcessPoolExecutor(
        WORKERS, mp_context=get_context("spawn"), initializer=_begin, initargs=(epoch,)
    )
    try:
        for done in as_completed([pool.submit(_part, *one) for one in asked]):
            yield done.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
