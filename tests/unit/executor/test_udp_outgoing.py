"""Loss detection, retransmission and time-outs, with a clock that the test turns."""

from __future__ import annotations

from executor.gateway.udp_control import Controller
from executor.gateway.udp_outgoing import (
    MOST_PACKET_THRESHOLD,
    PACKET_THRESHOLD,
    Outgoing,
    OutgoingFrame,
    Todo,
)

DATAGRAM = 1400
SLICE = 1376


def outgoing(*lengths: int, credit_bytes: int = 1 << 30) -> Outgoing:
    made = Outgoing(
        controller=Controller(DATAGRAM),
        slice_bytes=SLICE,
        datagram_bytes=DATAGRAM,
        credit_bytes=credit_bytes,
    )
    for number, length in enumerate(lengths):
        queue(made, number, length)
    return made


def queue(made: Outgoing, number: int, length: int) -> None:
    slices = max(-(-length // SLICE), 1)
    view = memoryview(bytes(length))
    made.queue(OutgoingFrame(number=number, view=view, length=length, slices=slices))


def send(made: Outgoing, most: int, now_s: float) -> Todo:
    todo = made.take(most)
    assert todo is not None
    made.sent(todo, todo.count * DATAGRAM, now_s)
    return todo


def test_a_frame_is_finished_when_all_of_its_slices_are_acknowledged() -> None:
    made = outgoing(10 * SLICE)
    assert send(made, 4, 0.0).count == 4
    assert send(made, 64, 0.0).count == 6
    made.acknowledged([(0, 8)], 0.0, 0.1)
    assert made.finished == []
    made.acknowledged([(0, 9)], 0.0, 0.11)
    assert [frame.number for frame in made.finished] == [0]
    assert made.is_idle
    assert made.inflight_packets == 0
    assert made.next_timeout_s() is None


def test_three_later_packets_make_a_loss_two_do_not() -> None:
    made = outgoing(10 * SLICE)
    send(made, 10, 0.0)
    made.acknowledged([(1, 2)], 0.0, 0.1)
    assert not made.has_more
    assert made.inflight_packets == 8
    made.acknowledged([(1, 3)], 0.0, 0.1)
    assert made.inflight_packets == 6
    again = made.take(5)
    assert again is not None
    assert (again.slice, again.count, again.again) == (0, 1, True)


def test_time_makes_a_loss_too() -> None:
    made = outgoing(3 * SLICE)
    send(made, 3, 0.0)
    made.acknowledged([(2, 2)], 0.0, 0.1)
    assert not made.has_more
    due_s = made.next_timeout_s()
    assert due_s is not None
    assert 0.11 < due_s < 0.12  # nine eighths of the round trip after it left
    made.on_timer(due_s + 0.001)
    again = made.take(5)
    assert again is not None
    assert (again.slice, again.count) == (0, 2)


def test_lost_slices_go_again_under_new_numbers_before_new_ones() -> None:
    made = outgoing(20 * SLICE, 5 * SLICE)
    send(made, 20, 0.0)
    made.acknowledged([(17, 19), (10, 13), (0, 4)], 0.0, 0.1)
    assert made.next_packet() == 20
    first, second, third = (send(made, 64, 0.1) for _ in range(3))
    assert [(todo.slice, todo.count, todo.again) for todo in (first, second, third)] == [
        (5, 5, True),
        (14, 3, True),
        (0, 5, False),
    ]
    assert made.retransmitted == 8
    assert made.next_packet() == 33


def test_a_packet_that_was_late_is_no_loss_and_teaches_patience() -> None:
    made = outgoing(10 * SLICE, 20 * SLICE)
    send(made, 10, 0.0)
    made.acknowledged([(4, 9)], 0.0, 0.1)  # 0 to 3 are thought lost
    made.acknowledged([(0, 9)], 0.0, 0.1)  # they were only late
    assert [frame.number for frame in made.finished] == [0]
    todo = made.take(64)
    assert todo is not None
    assert not todo.again
    assert PACKET_THRESHOLD < made._threshold <= MOST_PACKET_THRESHOLD


def test_silence_is_asked_about_ever_more_slowly_and_ends_in_a_new_start() -> None:
    made = outgoing(3 * SLICE)
    send(made, 3, 0.0)
    waits, now_s = [], 0.0
    for _ in range(4):
        due_s = made.next_timeout_s()
        assert due_s is not None
        waits.append(due_s - now_s)
        now_s = due_s
        made.on_timer(now_s)
        assert made.room_packets() > 0
        probe = send(made, 64, now_s)
        assert (probe.slice, probe.count, probe.again) == (0, 1, True)
    assert waits == sorted(waits)
    assert waits[3] > 7 * waits[0]
    assert made.controller.window_bytes == made.controller.least_bytes
    made.acknowledged([(6, 6)], 0.0, now_s + 0.1)
    assert made.timeouts == 0


def test_a_probe_goes_though_the_window_is_full() -> None:
    made = outgoing(1000 * SLICE)
    while made.room_packets():
        send(made, made.room_packets(), 0.0)
    due_s = made.next_timeout_s()
    assert due_s is not None
    assert made.room_packets() == 0
    made.on_timer(due_s)
    assert made.room_packets() == 1
    send(made, 1, due_s)
    assert made.room_packets() == 0


def test_no_frame_is_begun_beyond_the_credit() -> None:
    made = outgoing(4 * SLICE, 4 * SLICE, credit_bytes=6 * SLICE)
    send(made, 64, 0.0)
    assert made.is_blocked
    assert not made.has_more
    assert made.take(64) is None
    made.credit_bytes = 8 * SLICE
    todo = made.take(64)
    assert todo is not None
    assert todo.frame is not None
    assert todo.frame.number == 1


def test_an_acknowledgement_of_what_was_never_sent_is_ignored() -> None:
    made = outgoing(4 * SLICE)
    send(made, 2, 0.0)
    made.acknowledged([(0, 2)], 0.0, 0.1)
    assert made.inflight_packets == 2
    made.acknowledged([(0, 1)], 0.0, 0.1)
    assert made.inflight_packets == 0


def test_a_ping_is_sent_only_where_nothing_else_is() -> None:
    made = outgoing(SLICE)
    made.ping()
    assert send(made, 64, 0.0).frame is not None
    assert send(made, 64, 0.0).frame is None
    assert made.take(64) is None
    made.acknowledged([(0, 1)], 0.0, 0.1)
    assert made.is_idle


def test_a_probe_is_of_a_slice_that_is_still_missing() -> None:
    """The oldest open packet may carry what has come by another meanwhile."""
    made = outgoing(6 * SLICE)
    send(made, 6, 0.0)
    made.acknowledged([(4, 5)], 0.0, 0.1)  # 0, 1 and 2 are lost, 3 is open
    again = send(made, 64, 0.1)
    assert (again.slice, again.count) == (0, 3)
    # 0 was only late: packet 6 carries its slice in vain.
    made.acknowledged([(3, 5), (0, 0)], 0.0, 0.11)
    due_s = made.next_timeout_s()
    assert due_s is not None
    made.on_timer(due_s)
    probe = made.take(64)
    assert probe is not None
    assert (probe.slice, probe.count, probe.again) == (1, 1, True)
