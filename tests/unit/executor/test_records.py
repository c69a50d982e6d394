"""Records end to end: any order, doubled, torn; and no nonce covers two plaintexts."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from datasets.errors import IntegrityError, SessionRefused, TransferFailed
from executor.endpoints.disk import Disk
from executor.endpoints.journal import Journal
from executor.endpoints.landing import Landing
from executor.endpoints.local import SourceReader, list_source
from executor.endpoints.units import Unit
from executor.gateway import crypto, records
from executor.gateway.command import (
    COMMAND_BYTES,
    RIGHT_WRITE,
    SIGNED_BYTES,
    TAG_BYTES,
    parse,
)
from executor.gateway.crypto import Sealer, new_key
from executor.gateway.records import ChunkReceiver, ChunkSender, ListedArrivals, UnitReader, Way
from executor.gateway.session import Session
from executor.gateway.transport import Metrics
from planner.dispatch import chunk_count

RECORD_BYTES, CHUNK_BYTES = 1 << 16, 1 << 18
SIZE_BYTES = 3 * CHUNK_BYTES + RECORD_BYTES + 17 + (1 << 20)


@dataclass
class Heard:
    """A connection that keeps what is sent; `cut` frames in, it breaks."""

    frames: list[bytes] = field(default_factory=list)
    cut: int = 1 << 30

    def send(self, frame: memoryview | bytes) -> None:
        if len(self.frames) >= self.cut:
            raise TransferFailed("cut")
        self.frames.append(bytes(frame))

    def receive(self, view: memoryview) -> int:
        raise NotImplementedError

    def set_timeout(self, seconds: float) -> None: ...

    def metrics(self) -> Metrics:
        return Metrics()

    def finish(self) -> None: ...

    def close(self) -> None: ...


def way_for(key: bytes, attempt: int = 1) -> Way:
    session = Session(
        transfer=b"t" * 16,
        session=b"s" * 16,
        epoch=1,
        expiry=1 << 40,
        rights=RIGHT_WRITE,
        first_byte=0,
        last_byte=1 << 40,
    )
    return Way(
        session=session,
        key=b"k" * 32,
        sealer=Sealer(key, record_bytes=RECORD_BYTES),
        attempt=attempt,
        chunk_bytes=CHUNK_BYTES,
        record_bytes=RECORD_BYTES,
    )


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "large").write_bytes(os.urandom(SIZE_BYTES))
    for number in range(5):
        (tmp_path / "source" / f"s{number}").write_bytes(os.urandom(30_000))
    return tmp_path / "source"


def reader_of(source: Path) -> UnitReader:
    return UnitReader(SourceReader(os.fsencode(source), list_source(source)))


@pytest.fixture
def landing(source: Path, tmp_path: Path) -> Iterator[Landing]:
    found = Landing(
        os.fsencode(tmp_path / ".tradewind-partial-x"),
        list_source(source),
        chunk_bytes=CHUNK_BYTES,
    )
    yield found
    found.close()


def all_chunks(landing: Landing) -> list[tuple[Unit, int]]:
    return [
        (unit, chunk)
        for unit in landing.units
        for chunk in range(chunk_count(unit.size, CHUNK_BYTES))
    ]


def sent(source: Path, landing: Landing, way: Way) -> list[bytes]:
    heard = Heard()
    sender = ChunkSender(reader_of(source))
    for unit, chunk in all_chunks(landing):
        sender.send(heard, way, unit, chunk)
    sender.close()
    return heard.frames


def take(receiver: ChunkReceiver, frame: bytes, told: list[tuple[int, int]]) -> None:
    view = memoryview(bytearray(frame))
    receiver.take(view, parse(view), lambda unit, chunk: told.append((unit.index, chunk)))


@pytest.mark.parametrize("seed", range(4))
def test_records_in_any_order_and_doubled_make_the_same_files(
    source: Path, landing: Landing, tmp_path: Path, seed: int
) -> None:
    way = way_for(b"m" * 32)
    frames = sent(source, landing, way)
    frames += frames[::3]
    random.Random(seed).shuffle(frames)
    receiver = ChunkReceiver(ListedArrivals(landing), way)
    told: list[tuple[int, int]] = []
    for frame in frames:
        take(receiver, frame, told)
    landing.settle()
    assert set(told) == {(unit.index, chunk) for unit, chunk in all_chunks(landing)}
    landing.place(os.fsencode(tmp_path / "final"))
    for path in source.iterdir():
        assert (tmp_path / "final" / path.name).read_bytes() == path.read_bytes()


def test_a_record_that_was_cut_moved_or_changed_is_refused(source: Path, landing: Landing) -> None:
    way = way_for(b"m" * 32)
    frame = sent(source, landing, way)[0]
    receiver = ChunkReceiver(ListedArrivals(landing), way)
    dice = random.Random(1)
    for _ in range(200):
        changed = bytearray(frame)
        at = dice.randrange(len(changed))
        if SIGNED_BYTES <= at < COMMAND_BYTES:
            continue  # the MAC, which whoever calls has checked
        changed[at] ^= 1 << dice.randrange(8)
        with pytest.raises((IntegrityError, SessionRefused)):
            take(receiver, bytes(changed), [])
    for length in (0, 1, 100):
        command = replace(parse(frame), payload_length=length + TAG_BYTES)
        view = memoryview(bytearray(frame))
        with pytest.raises((IntegrityError, SessionRefused)):
            receiver.take(view, command, lambda unit, chunk: None)
    assert landing.received() == {}


def test_a_connection_that_only_begins_chunks_is_refused(
    source: Path, landing: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "MOST_BEGUN", 2)
    way = way_for(b"m" * 32)
    firsts = [
        frame
        for frame in sent(source, landing, way)
        if parse(frame).offset % CHUNK_BYTES == 0 and parse(frame).payload_length > RECORD_BYTES
    ]
    receiver = ChunkReceiver(ListedArrivals(landing), way)
    assert len(firsts) >= 3
    for frame in firsts[:2]:
        take(receiver, frame, [])
    with pytest.raises(SessionRefused, match="more chunks than"):
        take(receiver, firsts[2], [])


def test_no_nonce_covers_two_plaintexts_nor_one_under_two_commands(
    source: Path, landing: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections that break, chunks sent again on the same one, a crash and its next attempt, a
    source that changed with the same size and time: each (key, nonce) is for one record alone.
    """
    used: dict[tuple[bytes, bytes], bytes] = {}

    class Watched:
        def __init__(self, key: bytes) -> None:
            self._key, self._inner = key, AESGCM(key)

        def encrypt_into(
            self, nonce: bytes, plain: memoryview, about: memoryview, into: memoryview
        ) -> None:
            place, what = (self._key, nonce), bytes(plain) + bytes(about)
            assert used.setdefault(place, what) == what, "a nonce covers two records"
            assert place not in seen_now, "a record was sealed twice under one nonce"
            seen_now.add(place)
            self._inner.encrypt_into(nonce, plain, about, into)

    seen_now: set[tuple[bytes, bytes]] = set()
    monkeypatch.setattr(crypto, "AESGCM", Watched)
    master = new_key()
    for attempt in (1, 1, 2):  # the second: state was lost, and the number came again
        for cut in (3, 7, 1 << 30):
            sender = ChunkSender(reader_of(source))
            heard = Heard(cut=cut)
            try:
                for unit, chunk in [*all_chunks(landing), *all_chunks(landing)]:
                    sender.send(heard, way_for(master, attempt), unit, chunk, path=cut % 5)
            except TransferFailed:
                continue
            finally:
                sender.close()
    about = (source / "large").stat()
    (source / "large").write_bytes(os.urandom(SIZE_BYTES))
    os.utime(source / "large", ns=(about.st_atime_ns, about.st_mtime_ns))
    sender = ChunkSender(reader_of(source))
    for unit, chunk in all_chunks(landing):
        sender.send(Heard(), way_for(master), unit, chunk)
    sender.close()
    assert len(used) > 100


def test_that_guard_would_catch_a_key_id_that_is_used_again(
    source: Path, landing: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: every connection draws the same key id."""
    monkeypatch.setattr(records, "new_key_id", lambda: 7)
    with pytest.raises(AssertionError, match="nonce"):
        test_no_nonce_covers_two_plaintexts_nor_one_under_two_commands(source, landing, monkeypatch)


def test_a_source_that_changed_is_noticed(source: Path, landing: Landing) -> None:
    sender = ChunkSender(reader_of(source))
    unit = landing.units[0]
    sender.send(Heard(), way_for(b"m" * 32), unit, 0)
    (source / "large").write_bytes(b"x" * SIZE_BYTES)
    with pytest.raises(TransferFailed, match="changed while it was being read"):
        sender.send(Heard(), way_for(b"m" * 32), unit, 1)
    sender.close()


def test_a_sparse_object_of_34_pib_costs_kilobytes(tmp_path: Path) -> None:
    """A listing that says so, chunks far apart, the file with holes: state stays small."""
    (tmp_path / "j").mkdir()
    journal = Journal(os.fsencode(tmp_path / "j"), Disk())
    chunks = chunk_count(34 << 50, 1 << 20)
    stripe = chunks // 16
    for number in range(400):
        journal.write((0, lane * stripe + number) for lane in range(16))
    journal.close()
    again = Journal(os.fsencode(tmp_path / "j"), Disk())
    assert list(again.received[0]) == [(lane * stripe, lane * stripe + 400) for lane in range(16)]
    again.close()
    size = sum(path.stat().st_size for path in (tmp_path / "j").iterdir())
    assert size <= 400 * 16 * 32
