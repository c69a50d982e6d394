from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from datasets.errors import InputError
from datasets.events import Event
from datasets.outcome import outcome
from datasets.run import Run
from experiments.attribution import attribution
from experiments.headline import headline, measured
from experiments.progress import Progress, progress_of
from experiments.report import write_page
from planner.gain import Gains
from planner.plan import Plan
from simulator.assumptions import LinkChange, fixed_provisioning
from simulator.simulate import simulate
from simulator.world import World
from tests.tiny_plans import A, B, C, D, plan_of

TODAY = date(2026, 11, 21)
PLANTED = "<script>alert(1)</script>"
PLACES = {A: (39.0, -77.5), B: (35.7, 139.7), C: (39.1, -77.4), D: (45.8, -119.7)}
PLAN = plan_of(
    [((A, B), 2.0), ((A, C, B), 3.0), ((A, D, B), 1.0)],
    {(A, B): 5.0, (A, C): 9.6, (C, B): 9.0, (A, D): 5.0, (D, B): 5.0},
    size_bytes=10**11,
    notes=(f"a note with {PLANTED}",),
)
LOCAL = World(
    rate_scale=0.1,
    size_scale=0.01,
    connections_per_hop=2,
    chunk_bytes=2**20,
    provisioning=fixed_provisioning(1.0),
)
SLOWER = replace(LOCAL, link_changes=(LinkChange(at_s=20.0, src=A, dst=D, gbps=0.5),))


def _run(plan: Plan, world: World, **manifest: Any) -> Run:
    events = simulate(plan, world)
    return Run(folder=Path(), manifest=manifest, events=events, outcome=outcome(events))


@pytest.fixture(scope="module")
def simulated() -> Run:
    return _run(PLAN, LOCAL, seed=0)


@pytest.fixture(scope="module")
def executed() -> Run:
    cpu = {"share": 0.4, "steal": 0.01, "bound": False}
    counted = {"event_bytes": 1, "tcp_info_ratio": 1.001, "interface_ratio": 1.044}
    return _run(PLAN, SLOWER, cpu=cpu, host=PLANTED, kernel_bytes=counted)


def _page(tmp_path: Path, simulated: Run | None, executed: Run | None, **more: Any) -> str:
    path = tmp_path / "report.html"
    plan = more.pop("plan", PLAN)
    more.setdefault("places", PLACES)
    write_page(
        path,
        plan=plan,
        predicted=plan.predicted,
        simulated=simulated,
        executed=executed,
        today=TODAY,
        **more,
    )
    return path.read_text(encoding="utf-8")


class _Balanced(HTMLParser):
    """Every element is closed in order; collects names and attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, Mapping[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_first_line_answers(simulated: Run, executed: Run) -> None:
    line = headline(PLAN, PLAN.predicted, simulated, executed, TODAY)
    assert re.fullmatch(
        r"Executed [\d.]+ Gbit/s; simulated [\d.]+; predicted 6; by way of two relays; "
        r"\$[\d.]+ computed; figures measured 28 November 2022 \(3 years 11 months old\)",
        line,
    )
    assert f"Executed {executed.outcome.throughput_gbps:.3g} " in line
    assert f"simulated {simulated.outcome.throughput_gbps:.3g};" in line


def test_the_first_line_without_an_execution(simulated: Run) -> None:
    direct = plan_of([((A, B), 2.0)], {(A, B): 5.0})
    line = headline(direct, direct.predicted, None, None, TODAY)
    assert line.startswith("Predicted 2 Gbit/s; directly; $")
    assert headline(PLAN, PLAN.predicted, simulated, None, TODAY).startswith("Simulated ")


@pytest.mark.parametrize(
    ("epoch", "words"),
    [
        ("2022-11-28", "measured 28 November 2022 (3 years 11 months old)"),
        ("2026-11-01", "measured 1 November 2026 (less than a month old)"),
        ("2025-10-21", "measured 21 October 2025 (1 year 1 month old)"),
        ("mine.csv", "of mine.csv"),
    ],
)
def test_figures_have_an_age(epoch: str, words: str) -> None:
    assert measured(epoch, TODAY) == words


def test_the_page_stands_alone(tmp_path: Path, simulated: Run, executed: Run) -> None:
    """No request: no address anywhere, and no element or style that could load something."""
    html = _page(tmp_path, simulated, executed)
    assert len(html.encode()) < 1_000_000
    for banned in ("http", "url(", "@import", "src=", "href="):
        assert banned not in html
    parser = _Balanced()
    parser.feed(html)
    assert parser.open == []
    names = {name for name, _ in parser.seen}
    assert not names & {"script", "link", "img", "iframe", "object", "embed", "image", "use"}


def test_every_text_is_escaped(tmp_path: Path, simulated: Run, executed: Run) -> None:
    """Planted in the plan's notes, the strategy's name and the manifest."""
    plan = replace(PLAN, strategy=PLANTED, matrix=replace(PLAN.matrix, epoch=PLANTED))
    html = _page(tmp_path, simulated, executed, plan=plan)
    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 4


def test_map_and_links_speak_on_hover_and_focus(tmp_path: Path, simulated: Run) -> None:
    html = _page(tmp_path, simulated, None)
    parser = _Balanced()
    parser.feed(html)
    focusable = [about for name, about in parser.seen if name == "g" and "tabindex" in about]
    links, regions = 5, 4
    assert len(focusable) == 2 * (links + regions)  # in both sizes
    label = f"{A} to {D}; 1 Gbit/s, 17% of the transfer, 20% full; $0.02 a GB, RTT 100 ms"
    assert label in {about["aria-label"] for about in focusable}
    assert f"<title>{label}</title>" in html


def test_a_page_without_coordinates_has_a_schematic(tmp_path: Path, simulated: Run) -> None:
    html = _page(tmp_path, simulated, None, places={A: PLACES[A]})
    assert "A schematic" in html
    assert html.count('aria-label="Map of the overlay"') == 2


def test_executed_cost_is_computed_and_has_no_error(
    tmp_path: Path, simulated: Run, executed: Run
) -> None:
    html = _page(tmp_path, simulated, executed)
    row = re.search(r"<tr><td>cost, USD</td>(.*?)</tr>", html)
    assert row is not None
    cells = re.findall(r"<td>(.*?)</td>", row.group(1))
    assert cells[-2:] == ["–", "–"]
    assert "computed (price book × executed times and bytes)" in html
    assert "This verifies the software, not the world" in html


def test_a_start_up_dependent_gain_is_labelled(tmp_path: Path, simulated: Run) -> None:
    html = _page(tmp_path, simulated, None, gains=Gains(received=0.5, sent=0.0, min=0.0))
    assert "start-up dependent" in html
    html = _page(tmp_path, simulated, None, gains=Gains(received=0.5, sent=0.4, min=0.4))
    assert "start-up dependent" not in html


def test_missing_manifest_keys_are_tolerated(tmp_path: Path, simulated: Run) -> None:
    assert "CPU share" not in _page(tmp_path, simulated, replace(simulated, manifest={"cpu": None}))


def test_what_was_run_is_said(tmp_path: Path, simulated: Run, executed: Run) -> None:
    html = _page(tmp_path, simulated, executed)
    assert "at 0.1 of the rates and 0.01 of the bytes" in html
    assert "CPU share 40%, steal 1.0%. The CPU did not bind." in html
    assert "1.001 by sockets and 1.044 by interfaces" in html


def test_a_failed_execution_is_said(tmp_path: Path, simulated: Run) -> None:
    failed = replace(simulated, outcome=replace(simulated.outcome, ok=False))
    assert "The execution failed" in _page(tmp_path, simulated, failed)


def test_a_run_in_which_nothing_arrived_has_a_page(tmp_path: Path, simulated: Run) -> None:
    started = [Event.RUN_STARTED.value, Event.RUN_ENDED.value]
    events = simulated.events[simulated.events["event"].isin(started)].reset_index(drop=True)
    empty = Run(folder=Path(), manifest={}, events=events, outcome=outcome(events))
    assert "Executed 0 Gbit/s" in _page(tmp_path, simulated, empty)


def test_a_page_that_cannot_be_written_is_one_sentence(tmp_path: Path, simulated: Run) -> None:
    with pytest.raises(InputError, match="Cannot write the page"):
        _page(tmp_path / "missing", simulated, None)


def _progress(run: Run) -> Progress:
    progress = progress_of(PLAN, run.events, run.outcome)
    assert progress is not None
    return progress


@pytest.mark.parametrize("cpu_bound", [False, True])
def test_the_parts_sum_to_the_difference(simulated: Run, executed: Run, cpu_bound: bool) -> None:
    parts = attribution(
        _progress(simulated), _progress(executed), ("one", "two", "three"), cpu_bound=cpu_bound
    )
    difference = executed.outcome.makespan_s - simulated.outcome.makespan_s
    assert sum(part.seconds for part in parts) == pytest.approx(difference, abs=1e-6)
    assert difference > 1


def test_the_slower_path_is_named(simulated: Run, executed: Run) -> None:
    """Only the third path's link fell, to half its planned rate."""
    parts = {
        part.cause: part.seconds
        for part in attribution(
            _progress(simulated), _progress(executed), ("one", "two", "three"), cpu_bound=False
        )
    }
    steady = {cause: s for cause, s in parts.items() if cause.startswith("steady")}
    assert max(steady, key=lambda cause: steady[cause]) == "steady rate of three"


def test_progress_has_every_bit(simulated: Run) -> None:
    progress = _progress(simulated)
    total = sum(float(moved[-1]) for _, moved in progress.curves)
    assert total == pytest.approx(simulated.outcome.size_bytes * 8e-9, rel=1e-6)
    assert progress.end_s == pytest.approx(simulated.outcome.makespan_s)
    assert 0 < progress.first_s < progress.empty_s < progress.end_s


def test_a_run_of_few_chunks_is_steady_throughout(simulated: Run) -> None:
    """Three chunks on three lanes: all are read at once, so there is no queue to speak of."""
    few = _run(PLAN, replace(LOCAL, objects=(3 * 2**20,)))
    parts = attribution(_progress(few), _progress(few), ("one", "two", "three"), cpu_bound=False)
    assert sum(part.seconds for part in parts) == pytest.approx(0.0, abs=1e-9)
