"""One small Plan at one Scale, simulated and executed: one table, one vocabulary, one account."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import pandas as pd
import pytest

from datasets.canonical import digest_of_bytes
from datasets.events import COLUMNS, Event, canonical_bytes, check_events
from datasets.outcome import Outcome, outcome
from executor.ledger import Ledger
from executor.local_run import Choices
from executor.scale import Scale, scale_for
from experiments.pipeline import world_of
from planner.dispatch import Dispatch
from planner.plan import Plan, restated
from simulator.assumptions import GatewayLoss, LinkChange, Noise, Ramp, Stragglers
from simulator.simulate import simulate
from simulator.world import World
from tests.local import MACHINE_GBPS, execution, relayed_plan, write_source
from tests.tiny_plans import A, B, C, D, plan_of

pytestmark = pytest.mark.xdist_group("events")  # one execution serves all tests of a dispatch

SIZE_BYTES = 16 << 20
KEY = ["object", "chunk"]
# What only real gateways can stamp: the kernel's counters and samples, and the CPU time they took.
ONLY_EXECUTED = {
    Event.COUNTER_READ.value,
    Event.CPU_SAMPLED.value,
    Event.CONNECTION_SAMPLED.value,
}
# A chunk's `sent` is stamped once the kernel has its last byte: by then the receiver may have it,
# so against `received` it is only as exact as a thread's next turn.
TURN_S = 1.0
# See test_the_table_is_the_same_on_every_supported_python.
GOLDEN = "250cdc7e4ae574bae223abea97f37f93"
EVENTFUL = "79b0a7ba01596c01f1f5fe2d8acf447a"


@dataclass(frozen=True, slots=True, kw_only=True)
class Both:
    """The two tables of one Plan at one Scale, and their outcomes."""

    plan: Plan
    scale: Scale
    simulated: pd.DataFrame
    executed: pd.DataFrame

    @property
    def tables(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        return self.simulated, self.executed

    @property
    def outcomes(self) -> tuple[Outcome, Outcome]:
        return outcome(self.simulated), outcome(self.executed)


def shared_hop_plan() -> Plan:
    """Three lanes of one, two and three hops; the last two share the hop from A to B."""
    return plan_of(
        [((A, C), 1.0), ((A, B, C), 1.5), ((A, B, D, C), 1.5)],
        {(A, C): 1.5, (A, B): 4.0, (B, C): 2.0, (B, D): 5.0, (D, C): 4.0},
    )


def simulated_table(plan: Plan, scale: Scale, dispatch: Dispatch) -> pd.DataFrame:
    choices = Choices(provider="loopback", port=7400, work_conserving=False, dispatch=dispatch)
    return simulate(plan, world_of(scale, seed=0, choices=choices))


@pytest.fixture(scope="module", params=["static", "dynamic"])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Both:
    dispatch: Dispatch = request.param
    folder = tmp_path_factory.mktemp(dispatch)
    write_source(folder / "source", SIZE_BYTES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRADEWIND_STATE", str(folder / "state"))
        ledger = Ledger(folder / "state" / "ledger.sqlite")
        run = execution(
            shared_hop_plan(),
            folder / "source",
            folder / "arrived",
            ledger=ledger,
            backing="loopback",
            size_bytes=SIZE_BYTES,
            dispatch=dispatch,
        )
        executed = run.run().events
        ledger.close()
    return Both(
        plan=run.plan,
        scale=run.scale,
        simulated=simulated_table(run.plan, run.scale, dispatch),
        executed=executed,
    )


def rows(table: pd.DataFrame, event: Event) -> pd.DataFrame:
    found: pd.DataFrame = table[table["event"] == event.value]
    return found


def is_static(request: pytest.FixtureRequest) -> bool:
    return "static" in request.node.name


def test_both_speak_the_same_words(both: Both) -> None:
    simulated, executed = (set(table["event"]) for table in both.tables)
    assert executed - simulated == ONLY_EXECUTED
    assert simulated - executed == set()


def test_both_have_the_same_columns_and_types(both: Both) -> None:
    for table in both.tables:
        check_events(table)
        assert list(table.columns) == list(COLUMNS)
    assert both.simulated.dtypes.equals(both.executed.dtypes)


def test_both_name_the_same_gateways_rules_and_connections(both: Both) -> None:
    for event, columns in (
        (Event.GATEWAY_REQUESTED, ["gateway"]),
        (Event.GATEWAY_READY, ["gateway"]),
        (Event.GATEWAY_DELETED, ["gateway"]),
        (Event.RULE_ADDED, ["src", "dst", "gateway"]),
        (Event.RULE_REVOKED, ["src", "dst", "gateway"]),
        (Event.CONNECTION_OPEN, ["path", "hop", "src", "dst", "gateway"]),
    ):
        simulated, executed = (
            sorted(rows(table, event)[columns].itertuples(index=False, name=None))
            for table in both.tables
        )
        assert simulated == executed, event
        assert simulated, event


def test_a_chunk_lives_in_the_same_order(both: Both) -> None:
    """Read, received hop by hop, verified, acknowledged; sent between read and the first hop."""
    for table in both.tables:
        received = rows(table, Event.CHUNK_RECEIVED)
        at = {
            event: rows(table, event).set_index(KEY)["t_s"]
            for event in (
                Event.CHUNK_READ,
                Event.CHUNK_SENT,
                Event.CHUNK_VERIFIED,
                Event.CHUNK_ACKNOWLEDGED,
            )
        }
        hops = {
            lane: [
                received[(received["path"] == lane) & (received["hop"] == hop)]
                .set_index(KEY)["t_s"]
                .sort_index()
                for hop in range(len(both.plan.lanes[lane].hops))
            ]
            for lane in range(len(both.plan.lanes))
        }
        for along in hops.values():
            index = along[0].index
            assert len(index)
            assert all(hop.index.equals(index) for hop in along)
            life = [
                at[Event.CHUNK_READ].loc[index],
                *along,
                at[Event.CHUNK_VERIFIED].loc[index],
                at[Event.CHUNK_ACKNOWLEDGED].loc[index],
            ]
            for earlier, later in itertools.pairwise(life):
                assert (earlier.to_numpy() <= later.to_numpy()).all()
            sent = at[Event.CHUNK_SENT].loc[index].to_numpy()
            assert (life[0].to_numpy() <= sent).all()
            assert (sent <= along[0].to_numpy() + TURN_S).all()


def test_every_chunk_is_there_once_in_each_step(both: Both) -> None:
    chunks = -(-SIZE_BYTES // both.scale.chunk_bytes)
    for table in both.tables:
        for event in (
            Event.CHUNK_READ,
            Event.CHUNK_SENT,
            Event.CHUNK_VERIFIED,
            Event.CHUNK_ACKNOWLEDGED,
        ):
            found = rows(table, event)
            assert len(found) == chunks
            assert not found.duplicated(KEY).any()
            assert found["bytes"].sum() == SIZE_BYTES
        assert not len(rows(table, Event.CHUNK_RESENT))


def test_the_totals_are_equal(both: Both, request: pytest.FixtureRequest) -> None:
    """Static dispatch gives each lane the same chunks in both; dynamic, as many as it was fast."""
    simulated, executed = (
        rows(table, Event.CHUNK_RECEIVED).groupby(["path", "hop"])["bytes"].sum()
        for table in both.tables
    )
    assert simulated.index.equals(executed.index)
    exact = 1e-9 if is_static(request) else 0.1
    assert executed.tolist() == pytest.approx(simulated.tolist(), rel=exact)
    foreseen, found = both.outcomes
    assert found.egress_usd == pytest.approx(foreseen.egress_usd, rel=exact)
    for result in both.outcomes:
        assert result.ok
        assert result.size_bytes == SIZE_BYTES
        assert result.objects_verified == 1
        assert result.retransmitted_bytes == 0
    assert foreseen.chunks == found.chunks


def test_one_reader_gives_both_outcomes(both: Both) -> None:
    foreseen, found = both.outcomes
    assert (foreseen.clock, found.clock) == ("sim", "wall")
    assert foreseen.as_json().keys() == found.as_json().keys()
    assert (foreseen.rate_scale, foreseen.size_scale) == (found.rate_scale, found.size_scale)
    assert found.throughput_gbps == pytest.approx(foreseen.throughput_gbps, rel=0.25)


def golden_table() -> pd.DataFrame:
    plan = restated(relayed_plan(vms_each=2), SIZE_BYTES)
    scale = scale_for(plan, machine_gbps=MACHINE_GBPS, moved_bytes=SIZE_BYTES)
    return simulated_table(plan, scale, "dynamic")


def golden_digest() -> str:
    """Of the table alone: the run's id, which digests schemas too, is left out."""
    return digest_of_bytes(canonical_bytes(golden_table().assign(run_id="golden")))


def eventful_table() -> pd.DataFrame:
    """Noise, stragglers, start-up, stored chunks, an outage, a lost VM and its replacement."""
    plan = plan_of(
        [((A, C), 1.0), ((A, B, C), 1.5), ((A, B, D, C), 1.5)],
        {(A, C): 1.5, (A, B): 4.0, (B, C): 2.0, (B, D): 5.0, (D, C): 4.0},
        vms_each=2,
    )
    world = World(
        seed=11,
        chunk_bytes=SIZE_BYTES,
        noise=Noise(sigma=0.3, correlation_s=2.0),
        stragglers=Stragglers(slow_share=0.1),
        ramp=Ramp(rtts=3.0),
        relays="store_and_forward",
        relay_buffer_bytes=40 * SIZE_BYTES,
        link_changes=(
            LinkChange(at_s=3.0, src=B, dst=C, gbps=0.0),
            LinkChange(at_s=8.0, src=B, dst=C, gbps=None),
        ),
        losses=(GatewayLoss(at_s=5.0, gateway=f"{D}#1"),),
        recovery="replace",
    )
    return simulate(plan, world)


def eventful_digest() -> str:
    """As `golden_digest`, of a simulation in which much happens."""
    return digest_of_bytes(canonical_bytes(eventful_table().assign(run_id="golden")))


def test_the_same_input_gives_the_same_table() -> None:
    assert canonical_bytes(golden_table()) == canonical_bytes(golden_table())


def test_the_table_is_the_same_on_every_supported_python() -> None:
    """A golden digest holds them to each other. Anew, where the simulator's figures change:
    `python -c "from tests.contract.test_events import golden_digest as d; print(d())"`"""
    assert golden_digest() == GOLDEN


def test_an_eventful_table_is_the_same_on_every_supported_python() -> None:
    """`python -c "from tests.contract.test_events import eventful_digest as d; print(d())"`"""
    assert outcome(eventful_table()).ok
    assert eventful_digest() == EVENTFUL
