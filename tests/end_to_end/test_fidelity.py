"""Ten plans drawn by seed: executed near simulated, simulated near predicted, on both backings."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from datasets.epochs import MatrixChoice, load_matrix
from executor.local_run import Choices
from experiments.fidelity import (
    Fidelity,
    draw_plans,
    executed_error,
    is_overlay,
    measure,
    simulated_error,
)
from tests.conftest import BACKINGS

COUNT = 10


def test_the_draw_is_half_overlays_and_repeats_itself() -> None:
    matrix = load_matrix(MatrixChoice())
    drawn = draw_plans(matrix, count=COUNT, seed=1)
    assert sum(is_overlay(plan) for plan in drawn.plans) >= COUNT // 2
    assert [plan.id for plan in drawn.plans] == [
        plan.id for plan in draw_plans(matrix, count=COUNT, seed=1).plans
    ]
    assert drawn.infeasible > 0


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.xdist_group("fidelity")
@pytest.mark.parametrize("backing", BACKINGS, indirect=True)
def test_executed_is_near_simulated_and_simulated_near_predicted(
    backing: str, tmp_path: Path
) -> None:
    drawn = draw_plans(load_matrix(MatrixChoice()), count=COUNT, seed=1)
    runs = tuple(
        measure(
            drawn,
            choices=Choices(provider=backing, port=7400, work_conserving=False, dispatch="dynamic"),
            runs=tmp_path / "runs",
            wall_s=3.0,
            seed=1,
            today=date(2026, 1, 1),
        )
    )
    found = Fidelity(runs=runs, drawn=drawn)
    assert len(found.runs) == COUNT
    # Left out and counted; with fewer than half, the machine was too busy to say anything.
    assert len(found.counted) >= COUNT // 2
    assert found.median_error(simulated_error) <= 0.02
    assert found.median_error(executed_error) <= 0.05
    for run in runs:
        kernel = run.executed.manifest["kernel_bytes"]
        assert kernel["tcp_info_ratio"] == pytest.approx(1.0, abs=0.05)
        if backing == "netns":
            assert kernel["interface_ratio"] == pytest.approx(1.0, abs=0.05)
