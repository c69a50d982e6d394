from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest

from datasets.errors import InputError
from simulator.scenario_file import read_scenario, scenario_from_json

GOOD: dict[str, Any] = {
    "links": {
        "a": {"capacity": 10, "changes": [[5, 2.0], [1, 3]], "outages": [[7, 9], [2, 3]]},
        "b": {"capacity": 4.0, "rtt_ms": 30},
    },
    "flows": [
        {"id": "x", "bytes": 100, "path": ["a", "b", "a"], "start": 1.5, "rate_cap": 3},
        {"id": "y", "bytes": 0, "path": [], "after": ["x", "p/1"]},
    ],
    "pools": [
        {
            "id": "p",
            "chunks": 2,
            "chunk_bytes": 8,
            "connections": [{"id": "c", "path": ["b"], "weight": 2}],
        }
    ],
    "on_failure": "restart",
}


def test_a_scenario_is_read_as_it_is_meant() -> None:
    scenario = scenario_from_json(GOOD)
    link = scenario.links["a"]
    assert link.changes == ((1.0, 3.0), (5.0, 2.0))
    assert link.outages == ((2.0, 3.0), (7.0, 9.0))
    x, y = scenario.flows
    assert (x.route.path, x.start_s, x.route.rate_cap_bytes_per_s) == (("a", "b"), 1.5, 3.0)
    assert (y.after, y.start_s, y.route.rate_cap_bytes_per_s) == (("x", "p/1"), 0.0, math.inf)
    assert scenario.pools[0].flow_ids() == ["p/0", "p/1"]
    assert scenario.pools[0].connections[0].route.weight == 2.0


def with_value(place: str, value: Any) -> dict[str, Any]:
    """The good scenario with another value at a place such as `flows.0.bytes`."""
    changed: Any = copy.deepcopy(GOOD)
    *parts, last = [int(part) if part.isdigit() else part for part in place.split(".")]
    inner = changed
    for part in parts:
        inner = inner[part]
    inner[last] = value
    return changed  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("links", [], "links is a list; give a JSON object"),
        ("flows", {}, "The scenario: flows is an object; give a list"),
        ("links.a", 3, "Link 'a' is 3; give a JSON object"),
        ("links.a.capacity", -1, r"Link 'a': capacity is -1; give a finite number, 0 or more"),
        ("links.a.capacity", math.nan, r"Link 'a': capacity is nan; give a finite"),
        ("links.a.capacity", math.inf, r"Link 'a': capacity is inf; give a finite"),
        ("links.a.capacity", 10**400, r"Link 'a': capacity is inf; give a finite"),
        ("links.a.capacity", "10", r"Link 'a': capacity is the text '10'; give a number"),
        ("links.a.capacity", True, r"Link 'a': capacity is true; give a number"),
        ("links.a.changes", [[1]], r"Link 'a': changes holds \[1\]; give pairs"),
        ("links.a.changes", [[-1, 3]], r"Link 'a': the instant of a change is -1"),
        ("links.a.changes", [[1, -3]], r"Link 'a': the capacity of a change is -3"),
        ("links.a.outages", [[3, 2]], r"outage from 3 s ends at 2 s; it must end later"),
        ("links.a.outages", [[1, 5], [4, 6]], r"outage from 4 s begins before the one that ends"),
        ("links.a.outages", [[1, None], [4, 6]], r"outage from 4 s begins before"),
        ("links.a.latency", 3, r"Link 'a' has an unknown key 'latency'; known are capacity"),
        ("flows.0.byte", 3, r"Flow 'x' has an unknown key 'byte'; did you mean 'bytes'"),
        ("flows.0.bytes", -3, r"Flow 'x': bytes is -3"),
        ("flows.0.bytes", None, r"Flow 'x': bytes is null; give a number"),
        ("flows.0.start", -1, r"Flow 'x': start is -1"),
        ("flows.0.rate_cap", math.nan, r"Flow 'x': rate_cap is nan"),
        ("flows.0.weight", 0, r"Flow 'x': weight is 0; give one from"),
        ("flows.0.path", ["a", "c"], r"Flow 'x': Unknown link 'c'"),
        ("flows.0.path", "a", r"Flow 'x': path is 'a'; give a list of link ids"),
        ("flows.0.path", [["a"]], r"Flow 'x': path is .*; give a list of link ids"),
        ("flows.0.id", "y", r"Flow 'y' is there twice; give each an id of its own"),
        ("flows.0.id", "p/1", r"Flow 'p/1' is there twice"),
        ("flows.0.id", 3, r"Flow number 1: id is 3; give it one, as text"),
        ("flows.0", None, r"Flow number 1 is null; give a JSON object"),
        ("flows.1.after", ["z"], r"Flow 'y', after: Unknown flow 'z'"),
        ("flows.1.after", "x", r"Flow 'y': after is 'x'; give a list of flow ids"),
        ("flows.0.after", ["x"], r"wait for each other in a circle.*'x' waits for 'x'"),
        ("flows.0.after", ["y"], r"circle.*('x' waits for 'y'|'y' waits for 'x')"),
        ("pools.0.chunks", 1.5, r"Pool 'p': chunks is 1.5; give a whole number"),
        ("pools.0.chunks", 1e12, r"Pool 'p': chunks is 1e\+12; give a whole number of"),
        ("pools.0.chunk_bytes", -1, r"Pool 'p': chunk_bytes is -1"),
        ("pools.0.connections", [], r"Pool 'p' has 2 chunks and no connection"),
        (
            "pools.0.connections",
            [{"id": "c", "path": []}, {"id": "c", "path": []}],
            r"Pool 'p': connection 'c' is there twice",
        ),
        ("pools.0.connections.0.path", ["q"], r"Pool 'p', connection 'c': Unknown link 'q'"),
        ("on_failure", "resume", r"on_failure is 'resume'; the one that is known"),
        ("flow", [], r"The scenario has an unknown key 'flow'; did you mean 'flows'"),
    ],
)
def test_a_fault_is_told_in_one_sentence(place: str, value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as told:
        scenario_from_json(with_value(place, value))
    assert "\n" not in str(told.value)
    assert str(told.value).endswith((".", "?"))


@pytest.mark.parametrize("given", [[], 3, None, "links", {}])
def test_what_is_no_scenario_is_refused(given: Any) -> None:
    with pytest.raises(InputError, match=r"The scenario (is|has no links)"):
        scenario_from_json(given)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{", "is not JSON: .* in line 1, column 2"),
        (b"\xff\xfe", "it is not text in UTF-8"),
        (b"[" * 100_000, "nested deeper|is not JSON"),
        (b'{"links": {"a": {"capacity": 1}, "a": {"capacity": 2}}}', "key 'a' is there twice"),
        (b'{"links": {"a": {"capacity": -1}}}', r"s\.json: Link 'a': capacity is -1"),
        (b'{"links": {"a": {"capacity": ' + b"9" * 5000 + b"}}}", "is not a scenario|is inf"),
    ],
)
def test_a_file_that_is_no_scenario_is_refused(text: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_bytes(text)
    with pytest.raises(InputError, match=message) as told:
        read_scenario(path)
    assert told.value.exit_status == 2
    assert "\n" not in str(told.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Cannot read .*: No such file"):
        read_scenario(tmp_path / "none.json")
    with pytest.raises(InputError, match=r"Cannot read .*: Is a directory"):
        read_scenario(tmp_path)


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text(json.dumps(GOOD))
    assert read_scenario(path) == scenario_from_json(GOOD)
