"""Matrix, regions, canonical JSON, and the made worlds."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.canonical import canonical_json, digest, rounded
from datasets.errors import DataError, InputError, UnknownName
from datasets.matrix import Link, Matrix, RegionVm
from datasets.regions import (
    check_region,
    cloud_of,
    gateway_name,
    region_of_gateway,
    without_zone,
)
from datasets.sphere import great_circle_km, least_rtt_ms
from datasets.synthetic import synthetic_matrix, tiny_matrix

S, R, T = "azure:canadacentral", "azure:westus2", "gcp:asia-northeast1"


def test_the_tiny_world_is_as_its_docstring_says() -> None:
    """Direct 4 Gbit/s at $0.08; by way of R 12 Gbit/s at $0.02 + $0.08."""
    matrix = tiny_matrix()
    direct, first, second = matrix.link(S, T), matrix.link(S, R), matrix.link(R, T)
    assert direct is not None
    assert first is not None
    assert second is not None
    assert (direct.gbps, direct.usd_per_gb) == (4.0, 0.08)
    assert min(first.gbps, second.gbps) == 12.0
    assert first.usd_per_gb + second.usd_per_gb == pytest.approx(0.10)
    assert len(matrix.regions) == 5
    assert {cloud_of(region) for region in matrix.region_ids} == {"aws", "azure", "gcp"}
    assert all(e.gbps <= 6 for e in matrix.links if e.dst == T and e.src != R)
    assert all(e.gbps <= 5 for e in matrix.links if e.src == S and e.dst != R)


def test_a_synthetic_world_is_its_seed() -> None:
    assert synthetic_matrix(3).digest == synthetic_matrix(3).digest
    assert synthetic_matrix(3).digest != synthetic_matrix(4).digest


@given(st.integers(min_value=0, max_value=10_000), st.integers(min_value=2, max_value=15))
def test_a_synthetic_world_is_complete_and_plausible(seed: int, regions: int) -> None:
    matrix = synthetic_matrix(seed, regions=regions)
    assert len(matrix.links) == regions * (regions - 1)
    for link in matrix.links:
        assert 0.5 <= link.gbps <= 20
        assert 0.01 <= link.usd_per_gb <= 0.15
        back = matrix.link(link.dst, link.src)
        assert back is not None
        assert back.rtt_ms == link.rtt_ms > 0


def test_a_world_of_one_region_is_refused() -> None:
    with pytest.raises(InputError, match="at least 2"):
        synthetic_matrix(1, regions=1)


def test_links_and_regions_are_sorted_whatever_the_order_given() -> None:
    matrix = tiny_matrix()
    turned = replace(matrix, regions=matrix.regions[::-1], links=matrix.links[::-1])
    assert turned.digest == matrix.digest
    assert turned.region_ids == tuple(sorted(turned.region_ids))


def test_without_a_region_no_link_ends_there() -> None:
    left = tiny_matrix().without([R])
    assert R not in left.region_ids
    assert all(R not in (link.src, link.dst) for link in left.links)
    assert len(left.links) == 4 * 3


def test_an_unknown_region_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="azure:westus2"):
        tiny_matrix().vm("azure:westus")


def test_an_unknown_region_says_how_to_list_them_even_where_no_name_is_near() -> None:
    measured = replace(tiny_matrix(), epoch="2022-11-28")
    with pytest.raises(UnknownName, match="`tradewind matrix show 2022-11-28` lists them"):
        measured.vm("nowhere:x")
    with pytest.raises(UnknownName, match=r"'tiny' has aws:ap-northeast-1, .*, gcp:asia-northeas"):
        tiny_matrix().vm("nowhere:x")
    with pytest.raises(UnknownName, match=r"and 3 more; `tradewind matrix export` with --matrix"):
        synthetic_matrix(7, regions=15).vm("nowhere:x")
    with pytest.raises(InputError, match="`tradewind matrix show EPOCH` lists them"):
        check_region("nowhere")


@pytest.mark.parametrize(
    ("gbps", "usd_per_gb", "rtt_ms"),
    [(0.0, 0.1, 1.0), (-1.0, 0.1, 1.0), (math.nan, 0.1, 1.0), (1.0, -0.1, 1.0), (1.0, 0.1, -1.0)],
)
def test_a_link_of_impossible_figures_is_refused(
    gbps: float, usd_per_gb: float, rtt_ms: float
) -> None:
    with pytest.raises(DataError):
        Link(src=S, dst=T, gbps=gbps, usd_per_gb=usd_per_gb, rtt_ms=rtt_ms)


def test_a_self_loop_and_a_link_without_a_vm_are_refused() -> None:
    with pytest.raises(DataError, match="must join two regions"):
        Link(src=S, dst=S, gbps=1.0, usd_per_gb=0.1, rtt_ms=1.0)
    matrix = tiny_matrix()
    with pytest.raises(DataError, match="no VM"):
        replace(matrix, regions=matrix.regions[1:])
    with pytest.raises(DataError, match="twice"):
        replace(matrix, links=(*matrix.links, matrix.links[0]))


def test_a_vm_of_impossible_figures_is_refused() -> None:
    vm = tiny_matrix().vm(S)
    with pytest.raises(DataError, match="egress_gbps"):
        replace(vm, egress_gbps=0.0)
    with pytest.raises(DataError, match="vcpus"):
        replace(vm, vcpus=0)
    with pytest.raises(InputError):
        RegionVm(id="nowhere", vm=vm)


def test_the_reference_names_the_choices_and_the_digest() -> None:
    matrix = tiny_matrix()
    assert matrix.ref().as_json() == {
        "epoch": "tiny",
        "digest": matrix.digest,
        "column": "received",
        "tier": "premium",
        "policy": "as_measured",
        "caps": "documented",
    }
    assert isinstance(matrix, Matrix)


@pytest.mark.parametrize("name", ["us-east-1", "AWS:us-east-1", "aws:", "aws:us east", "", "a:b:c"])
def test_what_is_no_region_is_refused(name: str) -> None:
    with pytest.raises(InputError):
        check_region(name)


@pytest.mark.parametrize(
    ("published", "region"),
    [
        ("gcp:us-east4-a", "gcp:us-east4"),
        ("gcp:us-east1-b", "gcp:us-east1"),
        ("gcp:us-east4", "gcp:us-east4"),
        ("aws:us-east-1", "aws:us-east-1"),
        ("azure:westus2", "azure:westus2"),
    ],
)
def test_only_a_gcp_zone_is_cut_off(published: str, region: str) -> None:
    assert without_zone(published) == region


def test_a_gateway_is_named_after_its_region() -> None:
    assert region_of_gateway(gateway_name(S, 3)) == S


def test_canonical_json_sorts_keys_and_leaves_no_space() -> None:
    assert canonical_json({"b": [1, 2.5], "a": "é"}) == '{"a":"é","b":[1,2.5]}'.encode()
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert len(digest({})) == 32


def test_what_is_not_finite_has_no_canonical_form() -> None:
    with pytest.raises(ValueError, match="canonical"):
        rounded(math.nan, 3)
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"a": math.inf})
    assert str(rounded(-0.0001, 2)) == "0.0"


def test_light_goes_round_half_the_globe_in_a_fifth_of_a_second() -> None:
    half_km = great_circle_km((0, 0), (0, 180))
    assert half_km == pytest.approx(math.pi * 6371.0088)
    assert least_rtt_ms(half_km) == pytest.approx(200.15, abs=0.01)
    assert great_circle_km((10, 20), (10, 20)) == 0
