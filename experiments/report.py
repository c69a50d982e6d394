"""One self-contained HTML page for a Plan: predicted, simulated, executed, and why they differ.

Its first line answers; then one map, throughput over time, where the error comes from; the rest is
folded: chunks, queues at relays, cost, makespans over trials (`report_figures.py`), and tables.
Nothing is requested from anywhere, and every text is escaped (`markup.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from datasets.coordinates import coordinates
from datasets.files import write_whole
from datasets.outcome import Outcome
from datasets.run import Run
from datasets.units import render_size
from experiments.attempts import Attempts, attempts_of
from experiments.attribution import attribution
from experiments.figures_trials import Trials, trials_of
from experiments.headline import gain_words, headline, usd_of
from experiments.marks import counted, mark_words, marks_of
from experiments.markup import Markup, joined, table, tag
from experiments.overlay_map import Places, overlay_map
from experiments.progress import Progress, progress_of
from experiments.report_details import details
from experiments.report_figures import folded_figures
from experiments.style import (
    CSS,
    EXECUTED_OPACITY,
    FULLNESS,
    SIMULATED_OPACITY,
    path_colour,
)
from experiments.throughput_chart import Layer, throughput_chart
from experiments.ways import planned_gbps
from planner.cost import Predicted
from planner.gain import Gains
from planner.plan import Plan

_MOST_LEGEND = 8
# Less than this is shown as nothing.
_NOTHING_S = 5e-4


def write_page(
    path: Path,
    *,
    plan: Plan,
    predicted: Predicted,
    simulated: Run | None,
    executed: Run | None,
    today: date,
    gains: Gains | None = None,
    places: Places | None = None,
    trials: Trials | None = None,
    said: Sequence[str] = (),
) -> None:
    """Write the page, whole or not at all.

    Any of the Runs may be missing. `gains` is what the relays gain over direct; `places` the
    coordinates of regions (latitude, longitude), by default those of `datasets/coordinates.py`:
    where one is unknown, a schematic is drawn. `trials` are those of the simulated Run's manifest
    unless given; `said` are sentences to stand first.
    Raises: InputError if the file cannot be written.
    """
    html = page(
        plan=plan,
        predicted=predicted,
        simulated=simulated,
        executed=executed,
        today=today,
        gains=gains,
        places=_known_places(plan) if places is None else places,
        trials=trials,
        said=said,
    )
    write_whole(path, html.encode(), what="page")


def page(
    *,
    plan: Plan,
    predicted: Predicted,
    simulated: Run | None,
    executed: Run | None,
    today: date,
    gains: Gains | None = None,
    places: Places,
    trials: Trials | None = None,
    said: Sequence[str] = (),
) -> Markup:
    """The whole document."""
    sim = _shown(plan, simulated, name="Simulated", opacity=SIMULATED_OPACITY)
    real = _shown(plan, executed, name="Executed", opacity=EXECUTED_OPACITY)
    shown = [each for each in (sim, real) if each is not None]
    if trials is None and simulated is not None:
        trials = trials_of(simulated.manifest)
    first = headline(plan, predicted, simulated, executed, today)
    body = [
        tag("h1", first),
        tag(
            "p",
            f"{render_size(plan.job.size_bytes)} from {_ends(plan)}, planned by {plan.strategy}. ",
            tag("span", gain_words(gains), class_="quiet"),
        ),
        *(tag("p", sentence) for sentence in said),
        *(() if executed is None or executed.outcome.ok else (_failed(),)),
        tag("h2", "The overlay"),
        _map(plan, places),
        *_over_time(plan, predicted, shown),
        *folded_figures(plan, [(each.run, each.attempts) for each in shown], trials),
        tag("h2", "Where the error comes from"),
        _errors(plan, predicted, simulated, executed),
        *_attributed(sim, real),
        *_scale(executed),
        *details(plan, simulated, executed),
    ]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{_ends(plan)} by {plan.strategy}"),
        tag("style", Markup(CSS)),
    )
    whole = tag("html", head, tag("body", tag("main", *body)), lang="en")
    return Markup(f"<!doctype html>\n{whole}\n")


def _failed() -> Markup:
    return tag("p", tag("strong", "The execution failed; its figures are of what had arrived."))


def _known_places(plan: Plan) -> Places:
    found = {region: coordinates(region) for region in plan.vms}
    return {region: place for region, place in found.items() if place is not None}


def _map(plan: Plan, places: Places) -> Markup:
    legend = tag(
        "ul",
        tag("li", "Link full to:"),
        *(tag("li", _swatch(colour), words) for _, colour, words in FULLNESS),
        class_="legend",
    )
    known = all(region in places for region in plan.vms)
    drawn = (
        "Regions at their coordinates (close ones drawn apart)"
        if known
        else "A schematic: coordinates are not known for every region"
    )
    return tag(
        "figure",
        overlay_map(plan, places),
        legend,
        tag(
            "figcaption",
            f"{drawn}; width by Gbit/s, colour and percentage by how full the link is. Hover, or "
            "step with Tab, for price, RTT and share.",
        ),
    )


def _over_time(plan: Plan, predicted: Predicted, shown: Sequence[_Shown]) -> tuple[Markup, ...]:
    drawn = [(each, each.progress) for each in shown if each.progress is not None]
    if not drawn:
        return ()
    names = list(dict.fromkeys(name for _, progress in drawn for name in progress.names))
    layers = [
        Layer(
            name=each.name,
            progress=progress.ordered(names),
            opacity=each.opacity,
            marks=marks_of(each.run.events, each.run.outcome),
        )
        for each, progress in drawn
    ]
    legend = tag(
        "ul",
        *(
            tag("li", _swatch(path_colour(at)), words)
            for at, words in enumerate(names[:_MOST_LEGEND])
        ),
        *(
            [tag("li", f"and {len(names) - _MOST_LEGEND} more")]
            if len(names) > _MOST_LEGEND
            else []
        ),
        class_="legend",
    )
    befell = [
        f"{layer.name.lower()} {', '.join(each)}"
        for layer in layers
        if (each := [mark_words(*entry) for entry in counted(layer.marks).items()])
    ]
    return (
        tag("h2", "Throughput over time"),
        tag(
            "figure",
            throughput_chart(
                layers,
                promised_gbps=planned_gbps(plan, predicted),
                promised_s=predicted.makespan_s,
            ),
            legend,
            tag(
                "figcaption",
                f"Stacked by {'tree' if plan.trees else 'path'}: simulated light, executed solid, "
                "the dashed outline predicted. Each chunk's bytes are spread over the time from "
                "its reading to its arrival."
                + (f" Marks on the axis: {'; '.join(befell)}." if befell else ""),
            ),
        ),
    )


def _errors(
    plan: Plan, predicted: Predicted, simulated: Run | None, executed: Run | None
) -> Markup:
    """Predicted, simulated, executed; errors in per cent, but none for the computed cost."""
    cost = predicted.cost_usd
    figures: list[tuple[str, float, Callable[[Outcome], float], bool]] = [
        ("throughput, Gbit/s", planned_gbps(plan, predicted), lambda it: it.throughput_gbps, False),
        ("makespan, s", predicted.makespan_s, lambda it: it.makespan_s, False),
        ("egress, USD", cost.egress, lambda it: it.egress_usd, True),
        ("VM time, USD", cost.vm, lambda it: it.vm_usd, True),
        ("cost, USD", cost.total, usd_of, True),
    ]
    rows = []
    for name, promised, figure, computed in figures:
        sim = None if simulated is None else figure(simulated.outcome)
        real = None if executed is None else figure(executed.outcome)
        against = None if computed else real
        rows.append(
            [
                name,
                _number(promised),
                _number(sim),
                _error(sim, promised),
                _number(real),
                _error(against, sim),
                _error(against, promised),
            ]
        )
    head = [
        "",
        "predicted",
        "simulated",
        "simulated / predicted",
        "executed",
        "executed / simulated",
        "executed / predicted",
    ]
    if executed is None:
        return table(head[:4], [row[:4] for row in rows])
    return joined(
        [
            table(head, rows),
            tag(
                "p",
                "Executed cost is computed (price book × executed times and bytes), not observed, "
                "so it has no error.",
                class_="quiet",
            ),
        ]
    )


def _attributed(simulated: _Shown | None, executed: _Shown | None) -> tuple[Markup, ...]:
    if simulated is None or executed is None:
        return ()
    sim, real = simulated.progress, executed.progress
    if sim is None or real is None:
        return ()
    names = tuple(dict.fromkeys((*sim.names, *real.names)))
    cpu_bound = _cpu(executed.run).get("bound") is True
    parts = attribution(sim.ordered(names), real.ordered(names), names, cpu_bound=cpu_bound)
    shown = [p for p in parts if abs(p.seconds) >= _NOTHING_S or "steady" not in p.cause]
    total = sum(part.seconds for part in parts)
    longer = f"takes {abs(total):.4g} s {'more' if total > 0 else 'less'} than simulated"
    if abs(total) < _NOTHING_S:
        longer = "takes as long as simulated"
    return (
        tag(
            "p",
            f"Executed {longer} (real seconds); the parts, from the two event tables, sum to it:",
        ),
        table(
            ["part", "seconds", "why"],
            [[part.cause, _signed(part.seconds), part.why] for part in shown],
            words=frozenset({2}),
            foot=["executed − simulated", _signed(total), ""],
        ),
    )


def _scale(executed: Run | None) -> tuple[Markup, ...]:
    """What was really run, and what it shows."""
    if executed is None:
        return (
            tag(
                "p",
                "Nothing was executed.",
                class_="quiet",
            ),
        )
    result, cpu = executed.outcome, _cpu(executed)
    words = [
        f"Run on this machine at {result.rate_scale:.4g} of the rates and {result.size_scale:.4g} "
        f"of the bytes, {result.wall_s:.1f} s by the clock; start-up and delays are not scaled."
    ]
    share, steal = cpu.get("share"), cpu.get("steal")
    if isinstance(share, int | float):
        words.append(f"CPU share {share:.0%}")
        if isinstance(steal, int | float):
            words[-1] += f", steal {steal:.1%}"
        words[-1] += "."
    if cpu.get("bound") is True:
        words.append("The CPU bound this run: leave it out of fidelity figures.")
    elif cpu.get("bound") is False:
        words.append("The CPU did not bind.")
    words += _kernel(executed)
    words.append(
        "This verifies the software, not the world: the links were shaped to the figures that the "
        "plan was made from."
    )
    return (tag("p", " ".join(words), class_="quiet"),)


def _kernel(executed: Run) -> list[str]:
    """How the kernel's own counters compare with the bytes that the events claim."""
    counters = executed.manifest.get("kernel_bytes")
    if not isinstance(counters, Mapping):
        return []
    ratios = [
        f"{ratio:.3f} by {words}"
        for key, words in (("tcp_info_ratio", "sockets"), ("interface_ratio", "interfaces"))
        if isinstance(ratio := counters.get(key), int | float)
    ]
    if not ratios:
        return []
    return [f"The kernel counted, of the bytes in the events, {' and '.join(ratios)}."]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """A Run on the page, with what is read off its events once."""

    name: str
    opacity: float
    run: Run
    attempts: Attempts
    progress: Progress | None


def _shown(plan: Plan, run: Run | None, *, name: str, opacity: float) -> _Shown | None:
    if run is None:
        return None
    attempts = attempts_of(plan, run.events, run.outcome)
    progress = progress_of(plan, run.events, run.outcome, attempts=attempts)
    return _Shown(name=name, opacity=opacity, run=run, attempts=attempts, progress=progress)


def _ends(plan: Plan) -> str:
    return f"{' and '.join(plan.job.sources)} to {', '.join(plan.job.destinations)}"


def _cpu(run: Run) -> Mapping[str, object]:
    cpu = run.manifest.get("cpu")
    return cpu if isinstance(cpu, Mapping) else {}


def _swatch(colour: str) -> Markup:
    return tag("span", class_="swatch", style=f"background:{colour}")


def _number(value: float | None) -> str:
    """Four significant digits; thousands in full."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 9999.5 else f"{value:.4g}"


def _error(value: float | None, against: float | None) -> str:
    if value is None or against is None or against == 0:
        return "–"
    error = value / against - 1
    return "0.0%" if abs(error) < 5e-4 else f"{error:+.1%}"


def _signed(seconds: float) -> str:
    if abs(seconds) < _NOTHING_S:
        return "0.000"
    return f"{seconds:+.3f}" if abs(seconds) < 10 else f"{seconds:+,.1f}"
