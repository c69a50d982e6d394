"""Watts of a VM, and grams of CO2 equivalent of its hours and of bytes on the network.

    tables/power.csv (watts a vCPU, PUE) x tables/carbon.csv (the region's grid) -> g an hour

The network's energy is known to two orders of magnitude only: it is told as a range, apart, and
enters no objective and no sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from datasets.carbon import gco2e_per_kwh
from datasets.regions import cloud_of
from datasets.tables import read_rows

# How busy a gateway's vCPUs are taken to be: the average that the source assumes where it has
# no measurement (hyperscale servers, 2020). We have none of gateways either.
UTILISATION = 0.5
W_PER_KW = 1000.0

# kWh a decimal GB between regions, least and most.
# Least: 0.001, Cloud Carbon Footprint's methodology (page as in tables/power.csv, opened), which
# says that it took the smallest published figure, for the clouds' own fibre.
# Most: 0.06 for 2015, core and fixed access networks, halving about every two years: Aslan,
# Mayers, Koomey and France, Electricity intensity of internet data transmission, Journal of
# Industrial Ecology 22(4), 2018 (abstract opened). By 2022 that is 0.06 / 2^3.5 = 0.0053; the
# figure of 2015 is kept as the far end, because nothing confirms the halving after it.
NETWORK_KWH_PER_GB = (0.001, 0.06)


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """What a vCPU of a cloud draws, idle and busy (W), and the cloud's PUE (no unit)."""

    min_w_per_vcpu: float
    max_w_per_vcpu: float
    pue: float


def vm_power_w(cloud: str, vcpus: int) -> float | None:
    """Watts at the meter of a VM of `vcpus` at `UTILISATION`; None for an unknown cloud.

    PUE x vCPUs x (idle + utilisation x (busy - idle)); memory and disks are not counted.
    Source: Cloud Carbon Footprint, methodology, compute (see tables/power.csv).

    >>> vm_power_w("nimbus", 32) is None
    True
    """
    power = power_by_cloud().get(cloud)
    if power is None:
        return None
    busy = power.max_w_per_vcpu - power.min_w_per_vcpu
    return power.pue * vcpus * (power.min_w_per_vcpu + UTILISATION * busy)


def gco2e_per_vm_hour(region: str, vcpus: int) -> float | None:
    """Grams of CO2 equivalent an hour of one VM; None where its power or grid is not known."""
    watts = vm_power_w(cloud_of(region), vcpus)
    grid = gco2e_per_kwh(region)
    if watts is None or grid is None:
        return None
    return watts / W_PER_KW * grid


def network_gco2e_range(src: str, dst: str, gigabytes: float) -> tuple[float, float] | None:
    """Grams of CO2 equivalent, least and most, of decimal GB from region `src` to region `dst`.

    At the mean of both ends' grids: where the energy is used between them is not known. None
    where a grid is not known.
    """
    grids = gco2e_per_kwh(src), gco2e_per_kwh(dst)
    if grids[0] is None or grids[1] is None:
        return None
    grid = (grids[0] + grids[1]) / 2
    least, most = NETWORK_KWH_PER_GB
    return least * gigabytes * grid, most * gigabytes * grid


@lru_cache(maxsize=1)
def power_by_cloud() -> Mapping[str, Power]:
    """The table, by cloud."""
    return {
        row["cloud"]: Power(
            min_w_per_vcpu=float(row["min_w_per_vcpu"]),
            max_w_per_vcpu=float(row["max_w_per_vcpu"]),
            pue=float(row["pue"]),
        )
        for row in read_rows("power")
    }
