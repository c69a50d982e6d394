"""What real gateways may still do while bytes move: read from the kernel's own tables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from executor.execute import Progress
from executor.gateway.privileges import NEEDED
from executor.ledger import Ledger
from executor.machine import find_gateways
from executor.placement import Carriage
from tests.local import execution, relayed_plan, write_source

pytestmark = pytest.mark.xdist_group("fault")
SIZE_BYTES = 8 << 20
# The threads' statuses, and the limits.
Seen = tuple[list[dict[str, str]], str]


def statuses(pid: int) -> list[dict[str, str]]:
    """`/proc/PID/task/*/status` of every thread."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        lines = (task / "status").read_text().splitlines()
        found.append(dict(line.split(":\t", 1) for line in lines if ":\t" in line))
    return found


def roles() -> dict[str, str]:
    plan = relayed_plan()
    ends = {plan.job.source: "source", plan.job.destinations[0]: "destination"}
    return {name: ends.get(name.partition("#")[0], "relay") for name in plan.gateways}


def seen_while_running(ledger: Ledger, folder: Path, carriage: Carriage) -> Mapping[str, Seen]:
    """Role: (threads' statuses, limits) of each gateway, read in the middle of a transfer."""
    write_source(folder / "source", SIZE_BYTES)
    seen: dict[str, Seen] = {}

    def observe(progress: Progress) -> None:
        if progress.acknowledged_bytes > 0 and not seen:
            for pid, _, _, _ in find_gateways(run.transfer):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
                name = words[words.index("--gateway") + 1]
                limits = Path(f"/proc/{pid}/limits").read_text()
                seen[name] = (statuses(pid), limits)

    run = execution(
        relayed_plan(),
        folder / "source",
        folder / "arrived",
        ledger=ledger,
        backing="loopback",
        size_bytes=SIZE_BYTES,
        observe=observe,
    )
    run.carriage = carriage
    run.run()
    assert set(seen) == set(relayed_plan().gateways)
    return seen


def mask(capabilities: frozenset[int]) -> int:
    return sum(1 << capability for capability in capabilities)


@pytest.mark.parametrize("congestion", ["", "reno"])
def test_gateways_keep_no_privilege_that_they_do_not_need(
    congestion: str, ledger: Ledger, tmp_path: Path
) -> None:
    """Every user may choose reno: no kernel restricts it."""
    seen = seen_while_running(ledger, tmp_path, Carriage(congestion=congestion))
    for name, (threads, limits) in seen.items():
        needed = mask(NEEDED[roles()[name]]) if os.geteuid() == 0 else 0
        assert len(threads) > 1
        for status in threads:
            for word in ("CapEff", "CapPrm"):
                assert int(status[word], 16) == needed, (name, word)
            assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0
            if os.geteuid() == 0:
                assert int(status["CapBnd"], 16) == needed
            assert status["NoNewPrivs"] == "1"
            assert status["Umask"] == "0077"
        (core,) = (line for line in limits.splitlines() if line.startswith("Max core"))
        assert core.split()[4:6] == ["0", "0"]
