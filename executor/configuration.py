"""From a Plan and a Scale to what each gateway is told: its lanes, limits, session and keys."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from datasets.regions import region_of_gateway
from datasets.units import bytes_per_s
from executor.control import messages_pb2 as messages
from executor.destinations import Destination
from executor.endpoints.local import Entry
from executor.gateway.command import RIGHT_WRITE
from executor.gateway.crypto import new_key
from executor.placement import GatewaySpec, LinkSpec, Placed, Ports
from executor.scale import Scale
from executor.ways import Way, pairs, ways_of
from planner.dispatch import Dispatch, hop_gbps
from planner.plan import Plan

_ENTRIES_A_MESSAGE = 2000
ATTEMPT = 1
EPOCH = 1


def gateway_specs(plan: Plan) -> tuple[GatewaySpec, ...]:
    """Every VM of the Plan with its role: sources first, destinations last."""
    order = {"source": 0, "relay": 1, "destination": 2}
    specs = [
        GatewaySpec(name=f"{region}#{ordinal}", role=_role(plan, region))
        for region, count in plan.vms.items()
        for ordinal in range(count)
    ]
    return tuple(sorted(specs, key=lambda spec: (order[spec.role], spec.name)))


def _role(plan: Plan, region: str) -> str:
    if region in plan.job.sources:
        return "source"
    return "destination" if region in plan.job.destinations else "relay"


def link_specs(plan: Plan, scale: Scale) -> tuple[LinkSpec, ...]:
    """Every pair of gateways that a lane joins, with the local rate of its link."""
    return tuple(
        LinkSpec(
            src=src,
            dst=dst,
            bytes_per_s=bytes_per_s(plan.link(src, dst).gbps) * scale.rate_scale,
        )
        for src, dst in pairs(ways_of(plan))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferKeys:
    """The secrets and the session of one transfer. Lives in the client's memory only."""

    transfer: bytes
    session: bytes
    data_key: bytes
    site_key: bytes
    expiry: int


def new_keys(transfer: str, *, session: bytes, expiry: int) -> TransferKeys:
    """Fresh keys for one transfer."""
    return TransferKeys(
        transfer=bytes.fromhex(transfer),
        session=session,
        data_key=new_key(),
        site_key=new_key(),
        expiry=expiry,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """All that the configurations of one transfer's gateways are made of."""

    plan: Plan
    scale: Scale
    placed: Mapping[str, Placed]
    ports: Ports
    keys: TransferKeys
    source: Path
    places: Mapping[str, Destination]
    work_conserving: bool
    dispatch: Dispatch
    congestion: str
    recovery: str
    sample_s: float
    spill_bytes: int
    splice: bool
    round_trips: bool
    largest_object_bytes: int

    def configuration(self, spec: GatewaySpec) -> messages.Configuration:
        """What one gateway is told; a relay gets no key and no path."""
        vm = self.plan.vm(spec.name)
        rate = self.scale.rate_scale
        told = messages.Configuration(
            transfer=self.keys.transfer,
            lanes=self._lanes_of(spec.name),
            limits=messages.Limits(
                egress_bytes_per_s=bytes_per_s(vm.egress_gbps) * rate,
                egress_public_bytes_per_s=bytes_per_s(vm.egress_public_gbps) * rate,
                ingress_bytes_per_s=bytes_per_s(vm.ingress_gbps) * rate,
            ),
            chunk_bytes=self.scale.chunk_bytes,
            record_bytes=self.scale.record_bytes,
            attempt=ATTEMPT,
            dispatch=self.dispatch,
            control_port=self.ports.control,
            data_port=self.ports.data,
            congestion=self.congestion,
            sample_s=self.sample_s,
            spill_bytes=self.spill_bytes,
            replans=self.recovery == "replan",
            copies=not self.splice,
        )
        if spec.role == "relay":
            return told
        told.session.CopyFrom(self._grant())
        told.keys.CopyFrom(
            messages.EndKeys(data_key=self.keys.data_key, site_key=self.keys.site_key)
        )
        told.head = self.head_of(spec)
        told.head_address = self.placed[told.head].address
        if spec.role == "source":
            told.root_path = bytes(self.source)
            told.ends = len(self.plan.job.destinations)
            if spec.name == told.head:
                told.all_lanes.extend(self._paces())
        else:
            region = region_of_gateway(spec.name)
            told.end = self.plan.job.destinations.index(region)
            told.root_path = bytes(self.places[region].staging)
            told.final_path = bytes(self.places[region].final)
        return told

    def extension(self, spec: GatewaySpec, *, first: int) -> messages.Configuration:
        """What one gateway is told of the lanes from number `first` on, once the Plan has more."""
        told = messages.Configuration(
            lanes=[lane for lane in self._lanes_of(spec.name) if lane.index >= first]
        )
        if spec.role == "source" and spec.name == self.head_of(spec):
            told.all_lanes.extend(lane for lane in self._paces() if lane.index >= first)
        return told

    def head_of(self, spec: GatewaySpec) -> str:
        """The first of the gateways that share a source, or a destination."""
        region = region_of_gateway(spec.name)
        return next(
            each.name for each in gateway_specs(self.plan) if region_of_gateway(each.name) == region
        )

    def _paces(self) -> list[messages.Lane]:
        """Every lane as dispatch sees it."""
        rate = self.scale.rate_scale
        found = []
        for way in ways_of(self.plan):
            gbps = way.cap_gbps(self.plan, work_conserving=self.work_conserving)
            found.append(
                messages.Lane(
                    index=way.index,
                    connections=self.scale.connections,
                    planned_gbps=gbps,
                    planned_bytes_per_s=bytes_per_s(gbps) * rate,
                    more_window=self._more_window(way),
                )
            )
        return found

    def _grant(self) -> messages.SessionGrant:
        return messages.SessionGrant(
            transfer=self.keys.transfer,
            session=self.keys.session,
            epoch=EPOCH,
            expiry=self.keys.expiry,
            rights=RIGHT_WRITE,
            first_byte=0,
            last_byte=max(self.largest_object_bytes - 1, 0),
        )

    def _more_window(self, way: Way) -> int:
        """Chunks that a connection of its lane sends in a round trip, where links have one."""
        if not self.round_trips:
            return 0
        gbps = way.cap_gbps(self.plan, work_conserving=self.work_conserving)
        under_way = bytes_per_s(gbps) * self.scale.rate_scale * way.rtt_s(self.plan)
        return math.ceil(under_way / self.scale.connections / self.scale.chunk_bytes)

    def _lanes_of(self, gateway: str) -> list[messages.Lane]:
        return [self._lane(way, gateway) for way in ways_of(self.plan) if gateway in way.gateways]

    def _lane(self, way: Way, gateway: str) -> messages.Lane:
        """A lane as `gateway` sees it."""
        rate = self.scale.rate_scale
        hop = way.incoming(gateway)
        told = messages.Lane(
            index=way.index,
            hop=hop,
            connections=self.scale.connections,
            more_window=self._more_window(way),
        )
        if hop < 0 and not self.work_conserving:
            told.pace_bytes_per_s = bytes_per_s(way.gbps) * rate
        if hop >= 0:
            previous = way.edges[hop][0]
            told.previous.CopyFrom(self._peer(previous))
            told.incoming_bytes_per_s = bytes_per_s(self.plan.link(previous, gateway).gbps) * rate
        for position in way.outgoing(gateway):
            following = way.edges[position][1]
            gbps = self.plan.link(gateway, following).gbps
            told.branches.append(
                messages.Branch(
                    hop=position,
                    next=self._peer(following),
                    hop_bytes_per_s=bytes_per_s(hop_gbps(gbps, way.connections[position])) * rate,
                    link_bytes_per_s=bytes_per_s(gbps) * rate,
                    public=self.plan.crosses_clouds(gateway, following),
                )
            )
        return told

    def _peer(self, gateway: str) -> messages.Peer:
        return messages.Peer(gateway=gateway, address=self.placed[gateway].address)

    def neighbours(self, gateway: str) -> messages.Permission:
        """Who may open data connections to a gateway: the ones before it on its lanes."""
        before = [src for src, dst in pairs(ways_of(self.plan)) if dst == gateway]
        return messages.Permission(peers=[self._peer(name) for name in before])


def listing_messages(entries: tuple[Entry, ...]) -> Iterable[messages.Listing]:
    """The listing in messages of a size that gRPC takes."""
    for start in range(0, len(entries), _ENTRIES_A_MESSAGE):
        yield messages.Listing(
            entries=[
                messages.Entry(
                    index=entry.index,
                    path=entry.path,
                    kind=messages.EntryKind.Name(int(entry.kind)),
                    size=entry.size,
                    mode=entry.mode,
                    mtime_ns=entry.mtime_ns,
                    target=entry.target,
                )
                for entry in entries[start : start + _ENTRIES_A_MESSAGE]
            ]
        )
