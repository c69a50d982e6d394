"""Payloads by splice: whole, in order, and an end or a stall is told as what it is."""

from __future__ import annotations

import os
import random
import socket
import threading
from collections.abc import Iterator

import pytest

from executor.gateway import splice as module
from executor.gateway.splice import Splice
from executor.gateway.tcp import TcpConnection
from executor.gateway.transport import Closed, Idle, Options


def pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        here = socket.create_connection(server.getsockname())
        return here, server.accept()[0]


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, TcpConnection, TcpConnection, socket.socket]]:
    """A sender, the two connections of a relay, a receiver."""
    sender, incoming = pair()
    outgoing, receiver = pair()
    yield sender, TcpConnection(incoming, Options()), TcpConnection(outgoing, Options()), receiver
    for sock in (sender, incoming, outgoing, receiver):
        sock.close()


Ends = tuple[socket.socket, TcpConnection, TcpConnection, socket.socket]


def test_bytes_pass_whole_and_descriptors_are_given_back(ends: Ends) -> None:
    sender, incoming, outgoing, receiver = ends
    before = len(os.listdir("/proc/self/fd"))
    splice = Splice(incoming, outgoing)
    sizes = [1, 176, 65536, (1 << 20) + 16, 3]
    data = random.Random(1).randbytes(sum(sizes))
    got = bytearray()

    def receive() -> None:
        while len(got) < len(data):
            got.extend(receiver.recv(1 << 20))

    threads = [
        threading.Thread(target=receive),
        threading.Thread(target=sender.sendall, args=(data,)),
    ]
    for thread in threads:
        thread.start()
    came: list[int] = []
    for size in sizes:
        splice.pass_on(size, came=lambda: came.append(1))
    for thread in threads:
        thread.join(timeout=20.0)
    assert bytes(got) == data
    assert len(came) == len(sizes)
    splice.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_an_end_in_the_middle_is_an_end(ends: Ends) -> None:
    sender, incoming, outgoing, _ = ends
    splice = Splice(incoming, outgoing)
    sender.sendall(b"half")
    sender.close()
    with pytest.raises(Closed, match="the other end closed"):
        splice.pass_on(8)
    splice.close()


def test_a_receiver_that_is_gone_is_an_end(ends: Ends) -> None:
    sender, incoming, outgoing, receiver = ends
    splice = Splice(incoming, outgoing)
    receiver.close()
    outgoing.sock.shutdown(socket.SHUT_RDWR)
    sender.sendall(bytes(4096))
    with pytest.raises(Closed, match="broke"):
        splice.pass_on(4096)
    splice.close()


def test_a_stall_is_told(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    _, incoming, outgoing, _ = ends
    monkeypatch.setattr(module, "IDLE_TIMEOUT_S", 0.1)
    splice = Splice(incoming, outgoing)
    with pytest.raises(Idle, match="nothing came"):
        splice.pass_on(1)
    splice.close()
