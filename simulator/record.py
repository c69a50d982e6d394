"""What happened in a simulation, as it happened: runs of chunks, not rows, so that it stays small.

`simulator/table.py` makes the event table of it; an outcome needs no table.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class Span(NamedTuple):
    """Chunks `first` to `first + chunks` at the instant `t_s`, over bundle number `bundle`."""

    t_s: float
    first: int
    chunks: int
    bundle: int


class Hop(NamedTuple):
    """The same, received over the edges (positions) `edges` of the bundle's route."""

    t_s: float
    first: int
    chunks: int
    bundle: int
    edges: tuple[int, ...]


class Note(NamedTuple):
    """Anything that is not about chunks: an event's word, and its columns."""

    t_s: float
    event: str
    job: int
    columns: dict[str, int | str]
    detail: dict[str, object]


@dataclass(slots=True)
class Record:
    """Real seconds throughout. `began` again for a chunk that was lost stands in `resent` too;
    `failures` has when and why a Job was given up."""

    began: list[Span] = field(default_factory=list)
    received: list[Hop] = field(default_factory=list)
    acknowledged: list[Span] = field(default_factory=list)
    resent: list[Span] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    failures: dict[int, tuple[float, str]] = field(default_factory=dict)

    def note(
        self,
        t_s: float,
        event: str,
        *,
        job: int = 0,
        detail: dict[str, object] | None = None,
        **columns: int | str,
    ) -> None:
        """Add an event that is not about chunks."""
        self.notes.append(Note(t_s, event, job, columns, detail or {}))
