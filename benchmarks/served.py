"""Servers that a measurement starts in a folder of its own and ends by their ids.

Each is up when it listens, which the kernel's table of its namespace says: no connection is spent
on asking. `inside` names a network namespace, or none.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import PeerFailed, need

START_TIMEOUT_S = 30.0
END_TIMEOUT_S = 10.0
_LISTENS = "0A"
_GLANCE_S = 0.01


def words_inside(inside: str, words: Sequence[str]) -> list[str]:
    """The command, in a network namespace if one is named."""
    return ["ip", "netns", "exec", inside, *words] if inside else list(words)


def named(host: str, private: Path, words: Sequence[str]) -> list[str]:
    """The command where the machine's name stands for `host`, and nobody need be asked.

    Globus resolves its own name and tells it to its peers; a namespace reaches no name server. The
    file of hosts is one of the command's own, in a mount namespace that ends with it.
    """
    hosts = private / "hosts"
    hosts.write_text(f"127.0.0.1 localhost\n{host} here\n")
    script = 'mount --bind "$0" /etc/hosts && hostname here && exec "$@"'
    return ["unshare", "--mount", "--uts", "sh", "-c", script, str(hosts), *words]


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
    return port


def _listening(pid: int, port: int) -> bool:
    """Whether anybody in the process's namespace listens on the port."""
    for table in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTENS and int(fields[1].rpartition(":")[2], 16) == port:
                return True
    return False


def _said(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1].strip() if lines else "it said nothing"


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and what it started in its group."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(timeout=END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            continue
        # Others of its group may outlive it: they are ended for good.
    process.wait(timeout=END_TIMEOUT_S)


@contextmanager
def server(
    words: Sequence[str],
    port: int,
    log: Path,
    *,
    inside: str = "",
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A server that listens on `port`, ended afterwards. Raises: PeerFailed if it does not."""
    with open(log, "ab") as file:
        process = subprocess.Popen(
            words_inside(inside, words),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            env={**os.environ, **(environment or {})},
        )
    try:
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not _listening(process.pid, port):
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise PeerFailed(f"{Path(words[0]).name} did not come up: {_said(log)}")
            time.sleep(_GLANCE_S)
        yield process
    finally:
        end(process)


def run_s(
    words: Sequence[str],
    log: Path,
    *,
    timeout_s: float,
    inside: str = "",
    environment: Mapping[str, str] | None = None,
    source: Path | None = None,
) -> float:
    """Seconds of a command from its start to its end. Raises: PeerFailed if it fails.

    `source` is its standard input, for tools that read it.
    """
    with open(log, "ab") as file, open(source or os.devnull, "rb") as feed:
        begin = time.perf_counter()
        process = subprocess.Popen(
            words_inside(inside, words),
            stdin=feed,
            stdout=file,
            stderr=file,
            start_new_session=True,
            env={**os.environ, **(environment or {})},
        )
        try:
            status = process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            raise PeerFailed(f"{Path(words[0]).name} took more than {timeout_s:g} s") from error
        finally:
            if process.poll() is None:
                end(process)
        seconds = time.perf_counter() - begin
    if status != 0:
        raise PeerFailed(f"{Path(words[0]).name} ended with {status}: {_said(log)}")
    return seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A running `tradewind serve`."""

    address: str
    credentials: Path
    root: Path
    process: subprocess.Popen[bytes]


TRADEWIND = str(Path(sys.executable).with_name("tradewind"))


@contextmanager
def site(
    root: Path,
    private: Path,
    *,
    host: str = "127.0.0.1",
    inside: str = "",
    credentials: Path | None = None,
    port: int = 0,
) -> Iterator[Site]:
    """Our own server over `root`; its state goes into `private`. Raises: PeerFailed."""
    log = private / "serve.log"
    kept = credentials or private / "credentials.json"
    words = [TRADEWIND, "serve", "--root", str(root), "--listen", f"{host}:{port}"]
    with open(log, "ab") as file:
        process = subprocess.Popen(
            words_inside(inside, [*words, "--credentials", str(kept)]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=file,
            start_new_session=True,
            env={**os.environ, "TRADEWIND_STATE": str(private / "state")},
        )
    try:
        line = process.stdout.readline() if process.stdout else b""
        if not line:
            raise PeerFailed(f"tradewind serve did not come up: {_said(log)}")
        told = json.loads(line)
        yield Site(
            address=told["address"],
            credentials=Path(told["credentials"]),
            root=root,
            process=process,
        )
    finally:
        end(process)
        if process.stdout:
            process.stdout.close()


@contextmanager
def ssh_server(private: Path, port: int) -> Iterator[list[str]]:
    """An sshd with keys of its own; what a client's command must say to reach it."""
    for name in ("host", "user"):
        words = [need("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", str(private / name)]
        run_s(words, private / "keys.log", timeout_s=START_TIMEOUT_S)
    (private / "authorized").write_bytes((private / "user.pub").read_bytes())
    config = private / "sshd.conf"
    config.write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {private}/host\nPidFile none\nUsePAM no\n"
        f"AuthorizedKeysFile {private}/authorized\nStrictModes no\nPermitRootLogin yes\n"
        "PasswordAuthentication no\nSubsystem sftp internal-sftp\n"
    )
    # sshd insists on an empty folder of root's, which Debian's service makes at boot.
    empty = Path("/run/sshd")
    made = os.geteuid() == 0 and not empty.exists()
    if made:
        empty.mkdir(mode=0o755)
    try:
        with server([need("sshd"), "-D", "-e", "-f", str(config)], port, private / "sshd.log"):
            yield [
                *("-i", str(private / "user"), "-P", str(port), "-q"),
                *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"),
                *("-o", "IdentitiesOnly=yes", "-F", "none"),
            ]
    finally:
        if made:
            empty.rmdir()


@contextmanager
def rsync_server(root: Path, private: Path, port: int) -> Iterator[str]:
    """An rsync daemon over `root`; the address of its module."""
    config = private / "rsyncd.conf"
    own = "uid = root\ngid = root\n" if os.geteuid() == 0 else ""
    config.write_text(
        f"address = 127.0.0.1\nport = {port}\nuse chroot = no\nreverse lookup = no\n{own}"
        f"[files]\npath = {root}\nread only = no\n"
    )
    words = [need("rsync"), "--daemon", "--no-detach", "--config", str(config)]
    with server(words, port, private / "rsyncd.log"):
        yield f"rsync://127.0.0.1:{port}/files/"


@contextmanager
def gridftp_server(
    root: Path, private: Path, port: int, *, host: str = "127.0.0.1", inside: str = ""
) -> Iterator[str]:
    """A GridFTP server, in clear and without names; the address of `root` in it."""
    words = [need("globus-gridftp-server"), "-aa", "-p", str(port)]
    words += ["-home-dir", str(root)]
    if inside:
        words = named(host, private, words)
    else:
        words += ["-control-interface", host, "-data-interface", host]
    if os.geteuid() == 0:
        words += ["-anonymous-user", "root", "-allow-root"]
    with server(words, port, private / "gridftp.log", inside=inside):
        yield f"ftp://{host}:{port}{root}/"


@contextmanager
def xrootd_server(
    root: Path, private: Path, port: int, *, host: str = "127.0.0.1", inside: str = ""
) -> Iterator[str]:
    """An XRootD server over `root`; its address."""
    config = private / "xrootd.conf"
    config.write_text(
        f"all.export / nostage\noss.localroot {root}\nxrd.port {port}\nxrd.network nodnr\n"
        f"all.adminpath {private}/admin\nall.pidpath {private}/admin\nxrd.protocol xrootd *\n"
    )
    words = [need("xrootd"), "-c", str(config), "-n", "bench"]
    if os.geteuid() == 0:  # it refuses to be root
        words += ["-R", "xrootd"]
        for folder in (root, private):
            os.chmod(folder, 0o777)  # noqa: S103  # folders of this run alone, removed after it
    with server(words, port, private / "xrootd.log", inside=inside):
        yield f"root://{host}:{port}/"
