"""An explanation in plain sentences, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator

from datasets.canonical import Json
from datasets.units import render_duration, render_size
from planner.explain import SLOWER, BreakEven, Explanation, Information, Slower, Worth
from planner.gain import Gains
from planner.plan import Plan
from planner.render import carbon_sentence, gain_sentence, usd

ASSUMPTIONS = (
    "A link's figure is what one pair of VMs carried; more VMs carry more in proportion.",
    "64 connections carry a link's figure, fewer in proportion, more no more.",
    "Figures are single samples of five seconds; nothing here knows how they vary.",
)
MOST_INFORMATION = 5


def sentences(found: Explanation, gains: Gains | None) -> Iterator[tuple[str, list[str]]]:
    """Headings, each with its sentences."""
    plan = found.plan
    yield "What goes where, and why", list(_ways(found))
    yield "Against the alternatives", list(_alternatives(found, gains))
    worths = [said for worth in found.worths if (said := _worth(plan, worth))]
    yield "What limits are worth", worths or ["No limit binds: more of nothing would help."]
    yield (
        f"If a used link were {round(100 * (1 - SLOWER))} % slower",
        [_slower(plan, entry) for entry in found.slower],
    )
    information = [_information(plan, entry) for entry in found.information[:MOST_INFORMATION]]
    yield "Worth measuring again", information or ["No single link could change this plan much."]
    carbon = carbon_sentence(plan)
    yield "Carbon", [carbon or "Not known: a region's grid is not in the table."]
    yield "Assumed", list(ASSUMPTIONS)


def as_json(found: Explanation, gains: Gains | None) -> dict[str, Json]:
    """What `tradewind explain --json` prints."""
    carbon = found.plan.bound_gco2e is not None
    unit = "gbps" if found.plan.bound_gbps is not None else "gco2e" if carbon else "usd"
    return {
        "plan": found.plan.as_json(),
        "direct": _figures(found.direct),
        "direct_most": _figures(found.direct_most),
        "runner_up": _figures(found.runner_up),
        "runner_up_without": found.runner_up_without,
        "shadow_prices": [
            {"what": w.what, "where": w.where, "usd": w.usd, "gbps": w.gbps, "gco2e": w.gco2e}
            for w in found.worths
        ],
        "slower_links": [
            {
                "src": entry.src,
                "dst": entry.dst,
                "factor": SLOWER,
                "survives": entry.survives,
                "kept_gbps": entry.kept_gbps,
                "kept_usd": _finite(entry.kept_usd),
                "planned_again_gbps": entry.again_gbps,
                "planned_again_usd": _finite(entry.again_usd),
            }
            for entry in found.slower
        ],
        "break_even": None
        if found.break_even is None
        else {
            "cheaper_from_bytes": found.break_even.cheaper_from_bytes,
            "cheaper_until_bytes": found.break_even.cheaper_until_bytes,
            "faster_from_bytes": found.break_even.faster_from_bytes,
        },
        "gains": None
        if gains is None
        else {
            "received": gains.received,
            "sent": gains.sent,
            "min": gains.min,
            "start_up_dependent": gains.start_up_dependent,
        },
        "value_of_information": [
            {
                "src": entry.src,
                "dst": entry.dst,
                "used": entry.used,
                "decides": entry.decides,
                unit: entry.value,
            }
            for entry in found.information
        ],
        "sentences": [said for _, listed in sentences(found, gains) for said in listed],
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _figures(plan: Plan | None) -> dict[str, Json] | None:
    return None if plan is None else {"strategy": plan.strategy, **plan.predicted.as_json()}


def _ways(found: Explanation) -> Iterator[str]:
    plan = found.plan
    for path in plan.paths:
        narrow = min(
            ((a, b) for a, b in zip(path.hops, path.hops[1:], strict=False)),
            key=lambda ends: plan.link(*ends).gbps,
        )
        price = sum(
            plan.link(a, b).usd_per_gb for a, b in zip(path.hops, path.hops[1:], strict=False)
        )
        way = "Directly" if len(path.hops) == 2 else f"By way of {_listed(path.hops[1:-1])}"
        yield (
            f"{way}: {path.gbps:.4g} Gbit/s, {100 * path.share:.1f} % of the bytes, at "
            f"${price:.4g} a GB; its narrowest link, {narrow[0]}→{narrow[1]}, carries "
            f"{plan.link(*narrow).gbps:.4g} Gbit/s a pair of VMs."
        )
    straight = (plan.job.source, plan.job.destination)
    most = found.direct_most
    if plan.relays and most is not None:
        link = most.link(*straight)
        yield (
            f"The direct link carries {link.gbps:.4g} Gbit/s a pair of VMs at "
            f"${link.usd_per_gb:.4g} a GB: at most {most.predicted.throughput_gbps:.4g} Gbit/s "
            "within the VM limits. Relays make up for the rest, or are cheaper."
        )


def _alternatives(found: Explanation, gains: Gains | None) -> Iterator[str]:
    plan = found.plan
    if not plan.relays:
        yield "This is the direct link: no relay pays here."
    elif found.direct is not None:
        yield f"Directly: {_compared(plan, found.direct)}."
    elif found.direct_most is not None:
        most = found.direct_most.predicted
        yield (
            f"The direct link cannot do it: at most {most.throughput_gbps:.4g} Gbit/s, for "
            f"{usd(most.cost_usd.total)}."
        )
    else:
        yield (
            "The direct link does not pass what is required."
            if plan.job.requires
            else "There is no direct link to use."
        )
    if found.runner_up is not None:
        yield (
            f"The runner-up, without {found.runner_up_without}: {_compared(plan, found.runner_up)}."
        )
    elif plan.relays:
        yield f"Without {_listed(plan.relays)} there is no other plan."
    if found.break_even is not None:
        yield _break_even(found.break_even)
    if gains is not None:
        yield gain_sentence(gains)


def _compared(plan: Plan, other: Plan) -> str:
    own, its = plan.predicted, other.predicted
    dearer = its.cost_usd.total - own.cost_usd.total
    words = f"{usd(abs(dearer))} {'more' if dearer > 0 else 'less'}"
    if abs(dearer) < 0.005:
        words = "the same cost"
    return (
        f"{its.throughput_gbps:.4g} Gbit/s for {usd(its.cost_usd.total)} ({words}), "
        f"{render_duration(its.makespan_s)} against {render_duration(own.makespan_s)}"
    )


def _break_even(found: BreakEven) -> str:
    if found.cheaper_from_bytes is None:
        cost = "never cheaper than the direct link"
    else:
        cost = f"cheaper {_from(found.cheaper_from_bytes)}"
        if found.cheaper_until_bytes is not None:
            cost += f" up to {render_size(found.cheaper_until_bytes)}"
    time = (
        "never faster"
        if found.faster_from_bytes is None
        else f"faster {_from(found.faster_from_bytes)}"
    )
    return f"With the time before gateways are ready counted, this plan is {cost}, and {time}."


def _from(size_bytes: float) -> str:
    return "from the first byte" if size_bytes < 1 else f"from {render_size(size_bytes)} on"


def _worth(plan: Plan, worth: Worth) -> str:
    what = {
        "vm": f"One more VM in {worth.where}",
        "link": f"The link {worth.where} a tenth faster",
        "goal": "A tenth less throughput asked",
        "deadline": "A tenth more time",
        "budget": "A tenth more budget",
        "carbon": "A tenth more carbon allowed",
    }[worth.what]
    asks_speed = plan.bound_gbps is not None
    if asks_speed and worth.gbps > 0:
        return f"{what} is worth {worth.gbps:.3g} Gbit/s on this transfer."
    if plan.bound_gco2e is not None:
        saved = f"{worth.gco2e:.3g} gCO2e"
        return f"{what} is worth {saved} on this transfer." if worth.gco2e > 0 else ""
    if worth.usd > 0 and (not asks_speed or worth.gbps >= 0):
        return f"{what} is worth {usd(worth.usd)} on this transfer."
    return ""


def _slower(plan: Plan, entry: Slower) -> str:
    link = f"{entry.src}→{entry.dst}"
    kept = (
        f"the plan as it is carries {entry.kept_gbps:.4g} Gbit/s for {usd(entry.kept_usd)}"
        if entry.kept_gbps > 0
        else "the plan as it is carries nothing"
    )
    again = (
        f"planned again {entry.again_gbps:.4g} Gbit/s for {usd(entry.again_usd)}"
        if entry.again_gbps > 0
        else "no plan does what is asked"
    )
    verdict = "survives" if entry.survives else "falls short"
    return f"{link}: {verdict}; {kept}, {again}."


def _information(plan: Plan, entry: Information) -> str:
    value = (
        f"{entry.value:.3g} Gbit/s"
        if plan.bound_gbps is not None
        else f"{entry.value:.3g} gCO2e"
        if plan.bound_gco2e is not None
        else usd(entry.value)
    )
    where = "used" if entry.used else "not used"
    if entry.decides:
        return (
            f"{entry.src}→{entry.dst} ({where}): knowing its true rate decides whether what is "
            "asked is met by this plan's links."
        )
    return f"{entry.src}→{entry.dst} ({where}): knowing its true rate is worth {value} on average."


def _listed(names: tuple[str, ...]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
