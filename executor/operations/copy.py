"""`tradewind cp`: files between this machine and a site, by the engine of the gateways.

Several connections take chunks from one queue; what a connection loses goes to the others, and one
that broke is opened anew for as long as anything moves. What arrived stays on disk: the same
command, run again, goes on from there.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from blake3 import blake3

from datasets.canonical import Json, canonical_json
from datasets.errors import (
    InputError,
    SessionRefused,
    TradewindError,
    TransferFailed,
)
from datasets.units import bytes_per_s
from executor.endpoints.intervals import IntervalSet
from executor.endpoints.landing import MOST_DIGESTS, Landing, is_placing
from executor.endpoints.listing import (
    entries_of,
    listing_document,
    partial_folder,
    partial_name,
    transfer_id,
)
from executor.endpoints.local import (
    Entry,
    SourceReader,
    check_space,
    list_source,
    place_for,
    total_bytes,
)
from executor.endpoints.units import units_of
from executor.gateway.command import Kind, parse
from executor.gateway.crypto import check_signature, signed_command
from executor.gateway.fetching import WAIT_S, fetch
from executor.gateway.missing import Chunk, MissingChunks
from executor.gateway.pacing import Pacer, wait_for
from executor.gateway.records import (
    CHUNK_BYTES,
    FRAME_BYTES,
    ChunkSender,
    ListedArrivals,
    UnitReader,
    Way,
    roots_of,
)
from executor.gateway.transport import Closed, Connection, Idle
from executor.operations.copied import Copied
from executor.operations.moving import Begun, CopyOptions, Mover, Observe
from executor.operations.site_client import Place, SiteClient
from executor.site.client_file import ClientCredentials
from executor.site.documents import roots_from, roots_told
from executor.site.sessions import way_of
from planner.dispatch import chunk_count

# Chunks of one connection that may be sent and not yet known to be on disk: what a crash may send
# twice (docs/data_plane.md), not what is held in memory.
WINDOW = 32
# How often the end of a copy is asked for where the site is lost in the middle of it.
CONFIRMATIONS = 5


def upload(
    source: Path,
    place: Place,
    credentials: ClientCredentials,
    options: CopyOptions,
    observe: Observe,
    also: Sequence[tuple[Place, ClientCredentials]] = (),
) -> Copied:
    """Copy a local file or folder to a site.

    `also`: other sites that take chunks of it too, from where the site fetches them at the end.
    Raises: InputError, SessionRefused, TransferFailed, IntegrityError, ProviderError.
    """
    begun_s = time.monotonic()
    way_up = _Upload(source, place, options, also)
    mover = Mover(way_up, options, observe)
    roots: dict[int, bytes] = {}
    for _ in range(CONFIRMATIONS):
        client, way = mover.run(place, credentials)
        try:
            roots = roots or way_up.roots()
            transfer = way.session.transfer.hex()
            if not way_up.is_placed:
                way_up.gather(client, transfer)
                document: dict[str, Json] = {"roots": roots_told(roots), "transfer": transfer}
                client.ask({"ask": "confirm", **document})
            client.ask({"ask": "told", "transfer": transfer})
            way_up.gathered(transfer)
            break
        except (Closed, Idle) as error:
            # The site was lost while it read back and placed: it is asked again how it stands.
            mover.broke(error)
        finally:
            client.close()
            way_up.close()
    else:
        raise TransferFailed("the site was lost again and again while it confirmed; run it again")
    return Copied(
        size_bytes=total_bytes(way_up.entries),
        seconds=time.monotonic() - begun_s,
        digest=digest_of(way_up.entries, roots),
        resumed_bytes=mover.resumed_bytes,
        final=f"tw://{place.host}:{place.port}/{place.path}",
    )


def download(
    place: Place,
    destination: Path,
    credentials: ClientCredentials,
    options: CopyOptions,
    observe: Observe,
) -> Copied:
    """Copy a site's file or folder here. Raises: as `upload`."""
    begun_s = time.monotonic()
    way_down = _Download(place, destination, options)
    mover = Mover(way_down, options, observe)
    try:
        client, way = mover.run(place, credentials)
        try:
            transfer = way.session.transfer.hex()
            told = client.ask({"ask": "roots", "transfer": transfer})
            client.ask({"ask": "withdraw", "transfer": transfer})
        finally:
            client.close()
        landing, final = way_down.landed
        roots = roots_from(told["roots"])
        if not landing.is_placing:
            landing.confirm(roots)
        landing.place(os.fsencode(final))
    finally:
        way_down.close()
    return Copied(
        size_bytes=total_bytes(landing.entries),
        seconds=time.monotonic() - begun_s,
        digest=digest_of(landing.entries, roots),
        resumed_bytes=mover.resumed_bytes,
        final=str(final),
    )


def digest_of(entries: Sequence[Entry], roots: Mapping[int, bytes]) -> str:
    """One digest for all: the root of a single file; of a folder, over its listing and roots."""
    if len(entries) == 1 and roots:
        return next(iter(roots.values())).hex()
    about: list[Json] = [
        [entry.path.decode("latin-1"), int(entry.kind), entry.size, entry.target.decode("latin-1")]
        for entry in entries
    ]
    return blake3(canonical_json([about, roots_told(roots)])).hexdigest()


def _pace_of(options: CopyOptions) -> Callable[[int], None]:
    """Waits until so many bytes may pass, all connections together."""
    limit = bytes_per_s(options.limit_gbps)
    if limit <= 0:
        return lambda size_bytes: None
    pacer = Pacer(limit)
    return lambda size_bytes: wait_for([pacer.reserve(size_bytes)])


class _Upload:
    """From this machine to a site."""

    def __init__(
        self,
        source: Path,
        place: Place,
        options: CopyOptions,
        also: Sequence[tuple[Place, ClientCredentials]],
    ) -> None:
        self._also = tuple(also)
        self._others: list[SiteClient] = []
        self.entries = list_source(source)
        self._name = source.absolute().name
        self._listing = listing_document(self.entries)
        self._units = units_of(self.entries)
        self._reader = SourceReader(os.fsencode(source), self.entries)
        self._place = place
        self.is_placed = False
        self._digests: dict[tuple[int, int], bytes] = {}
        self._pace = _pace_of(options)

    def begin(self, client: SiteClient) -> Begun:
        """As `Direction.begin`."""
        told = client.ask(
            {
                "ask": "put",
                "path": self._place.path,
                "name": self._name,
                "entries": self._listing,
            }
        )
        self.is_placed = bool(told["placed"])
        received = {
            int(index): [(int(first), int(end)) for first, end in ranges]
            for index, ranges in told["received"].items()
        }
        if self.is_placed:
            received = {
                unit.index: [(0, chunk_count(unit.size, CHUNK_BYTES))] for unit in self._units
            }
        way = way_of(told, attempt=int(told["attempt"]))
        routes = [(client, way)]
        if not self.is_placed:
            routes += self._spools(client, told, way, received)
        return Begun(routes=tuple(routes), units=self._units, received=received)

    def _spools(
        self,
        client: SiteClient,
        told: dict[str, Any],
        way: Way,
        received: dict[int, list[tuple[int, int]]],
    ) -> list[tuple[SiteClient, Way]]:
        """Sessions at the sites that take chunks too; what they hold counts as arrived."""
        self.close()
        home: dict[str, Json] = {
            "host": client.place.host,
            "port": client.place.port,
            "grant": told["enquiry"],
        }
        routes = []
        for place, credentials in self._also:
            other = SiteClient(place, credentials)
            self._others.append(other)
            answer = other.ask(
                {
                    "ask": "spool",
                    "transfer": told["transfer"],
                    "home": home,
                    "largest": max((unit.size for unit in self._units), default=1),
                }
            )
            for unit in self._units:
                ranges = answer["held"].get(way.object_id(unit).hex(), ())
                known = IntervalSet(received.get(unit.index, ()))
                for first, end in ranges:
                    known.add(int(first), int(end))
                received[unit.index] = list(known)
            routes.append((other, way_of(answer, attempt=way.attempt)))
        return routes

    def gather(self, client: SiteClient, transfer: str) -> None:
        """Let the site fetch what other sites took: a message for each of them, not for a chunk."""
        sites: list[Json] = []
        for other in self._others:
            told = other.ask({"ask": "held", "transfer": transfer})
            sites.append(
                {
                    "host": other.place.host,
                    "port": other.place.port,
                    "grant": told["grant"],
                    "held": told["held"],
                }
            )
        if sites:
            client.ask({"ask": "gather", "transfer": transfer, "sites": sites})

    def gathered(self, transfer: str) -> None:
        """All is in its place: what other sites took is let go."""
        for other in self._others:
            other.ask({"ask": "drop", "transfer": transfer})

    def close(self) -> None:
        """Close control at the sites that take chunks too."""
        for other in self._others:
            other.close()
        self._others.clear()

    def serve(self, connection: Connection, way: Way, queue: MissingChunks) -> None:
        """As `Direction.serve`."""
        sender = ChunkSender(UnitReader(self._reader), pace=self._pace)
        waiting = _Waiting(connection, way, queue)
        try:
            while waiting.room():
                chunk = queue.take(wait_s=WAIT_S)
                if chunk is None:
                    if queue.stopped:
                        break
                    continue
                waiting.add(chunk)
                digest = sender.send(connection, way, *chunk)
                if len(self._digests) < MOST_DIGESTS:
                    self._digests[chunk[0].index, chunk[1]] = digest
            connection.send(signed_command(way.session.command(Kind.END), way.key))
        finally:
            sender.close()
            waiting.close()

    def roots(self) -> dict[int, bytes]:
        """Each unit's root at the source."""
        return roots_of(self._units, self._reader, self._digests, chunk_bytes=CHUNK_BYTES)


class _Waiting:
    """The chunks of one connection that are sent and not yet acknowledged; hears of them."""

    def __init__(self, connection: Connection, way: Way, queue: MissingChunks) -> None:
        self._connection = connection
        self._way = way
        self._queue = queue
        self._chunks: dict[tuple[bytes, int], Chunk] = {}
        self._changed = threading.Condition()
        self._failure: TradewindError | None = None
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def add(self, chunk: Chunk) -> None:
        """Before its first record is sent."""
        with self._changed:
            self._chunks[self._way.object_id(chunk[0]), chunk[1]] = chunk

    def room(self) -> bool:
        """Wait for room in the window. Raises: what ended the connection."""
        with self._changed:
            while len(self._chunks) >= WINDOW and self._failure is None:
                self._changed.wait(WAIT_S)
            if self._failure is not None:
                raise self._failure
            return True

    def _listen(self) -> None:
        frame = memoryview(bytearray(FRAME_BYTES))
        try:
            while True:
                self._connection.receive(frame)
                check_signature(frame, self._way.key)
                command = parse(frame)
                self._way.session.check(command, now=time.time())
                if command.kind is Kind.END:
                    return
                if command.kind is not Kind.ACKNOWLEDGE:
                    raise SessionRefused("something else than an acknowledgement came back")
                self._acknowledged(command.object_id, command.offset // self._way.chunk_bytes)
        except TradewindError as error:
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _acknowledged(self, object_id: bytes, chunk: int) -> None:
        with self._changed:
            found = self._chunks.pop((object_id, chunk), None)
            self._changed.notify_all()
        if found is not None:
            self._queue.done(*found)

    def close(self) -> None:
        """What is not acknowledged goes back to the queue."""
        self._connection.close()
        self._listener.join()
        with self._changed:
            lost = list(self._chunks.values())
            self._chunks.clear()
        self._queue.give_back(lost)


class _Download:
    """From a site to this machine."""

    def __init__(self, place: Place, destination: Path, options: CopyOptions) -> None:
        self._pace = _pace_of(options)
        self._place = place
        self._destination = destination
        self._landed: tuple[Landing, Path] | None = None

    @property
    def landed(self) -> tuple[Landing, Path]:
        """What arrived, and where it is to stand. Raises: TransferFailed if nothing was begun."""
        if self._landed is None:
            raise TransferFailed("nothing was begun")
        return self._landed

    def begin(self, client: SiteClient) -> Begun:
        """As `Direction.begin`."""
        told = client.ask({"ask": "get", "path": self._place.path})
        try:
            landing = self._landing(entries_of(told.get("entries")))
            attempt = landing.next_attempt()
        except (TradewindError, OSError) as error:
            client.ask({"ask": "withdraw", "transfer": told["transfer"]})
            if isinstance(error, OSError):
                raise TransferFailed(f"cannot write here: {error.strerror}") from error
            raise
        return Begun(
            routes=((client, way_of(told, attempt=attempt)),),
            units=landing.units,
            received=landing.received(),
        )

    def _landing(self, entries: tuple[Entry, ...]) -> Landing:
        """Where it lands, the same for each session. Raises: InputError if the source changed."""
        if self._landed is None:
            folder, final = self._unplaced(entries) or self._new_place(entries)
            self._landed = Landing(folder, entries, chunk_bytes=CHUNK_BYTES), final
        landing, _ = self._landed
        if entries != landing.entries:
            raise InputError(
                f"{self._place.path} changed at the site while it was copied; run the command "
                "again to copy what it is now."
            )
        return landing

    @property
    def _name(self) -> Path:
        return Path(self._place.path.rstrip("/") or "root")

    def _transfer(self, final: Path, entries: tuple[Entry, ...]) -> bytes:
        name = f"{self._place.host}:{self._place.port}/{self._place.path} {final.absolute()}"
        return transfer_id(name, entries, CHUNK_BYTES)

    def _unplaced(self, entries: tuple[Entry, ...]) -> tuple[bytes, Path] | None:
        """Where an earlier attempt was killed while it put all of it in its place."""
        for final in (self._destination, self._destination / self._name.name):
            for beside in (final.parent, final):
                name = partial_name(self._transfer(final, entries))
                folder = os.path.join(os.fsencode(beside), name)
                if is_placing(folder):
                    return folder, final
        return None

    def _new_place(self, entries: tuple[Entry, ...]) -> tuple[bytes, Path]:
        """The hidden folder of this copy, and where it is to stand. Raises: InputError."""
        final = place_for(self._destination, self._name, entries, remote=True, room=False)
        beside = final if final.is_dir() else final.parent
        folder = partial_folder(os.fsencode(beside), self._transfer(final, entries))
        if not os.path.isdir(folder):
            check_space(beside, total_bytes(entries))
        return folder, final

    def serve(self, connection: Connection, way: Way, queue: MissingChunks) -> None:
        """As `Direction.serve`."""
        landing, _ = self.landed
        fetch(connection, way, queue, ListedArrivals(landing), pace=self._pace)

    def close(self) -> None:
        """Close what is open; what arrived stays."""
        if self._landed is not None:
            self._landed[0].close()
