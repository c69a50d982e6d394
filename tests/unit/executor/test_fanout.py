"""Fan-out: every branch gets every frame in order; a slow one waits on disk, not the others."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.errors import TradewindError, TransferFailed
from executor.control import messages_pb2 as messages
from executor.gateway.fanout import QUEUE_RECORDS, Fanout, Outlet, Spill
from tests.hops import FakeConnection, hop_of

FRAME = 64
WAIT_S = 20.0


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def fan_of(
    connections: list[FakeConnection],
    *,
    spill_bytes: int = 100 * FRAME,
    broken: list[tuple[Outlet, TradewindError]] | None = None,
) -> Fanout:
    outlets = [Outlet(hop=hop_of(c), branch=messages.Branch()) for c in connections]
    return Fanout(
        outlets,
        frame_bytes=FRAME,
        spill_bytes=spill_bytes,
        send=lambda outlet, frame: outlet.hop.send(frame),
        broken=lambda outlet, error: (broken if broken is not None else []).append((outlet, error)),
    )


def put(fan: Fanout, number: int, length: int = FRAME) -> None:
    frame = fan.frame()
    frame.view[:length] = bytes([number % 256]) * length
    fan.put(frame, length)


def put_all(fan: Fanout, count: int) -> None:
    for number in range(count):
        put(fan, number)


def expected(count: int) -> list[bytes]:
    return [bytes([number % 256]) * FRAME for number in range(count)]


def test_every_branch_gets_every_frame_in_order() -> None:
    connections = [FakeConnection() for _ in range(3)]
    fan = fan_of(connections)
    for number in range(50):
        put(fan, number)
    fan.drain()
    fan.dispose()
    for connection in connections:
        assert connection.sent == expected(50)


def test_a_slow_branch_does_not_stop_a_fast_one_and_loses_nothing() -> None:
    gate = threading.Event()
    slow, fast = FakeConnection(slow=gate), FakeConnection()
    fan = fan_of([slow, fast])
    for number in range(60):
        put(fan, number)
    eventually(lambda: fast.sent == expected(60))
    assert slow.sent == []
    # One is being sent, as many as the queue holds wait in memory, the rest on disk.
    assert fan.spilled_bytes >= (60 - QUEUE_RECORDS - 1) * FRAME
    gate.set()
    fan.drain()
    assert slow.sent == expected(60)
    put(fan, 60)
    fan.drain()
    assert slow.sent == expected(61)
    fan.dispose()


def test_memory_is_what_the_formula_says_however_much_is_put() -> None:
    gate = threading.Event()
    connections = [FakeConnection(slow=gate), FakeConnection(slow=gate)]
    fan = fan_of(connections, spill_bytes=1000 * FRAME)
    made = set()
    for number in range(400):
        frame = fan.frame()
        made.add(id(frame))
        frame.view[:] = bytes([number % 256]) * FRAME
        fan.put(frame, FRAME)
    assert len(made) <= len(connections) * QUEUE_RECORDS + 2
    gate.set()
    fan.drain()
    assert all(connection.sent == expected(400) for connection in connections)
    fan.dispose()


def test_a_full_file_holds_the_sender_until_the_branch_moves() -> None:
    gate = threading.Event()
    slow = FakeConnection(slow=gate)
    fan = fan_of([slow, FakeConnection()], spill_bytes=3 * FRAME)
    sender = threading.Thread(target=put_all, args=(fan, 20))
    sender.start()
    sender.join(timeout=0.3)
    assert sender.is_alive()
    gate.set()
    sender.join(timeout=WAIT_S)
    fan.drain()
    assert slow.sent == expected(20)
    fan.dispose()


def test_what_is_on_disk_has_no_name_and_is_gone_with_it() -> None:
    before = set(os.listdir("/proc/self/fd"))
    spill = Spill(frame_bytes=FRAME, most_bytes=10 * FRAME)
    spill.write(memoryview(bytes(FRAME)))
    (descriptor,) = set(os.listdir("/proc/self/fd")) - before
    assert "(deleted)" in os.readlink(f"/proc/self/fd/{descriptor}")
    spill.close()
    assert set(os.listdir("/proc/self/fd")) == before


@settings(max_examples=50)
@given(st.lists(st.integers(0, 2), max_size=80), st.integers(1, 5))
def test_a_spill_is_a_queue(steps: list[int], slots: int) -> None:
    """Against a list: 0 and 1 write (if there is room), 2 reads."""
    spill = Spill(frame_bytes=FRAME, most_bytes=slots * FRAME)
    model: list[bytes] = []
    view = memoryview(bytearray(FRAME))
    for number, step in enumerate(steps):
        assert spill.full == (len(model) == slots)
        if step < 2 and not spill.full:
            frame = bytes([number]) * (FRAME - number % 7)
            spill.write(memoryview(frame))
            spill.added(len(frame))
            model.append(frame)
        elif step == 2 and model:
            length = spill.read(view)
            spill.taken()
            assert bytes(view[:length]) == model.pop(0)
        assert len(spill) == len(model)
    spill.close()


def test_a_broken_branch_is_told_and_ends_the_rest() -> None:
    broken: list[tuple[Outlet, TradewindError]] = []
    bad = FakeConnection()
    bad.close()
    fan = fan_of([bad, FakeConnection()], broken=broken)
    with pytest.raises(TransferFailed, match="a branch is closed"):
        put_all(fan, 1000)
    eventually(lambda: len(broken) == 1)
    with pytest.raises(TransferFailed, match="ended before"):
        fan.drain()
    fan.dispose()


def test_an_idle_branch_beats() -> None:
    connection = FakeConnection()
    fan = fan_of([connection, FakeConnection()])
    eventually(lambda: len(connection.sent) > 0)
    fan.dispose()


def test_no_room_on_disk_breaks_the_connection_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "there is none"))
    gate = threading.Event()
    fan = fan_of([FakeConnection(slow=gate), FakeConnection()])
    with pytest.raises(TransferFailed, match="a slow branch's file"):
        put_all(fan, 20)
    gate.set()
    fan.dispose()
