"""What benchmarks beside other tools rest on: digests compared, failures told, blocks of a page.

The tools themselves are not needed here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import click
import pytest

from benchmarks import peers, soak, transfers
from benchmarks.__main__ import measure, table_of
from benchmarks.page import with_block
from benchmarks.peers import PeerFailed
from benchmarks.registry import on_demand, specs
from benchmarks.transfers import check_arrived, timed_s


def test_what_did_not_arrive_whole_is_no_figure() -> None:
    source = transfers.source_of(1000)

    def whole(source: Path, root: Path, private: Path, log: Path) -> float:
        shutil.copy(source, root / "arrived")
        return 1.0

    def spoiled(source: Path, root: Path, private: Path, log: Path) -> float:
        whole(source, root, private, log)
        with open(root / "arrived", "r+b") as file:
            byte = file.read(1)
            file.seek(0)
            file.write(bytes([byte[0] ^ 1]))
        return 1.0

    def missing(source: Path, root: Path, private: Path, log: Path) -> float:
        return 1.0

    assert timed_s(whole, source) == 1.0
    for way in (spoiled, missing):
        with pytest.raises(PeerFailed):
            timed_s(way, source)


def test_a_folder_that_lacks_a_file_is_not_the_same(tmp_path: Path) -> None:
    source = transfers.small_files(30, 10)
    shutil.copytree(source, tmp_path / "arrived")
    check_arrived(source, tmp_path / "arrived")
    os.unlink(next(path for path in (tmp_path / "arrived").rglob("*") if path.is_file()))
    with pytest.raises(PeerFailed, match="not what was sent"):
        check_arrived(source, tmp_path / "arrived")


def test_a_peer_that_fails_or_is_missing_is_named_in_the_table() -> None:
    base = next(spec for spec in specs() if spec.name == "ledger.commit")
    calls = []

    def fails(size: int) -> float:
        calls.append(size)
        raise PeerFailed("it stood still")

    both = [
        replace(base, name="one", run=lambda _: 1.0, peer=fails),
        replace(base, name="two", run=lambda _: 1.0, peer=fails, missing="not installed: it"),
    ]
    found = measure(both, rounds=3, tiny=True)
    assert [entry.failed for entry in found] == [
        "failed in round 1: it stood still",
        "not installed: it",
    ]
    assert len(calls) == 1
    assert [entry.peers for entry in found] == [(), ()]
    assert table_of(found).row_count == 2


def test_a_case_of_ours_that_cannot_run_is_named_too() -> None:
    base = next(spec for spec in specs() if spec.name == "ledger.commit")

    def fails(size: int) -> float:
        raise PeerFailed("no root here")

    calls: list[int] = []

    def counted(size: int) -> float:
        calls.append(size)
        return 1.0

    (found,) = measure([replace(base, run=fails, peer=counted)], rounds=2, tiny=True)
    assert (found.broken, found.runs, found.peers) == ("no root here", (), ())
    assert calls == []


def test_every_peer_has_a_case_beside_it_wherever_this_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(peers, "find", lambda name: None)
    peers.version.cache_clear()
    for subject in ("transfers", "objects"):
        found = on_demand(subject)
        assert len(found) >= 8
        assert all(spec.missing.startswith("not installed") for spec in found)
    peers.version.cache_clear()


def test_a_block_of_a_page_is_replaced_and_nothing_else() -> None:
    page = "before\n<!-- soak -->\nold\n<!-- end of soak -->\nafter\n"
    once = with_block(page, "soak", "the command", "a table  \nof it\n")
    assert once == (
        "before\n<!-- soak -->\n```\n$ the command\na table\nof it\n```\n"
        "<!-- end of soak -->\nafter\n"
    )
    assert with_block(once, "soak", "the command", "a table\nof it") == once
    with pytest.raises(click.ClickException, match="no single block"):
        with_block(page, "fuzz", "", "")


def test_what_a_soak_leaves_behind_would_be_seen(tmp_path: Path) -> None:
    (tmp_path / "back").mkdir()
    server = soak.Server(tmp_path)
    (server.root / "held").write_bytes(b"kept")
    assert soak._left(server, {"held"}) == []
    (server.root / ".tradewind-partial-x").mkdir()
    (tmp_path / "back" / "copy-1").write_bytes(b"")
    words = [sys.executable, "-c", "input()", str(tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as process:
        try:
            left = soak._left(server, {"held"})
        finally:
            process.kill()
    assert left == ["root/.tradewind-partial-x", "back/copy-1", f"process {process.pid}"]
