"""The ledger: durable commits a second, against as many plain appends, each brought to disk."""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from pathlib import Path

from benchmarks.spec import BenchSpec, Sizes
from executor.ledger import Ledger

# About what one commit adds to SQLite's log: a page.
PAGE = bytes(4096)


def commits_per_s(count: int) -> float:
    """Intents committed a second."""
    with tempfile.TemporaryDirectory(prefix="tradewind-bench-") as folder:
        ledger = Ledger(Path(folder) / "ledger.sqlite")
        transfer = secrets.token_hex(16)
        ledger.begin(transfer, "0" * 32)
        begin = time.perf_counter()
        for number in range(count):
            ledger.intend(transfer, "folder", f"{number}")
        seconds = time.perf_counter() - begin
        ledger.close()
    return count / seconds


def appends_per_s(count: int) -> float:
    """Pages appended and synced a second."""
    with tempfile.TemporaryDirectory(prefix="tradewind-bench-") as folder:
        descriptor = os.open(Path(folder) / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        begin = time.perf_counter()
        for _ in range(count):
            os.write(descriptor, PAGE)
            os.fsync(descriptor)
        seconds = time.perf_counter() - begin
        os.close(descriptor)
    return count / seconds


SPECS = (
    BenchSpec(
        name="ledger.commit",
        run=commits_per_s,
        peer=appends_per_s,
        against="append and fsync",
        unit="commits/s",
        sizes=Sizes(full=200, tiny=3),
        of="commits",
    ),
)
