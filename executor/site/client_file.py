"""What a client of a site carries: a file of mode 0600, which `serve` writes and `cp` reads."""

from __future__ import annotations

import json
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets.errors import InputError
from executor.control.credentials import Credentials, host_name

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCredentials:
    """What a client needs to be let in at a site. Never logged."""

    address: str
    name: str
    credentials: Credentials

    @property
    def host_name(self) -> str:
        """The name in the site's certificate, which the client insists on."""
        return host_name(self.name)


def read_credentials(file: Path) -> ClientCredentials:
    """Raises: InputError if there are none, or others may read them."""
    told = read_secret(file)
    try:
        return ClientCredentials(
            address=str(told["address"]),
            name=str(told["name"]),
            credentials=Credentials(
                authority_pem=str(told["authority_pem"]).encode(),
                certificate_pem=str(told["certificate_pem"]).encode(),
                key_pem=str(told["key_pem"]).encode(),
            ),
        )
    except KeyError as error:
        raise InputError(f"{file} holds no credentials: {error} is missing.") from error


def read_secret(file: Path) -> dict[str, Any]:
    """What a file of mode 0600 holds. Raises: InputError."""
    try:
        with open(file, "rb") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            data = opened.read()
    except OSError as error:
        raise InputError(f"Cannot read the credentials {file}: {error.strerror}.") from error
    if stat.S_IMODE(mode) & 0o077:
        raise InputError(f"Others may read the credentials {file}: make it mode 0600.")
    try:
        told = json.loads(data)
    except (UnicodeDecodeError, ValueError) as error:
        raise InputError(f"{file} holds no credentials.") from error
    if not isinstance(told, dict) or told.get("version") != VERSION:
        raise InputError(f"{file} holds no credentials of version {VERSION}.")
    return told


def write_secret(file: Path, told: dict[str, Any]) -> None:
    """Write `file` whole, mode 0600, on disk before it has its name."""
    new = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as opened:
            json.dump(told, opened)
            opened.flush()
            os.fsync(opened.fileno())
        os.replace(new, file)
    except OSError as error:
        raise InputError(f"Cannot write the credentials {file}: {error.strerror}.") from error
