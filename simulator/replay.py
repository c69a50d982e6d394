"""Replay: what a Run went through, as the World of other simulations.

A lane of a paced Run reveals what it achieved, no more. Time is cut into windows; in each, a lane's
ratio is what it moved over what it should have moved while it was busy (start-up and the tail after
its last chunk was read are left out). A link is at least as good as the best lane that crossed
it: where that kept to `HOLDS` of its pace, the Matrix's figure holds; where none did, the link
carried what went over it, and no more. So the same plan in that World loses as much time again.

Changes and losses that the Run's own events name are taken over exactly. Times are real ones since
the first chunk was read (t·k/b): how the Run was scaled does not matter. Ramp-up and overheads are
those of `base` (or of a calibration applied to it).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from datasets.canonical import Json, rounded
from datasets.errors import InputError
from datasets.outcome import Outcome
from datasets.regions import region_of_gateway
from planner.plan import Plan, require_paths
from simulator.assumptions import GatewayLoss, LinkChange, Provisioning
from simulator.lane_windows import LaneWindows, lane_windows
from simulator.recorded import read_recorded
from simulator.recorded_events import named_changes, named_losses, outages, provisioning_seen
from simulator.resources import LinkEnds, Resources
from simulator.routes import bundles_of, capacity_gbps, connections_between, routes_of
from simulator.world import World

# A lane that kept to this share of its pace tells of no link that is below its measurement: what
# start-up, the last bits and late wake-ups cost is less.
HOLDS = 0.98
_PLACES = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkState:
    """From `at_s` on (real seconds) a VM pair carries `gbps`; None: what the Matrix says.

    `ratio` is that of the best lane over it; 1 where the Run's events name the change (`exact`).
    """

    at_s: float
    gbps: float | None
    ratio: float
    exact: bool

    def as_json(self) -> dict[str, Json]:
        """As `tradewind simulate --replay --json` shows it."""
        return {
            "at_s": rounded(self.at_s, _PLACES),
            "gbps": None if self.gbps is None else rounded(self.gbps, _PLACES),
            "ratio": rounded(self.ratio, 6),
            "exact": self.exact,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSeen:
    """A link that the Run's lanes crossed, and how it was over time; `states` begin at 0."""

    src: str
    dst: str
    states: tuple[LinkState, ...]

    @property
    def is_short(self) -> bool:
        """Whether it was below its measurement at any time."""
        return any(state.gbps is not None for state in self.states)

    def as_json(self) -> dict[str, Json]:
        """As `tradewind simulate --replay --json` shows it."""
        return {
            "src": self.src,
            "dst": self.dst,
            "states": [state.as_json() for state in self.states],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What the Run of `plan` showed. `notes` say in words what it did not show."""

    plan: Plan
    base: World
    links: tuple[LinkSeen, ...]
    losses: tuple[GatewayLoss, ...]
    provisioning: Provisioning
    notes: tuple[str, ...]

    @property
    def world(self) -> World:
        """The World of the Run, for its own Plan."""
        return self.world_for(self.plan)

    def world_for(self, plan: Plan) -> World:
        """The same for another Plan: what it shares with the Run is as there, the rest as planned.

        A link that the Run did not cross has the Plan's own figure throughout.
        """
        known = {(link.src, link.dst) for link in plan.links}
        changes = []
        for seen in self.links:
            now: float | None = None
            for state in seen.states if (seen.src, seen.dst) in known else ():
                if state.gbps != now:
                    now = state.gbps
                    changes.append(
                        LinkChange(at_s=state.at_s, src=seen.src, dst=seen.dst, gbps=now)
                    )
        gateways = set(plan.gateways)
        return replace(
            self.base,
            link_changes=tuple(sorted(changes, key=lambda change: change.at_s)),
            losses=tuple(loss for loss in self.losses if loss.gateway in gateways),
            provisioning=self.provisioning,
        )

    def notes_for(self, plan: Plan) -> tuple[str, ...]:
        """`notes`, and which of the Plan's links and gateways the Run says nothing of."""
        seen = {(link.src, link.dst) for link in self.links}
        unseen = [f"{a} to {b}" for a, b in _link_ends(plan) if (a, b) not in seen]
        lost = [loss.gateway for loss in self.losses if loss.gateway not in plan.gateways]
        notes = list(self.notes)
        if unseen:
            notes.append(
                f"The run says nothing of {', '.join(unseen)}: taken as the plan's Matrix has "
                f"{'it' if len(unseen) == 1 else 'them'}."
            )
        if lost:
            notes.append(f"The plan does not use what was lost: {', '.join(lost)}.")
        if len(lost) < len(self.losses):
            notes.append(
                f"What is done about losses is not taken over: {self.base.recovery} (--recovery)."
            )
        return tuple(notes)

    def as_json(self) -> dict[str, Json]:
        """What was seen, and what was not."""
        return {
            "links": [link.as_json() for link in self.links],
            "losses": [loss.as_json() for loss in self.losses],
            "provisioning": self.provisioning.as_json(),
            "notes": list(self.notes),
        }


def replay_folder(folder: Path, base: World) -> Replayed:
    """The Run of that folder (`runs/<id>`), replayed. Raises: DataError, or as `world_of_run`."""
    recorded = read_recorded(folder)
    found = world_of_run(
        recorded.plan, recorded.run.events, recorded.run.outcome, base, paced=recorded.paced
    )
    if not recorded.cpu_bound:
        return found
    note = "The processor bound this run: what is replayed of its links is the processor's pace."
    return replace(found, notes=(*found.notes, note))


def world_of_run(
    plan: Plan, events: pd.DataFrame, result: Outcome, base: World, *, paced: bool = True
) -> Replayed:
    """What `events`, a Run of `plan`, showed of the world; the rest is `base`.

    `paced`: the Run kept lanes to their planned rates. Raises: UnsupportedJob for a plan of trees;
    InputError if nothing arrived, or several Jobs ran at once.
    """
    require_paths(plan, "Replaying")
    if (events["job"] > 0).any():
        raise InputError("Several Jobs ran at once in this run; only a single one can be replayed.")
    named = named_changes(events, result)
    changed = {(change.src, change.dst) for change in named}
    named += tuple(
        change
        for change in outages(plan, events, result)
        if (change.src, change.dst) not in changed
    )
    windows = lane_windows(plan, events, result, also_at_s=[change.at_s for change in named])
    if windows is None:
        raise InputError("Nothing arrived in this run: there is nothing to replay.")
    expected = _expected_gbps(plan, base, windows, named, paced=paced)
    ratios = np.where(windows.busy & (expected > 0), windows.gbps / np.maximum(expected, 1e-12), -1)
    exact = {(change.src, change.dst) for change in named}
    links = tuple(
        _exact(plan, ends, named) if ends in exact else _seen(plan, ends, windows, ratios)
        for ends in _link_ends(plan)
    )
    return Replayed(
        plan=plan,
        base=base,
        links=links,
        losses=named_losses(events, result),
        provisioning=provisioning_seen(events, base.provisioning),
        notes=_notes(plan, links, ratios, windows, paced=paced),
    )


def _link_ends(plan: Plan) -> tuple[LinkEnds, ...]:
    """The links that the Plan's lanes cross, sorted."""
    hops = {hop for lane in plan.lanes for hop in lane.hops}
    return tuple(sorted({(region_of_gateway(src), region_of_gateway(dst)) for src, dst in hops}))


def _expected_gbps(
    plan: Plan,
    base: World,
    windows: LaneWindows,
    named: Sequence[LinkChange],
    *,
    paced: bool,
) -> np.ndarray:
    """(lanes, windows): what busy lanes carry at the Plan's figures, changes by name included."""
    world = replace(
        base,
        work_conserving=not paced,
        relays="cut_through",
        relay_buffer_bytes=None,
        stragglers=None,
        store=None,
    )
    routes = routes_of(plan, 0, world)
    bundles = bundles_of(routes, [plan], world, beside=connections_between(routes))
    varying = frozenset((change.src, change.dst) for change in named)
    resources = Resources(routes, bundles, [plan], world, varying=varying)
    count = np.array([bundle.connections for bundle in bundles], dtype=np.float64)
    expected = np.zeros(windows.busy.shape)
    for window, begin_s in enumerate(windows.edges_s[:-1].tolist()):
        for change in named:
            if change.at_s <= begin_s:
                held = capacity_gbps(plan.link(change.src, change.dst), plan, world)
                gbps = held if change.gbps is None else change.gbps
                resources.set_link((change.src, change.dst), gbps)
        busy = np.where(windows.busy[:, window], count, 0.0)
        expected[:, window] = resources.rates(busy) * busy
    return expected


def _exact(plan: Plan, ends: LinkEnds, named: Sequence[LinkChange]) -> LinkSeen:
    """A link whose changes the table names; back at the Plan's figure it is as the Matrix says."""
    held = plan.link(*ends).gbps
    mine = sorted(
        (change for change in named if (change.src, change.dst) == ends),
        key=lambda change: change.at_s,
    )
    first = LinkState(at_s=0.0, gbps=None, ratio=1.0, exact=True)
    states = [
        LinkState(
            at_s=change.at_s,
            gbps=None if change.gbps == held else change.gbps,
            ratio=1.0,
            exact=True,
        )
        for change in mine
    ]
    return LinkSeen(src=ends[0], dst=ends[1], states=(first, *states))


def _seen(plan: Plan, ends: LinkEnds, windows: LaneWindows, ratios: np.ndarray) -> LinkSeen:
    """A link as its lanes tell it, window by window; where none was busy, as before."""
    by_pair = _lanes_by_pair(plan, ends)
    lanes = sorted({lane for each in by_pair.values() for lane in each})
    states: list[LinkState] = []
    for window in range(ratios.shape[1]):
        best = float(ratios[lanes, window].max())
        if best < 0:
            continue
        gbps = None
        if best < HOLDS:
            # A pair of VMs carried what all its lanes did; the link is as good as the best pair.
            gbps = max(float(windows.gbps[sorted(each), window].sum()) for each in by_pair.values())
        if not states or states[-1].gbps != gbps:
            at_s = float(windows.edges_s[window]) if states else 0.0
            states.append(LinkState(at_s=at_s, gbps=gbps, ratio=min(best, 1.0), exact=False))
    if not states:
        states.append(LinkState(at_s=0.0, gbps=None, ratio=1.0, exact=False))
    return LinkSeen(src=ends[0], dst=ends[1], states=tuple(states))


def _lanes_by_pair(plan: Plan, ends: LinkEnds) -> Mapping[tuple[str, str], set[int]]:
    """The lanes over a link, by the pair of gateways that carries them."""
    found: dict[tuple[str, str], set[int]] = {}
    for at, lane in enumerate(plan.lanes):
        for src, dst in lane.hops:
            if (region_of_gateway(src), region_of_gateway(dst)) == ends:
                found.setdefault((src, dst), set()).add(at)
    return found


def _notes(
    plan: Plan,
    links: Sequence[LinkSeen],
    ratios: np.ndarray,
    windows: LaneWindows,
    *,
    paced: bool,
) -> tuple[str, ...]:
    """What the Run did not tell."""
    notes = []
    if paced:
        notes.append(
            "The run was paced: where lanes kept to their planned rates, links are taken to carry "
            "what the Matrix says, which is more than was seen."
        )
    short = {(link.src, link.dst) for link in links if link.is_short}
    blamed = [
        f"{plan.lanes[at].gateways[0]} to {plan.lanes[at].gateways[-1]}"
        for at in range(len(plan.lanes))
        if _is_short(ratios[at])
        and sum(
            (region_of_gateway(a), region_of_gateway(b)) in short for a, b in plan.lanes[at].hops
        )
        > 1
    ]
    if blamed:
        notes.append(
            f"Which link of a lane was short is not told where no other lane crossed it: all such "
            f"links of {_few(blamed)} are taken to be."
        )
    alone = [
        f"{lane.gateways[0]} to {lane.gateways[-1]}"
        for at, lane in enumerate(plan.lanes)
        if _is_short(ratios[at])
        and not any((region_of_gateway(a), region_of_gateway(b)) in short for a, b in lane.hops)
    ]
    if alone:
        notes.append(
            f"Below its pace for another reason than its links, which carried other lanes in "
            f"full, and so not replayed: {_few(alone)}."
        )
    idle = sum(1 for at in range(len(plan.lanes)) if not windows.busy[at].any())
    if idle:
        notes.append(f"{idle} lanes carried too little to tell anything.")
    return tuple(notes)


def _is_short(ratios: np.ndarray) -> bool:
    return bool(((ratios >= 0) & (ratios < HOLDS)).any())


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
