"""Shaped paths by real gateways in network namespaces: what arrives, against what the links carry.

The Plan is by hand. The kernel shapes each link to what one pair of VMs carries; where a VM has two
paths, it has half its time for each, and each path is paced at that. Goodput is by the event table
of the gateways. Needs root.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial

from benchmarks.gateway import workplace_of
from benchmarks.peers import PeerFailed
from benchmarks.spec import BenchSpec, Sizes
from datasets.outcome import outcome
from datasets.units import MEBIBYTE
from executor.execute import Execution
from executor.ledger import Ledger
from executor.providers import find_provider
from executor.providers.links import WIRE_SHARE
from executor.providers.netns import why_not
from executor.scale import Scale
from tests.tiny_plans import A, B, C, D, plan_of, vm

RATE_GBPS = 0.4
CONNECTIONS = 2
UNPACED_GBPS = 10_000.0

Ways = Sequence[Sequence[str]]
ONE: Ways = ((A, C),)
TWO: Ways = ((A, B, C), (A, D, C))
THREE_HOPS: Ways = ((A, B, D, C),)


def shaped_gbps(ways: Ways, mebibytes: int) -> float:
    """Goodput over the ways together, each of which carries `RATE_GBPS` of payload."""
    reason = why_not()
    if reason is not None:
        raise PeerFailed(f"namespaces: {reason}")
    size_bytes = mebibytes * MEBIBYTE
    regions = sorted({region for way in ways for region in way})
    plan = plan_of(
        [(way, RATE_GBPS) for way in ways],
        # A VM shares its time among its peers: what a pair carries alone is more than its path's.
        {pair: RATE_GBPS * len(ways) for way in ways for pair in itertools.pairwise(way)},
        size_bytes=size_bytes,
        vms=dict.fromkeys(regions, vm()),
    )
    scale = Scale(
        rate_scale=1.0,
        size_scale=1.0,
        moved_bytes=size_bytes,
        chunk_bytes=MEBIBYTE,
        record_bytes=MEBIBYTE // 4,
        connections=CONNECTIONS,
        machine_gbps=UNPACED_GBPS,
    )
    with workplace_of(size_bytes) as folder:
        ledger = Ledger(folder / "state" / "ledger.sqlite")
        try:
            done = Execution(
                plan=plan,
                source=folder / "source",
                destination=folder / "arrived",
                provider=find_provider("netns"),
                ledger=ledger,
                scale=scale,
            ).run()
        finally:
            ledger.close()
    return outcome(done.events).throughput_gbps


def _asked_gbps(rate_gbps: float, _: int) -> float:
    return rate_gbps


def _spec(name: str, ways: Ways, asked_gbps: float, against: str) -> BenchSpec:
    return BenchSpec(
        name=f"relays.{name}",
        run=partial(shaped_gbps, ways),
        peer=partial(_asked_gbps, asked_gbps),
        against=against,
        unit="Gbit/s",
        sizes=Sizes(full=256, tiny=8),
        of="MiB",
    )


def specs() -> tuple[BenchSpec, ...]:
    """One path, two beside each other, and one of three hops."""
    wire_gbps = RATE_GBPS * WIRE_SHARE
    return (
        _spec("one_path", ONE, RATE_GBPS, "the payload that the link carries"),
        _spec("two_paths", TWO, 2 * RATE_GBPS, "the sum of what both paths carry"),
        _spec("three_hops", THREE_HOPS, wire_gbps, "the wire rate of its links, headers included"),
    )
