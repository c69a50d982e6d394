"""A relay that dies or freezes while bytes move: the rest goes by what is left, nothing is lost."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
import pytest

from datasets.errors import TransferFailed
from datasets.events import Event, detail_of
from datasets.outcome import outcome
from executor.execute import Executed, Execution, Progress
from executor.gateway.beats import LOST_AFTER_S
from executor.gateway.source import WINDOW
from executor.gateway.transport import transport_names
from executor.ledger import Ledger
from executor.machine import find_gateways
from executor.placement import Carriage
from executor.providers.netns import NetnsProvider
from executor.removal import command
from executor.replanning import Recovery
from planner.plan import Plan
from tests.conftest import BACKINGS
from tests.fault.test_lost_gateway import send
from tests.local import execution, left_of, relayed_plan, sha256_of, write_source
from tests.tiny_plans import A, B, C, D, plan_of

pytestmark = pytest.mark.xdist_group("fault")
SIZE_BYTES = 12 << 20
RELAY = f"{B}#0"


def two_relays() -> Plan:
    """Two paths, each by a relay of its own."""
    return plan_of(
        [((A, B, C), 2.0), ((A, D, C), 2.0)],
        {(A, B): 4.0, (B, C): 4.0, (A, D): 4.0, (D, C): 4.0},
    )


class Upset:
    """Does something once, when a fifth of the bytes has arrived."""

    def __init__(self, what: Callable[[Execution], None]) -> None:
        self._what = what
        self.run: Execution | None = None
        self.at_s = 0.0

    def __call__(self, progress: Progress) -> None:
        if progress.acknowledged_bytes > SIZE_BYTES // 5 and not self.at_s and self.run:
            self.at_s = time.monotonic()
            self._what(self.run)


def upset_run(
    plan: Plan,
    folder: Path,
    ledger: Ledger,
    what: Callable[[Execution], None],
    *,
    backing: str = "loopback",
    recovery: Recovery = "resend",
) -> Execution:
    upset = Upset(what)
    run = execution(
        plan,
        folder / "source",
        folder / "arrived",
        ledger=ledger,
        backing=backing,
        size_bytes=SIZE_BYTES,
        observe=upset,
    )
    run.recovery = recovery
    upset.run = run
    return run


def of(done: Executed, event: Event) -> pd.DataFrame:
    found: pd.DataFrame = done.events[done.events["event"] == event.value]
    return found


def assert_whole(done: Executed, digest: str, folder: Path, ledger: Ledger) -> None:
    assert sha256_of(folder / "arrived") == digest
    assert outcome(done.events).size_bytes == SIZE_BYTES
    assert not find_gateways(done.run_id)
    assert not left_of(ledger, done.run_id)
    assert sorted(entry.name for entry in folder.iterdir()) == ["arrived", "source", "state"]


def bits(size_bytes: int) -> int:
    return size_bytes * 8


def sent_twice_bound(run: Execution, lanes: int) -> int:
    return WINDOW * run.scale.connections * lanes * run.scale.chunk_bytes


@pytest.mark.parametrize("backing", BACKINGS, indirect=True)
@pytest.mark.parametrize("plan", [relayed_plan, two_relays], ids=["beside direct", "two relays"])
def test_a_killed_relay_costs_no_byte_and_few_twice(
    plan: Callable[[], Plan], backing: str, ledger: Ledger, tmp_path: Path
) -> None:
    digest = write_source(tmp_path / "source", SIZE_BYTES)
    run = upset_run(
        plan(),
        tmp_path,
        ledger,
        lambda run: send(signal.SIGKILL, run.transfer, RELAY),
        backing=backing,
    )
    done = run.run()
    assert_whole(done, digest, tmp_path, ledger)
    resent = of(done, Event.CHUNK_RESENT)
    assert 0 < outcome(done.events).retransmitted_bytes <= sent_twice_bound(run, 1)
    assert not resent.duplicated(["object", "chunk"]).any()
    lost = of(done, Event.GATEWAY_LOST)
    assert list(lost["gateway"]) == [RELAY]
    assert done.manifest["lost"] == {RELAY: "was lost"}
    # From the first word of the loss on, what was under way goes out again within a second.
    noticed_s = of(done, Event.CONNECTION_LOST)["t_s"].min()
    assert resent["t_s"].min() - noticed_s < 1.0
    # Its rules are gone, and said to be; the ledger holds nothing of it.
    added, revoked = (
        {tuple(row) for row in of(done, event)[["src", "dst"]].itertuples(index=False)}
        for event in (Event.RULE_ADDED, Event.RULE_REVOKED)
    )
    # What the relay itself stamped last may have died with it; the others' words are all there.
    assert added <= revoked
    assert {rule for rule in revoked - added if rule[1] != RELAY} == set()


@pytest.mark.parametrize("transport", transport_names())
def test_a_killed_relay_is_noticed_by_every_transport(
    transport: str, ledger: Ledger, tmp_path: Path
) -> None:
    digest = write_source(tmp_path / "source", SIZE_BYTES)
    run = upset_run(
        two_relays(), tmp_path, ledger, lambda run: send(signal.SIGKILL, run.transfer, RELAY)
    )
    run.carriage = Carriage(transport=transport)
    done = run.run()
    assert_whole(done, digest, tmp_path, ledger)
    assert outcome(done.events).retransmitted_bytes <= sent_twice_bound(run, 1)


def test_a_frozen_relay_is_given_up_within_the_stated_time(ledger: Ledger, tmp_path: Path) -> None:
    digest = write_source(tmp_path / "source", SIZE_BYTES)
    run = upset_run(
        relayed_plan(), tmp_path, ledger, lambda run: send(signal.SIGSTOP, run.transfer, RELAY)
    )
    done = run.run()
    assert_whole(done, digest, tmp_path, ledger)
    assert outcome(done.events).retransmitted_bytes <= sent_twice_bound(run, 1)
    acknowledged = of(done, Event.CHUNK_ACKNOWLEDGED)
    before_s = acknowledged.loc[acknowledged["bytes"].cumsum() > SIZE_BYTES // 5, "t_s"].min()
    # The stated time, and what a busy machine adds.
    assert of(done, Event.CHUNK_RESENT)["t_s"].min() - before_s < 3 * LOST_AFTER_S


@pytest.mark.netns
@pytest.mark.parametrize("backing", BACKINGS[1:], indirect=True)
def test_a_link_that_goes_dark_between_living_gateways_is_noticed(
    backing: str, ledger: Ledger, tmp_path: Path
) -> None:
    """No process dies and no socket is closed: only beats tell."""
    digest = write_source(tmp_path / "source", SIZE_BYTES)

    def unplug(run: Execution) -> None:
        provider = run.provider
        assert isinstance(provider, NetnsProvider)
        device = f"d{provider._index[RELAY]}"
        command(["ip", "-n", provider._namespace(f"{A}#0"), "link", "set", device, "down"])

    run = upset_run(relayed_plan(), tmp_path, ledger, unplug, backing=backing)
    done = run.run()
    assert_whole(done, digest, tmp_path, ledger)
    assert done.manifest["lost"] == {}
    assert 0 < outcome(done.events).retransmitted_bytes <= sent_twice_bound(run, 1)
    whys = [detail_of(row)["why"] for row in of(done, Event.CONNECTION_LOST)["detail"]]
    assert f"{RELAY} was silent for 3 s" in whys


@pytest.mark.netns
@pytest.mark.parametrize("backing", BACKINGS[1:], indirect=True)
def test_a_path_that_becomes_slow_loses_its_chunks_to_the_others(
    backing: str, ledger: Ledger, tmp_path: Path
) -> None:
    """What the direct lane has under way would take it a minute: nobody waits for it."""
    digest = write_source(tmp_path / "source", SIZE_BYTES)

    def strangle(run: Execution) -> None:
        provider = run.provider
        assert isinstance(provider, NetnsProvider)
        device, rate = f"d{provider._index[f'{C}#0']}", "64kbit burst 16kb latency 200ms"
        words = ["tc", "-n", provider._namespace(f"{A}#0"), "qdisc", "change", "dev", device]
        command([*words, "root", "tbf", "rate", *rate.split()])

    run = upset_run(relayed_plan(), tmp_path, ledger, strangle, backing=backing)
    done = run.run()
    assert_whole(done, digest, tmp_path, ledger)
    assert done.manifest["lost"] == {}
    under_way_bytes = sent_twice_bound(run, 1)
    assert 0 < outcome(done.events).retransmitted_bytes <= under_way_bytes
    assert of(done, Event.CHUNK_ACKNOWLEDGED)["t_s"].max() < bits(under_way_bytes) / 64e3 / 2


def test_with_no_lane_left_it_fails_in_one_sentence(ledger: Ledger, tmp_path: Path) -> None:
    write_source(tmp_path / "source", SIZE_BYTES)
    run = upset_run(
        plan_of([((A, B, C), 2.0)], {(A, B): 4.0, (B, C): 4.0}),
        tmp_path,
        ledger,
        lambda run: send(signal.SIGKILL, run.transfer, RELAY),
    )
    with pytest.raises(TransferFailed, match=rf"{RELAY} was lost.*no lane is left.*nothing was pl"):
        run.run()
    assert not find_gateways(run.transfer)
    assert not left_of(ledger, run.transfer)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["source", "state"]


@pytest.mark.parametrize("backing", BACKINGS, indirect=True)
def test_with_replan_the_rest_goes_by_lanes_of_a_new_plan(
    backing: str, ledger: Ledger, tmp_path: Path
) -> None:
    """The relay of all paths dies; the new plan joins gateways that nothing joined before."""
    digest = write_source(tmp_path / "source", SIZE_BYTES)
    links = {pair: 4.0 for pair in itertools.permutations((A, B, C, D), 2)}
    plan = plan_of([((A, B, C), 1.5), ((A, B, D, C), 1.5)], links)
    asked: list[tuple[tuple[str, ...], int]] = []

    def replan(old: Plan, lost: tuple[str, ...], missing_bytes: int) -> Plan:
        asked.append((tuple(lost), missing_bytes))
        return plan_of([((A, D, C), 3.0)], links, size_bytes=missing_bytes)

    run = upset_run(
        plan,
        tmp_path,
        ledger,
        lambda run: send(signal.SIGKILL, run.transfer, RELAY),
        backing=backing,
        recovery="replan",
    )
    run.replan = replan  # type: ignore[assignment]
    done = run.run()
    assert_whole(done, digest, tmp_path, ledger)
    assert asked[0][0] == (RELAY,)
    assert 0 < asked[0][1] < SIZE_BYTES
    (replanned,) = of(done, Event.REPLANNED)["detail"]
    assert detail_of(replanned)["gbps"] == pytest.approx(3.0)
    after = of(done, Event.CHUNK_ACKNOWLEDGED).query("path == 2")
    assert len(after) > 0
    assert [lane.gateways for lane in done.plan.lanes][2] == (f"{A}#0", f"{D}#0", f"{C}#0")
    assert outcome(done.events).retransmitted_bytes <= sent_twice_bound(run, 2)


def test_a_new_plan_that_needs_what_is_not_there_is_said_and_not_followed(
    ledger: Ledger, tmp_path: Path
) -> None:
    digest = write_source(tmp_path / "source", SIZE_BYTES)
    links: Mapping[tuple[str, str], float] = {(A, "azure:e-1"): 4.0, ("azure:e-1", C): 4.0}
    run = upset_run(
        relayed_plan(),
        tmp_path,
        ledger,
        lambda run: send(signal.SIGKILL, run.transfer, RELAY),
        recovery="replan",
    )
    run.replan = lambda plan, lost, missing: plan_of([((A, "azure:e-1", C), 3.0)], links)
    done = run.run()
    assert_whole(done, digest, tmp_path, ledger)
    (replanned,) = of(done, Event.REPLANNED)["detail"]
    assert detail_of(replanned)["plan"] is None
    assert "azure:e-1#0, which is not there" in detail_of(replanned)["why"]


def test_a_killed_relay_is_out_of_every_gateways_reach(ledger: Ledger, tmp_path: Path) -> None:
    """Its process is dead for sure, even if it was only frozen."""
    write_source(tmp_path / "source", SIZE_BYTES)
    pids: list[int] = []

    def freeze(run: Execution) -> None:
        for pid, _, _, _ in find_gateways(run.transfer):
            if RELAY in Path(f"/proc/{pid}/cmdline").read_text().split("\0"):
                pids.append(pid)
                os.kill(pid, signal.SIGSTOP)

    run = upset_run(two_relays(), tmp_path, ledger, freeze)
    done = run.run()
    assert done.manifest["lost"] == {RELAY: "has been silent for 3 s"}
    assert len(pids) == 1
    assert not Path(f"/proc/{pids[0]}").exists()
