"""The peer's own environment: Skyplane and its solvers, made on demand in the user's cache.

It never shares an interpreter with us: Skyplane needs libraries older than ours. Its rounding
and its programme run there, in `skyplane_solver.py`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

# Skyplane 0.3.2 was written for numpy 1 and an older pandas; CBC is the solver that it picks by
# itself, HiGHS a faster free one of today.
REQUIREMENTS = ("skyplane[solver]==0.3.2", "numpy<2", "pandas<2.2", "cylp", "highspy")
MAKING_S = 1200
_READY = "tradewind-ready"


class PeerMissing(Exception):
    """The peer's environment could not be made: one sentence that says why."""


@cache
def peer_python() -> Path:
    """The peer's interpreter; made first if it is not there, which takes about a minute.

    Raises: PeerMissing, and again without another try if it did so before.
    """
    found = _made()
    if isinstance(found, str):
        raise PeerMissing(found)
    return found


def is_there() -> bool:
    """Whether the environment was made before."""
    return _ready().exists()


def _folder() -> Path:
    cache_home = os.environ.get("XDG_CACHE_HOME")
    base = Path(cache_home) if cache_home else Path.home() / ".cache"
    return base / "tradewind" / "skyplane-0.3.2"


def _ready() -> Path:
    return _folder() / _READY


@cache
def _made() -> Path | str:
    """The interpreter, or why there is none."""
    folder = _folder()
    python = folder / "bin" / "python"
    if _ready().exists() and _ready().read_text() == "\n".join(REQUIREMENTS):
        return python
    try:
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(folder)])
        _run([str(python), "-m", "pip", "install", "--quiet", *REQUIREMENTS])
        _ready().write_text("\n".join(REQUIREMENTS))
    except (OSError, subprocess.SubprocessError) as error:
        told = getattr(error, "stderr", None) or str(error)
        last = told.strip().splitlines()[-1] if told.strip() else type(error).__name__
        return f"Skyplane's environment could not be made, so its rows are left out: {last}"
    return python


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=MAKING_S)
