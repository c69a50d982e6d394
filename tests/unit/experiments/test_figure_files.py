"""Figures as files, inline in pages, and by the verb."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from datasets.errors import InputError
from datasets.run import Run, write_run
from experiments.cli import cli
from experiments.figures import NARROW_IN, save
from experiments.figures_chunks import chunks
from experiments.figures_time import cost, queues, throughput
from experiments.figures_trials import Trials, makespans, simulated_against_predicted
from experiments.inline_svg import inline_svg
from experiments.report import write_page
from experiments.style import CSS, THEME
from planner.plan import Plan
from tests.event_tables import PLAN, TREE_PLAN, lossy, many, spread
from tests.tiny_plans import A, B, C, D

TODAY = date(2026, 11, 21)

DRAWN: dict[str, Callable[[], Any]] = {
    "throughput": lambda: throughput(PLAN, [lossy()]),
    "chunks": lambda: chunks(PLAN, lossy()),
    "queues": lambda: queues(PLAN, lossy()),
    "cost": lambda: cost(lossy()),
    "trees": lambda: chunks(TREE_PLAN, spread(), width_in=NARROW_IN),
    "makespans": lambda: makespans([1.0, 2.0], promised_s=1.5, assumed="x"),
    "plans": lambda: simulated_against_predicted([("overlay", 1.0, 1.01)]),
}


@pytest.mark.parametrize("kind", ["svg", "png", "pdf"])
@pytest.mark.parametrize("name", DRAWN)
def test_the_same_run_gives_the_same_bytes(name: str, kind: str, tmp_path: Path) -> None:
    first, second = tmp_path / f"first.{kind}", tmp_path / f"second.{kind}"
    save(DRAWN[name](), first)
    save(DRAWN[name](), second)
    assert first.read_bytes() == second.read_bytes()
    assert b"Date" not in first.read_bytes()
    assert list(tmp_path.iterdir()) in ([first, second], [second, first])


@pytest.mark.parametrize("name", DRAWN)
def test_inline_svg_refers_to_nothing_and_follows_the_theme(name: str) -> None:
    svg = inline_svg(DRAWN[name](), class_="wide")
    assert svg == inline_svg(DRAWN[name](), class_="wide")
    for banned in ("id=", "url(", "href", "<use", "<?xml", "http", "DejaVu", "clip-path"):
        assert banned not in svg
    assert svg.startswith('<svg viewBox="0 0 ')
    assert not re.search(r'<svg[^>]* (width|height)="', svg)
    assert "var(--text)" in svg
    assert not any(colour in svg for colour in THEME.values())
    assert svg.count("<g") == svg.count("</g>")


def test_text_of_a_run_is_escaped_inline() -> None:
    planted = makespans([1.0], promised_s=1.0, assumed="<script>alert(1)</script>")
    assert "<script" not in inline_svg(planted)


def test_the_theme_is_that_of_the_pages() -> None:
    for name, colour in THEME.items():
        assert f"--{name}:{colour}" in CSS


def test_settings_of_the_reader_change_nothing(tmp_path: Path) -> None:
    import matplotlib as mpl

    save(DRAWN["cost"](), tmp_path / "as-is.svg")
    with mpl.rc_context({"font.size": 20, "axes.grid": True, "svg.fonttype": "none"}):
        save(DRAWN["cost"](), tmp_path / "theirs.svg")
    assert (tmp_path / "as-is.svg").read_bytes() == (tmp_path / "theirs.svg").read_bytes()


def test_a_picture_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"end it in \.svg, \.png, \.pdf"):
        save(DRAWN["cost"](), tmp_path / "cost.gif")
    with pytest.raises(InputError, match="Cannot write the picture"):
        save(DRAWN["cost"](), tmp_path / "missing" / "cost.svg")


# --- The page.


def page(tmp_path: Path, plan: Plan, simulated: Run | None, **more: Any) -> str:
    path = tmp_path / "report.html"
    given: dict[str, Any] = {"executed": None, "places": {}, **more}
    write_page(path, plan=plan, predicted=plan.predicted, simulated=simulated, today=TODAY, **given)
    return path.read_text(encoding="utf-8")


def test_a_page_of_a_simulation_alone_speaks_of_nothing_else(tmp_path: Path) -> None:
    html = page(tmp_path, PLAN, many(40))
    assert "executed / simulated" not in html
    assert "Executed" not in html
    for fold in ("Chunks: when each was under way", "Queues at relays", "Cost as it accrues"):
        assert f"<summary>{fold}</summary>" in html
    assert "Simulated: No relay ever holds a whole chunk" in html
    assert "Makespans over trials" not in html
    assert "Nothing was executed" in html


def test_a_page_has_the_trials_given_or_those_of_the_manifest(tmp_path: Path) -> None:
    trials = Trials(makespan_s=(0.02, 0.03), cost_usd=(1.0, 1.0), assumed="a coin is tossed")
    assert "assumed: a coin is tossed" in page(tmp_path, PLAN, many(40), trials=trials)
    value = {"makespan_s": [0.02], "cost_usd": [1.0], "assumed": "dice"}
    run = replace(many(40), manifest={"trials": value})
    assert "assumed: dice" in page(tmp_path, PLAN, run)


def test_a_page_of_trees_shows_them(tmp_path: Path) -> None:
    html = page(tmp_path, TREE_PLAN, spread())
    assert "; along two trees, by way of one relay; $" in html
    assert "Stacked by tree" in html
    for src, dst in {edge for tree in TREE_PLAN.trees for edge in tree.edges}:
        assert f"<title>{src} to {dst}; " in html
    assert f"{A} → {C} → ({B}, {D})" in html


def test_a_run_in_which_nothing_was_read_has_a_page(tmp_path: Path) -> None:
    assert "No chunk was read, so there is none to show." in page(tmp_path, PLAN, many(0))


@pytest.mark.parametrize("together", [8, 200])
def test_a_page_of_a_hundred_thousand_chunks_stays_small(tmp_path: Path, together: int) -> None:
    run = many(100_000, together=together)
    html = page(tmp_path, PLAN, run, executed=run)
    assert len(html.encode()) < 600_000
    assert "apart are joined, up to" in html


# --- The verb.


def written(tmp_path: Path, run_id: str, run: Run, **manifest: Any) -> str:
    events = run.events.assign(run_id=run_id)
    kind = "simulated" if run.outcome.clock == "sim" else "executed"
    plan: Any = PLAN.as_json()
    folder = write_run(tmp_path, run_id, kind=kind, plan=plan, events=events, manifest=manifest)
    return str(folder)


def test_the_verb_writes_one_file_a_figure_that_applies(tmp_path: Path) -> None:
    trials = {"makespan_s": [0.02, 0.03], "cost_usd": [1.0, 1.0], "assumed": "noise"}
    one = written(tmp_path, "a" * 32, many(40), trials=trials)
    two = written(tmp_path, "b" * 32, lossy())
    out = tmp_path / "out"
    done = CliRunner().invoke(cli, ["figures", one, two, one, "--out", str(out), "--json"])
    assert done.exit_code == 0, done.output
    entries = json.loads(done.output)["figures"]
    plan_name = PLAN.id[:12]
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [
            *(f"{'a' * 12}-{name}.svg" for name in ("throughput", "chunks", "cost", "makespans")),
            *(f"{'b' * 12}-{name}.svg" for name in ("throughput", "chunks", "queues", "cost")),
            f"{plan_name}-throughput.svg",
            "simulated-against-predicted.svg",
        ]
    )
    left_out = [entry for entry in entries if "left_out" in entry]
    assert [(entry["figure"], entry["of"]) for entry in left_out] == [("queues", "a" * 12)]
    assert all(Path(entry["file"]).exists() for entry in entries if "file" in entry)


def test_the_verb_says_what_it_wrote_and_what_not(tmp_path: Path) -> None:
    one = written(tmp_path, "a" * 32, many(40))
    args = ["figures", one, "--out", str(tmp_path / "out"), "--format", "png"]
    done = CliRunner().invoke(cli, args)
    assert done.exit_code == 0
    assert f"{'a' * 12}-cost.png: Cost of the real transfer" in done.output
    assert "No figure “queues” of aaaaaaaaaaaa: No relay ever holds" in done.output


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"run": "nowhere"}, "not a run's folder"),
        ({"out": "file"}, "Cannot write figures to"),
        ({"kind": "gif"}, "Unknown format 'gif'; there are svg, png, pdf"),
    ],
)
def test_bad_input_of_the_verb_is_one_sentence(
    change: dict[str, str], sentence: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    run = written(tmp_path, "a" * 32, many(4))
    args = {"run": run, "out": "out", "kind": "svg", **change}
    told = [str(tmp_path / args["run"]), "--out", str(tmp_path / args["out"])]
    done = CliRunner().invoke(cli, ["figures", *told, "--format", args["kind"]])
    assert isinstance(done.exception, InputError)
    assert done.exception.exit_status == 2
    assert sentence in str(done.exception)
    assert "\n" not in str(done.exception)
