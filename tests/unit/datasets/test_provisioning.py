from __future__ import annotations

import numpy as np
import pytest

from datasets.provisioning import DEFAULT_PROVISIONING_S, provisioning_s, provisioning_spread
from datasets.tables import read_rows


@pytest.mark.parametrize("cloud", ["aws", "azure", "gcp"])
def test_a_vm_takes_between_ten_seconds_and_five_minutes(cloud: str) -> None:
    assert 10.0 < provisioning_s(cloud) < 300.0


def test_the_slow_ones_are_slower() -> None:
    told = [row for row in read_rows("provisioning") if row["slow_s"]]
    assert told
    for row in told:
        assert float(row["slow_s"]) > float(row["typical_s"])


def test_an_unknown_cloud_takes_as_long_as_the_slowest() -> None:
    slowest = max(float(row["typical_s"]) for row in read_rows("provisioning"))
    assert provisioning_s("nimbus") == DEFAULT_PROVISIONING_S == slowest


def test_one_in_twenty_is_as_slow_as_the_source_tells() -> None:
    spread = provisioning_spread()
    rng = np.random.default_rng(1)
    for row in read_rows("provisioning"):
        median_s, sigma = spread[row["cloud"]]
        if row["slow_s"]:
            drawn = median_s * np.exp(sigma * rng.standard_normal(100_000))
            assert np.mean(drawn > float(row["slow_s"])) == pytest.approx(0.05, abs=0.004)
    assert spread["aws"][1] == min(sigma for _, sigma in spread.values())
