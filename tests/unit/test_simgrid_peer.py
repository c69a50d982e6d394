"""What stands on our side of the comparison with SimGrid; the peer itself is not run here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import simgrid_peer, simgrid_venv
from simulator.scenario_file import scenario_from_json
from simulator.scenario_run import run_scenario


def test_the_scenarios_are_what_the_cases_say() -> None:
    at_once, arriving = simgrid_peer.concurrent(40), simgrid_peer.arriving(40)
    assert {flow["start"] for flow in at_once["flows"]} == {0.0}
    starts = [flow["start"] for flow in arriving["flows"]]
    assert starts == sorted(starts)
    assert starts[-1] / 40 == pytest.approx(0.118, rel=0.5)
    for scenario in (at_once, arriving, simgrid_peer.chained(40)):
        assert len(run_scenario(scenario_from_json(scenario)).finish_s) == 40


def test_figures_of_our_side() -> None:
    assert simgrid_peer.ours_ms(simgrid_peer.concurrent(10), plain=True) > 0
    assert 1 < simgrid_peer.mean_active(simgrid_peer.concurrent(40)) <= 40
    assert 0 < simgrid_peer.simpy_percent(500) < 100
    assert simgrid_peer.peak_mib(50) > 20


def folder_without_simgrid(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(simgrid_venv, "_made", simgrid_venv._made.__wrapped__)
    monkeypatch.setattr(simgrid_venv, "simgrid_python", simgrid_venv.simgrid_python.__wrapped__)


def test_without_its_environment_it_says_so_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder_without_simgrid(monkeypatch, tmp_path)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    monkeypatch.setattr(simgrid_venv, "_has_boost", lambda: True)
    with pytest.raises(simgrid_venv.SimgridMissing, match="could not be made") as missing:
        simgrid_venv.simgrid_python()
    assert "\n" not in str(missing.value)
    assert not simgrid_venv.is_there()


def test_without_boost_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder_without_simgrid(monkeypatch, tmp_path)

    def fails(command: list[str], environment: dict[str, str] | None = None) -> None:
        raise subprocess.CalledProcessError(1, command, stderr="CMake Error")

    monkeypatch.setattr(simgrid_venv, "_run", fails)
    with pytest.raises(simgrid_venv.SimgridMissing, match="libboost-dev"):
        simgrid_venv.simgrid_python()


def test_the_compiler_is_told_of_the_old_binding(tmp_path: Path) -> None:
    cmake = tmp_path / "lib" / "python3.11" / "site-packages" / "cmake" / "data" / "bin"
    cmake.mkdir(parents=True)
    found = simgrid_venv._compiling(tmp_path, tmp_path / "constraint.txt")
    assert found["PIP_CONSTRAINT"] == str(tmp_path / "constraint.txt")
    assert found["PATH"].split(":")[:2] == [str(cmake), str(tmp_path / "bin")]
