"""The gaps that planner/README.md states come from a command."""

from __future__ import annotations

from pathlib import Path

from datasets.synthetic import synthetic_matrix
from experiments.gaps import gaps


def test_gaps_are_drawn_by_seed_and_never_negative() -> None:
    matrix = synthetic_matrix(3)
    found = gaps(matrix, pairs=3, seed=7, share=0.5)
    assert found == gaps(matrix, pairs=3, seed=7, share=0.5)
    assert all(0 <= gap < 0.5 for gap in found)


def test_the_planners_page_names_the_command() -> None:
    assert "python -m experiments.gaps" in Path("planner/README.md").read_text()
