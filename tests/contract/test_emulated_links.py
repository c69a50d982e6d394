"""Links with rate, delay and loss, in namespaces: what was asked against what is measured.

Bounds are wide: the machine is shared, and only what is broken must be seen.
"""

from __future__ import annotations

import os
import socket
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from datasets.errors import InputError
from executor.cleanup import audit, collect
from executor.emulation import Emulation
from executor.gateway.transport import Options, find_transport
from executor.ledger import Ledger
from executor.machine import find_links, started
from executor.placement import Carriage
from executor.providers.links import netem_commands, start_link
from executor.providers.tun_link import LinkEnd, LinkPlan, direction, inside_namespace
from executor.removal import command, namespace_exists
from tests.emulated_network import EmulatedNetwork, emulated_network
from tests.local import execution, relayed_plan, sha256_of, write_source
from tests.transport_pairs import ACCEPT_S, KEY, admit_all, frame_of, opening, received

pytestmark = pytest.mark.parametrize(
    "backing", [pytest.param("netns", marks=pytest.mark.netns)], indirect=True
)
Made = TypeVar("Made")


def at(network: EmulatedNetwork, end: str, make: Callable[[], Made]) -> Made:
    """Call `make` on a thread that stands at that end; its sockets and threads stay there."""

    def run() -> Made:
        with inside_namespace(network.namespaces[end]):
            return make()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result(timeout=30)


def datagram_socket() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    made.settimeout(2.0)
    return made


def bound(network: EmulatedNetwork, end: str) -> socket.socket:
    made = at(network, end, datagram_socket)
    made.bind((network.addresses[end], 0))
    return made


def test_the_round_trip_is_what_was_asked(backing: str) -> None:
    with (
        emulated_network(rtt_ms=60) as network,
        bound(network, "left") as left,
        bound(network, "right") as right,
    ):
        taken_ms = []
        for _ in range(15):
            begun_s = time.monotonic()
            left.sendto(b"there", right.getsockname())
            _, sender = right.recvfrom(100)
            right.sendto(b"back", sender)
            left.recv(100)
            taken_ms.append((time.monotonic() - begun_s) * 1e3)
        assert min(taken_ms) >= 60
        assert statistics.median(taken_ms) < 75


def test_the_rate_is_what_was_asked_and_tcps_large_segments_pass(backing: str) -> None:
    size_bytes = 12_500_000  # a second at 100 Mbit/s
    with emulated_network(mbps=100, rtt_ms=4) as network:
        address = (network.addresses["right"], 5001)
        with at(network, "right", lambda: socket.create_server(address)) as server:
            begun_s = time.monotonic()
            client = at(network, "left", lambda: socket.create_connection(address, timeout=10))
            accepted, _ = server.accept()
            with client, accepted:
                accepted.settimeout(10)
                thread = threading.Thread(target=client.sendall, args=(bytes(size_bytes),))
                thread.start()
                count = 0
                while count < size_bytes:
                    count += len(accepted.recv(1 << 20))
                taken_s = time.monotonic() - begun_s
                thread.join(timeout=10)
    # At best what headers leave: 1,448 of 1,514 bytes.
    assert taken_s > 0.95 * 8 * size_bytes / 100e6
    assert taken_s < 3.0


def test_loss_is_on_the_receivers_side_and_so_much(backing: str) -> None:
    count = 4000
    with (
        emulated_network(loss=0.1) as network,
        bound(network, "left") as left,
        bound(network, "right") as right,
    ):
        for number in range(count):
            assert left.sendto(bytes(100), right.getsockname()) == 100  # the sender sees nothing
            if number % 50 == 0:
                time.sleep(0.002)
        right.settimeout(0.5)
        arrived = 0
        try:
            while True:
                right.recv(200)
                arrived += 1
        except TimeoutError:
            pass
        told = command(["ip", "netns", "exec", network.namespaces["left"], "cat", "/proc/net/dev"])
        fields = next(line for line in told.splitlines() if "em0" in line).split()
        assert int(fields[10]) >= count  # all left their device
        assert 0.86 * count < arrived < 0.94 * count
        for _ in range(500):  # and the way back loses nothing
            right.sendto(bytes(10), left.getsockname())
        left.settimeout(0.5)
        assert sum(len(left.recv(100)) for _ in range(500)) == 5000


def test_frames_over_udp_arrive_whole_through_one_percent_of_loss(backing: str) -> None:
    frames = [frame_of((1 << 20) + 16, number=number) for number in range(24)]
    udp = find_transport("udp")
    with emulated_network(mbps=200, rtt_ms=40, loss=0.01, loss_back=0.01) as network:
        address = network.addresses["right"]
        listener = at(
            network,
            "right",
            lambda: udp.listen(address, 0, admit=admit_all, options=Options()),
        )
        near = at(
            network,
            "left",
            lambda: udp.connect(
                address,
                listener.port,
                own_address="",
                opening=opening(),
                secret=KEY,
                options=Options(),
            ),
        )
        accepted = listener.accept(ACCEPT_S)
        assert accepted is not None
        far = accepted[0]
        with ThreadPoolExecutor(1) as pool:
            got = pool.submit(received, far, len(frames))
            for frame in frames:
                near.send(frame)
            assert sorted(got.result(timeout=60)) == sorted(frames)
        told = near.metrics()
        assert told.retransmitted is not None
        assert told.retransmitted > 50
        assert told.rtt_ms is not None
        assert told.rtt_ms >= 40
        near.close()
        far.close()
        listener.close()


def test_a_network_is_gone_at_its_end_and_names_are_its_own(backing: str) -> None:
    with emulated_network() as first, emulated_network() as second:
        names = {*first.namespaces.values(), *second.namespaces.values()}
        assert len(names) == 4
        assert all(map(namespace_exists, names))
        processes = (first.process, second.process)
    assert not any(map(namespace_exists, names))
    assert all(process.poll() is not None for process in processes)


def test_a_transfer_over_links_with_their_round_trips_and_loss(
    backing: str, ledger: Ledger, tmp_path: Path
) -> None:
    digest = write_source(tmp_path / "source", 2 << 20)
    run = execution(
        relayed_plan(),
        tmp_path / "source",
        tmp_path / "arrived",
        ledger=ledger,
        backing=backing,
        size_bytes=2 << 20,
    )
    run = replace(run, carriage=Carriage(transport="udp"), emulation=Emulation(rtt=True, loss=0.01))
    done = run.run()
    assert sha256_of(tmp_path / "arrived") == digest
    links = done.manifest["links"]
    assert isinstance(links, dict)
    assert (links["rtt"], links["loss"]) == (True, 0.01)
    assert "TUN process" in str(links["by"])
    assert find_links(run.transfer) == ()
    assert not [left for left in audit(ledger).left if left.transfer == run.transfer]


# It removes what any dead client left: not beside tests that kill some and look at what is left.
@pytest.mark.xdist_group("fault")
def test_an_orphaned_link_is_found_by_its_marks_and_ended(
    backing: str, ledger: Ledger, tmp_path: Path
) -> None:
    """Its client is a process that has ended; the ledger knows nothing of it."""
    transfer = os.urandom(16).hex()
    with emulated_network() as network:
        ends = tuple(
            LinkEnd(namespace=namespace, device="orphan")
            for namespace in network.namespaces.values()
        )
        way = direction(bytes_per_s=0, delay_ms=1, loss=0, round_trip_ms=2)
        plan = LinkPlan(ends=(ends[0], ends[1]), forward=way, backward=way, seed=1)
        process = start_link(plan, transfer=transfer, owner="4194000:1")
        try:
            assert started(4194000) is None
            assert [found[0] for found in find_links(transfer)] == [process.pid]
            (left,) = [left for left in audit(ledger).left if left.transfer == transfer]
            assert (left.kind, left.name) == ("link", f"process {process.pid}")
            collect(ledger)
            assert process.wait(timeout=5) is not None
            assert find_links(transfer) == ()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait(timeout=5)


def test_a_link_that_the_ledger_knows_is_ended_by_it(
    backing: str, ledger: Ledger, tmp_path: Path
) -> None:
    """Killed between provision and permit: `gc` in another process ends links with the rest."""
    run = execution(
        relayed_plan(),
        tmp_path / "none",
        tmp_path / "arrived",
        ledger=ledger,
        backing=backing,
        size_bytes=1000,
    )
    write_source(tmp_path / "none", 1000)
    run = replace(run, emulation=Emulation(loss=0.01))

    def stop(*anything: object) -> None:
        kinds = [resource.kind for resource in ledger.remaining(run.transfer)]
        assert kinds.count("link") == 4
        assert len(find_links(run.transfer)) == 4
        raise InputError("enough")

    run._permit = stop  # type: ignore[method-assign, assignment]
    with pytest.raises(InputError, match="enough"):
        run.run()
    assert find_links(run.transfer) == ()
    assert not ledger.remaining(run.transfer)


def test_where_netem_is_it_delays_what_comes_in(backing: str) -> None:
    """Its words alone: this kernel may have none to try them on."""
    lines = [" ".join(words) for words in netem_commands("d1", 12.5)]
    assert lines[-1].startswith("tc qdisc add dev id1 root netem delay 12.500ms limit")
    assert sum("mirred egress redirect dev id1" in line for line in lines) == 1
