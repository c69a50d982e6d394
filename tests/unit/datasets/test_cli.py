"""`tradewind matrix`: what it answers, on 80 columns and as JSON."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from datasets.cli import matrix, matrix_options
from datasets.document import data_page
from datasets.epochs import MatrixChoice, epoch_links, epoch_names, in_tier, load_matrix
from datasets.errors import InputError, UnknownName
from tests.unit.datasets.tiny_published import write_published


def answer(*arguments: str) -> str:
    ran = CliRunner().invoke(matrix, list(arguments), catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    return ran.output


def as_json(*arguments: str) -> Any:
    return json.loads(answer(*arguments, "--json"))


PAGES = [
    ("ls",),
    ("show", "2022-11-28"),
    ("show", "2022-11-28", "aws:us-east-1"),
    ("show", "2022-01-29", "gcp:us-east4", "gcp:europe-west1"),
    ("show", "2022-11-28", "--flag", "over_egress_cap"),
    ("diff", "2022-01-29", "2022-11-28"),
]


@pytest.mark.parametrize("arguments", PAGES, ids=" ".join)
def test_a_page_fits_80_columns_and_has_a_json_form(arguments: tuple[str, ...]) -> None:
    assert max(map(len, answer(*arguments).splitlines())) <= 80
    assert as_json(*arguments)


def test_ls_counts_the_links_of_each_epoch() -> None:
    found = {row["epoch"]: row["links"] for row in as_json("ls")["epochs"]}
    assert found["2022-11-28"] == 4970


MEASURED = [
    (epoch, tier)
    for epoch in epoch_names()
    for tier in ("premium", "standard")
    if any(in_tier(row, tier) for row in epoch_links(epoch))
]


@pytest.mark.parametrize(("epoch", "tier"), MEASURED)
def test_ls_and_show_count_flags_within_the_matrix_shown(epoch: str, tier: str) -> None:
    """Counted again by the links of the Matrix itself."""
    assert len(MEASURED) == 9  # the standard tier was not measured on 2022-04-20
    matrix = load_matrix(MatrixChoice(epoch=epoch, tier=tier))
    rows = [
        row for row in epoch_links(epoch) if matrix.link(row.src, row.dst) and in_tier(row, tier)
    ]
    shown = as_json("show", epoch, "--tier", tier)["flagged"]
    for flag in ("implausible", "over_egress_cap", "premium_price"):
        assert shown[flag] == sum(flag in row.flags for row in rows)
    listed = as_json("show", epoch, "--tier", tier, "--flag", "over_egress_cap")
    assert listed["on_tier"] == shown["over_egress_cap"] <= len(listed["rows"])
    if tier == "premium":
        (row,) = [row for row in as_json("ls")["epochs"] if row["epoch"] == epoch]
        assert row["implausible"] == shown["implausible"]


def test_the_counts_of_january_are_those_of_its_premium_matrix() -> None:
    (row,) = [row for row in as_json("ls")["epochs"] if row["epoch"] == "2022-01-29"]
    assert row["implausible"] == 12
    assert as_json("show", "2022-01-29")["flagged"]["over_egress_cap"] == 83
    page = answer("show", "2022-01-29", "--flag", "over_egress_cap")
    assert "165 rows flagged over_egress_cap, 83 of them on the premium tier" in page


def test_show_lists_what_is_unverified() -> None:
    found = as_json("show", "2022-11-28")["unverified"]
    assert "gcp n2-standard-32: egress_gbps 32" in found["vm_caps"]
    assert len(found["vm_prices"]) == 18


def test_show_gives_both_columns_of_a_pair_in_every_tier() -> None:
    found = as_json("show", "2022-01-29", "gcp:us-east4", "gcp:europe-west1")
    assert {(row["src_tier"], row["dst_tier"]) for row in found["rows"]} == {
        (src, dst) for src in ("premium", "standard") for dst in ("premium", "standard")
    }
    assert all(row["sent_gbps"] >= row["received_gbps"] for row in found["rows"])


def test_diff_names_the_structural_break_of_gcp() -> None:
    found = as_json("diff", "2022-01-29", "2022-11-28", "--column", "sent")
    (broken,) = [change for change in found["changes"] if change["break"]]
    assert (broken["src_cloud"], broken["dst_cloud"]) == ("gcp", "gcp")
    assert broken["ratio"] == pytest.approx(3.57, abs=0.01)
    assert "gcp to gcp rose 3.6 times on sent" in found["breaks"][0]
    page = " ".join(answer("diff", "2022-01-29", "2022-11-28").split())
    assert "gcp to gcp rose 4.0 times on received" in page
    assert "gcp to gcp rose 3.6 times on sent" in page


def test_an_epoch_differs_from_itself_in_nothing() -> None:
    found = as_json("diff", "2022-11-28", "2022-11-28")
    assert found["breaks"] == []
    assert {change["ratio"] for change in found["changes"]} == {1.0}


def test_export_is_the_matrix_as_json() -> None:
    text = answer("export", "--epoch", "2022-11-28", "--format", "json")
    assert json.loads(text) == load_matrix(MatrixChoice()).as_json()


@pytest.mark.parametrize("kind", ["json", "csv", "parquet"])
def test_an_export_is_taken_back_by_matrix(kind: str, tmp_path: Path) -> None:
    file = tmp_path / f"2022-11-28.{kind}"
    answer("export", "--format", kind, "-o", str(file))
    again = json.loads(answer("export", "--matrix", str(file)))
    content = load_matrix(MatrixChoice()).as_json()
    assert [again[key] for key in ("regions", "links")] == [content["regions"], content["links"]]
    assert (again == content) == (kind == "json")  # the other formats hold no epoch


def test_a_json_export_of_any_choice_is_taken_back_whole(tmp_path: Path) -> None:
    file = tmp_path / "m.json"
    made = ("--epoch", "2022-01-29", "--column", "sent", "--tier", "standard")
    answer("export", *made, "--policy", "drop_implausible", "--caps", "skyplane", "-o", str(file))
    assert answer("export", "--matrix", str(file)) == file.read_text(encoding="utf-8")


def test_parquet_to_stdout_and_an_unwritable_file_are_refused(tmp_path: Path) -> None:
    for arguments in (
        ["export", "--format", "parquet"],
        ["export", "-o", str(tmp_path / "none" / "m.json")],
        ["export", "--epoch", "2022-11-28", "--matrix", "m.csv"],
    ):
        ran = CliRunner().invoke(matrix, arguments)
        assert isinstance(ran.exception, InputError)


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "2022-11-29"],
        ["show", "2022-11-28", "aws:us-east-9"],
        ["show", "2022-11-28", "aws:us-east-1", "gcp:us-east9"],
        ["show", "2022-11-28", "--flag", "odd"],
        ["export", "--policy", "repair"],
        ["diff", "2022-11-28", "2023"],
    ],
)
def test_an_unknown_name_is_refused(arguments: list[str]) -> None:
    ran = CliRunner().invoke(matrix, arguments)
    assert isinstance(ran.exception, UnknownName)


def test_compile_writes_the_same_files_twice(tmp_path: Path) -> None:
    folder = str(write_published(tmp_path / "published"))
    first = as_json("compile", folder, "--out", str(tmp_path / "a"))
    assert first == as_json("compile", folder, "--out", str(tmp_path / "b"))
    assert (tmp_path / "a" / "epochs" / "2022-11-28" / "links.csv").is_file()
    assert "links.csv" in answer("compile", folder, "--out", str(tmp_path / "a"))


def test_matrix_options_give_one_choice() -> None:
    seen: list[MatrixChoice] = []

    @click.command()
    @click.argument("src")
    @matrix_options
    def verb(src: str, choice: MatrixChoice) -> None:
        seen.append(choice)

    runner = CliRunner()
    assert runner.invoke(verb, ["x"]).exit_code == 0
    options = ["--epoch", "2022-01-24", "--column", "sent", "--caps", "skyplane"]
    assert runner.invoke(verb, ["x", *options]).exit_code == 0
    assert runner.invoke(verb, ["x", "--matrix", "m.csv"]).exit_code == 0
    assert seen == [
        MatrixChoice(),
        MatrixChoice(epoch="2022-01-24", column="sent", caps="skyplane"),
        MatrixChoice(file=Path("m.csv")),
    ]


def test_the_page_names_breaks_between_all_epochs_and_a_source_for_every_table() -> None:
    page = data_page()
    for words in (
        "2022-01-17 to 2022-04-20: gcp to gcp rose 2.8 times on received",
        "2022-01-24 to 2022-04-20: gcp to gcp rose 2.7 times on received",
        "2022-01-29 to 2022-04-20: gcp to gcp rose 2.4 times on received",
        "2022-01-29 to 2022-11-28: gcp to gcp rose 4.0 times on received",
    ):
        assert words in page
    sources = page.split("## Where each figure is from")[1].split("\n## ")[0]
    for name in ("vm_caps, gcp n2-standard-32", "coordinates", "carbon", "vm_prices"):
        assert f"\n| {name} | " in sources


def test_the_page_of_the_data_is_up_to_date() -> None:
    """To regenerate: `tradewind matrix document > docs/data.md`."""
    docs = Path(str(resources.files("datasets"))).parent / "docs" / "data.md"
    assert docs.read_text(encoding="utf-8") == data_page() == answer("document")
