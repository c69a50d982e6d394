from __future__ import annotations

import pytest

from datasets.carbon import gco2e_per_kwh
from datasets.power import (
    NETWORK_KWH_PER_GB,
    gco2e_per_vm_hour,
    network_gco2e_range,
    power_by_cloud,
    vm_power_w,
)


def test_watts_by_hand() -> None:
    """AWS, 32 vCPUs: 1.135 × 32 × (0.71 + (3.46 − 0.71)/2) = 75.73 W."""
    assert vm_power_w("aws", 32) == pytest.approx(75.7272)


@pytest.mark.parametrize("cloud", ["aws", "azure", "gcp"])
def test_watts_grow_with_vcpus_and_stay_between_idle_and_full(cloud: str) -> None:
    power = power_by_cloud()[cloud]
    watts = vm_power_w(cloud, 10)
    assert watts is not None
    assert 10 * power.min_w_per_vcpu < watts / power.pue < 10 * power.max_w_per_vcpu
    assert vm_power_w(cloud, 20) == pytest.approx(2 * watts)
    assert 1.0 < power.pue < 1.5


def test_an_hour_is_watts_times_the_grid() -> None:
    grid = gco2e_per_kwh("aws:us-east-1")
    assert grid is not None
    assert gco2e_per_vm_hour("aws:us-east-1", 32) == pytest.approx(0.0757272 * grid)


def test_what_is_not_known_is_said_to_be() -> None:
    assert vm_power_w("nimbus", 32) is None
    assert gco2e_per_vm_hour("nimbus:one", 32) is None
    assert gco2e_per_vm_hour("aws:atlantis-1", 32) is None
    assert network_gco2e_range("aws:us-east-1", "nimbus:one", 1.0) is None
    assert network_gco2e_range("nimbus:one", "aws:us-east-1", 1.0) is None


def test_the_network_is_a_range_at_the_mean_of_both_grids() -> None:
    here, there = gco2e_per_kwh("aws:us-east-1"), gco2e_per_kwh("gcp:us-east4")
    found = network_gco2e_range("aws:us-east-1", "gcp:us-east4", 1000.0)
    assert here is not None
    assert there is not None
    assert found == pytest.approx([kwh * 1000 * (here + there) / 2 for kwh in NETWORK_KWH_PER_GB])
    assert network_gco2e_range("gcp:us-east4", "aws:us-east-1", 1000.0) == pytest.approx(found)
