"""Every pair: what stands in the file, and that an interrupted one is taken up."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from click.testing import CliRunner

from datasets.epochs import MatrixChoice, load_matrix
from datasets.errors import InputError
from datasets.synthetic import tiny_matrix
from experiments.all_pairs import (
    PairRow,
    main,
    pairs_of,
    read_rows,
    row_of,
    totals_of,
    write_rows,
)

ENDS = ("azure:canadacentral", "gcp:asia-northeast1")


def a_row(destination: str, most_gbps: float) -> PairRow:
    return PairRow(
        ends=("a", destination), direct_gbps=1.0, most_gbps=most_gbps, frontier=((1.0, 2.5),)
    )


def test_a_row_is_the_frontier_by_hand() -> None:
    """tiny_matrix at 8 VMs a region: 32 Gbit/s directly for $81.6667, at most 96 by way of R."""
    row = row_of(tiny_matrix(), ENDS, 5)
    assert (row.direct_gbps, row.most_gbps) == pytest.approx((32.0, 96.0), rel=1e-8)
    assert row.frontier[0] == pytest.approx((32.0, 81.66666667))
    assert row.frontier[-1] == pytest.approx((96.0, 100.83333333))


def test_rows_come_back_from_their_file_in_order_of_name(tmp_path: Path) -> None:
    file, rows = tmp_path / "pairs.csv", [a_row("c", 4.0), a_row("b", 1.0)]
    write_rows(file, rows, tiny_matrix(), 5)
    assert list(read_rows(file, tiny_matrix(), 5).values()) == rows[::-1]
    # The last line was cut short.
    file.write_text(file.read_text()[:-3])
    assert list(read_rows(file, tiny_matrix(), 5).values()) == [rows[1]]
    with pytest.raises(InputError, match="another number of points"):
        read_rows(file, tiny_matrix(), 6)


def test_totals_by_hand() -> None:
    """Four times and once the direct link: a geometric mean of 2, half of the pairs gain."""
    found = totals_of([a_row("b", 4.0), a_row("c", 1.0)], computed=2, seconds=4.0)
    assert found.geometric_mean == pytest.approx(2.0)
    assert found.shares == (0.5, 0.5, 0.5)
    assert found.as_json()["pairs_per_second"] == 0.5
    assert math.isclose(found.seconds, 4.0)


def test_a_file_that_was_cut_short_is_completed_to_the_same_bytes(tmp_path: Path) -> None:
    file = tmp_path / "pairs.csv"
    asked = ["--pairs", "6", "--points", "3", "-o", str(file), "--json"]
    done = CliRunner().invoke(main, asked)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["computed"] == 6
    whole = file.read_bytes()
    assert whole.count(b"\n") == 7
    file.write_bytes(whole[: len(whole) // 2])
    again = CliRunner().invoke(main, asked)
    told = json.loads(again.stdout)
    assert told["pairs"] == 6
    assert 0 < told["computed"] < 6
    assert file.read_bytes() == whole


def test_a_sample_is_the_same_each_time() -> None:
    matrix = load_matrix(MatrixChoice())
    assert len(pairs_of(matrix, None)) == 4970
    assert pairs_of(matrix, 5) == pairs_of(matrix, 5)


def test_a_pair_where_nothing_is_found_just_below_its_most_has_a_frontier_too() -> None:
    """Of the 4,970 pairs the one whose programme is stiffest there."""
    row = row_of(load_matrix(MatrixChoice()), ("gcp:asia-east1", "gcp:us-central1"), 5)
    assert row.most_gbps == pytest.approx(242.8538908, rel=1e-6)
    assert row.frontier[-1][0] == pytest.approx(row.most_gbps, rel=1e-6)
