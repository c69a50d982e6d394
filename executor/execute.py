"""Carry a Plan out: provision, connect, move, confirm, tear down. The one entry of this floor.

The executor never looks at predicted or simulated times: what it reports comes from events that
the gateways stamped. Every phase is in the ledger before it begins.
"""

from __future__ import annotations

import datetime
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets.canonical import Json
from datasets.errors import ProviderError, TradewindError, TransferFailed
from datasets.events import Event, EventWriter
from executor.collector import Collector
from executor.configuration import (
    Setup,
    gateway_specs,
    link_specs,
    listing_messages,
    new_keys,
)
from executor.confirming import roots_of
from executor.control import messages_pb2 as messages
from executor.control.authority import Authority
from executor.control.client import CONFIRM_TIMEOUT_S, GatewayClient, stop_quietly
from executor.control.credentials import Credentials
from executor.destinations import agreed_chunk_bytes, destinations_of, places_of
from executor.emulation import PLAIN, Emulation
from executor.endpoints.local import (
    Entry,
    files,
    list_source,
    total_bytes,
)
from executor.ledger import Ledger
from executor.machine import CpuUse, cpu_use, load
from executor.manifest import cpu_report, host_report, kernel_agreement
from executor.placement import Carriage, GatewaySpec, Placed, Ports
from executor.providers import Provider
from executor.removal import remove_kind
from executor.replanning import Recovery, Replan, plan_anew
from executor.resuming import Held
from executor.scale import Scale
from executor.ways import pairs, require_one_source, ways_of
from planner.billing import add_costs
from planner.dispatch import Dispatch
from planner.plan import Plan
from planner.recovery import joined

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_PORT = 7400
LEASE_S = 15.0
SESSION_LIFETIME_S = 24 * 3600
_POLL_S = 0.2
_GRACE_S = 0.5
# Every gateway says something several times a second, if only that there is nothing new.
SILENCE_S = 12.0
# A relay can be done without: it is given up sooner.
RELAY_SILENCE_S = 3.0
STOP_TIMEOUT_S = 1.0
SAMPLE_S = 0.5
SPILL_BYTES = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a transfer stands, for whoever shows it."""

    phase: str
    acknowledged_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """What an execution leaves: its events and what its manifest says.

    `plan` is what was carried out; where it was made anew on the way, both in one.
    """

    run_id: str
    plan: Plan
    events: pd.DataFrame
    manifest: Mapping[str, Json]
    finals: Mapping[str, Path]
    warnings: tuple[str, ...]

    @property
    def final(self) -> Path:
        """Where the first destination's tree stands."""
        return next(iter(self.finals.values()))


@dataclass(kw_only=True)
class Execution:
    """One execution of a Plan by a provider. Use `run` once.

    `destination` is one path, or one a destination region. A relay that is lost while bytes move
    is done without; `recovery` "replan" asks `replan` for a plan of what is missing besides.
    Where it `resumes`, what arrived before a failure stays, and the same transfer begun again, by
    whatever plan, goes on from there.
    """

    plan: Plan
    source: Path
    destination: Path | Mapping[str, Path]
    provider: Provider
    ledger: Ledger
    scale: Scale
    ports: Ports = field(default_factory=lambda: Ports(data=DEFAULT_PORT))
    work_conserving: bool = False
    dispatch: Dispatch = "dynamic"
    carriage: Carriage = field(default_factory=Carriage)
    emulation: Emulation = PLAIN
    recovery: Recovery = "resend"
    replan: Replan | None = None
    sample_s: float = SAMPLE_S
    spill_bytes: int = SPILL_BYTES
    splice: bool = True
    resumes: bool = False
    observe: Callable[[Progress], None] = lambda progress: None
    transfer: str = field(default_factory=lambda: secrets.token_hex(16))

    def __post_init__(self) -> None:
        self.emulation.require(self.provider.name)
        require_one_source(self.plan)
        self._destinations = destinations_of(self.plan, self.destination)
        self._clients: dict[str, GatewayClient] = {}
        self._lost: dict[str, str] = {}
        self._held = Held()
        self._resumed_bytes = 0
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
        self._places = places_of(
            self._destinations,
            self.source,
            self._entries,
            transfer=self.transfer,
            resumes=self.resumes,
        )
        chunk_bytes = agreed_chunk_bytes(self._places)
        if chunk_bytes is not None:
            self.scale = self.scale.with_chunks_of(chunk_bytes)
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
                self.emulation.applied(link_specs(self.plan, self.scale), self.plan),
                self.ports,
            )
            self._told = self._setup(placed)
            self._enter("provision")
            self._provision(self._told)
            self._enter("permit")
            self._permit(self._told)
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
        return self._executed()

    def _setup(self, placed: Mapping[str, Placed]) -> Setup:
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
            places=self._places,
            work_conserving=self.work_conserving,
            dispatch=self.dispatch,
            congestion=self.carriage.congestion,
            recovery=self.recovery,
            sample_s=self.sample_s,
            spill_bytes=self.spill_bytes,
            splice=self.splice,
            round_trips=self.emulation.rtt,
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
        self.provider.provision(credentials, lease_s=LEASE_S, carriage=self.carriage)
        tokens = [
            self.ledger.intend(self.transfer, "staging", str(place.staging))
            for place in setup.places.values()
        ]
        for spec in self._specs:
            self._meet(spec, setup, own)
        # Destinations first: what they have need not be sent.
        ends = self._of_role("destination")
        for spec in (*ends, *(spec for spec in self._specs if spec not in ends)):
            self._configure(spec, setup)
            if spec in ends and spec.name.endswith("#0"):
                self._held.hear(self._clients[spec.name])
        for token in tokens:
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
        told = setup.configuration(spec)
        self._call(spec.name, "Configure", told)
        if told.head == spec.name and spec.role == "source":
            self._call(spec.name, "Hold", self._held.message())
        if spec.role != "relay":
            for message in listing_messages(self._entries):
                self._call(spec.name, "AddListing", message)
        self._call(spec.name, "Prepare")

    def _call(self, gateway: str, method: str, request: Any = None, **options: Any) -> Any:
        """A call that ends at once when a gateway is lost that it may wait for."""

        def check() -> None:
            self._check()
            if gateway in self._lost:
                raise TransferFailed(f"gateway {gateway} {self._lost[gateway]}")

        return self._clients[gateway].call(method, request, check=check, **options)

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
        """Do without relays that are lost. Raises: TransferFailed if anything else is."""
        self._check_lost()
        for gateway, limit_s in (
            *((spec.name, RELAY_SILENCE_S) for spec in self._of_role("relay")),
            *((spec.name, SILENCE_S) for spec in self._specs if spec.role != "relay"),
        ):
            if self._collector.silent_s(gateway) > limit_s:
                self._lose(gateway, f"has been silent for {limit_s:.0f} s")
        for spec in self._of_role("relay"):
            if self._collector.has_failed(spec.name):
                self._lose(spec.name, "was lost")
        if self._collector.failure:
            # What failed first is the cause; the word of it may come after its neighbours'.
            time.sleep(_GRACE_S)
            self._check_lost()
            lost = [f"gateway {name} {why}" for name, why in self._lost.items()]
            reason = "; ".join((*lost, self._collector.failure))
            raise TransferFailed(f"The transfer failed: {reason}{self._left_as()}.")

    def _check_lost(self) -> None:
        """As `_check`, of gateways whose processes have ended."""
        for gateway in self.provider.lost():
            self._lose(gateway, "was lost")

    def _lose(self, gateway: str, why: str) -> None:
        """A gateway is lost: do without it if that is possible. Raises: TransferFailed."""
        if gateway in self._lost:
            return
        self._lost[gateway] = why
        relays = {spec.name for spec in self._of_role("relay")}
        if gateway not in relays or self._phase in ("reserve", "provision", "permit"):
            raise TransferFailed(f"Gateway {gateway} {why}{self._left_as()}.")
        self._warnings.append(f"relay {gateway} {why}; its chunks went by what was left")
        self._collector.forget(gateway)
        self._collector.add(Event.GATEWAY_LOST, gateway=gateway, detail={"why": why})
        self._lose_links(gateway)
        if self.recovery == "replan" and self._phase == "transfer" and not self._confirming:
            self._replan()

    def _lose_links(self, gateway: str) -> None:
        """Nobody waits for it any more, nor lets anybody in who says to be it."""
        self.provider.release(gateway)
        beside = set()
        for src, dst in pairs(ways_of(self.plan)):
            if gateway == dst:
                # On its behalf: it cannot say so itself.
                self._collector.add(Event.RULE_REVOKED, gateway=gateway, src=src, dst=dst)
            if gateway in (src, dst):
                beside.add(dst if gateway == src else src)
        for name in sorted(beside - self._lost.keys()):
            self._call(name, "Sever", messages.Peer(gateway=gateway))

    def _replan(self) -> None:
        """What is missing, by a plan over the gateways that live."""
        moved = self._collector.acknowledged_bytes
        missing = max(round((total_bytes(self._entries) - moved) / self.scale.size_scale), 1)
        found = plan_anew(self.plan, self.replan, lost=sorted(self._lost), missing_bytes=missing)
        self._collector.add(Event.REPLANNED, bytes=missing, detail=found.as_detail())
        if found.plan is None:
            return
        first = len(ways_of(self.plan))
        self.plan = joined(self.plan, found.plan, sorted(self._lost))
        self._told = replace(self._told, plan=self.plan)
        links = link_specs(self.plan, self.scale)
        self.provider.extend(self.emulation.applied(links, self.plan))
        living = [spec for spec in self._specs if spec.name not in self._lost]
        for spec in living:
            self._call(spec.name, "Extend", self._told.extension(spec, first=first))
        for spec in living:
            self._call(spec.name, "Permit", self._told.neighbours(spec.name))
        for spec in self._of_role("source"):
            self._call(spec.name, "Connect")
            self._call(spec.name, "Start")

    def _left_as(self) -> str:
        if self._placed:
            return ""
        if self._confirming:
            return "; whether the destination was placed before is not known: look at it"
        kept = "; what arrived is kept: the same command goes on from there" if self.resumes else ""
        return f"; nothing was placed at the destination{kept}"

    def _confirm(self) -> None:
        sources = [self._clients[spec.name] for spec in self._of_role("source")]
        roots = roots_of(sources, self._entries)
        for spec in self._of_role("destination"):
            self._call(spec.name, "Settle")
        self._confirming = True
        for region in self._destinations:
            head = f"{region}#0"
            self._call(head, "Confirm", roots, timeout_s=CONFIRM_TIMEOUT_S)

    def _revoke(self) -> None:
        self._kernel_bytes = self.provider.kernel_bytes()
        for name, size_bytes in (self._kernel_bytes or {}).items():
            self._collector.add(
                Event.COUNTER_READ, gateway=name, bytes=size_bytes, detail={"what": "interface"}
            )
        for gateway in self._clients:
            if gateway not in self._lost:
                self._refused += self._call(gateway, "Revoke").refused
        self._refused += self.provider.revoke()

    def _delete(self) -> None:
        for gateway, client in self._clients.items():
            if gateway not in self._lost:
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
        stop_quietly(self._clients.values(), timeout_s=STOP_TIMEOUT_S)
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

    def _executed(self) -> Executed:
        writer = EventWriter(self.transfer)
        self._resumed_bytes = self._held.size_bytes(files(self._entries), self.scale.chunk_bytes)
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
            plan=self.plan,
            events=events,
            manifest=self._manifest(events),
            finals={region: place.shown for region, place in self._places.items()},
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
            "transport": self.carriage.transport,
            "congestion": self.carriage.congestion,
            "recovery": self.recovery,
            "resumed_bytes": self._resumed_bytes,
            "lost": dict(self._lost),
            "work_conserving": self.work_conserving,
            **self.scale.as_json(),
            "links": {"by": self.provider.links_by, **self.emulation.as_json()},
            "objects": len(files(self._entries)),
            "cpu": cpu_report(self._cpu, events, paced=not self.work_conserving),
            "kernel_bytes": kernel_agreement(events),
            "refused": self._refused,
            "warnings": list(self._warnings),
            "host": host_report(),
        }
