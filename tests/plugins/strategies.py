"""`pytest --strategy theirs`: the contract suite on strategies of one's own, and on no other.

A test with an argument `strategy` that it does not set itself runs for every registered strategy,
or for those named.
"""

from __future__ import annotations

import pytest

from planner.strategies import strategy_names


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option."""
    parser.addoption(
        "--strategy",
        action="append",
        default=[],
        metavar="NAME",
        help="run the strategies' contract on this one: a registered name, or FILE.py:FUNCTION",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test a strategy."""
    if _open(metafunc.definition):
        named = metafunc.config.getoption("--strategy")
        metafunc.parametrize("strategy", named or strategy_names())


def _open(item: pytest.Item) -> bool:
    own = {
        name for mark in item.iter_markers("parametrize") for name in str(mark.args[0]).split(",")
    }
    return "strategy" in getattr(item, "fixturenames", ()) and "strategy" not in own


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With --strategy only the tests of a strategy run."""
    if not config.getoption("--strategy"):
        return
    kept = [item for item in items if _open(item)]
    dropped = [item for item in items if item not in kept]
    config.hook.pytest_deselected(items=dropped)
    items[:] = kept
