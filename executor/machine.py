"""What this machine says: processes by id and start, gateways by their marks, and load."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from datasets.errors import InputError, ProviderError

# How a gateway process, or that of an emulated link, is known by its arguments alone.
GATEWAY_MODULE = "executor.gateway"
LINK_MODULE = "executor.providers.tun_link"
END_TIMEOUT_S = 5.0


def boot_id() -> str:
    """Names this boot of the machine; process ids mean nothing across boots."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def started(pid: int) -> str | None:
    """When a process started (clock ticks since boot), or None if there is none of that id.

    A zombie counts as gone: it holds nothing but its exit status.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else fields[19]


def is_alive(pid: int, start: str) -> bool:
    """Whether the very process that started then still runs; ids are used again, starts are not."""
    return started(pid) == start


def own_start() -> str:
    """When this process started."""
    return started(os.getpid()) or ""


def owner_word() -> str:
    """This process as an owner, `PID:START`: the mark on gateways and namespaces."""
    return f"{os.getpid()}:{own_start()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The machine's CPU time so far, in ticks over all cores."""

    busy: int
    idle: int
    steal: int


def load() -> Load:
    """Now. Source: /proc/stat, first line (user nice system idle iowait irq softirq steal)."""
    with open("/proc/stat", encoding="ascii") as stat:
        ticks = [int(word) for word in stat.readline().split()[1:9]]
    user, nice, system, idle, iowait, irq, softirq, steal = ticks
    return Load(busy=user + nice + system + irq + softirq, idle=idle + iowait, steal=steal)


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuUse:
    """Shares of the machine's CPU time between two moments."""

    share: float
    idle: float
    steal: float


def cpu_use(before: Load, after: Load) -> CpuUse:
    """What happened between two readings."""
    busy, idle = after.busy - before.busy, after.idle - before.idle
    steal = after.steal - before.steal
    total = max(busy + idle + steal, 1)
    return CpuUse(share=busy / total, idle=idle / total, steal=steal / total)


def find_gateways(transfer: str | None = None) -> tuple[tuple[int, str, str, str], ...]:
    """Gateway processes on this machine by their arguments alone: (pid, start, transfer, owner)."""
    return _find_processes(GATEWAY_MODULE, transfer)


def find_links(transfer: str | None = None) -> tuple[tuple[int, str, str, str], ...]:
    """The same of the processes of emulated links."""
    return _find_processes(LINK_MODULE, transfer)


def _find_processes(module: str, transfer: str | None) -> tuple[tuple[int, str, str, str], ...]:
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # gone meanwhile, or another user's
        if module not in words or "--transfer" not in words or "--owner" not in words:
            continue
        its_transfer = words[words.index("--transfer") + 1]
        start = started(int(entry.name))
        if start is not None and transfer in (None, its_transfer):
            owner = words[words.index("--owner") + 1]
            found.append((int(entry.name), start, its_transfer, owner))
    return tuple(sorted(found))


def end_process(pid: int, start: str) -> None:
    """End the very process that started then, and wait until it is gone. Raises: ProviderError."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + END_TIMEOUT_S
        while is_alive(pid, start):
            try:
                os.kill(pid, sign)
            except ProcessLookupError:
                return
            except PermissionError as error:
                raise ProviderError(f"process {pid} belongs to another user") from error
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        else:
            return
    raise ProviderError(f"process {pid} does not end")


def check_congestion(name: str) -> None:
    """Raises: InputError unless this kernel has the congestion control `name`; "" is any."""
    known = Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text().split()
    if name and name not in known:
        raise InputError(
            f"This kernel has no congestion control {name!r}; it has {', '.join(sorted(known))}."
        )
