"""An end that is lost ends the transfer in one clear sentence; so do changed files."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from datasets.errors import InputError, TransferFailed
from executor.execute import Progress
from executor.ledger import Ledger
from executor.machine import find_gateways
from executor.removal import STAGING_PREFIX
from tests.conftest import BACKINGS
from tests.local import execution, left_of, relayed_plan, sha256_of, write_source
from tests.tiny_plans import A, B, C

pytestmark = pytest.mark.xdist_group("fault")
SIZE_BYTES = 24 << 20


def send(number: signal.Signals, transfer: str, gateway: str) -> None:
    for pid, _, _, _ in find_gateways(transfer):
        if gateway in Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0"):
            os.kill(pid, number)


def kill(transfer: str, gateway: str) -> None:
    send(signal.SIGKILL, transfer, gateway)


@pytest.mark.parametrize("backing", BACKINGS, indirect=True)
@pytest.mark.parametrize("gateway", [f"{A}#0", f"{C}#0"], ids=["source", "end"])
def test_a_killed_end_fails_the_transfer_and_nothing_stays(
    gateway: str, backing: str, ledger: Ledger, tmp_path: Path
) -> None:
    write_source(tmp_path / "source", SIZE_BYTES)
    killed: list[str] = []

    def observe(progress: Progress) -> None:
        if progress.acknowledged_bytes > SIZE_BYTES // 5 and not killed:
            killed.append(gateway)
            kill(run.transfer, gateway)

    run = execution(
        relayed_plan(),
        tmp_path / "source",
        tmp_path / "arrived",
        ledger=ledger,
        backing=backing,
        size_bytes=SIZE_BYTES,
        observe=observe,
    )
    with pytest.raises(TransferFailed, match=f"{gateway}.* lost"):
        run.run()
    assert killed
    assert not find_gateways(run.transfer)
    assert not left_of(ledger, run.transfer)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["source", "state"]


def test_a_gateway_lost_after_the_bytes_are_placed_is_a_warning(
    ledger: Ledger, tmp_path: Path
) -> None:
    digest = write_source(tmp_path / "source", SIZE_BYTES)
    killed: list[str] = []

    def observe(progress: Progress) -> None:
        if progress.phase == "revoke" and not killed:
            killed.append(f"{B}#0")
            kill(run.transfer, f"{B}#0")
            time.sleep(0.3)

    run = execution(
        relayed_plan(),
        tmp_path / "source",
        tmp_path / "arrived",
        ledger=ledger,
        backing="loopback",
        size_bytes=SIZE_BYTES,
        observe=observe,
    )
    done = run.run()
    assert sha256_of(tmp_path / "arrived") == digest
    assert any("lost" in warning for warning in done.warnings)
    assert done.manifest["warnings"] == list(done.warnings)
    assert not left_of(ledger, run.transfer)


def test_a_source_that_changes_meanwhile_is_noticed(ledger: Ledger, tmp_path: Path) -> None:
    source = tmp_path / "source"
    write_source(source, SIZE_BYTES)
    changed: list[bool] = []

    def observe(progress: Progress) -> None:
        if progress.acknowledged_bytes > SIZE_BYTES // 5 and not changed:
            changed.append(True)
            os.utime(source)

    run = execution(
        relayed_plan(),
        source,
        tmp_path / "arrived",
        ledger=ledger,
        backing="loopback",
        size_bytes=SIZE_BYTES,
        observe=observe,
    )
    with pytest.raises(TransferFailed, match="changed while it was being read"):
        run.run()
    assert not (tmp_path / "arrived").exists()
    assert not left_of(ledger, run.transfer)


def test_a_destination_that_comes_to_exist_meanwhile_is_not_overwritten(
    ledger: Ledger, tmp_path: Path
) -> None:
    write_source(tmp_path / "source", SIZE_BYTES)
    arrived = tmp_path / "arrived"

    def observe(progress: Progress) -> None:
        if progress.acknowledged_bytes > 0 and not arrived.exists():
            arrived.write_text("somebody else's")

    run = execution(
        relayed_plan(),
        tmp_path / "source",
        arrived,
        ledger=ledger,
        backing="loopback",
        size_bytes=SIZE_BYTES,
        observe=observe,
    )
    with pytest.raises(InputError, match="nothing is overwritten"):
        run.run()
    assert arrived.read_text() == "somebody else's"
    assert not [entry for entry in tmp_path.iterdir() if entry.name.startswith(STAGING_PREFIX)]


def test_what_is_flipped_on_the_destination_disk_before_confirming_is_found(
    ledger: Ledger, tmp_path: Path
) -> None:
    """One byte of the staged file is changed after it was acknowledged: the read-back finds it."""
    from datasets.errors import IntegrityError

    write_source(tmp_path / "source", SIZE_BYTES)
    flipped: list[bool] = []

    def observe(progress: Progress) -> None:
        staged = list(tmp_path.glob(f"{STAGING_PREFIX}*/tree"))
        if progress.acknowledged_bytes == SIZE_BYTES and not flipped and staged:
            with open(staged[0], "r+b") as file:
                file.seek(12345)
                before = file.read(1)
                file.seek(12345)
                file.write(bytes([before[0] ^ 1]))
            flipped.append(True)

    run = execution(
        relayed_plan(),
        tmp_path / "source",
        tmp_path / "arrived",
        ledger=ledger,
        backing="loopback",
        size_bytes=SIZE_BYTES,
        observe=observe,
    )
    with pytest.raises(IntegrityError, match="not what was sent"):
        run.run()
    assert flipped
    assert not (tmp_path / "arrived").exists()
