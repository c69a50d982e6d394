"""The client is killed (SIGKILL) in each phase; one gc leaves no process, namespace or file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from executor.ledger import PHASES, Ledger, Transfer
from executor.machine import find_gateways
from executor.removal import NAMESPACE_PREFIX, NETNS_FOLDER, STAGING_PREFIX
from tests.conftest import BACKINGS
from tests.local import write_source

pytestmark = pytest.mark.xdist_group("fault")
SIZE_BYTES = 24 << 20

# The client under test: executes, and kills itself when it enters a phase, or in the middle of one.
CLIENT = """
import os, signal, sys
from pathlib import Path
from executor.ledger import open_ledger
from tests.local import execution, relayed_plan

phase, backing, source, destination, after_bytes = sys.argv[1:]

def observe(progress):
    if progress.phase == phase and progress.acknowledged_bytes >= int(after_bytes):
        os.kill(os.getpid(), signal.SIGKILL)

execution(
    relayed_plan(), Path(source), Path(destination), ledger=open_ledger(), backing=backing,
    size_bytes=int(Path(source).stat().st_size), observe=observe,
).run()
"""


def unfinished(state: Path) -> Transfer:
    """The one transfer that the ledger holds."""
    with Ledger(state / "ledger.sqlite") as ledger:
        (transfer,) = ledger.transfers()
        return transfer


def tradewind(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "experiments.cli", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def nothing_is_left(state: Path, folder: Path, transfer: str) -> None:
    assert not find_gateways(transfer)
    if NETNS_FOLDER.is_dir():
        prefix = f"{NAMESPACE_PREFIX}{transfer[:10]}"
        assert not [entry for entry in NETNS_FOLDER.iterdir() if entry.name.startswith(prefix)]
    device = f"tw{transfer[:7]}"
    assert not [
        entry for entry in Path("/sys/class/net").iterdir() if entry.name.startswith(device)
    ]
    assert not [entry for entry in folder.iterdir() if entry.name.startswith(STAGING_PREFIX)]
    transfers = state / "transfers"
    assert not transfers.exists() or not list(transfers.iterdir())


@pytest.mark.parametrize("backing", BACKINGS, indirect=True)
@pytest.mark.parametrize("phase", [*PHASES[:-1], "middle"])
def test_gc_after_a_kill_leaves_nothing(
    phase: str, backing: str, state: Path, tmp_path: Path
) -> None:
    source, destination = tmp_path / "source", tmp_path / "arrived"
    write_source(source, SIZE_BYTES)
    after = SIZE_BYTES // 4 if phase == "middle" else 0
    entered = "transfer" if phase == "middle" else phase
    client = subprocess.run(
        [sys.executable, "-c", CLIENT, entered, backing, str(source), str(destination), str(after)],
        timeout=120,
        check=False,
    )
    assert client.returncode == -signal.SIGKILL
    transfer = unfinished(state)
    assert transfer.phase == entered

    seen = tradewind("audit", "--json")
    assert seen.returncode == 3, seen.stderr
    # Other tests' dead clients may have left things at the same time: only ours are judged.
    left = [e for e in json.loads(seen.stdout)["left"] if e["transfer"] == transfer.id]
    assert left
    kinds = {entry["kind"] for entry in left if entry["there"]}
    if entered in ("permit", "transfer", "revoke", "delete"):
        assert "gateway" in kinds
        assert ("namespace" in kinds) == (backing == "netns")

    cleaned = tradewind("gc", "--json")
    assert cleaned.returncode == 0, cleaned.stderr + cleaned.stdout
    nothing_is_left(state, tmp_path, transfer.id)
    seen = tradewind("audit", "--json")
    assert transfer.id not in {e["transfer"] for e in json.loads(seen.stdout)["left"]}
    # The bytes are confirmed and in place before the rules are revoked, never in part before.
    assert destination.exists() == (entered in ("revoke", "delete"))


@pytest.mark.parametrize("backing", BACKINGS, indirect=True)
def test_gc_by_the_tags_alone_when_the_ledger_is_lost(
    backing: str, state: Path, tmp_path: Path
) -> None:
    source, destination = tmp_path / "source", tmp_path / "arrived"
    write_source(source, SIZE_BYTES)
    subprocess.run(
        [sys.executable, "-c", CLIENT, "transfer", backing, str(source), str(destination), "0"],
        timeout=120,
        check=False,
    )
    transfer = unfinished(state).id
    for file in state.glob("ledger.sqlite*"):
        file.unlink()
    assert find_gateways(transfer)

    seen = json.loads(tradewind("audit", "--json").stdout)["left"]
    assert {entry["known_by"] for entry in seen if entry["transfer"] == transfer} == {"tags"}
    assert tradewind("gc").returncode == 0
    assert not find_gateways(transfer)
    assert not list((state / "transfers").iterdir())
    if NETNS_FOLDER.is_dir():
        mine = f"{NAMESPACE_PREFIX}{transfer[:10]}"
        assert not [entry for entry in NETNS_FOLDER.iterdir() if entry.name.startswith(mine)]


@pytest.mark.netns
@pytest.mark.parametrize("backing", ["netns"], indirect=True)
def test_a_probe_that_was_killed_is_found(backing: str, state: Path) -> None:
    """Whether namespaces work is tried by making one; whoever is killed then leaves it."""
    with subprocess.Popen(["sleep", "0"]) as gone:
        gone.wait()
    name = f"{NAMESPACE_PREFIX}probe-{gone.pid}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    seen = json.loads(tradewind("audit", "--json").stdout)["left"]
    assert name in {entry["name"] for entry in seen}
    assert tradewind("gc").returncode == 0
    assert not (NETNS_FOLDER / name).exists()


def test_gateways_end_by_themselves_when_their_client_is_gone(state: Path, tmp_path: Path) -> None:
    source, destination = tmp_path / "source", tmp_path / "arrived"
    write_source(source, SIZE_BYTES)
    subprocess.run(
        [sys.executable, "-c", CLIENT, "transfer", "loopback", str(source), str(destination), "0"],
        timeout=120,
        check=False,
    )
    transfer = unfinished(state).id
    deadline = time.monotonic() + 60
    while find_gateways(transfer) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert not find_gateways(transfer)
    assert tradewind("gc").returncode == 0


def test_gc_leaves_a_living_transfer_alone(state: Path, tmp_path: Path) -> None:
    source, destination = tmp_path / "source", tmp_path / "arrived"
    write_source(source, 4 * SIZE_BYTES)
    # A client that is not killed: `never` is no phase.
    with subprocess.Popen(
        [sys.executable, "-c", CLIENT, "never", "loopback", str(source), str(destination), "0"]
    ) as client:
        deadline = time.monotonic() + 30
        owned: list[tuple[int, str, str, str]] = []
        while not owned and time.monotonic() < deadline:
            time.sleep(0.05)
            owned = [found for found in find_gateways() if found[3].startswith(f"{client.pid}:")]
        assert owned
        transfer = owned[0][2]
        seen = json.loads(tradewind("audit", "--json").stdout)
        assert transfer in seen["running"]
        assert transfer not in {entry["transfer"] for entry in seen["left"]}
        assert not [
            line for line in json.loads(tradewind("gc", "--json").stdout)["log"] if transfer in line
        ]
        assert client.wait(timeout=120) == 0
    assert destination.stat().st_size == 4 * SIZE_BYTES
    assert not os.path.lexists(tmp_path / STAGING_PREFIX)
