"""One GiB over a three-hop plan, by the command line; SHA-256 equal on both sides."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from planner.plan import save_plan
from tests.conftest import BACKINGS
from tests.tiny_plans import A, B, C, D, plan_of

GIBIBYTE = 1 << 30
BLOCK = 16 << 20


@pytest.mark.slow
@pytest.mark.parametrize("backing", BACKINGS, indirect=True)
def test_a_gibibyte_arrives_whole_over_three_hops(backing: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    with open(tmp_path / "source", "wb") as file:
        for _ in range(GIBIBYTE // BLOCK):
            file.write(rng.bytes(BLOCK))
    plan = plan_of([((A, B, D, C), 3.0)], {(A, B): 4.0, (B, D): 5.0, (D, C): 4.0})
    save_plan(plan, tmp_path / "plan.json")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "experiments.cli", "execute", str(tmp_path / "plan.json")),
            *("--source", str(tmp_path / "source"), "--destination", str(tmp_path / "arrived")),
            *("--provider", backing, "--runs", str(tmp_path / "runs"), "--json"),
        ],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["executed"]["size_bytes"] == GIBIBYTE
    assert told["manifest"]["size_scale"] == 1.0
    sums = subprocess.run(
        ["sha256sum", "source", "arrived"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert sums[0] == sums[2]
    assert len(sums[0]) == hashlib.sha256().digest_size * 2
    assert (tmp_path / "runs" / told["run"] / "manifest.json").exists()
    os.unlink(tmp_path / "source")
    os.unlink(tmp_path / "arrived")
