"""Plans carried out again and again while their relays and links go down: the other half of a soak.

Each has two paths with a relay of its own. At a random moment one relay is killed or, in
namespaces, all links of one are taken down. The bytes must arrive, few of them twice, and the
ledger must be empty afterwards.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.transfers import digest_of
from datasets.errors import TradewindError
from datasets.outcome import outcome
from executor.cleanup import audit
from executor.execute import Execution, Progress
from executor.ledger import Ledger
from executor.machine import find_gateways
from executor.placement import Ports
from executor.providers import find_provider
from executor.providers.netns import why_not
from executor.scale import scale_for
from planner.plan import Plan, restated
from tests.tiny_plans import A, B, C, D, plan_of

MACHINE_GBPS = 10.0
MEBIBYTES = 24
RELAYS = (f"{B}#0", f"{D}#0")
_TIMEOUT_S = 30.0


class PlanFailed(Exception):
    """What a soak is there to find."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """One Plan carried out: what was done to it, and what that cost."""

    upset: str
    moved_bytes: int
    sent_again_bytes: int


def two_relays() -> Plan:
    """Two paths, each by a relay of its own."""
    return plan_of(
        [((A, B, C), 2.0), ((A, D, C), 2.0)],
        {(A, B): 4.0, (B, C): 4.0, (A, D): 4.0, (D, C): 4.0},
    )


def _pid_of(transfer: str, gateway: str) -> int | None:
    for pid, _, _, _ in find_gateways(transfer):
        if gateway.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
            return pid
    return None


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def _links_down(pid: int) -> None:
    """All links of the gateway but the one to the client: as a cable that was pulled."""
    inside = ["nsenter", "-t", str(pid), "-n"]
    listed = subprocess.run(
        [*inside, "ip", "-o", "link"],
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=True,
    )
    for line in listed.stdout.splitlines():
        device = line.split(":")[1].strip().split("@")[0]
        if device[0] == "d" and device[1:].isdigit():
            words = [*inside, "ip", "link", "set", device, "down"]
            subprocess.run(words, timeout=_TIMEOUT_S, check=True)


class _Upset:
    def __init__(self, after_bytes: int, relay: str, what: Callable[[int], None] | None) -> None:
        self._after_bytes = after_bytes
        self._relay = relay
        self._what = what
        self.run: Execution | None = None
        self.happened = False

    def __call__(self, progress: Progress) -> None:
        due = progress.acknowledged_bytes >= self._after_bytes and not self.happened
        if not due or self._what is None or self.run is None:
            return
        self.happened = True
        pid = _pid_of(self.run.transfer, self._relay)
        if pid is not None:
            self._what(pid)


def carry_out(folder: Path, source: Path, rng: random.Random) -> Carried:
    """One Plan, upset at random. Raises: PlanFailed."""
    in_namespaces = why_not() is None
    kinds: dict[str, Callable[[int], None] | None] = {"none": None, "relay killed": _kill}
    if in_namespaces:
        kinds["links down"] = _links_down
    name = rng.choice(sorted(kinds))
    size_bytes = source.stat().st_size
    upset = _Upset(int(size_bytes * rng.uniform(0.05, 0.6)), rng.choice(RELAYS), kinds[name])
    plan = restated(two_relays(), size_bytes)
    arrived = folder / "carried"
    ledger = Ledger(folder / "state" / "ledger.sqlite")
    try:
        run = Execution(
            plan=plan,
            source=source,
            destination=arrived,
            provider=find_provider("netns" if in_namespaces else "loopback"),
            ledger=ledger,
            scale=scale_for(plan, machine_gbps=MACHINE_GBPS, moved_bytes=size_bytes),
            ports=Ports(data=7600),
            observe=upset,
        )
        upset.run = run
        done = run.run()
        left = [entry for entry in audit(ledger).left if entry.transfer == run.transfer]
    except TradewindError as error:
        raise PlanFailed(f"a Plan with {name} at {upset.happened}: {error}") from error
    finally:
        ledger.close()
    if digest_of(arrived) != digest_of(source):
        raise PlanFailed(f"a Plan with {name} brought other bytes")
    if left:
        raise PlanFailed(f"a Plan with {name} left {left}")
    arrived.unlink()
    again = outcome(done.events).retransmitted_bytes
    return Carried(
        upset=name if upset.happened else "none",
        moved_bytes=size_bytes,
        sent_again_bytes=int(again),
    )
