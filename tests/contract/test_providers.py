"""One suite for every local backing: the same transfer, the same answers, nothing left."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pandas as pd
import pytest

from datasets.errors import InputError
from datasets.events import Event, detail_of
from datasets.outcome import outcome
from executor.execute import Executed, Progress
from executor.gateway.transport import transport_names
from executor.ledger import Ledger
from executor.machine import find_gateways
from executor.placement import Carriage
from executor.providers import provider_names
from planner.dispatch import Dispatch
from tests.conftest import BACKINGS
from tests.local import execute_small, execution, left_of, relayed_plan, sha256_of, write_source

SIZE_BYTES = 16 << 20
pytestmark = pytest.mark.parametrize("backing", BACKINGS, indirect=True)


def manifest_int(done: Executed, key: str) -> int:
    value = done.manifest[key]
    assert isinstance(value, int)
    return value


def count(events: pd.DataFrame, event: Event) -> int:
    return int((events["event"] == event.value).sum())


def test_every_provider_is_under_contract(backing: str) -> None:
    assert set(provider_names()) == {"local", "loopback", "netns"}
    assert backing in provider_names()


@pytest.mark.parametrize("dispatch", ["dynamic", "static"])
def test_bytes_arrive_over_relays_and_the_events_account_for_them(
    backing: str, dispatch: Dispatch, ledger: Ledger, tmp_path: Path
) -> None:
    digest = write_source(tmp_path / "source", SIZE_BYTES)
    plan = relayed_plan()
    done = execute_small(
        plan,
        tmp_path / "source",
        tmp_path / "arrived",
        ledger=ledger,
        backing=backing,
        size_bytes=SIZE_BYTES,
        dispatch=dispatch,
    )
    assert sha256_of(tmp_path / "arrived") == digest
    events = done.events
    result = outcome(events)
    assert result.ok
    assert result.size_bytes == SIZE_BYTES
    assert result.retransmitted_bytes == 0
    assert result.objects_verified == 1
    chunks = -(-SIZE_BYTES // manifest_int(done, "chunk_bytes"))
    for event in (Event.CHUNK_READ, Event.CHUNK_SENT, Event.CHUNK_VERIFIED):
        assert count(events, event) == chunks
    received = events[events["event"] == Event.CHUNK_RECEIVED.value]
    per_hop = received.groupby(["path", "hop"])["bytes"].sum()
    assert set(per_hop.index) == {(0, 0), (1, 0), (1, 1), (1, 2)}
    assert per_hop[1, 0] == per_hop[1, 1] == per_hop[1, 2]
    assert per_hop[0, 0] + per_hop[1, 0] == SIZE_BYTES
    opened = events[events["event"] == Event.CONNECTION_OPEN.value]
    assert len(opened) == manifest_int(done, "connections") * 4
    gateways = set(plan.gateways)
    for event in (Event.GATEWAY_REQUESTED, Event.GATEWAY_READY, Event.GATEWAY_DELETED):
        assert set(events.loc[events["event"] == event.value, "gateway"]) == gateways
    assert count(events, Event.RULE_ADDED) == count(events, Event.RULE_REVOKED) > 0


def test_the_kernels_counters_agree_with_the_events(
    backing: str, ledger: Ledger, tmp_path: Path
) -> None:
    write_source(tmp_path / "source", SIZE_BYTES)
    done = execute_small(
        relayed_plan(),
        tmp_path / "source",
        tmp_path / "arrived",
        ledger=ledger,
        backing=backing,
        size_bytes=SIZE_BYTES,
    )
    found = done.manifest["kernel_bytes"]
    assert isinstance(found, dict)
    assert found["tcp_info_ratio"] == pytest.approx(1.0, abs=0.05)
    assert ("interface_ratio" in found) == (backing == "netns")
    if backing == "netns":
        assert found["interface_ratio"] == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("transport", transport_names())
def test_every_transport_carries_a_plan_with_relays(
    backing: str, transport: str, ledger: Ledger, tmp_path: Path
) -> None:
    digest = write_source(tmp_path / "source", SIZE_BYTES)
    run = execution(
        relayed_plan(),
        tmp_path / "source",
        tmp_path / "arrived",
        ledger=ledger,
        backing=backing,
        size_bytes=SIZE_BYTES,
    )
    run.carriage = Carriage(transport=transport)
    done = run.run()
    assert sha256_of(tmp_path / "arrived") == digest
    assert (done.manifest["transport"], done.manifest["lost"]) == (transport, {})
    assert count(done.events, Event.CHUNK_RESENT) == count(done.events, Event.CONNECTION_LOST) == 0
    sampled = done.events.loc[done.events["event"] == Event.CONNECTION_SAMPLED.value]
    figures = [detail_of(row) for row in sampled["detail"]]
    assert {"bytes_sent", "rtt_ms", "delivery_gbps"} <= set(figures[-1])
    # Every hop is sampled from both of its ends.
    ends = {(row.path, row.hop, row.gateway) for row in sampled.itertuples()}
    assert len(ends) == 8


def test_several_vms_a_region_share_the_work(backing: str, ledger: Ledger, tmp_path: Path) -> None:
    digest = write_source(tmp_path / "source", SIZE_BYTES)
    plan = relayed_plan(vms_each=2)
    done = execute_small(
        plan,
        tmp_path / "source",
        tmp_path / "arrived",
        ledger=ledger,
        backing=backing,
        size_bytes=SIZE_BYTES,
    )
    assert sha256_of(tmp_path / "arrived") == digest
    read = done.events[done.events["event"] == Event.CHUNK_READ.value]
    assert len(read["gateway"].unique()) == 2
    assert not read.duplicated(["object", "chunk"]).any()


def test_a_folder_arrives_and_nothing_is_left(backing: str, ledger: Ledger, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "in ner").mkdir(parents=True)
    for number in range(40):
        (source / "in ner" / f"f{number}").write_bytes(b"x" * number * 977)
    (source / "zero").touch()
    (source / "link").symlink_to("zero")
    done = execute_small(
        relayed_plan(),
        source,
        tmp_path / "arrived",
        ledger=ledger,
        backing=backing,
        size_bytes=sum(number * 977 for number in range(40)),
    )
    for number in range(40):
        assert (tmp_path / "arrived" / "in ner" / f"f{number}").stat().st_size == number * 977
    assert (tmp_path / "arrived" / "zero").read_bytes() == b""
    assert (tmp_path / "arrived" / "link").is_symlink()
    assert outcome(done.events).objects_verified == 41
    assert not find_gateways(done.run_id)
    assert not left_of(ledger, done.run_id)
    assert not ledger.transfers()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["arrived", "source", "state"]


def test_strangers_are_refused_and_counted_while_bytes_move(
    backing: str, ledger: Ledger, tmp_path: Path
) -> None:
    """The client's own address may reach the control port; on the data port it is a stranger."""
    write_source(tmp_path / "source", SIZE_BYTES)
    tried: list[bytes] = []

    def observe(progress: Progress) -> None:
        if progress.acknowledged_bytes > 0 and not tried:
            for gateway in run.plan.gateways:
                tried.append(knock(gateway))

    def knock(gateway: str) -> bytes:
        place = run.provider._placed[gateway]  # type: ignore[attr-defined]
        try:
            with socket.create_connection((place.address, 7400), timeout=1.0) as stranger:
                stranger.settimeout(2.0)
                return stranger.recv(1)
        except OSError:
            return b""

    run = execution(
        relayed_plan(),
        tmp_path / "source",
        tmp_path / "arrived",
        ledger=ledger,
        backing=backing,
        size_bytes=SIZE_BYTES,
        observe=observe,
    )
    done = run.run()
    assert tried == [b""] * 4
    # In namespaces the packet filter drops the SYNs and counts them, before any process sees them.
    assert manifest_int(done, "refused") >= (4 if backing == "netns" else 3)


def test_two_transfers_at_once_do_not_meet(backing: str, state: Path, tmp_path: Path) -> None:
    import concurrent.futures

    digests = [write_source(tmp_path / f"s{n}", SIZE_BYTES, seed=n) for n in range(2)]

    def one(number: int) -> str:
        with Ledger(state / "ledger.sqlite") as own:
            execute_small(
                relayed_plan(),
                tmp_path / f"s{number}",
                tmp_path / f"a{number}",
                ledger=own,
                backing=backing,
                size_bytes=SIZE_BYTES,
            )
        return sha256_of(tmp_path / f"a{number}")

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        assert list(pool.map(one, range(2))) == digests


def test_a_taken_port_is_one_sentence(backing: str, ledger: Ledger, tmp_path: Path) -> None:
    if backing == "netns":
        return  # a namespace's ports are its own: nothing of the machine's can be in the way
    write_source(tmp_path / "source", 1000)
    with socket.create_server(("", 7440)):
        run = execution(
            relayed_plan(),
            tmp_path / "source",
            tmp_path / "arrived",
            ledger=ledger,
            backing=backing,
            size_bytes=1000,
            port=7440,
        )
        with pytest.raises(InputError, match=r"Port 7440 .* is taken .*--port"):
            run.run()
    assert not left_of(ledger, run.transfer)


def test_no_secret_reaches_arguments_environment_logs_or_results(
    backing: str, ledger: Ledger, tmp_path: Path, state: Path
) -> None:
    """Every place that others can read is searched for the keys of the transfer."""
    write_source(tmp_path / "source", SIZE_BYTES)
    seen: list[bytes] = []

    def observe(progress: Progress) -> None:
        if progress.acknowledged_bytes > 0 and not seen:
            for pid, _, _, _ in find_gateways(run.transfer):
                for name in ("cmdline", "environ"):
                    seen.append(Path(f"/proc/{pid}/{name}").read_bytes())
            seen.extend(file.read_bytes() for file in state.rglob("*") if file.is_file())

    secrets: list[bytes] = []
    run = execution(
        relayed_plan(),
        tmp_path / "source",
        tmp_path / "arrived",
        ledger=ledger,
        backing=backing,
        size_bytes=SIZE_BYTES,
        observe=observe,
    )
    real = run._setup

    def setup(*placed: object) -> object:
        made = real(*placed)  # type: ignore[arg-type]
        secrets.extend([made.keys.data_key, made.keys.site_key])
        return made

    run._setup = setup  # type: ignore[method-assign,assignment]
    done = run.run()
    seen.append(json.dumps(dict(done.manifest)).encode())
    seen.append(done.events.to_csv().encode())
    assert len(secrets) == 2
    assert len(seen) >= 11
    for text in seen:
        assert b"PRIVATE KEY" not in text
        for secret in secrets:
            assert secret not in text
            assert secret.hex().encode() not in text
