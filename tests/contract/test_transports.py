"""One suite for every transport, over loopback."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from datasets.errors import InputError, SessionRefused, TransferFailed
from executor.gateway.command import COMMAND_BYTES
from executor.gateway.transport import (
    Closed,
    Connection,
    Idle,
    Options,
    find_transport,
    transport_names,
)
from tests.transport_pairs import (
    ACCEPT_S,
    KEY,
    MOST_FRAME_BYTES,
    connect,
    connected,
    frame_of,
    listening,
    opening,
    received,
)

SIZES = (0, 1, 2, 100, 1207, 1208, 1209, 1376, 9000, 61_976, 62_000, 262_144, (1 << 20) + 16)
pytestmark = pytest.mark.parametrize("name", transport_names())


def eventually(holds: Callable[[], bool], *, within_s: float = 10.0) -> bool:
    until_s = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > until_s:
            return False
        time.sleep(0.01)
    return True


def send_all(connection: Connection, frames: list[bytes]) -> None:
    for frame in frames:
        connection.send(frame)


def sending(connection: Connection, frames: list[bytes]) -> threading.Thread:
    thread = threading.Thread(target=send_all, args=(connection, frames))
    thread.start()
    return thread


def test_there_are_two_transports(name: str) -> None:
    assert set(transport_names()) == {"tcp", "udp"}
    assert name in transport_names()
    with pytest.raises(InputError, match="No transport is called 'sctp'"):
        find_transport("sctp")


def test_frames_of_all_sizes_arrive_whole_and_once(name: str) -> None:
    frames = [frame_of(size, number=at) for at, size in enumerate(SIZES)]
    with connected(name) as pair:
        thread = sending(pair.near, frames)
        assert Counter(received(pair.far, len(frames))) == Counter(frames)
        thread.join(timeout=10)


def test_several_frames_in_one_send_and_a_view_of_them(name: str) -> None:
    frames = [frame_of(size, number=size) for size in (0, 500, 0, 3000)]
    with connected(name) as pair:
        pair.near.send(memoryview(bytearray(b"".join(frames))))
        assert Counter(received(pair.far, 4)) == Counter(frames)


def test_what_was_sent_may_be_overwritten_at_once(name: str) -> None:
    buffer = bytearray(frame_of(200_000, number=1))
    frames = [frame_of(200_000, number=number) for number in range(20)]

    def reuse() -> None:
        for frame in frames:
            buffer[:] = frame
            pair.near.send(memoryview(buffer))
        buffer[:] = bytes(len(buffer))

    with connected(name) as pair:
        thread = threading.Thread(target=reuse)
        thread.start()
        assert Counter(received(pair.far, 20)) == Counter(frames)
        thread.join(timeout=10)


def test_both_directions_at_once(name: str) -> None:
    rng = random.Random(3)
    there = [frame_of(rng.randrange(100_000), number=number) for number in range(60)]
    back = [frame_of(rng.randrange(100_000), number=number) for number in range(60, 120)]
    with connected(name) as pair:
        threads = [sending(pair.near, there), sending(pair.far, back)]
        with ThreadPoolExecutor(2) as pool:
            far = pool.submit(received, pair.far, 60)
            near = pool.submit(received, pair.near, 60)
            assert Counter(far.result(timeout=30)) == Counter(there)
            assert Counter(near.result(timeout=30)) == Counter(back)
        for thread in threads:
            thread.join(timeout=10)


def test_many_small_frames(name: str) -> None:
    frames = [frame_of(number % 7, number=number) for number in range(5000)]
    with connected(name) as pair:
        thread = sending(pair.near, frames)
        assert Counter(received(pair.far, len(frames))) == Counter(frames)
        thread.join(timeout=10)


def test_a_slow_reader_holds_the_sender_back(name: str) -> None:
    """What waits between the two is bounded: the sender stops, and goes on when it is read."""
    frame = frame_of((1 << 20) + 16)
    most = 400  # MiB; both windows and the kernel's buffers are below
    sent: list[int] = []

    def run() -> None:
        for number in range(most):
            pair.near.send(frame)
            sent.append(number)

    with connected(name, options=Options(timeout_s=60.0)) as pair:
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        held = -1
        while held != len(sent):
            held = len(sent)
            time.sleep(0.5)
        assert 0 < held < 200
        view = memoryview(bytearray(MOST_FRAME_BYTES))
        for _ in range(most):
            pair.far.receive(view)
        thread.join(timeout=10)
        assert len(sent) == most


def test_silence_is_idle_after_the_timeout_and_no_sooner(name: str) -> None:
    with connected(name) as pair:
        pair.far.set_timeout(0.3)
        began_s = time.monotonic()
        with pytest.raises(Idle, match="nothing came"):
            pair.far.receive(memoryview(bytearray(1000)))
        assert 0.29 <= time.monotonic() - began_s < 5
        pair.near.send(frame_of(5))
        assert received(pair.far, 1) == [frame_of(5)]


def test_a_reader_that_never_reads_is_idle_to_the_sender(name: str) -> None:
    frame = frame_of((1 << 20) + 16)
    with connected(name) as pair:
        pair.near.set_timeout(0.5)
        with pytest.raises(Idle, match="nothing could be sent"):
            send_all(pair.near, [frame] * 400)


def test_after_close_both_ends_are_closed(name: str) -> None:
    with connected(name) as pair:
        pair.near.send(frame_of(3))
        assert received(pair.far, 1) == [frame_of(3)]
        pair.near.close()
        pair.near.close()
        with pytest.raises(Closed):
            pair.near.send(frame_of(1))
        with pytest.raises(Closed):
            pair.near.receive(memoryview(bytearray(1000)))
        with pytest.raises(Closed, match="the other end closed"):
            pair.far.receive(memoryview(bytearray(1000)))

        def refused() -> bool:
            try:
                pair.far.send(frame_of(1))
            except Closed:
                return True
            return False

        assert eventually(refused)
        pair.near.metrics()


def test_close_wakes_whoever_waits(name: str) -> None:
    with connected(name) as pair, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(pair.near.receive, memoryview(bytearray(1000)))
        time.sleep(0.1)
        pair.near.close()
        with pytest.raises(Closed):
            waiting.result(timeout=5)


def test_finish_delivers_what_was_sent_and_leaves_the_way_back(name: str) -> None:
    frames = [frame_of(300_000, number=number) for number in range(10)]
    with connected(name, options=Options(timeout_s=30.0)) as pair, ThreadPoolExecutor(1) as pool:
        got = pool.submit(received, pair.far, 10)
        send_all(pair.near, frames)
        pair.near.finish()
        assert Counter(got.result(timeout=30)) == Counter(frames)
        with pytest.raises(Closed, match="the other end closed"):
            pair.far.receive(memoryview(bytearray(1000)))
        pair.far.send(frame_of(9))
        assert received(pair.near, 1) == [frame_of(9)]


def test_what_was_sent_before_close_arrives(name: str) -> None:
    frames = [frame_of(500_000, number=number) for number in range(4)]
    with connected(name) as pair, ThreadPoolExecutor(1) as pool:
        got = pool.submit(received, pair.far, 4)
        send_all(pair.near, frames)
        pair.near.close()
        assert Counter(got.result(timeout=30)) == Counter(frames)


def test_a_frame_longer_than_the_view_is_refused(name: str) -> None:
    with connected(name) as pair:
        pair.near.send(frame_of(5000))
        with pytest.raises(SessionRefused, match="where 1000 are the most"):
            pair.far.receive(memoryview(bytearray(1000)))


def test_what_is_no_frame_is_not_sent(name: str) -> None:
    """TCP leaves it to the receiver to see; either way it is never handed out as a frame."""
    with connected(name) as pair:
        try:
            pair.near.send(bytes(COMMAND_BYTES))
        except SessionRefused:
            return
        with pytest.raises(SessionRefused):
            pair.far.receive(memoryview(bytearray(1000)))


def test_garbage_at_the_listener_is_not_admitted_and_service_goes_on(name: str) -> None:
    asked: list[bytes] = []

    def admit(command: bytes, address: str) -> bytes | None:
        asked.append(command)
        return KEY if command == opening() else None

    rng = random.Random(5)
    kind = socket.SOCK_STREAM if name == "tcp" else socket.SOCK_DGRAM
    with listening(name, admit=admit) as listener:
        for length in (1, 16, 159, 160, 200, 201, 1400, 9000):
            with socket.socket(socket.AF_INET, kind) as stranger:
                stranger.connect(("127.0.0.1", listener.port))
                stranger.send(rng.randbytes(length))
                stranger.settimeout(0.05)
                try:
                    answer = stranger.recv(2000)
                except (TimeoutError, ConnectionError):
                    answer = b""
                assert answer == b""
        near = connect(name, listener.port)
        accepted = listener.accept(ACCEPT_S)
        assert accepted is not None
        near.send(frame_of(7))
        assert received(accepted[0], 1) == [frame_of(7)]
        assert listener.accept(0.05) is None
        assert asked == [opening()]
        near.close()
        accepted[0].close()


def one_answer(name: str, port: int) -> None:
    connection = connect(name, port)
    try:
        connection.receive(memoryview(bytearray(1000)))
    finally:
        connection.close()


def test_whom_admit_refuses_gets_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "udp":
        monkeypatch.setattr("executor.gateway.udp.CONNECT_TIMEOUT_S", 0.6)
    with listening(name, admit=lambda command, address: None) as listener:
        with pytest.raises(TransferFailed):
            one_answer(name, listener.port)
        assert listener.accept(0.05) is None


def test_metrics_are_plausible(name: str) -> None:
    frames = [frame_of((1 << 20) + 16, number=number) for number in range(20)]
    total = sum(map(len, frames))
    with connected(name) as pair:
        thread = sending(pair.near, frames)
        received(pair.far, 20)
        thread.join(timeout=10)
        assert eventually(lambda: (pair.near.metrics().rtt_ms or 0) > 0)
        near, far = pair.near.metrics(), pair.far.metrics()
        assert near.bytes_sent is not None
        assert total <= near.bytes_sent < 1.5 * total
        assert far.bytes_received is not None
        # TCP counts the opening and one byte for the beginning.
        assert total <= far.bytes_received <= total + COMMAND_BYTES + 1
        assert near.delivery_gbps is not None
        assert 0.01 < near.delivery_gbps < 1000
        assert near.rtt_ms is not None
        assert 0 < near.rtt_ms < 1000
        assert near.retransmitted is not None
        assert near.limited_by in ("application", "receiver", "sender", "network")
        assert near.as_json()["bytes_sent"] == near.bytes_sent


def test_a_pace_is_kept(name: str) -> None:
    """4 MB at 8 MB/s take half a second; how much longer is the machine's affair."""
    frame = frame_of(1_000_000)
    with connected(name, options=Options(pace_bytes_per_s=8e6)) as pair:
        began_s = time.monotonic()
        thread = sending(pair.near, [frame] * 4)
        received(pair.far, 4)
        assert time.monotonic() - began_s > 0.35
        thread.join(timeout=10)


def test_sixty_four_connections_at_once(name: str) -> None:
    count = 64

    def admit(command: bytes, address: str) -> bytes | None:
        return KEY

    with listening(name, admit=admit) as listener, ThreadPoolExecutor(count) as pool:
        nears = list(
            pool.map(lambda number: connect(name, listener.port, number=number), range(count))
        )
        accepted = [listener.accept(ACCEPT_S) for _ in range(count)]
        fars = {entry[1]: entry[0] for entry in accepted if entry is not None}
        assert len(fars) == count
        frames = [frame_of(20_000, number=number) for number in range(count)]

        def exchange(number: int) -> bool:
            far = fars[opening(number)]
            nears[number].send(frames[number])
            got = received(far, 1)
            far.send(got[0])
            return received(nears[number], 1) == [frames[number]]

        assert all(pool.map(exchange, range(count)))
        for connection in (*nears, *fars.values()):
            connection.close()


def test_a_taken_port_is_an_error(name: str) -> None:
    with listening(name) as listener, pytest.raises(OSError, match="in use"):
        find_transport(name).listen(
            "127.0.0.1", listener.port, admit=lambda command, address: None, options=Options()
        )


def test_a_closed_listener_says_so(name: str) -> None:
    with listening(name) as listener:
        listener.close()
        with pytest.raises(Closed):
            listener.accept(1.0)
