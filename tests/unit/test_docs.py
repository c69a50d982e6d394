"""What the pages say that can be checked: their examples, the files they name, the dependencies."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from datasets.epochs import MatrixChoice, load_matrix
from planner.checks import check
from planner.job import Job

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/*.md", "*/README.md")
    for path in ROOT.glob(pattern)
    if not path.relative_to(ROOT).parts[0].startswith(".")
)
# A file of ours: a path below one of these folders, that does not begin with a variable part.
NAMED = re.compile(
    r"`((?:datasets|planner|simulator|executor|experiments|benchmarks|tests|docs)/[\w./-]+)"
)


def project() -> Any:
    toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    return toml.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_there_are_pages() -> None:
    assert {"DEVELOPERS.md", "docs/concepts.md", "executor/README.md"} <= set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_is_there(page: str) -> None:
    example = "planner/strategies/mine.py"
    for name in NAMED.findall((ROOT / page).read_text()):
        if name != example:
            assert list(ROOT.glob(f"{name.rstrip('./')}*")), f"{page} names {name}"


@pytest.mark.parametrize("page", PAGES)
def test_every_page_that_a_page_links_to_is_there(page: str) -> None:
    for target in re.findall(r"\]\(([\w./-]+)(?:#[\w-]+)?\)", (ROOT / page).read_text()):
        assert (ROOT / page).parent.joinpath(target).exists(), f"{page} links to {target}"


def test_the_strategy_of_the_developers_page_plans() -> None:
    text = (ROOT / "DEVELOPERS.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {}
    imports = (
        "from datasets.matrix import Matrix\nfrom planner.job import Job\n"
        "from planner.plan import Plan\nfrom planner.topology import topology\n"
        "from planner.unicast import plan_over\n"
    )
    exec(imports + code, names)  # noqa: S102  # the page's own example
    matrix = load_matrix(MatrixChoice(epoch="2022-11-28"))
    job = Job(
        source="aws:us-east-1", destinations=("gcp:us-west1",), size_bytes=10**12, goal_gbps=5.0
    )
    made = names["mine"](matrix, job)
    check(made, matrix)
    assert made.predicted.throughput_gbps >= 5.0 - 1e-6


def test_the_dependencies_page_lists_the_direct_ones_and_no_other() -> None:
    about = project()
    extras = [*about["optional-dependencies"].values()]
    asked = {re.split(r"[<>=~! ]", each)[0] for each in sum(extras, about["dependencies"])}
    text = (ROOT / "docs" / "dependencies.md").read_text()
    listed = set()
    for row in re.findall(r"^\| (?!package|extra|---)(.+?) \|$", text, re.MULTILINE):
        cells = row.split(" | ")
        names = cells[1] if cells[0] in about["optional-dependencies"] else cells[0]
        listed |= set(names.split(", "))
    assert listed == asked
