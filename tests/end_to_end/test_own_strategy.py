"""A strategy of a user's own: as a file, as an installed package, through the contract suite."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "own_strategy"
ASKED = ["azure:eastasia", "aws:us-east-1", "--bytes", "1TB", "--goal-gbps", "16"]


def tradewind(*words: str, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "experiments.cli", *words],
        capture_output=True,
        text=True,
        cwd=EXAMPLE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), *extra.values()))},
        check=False,
    )


def plan_by(strategy: str, **extra: str) -> Any:
    done = tradewind("plan", *ASKED, "--strategy", strategy, "--json", **extra)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_as_a_file_it_plans_and_compares() -> None:
    plan = plan_by("frugal.py:frugal")
    assert plan["strategy"] == "frugal"
    assert all(link["usd_per_gb"] <= 0.12 for link in plan["links"])
    done = tradewind("compare", *ASKED, "--strategy", "direct,frugal.py:frugal,overlay", "--json")
    rows = json.loads(done.stdout)["rows"]
    assert [row["strategy"] for row in rows] == ["direct", "frugal", "overlay"]


def test_as_a_package_it_has_a_name(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    copied = tmp_path / "package"
    copied.mkdir()
    for name in ("frugal.py", "pyproject.toml"):
        (copied / name).write_bytes((EXAMPLE / name).read_bytes())
    target = tmp_path / "site"
    subprocess.run(
        [*build, "--no-build-isolation", "--target", str(target), str(copied)], check=True
    )
    assert plan_by("frugal", site=str(target))["id"] == plan_by("frugal.py:frugal")["id"]


def test_the_contract_suite_takes_it_up() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:xdist",
            "--strategy",
            f"{EXAMPLE / 'frugal.py'}:frugal",
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "25 passed" in done.stdout


def test_what_is_no_strategy_is_one_sentence() -> None:
    for name, said in (
        ("nowhere.py:frugal", "cannot be loaded"),
        ("frugal.py:lavish", "has no function 'lavish'"),
        ("frugl", "There are"),
    ):
        done = tradewind("plan", *ASKED, "--strategy", name)
        assert done.returncode == 2
        assert said in done.stderr
        assert "Traceback" not in done.stderr
