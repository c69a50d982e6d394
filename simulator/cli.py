"""Options that say what a simulation assumes, and the World that they ask for."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from datasets.edits import parse_ends
from datasets.errors import InputError
from datasets.units import parse_duration_s, parse_size_bytes
from planner.recovery import RECOVERIES
from simulator.assumptions import (
    FAIRNESS,
    RELAYS,
    GatewayLoss,
    LinkChange,
    LinkLoss,
    Noise,
    Ramp,
    Store,
    Stragglers,
    fixed_provisioning,
)
from simulator.calibration import load_calibration
from simulator.world import World
from simulator.world_file import world_from_file

Command = TypeVar("Command", bound=Callable[..., Any])
_MOST_OBJECTS = 2_000_000
_LISTED = re.compile(r"(?:(\d[\d_]*)x)?(.+)")

# (option, name, what click is told): in the order of `--help`.
_OPTIONS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("--seed", "seed", {"type": int, "help": "Of all that is drawn.  [default: 0]"}),
    (
        "--dispatch",
        "dispatch",
        {
            "type": click.Choice(["dynamic", "static"]),
            "help": "Chunks to whichever connection is free (the default), or in fixed shares.",
        },
    ),
    (
        "--work-conserving",
        "work_conserving",
        {"is_flag": True, "default": None, "help": "Planned rates are no caps."},
    ),
    (
        "--fairness",
        "fairness",
        {
            "type": click.Choice(FAIRNESS),
            "help": "How flows share: equally (maxmin, the default), or by inverse round trip.",
        },
    ),
    ("--chunk-size", "chunk_size", {"metavar": "SIZE", "help": "8MiB.  [default: from 8MiB on]"}),
    (
        "--objects",
        "objects",
        {
            "metavar": "LIST",
            "help": "What is moved instead of one object: 10000x4KiB,3x1GB.",
        },
    ),
    (
        "--relays",
        "relays",
        {
            "type": click.Choice(RELAYS),
            "help": "Records are passed on as they come (the default), or whole chunks only.",
        },
    ),
    (
        "--relay-buffer",
        "relay_buffer",
        {"metavar": "SIZE", "help": "What a lane's relay holds at most; hops are then apart."},
    ),
    (
        "--saturation",
        "saturation",
        {"type": float, "metavar": "A", "help": "C(n) = C64·(n/64)^A.  [default: 1]"},
    ),
    (
        "--ramp-rtts",
        "ramp_rtts",
        {
            "type": float,
            "metavar": "K",
            "help": "Start-up of 0.2 s + K round trips, on capacity = received·5/(5−t0); 0 to 10 "
            "is plausible.  [default: none, capacity = received]",
        },
    ),
    (
        "--loss",
        "loss",
        {
            "multiple": True,
            "metavar": "[SRC,DST=]P",
            "help": "Packets lost: a connection carries MSS/RTT·1.22/√P at most (repeatable).",
        },
    ),
    (
        "--stragglers",
        "stragglers",
        {
            "metavar": "SIGMA[,SHARE]",
            "help": "Connections differ by a lognormal; a SHARE of them are 10 times slower.",
        },
    ),
    (
        "--chunk-overhead-s",
        "chunk_overhead_s",
        {"type": float, "metavar": "S", "help": "Before each chunk, for its connection."},
    ),
    (
        "--object-overhead-s",
        "object_overhead_s",
        {"type": float, "metavar": "S", "help": "Besides, before the first chunk of an object."},
    ),
    (
        "--store",
        "store",
        {
            "metavar": "[READ,WRITE]",
            "is_flag": False,
            "flag_value": "",
            "help": "Object stores at both ends, with published limits and prices of requests; "
            "and, if given, Gbit/s that a VM reads and writes.",
        },
    ),
    (
        "--prefixes",
        "prefixes",
        {"type": int, "metavar": "N", "help": "Over how many prefixes objects are spread."},
    ),
    (
        "--noise",
        "noise",
        {
            "metavar": "SIGMA[,TIME]",
            "help": "Links' capacity varies: lognormal, correlated over TIME (30s; 0s: one draw "
            "for the whole transfer). An assumption: no public data fix it.",
        },
    ),
    (
        "--link",
        "links",
        {
            "multiple": True,
            "metavar": "SRC,DST=GBPS@TIME",
            "help": "From TIME after the start a VM pair carries GBPS there (repeatable).",
        },
    ),
    (
        "--outage",
        "outages",
        {
            "multiple": True,
            "metavar": "SRC,DST@FROM-TO",
            "help": "A link carries nothing from FROM to TO, 60s-90s (repeatable).",
        },
    ),
    (
        "--lose",
        "lose",
        {
            "multiple": True,
            "metavar": "GATEWAY@TIME[,NOTICE]",
            "help": "A gateway's VM dies, for spot VMs with a notice: aws:us-east-1#0@60s,30s.",
        },
    ),
    (
        "--recovery",
        "recovery",
        {
            "type": click.Choice(RECOVERIES),
            "help": "After a loss: fail, go on by the others (the default), and besides ask for "
            "the VM again, or plan what is missing anew.",
        },
    ),
    (
        "--provisioning-s",
        "provisioning_s",
        {
            "type": float,
            "metavar": "S",
            "help": "Every VM is ready after so long.  [default: drawn, by cloud]",
        },
    ),
    (
        "--least-vm-billing",
        "least_vm_billing",
        {"is_flag": True, "default": None, "help": "VMs cost at least what a cloud charges."},
    ),
    (
        "--start",
        "starts",
        {"multiple": True, "metavar": "TIME", "help": "When each PLAN's Job starts (repeatable)."},
    ),
    (
        "--calibration",
        "calibration",
        {
            "type": click.Path(path_type=Path),
            "metavar": "FILE",
            "help": "Parameters that `tradewind calibrate` fitted to executed Runs.",
        },
    ),
    (
        "--world",
        "world_file",
        {
            "type": click.Path(path_type=Path),
            "metavar": "FILE",
            "help": "Assumptions as JSON, as in a manifest; options given besides come on top.",
        },
    ),
)


def world_options(command: Command) -> Command:
    """Add the options of a World; the command takes it as the keyword argument `world`."""

    @functools.wraps(command)
    def with_world(*args: Any, **given: Any) -> Any:
        asked = {name: given.pop(name) for _, name, _ in _OPTIONS}
        return command(*args, world=world_of(**asked), **given)

    decorated: Any = with_world
    for option, name, about in reversed(_OPTIONS):
        decorated = click.option(option, name, **about)(decorated)
    return decorated  # type: ignore[no-any-return]  # the wrapper stands for the command


def world_of(
    *, world_file: Path | None = None, calibration: Path | None = None, **asked: Any
) -> World:
    """The World that options ask for. Raises: InputError, naming the option."""
    base = World() if world_file is None else world_from_file(world_file)
    if calibration is not None:
        base = load_calibration(calibration).applied_to(base)
    values: dict[str, Any] = {}
    for name in (
        "seed",
        "dispatch",
        "work_conserving",
        "fairness",
        "relays",
        "saturation",
        "chunk_overhead_s",
        "object_overhead_s",
        "recovery",
        "least_vm_billing",
    ):
        if asked.get(name) is not None:
            values[name] = asked[name]
    if asked.get("chunk_size") is not None:
        values["chunk_bytes"] = parse_size_bytes(asked["chunk_size"])
    if asked.get("relay_buffer") is not None:
        values["relay_buffer_bytes"] = parse_size_bytes(asked["relay_buffer"])
    if asked.get("objects") is not None:
        values["objects"] = parse_objects(asked["objects"])
    if asked.get("ramp_rtts") is not None:
        values["ramp"] = replace(base.ramp or Ramp(), rtts=asked["ramp_rtts"])
    if asked.get("provisioning_s") is not None:
        values["provisioning"] = fixed_provisioning(asked["provisioning_s"])
    if asked.get("starts"):
        values["starts_s"] = tuple(_time_s(text) for text in asked["starts"])
    if asked.get("noise") is not None:
        values["noise"] = _noise(asked["noise"])
    if asked.get("stragglers") is not None:
        values["stragglers"] = _stragglers(asked["stragglers"])
    if asked.get("store") is not None or asked.get("prefixes") is not None:
        values["store"] = _store(base.store, asked.get("store"), asked.get("prefixes"))
    if asked.get("loss"):
        values["loss"] = tuple(_loss(text) for text in asked["loss"])
    changes = [_change(text) for text in asked.get("links") or ()]
    changes += [change for text in asked.get("outages") or () for change in _outage(text)]
    if changes:
        values["link_changes"] = (*base.link_changes, *changes)
    if asked.get("lose"):
        values["losses"] = (*base.losses, *(_gateway_loss(text) for text in asked["lose"]))
    return replace(base, **values)


def parse_objects(text: str) -> tuple[int, ...]:
    """Bytes of each object of `10000x4KiB,3x1GB`. Raises: InputError."""
    sizes: list[int] = []
    for part in text.split(","):
        match = _LISTED.fullmatch(part.strip())
        if match is None:
            raise InputError(f"Objects {text!r} are not a list such as 10000x4KiB,3x1GB.")
        count = int((match.group(1) or "1").replace("_", ""))
        if count < 1:
            raise InputError(f"Objects {text!r}: {part.strip()!r} are none.")
        if len(sizes) + count > _MOST_OBJECTS:
            raise InputError(f"Objects {text!r} are more than {_MOST_OBJECTS:,}.")
        sizes += [parse_size_bytes(match.group(2))] * count
    return tuple(sizes)


def _time_s(text: str) -> float:
    return 0.0 if text.strip() in ("0", "0s") else parse_duration_s(text)


def _number(text: str, what: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise InputError(f"{what}: {text!r} is not a number.") from error


def _noise(text: str) -> Noise:
    sigma, _, time = text.partition(",")
    value = _number(sigma, "--noise")
    return Noise(sigma=value, correlation_s=_time_s(time)) if time else Noise(sigma=value)


def _stragglers(text: str) -> Stragglers:
    sigma, _, share = text.partition(",")
    value = _number(sigma, "--stragglers")
    return Stragglers(sigma=value, slow_share=_number(share or "0", "--stragglers"))


def _store(base: Store | None, text: str | None, prefixes: int | None) -> Store:
    if base is None and text is None:
        raise InputError("--prefixes are of an object store; add --store.")
    store = base or Store(published=True)
    if prefixes is not None:
        store = replace(store, prefixes=prefixes)
    if not text:
        return store
    read, _, write = text.partition(",")
    rates = [_number(each, "--store") for each in (read, write or read)]
    if min(rates) <= 0:
        raise InputError(f"--store {text!r}: a VM reads and writes at more than 0 Gbit/s.")
    return replace(store, read_gbps_per_vm=rates[0], write_gbps_per_vm=rates[1])


def _loss(text: str) -> LinkLoss:
    ends, found, number = text.rpartition("=")
    probability = _number(number, "--loss")
    if not found:
        return LinkLoss(probability=probability)
    src, dst = parse_ends(ends)
    return LinkLoss(probability=probability, src=src, dst=dst)


def _change(text: str) -> LinkChange:
    told, at, time = text.rpartition("@")
    ends, equals, number = told.rpartition("=")
    if not at or not equals:
        raise InputError(f"--link {text!r} is not SRC,DST=GBPS@TIME.")
    src, dst = parse_ends(ends)
    return LinkChange(at_s=_time_s(time), src=src, dst=dst, gbps=_number(number, "--link"))


def _outage(text: str) -> tuple[LinkChange, LinkChange]:
    """Down, and back to what the Plan has."""
    ends, at, times = text.rpartition("@")
    start, dash, end = times.partition("-")
    if not at or not dash:
        raise InputError(f"--outage {text!r} is not SRC,DST@FROM-TO, with times such as 60s-90s.")
    from_s, to_s = _time_s(start), _time_s(end)
    if to_s <= from_s:
        raise InputError(f"--outage {text!r} ends before it begins.")
    src, dst = parse_ends(ends)
    return (
        LinkChange(at_s=from_s, src=src, dst=dst, gbps=0.0),
        LinkChange(at_s=to_s, src=src, dst=dst, gbps=None),
    )


def _gateway_loss(text: str) -> GatewayLoss:
    gateway, at, times = text.rpartition("@")
    time, _, notice = times.partition(",")
    if not at:
        raise InputError(f"--lose {text!r} is not GATEWAY@TIME, such as aws:us-east-1#0@60s.")
    notice_s = _time_s(notice) if notice else 0.0
    return GatewayLoss(at_s=_time_s(time), gateway=gateway, notice_s=notice_s)
