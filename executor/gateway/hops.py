"""Hops: opening and accepting the data connections between neighbouring gateways.

Whoever connects must first ask, over mutual TLS and by its certificate's role, for a ticket; the
connection's first command is signed under the ticket's key and must come from the right address.
A ticket opens one connection.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass

from datasets.errors import SessionRefused, TradewindError
from executor.control import messages_pb2 as messages
from executor.control.client import GatewayClient
from executor.gateway.beats import Hop
from executor.gateway.command import COMMAND_BYTES, Command, Kind, parse
from executor.gateway.crypto import check_signature, new_key, signed_command
from executor.gateway.transport import Closed, Listener, Options, Transport

ACCEPT_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """The right to open one connection of a lane, from one address."""

    id: bytes
    key: bytes
    lane: int
    gateway: str
    address: str


class Doorkeeper:
    """Decides who may open a data connection: permitted neighbours with a ticket, nobody else."""

    def __init__(self, *, transfer: bytes) -> None:
        self.transfer = transfer
        self._permitted: dict[str, str] = {}
        self._tickets: dict[bytes, Ticket] = {}
        self._admitted: dict[bytes, Ticket] = {}
        self._refused = 0
        self._lock = threading.Lock()

    def permit(self, peers: dict[str, str]) -> list[str]:
        """Let these neighbours (name: address) in as well; those that were not before."""
        with self._lock:
            new = sorted(set(peers) - set(self._permitted))
            self._permitted.update(peers)
            return new

    def forbid(self, gateway: str) -> bool:
        """Let a neighbour in no more; whether it was let in before."""
        with self._lock:
            address = self._permitted.pop(gateway, None)
            spent = [each.id for each in self._tickets.values() if each.gateway == gateway]
            for ticket in spent:
                del self._tickets[ticket]
            return address is not None

    def revoke(self) -> tuple[list[str], int]:
        """Let nobody in any more; who was let in, and how many were refused while it lasted."""
        with self._lock:
            before = sorted(self._permitted)
            self._permitted.clear()
            self._tickets.clear()
            return before, self._refused

    def grant(self, gateway: str, lane: int, count: int) -> list[Ticket]:
        """Tickets for a neighbour. Raises: SessionRefused if it is not permitted."""
        with self._lock:
            address = self._permitted.get(gateway)
            if address is None:
                self._refused += 1
                raise SessionRefused(f"{gateway} is not a neighbour with a permit")
            tickets = [
                Ticket(
                    id=secrets.token_bytes(16),
                    key=new_key(),
                    lane=lane,
                    gateway=gateway,
                    address=address,
                )
                for _ in range(count)
            ]
            self._tickets.update({ticket.id: ticket for ticket in tickets})
            return tickets

    def admit(self, opening: bytes, address: str) -> bytes | None:
        """As `Admit`: the ticket's key for an opening signed under it, from its own address.

        A stranger learns nothing, and costs nothing but a count.
        """
        try:
            return self._ticket_of(opening, address).key
        except SessionRefused:
            with self._lock:
                self._refused += 1
            return None

    def _ticket_of(self, opening: bytes, address: str) -> Ticket:
        hello = parse(opening)
        with self._lock:
            ticket = self._tickets.get(hello.session)
        if ticket is None or hello.kind is not Kind.HELLO or hello.transfer != self.transfer:
            raise SessionRefused("a connection came without a ticket")
        check_signature(memoryview(opening), ticket.key)
        if ticket.address != address or ticket.lane != hello.path:
            raise SessionRefused("a ticket was used from elsewhere or for another lane")
        with self._lock:
            # Taken only now: a forged opening must not spend what it does not hold.
            if self._tickets.pop(ticket.id, None) is None:
                raise SessionRefused("a ticket was used twice")
            self._admitted[ticket.id] = ticket
        return ticket

    def ticket(self, opening: bytes) -> Ticket:
        """The ticket of an opening that was admitted; asked once."""
        with self._lock:
            return self._admitted.pop(parse(opening).session)


def accept_all(
    listener: Listener, door: Doorkeeper, welcome: Callable[[Hop, Ticket], None]
) -> None:
    """Accept until the listener is closed; each connection is welcomed on a thread of its own."""
    while True:
        try:
            accepted = listener.accept(ACCEPT_S)
        except Closed:
            return
        if accepted is None:
            continue
        connection, opening, _ = accepted
        ticket = door.ticket(opening)
        hop = Hop(
            connection,
            peer=ticket.gateway,
            ticket=ticket.id,
            key=ticket.key,
            transfer=door.transfer,
        )
        threading.Thread(target=welcome, args=(hop, ticket), daemon=True).start()


def answer_ready(hop: Hop, ticket: Ticket, transfer: bytes) -> None:
    """Tell the neighbour that the lane stands from here to the destination."""
    command = Command(kind=Kind.READY, transfer=transfer, session=ticket.id, path=ticket.lane)
    hop.send(signed_command(command, ticket.key))


def open_hop(
    client: GatewayClient,
    *,
    transport: Transport,
    options: Options,
    transfer: bytes,
    lane: int,
    count: int,
    address: str,
    port: int,
    own_address: str,
) -> list[Hop]:
    """Open `count` connections of `lane` to the next gateway, which answer when it stands.

    Raises: SessionRefused or TransferFailed.
    """
    tickets = client.call("Admit", messages.AdmitRequest(lane=lane, count=count)).tickets
    opened: list[Hop] = []
    try:
        for ticket in tickets:
            hello = Command(kind=Kind.HELLO, transfer=transfer, session=ticket.id, path=lane)
            connection = transport.connect(
                address,
                port,
                own_address=own_address,
                opening=signed_command(hello, ticket.key),
                secret=ticket.key,
                options=options,
            )
            opened.append(
                Hop(
                    connection,
                    peer=client.gateway,
                    ticket=ticket.id,
                    key=ticket.key,
                    transfer=transfer,
                )
            )
        for hop, ticket in zip(opened, tickets, strict=True):
            buffer = memoryview(bytearray(COMMAND_BYTES))
            hop.connection.receive(buffer)
            hop.heard()
            check_signature(buffer, ticket.key)
            if parse(buffer).kind is not Kind.READY:
                raise SessionRefused("the next gateway did not answer that it is ready")
    except TradewindError:
        for hop in opened:
            hop.close()
        raise
    return opened
