"""The site's server: one port, on which control (mutual TLS) and data connections come.

Control grants sessions and confirms what arrived; data connections are served by workers. What a
stranger opens is dropped in the lobby (`executor/gateway/tcp.py`), before it costs a thread.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from datasets.canonical import Json
from datasets.errors import (
    InputError,
    SessionRefused,
    TradewindError,
    TransferFailed,
)
from executor.control.credentials import identity_of
from executor.endpoints.landing import Landing
from executor.endpoints.listing import entries_of, listing_document
from executor.endpoints.local import Entry
from executor.gateway.command import RIGHT_READ, RIGHT_WRITE, Kind
from executor.gateway.records import CHUNK_BYTES, roots_of
from executor.gateway.session import Session
from executor.gateway.tcp import TcpListener
from executor.gateway.transport import Closed, Connection, Listener, Options
from executor.gateway.udp import Udp
from executor.site.confined import ConfinedRoot
from executor.site.documents import (
    CONTROL_TIMEOUT_S,
    ERRORS,
    HANDSHAKE_TIMEOUT_S,
    Documents,
    roots_from,
    roots_told,
    tls_context,
)
from executor.site.identity import SiteIdentity
from executor.site.neighbours import enquire, gather, neighbour_of
from executor.site.sessions import told_session
from executor.site.transfers import Transfers
from executor.site.worker import SessionKeys, Worker

SESSION_LIFETIME_S = 24 * 3600
MOST_HANDSHAKES = 64
MOST_DATA_CONNECTIONS = 1024
_ACCEPT_S = 0.5


class Site:
    """Serves one folder. `run` until `stop`, which any thread or signal may call."""

    def __init__(
        self,
        root: ConfinedRoot,
        identity: SiteIdentity,
        *,
        address: str,
        port: int,
        tell: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Raises: InputError if the port is taken or no address of this machine."""
        self._tell = tell
        self._identity = identity
        self._transfers = Transfers(root)
        self._keys = SessionKeys(identity.site_key, identity.epoch)
        self._context = tls_context(identity.own_credentials(), server=True)
        self._handshakes = threading.BoundedSemaphore(MOST_HANDSHAKES)
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._open: set[Connection] = set()
        self._controls: set[Documents] = set()
        self.refused = 0
        try:
            sock = socket.create_server((address, port), backlog=4096, reuse_port=False)
        except OSError as error:
            raise InputError(f"Cannot listen on {address}:{port}: {error.strerror}.") from error
        self._listener = TcpListener(sock, self._admit, Options(), other=self._control)
        self.address = address
        self.port = self._listener.port
        self._listeners: list[Listener] = [self._listener]
        try:
            self._listeners.append(
                Udp().listen(address, self.port, admit=self._admit, options=Options())
            )
        except OSError as error:
            tell(f"no data over UDP: port {self.port}: {error.strerror}")

    # Data.

    def _admit(self, opening: bytes, address: str) -> bytes | None:
        """By its signature alone: a hello of any session that this site granted."""
        try:
            command, way = self._keys.checked(memoryview(bytearray(opening)), now=time.time())
        except SessionRefused as error:
            self._refuse(address, str(error))
            return None
        if command.kind is not Kind.HELLO:
            self._refuse(address, "a connection began with something else than a hello")
            return None
        return way.key

    def _refuse(self, address: str, reason: str) -> None:
        with self._lock:
            self.refused += 1
        self._tell(f"refused {address}: {reason}")

    def run(self) -> None:
        """Serve until stopped."""
        others = [
            threading.Thread(target=self._welcome, args=(listener,), daemon=True)
            for listener in self._listeners[1:]
        ]
        for thread in others:
            thread.start()
        self._welcome(self._listener)
        for thread in others:
            thread.join()

    def _welcome(self, listener: Listener) -> None:
        while not self._stopped.is_set():
            try:
                found = listener.accept(_ACCEPT_S)
            except Closed:
                break
            if found is None:
                continue
            connection, _, address = found
            with self._lock:
                room = len(self._open) < MOST_DATA_CONNECTIONS
                if room:
                    self._open.add(connection)
            if not room:
                self._refuse(address, f"{MOST_DATA_CONNECTIONS} data connections are open")
                connection.close()
                continue
            threading.Thread(target=self._serve, args=(connection, address), daemon=True).start()

    def _serve(self, connection: Connection, address: str) -> None:
        try:
            why = Worker(connection, keys=self._keys, transfers=self._transfers).run()
        finally:
            with self._lock:
                self._open.discard(connection)
        if why:
            self._tell(f"a data connection from {address} ended: {why}")

    def stop(self) -> None:
        """Stop serving; what came in stays for the next attempt."""
        self._stopped.set()
        for listener in self._listeners:
            listener.close()

    def close(self) -> None:
        """Close all connections and transfers, after `run` has ended."""
        with self._lock:
            connections, controls = list(self._open), list(self._controls)
        for connection in connections:
            connection.close()
        for control in controls:
            control.close()
        self._transfers.close()

    # Control.

    def _control(self, sock: socket.socket, address: str) -> None:
        """A connection that begins as TLS does: shaken hands with on a thread of its own."""
        if not self._handshakes.acquire(blocking=False):
            self._refuse(address, "too many handshakes at once")
            sock.close()
            return
        threading.Thread(target=self._handshake, args=(sock, address), daemon=True).start()

    def _handshake(self, plain: socket.socket, address: str) -> None:
        try:
            plain.settimeout(HANDSHAKE_TIMEOUT_S)
            # A peer that sends a byte now and then would hold the handshake beyond its timeout.
            guard = threading.Timer(HANDSHAKE_TIMEOUT_S, _shut, args=(plain,))
            guard.start()
            try:
                sock = self._context.wrap_socket(plain, server_side=True)
            finally:
                guard.cancel()
            _check_role(sock)
        except (OSError, ssl.SSLError, SessionRefused, ValueError) as error:
            plain.close()
            self._refuse(address, f"no handshake: {error}")
            return
        finally:
            self._handshakes.release()
        sock.settimeout(CONTROL_TIMEOUT_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        documents = Documents(sock)
        with self._lock:
            self._controls.add(documents)
        try:
            self._converse(documents)
        finally:
            with self._lock:
                self._controls.discard(documents)
            documents.close()

    def _converse(self, documents: Documents) -> None:
        while not self._stopped.is_set():
            try:
                asked = documents.receive()
                documents.send(self._answer(asked))
            except (Closed, SessionRefused, TransferFailed):
                return

    def _answer(self, asked: Any) -> dict[str, Json]:
        try:
            if not isinstance(asked, dict):
                raise SessionRefused("a request is an object with what it asks")
            kind = asked.get("ask")
            if kind == "put":
                return self._put(asked)
            if kind == "confirm":
                return self._confirm(asked)
            if kind == "get":
                return self._get(asked)
            if kind == "roots":
                return self._roots(asked)
            if kind == "withdraw":
                self._transfers.withdraw(_transfer(asked))
                return {}
            if kind == "told":
                self._transfers.told(_transfer(asked))
                return {}
            if kind == "spool":
                return self._spool(asked)
            if kind == "held":
                return self._held(asked)
            if kind == "gather":
                return self._gather(asked)
            if kind == "drop":
                self._transfers.drop_spool(_transfer(asked))
                return {}
            raise SessionRefused(f"nobody here answers {kind!r}")
        except TradewindError as error:
            for name, family in ERRORS.items():
                if isinstance(error, family):
                    return {"error": name, "said": str(error)}
            return {"error": "failed", "said": str(error)}

    def _put(self, asked: dict[str, Any]) -> dict[str, Json]:
        entries = entries_of(asked.get("entries"))
        transfer, upload = self._transfers.begin(
            _text(asked, "path"), _text(asked, "name"), entries, CHUNK_BYTES
        )
        session = self._grant(transfer, entries, RIGHT_WRITE)
        if upload is None:
            return {**self._told(session), "placed": True, "attempt": 0, "received": {}}
        return {
            **self._told(session),
            # For a site that takes some of its chunks: it may ask what they are, and no more.
            "enquiry": self._told(self._grant(transfer, entries, RIGHT_READ)),
            "placed": False,
            "attempt": _attempt(upload.landing),
            "received": {
                str(index): [list(ranges) for ranges in held]
                for index, held in upload.landing.received().items()
            },
        }

    def _confirm(self, asked: dict[str, Any]) -> dict[str, Json]:
        """Confirm and place. Asked again after a crash in between, it is told so again."""
        placed = self._transfers.place(_transfer(asked), roots_from(asked.get("roots")))
        return {"placed": placed}

    def _roots(self, asked: dict[str, Any]) -> dict[str, Json]:
        offer = self._transfers.offered(_transfer(asked))
        roots = roots_of(offer.units.values(), offer.source, offer.digests, chunk_bytes=CHUNK_BYTES)
        return {"roots": roots_told(roots)}

    def _get(self, asked: dict[str, Any]) -> dict[str, Json]:
        transfer = secrets.token_bytes(16)
        offer = self._transfers.offer(_text(asked, "path"), transfer)
        session = self._grant(transfer, offer.entries, RIGHT_READ)
        return {**self._told(session), "entries": listing_document(offer.entries)}

    def _grant(self, transfer: bytes, entries: tuple[Entry, ...], rights: int) -> Session:
        """A session over the bytes of the largest object: what it may touch of any."""
        largest = max((entry.size for entry in entries), default=0)
        return self._session(transfer, rights, max(largest, CHUNK_BYTES))

    def _session(self, transfer: bytes, rights: int, size_bytes: int) -> Session:
        return Session(
            transfer=transfer,
            session=secrets.token_bytes(16),
            epoch=self._identity.epoch,
            expiry=int(time.time()) + SESSION_LIFETIME_S,
            rights=rights,
            first_byte=0,
            last_byte=size_bytes - 1,
        )

    def _told(self, session: Session) -> dict[str, Json]:
        return told_session(session, self._identity.site_key)

    # What is for another site.

    def _spool(self, asked: dict[str, Any]) -> dict[str, Json]:
        """Take chunks of another site's transfer; `home` is that site, to enquire at."""
        transfer = _transfer(asked)
        home = neighbour_of(asked.get("home"))
        spool = self._transfers.spool(transfer, lambda command: enquire(home, command))
        largest = asked.get("largest")
        if not isinstance(largest, int) or not 0 < largest < 1 << 63:
            raise SessionRefused("a spool is asked for with the bytes of its largest object")
        session = self._session(transfer, RIGHT_WRITE, largest)
        return {**self._told(session), "held": _held_told(spool.held())}

    def _held(self, asked: dict[str, Any]) -> dict[str, Json]:
        """What is here of it, and a session for who fetches it."""
        transfer = _transfer(asked)
        spool = self._transfers.spool(transfer)
        session = self._session(transfer, RIGHT_READ, (1 << 63) - 1)
        return {"grant": self._told(session), "held": _held_told(spool.held())}

    def _gather(self, asked: dict[str, Any]) -> dict[str, Json]:
        """Fetch what other sites hold of an upload here: a message a site, not a chunk."""
        landing = self._transfers.upload(_transfer(asked)).landing
        sites = asked.get("sites")
        if not isinstance(sites, list):
            raise SessionRefused("what is gathered is told as a list of sites")
        chunks = 0
        for site in sites:
            neighbour = neighbour_of(site)
            chunks += gather(neighbour, _held_from(site.get("held")), landing)
        landing.settle()
        return {"chunks": chunks}


def _held_told(held: Mapping[bytes, list[tuple[int, int]]]) -> dict[str, Json]:
    return {object_id.hex(): [list(part) for part in ranges] for object_id, ranges in held.items()}


def _held_from(told: Any) -> dict[bytes, list[tuple[int, int]]]:
    try:
        return {
            bytes.fromhex(object_id): [(int(first), int(end)) for first, end in ranges]
            for object_id, ranges in told.items()
        }
    except (AttributeError, TypeError, ValueError) as error:
        raise SessionRefused("what a site holds is told as ranges by object") from error


def _attempt(landing: Landing) -> int:
    try:
        return landing.next_attempt()
    except OSError as error:
        raise TransferFailed(f"the destination cannot be written: {error.strerror}") from error


def _transfer(asked: dict[str, Any]) -> bytes:
    try:
        return bytes.fromhex(_text(asked, "transfer"))
    except ValueError as error:
        raise SessionRefused("a request names its transfer by 32 hexadecimal digits") from error


def _text(asked: dict[str, Any], name: str) -> str:
    found = asked.get(name)
    if not isinstance(found, str):
        raise SessionRefused(f"a request lacks its {name}")
    return found


def _check_role(sock: ssl.SSLSocket) -> None:
    """Raises: SessionRefused unless the caller's certificate names a client."""
    told: dict[str, Any] = dict(sock.getpeercert() or {})
    for kind, name in told.get("subjectAltName", ()):
        if kind == "URI" and identity_of(name).role == "client":
            return
    raise SessionRefused("the caller's certificate names no client")


def _shut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):  # closed by now
        sock.shutdown(socket.SHUT_RDWR)
