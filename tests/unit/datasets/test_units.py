"""Units: parsed at the edge, and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.errors import InputError
from datasets.units import (
    bytes_per_s,
    check_quantity,
    gbps_of,
    gigabits,
    gigabytes,
    parse_duration_s,
    parse_size_bytes,
    render_duration,
    render_size,
    usd_per_s_of_flow,
    usd_per_s_of_vm,
)


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("17B", 17),
        ("1KB", 1000),
        ("1KiB", 1024),
        ("1.5TB", 1_500_000_000_000),
        ("1TiB", 1 << 40),
        (" 2 gb ", 2_000_000_000),
        ("1_000MB", 1_000_000_000),
        ("1EB", 10**18),
    ],
)
def test_sizes_are_decimal_unless_binary_is_written(text: str, size_bytes: int) -> None:
    assert parse_size_bytes(text) == size_bytes


@pytest.mark.parametrize("text", ["", "1", "TB", "1XB", "-1GB", "0GB", "0.1B", "2EB", "1e3GB"])
def test_a_size_without_a_sensible_unit_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_size_bytes(text)


@given(
    st.integers(min_value=1, max_value=999),
    st.sampled_from(["B", "KB", "MB", "GB", "TB", "PB", "KiB", "MiB", "GiB", "TiB"]),
)
def test_a_rendered_size_reads_back_within_its_digits(number: int, unit: str) -> None:
    size_bytes = parse_size_bytes(f"{number}{unit}")
    assert parse_size_bytes(render_size(size_bytes)) == pytest.approx(size_bytes, rel=1e-3)


@pytest.mark.parametrize(
    ("text", "seconds"), [("45s", 45), ("90min", 5400), ("90m", 5400), ("2h", 7200), ("1d", 86400)]
)
def test_times_are_read(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "2 weeks", "0s", "11000d"])
def test_a_time_without_a_sensible_unit_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_duration_s(text)


@given(st.integers(min_value=1, max_value=10**18), st.floats(min_value=1e-3, max_value=1e6))
def test_rate_times_time_is_size(size_bytes: int, seconds: float) -> None:
    gbps = gbps_of(size_bytes, seconds)
    assert bytes_per_s(gbps) * seconds == pytest.approx(size_bytes, rel=1e-9)


def test_a_terabyte_at_eight_gigabit_takes_a_thousand_seconds() -> None:
    assert gigabits(10**12) / 8 == 1000
    assert gigabytes(10**12) == 1000
    assert gbps_of(10**12, 1000) == 8
    assert gbps_of(1, 0) == 0
    assert usd_per_s_of_flow(8, 0.09) == pytest.approx(0.09)
    assert usd_per_s_of_vm(3.6) == pytest.approx(0.001)


def test_times_are_rendered_for_people() -> None:
    assert render_duration(41.2) == "41.2 s"
    assert render_duration(7500) == "2 h 5 min"
    assert render_duration(3 * 86400) == "3 d 0 h"


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf"), 11.0])
def test_a_quantity_out_of_range_is_refused_by_name(value: float) -> None:
    with pytest.raises(InputError, match="goal"):
        check_quantity(value, name="goal", most=10)
    assert check_quantity(10.0, name="goal", most=10) == 10.0
