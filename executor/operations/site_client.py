"""A client's side of a site: asks by control, is granted sessions, opens data connections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from datasets.canonical import Json
from datasets.errors import InputError, TradewindError, TransferFailed
from executor.gateway.records import Way
from executor.gateway.transport import Connection, Options, Transport
from executor.site.client_file import ClientCredentials
from executor.site.documents import CONTROL_TIMEOUT_S, ERRORS, Documents, dial
from executor.site.sessions import connect_session

SCHEME = "tw://"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """`tw://HOST:PORT/PATH`, taken apart."""

    host: str
    port: int
    path: str


def is_site(url: str) -> bool:
    """Whether that names a place at a site."""
    return url.startswith(SCHEME)


def place_of(url: str) -> Place:
    """Raises: InputError if `url` is no `tw://HOST:PORT/PATH`."""
    where, _, path = url.removeprefix(SCHEME).partition("/")
    host, colon, port = where.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise InputError(f"{url!r} is no tw://HOST:PORT/PATH.")
    return Place(host=host.strip("[]"), port=int(port), path=path)


class SiteClient:
    """One site, as a client sees it. Not thread-safe but for `connect`."""

    def __init__(self, place: Place, credentials: ClientCredentials) -> None:
        """Raises: ProviderError, TransferFailed as `dial`."""
        self.place = place
        self._documents: Documents = dial(
            place.host,
            place.port,
            credentials=credentials.credentials,
            name=credentials.host_name,
            timeout_s=CONTROL_TIMEOUT_S,
        )

    def ask(self, document: dict[str, Json]) -> dict[str, Any]:
        """The site's answer. Raises: the error that it answers with, Closed, Idle."""
        told = self._documents.ask(document)
        if not isinstance(told, dict):
            raise TransferFailed("the site's answer is no answer")
        if "error" in told:
            family: type[TradewindError] = ERRORS.get(str(told["error"]), TransferFailed)
            raise family(str(told.get("said", "the site refused")))
        return told

    def connect(self, way: Way, transport: Transport, options: Options) -> Connection:
        """A data connection of a session. Raises: Closed."""
        return connect_session(self.place.host, self.place.port, way, transport, options)

    def close(self) -> None:
        """Close control; data connections stand on their own."""
        self._documents.close()
