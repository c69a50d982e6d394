"""One gateway: what each control call does, and which role its connections play."""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from datasets.errors import IntegrityError, SessionRefused, TransferFailed
from datasets.events import Event
from executor.control import messages_pb2 as messages
from executor.control.client import GatewayClient
from executor.control.credentials import Credentials
from executor.control.server import caller
from executor.endpoints.intervals import IntervalSet
from executor.endpoints.landing import Landing
from executor.endpoints.local import Entry, EntryKind, check_space, files, total_bytes
from executor.gateway import stripe
from executor.gateway.chunks import ChunkQueue
from executor.gateway.crypto import Sealer
from executor.gateway.feed import HeadsFeed, OwnFeed
from executor.gateway.limits import Limits
from executor.gateway.log import GatewayLog
from executor.gateway.session import Session
from executor.gateway.source import Source, window_of
from executor.gateway.usher import Usher
from executor.gateway.writer import Writer
from planner.dispatch import LanePace

_DIGESTS_A_MESSAGE = 5000
# How long the head source waits for lanes of a plan made anew, once none is left.
REPLAN_S = 30.0


def pace_of(lane: messages.Lane) -> LanePace:
    """What a lane is good for, as dispatch has it."""
    return LanePace(gbps=lane.planned_gbps, connections=lane.connections)


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
    transport: str = "tcp"
    congestion: str = ""


class Gateway:
    """The control calls (`messages.proto`), each allowed by role before it gets here."""

    def __init__(self, bootstrap: Bootstrap) -> None:
        self._about = bootstrap
        self._log = GatewayLog()
        self._entries: list[Entry] = []
        self._configuration = messages.Configuration()
        self._neighbours: dict[str, GatewayClient] = {}
        self._feed: OwnFeed | HeadsFeed | None = None
        self._source: Source | None = None
        self._landing: Landing | None = None
        self._held: dict[int, IntervalSet] = {}
        self._limits: Limits | None = None
        self._lock = threading.Lock()
        self._usher = Usher(
            gateway=bootstrap.gateway,
            role=bootstrap.role,
            address=bootstrap.address,
            data_port=bootstrap.data_port,
            transport=bootstrap.transport,
            transfer=bytes.fromhex(bootstrap.transfer),
            log=self._log,
            neighbour=self._neighbour,
        )
        self.stopped = threading.Event()
        self.last_seen = time.monotonic()

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
        self._limits = Limits(request)
        self._usher.configure(request, self._limits)
        return messages.Empty()

    def Extend(self, request: Any, context: grpc.ServicerContext) -> messages.Empty:
        """More lanes, while bytes move: those of a plan made anew."""
        self._seen()
        self._require_limits().add(request.lanes)
        self._usher.extend(request.lanes)
        if isinstance(self._feed, OwnFeed):
            lanes = request.all_lanes
            # The new plan has the old lanes' capacity: they finish what they carry.
            self._feed.queue.retire()
            self._feed.queue.joined([pace_of(lane) for lane in lanes], self._expected_s(lanes))
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
            self._prepare_destination(entries, session, sealer)
        return messages.Empty()

    def _prepare_source(
        self, entries: tuple[Entry, ...], session: Session, sealer: Sealer, limits: Limits
    ) -> None:
        configuration = self._configuration
        if configuration.head == self._about.gateway:
            lanes = configuration.all_lanes
            queue = ChunkQueue(
                files(entries),
                chunk_bytes=configuration.chunk_bytes,
                paces=[pace_of(lane) for lane in lanes],
                dispatch="static" if configuration.dispatch == "static" else "dynamic",
                ends=max(configuration.ends, 1),
                expected_s=self._expected_s(lanes),
                held=self._held,
            )
            self._feed = OwnFeed(queue, self._stranded)
        else:
            self._feed = HeadsFeed(
                self._ask_head, entries=files(entries), chunk_bytes=configuration.chunk_bytes
            )
        self._source = Source(
            gateway=self._about.gateway,
            configuration=configuration,
            entries=files(entries),
            session=session,
            sealer=sealer,
            limits=limits,
            log=self._log,
            feed=self._feed,
        )

    def _expected_s(self, lanes: Iterable[messages.Lane]) -> list[float]:
        """How long a chunk should be under way on each lane while its window is full."""
        chunk_bytes = self._configuration.chunk_bytes
        return [
            window_of(lane) * chunk_bytes * lane.connections / lane.planned_bytes_per_s
            if lane.planned_bytes_per_s
            else 0.0
            for lane in lanes
        ]

    def _stranded(self, why: str) -> None:
        """No lane is left: the end, unless a plan made anew brings others in time."""
        threading.Thread(target=self._await_lanes, args=(why,), daemon=True).start()

    def _await_lanes(self, why: str) -> None:
        deadline_s = time.monotonic() + (REPLAN_S if self._configuration.replans else 0.0)
        while time.monotonic() < deadline_s and not self.stopped.wait(0.1):
            if isinstance(self._feed, OwnFeed) and self._feed.queue.living:
                return
        self._log.fail(f"no lane is left to the destination: {why}")

    def _ask_head(self, request: messages.ChunkRequest) -> messages.ChunkGrant:
        head = self._neighbour(self._configuration.head, self._configuration.head_address)
        grant: messages.ChunkGrant = head.call("NextChunk", request)
        return grant

    def _prepare_destination(
        self, entries: tuple[Entry, ...], session: Session, sealer: Sealer
    ) -> None:
        configuration = self._configuration
        folder = configuration.root_path
        if configuration.head == self._about.gateway and not os.path.isdir(folder):
            parent = os.path.dirname(folder)
            check_space(Path(os.fsdecode(parent)), total_bytes(entries))
        self._landing = Landing(
            folder, entries, chunk_bytes=configuration.chunk_bytes, packed=False
        )
        self._usher.writer = Writer(
            gateway=self._about.gateway,
            configuration=configuration,
            entries=files(entries),
            session=session,
            sealer=sealer,
            log=self._log,
            landing=self._landing,
        )

    def Received(
        self, request: Any, context: grpc.ServicerContext
    ) -> Iterator[messages.ChunkRanges]:
        """At a destination: what earlier attempts brought here."""
        self._seen()
        if self._landing is None:
            raise TransferFailed("this gateway is no destination")
        found = [
            messages.ChunkRange(object=index, first=first, end=end)
            for index, ranges in sorted(self._landing.received().items())
            for first, end in ranges
        ]
        for start in range(0, len(found), _DIGESTS_A_MESSAGE):
            yield messages.ChunkRanges(ranges=found[start : start + _DIGESTS_A_MESSAGE])

    def Hold(self, request: Any, context: grpc.ServicerContext) -> messages.Empty:
        """At the head source, before `Prepare`: chunks that need not be sent."""
        self._seen()
        for entry in request.ranges:
            self._held.setdefault(entry.object, IntervalSet()).add(entry.first, entry.end)
        return messages.Empty()

    def Permit(self, request: Any, context: grpc.ServicerContext) -> messages.Empty:
        """Let these neighbours in, beside those that are."""
        self._seen()
        self._usher.permit({peer.gateway: peer.address for peer in request.peers})
        return messages.Empty()

    def Connect(self, request: Any, context: grpc.ServicerContext) -> messages.Empty:
        """At a source: open every lane that is not open to the destination, hop by hop."""
        self._seen()
        self._usher.open_lanes()
        return messages.Empty()

    def Start(self, request: Any, context: grpc.ServicerContext) -> messages.Empty:
        """At a source: send by all that was opened since; `Watch` tells how it goes."""
        self._seen()
        if self._source is None:
            raise TransferFailed("this gateway is no source that is ready")
        self._source.start(self._usher.new_stripes(), stripe.run)
        return messages.Empty()

    def Sever(self, request: Any, context: grpc.ServicerContext) -> messages.Empty:
        """A neighbour is lost: close what stands with it, and let it in no more."""
        self._seen()
        self._usher.sever(request.gateway)
        return messages.Empty()

    def Watch(self, request: Any, context: grpc.ServicerContext) -> Iterator[messages.EventBatch]:
        """Events as they are stamped, until the gateway stops."""
        for batch in self._log.watch():
            self._seen()
            yield batch

    def Digests(
        self, request: Any, context: grpc.ServicerContext
    ) -> Iterator[messages.ChunkDigests]:
        """At a source: the digest of every chunk it sent, and of those that it need not send."""
        self._seen()
        if self._source is None:
            raise TransferFailed("this gateway is no source")
        digests = self._source.digests()
        for index, ranges in self._held.items():
            for first, end in ranges:
                for chunk in range(first, end):
                    self._seen()
                    if (index, chunk) not in digests:
                        digests[index, chunk] = self._source.digest_of(index, chunk)
        found = [
            messages.ChunkDigest(object=place[0], chunk=place[1], digest=digest)
            for place, digest in sorted(digests.items())
        ]
        for start in range(0, len(found), _DIGESTS_A_MESSAGE):
            yield messages.ChunkDigests(digests=found[start : start + _DIGESTS_A_MESSAGE])

    def Settle(self, request: Any, context: grpc.ServicerContext) -> messages.Empty:
        """At a destination: nothing is written any more.

        What may still come is of chunks that are here already; while they are compared and once
        they are placed it must not be written.
        """
        self._seen()
        self._usher.close_all()
        if self._landing is not None:
            self._landing.settle()
        return messages.Empty()

    def Confirm(self, request: Any, context: grpc.ServicerContext) -> messages.Empty:
        """At the head destination: read back, compare, and put the tree in its place."""
        if self._landing is None:
            raise TransferFailed("this gateway is no destination")
        moved = files(tuple(self._entries))
        roots = {root.object: root.digest for root in request.roots}
        if set(roots) != {entry.index for entry in moved}:
            raise IntegrityError("The roots to confirm are not those of the listing.")
        self._landing.confirm({entry.index: roots[entry.index] for entry in moved if entry.size})
        for entry in moved:
            self._log.stamp(
                Event.OBJECT_VERIFIED,
                object=entry.index,
                dst=self._about.gateway,
                bytes=entry.size,
            )
        self._landing.place(self._configuration.final_path)
        return messages.Empty()

    def Revoke(self, request: Any, context: grpc.ServicerContext) -> messages.Refusals:
        """Let nobody in any more, and close what stands."""
        self._seen()
        refused = self._usher.revoke()
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
        self._usher.stop()
        self.stopped.set()
        return messages.Empty()

    # The calls of neighbours.

    def Admit(self, request: Any, context: grpc.ServicerContext) -> messages.Tickets:
        """Tickets for the previous gateway of a lane, and for no other caller."""
        identity = caller(context)
        tickets = self._usher.grant(identity.gateway, request.lane, request.count)
        return messages.Tickets(
            tickets=[messages.Ticket(id=ticket.id, key=ticket.key) for ticket in tickets]
        )

    def NextChunk(self, request: Any, context: grpc.ServicerContext) -> messages.ChunkGrant:
        """At the head source: what another source tells of its lanes' chunks, and the next."""
        if not isinstance(self._feed, OwnFeed):
            raise SessionRefused("this gateway does not hold the queue of chunks")
        return self._feed.answer(request)

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

    def _require_limits(self) -> Limits:
        if self._limits is None:
            raise TransferFailed("this gateway was not configured")
        return self._limits

    def _seen(self) -> None:
        self.last_seen = time.monotonic()
