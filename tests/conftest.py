"""What all tests share: a state folder of their own, and which backings work here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from executor.ledger import Ledger
from executor.providers.netns import why_not

# `pytester` runs pytest inside a test; the others hold that no
# test is skipped unseen in CI, and run the strategies' contract.
pytest_plugins = ["pytester", "tests.plugins.skips", "tests.plugins.strategies"]

BACKINGS = ["loopback", pytest.param("netns", marks=pytest.mark.netns)]


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test sees or touches the user's own ledger."""
    folder = tmp_path / "state"
    monkeypatch.setenv("TRADEWIND_STATE", str(folder))
    return folder


@pytest.fixture
def ledger(state: Path) -> Iterator[Ledger]:
    """An empty ledger, where the verbs also look for it."""
    opened = Ledger(state / "ledger.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def backing(request: pytest.FixtureRequest) -> str:
    """A local provider by name; skipped where it cannot run."""
    name = str(request.param)
    reason = why_not() if name == "netns" else None
    if reason is not None:
        pytest.skip(f"namespaces: {reason}")
    return name
