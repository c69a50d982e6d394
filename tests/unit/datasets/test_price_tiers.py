from __future__ import annotations

from itertools import pairwise

import pytest

from datasets.price_tiers import average_factor, tiers_of
from datasets.tables import read_rows

CLOUDS = ("aws", "azure", "gcp")


@pytest.mark.parametrize("cloud", CLOUDS)
def test_tiers_begin_at_nothing_and_fall(cloud: str) -> None:
    tiers = tiers_of(cloud)
    assert (tiers[0].from_gb, tiers[0].factor) == (0.0, 1.0)
    for first, then in pairwise(tiers):
        assert first.from_gb < then.from_gb
        assert first.factor > then.factor > 0
        assert then.factor == pytest.approx(then.usd_per_gb / tiers[0].usd_per_gb, abs=1e-6)


@pytest.mark.parametrize("cloud", CLOUDS)
def test_each_gigabyte_pays_its_own_tier(cloud: str) -> None:
    """The average by adding up gigabyte by gigabyte, 100 at a time."""
    tiers, charged, step = tiers_of(cloud), 0.0, 100.0
    for number in range(1, 2001):
        start = (number - 1) * step
        charged += step * [tier.factor for tier in tiers if tier.from_gb <= start][-1]
        assert average_factor(cloud, number * step) == pytest.approx(charged / (number * step))


@pytest.mark.parametrize("cloud", CLOUDS)
def test_more_never_raises_the_average_nor_lowers_the_bill(cloud: str) -> None:
    volumes = [10.0**power for power in range(-3, 10)]
    factors = [average_factor(cloud, volume) for volume in volumes]
    assert all(then <= first for first, then in pairwise(factors))
    bills = [factor * volume for factor, volume in zip(factors, volumes, strict=True)]
    assert all(then >= first for first, then in pairwise(bills))


def test_a_volume_by_hand() -> None:
    """AWS, 20 TB: half at $0.09, half at $0.085."""
    assert average_factor("aws", 20_000) * 0.09 == pytest.approx(0.0875, abs=1e-7)


def test_nothing_and_the_unknown_pay_the_first_price() -> None:
    assert [average_factor(cloud, 0.0) for cloud in CLOUDS] == [1.0] * 3
    assert average_factor("nimbus", 1e9) == 1.0
    assert tiers_of("nimbus") == ()


def test_a_negative_volume_is_refused() -> None:
    with pytest.raises(ValueError, match="no volume"):
        average_factor("aws", -1.0)


@pytest.mark.parametrize("name", ["price_tiers", "power", "provisioning"])
def test_every_row_says_where_it_is_from(name: str) -> None:
    rows = read_rows(name)
    assert {row["cloud"] for row in rows} == set(CLOUDS)
    for row in rows:
        assert row["verified"] in ("yes", "no")
        assert ("opened" in row["source"]) == (row["verified"] == "yes")
