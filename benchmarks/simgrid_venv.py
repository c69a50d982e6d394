"""SimGrid's own environment, made on demand in the user's cache; tests and benchmarks ask it.

There is no wheel of SimGrid 4.1: it is compiled, which takes ten to fifteen minutes, a C++
compiler and Boost's headers. Once made, `simgrid_solver.py` runs in it.
"""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

from benchmarks.peer_venv import folder_of, is_ready, made, quietly

# Its binding does not compile with pybind11 3.
_BINDING = "pybind11<3"
REQUIREMENTS = (_BINDING, "cmake", "simgrid==4.1")
MAKING_S = 3600
_NAME = "simgrid-4.1"


class SimgridMissing(Exception):
    """The environment is not there and could not be made: one sentence that says why."""


@cache
def simgrid_python() -> Path:
    """SimGrid's interpreter; made first if it is not there.

    Raises: SimgridMissing, and again without another try if it did so before.
    """
    found = _made()
    if isinstance(found, str):
        raise SimgridMissing(found)
    return found


def is_there() -> bool:
    """Whether the environment was made before."""
    return is_ready(folder_of(_NAME), REQUIREMENTS)


@cache
def _made() -> Path | str:
    """The interpreter, or why there is none."""
    folder = folder_of(_NAME)

    def install(pip: list[str]) -> None:
        constraint = folder / "constraint.txt"
        constraint.write_text(_BINDING + "\n")
        _run([*pip, *REQUIREMENTS[:-1]])
        _run([*pip, REQUIREMENTS[-1]], _compiling(folder, constraint))

    found = made(folder, REQUIREMENTS, install)
    if not isinstance(found, str):
        return found
    if not _has_boost():
        return (
            "SimGrid's environment could not be made: compiling it needs g++ and Boost's "
            "headers; install g++ and libboost-dev."
        )
    return f"SimGrid's environment could not be made: {found}"


def _compiling(folder: Path, constraint: Path) -> dict[str, str]:
    """pip builds in a sandbox, which knows the constraint and this CMake by variables alone.

    The sandbox hides the environment's modules, so CMake's script would fail there: its binary
    goes on PATH instead.
    """
    cmake = [str(found) for found in folder.glob("lib/python*/site-packages/cmake/data/bin")]
    path = os.pathsep.join([*cmake, str(folder / "bin"), os.environ.get("PATH", os.defpath)])
    return {**os.environ, "PIP_CONSTRAINT": str(constraint), "PATH": path}


def _has_boost() -> bool:
    """Whether a compiler is there and finds Boost."""
    try:
        _run(["g++", "-E", "-x", "c++", "-include", "boost/intrusive_ptr.hpp", os.devnull])
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def _run(command: list[str], environment: dict[str, str] | None = None) -> None:
    quietly(command, timeout_s=MAKING_S, environment=environment)
