"""Every case that `make bench` runs, a subject at a time."""

from __future__ import annotations

from benchmarks import (
    broadcast,
    fluid,
    frontier,
    gateway,
    growth,
    ledger,
    objects,
    plan_peer,
    relays,
    simgrid_peer,
    skyplane_peer,
    solve,
    transfers,
    udp,
)
from benchmarks.spec import BenchSpec


def specs() -> tuple[BenchSpec, ...]:
    """Every case, in the order of a transfer's life. Raises: ValueError on a name used twice."""
    found = (
        *solve.SPECS,
        *frontier.SPECS,
        *growth.SPECS,
        *broadcast.SPECS,
        *fluid.SPECS,
        *gateway.SPECS,
        *ledger.SPECS,
    )
    names = [spec.name for spec in found]
    if len(set(names)) != len(names):
        raise ValueError(f"two cases have one name: {names}")
    return found


def on_demand(subject: str) -> tuple[BenchSpec, ...]:
    """Cases that want more than the toolkit, or minutes, when `subject` asks for them by name.

    Raises: PeerMissing or SimgridMissing where it cannot be made.
    """
    if subject == "simgrid":
        return (*simgrid_peer.specs(), *plan_peer.specs())
    if subject == "objects":
        return objects.specs()
    if subject == "transfers":
        return transfers.specs()
    if subject == "long_links":
        # Emulated links need more of the kernel than any other case.
        from benchmarks import long_links

        return long_links.specs()
    if subject == "relays":
        return relays.specs()
    if subject == "udp":
        return udp.specs()
    return skyplane_peer.specs() if subject == "skyplane" else ()
