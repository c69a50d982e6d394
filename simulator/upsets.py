"""What upsets a transfer, as SimPy processes: links change, the weather turns, VMs die.

And what is done about it, by the rules of `planner/recovery.py`: chunks that were under way are
handed out again once the loss is noticed; then others carry on, the VM is replaced, or what is
missing is planned anew.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from datasets.errors import InfeasibleJob, InputError
from datasets.events import Event
from planner.plan import Plan
from planner.recovery import joined
from simulator.assumptions import GatewayLoss
from simulator.control import Control, Process
from simulator.feeds import Feed
from simulator.resources import LinkEnds
from simulator.weather import Weather

# (the Plan, the gateways it has lost, the bytes that are missing) to the Plan of what is left.
Replan = Callable[[Plan, Sequence[str], int], Plan]


class Upsets:
    """The World's changes and losses, counted from the first transfer's start."""

    def __init__(
        self, control: Control, *, replan: Replan | None, bytes_left: Callable[[Feed], int]
    ) -> None:
        self._control = control
        self._env = control.env
        self._world = control.world
        self._replan = replan
        self._bytes_left = bytes_left
        self._weather: Weather | None = None
        self._step = 0
        self._check()

    def _check(self) -> None:
        """Raises: InputError for what the World does to gateways or links that no Plan has."""
        plans = self._control.plans
        links = {(link.src, link.dst) for plan in plans for link in plan.links}
        for change in self._world.link_changes:
            if (change.src, change.dst) not in links:
                raise InputError(
                    f"The plan has no link {change.src} to {change.dst} that could change."
                )
        for each in self._world.loss:
            if not any(each.covers(*ends) for ends in links):
                raise InputError(
                    f"The plan has no link {each.src} to {each.dst} that could lose packets."
                )
        gateways = {gateway for plan in plans for gateway in plan.gateways}
        for loss in self._world.losses:
            if loss.gateway not in gateways:
                raise InputError(
                    f"The plan has no gateway {loss.gateway} to lose; it has "
                    f"{', '.join(sorted(gateways)[:8])}{', …' if len(gateways) > 8 else ''}."
                )
        if self._world.recovery == "replan" and self._replan is None:
            raise InputError("Replanning needs the Matrix that the plan was made from.")

    def begin(self) -> None:
        """From now on things happen."""
        if self._world.link_changes:
            self._control.expect(self._change_links())
        if self._world.noise is not None:
            self._weather = Weather(self._world.noise, self._world.seed)
            self._new_factors()
            self._env.process(self._blow())
        for loss in self._world.losses:
            self._control.expect(self._lose(loss))

    # --- Links.

    def _change_links(self) -> Process:
        control, began_s = self._control, self._env.now
        for change in sorted(self._world.link_changes, key=lambda each: each.at_s):
            yield self._env.timeout(max(0.0, began_s + change.at_s - self._env.now))
            if control.is_over:
                return
            ends = (change.src, change.dst)
            before = control.rates.get(ends, math.inf)
            now = control.planned(ends) if change.gbps is None else change.gbps
            control.rates[ends] = now
            control.tell_links()
            control.record.note(
                self._env.now,
                Event.LINK_CHANGED.value,
                src=change.src,
                dst=change.dst,
                detail={"gbps": now},
            )
            if now == 0.0 and before > 0.0 and self._world.recovery != "none":
                control.expect(self._outage(ends))
            elif now > 0.0 and before == 0.0:
                control.reopen()

    def _outage(self, ends: LinkEnds) -> Process:
        """A link that carries nothing is noticed; its lanes' chunks go to the others."""
        control = self._control
        yield control.noticed()
        if control.is_over or control.rates[ends] > 0.0:
            return
        lost = control.break_lanes(
            lambda route: frozenset(
                at for at, link in enumerate(route.links) if (link.src, link.dst) == ends
            )
        )
        for feed, ranges in lost:
            control.network.put_back(feed, ranges)

    def _blow(self) -> Process:
        """The weather changes; it sets nothing going, so it is not expected."""
        noise = self._world.noise
        while noise is not None and math.isfinite(noise.step_s):
            yield self._env.timeout(noise.step_s)
            if self._control.is_over:
                return
            self._step += 1
            self._new_factors()

    def _new_factors(self) -> None:
        """What other traffic leaves of every link that a Plan uses, as of now."""
        control = self._control
        if self._weather is not None:
            links = {(link.src, link.dst) for plan in control.plans for link in plan.links}
            control.factors = self._weather.factors(sorted(links), self._step)
            control.tell_links()

    # --- Losses.

    def _lose(self, loss: GatewayLoss) -> Process:
        control, began_s, name = self._control, self._env.now, loss.gateway
        if loss.notice_s:
            yield self._env.timeout(max(0.0, loss.at_s - loss.notice_s))
            if control.is_over or name in control.lost:
                return
            control.record.note(
                self._env.now,
                Event.GATEWAY_NOTICE.value,
                gateway=name,
                detail={"lost_in_s": began_s + loss.at_s - self._env.now},
            )
            for number, route in enumerate(control.network.routes):
                if name in route.gateways:
                    control.network.shut(number)
        yield self._env.timeout(max(0.0, began_s + loss.at_s - self._env.now))
        if control.is_over or name in control.lost:
            return
        control.lost.add(name)
        control.vms.lost(name, self._env.now)
        control.record.note(self._env.now, Event.GATEWAY_LOST.value, gateway=name)
        lost = control.break_lanes(
            lambda route: frozenset(at for at, edge in enumerate(route.edges) if name in edge)
        )
        yield control.noticed()
        for feed, ranges in lost:
            control.network.put_back(feed, ranges)
        yield from self._recover(name, control.jobs_with(name))

    def _recover(self, name: str, jobs: Sequence[int]) -> Process:
        """What the World's recovery does about a gateway that Jobs have lost."""
        control, recovery = self._control, self._world.recovery
        if recovery == "none":
            for job in jobs:
                self._give_up(job, f"gateway {name} was lost")
            return
        if recovery == "replace" and jobs:
            yield from control.ready([name], jobs[0], again=True)
            control.lost.discard(name)
            control.vms.replaced(name, self._env.now)
            control.reopen()
            return
        if recovery == "replan":
            for job in jobs:
                yield from self._plan_anew(job)
        for job in jobs:
            if not all(control.may_move(feed) for feed in control.feeds[job].values()):
                self._give_up(job, f"gateway {name} was lost, and no lane is left")

    def _give_up(self, job: int, reason: str) -> None:
        for feed in self._control.feeds[job].values():
            if feed.pending:
                self._control.network.fail(feed, reason)

    def _plan_anew(self, job: int) -> Process:
        """The Job's missing bytes by another Plan; its old lanes finish what they carry."""
        control = self._control
        missing = sum(self._bytes_left(feed) for feed in control.feeds[job].values())
        if not missing or self._replan is None:
            return
        plan = control.plans[job]
        lost = sorted(control.lost & {*plan.gateways})
        try:
            after = self._replan(plan, lost, missing)
        except (InfeasibleJob, InputError) as answer:
            control.record.note(
                self._env.now,
                Event.REPLANNED.value,
                job=job,
                bytes=missing,
                detail={"plan": None, "why": str(answer)},
            )
            return
        control.record.note(
            self._env.now,
            Event.REPLANNED.value,
            job=job,
            bytes=missing,
            detail={"plan": after.id, "gbps": after.predicted.throughput_gbps},
        )
        # A VM that died and that the new plan names again is a new one of that name.
        again = sorted(control.lost & {*after.gateways})
        yield from control.ready(again, job, again=True)
        control.lost -= {*again}
        yield from control.ready(after.gateways, job)
        if control.is_over:
            return
        lanes = len(plan.lanes) + len(plan.tree_lanes)
        control.plans[job] = joined(plan, after, lost)
        numbers = control.join_anew(job, lanes)
        control.vms.planned_anew(job, after, self._env.now)
        self._new_factors()
        control.open(numbers)
