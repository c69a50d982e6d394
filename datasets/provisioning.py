"""Seconds from asking a cloud for a VM to its gateway answering: what is paid before bytes move.

Public measurements of booting VMs (tables/provisioning.csv); none is of our gateway, which adds
the fetch of one file. Calibrate with executed Runs where there are any.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache

from datasets.tables import read_rows

# A cloud that the table lacks is taken for as slow as the slowest one in it (Azure): a wait that
# was planned for costs less than one that was not.
DEFAULT_PROVISIONING_S = 90.0


def provisioning_s(cloud: str) -> float:
    """Typical seconds from request to ready; `DEFAULT_PROVISIONING_S` for an unknown cloud.

    >>> provisioning_s("nimbus")
    90.0
    """
    return _typical().get(cloud, DEFAULT_PROVISIONING_S)


# The standard normal's 95th percentile.
_P95 = 1.6448536269514722


def provisioning_spread() -> Mapping[str, tuple[float, float]]:
    """Cloud: (median s, sigma of the logarithm), of a lognormal through typical and slow.

    `slow_s` is read as a 95th percentile, an assumption of ours; a cloud whose source tells of no
    slow ones takes the least sigma of the others.
    """
    rows = read_rows("provisioning")
    sigma = {
        row["cloud"]: math.log(float(row["slow_s"]) / float(row["typical_s"])) / _P95
        for row in rows
        if row["slow_s"]
    }
    least = min(sigma.values())
    return {row["cloud"]: (float(row["typical_s"]), sigma.get(row["cloud"], least)) for row in rows}


@lru_cache(maxsize=1)
def _typical() -> Mapping[str, float]:
    return {row["cloud"]: float(row["typical_s"]) for row in read_rows("provisioning")}
