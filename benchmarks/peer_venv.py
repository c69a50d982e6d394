"""Peers' own environments, made on demand in the user's cache: they never share ours."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

_READY = "tradewind-ready"


def folder_of(name: str) -> Path:
    """Where the environment `name` stands, or will."""
    cache_home = os.environ.get("XDG_CACHE_HOME")
    base = Path(cache_home) if cache_home else Path.home() / ".cache"
    return base / "tradewind" / name


def is_ready(folder: Path, requirements: Sequence[str]) -> bool:
    """Whether it was made before, whole, with these requirements."""
    ready = folder / _READY
    return ready.exists() and ready.read_text() == "\n".join(requirements)


def made(
    folder: Path, requirements: Sequence[str], install: Callable[[list[str]], None]
) -> Path | str:
    """The interpreter of the environment, made anew by `install` (given pip) unless it is ready.

    Where it cannot be made: the last words of what failed.
    """
    python = folder / "bin" / "python"
    if is_ready(folder, requirements):
        return python
    try:
        shutil.rmtree(folder, ignore_errors=True)
        quietly([sys.executable, "-m", "venv", str(folder)], timeout_s=600)
        install([str(python), "-m", "pip", "install", "--quiet"])
        (folder / _READY).write_text("\n".join(requirements))
    except (OSError, subprocess.SubprocessError) as error:
        told = getattr(error, "stderr", None) or str(error)
        return str(told.strip().splitlines()[-1] if told.strip() else type(error).__name__)
    return python


def quietly(
    command: list[str], *, timeout_s: float, environment: dict[str, str] | None = None
) -> None:
    """Run a command without output. Raises: as `subprocess.run` with `check`."""
    subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=timeout_s, env=environment
    )
