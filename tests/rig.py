"""A source and destinations in this process, joined by real TCP connections that a test may tap.

Everything but processes and control is real: queue, sealing, hops with beats, writing, staging.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from datasets.events import Event
from executor.control import messages_pb2 as messages
from executor.endpoints.landing import Landing
from executor.endpoints.local import Entry, files, list_source
from executor.gateway import stripe
from executor.gateway.beats import Heart, Hop
from executor.gateway.chunks import ChunkQueue
from executor.gateway.command import COMMAND_BYTES, MOST_PAYLOAD_BYTES, RIGHT_WRITE
from executor.gateway.crypto import Sealer, new_key, new_key_id
from executor.gateway.fanout import Outlet
from executor.gateway.feed import OwnFeed
from executor.gateway.limits import Limits
from executor.gateway.log import GatewayLog
from executor.gateway.passage import Passage, Place
from executor.gateway.session import Session
from executor.gateway.source import Source, Stripe
from executor.gateway.tcp import TcpConnection
from executor.gateway.transport import Closed, Options
from executor.gateway.writer import Writer
from planner.dispatch import LanePace

TRANSFER = bytes(range(16))
CHUNK_BYTES = 64 << 10
RECORD_BYTES = 16 << 10
WAIT_S = 30.0
# Takes a frame on its way to the destination; gives the frames that go on instead.
Tap = Callable[[bytes], Sequence[bytes]]


def honest(frame: bytes) -> Sequence[bytes]:
    """What a relay should do."""
    return (frame,)


def tcp_pair() -> tuple[TcpConnection, TcpConnection]:
    """Two ends of one connection over loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        here = socket.create_connection(server.getsockname())
        return TcpConnection(here, Options()), TcpConnection(server.accept()[0], Options())


class Rig:
    """One destination, a lane for each tap; `back` taps what comes back on the first."""

    def __init__(
        self, folder: Path, size_bytes: int, taps: Sequence[Tap], *, back: Tap = honest
    ) -> None:
        self._back = back
        self.folder = folder
        self.source_path = folder / "source"
        self.source_path.write_bytes(os.urandom(size_bytes))
        self.entries: tuple[Entry, ...] = list_source(self.source_path)
        self.source_log, self.end_log = GatewayLog(), GatewayLog()
        self.keys = messages.EndKeys(data_key=new_key(), site_key=new_key())
        self.session = Session(
            transfer=TRANSFER,
            session=os.urandom(16),
            epoch=1,
            expiry=int(time.time()) + 600,
            rights=RIGHT_WRITE,
            first_byte=0,
            last_byte=max(size_bytes - 1, 0),
        )
        self.key = self.session.key(self.keys.site_key)
        self.lanes = [self._lane(index, hop=-1) for index in range(len(taps))]
        self.configuration = messages.Configuration(
            transfer=TRANSFER,
            lanes=self.lanes,
            keys=self.keys,
            chunk_bytes=CHUNK_BYTES,
            record_bytes=RECORD_BYTES,
            attempt=1,
            root_path=os.fsencode(self.source_path),
            ends=1,
        )
        self.landing = Landing(
            os.fsencode(folder / "staging"), self.entries, chunk_bytes=CHUNK_BYTES, packed=False
        )
        self.writer = Writer(
            gateway="end",
            configuration=self.configuration,
            entries=files(self.entries),
            session=self.session,
            sealer=self.sealer(),
            log=self.end_log,
            landing=self.landing,
        )
        self.queue = ChunkQueue(
            files(self.entries),
            chunk_bytes=CHUNK_BYTES,
            paces=[LanePace(gbps=1.0, connections=1)] * len(taps),
            dispatch="dynamic",
        )
        self.source = Source(
            gateway="source",
            configuration=self.configuration,
            entries=files(self.entries),
            session=self.session,
            sealer=self.sealer(),
            limits=Limits(self.configuration),
            log=self.source_log,
            feed=OwnFeed(self.queue, self.source_log.fail),
        )
        self.heart = Heart()
        self._threads: list[threading.Thread] = []
        self._hops: list[Hop] = []
        self.stripes = [self._stripe(lane, tap) for lane, tap in zip(self.lanes, taps, strict=True)]

    def sealer(self) -> Sealer:
        """Of the transfer's data key."""
        return Sealer(self.keys.data_key, record_bytes=RECORD_BYTES)

    def _lane(self, index: int, *, hop: int) -> messages.Lane:
        branch = messages.Branch(hop=0, next=messages.Peer(gateway="end"))
        return messages.Lane(
            index=index,
            hop=hop,
            previous=messages.Peer(gateway="source" if hop >= 0 else ""),
            branches=[branch] if hop < 0 else [],
            connections=1,
        )

    def _hop(self, connection: TcpConnection, peer: str) -> Hop:
        hop = Hop(connection, peer=peer, ticket=bytes(16), key=bytes(32), transfer=TRANSFER)
        self._hops.append(hop)
        return hop

    def _stripe(self, lane: messages.Lane, tap: Tap) -> Stripe:
        out, tapped_in = tcp_pair()
        tapped_out, incoming = tcp_pair()
        self._spawn(_forward, tapped_in, tapped_out, tap)
        back = self._back if lane.index == 0 else honest
        self._spawn(_forward, tapped_out, tapped_in, back)
        self.serve(incoming, lane.index)
        hop = self._hop(out, "end")
        self.heart.listens_to(hop)
        outlet = Outlet(hop=hop, branch=lane.branches[0])
        return Stripe(lane=lane, number=lane.index, key_id=new_key_id(), outlets=(outlet,))

    def serve(self, incoming: TcpConnection, index: int) -> None:
        """The destination's side of one connection."""
        hop = self._hop(incoming, "source")
        self.heart.beats_on(hop)
        passage = Passage(
            place=Place(gateway="end", lane=self._lane(index, hop=0), number=index),
            transfer=TRANSFER,
            record_bytes=RECORD_BYTES,
            incoming=hop,
            outlets=(),
            writer=self.writer,
            limits=Limits(messages.Configuration()),
            log=self.end_log,
            spill_bytes=1 << 20,
        )
        self._spawn(passage.run)

    def _spawn(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def run(self) -> str:
        """Move everything; the reason of a failure, or nothing. All threads have ended then."""
        self.heart.start()
        self.source.start(self.stripes, stripe.run)
        deadline = time.monotonic() + WAIT_S
        while not (self.queue.over or self.source_log.failure or self.end_log.failure):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        self.close()
        return self.source_log.failure or self.end_log.failure

    def close(self) -> None:
        """End every thread."""
        time.sleep(0.1)
        self.heart.stop()
        for hop in self._hops:
            hop.close()
        self.landing.close()
        for thread in self._threads:
            thread.join(timeout=WAIT_S)
            assert not thread.is_alive()

    def arrived(self) -> bytes:
        """What the destination has written so far."""
        return (self.folder / "staging" / "tree").read_bytes()

    def rows(self, log: GatewayLog, event: Event) -> list[messages.EventRow]:
        """What a log holds of an event."""
        log.close()
        return [row for batch in log.watch() for row in batch.rows if row.event == event.value]


def _forward(incoming: TcpConnection, outgoing: TcpConnection, tap: Tap) -> None:
    buffer = memoryview(bytearray(COMMAND_BYTES + MOST_PAYLOAD_BYTES))
    try:
        while True:
            end = incoming.receive(buffer)
            for frame in tap(bytes(buffer[:end])):
                outgoing.send(frame)
    except Closed:
        incoming.close()
        outgoing.close()
