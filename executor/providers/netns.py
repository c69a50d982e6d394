"""The local provider with root: one network namespace a gateway, veth links shaped by tbf, nftables
as the firewall. Needs iproute2 and nftables.

A gateway's address stands on its own loopback device as a /32; each neighbour is reached by a veth
link of its own, so a link's capacity is that pair's alone. The client reaches each gateway by a
control link that no other gateway is on.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
from collections.abc import Mapping, Sequence

from datasets.errors import ProviderError
from executor.control.authority import Credentials
from executor.firewall import client_rules, nft_script, peer_rules
from executor.ledger import Ledger, state_folder
from executor.machine import owner_word
from executor.placement import GatewaySpec, LinkSpec, Placed, Ports
from executor.providers.processes import GatewayProcesses
from executor.removal import (
    NAMESPACE_PREFIX,
    NFT_TABLE,
    command,
    make_folder,
    namespace_exists,
    remove_kind,
    remove_namespace,
)

# tbf counts wire bytes: 1,514 a full segment of 1,448 payload bytes (Ethernet, IPv4, TCP with
# time stamps); and a record has 176 bytes of command and tag, at least one a 16 KiB.
WIRE_SHARE = 1514 / 1448 * (1 + 176 / 16384)
LEAST_BURST_BYTES = 16 * 1024
BURST_S = 0.01
MOST_GATEWAYS = 250


@functools.cache
def why_not() -> str | None:
    """Why namespaces cannot be used here, or None if they can; tried once a process."""
    if os.geteuid() != 0:
        return "namespaces need root"
    for tool in ("ip", "tc", "nft"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed (packages iproute2 and nftables)"
    probe = f"{NAMESPACE_PREFIX}probe-{os.getpid()}"
    try:
        command(["ip", "netns", "add", probe])
        try:
            command(["ip", "netns", "exec", probe, "nft", "add", "table", "inet", NFT_TABLE])
        finally:
            remove_namespace(probe)
    except ProviderError as error:
        return str(error)
    return None


class NetnsProvider:
    """See `Provider`."""

    name = "netns"

    def __init__(self) -> None:
        self._gateways: tuple[GatewaySpec, ...] = ()
        self._links: tuple[LinkSpec, ...] = ()
        self._placed: dict[str, Placed] = {}
        self._index: dict[str, int] = {}
        self._transfer = ""
        self._ports = Ports(data=1)
        self._processes: GatewayProcesses | None = None
        self._ledger_of_transfer: Ledger | None = None

    def reserve(
        self,
        ledger: Ledger,
        transfer: str,
        gateways: Sequence[GatewaySpec],
        links: Sequence[LinkSpec],
        ports: Ports,
    ) -> Mapping[str, Placed]:
        """Addresses in a 10.x/16 that no interface of this machine uses."""
        reason = why_not()
        if reason is not None:
            raise ProviderError(f"The provider netns cannot run here: {reason}.")
        if len(gateways) > MOST_GATEWAYS:
            raise ProviderError(f"{len(gateways)} gateways are too many for one machine")
        self._ledger_of_transfer, self._transfer, self._ports = ledger, transfer, ports
        self._gateways = tuple(gateways)
        self._index = {spec.name: index for index, spec in enumerate(gateways)}
        self._links = (*links, *self._links_to_head(links))
        network = _free_network(int(transfer[:8], 16))
        for spec in gateways:
            address = f"{network}.0.{self._index[spec.name] + 1}"
            self._placed[spec.name] = Placed(
                address=address, client_address=f"{network}.255.1", control_address=address
            )
        folder = make_folder(ledger, transfer, state_folder() / "transfers" / transfer)
        self._processes = GatewayProcesses(ledger, transfer, folder, ports)
        return self._placed

    def _sources(self) -> list[str]:
        return [spec.name for spec in self._gateways if spec.role == "source"]

    def _links_to_head(self, links: Sequence[LinkSpec]) -> list[LinkSpec]:
        """Unshaped links by which the other sources ask the head for chunks."""
        sources = self._sources()
        joined = {frozenset((link.src, link.dst)) for link in links}
        return [
            LinkSpec(src=source, dst=sources[0], bytes_per_s=0.0)
            for source in sources[1:]
            if frozenset((source, sources[0])) not in joined
        ]

    def _namespace(self, gateway: str) -> str:
        return f"{NAMESPACE_PREFIX}{self._transfer[:10]}-{self._index[gateway]}"

    def provision(self, credentials: Mapping[str, Credentials], *, lease_s: float) -> None:
        """Namespaces, links, shaping, a closed firewall, then the gateways."""
        ledger = self._ledger()
        for spec in self._gateways:
            name = self._namespace(spec.name)
            token = ledger.intend(
                self._transfer, "namespace", name, device=self._control_device(spec.name)
            )
            command(["ip", "netns", "add", name])
            ledger.live(token)
        self._make_links()
        for spec in self._gateways:
            self._load_rules(spec.name, peers=False)
        prefix = {
            spec.name: ("ip", "netns", "exec", self._namespace(spec.name))
            for spec in self._gateways
        }
        self._running().start(
            self._gateways, self._placed, credentials, prefix=prefix, lease_s=lease_s
        )

    def _make_links(self) -> None:
        outside: list[str] = []
        inside: dict[str, list[str]] = {spec.name: [] for spec in self._gateways}
        for spec in self._gateways:
            place, device = self._placed[spec.name], self._control_device(spec.name)
            outside += [
                f"link add {device} type veth peer name ctl netns {self._namespace(spec.name)}",
                f"addr add {place.client_address}/32 dev {device}",
                f"link set {device} up",
                f"route add {place.address}/32 dev {device} src {place.client_address}",
            ]
            owner = f"tradewind {self._transfer} {owner_word()}"
            inside[spec.name] += [
                f'link set lo up alias "{owner}"',
                f"addr add {place.address}/32 dev lo",
                "link set ctl up",
                f"route add {place.client_address}/32 dev ctl src {place.address}",
            ]
        pairs = {tuple(sorted((self._index[e.src], self._index[e.dst]))) for e in self._links}
        for low, high in sorted(pairs):
            ends = (self._gateways[low].name, self._gateways[high].name)
            outside.append(
                f"link add d{high} netns {self._namespace(ends[0])} type veth "
                f"peer name d{low} netns {self._namespace(ends[1])}"
            )
            for here, there, peer in ((ends[0], ends[1], high), (ends[1], ends[0], low)):
                inside[here] += [
                    f"link set d{peer} up",
                    f"route add {self._placed[there].address}/32 dev d{peer} "
                    f"src {self._placed[here].address}",
                ]
        command(["ip", "-batch", "-"], given="\n".join(outside) + "\n")
        for gateway, lines in inside.items():
            command(
                ["ip", "-n", self._namespace(gateway), "-batch", "-"],
                given="\n".join(lines) + "\n",
            )
        self._shape()

    def _shape(self) -> None:
        for gateway in self._index:
            lines = []
            for link in self._links:
                if link.src != gateway or link.bytes_per_s <= 0:
                    continue
                wire_bytes_per_s = link.bytes_per_s * WIRE_SHARE
                burst = max(LEAST_BURST_BYTES, int(wire_bytes_per_s * BURST_S))
                lines.append(
                    f"qdisc add dev d{self._index[link.dst]} root tbf "
                    f"rate {int(wire_bytes_per_s * 8)}bit burst {burst} latency 200ms"
                )
            if lines:
                command(
                    ["tc", "-n", self._namespace(gateway), "-batch", "-"],
                    given="\n".join(lines) + "\n",
                )

    def _control_device(self, gateway: str) -> str:
        return f"tw{self._transfer[:7]}c{self._index[gateway]}"

    def _load_rules(self, gateway: str, *, peers: bool) -> None:
        place = self._placed[gateway]
        rules = client_rules(place, self._ports)
        if peers:
            sources = self._sources()
            rules += peer_rules(
                gateway,
                links=self._links,
                placed=self._placed,
                ports=self._ports,
                head=sources[0],
                sources=sources,
            )
        script = nft_script(NFT_TABLE, place.address, rules, replace=True)
        self._in(gateway, ["nft", "-f", "-"], given=script)

    def _in(self, gateway: str, words: list[str], *, given: str | None = None) -> str:
        return command(["ip", "netns", "exec", self._namespace(gateway), *words], given=given)

    def permit(self) -> None:
        """Neighbours may reach each other; in the ledger, a namespace at a time."""
        for spec in self._gateways:
            namespace = self._namespace(spec.name)
            token = self._ledger().intend(
                self._transfer, "rules", f"{namespace}/{NFT_TABLE}", namespace=namespace
            )
            self._load_rules(spec.name, peers=True)
            self._ledger().live(token)

    def lost(self) -> str | None:
        """The first gateway that is no longer running."""
        return self._running().lost()

    def kernel_bytes(self) -> Mapping[str, int] | None:
        """What each gateway's veth devices sent towards the next gateways of its lanes."""
        found = {}
        for gateway in self._index:
            onward = {
                f"d{self._index[link.dst]}"
                for link in self._links
                if link.src == gateway and link.bytes_per_s > 0
            }
            told = command(["ip", "-n", self._namespace(gateway), "-s", "-j", "link", "show"])
            found[gateway] = sum(
                int(device["stats64"]["tx"]["bytes"])
                for device in json.loads(told)
                if device["ifname"] in onward
            )
        return found

    def revoke(self) -> int:
        """Back to the client alone; counts what was dropped since the gateways were made."""
        refused = 0
        for spec in self._gateways:
            namespace = self._namespace(spec.name)
            if not namespace_exists(namespace):
                continue
            told = self._in(
                spec.name, ["nft", "-j", "list", "counter", "inet", NFT_TABLE, "refused"]
            )
            for entry in json.loads(told)["nftables"]:
                refused += int(entry.get("counter", {}).get("packets", 0))
            self._load_rules(spec.name, peers=False)
        for resource in self._ledger().remaining(self._transfer):
            if resource.kind == "rules":
                self._ledger().condemn(resource.token)
                self._ledger().gone(resource.token)
        return refused

    def delete(self) -> None:
        """End the gateways, then their namespaces with links and rules, then their folder."""
        if self._processes is None:
            return
        self._processes.end()
        for kind in ("rules", "namespace", "folder"):
            remove_kind(self._ledger(), self._transfer, kind)

    def _running(self) -> GatewayProcesses:
        if self._processes is None:
            raise ProviderError("nothing was reserved")
        return self._processes

    def _ledger(self) -> Ledger:
        if self._ledger_of_transfer is None:
            raise ProviderError("nothing was reserved")
        return self._ledger_of_transfer


def _free_network(seed: int) -> str:
    """A `10.x` of which no interface here has an address."""
    used = {
        address["local"].split(".")[1]
        for device in json.loads(command(["ip", "-4", "-j", "addr", "show"]))
        for address in device.get("addr_info", [])
        if address["local"].startswith("10.")
    }
    for step in range(156):
        second = 100 + (seed + step) % 156
        if str(second) not in used:
            return f"10.{second}"
    raise ProviderError("this machine has no free 10.x network for another transfer")
