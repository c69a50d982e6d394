"""The least rules that a transfer needs, from its hops alone; the same for every provider.

A gateway hears its client on the control port, the gateway before it on both ports, and answers
from the gateway after it. Nothing else, and nothing wider than one address.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from executor.placement import LinkSpec, Placed, Ports


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Let `source` (one address) reach `port` of the gateway, or answer from that port."""

    source: str
    port: int
    answers: bool
    protocol: str = "tcp"


def client_rules(place: Placed, ports: Ports) -> tuple[Rule, ...]:
    """What stands from the start: the client's own address, on the control port."""
    return (Rule(source=place.client_address, port=ports.control, answers=False),)


def peer_rules(
    gateway: str,
    *,
    links: Sequence[LinkSpec],
    placed: Mapping[str, Placed],
    ports: Ports,
    head: str | None = None,
    sources: Sequence[str] = (),
    transport: str = "tcp",
) -> tuple[Rule, ...]:
    """What stands while bytes move: the neighbours on the lanes.

    `transport` is that of the data port; the control port is TCP's. `head` is the source gateway
    that holds the queue; the other `sources` call its control port.
    """
    rules: list[Rule] = []
    for link in links:
        if link.dst == gateway:
            before = placed[link.src].address
            rules += _both(before, ports, transport, answers=False)
        if link.src == gateway:
            after = placed[link.dst].address
            rules += _both(after, ports, transport, answers=True)
    if gateway == head:
        rules += [
            Rule(source=placed[source].address, port=ports.control, answers=False)
            for source in sources
            if source != head
        ]
    elif gateway in sources and head is not None:
        rules.append(Rule(source=placed[head].address, port=ports.control, answers=True))
    return tuple(dict.fromkeys(rules))


def _both(source: str, ports: Ports, transport: str, *, answers: bool) -> tuple[Rule, Rule]:
    return (
        Rule(source=source, port=ports.data, answers=answers, protocol=transport),
        Rule(source=source, port=ports.control, answers=answers),
    )


def nft_script(table: str, address: str, rules: Sequence[Rule], *, replace: bool) -> str:
    """The rules of one gateway for nft, in one transaction: all else is dropped and counted.

    Without connection tracking: an established flow must not outlive its rule.
    """
    lines = [f"table inet {table} {{}}", f"flush table inet {table}"] if replace else []
    lines += [
        f"table inet {table} {{",
        "  counter refused {}",
        "  chain input {",
        "    type filter hook input priority 0; policy drop;",
        f"    ip saddr {address} ip daddr {address} accept",
    ]
    for rule in rules:
        # An answer never opens a connection: a bare SYN from that port is a stranger's.
        side = "sport" if rule.answers else "dport"
        bare = rule.answers and rule.protocol == "tcp"
        opening = " tcp flags & (syn | ack) != syn" if bare else ""
        match = f"{rule.protocol} {side} {rule.port}{opening}"
        lines.append(f"    ip saddr {rule.source} {match} counter accept")
    lines += ["    counter name refused drop", "  }", "}"]
    return "\n".join(lines) + "\n"
