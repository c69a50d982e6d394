"""The folded figures of a Run's page: chunks, queues at relays, cost, makespans over trials."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from datasets.run import Run
from experiments.attempts import Attempts
from experiments.figures import NARROW_IN, WIDE_IN, NothingToDraw, caption_of
from experiments.figures_chunks import chunks
from experiments.figures_time import cost, kind, queues
from experiments.figures_trials import Trials, makespans
from experiments.inline_svg import inline_svg
from experiments.markup import Markup, folded, tag
from planner.plan import Plan

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def folded_figures(
    plan: Plan, runs: Sequence[tuple[Run, Attempts]], trials: Trials | None
) -> tuple[Markup, ...]:
    """One fold a subject, each figure in both sizes; a sentence where one does not apply."""
    folds = [
        ("Chunks: when each was under way", _chunks),
        ("Queues at relays", _queues),
        ("Cost as it accrues", _cost),
    ]
    parts = [
        folded(summary, *(draw(plan, run, attempts) for run, attempts in runs))
        for summary, draw in folds
        if runs
    ]
    if trials is not None:
        parts.append(folded("Makespans over trials", _trials(plan, trials)))
    return tuple(parts)


def _chunks(plan: Plan, run: Run, attempts: Attempts) -> Markup:
    return _both(run, lambda inches: chunks(plan, run, attempts=attempts, width_in=inches))


def _queues(plan: Plan, run: Run, attempts: Attempts) -> Markup:
    return _both(run, lambda inches: queues(plan, run, attempts=attempts, width_in=inches))


def _cost(plan: Plan, run: Run, attempts: Attempts) -> Markup:
    return _both(run, lambda inches: cost(run, width_in=inches))


def _trials(plan: Plan, trials: Trials) -> Markup:
    return _figure(
        lambda inches: makespans(
            trials.makespan_s,
            promised_s=plan.predicted.makespan_s,
            assumed=trials.assumed,
            width_in=inches,
        )
    )


def _both(run: Run, draw: Callable[[float], Figure]) -> Markup:
    try:
        return _figure(draw)
    except NothingToDraw as answer:
        return tag("p", f"{kind(run)}: {answer}")


def _figure(draw: Callable[[float], Figure]) -> Markup:
    """In both sizes, one of them shown, each with what is to be said below it."""
    return tag(
        "figure",
        *(
            tag("div", inline_svg(figure), tag("figcaption", caption_of(figure)), class_=class_)
            for figure, class_ in ((draw(WIDE_IN), "wide"), (draw(NARROW_IN), "narrow"))
        ),
    )
