"""What a Run's page says in words: the answer in its first line, and what relays gain."""

from __future__ import annotations

from datetime import date

from datasets.outcome import Outcome
from datasets.run import Run
from experiments.ways import planned_gbps
from planner.cost import Predicted
from planner.gain import Gains
from planner.plan import Plan

_MONTHS = (
    "January February March April May June July August September October November December"
).split()
_NUMBERS = "no one two three four five six seven eight nine ten".split()


def headline(
    plan: Plan,
    predicted: Predicted,
    simulated: Run | None,
    executed: Run | None,
    today: date,
) -> str:
    """The answer in one sentence: rates, the way, the cost, and how old the figures are."""
    said = []
    if executed is not None:
        said.append(f"executed {executed.outcome.throughput_gbps:.3g} Gbit/s")
    if simulated is not None:
        said.append(f"simulated {simulated.outcome.throughput_gbps:.3g}{'' if said else ' Gbit/s'}")
    said.append(f"predicted {planned_gbps(plan, predicted):.3g}{'' if said else ' Gbit/s'}")
    said.append(_way(plan))
    if executed is not None:
        said.append(f"${usd_of(executed.outcome):,.2f} computed")
    elif simulated is not None:
        said.append(f"${usd_of(simulated.outcome):,.2f} simulated")
    else:
        said.append(f"${predicted.cost_usd.total:,.2f} predicted")
    said.append(f"figures {measured(plan.matrix.epoch, today)}")
    whole = "; ".join(said)
    return whole[0].upper() + whole[1:]


def measured(epoch: str, today: date) -> str:
    """When the figures were measured and how old they are, where the epoch is a date."""
    try:
        then = date.fromisoformat(epoch)
    except ValueError:
        return f"of {epoch}"
    months = (today.year - then.year) * 12 + today.month - then.month - (today.day < then.day)
    years, rest = divmod(max(months, 0), 12)
    parts = [_count(years, "year")] * (years > 0) + [_count(rest, "month")] * (rest > 0)
    age = " ".join(parts) or "less than a month"
    return f"measured {then.day} {_MONTHS[then.month - 1]} {then.year} ({age} old)"


def _way(plan: Plan) -> str:
    relays = len(plan.relays)
    by_way = f"by way of {_number(relays)} relay{'' if relays == 1 else 's'}"
    if plan.trees:
        trees = len(plan.trees)
        along = f"along {_number(trees)} tree{'' if trees == 1 else 's'}"
        return f"{along}, {by_way}" if relays else along
    return by_way if relays else "directly"


def _number(count: int) -> str:
    return _NUMBERS[count] if count < len(_NUMBERS) else str(count)


def gain_words(gains: Gains | None) -> str:
    """What the relays gain over direct, by column, and whether that may be the test's start-up."""
    if gains is None:
        return ""
    columns = (("received", gains.received), ("sent", gains.sent), ("min", gains.min))
    listed = [
        f"{gain:+.0%} on the figures “{column}”" for column, gain in columns if gain is not None
    ]
    if not listed:
        return "There is no direct link to compare with."
    words = f"Throughput against direct: {', '.join(listed)}."
    if gains.start_up_dependent:
        words += " The gain is start-up dependent: it vanishes on “sent”."
    return words


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def usd_of(result: Outcome) -> float:
    """Egress and VM time of a Run, in USD."""
    return result.egress_usd + result.vm_usd
