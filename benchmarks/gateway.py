"""Moving bytes: gateways on loopback, unpaced, against one plain socket between two processes.

Both read a file and write a file, from the first byte read to the last one known to be written.
The gateways also digest, seal, sign, open and check; the second hop adds a relay on the same cores.
"""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.plain_copy import BUFFER_BYTES
from benchmarks.spec import BenchSpec, Sizes
from datasets.outcome import outcome
from datasets.units import MEBIBYTE, gbps_of
from executor.execute import Execution
from executor.ledger import Ledger
from executor.providers import find_provider
from executor.scale import Scale
from tests.tiny_plans import A, B, C, D, plan_of, vm

# Far above any machine: no pacer ever waits.
UNPACED_GBPS = 10_000.0
CONNECTIONS = 2
MEMORY = "/dev/shm"  # noqa: S108  # folders in it are made by tempfile, private
RECEIVER_TIMEOUT_S = 60.0


def _memory_folder(size_bytes: int) -> str | None:
    """A folder in memory with room for source and destination: the disk is not measured here."""
    if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 3 * size_bytes:
        return MEMORY
    return None


@contextmanager
def workplace_of(size_bytes: int) -> Iterator[Path]:
    """A folder with a source file and a state folder of its own."""
    before = os.environ.get("TRADEWIND_STATE")
    where = _memory_folder(size_bytes)
    with tempfile.TemporaryDirectory(prefix="tradewind-bench-", dir=where) as name:
        folder = Path(name)
        block = os.urandom(min(size_bytes, MEBIBYTE))
        with open(folder / "source", "wb") as file:
            for start in range(0, size_bytes, len(block)):
                file.write(block[: size_bytes - start])
        os.environ["TRADEWIND_STATE"] = str(folder / "state")
        try:
            yield folder
        finally:
            if before is None:
                del os.environ["TRADEWIND_STATE"]
            else:
                os.environ["TRADEWIND_STATE"] = before


def gateways_gbps(hops: int, mebibytes: int, *, splice: bool = True) -> float:
    """Goodput of one transfer by real gateways over that many hops, by its own event table."""
    size_bytes = mebibytes * MEBIBYTE
    way = {1: (A, C), 2: (A, B, C), 3: (A, B, D, C)}[hops]
    free = vm(egress_public_gbps=UNPACED_GBPS, egress_gbps=UNPACED_GBPS, ingress_gbps=UNPACED_GBPS)
    plan = plan_of(
        [(way, UNPACED_GBPS)],
        {pair: UNPACED_GBPS for pair in itertools.pairwise(way)},
        size_bytes=size_bytes,
        vms=dict.fromkeys(way, free),
    )
    scale = Scale(
        rate_scale=1.0,
        size_scale=1.0,
        moved_bytes=size_bytes,
        chunk_bytes=8 * MEBIBYTE,
        record_bytes=MEBIBYTE,
        connections=CONNECTIONS,
        machine_gbps=UNPACED_GBPS,
    )
    with workplace_of(size_bytes) as folder:
        ledger = Ledger(folder / "state" / "ledger.sqlite")
        done = Execution(
            plan=plan,
            source=folder / "source",
            destination=folder / "arrived",
            provider=find_provider("loopback"),
            ledger=ledger,
            scale=scale,
            splice=splice,
        ).run()
        ledger.close()
    return outcome(done.events).throughput_gbps


def plain_gbps(mebibytes: int) -> float:
    """Goodput of a copy by one plain socket, in clear and unchecked."""
    size_bytes = mebibytes * MEBIBYTE
    with workplace_of(size_bytes) as folder:
        words = [sys.executable, "-m", "benchmarks.plain_copy", str(folder / "arrived")]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as receiver:
            if receiver.stdout is None:
                raise RuntimeError("the receiver has no standard output")
            port = int(receiver.stdout.readline())
            seconds = _send(folder / "source", port)
            receiver.wait(timeout=RECEIVER_TIMEOUT_S)
        if (folder / "arrived").stat().st_size != size_bytes:
            raise RuntimeError("the plain copy lost bytes")
    return gbps_of(size_bytes, seconds)


def _send(source: Path, port: int) -> float:
    buffer = memoryview(bytearray(BUFFER_BYTES))
    with (
        socket.create_connection(("127.0.0.1", port)) as connection,
        open(source, "rb", buffering=0) as file,
    ):
        begin = time.perf_counter()
        while count := file.readinto(buffer):
            connection.sendall(buffer[:count])
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)
        return time.perf_counter() - begin


def _spec(hops: int) -> BenchSpec:
    return BenchSpec(
        name=f"gateway.{hops}_hop",
        run=partial(gateways_gbps, hops),
        peer=plain_gbps,
        against="one plain socket, in clear",
        unit="Gbit/s",
        sizes=Sizes(full=256, tiny=1),
        of="MiB",
    )


def _relayed(hops: int, *, splice: bool) -> BenchSpec:
    """Through relays against the same without any."""
    relays = {2: "one_relay", 3: "two_relays"}[hops]
    return BenchSpec(
        name=f"gateway.{relays}" + ("" if splice else "_copying"),
        run=partial(gateways_gbps, hops, splice=splice),
        peer=partial(gateways_gbps, 1),
        against="the same gateways without a relay",
        unit="Gbit/s",
        sizes=Sizes(full=1024, tiny=1),
        of="MiB",
    )


SPECS = (
    _spec(1),
    _spec(2),
    _relayed(2, splice=True),
    _relayed(2, splice=False),
    _relayed(3, splice=True),
    _relayed(3, splice=False),
)
