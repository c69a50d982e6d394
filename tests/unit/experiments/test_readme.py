"""The README shows what its commands print. Renew it: `python -m experiments.readme_page --write`.

The long examples (`run`, `fidelity`, `calibration_study`) are held by the end-to-end tests; here it
is checked that their output is there, and every other example is run.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from experiments.readme_page import examples, make_files, renewed, run_in

PAGE = Path("README.md").read_text(encoding="utf-8")
LONG = (
    "tradewind run ",
    "python -m experiments.fidelity",
    "python -m experiments.calibration_study",
)
# How old the figures are changes with the day; what an execution measured, with the run.
AGE = re.compile(r"\(\d+[^)]*\sold\)")
NUMBERS = re.compile(r"[0-9a-f]{32}|\d[\d.,e-]*|\b(netns|loopback)\b")


def comparable(command: str, printed: str) -> str:
    """What must be equal: words without line breaks, without the age, without a run's figures."""
    flat = AGE.sub("(age)", " ".join(printed.split()))
    return NUMBERS.sub("#", flat) if " execute " in command else flat


def test_there_are_examples_and_all_show_output() -> None:
    found = examples(PAGE)
    assert len(found) >= 7
    assert [command for command, printed in found if not printed.strip()] == []
    assert sum(command.startswith(LONG) for command, _ in found) == len(LONG)


def test_every_other_example_prints_what_the_page_shows(tmp_path: Path) -> None:
    make_files(tmp_path)
    for command, printed in examples(PAGE):
        if not command.startswith(LONG):
            seen = run_in(tmp_path, command)
            assert comparable(command, seen) == comparable(command, printed), command


def test_a_planted_untruth_is_seen() -> None:
    page = "before\n```console\n$ tradewind matrix ls\nwrong\n```\nafter"
    assert examples(page) == [("tradewind matrix ls", "wrong\n")]
    assert renewed(page, lambda command: "right\n") == page.replace("wrong", "right")


@pytest.mark.parametrize("command", ["make demo", "make test"])
def test_the_two_commands_are_on_the_page(command: str) -> None:
    assert command in PAGE
    target = command.removeprefix("make ")
    assert re.search(rf"^{target}:", Path("Makefile").read_text(), re.MULTILINE)
