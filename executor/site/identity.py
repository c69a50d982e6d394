"""Who a site is: its authority, its key, its epoch; and the credentials that its clients carry.

Two files of mode 0600, each replaced whole. `FILE` is what a client gives: an address, the site's
name, a certificate and its key. `FILE.site` never leaves the site: the authority's key, and the
site key from which every session's keys derive.
"""

from __future__ import annotations

import base64
import datetime
import secrets
from dataclasses import dataclass
from pathlib import Path

from datasets.errors import InputError
from executor.control.authority import Authority
from executor.control.credentials import Credentials
from executor.gateway.crypto import KEY_BYTES, new_key
from executor.site.client_file import VERSION, read_secret, write_secret

LIFETIME = datetime.timedelta(days=90)


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteIdentity:
    """The secrets of one site. Never logged.

    `epoch` is in every session: raising it makes all that were granted before stale at once.
    """

    name: str
    site_key: bytes
    epoch: int
    authority: Authority

    def own_credentials(self) -> Credentials:
        """A certificate for the site itself."""
        return self.authority.issue(role="site", gateway=self.name)


def open_identity(file: Path, *, new_epoch: bool = False) -> SiteIdentity:
    """The site's identity in `FILE.site`, made if both files are missing.

    Raises: InputError if `file` is another site's, is readable by others, or is none at all.
    """
    own = _own_file(file)
    if not own.exists():
        if file.exists():
            raise InputError(
                f"{file} exists, but not {own}: they are the credentials of another site; name "
                "another file."
            )
        identity = _identity(secrets.token_hex(8), new_key(), 1, None)
    else:
        told = read_secret(own)
        try:
            identity = _identity(
                str(told["name"]),
                base64.b64decode(told["site_key"], validate=True),
                int(told["epoch"]) + (1 if new_epoch else 0),
                str(told["authority_key_pem"]).encode(),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{own} is not a site's identity.") from error
        if len(identity.site_key) != KEY_BYTES:
            raise InputError(f"{own} is not a site's identity.")
    write_secret(
        own,
        {
            "version": VERSION,
            "name": identity.name,
            "site_key": base64.b64encode(identity.site_key).decode(),
            "epoch": identity.epoch,
            "authority_key_pem": identity.authority.key_pem().decode(),
        },
    )
    return identity


def _own_file(file: Path) -> Path:
    return file.with_name(file.name + ".site")


def _identity(name: str, site_key: bytes, epoch: int, key_pem: bytes | None) -> SiteIdentity:
    now = datetime.datetime.now(datetime.timezone.utc)
    authority = Authority(name, now=now, lifetime=LIFETIME, key_pem=key_pem)
    return SiteIdentity(name=name, site_key=site_key, epoch=epoch, authority=authority)


def write_credentials(file: Path, identity: SiteIdentity, address: str) -> None:
    """What clients give to this site, in `file`. Raises: InputError."""
    issued = identity.authority.issue(role="client", gateway="client")
    write_secret(
        file,
        {
            "version": VERSION,
            "address": address,
            "name": identity.name,
            "authority_pem": issued.authority_pem.decode(),
            "certificate_pem": issued.certificate_pem.decode(),
            "key_pem": issued.key_pem.decode(),
        },
    )
