"""The data connections of one gateway: opened, welcomed, watched, sampled and closed."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from datasets.errors import ProviderError, SessionRefused, TradewindError, TransferFailed
from datasets.events import Event
from executor.control import messages_pb2 as messages
from executor.control.client import GatewayClient
from executor.gateway.beats import Heart, Hop
from executor.gateway.crypto import new_key_id
from executor.gateway.fanout import Outlet
from executor.gateway.hops import Doorkeeper, Ticket, accept_all, answer_ready, open_hop
from executor.gateway.limits import Limits
from executor.gateway.log import GatewayLog
from executor.gateway.passage import Passage, Place
from executor.gateway.source import Stripe
from executor.gateway.tcp import TcpListener
from executor.gateway.transport import Options, find_transport
from executor.gateway.writer import Writer

CLOSE_TIMEOUT_S = 10.0


class Usher:
    """Knows every lane and every connection of this gateway; safe between threads."""

    def __init__(
        self,
        *,
        gateway: str,
        role: str,
        address: str,
        data_port: int,
        transport: str,
        transfer: bytes,
        log: GatewayLog,
        neighbour: Callable[[str, str], GatewayClient],
    ) -> None:
        self._gateway = gateway
        self._role = role
        self._address = address
        self._transfer = transfer
        self._log = log
        self._neighbour = neighbour
        self._transport = find_transport(transport)
        self._configuration = messages.Configuration()
        self._options = Options()
        self._limits: Limits | None = None
        self.writer: Writer | None = None
        self._lanes: dict[int, messages.Lane] = {}
        self._opened: set[int] = set()
        self._waiting: list[Stripe] = []
        self._numbers = itertools.count()
        self._standing: dict[Hop, dict[str, Any]] = {}
        self._passing = 0
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._heart = Heart()
        self._heart.start()
        self._door = Doorkeeper(transfer=transfer)
        self._listener = self._transport.listen(
            address, data_port, admit=self._door.admit, options=self._options
        )
        threading.Thread(
            target=accept_all, args=(self._listener, self._door, self._welcome), daemon=True
        ).start()

    def configure(self, configuration: messages.Configuration, limits: Limits) -> None:
        """The lanes, and how their connections are made."""
        self._configuration, self._limits = configuration, limits
        self._options = Options(congestion=configuration.congestion or Options().congestion)
        self.extend(configuration.lanes)
        if configuration.sample_s > 0:
            threading.Thread(target=self._sample, daemon=True).start()

    def extend(self, lanes: Iterable[messages.Lane]) -> None:
        """More lanes."""
        with self._changed:
            self._lanes.update({lane.index: lane for lane in lanes})

    # Who may come in.

    def permit(self, peers: Mapping[str, str]) -> None:
        """Let these neighbours (name: address) in, too."""
        for peer in self._door.permit(dict(peers)):
            self._log.stamp(Event.RULE_ADDED, src=peer, dst=self._gateway)

    def grant(self, gateway: str, lane_index: int, count: int) -> list[Ticket]:
        """Tickets for the previous gateway of a lane, and for no other. Raises: SessionRefused."""
        lane = self._lanes.get(lane_index)
        if lane is None or lane.previous.gateway != gateway:
            raise SessionRefused(f"{gateway} does not come before this gateway there")
        if not 1 <= count <= max(lane.connections, 1):
            raise SessionRefused(f"lane {lane_index} has {lane.connections} connections")
        return self._door.grant(gateway, lane_index, count)

    def sever(self, gateway: str) -> None:
        """A neighbour is lost."""
        if self._door.forbid(gateway):
            self._log.stamp(Event.RULE_REVOKED, src=gateway, dst=self._gateway)
        with self._changed:
            lost = [hop for hop in self._standing if hop.peer == gateway]
        for hop in lost:
            hop.close()

    def revoke(self) -> int:
        """Let nobody in any more, and close what stands; how many were refused."""
        before, refused = self._door.revoke()
        if isinstance(self._listener, TcpListener):
            refused += self._listener.dismissed
        self.close_all()
        for neighbour in before:
            self._log.stamp(
                Event.RULE_REVOKED,
                src=neighbour,
                dst=self._gateway,
                detail={"refused": refused},
            )
        return refused

    # Connections.

    def open_lanes(self) -> None:
        """At a source: open every lane that begins here and is not open. Raises: TransferFailed."""
        with self._changed:
            wanted = [lane for lane in self._lanes.values() if lane.index not in self._opened]
            self._opened.update(lane.index for lane in wanted)
        for lane in wanted:
            ways = [self._open(lane, branch, lane.connections) for branch in lane.branches]
            for outlets in zip(*ways, strict=True):
                number = next(self._numbers)
                for outlet in outlets:
                    self._stands(lane, number, outlet)
                with self._changed:
                    self._waiting.append(
                        Stripe(lane=lane, number=number, key_id=new_key_id(), outlets=outlets)
                    )

    def new_stripes(self) -> list[Stripe]:
        """What was opened since this was asked last."""
        with self._changed:
            found, self._waiting = self._waiting, []
        return found

    def _open(self, lane: messages.Lane, branch: messages.Branch, count: int) -> list[Outlet]:
        hops = open_hop(
            self._neighbour(branch.next.gateway, branch.next.address),
            transport=self._transport,
            options=self._options,
            transfer=self._transfer,
            lane=lane.index,
            count=count,
            address=branch.next.address,
            port=self._configuration.data_port,
            own_address=self._address,
        )
        for hop in hops:
            self._heart.listens_to(hop)
        return [Outlet(hop=hop, branch=branch) for hop in hops]

    def _stands(self, lane: messages.Lane, number: int, outlet: Outlet) -> None:
        about: dict[str, Any] = {
            "path": lane.index,
            "hop": outlet.branch.hop,
            "src": self._gateway,
            "dst": outlet.hop.peer,
            "connection": number,
        }
        with self._changed:
            self._standing[outlet.hop] = about
        self._log.stamp(Event.CONNECTION_OPEN, **about)

    def _welcome(self, incoming: Hop, ticket: Ticket) -> None:
        """A neighbour's connection: open the ways on, answer that the lane stands, pass frames."""
        lane = self._lanes[ticket.lane]
        number = next(self._numbers)
        outlets: list[Outlet] = []
        try:
            for branch in lane.branches:
                outlets += self._open(lane, branch, 1)
            answer_ready(incoming, ticket, self._transfer)
        except TradewindError as error:
            # The neighbour learns of it by its connection's end, and says so if that is the end
            # of all.
            self._lost_before(lane, number, str(error))
            for hop in (incoming, *(outlet.hop for outlet in outlets)):
                hop.close()
                self._heart.forget(hop)
            return
        self._heart.beats_on(incoming)
        with self._changed:
            self._passing += 1
            self._standing[incoming] = {
                "path": lane.index,
                "hop": lane.hop,
                "src": self._gateway,
                "dst": incoming.peer,
                "connection": number,
            }
        for outlet in outlets:
            self._stands(lane, number, outlet)
        try:
            self._passage(lane, number, incoming, tuple(outlets)).run()
        finally:
            hops = (incoming, *(outlet.hop for outlet in outlets))
            for hop in hops:
                hop.close()
                self._heart.forget(hop)
            with self._changed:
                self._passing -= 1
                for hop in hops:
                    self._standing.pop(hop, None)
                self._changed.notify_all()

    def _lost_before(self, lane: messages.Lane, number: int, why: str) -> None:
        self._log.stamp(
            Event.CONNECTION_LOST,
            path=lane.index,
            hop=lane.hop,
            src=lane.previous.gateway,
            dst=self._gateway,
            connection=number,
            detail={"why": why},
        )

    def _passage(
        self, lane: messages.Lane, number: int, incoming: Hop, outlets: tuple[Outlet, ...]
    ) -> Passage:
        if self._limits is None:
            raise TransferFailed("this gateway was not configured")
        return Passage(
            place=Place(gateway=self._gateway, lane=lane, number=number),
            transfer=self._transfer,
            record_bytes=self._configuration.record_bytes,
            incoming=incoming,
            outlets=outlets,
            writer=self.writer,
            limits=self._limits,
            log=self._log,
            spill_bytes=self._configuration.spill_bytes,
            splices=not self._configuration.copies,
        )

    def close_all(self) -> None:
        """Close every connection, and wait until nothing is passed any more."""
        with self._changed:
            standing = list(self._standing)
            stripes = list(self._waiting)
        for hop in standing:
            hop.close()
        for stripe in stripes:
            stripe.close()
        with self._changed:
            if not self._changed.wait_for(lambda: self._passing == 0, CLOSE_TIMEOUT_S):
                raise ProviderError(f"{self._passing} connections do not end")

    def stop(self) -> None:
        """Accept nothing any more."""
        self._stopped.set()
        self._heart.stop()
        self._listener.close()

    # Samples.

    def _sample(self) -> None:
        """Stamp what every connection says of itself, now and then."""
        while not self._stopped.wait(self._configuration.sample_s):
            with self._changed:
                standing = list(self._standing.items())
            for hop, about in standing:
                if hop.closed:
                    continue
                told = hop.metrics().as_json()
                self._log.stamp(Event.CONNECTION_SAMPLED, **about, detail=dict(told))
