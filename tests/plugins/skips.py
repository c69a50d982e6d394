"""In CI a skipped test fails, unless `tests/skips.toml` names it with a reason.

A suite that skips what it was written for is green for nothing. Elsewhere skips pass: a plain user
without root still gets an answer.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Generator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

SKIPS = Path("tests") / "skips.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """One entry: tests of ids like `test` may be skipped with a message that begins with `said`."""

    test: str
    said: str
    reason: str

    def __post_init__(self) -> None:
        if not (self.test.strip("* ") and self.said and self.reason):
            raise ValueError(f"{SKIPS}: an entry needs a test, what it said and a reason: {self}")

    def covers(self, test_id: str, message: str) -> bool:
        """Whether this entry names that skip. Brackets are literal, `*` is anything."""
        pattern = ".*".join(re.escape(part) for part in self.test.split("*"))
        return re.fullmatch(pattern, test_id) is not None and message.startswith(self.said)


@cache
def known_skips(root: Path) -> tuple[Skip, ...]:
    """The entries of `tests/skips.toml` under `root`; none where there is no such file."""
    path = root / SKIPS
    if not path.exists():
        return ()
    # Python 3.10 has no tomllib; pytest brings tomli there.
    toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    return tuple(Skip(**entry) for entry in toml.loads(path.read_text()).get("skip", []))


def _judge(report: Any, root: Path) -> None:
    """Turn a skip that no entry names into a failure that says so."""
    if not os.environ.get("CI") or report.outcome != "skipped" or hasattr(report, "wasxfail"):
        return
    where = report.longrepr
    message = str(where[2] if isinstance(where, tuple) else where).removeprefix("Skipped: ")
    if any(skip.covers(report.nodeid, message) for skip in known_skips(root)):
        return
    report.outcome = "failed"
    report.longrepr = (
        f"{report.nodeid} was skipped ({message}). In CI a skip needs an entry with a reason in "
        f"{SKIPS}."
    )


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Judge the report of a test's phase, after every other plugin had its say."""
    report = yield
    _judge(report, item.config.rootpath)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Judge a module that skips itself while it is collected."""
    report = yield
    _judge(report, collector.config.rootpath)
    return report
