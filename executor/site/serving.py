"""`tradewind serve`: a site in this process, from its identity to its last connection."""

from __future__ import annotations

import ipaddress
import os
import resource
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from datasets.errors import InputError
from executor.ledger import state_folder
from executor.site.confined import ConfinedRoot
from executor.site.identity import open_identity, write_credentials
from executor.site.server import Site

_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def serve_until_stopped(
    root: Path,
    *,
    host: str,
    port: int,
    credentials: Path | None,
    new_epoch: bool,
    ready: Callable[[dict[str, str]], None],
    tell: Callable[[str], None],
) -> None:
    """Serve `root` until a signal ends it; `ready` is told the address and the credentials.

    Raises: InputError where it cannot be served so.
    """
    if credentials is None and not _is_loopback(host):
        raise InputError(
            f"Without --credentials FILE a site listens on loopback only, not on {host}."
        )
    confined = ConfinedRoot(root)
    file = credentials.absolute() if credentials else _file_for(root)
    identity = open_identity(file, new_epoch=new_epoch)
    _raise_descriptors()
    # Files get the modes that they have at their source, as they are made; until they are placed
    # they stand in folders of mode 0700.
    os.umask(0)
    # A crash must not leave keys in a dump.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    site = Site(confined, identity, address=host, port=port, tell=tell)
    shown = f"[{host}]:{site.port}" if ":" in host else f"{host}:{site.port}"
    write_credentials(file, identity, shown)

    def end(number: int, frame: FrameType | None) -> None:
        site.stop()

    if threading.current_thread() is threading.main_thread():
        for number in _ENDING:
            signal.signal(number, end)
    ready({"address": shown, "credentials": str(file)})
    try:
        site.run()
    finally:
        site.close()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host, None)
    except OSError as error:
        raise InputError(f"--listen names no address of this machine: {host}.") from error
    return all(ipaddress.ip_address(entry[4][0]).is_loopback for entry in found)


def _file_for(root: Path) -> Path:
    """Credentials for a site that was given none: in the user's state, by the folder's name."""
    import hashlib

    folder = state_folder() / "sites"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder / f"{hashlib.sha256(bytes(root.resolve())).hexdigest()[:16]}.json"


def _raise_descriptors() -> None:
    """As many descriptors as this user may have: strangers wait by descriptor, not by thread."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
