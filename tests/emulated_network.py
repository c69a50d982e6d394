"""Two network namespaces joined by a link with rate, delay and loss, for tests and benchmarks.

    with emulated_network(mbps=500, rtt_ms=100, loss=0.01) as network:
        network.popen("left", [...])

Needs root. Everything is made under names of its own, and gone at the end.
"""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from executor.machine import owner_word
from executor.providers.links import end_link, start_link
from executor.providers.tun_link import LinkEnd, LinkPlan, direction
from executor.removal import NAMESPACE_PREFIX, command, remove_namespace

DEVICE = "em0"
_NUMBERS = itertools.count()


@dataclass(frozen=True, slots=True, kw_only=True)
class EmulatedNetwork:
    """Two ends: their namespaces and addresses by name, `left` and `right`."""

    namespaces: Mapping[str, str]
    addresses: Mapping[str, str]
    process: subprocess.Popen[bytes]

    def inside(self, end: str, words: Sequence[str]) -> list[str]:
        """A command that runs at that end."""
        return ["ip", "netns", "exec", self.namespaces[end], *words]

    def popen(self, end: str, words: Sequence[str], **options: Any) -> subprocess.Popen[str]:
        """Start a command at that end."""
        return subprocess.Popen(self.inside(end, words), text=True, **options)


@contextmanager
def emulated_network(
    *,
    mbps: float = 0.0,
    rtt_ms: float = 0.0,
    loss: float = 0.0,
    loss_back: float = 0.0,
    seed: int = 1,
) -> Iterator[EmulatedNetwork]:
    """Left and right, joined. `mbps` counts wire bytes, each way; loss acts towards the right."""
    name = f"{NAMESPACE_PREFIX}emu-{os.getpid()}-{next(_NUMBERS)}"
    namespaces = {"left": f"{name}-l", "right": f"{name}-r"}
    addresses = {"left": "10.99.0.1", "right": "10.99.0.2"}
    rate = mbps * 125e3
    ways = [
        direction(bytes_per_s=rate, delay_ms=rtt_ms / 2, loss=share, round_trip_ms=rtt_ms)
        for share in (loss, loss_back)
    ]
    plan = LinkPlan(
        ends=(
            LinkEnd(namespace=namespaces["left"], device=DEVICE),
            LinkEnd(namespace=namespaces["right"], device=DEVICE),
        ),
        forward=ways[0],
        backward=ways[1],
        seed=seed,
    )
    made = []
    process = None
    try:
        for namespace in namespaces.values():
            command(["ip", "netns", "add", namespace])
            made.append(namespace)
            owner = f"tradewind {name} {owner_word()}"
            command(["ip", "-n", namespace, "link", "set", "lo", "up", "alias", owner])
        process = start_link(plan, transfer=name)
        for end, other in (("left", "right"), ("right", "left")):
            lines = [
                f"addr add {addresses[end]}/32 peer {addresses[other]} dev {DEVICE}",
                f"link set {DEVICE} txqueuelen 10000 up",
            ]
            command(["ip", "-n", namespaces[end], "-batch", "-"], given="\n".join(lines) + "\n")
        yield EmulatedNetwork(namespaces=namespaces, addresses=addresses, process=process)
    finally:
        if process is not None:
            end_link(process)
        for namespace in made:
            remove_namespace(namespace)
