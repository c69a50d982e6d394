"""One local execution from a Plan to a Run's folder, with progress: what both verbs call."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from datasets.run import prepare_runs, write_run
from executor.emulation import PLAIN, Emulation
from executor.endpoints.local import list_source, total_bytes
from executor.execute import Executed, Execution, Progress
from executor.ledger import Ledger
from executor.placement import Carriage, Ports
from executor.probe import measure_gbps
from executor.providers import find_provider
from executor.replanning import Recovery, Replan
from executor.scale import Scale, scale_for
from planner.dispatch import Dispatch
from planner.plan import Plan, restated

_ENDING = (signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """How to carry a plan out on this machine."""

    provider: str
    port: int
    work_conserving: bool
    dispatch: Dispatch
    carriage: Carriage = field(default_factory=Carriage)
    emulation: Emulation = PLAIN
    recovery: Recovery = "resend"
    resumes: bool = False


def execute_locally(
    plan: Plan,
    *,
    source: Path,
    destination: Path | Mapping[str, Path],
    ledger: Ledger,
    scale: Scale,
    choices: Choices,
    runs: Path,
    quiet: bool,
    replan: Replan | None = None,
) -> tuple[Executed, Path]:
    """Execute and write `runs/<id>/`. Raises as `Execution.run`, or InputError."""
    prepare_runs(runs)
    with _shown(quiet) as observe, _terminated_cleanly():
        done = Execution(
            plan=plan,
            source=source,
            destination=destination,
            provider=find_provider(choices.provider),
            ledger=ledger,
            scale=scale,
            ports=Ports(data=choices.port),
            work_conserving=choices.work_conserving,
            dispatch=choices.dispatch,
            carriage=choices.carriage,
            emulation=choices.emulation,
            recovery=choices.recovery,
            replan=replan,
            resumes=choices.resumes,
            observe=observe,
        ).run()
    folder = write_run(
        runs,
        done.run_id,
        kind="executed",
        plan=done.plan.as_json(),
        events=done.events,
        manifest=done.manifest,
    )
    return done, folder


def restated_for(plan: Plan, source: Path) -> tuple[Plan, Scale]:
    """The plan for the size that the source really has, and the scale to move all of it.

    Raises: InputError if the source cannot be read.
    """
    size_bytes = total_bytes(list_source(source))
    fitting = restated(plan, max(size_bytes, 1))
    return fitting, scale_for(fitting, machine_gbps=measure_gbps(), moved_bytes=size_bytes)


@contextmanager
def _shown(quiet: bool) -> Iterator[Callable[[Progress], None]]:
    if quiet or not sys.stderr.isatty():
        yield lambda progress: None
        return
    # Loaded where it is shown.
    from executor.progress import TransferBar

    with TransferBar() as bar:
        yield lambda progress: bar.show(
            progress.phase, progress.acknowledged_bytes, progress.total_bytes
        )


@contextmanager
def _terminated_cleanly() -> Iterator[None]:
    """SIGTERM and a closed terminal end the transfer as Ctrl-C does: all is removed first."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, interrupt) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
