"""The rules of the house, each with a planted breach that is seen caught."""

from __future__ import annotations

import ast
import importlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import click
import pytest

from experiments.cli import VERBS

ROOT = Path(__file__).parents[2]
FLOORS = ("datasets", "planner", "simulator", "executor", "experiments")
CODE = (*FLOORS, "tests", "benchmarks")
BANNED_NAMES = {"utils", "common", "helpers", "types", "util", "helper", "misc"}
MOST_LINES = 500


# --- Imports point down.


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The five floors' code and the contracts, in a folder of their own."""
    for floor in FLOORS:
        ignore = shutil.ignore_patterns("*.csv", "__pycache__", "*.md", "*.json")
        shutil.copytree(ROOT / floor, tmp_path / floor, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_import_contracts_hold() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("simulator/world.py", "import executor.scale", "floors: imports point down"),
        ("datasets/units.py", "import planner.job", "floors: imports point down"),
        ("planner/plan.py", "import planner.cli", "no import cycles between siblings"),
        ("planner/plan.py", "import boto3", "cloud SDKs stay at the executor's edge"),
        ("executor/scale.py", "import simpy", "solvers stay in the planner, SimPy in the sim"),
    ],
)
def test_a_planted_import_is_caught(file: str, line: str, contract: str, copied: Path) -> None:
    where = copied / file
    planted = "from __future__ import annotations\n"
    where.write_text(where.read_text().replace(planted, f"{planted}{line}\n", 1))
    done = lint_imports(copied)
    assert done.returncode == 1
    assert re.search(rf"^{re.escape(contract)}.* BROKEN$", done.stdout, re.MULTILINE), done.stdout


# --- Cold start: planning and a gateway load only what they use.

PLAN = """
import planner.cli
from experiments.cli import cli
try:
    cli.main(["plan", "--help"])
except SystemExit:
    pass
"""
GATEWAY = """
import runpy, sys
sys.argv = ["executor.gateway", "--help"]
try:
    runpy.run_module("executor.gateway", run_name="__main__")
except SystemExit:
    pass
"""
HEAVY_FOR_A_PLAN = ("pandas", "matplotlib", "simpy", "grpc", "boto3", "google.cloud", "hydra")
HEAVY_FOR_A_GATEWAY = ("pandas", "numpy", "ortools", "simpy", "boto3", "google.cloud", "hydra")


def loaded_by(code: str, names: tuple[str, ...]) -> set[str]:
    """Which of `names` a fresh interpreter has loaded after `code`."""
    told = f"\nimport sys\nsys.stderr.write(' '.join(set({names!r}) & set(sys.modules)))\n"
    done = subprocess.run(
        [sys.executable, "-c", code + told], capture_output=True, text=True, check=True, timeout=60
    )
    assert "--" in done.stdout  # the help was really printed
    return set(done.stderr.split())


def test_planning_starts_without_what_other_floors_need() -> None:
    assert loaded_by(PLAN, HEAVY_FOR_A_PLAN) == set()


def test_a_gateway_starts_without_tables_and_solvers() -> None:
    assert loaded_by(GATEWAY, HEAVY_FOR_A_GATEWAY) == set()


@pytest.mark.parametrize("code", [PLAN, GATEWAY])
def test_a_heavy_import_would_be_seen(code: str) -> None:
    assert loaded_by("import simpy\n" + code, HEAVY_FOR_A_PLAN) >= {"simpy"}


# --- What stands in the files.


def files_of(root: Path, folders: tuple[str, ...]) -> Iterator[Path]:
    for folder in folders:
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


def modules(root: Path) -> list[Path]:
    return [path for path in files_of(root, CODE) if path.suffix == ".py"]


def is_generated(path: Path) -> bool:
    return path.name.startswith("messages_pb2")


def machine_paths(path: Path, _: ast.Module | None = None) -> list[str]:
    """Paths of this machine: the home directory and the checkout."""
    found = []
    text = path.read_bytes().decode(errors="replace")
    # A checkout below the home folder is one path, not two.
    named_paths = {str(Path.home()), str(ROOT)} - {"/"}
    for named in named_paths:
        if any(other != named and named.startswith(f"{other}/") for other in named_paths):
            continue
        if re.search(rf"(?<![\w./:-]){re.escape(named)}(?=/|\b)", text):
            found.append(f"{path}: a path of this machine, {named}")
    return found


def is_verb_file(path: Path) -> bool:
    return path.name in ("cli.py", "__main__.py") or path.name.endswith("_cli.py")


def prints(path: Path, tree: ast.Module) -> list[str]:
    """`print(` outside the files that render for a terminal."""
    if is_verb_file(path):
        return []
    return [
        f"{path}:{node.lineno}: print"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]


def bare_excepts(path: Path, tree: ast.Module) -> list[str]:
    return [
        f"{path}:{node.lineno}: a bare except"
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler) and node.type is None
    ]


def relative_imports(path: Path, tree: ast.Module) -> list[str]:
    return [
        f"{path}:{node.lineno}: a relative import"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level > 0
    ]


def catch_all_names(path: Path, _: ast.Module) -> list[str]:
    """Modules and folders named for nothing in particular."""
    names = {path.stem, path.parent.name}
    return [f"{path}: a name for nothing in particular"] if names & BANNED_NAMES else []


def too_long(path: Path, _: ast.Module) -> list[str]:
    lines = path.read_text().count("\n")
    return [f"{path}: {lines} lines"] if lines > MOST_LINES else []


Rule = Callable[[Path, ast.Module], list[str]]
RULES: tuple[Rule, ...] = (
    machine_paths,
    prints,
    bare_excepts,
    relative_imports,
    catch_all_names,
    too_long,
)
BREACHES = {
    machine_paths: ("x.py", f"WHERE = '{ROOT}/datasets'\n"),
    prints: ("x.py", "print('hello')\n"),
    bare_excepts: ("x.py", "try:\n    pass\nexcept:\n    pass\n"),
    relative_imports: ("x.py", "from . import y\n"),
    catch_all_names: ("utils.py", ""),
    too_long: ("x.py", "x = 1\n" * (MOST_LINES + 1)),
}


def breaches(rule: Rule, paths: list[Path]) -> list[str]:
    found = []
    for path in paths:
        if not is_generated(path):
            found += rule(path, ast.parse(path.read_bytes()))
    return found


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_rule_of_the_house_holds(rule: Rule) -> None:
    paths = modules(ROOT)
    assert len(paths) > 100
    assert breaches(rule, paths) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_planted_breach_is_caught(rule: Rule, tmp_path: Path) -> None:
    name, text = BREACHES[rule]
    planted = tmp_path / "simulator" / name
    planted.parent.mkdir()
    planted.write_text(text)
    assert len(breaches(rule, modules(tmp_path))) == 1


def test_no_path_of_this_machine_stands_in_any_file() -> None:
    """Not only in modules: tables, pages and configuration too."""
    top = [path for path in ROOT.iterdir() if path.is_file()]
    paths = [*top, *files_of(ROOT, (*CODE, "docs", ".ci", "paper"))]
    assert [found for path in paths for found in machine_paths(path)] == []


def test_the_home_directory_in_a_page_would_be_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"See {Path.home()}/notes.")
    assert machine_paths(page)


# --- What is registered is there.


def entry_points() -> list[metadata.EntryPoint]:
    groups = ("tradewind.strategies", "tradewind.providers")
    return [point for group in groups for point in metadata.entry_points(group=group)]


def test_every_entry_point_loads() -> None:
    points = entry_points()
    assert len(points) >= 6
    for point in points:
        assert callable(point.load()), point


def test_an_entry_point_to_nothing_would_be_seen() -> None:
    point = metadata.EntryPoint(
        name="gone", value="planner.strategies.gone:gone", group="tradewind.strategies"
    )
    with pytest.raises(ModuleNotFoundError):
        point.load()


# Verbs whose output is a file's own bytes: `export` has --format, `document` prints a page.
WITHOUT_JSON = {"matrix export", "matrix document"}


def commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for verb, inner in command.commands.items():
            yield from commands(inner, f"{name} {verb}")
    else:
        yield name, command


def has_json(command: click.Command) -> bool:
    return any("--json" in parameter.opts for parameter in command.params)


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_loads_and_speaks_json(verb: str) -> None:
    module, _, attribute = VERBS[verb][0].partition(":")
    command = getattr(importlib.import_module(module), attribute)
    assert isinstance(command, click.Command)
    found = dict(commands(command, verb))
    assert found
    silent = {name for name, inner in found.items() if not has_json(inner)}
    assert silent <= WITHOUT_JSON
    assert all(inner.help for inner in found.values())


def test_a_verb_without_json_would_be_seen() -> None:
    assert not has_json(click.Command("x", params=[click.Option(["--format"])]))
