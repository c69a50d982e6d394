"""Who makes gateways, links and rules; found by entry point `tradewind.providers`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Protocol

from datasets.errors import UnknownName
from executor.control.credentials import Credentials
from executor.ledger import Ledger
from executor.placement import Carriage, GatewaySpec, LinkSpec, Placed, Ports


class Provider(Protocol):
    """Makes what a transfer needs, writing each thing to the ledger before and after.

    Every method may be called again after a failure; what is gone is not an error.
    """

    name: str
    # By what its links have their rates, delays and losses, for the manifest.
    links_by: str

    def reserve(
        self,
        ledger: Ledger,
        transfer: str,
        gateways: Sequence[GatewaySpec],
        links: Sequence[LinkSpec],
        ports: Ports,
    ) -> Mapping[str, Placed]:
        """Addresses for all gateways, free as far as can be seen; makes nothing yet.

        Raises: InputError if a port is taken, ProviderError if this machine cannot do it.
        """
        ...

    def provision(
        self, credentials: Mapping[str, Credentials], *, lease_s: float, carriage: Carriage
    ) -> None:
        """Make networks and gateways, all of them ready to be called. Raises: ProviderError."""
        ...

    def permit(self) -> None:
        """Let each gateway's neighbours, and nobody else, reach its ports."""
        ...

    def lost(self) -> tuple[str, ...]:
        """The names of the gateways that are no longer running."""
        ...

    def release(self, gateway: str) -> None:
        """A gateway is lost: end what is left of it, and take back the rules that name it."""
        ...

    def extend(self, links: Sequence[LinkSpec]) -> None:
        """Join gateways that no link joined before, and let those neighbours in, while bytes
        move; links that stand are left as they are."""
        ...

    def kernel_bytes(self) -> Mapping[str, int] | None:
        """Gateway: bytes its data links carried away from it by the kernel's own interface
        counters; None where the backing has no interface of its own."""
        ...

    def revoke(self) -> int:
        """Take the rules back; how many packets or connections they refused."""
        ...

    def delete(self) -> None:
        """Remove gateways and networks; confirmed in the ledger."""
        ...


def provider_names() -> tuple[str, ...]:
    """The registered providers, sorted, with `local`: namespaces where possible."""
    found = {point.name for point in metadata.entry_points(group="tradewind.providers")}
    return tuple(sorted(found | {"local"}))


def find_provider(name: str) -> Provider:
    """A new provider of that name. Raises: UnknownName."""
    points = {point.name: point for point in metadata.entry_points(group="tradewind.providers")}
    if name == "local":
        name = "netns" if _namespaces_work() else "loopback"
    if name not in points:
        raise UnknownName(
            kind="provider",
            name=name,
            known=provider_names(),
            hint=f"There are {', '.join(provider_names())}.",
        )
    provider: Provider = points[name].load()()
    return provider


def _namespaces_work() -> bool:
    from executor.providers.netns import why_not

    return why_not() is None
