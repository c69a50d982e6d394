"""The compiled epochs of this repository, and what a choice does to a Matrix."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from datasets import flags
from datasets.coordinates import city, coordinates, distance_km
from datasets.epochs import (
    DEFAULT_EPOCH,
    MatrixChoice,
    check_epoch,
    epoch_links,
    epoch_names,
    in_tier,
    load_matrix,
    provenance,
)
from datasets.errors import InputError, UnknownName
from datasets.policies import Sample, drop_implausible, repair_implausible

LINKS = {
    "2022-01-17": (30, 840),  # 870 pairs, 30 without a price
    "2022-01-24": (64, 4018),  # 4,032 pairs, 14 without a price
    "2022-01-29": (63, 3906),  # 63 · 62
    "2022-04-20": (27, 702),  # 27 · 26
    "2022-11-28": (71, 4970),  # 71 · 70
}


def test_every_published_epoch_is_compiled() -> None:
    assert epoch_names() == tuple(sorted(LINKS))
    assert DEFAULT_EPOCH in epoch_names()


@pytest.mark.parametrize("epoch", sorted(LINKS))
def test_regions_and_links_are_as_many_as_counted_by_hand(epoch: str) -> None:
    matrix = load_matrix(MatrixChoice(epoch=epoch))
    assert (len(matrix.regions), len(matrix.links)) == LINKS[epoch]


def test_known_defects_are_counted() -> None:
    about = provenance("2022-01-29")
    assert about["rows_in"] == 7053
    assert about["handled"]["self_loops_dropped"] == 44
    assert about["handled"]["duplicate_groups"] == 79
    assert 18 < about["largest_spread"] < 20
    assert provenance("2022-04-20")["flagged"][flags.BLANK_TIER] == 702


def test_one_known_link_reads_as_published() -> None:
    # aws:us-east-2 to azure:eastus is the first row of the published file.
    link = load_matrix(MatrixChoice()).link("aws:us-east-2", "azure:eastus")
    assert link is not None
    assert link.gbps == pytest.approx(4.739257059661877, abs=1e-9)
    assert link.usd_per_gb == 0.09
    sent = load_matrix(MatrixChoice(column="sent")).link("aws:us-east-2", "azure:eastus")
    assert sent is not None
    assert sent.gbps == pytest.approx(4.967291935167428, abs=1e-9)


@pytest.mark.parametrize(
    "other",
    [
        {"column": "sent"},
        {"column": "min"},
        {"tier": "standard"},
        {"policy": "drop_implausible"},
        {"policy": "repair_implausible"},
        {"caps": "skyplane"},
        {"epoch": "2022-01-24"},
    ],
)
def test_each_choice_is_part_of_the_digest(other: dict[str, Any]) -> None:
    plain = MatrixChoice(epoch="2022-01-29")
    assert load_matrix(plain).digest != load_matrix(replace(plain, **other)).digest


def test_the_same_choice_gives_the_same_digest() -> None:
    assert load_matrix(MatrixChoice()).digest == load_matrix(MatrixChoice()).digest


def test_min_is_the_lesser_column() -> None:
    least = load_matrix(MatrixChoice(column="min"))
    received = load_matrix(MatrixChoice(column="received"))
    sent = load_matrix(MatrixChoice(column="sent"))
    for a, b, c in zip(least.links, received.links, sent.links, strict=True):
        assert a.gbps == min(b.gbps, c.gbps)


def test_the_standard_tier_takes_standard_gcp_ends_and_never_mixes() -> None:
    for row in epoch_links("2022-01-29"):
        if in_tier(row, "standard"):
            for region, tier in ((row.src, row.src_tier), (row.dst, row.dst_tier)):
                assert tier == ("standard" if region.startswith("gcp:") else "premium")


def test_an_epoch_without_the_tier_says_so() -> None:
    with pytest.raises(InputError, match="Nothing was measured on the standard tier"):
        load_matrix(MatrixChoice(epoch="2022-04-20", tier="standard"))


def test_dropping_leaves_exactly_the_flagged_links_out() -> None:
    kept = load_matrix(MatrixChoice(policy="drop_implausible"))
    flagged = {(r.src, r.dst) for r in epoch_links(DEFAULT_EPOCH) if flags.IMPLAUSIBLE in r.flags}
    assert len(flagged) == provenance(DEFAULT_EPOCH)["flagged"][flags.IMPLAUSIBLE] > 0
    plain = load_matrix(MatrixChoice())
    assert {(e.src, e.dst) for e in plain.links} - {(e.src, e.dst) for e in kept.links} == flagged


def test_a_repair_takes_the_least_suggestion() -> None:
    """Out of a to gcp: median(4, 6) = 5; into g from aws: 4.5; back: 4.2; so 4.2."""
    samples = [
        Sample(src="aws:a", dst="gcp:g", gbps=0.1, implausible=True),
        Sample(src="aws:a", dst="gcp:h", gbps=4.0, implausible=False),
        Sample(src="aws:a", dst="gcp:i", gbps=6.0, implausible=False),
        Sample(src="aws:b", dst="gcp:g", gbps=4.5, implausible=False),
        Sample(src="gcp:g", dst="aws:a", gbps=4.2, implausible=False),
    ]
    assert repair_implausible(samples)[0].gbps == 4.2
    assert [sample.gbps for sample in drop_implausible(samples)] == [4.0, 6.0, 4.5, 4.2]


def test_a_repair_without_any_suggestion_drops_the_link() -> None:
    lonely = Sample(src="aws:a", dst="gcp:g", gbps=0.1, implausible=True)
    assert repair_implausible([lonely]) == []


def test_gcp_caps_follow_the_addresses_of_the_epoch() -> None:
    late = load_matrix(MatrixChoice()).vm("gcp:us-east4")
    early = load_matrix(MatrixChoice(epoch="2022-01-29")).vm("gcp:us-east4")
    assert (late.egress_public_gbps, late.egress_gbps, late.ingress_gbps) == (7, 32, 32)
    assert (early.egress_public_gbps, early.egress_gbps) == (7, 7)
    skyplane = load_matrix(MatrixChoice(caps="skyplane")).vm("gcp:us-east4")
    assert (skyplane.egress_public_gbps, skyplane.egress_gbps, skyplane.ingress_gbps) == (7, 7, 16)


@pytest.mark.parametrize(
    ("kind", "name"), [("column", "recieved"), ("tier", "premum"), ("policy", "as-measured")]
)
def test_an_unknown_choice_names_the_nearest(kind: str, name: str) -> None:
    with pytest.raises(UnknownName, match="did you mean") as caught:
        MatrixChoice(**{kind: name})  # type: ignore[arg-type]  # the point of the test
    assert caught.value.exit_status == 2


def test_an_unknown_epoch_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="2022-11-28"):
        load_matrix(MatrixChoice(epoch="2022-11-29"))
    with pytest.raises(UnknownName):
        check_epoch("../tables")


def test_loading_imports_no_pandas() -> None:
    code = (
        "import sys, datasets.cli\n"
        "from datasets.epochs import MatrixChoice, load_matrix\n"
        "load_matrix(MatrixChoice())\n"
        "print(sorted({'pandas', 'pyarrow', 'numpy'} & set(sys.modules)))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_every_region_has_a_place() -> None:
    for epoch in epoch_names():
        for region in load_matrix(MatrixChoice(epoch=epoch)).region_ids:
            assert coordinates(region) is not None
            assert city(region)
    assert coordinates("aws:nowhere") is None
    assert city("aws:nowhere") is None
    assert distance_km("aws:nowhere", "aws:us-east-1") is None
    across = distance_km("aws:us-east-1", "aws:eu-west-2")
    assert across is not None
    assert 5800 < across < 6000  # Washington to London is about 5,900 km


def test_export_json_has_exactly_the_promised_keys() -> None:
    content = json.loads(json.dumps(load_matrix(MatrixChoice()).as_json()))
    assert set(content) == {"epoch", "digest", "regions", "links"}
    assert all(set(region) == {"id", "vm"} for region in content["regions"])
    assert all(
        set(region["vm"])
        == {
            "type",
            "vcpus",
            "usd_per_hour",
            "egress_public_gbps",
            "egress_gbps",
            "ingress_gbps",
        }
        for region in content["regions"]
    )
    assert all(
        set(link) == {"src", "dst", "gbps", "usd_per_gb", "rtt_ms"} for link in content["links"]
    )
