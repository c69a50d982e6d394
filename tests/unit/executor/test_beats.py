"""Beats: a silent neighbour is given up in the stated time, a busy or late one is not."""

from __future__ import annotations

import threading
import time

import pytest

from datasets.errors import SessionRefused
from executor.gateway.beats import BEAT_S, LOST_AFTER_S, Heart, Hop
from executor.gateway.command import COMMAND_BYTES, Command, Kind, parse
from executor.gateway.crypto import new_key, signed_command
from executor.gateway.transport import Closed
from tests.hops import FakeConnection, hop_of

TRANSFER = bytes(16)


def test_a_beat_is_heard_and_is_no_frame() -> None:
    connection = FakeConnection()
    hop = hop_of(connection)
    other = FakeConnection()
    speaker = hop_of(other)
    speaker._said_s -= 2 * BEAT_S
    speaker.beat()
    last = signed_command(Command(kind=Kind.END, transfer=TRANSFER), new_key())
    connection.frames += [other.sent[0], last]
    heard: list[bool] = []
    command, end = hop.receive(
        memoryview(bytearray(COMMAND_BYTES)), on_beat=lambda: heard.append(True)
    )
    assert (command.kind, end, heard) == (Kind.END, COMMAND_BYTES, [True])


def test_who_just_spoke_does_not_beat() -> None:
    connection = FakeConnection()
    hop = hop_of(connection)
    hop.send(b"something")
    hop.beat()
    assert connection.sent == [b"something"]


def test_no_beat_waits_for_one_who_is_sending() -> None:
    hop = hop_of(FakeConnection())
    hop._said_s -= 2 * BEAT_S
    with hop.sending():
        done = threading.Thread(target=hop.beat)
        done.start()
        done.join(timeout=5.0)
        assert not done.is_alive()


def test_a_forged_beat_is_refused() -> None:
    connection = FakeConnection()
    forged = signed_command(Command(kind=Kind.READY, transfer=TRANSFER), new_key())
    connection.frames.append(forged)
    with pytest.raises(SessionRefused, match="not signed"):
        hop_of(connection).receive(memoryview(bytearray(COMMAND_BYTES)))


def test_a_silent_neighbour_is_given_up_and_named() -> None:
    connection = FakeConnection()
    hop = hop_of(connection, peer="aws:b-1#0")
    heart = Heart()
    heart.listens_to(hop)
    hop._heard_s = time.monotonic() - LOST_AFTER_S + 1.0
    heart.tick(late_s=0.0)
    assert not hop.closed
    hop._heard_s = time.monotonic() - LOST_AFTER_S - 0.1
    heart.tick(late_s=0.0)
    assert connection.closed
    with pytest.raises(Closed, match="aws:b-1#0 was silent for 3 s"):
        hop.receive(memoryview(bytearray(COMMAND_BYTES)))


def test_time_in_which_this_process_stood_still_is_nobodys_silence() -> None:
    connection = FakeConnection()
    hop = hop_of(connection)
    heart = Heart()
    heart.listens_to(hop)
    hop._heard_s = time.monotonic() - 100.0
    heart.tick(late_s=100.0)
    heart.tick(late_s=0.0)
    assert not connection.closed


def test_incoming_hops_hear_beats_and_forgotten_ones_none() -> None:
    connections = [FakeConnection(), FakeConnection()]
    hops = [hop_of(connection) for connection in connections]
    heart = Heart()
    for hop in hops:
        hop._said_s -= 2 * BEAT_S
        heart.beats_on(hop)
    heart.forget(hops[1])
    heart.tick(late_s=0.0)
    assert [len(connection.sent) for connection in connections] == [1, 0]
    assert parse(connections[0].sent[0]).kind is Kind.READY


def test_the_figures_of_a_closed_connection_are_its_last() -> None:
    connection = FakeConnection()
    hop = hop_of(connection)
    hop.send(b"12345")
    hop.close()
    assert hop.closed
    assert hop.metrics().bytes_sent == 5


def test_hops_are_told_apart() -> None:
    first, second = hop_of(FakeConnection()), hop_of(FakeConnection())
    assert isinstance(first, Hop)
    assert len({first, second}) == 2
