"""Hops: opening and accepting the data connections between neighbouring gateways.

Whoever connects must first ask, over mutual TLS and by its certificate's role, for a ticket; the
connection's first command is signed under the ticket's key and must come from the right address.
A ticket opens one connection.
"""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass

from datasets.errors import SessionRefused, TradewindError
from executor.control import messages_pb2 as messages
from executor.control.client import GatewayClient
from executor.gateway.command import COMMAND_BYTES, Command, Kind, parse
from executor.gateway.crypto import check_signature, new_key, signed_command
from executor.gateway.log import GatewayLog
from executor.gateway.transport import Connection, connect, tune

HELLO_TIMEOUT_S = 10.0
MOST_WAITING = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """The right to open one connection of a lane, from one address."""

    id: bytes
    key: bytes
    lane: int
    address: str


class Doorkeeper:
    """Accepts data connections from permitted neighbours, and from nobody else."""

    def __init__(
        self,
        listener: socket.socket,
        *,
        transfer: bytes,
        log: GatewayLog,
        welcome: Callable[[Connection, Ticket], None],
    ) -> None:
        self._listener = listener
        self._transfer = transfer
        self._log = log
        self._welcome = welcome
        self._permitted: dict[str, str] = {}
        self._tickets: dict[bytes, Ticket] = {}
        self._waiting = 0
        self._refused = 0
        self._open = True
        self._lock = threading.Lock()

    def permit(self, peers: dict[str, str]) -> None:
        """Let these neighbours (name: address) in, and only these."""
        with self._lock:
            self._permitted = dict(peers)

    def revoke(self) -> int:
        """Let nobody in any more; how many were refused while it lasted."""
        with self._lock:
            self._permitted = {}
            self._tickets.clear()
            return self._refused

    def admit(self, gateway: str, lane: int, count: int) -> list[Ticket]:
        """Tickets for a neighbour. Raises: SessionRefused if it is not permitted."""
        with self._lock:
            address = self._permitted.get(gateway)
            if address is None:
                self._refused += 1
                raise SessionRefused(f"{gateway} is not a neighbour with a permit")
            tickets = [
                Ticket(id=secrets.token_bytes(16), key=new_key(), lane=lane, address=address)
                for _ in range(count)
            ]
            self._tickets.update({ticket.id: ticket for ticket in tickets})
            return tickets

    def run(self) -> None:
        """Accept until closed; each connection is greeted on a thread of its own."""
        while self._open:
            try:
                sock, (address, _) = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:  # the listener was closed
                return
            with self._lock:
                welcome = address in self._permitted.values() and self._waiting < MOST_WAITING
                self._refused += 0 if welcome else 1
                self._waiting += 1 if welcome else 0
            if not welcome:
                sock.close()
                continue
            threading.Thread(target=self._greet, args=(sock, address), daemon=True).start()

    def _greet(self, sock: socket.socket, address: str) -> None:
        connection = tune(sock)
        try:
            ticket = self._ticket_of(connection, address)
        except TradewindError:
            # A stranger learns nothing, and costs nothing but a count.
            with self._lock:
                self._refused += 1
            connection.close()
            return
        finally:
            with self._lock:
                self._waiting -= 1
        self._welcome(connection, ticket)

    def _ticket_of(self, connection: Connection, address: str) -> Ticket:
        buffer = memoryview(bytearray(COMMAND_BYTES))
        connection.sock.settimeout(HELLO_TIMEOUT_S)
        connection.receive_command(buffer)
        hello = parse(buffer)
        with self._lock:
            ticket = self._tickets.pop(hello.session, None)
        if ticket is None or hello.kind is not Kind.HELLO or hello.transfer != self._transfer:
            raise SessionRefused("a connection came without a ticket")
        check_signature(buffer, ticket.key)
        if ticket.address != address or ticket.lane != hello.path:
            raise SessionRefused("a ticket was used from elsewhere or for another lane")
        tune(connection.sock)
        return ticket

    def close(self) -> None:
        """Stop accepting."""
        self._open = False
        self._listener.close()


def answer_ready(connection: Connection, ticket: Ticket, transfer: bytes) -> None:
    """Tell the neighbour that the lane stands from here to the destination."""
    command = Command(kind=Kind.READY, transfer=transfer, session=ticket.id, path=ticket.lane)
    connection.send(signed_command(command, ticket.key))


def open_hop(
    client: GatewayClient,
    *,
    transfer: bytes,
    lane: int,
    count: int,
    address: str,
    port: int,
    own_address: str,
) -> list[Connection]:
    """Open `count` connections of `lane` to the next gateway, which answer when it stands.

    Raises: SessionRefused or TransferFailed.
    """
    tickets = client.call("Admit", messages.AdmitRequest(lane=lane, count=count)).tickets
    opened: list[Connection] = []
    try:
        for ticket in tickets:
            connection = connect(address, port, own_address=own_address)
            opened.append(connection)
            hello = Command(kind=Kind.HELLO, transfer=transfer, session=ticket.id, path=lane)
            connection.send(signed_command(hello, ticket.key))
        for connection, ticket in zip(opened, tickets, strict=True):
            buffer = memoryview(bytearray(COMMAND_BYTES))
            connection.receive_command(buffer)
            check_signature(buffer, ticket.key)
            if parse(buffer).kind is not Kind.READY:
                raise SessionRefused("the next gateway did not answer that it is ready")
    except TradewindError:
        for connection in opened:
            connection.close()
        raise
    return opened
