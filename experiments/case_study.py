"""The published case study, azure:canadacentral to gcp:asia-northeast1, from our own Matrix.

Published are 6.17 Gbit/s directly, 12.38 by way of azure:westus2 (2.0 times, at 1.23 times the
cost) and 13.86 by way of azure:japaneast (2.25 times, 1.91 times). That is the `sent` column of
2022-01-29 with a Gbit of 2^30 bits: 6.625, 13.29 and 14.88 decimal Gbit/s.
Source: Jain et al., Skyplane: Optimizing Transfer Cost and Throughput Using Cloud-Aware Overlays,
NSDI '23.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from datasets.canonical import Json
from datasets.epochs import MatrixChoice, epoch_names, load_matrix
from datasets.matrix import COLUMNS
from experiments.relays import all_pairs

SOURCE, DESTINATION = "azure:canadacentral", "gcp:asia-northeast1"
RELAYS = ("azure:westus2", "azure:japaneast")
PUBLISHED_EPOCH, PUBLISHED_COLUMN = "2022-01-29", "sent"
# Gbit/s of 2^30 bits, speed-up, cost ratio; by relay, "" for the direct link.
PUBLISHED = {
    "": (6.17, 1.0, 1.0),
    "azure:westus2": (12.38, 2.0, 1.23),
    "azure:japaneast": (13.86, 2.25, 1.91),
}
BINARY_GBIT = 2**30 / 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseRow:
    """One route on one epoch and column, with one VM a region: decimal Gbit/s and ratios.

    `relay` is empty for the direct link. `egress_ratio` compares egress prices,
    `cost_ratio` egress and VM time.
    """

    epoch: str
    column: str
    relay: str
    gbps: float
    speedup: float
    egress_ratio: float
    cost_ratio: float

    @property
    def binary_gbps(self) -> float:
        """The same in units of 2^30 bits a second, as published."""
        return self.gbps / BINARY_GBIT

    def as_json(self) -> dict[str, Json]:
        """Every figure, and the published unit."""
        return {**asdict(self), "binary_gbps": self.binary_gbps}


def case_study() -> tuple[CaseRow, ...]:
    """Each route on every epoch that measured it, all columns."""
    rows = []
    for epoch in epoch_names():
        for column in COLUMNS:
            pairs = all_pairs(load_matrix(MatrixChoice(epoch=epoch, column=column)))
            if not {SOURCE, DESTINATION} <= set(pairs.regions):
                continue
            ends = pairs.at(SOURCE), pairs.at(DESTINATION)
            direct = pairs.direct
            for relay in ("", *RELAYS):
                if relay and relay not in pairs.regions:
                    continue
                via, at = (pairs.by_relay, (pairs.at(relay), *ends)) if relay else (direct, ends)
                if np.isnan(via.gbps[at]):
                    continue
                rows.append(
                    CaseRow(
                        epoch=epoch,
                        column=column,
                        relay=relay,
                        gbps=float(via.gbps[at]),
                        speedup=float(via.gbps[at] / direct.gbps[ends]),
                        egress_ratio=float(
                            via.egress_usd_per_gb[at] / direct.egress_usd_per_gb[ends]
                        ),
                        cost_ratio=float(via.usd_per_gb[at] / direct.usd_per_gb[ends]),
                    )
                )
    return tuple(rows)
