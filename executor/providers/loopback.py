"""The local provider without root: gateways are plain processes, each on a loopback address of its
own (127.a.b.n); rates are kept by the gateways' pacers, and who may connect by certificate and
address.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping, Sequence

from datasets.errors import InputError, ProviderError
from executor.control.credentials import Credentials
from executor.ledger import Ledger, state_folder
from executor.placement import Carriage, GatewaySpec, LinkSpec, Placed, Ports
from executor.providers.processes import GatewayProcesses
from executor.removal import make_folder, remove_kind

MOST_GATEWAYS = 250 * 250


class LoopbackProvider:
    """See `Provider`."""

    name = "loopback"
    links_by = "pacers in the gateways"

    def __init__(self) -> None:
        self._gateways: tuple[GatewaySpec, ...] = ()
        self._placed: dict[str, Placed] = {}
        self._processes: GatewayProcesses | None = None
        self._ledger: Ledger | None = None
        self._transfer = ""

    def reserve(
        self,
        ledger: Ledger,
        transfer: str,
        gateways: Sequence[GatewaySpec],
        links: Sequence[LinkSpec],
        ports: Ports,
    ) -> Mapping[str, Placed]:
        """One loopback address a gateway, by the transfer's name; its two ports must be free."""
        if len(gateways) > MOST_GATEWAYS:
            raise ProviderError(f"{len(gateways)} gateways are too many for one machine")
        self._ledger, self._transfer, self._gateways = ledger, transfer, tuple(gateways)
        first, second = bytes.fromhex(transfer)[:2]
        for index, spec in enumerate(gateways):
            third, fourth = divmod(index, 250)
            address = f"127.{64 + first % 128}.{(second + third) % 256}.{fourth + 2}"
            for port in (ports.data, ports.control):
                check_free(address, port)
            self._placed[spec.name] = Placed(
                address=address, client_address="127.0.0.1", control_address=address
            )
        folder = make_folder(ledger, transfer, state_folder() / "transfers" / transfer)
        self._processes = GatewayProcesses(ledger, transfer, folder, ports)
        return self._placed

    def provision(
        self, credentials: Mapping[str, Credentials], *, lease_s: float, carriage: Carriage
    ) -> None:
        """Start the gateways."""
        self._running().start(
            self._gateways,
            self._placed,
            credentials,
            prefix={},
            lease_s=lease_s,
            carriage=carriage,
        )

    def permit(self) -> None:
        """Nothing beside what the gateways themselves enforce: there is no packet filter here."""

    def lost(self) -> tuple[str, ...]:
        """The gateways that are no longer running."""
        return self._running().lost()

    def release(self, gateway: str) -> None:
        """End it; the rules are the gateways' own."""
        self._running().end_one(gateway)

    def extend(self, links: Sequence[LinkSpec]) -> None:
        """Nothing: on loopback all are joined."""

    def kernel_bytes(self) -> Mapping[str, int] | None:
        """None: loopback is one interface for all; the gateways read each socket's counters."""
        return None

    def revoke(self) -> int:
        """Nothing beside the gateways' own."""
        return 0

    def delete(self) -> None:
        """End the gateways, and remove their folder."""
        if self._processes is not None and self._ledger is not None:
            self._processes.end()
            remove_kind(self._ledger, self._transfer, "folder")

    def _running(self) -> GatewayProcesses:
        if self._processes is None:
            raise ProviderError("nothing was reserved")
        return self._processes


def check_free(address: str, port: int) -> None:
    """Raises: InputError if the port is taken on that address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise ProviderError(f"{address} cannot be used: {error.strerror}") from error
            raise InputError(
                f"Port {port} on {address} is taken or not allowed; choose others with --port."
            ) from error
