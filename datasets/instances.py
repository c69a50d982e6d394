"""The VM catalogue: what a region's VM costs and may carry, and which of it is unverified."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from datasets.errors import UnknownName
from datasets.matrix import Vm
from datasets.regions import cloud_of
from datasets.tables import read_rows

CAPS = ("documented", "skyplane")
UNVERIFIED = "unverified"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """What one VM type may carry, Gbit/s, and which of these figures no opened source states."""

    vcpus: int
    egress_public_gbps: float
    egress_gbps: float
    ingress_gbps: float
    unverified: tuple[str, ...]


def reference_vm_type(cloud: str) -> str:
    """The type that stands for `cloud`. Raises: UnknownName for a cloud without a catalogue."""
    types = [kind for named, kind in _caps("documented") if named == cloud]
    if not types:
        raise UnknownName(kind="cloud", name=cloud, known=known_clouds())
    return types[0]


def known_clouds() -> tuple[str, ...]:
    """The clouds that the catalogue knows, sorted."""
    return tuple(sorted({cloud for cloud, _ in _caps("documented")}))


def caps_of(cloud: str, vm_type: str, *, caps: str, public_addresses: bool = False) -> Caps:
    """The caps of `vm_type`; of the cloud's reference type where the table lacks it.

    With `public_addresses` everything leaves through public addresses, so that the public cap
    holds everywhere: GCP to GCP in the epochs of January 2022.
    """
    table = _caps(caps)
    found = table.get((cloud, vm_type)) or table[cloud, reference_vm_type(cloud)]
    if not public_addresses:
        return found
    return Caps(
        vcpus=found.vcpus,
        egress_public_gbps=found.egress_public_gbps,
        egress_gbps=min(found.egress_gbps, found.egress_public_gbps),
        ingress_gbps=found.ingress_gbps,
        unverified=found.unverified,
    )


def vm_of(vm_type: str, usd_per_hour: float, caps: Caps) -> Vm:
    """The Vm of a Matrix."""
    return Vm(
        type=vm_type,
        vcpus=caps.vcpus,
        usd_per_hour=usd_per_hour,
        egress_public_gbps=caps.egress_public_gbps,
        egress_gbps=caps.egress_gbps,
        ingress_gbps=caps.ingress_gbps,
    )


def catalogue_vm(region: str, *, caps: str) -> tuple[Vm, str]:
    """The catalogue's VM for `region` and its mark: blank, or `unverified` (reference price).

    Raises: UnknownName for a cloud without a catalogue.
    """
    cloud = cloud_of(region)
    kind = reference_vm_type(cloud)
    usd_per_hour, mark = _prices().get((region, kind)) or (_reference_usd(cloud), UNVERIFIED)
    return vm_of(kind, usd_per_hour, caps_of(cloud, kind, caps=caps)), mark


@lru_cache(maxsize=2)
def _caps(caps: str) -> Mapping[tuple[str, str], Caps]:
    found = {}
    for row in read_rows("vm_caps"):
        documented = caps == "documented"
        egress = row["egress_gbps"] if documented else row["skyplane_egress_gbps"]
        public = row["egress_public_gbps"] if documented else egress
        found[row["cloud"], row["vm_type"]] = Caps(
            vcpus=int(row["vcpus"]),
            egress_public_gbps=float(public),
            egress_gbps=float(egress),
            ingress_gbps=float(row["ingress_gbps" if documented else "skyplane_ingress_gbps"]),
            unverified=tuple(row["unverified"].split(";"))
            if documented and row["unverified"]
            else (),
        )
    return found


@lru_cache(maxsize=1)
def _prices() -> Mapping[tuple[str, str], tuple[float, str]]:
    return {
        (row["region"], row["vm_type"]): (float(row["usd_per_hour"]), row["mark"])
        for row in read_rows("vm_prices")
    }


def _reference_usd(cloud: str) -> float:
    """The least on-demand price of the cloud: what its reference region (the US) costs."""
    kind = reference_vm_type(cloud)
    return min(
        usd
        for (region, named), (usd, mark) in _prices().items()
        if cloud_of(region) == cloud and named == kind and not mark
    )
