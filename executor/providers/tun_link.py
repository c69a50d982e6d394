"""A link between two namespaces with rate, delay and loss, for kernels without netem.

One process owns a TUN device at each end and carries packets between them: each direction has a
rate with a drop-tail queue, then a delay, then random loss from a seed, so what is lost is lost on
the receiver's side of the wire, where the sender cannot see it. Large segments (TSO, USO) pass
whole and count as the packets that they stand for: the rate counts each one's headers, the queue
ends between two of them, and loss takes single ones out.

    python -m executor.providers.tun_link --transfer T --owner PID:START    (a LinkPlan on stdin)

Its arguments are its mark: `tradewind gc` knows a link whose owner is gone by them.
Source of the layouts: linux/virtio_net.h, linux/if_tun.h.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import fcntl
import json
import math
import os
import random
import select
import signal
import struct
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from executor.machine import LINK_MODULE
from executor.providers.wire_segments import Packet, parse_packet

ETHERNET_BYTES = 14
MTU_BYTES = 1500
# The queue holds a round trip of the link's rate, at least 10 ms of it and at least 64 KiB.
LEAST_QUEUE_S = 0.01
LEAST_QUEUE_BYTES = 64 << 10
DEVICE_QUEUE_PACKETS = 10_000
_READ_BYTES = 70_000
_READS = 64
_LEAST_WAIT_S = 0.0001
_LEAST_LOSS, _NEVER = 1e-12, 1 << 62
_CLONE_NEWNET = 0x40000000
_TUNSETIFF, _TUNSETOFFLOAD = 0x400454CA, 0x400454D0
_IFF_TUN, _IFF_NO_PI, _IFF_VNET_HDR = 0x0001, 0x1000, 0x4000
_CSUM_AND_TSO, _USO = 0x01 | 0x02 | 0x04, 0x20 | 0x40


@dataclass(frozen=True, slots=True, kw_only=True)
class Direction:
    """One direction of a link. `bytes_per_s` 0 is unlimited; `loss` is a share of packets."""

    bytes_per_s: float
    delay_ms: float
    loss: float
    queue_bytes: int

    def __post_init__(self) -> None:
        if self.bytes_per_s < 0 or self.delay_ms < 0 or not 0 <= self.loss < 1:
            raise ValueError(f"no link has a rate, a delay or a loss like {self}")


def direction(
    *, bytes_per_s: float, delay_ms: float, loss: float, round_trip_ms: float
) -> Direction:
    """A direction whose queue holds one bandwidth-delay product of the round trip."""
    queue_s = max(round_trip_ms / 1e3, LEAST_QUEUE_S)
    return Direction(
        bytes_per_s=bytes_per_s,
        delay_ms=delay_ms,
        loss=loss,
        queue_bytes=max(int(bytes_per_s * queue_s), LEAST_QUEUE_BYTES),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkEnd:
    """Where one end's TUN device stands."""

    namespace: str
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkPlan:
    """All of a link: from its first end to its second is `forward`."""

    ends: tuple[LinkEnd, LinkEnd]
    forward: Direction
    backward: Direction
    seed: int

    def as_json(self) -> str:
        """One line, as the process reads it."""
        return json.dumps(
            {
                "ends": [[end.namespace, end.device] for end in self.ends],
                "directions": [
                    [way.bytes_per_s, way.delay_ms, way.loss, way.queue_bytes]
                    for way in (self.forward, self.backward)
                ],
                "seed": self.seed,
            }
        )


def plan_from_json(text: str) -> LinkPlan:
    """The inverse of `as_json`."""
    told = json.loads(text)
    first, second = (LinkEnd(namespace=name, device=device) for name, device in told["ends"])
    forward, backward = (
        Direction(bytes_per_s=rate, delay_ms=delay, loss=loss, queue_bytes=queue)
        for rate, delay, loss, queue in told["directions"]
    )
    return LinkPlan(ends=(first, second), forward=forward, backward=backward, seed=told["seed"])


class Way:
    """One direction at work: what is in its queue and on its wire. No I/O of its own."""

    def __init__(self, about: Direction, rng: random.Random) -> None:
        self._about = about
        self._delay_s = about.delay_ms / 1e3
        self._rng = rng
        self._free_at_s = 0.0
        self._flying: deque[tuple[float, bytes]] = deque()
        self._until_loss = self._next_loss()
        self.dropped = self.lost = 0

    def _next_loss(self) -> int:
        """How many packets pass before the next that is lost: geometric."""
        if self._about.loss < _LEAST_LOSS:
            return _NEVER
        drawn = 1.0 - self._rng.random()
        return int(math.log(drawn) / math.log(1.0 - self._about.loss))

    def put(self, raw: bytes, now_s: float) -> None:
        """A packet, or a large segment, enters the queue."""
        about = self._about
        rate, loss = about.bytes_per_s, about.loss
        if not rate and not loss:
            self._flying.append((now_s + self._delay_s, raw))
            return
        packet = parse_packet(raw)
        count = packet.count
        if rate:
            self._free_at_s = max(self._free_at_s, now_s)
            room = about.queue_bytes - (self._free_at_s - now_s) * rate
            count = self._admitted(packet, room)
            self.dropped += packet.count - count
            if not count:
                return
            wire_bytes = packet.wire_bytes(0, count) + count * ETHERNET_BYTES
            self._free_at_s += wire_bytes / rate
        arrives_s = (self._free_at_s if rate else now_s) + self._delay_s
        if count < packet.count or self._until_loss < count:
            for start, end in self._survivors(count):
                self._flying.append((arrives_s, packet.part(start, end)))
            return
        self._until_loss -= count
        self._flying.append((arrives_s, raw))

    def _admitted(self, packet: Packet, room_bytes: float) -> int:
        """How many of its packets the queue has room for: the first ones."""
        whole = packet.wire_bytes(0, packet.count) + packet.count * ETHERNET_BYTES
        if whole <= room_bytes:
            return packet.count
        each = packet.wire_bytes(0, 1) + ETHERNET_BYTES
        return max(min(int(room_bytes // each), packet.count), 0)

    def _survivors(self, count: int) -> list[tuple[int, int]]:
        """Runs of the first `count` packets that are not lost."""
        runs, start = [], 0
        while start + self._until_loss < count:
            at = start + self._until_loss
            if at > start:
                runs.append((start, at))
            self.lost += 1
            start = at + 1
            self._until_loss = self._next_loss()
        if start < count:
            runs.append((start, count))
            self._until_loss -= count - start
        return runs

    def next_s(self) -> float | None:
        """When the next packet arrives."""
        return self._flying[0][0] if self._flying else None

    def arrived(self, now_s: float) -> bytes | None:
        """The next packet that has arrived by now."""
        if self._flying and self._flying[0][0] <= now_s:
            return self._flying.popleft()[1]
        return None


@contextmanager
def inside_namespace(name: str) -> Iterator[None]:
    """The calling thread stands in that network namespace meanwhile. Raises: OSError."""
    with open("/proc/thread-self/ns/net", "rb") as home, open(f"/run/netns/{name}", "rb") as there:
        _set_namespace(there.fileno())
        try:
            yield
        finally:
            _set_namespace(home.fileno())


def _set_namespace(fd: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(fd, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "the network namespace cannot be entered")


def open_tun(end: LinkEnd) -> int:
    """Make a TUN device in its namespace; its descriptor. Raises: OSError."""
    with inside_namespace(end.namespace):
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        flags = _IFF_TUN | _IFF_NO_PI | _IFF_VNET_HDR
        fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH14x", end.device.encode(), flags))
        try:
            fcntl.ioctl(fd, _TUNSETOFFLOAD, _CSUM_AND_TSO | _USO)
        except OSError as error:  # before Linux 6.2: UDP comes in single datagrams
            if error.errno != errno.EINVAL:
                raise
            fcntl.ioctl(fd, _TUNSETOFFLOAD, _CSUM_AND_TSO)
    return fd


def carry(fds: Sequence[int], ways: Sequence[Way]) -> None:
    """Carry packets between two TUN descriptors until one of their devices is gone."""
    clock = time.monotonic
    paths = ((fds[0], fds[1], ways[0]), (fds[1], fds[0], ways[1]))
    while True:
        due = [at for at in (way.next_s() for way in ways) if at is not None]
        wait_s = min(due) - clock() if due else 1.0
        ready = select.select(fds, (), (), max(wait_s, _LEAST_WAIT_S if due else 0.0))[0]
        for source, _, way in paths:
            if source in ready:
                for _ in range(_READS):
                    try:
                        way.put(os.read(source, _READ_BYTES), clock())
                    except BlockingIOError:
                        break
                    except OSError:  # the namespace was removed, and the device with it
                        return
        now_s = clock()
        for _, target, way in paths:
            while (packet := way.arrived(now_s)) is not None:
                try:
                    os.write(target, packet)
                except OSError as error:
                    if error.errno in (errno.EBADF, errno.EBADFD, errno.ENODEV):
                        return
                    way.dropped += 1  # the device is down, or the packet is none: as lost


def main() -> int:
    """Read the plan, make the devices, say `{"ready": true}`, and carry until ended."""
    parser = argparse.ArgumentParser(prog=LINK_MODULE, description="A link with rate, delay, loss.")
    parser.add_argument("--transfer", required=True)
    parser.add_argument("--owner", required=True)
    parser.parse_args()

    def end(number: int, frame: FrameType | None) -> None:
        sys.exit(0)

    signal.signal(signal.SIGTERM, end)
    plan = plan_from_json(sys.stdin.readline())
    try:
        fds = [open_tun(end) for end in plan.ends]
    except OSError as error:
        sys.stdout.write(json.dumps({"ready": False, "error": error.strerror}) + "\n")
        return 1
    rng = random.Random(plan.seed)  # noqa: S311  # packets that are lost are no secret
    ways = [Way(about, rng) for about in (plan.forward, plan.backward)]
    sys.stdout.write(json.dumps({"ready": True}) + "\n")
    sys.stdout.flush()
    carry(fds, ways)
    return 0


if __name__ == "__main__":
    sys.exit(main())
