"""How fast the UDP transport sends: round-trip estimate and congestion controller, without I/O.

Two windows, and the larger one counts:

* a **model** window, as BBR has it: the most that was delivered a second (over ten rounds) times
  the least round trip, times a gain of 1.25 that probes for more. It ignores loss, so random loss
  does not stop it;
* a **loss** window that grows as CUBIC's does and shrinks to 0.7 upon congestion, so that beside
  TCP in a queue that TCP fills it takes its share and no more. Loss counts as congestion only
  while packets queue (the round trip stands well above the least) or while much is lost; what is
  lost while nothing queues is taken for random, which is Veno's distinction.

After congestion the model's gain is lowered too, and rises again a step a round. A plain
rate model (BBR v1) takes most of a shallow drop-tail queue from CUBIC, and a plain loss window
collapses at 1 % of random loss: each half covers the other's weakness.

Source: Cardwell et al., "BBR: Congestion-Based Congestion Control", ACM Queue 14(5), 2016;
RFC 9438 (CUBIC); Fu and Liew, "TCP Veno", IEEE JSAC 21(2), 2003; RFC 9002 (round trip,
time-outs); RFC 9406 (HyStart++, when slow start ends); Cheng et al.,
draft-cheng-iccrg-delivery-rate-estimation (delivery rate).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

MILLISECOND_S = 0.001
INITIAL_RTT_S = 0.1
# What an acknowledging end may take to wake up, beyond the round trip.
MOST_ACK_DELAY_S = 0.025
# What TCP's window is counted in; a fair share must not depend on the size of our datagrams.
SEGMENT_BYTES = 1448
INITIAL_WINDOW_BYTES = 64 * 1024
MODEL_GAIN = 1.2
LEAST_MODEL_GAIN = 1.0
MODEL_GAIN_STEP = 0.05
AFTER_LOSS = 0.7  # RFC 9438, 4.6
CUBIC_C = 0.4  # RFC 9438, 5: segments a cubic second
START_SAMPLES = 8
STARTUP_GAIN = 2.0
PACING_GAIN = 1.25
RATE_ROUNDS = 10
LEAST_RTT_LASTS_S = 30.0
# A standing queue: the least round trip of a round exceeds the least ever by a quarter and 2 ms.
QUEUE_SHARE, QUEUE_S = 0.4, 0.002
# So much lost in two rounds is congestion whatever the round trip says (a queue too short to see).
CONGESTED_SHARE, CONGESTED_PACKETS = 0.06, 16


class RoundTrip:
    """Smoothed round trip, its variation and its least. Source: RFC 9002, section 5."""

    def __init__(self) -> None:
        self.smoothed_s: float | None = None
        self.variation_s = INITIAL_RTT_S / 2
        self.latest_s = INITIAL_RTT_S
        self._least: deque[tuple[float, float]] = deque()

    def sample(self, rtt_s: float, ack_delay_s: float, now_s: float) -> None:
        """A packet was acknowledged `rtt_s` after it left, after waiting `ack_delay_s`."""
        while self._least and self._least[-1][1] >= rtt_s:
            self._least.pop()
        self._least.append((now_s, rtt_s))
        while self._least[0][0] < now_s - LEAST_RTT_LASTS_S:
            self._least.popleft()
        if len(self._least) > 64:  # a slow rise: thinned out, the least stays
            del self._least[1]
        adjusted_s = max(rtt_s - min(ack_delay_s, MOST_ACK_DELAY_S), self.least_s)
        self.latest_s = adjusted_s
        if self.smoothed_s is None:
            self.smoothed_s, self.variation_s = adjusted_s, adjusted_s / 2
            return
        self.variation_s += (abs(self.smoothed_s - adjusted_s) - self.variation_s) / 4
        self.smoothed_s += (adjusted_s - self.smoothed_s) / 8

    @property
    def least_s(self) -> float:
        """The least round trip of the last half minute."""
        return self._least[0][1] if self._least else self.expected_s

    @property
    def expected_s(self) -> float:
        """The smoothed round trip, or a guess before there is one."""
        return INITIAL_RTT_S if self.smoothed_s is None else self.smoothed_s

    @property
    def loss_delay_s(self) -> float:
        """After so long, with a later packet acknowledged, a packet is lost. RFC 9002, 6.1.2."""
        return max(9 / 8 * max(self.expected_s, self.latest_s), 2 * MILLISECOND_S)

    @property
    def probe_timeout_s(self) -> float:
        """After so long without any acknowledgement, ask. RFC 9002, 6.2.1."""
        return self.expected_s + max(4 * self.variation_s, 2 * MILLISECOND_S) + MOST_ACK_DELAY_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one acknowledgement showed: bytes it acknowledged, and the rate they were delivered at.

    `app_limited`: the sender had had nothing to send, so the rate says little of the path.
    """

    acked_bytes: int
    rate_bytes_per_s: float
    app_limited: bool
    ended_round: bool


class Controller:
    """The window and the pace. All times are the caller's clock.

    `least_bytes`: the window is never smaller; for a path without any network in it.
    """

    def __init__(self, datagram_bytes: int, *, least_bytes: int = 0) -> None:
        self.round_trip = RoundTrip()
        self.least_bytes = max(4 * max(datagram_bytes, SEGMENT_BYTES), least_bytes)
        self.starting = True
        self._loss_window_bytes = float(max(INITIAL_WINDOW_BYTES, 4 * datagram_bytes))
        self._model_gain = MODEL_GAIN
        self._rates: deque[tuple[int, float]] = deque()
        self._round = 0
        self._round_rtts: list[float] = []
        self._last_round_rtt_s: float | None = None
        self._full_rate, self._full_rounds = 0.0, 0
        self._reduced_s = float("-inf")
        self._epoch_s: float | None = None
        self._most_bytes = self._from_bytes = 0.0
        # Packets of this round and of the one before: (sent, lost).
        self._this_round, self._before = (0, 0), (0, 0)

    @property
    def rate_bytes_per_s(self) -> float:
        """The most that was delivered a second, of late; 0 before anything was."""
        return self._rates[0][1] if self._rates else 0.0

    @property
    def window_bytes(self) -> float:
        """How much may be under way."""
        return max(self._loss_window_bytes, self._model_bytes, self.least_bytes)

    @property
    def _model_bytes(self) -> float:
        rate = self.rate_bytes_per_s
        # Two milliseconds of sending beside the model: what one wake-up of a thread may take.
        return self._model_gain * rate * self.round_trip.least_s + 2 * MILLISECOND_S * rate

    @property
    def pace_bytes_per_s(self) -> float:
        """How fast what may be under way is sent."""
        gain = STARTUP_GAIN if self.starting else PACING_GAIN
        return gain * self.window_bytes / max(self.round_trip.expected_s, MILLISECOND_S / 20)

    def on_rtt(self, rtt_s: float, ack_delay_s: float, now_s: float) -> None:
        """A round trip was measured."""
        self.round_trip.sample(rtt_s, ack_delay_s, now_s)
        self._round_rtts.append(rtt_s)

    def on_sent(self, packets: int) -> None:
        """Packets left."""
        self._this_round = (self._this_round[0] + packets, self._this_round[1])

    def on_acked(self, sample: Sample, *, window_used: bool, now_s: float) -> None:
        """Packets arrived. `window_used`: the window was what held the sender back."""
        self._note_rate(sample)
        if self.starting and window_used:
            self._loss_window_bytes += sample.acked_bytes
        if self.starting and self._has_queued_in_round():
            self._leave_start()
        if sample.ended_round:
            self._end_round(sample)
        if not self.starting:
            self._grow(window_used=window_used, now_s=now_s)

    def _note_rate(self, sample: Sample) -> None:
        rate = sample.rate_bytes_per_s
        if rate <= 0 or (sample.app_limited and rate < self.rate_bytes_per_s):
            return
        while self._rates and self._rates[-1][1] <= rate:
            self._rates.pop()
        self._rates.append((self._round, rate))
        while self._rates[0][0] < self._round - RATE_ROUNDS:
            self._rates.popleft()

    def _end_round(self, sample: Sample) -> None:
        self._round += 1
        if self._round_rtts:
            round_rtt_s = min(self._round_rtts)
            if self.starting:
                self._judge_start(app_limited=sample.app_limited)
            self._last_round_rtt_s = round_rtt_s
        self._round_rtts = []
        self._before, self._this_round = self._this_round, (0, 0)
        self._model_gain = min(self._model_gain + MODEL_GAIN_STEP, MODEL_GAIN)

    def _has_queued_in_round(self) -> bool:
        """Slow start ends where packets begin to queue. RFC 9406, 4.2."""
        rtts, least_s = self._round_rtts, self.round_trip.least_s
        if len(rtts) < START_SAMPLES:
            return False
        return min(rtts) - least_s > min(max(least_s / 8, 0.004), 0.016)

    def _judge_start(self, *, app_limited: bool) -> None:
        """It also ends where more brings no more: three rounds without a quarter more delivered."""
        if app_limited:
            return
        if self.rate_bytes_per_s >= 1.25 * self._full_rate:
            self._full_rate, self._full_rounds = self.rate_bytes_per_s, 0
        else:
            self._full_rounds += 1
        if self._full_rounds >= 3:
            self._leave_start()

    def _leave_start(self) -> None:
        self.starting = False
        if self.rate_bytes_per_s:
            self._loss_window_bytes = min(self._loss_window_bytes, self._model_bytes)
        self._most_bytes = self._loss_window_bytes
        self._epoch_s = None

    def _grow(self, *, window_used: bool, now_s: float) -> None:
        """The loss window, t after the last congestion. RFC 9438, 4.2 and 4.3."""
        if not window_used:
            self._epoch_s = None  # time without need is no time to grow
            return
        if self._epoch_s is None:
            self._epoch_s = now_s
            self._most_bytes = max(self._most_bytes, self._loss_window_bytes)
            self._from_bytes = self._loss_window_bytes
        since_s = now_s - self._epoch_s + self.round_trip.expected_s
        most, begun = self._most_bytes / SEGMENT_BYTES, self._from_bytes / SEGMENT_BYTES
        inflection_s = ((most - begun) / CUBIC_C) ** (1 / 3)
        cubic = CUBIC_C * (since_s - inflection_s) ** 3 + most
        friendly_step = 3 * (1 - AFTER_LOSS) / (1 + AFTER_LOSS)
        friendly = begun + friendly_step * since_s / self.round_trip.expected_s
        target_bytes = max(cubic, friendly) * SEGMENT_BYTES
        # No more than half as much again a round trip: RFC 9438, 4.4.
        self._loss_window_bytes = max(
            self._loss_window_bytes, min(target_bytes, 1.5 * self.window_bytes)
        )

    def on_lost(self, packets: int, *, latest_sent_s: float, now_s: float) -> None:
        """Packets were lost; `latest_sent_s` is when the last of them had left."""
        self._this_round = (self._this_round[0], self._this_round[1] + packets)
        if latest_sent_s <= self._reduced_s or not self._is_congestion():
            return
        self._reduced_s = now_s
        window_bytes = self.window_bytes
        if self.starting:
            self._leave_start()
        self._most_bytes = window_bytes
        self._loss_window_bytes = max(AFTER_LOSS * window_bytes, self.least_bytes)
        self._model_gain = LEAST_MODEL_GAIN
        self._epoch_s = None

    def _is_congestion(self) -> bool:
        sent, lost = (sum(counts) for counts in zip(self._this_round, self._before, strict=True))
        much = lost >= CONGESTED_PACKETS and lost > CONGESTED_SHARE * sent
        return much or self.queues

    @property
    def queues(self) -> bool:
        """Whether packets stand in a queue, ours or another's, by this round's least round trip."""
        rtts = [min(self._round_rtts)] if len(self._round_rtts) >= 4 else []
        if self._last_round_rtt_s is not None and not rtts:
            rtts.append(self._last_round_rtt_s)
        least_s = self.round_trip.least_s
        return bool(rtts) and min(rtts) > (1 + QUEUE_SHARE) * least_s + QUEUE_S

    def on_silence(self) -> None:
        """Nothing was acknowledged for several time-outs: begin anew. RFC 9002, 7.6."""
        self.starting = True
        self._loss_window_bytes = float(self.least_bytes)
        self._rates.clear()
        self._full_rate, self._full_rounds = 0.0, 0
        self._epoch_s = None
