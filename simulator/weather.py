"""Noise on links as a transfer goes: one series a link, the same whatever plan crosses it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from simulator.assumptions import NOISE_STEPS, Noise
from simulator.draws import generator

LinkEnds = tuple[str, str]
_KEPT = math.exp(-1.0 / NOISE_STEPS)
_FRESH = math.sqrt(1.0 - _KEPT * _KEPT)


@dataclass(slots=True)
class _Series:
    rng: np.random.Generator
    level: float
    steps: int


class Weather:
    """The factor of each link at step k of the noise; a link asked for late is where it would be.

    The logarithm is an Ornstein-Uhlenbeck process, exact at the steps: a share exp(-1/5) of it is
    kept from one to the next, and its spread stays `sigma` throughout.
    """

    def __init__(self, noise: Noise, seed: int) -> None:
        self._noise = noise
        self._seed = seed
        self._series: dict[LinkEnds, _Series] = {}

    def factors(self, links: Iterable[LinkEnds], step: int) -> dict[LinkEnds, float]:
        """What is left (or more) of each link's capacity from step number `step` on, from 0."""
        return {ends: math.exp(self._noise.sigma * self._level(ends, step)) for ends in links}

    def _level(self, ends: LinkEnds, step: int) -> float:
        series = self._series.get(ends)
        if series is None:
            rng = generator(self._seed, "noise", *ends)
            series = self._series[ends] = _Series(rng, float(rng.standard_normal()), 0)
        while series.steps < step:
            drawn = float(series.rng.standard_normal())
            series.level = _KEPT * series.level + _FRESH * drawn
            series.steps += 1
        return series.level
