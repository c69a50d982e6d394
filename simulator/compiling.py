"""The kernels of rate sharing, compiled where numba is installed and plain where it is not.

numba is imported when kernels are first asked for compiled, never before: planning, or simulating
a small network, must not wait for it. Without it the same lines run as they stand, with the same
results to the last bit, only slower: that is the documented behaviour, and nobody is told of it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from simulator import flow_kernel, indexed_heap, sharing_kernel
from simulator.kernel_state import lanes_of, shares_of

log = logging.getLogger(__name__)

# Set to `plain`, it leaves numba alone everywhere.
SWITCH = "TRADEWIND_SHARING"
# No `fastmath`: results are those of the plain lines. The kernels make no array, so nothing need be
# counted (`_nrt`): counting took half of the time. Tried in order, where a cache is broken or an
# option no longer known.
_OPTIONS: tuple[dict[str, bool], ...] = ({"cache": True, "_nrt": False}, {"_nrt": False}, {})
_MODULES: tuple[ModuleType, ...] = (indexed_heap, sharing_kernel, flow_kernel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernels:
    """What `Sharing` and `FlowNetwork` call, and what kind of container it works on."""

    compiled: bool
    repair: Callable[..., None]
    forget: Callable[..., None]
    begin: Callable[..., None]
    advance: Callable[..., float]

    def state(self, values: np.ndarray[Any, Any]) -> Any:
        """`values` as the kernels want them: a contiguous array of its own, or a list."""
        return np.array(values) if self.compiled else values.tolist()


def kernels(*, plain: bool = False) -> Kernels:
    """The kernels to use: compiled, unless `plain`, the environment or a missing numba forbid."""
    if plain or os.environ.get(SWITCH) == "plain" or importlib.util.find_spec("numba") is None:
        return _plain()
    return _compiled()


@cache
def _plain() -> Kernels:
    return Kernels(
        compiled=False,
        repair=sharing_kernel.repair,
        forget=sharing_kernel.forget,
        begin=flow_kernel.begin,
        advance=flow_kernel.advance,
    )


@cache
def _compiled() -> Kernels:
    """Compiled and tried once: whatever a broken cache or compiler does, it does it here."""
    import numba

    jit: Callable[..., Any] = numba.njit
    for options in _OPTIONS:
        try:
            found = _by(jit(**options))
            _try(found)
            return found
        except Exception as error:  # of numba, LLVM, pickle or the file system alike
            if "no locator available" in str(error):
                # Nowhere to keep what is compiled: plain is through before compiling is.
                return _plain()
            log.warning("Compiled rate sharing does not work with %s: %s", options, error)
    return _plain()


def _by(jit: Callable[..., Any]) -> Kernels:
    """Every function of the kernels through `jit`, each calling the others' compiled form.

    They get names that hold a digest of all kernel sources: a cache is then never older than any
    of the lines that it was made of, not only than those of its own file.
    """
    text = "".join(inspect.getsource(module) for module in _MODULES)
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    names: dict[str, Any] = {}
    for module in _MODULES:
        names.update(vars(module))
    for name, found in list(names.items()):
        if isinstance(found, FunctionType) and found.__module__ in [m.__name__ for m in _MODULES]:
            own = FunctionType(found.__code__, names, name)
            own.__qualname__ = f"{name}_{digest}"
            own.__module__ = found.__module__
            names[name] = jit(own)
    return Kernels(
        compiled=True,
        repair=names["repair"],
        forget=names["forget"],
        begin=names["begin"],
        advance=names["advance"],
    )


def _try(found: Kernels) -> None:
    """Move one byte over one resource, which compiles everything or reads it from the cache."""
    one, ptr, resource = np.ones(1), np.array([0, 1]), np.array([0])
    shares = shares_of(
        found.state,
        capacity=one,
        ptr=ptr,
        resource=resource,
        coefficient=one,
        alone=one,
        cap=one,
        weight=one,
    )
    lanes = lanes_of(found.state, lanes=1, lane=[0], size=[1.0], told=[0], arrivals=[])
    found.repair(shares)
    found.forget(shares)
    found.begin(shares, lanes, 0, 0.0)
    if found.advance(shares, lanes, 0.0, 2.0) != 1.0:
        raise ArithmeticError("one byte at 1 byte/s took another time than a second")
