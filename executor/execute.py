"""Carry a Plan out: provision, connect, move, confirm, tear down. The one entry of this floor.

The executor never looks at predicted or simulated times: what it reports comes from events that
the gateways stamped. Every phase is in the ledger before it begins.
"""

from __future__ import annotations

import datetime
import os
import platform
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets.canonical import Json
from datasets.errors import ProviderError, TradewindError, TransferFailed
from datasets.events import Event, EventWriter, detail_of
from datasets.outcome import outcome
from executor.collector import Collector
from executor.configuration import (
    Setup,
    gateway_specs,
    link_specs,
    listing_messages,
    new_keys,
)
from executor.control import messages_pb2 as messages
from executor.control.authority import Authority, Credentials
from executor.control.client import CONFIRM_TIMEOUT_S, GatewayClient
from executor.endpoints.local import (
    Entry,
    files,
    list_source,
    place_for,
    root_digest,
    total_bytes,
)
from executor.ledger import Ledger
from executor.machine import CpuUse, cpu_use, load
from executor.placement import GatewaySpec, Placed, Ports
from executor.providers import Provider
from executor.removal import STAGING_PREFIX, remove_kind
from executor.scale import Scale
from planner.billing import add_costs
from planner.dispatch import Dispatch
from planner.plan import Plan, require_paths

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_PORT = 7400
LEASE_S = 15.0
SESSION_LIFETIME_S = 24 * 3600
_POLL_S = 0.2
_GRACE_S = 0.5
# Every gateway says something several times a second, if only that there is nothing new.
SILENCE_S = 12.0
STOP_TIMEOUT_S = 1.0
DIGESTS_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a transfer stands, for whoever shows it."""

    phase: str
    acknowledged_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """What an execution leaves: its events and what its manifest says."""

    run_id: str
    events: pd.DataFrame
    manifest: Mapping[str, Json]
    final: Path
    warnings: tuple[str, ...]


@dataclass(kw_only=True)
class Execution:
    """One execution of a Plan by a provider. Use `run` once."""

    plan: Plan
    source: Path
    destination: Path
    provider: Provider
    ledger: Ledger
    scale: Scale
    ports: Ports = field(default_factory=lambda: Ports(data=DEFAULT_PORT))
    work_conserving: bool = False
    dispatch: Dispatch = "dynamic"
    observe: Callable[[Progress], None] = lambda progress: None
    transfer: str = field(default_factory=lambda: secrets.token_hex(16))

    def __post_init__(self) -> None:
        require_paths(self.plan, "Executing")
        self._clients: dict[str, GatewayClient] = {}
        self._specs = gateway_specs(self.plan)
        self._entries: tuple[Entry, ...] = ()
        self._phase = ""
        self._refused = 0
        self._confirming = False
        self._placed = False
        self._warnings: list[str] = []
        self._kernel_bytes: Mapping[str, int] | None = None
        self._cpu: CpuUse | None = None
        self._started_utc = datetime.datetime.now(datetime.timezone.utc)

    def run(self) -> Executed:
        """Do it all. Raises: the error of whatever failed, after everything is cleaned up."""
        self._entries = list_source(self.source)
        final = place_for(self.destination, self.source, self._entries)
        # Beside what it will become, on the same file system: placing is renaming.
        beside = final if final.is_dir() else final.parent
        staging = beside / f"{STAGING_PREFIX}{self.transfer}"
        begun_ns = time.monotonic_ns()
        self._started_utc = datetime.datetime.now(datetime.timezone.utc)
        self._collector = Collector(begun_ns)
        self.ledger.begin(self.transfer, self.plan.id)
        try:
            self._enter("reserve")
            placed = self.provider.reserve(
                self.ledger,
                self.transfer,
                self._specs,
                link_specs(self.plan, self.scale),
                self.ports,
            )
            setup = self._setup(placed, staging, final)
            self._enter("provision")
            self._provision(setup)
            self._enter("permit")
            self._permit(setup)
            self._enter("transfer")
            self._move()
            self._confirm()
            self._placed = True
            self._enter("revoke")
            self._revoke()
            self._enter("delete")
            self._delete()
        except BaseException as error:
            self._abandon()
            if not self._placed or not isinstance(error, (TradewindError, KeyboardInterrupt)):
                raise
            # The bytes are in their place and confirmed: what failed was the tearing down, and
            # that has just been made good.
            self._warnings.append(f"while tearing down: {error or 'interrupted'}")
        self.ledger.phase(self.transfer, "closed")
        return self._executed(final)

    def _setup(self, placed: Mapping[str, Placed], staging: Path, final: Path) -> Setup:
        return Setup(
            plan=self.plan,
            scale=self.scale,
            placed=placed,
            ports=self.ports,
            keys=new_keys(
                self.transfer,
                session=secrets.token_bytes(16),
                expiry=int(time.time()) + SESSION_LIFETIME_S,
            ),
            source=self.source.absolute(),
            staging=staging.absolute(),
            final=final.absolute(),
            work_conserving=self.work_conserving,
            dispatch=self.dispatch,
            largest_object_bytes=max((entry.size for entry in files(self._entries)), default=0),
        )

    def _enter(self, phase: str) -> None:
        self.ledger.phase(self.transfer, phase)
        self._phase = phase
        self._tell()

    def _tell(self) -> None:
        self.observe(
            Progress(
                phase=self._phase,
                acknowledged_bytes=self._collector.acknowledged_bytes,
                total_bytes=total_bytes(self._entries),
            )
        )

    def _provision(self, setup: Setup) -> None:
        authority = Authority(self.transfer, now=datetime.datetime.now(datetime.timezone.utc))
        for spec in self._specs:
            self._collector.add(Event.GATEWAY_REQUESTED, gateway=spec.name)
        credentials = {
            spec.name: authority.issue(role=spec.role, gateway=spec.name) for spec in self._specs
        }
        own = authority.issue(role="client", gateway="client")
        self.provider.provision(credentials, lease_s=LEASE_S)
        token = self.ledger.intend(self.transfer, "staging", str(setup.staging))
        for spec in self._specs:
            self._meet(spec, setup, own)
        for spec in self._specs:
            self._configure(spec, setup)
        self.ledger.live(token)

    def _meet(self, spec: GatewaySpec, setup: Setup, own: Credentials) -> None:
        client = GatewayClient(
            spec.name,
            address=setup.placed[spec.name].control_address,
            port=self.ports.control,
            credentials=own,
        )
        self._clients[spec.name] = client
        client.call("Describe", check=self._check_lost)
        self._collector.watch(client)

    def _configure(self, spec: GatewaySpec, setup: Setup) -> None:
        self._call(spec.name, "Configure", setup.configuration(spec))
        if spec.role != "relay":
            for message in listing_messages(self._entries):
                self._call(spec.name, "AddListing", message)
        self._call(spec.name, "Prepare")

    def _call(self, gateway: str, method: str, request: Any = None, **options: Any) -> Any:
        """A call that ends at once when any gateway is lost: the one called may wait for it."""
        return self._clients[gateway].call(method, request, check=self._check, **options)

    def _permit(self, setup: Setup) -> None:
        self.provider.permit()
        for spec in self._specs:
            self._call(spec.name, "Permit", setup.neighbours(spec.name))
        for spec in self._of_role("source"):
            self._call(spec.name, "Connect")

    def _of_role(self, role: str) -> list[GatewaySpec]:
        return [spec for spec in self._specs if spec.role == role]

    def _move(self) -> None:
        before = load()
        sources = self._of_role("source")
        for spec in sources:
            self._call(spec.name, "Start")
        names = {spec.name for spec in sources}
        while not names <= self._collector.done:
            self._check()
            self._collector.wait(_POLL_S)
            self._tell()
        self._cpu = cpu_use(before, load())
        self._tell()

    def _check(self) -> None:
        """Raises: TransferFailed if a gateway failed, is gone, or has fallen silent."""
        self._check_lost()
        silent = self._collector.silent(SILENCE_S)
        if silent is not None:
            raise TransferFailed(
                f"Gateway {silent} has been silent for {SILENCE_S:.0f} s{self._left_as()}."
            )
        if self._collector.failure:
            # What failed first is the cause; the word of it may come after its neighbours'.
            time.sleep(_GRACE_S)
            lost = self.provider.lost()
            reason = f"gateway {lost} was lost" if lost else self._collector.failure
            raise TransferFailed(f"The transfer failed: {reason}{self._left_as()}.")

    def _check_lost(self) -> None:
        """Raises: TransferFailed if a gateway's process has ended."""
        lost = self.provider.lost()
        if lost is not None:
            raise TransferFailed(f"Gateway {lost} was lost{self._left_as()}.")

    def _left_as(self) -> str:
        if self._placed:
            return ""
        if self._confirming:
            return "; whether the destination was placed before is not known: look at it"
        return "; nothing was placed at the destination"

    def _confirm(self) -> None:
        digests: dict[int, dict[int, bytes]] = {entry.index: {} for entry in files(self._entries)}
        for spec in self._of_role("source"):
            for message in self._clients[spec.name].stream("Digests", timeout_s=DIGESTS_TIMEOUT_S):
                for entry in message.digests:
                    digests[entry.object][entry.chunk] = entry.digest
        roots = [
            messages.Root(
                object=entry.index,
                digest=root_digest(
                    [digest for _, digest in sorted(digests[entry.index].items())], entry.size
                ),
            )
            for entry in files(self._entries)
        ]
        head = self._of_role("destination")[0]
        self._confirming = True
        self._call(head.name, "Confirm", messages.Roots(roots=roots), timeout_s=CONFIRM_TIMEOUT_S)

    def _revoke(self) -> None:
        self._kernel_bytes = self.provider.kernel_bytes()
        for name, size_bytes in (self._kernel_bytes or {}).items():
            self._collector.add(
                Event.COUNTER_READ, gateway=name, bytes=size_bytes, detail={"what": "interface"}
            )
        for gateway in self._clients:
            self._refused += self._call(gateway, "Revoke").refused
        self._refused += self.provider.revoke()

    def _delete(self) -> None:
        for client in self._clients.values():
            client.call("Stop", timeout_s=5 * STOP_TIMEOUT_S)
        self._collector.join()
        for client in self._clients.values():
            client.close()
        self.provider.delete()
        for spec in self._specs:
            self._collector.add(Event.GATEWAY_DELETED, gateway=spec.name)
        remove_kind(self.ledger, self.transfer, "staging")

    def _abandon(self) -> None:
        """After a failure: stop, revoke and remove whatever there is; gc takes what resists."""
        stopping = [
            threading.Thread(target=_stop_quietly, args=(client,), daemon=True)
            for client in self._clients.values()
        ]
        for thread in stopping:
            thread.start()
        for thread in stopping:
            thread.join(timeout=2 * STOP_TIMEOUT_S)
        # Closed before their links go: a channel must not look for its gateway elsewhere.
        for client in self._clients.values():
            client.close()
        try:
            if self._phase in ("permit", "transfer"):
                self.ledger.phase(self.transfer, "revoke")
                self.provider.revoke()
        except TradewindError:
            # The rules go with their namespaces below; a failure here must not keep them.
            self.ledger.phase(self.transfer, "delete")
        self.provider.delete()
        for resource in self.ledger.remaining(self.transfer):
            if resource.kind == "staging":
                remove_kind(self.ledger, self.transfer, "staging")
        self.ledger.phase(self.transfer, "closed")

    def _executed(self, final: Path) -> Executed:
        writer = EventWriter(self.transfer)
        writer.add(
            Event.RUN_STARTED,
            0.0,
            detail={
                "clock": "wall",
                "rate_scale": self.scale.rate_scale,
                "size_scale": self.scale.size_scale,
                "size_bytes": total_bytes(self._entries),
            },
        )
        self._collector.write(writer)
        add_costs(writer, self.plan, self.scale.rate_scale, self.scale.size_scale)
        last_s = float(writer.table()["t_s"].max())
        writer.add(Event.RUN_ENDED, last_s, detail={"ok": True})
        events = writer.table()
        return Executed(
            run_id=self.transfer,
            events=events,
            manifest=self._manifest(events),
            final=final,
            warnings=tuple(self._warnings),
        )

    def _manifest(self, events: pd.DataFrame) -> dict[str, Json]:
        if self._cpu is None:
            raise ProviderError("the transfer ended without a reading of the machine's load")
        return {
            "provider": self.provider.name,
            "transfer": self.transfer,
            "started_utc": self._started_utc.isoformat(timespec="milliseconds"),
            "dispatch": self.dispatch,
            "work_conserving": self.work_conserving,
            **self.scale.as_json(),
            "objects": len(files(self._entries)),
            "cpu": cpu_report(self._cpu, events, paced=not self.work_conserving),
            "kernel_bytes": kernel_agreement(events),
            "refused": self._refused,
            "warnings": list(self._warnings),
            "host": {
                "cores": os.cpu_count(),
                "kernel": platform.release(),
                "machine": platform.machine(),
            },
        }


# The processor bound a run if the machine had less than this share idle, and a lane's sender came
# too late to its schedule for more than this share of the time: what pacing could not make up.
IDLE_SHARE_NEEDED = 0.10
LATE_SHARE = 0.01


def cpu_report(cpu: CpuUse, events: pd.DataFrame, *, paced: bool) -> dict[str, Json]:
    """What a manifest says of the processor: the machine's shares, and whether it bound the run.

    Lanes that are not paced have no schedule to be late to: then a busy machine is enough.
    """
    sampled = events.loc[events["event"] == Event.CPU_SAMPLED.value, "detail"].map(detail_of)
    late_s = max((float(detail["late_s"]) for detail in sampled), default=0.0)
    gateways_s = sum(float(detail["cpu_s"]) for detail in sampled)
    wall_s = outcome(events).wall_s
    late = late_s / wall_s if wall_s else 0.0
    return {
        "share": round(cpu.share, 4),
        "steal": round(cpu.steal, 4),
        "idle": round(cpu.idle, 4),
        "late": round(late, 4),
        "gateways_s": round(gateways_s, 3),
        "bound": cpu.idle < IDLE_SHARE_NEEDED and (late > LATE_SHARE or not paced),
    }


def kernel_agreement(events: pd.DataFrame) -> dict[str, Any]:
    """The kernel's counters against the bytes that the events claim, over all hops.

    By the sockets' counters always; by the interfaces' where gateways have their own.
    """
    received = events.loc[events["event"] == Event.CHUNK_RECEIVED.value, "bytes"].sum()
    counters = events.loc[events["event"] == Event.COUNTER_READ.value]
    found: dict[str, Any] = {"event_bytes": int(received)}
    for what in ("tcp_info", "interface"):
        rows = counters.loc[counters["detail"].str.contains(f'"{what}"', regex=False), "bytes"]
        if len(rows):
            found[f"{what}_bytes"] = int(rows.sum())
            found[f"{what}_ratio"] = round(float(rows.sum()) / max(float(received), 1.0), 4)
    return found


def _stop_quietly(client: GatewayClient) -> None:
    try:
        client.call("Stop", timeout_s=STOP_TIMEOUT_S)
    except (TradewindError, ValueError):
        return  # it is gone already (or its channel is), or will be ended by its id
