"""From a Plan and a Scale to what each gateway is told: its lanes, limits, session and keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from datasets.units import bytes_per_s
from executor.control import messages_pb2 as messages
from executor.endpoints.local import Entry
from executor.gateway.command import RIGHT_WRITE
from executor.gateway.crypto import new_key
from executor.placement import GatewaySpec, LinkSpec, Placed, Ports
from executor.scale import Scale
from planner.dispatch import Dispatch, hop_gbps, lane_cap_gbps
from planner.plan import Lane, Plan

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
    if region == plan.job.source:
        return "source"
    return "destination" if region in plan.job.destinations else "relay"


def link_specs(plan: Plan, scale: Scale) -> tuple[LinkSpec, ...]:
    """Every pair of gateways that a lane joins, with the local rate of its link."""
    pairs = sorted({hop for lane in plan.lanes for hop in lane.hops})
    return tuple(
        LinkSpec(
            src=src,
            dst=dst,
            bytes_per_s=bytes_per_s(plan.link(src, dst).gbps) * scale.rate_scale,
        )
        for src, dst in pairs
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
    staging: Path
    final: Path
    work_conserving: bool
    dispatch: Dispatch
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
        )
        if spec.role == "relay":
            return told
        told.session.CopyFrom(self._grant())
        told.keys.CopyFrom(
            messages.EndKeys(data_key=self.keys.data_key, site_key=self.keys.site_key)
        )
        head = next(s.name for s in gateway_specs(self.plan) if s.role == spec.role)
        told.head = head
        told.head_address = self.placed[head].address
        if spec.role == "source":
            told.root_path = bytes(self.source)
            if spec.name == head:
                told.all_lanes.extend(
                    self._lane(index, lane, None) for index, lane in enumerate(self.plan.lanes)
                )
        else:
            told.root_path = bytes(self.staging)
            told.final_path = bytes(self.final)
        return told

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

    def _lanes_of(self, gateway: str) -> list[messages.Lane]:
        return [
            self._lane(index, lane, gateway)
            for index, lane in enumerate(self.plan.lanes)
            if gateway in lane.gateways
        ]

    def _lane(self, index: int, lane: Lane, gateway: str | None) -> messages.Lane:
        """A lane as `gateway` sees it; with None, as dispatch does: its pace alone."""
        cap_gbps = lane_cap_gbps(self.plan, lane, self.work_conserving)
        told = messages.Lane(index=index, connections=self.scale.connections, planned_gbps=cap_gbps)
        if gateway is None:
            return told
        rate = self.scale.rate_scale
        place = lane.gateways.index(gateway)
        told.hop = place
        if place == 0 and not self.work_conserving:
            told.pace_bytes_per_s = bytes_per_s(lane.gbps) * rate
        if place > 0:
            previous = lane.gateways[place - 1]
            told.previous.CopyFrom(
                messages.Peer(gateway=previous, address=self.placed[previous].address)
            )
            incoming = self.plan.link(previous, gateway)
            told.incoming_bytes_per_s = bytes_per_s(incoming.gbps) * rate
        if place < len(lane.gateways) - 1:
            following = lane.gateways[place + 1]
            told.next.CopyFrom(
                messages.Peer(gateway=following, address=self.placed[following].address)
            )
            link = self.plan.link(gateway, following)
            told.link_bytes_per_s = bytes_per_s(link.gbps) * rate
            told.hop_bytes_per_s = bytes_per_s(hop_gbps(link.gbps, lane.connections[place])) * rate
            told.public = self.plan.crosses_clouds(gateway, following)
        return told

    def neighbours(self, gateway: str) -> messages.Permission:
        """Who may open data connections to a gateway: the ones before it on its lanes."""
        before = sorted(
            {src for lane in self.plan.lanes for src, dst in lane.hops if dst == gateway}
        )
        return messages.Permission(
            peers=[
                messages.Peer(gateway=name, address=self.placed[name].address) for name in before
            ]
        )


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
