"""A power cut at every boundary: what was acknowledged is there, and the next attempt ends well."""

from __future__ import annotations

import os
import random
from functools import partial
from pathlib import Path

import pytest

from datasets.errors import IntegrityError
from executor.endpoints import landing as landing_module
from executor.endpoints import units
from executor.endpoints.disk import Disk
from executor.endpoints.landing import Landing
from executor.endpoints.local import Entry, SourceReader, list_source
from executor.endpoints.units import Unit, units_of
from executor.gateway.records import UnitReader, roots_of
from planner.dispatch import chunk_count
from tests.recorded_disk import RecordingDisk

CHUNK_BYTES = 4096
PARTIAL = b".tradewind-partial-x"


@pytest.fixture(autouse=True)
def small_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of a few kilobytes are large here, so that there are chunks and packs alike."""
    monkeypatch.setattr(units, "SMALL_BYTES", 1000)
    monkeypatch.setattr(units, "PACK_BYTES", 1500)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    made = tmp_path / "source"
    (made / "folder").mkdir(parents=True)
    dice = random.Random(5)
    (made / "large").write_bytes(dice.randbytes(3 * CHUNK_BYTES + 100))
    (made / "folder" / "other").write_bytes(dice.randbytes(CHUNK_BYTES))
    for number in range(4):
        (made / "folder" / f"small{number}").write_bytes(dice.randbytes(400 + number))
    (made / "empty").write_bytes(b"")
    (made / "link").symlink_to("large")
    return made


def content(root: Path) -> dict[str, bytes | str]:
    found: dict[str, bytes | str] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = str(path.readlink())
        elif path.is_file():
            found[name] = path.read_bytes()
        else:
            found[name] = "folder"
    return found


def send(
    landing: Landing, source: Path, entries: tuple[Entry, ...], acknowledged: list[tuple[int, int]]
) -> None:
    """Every chunk that is not there, in records of a third of a chunk."""
    reader = SourceReader(os.fsencode(source), entries)
    landing.next_attempt()
    for unit in landing.units:
        for chunk in range(chunk_count(unit.size, CHUNK_BYTES)):
            if landing.has(unit, chunk):
                continue
            _write(landing, unit, chunk, reader)
            landing.done(unit, chunk, partial(acknowledged.append, (unit.index, chunk)))
            landing.settle()


def _write(landing: Landing, unit: Unit, chunk: int, reader: SourceReader) -> None:
    first = chunk * CHUNK_BYTES
    plain = bytearray(min(CHUNK_BYTES, unit.size - first))
    units = UnitReader(reader)
    if unit.is_pack:
        units.read_pack(unit, memoryview(plain))
    else:
        units.read(unit, first, memoryview(plain))
    units.close()
    for start in range(0, len(plain), CHUNK_BYTES // 3):
        part = bytearray(plain[start : start + CHUNK_BYTES // 3])
        landing.write(unit, first + start, memoryview(part))


def transfer(source: Path, root: Path, disk: Disk, acknowledged: list[tuple[int, int]]) -> None:
    """One whole transfer into `root`/final, or what is left of one."""
    entries = list_source(source)
    landing = Landing(
        os.path.join(os.fsencode(root), PARTIAL), entries, chunk_bytes=CHUNK_BYTES, disk=disk
    )
    try:
        if not landing.is_placing:
            send(landing, source, entries, acknowledged)
            reader = SourceReader(os.fsencode(source), entries)
            landing.confirm(roots_of(landing.units, reader, {}, chunk_bytes=CHUNK_BYTES))
        landing.place(os.path.join(os.fsencode(root), b"final"))
    finally:
        landing.close()


def is_whole(root: Path, source: Path) -> bool:
    return (root / "final").exists() and content(root / "final") == content(source)


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
def test_a_power_cut_at_every_boundary_loses_nothing_that_was_acknowledged(
    source: Path, tmp_path: Path, seed: int | None
) -> None:
    disk = RecordingDisk()
    acknowledged: list[tuple[int, int]] = []
    known: list[int] = []
    disk.before = lambda: known.append(len(acknowledged))
    (tmp_path / "root").mkdir()
    transfer(source, tmp_path / "root", disk, acknowledged)
    assert is_whole(tmp_path / "root", source)
    total = len(disk.effects)
    assert total > 60
    for at in range(total + 1):
        left = tmp_path / f"after{at}"
        keep = None if seed is None else random.Random(1000 * seed + at)
        disk.after_power_cut(at, tmp_path / "root", left, keep=keep)
        told = acknowledged[: known[at]] if at < total else acknowledged
        if at == total:
            assert is_whole(left, source), "success was said"
        if is_whole(left, source):
            continue
        partial = os.path.join(os.fsencode(left), PARTIAL)
        if told:
            landing = Landing(partial, list_source(source), chunk_bytes=CHUNK_BYTES)
            units = {unit.index: unit for unit in landing.units}
            if not landing.is_placing:
                assert all(landing.has(units[index], chunk) for index, chunk in told), at
            landing.close()
        again: list[tuple[int, int]] = []
        transfer(source, left, Disk(), again)
        assert is_whole(left, source), at
        assert not set(again) & set(told), "what was acknowledged was sent again"


def test_the_recorder_would_catch_an_acknowledgement_before_the_sync(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: the journal is written, and the data is not brought to disk before it."""
    monkeypatch.setattr(landing_module.Landing, "_sync", lambda self, batch: None)
    with pytest.raises((AssertionError, IntegrityError)):
        test_a_power_cut_at_every_boundary_loses_nothing_that_was_acknowledged(
            source, tmp_path, None
        )


def test_units_are_packs_and_files_here(source: Path) -> None:
    kinds = {unit.is_pack for unit in units_of(list_source(source))}
    assert kinds == {True, False}
