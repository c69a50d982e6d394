"""Who may call, as certificates say it: roles, identities, credentials. Nothing is made here."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, unquote

from datasets.errors import SessionRefused

ROLES = ("client", "source", "relay", "destination", "site")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a certificate says its holder is."""

    transfer: str
    role: str
    gateway: str

    def uri(self) -> str:
        """As it stands in the certificate."""
        return f"tradewind://{self.transfer}/{self.role}/{quote(self.gateway, safe='')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A certificate with its key and the authority's certificate, as PEM. Never logged."""

    authority_pem: bytes
    certificate_pem: bytes
    key_pem: bytes


def host_name(gateway: str) -> str:
    """The DNS name in a gateway's certificate, which a caller insists on."""
    return gateway.replace(":", "-").replace("#", "-") + ".tradewind"


def identity_of(uri: str) -> Identity:
    """The identity in a certificate's URI. Raises: SessionRefused."""
    scheme, _, rest = uri.partition("://")
    parts = rest.split("/")
    if scheme != "tradewind" or len(parts) != 3 or parts[1] not in ROLES:
        raise SessionRefused("a certificate does not name a role of a transfer")
    return Identity(transfer=parts[0], role=parts[1], gateway=unquote(parts[2]))
