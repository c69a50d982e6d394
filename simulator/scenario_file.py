"""Scenario files: JSON in, a checked `Scenario` out, each fault in one sentence."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datasets.errors import InputError, nearest_names
from simulator.scenario import Connection, Flow, Link, Pool, Route, Scenario

# A pool's chunks stand in the answer one by one; ten million are some gigabytes of it.
MOST_CHUNKS = 10_000_000

_TOP = ("links", "flows", "pools", "on_failure")
# Words about a scenario, which playing it does not need.
_REMARKS = ("name", "note", "description", "comment", "source", "seed", "expected")
_LINK = ("capacity", "changes", "outages", "rtt_ms")
_ROUTE = ("path", "rate_cap", "weight", "rtt_ms")
_FLOW = ("id", "bytes", "start", "after", *_ROUTE)
_CONNECTION = ("id", *_ROUTE)
_POOL = ("id", "chunks", "chunk_bytes", "connections", "start")

Object = Mapping[str, Any]


def read_scenario(path: Path) -> Scenario:
    """The scenario in the file. Raises: InputError that names the file, and what is wrong there."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text in UTF-8"
        raise InputError(f"Cannot read {path}: {reason}.") from error
    try:
        return scenario_from_json(json.loads(text, object_pairs_hook=_no_key_twice))
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path} is not JSON: {error.msg} in line {error.lineno}, column {error.colno}."
        ) from error
    except RecursionError as error:
        raise InputError(f"{path} is nested deeper than any scenario is.") from error
    except ValueError as error:  # a whole number of thousands of digits
        raise InputError(
            f"{path} is not a scenario: a number in it has too many digits."
        ) from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def scenario_from_json(given: Any) -> Scenario:
    """The scenario that parsed JSON states. Raises: InputError."""
    top = _object(given, "The scenario", (*_TOP, *_REMARKS))
    if "links" not in top:
        raise InputError('The scenario has no links; add "links": {ID: {"capacity": c}}.')
    links = _object(top["links"], "links", None)
    on_failure = top.get("on_failure", "restart")
    if on_failure != "restart":
        raise InputError(
            f'on_failure is {on_failure!r}; the one that is known is "restart": what a failed '
            f"link interrupts begins again from byte 0 when it is back."
        )
    pools = tuple(_pool(pool, at) for at, pool in enumerate(_list(top, "pools")))
    if sum(pool.chunks for pool in pools) > MOST_CHUNKS:
        raise InputError(
            f"The pools have more than {MOST_CHUNKS:,} chunks in all; give fewer, larger ones."
        )
    return Scenario(
        links={id_: _link(id_, link) for id_, link in links.items()},
        flows=tuple(_flow(flow, at) for at, flow in enumerate(_list(top, "flows"))),
        pools=pools,
    )


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise InputError(f"the key {twice!r} is there twice in one object; leave one of them out.")
    return found


def _link(id_: str, given: Any) -> Link:
    where = f"Link {id_!r}"
    link = _object(given, where, _LINK)
    return Link(
        id=id_,
        capacity_bytes_per_s=_number(link, "capacity", where),
        changes=tuple(
            sorted(
                (
                    (
                        _valid(pair[0], f"{where}: the instant of a change"),
                        _valid(pair[1], f"{where}: the capacity of a change"),
                    )
                    for pair in _pairs(link, "changes", where)
                ),
                key=lambda change: change[0],
            )
        ),
        outages=tuple(sorted(_outage(pair, where) for pair in _pairs(link, "outages", where))),
        rtt_ms=_optional(link, "rtt_ms", where),
    )


def _outage(pair: list[Any], where: str) -> tuple[float, float]:
    down_s = _valid(pair[0], f"{where}: the begin of an outage")
    # null: it never comes back.
    up_s = math.inf if pair[1] is None else _valid(pair[1], f"{where}: the end of an outage")
    if up_s <= down_s:
        raise InputError(
            f"{where}: the outage from {down_s:g} s ends at {up_s:g} s; it must end later."
        )
    return down_s, up_s


def _flow(given: Any, at: int) -> Flow:
    flow, id_ = _named(given, "Flow", at, _FLOW)
    where = f"Flow {id_!r}"
    after = [] if flow.get("after") is None else flow["after"]
    if not isinstance(after, list) or not all(isinstance(other, str) for other in after):
        raise InputError(f"{where}: after is {after!r}; give a list of flow ids.")
    return Flow(
        id=id_,
        size_bytes=_number(flow, "bytes", where),
        route=_route(flow, where),
        start_s=_number(flow, "start", where, otherwise=0.0),
        after=tuple(dict.fromkeys(after)),
    )


def _pool(given: Any, at: int) -> Pool:
    pool, id_ = _named(given, "Pool", at, _POOL)
    where = f"Pool {id_!r}"
    chunks = _number(pool, "chunks", where)
    if chunks != int(chunks) or chunks > MOST_CHUNKS:
        raise InputError(
            f"{where}: chunks is {chunks:g}; give a whole number of {MOST_CHUNKS:,} at most."
        )
    connections = []
    for number, each in enumerate(_list(pool, "connections", where)):
        connection, name = _named(each, f"{where}, connection", number, _CONNECTION)
        route = _route(connection, f"{where}, connection {name!r}")
        connections.append(Connection(id=name, route=route))
    return Pool(
        id=id_,
        chunks=int(chunks),
        chunk_bytes=_number(pool, "chunk_bytes", where),
        connections=tuple(connections),
        start_s=_number(pool, "start", where, otherwise=0.0),
    )


def _route(given: Object, where: str) -> Route:
    path = given.get("path")
    if not isinstance(path, list) or not all(isinstance(link, str) for link in path):
        raise InputError(f"{where}: path is {path!r}; give a list of link ids.")
    cap = _optional(given, "rate_cap", where)
    weight = _optional(given, "weight", where)
    if weight is not None and not 1e-9 <= weight <= 1e9:
        raise InputError(f"{where}: weight is {weight:g}; give one from 1e-9 to 1e9.")
    return Route(
        path=tuple(dict.fromkeys(path)),
        rate_cap_bytes_per_s=math.inf if cap is None else cap,
        weight=1.0 if weight is None else weight,
        rtt_ms=_optional(given, "rtt_ms", where),
    )


def _named(given: Any, kind: str, at: int, known: tuple[str, ...]) -> tuple[Object, str]:
    """The object and its id."""
    id_ = given.get("id") if isinstance(given, Mapping) else None
    where = f"{kind} {id_!r}" if isinstance(id_, str) else f"{kind} number {at + 1}"
    found = _object(given, where, known)
    if not isinstance(id_, str) or not id_:
        raise InputError(f"{where}: id is {id_!r}; give it one, as text.")
    return found, id_


def _object(given: Any, where: str, known: tuple[str, ...] | None) -> Object:
    if not isinstance(given, Mapping):
        raise InputError(f"{where} is {_kind(given)}; give a JSON object.")
    for key in given:
        if known is not None and key not in known:
            near = nearest_names(str(key), known)
            told = f"did you mean {near[0]!r}" if near else f"known are {', '.join(known)}"
            raise InputError(f"{where} has an unknown key {key!r}; {told}.")
    return given


def _list(given: Object, key: str, where: str = "The scenario") -> list[Any]:
    found = given.get(key, [])
    if not isinstance(found, list):
        raise InputError(f"{where}: {key} is {_kind(found)}; give a list.")
    return found


def _pairs(given: Object, key: str, where: str) -> list[list[Any]]:
    pairs = _list(given, key, where)
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2:
            raise InputError(f"{where}: {key} holds {pair!r}; give pairs of two numbers.")
    return pairs


def _number(given: Object, key: str, where: str, otherwise: float | None = None) -> float:
    if given.get(key) is None and otherwise is not None:
        return otherwise
    if key not in given:
        raise InputError(f"{where} has no {key}; give a number.")
    return _valid(given[key], f"{where}: {key}")


def _optional(given: Object, key: str, where: str) -> float | None:
    return None if given.get(key) is None else _number(given, key, where)


def _valid(value: Any, where: str) -> float:
    """The finite number, 0 or more, that stands there."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{where} is {_kind(value)}; give a number.")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not 0 <= number < math.inf:
        raise InputError(f"{where} is {number:g}; give a finite number, 0 or more.")
    return number + 0.0  # -0.0 becomes 0.0


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: f"the text {value!r}", type(None): "null"}
    return names.get(type(value), json.dumps(value, default=str))
