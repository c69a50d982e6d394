"""The fuzzer of commands and control documents, and that it would find what it looks for."""

from __future__ import annotations

import random

import pytest
from click.testing import CliRunner

from benchmarks import fuzz
from benchmarks.fuzz import Commands, ControlDocuments, Layout, main, targets
from executor.gateway.session import Session

CASES = 3000


def test_nothing_crashes_and_nothing_spoiled_is_accepted() -> None:
    for target in targets(random.Random(1)):
        tally = fuzz.fuzz(target, CASES, 1, lambda _: None)
        assert tally.defects == []
        assert tally.cases == CASES
        assert sum(tally.refused.values()) + tally.unspoiled == CASES


def test_the_same_seed_gives_the_same_cases() -> None:
    one, other = (
        fuzz.fuzz(Commands(random.Random(7)), 500, 7, lambda _: None).refused for _ in range(2)
    )
    assert one == other


def test_a_signature_that_is_not_checked_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("executor.site.worker.check_signature", lambda *_: None)
    # Nor may what is claimed be all that is asked.
    monkeypatch.setattr(Session, "check", lambda *_, **__: None)
    tally = fuzz.fuzz(Commands(random.Random(1)), CASES, 1, lambda _: None)
    assert any("accepted" in defect for defect in tally.defects)


def test_a_crash_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(data: bytes) -> None:
        raise IndexError("beyond the end")

    monkeypatch.setattr(fuzz, "parse", careless)
    tally = fuzz.fuzz(Layout(random.Random(1)), 10, 1, lambda _: None)
    assert len(tally.defects) == 10


def test_a_path_that_leaves_the_root_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("executor.endpoints.listing._check_path", lambda *_: None)
    tally = fuzz.fuzz(ControlDocuments(random.Random(1)), CASES, 1, lambda _: None)
    assert any("was accepted with the path" in defect for defect in tally.defects)


def test_it_prints_a_table() -> None:
    done = CliRunner().invoke(main, ["--cases", "300"])
    assert done.exit_code == 0, done.output
    assert "crashed, or accepted wrongly" in done.stdout
