"""A user's own Matrix: what is read back equals what was exported; each error is one sentence."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from datasets.epochs import MatrixChoice, load_matrix
from datasets.errors import DataError, InputError
from datasets.export import FORMATS, exported
from datasets.instances import CAPS
from datasets.matrix import COLUMNS, TIERS, Matrix
from datasets.policies import POLICIES
from datasets.synthetic import synthetic_matrix, tiny_matrix

HEADER = "src,dst,gbps,usd_per_gb,rtt_ms\n"
GOOD = HEADER + "aws:us-east-1,gcp:us-east4,4.5,0.09,3\ngcp:us-east4,aws:us-east-1,6.5,0.12,3\n"


def load(file: Path) -> Matrix:
    return load_matrix(MatrixChoice(file=file))


def written(folder: Path, content: str | bytes, name: str = "mine.csv") -> Path:
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("matrix", [tiny_matrix(), synthetic_matrix(7)], ids=["tiny", "synthetic"])
def test_every_format_reads_back_with_equal_figures(
    matrix: Matrix, kind: str, tmp_path: Path
) -> None:
    again = load(written(tmp_path, exported(matrix, kind), f"{matrix.epoch}.{kind}"))
    assert (again.regions, again.links) == (matrix.regions, matrix.links)
    assert (again.digest == matrix.digest) == (kind == "json")


@pytest.mark.parametrize(
    "choice", list(itertools.product(COLUMNS, TIERS, POLICIES, CAPS)), ids=" ".join
)
def test_an_untouched_json_export_reads_back_as_whatever_choice_it_was_made_with(
    choice: tuple[str, str, str, str], tmp_path: Path
) -> None:
    column, tier, policy, caps = choice
    matrix = replace(tiny_matrix(), column=column, tier=tier, policy=policy, caps=caps)
    again = load(written(tmp_path, exported(matrix, "json"), "m.json"))
    assert again.ref() == matrix.ref()
    assert again.digest == matrix.digest


@pytest.mark.parametrize("kind", ["csv", "parquet", "json"])
def test_a_file_named_like_a_date_does_not_pass_for_a_measurement(
    kind: str, tmp_path: Path
) -> None:
    data = exported(replace(tiny_matrix(), epoch="2022-11-28"), kind)
    if kind == "json":
        content = json.loads(data)
        del content["digest"]
        data = json.dumps(content).encode()
    epoch = load(written(tmp_path, data, f"2022-11-28.{kind}")).epoch
    assert epoch == "2022-11-28 (user file)"
    with pytest.raises(ValueError, match="Invalid isoformat"):
        date.fromisoformat(epoch)  # how a reader tells a date from a name


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"column": "sent"}, "--column sent"),
        ({"tier": "standard"}, "--tier standard"),
        ({"policy": "drop_implausible", "column": "min"}, "--column min --policy drop_implausible"),
    ],
)
def test_a_choice_without_effect_on_a_file_is_refused(choice: Any, words: str) -> None:
    with pytest.raises(InputError, match=rf"picked already; .* left out: {words}\."):
        MatrixChoice(file=Path("mine.csv"), **choice)


def test_caps_fill_what_the_file_leaves_out_and_are_refused_where_it_leaves_nothing(
    tmp_path: Path,
) -> None:
    matrix = load_matrix(MatrixChoice(file=written(tmp_path, GOOD), caps="skyplane"))
    assert matrix.vm("gcp:us-east4").ingress_gbps == 16
    whole = written(tmp_path, exported(tiny_matrix(), "csv"), "whole.csv")
    with pytest.raises(InputError, match="caps of every VM, so that --caps skyplane has no effect"):
        load_matrix(MatrixChoice(file=whole, caps="skyplane"))


def test_missing_vm_columns_come_from_the_catalogue(tmp_path: Path) -> None:
    matrix = load(written(tmp_path, GOOD))
    assert matrix.epoch == "mine (user file)"
    assert matrix.vm("gcp:us-east4") == load_matrix(MatrixChoice()).vm("gcp:us-east4")


def test_a_region_without_a_price_takes_the_reference_vm(tmp_path: Path) -> None:
    text = HEADER + "aws:mars-1,aws:us-east-1,4.5,0.09,3\n"
    assert load(written(tmp_path, text)).vm("aws:mars-1").usd_per_hour == 1.536


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    text = b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode()
    assert len(load(written(tmp_path, text)).links) == 2


def test_a_cloud_of_ones_own_needs_its_vm_columns(tmp_path: Path) -> None:
    text = HEADER + "mine:a,mine:b,4.5,0.09,3\n"
    with pytest.raises(DataError, match="add vm_type, vcpus, usd_per_hour") as caught:
        load(written(tmp_path, text))
    assert str(caught.value).count("mine.csv") == 1
    assert "mine.csv, row 1, src: no VM is known for mine:a" in str(caught.value)
    names = "vm_type,vcpus,usd_per_hour,egress_public_gbps,egress_gbps,ingress_gbps".split(",")
    extra = ",".join(f"{end}_{name}" for end in ("src", "dst") for name in names)
    text = f"{HEADER.strip()},{extra}\nmine:a,mine:b,4.5,0.09,3,x,8,1,5,5,5,x,8,1,5,5,5\n"
    assert load(written(tmp_path, text)).vm("mine:b").vcpus == 8


def test_an_edited_export_does_not_pass_for_the_epoch(tmp_path: Path) -> None:
    content: Any = tiny_matrix().as_json()
    content["links"][0]["gbps"] = 9.0
    file = written(tmp_path, json.dumps(content), "m.json")
    assert load(file).epoch == "tiny (edited)"


ROW = "aws:us-east-1,gcp:us-east4,{},{},{}\n"
LINK = (
    '{"regions": [], "links": '
    '[{"src": "aws:a", "dst": "aws:b", "gbps": %s, "usd_per_gb": 0, "rtt_ms": 1}]%s}'
)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        (HEADER, "a header and no rows"),
        (GOOD.replace(HEADER, ""), "lacks the column src, dst, gbps, usd_per_gb, rtt_ms"),
        (GOOD.replace("rtt_ms", "rtt"), "lacks the column rtt_ms"),
        (GOOD.replace("rtt_ms", "rtt_ms,colour"), "unknown column 'colour'"),
        (GOOD.replace("rtt_ms", "rtt_ms,gbps"), "names a column twice"),
        (GOOD + "a,b\n", "row 3: 2 values for 5 columns"),
        (GOOD + ROW.format("fast", 0.1, 3).replace("east4", "west1"), "row 3, gbps: 'fast'"),
        (HEADER + ROW.format("", 0.1, 3), "row 1, gbps: '' is not a number"),
        (HEADER + ROW.format("nan", 0.1, 3), "row 1, gbps: nan is out of range"),
        (HEADER + ROW.format("inf", 0.1, 3), "row 1, gbps: inf is out of range"),
        (HEADER + ROW.format(-1, 0.1, 3), "row 1, gbps: -1 is out of range"),
        (HEADER + ROW.format(0, 0.1, 3), "row 1, gbps: 0 is no link"),
        (HEADER + ROW.format(1, -0.1, 3), "row 1, usd_per_gb: -0.1 is out of range"),
        (HEADER + ROW.format(1, 0.1, "x"), "row 1, rtt_ms: 'x' is not a number"),
        (GOOD + ROW.format(1, 1, 1), "row 3: aws:us-east-1 to gcp:us-east4 stands in row 1"),
        (HEADER + "aws:a,aws:a,1,1,1\n", "row 1: src and dst are both aws:a"),
        (HEADER + "us-east-1,aws:a,1,1,1\n", "row 1, src: 'us-east-1' is not a region"),
        (b"\xff\xfe" + GOOD.encode("utf-16-le"), "is not UTF-8"),
        (b"\x00\x01\x02\xfa", "is not UTF-8"),
        ('src,"dst\n', "is not a CSV file"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"\xef\xbb\xbf\r\n", "is empty"),
        (HEADER + "\n\n" + ROW.format("x", 0.1, 3), "row 3, gbps: 'x' is not a number"),
        (HEADER + ROW.format("1_0", 0.1, 3), "row 1, gbps: '1_0' is not a number"),
        (HEADER + ROW.format("\u0664", 0.1, 3), "row 1, gbps: '\u0664' is not a number"),
        (HEADER + ROW.format("1e-12", 0.1, 3), "row 1, gbps: 1e-12 (0 at 9 decimals) is no link"),
        (HEADER + ROW.format("1e-320", 0.1, 3), "row 1, gbps: 1e-320 (0 at 9 decimals) is no link"),
        (HEADER + ROW.format(100_001, 0.1, 3), "gbps: 100001 is out of range; it must be from 0"),
        (HEADER + ROW.format(1, 1_001, 3), "usd_per_gb: 1001 is out of range; it must be from 0"),
        (HEADER + ROW.format(1, 0.1, "1e6"), "rtt_ms: 1e6 is out of range; it must be from 0 to"),
        (HEADER + ROW.format("9" * 400, 0.1, 3), "is out of range"),
    ],
)
def test_a_csv_with_an_error_says_where_in_one_sentence(
    content: str | bytes, words: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError) as caught:
        load(written(tmp_path, content))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value).replace(str(tmp_path), "")) < 250
    assert caught.value.exit_status == 2


def test_rows_that_differ_on_a_vm_are_refused(tmp_path: Path) -> None:
    text = "src,dst,gbps,usd_per_gb,rtt_ms,src_vcpus\naws:a,aws:b,1,1,1,32\naws:a,aws:c,1,1,1,64\n"
    with pytest.raises(DataError, match="row 2, src_vcpus: '64' for aws:a"):
        load(written(tmp_path, text))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("vcpus", "0", "0 vCPUs make no VM"),
        ("vcpus", "1.5", "1.5 vCPUs make no VM"),
        ("vcpus", "1e9", "1e9 is out of range"),
        ("egress_gbps", "0", "0 lets no byte through"),
        ("ingress_gbps", "1e-10", "1e-10 (0 at 9 decimals) lets no byte through"),
        ("egress_public_gbps", "200000", "200000 is out of range"),
        ("usd_per_hour", "100001", "100001 is out of range"),
        ("usd_per_hour", "free", "'free' is not a number"),
        ("vm_type", "a\x07b", r"is 'a\x07b'; it must be printable text"),
    ],
)
def test_an_impossible_vm_is_refused_with_its_row_and_column(
    name: str, value: str, words: str, tmp_path: Path
) -> None:
    column = f"src_{name}"
    text = f"src,dst,gbps,usd_per_gb,rtt_ms,{column}\n\naws:a,aws:b,1,1,1,{value}\n"
    with pytest.raises(DataError) as caught:
        load(written(tmp_path, text))
    assert f"mine.csv, row 2, {column}" in str(caught.value)
    assert words in str(caught.value)
    vm = {"type" if name == "vm_type" else name: value}
    link = {"src": "aws:a", "dst": "aws:b", "gbps": 1, "usd_per_gb": 1, "rtt_ms": 1}
    content = json.dumps({"regions": [{"id": "aws:a", "vm": vm}], "links": [link]})
    with pytest.raises(DataError) as caught:
        load(written(tmp_path, content, "m.json"))
    assert f"m.json, regions, row 1, vm, {next(iter(vm))}" in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is not JSON"),
        ("[]", "does not hold a matrix"),
        ("{}", "links is missing"),
        ('{"regions": [], "links": []}', "has no links"),
        ('{"regions": [], "links": 3}', "links is not a list"),
        ('{"regions": [], "links": [], "colour": 1}', "'colour' is unknown"),
        ('{"regions": [], "links": [{"src": "aws:a"}]}', "links, row 1: dst is missing"),
        ('{"regions": [], "links": ["x"]}', "links, row 1: 'x' is not an object"),
        pytest.param("[" * 100_000, "nested too deeply", id="deep"),
        pytest.param(LINK % ("9" * 5000, ""), "", id="5,000 digits"),
        pytest.param(
            '{"regions": [], "links": [' + "[" * 400 + "]" * 400 + "]}", "not an object", id="lists"
        ),
        pytest.param(LINK % (10**399, ""), "links, row 1, gbps: 1000000", id="400 digits"),
        (LINK % ("1e999", ""), "links, row 1, gbps: inf is out of range"),
        (LINK % ("true", ""), "links, row 1, gbps: True is not a number"),
        (LINK % ("null", ""), "links, row 1, gbps: None is not a number"),
        (LINK % (1, r', "epoch": "\ud800"'), r"epoch is '\ud800'; it must be printable text"),
        (LINK % (1, ', "epoch": 3'), "epoch is 3; it must be printable text"),
        (LINK % (1, ', "epoch": ""'), "epoch is ''; it must be printable text"),
        (LINK.replace("aws:b", r"\ud800") % (1, ""), r"dst: '\ud800' is not a region"),
    ],
)
def test_a_json_with_an_error_says_where(content: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load(written(tmp_path, content, "m.json"))
    assert words in str(caught.value)
    assert len(str(caught.value).replace(str(tmp_path), "")) < 250
    str(caught.value).encode()


def test_a_file_whose_name_is_no_text_is_read(tmp_path: Path) -> None:
    matrix = load(written(tmp_path, GOOD, "a\nb\udcff.csv"))
    assert matrix.epoch == "a?b? (user file)"
    assert matrix.digest


def test_a_damaged_parquet_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a Parquet file, or is damaged"):
        load(written(tmp_path, b"PAR1 nonsense", "m.parquet"))


def test_a_parquet_with_a_blank_figure_names_the_row(tmp_path: Path) -> None:
    row = {"src": "aws:a", "dst": "aws:b", "gbps": 1.0, "usd_per_gb": 0.1, "rtt_ms": 1.0}
    blank = {**row, "dst": "aws:c", "rtt_ms": None}
    parquet.write_table(pyarrow.Table.from_pylist([row, blank]), tmp_path / "m.parquet")
    with pytest.raises(DataError, match="row 2, rtt_ms: None is not a number"):
        load(tmp_path / "m.parquet")


def test_a_parquet_with_decimals_is_read(tmp_path: Path) -> None:
    figures = {"gbps": Decimal("4.500"), "usd_per_gb": Decimal("0.090"), "rtt_ms": Decimal("3")}
    row = {"src": "aws:a", "dst": "aws:b", **figures}
    parquet.write_table(pyarrow.Table.from_pylist([row]), tmp_path / "m.parquet")
    (link,) = load(tmp_path / "m.parquet").links
    assert (link.gbps, link.usd_per_gb, link.rtt_ms) == (4.5, 0.09, 3.0)


def test_a_folder_a_missing_file_and_another_ending_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder"):
        load(tmp_path)
    with pytest.raises(DataError, match="No such file"):
        load(tmp_path / "none.csv")
    with pytest.raises(DataError, match=r"ends in \.csv, \.parquet or \.json"):
        load(written(tmp_path, GOOD, "m.txt"))
