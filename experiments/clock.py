"""Real time of a Run's events: a local run moves b·bytes at k·rates, so real time is t_s·k/b."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from datasets.events import Event
from datasets.outcome import Outcome

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RealClock:
    """Seconds of the real transfer since the first chunk was read (or since the run's start)."""

    zero_s: float
    scale: float

    def real_s(self, t_s: pd.Series[float]) -> Array:
        """Real seconds of a column of the table's times."""
        real: Array = (t_s.to_numpy(dtype=np.float64) - self.zero_s) * self.scale
        return real


def real_clock(events: pd.DataFrame, result: Outcome) -> RealClock:
    """The clock of one Run."""
    read_s = events.loc[events["event"] == Event.CHUNK_READ.value, "t_s"]
    return RealClock(
        zero_s=float(read_s.min()) if len(read_s) else 0.0,
        scale=result.rate_scale / result.size_scale,
    )
