"""UDP connections between strangers: packets forged, recorded, cut, repeated, swallowed.

A middleman carries every datagram between the two ends, and does with it what a test says.
"""

from __future__ import annotations

import random
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from executor.gateway import udp_connection
from executor.gateway.transport import Closed, Idle, Listener, Options
from executor.gateway.udp_ending import LINGER_S
from executor.gateway.udp_packets import (
    ACCEPT,
    ACK,
    CLOSE,
    DATA,
    OPEN,
    OPEN_BYTES,
    Open,
    close_packet,
    opening_key,
)
from tests.contract.test_transports import eventually, sending
from tests.transport_pairs import (
    ACCEPT_S,
    KEY,
    connect,
    frame_of,
    listening,
    opening,
    received,
)

# What becomes of a datagram on its way: any number of them.
Deed = Callable[[bytes], list[bytes]]


def honest(datagram: bytes) -> list[bytes]:
    return [datagram]


class Middleman:
    """Stands at a port of its own, between a client and the listener's port."""

    def __init__(self, port: int) -> None:
        self.there: Deed = honest
        self.back: Deed = honest
        self.seen: list[tuple[str, bytes]] = []
        self._front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._front.bind(("127.0.0.1", 0))
        self._behind = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._behind.connect(("127.0.0.1", port))
        for sock in (self._front, self._behind):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            sock.setblocking(False)
        self.port = self._front.getsockname()[1]
        self._client: tuple[str, int] | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopped.is_set():
            ready, _, _ = select.select([self._front, self._behind], [], [], 0.05)
            for sock in ready:
                try:
                    datagram, sender = sock.recvfrom(70_000)
                except (BlockingIOError, ConnectionRefusedError):
                    continue
                if sock is self._front:
                    self._client = sender
                    self.seen.append(("there", datagram))
                    for one in self.there(datagram):
                        self.send_there(one)
                else:
                    self.seen.append(("back", datagram))
                    for one in self.back(datagram):
                        self.send_back(one)

    def send_there(self, datagram: bytes) -> None:
        with socket_errors_ignored():
            self._behind.send(datagram)

    def send_back(self, datagram: bytes) -> None:
        if self._client is not None:
            with socket_errors_ignored():
                self._front.sendto(datagram, self._client)

    def recorded(self, way: str, *kinds: int) -> list[bytes]:
        return [datagram for told, datagram in self.seen if told == way and datagram[0] in kinds]

    def close(self) -> None:
        self._stopped.set()
        self._thread.join(timeout=5)
        self._front.close()
        self._behind.close()


@contextmanager
def socket_errors_ignored() -> Iterator[None]:
    try:
        yield
    except (BlockingIOError, ConnectionRefusedError):
        return


@contextmanager
def middle(listener: Listener) -> Iterator[Middleman]:
    man = Middleman(listener.port)
    try:
        yield man
    finally:
        man.close()


@pytest.fixture(autouse=True)
def small_datagrams(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a network, so that a frame has many."""
    for where in ("executor.gateway.udp", "executor.gateway.udp_socket"):
        monkeypatch.setattr(f"{where}.datagram_bytes_for", lambda sock: 1400)


@contextmanager
def through_a_middleman() -> Iterator[
    tuple[Middleman, udp_connection.UdpConnection, udp_connection.UdpConnection]
]:
    with listening("udp") as listener, middle(listener) as man:
        near = connect("udp", man.port)
        accepted = listener.accept(ACCEPT_S)
        assert accepted is not None
        far = accepted[0]
        assert isinstance(near, udp_connection.UdpConnection)
        assert isinstance(far, udp_connection.UdpConnection)
        try:
            yield man, near, far
        finally:
            man.there = man.back = honest
            near.close()
            far.close()
            near.join(5)
            far.join(5)


def bad_network(rng: random.Random) -> Deed:
    """Loses, repeats, keeps back, cuts short and adds noise: each to one in twenty."""
    kept: list[bytes] = []

    def deed(datagram: bytes) -> list[bytes]:
        out = [datagram]
        chance = rng.random()
        if chance < 0.05:
            out = []
        elif chance < 0.10:
            out = [datagram, datagram]
        elif chance < 0.15:
            kept.append(datagram)
            out = []
        elif chance < 0.20:
            out = [datagram[: rng.randrange(len(datagram))]]
        elif chance < 0.25:
            out = [rng.randbytes(rng.randrange(1, 1500)), datagram]
        elif chance < 0.30:
            out = [bytes([rng.choice((OPEN, ACCEPT, DATA, ACK, CLOSE))]) + rng.randbytes(60)]
            out.append(datagram)
        if kept and rng.random() < 0.1:
            out.append(kept.pop(rng.randrange(len(kept))))
        return out

    return deed


@pytest.mark.parametrize("seed", range(3))
def test_frames_arrive_whole_and_once_over_a_bad_network(seed: int) -> None:
    rng = random.Random(seed)
    there = [frame_of(rng.randrange(60_000), number=number) for number in range(40)]
    back = [frame_of(rng.randrange(20_000), number=number) for number in range(40, 60)]
    with through_a_middleman() as (man, near, far):
        man.there, man.back = bad_network(rng), bad_network(rng)
        threads = [sending(near, there), sending(far, back)]
        assert Counter(received(far, 40)) == Counter(there)
        assert Counter(received(near, 20)) == Counter(back)
        for thread in threads:
            thread.join(timeout=10)
        assert near.metrics().retransmitted


def test_a_bad_network_does_not_keep_two_ends_from_meeting() -> None:
    with listening("udp") as listener, middle(listener) as man:
        dropped: list[bytes] = []

        def first_two_lost(datagram: bytes) -> list[bytes]:
            if len(dropped) < 2:
                dropped.append(datagram)
                return []
            return [datagram]

        man.there = man.back = first_two_lost
        near = connect("udp", man.port)
        accepted = listener.accept(ACCEPT_S)
        assert accepted is not None
        assert listener.accept(0.1) is None
        near.send(frame_of(10))
        assert received(accepted[0], 1) == [frame_of(10)]
        near.close()
        accepted[0].close()


def test_an_opening_asked_again_is_answered_again_and_admitted_once() -> None:
    asked = []

    def admit(command: bytes, address: str) -> bytes | None:
        asked.append(command)
        return KEY if len(asked) == 1 else None  # a ticket opens one connection

    with listening("udp", admit=admit) as listener, middle(listener) as man:
        man.there = lambda datagram: [datagram] * (5 if datagram[0] == OPEN else 1)
        near = connect("udp", man.port)
        accepted = listener.accept(ACCEPT_S)
        assert accepted is not None
        near.send(frame_of(10))
        assert received(accepted[0], 1) == [frame_of(10)]
        assert listener.accept(0.1) is None
        assert asked == [opening()]
        near.close()
        accepted[0].close()


def test_every_packet_replayed_changes_nothing() -> None:
    frames = [frame_of(30_000, number=number) for number in range(20)]
    with through_a_middleman() as (man, near, far):
        thread = sending(near, frames)
        assert Counter(received(far, 20)) == Counter(frames)
        thread.join(timeout=10)
        for _, datagram in list(man.seen):
            man.send_there(datagram)
            man.send_back(datagram)  # also the wrong way round
        far.set_timeout(0.4)
        with pytest.raises(Idle):
            far.receive(memoryview(bytearray(100_000)))
        near.send(frame_of(7))
        assert received(far, 1) == [frame_of(7)]
        far.send(frame_of(8))
        assert received(near, 1) == [frame_of(8)]


def test_a_replayed_packet_with_another_payload_does_not_reach_the_frame() -> None:
    """What came first stands: a slice is written once."""
    frames = [frame_of(30_000, number=number) for number in range(30)]
    with through_a_middleman() as (man, near, far):
        man.there = lambda datagram: [
            datagram,
            datagram[:24] + bytes(len(datagram) - 24) if datagram[0] == DATA else datagram,
        ]
        thread = sending(near, frames)
        assert Counter(received(far, 30)) == Counter(frames)
        thread.join(timeout=10)


def test_a_recorded_connection_means_nothing_to_a_listener_that_admits_it_again() -> None:
    frames = [frame_of(5000, number=number) for number in range(5)]
    with listening("udp") as listener, middle(listener) as man:
        near = connect("udp", man.port)
        accepted = listener.accept(ACCEPT_S)
        assert accepted is not None
        sending(near, frames).join(timeout=10)
        received(accepted[0], 5)
        near.close()
        accepted[0].close()
        recording = man.recorded("there", OPEN, DATA, ACK, 0xD4, CLOSE)
        with listening("udp") as later, socket.socket(type=socket.SOCK_DGRAM) as stranger:
            stranger.connect(("127.0.0.1", later.port))
            for datagram in recording:
                stranger.send(datagram)
                time.sleep(0.005)
            assert later.accept(0.3) is None


def test_forged_packets_from_the_right_addresses_do_nothing() -> None:
    """Nobody without the keys closes, acknowledges, opens or delivers anything."""
    rng = random.Random(9)
    with through_a_middleman() as (man, near, far):
        near.send(frame_of(100))
        assert received(far, 1) == [frame_of(100)]
        forged = [close_packet(9, is_answer=answer, key=bytes(32)) for answer in (False, True)]
        real = [datagram for _, datagram in man.seen]
        for datagram in real:
            for _ in range(20):
                changed = bytearray(datagram)
                changed[rng.randrange(min(len(changed), 24))] ^= 1 << rng.randrange(8)
                forged.append(bytes(changed))
        forged += [
            bytes([kind]) + rng.randbytes(size) for kind in range(256) for size in (0, 31, 90)
        ]
        for datagram in forged:
            man.send_there(datagram)
            man.send_back(datagram)
        for sender, receiver in ((near, far), (far, near)):
            sender.send(frame_of(3000))
            assert received(receiver, 1) == [frame_of(3000)]
        far.set_timeout(0.2)
        with pytest.raises(Idle):
            far.receive(memoryview(bytearray(5000)))


def test_whoever_lacks_the_secret_is_not_answered_even_with_a_good_opening() -> None:
    with listening("udp") as listener, socket.socket(type=socket.SOCK_DGRAM) as stranger:
        stranger.connect(("127.0.0.1", listener.port))
        stranger.settimeout(0.3)
        opened = Open(datagram_bytes=1400, client_random=bytes(16), opening=opening())
        stranger.send(opened.packet(opening_key(bytes(32), bytes(16))))
        with pytest.raises(TimeoutError):
            stranger.recv(2000)
        packet = opened.packet(opening_key(KEY, bytes(16)))
        assert len(packet) == OPEN_BYTES
        stranger.send(packet)
        assert len(stranger.recv(2000)) < len(packet)
        # Without the keys that follow from the answer it gets no further.
        assert listener.accept(0.2) is None


def test_a_word_of_the_network_alone_closes_nothing() -> None:
    """Refusals (ICMP) come while the other end is there: it is asked, and it answers."""
    with through_a_middleman() as (_, near, far):
        for _ in range(10):
            near._datagrams.refused = True
            near.send(frame_of(100))
            assert received(far, 1) == [frame_of(100)]
        assert near._ended is None


def test_the_death_of_the_other_end_is_noticed() -> None:
    """As a process that was killed: its socket is gone, and nothing was said."""
    with listening("udp") as listener:
        near = connect("udp", listener.port)
        accepted = listener.accept(ACCEPT_S)
        assert accepted is not None
        far = accepted[0]
        assert isinstance(far, udp_connection.UdpConnection)
        far._is_over = lambda: True  # type: ignore[method-assign]
        listener.close()

        def refused() -> bool:
            try:
                near.send(frame_of(1000))
            except (Closed, Idle):
                return True
            return False

        assert eventually(refused)
        near.close()


def test_silence_after_close_ends_the_thread() -> None:
    """The other end is gone for good: what is left to say is not said for ever."""
    with through_a_middleman() as (man, near, far):
        man.there = man.back = lambda datagram: []
        near.send(frame_of(1000))
        near.close()
        near.join(LINGER_S + 5)
        assert not near._thread.is_alive()
        assert far._thread.is_alive()


def test_strangers_are_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Openings that were admitted and never confirmed are forgotten, their sockets closed."""
    monkeypatch.setattr(udp_connection, "OPENING_TIMEOUT_S", 0.2)
    with listening("udp") as listener, socket.socket(type=socket.SOCK_DGRAM) as stranger:
        stranger.connect(("127.0.0.1", listener.port))
        threads = threading.active_count()
        for number in range(8):
            client_random = bytes([number]) * 16
            opened = Open(datagram_bytes=1400, client_random=client_random, opening=opening())
            stranger.send(opened.packet(opening_key(KEY, client_random)))
        assert eventually(lambda: threading.active_count() <= threads, within_s=5.0)
        near = connect("udp", listener.port, options=Options())
        assert listener.accept(ACCEPT_S) is not None
        near.close()
