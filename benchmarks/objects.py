"""Object stores: ours beside s5cmd and the aws command, against one and the same S3 server.

The server is rclone's (`rclone serve s3` over a folder in memory), the fastest of those that PyPI,
npm and Debian offer here; it digests what it stores and shares the processors with the client, so
that uploads are bound by it and ratios near 1 say "both wait for the server". Each client is one
process, its cold start included; ours also computes root digests and reads back what it wrote.
What arrived is digested and compared after each run: a download as files, an upload as the
server's folder holds it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.peers import missing, need, version
from benchmarks.served import TRADEWIND, free_port, run_s, server
from benchmarks.spec import BenchSpec, Sizes
from benchmarks.transfers import check_arrived, small_files, source_of, workplace
from datasets.units import MEBIBYTE, gbps_of

RUN_TIMEOUT_S = 300.0
BUCKET = "bucket"
SMALL_BYTES = 64 << 10
# Keys of a server that listens on loopback for one measurement: they guard nothing.
KEYS = {
    "AWS_ACCESS_KEY_ID": "TRADEWINDBENCHMARK00",
    "AWS_SECRET_ACCESS_KEY": "of-a-server-of-one-measurement",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}

# The command of a tool that copies `source` to `destination`, either of which is an s3 address.
Words = Callable[[str, str, str, bool], list[str]]


def ours(endpoint: str, source: str, destination: str, many: bool) -> list[str]:
    """`tradewind cp`; a folder and a prefix need no flag."""
    return [TRADEWIND, "cp", source, destination, "--endpoint-url", endpoint, "--json"]


def s5cmd(endpoint: str, source: str, destination: str, many: bool) -> list[str]:
    """Many objects by a wildcard, as it wants them."""
    return [
        *(need("s5cmd"), "--endpoint-url", endpoint, "--log", "error", "cp"),
        *(f"{source}*" if many else source, destination),
    ]


def aws(endpoint: str, source: str, destination: str, many: bool) -> list[str]:
    """`aws s3 cp`, without its progress."""
    flags = ["--recursive"] if many else []
    words = [need("aws"), "--endpoint-url", endpoint, "s3", "cp", "--only-show-errors"]
    return [*words, *flags, source, destination]


@contextmanager
def s3_server(root: Path, private: Path) -> Iterator[str]:
    """rclone's S3 server over `root`, whose folders are buckets; its address."""
    port = free_port()
    address = f"127.0.0.1:{port}"
    own = {
        "RCLONE_CONFIG": os.devnull,
        "RCLONE_CACHE_DIR": str(private / "cache"),
        "RCLONE_AUTH_KEY": f'"{KEYS["AWS_ACCESS_KEY_ID"]},{KEYS["AWS_SECRET_ACCESS_KEY"]}"',
    }
    words = [need("rclone"), "serve", "s3", "--addr", address, str(root)]
    with server(words, port, private / "s3.log", environment=own):
        yield f"http://{address}"


def _seconds(words: Words, source: Path, up: bool) -> float:
    """Of one copy, up or down. For a download the objects are put there by ours before."""
    many = source.is_dir()
    with workplace() as (root, private):
        bucket = root / BUCKET
        bucket.mkdir()
        own = {**KEYS, "TRADEWIND_STATE": str(private / "state"), "HOME": str(private)}
        far = f"s3://{BUCKET}/arrived{'/' * many}"
        near = f"{source}{'/' * many}"
        held, arrived = bucket / "arrived", private / "arrived"
        with s3_server(root, private) as endpoint:
            ends = (near, far) if up else (far, f"{arrived}{'/' * many}")
            if not up:  # ours put it there, with its root digest, whoever fetches it
                put = ours(endpoint, near, far, many)
                run_s(put, private / "put.log", timeout_s=RUN_TIMEOUT_S, environment=own)
            seconds = run_s(
                words(endpoint, *ends, many),
                private / "client.log",
                timeout_s=RUN_TIMEOUT_S,
                environment=own,
            )
        check_arrived(source, held if up else arrived)
    return seconds


def one_gbps(words: Words, up: bool, mebibytes: int) -> float:
    """Goodput of one object."""
    size_bytes = mebibytes * MEBIBYTE
    return gbps_of(size_bytes, _seconds(words, source_of(size_bytes), up))


def many_per_s(words: Words, up: bool, count: int) -> float:
    """Objects of 64 KiB in a second."""
    return count / _seconds(words, small_files(count, SMALL_BYTES), up)


def _spec(tool: str, words: Words, up: bool, many: bool) -> BenchSpec:
    measure = many_per_s if many else one_gbps
    return BenchSpec(
        name=f"objects.{tool}_{'many_' * many}{'up' if up else 'down'}",
        run=partial(measure, ours, up),
        peer=partial(measure, words, up),
        against=f"{tool} {version(tool)}; server: rclone {version('rclone')} serve s3",
        unit="objects/s" if many else "Gbit/s",
        sizes=Sizes(full=1000, tiny=10) if many else Sizes(full=1024, tiny=20),
        of="objects of 64 KiB" if many else "MiB",
        missing=missing(tool, "rclone"),
    )


def specs() -> tuple[BenchSpec, ...]:
    """One large object and many small ones, both ways, beside both tools."""
    return tuple(
        _spec(tool, words, up, many)
        for tool, words in (("s5cmd", s5cmd), ("aws", aws))
        for many in (False, True)
        for up in (True, False)
    )
