"""What transfers left behind: found by the ledger or by the tags alone, listed and removed.

A transfer whose client still runs is nobody else's to touch. What the ledger does not know is ours
if its own marks say so: a gateway's or link's arguments name its transfer and owner, a namespace
its owner in the alias of its loopback device.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets.canonical import Json
from datasets.errors import ProviderError
from executor.ledger import Ledger, Resource
from executor.machine import end_process, find_gateways, find_links, is_alive, started
from executor.removal import (
    NAMESPACE_PREFIX,
    NETNS_FOLDER,
    OWNER_FILE,
    TRANSFERS_FOLDER,
    command,
    exists,
    remove,
    remove_namespace,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """One thing left behind."""

    transfer: str
    kind: str
    name: str
    known_by: str  # ledger or tags
    there: bool

    def as_json(self) -> dict[str, Json]:
        """As `tradewind audit --json` prints it."""
        return {
            "transfer": self.transfer,
            "kind": self.kind,
            "name": self.name,
            "known_by": self.known_by,
            "there": self.there,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What is left of dead transfers, and which transfers are alive."""

    left: tuple[Left, ...]
    running: tuple[str, ...]


def audit(ledger: Ledger) -> Audit:
    """Look, change nothing."""
    left: list[Left] = []
    running = []
    for transfer in ledger.transfers():
        if transfer.owner_lives():
            running.append(transfer.id)
            continue
        left += [_left(resource) for resource in ledger.remaining(transfer.id)]
        if not ledger.remaining(transfer.id):
            left.append(
                Left(
                    transfer=transfer.id,
                    kind="transfer",
                    name=f"unfinished in phase {transfer.phase}",
                    known_by="ledger",
                    there=False,
                )
            )
    known = {entry.name for entry in left}
    with_gateways = {entry.transfer for entry in left if entry.kind == "gateway"}
    with_links = {entry.transfer for entry in left if entry.kind == "link"}
    for kind, strays, told in (
        ("gateway", _stray(find_gateways()), with_gateways),
        ("link", _stray(find_links()), with_links),
    ):
        for pid, _, its_transfer, _ in strays:
            if its_transfer not in told:
                left.append(
                    Left(
                        transfer=its_transfer,
                        kind=kind,
                        name=f"process {pid}",
                        known_by="tags",
                        there=True,
                    )
                )
    for namespace, its_transfer in _stray_namespaces():
        if namespace not in known:
            left.append(
                Left(
                    transfer=its_transfer,
                    kind="namespace",
                    name=namespace,
                    known_by="tags",
                    there=True,
                )
            )
    for folder in _stray_folders(ledger):
        if str(folder) not in known:
            left.append(
                Left(
                    transfer=folder.name,
                    kind="folder",
                    name=str(folder),
                    known_by="tags",
                    there=True,
                )
            )
    return Audit(left=tuple(left), running=tuple(running))


def _left(resource: Resource) -> Left:
    return Left(
        transfer=resource.transfer,
        kind=resource.kind,
        name=resource.name,
        known_by="ledger",
        there=exists(resource),
    )


def _owner_lives(owner: str) -> bool:
    pid, _, start = owner.partition(":")
    return pid.isdigit() and is_alive(int(pid), start)


def _stray(processes: Sequence[tuple[int, str, str, str]]) -> list[tuple[int, str, str, str]]:
    """Those processes of this user whose client is gone."""
    return [found for found in processes if not _owner_lives(found[3]) and _is_ours(found[0])]


def _is_ours(pid: int) -> bool:
    # Not by the folder's owner: that of a process that lets nobody dump it is root.
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    (line,) = (line for line in status.splitlines() if line.startswith("Uid:"))
    return os.geteuid() in (0, int(line.split()[1]))


def _stray_namespaces() -> list[tuple[str, str]]:
    """(namespace, transfer) of ours whose client is gone, by the alias of their loopback."""
    if os.geteuid() != 0 or not NETNS_FOLDER.is_dir():
        return []
    found = []
    for entry in sorted(NETNS_FOLDER.iterdir()):
        if not entry.name.startswith(NAMESPACE_PREFIX):
            continue
        try:
            told = command(["ip", "-n", entry.name, "-j", "link", "show", "lo"])
        except ProviderError:
            continue  # it went away meanwhile, or is another tool's file
        probe = entry.name.removeprefix(f"{NAMESPACE_PREFIX}probe-")
        if probe.isdigit():
            # Made for a moment, to see whether namespaces work: named after its process.
            if started(int(probe)) is None:
                found.append((entry.name, "a probe"))
            continue
        words = str(json.loads(told)[0].get("ifalias", "")).split()
        if len(words) == 3 and words[0] == "tradewind" and not _owner_lives(words[2]):
            found.append((entry.name, words[1]))
    return found


def _stray_folders(ledger: Ledger) -> list[Path]:
    """Transfers' folders beside the ledger whose client is gone, by the owner written in them."""
    root = ledger.path.parent / TRANSFERS_FOLDER
    found = []
    for folder in sorted(root.iterdir()) if root.is_dir() else []:
        try:
            owner = (folder / OWNER_FILE).read_text()
        except OSError:  # being made or removed at this moment, or not ours
            continue
        if not _owner_lives(owner):
            found.append(folder)
    return found


def collect(ledger: Ledger, *, tell: Callable[[str], None] = lambda line: None) -> tuple[int, int]:
    """Remove what dead transfers left; (removed, failed). Failures stay in the ledger."""
    removed = failed = 0
    for transfer in ledger.transfers():
        if transfer.owner_lives():
            continue
        clean = True
        for resource in ledger.remaining(transfer.id):
            there = exists(resource)
            try:
                remove(ledger, resource)
            except (ProviderError, OSError) as error:
                clean = False
                failed += 1
                tell(f"{resource.kind} {resource.name} stays: {error}")
                continue
            removed += there
            tell(f"{resource.kind} {resource.name} removed")
        if clean:
            ledger.phase(transfer.id, "closed")
    for kind, strays in (("gateway", find_gateways()), ("link", find_links())):
        for pid, start, its_transfer, _ in _stray(strays):
            end_process(pid, start)
            removed += 1
            tell(f"{kind} process {pid} of {its_transfer} ended")
    for namespace, its_transfer in _stray_namespaces():
        remove_namespace(namespace)
        removed += 1
        tell(f"namespace {namespace} of {its_transfer} removed")
    for folder in _stray_folders(ledger):
        shutil.rmtree(folder)
        removed += 1
        tell(f"folder {folder} removed")
    return removed, failed
