"""The least rules, as values and as what nft is told."""

from __future__ import annotations

import re

from executor.firewall import Rule, client_rules, nft_script, peer_rules
from executor.placement import LinkSpec, Placed, Ports

PORTS = Ports(data=7400)
PLACED = {
    name: Placed(address=f"10.1.0.{n}", client_address="10.1.255.1", control_address=f"10.1.0.{n}")
    for n, name in enumerate(["s#0", "s#1", "r#0", "d#0"], start=1)
}
LINKS = [
    LinkSpec(src="s#0", dst="r#0", bytes_per_s=1.0),
    LinkSpec(src="s#1", dst="r#0", bytes_per_s=1.0),
    LinkSpec(src="r#0", dst="d#0", bytes_per_s=1.0),
]


def rules_of(gateway: str) -> set[tuple[str, int, bool]]:
    rules = peer_rules(
        gateway, links=LINKS, placed=PLACED, ports=PORTS, head="s#0", sources=["s#0", "s#1"]
    )
    return {(rule.source, rule.port, rule.answers) for rule in rules}


def test_a_destination_hears_only_the_gateway_before_it() -> None:
    assert rules_of("d#0") == {("10.1.0.3", 7400, False), ("10.1.0.3", 7401, False)}


def test_a_relay_hears_those_before_and_answers_from_the_one_after() -> None:
    assert rules_of("r#0") == {
        *((f"10.1.0.{n}", port, False) for n in (1, 2) for port in (7400, 7401)),
        *(("10.1.0.4", port, True) for port in (7400, 7401)),
    }


def test_sources_ask_the_head_for_chunks_and_nobody_else() -> None:
    assert ("10.1.0.2", 7401, False) in rules_of("s#0")
    assert ("10.1.0.1", 7401, True) in rules_of("s#1")
    assert ("10.1.0.2", 7400, False) not in rules_of("s#0")


def test_the_client_reaches_the_control_port_alone() -> None:
    assert client_rules(PLACED["d#0"], PORTS) == (
        Rule(source="10.1.255.1", port=7401, answers=False),
    )


def test_the_script_drops_and_counts_the_rest_and_names_single_addresses() -> None:
    script = nft_script("tradewind", "10.1.0.4", client_rules(PLACED["d#0"], PORTS), replace=True)
    assert "policy drop" in script
    assert "counter name refused drop" in script
    assert "/" not in script
    assert "ct state" not in script  # no tracking: a flow must not outlive its rule
    assert re.findall(r"dport (\d+)", script) == ["7401"]


def test_where_data_goes_by_udp_the_data_port_is_udps_and_control_stays_tcp() -> None:
    rules = peer_rules("r#0", links=LINKS, placed=PLACED, ports=PORTS, transport="udp")
    script = nft_script("tradewind", "10.1.0.3", rules, replace=True)
    assert re.findall(r"(tcp|udp) [sd]port 7400", script) == ["udp"] * 3
    assert re.findall(r"(tcp|udp) [sd]port 7401", script) == ["tcp"] * 3
