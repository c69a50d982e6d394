"""The compiler on a hand-made folder: each planted defect is handled and counted."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from datasets import flags
from datasets.compile import compile_published, write_compiled
from datasets.errors import DataError
from tests.unit.datasets.tiny_published import JANUARY, A, B, C, G, H, write_published

Row = Mapping[str, str]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return compile_published(write_published(tmp_path_factory.mktemp("tiny") / "published"))


def links(files: Mapping[str, bytes], epoch: str) -> dict[tuple[str, str, str, str], Row]:
    rows = csv.DictReader(io.StringIO(files[f"epochs/{epoch}/links.csv"].decode()))
    return {(r["src"], r["dst"], r["src_tier"], r["dst_tier"]): r for r in rows}


def premium(files: Mapping[str, bytes], epoch: str, src: str, dst: str) -> Row:
    return links(files, epoch)[src, dst, "premium", "premium"]


def about(files: Mapping[str, bytes], name: str) -> Any:
    return json.loads(files[f"{name}/provenance.json"])


def test_compiling_twice_gives_equal_bytes(files: dict[str, bytes], tmp_path: Path) -> None:
    again = compile_published(write_published(tmp_path / "published"))
    assert again == files
    write_compiled(files, tmp_path / "out")
    for name, data in files.items():
        assert (tmp_path / "out" / name).read_bytes() == data


def test_no_path_of_a_machine_is_compiled(files: dict[str, bytes], tmp_path: Path) -> None:
    everything = b"".join(files.values())
    for trace in (b"/home", b"stdout", b"/tmp", b"somebody"):
        assert trace not in everything


def test_duplicates_become_their_median_and_keep_their_spread(files: dict[str, bytes]) -> None:
    row = premium(files, "2022-01-29", A, G)
    assert (row["received_gbps"], row["samples"], row["spread"]) == ("3.000000000", "2", "2.000")
    assert about(files, "epochs/2022-01-29")["handled"]["duplicate_groups"] == 1


def test_self_loops_are_dropped_and_counted(files: dict[str, bytes]) -> None:
    assert all(src != dst for src, dst, _, _ in links(files, "2022-01-29"))
    assert about(files, "epochs/2022-01-29")["handled"]["self_loops_dropped"] == 1


def test_rows_in_and_out_add_up(files: dict[str, bytes]) -> None:
    found = about(files, "epochs/2022-01-29")
    handled = found["handled"]
    gone = handled["self_loops_dropped"] + handled["rows_merged_away"]
    assert found["rows_in"] == len(JANUARY)
    assert found["rows_out"] == len(JANUARY) - gone == len(links(files, "2022-01-29"))


def test_a_zone_is_cut_off(files: dict[str, bytes]) -> None:
    assert {G, H} <= {src for src, _, _, _ in links(files, "2022-01-29")}


def test_both_spellings_of_the_receive_column_are_read(tmp_path: Path) -> None:
    folder = write_published(tmp_path / "published")
    file = folder / "raw" / "throughput_2022-01-29.csv.gz"
    text = gzip.decompress(file.read_bytes()).decode().replace("_recieved", "_received")
    file.write_bytes(gzip.compress(text.encode()))
    found = compile_published(folder)
    assert about(found, "epochs/2022-01-29")["columns"]["received"] == "throughput_received"
    assert about(found, "epochs/2022-11-28")["columns"]["received"] == "throughput_recieved"


def test_a_blank_tier_counts_as_premium_and_is_marked(files: dict[str, bytes]) -> None:
    assert flags.BLANK_TIER in premium(files, "2022-11-28", H, G)["flags"]


def test_standard_and_premium_rows_stay_apart(files: dict[str, bytes]) -> None:
    rows = links(files, "2022-01-29")
    assert rows[G, H, "premium", "premium"]["received_gbps"] == "6.900000000"
    assert rows[G, H, "standard", "standard"]["received_gbps"] == "5.000000000"
    assert flags.PREMIUM_PRICE in rows[G, H, "standard", "standard"]["flags"]


def test_an_isolated_low_sample_is_flagged_and_kept(files: dict[str, bytes]) -> None:
    # 0.1 against 6.5 back, medians 4.2 out of A to GCP and 4.0 from AWS into G.
    row = premium(files, "2022-11-28", A, G)
    assert flags.IMPLAUSIBLE in row["flags"]
    assert row["received_gbps"] == "0.100000000"
    assert about(files, "epochs/2022-11-28")["flagged"][flags.IMPLAUSIBLE] == 1


def test_rows_above_a_documented_cap_are_flagged(files: dict[str, bytes]) -> None:
    row = premium(files, "2022-11-28", B, A)
    assert {flags.OVER_EGRESS, flags.OVER_INGRESS} <= set(row["flags"].split(";"))


def test_inside_gcp_the_public_cap_holds_only_where_nothing_beat_it(
    files: dict[str, bytes],
) -> None:
    assert about(files, "epochs/2022-01-29")["public_address_clouds"] == ["gcp"]
    assert about(files, "epochs/2022-11-28")["public_address_clouds"] == []
    assert premium(files, "2022-01-29", H, G)["flags"] == "other_book;over_egress_cap"


def test_early_epochs_take_the_early_book_and_late_ones_the_late(files: dict[str, bytes]) -> None:
    early, late = (premium(files, epoch, A, B) for epoch in ("2022-01-29", "2022-11-28"))
    assert (early["usd_per_gb"], early["price_source"]) == ("0.0900", "2022-05-10")
    assert (late["usd_per_gb"], late["price_source"]) == ("0.0800", "2023-02-06")


def test_a_missing_price_comes_from_the_other_book_marked(files: dict[str, bytes]) -> None:
    row = premium(files, "2022-01-29", H, G)
    assert (row["usd_per_gb"], row["price_source"]) == ("0.0600", "2023-02-06")
    assert flags.OTHER_BOOK in row["flags"]


def test_a_link_without_any_price_is_kept_blank_and_counted(files: dict[str, bytes]) -> None:
    assert premium(files, "2022-01-29", C, B)["usd_per_gb"] == ""
    assert about(files, "epochs/2022-01-29")["flagged"][flags.NO_PRICE] == 1


def test_disagreement_with_aws_transfer_prices_is_counted(files: dict[str, bytes]) -> None:
    found = about(files, "tables")["egress_prices"]
    assert found["aws_transfer_check"]["2023-02-06"] == {"pairs": 1, "disagree": 1}
    assert found["same_region_rows_dropped"] == 1


def test_round_trips_prefer_v1_then_v2_in_either_direction_then_distance(
    files: dict[str, bytes],
) -> None:
    for src, dst, source, rtt_ms in (
        (A, B, "ping_v1", "5.000"),
        (B, A, "ping_v1", "5.000"),
        (A, G, "ping_v1", "3.000"),
        (G, H, "ping_v2", "90.000"),  # its own row is faster than light
    ):
        row = premium(files, "2022-11-28", src, dst)
        assert (row["rtt_source"], row["rtt_ms"]) == (source, rtt_ms)
    assert premium(files, "2022-11-28", A, H)["rtt_source"] == "estimated"


def test_pings_faster_than_light_are_dropped_and_counted(files: dict[str, bytes]) -> None:
    campaign = about(files, "tables")["latencies"]["campaigns"]["v2"]
    assert campaign["faster_than_light"] == campaign["faster_than_light_gcp_end"] == 1
    assert about(files, "tables")["latencies"]["campaigns"]["v1"]["no_value"] == 1


def test_a_region_without_a_vm_price_takes_the_reference_price_marked(
    files: dict[str, bytes],
) -> None:
    text = files["epochs/2022-11-28/regions.csv"].decode()
    rows = {row["region"]: row for row in csv.DictReader(io.StringIO(text))}
    assert (rows["aws:us-west-2"]["usd_per_hour"], rows["aws:us-west-2"]["mark"]) == (
        "1.536",
        "unverified",
    )
    assert (rows[C]["usd_per_hour"], rows[C]["mark"]) == ("1.712", "")


def test_caps_without_an_opened_source_are_named(files: dict[str, bytes]) -> None:
    rows = csv.DictReader(io.StringIO(files["tables/vm_caps.csv"].decode()))
    assert {row["cloud"]: row["unverified"] for row in rows} == {
        "aws": "",
        "azure": "ingress_gbps",
        "gcp": "egress_public_gbps;egress_gbps;ingress_gbps",
    }


def test_carbon_gaps_take_the_mean_of_country_then_continent(files: dict[str, bytes]) -> None:
    rows = {
        row["region"]: (row["gco2e_per_kwh"], row["mark"])
        for row in csv.DictReader(io.StringIO(files["tables/carbon.csv"].decode()))
    }
    assert rows["aws:us-west-2"] == ("350.000", "country_mean")  # 400 and 300, not the proxy
    assert rows[H] == ("280.000", "continent_mean")
    assert rows[G] == ("999.000", "proxy")


def test_provenance_names_source_licence_and_digest(files: dict[str, bytes]) -> None:
    source = about(files, "epochs/2022-11-28")["source"]
    assert source["commit"] == "abcdef12"
    assert source["path"] == "profiles/throughput_2022-11-28.csv"
    assert source["licence"] == "Apache-2.0"
    assert len(source["sha256"]) == 64


def test_a_figure_that_is_no_number_is_named_with_its_row(tmp_path: Path) -> None:
    folder = write_published(tmp_path / "published")
    file = folder / "raw" / "throughput_2022-01-29.csv.gz"
    text = gzip.decompress(file.read_bytes()).decode().replace("4000000000.0", "fast", 1)
    file.write_bytes(gzip.compress(text.encode()))
    with pytest.raises(DataError, match="row 1, throughput_recieved: 'fast' is not a number"):
        compile_published(folder)


def test_a_file_of_another_length_than_stated_is_refused(tmp_path: Path) -> None:
    folder = write_published(tmp_path / "published")
    readme = folder / "README.md"
    readme.write_text(readme.read_text().replace("| 6 |", "| 60 |"), encoding="utf-8")
    with pytest.raises(DataError, match=r"rows; README\.md says 60"):
        compile_published(folder)


@pytest.mark.parametrize(
    "name",
    [
        "throughput_2022-01-29",
        "throughput_2022-11-28",
        "price_2022-05-10",
        "price_2023-02-06",
        "latency_2022-04-16_v1",
        "vcpu_info_2024-01-10",
    ],
)
def test_a_listed_file_that_is_missing_is_named(name: str, tmp_path: Path) -> None:
    folder = write_published(tmp_path / "published")
    (folder / "raw" / f"{name}.csv.gz").unlink()
    with pytest.raises(DataError, match=rf"lacks {name}\.csv\.gz, which README\.md lists"):
        compile_published(folder)


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"needs README\.md and raw/"):
        compile_published(tmp_path)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    folder = write_published(tmp_path / "published")
    (folder / "raw" / "price_2022-05-10.csv.gz").write_bytes(b"\x1f\x8b broken")
    with pytest.raises(DataError, match="missing or damaged"):
        compile_published(folder)
