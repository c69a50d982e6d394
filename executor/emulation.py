"""What a local run's links are made to be like, beside their rates: `--emulate rtt`, and loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from datasets.canonical import Json
from datasets.errors import InputError
from executor.placement import LinkSpec
from planner.plan import Plan

EMULATING_PROVIDER = "netns"


@dataclass(frozen=True, slots=True, kw_only=True)
class Emulation:
    """`rtt`: each link has half of its measured round trip as delay, each way, unscaled.
    `loss`: the share of packets that is lost on each link, towards its end."""

    rtt: bool = False
    loss: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.loss < 1:
            raise InputError(
                f"A share of packets to lose is 0 or more and below 1, not {self.loss}."
            )

    @property
    def is_asked(self) -> bool:
        """Whether links are to be other than their rates alone."""
        return self.rtt or self.loss > 0

    def applied(self, links: Sequence[LinkSpec], plan: Plan) -> tuple[LinkSpec, ...]:
        """The links with their delays and losses."""
        return tuple(
            replace(
                link,
                delay_ms=plan.link(link.src, link.dst).rtt_ms / 2 if self.rtt else 0.0,
                loss=self.loss,
            )
            for link in links
        )

    def require(self, provider: str) -> None:
        """Raises: InputError where the provider has no links of its own."""
        if self.is_asked and provider != EMULATING_PROVIDER:
            raise InputError(
                f"The provider {provider} cannot emulate round trips or loss; "
                f"--provider {EMULATING_PROVIDER}, which needs root, can."
            )

    def as_json(self) -> dict[str, Json]:
        """As a Run's manifest has it."""
        return {"rtt": self.rtt, "loss": self.loss}


PLAIN = Emulation()
