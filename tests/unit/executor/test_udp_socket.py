"""Datagrams in batches, and what is done where the kernel cannot."""

from __future__ import annotations

import errno
import socket
from collections import Counter
from collections.abc import Iterator

import pytest

from executor.gateway import udp_socket
from executor.gateway.transport import Options, find_transport
from executor.gateway.udp_socket import (
    LOOPBACK_DATAGRAM_BYTES,
    ROUTED_DATAGRAM_BYTES,
    Datagrams,
    datagram_bytes_for,
    kernel_coalesces,
    kernel_segments,
    least_window_bytes,
    make_socket,
)
from tests.transport_pairs import ACCEPT_S, KEY, admit_all, connected, frame_of, opening, received


@pytest.fixture
def plain_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that neither segments nor coalesces."""
    monkeypatch.setattr(udp_socket, "kernel_segments", lambda: False)
    monkeypatch.setattr(udp_socket, "kernel_coalesces", lambda: False)


@pytest.fixture
def ends() -> Iterator[tuple[Datagrams, Datagrams]]:
    """Two sockets on loopback, connected to each other."""
    first, second = make_socket("127.0.0.1"), make_socket("127.0.0.1")
    for sock in (first, second):
        sock.bind(("127.0.0.1", 0))
    first.connect(second.getsockname())
    second.connect(first.getsockname())
    yield Datagrams(first), Datagrams(second)
    first.close()
    second.close()


def parts_of(count: int, size: int, last: int) -> list[bytes | memoryview]:
    parts: list[bytes | memoryview] = []
    for number in range(count):
        length = last if number == count - 1 else size
        parts += [bytes([number] * 24), memoryview(bytes([number] * (length - 24)))]
    return parts


def collected(end: Datagrams) -> list[bytes]:
    found = []
    while (got := end.receive()) is not None:
        received_bytes, segment = got
        whole = bytes(received_bytes)
        found += [whole[at : at + segment] for at in range(0, len(whole), segment)]
    return found


def test_a_batch_arrives_as_its_datagrams(ends: tuple[Datagrams, Datagrams]) -> None:
    first, second = ends
    parts = parts_of(40, 1400, 700)
    first.send(parts, 1400, count=40)
    assert b"".join(collected(second)) == b"".join(parts)


def test_without_the_kernels_help_too(
    plain_kernel: None, ends: tuple[Datagrams, Datagrams]
) -> None:
    first, second = ends
    first.send(parts_of(40, 1400, 700), 1400, count=40)
    assert [len(datagram) for datagram in collected(second)] == [1400] * 39 + [700]


def test_a_device_that_cannot_segment_is_given_single_ones(
    ends: tuple[Datagrams, Datagrams], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = ends

    class Reluctant:
        """A socket whose device has no checksum offload: EIO for a batch."""

        def __init__(self, sock: socket.socket) -> None:
            self.sock = sock
            self.batches = 0

        def sendmsg(self, parts: list[bytes], ancillary: tuple[object, ...] = ()) -> int:
            if ancillary:
                self.batches += 1
                raise OSError(errno.EIO, "no")
            return self.sock.sendmsg(parts)

    reluctant = Reluctant(first.sock)
    monkeypatch.setattr(first, "sock", reluctant)
    monkeypatch.setattr(first, "_segments", True)
    for _ in range(2):
        first.send(parts_of(5, 1400, 1400), 1400, count=5)
    assert len(collected(second)) == 10
    assert reluctant.batches == 1


def test_what_the_kernel_does_not_take_is_lost_and_no_error(
    ends: tuple[Datagrams, Datagrams],
) -> None:
    first, second = ends
    first.send([bytes(70_000)], 70_000, count=1)  # no datagram is so long
    first.sock.close()
    first.send([bytes(10)], 10, count=1)
    assert collected(second) == []


def test_a_refusal_is_noted_and_no_error() -> None:
    with make_socket("127.0.0.1") as sock:
        sock.connect(("127.0.0.1", 9))
        alone = Datagrams(sock)
        for _ in range(3):
            alone.send([bytes(10)], 10, count=1)
            alone.receive()
        assert alone.refused


def test_datagrams_are_large_within_the_machine_and_fit_a_tunnel_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Route:
        family = socket.AF_INET

        def __init__(self, mtu: int) -> None:
            self.mtu = mtu

        def getsockopt(self, level: int, option: int) -> int:
            return self.mtu

    def size(mtu: int) -> int:
        return datagram_bytes_for(Route(mtu))  # type: ignore[arg-type]

    assert size(65_535) == LOOPBACK_DATAGRAM_BYTES
    assert size(9001) == size(1500) == ROUTED_DATAGRAM_BYTES
    assert size(1280) == 1252
    with make_socket("127.0.0.1") as sock:
        sock.connect(("127.0.0.1", 9))
        assert datagram_bytes_for(sock) == LOOPBACK_DATAGRAM_BYTES
        assert least_window_bytes(sock, LOOPBACK_DATAGRAM_BYTES) > 0
        assert least_window_bytes(sock, ROUTED_DATAGRAM_BYTES) == 0


def test_frames_arrive_without_the_kernels_help(
    plain_kernel: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executor.gateway.udp.datagram_bytes_for", lambda sock: 1400)
    frames = [frame_of(100_000, number=number) for number in range(10)]
    with connected("udp") as pair:
        for frame in frames:
            pair.near.send(frame)
        assert Counter(received(pair.far, 10)) == Counter(frames)


def test_this_kernel_segments_and_coalesces_or_says_so() -> None:
    assert isinstance(kernel_segments(), bool)
    assert isinstance(kernel_coalesces(), bool)


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::1"])  # noqa: S104  # on loopback
def test_a_listener_on_any_address_answers_from_the_one_that_was_asked(address: str) -> None:
    udp = find_transport("udp")
    try:
        listener = udp.listen(address, 0, admit=admit_all, options=Options())
    except OSError:
        assert ":" in address  # no IPv6 here
        return
    to = "127.0.0.2" if address == "0.0.0.0" else address  # noqa: S104  # as a user may ask
    near = udp.connect(
        to, listener.port, own_address="", opening=opening(), secret=KEY, options=Options()
    )
    accepted = listener.accept(ACCEPT_S)
    assert accepted is not None
    near.send(frame_of(5))
    assert received(accepted[0], 1) == [frame_of(5)]
    near.close()
    accepted[0].close()
    listener.close()
