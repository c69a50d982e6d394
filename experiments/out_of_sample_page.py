"""The page of the out-of-sample study: tables of trials, intervals over regions, and words."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence

from experiments.out_of_sample_check import Agreement
from experiments.out_of_sample_trials import COLUMNS, EPOCHS, MEETS, MODES, STRATEGIES, Trial
from experiments.resample import Interval, mean_over_pairs

OBJECTIVES = {"fastest": "Fastest", "half": "Cheapest at half of the most"}
# The differences that are tested: each strategy against the one of fewer links.
AGAINST = (("overlay", "direct"), ("overlay", "one_hop"), ("one_hop", "direct"))
_MODE_NAMES = {
    "static": "static",
    "static_wc": "static, free",
    "dynamic": "dynamic",
    "dynamic_wc": "dynamic, free",
    "dynamic_full": "dynamic, free, 64",
}


def page(
    trials: Sequence[Trial],
    compared: Iterable[Agreement],
    *,
    columns: Sequence[str],
    command: str,
    seed: int,
) -> str:
    """The whole page, Markdown; `columns` are those asked for, of which some may be the same."""
    rows = list(compared)
    parts = [
        _head(trials, columns, command),
        _answer(trials, seed),
        *(_kept_table(trials, objective) for objective in OBJECTIVES),
        _regret_table(trials),
        _differences(trials, seed),
        _agreement(rows),
        _limits(),
    ]
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def _select(
    trials: Sequence[Trial],
    *,
    column: str,
    gcp_links: bool,
    planned_on: str,
    objective: str,
    strategy: str,
) -> list[Trial]:
    return [
        trial
        for trial in trials
        if trial.column == column
        and trial.gcp_links == gcp_links
        and trial.planned_on == planned_on
        and trial.objective == objective
        and trial.strategy == strategy
    ]


def _cases(trials: Sequence[Trial]) -> list[tuple[str, bool, str]]:
    """(column, with GCP to GCP links, epoch planned on), in the order of the tables."""
    present = {(trial.column, trial.gcp_links, trial.planned_on) for trial in trials}
    return [
        (column, gcp_links, planned_on)
        for column in COLUMNS
        for gcp_links in (True, False)
        for planned_on in EPOCHS
        if (column, gcp_links, planned_on) in present
    ]


def _head(trials: Sequence[Trial], columns: Sequence[str], command: str) -> str:
    pairs = len({(trial.source, trial.destination) for trial in trials})
    same = [column for column in columns if column not in {trial.column for trial in trials}]
    aside = "".join(
        f" `{column}` holds the same figures as `{columns[0]}` in both epochs and is not repeated."
        for column in same
    )
    return f"""# Out of sample: plans on another day's figures

This page is printed by `{command}`; do not edit it by hand.

{pairs} ordered pairs of regions, drawn by seed from those that both {EPOCHS[0]} and {EPOCHS[1]}
measured. Each is planned on one epoch and the same Plan (VMs, paths, lanes, connections, paces) is
judged on the other's links and prices, in both directions; 1 TB, 8 VMs a region at most, both
epochs cut to the links that both have. Without GCP–GCP: those links are left out of both (they
rose about fourfold, by another way of measuring).{aside}"""


def _answer(trials: Sequence[Trial], seed: int) -> str:
    """The answer in figures: what is kept, and whether relays lose more than the direct link."""
    lines = ["## What it says", ""]
    for planned_on in EPOCHS:
        other = EPOCHS[1 - EPOCHS.index(planned_on)]
        for gcp_links in (True, False):
            kept = {
                way: _select(
                    trials,
                    column=COLUMNS[0],
                    gcp_links=gcp_links,
                    planned_on=planned_on,
                    objective="fastest",
                    strategy=way,
                )
                for way in STRATEGIES
            }
            if not kept["overlay"]:
                continue
            gap = _difference(kept["overlay"], kept["direct"], "dynamic", seed)
            faster = [
                plan.carried_gbps["dynamic_wc"] / plain.carried_gbps["dynamic_wc"]
                for plan, plain in _matched(kept["overlay"], kept["direct"])
            ]
            lines.append(
                f"- {planned_on} to {other}, {_links(gcp_links)}, received, fastest: overlay's "
                f"plans carry {_mean(kept['overlay'], lambda t: t.kept('dynamic')):.0%} of what "
                f"they promised (static dispatch "
                f"{_mean(kept['overlay'], lambda t: t.kept('static')):.0%}), direct ones "
                f"{_mean(kept['direct'], lambda t: t.kept('dynamic')):.0%}; difference "
                f"{_interval(gap)} points{_verdict(gap)}. Free of their planned rates, they still "
                f"carry {statistics.median(faster):.2f} times what the direct plan does (median), "
                f"and less than it for {sum(f < 1 for f in faster) / len(faster):.0%} of pairs."
            )
    return "\n".join(lines)


def _verdict(gap: Interval) -> str:
    if gap.low > 0:
        return " (overlay keeps more)"
    return " (overlay keeps less)" if gap.high < 0 else " (no difference shown)"


def _kept_table(trials: Sequence[Trial], objective: str) -> str:
    modes = list(MODES)
    lines = [
        f"## {OBJECTIVES[objective]}: carried / promised",
        "",
        "Means over pairs. *static*: byte shares are fixed; *dynamic*: bytes go where there is",
        "room; *free*: above the planned rates (work-conserving), as far as the planned",
        "connections allow; *64*: with 64 connections on every hop. *cost*: carried over promised,",
        "dynamic.",
        "",
        "| column | links | planned on | strategy | pairs | promised Gbit/s | "
        + " | ".join(_MODE_NAMES[mode] for mode in modes)
        + " | cost |",
        "| --- | --- | --- | --- | ---: | ---: |" + " ---: |" * (len(modes) + 1),
    ]
    for column, gcp_links, planned_on in _cases(trials):
        for way in STRATEGIES:
            chosen = _select(
                trials,
                column=column,
                gcp_links=gcp_links,
                planned_on=planned_on,
                objective=objective,
                strategy=way,
            )
            if not chosen:
                continue
            kept = " | ".join(f"{_kept(chosen, mode):.3f}" for mode in modes)
            promised = _mean(chosen, lambda t: t.promised_gbps)
            cost = _mean(chosen, lambda t: t.dearer("dynamic"))
            lines.append(
                f"| {column} | {_links(gcp_links)} | {planned_on} | {way} | {len(chosen)} | "
                f"{promised:.1f} | {kept} | {cost:.3f} |"
            )
    return "\n".join(lines)


def _kept(chosen: Sequence[Trial], mode: str) -> float:
    return _mean(chosen, lambda trial: trial.kept(mode))


def _regret_table(trials: Sequence[Trial]) -> str:
    lines = [
        "## Regret: against planning anew",
        "",
        "*own*: throughput lost against the same strategy planned anew on the epoch judged;",
        "*best*: against overlay planned anew (both fastest; dynamic, planned rates; static in",
        f"brackets). At half of the most: the share of plans that carry {MEETS:.0%} of their goal,",
        "and what those cost above planning anew for that goal. *not any more*: the goal is",
        "infeasible there for that strategy.",
        "",
        "| column | links | planned on | strategy | own | best | meets goal | cost regret | "
        "not any more |",
        "| --- | --- | --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for column, gcp_links, planned_on in _cases(trials):
        for way in STRATEGIES:
            case = {"column": column, "planned_on": planned_on, "strategy": way}
            fast = _select(trials, gcp_links=gcp_links, objective="fastest", **case)
            half = _select(trials, gcp_links=gcp_links, objective="half", **case)
            meets = sum(trial.meets("dynamic") for trial in half) / len(half) if half else 0.0
            gone = sum(trial.replanned_gbps is None for trial in half)
            lines.append(
                f"| {column} | {_links(gcp_links)} | {planned_on} | {way} | "
                f"{_regret(fast, 'dynamic')} ({_regret(fast, 'static')}) | "
                f"{_lost(fast, 'dynamic')} ({_lost(fast, 'static')}) | {meets:.0%} | "
                f"{_regret(half, 'dynamic')} | {gone} of {len(half)} |"
            )
    return "\n".join(lines)


def _regret(chosen: Sequence[Trial], mode: str) -> str:
    known = [regret for trial in chosen if (regret := trial.regret(mode)) is not None]
    return f"{statistics.fmean(known):.1%}" if known else "–"


def _lost(chosen: Sequence[Trial], mode: str) -> str:
    known = [1 - t.carried_gbps[mode] / t.best_gbps for t in chosen if t.best_gbps is not None]
    return f"{statistics.fmean(known):.1%}" if known else "–"


def _differences(trials: Sequence[Trial], seed: int) -> str:
    lines = [
        "## Differences between strategies",
        "",
        "Points of carried/promised, the same pairs under both strategies; 95 % intervals by a",
        "bootstrap over regions (2,000 draws; a pair counts as often as both its ends are drawn",
        "together), since pairs that share a region share its luck. **Bold**: without 0.",
        "",
        "| objective | column | links | planned on | pairs | "
        + " | ".join(f"{a} − {b}, {mode}" for a, b in AGAINST[:2] for mode in ("static", "dynamic"))
        + " |",
        "| --- | --- | --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for objective, name in OBJECTIVES.items():
        for column, gcp_links, planned_on in _cases(trials):
            chosen = {
                way: _select(
                    trials,
                    column=column,
                    gcp_links=gcp_links,
                    planned_on=planned_on,
                    objective=objective,
                    strategy=way,
                )
                for way in STRATEGIES
            }
            cells = [
                _difference(chosen[one], chosen[other], mode, seed)
                for one, other in AGAINST[:2]
                for mode in ("static", "dynamic")
            ]
            lines.append(
                f"| {name} | {column} | {_links(gcp_links)} | {planned_on} | {cells[0].pairs} | "
                + " | ".join(_bold(cell) for cell in cells)
                + " |"
            )
    return "\n".join(lines)


def _matched(one: Sequence[Trial], other: Sequence[Trial]) -> list[tuple[Trial, Trial]]:
    by_pair = {(trial.source, trial.destination): trial for trial in other}
    return [
        (trial, by_pair[trial.source, trial.destination])
        for trial in one
        if (trial.source, trial.destination) in by_pair
    ]


def _difference(one: Sequence[Trial], other: Sequence[Trial], mode: str, seed: int) -> Interval:
    both = _matched(one, other)
    return mean_over_pairs(
        [(a.source, a.destination) for a, _ in both],
        [100 * (a.kept(mode) - b.kept(mode)) for a, b in both],
        seed=seed,
    )


def _agreement(rows: Sequence[Agreement]) -> str:
    if not rows:
        return ""
    lines = [
        "## Against the simulator",
        "",
        "Plans of the fastest Job on the other epoch's links (received), simulated to the last",
        "chunk with max-min fair sharing; paced ones with 64 connections on every hop. The",
        "arithmetic is that of a coordinated sender: what fair sharing loses shows where lanes",
        "compete.",
        "",
        "| mode | plans | simulated against arithmetic: median | largest | direct plans, largest |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for mode in dict.fromkeys(row.mode for row in rows):
        chosen = [row for row in rows if row.mode == mode]
        direct = [row.error for row in chosen if row.strategy == "direct"]
        errors = [row.error for row in chosen]
        lines.append(
            f"| {mode} | {len(chosen)} | {statistics.median(errors):+.2%} | "
            f"{max(errors, key=abs):+.2%} | {max(direct, key=abs):+.2%} |"
        )
    return "\n".join(lines)


def _limits() -> str:
    return """## What it does not say

- Two days of 2022, ten months apart, one sample of 5 s a pair: a difference is drift, noise of a
  short test and a change of the networks in one. Nothing here separates them, and nothing is said
  of minutes or hours.
- A plan chosen for its good figures meets, on another day, figures that were not chosen: part of
  what overlay loses is that selection, which no estimate of noise from two samples can remove.
- Static dispatch is arithmetic for shares that never change. A transfer that shares by free
  connections, as this toolkit's does by default, is the dynamic one.
- Planned connections are kept. Opening more is possible in life: the last column but one.
- Prices are those of the epoch judged, first tier, without the time before VMs are ready."""


def _mean(chosen: Sequence[Trial], figure: Callable[[Trial], float]) -> float:
    return statistics.fmean(figure(trial) for trial in chosen)


def _links(gcp_links: bool) -> str:
    return "all links" if gcp_links else "without GCP–GCP"


def _interval(found: Interval) -> str:
    return f"{found.mean:+.1f} ({found.low:+.1f} to {found.high:+.1f})"


def _bold(found: Interval) -> str:
    if not found.pairs:
        return "–"
    shown = _interval(found)
    return f"**{shown}**" if found.low > 0 or found.high < 0 else shown
