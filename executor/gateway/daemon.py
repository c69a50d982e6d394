"""One gateway: what each control call does, and which role its connections play."""

from __future__ import annotations

import itertools
import os
import resource
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from datasets.errors import IntegrityError, SessionRefused, TradewindError, TransferFailed
from datasets.events import Event
from executor.control import messages_pb2 as messages
from executor.control.authority import Credentials
from executor.control.client import GatewayClient
from executor.control.server import caller
from executor.endpoints.local import Entry, EntryKind, Staging, check_space, files, total_bytes
from executor.gateway.chunks import Chunk, ChunkQueue
from executor.gateway.crypto import Sealer
from executor.gateway.destination import Destination
from executor.gateway.hops import Doorkeeper, Ticket, answer_ready, open_hop
from executor.gateway.limits import Limits
from executor.gateway.log import GatewayLog
from executor.gateway.relay import Relay
from executor.gateway.session import Session
from executor.gateway.source import Source
from executor.gateway.transport import Connection
from planner.dispatch import LanePace

_DIGESTS_A_MESSAGE = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class Bootstrap:
    """What a gateway is told when it is born, on its standard input; the rest comes by control."""

    transfer: str
    gateway: str
    role: str
    address: str
    control_port: int
    data_port: int
    lease_s: float
    credentials: Credentials


class Gateway:
    """The control calls (`messages.proto`), each allowed by role before it gets here."""

    def __init__(self, bootstrap: Bootstrap, doorkeeper_socket: Any) -> None:
        self._about = bootstrap
        self._log = GatewayLog()
        self._transfer = bytes.fromhex(bootstrap.transfer)
        self._entries: list[Entry] = []
        self._configuration = messages.Configuration()
        self._lanes: dict[int, messages.Lane] = {}
        self._neighbours: dict[str, GatewayClient] = {}
        self._numbers = itertools.count()
        self._connections: list[tuple[messages.Lane, int, Connection]] = []
        self._open_sockets: list[Connection] = []
        self._queue: ChunkQueue | None = None
        self._source: Source | None = None
        self._destination: Destination | None = None
        self._relay: Relay | None = None
        self._staging: Staging | None = None
        self._limits: Limits | None = None
        self._lock = threading.Lock()
        self.stopped = threading.Event()
        self.last_seen = time.monotonic()
        self._door = Doorkeeper(
            doorkeeper_socket, transfer=self._transfer, log=self._log, welcome=self._welcome
        )
        threading.Thread(target=self._door.run, daemon=True).start()

    # The calls of the client, in the order in which they come.

    def Describe(self, request: Any, context: grpc.ServicerContext) -> messages.Description:
        """Who this is; the first call, and the sign that the gateway is ready."""
        self._seen()
        self._log.stamp(Event.GATEWAY_READY, src=self._about.gateway)
        return messages.Description(
            gateway=self._about.gateway, role=self._about.role, pid=os.getpid()
        )

    def Configure(self, request: Any, context: grpc.ServicerContext) -> messages.Empty:
        """Lanes, limits, session; keys at the ends only."""
        self._seen()
        if self._about.role == "relay" and (request.keys.data_key or request.keys.site_key):
            raise SessionRefused("a relay was offered keys; it must not hold any")
        self._configuration = request
        self._lanes = {lane.index: lane for lane in request.lanes}
        self._limits = Limits(request)
        return messages.Empty()

    def AddListing(self, request: Any, context: grpc.ServicerContext) -> messages.Empty:
        """Some more entries of the listing, for the ends."""
        self._seen()
        self._entries.extend(
            Entry(
                index=entry.index,
                path=entry.path,
                kind=EntryKind(entry.kind),
                size=entry.size,
                mode=entry.mode,
                mtime_ns=entry.mtime_ns,
                target=entry.target,
            )
            for entry in request.entries
        )
        return messages.Empty()

    def Prepare(self, request: Any, context: grpc.ServicerContext) -> messages.Empty:
        """Build the role. The head destination also builds the staged tree."""
        self._seen()
        configuration, entries = self._configuration, tuple(self._entries)
        limits = self._require_limits()
        if self._about.role == "relay":
            self._relay = Relay(
                gateway=self._about.gateway,
                transfer=self._transfer,
                record_bytes=configuration.record_bytes,
                limits=limits,
                log=self._log,
            )
            return messages.Empty()
        grant = configuration.session
        session = Session(
            transfer=grant.transfer,
            session=grant.session,
            epoch=grant.epoch,
            expiry=grant.expiry,
            rights=grant.rights,
            first_byte=grant.first_byte,
            last_byte=grant.last_byte,
        )
        sealer = Sealer(configuration.keys.data_key, record_bytes=configuration.record_bytes)
        if self._about.role == "source":
            self._prepare_source(entries, session, sealer, limits)
        else:
            self._prepare_destination(entries, session, sealer, limits)
        return messages.Empty()

    def _prepare_source(
        self, entries: tuple[Entry, ...], session: Session, sealer: Sealer, limits: Limits
    ) -> None:
        configuration = self._configuration
        if configuration.head == self._about.gateway:
            self._queue = ChunkQueue(
                files(entries),
                chunk_bytes=configuration.chunk_bytes,
                paces=[
                    LanePace(gbps=lane.planned_gbps, connections=lane.connections)
                    for lane in configuration.all_lanes
                ],
                dispatch="static" if configuration.dispatch == "static" else "dynamic",
            )
        self._source = Source(
            gateway=self._about.gateway,
            configuration=configuration,
            entries=files(entries),
            session=session,
            sealer=sealer,
            limits=limits,
            log=self._log,
            take=self._take,
        )

    def _prepare_destination(
        self, entries: tuple[Entry, ...], session: Session, sealer: Sealer, limits: Limits
    ) -> None:
        configuration = self._configuration
        self._staging = Staging(configuration.root_path, entries)
        if configuration.head == self._about.gateway:
            parent = os.path.dirname(configuration.root_path)
            check_space(Path(os.fsdecode(parent)), total_bytes(entries))
            self._staging.create()
        self._destination = Destination(
            gateway=self._about.gateway,
            configuration=configuration,
            entries=files(entries),
            session=session,
            sealer=sealer,
            limits=limits,
            log=self._log,
            staging=self._staging,
        )

    def Permit(self, request: Any, context: grpc.ServicerContext) -> messages.Empty:
        """Let these neighbours in."""
        self._seen()
        self._door.permit({peer.gateway: peer.address for peer in request.peers})
        for peer in request.peers:
            self._log.stamp(Event.RULE_ADDED, src=peer.gateway, dst=self._about.gateway)
        return messages.Empty()

    def Connect(self, request: Any, context: grpc.ServicerContext) -> messages.Empty:
        """At a source: open every lane to the destination, hop by hop."""
        self._seen()
        for lane in self._lanes.values():
            for connection in self._open(lane, lane.connections):
                number = next(self._numbers)
                self._stamp_open(lane, number)
                self._connections.append((lane, number, connection))
        return messages.Empty()

    def Start(self, request: Any, context: grpc.ServicerContext) -> messages.Empty:
        """At a source: begin to send; `Watch` tells how it goes."""
        self._seen()
        if self._source is None:
            raise TransferFailed("this gateway is no source that is ready")
        threading.Thread(target=self._source.run, args=(self._connections,), daemon=True).start()
        return messages.Empty()

    def Watch(self, request: Any, context: grpc.ServicerContext) -> Iterator[messages.EventBatch]:
        """Events as they are stamped, until the gateway stops."""
        for batch in self._log.watch():
            self._seen()
            yield batch

    def Digests(
        self, request: Any, context: grpc.ServicerContext
    ) -> Iterator[messages.ChunkDigests]:
        """At a source: the digest of every chunk it sent."""
        self._seen()
        if self._source is None:
            raise TransferFailed("this gateway is no source")
        found = [
            messages.ChunkDigest(object=place[0], chunk=place[1], digest=digest)
            for place, digest in sorted(self._source.digests().items())
        ]
        for start in range(0, len(found), _DIGESTS_A_MESSAGE):
            yield messages.ChunkDigests(digests=found[start : start + _DIGESTS_A_MESSAGE])

    def Confirm(self, request: Any, context: grpc.ServicerContext) -> messages.Empty:
        """At the head destination: read back, compare, and put the tree in its place."""
        if self._staging is None:
            raise TransferFailed("this gateway is no destination")
        roots = {root.object: root.digest for root in request.roots}
        moved = files(tuple(self._entries))
        if set(roots) != {entry.index for entry in moved}:
            raise IntegrityError("The roots to confirm are not those of the listing.")
        for entry in moved:
            self._seen()
            self._staging.verify(
                entry.index, roots[entry.index], chunk_bytes=self._configuration.chunk_bytes
            )
            self._log.stamp(
                Event.OBJECT_VERIFIED,
                object=entry.index,
                dst=self._about.gateway,
                bytes=entry.size,
            )
        self._staging.place(self._configuration.final_path)
        return messages.Empty()

    def Revoke(self, request: Any, context: grpc.ServicerContext) -> messages.Refusals:
        """Let nobody in any more, and close what stands."""
        self._seen()
        refused = self._door.revoke()
        with self._lock:
            sockets = [*self._open_sockets, *(entry[2] for entry in self._connections)]
        for connection in sockets:
            connection.close()
        for neighbour in sorted({lane.previous.gateway for lane in self._lanes.values()}):
            if neighbour:
                self._log.stamp(
                    Event.RULE_REVOKED,
                    src=neighbour,
                    dst=self._about.gateway,
                    detail={"refused": refused},
                )
        usage = resource.getrusage(resource.RUSAGE_SELF)
        self._log.stamp(
            Event.CPU_SAMPLED,
            src=self._about.gateway,
            detail={
                "cpu_s": usage.ru_utime + usage.ru_stime,
                "late_s": self._require_limits().late_s(),
            },
        )
        return messages.Refusals(refused=refused)

    def Stop(self, request: Any, context: grpc.ServicerContext) -> messages.Empty:
        """End this gateway, after its events are handed over."""
        self._log.close()
        self._door.close()
        self.stopped.set()
        return messages.Empty()

    # The calls of neighbours.

    def Admit(self, request: Any, context: grpc.ServicerContext) -> messages.Tickets:
        """Tickets for the previous gateway of a lane, and for no other caller."""
        identity = caller(context)
        lane = self._lanes.get(request.lane)
        if lane is None or lane.previous.gateway != identity.gateway:
            raise SessionRefused(f"{identity.gateway} does not come before this gateway there")
        if not 1 <= request.count <= max(lane.connections, 1):
            raise SessionRefused(f"lane {request.lane} has {lane.connections} connections")
        tickets = self._door.admit(identity.gateway, request.lane, request.count)
        return messages.Tickets(
            tickets=[messages.Ticket(id=ticket.id, key=ticket.key) for ticket in tickets]
        )

    def NextChunk(self, request: Any, context: grpc.ServicerContext) -> messages.ChunkGrant:
        """At the head source: the next chunk for a lane of another source."""
        if self._queue is None:
            raise SessionRefused("this gateway does not hold the queue of chunks")
        chunk = self._queue.take(request.lane)
        if chunk is None:
            return messages.ChunkGrant(object=-1)
        return messages.ChunkGrant(object=chunk.object, chunk=chunk.chunk)

    # Connections.

    def _take(self, lane: int) -> Chunk | None:
        if self._queue is not None:
            return self._queue.take(lane)
        grant = self._neighbour(self._configuration.head, self._configuration.head_address).call(
            "NextChunk", messages.ChunkRequest(lane=lane)
        )
        if grant.object < 0:
            return None
        offset = grant.chunk * self._configuration.chunk_bytes
        size = self._entries[grant.object].size
        return Chunk(
            object=grant.object,
            chunk=grant.chunk,
            offset=offset,
            size=min(self._configuration.chunk_bytes, size - offset),
        )

    def _neighbour(self, gateway: str, address: str) -> GatewayClient:
        with self._lock:
            if gateway not in self._neighbours:
                self._neighbours[gateway] = GatewayClient(
                    gateway,
                    address=address,
                    port=self._configuration.control_port,
                    credentials=self._about.credentials,
                )
            return self._neighbours[gateway]

    def _open(self, lane: messages.Lane, count: int) -> list[Connection]:
        opened = open_hop(
            self._neighbour(lane.next.gateway, lane.next.address),
            transfer=self._transfer,
            lane=lane.index,
            count=count,
            address=lane.next.address,
            port=self._configuration.data_port,
            own_address=self._about.address,
        )
        with self._lock:
            self._open_sockets.extend(opened)
        return opened

    def _welcome(self, connection: Connection, ticket: Ticket) -> None:
        """A neighbour's connection: answer when the lane stands, then play the role."""
        lane = self._lanes[ticket.lane]
        number = next(self._numbers)
        with self._lock:
            self._open_sockets.append(connection)
        try:
            outgoing = self._open(lane, 1)[0] if self._about.role == "relay" else None
            answer_ready(connection, ticket, self._transfer)
        except TradewindError as error:
            self._log.fail(f"{self._about.gateway}, lane {lane.index}: {error}")
            connection.close()
            return
        if outgoing is not None and self._relay is not None:
            self._stamp_open(lane, number)
            self._relay.join(lane, number, connection, outgoing)
        elif self._destination is not None:
            self._destination.serve(lane, number, connection)

    def _stamp_open(self, lane: messages.Lane, number: int) -> None:
        self._log.stamp(
            Event.CONNECTION_OPEN,
            path=lane.index,
            hop=lane.hop,
            src=self._about.gateway,
            dst=lane.next.gateway,
            connection=number,
        )

    def _require_limits(self) -> Limits:
        if self._limits is None:
            raise TransferFailed("this gateway was not configured")
        return self._limits

    def _seen(self) -> None:
        self.last_seen = time.monotonic()
