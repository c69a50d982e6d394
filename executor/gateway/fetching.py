"""Fetching chunks from a site: asked for a little ahead, taken in any order."""

from __future__ import annotations

import time
from collections.abc import Callable

from datasets.errors import SessionRefused
from executor.gateway.command import RIGHT_READ, Kind, parse
from executor.gateway.crypto import check_signature, signed_command
from executor.gateway.missing import Chunk, MissingChunks
from executor.gateway.records import FRAME_BYTES, Arrivals, ChunkReceiver, Way
from executor.gateway.transport import Connection

# Chunks that a reader has asked for ahead on one connection.
ASKED_AHEAD = 3
WAIT_S = 0.2


def fetch(
    connection: Connection,
    way: Way,
    queue: MissingChunks,
    arrivals: Arrivals,
    *,
    pace: Callable[[int], None] = lambda size_bytes: None,
) -> None:
    """Fetch chunks of `queue` until none is left; what was asked for in vain goes back to it.

    Raises: Closed, Idle, SessionRefused, IntegrityError, TransferFailed.
    """
    receiver = ChunkReceiver(arrivals, way)
    frame = memoryview(bytearray(FRAME_BYTES))
    asked: dict[tuple[bytes, int], Chunk] = {}
    try:
        while True:
            _ask_ahead(connection, way, queue, asked)
            if not asked:
                if queue.stopped:
                    break
                continue
            pace(connection.receive(frame))
            check_signature(frame, way.key)
            command = parse(frame)
            way.session.check(command, now=time.time(), data_needs=RIGHT_READ)
            if command.kind is not Kind.DATA:
                raise SessionRefused("something else than a record came")
            if receiver.take(frame, command, queue.done):
                asked.pop((command.object_id, command.offset // way.chunk_bytes), None)
        connection.send(signed_command(way.session.command(Kind.END), way.key))
    finally:
        queue.give_back(list(asked.values()))


def _ask_ahead(
    connection: Connection,
    way: Way,
    queue: MissingChunks,
    asked: dict[tuple[bytes, int], Chunk],
) -> None:
    while len(asked) < ASKED_AHEAD:
        chunk = queue.take(wait_s=0.0 if asked else WAIT_S)
        if chunk is None:
            return
        unit, number = chunk
        asked[way.object_id(unit), number] = chunk
        command = way.about(Kind.FETCH, unit, offset=number * way.chunk_bytes)
        connection.send(signed_command(command, way.key))
