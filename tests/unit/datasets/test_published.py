"""The compiled files of this repository against the published ones, where these are at hand."""

from __future__ import annotations

import csv
import gzip
import os
from collections import defaultdict
from importlib import resources
from pathlib import Path
from statistics import median

import pytest

from datasets.compile import compile_published
from datasets.epochs import MatrixChoice, load_matrix

REASON = "TRADEWIND_PUBLISHED names no folder of published files"


def published_folder() -> Path:
    folder = os.environ.get("TRADEWIND_PUBLISHED")
    if not folder:
        pytest.skip(REASON)
    return Path(folder)


def without_zone(region: str) -> str:
    return region[:-2] if region.startswith("gcp:") else region


def test_compiled_files_equal_a_fresh_compile() -> None:
    fresh = compile_published(published_folder())
    for name, data in fresh.items():
        assert resources.files("datasets").joinpath(name).read_bytes() == data, name


def test_the_default_matrix_equals_a_recount_of_the_published_file() -> None:
    """Recounted here by other means: median received of each pair, price of the late book."""
    raw = published_folder() / "raw"
    with gzip.open(raw / "throughput_2022-11-28.csv.gz", "rt", newline="") as file:
        figures = defaultdict(list)
        for row in csv.DictReader(file):
            ends = [without_zone(row["src_region"]), without_zone(row["dst_region"])]
            figures[ends[0], ends[1]].append(float(row["throughput_recieved"]) / 1e9)
    with gzip.open(raw / "price_2023-02-06.csv.gz", "rt", newline="") as file:
        prices = {
            (without_zone(row["src"]), without_zone(row["dest"])): float(row["cost"])
            for row in csv.DictReader(file)
        }
    matrix = load_matrix(MatrixChoice())
    assert {(link.src, link.dst) for link in matrix.links} == set(figures)
    for link in matrix.links:
        assert link.gbps == pytest.approx(median(figures[link.src, link.dst]), abs=1e-9)
        assert link.usd_per_gb == prices[link.src, link.dst]
