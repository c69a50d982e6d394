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
from executor.control.credentials import Credentials
from executor.firewall import client_rules, nft_script, peer_rules
from executor.ledger import Ledger, state_folder
from executor.machine import owner_word
from executor.placement import Carriage, GatewaySpec, LinkSpec, Placed, Ports
from executor.providers.links import WIRE_SHARE, EmulatedLinks
from executor.providers.processes import GatewayProcesses
from executor.providers.tun_link import LinkEnd
from executor.removal import (
    NAMESPACE_PREFIX,
    NFT_TABLE,
    command,
    make_folder,
    namespace_exists,
    remove_kind,
    remove_namespace,
)

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
    links_by = "veth and tbf"

    def __init__(self) -> None:
        self._emulated: EmulatedLinks | None = None
        self._gateways: tuple[GatewaySpec, ...] = ()
        self._links: tuple[LinkSpec, ...] = ()
        self._placed: dict[str, Placed] = {}
        self._index: dict[str, int] = {}
        self._released: set[str] = set()
        self._transfer = ""
        self._transport = "tcp"
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
        self._emulated = EmulatedLinks(ledger, transfer, self._links)
        self.links_by = self._emulated.described
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

    def provision(
        self, credentials: Mapping[str, Credentials], *, lease_s: float, carriage: Carriage
    ) -> None:
        """Namespaces, links, shaping, a closed firewall, then the gateways."""
        self._transport = carriage.transport
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
            self._gateways,
            self._placed,
            credentials,
            prefix=prefix,
            lease_s=lease_s,
            carriage=carriage,
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
        self._join(self._links, outside, inside)
        command(["ip", "-batch", "-"], given="\n".join(outside) + "\n")
        self._inside(inside)
        self._shape(self._links)
        self._emulated_links().delay(self._links, self._namespace, self._index)

    def _emulated_links(self) -> EmulatedLinks:
        if self._emulated is None:
            raise ProviderError("nothing was reserved")
        return self._emulated

    def _join(
        self, links: Sequence[LinkSpec], outside: list[str], inside: dict[str, list[str]]
    ) -> None:
        """What `ip` is told for a veth pair and its routes, once each two gateways."""
        pairs = {tuple(sorted((self._index[e.src], self._index[e.dst]))) for e in links}
        emulated = self._emulated_links()
        for low, high in sorted(pairs):
            ends = (self._gateways[low].name, self._gateways[high].name)
            places = (
                LinkEnd(namespace=self._namespace(ends[0]), device=f"d{high}"),
                LinkEnd(namespace=self._namespace(ends[1]), device=f"d{low}"),
            )
            if not emulated.start(ends, places, links):
                outside.append(
                    f"link add d{high} netns {places[0].namespace} type veth "
                    f"peer name d{low} netns {places[1].namespace}"
                )
            for here, there, peer in ((ends[0], ends[1], high), (ends[1], ends[0], low)):
                inside[here] += [
                    f"link set d{peer} up",
                    f"route add {self._placed[there].address}/32 dev d{peer} "
                    f"src {self._placed[here].address}",
                ]

    def _inside(self, inside: Mapping[str, Sequence[str]]) -> None:
        for gateway, lines in inside.items():
            if lines:
                command(
                    ["ip", "-n", self._namespace(gateway), "-batch", "-"],
                    given="\n".join(lines) + "\n",
                )

    def extend(self, links: Sequence[LinkSpec]) -> None:
        """More veth pairs, shaped; and the rules of all that live, anew."""
        ends = {frozenset((link.src, link.dst)) for link in self._links}
        ways = {(link.src, link.dst) for link in self._links}
        more = [link for link in links if (link.src, link.dst) not in ways]
        apart = [link for link in more if frozenset((link.src, link.dst)) not in ends]
        self._links = (*self._links, *more)
        outside: list[str] = []
        inside: dict[str, list[str]] = {spec.name: [] for spec in self._gateways}
        self._join(apart, outside, inside)
        if outside:
            command(["ip", "-batch", "-"], given="\n".join(outside) + "\n")
        self._inside(inside)
        self._shape(more)
        self._emulated_links().delay(apart, self._namespace, self._index)
        for spec in self._gateways:
            if spec.name not in self._released:
                self._load_rules(spec.name, peers=True)

    def release(self, gateway: str) -> None:
        """End the process; its own rules go back to the client's alone, and nobody's name it."""
        self._released.add(gateway)
        self._running().end_one(gateway)
        namespace = self._namespace(gateway)
        for resource in self._ledger().remaining(self._transfer):
            if resource.kind == "rules" and resource.spec.get("namespace") == namespace:
                self._ledger().condemn(resource.token)
                self._load_rules(gateway, peers=False)
                self._ledger().gone(resource.token)
        for spec in self._gateways:
            if spec.name not in self._released:
                self._load_rules(spec.name, peers=True)

    def _shape(self, links: Sequence[LinkSpec]) -> None:
        for gateway in self._index:
            lines = []
            for link in links:
                by_process = self._emulated_links().has_process(link.src, link.dst)
                if link.src != gateway or link.bytes_per_s <= 0 or by_process:
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
                links=[link for link in self._links if not {link.src, link.dst} & self._released],
                placed=self._placed,
                ports=self._ports,
                head=sources[0],
                sources=sources,
                transport=self._transport,
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

    def lost(self) -> tuple[str, ...]:
        """The gateways, and the links' processes, that are no longer running."""
        return (*self._running().lost(), *self._emulated_links().lost())

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
        self._emulated_links().end()
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
