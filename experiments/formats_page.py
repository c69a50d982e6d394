"""Prints `docs/formats.md` from the schemas themselves: `python -m experiments.formats_page`.

A test holds the file to this; what a schema does not say (why, and for whom) is written here.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields

from datasets import run
from datasets.events import COLUMNS, EVENT_SCHEMA_VERSION, MEANING
from datasets.matrix import Link, MatrixRef, Vm
from datasets.outcome import Outcome
from executor.endpoints.journal import RECORD_BYTES
from executor.gateway import command
from planner import cost, plan
from planner.job import Job
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

_FIELD = re.compile(r"(\d+) ([A-Za-z][^|\n]*?) (\d+)(?=\s*(?:\||\n))")

_COMMAND_MEANING = {
    'magic "TWND"': "what this is",
    "version": "1",
    "kind": ", ".join(f"{int(kind)} {kind.name.lower()}" for kind in command.Kind),
    "flags": "zero",
    "transfer": "which transfer",
    "object": "12 bytes that name content and place, 4 with the index in the listing",
    "session": "the session; in a hello, the ticket",
    "object size": "bytes of the whole object",
    "offset of this record in the object": "of an acknowledgement or a fetch: of its "
    "chunk; of a description: the time of change in ns, two's complement; of a document: of this "
    "piece",
    "chunk size": "bytes; how many chunks there are follows from it",
    "payload length": "bytes that follow: of data, sealed, their 16-byte tag included; of a "
    "document, JSON in TLS; of all else 0",
    "attempt": "which attempt at the object; part of the key",
    "session epoch": "refused unless it is the site's",
    "session expiry (Unix s)": "refused afterwards",
    "rights": "1 write, 2 read",
    "path": "the Plan's lane (its index in `lanes`); of a description: the mode",
    "key id": "64 random bits of the connection that seals; part of the key",
    "first byte allowed": "the session's range, inclusive",
    "last byte allowed": "the session's range, inclusive",
    "reserved, zero": "refused unless zero",
    "MAC": "HMAC-SHA-256 over bytes 0 to 143, cut to 16",
}

_PLAN = {
    "id": "first 32 hexadecimal digits of SHA-256 over the rest as canonical JSON",
    "schema_version": f"{plan.PLAN_SCHEMA_VERSION}",
    "feasible": "true; an infeasible Job has no Plan",
    "strategy": "which strategy decided",
    "job": "the Job, as asked",
    "matrix": "which Matrix: epoch, digest and the choices that are in it",
    "predicted": "`throughput_gbps` (of each source's data), `makespan_s`, `cost_usd` {`egress`, "
    "`vm` (while bytes move), `provisioning` (before, only where counted), `total`}, `gco2e` of "
    "VM time (null where a grid is not known)",
    "bound_usd": "the least that any plan meeting the Job can cost, over all strategies: the "
    "solver's word where branch and bound went beyond the relaxation",
    "bound_lp_usd": "what the linear relaxation proves, by the certificate of `usd`",
    "bound_gbps": "the most throughput of any plan; null unless the Job asks for the fastest",
    "bound_gco2e": "the least carbon of any plan; null unless the Job minimises it",
    "gap": "(value − bound)/value of what is minimised, or (bound − throughput)/bound",
    "certificates": "what anyone can check without a solver: `proves` (`usd`, `gco2e` or `gbps`), "
    "`value`, `goal_gbps` (at and above which it holds), `usd_weight`, `gco2e_weight`, `rents` "
    "(region: row: multiplier), `credits` (of what the Job requires)",
    "vms": "region: number of VMs",
    "flows": "`src`, `dst`, `gbps` of each link between regions",
    "paths": "`hops` (regions in order), `gbps` (its pace), `share` of the bytes",
    "lanes": "a path by gateways: `path`, `gateways`, `connections` a hop, `gbps`, `share`",
    "trees": "from or to many: `source`, `edges` (links, root first), `gbps` on each of them, "
    "`share` of that source's bytes",
    "tree_lanes": "a tree by gateways: `tree`, `edges`, `connections` an edge, `gbps`, `share`",
    "regions": "the VM figures that the Plan uses, `id` and `vm`",
    "links": "the link figures that the Plan uses",
    "gco2e_per_vm_hour": "grams of CO2 equivalent an hour of each region's VM; empty if unknown",
    "provisioning_s": "seconds before a region's VM is ready, where the Job counts them",
    "notes": "what the strategy wants said",
}


_ASKS = (
    (
        "`put`",
        "`path`, `name`, `entries`",
        "a session to write, `attempt`, `received` (unit: ranges of chunks), `enquiry` (a session "
        "that may only ask), `placed`",
    ),
    (
        "`confirm`",
        "`transfer`, `roots` (unit: root)",
        "`placed`; read back, compared and put in its place first",
    ),
    ("`told`", "`transfer`", "the site forgets that it was placed"),
    ("`get`", "`path`", "a session to read, `entries`"),
    ("`roots`", "`transfer`", "`roots` of what is offered"),
    ("`withdraw`", "`transfer`", "it is offered no more"),
    (
        "`spool`",
        "`transfer`, `home` (`host`, `port`, `grant`), `largest`",
        "a session to write chunks of another site's transfer, `held` (object: ranges)",
    ),
    ("`held`", "`transfer`", "`grant` (a session to read them), `held`"),
    (
        "`gather`",
        "`transfer`, `sites` (`host`, `port`, `grant`, `held`)",
        "how many `chunks` it fetched from them",
    ),
    ("`drop`", "`transfer`", "the spool is gone"),
)

_SITE_FILES = (
    (
        "`.tradewind-partial-<transfer>/`",
        "a transfer that comes in: `listing`, `journal-*`, `tree`; `placing` once it is confirmed",
    ),
    (
        "`journal-*`",
        f"records of {RECORD_BYTES} bytes: unit, first chunk, end, each 8 bytes big-endian, and 8 "
        "bytes of BLAKE3 over a fixed word and them; unit 2^64 − 1 states an attempt's number",
    ),
    (
        "`.tradewind-transfers/<transfer>`",
        "at a site: `[kind, path]`, so that any worker finds it",
    ),
    (
        "`.tradewind-spool-<transfer>/<object>/`",
        "chunks of another site's object, as a partial transfer of one file",
    ),
    (
        "attribute `user.tradewind.root`",
        "with each file that arrived: `v1`, chunk size, time of change in ns, root",
    ),
    (
        "credentials",
        "JSON of mode 0600: `version`, `address`, `name`, `authority_pem`, `certificate_pem`, "
        "`key_pem`; a site's own, `FILE.site`: `name`, `site_key`, `epoch`, `authority_key_pem`",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandField:
    """One field of the 160-byte command."""

    offset: int
    name: str
    size: int


def command_fields() -> tuple[CommandField, ...]:
    """The fields as `executor/gateway/command.py` lays them out, without a hole.

    Raises: ValueError if what it says does not add up to the command's length.
    """
    layout = (command.__doc__ or "").split("\n\n")[1]
    found = tuple(
        CommandField(offset=int(at), name=name, size=int(size))
        for at, name, size in _FIELD.findall(layout + "\n")
    )
    at = 0
    for field in found:
        if field.offset != at:
            raise ValueError(f"the command's field {field.name!r} is at {field.offset}, not {at}")
        at += field.size
    if at != command.COMMAND_BYTES:
        raise ValueError(f"the command's fields have {at} bytes in all")
    return found


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def _names(kind: type) -> str:
    return ", ".join(f"`{field.name}`" for field in fields(kind))


def _events() -> str:
    columns = [
        (f"`{name}`", kind, unit or "–", f"`{default!r}`" if default != "" else "empty", meaning)
        for name, (kind, unit, default, meaning) in COLUMNS.items()
    ]
    words = [(f"`{event.value}`", meaning) for event, meaning in MEANING.items()]
    return "\n\n".join(
        (
            _table(("column", "type", "unit", "default", "meaning"), columns),
            _table(("event", "meaning, and the columns that it fills"), words),
        )
    )


def _command() -> str:
    rows = [
        (field.offset, field.size, field.name, _COMMAND_MEANING[field.name])
        for field in command_fields()
    ]
    return _table(("byte", "bytes", "field", "meaning"), rows)


def page() -> str:
    """The whole page."""
    plan_rows = [(f"`{key}`", meaning) for key, meaning in _PLAN.items()]
    run_rows = [
        (f"`{run.MANIFEST}`", "written last, so that its presence says that the folder is whole"),
        (f"`{run.PLAN}`", "the Plan, as above"),
        (f"`{run.EVENTS}`", "the event table"),
        (f"`{run.OUTCOME}`", f"what it comes to: {_names(Outcome)}; costs under `cost_usd`"),
        (f"`{run.REPORT}`", "the page of the Run"),
    ]
    return f"""# Formats

Made by `python -m experiments.formats_page` from the schemas in the code; not edited by hand.

Units everywhere: decimal Gbit/s, bytes, seconds, USD; prices in USD a decimal GB and USD an hour.
Canonical JSON is UTF-8 with sorted keys, without white space, without NaN, floats in Python's
shortest form. A digest is the first 32 hexadecimal digits of SHA-256 over it.

## Matrix

`tradewind matrix export --format json` prints `epoch`, `digest`, `regions` (`id` and `vm`: what
`Vm` holds, {_names(Vm)})
and `links` ({_names(Link)}). `csv` and `parquet` have one row a link,
with the VM's columns of both ends under the prefixes `src_` and `dst_` (`type` as `vm_type`). All
three load with `--matrix FILE`.

A Plan names its Matrix by {_names(MatrixRef)}.

## Plan, schema version {plan.PLAN_SCHEMA_VERSION}

Canonical JSON. Figures are rounded before they are digested: Gbit/s to {cost.GBPS_PLACES} decimal
places, seconds to {cost.SECONDS_PLACES}, USD to {cost.USD_PLACES}, shares to {plan.SHARE_PLACES}.
Unknown and missing keys are errors. The id guards against accident, not against a forger.

{_table(("key", "meaning"), plan_rows)}

A Job is {_names(Job)}, and `objective`, which follows from them.

## Run

A folder `runs/<id>/`. A simulation's id is the digest of Plan and World; an execution's is its
transfer's random id.

{_table(("file", "what it holds"), run_rows)}

Every manifest has `run_id`, `kind` (`simulated` or `executed`), `plan_id`, `matrix`,
`event_schema_version`, `events_digest` and `versions`. A simulation adds its `world`, the ids of
its `plans`, the verdict, the `matrix_of_world`, `notes`, and `trials` (`makespan_s`, `cost_usd`,
`assumed`) where there were any (one by `tradewind run` its `world` alone); of several Plans,
`plan.json` is the first, and a Plan that was planned anew on the way has the old
lanes first and the new ones after them. An execution adds `provider`, `started_utc`, `dispatch`,
`work_conserving`, the scale (`rate_scale` k, `size_scale` b, `moved_bytes`, `chunk_bytes`,
`record_bytes`, `connections`, `machine_gbps`), `objects`, `cpu` (`share`, `steal`, `bound`),
`kernel_bytes`, `refused` and `host`.

## Event table, schema version {EVENT_SCHEMA_VERSION}

Parquet, in the order of `t_s`. The simulator and the executor both write it; `counter_read` and
`cpu_sampled` are stamped by real gateways alone. Where relays are simulated as cut-through, a
chunk is sent, received at every hop, verified and acknowledged at one instant; in an execution
these follow each other, and `chunk_sent` may be stamped a moment after the receiver's
`chunk_received`. Of a tree, `hop` is the edge's position, and a chunk is verified at each
destination.

{_events()}

## World

What `tradewind simulate --world FILE` reads and a simulation's manifest holds: {_names(World)}.
Fields left out keep their values. An effect is null (or an empty list) where it is off. `noise` has
{_names(Noise)}; `ramp` {_names(Ramp)}; `stragglers` {_names(Stragglers)}; `store` {_names(Store)};
`provisioning` {_names(Provisioning)}; each of `loss` {_names(LinkLoss)} (`*` stands for any
region); each of `link_changes` {_names(LinkChange)} (`gbps` 0: an outage; null: as planned); each
of `losses` {_names(GatewayLoss)}. What each means stands in `simulator/world.py` and
`simulator/assumptions.py`.

## Plain network

What `tradewind simulate --network FILE` reads: JSON; seconds, bytes, bytes a second; no latency.

- `links`: `{{id: {{"capacity": c}}}}`, and optionally `changes` `[[t, c], …]` (the capacity is c
  from t on), `outages` `[[t_down, t_up], …]` (what is under way on the link fails), `rtt_ms`.
- `flows`: `id`, `bytes`, `path` (links), `start` or `after` (flow ids: it begins when all of them
  have ended, and not before `start`), optionally `rate_cap`.
- `pools`: `id`, `chunks`, `chunk_bytes`, `start`, `connections` (`id`, `path`, perhaps `rate_cap`):
  a free connection takes the next unsent chunk. Its flows are `pool/index`.
- `on_failure`: `restart`: a failed flow begins again from byte 0 when the link is back. A flow of 0
  bytes ends as it begins, whatever its links do.

It prints `{{"finish": {{flow: seconds}}, "makespan": seconds}}`. Sharing is max-min fair; a flow
counts once on each link of its path.

## Command, version {command.VERSION}

{command.COMMAND_BYTES} bytes, big-endian, before each record and alone where there is no payload.
A record is at most {command.MOST_PAYLOAD_BYTES - command.TAG_BYTES:,} bytes of plaintext, sealed
with AES-256-GCM; bytes 0 to {command.SIGNED_BYTES - 1} are its associated data. Acknowledgements
travel the same connection backwards.

{_command()}

The version is of all of it: a peer refuses any other, a field of which it does not know the
meaning, and flags or reserved bytes that are not zero.

## Site, and what a copy leaves while it lasts

A connection to a site's port that begins with a command is data; any other is TLS, for control:
documents in JSON, each in commands of kind {int(command.Kind.DOCUMENT)} with its pieces in order
(`offset`, of `object size` in all). A request has `ask`; an answer has `error` and `said` where it
is refused.

{_table(("ask", "with", "answer"), _ASKS)}

An entry is `[path, kind (0 file, 1 folder, 2 link), size, mode, mtime_ns, target]`, paths and
targets as Latin-1 of their bytes. A session is `transfer`, `session`, `epoch`, `expiry`, `rights`,
`last_byte`, with `key` and `data_key`, which the site derives anew from its own key and all of
these whenever it sees them in a command.

{_table(("file", "what it holds"), _SITE_FILES)}

A root is BLAKE3 over `tradewind root v1`, the size in 8 bytes and the BLAKE3 of each chunk, in
order; of a pack of small files, over their roots. A transfer's id is 8 bytes of BLAKE3 over the
place, and 8 over the place, the chunk size and the listing: the same command run again finds it,
and a source that changed does not.
"""


if __name__ == "__main__":
    sys.stdout.write(page())
