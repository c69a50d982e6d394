"""Seconds from asking a cloud for a VM to its gateway answering: what is paid before bytes move.

Public measurements of booting VMs (tables/provisioning.csv); none is of our gateway, which adds
the fetch of one file. Calibrate with executed Runs where there are any.
"""

from __future__ import annotations

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


@lru_cache(maxsize=1)
def _typical() -> Mapping[str, float]:
    return {row["cloud"]: float(row["typical_s"]) for row in read_rows("provisioning")}
