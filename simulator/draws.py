"""Random numbers by name: a draw depends on the seed and on what it is for, on nothing else.

So two plans that use the same link see the same noise on it, whatever else they use: comparisons
of strategies are paired (common random numbers: Law, Simulation Modeling and Analysis, 11.2).
"""

from __future__ import annotations

import hashlib

import numpy as np


def generator(seed: int, *names: str) -> np.random.Generator:
    """The stream of `names` under `seed`."""
    told = hashlib.blake2b("\n".join(names).encode(), digest_size=16).digest()
    words = [int.from_bytes(told[at : at + 4], "big") for at in range(0, 16, 4)]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *words])))
