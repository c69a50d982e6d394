"""Plays a plain scenario: SimPy holds what is fixed to an instant, the flow network all the rest.

Arrivals that depend on nothing and completions that nobody waits for happen inside the network's
kernel. Capacity changes, outages, releases and the start of pools are SimPy events. One process
owns the network: it lets it run up to the next SimPy event, no further, sleeps until then, and
hands on what ended. All that changes at one instant is shared anew once.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any

import simpy

from datasets.errors import InputError
from simulator.flow_network import FlowNetwork
from simulator.scenario import Flow, Link, Scenario
from simulator.scenario_lanes import Fairness, Lanes, is_instant
from simulator.scenario_pool import Dispatch

# With fewer flows and connections than this, Python is through before numba is imported.
_FEW = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioResult:
    """When each flow and chunk ended, in order of that; among equals, as they are listed."""

    finish_s: Mapping[str, float]

    @property
    def makespan_s(self) -> float:
        """The latest finish; 0 where there is nothing to move."""
        return max(self.finish_s.values(), default=0.0)

    def as_json(self) -> dict[str, Any]:
        """As the command prints it."""
        return {"finish": dict(self.finish_s), "makespan": self.makespan_s}


def run_scenario(
    scenario: Scenario, *, fairness: Fairness = "maxmin", plain: bool | None = None
) -> ScenarioResult:
    """Play `scenario` to its end.

    `inverse_rtt` shares a full link in proportion to 1/RTT instead of equally, as many a TCP does.
    `plain` runs the kernels uncompiled (by default where that is sooner); results are the same.
    Raises: InputError for a flow that never ends, or where an RTT is missing.
    Source: of the sharing, `sharing_kernel.py`; that TCP's rate at a given loss goes with 1/RTT:
    Mathis, Semke, Mahdavi & Ott, CCR 27(3), 1997.
    """
    moving = len(scenario.flows) + sum(len(pool.connections) for pool in scenario.pools)
    return _Run(scenario, fairness, moving < _FEW if plain is None else plain).result()


class _Run:
    """One scenario under way. Its transfers are the flows, then the connections of each pool."""

    def __init__(self, scenario: Scenario, fairness: Fairness, plain: bool) -> None:
        self._env = simpy.Environment()
        self._flows = scenario.flows
        self._ids = [flow.id for flow in scenario.flows]
        for pool in scenario.pools:
            self._ids += pool.flow_ids()
        self._finish: dict[str, float] = {}
        self._awaits = [len(flow.after) for flow in self._flows]
        self._dependents: dict[str, list[int]] = {}
        for at, flow in enumerate(self._flows):
            for other in flow.after:
                self._dependents.setdefault(other, []).append(at)
        self._lanes = Lanes(scenario, fairness)
        first = len(self._flows)
        self._pools: list[Dispatch] = []
        for pool in scenario.pools:
            self._pools.append(Dispatch(pool, first=first, lane=self._lanes.of_transfer))
            first += len(pool.connections)
        self._firsts = [dispatch.first for dispatch in self._pools]
        self._silent: list[int] = []  # flows of whose end nobody is told
        arrivals = self._plan_flows(scenario.links)
        sizes = [flow.size_bytes for flow in self._flows]
        sizes += [pool.chunk_bytes for pool in scenario.pools for _ in pool.connections]
        silent = set(self._silent)
        self._network = FlowNetwork(
            self._lanes.sharing(plain),
            lane=self._lanes.of_transfer,
            size=sizes,
            told=[at for at in range(first) if at not in silent],
            arrivals=arrivals,
        )
        for at, link in enumerate(scenario.links.values()):
            self._plan_link(at, link)
        for dispatch in self._pools:
            self._at(dispatch.pool.start_s, partial(self._dispatch, dispatch))

    def result(self) -> ScenarioResult:
        """Play it. Raises: InputError for a flow that never ends."""
        self._env.run(until=self._env.process(self._own_network()))
        finish = self._network.lanes.finish
        self._finish.update((self._ids[at], float(finish[at])) for at in self._silent)
        listed = sorted(self._ids, key=self._finish.__getitem__)
        return ScenarioResult(finish_s={each: self._finish[each] for each in listed})

    # What is known beforehand.

    def _plan_flows(self, links: Mapping[str, Link]) -> list[tuple[float, int]]:
        """Which flows begin by themselves in the network, and when; the others get an event."""
        failing = {link.id for link in links.values() if link.outages}
        arrivals = []
        for at, flow in enumerate(self._flows):
            instant = _no_time(flow)
            if not instant and flow.id not in self._dependents:
                self._silent.append(at)
            if flow.after:
                continue
            if instant or not failing.isdisjoint(flow.route.path):
                self._at(flow.start_s, partial(self._begin, at))
            else:
                arrivals.append((flow.start_s, at))
        return arrivals

    def _plan_link(self, at: int, link: Link) -> None:
        state = self._network.sharing
        for instant_s, capacity in link.changes:
            self._at(instant_s, partial(state.set_capacity, at, capacity))
        for down_s, up_s in link.outages:
            self._at(down_s, partial(self._go_down, at, down_s))
            if up_s < inf:
                self._at(up_s, partial(self._come_up, at))

    def _at(self, instant_s: float, action: Callable[[], None]) -> None:
        """`action` happens at the instant, which must not be over."""
        event = self._env.timeout(max(0.0, instant_s - self._env.now))
        event.callbacks.append(lambda _: action())

    # What happens.

    def _own_network(self) -> Generator[Any, Any, None]:
        """The process: run to the next event, sleep until then, hand on what ended."""
        network = self._network
        while not self._all_ended():
            reached_s = network.advance(float(self._env.peek()))
            if reached_s == inf:
                if self._all_ended():
                    return
                raise self._never_ends()
            yield self._env.timeout(max(0.0, reached_s - self._env.now))
            self._hand_on(network.ended())

    def _all_ended(self) -> bool:
        return len(self._finish) + self._network.finished() == len(self._ids)

    def _hand_on(self, ended: list[int]) -> None:
        """Flows release those that wait for them; a pool's free connections go on."""
        flows = len(self._flows)
        through: dict[int, list[int]] = {}
        for at in ended:
            if at < flows:
                self._end(self._ids[at])
            else:
                through.setdefault(bisect_right(self._firsts, at) - 1, []).append(at)
        for number in sorted(through):
            dispatch = self._pools[number]
            for at in through[number]:
                for flow_id in dispatch.end(at):
                    self._end(flow_id)
            self._dispatch(dispatch)

    def _end(self, flow_id: str) -> None:
        self._finish[flow_id] = self._now_s()
        for at in self._dependents.get(flow_id, ()):
            self._awaits[at] -= 1
            if self._awaits[at] == 0:
                self._release(at)

    def _release(self, at: int) -> None:
        """All that the flow waited for has ended."""
        flow = self._flows[at]
        if flow.start_s > self._now_s() or _no_time(flow):
            self._at(flow.start_s, partial(self._begin, at))
        else:
            self._set_out(at)

    def _begin(self, at: int) -> None:
        if _no_time(self._flows[at]):
            self._end(self._flows[at].id)
        else:
            self._set_out(at)

    def _set_out(self, transfer: int) -> None:
        """The transfer begins, or waits until the links of its lane are up."""
        lane = self._lanes.of_transfer[transfer]
        if self._lanes.is_up(lane):
            self._network.begin(transfer, self._now_s())
        else:
            self._lanes.waiting[lane].append(transfer)

    def _dispatch(self, dispatch: Dispatch) -> None:
        """Free connections of the pool take chunks; those of one lane set out together."""
        through, cohorts = dispatch.take()
        for flow_id in through:
            self._end(flow_id)
        for transfer, many in cohorts:
            self._network.set_many(transfer, many)
            self._set_out(transfer)

    def _go_down(self, link: int, now_s: float) -> None:
        """What is under way on the link fails, and waits to begin again."""
        for lane in self._lanes.go_down(link, now_s):
            self._lanes.waiting[lane] += self._network.drop(lane)

    def _come_up(self, link: int) -> None:
        for lane in self._lanes.come_up(link):
            waiting, self._lanes.waiting[lane] = self._lanes.waiting[lane], []
            for transfer in waiting:
                self._set_out(transfer)

    def _now_s(self) -> float:
        """The instant, as the network knows it: SimPy's sums of delays are off by rounding."""
        return max(self._network.now, float(self._env.now))

    def _never_ends(self) -> InputError:
        """Nothing will move any more, and not all has ended: what stands still, and since when."""
        lanes, sharing = self._lanes, self._network.sharing
        for transfer, lane in enumerate(lanes.of_transfer):
            if transfer in lanes.waiting[lane] or transfer in self._network.under_way(lane):
                break
        else:  # pragma: no cover  # what has not ended and waits for nothing is under way
            raise AssertionError("nothing is under way, and not everything ended")
        why, since_s = lanes.why_still(lane, sharing)
        since_s = max(since_s, self._network.still_since(transfer))
        chunks = [each for each in self._pools if each.first <= transfer < each.last]
        name = chunks[0].flow_of(transfer) if chunks else self._ids[transfer]
        return InputError(
            f"Flow {name!r} never ends: from {since_s:g} s on nothing of it moves, because {why}; "
            f"let that change at some instant, or leave the flow out."
        )


def _no_time(flow: Flow) -> bool:
    """Whether it is through as it begins."""
    return flow.size_bytes == 0 or is_instant(flow.route)
