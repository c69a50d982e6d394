"""A World from JSON: the whole of what a manifest holds, or the few fields that differ.

The fields are those of `World.as_json`; what is not named keeps its value. Unknown fields, wrong
types and values that make no sense are one sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, replace
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from datasets.errors import InputError
from datasets.files import read_json
from simulator.assumptions import (
    GatewayLoss,
    LinkChange,
    LinkLoss,
    Noise,
    Provisioning,
    Ramp,
    Store,
    Stragglers,
)
from simulator.world import World

_Part = TypeVar("_Part")
_ONE: Mapping[str, type] = {
    "ramp": Ramp,
    "stragglers": Stragglers,
    "store": Store,
    "noise": Noise,
    "provisioning": Provisioning,
}
# What JSON has for each type, and how it is called.
_FITS: Mapping[Any, tuple[type, ...]] = {
    float: (int, float),
    int: (int,),
    bool: (bool,),
    str: (str,),
}
_NAMES: Mapping[Any, str] = {
    float: "a number (up to 10^18)",
    int: "a whole number (up to 10^18)",
    bool: "true or false",
    str: "text",
}
MOST_NUMBER = 10**18
_MANY: Mapping[str, type] = {"loss": LinkLoss, "link_changes": LinkChange, "losses": GatewayLoss}


def world_from_file(path: Path, base: World | None = None) -> World:
    """The World of a JSON file, over `base`. Raises: InputError, in one sentence."""
    return world_from_json(read_json(path, what="world"), base, where=str(path))


def world_from_json(told: Any, base: World | None = None, *, where: str = "the world") -> World:
    """The same from JSON that was read already."""
    wanted = _wanted(World, told, where)
    values: dict[str, Any] = {}
    for name, value in told.items():
        here = f"{where}: {name}"
        if name in _ONE and value is not None:
            values[name] = _part(_ONE[name], value, here)
        elif name in _MANY:
            values[name] = tuple(
                _part(_MANY[name], each, f"{here}[{at}]")
                for at, each in enumerate(_list(value, here))
            )
        else:
            values[name] = _typed(wanted[name], value, here)
    return _made(lambda: replace(base or World(), **values), where)


def _part(kind: type[_Part], told: Any, where: str) -> _Part:
    wanted = _wanted(kind, told, where)
    values = {name: _typed(wanted[name], value, f"{where}: {name}") for name, value in told.items()}
    missing = [
        each.name
        for each in fields(kind)  # type: ignore[arg-type]  # every kind is a dataclass
        if each.name not in values and each.default is MISSING and each.default_factory is MISSING
    ]
    if missing:
        raise InputError(f"In {where} the field {missing[0]!r} is missing.")
    return _made(lambda: kind(**values), where)


def _wanted(kind: type, told: Any, where: str) -> dict[str, Any]:
    """The type of each field of `kind`. Raises: InputError for what is no object of such fields."""
    if not isinstance(told, dict):
        raise InputError(f"In {where} an object is wanted, not {type(told).__name__}.")
    wanted = get_type_hints(kind)
    known = {each.name for each in fields(kind)}
    strange = sorted(set(told) - known)
    if strange:
        raise InputError(
            f"In {where} {strange[0]!r} is no field; known are {', '.join(sorted(known))}."
        )
    return wanted


def _typed(wanted: Any, value: Any, where: str) -> Any:
    """`value` if it is of the type that its field has. Raises: InputError."""
    origin, inside = get_origin(wanted), get_args(wanted)
    if origin in (Union, UnionType):
        if value is None and type(None) in inside:
            return None
        (wanted,) = (each for each in inside if each is not type(None))
        return _typed(wanted, value, where)
    if origin is tuple:
        return tuple(
            _typed(inside[0], each, f"{where}[{at}]") for at, each in enumerate(_list(value, where))
        )
    if origin is Literal:
        if value not in inside or not isinstance(value, str):
            raise InputError(f"In {where} one of {', '.join(inside)} is wanted.")
        return value
    if origin is Mapping:
        if not isinstance(value, dict):
            raise InputError(f"In {where} an object is wanted.")
        return {key: _typed(inside[1], each, f"{where}: {key}") for key, each in value.items()}
    if wanted not in _FITS:
        raise InputError(f"In {where} an object is wanted.")
    fits = isinstance(value, _FITS[wanted]) and (wanted is bool or not isinstance(value, bool))
    if not fits or (wanted is not str and not abs(value) <= MOST_NUMBER):
        raise InputError(f"In {where} {_NAMES[wanted]} is wanted.")
    return value


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise InputError(f"In {where} a list is wanted, not {type(value).__name__}.")
    return value


def _made(make: Callable[[], _Part], where: str) -> _Part:
    try:
        return make()
    except InputError as error:
        raise InputError(f"In {where}: {error}") from error
