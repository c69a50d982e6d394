from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from simulator.sharing import Sharing

BOTH = pytest.mark.parametrize("plain", [True, False], ids=["plain", "compiled"])


def parking_lot(plain: bool) -> Sharing:
    """Links of 10, 6 and 20; one flow over all, and one over each."""
    ptr, resource = [0, 3, 4, 5, 6], [0, 1, 2, 0, 1, 2]
    return Sharing([10.0, 6.0, 20.0], ptr=ptr, resource=resource, plain=plain)


@BOTH
def test_a_parking_lot_by_hand(plain: bool) -> None:
    """The long flow and the short one share the link of 6; the others take what is left."""
    sharing = parking_lot(plain)
    for flow in range(4):
        sharing.set_count(flow, 1)
    assert sharing.solve() == [0, 1, 2, 3]
    assert sharing.rate.tolist() == [3.0, 7.0, 3.0, 17.0]


@BOTH
def test_solve_tells_only_of_rates_that_changed(plain: bool) -> None:
    sharing = parking_lot(plain)
    for flow in range(4):
        sharing.set_count(flow, 1)
    sharing.solve()
    sharing.set_capacity(2, 30.0)
    assert sharing.solve() == [3]
    sharing.set_count(0, 0)
    assert sharing.solve() == [0, 1, 2, 3]
    assert sharing.rate.tolist() == [0.0, 10.0, 6.0, 30.0]
    assert sharing.solve() == []


@BOTH
def test_a_count_stands_for_so_many_connections(plain: bool) -> None:
    sharing = Sharing([12.0], ptr=[0, 1, 2], resource=[0, 0], plain=plain)
    sharing.set_count(0, 3)
    sharing.set_count(1, 1)
    sharing.solve()
    assert sharing.rate.tolist() == [3.0, 3.0]
    sharing.set_count(0, 1)
    sharing.solve()
    assert sharing.rate.tolist() == [6.0, 6.0]


@BOTH
def test_weights_caps_and_coefficients(plain: bool) -> None:
    """Of 12: one takes double per rate, one has twice the weight, one stops at 1."""
    sharing = Sharing(
        [12.0],
        ptr=[0, 1, 2, 3],
        resource=[0, 0, 0],
        coefficient=[2.0, 1.0, 1.0],
        cap=[np.inf, np.inf, 1.0],
        weight=[1.0, 2.0, 2.0],
        plain=plain,
    )
    for flow in range(3):
        sharing.set_count(flow, 1)
    sharing.solve()
    assert sharing.rate.tolist() == [2.75, 5.5, 1.0]


@BOTH
def test_capacity_zero_stops_and_starts_again(plain: bool) -> None:
    sharing = parking_lot(plain)
    for flow in range(4):
        sharing.set_count(flow, 2)
    sharing.solve()
    sharing.set_capacity(1, 0.0)
    sharing.solve()
    assert sharing.rate.tolist() == [0.0, 5.0, 0.0, 10.0]
    sharing.set_capacity(1, 6.0)
    sharing.solve()
    assert sharing.rate.tolist() == [1.5, 3.5, 1.5, 8.5]


@BOTH
def test_nothing_holds_a_flow_without_resources_or_cap(plain: bool) -> None:
    sharing = Sharing([], ptr=[0, 0, 0], resource=[], cap=[np.inf, 2.5], plain=plain)
    sharing.set_count(0, 1)
    sharing.set_count(1, 4)
    sharing.solve()
    assert sharing.rate.tolist() == [np.inf, 2.5]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"capacity": [-1.0]}, "capacities must be"),
        ({"capacity": [np.nan]}, "capacities must be"),
        ({"resource": [1]}, "names a resource that is not there"),
        ({"ptr": [0, 2], "resource": [0, 0]}, "uses a resource twice"),
        ({"ptr": [0, 2]}, "must rise from 0"),
        ({"cap": [-1.0]}, "caps must not be"),
        ({"cap": [1.0, 1.0]}, "expected 1 numbers"),
        ({"weight": [0.0]}, "weights and coefficients"),
        ({"coefficient": [np.inf]}, "weights and coefficients"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, list[float]], message: str) -> None:
    whole = {"capacity": [1.0], "ptr": [0, 1], "resource": [0], "plain": True, **given}
    with pytest.raises(ValueError, match=message):
        Sharing(**whole)  # type: ignore[arg-type]


def test_settings_that_make_no_sense_are_refused() -> None:
    sharing = parking_lot(plain=True)
    for flow, count in ((4, 1), (0, -1)):
        with pytest.raises(ValueError, match=r"there is no flow|cannot have"):
            sharing.set_count(flow, count)
    for resource, capacity in ((3, 1.0), (0, np.nan)):
        with pytest.raises(ValueError, match=r"there is no resource|cannot have"):
            sharing.set_capacity(resource, capacity)


# --- With and without numba.


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )


SOLVE = """
from simulator.sharing import Sharing
sharing = Sharing([3.0], ptr=[0, 1, 2], resource=[0, 0])
sharing.set_count(0, 2); sharing.set_count(1, 1); sharing.solve()
import sys
sys.stdout.write(f"{sharing.kernels.compiled} {sharing.rate.tolist()}")
"""


def test_numba_is_not_imported_before_it_is_needed() -> None:
    done = run(
        "import simulator.sharing, simulator.scenario_run, sys; assert 'numba' not in sys.modules"
    )
    assert done.stderr == ""


def test_the_environment_chooses_plain() -> None:
    assert run(SOLVE, TRADEWIND_SHARING="plain").stdout == "False [1.0, 1.0]"


def test_without_numba_it_is_plain_and_silent() -> None:
    hide = "import sys; sys.modules['numba'] = None\n"
    done = run(hide + SOLVE)
    assert (done.stdout, done.stderr) == ("False [1.0, 1.0]", "")


def test_a_cache_that_cannot_be_written_does_not_matter(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    done = run(SOLVE, NUMBA_CACHE_DIR=str(blocked), NUMBA_OPT="0")
    assert done.stdout == "True [1.0, 1.0]"


@pytest.mark.slow
def test_a_broken_cache_is_compiled_over(tmp_path: Path) -> None:
    cached = str(tmp_path / "cache")
    run(SOLVE, NUMBA_CACHE_DIR=cached, NUMBA_OPT="0")
    files = [path for path in Path(cached).rglob("*.nb?") if path.is_file()]
    assert files
    for path in files:
        path.write_bytes(b"broken")
    done = run(SOLVE, NUMBA_CACHE_DIR=cached, NUMBA_OPT="0")
    assert done.stdout == "True [1.0, 1.0]"
