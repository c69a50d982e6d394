"""Keeps the README's examples true: each `console` block is a command and what it printed.

`python -m experiments.readme_page [--write]` runs every command of README.md, in order and in one
temporary folder, and prints the page with the output that was seen (or writes it back).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

_BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
_TIMEOUT_S = 300


def examples(page: str) -> list[tuple[str, str]]:
    """(command, printed) of each example, in order."""
    found = []
    for block in _BLOCK.findall(page):
        parts = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
        for part in parts:
            command, _, printed = part.partition("\n")
            found.append((command, printed))
    return found


def run_in(folder: Path, command: str) -> str:
    """What a README's command prints in `folder`. Raises: CalledProcessError if it fails."""
    words = command.split()
    program = {"tradewind": ["-m", "experiments.cli"], "python": []}[words[0]]
    done = subprocess.run(
        [sys.executable, *program, *words[1:]],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
        env={**os.environ, "TRADEWIND_STATE": str(folder / "state"), "COLUMNS": "100"},
    )
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, words, done.stdout, done.stderr)
    return "\n".join(line.rstrip() for line in done.stdout.splitlines()).strip("\n") + "\n"


def renewed(page: str, run: Callable[[str], str]) -> str:
    """The page with every example's output as `run` gives it."""

    def block(match: re.Match[str]) -> str:
        parts = re.split(r"^\$ ", match.group(1), flags=re.MULTILINE)[1:]
        lines = []
        for part in parts:
            command = part.partition("\n")[0]
            lines.append(f"$ {command}\n{run(command)}")
        return "```console\n" + "".join(lines) + "```"

    return _BLOCK.sub(block, page)


def make_files(folder: Path) -> None:
    """What the examples move: a folder of small pictures, not really."""
    photos = folder / "photos"
    photos.mkdir()
    for number in range(12):
        (photos / f"photo-{number:02d}.raw").write_bytes(bytes([number]) * 4_000_000)


def main() -> None:
    """Print the renewed page, or write it back with `--write`."""
    readme = Path("README.md")
    page = readme.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_files(folder)
        page = renewed(page, lambda command: run_in(folder, command))
    if "--write" in sys.argv[1:]:
        readme.write_text(page, encoding="utf-8")
    else:
        sys.stdout.write(page)


if __name__ == "__main__":
    main()
