"""Exported files against the plan that they are of; no other simulator is needed.

That SimGrid 4.1 and ns-3 3.44 run them was tried by hand: SimGrid's makespan is the plan's plus
the delay of its longest way, ns-3's is one to three hundredths above it.
"""

from __future__ import annotations

import ast
import csv
import io
import json
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest

from datasets.errors import UnsupportedJob
from planner.exports import export_ns3, export_simgrid, network_of
from planner.plan import Plan
from planner.strategies.overlay import overlay
from tests.tiny_plans import A, B, C, plan_of
from tests.unit.planner.worlds import diamond, job


def by_hand() -> Plan:
    """2.5 Gbit/s directly and 5 by way of C, two VMs a region, 64 connections a hop."""
    return plan_of(
        [((A, B), 2.5), ((A, C, B), 5.0)],
        {(A, B): 2.0, (A, C): 4.0, (C, B): 3.0},
        size_bytes=10**10 + 7,
        vms_each=2,
        connections=64,
    )


def planned() -> Plan:
    return overlay(diamond(), job(goal_gbps=10.0, vm_limit=2))


PLANS = [by_hand, planned]


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def platform(plan: Plan) -> Any:
    return ElementTree.fromstring(export_simgrid(plan)["platform.xml"])  # noqa: S314  our own


def gbps_of_links(root: Any) -> dict[str, float]:
    found = {}
    for link in root.iter("link"):
        assert link.get("bandwidth").endswith("Gbps")
        found[link.get("id")] = float(link.get("bandwidth").removesuffix("Gbps"))
    return found


def ways(root: Any) -> dict[tuple[str, str], list[str]]:
    return {
        (route.get("src"), route.get("dst")): [part.get("id") for part in route]
        for route in root.iter("route")
    }


@pytest.mark.parametrize("make", PLANS)
def test_every_byte_is_in_one_lane(make: Any) -> None:
    plan = make()
    rows = table(export_simgrid(plan)["flows.csv"])
    assert len(rows) == len(plan.lanes)
    assert sum(int(row["bytes"]) for row in rows) == plan.job.size_bytes
    assert sum(float(row["gbps"]) for row in rows) == pytest.approx(plan.predicted.throughput_gbps)
    for row in rows:
        seconds = int(row["bytes"]) * 8 / 1e9 / float(row["gbps"])
        assert seconds == pytest.approx(plan.predicted.makespan_s, rel=1e-6)


@pytest.mark.parametrize("make", PLANS)
def test_the_platform_is_whole(make: Any) -> None:
    """Each route starts and ends at a host, and goes over links that are there."""
    root = platform(make())
    assert (root.tag, root.get("version")) == ("platform", "4.1")
    assert [child.tag for child in root] == ["config", "zone"]
    hosts = [host.get("id") for host in root.iter("host")]
    links = [link.get("id") for link in root.iter("link")]
    assert len(set(hosts)) == len(hosts) > 0
    assert len(set(links)) == len(links) > 0
    for (src, dst), way in ways(root).items():
        assert {src, dst} <= set(hosts)
        assert set(way) <= set(links)
        assert len(set(way)) == len(way)


@pytest.mark.parametrize("make", PLANS)
def test_a_lane_goes_where_the_plan_says_and_fits(make: Any) -> None:
    """No link carries more than it can when every lane is at its pace."""
    plan = make()
    root = platform(plan)
    capacity, routes = gbps_of_links(root), ways(root)
    used: dict[str, float] = {}
    for at, lane in enumerate(plan.lanes):
        way = routes[f"lane {at} from", f"lane {at} to"]
        assert way[0] == f"lane {at} pace"
        assert capacity[way[0]] == pytest.approx(lane.gbps)
        for src, dst in lane.hops:
            assert {f"{src} out", f"{src} to {dst}", f"{dst} in"} <= set(way)
            public = f"{src} out to other clouds" in way
            assert public == plan.crosses_clouds(src, dst)
        for name in way:
            used[name] = used.get(name, 0.0) + lane.gbps
    for name, gbps in used.items():
        assert gbps <= capacity[name] * (1 + 1e-6), name


@pytest.mark.parametrize("make", PLANS)
def test_wires_and_cards_add_up_to_the_plan(make: Any) -> None:
    plan = make()
    network = network_of(plan)
    for flow in plan.flows:
        link = plan.link(flow.src, flow.dst)
        connections = sum(
            count
            for lane in plan.lanes
            for (src, dst), count in zip(lane.hops, lane.connections, strict=True)
            if (src.split("#")[0], dst.split("#")[0]) == (flow.src, flow.dst)
        )
        wires = [
            wire
            for wire in network.wires
            if (wire.src.split("#")[0], wire.dst.split("#")[0]) == (flow.src, flow.dst)
        ]
        total = sum(wire.gbps for wire in wires)
        assert total == pytest.approx(link.gbps * connections / 64)
        assert total >= flow.gbps * (1 - 1e-6)
        assert {wire.delay_s for wire in wires} == {link.rtt_ms / 2000}
    assert {card.gateway for card in network.cards} == set(plan.gateways)
    assert all(card.egress_gbps == plan.vm(card.gateway).egress_gbps for card in network.cards)


@pytest.mark.parametrize("make", PLANS)
def test_ns3_has_the_same_network_and_each_hop_of_each_lane(make: Any) -> None:
    plan = make()
    files = export_ns3(plan)
    network = network_of(plan)
    assert [row["gateway"] for row in table(files["gateways.csv"])] == list(plan.gateways)
    wires = table(files["wires.csv"])
    assert [(w["src"], w["dst"]) for w in wires] == [(w.src, w.dst) for w in network.wires]
    assert [w["crosses_clouds"] == "1" for w in wires] == [w.crosses_clouds for w in network.wires]
    hops = table(files["hops.csv"])
    assert [(h["src"], h["dst"]) for h in hops] == [hop for lane in plan.lanes for hop in lane.hops]
    first = [int(hop["bytes"]) for hop in hops if hop["hop"] == "0"]
    assert sum(first) == plan.job.size_bytes


def test_the_summary_says_what_was_predicted() -> None:
    plan = planned()
    for files in (export_simgrid(plan), export_ns3(plan)):
        told = json.loads(files["summary.json"])
        assert told["plan"] == plan.id
        assert told["predicted_makespan_s"] == plan.predicted.makespan_s


def test_the_programs_read_the_files_that_stand_beside_them() -> None:
    simgrid, ns3 = export_simgrid(planned()), export_ns3(planned())
    for name in ("platform.xml", "flows.csv", "summary.json"):
        assert f'"{name}"' in simgrid["run_simgrid.py"]
    for name in ("gateways.csv", "wires.csv", "hops.csv"):
        assert f'"/{name}"' in ns3["tradewind.cc"]
        for column in table(ns3[name])[0]:
            if (name, column) not in {("hops.csv", "hop"), ("hops.csv", "bytes")}:
                assert f'row.at("{column}")' in ns3["tradewind.cc"]
    ast.parse(simgrid["run_simgrid.py"])
    assert ns3["tradewind.cc"].count("{") == ns3["tradewind.cc"].count("}")


@pytest.mark.parametrize("export", [export_simgrid, export_ns3])
def test_the_same_plan_gives_the_same_text(export: Any) -> None:
    first, again = export(planned()), export(planned())
    assert first == again
    for text in first.values():
        assert text.endswith("\n")
        text.encode("ascii")


@pytest.mark.parametrize("export", [export_simgrid, export_ns3])
def test_one_to_many_is_refused(export: Any) -> None:
    plan = by_hand()
    many = replace(plan, job=replace(plan.job, destinations=(B, C)))
    with pytest.raises(UnsupportedJob):
        export(many)
