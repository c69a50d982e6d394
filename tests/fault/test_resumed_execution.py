"""A transfer by a Plan that was killed goes on when it is begun again, by whatever plan."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest

from datasets.errors import TradewindError
from datasets.events import Event
from executor.cleanup import audit, collect
from executor.endpoints.listing import PARTIAL_PREFIX
from executor.execute import Executed, Progress
from executor.ledger import Ledger
from executor.machine import find_gateways
from planner.plan import Plan
from tests.local import execution, relayed_plan, sha256_of, write_source
from tests.tiny_plans import A, B, C, D, plan_of

pytestmark = pytest.mark.xdist_group("fault")
SIZE_BYTES = 24 << 20

CLIENT = """
import os, signal, sys
from pathlib import Path
from executor.ledger import open_ledger
from tests.fault.test_resumed_execution import by_b
from tests.local import execution

source, destination, after_bytes = sys.argv[1:]

def observe(progress):
    if progress.acknowledged_bytes >= int(after_bytes):
        os.kill(os.getpid(), signal.SIGKILL)

run = execution(
    by_b(), Path(source), Path(destination), ledger=open_ledger(), backing="loopback",
    size_bytes=int(Path(source).stat().st_size), observe=observe,
)
run.resumes = True
run.run()
"""


def by_b() -> Plan:
    """By relay B alone."""
    return plan_of([((A, B, C), 3.0)], {(A, B): 4.0, (B, C): 4.0})


def by_d() -> Plan:
    """By another relay, in another region."""
    return plan_of([((A, D, C), 3.0)], {(A, D): 4.0, (D, C): 4.0})


def partials(folder: Path) -> list[Path]:
    return [entry for entry in folder.iterdir() if entry.name.startswith(".tradewind-")]


def again(plan: Plan, folder: Path, ledger: Ledger) -> Executed:
    run = execution(
        plan,
        folder / "source",
        folder / "arrived",
        ledger=ledger,
        backing="loopback",
        size_bytes=SIZE_BYTES,
    )
    run.resumes = True
    return run.run()


def sent_bytes(done: Executed) -> int:
    rows = done.events
    return int(rows.loc[rows["event"] == Event.CHUNK_READ.value, "bytes"].sum())


def test_after_kill_9_of_the_client_only_what_is_missing_moves_by_another_relay(
    ledger: Ledger, tmp_path: Path
) -> None:
    digest = write_source(tmp_path / "source", SIZE_BYTES)
    killed = subprocess.run(
        [sys.executable, "-c", CLIENT, tmp_path / "source", tmp_path / "arrived", "9000000"],
        timeout=120,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "arrived").exists()
    removed, failed = collect(ledger)
    assert removed
    assert not failed
    assert not audit(ledger).left
    assert len(partials(tmp_path)) == 1, "what arrived stays for the next attempt"
    done = again(by_d(), tmp_path, ledger)
    assert sha256_of(tmp_path / "arrived") == digest
    resumed = cast("int", done.manifest["resumed_bytes"])
    assert resumed >= 9_000_000
    assert sent_bytes(done) == SIZE_BYTES - resumed
    assert not partials(tmp_path)


@pytest.mark.parametrize("victim", [A, C], ids=["source", "destination"])
def test_after_kill_9_of_an_end_the_next_attempt_goes_on(
    ledger: Ledger, tmp_path: Path, victim: str
) -> None:
    digest = write_source(tmp_path / "source", SIZE_BYTES)
    killed: list[int] = []

    def observe(progress: Progress) -> None:
        if progress.acknowledged_bytes > 6_000_000 and not killed:
            for pid, *_ in find_gateways(run.transfer):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
                if words[words.index("--gateway") + 1].startswith(victim):
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)

    run = execution(
        relayed_plan(),
        tmp_path / "source",
        tmp_path / "arrived",
        ledger=ledger,
        backing="loopback",
        size_bytes=SIZE_BYTES,
        observe=observe,
    )
    run.resumes = True
    with pytest.raises(TradewindError, match="the same command goes on from there"):
        run.run()
    assert killed
    assert not (tmp_path / "arrived").exists()
    done = again(by_b(), tmp_path, ledger)
    assert sha256_of(tmp_path / "arrived") == digest
    resumed = cast("int", done.manifest["resumed_bytes"])
    assert resumed > 0
    assert sent_bytes(done) == SIZE_BYTES - resumed
    assert not partials(tmp_path)


def test_a_source_that_changed_starts_anew(ledger: Ledger, tmp_path: Path) -> None:
    write_source(tmp_path / "source", SIZE_BYTES)
    subprocess.run(
        [sys.executable, "-c", CLIENT, tmp_path / "source", tmp_path / "arrived", "9000000"],
        timeout=120,
        check=False,
    )
    collect(ledger)
    digest = write_source(tmp_path / "source", SIZE_BYTES, seed=2)
    done = again(by_b(), tmp_path, ledger)
    assert done.manifest["resumed_bytes"] == 0
    assert sha256_of(tmp_path / "arrived") == digest
    assert not partials(tmp_path)


def test_what_rotted_on_disk_in_between_is_found_and_sent_anew(
    ledger: Ledger, tmp_path: Path
) -> None:
    digest = write_source(tmp_path / "source", SIZE_BYTES)
    subprocess.run(
        [sys.executable, "-c", CLIENT, tmp_path / "source", tmp_path / "arrived", "9000000"],
        timeout=120,
        check=False,
    )
    collect(ledger)
    (partial,) = partials(tmp_path)
    assert os.fsencode(partial.name).startswith(PARTIAL_PREFIX)
    with open(partial / "tree", "r+b") as file:
        byte = file.read(1)
        file.seek(0)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(TradewindError, match="is not what was sent"):
        again(by_b(), tmp_path, ledger)
    assert not (tmp_path / "arrived").exists()
    done = again(by_b(), tmp_path, ledger)
    assert done.manifest["resumed_bytes"] == 0
    assert sha256_of(tmp_path / "arrived") == digest
