"""`tradewind cp` beside globus-url-copy and xrdcp over an emulated link of 1 Gbit/s and 100 ms RTT.

Both ends are network namespaces of this measurement, joined by a link with that rate and delay and
a queue of its own; servers are at the far end. Each client is one process, its cold start and its
opening of connections over the long link included. Needs root.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.peers import PeerFailed, missing, need, version
from benchmarks.served import (
    TRADEWIND,
    free_port,
    gridftp_server,
    run_s,
    site,
    xrootd_server,
)
from benchmarks.spec import BenchSpec, Sizes
from benchmarks.transfers import ARRIVED, check_arrived, iperf3_gbps, source_of, workplace
from datasets.units import MEBIBYTE, gbps_of
from tests.emulated_network import EmulatedNetwork, emulated_network

RTT_MS = 100.0
LINK_MBPS = 1000.0
RUN_TIMEOUT_S = 300.0
# Enough for the window to open: two seconds at the link's rate.
MEBIBYTES = 256

# A copy over the link: source, root, private folder, network; its answer is seconds.
Way = Callable[[Path, Path, Path, EmulatedNetwork], float]


def over_the_link_gbps(way: Way, mebibytes: int) -> float:
    """Goodput of one file. Raises: PeerFailed."""
    if os.geteuid() != 0:
        raise PeerFailed("an emulated link needs root")
    size_bytes = mebibytes * MEBIBYTE
    source = source_of(size_bytes)
    with (
        workplace() as (root, private),
        emulated_network(mbps=LINK_MBPS, rtt_ms=RTT_MS) as network,
    ):
        seconds = way(source, root, private, network)
        check_arrived(source, root / ARRIVED)
    return gbps_of(size_bytes, seconds)


def _run_left(words: list[str], private: Path, network: EmulatedNetwork) -> float:
    return run_s(
        words, private / "client.log", timeout_s=RUN_TIMEOUT_S, inside=network.namespaces["left"]
    )


def ours(
    transport: str,
    connections: int,
    source: Path,
    root: Path,
    private: Path,
    network: EmulatedNetwork,
) -> float:
    """`tradewind cp` to a site at the far end."""
    host, inside = network.addresses["right"], network.namespaces["right"]
    with site(root, private, host=host, inside=inside) as there:
        words = [TRADEWIND, "cp", str(source), f"tw://{there.address}/{ARRIVED}", "--json"]
        words += ["--credentials", str(there.credentials), "--transport", transport]
        words += ["--connections", str(connections)]
        return _run_left(words, private, network)


def globus(source: Path, root: Path, private: Path, network: EmulatedNetwork) -> float:
    """Four streams, in clear."""
    host, inside = network.addresses["right"], network.namespaces["right"]
    with gridftp_server(root, private, free_port(), host=host, inside=inside) as address:
        words = [need("globus-url-copy"), "-p", "4", "-fast"]
        return _run_left([*words, f"file://{source}", f"{address}{ARRIVED}"], private, network)


def xrdcp(source: Path, root: Path, private: Path, network: EmulatedNetwork) -> float:
    """Four streams, in clear."""
    host, inside = network.addresses["right"], network.namespaces["right"]
    with xrootd_server(root, private, free_port(), host=host, inside=inside) as address:
        words = [need("xrdcp"), "--silent", "--streams", "4"]
        return _run_left([*words, str(source), f"{address}/{ARRIVED}"], private, network)


def iperf3(streams: int, congestion: str, mebibytes: int) -> float:
    """iperf3 over the same link. Raises: PeerFailed."""
    if os.geteuid() != 0:
        raise PeerFailed("an emulated link needs root")
    with emulated_network(mbps=LINK_MBPS, rtt_ms=RTT_MS) as network:
        return iperf3_gbps(
            streams,
            congestion,
            mebibytes,
            host=network.addresses["right"],
            inside=network.namespaces["right"],
            client_inside=network.namespaces["left"],
        )


def _spec(name: str, peer: Callable[[int], float], *programs: str, how: str) -> BenchSpec:
    return BenchSpec(
        name=f"long_links.{name}",
        run=partial(over_the_link_gbps, partial(ours, "tcp", 4)),
        peer=peer,
        against=f"{programs[0]} {version(programs[0])}, {how}",
        unit="Gbit/s",
        sizes=Sizes(full=MEBIBYTES, tiny=4),
        of=f"MiB over {LINK_MBPS:g} Mbit/s at {RTT_MS:g} ms",
        missing=missing(*programs),
    )


def specs() -> tuple[BenchSpec, ...]:
    """Ours by four connections, beside four of each."""
    return (
        _spec("iperf3_4", partial(iperf3, 4, "cubic"), "iperf3", how="4 streams, cubic"),
        _spec("iperf3_4_bbr", partial(iperf3, 4, "bbr"), "iperf3", how="4 streams, bbr"),
        _spec(
            "globus",
            partial(over_the_link_gbps, globus),
            *("globus-url-copy", "globus-gridftp-server"),
            how="4 streams, in clear",
        ),
        _spec(
            "xrdcp",
            partial(over_the_link_gbps, xrdcp),
            *("xrdcp", "xrootd"),
            how="4 streams, in clear",
        ),
    )
