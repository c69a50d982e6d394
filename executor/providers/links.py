"""Links with delay and loss: by netem where the kernel has it, else by a process a link.

netem serves delay alone. It sees a large segment as one packet, so loss is always the process's,
which takes single packets out. Processes are started with their plan on standard input, are in the
ledger, and are ended by id.
"""

from __future__ import annotations

import functools
import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

from datasets.errors import ProviderError
from executor.ledger import Ledger
from executor.machine import LINK_MODULE, owner_word, started
from executor.placement import LinkSpec
from executor.providers.tun_link import Direction, LinkEnd, LinkPlan, direction
from executor.removal import NAMESPACE_PREFIX, command, remove_kind, remove_namespace

# tbf and link processes count wire bytes: 1,514 a full segment of 1,448 payload bytes (Ethernet,
# IPv4, TCP with time stamps); and a record has 176 bytes of command and tag, at least one a 16 KiB.
WIRE_SHARE = 1514 / 1448 * (1 + 176 / 16384)
NETEM_PACKETS = 100_000
START_TIMEOUT_S = 30.0
END_TIMEOUT_S = 5.0


def start_link(plan: LinkPlan, *, transfer: str, owner: str = "") -> subprocess.Popen[bytes]:
    """Start one link; its devices are there when this returns. Raises: ProviderError.

    `owner` is this process unless another is named.
    """
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", LINK_MODULE),
            *("--transfer", transfer, "--owner", owner or owner_word()),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    if process.stdin is None or process.stdout is None:
        raise ProviderError("a link process has no standard input or output")
    process.stdin.write(plan.as_json().encode() + b"\n")
    process.stdin.close()
    readable, _, _ = select.select([process.stdout], [], [], START_TIMEOUT_S)
    line = process.stdout.readline() if readable else b""
    process.stdout.close()
    said = json.loads(line) if line else {}
    if said.get("ready") is not True:
        end_link(process)
        reason = said.get("error", "it said nothing")
        raise ProviderError(f"The link {plan.ends[0].device} did not start: {reason}.")
    return process


def end_link(process: subprocess.Popen[bytes]) -> None:
    """End one link: politely, then by force."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(timeout=END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout=END_TIMEOUT_S)


class EmulatedLinks:
    """The links of one transfer that are more than a rate."""

    def __init__(self, ledger: Ledger, transfer: str, links: Sequence[LinkSpec]) -> None:
        self._ledger = ledger
        self._transfer = transfer
        asked = [link for link in links if link.is_emulated]
        self._by_netem = bool(asked) and all(link.loss == 0 for link in asked) and has_netem()
        self._processes: dict[tuple[str, str], subprocess.Popen[bytes]] = {}
        how = "netem for delay" if self._by_netem else "a TUN process a link with delay or loss"
        self.described = f"veth and tbf; {how}" if asked else "veth and tbf"

    def has_process(self, src: str, dst: str) -> bool:
        """Whether a process carries this link, and shapes it."""
        return (src, dst) in self._processes or (dst, src) in self._processes

    def start(
        self,
        gateways: tuple[str, str],
        ends: tuple[LinkEnd, LinkEnd],
        links: Sequence[LinkSpec],
    ) -> bool:
        """Start the process of a pair's link, if it is to have one; its devices are there then.

        Raises: ProviderError.
        """
        by_pair = {(link.src, link.dst): link for link in links}
        there, back = by_pair.get(gateways), by_pair.get((gateways[1], gateways[0]))
        given = [link for link in (there, back) if link is not None]
        if self._by_netem or not any(link.is_emulated for link in given):
            return False
        # Light takes as long back; nothing is lost where no lane goes.
        delay_ms = max(link.delay_ms for link in given)
        plan = LinkPlan(
            ends=ends,
            forward=_direction(there, delay_ms),
            backward=_direction(back, delay_ms),
            seed=int(self._transfer[:8], 16) + len(self._processes),
        )
        name = f"{ends[0].namespace}/{ends[0].device}"
        token = self._ledger.intend(self._transfer, "link", name)
        process = start_link(plan, transfer=self._transfer)
        self._processes[gateways] = process
        self._ledger.live(token, pid=process.pid, started=started(process.pid) or "")
        return True

    def delay(
        self,
        links: Sequence[LinkSpec],
        namespace: Callable[[str], str],
        index: Mapping[str, int],
    ) -> None:
        """Where netem serves: delay each link on its receiver's ingress, both ways alike."""
        if not self._by_netem:
            return
        delays = {
            way: link.delay_ms
            for link in links
            for way in ((link.src, link.dst), (link.dst, link.src))
        }
        delays |= {(link.src, link.dst): link.delay_ms for link in links}
        for (src, dst), delay_ms in delays.items():
            if delay_ms > 0:
                for words in netem_commands(f"d{index[src]}", delay_ms):
                    command(["ip", "netns", "exec", namespace(dst), *words])

    def lost(self) -> tuple[str, ...]:
        """The links whose processes are no longer running."""
        return tuple(
            f"link {src} to {dst}"
            for (src, dst), process in self._processes.items()
            if process.poll() is not None
        )

    def end(self) -> None:
        """End all processes; confirmed in the ledger."""
        for process in self._processes.values():
            end_link(process)
        remove_kind(self._ledger, self._transfer, "link")


def _direction(link: LinkSpec | None, delay_ms: float) -> Direction:
    return direction(
        bytes_per_s=link.bytes_per_s * WIRE_SHARE if link is not None else 0.0,
        delay_ms=delay_ms if link is None else link.delay_ms,
        loss=0.0 if link is None else link.loss,
        round_trip_ms=2 * delay_ms,
    )


@functools.cache
def has_netem() -> bool:
    """Whether this kernel has netem; tried once a process, in a namespace made for it."""
    name = f"{NAMESPACE_PREFIX}probe-{os.getpid()}"
    try:
        command(["ip", "netns", "add", name])
        try:
            words = "tc qdisc add dev lo root netem delay 1ms".split()
            command(["ip", "netns", "exec", name, *words])
        finally:
            remove_namespace(name)
    except ProviderError:
        return False
    return True


def netem_commands(device: str, delay_ms: float) -> list[list[str]]:
    """What delays all that comes in by `device`: redirected to an ifb, whose queue is netem's."""
    ifb = f"i{device}"
    lines = (
        f"ip link add {ifb} type ifb",
        f"ip link set {ifb} up",
        f"tc qdisc add dev {device} handle ffff: ingress",
        f"tc filter add dev {device} parent ffff: protocol all u32 match u32 0 0 "
        f"action mirred egress redirect dev {ifb}",
        f"tc qdisc add dev {ifb} root netem delay {delay_ms:.3f}ms limit {NETEM_PACKETS}",
    )
    return [line.split() for line in lines]
