"""Sessions as documents tell them: by the site that grants, to a client or to another site."""

from __future__ import annotations

from typing import Any

from datasets.canonical import Json
from datasets.errors import SessionRefused, TransferFailed
from executor.gateway.command import Kind
from executor.gateway.crypto import Sealer, signed_command
from executor.gateway.records import CHUNK_BYTES, RECORD_BYTES, Way
from executor.gateway.session import Session
from executor.gateway.transport import Closed, Connection, Options, Transport


def told_session(session: Session, site_key: bytes) -> dict[str, Json]:
    """A grant as its holder gets it: the session and its two keys, never the site's."""
    return {
        "transfer": session.transfer.hex(),
        "session": session.session.hex(),
        "epoch": session.epoch,
        "expiry": session.expiry,
        "rights": session.rights,
        "last_byte": session.last_byte,
        "key": session.key(site_key).hex(),
        "data_key": session.data_key(site_key).hex(),
        "chunk_bytes": CHUNK_BYTES,
    }


def way_of(told: Any, *, attempt: int) -> Way:
    """What a grant's commands share. Raises: SessionRefused if it is none; TransferFailed."""
    try:
        session = Session(
            transfer=bytes.fromhex(told["transfer"]),
            session=bytes.fromhex(told["session"]),
            epoch=int(told["epoch"]),
            expiry=int(told["expiry"]),
            rights=int(told["rights"]),
            first_byte=0,
            last_byte=int(told["last_byte"]),
        )
        key, data_key = bytes.fromhex(told["key"]), bytes.fromhex(told["data_key"])
        chunk_bytes = int(told["chunk_bytes"])
    except (KeyError, TypeError, ValueError) as error:
        raise SessionRefused(f"a grant of a session is none: {error}") from error
    if chunk_bytes != CHUNK_BYTES:
        raise TransferFailed(f"a site has chunks of {chunk_bytes} bytes; is it another version?")
    return Way(
        session=session,
        key=key,
        sealer=Sealer(data_key, record_bytes=RECORD_BYTES),
        attempt=attempt,
        chunk_bytes=chunk_bytes,
        record_bytes=RECORD_BYTES,
    )


def connect_session(
    host: str, port: int, way: Way, transport: Transport, options: Options
) -> Connection:
    """A data connection of a session. Raises: Closed."""
    try:
        return transport.connect(
            host,
            port,
            own_address="",
            opening=signed_command(way.session.command(Kind.HELLO), way.key),
            secret=way.key,
            options=options,
        )
    except TransferFailed as error:
        raise Closed(str(error)) from error
