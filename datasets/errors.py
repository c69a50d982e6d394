"""Every error a caller can do something about, each with the exit status of the command line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar


class TradewindError(Exception):
    """The root of the family. `exit_status` is what the command line ends with."""

    exit_status: ClassVar[int] = 1


class InputError(TradewindError):
    """What was asked for makes no sense as asked: one sentence, and what to do about it."""

    exit_status: ClassVar[int] = 2


class UnknownName(InputError):
    """A region, epoch, strategy or other name that is not known; carries the nearest ones."""

    def __init__(self, *, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        self.kind = kind
        self.name = name
        self.nearest = nearest_names(name, known)
        tail = f"; did you mean {' or '.join(self.nearest)}?" if self.nearest else "."
        super().__init__(f"Unknown {kind} {name!r}{tail}{' ' + hint if hint else ''}")


class DataError(InputError):
    """A file that does not hold what it should: where (file, row, column) and the value found."""


class UnsupportedJob(InputError):
    """A strategy was asked for a Job that it does not do."""


class NeverEnds(InputError):
    """What was to be simulated stands still for ever: what, and since when."""


class InfeasibleJob(TradewindError):
    """No plan meets the Job: the most that is feasible, and what binds. An answer, not a fault."""

    def __init__(self, *, asked: str, most_gbps: float, binds: tuple[str, ...]) -> None:
        self.asked = asked
        self.most_gbps = most_gbps
        self.binds = binds
        limit = f"; what binds: {', '.join(binds)}" if binds else ""
        super().__init__(
            f"Infeasible: {asked}; the most that is feasible is {most_gbps:.4g} Gbit/s{limit}."
        )


class PlanRefused(TradewindError):
    """A plan that its own check does not pass: a defect of a strategy, never shown as a plan."""


class ProviderError(TradewindError):
    """A gateway, rule or link could not be made, reached or removed."""


class TransferFailed(TradewindError):
    """A gateway or connection was lost, or the transfer ended before every byte was confirmed."""


class IntegrityError(TradewindError):
    """What arrived is not what was sent."""


class SessionRefused(TradewindError):
    """A command, certificate or caller without the right to what it asked."""


def nearest_names(name: str, known: Iterable[str], *, most: int = 3) -> tuple[str, ...]:
    """The known names nearest to `name`, best first; a part of a name counts as near."""
    names = sorted(set(known))
    found = difflib.get_close_matches(name, names, n=most, cutoff=0.6)
    inside = [known_name for known_name in names if name and name.lower() in known_name.lower()]
    return tuple(dict.fromkeys([*found, *inside]))[:most]
