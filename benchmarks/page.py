"""Printed tables into a page, by the run that printed them: no figure is typed by hand.

A block stands between `<!-- NAME -->` and `<!-- end of NAME -->`; what is between is replaced by
the command and its output.
"""

from __future__ import annotations

import re
from pathlib import Path

import click


def with_block(page: str, name: str, command: str, text: str) -> str:
    """The page with that block's content. Raises: ClickException if it has no such block."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if len(pattern.findall(page)) != 1:
        raise click.ClickException(f"the page has no single block {begin} … {end}")
    body = "\n".join(line.rstrip() for line in text.strip("\n").splitlines())
    content = f"{begin}\n```\n$ {command}\n{body}\n```\n{end}"
    return pattern.sub(lambda _: content, page)


def write_block(path: Path, name: str, command: str, text: str) -> None:
    """Replace the block in the file. Raises: ClickException."""
    try:
        page = path.read_text()
    except OSError as error:
        raise click.ClickException(f"cannot read {path}: {error.strerror}") from error
    path.write_text(with_block(page, name, command, text))
