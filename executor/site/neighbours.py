"""What a site does at other sites, with sessions that were granted there: enquire, and fetch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from datasets.errors import SessionRefused, TradewindError
from executor.endpoints.intervals import IntervalSet
from executor.endpoints.landing import Landing
from executor.gateway.command import COMMAND_BYTES, Command, Kind, parse
from executor.gateway.crypto import check_signature, signed_command
from executor.gateway.fetching import fetch
from executor.gateway.missing import MissingChunks
from executor.gateway.records import ListedArrivals, Way
from executor.gateway.tcp import Tcp
from executor.gateway.transport import Options
from executor.site.sessions import connect_session, way_of
from executor.site.spool import About


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """Another site, and a session there."""

    host: str
    port: int
    way: Way


def neighbour_of(told: Any) -> Neighbour:
    """As a document names it: host, port, grant. Raises: SessionRefused."""
    if not isinstance(told, dict):
        raise SessionRefused("a neighbour is told as host, port and grant")
    host, port = told.get("host"), told.get("port")
    if not isinstance(host, str) or not isinstance(port, int) or not 0 < port < 1 << 16:
        raise SessionRefused("a neighbour is told as host, port and grant")
    return Neighbour(host=host, port=port, way=way_of(told.get("grant"), attempt=1))


def enquire(home: Neighbour, about: Command) -> About | None:
    """What the site that an object is for says of it, by one command each way.

    None: it cannot be asked now, or does not know. Never raises: whoever spools goes on.
    """
    way = home.way
    command = way.session.command(Kind.ENQUIRE, object_id=about.object_id)
    try:
        connection = connect_session(home.host, home.port, way, Tcp(), Options(timeout_s=5.0))
    except TradewindError:
        return None
    answer = memoryview(bytearray(COMMAND_BYTES))
    try:
        connection.send(signed_command(command, way.key))
        connection.receive(answer)
        check_signature(answer, way.key)
        told = parse(answer)
        way.session.check(told, now=time.time())
        connection.send(signed_command(way.session.command(Kind.END), way.key))
    except TradewindError:
        return None
    finally:
        connection.close()
    if told.kind is not Kind.DESCRIBE or told.object_id != about.object_id or not told.object_size:
        return None
    signed = told.offset - (1 << 64) if told.offset >> 63 else told.offset
    return About(
        object_size=told.object_size,
        chunk_size=told.chunk_size,
        mtime_ns=signed,
        mode=told.path,
    )


def gather(
    neighbour: Neighbour, held: Mapping[bytes, list[tuple[int, int]]], landing: Landing
) -> int:
    """Fetch what that site holds and `landing` lacks; how many chunks that were.

    Raises: Closed, Idle, SessionRefused, IntegrityError, TransferFailed.
    """
    way = neighbour.way
    wanted = [unit for unit in landing.units if held.get(way.object_id(unit))]
    received = landing.received()
    lacking = {
        unit.index: _without(held[way.object_id(unit)], received.get(unit.index, []))
        for unit in wanted
    }
    queue = MissingChunks.only(wanted, lacking, chunk_bytes=way.chunk_bytes)
    count = queue.left
    if count:
        connection = connect_session(neighbour.host, neighbour.port, way, Tcp(), Options())
        try:
            fetch(connection, way, queue, ListedArrivals(landing))
        finally:
            connection.close()
    return count


def _without(ranges: list[tuple[int, int]], held: list[tuple[int, int]]) -> list[tuple[int, int]]:
    there = IntervalSet(held)
    return [part for first, end in ranges for part in there.missing(first, end)]
