"""What a relay may do to what passes through it: deny, nothing else."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from datasets.events import Event, detail_of
from executor.gateway import stripe
from executor.gateway.command import COMMAND_BYTES, Kind, object_id_of, pack_into, parse
from executor.gateway.crypto import new_key, new_key_id, sign, signed_command
from executor.gateway.transport import Closed
from tests.rig import CHUNK_BYTES, Rig, honest, tcp_pair

SIZE_BYTES = 20 * CHUNK_BYTES + 4321


class Hostile:
    """Honest for some records, then does `what` to one, once or always."""

    def __init__(self, what: Callable[[bytes], Sequence[bytes]], *, always: bool = False) -> None:
        self._what = what
        self._always = always
        self.seen = self.done = 0

    def __call__(self, frame: bytes) -> Sequence[bytes]:
        if parse(frame).kind is not Kind.DATA:
            return (frame,)
        self.seen += 1
        if self.seen < 6 or (self.done and not self._always):
            return (frame,)
        self.done += 1
        return self._what(frame)


def flip(frame: bytes, at: int) -> Sequence[bytes]:
    changed = bytearray(frame)
    changed[at] ^= 1
    return (bytes(changed),)


def claim(frame: bytes, **fields: int | bytes) -> Sequence[bytes]:
    """The same record under a command that says something else, its MAC as it was."""
    changed = bytearray(frame)
    pack_into(memoryview(changed), replace(parse(frame), **fields))  # type: ignore[arg-type]
    changed[144:160] = frame[144:160]
    return (bytes(changed),)


def own_signature(frame: bytes) -> Sequence[bytes]:
    changed = bytearray(frame)
    sign(memoryview(changed), new_key())
    return (bytes(changed),)


BREACHES: dict[str, tuple[Callable[[bytes], Sequence[bytes]], str]] = {
    "payload": (lambda frame: flip(frame, COMMAND_BYTES + 77), "changed on its way"),
    "tag": (lambda frame: flip(frame, len(frame) - 1), "changed on its way"),
    "signature": (lambda frame: flip(frame, 150), "not signed by its session"),
    "offset": (lambda frame: claim(frame, offset=0), "not signed by its session"),
    "size": (lambda frame: claim(frame, object_size=1 << 40), "not signed by its session"),
    "object": (lambda frame: claim(frame, object_id=bytes(16)), "not signed by its session"),
    "rights": (lambda frame: claim(frame, rights=3), "not signed by its session"),
    "magic": (lambda frame: flip(frame, 0), "not a command of version 1"),
    "resigned": (own_signature, "not signed by its session"),
    "truncated": (lambda frame: (frame[: COMMAND_BYTES + 100],), ""),
    "dropped": (lambda frame: (), ""),
}


@pytest.mark.parametrize("name", BREACHES)
def test_what_one_relay_breaks_comes_by_another_way(name: str, tmp_path: Path) -> None:
    what, why = BREACHES[name]
    hostile = Hostile(what)
    rig = Rig(tmp_path, SIZE_BYTES, [hostile, honest])
    assert rig.run() == ""
    # A record that is dropped or cut short is refused by nobody: its chunk does not become whole,
    # or it swallows what follows. The other lane sends it as well once it is overdue.
    lost = rig.rows(rig.end_log, Event.CONNECTION_LOST)
    assert not why or any(why in detail_of(row.detail)["why"] for row in lost)
    assert hostile.done == 1
    assert rig.arrived() == rig.source_path.read_bytes()
    assert rig.rows(rig.source_log, Event.CHUNK_RESENT)


def test_with_no_other_way_it_is_a_clear_failure(tmp_path: Path) -> None:
    rig = Rig(tmp_path, SIZE_BYTES, [Hostile(lambda frame: flip(frame, 500), always=True)])
    assert "no lane is left" in rig.run() or "lane 0 by end" in rig.source_log.failure
    assert rig.arrived() != rig.source_path.read_bytes()


def test_a_dropped_record_of_the_only_way_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stripe, "STALLED_S", 1.0)
    rig = Rig(tmp_path, SIZE_BYTES, [Hostile(lambda frame: ())])
    assert "nothing was acknowledged for 1 s" in rig.run()


def duplicated(frame: bytes) -> Sequence[bytes]:
    return (frame, frame)


def test_every_record_twice_is_harmless(tmp_path: Path) -> None:
    """What comes again after its chunk was whole begins another count, and acknowledges nothing."""
    rig = Rig(tmp_path, SIZE_BYTES, [Hostile(duplicated, always=True)])
    assert rig.run() == ""
    assert rig.arrived() == rig.source_path.read_bytes()
    acknowledged = rig.rows(rig.source_log, Event.CHUNK_ACKNOWLEDGED)
    assert len({(row.object, row.chunk) for row in acknowledged}) == len(acknowledged) == 21


class Shuffler:
    """Holds records back and lets them go in another order, as another transport may."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._held: list[bytes] = []

    def __call__(self, frame: bytes) -> Sequence[bytes]:
        command = parse(frame)
        if command.kind is not Kind.DATA:
            # A beat comes while the source waits: then nothing more may be held.
            held, self._held = self._held, []
            return (*held, frame)
        self._held.append(frame)
        if len(self._held) < 7:
            return ()
        self._random.shuffle(self._held)
        return [self._held.pop() for _ in range(4)]


@pytest.mark.parametrize("seed", range(3))
def test_records_in_any_order_make_the_same_object(seed: int, tmp_path: Path) -> None:
    rig = Rig(tmp_path, SIZE_BYTES, [Shuffler(seed)])
    assert rig.run() == ""
    assert rig.arrived() == rig.source_path.read_bytes()
    assert not rig.rows(rig.source_log, Event.CHUNK_RESENT)


class Recorder:
    """Honest, and keeps what it saw."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def __call__(self, frame: bytes) -> Sequence[bytes]:
        if parse(frame).kind is Kind.DATA:
            self.frames.append(frame)
        return (frame,)


def test_a_replay_on_another_connection_writes_what_is_there_already(tmp_path: Path) -> None:
    recorder = Recorder()
    rig = Rig(tmp_path, SIZE_BYTES, [recorder])
    attacker, incoming = tcp_pair()
    rig.serve(incoming, 0)
    assert rig.run() == ""
    before = rig.arrived()
    attacker.close()
    again, incoming = tcp_pair()
    rig.serve(incoming, 0)
    for frame in reversed(recorder.frames):
        again.send(frame)
    again.close()
    rig.close()
    assert rig.arrived() == before == rig.source_path.read_bytes()


def test_a_replay_into_another_transfer_is_refused(tmp_path: Path) -> None:
    recorder = Recorder()
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    assert Rig(tmp_path / "one", SIZE_BYTES, [recorder]).run() == ""
    rig = Rig(tmp_path / "two", SIZE_BYTES, [honest])
    empty = rig.arrived()
    attacker, incoming = tcp_pair()
    rig.serve(incoming, 0)
    for frame in recorder.frames[:1]:
        attacker.send(frame)
    with pytest.raises(Closed):
        attacker.receive(memoryview(bytearray(COMMAND_BYTES)))
    attacker.close()
    rig.heart.start()
    for each in rig.stripes:
        each.close()
    rig.close()
    assert rig.arrived() == empty
    lost = rig.rows(rig.end_log, Event.CONNECTION_LOST)
    assert any("not signed by its session" in row.detail for row in lost)


def test_what_one_connection_sealed_has_nothing_in_common_with_another(tmp_path: Path) -> None:
    """Each connection seals under a key id of its own, however often a chunk is sent again."""
    first, second = Recorder(), Recorder()
    broken = Hostile(lambda frame: flip(frame, 500))

    def tap(frame: bytes) -> Sequence[bytes]:
        first(frame)
        return broken(frame)

    rig = Rig(tmp_path, SIZE_BYTES, [tap, second])
    assert rig.run() == ""
    ids = [{parse(frame).key_id for frame in each.frames} for each in (first, second)]
    assert [len(each) for each in ids] == [1, 1]
    assert ids[0] != ids[1]
    commands = [parse(frame) for frame in first.frames + second.frames]
    seen = [(command.key_id, command.object_id, command.offset) for command in commands]
    assert len(seen) == len(set(seen))


def forged_acknowledgement(rig: Rig, *, key: bytes, place: int) -> bytes:
    entry = rig.entries[0]
    command = rig.session.command(
        Kind.ACKNOWLEDGE,
        object_id=object_id_of(entry.index, entry.identity(rig.configuration.transfer)),
        object_size=entry.size,
        offset=place * CHUNK_BYTES,
        chunk_size=CHUNK_BYTES,
        attempt=1,
    )
    return signed_command(command, key)


@pytest.mark.parametrize(
    ("signed", "resent"), [(False, True), (True, False)], ids=["forged", "replayed"]
)
def test_acknowledgements_that_nobody_sent_acknowledge_nothing(
    signed: bool, resent: bool, tmp_path: Path
) -> None:
    """Forged ones end the connection; a replayed one of what is not under way is let pass."""
    made: list[Rig] = []

    def back(frame: bytes) -> Sequence[bytes]:
        if parse(frame).kind is not Kind.ACKNOWLEDGE or not made:
            return (frame,)
        rig = made[0]
        key = rig.key if signed else new_key()
        return (frame, frame if signed else forged_acknowledgement(rig, key=key, place=15))

    rig = Rig(tmp_path, SIZE_BYTES, [honest, honest], back=back)
    made.append(rig)
    assert rig.run() == ""
    assert rig.arrived() == rig.source_path.read_bytes()
    assert bool(rig.rows(rig.source_log, Event.CHUNK_RESENT)) == resent


def test_an_end_before_its_time_ends_nothing_but_the_connection(tmp_path: Path) -> None:
    made: list[Rig] = []

    def back(frame: bytes) -> Sequence[bytes]:
        if parse(frame).kind is not Kind.ACKNOWLEDGE or not made:
            return (frame,)
        end = signed_command(made[0].session.command(Kind.END), made[0].key)
        return (frame, end)

    rig = Rig(tmp_path, SIZE_BYTES, [honest, honest], back=back)
    made.append(rig)
    assert rig.run() == ""
    assert rig.arrived() == rig.source_path.read_bytes()
    lost = rig.rows(rig.source_log, Event.CONNECTION_LOST)
    assert any("before its time" in row.detail for row in lost)


def test_key_ids_are_drawn_anew() -> None:
    assert len({new_key_id() for _ in range(1000)}) == 1000
