"""Plain scenarios whose answer is known in closed form, and those that have none."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from datasets.errors import InputError
from simulator.scenario_file import scenario_from_json
from simulator.scenario_lanes import Fairness
from simulator.scenario_run import ScenarioResult, run_scenario


def played(
    links: dict[str, Any],
    flows: list[dict[str, Any]] | None = None,
    pools: list[dict[str, Any]] | None = None,
    fairness: Fairness = "maxmin",
) -> ScenarioResult:
    full = {
        name: link if isinstance(link, dict) else {"capacity": link} for name, link in links.items()
    }
    flows = [
        {"id": str(at), "bytes": 100.0, "path": ["a"], **flow}
        for at, flow in enumerate(flows or [])
    ]
    scenario = {"links": full, "flows": flows, "pools": pools or []}
    return run_scenario(scenario_from_json(scenario), fairness=fairness)


def finish(*args: Any, **kwargs: Any) -> dict[str, float]:
    return dict(played(*args, **kwargs).finish_s)


def pool(chunks: int, *connections: dict[str, Any], **about: Any) -> dict[str, Any]:
    listed = [{"id": f"c{at}", "path": ["a"], **each} for at, each in enumerate(connections)]
    return {"id": "p", "chunks": chunks, "chunk_bytes": 100.0, "connections": listed, **about}


def test_one_flow_takes_its_bytes_over_the_capacity() -> None:
    assert finish({"a": 10.0}, [{"start": 1.5}]) == {"0": 11.5}


def test_equal_flows_share_equally() -> None:
    """Sizes 100, 200, … on 10: flow k ends when the smaller ones are through and k shares it."""
    flows = [{"bytes": 100.0 * (at + 1)} for at in range(5)]
    left, now, expected = 5, 0.0, {}
    for at in range(5):
        now += 100.0 * left / 10.0
        expected[str(at)] = now
        left -= 1
    assert finish({"a": 10.0}, flows) == pytest.approx(expected, rel=1e-12)


def test_a_parking_lot() -> None:
    """The long flow has half of each link; when the short ones are through, all of it."""
    flows = [{"path": ["a", "b", "c"], "bytes": 300.0}]
    flows += [{"path": [link]} for link in "abc"]
    found = finish({"a": 10.0, "b": 10.0, "c": 10.0}, flows)
    assert found == pytest.approx({"1": 20.0, "2": 20.0, "3": 20.0, "0": 40.0})


def test_results_come_in_order_of_finish_and_ties_as_listed() -> None:
    result = played({"a": 10.0}, [{"bytes": 200.0}, {}, {}])
    assert list(result.finish_s) == ["1", "2", "0"]
    assert result.makespan_s == result.finish_s["0"] == 40.0
    assert result.as_json() == {"finish": {"1": 30.0, "2": 30.0, "0": 40.0}, "makespan": 40.0}


def test_nothing_to_move_ends_at_once() -> None:
    assert played({}).as_json() == {"finish": {}, "makespan": 0.0}


def test_a_cap_holds_and_leaves_the_rest_to_others() -> None:
    assert finish({"a": 10.0}, [{"rate_cap": 2.0}, {}]) == {"1": 12.5, "0": 50.0}


def test_a_changed_capacity_counts_from_its_instant() -> None:
    link = {"capacity": 10.0, "changes": [[20, 100.0], [5.0, 2.0], [10.0, 0.0]]}
    assert finish({"a": link}) == {}
    assert finish({"a": link}, [{}]) == {"0": 20.4}


def test_no_bytes_or_nothing_that_holds_ends_at_once() -> None:
    down = {"capacity": 10.0, "outages": [[0.0, None]]}
    flows = [
        {"bytes": 0, "start": 3.0},
        {"bytes": 0, "after": ["0"], "path": []},
        {"path": [], "start": 4.0},
        {"path": [], "rate_cap": 10.0},
    ]
    assert finish({"a": down}, flows) == {"0": 3.0, "1": 3.0, "2": 4.0, "3": 10.0}


def test_a_long_chain_of_empty_flows_is_no_recursion() -> None:
    flows: list[dict[str, Any]] = [{"bytes": 0, "start": 2.0}]
    flows += [{"bytes": 0, "after": [str(at)]} for at in range(5000)]
    assert set(finish({"a": 1.0}, flows).values()) == {2.0}


def test_a_flow_after_others_waits_for_all_and_for_its_start() -> None:
    flows = [{}, {"path": ["b"]}, {"after": ["0", "1"]}, {"after": ["0"], "start": 50.0}]
    found = finish({"a": 10.0, "b": 5.0}, flows)
    assert found == {"0": 10.0, "1": 20.0, "2": 30.0, "3": 60.0}


# --- Outages.


def test_an_outage_begins_what_it_meets_again_from_byte_0() -> None:
    down = {"capacity": 10.0, "outages": [[4.0, 6.0], [8.0, 20.0]]}
    assert finish({"a": down}, [{}]) == {"0": 30.0}


def test_what_is_through_as_the_link_goes_down_is_through() -> None:
    down = {"capacity": 10.0, "outages": [[10.0, 20.0]]}
    assert finish({"a": down}, [{}, {"start": 10.0}]) == {"0": 10.0, "1": 30.0}


def test_a_flow_waits_until_all_its_links_are_up() -> None:
    links = {
        "a": {"capacity": 10.0, "outages": [[0.0, 5.0]]},
        "b": {"capacity": 10.0, "outages": [[3.0, 7.0]]},
    }
    flows = [{"path": ["a", "b"], "start": 1.0}, {"path": ["a"], "after": ["0"]}]
    assert finish(links, flows) == {"0": 17.0, "1": 27.0}


def test_who_does_not_use_the_link_gains_by_the_outage() -> None:
    links = {"a": {"capacity": 10.0, "outages": [[5.0, 30.0]]}, "b": 10.0}
    flows = [{"path": ["a", "b"]}, {"path": ["b"]}]
    assert finish(links, flows) == {"1": 12.5, "0": 40.0}


# --- Pools.


def test_a_free_connection_takes_the_next_chunk() -> None:
    """One of 10 and one of 4: the slow one gets chunk 1, and then chunk 4."""
    pools = [pool(5, {"path": ["a"]}, {"path": ["b"]})]
    found = finish({"a": 10.0, "b": 4.0}, [], pools)
    assert found == {"p/0": 10.0, "p/2": 20.0, "p/1": 25.0, "p/3": 30.0, "p/4": 50.0}


def test_of_equally_free_connections_the_first_listed_goes_first() -> None:
    pools = [pool(3, {"path": ["b"]}, {"path": ["a"]}, {"path": ["a"]}, {"path": ["c"]})]
    found = finish({"a": 20.0, "b": 50.0, "c": 100.0}, [], pools)
    assert found == {"p/0": 2.0, "p/1": 10.0, "p/2": 10.0}


def test_of_those_free_at_one_instant_the_one_that_began_first_goes_first() -> None:
    """At 10 both are free: the one of 10, busy since 0, takes chunk 3, the other one chunk 4."""
    pools = [pool(5, {"path": ["b"]}, {"path": ["a"]})]
    found = finish({"a": 10.0, "b": 20.0}, [], pools)
    assert found == {"p/0": 5.0, "p/1": 10.0, "p/2": 10.0, "p/4": 15.0, "p/3": 20.0}


def test_a_cohort_is_what_its_connections_are_one_by_one() -> None:
    alike: list[dict[str, Any]] = [{} for _ in range(7)]
    cohort = finish({"a": 10.0}, [{"bytes": 40.0}], [pool(30, *alike)])
    unlike = [{"rate_cap": 1000.0 + at} for at in range(7)]
    assert finish({"a": 10.0}, [{"bytes": 40.0}], [pool(30, *unlike)]) == pytest.approx(cohort)


def test_a_connection_keeps_its_chunk_through_an_outage() -> None:
    """The link of the first is down from 4 to 30: its chunk 0 begins again then."""
    links = {"a": {"capacity": 10.0, "outages": [[4.0, 30.0]]}, "b": 10.0}
    found = finish(links, [], [pool(4, {"path": ["a"]}, {"path": ["b"]})])
    assert found == {"p/1": 10.0, "p/2": 20.0, "p/3": 30.0, "p/0": 40.0}


def test_chunks_without_bytes_and_connections_that_nothing_holds() -> None:
    assert finish({"a": 1.0}, [], [pool(3, {}, start=2.0, chunk_bytes=0)]) == {
        f"p/{at}": 2.0 for at in range(3)
    }
    found = finish({"a": 10.0}, [], [pool(3, {}, {"path": []})])
    assert found == {"p/1": 0.0, "p/2": 0.0, "p/0": 10.0}


def test_flows_may_wait_for_chunks() -> None:
    found = finish({"a": 10.0}, [{"after": ["p/1"]}], [pool(2, {})])
    assert found == {"p/0": 10.0, "p/1": 20.0, "0": 30.0}


# --- Fairness.


def test_inverse_rtt_shares_by_the_sum_of_the_links() -> None:
    """RTTs of 10 and 30 ms: three quarters and one quarter, until the first is through."""
    links = {"a": {"capacity": 10.0, "rtt_ms": 10.0}, "b": {"capacity": 99.0, "rtt_ms": 20.0}}
    flows = [{"bytes": 75.0}, {"path": ["a", "b"]}]
    assert finish(links, flows, fairness="inverse_rtt") == {"0": 10.0, "1": 17.5}
    assert finish(links, flows) == {"0": 15.0, "1": 17.5}


def test_weights_and_a_flows_own_rtt() -> None:
    flows = [{"bytes": 75.0, "weight": 3.0}, {}]
    assert finish({"a": 10.0}, flows) == {"0": 10.0, "1": 17.5}
    flows = [{"bytes": 75.0, "rtt_ms": 10.0}, {"rtt_ms": 30.0}]
    assert finish({"a": 10.0}, flows, fairness="inverse_rtt") == {"0": 10.0, "1": 17.5}


def test_a_missing_rtt_is_told() -> None:
    with pytest.raises(InputError, match=r"Flow '0': inverse-RTT .*link 'a' states none"):
        played({"a": 1.0}, [{}], fairness="inverse_rtt")
    with pytest.raises(InputError, match=r"Flow '0': its RTT is 0 ms"):
        played({"a": {"capacity": 1.0, "rtt_ms": 0}}, [{}], fairness="inverse_rtt")


# --- What never ends.


@pytest.mark.parametrize(
    ("link", "flow", "message"),
    [
        ({"capacity": 0}, {"start": 2.0}, "Flow '1' .* from 2 s .* link 'a' has capacity 0"),
        (
            {"capacity": 10, "changes": [[6.0, 0.0]]},
            {"start": 2.0},
            "Flow '1' .* from 6 s .* link 'a' has capacity 0",
        ),
        ({"capacity": 9}, {"rate_cap": 0, "start": 3}, "Flow '1' .* from 3 s .* its rate_cap is 0"),
        (
            {"capacity": 10, "outages": [[1.0, 2.0], [4.0, None]]},
            {"start": 1.0},
            "Flow '1' .* from 4 s .* link 'a' stays down",
        ),
        ({"capacity": 5e-324}, {"bytes": 1e300}, "Flow '1' .* from 0 s .* too small"),
    ],
)
def test_a_flow_that_never_ends_is_named_with_its_instant(
    link: dict[str, Any], flow: dict[str, Any], message: str
) -> None:
    flows = [{"path": ["b"], "bytes": 5.0}, flow, {"path": ["b"], "after": ["1"]}]
    with pytest.raises(InputError, match=message) as told:
        played({"a": link, "b": 1.0}, flows)
    assert "\n" not in str(told.value)


def test_a_chunk_that_never_ends_is_named() -> None:
    links = {"a": {"capacity": 10.0, "changes": [[15.0, 0.0]]}}
    with pytest.raises(InputError, match=r"Flow 'p/1' never ends: from 15 s"):
        played(links, [], [pool(3, {})])


def test_a_flow_that_stands_still_for_a_while_ends() -> None:
    links = {"a": {"capacity": 0.0, "changes": [[100.0, 10.0]]}}
    assert finish(links, [{}]) == {"0": 110.0}


def test_order_of_listing_does_not_matter_to_flows() -> None:
    flows = [{"id": f"f{at}", "bytes": 37.0 * (at + 1), "start": 1.3 * at} for at in range(4)]
    expected = finish({"a": 10.0}, flows)
    for order in itertools.permutations(flows):
        assert finish({"a": 10.0}, list(order)) == pytest.approx(expected, rel=1e-12)


def test_many_pools_and_many_distinct_caps() -> None:
    """Pools that end one after the other, and connections that no chunk is left for."""
    pools = [
        {
            "id": f"p{at}",
            "chunks": 3,
            "chunk_bytes": 10.0,
            "connections": [{"id": "c", "path": [f"l{at}"]}],
            "start": 0.0,
        }
        for at in range(50)
    ]
    links = {f"l{at}": {"capacity": 10.0 + at} for at in range(50)}
    result = run_scenario(scenario_from_json({"links": links, "flows": [], "pools": pools}))
    assert result.finish_s["p0/2"] == pytest.approx(3.0)
    caps = [{"id": str(at), "path": ["a"], "rate_cap": 1.0 + at} for at in range(20)]
    pool = {"id": "p", "chunks": 20, "chunk_bytes": 60.0, "connections": caps, "start": 0.0}
    alone = {"links": {"a": {"capacity": 1e9}}, "flows": [], "pools": [pool]}
    finish = run_scenario(scenario_from_json(alone)).finish_s
    assert finish == pytest.approx({f"p/{at}": 60.0 / (1.0 + at) for at in range(20)})


@pytest.mark.parametrize("rtt_ms", [1e-300, 1e300])
def test_round_trips_that_are_slips_are_refused(rtt_ms: float) -> None:
    scenario = {
        "links": {"a": {"capacity": 10.0, "rtt_ms": rtt_ms}},
        "flows": [{"id": "x", "bytes": 1.0, "path": ["a"], "start": 0.0}],
    }
    with pytest.raises(InputError, match="RTT"):
        run_scenario(scenario_from_json(scenario), fairness="inverse_rtt")


def test_a_long_circle_is_not_named_in_full() -> None:
    flows = [
        {"id": str(at), "bytes": 1.0, "path": ["a"], "after": [str((at + 1) % 1000)]}
        for at in range(1000)
    ]
    with pytest.raises(InputError, match="more") as refused:
        scenario_from_json({"links": {"a": {"capacity": 1.0}}, "flows": flows})
    assert len(str(refused.value)) < 400


def test_an_id_that_cannot_be_written_is_refused() -> None:
    flow = {"id": "\ud800", "bytes": 1.0, "path": ["a"], "start": 0.0}
    with pytest.raises(InputError, match="no text"):
        scenario_from_json({"links": {"a": {"capacity": 1.0}}, "flows": [flow]})
