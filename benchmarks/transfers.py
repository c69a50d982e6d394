"""`tradewind cp` to a running `tradewind serve`, beside what else copies a file over loopback.

Each figure is of a client's whole process, its cold start included, from a source in memory to a
fresh file in memory; servers start before and end after. Ours seals, digests and reads back; of
the others only scp encrypts. After each run, and outside its time, what arrived is digested and
compared. Every tool is in its best mode that was found: whole files, fast ciphers, several streams.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path

from blake3 import blake3

from benchmarks.peers import PeerFailed, missing, need, version
from benchmarks.served import (
    TRADEWIND,
    free_port,
    gridftp_server,
    rsync_server,
    run_s,
    server,
    site,
    ssh_server,
    xrootd_server,
)
from benchmarks.spec import BenchSpec, Measure, Sizes
from datasets.units import MEBIBYTE, gbps_of

MEMORY = "/dev/shm"  # noqa: S108  # folders in it are made by tempfile, private
RUN_TIMEOUT_S = 300.0
SMALL_BYTES = 4096
SMALL_A_FOLDER = 100
ARRIVED = "arrived"

# A way to copy: source, root of the server, private folder, log; its answer is seconds.
Way = Callable[[Path, Path, Path, Path], float]


def memory_folder() -> str | None:
    """Where sources and destinations are: in memory where there is some, since no disk is meant."""
    return MEMORY if os.access(MEMORY, os.W_OK) else None


@cache
def _sources() -> tempfile.TemporaryDirectory[str]:
    """Sources are made once and live as long as this process."""
    return tempfile.TemporaryDirectory(prefix="tradewind-sources-", dir=memory_folder())


@cache
def source_of(size_bytes: int) -> Path:
    """A file of random bytes of that size."""
    path = Path(_sources().name) / f"file-{size_bytes}"
    with open(path, "wb") as file:
        for start in range(0, size_bytes, 16 * MEBIBYTE):
            file.write(os.urandom(min(16 * MEBIBYTE, size_bytes - start)))
    return path


@cache
def small_files(count: int, each_bytes: int = SMALL_BYTES) -> Path:
    """A folder of that many small files, a hundred a folder."""
    root = Path(_sources().name) / f"files-{count}-{each_bytes}"
    for at in range(count):
        path = root / f"{at // SMALL_A_FOLDER:04}" / f"{at:06}"
        if at % SMALL_A_FOLDER == 0:
            path.parent.mkdir(parents=True)
        path.write_bytes(os.urandom(each_bytes))
    return root


@cache
def _known(path: Path) -> str:
    return digest_of(path)


def digest_of(path: Path) -> str:
    """BLAKE3 of a file's bytes, or of the names and bytes of all files below a folder."""
    whole = blake3(max_threads=blake3.AUTO)
    if path.is_file():
        whole.update_mmap(path)
        return whole.hexdigest()
    for file in sorted(path.rglob("*")):
        if file.is_file():
            whole.update(f"{file.relative_to(path)}\0{file.stat().st_size}\0".encode())
            whole.update(file.read_bytes())
    return whole.hexdigest()


def check_arrived(source: Path, arrived: Path) -> None:
    """Raises: PeerFailed unless the very same bytes arrived."""
    if not arrived.exists():
        raise PeerFailed("nothing arrived")
    if digest_of(arrived) != _known(source):
        raise PeerFailed("what arrived is not what was sent")


@contextmanager
def workplace() -> Iterator[tuple[Path, Path]]:
    """A root for a server to write to, and a private folder, both removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="tradewind-bench-", dir=memory_folder()) as name:
        folder = Path(name)
        folder.chmod(0o755)  # one peer refuses to be root, and has to reach its root
        for inner in ("root", "private"):
            (folder / inner).mkdir()
        yield folder / "root", folder / "private"


def timed_s(way: Way, source: Path) -> float:
    """Seconds of one copy, whose result is checked after. Raises: PeerFailed."""
    with workplace() as (root, private):
        seconds = way(source, root, private, private / "client.log")
        check_arrived(source, root / ARRIVED)
    return seconds


def file_gbps(way: Way, mebibytes: int) -> float:
    """Goodput of a copy of one file."""
    size_bytes = mebibytes * MEBIBYTE
    return gbps_of(size_bytes, timed_s(way, source_of(size_bytes)))


def files_per_s(way: Way, count: int) -> float:
    """Small files copied in a second."""
    return count / timed_s(way, small_files(count))


# --- Ours.


def ours_up(source: Path, root: Path, private: Path, log: Path, *, connections: int = 0) -> float:
    """`tradewind cp FILE tw://…`."""
    with site(root, private) as there:
        words = [TRADEWIND, "cp", str(source), f"tw://{there.address}/{ARRIVED}", "--json"]
        words += ["--credentials", str(there.credentials)]
        words += ["--connections", str(connections)] if connections else []
        return run_s(words, log, timeout_s=RUN_TIMEOUT_S)


def ours_down(source: Path, root: Path, private: Path, log: Path) -> float:
    """`tradewind cp tw://… FILE`."""
    with site(source.parent, private) as there:
        words = [TRADEWIND, "cp", f"tw://{there.address}/{source.name}", str(root / ARRIVED)]
        words += ["--json", "--credentials", str(there.credentials)]
        return run_s(words, log, timeout_s=RUN_TIMEOUT_S)


# --- The others.


def rsync(source: Path, root: Path, private: Path, log: Path) -> float:
    """A daemon, whole files, in place."""
    with rsync_server(root, private, free_port()) as address:
        words = [need("rsync"), "--whole-file", "--inplace", "--recursive"]
        ends = [f"{source}/" if source.is_dir() else str(source), f"{address}{ARRIVED}"]
        return run_s([*words, *ends], log, timeout_s=RUN_TIMEOUT_S)


def scp(source: Path, root: Path, private: Path, log: Path) -> float:
    """The cipher that the processor has instructions for."""
    with ssh_server(private, free_port()) as reach:
        words = [need("scp"), *reach, "-c", "aes128-gcm@openssh.com"]
        words += [str(source), f"127.0.0.1:{root / ARRIVED}"]
        return run_s(words, log, timeout_s=RUN_TIMEOUT_S)


def nc(source: Path, root: Path, private: Path, log: Path) -> float:
    """One socket, until both ends have ended."""
    port = free_port()
    words = ["sh", "-c", f'exec {need("nc")} -l 127.0.0.1 {port} > "$0"', str(root / ARRIVED)]
    with server(words, port, private / "nc.log") as receiver:
        client = [need("nc"), "-N", "127.0.0.1", str(port)]
        seconds = run_s(client, log, timeout_s=RUN_TIMEOUT_S, source=source)
        # What the receiver does after the sender has gone is a matter of microseconds.
        receiver.wait(timeout=RUN_TIMEOUT_S)
    return seconds


def rclone(kind: str, source: Path, root: Path, private: Path, log: Path) -> float:
    """Its own server and client: down by http, where it has several streams, or up by webdav."""
    port = free_port()
    own = {"RCLONE_CONFIG": os.devnull, "RCLONE_CACHE_DIR": str(private / "cache")}
    address = f"127.0.0.1:{port}"
    served = str(source.parent) if kind == "http" else str(root)
    words = [need("rclone"), "serve", kind, "--addr", address, served]
    with server(words, port, private / "rclone.log", environment=own):
        far = f":{kind},url='http://{address}':"
        ends = (
            [f"{far}{source.name}", str(root / ARRIVED)]
            if kind == "http"
            else [str(source), f"{far}{ARRIVED}"]
        )
        words = [need("rclone"), "copyto", *ends, "--multi-thread-streams", "4"]
        words += ["--multi-thread-cutoff", "64M", "--ignore-checksum", "--retries", "1"]
        return run_s(words, log, timeout_s=RUN_TIMEOUT_S, environment=own)


def globus(source: Path, root: Path, private: Path, log: Path) -> float:
    """Four streams in extended block mode, in clear."""
    with gridftp_server(root, private, free_port()) as address:
        words = [need("globus-url-copy"), "-p", "4", "-fast"]
        return run_s(
            [*words, f"file://{source}", f"{address}{ARRIVED}"], log, timeout_s=RUN_TIMEOUT_S
        )


def xrdcp(source: Path, root: Path, private: Path, log: Path) -> float:
    """Four streams, in clear."""
    with xrootd_server(root, private, free_port()) as address:
        words = [need("xrdcp"), "--silent", "--streams", "4"]
        return run_s([*words, str(source), f"{address}/{ARRIVED}"], log, timeout_s=RUN_TIMEOUT_S)


def iperf3_gbps(
    streams: int,
    congestion: str,
    mebibytes: int,
    *,
    host: str = "127.0.0.1",
    inside: str = "",
    client_inside: str = "",
) -> float:
    """What iperf3's receiver counted for so many bytes: from memory to nowhere, in clear."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="tradewind-bench-") as name:
        log = Path(name) / "log"
        words = [need("iperf3"), "-s", "-1", "-B", host, "-p", str(port)]
        with server(words, port, log, inside=inside):
            client = [need("iperf3"), "-c", host, "-p", str(port), "-J", "-C", congestion]
            client += ["-n", str(mebibytes * MEBIBYTE), "-P", str(streams)]
            if client_inside:
                client = ["ip", "netns", "exec", client_inside, *client]
            done = subprocess.run(
                client, capture_output=True, text=True, timeout=RUN_TIMEOUT_S, check=False
            )
    told = json.loads(done.stdout or "{}")
    if "end" not in told or "sum_received" not in told["end"]:
        raise PeerFailed(f"iperf3: {told.get('error', 'no figures')}")
    return float(told["end"]["sum_received"]["bits_per_second"]) / 1e9


def _spec(
    name: str,
    run: Measure,
    peer: Measure,
    *programs: str,
    how: str,
    full: int = 1024,
    unit: str = "Gbit/s",
    of: str = "MiB",
) -> BenchSpec:
    return BenchSpec(
        name=f"transfers.{name}",
        run=run,
        peer=peer,
        against=f"{programs[0]} {version(programs[0])}, {how}",
        unit=unit,
        sizes=Sizes(full=full, tiny=4),
        of=of,
        missing=missing(*programs),
    )


def specs() -> tuple[BenchSpec, ...]:
    """Ours beside iperf3 and everything else that copies files."""
    up = partial(file_gbps, ours_up)
    down = partial(file_gbps, ours_down)
    yardstick = [
        _spec(
            f"iperf3_{streams}{'_bbr' * (congestion == 'bbr')}",
            up,
            partial(iperf3_gbps, streams, congestion),
            "iperf3",
            how=f"{streams} stream{'s' * (streams > 1)}, {congestion}, memory to nowhere, in clear",
        )
        for streams in (1, 4)
        for congestion in ("cubic", "bbr")
    ]
    large = _spec(
        "iperf3_4gib",
        up,
        partial(iperf3_gbps, 1, "cubic"),
        "iperf3",
        how="1 stream, cubic, memory to nowhere, in clear",
        full=4096,
    )
    return (
        *yardstick,
        large,
        _spec("rsync", up, partial(file_gbps, rsync), "rsync", how="daemon, whole file, in clear"),
        _spec(
            "scp",
            up,
            partial(file_gbps, scp),
            *("scp", "sshd", "ssh-keygen"),
            how="aes128-gcm",
        ),
        _spec("nc", up, partial(file_gbps, nc), "nc", how="one socket, in clear"),
        _spec(
            "rclone_http",
            down,
            partial(file_gbps, partial(rclone, "http")),
            "rclone",
            how="http, 4 streams, down, in clear",
        ),
        _spec(
            "rclone_dav",
            up,
            partial(file_gbps, partial(rclone, "webdav")),
            "rclone",
            how="webdav, up, in clear",
        ),
        _spec(
            "globus",
            up,
            partial(file_gbps, globus),
            *("globus-url-copy", "globus-gridftp-server"),
            how="4 streams, in clear",
        ),
        _spec(
            "xrdcp",
            up,
            partial(file_gbps, xrdcp),
            *("xrdcp", "xrootd"),
            how="4 streams, in clear",
        ),
        _spec(
            "small_rsync",
            partial(files_per_s, ours_up),
            partial(files_per_s, rsync),
            "rsync",
            how="daemon, whole files, in clear",
            full=10_000,
            unit="files/s",
            of="files of 4 KiB",
        ),
    )
