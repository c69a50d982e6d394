"""Removing what a transfer made: one way a kind, harmless when repeated; used by every clean-up.

The kinds: `gateway` and `link` (processes), `rules` (a namespace's packet filter), `namespace`,
`folder` (logs and workloads under the state folder), `staging` (a destination's hidden folder, but
for one that a later attempt can go on from).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from datasets.errors import ProviderError
from executor.endpoints.landing import has_arrived
from executor.endpoints.listing import PARTIAL_PREFIX
from executor.ledger import Ledger, Resource
from executor.machine import end_process, find_gateways, find_links, is_alive, owner_word
from executor.retry import retried

STAGING_PREFIX = ".tradewind-"
NAMESPACE_PREFIX = "tw-"
NETNS_FOLDER = Path("/run/netns")
NFT_TABLE = "tradewind"
# In a transfer's folder: who made it, for when the ledger is lost.
OWNER_FILE = "owner"
TRANSFERS_FOLDER = "transfers"


def make_folder(ledger: Ledger, transfer: str, folder: Path, *, kind: str = "folder") -> Path:
    """Make a private folder that the ledger knows."""
    token = ledger.intend(transfer, kind, str(folder))
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / OWNER_FILE).write_text(owner_word())
    ledger.live(token)
    return folder


def remove(ledger: Ledger, resource: Resource) -> None:
    """Remove one thing and confirm it in the ledger. Raises: ProviderError if it does not go."""
    ledger.condemn(resource.token)
    REMOVERS[resource.kind](resource)
    ledger.gone(resource.token)


def remove_kind(ledger: Ledger, transfer: str, kind: str) -> None:
    """Remove whatever is left of one kind."""
    for resource in ledger.remaining(transfer):
        if resource.kind == kind:
            remove(ledger, resource)


def exists(resource: Resource) -> bool:
    """Whether it is there, as far as this machine shows."""
    if resource.kind in ("gateway", "link"):
        return bool(_processes_of(resource))
    if resource.kind in ("rules", "namespace"):
        return namespace_exists(resource.spec.get("namespace", resource.name))
    return Path(resource.name).exists()


def namespace_exists(name: str) -> bool:
    """Whether a network namespace of that name is there."""
    return (NETNS_FOLDER / name).exists()


def _processes_of(resource: Resource) -> list[tuple[int, str]]:
    # Killed between the start and its entry, a process is known by its arguments alone.
    pid, start = resource.spec.get("pid"), resource.spec.get("started")
    if pid and start:
        return [(pid, start)] if is_alive(pid, start) else []
    find = find_gateways if resource.kind == "gateway" else find_links
    return [(found[0], found[1]) for found in find(resource.transfer)]


def _remove_process(resource: Resource) -> None:
    for pid, start in _processes_of(resource):
        end_process(pid, start)


def _remove_rules(resource: Resource) -> None:
    namespace = str(resource.spec["namespace"])
    if namespace_exists(namespace):
        command(["ip", "netns", "exec", namespace, "nft", "flush", "ruleset"])


def _remove_namespace(resource: Resource) -> None:
    # The kernel takes a deleted namespace apart in its own time: the client's end of the control
    # link goes at once, so that its address is free again.
    device = str(resource.spec.get("device", ""))

    def delete() -> None:
        # The kernel may take it first, between the look and the word: then it is gone, too.
        if device.startswith("tw") and Path(f"/sys/class/net/{device}").exists():
            command(["ip", "link", "delete", device])

    retried(delete, on=ProviderError, total_s=5.0)
    remove_namespace(resource.name)


def remove_namespace(name: str) -> None:
    """Delete a namespace of ours, its links with it. Raises: ProviderError."""
    if not name.startswith(NAMESPACE_PREFIX):
        raise ProviderError(f"{name} is not a namespace of tradewind's")

    def delete() -> None:
        if namespace_exists(name):
            command(["ip", "netns", "delete", name])

    retried(delete, on=ProviderError, total_s=5.0)


def _remove_folder(resource: Resource) -> None:
    folder = Path(resource.name)
    if folder.parent.name != TRANSFERS_FOLDER:
        raise ProviderError(f"{folder} is not a transfer's folder; it is left alone")
    if folder.exists():
        shutil.rmtree(folder)


def _remove_staging(resource: Resource) -> None:
    folder = Path(resource.name)
    if not folder.name.startswith(STAGING_PREFIX):
        raise ProviderError(f"{folder} is not a staging folder; it is left alone")
    if folder.name.startswith(os.fsdecode(PARTIAL_PREFIX)) and has_arrived(bytes(folder)):
        return  # what the same transfer, begun again, goes on from
    if folder.exists():
        for inside in [folder, *folder.rglob("*")]:
            if inside.is_dir() and not inside.is_symlink():
                inside.chmod(0o700)
        shutil.rmtree(folder)


REMOVERS: Mapping[str, Callable[[Resource], None]] = MappingProxyType(
    {
        "gateway": _remove_process,
        "link": _remove_process,
        "rules": _remove_rules,
        "namespace": _remove_namespace,
        "folder": _remove_folder,
        "staging": _remove_staging,
    }
)


def command(words: list[str], *, given: str | None = None) -> str:
    """Run a system command; its output. Raises: ProviderError with its last line."""
    try:
        done = subprocess.run(
            words, input=given, capture_output=True, text=True, timeout=60, check=False
        )
    except FileNotFoundError as error:
        raise ProviderError(f"{words[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise ProviderError(f"{' '.join(words[:4])} did not end within 60 s") from error
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise ProviderError(f"{' '.join(words[:6])}: {said[-1]}")
    return done.stdout
