"""A user's own Matrix from CSV, Parquet, or the JSON of `tradewind matrix export`.

CSV and Parquet need `src, dst, gbps, usd_per_gb, rtt_ms`, one row a directed link. Each end's VM
may follow (`src_vm_type`, `src_vcpus`, …, `dst_ingress_gbps`); what is missing comes from our
catalogue by region. Whatever is wrong is one sentence that names row, column and value.
"""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import json
import math
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

from datasets.canonical import rounded
from datasets.errors import DataError, InputError
from datasets.instances import CAPS, catalogue_vm, known_clouds
from datasets.matrix import COLUMNS, GBPS_PLACES, TIERS, Link, Matrix, RegionVm, Vm
from datasets.policies import POLICIES
from datasets.regions import check_region, cloud_of

LINK_COLUMNS = ("src", "dst", "gbps", "usd_per_gb", "rtt_ms")
VM_FIELDS = (
    "vm_type",
    "vcpus",
    "usd_per_hour",
    "egress_public_gbps",
    "egress_gbps",
    "ingress_gbps",
)
VM_COLUMNS = tuple(f"{end}_{field}" for end in ("src", "dst") for field in VM_FIELDS)
_NUMBERS = ("gbps", "usd_per_gb", "rtt_ms")
# Far above anything sold or measured: beyond it a figure is in another unit, or a slip.
_MOST: Mapping[str, int] = MappingProxyType(
    {
        "gbps": 100_000,
        "usd_per_gb": 1_000,
        "rtt_ms": 100_000,
        "vcpus": 100_000,
        "usd_per_hour": 100_000,
        "egress_public_gbps": 100_000,
        "egress_gbps": 100_000,
        "ingress_gbps": 100_000,
    }
)
_EXPORT_KEYS = {"epoch", "digest", "regions", "links"}

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxlong = _SHORT.maxother = 60

Record = Mapping[str, Any]
Row = tuple[str, Record]  # where it stands ("row 3"), and what it says
VmFigures = Mapping[str, str | float]


def read_user_matrix(file: Path, *, caps: str) -> Matrix:
    """The Matrix in `file` (.csv, .parquet or .json); `caps` fills missing caps of VMs.

    An untouched JSON export loads back with its epoch, choices and digest; one whose digest no
    longer matches is named `<epoch> (edited)`. CSV and Parquet carry neither, and so are named
    `<stem> (user file)` with the default choices, as is a JSON without a digest: their figures
    are equal to those exported, their digest is not.
    Raises: DataError; InputError for caps other than the default where the file gives them all.
    """
    data = _bytes_of(file)
    kind = file.suffix.lower()
    if kind == ".json":
        return _from_json(file, data, caps)
    if kind == ".csv":
        rows = _csv_rows(file, data)
    elif kind in (".parquet", ".pq"):
        rows = _parquet_rows(file, data)
    else:
        raise DataError(f"{file}: a matrix file ends in .csv, .parquet or .json.")
    if not rows:
        raise DataError(f"{file} has a header and no rows.")
    links = _links(file, rows)
    return _matrix(
        file,
        _own(_stem(file)),
        links,
        given=_given_vms(file, rows),
        places=_places(rows),
        caps=caps,
    )


def _own(name: str) -> str:
    """The epoch of figures that are the user's word alone: never a bare date."""
    return f"{name} (user file)"


def _stem(file: Path) -> str:
    return "".join(c if c.isprintable() else "?" for c in file.stem)


def _bytes_of(file: Path) -> bytes:
    if file.is_dir():
        raise DataError(f"{file} is a folder, not a matrix file.")
    try:
        data = file.read_bytes()
    except OSError as error:
        raise DataError(f"Cannot read the matrix file {file}: {error.strerror}.") from error
    if not data.removeprefix(codecs.BOM_UTF8).strip():
        raise DataError(f"The matrix file {file} is empty.")
    return data


def _text(file: Path, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file} is not UTF-8 text (byte {error.start}); save it as UTF-8."
        ) from error


def _csv_rows(file: Path, data: bytes) -> list[Row]:
    """Row 1 is the one below the header; a blank line is left out, and counted."""
    try:
        lines = list(csv.reader(io.StringIO(_text(file, data), newline=""), strict=True))
    except csv.Error as error:
        raise DataError(f"{file} is not a CSV file: {error}.") from error
    header = [name.strip() for name in lines[0]]
    _check_columns(file, header)
    rows: list[Row] = []
    for i, line in enumerate(lines[1:], start=1):
        if not line:
            continue
        if len(line) != len(header):
            raise DataError(f"{file}, row {i}: {len(line)} values for {len(header)} columns.")
        rows.append((f"row {i}", dict(zip(header, line, strict=True))))
    return rows


def _parquet_rows(file: Path, data: bytes) -> list[Row]:
    import pyarrow
    from pyarrow import parquet

    damaged = f"{file} is not a Parquet file, or is damaged."
    try:
        table = parquet.read_table(pyarrow.BufferReader(data))
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise DataError(damaged) from error
    _check_columns(file, list(table.column_names))
    try:
        records: list[Record] = table.to_pylist()
    except (pyarrow.ArrowException, OverflowError, ValueError) as error:
        raise DataError(damaged) from error
    return _numbered(records)


def _numbered(records: Sequence[Record], kind: str = "row") -> list[Row]:
    return [(f"{kind} {i}", record) for i, record in enumerate(records, start=1)]


def _check_columns(file: Path, header: Sequence[str]) -> None:
    missing = [name for name in LINK_COLUMNS if name not in header]
    if missing:
        raise DataError(
            f"{file} lacks the column {', '.join(missing)}; "
            f"its first row must name {', '.join(LINK_COLUMNS)}."
        )
    strange = [name for name in header if name not in (*LINK_COLUMNS, *VM_COLUMNS)]
    if strange:
        raise DataError(
            f"{file} has the unknown column {_short(strange[0])}; known are "
            f"{', '.join(LINK_COLUMNS)} and src_ or dst_ with {', '.join(VM_FIELDS)}."
        )
    if len(set(header)) != len(header):
        raise DataError(f"{file} names a column twice.")


def _links(file: Path, rows: Sequence[Row]) -> list[Link]:
    links = []
    seen: dict[tuple[str, str], str] = {}
    for row, record in rows:
        where = f"{file}, {row}"
        src, dst = (_region(f"{where}, {name}", record[name]) for name in ("src", "dst"))
        if src == dst:
            raise DataError(f"{where}: src and dst are both {src}.")
        first = seen.setdefault((src, dst), row)
        if first != row:
            raise DataError(f"{where}: {src} to {dst} stands in {first} already.")
        gbps, usd_per_gb, rtt_ms = (
            _figure(f"{where}, {name}", name, record[name]) for name in _NUMBERS
        )
        links.append(Link(src=src, dst=dst, gbps=gbps, usd_per_gb=usd_per_gb, rtt_ms=rtt_ms))
    return links


def _places(rows: Sequence[Row]) -> dict[str, str]:
    """Where each region is first named; the rows are checked."""
    places: dict[str, str] = {}
    for row, record in rows:
        for end in ("src", "dst"):
            places.setdefault(record[end].strip(), f"{row}, {end}")
    return places


def _region(where: str, value: object) -> str:
    text = value.strip() if isinstance(value, str) else ""
    try:
        return check_region(text)
    except InputError as error:
        raise DataError(
            f"{where}: {_short(value)} is not a region; "
            "write cloud:region, for example aws:us-east-1."
        ) from error


def _figure(where: str, name: str, value: object) -> float:
    """The figure of a link or VM called `name`, within its range. Raises: DataError."""
    number = _number(where, value)
    said = _short(value).strip("'\"")
    if not 0 <= number <= _MOST[name]:
        raise DataError(f"{where}: {said} is out of range; it must be from 0 to {_MOST[name]:,}.")
    if name == "vcpus" and (number < 1 or number != int(number)):
        raise DataError(f"{where}: {said} vCPUs make no VM; give a whole number, at least 1.")
    if name.endswith("gbps") and rounded(number, GBPS_PLACES) == 0:
        advice = "is no link; leave the row out" if name == "gbps" else "lets no byte through"
        zero = said if number == 0 else f"{said} (0 at {GBPS_PLACES} decimals)"
        raise DataError(f"{where}: {zero} {advice}.")
    return number


def _number(where: str, value: object) -> float:
    """`value` as a float; NaN and infinity pass, for the range to refuse. Raises: DataError."""
    is_number = isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)
    # Python reads `1_0` and digits of any script; nobody who writes those means a number here.
    if not is_number and not (isinstance(value, str) and value.isascii() and "_" not in value):
        raise DataError(f"{where}: {_short(value)} is not a number.")
    try:
        return float(value)  # type: ignore[arg-type]  # a number or a text, as checked above
    except OverflowError:
        return math.inf
    except ValueError as error:
        raise DataError(f"{where}: {_short(value)} is not a number.") from error


def _name(where: str, value: object) -> str:
    """A text that can be printed and digested (a lone surrogate cannot). Raises: DataError."""
    if not isinstance(value, str) or not value or not value.isprintable():
        raise DataError(f"{where} is {_short(value)}; it must be printable text.")
    return value


def _short(value: object) -> str:
    """The value as Python writes it, cut where it is long or deep."""
    return _SHORT.repr(value)


def _given_vms(file: Path, rows: Sequence[Row]) -> dict[str, dict[str, str | float]]:
    """What the rows say of each region's VM; all rows must say the same."""
    given: dict[str, dict[str, str | float]] = {}
    for row, record in rows:
        for end in ("src", "dst"):
            region = record[end].strip()
            vm = given.setdefault(region, {})
            for name in VM_FIELDS:
                value = record.get(f"{end}_{name}")
                if value is None or value == "":
                    continue
                where = f"{file}, {row}, {end}_{name}"
                said = _name(where, value) if name == "vm_type" else _figure(where, name, value)
                if vm.setdefault(name, said) != said:
                    raise DataError(
                        f"{where}: {_short(value)} for {region}, "
                        f"where a row above says {_short(vm[name])}."
                    )
    return given


def _matrix(
    file: Path,
    epoch: str,
    links: Sequence[Link],
    *,
    given: Mapping[str, VmFigures],
    places: Mapping[str, str],
    caps: str,
) -> Matrix:
    used = sorted({end for link in links for end in (link.src, link.dst)} | set(given))
    known = {region: given.get(region, {}) for region in used}
    if caps != CAPS[0] and not any(
        name.endswith("gbps") and name not in vm for vm in known.values() for name in VM_FIELDS
    ):
        raise InputError(
            f"{file} gives the caps of every VM, so that --caps {caps} has no effect: leave it out."
        )
    return Matrix(
        epoch=epoch,
        column=COLUMNS[0],
        tier=TIERS[0],
        policy=next(iter(POLICIES)),
        caps=caps,
        regions=tuple(
            RegionVm(id=region, vm=_vm(f"{file}, {places[region]}", region, known[region], caps))
            for region in used
        ),
        links=tuple(links),
    )


def _vm(where: str, region: str, given: VmFigures, caps: str) -> Vm:
    """The VM that the file gives, its gaps filled from the catalogue by region.

    Raises: DataError for a cloud that the catalogue does not know, where a field is missing.
    """
    missing = [name for name in VM_FIELDS if name not in given]
    values = dict(given)
    if missing:
        if cloud_of(region) not in known_clouds():
            raise DataError(
                f"{where}: no VM is known for {region}, whose cloud is none of "
                f"{', '.join(known_clouds())}; add {', '.join(missing)} as src_ and dst_ columns, "
                "or in JSON to its vm."
            )
        vm, _ = catalogue_vm(region, caps=caps)
        known = {"vm_type" if key == "type" else key: value for key, value in vm.as_json().items()}
        for name in missing:
            value = known[name]
            values[name] = value if isinstance(value, (str, int, float)) else 0.0
    return Vm(
        type=str(values["vm_type"]),
        vcpus=int(values["vcpus"]),
        usd_per_hour=float(values["usd_per_hour"]),
        egress_public_gbps=float(values["egress_public_gbps"]),
        egress_gbps=float(values["egress_gbps"]),
        ingress_gbps=float(values["ingress_gbps"]),
    )


def _from_json(file: Path, data: bytes, caps: str) -> Matrix:
    try:
        content = json.loads(_text(file, data))
    except json.JSONDecodeError as error:
        raise DataError(f"{file} is not JSON, or is cut short.") from error
    except (RecursionError, ValueError) as error:  # ValueError: thousands of digits
        raise DataError(
            f"{file} is nested too deeply for a matrix, or has endless digits."
        ) from error
    if not isinstance(content, dict):
        raise DataError(f"{file} does not hold a matrix, but {type(content).__name__}.")
    _check_keys(file, "the file", content, known=_EXPORT_KEYS, needed={"regions", "links"})
    records = _objects(file, "links", content["links"], set(LINK_COLUMNS), set(LINK_COLUMNS))
    if not records:
        raise DataError(f"{file} has no links.")
    given = {}
    places = {}
    for row, region in _numbered(
        _objects(file, "regions", content["regions"], {"id", "vm"}, {"id"}), "regions, row"
    ):
        name = _region(f"{file}, {row}, id", region["id"])
        if name in given:
            raise DataError(f"{file}, {row}: {name} stands there twice.")
        given[name] = _json_vm(file, row, region.get("vm", {}))
        places[name] = row
    rows = _numbered(records, "links, row")
    links = _links(file, rows)
    places = {**_places(rows), **places}
    epoch = _name(f"{file}: epoch", content["epoch"]) if "epoch" in content else _stem(file)
    matrix = _matrix(file, epoch, links, given=given, places=places, caps=caps)
    if "digest" not in content:
        return replace(matrix, epoch=_own(epoch))
    return _as_exported(matrix, content["digest"]) or replace(matrix, epoch=f"{epoch} (edited)")


def _as_exported(matrix: Matrix, digest: object) -> Matrix | None:
    """The same figures under the choice whose digest is `digest`; None if there is none.

    An export does not name its choice, but its digest covers it, and there are few.
    """
    for column, tier, policy, caps in itertools.product(COLUMNS, TIERS, POLICIES, CAPS):
        candidate = replace(matrix, column=column, tier=tier, policy=policy, caps=caps)
        if candidate.digest == digest:
            return candidate
    return None


def _json_vm(file: Path, row: str, vm: object) -> dict[str, str | float]:
    known = {"type" if name == "vm_type" else name for name in VM_FIELDS}
    if not isinstance(vm, dict):
        raise DataError(f"{file}, {row}, vm: {_short(vm)} is not an object.")
    _check_keys(file, f"{row}, vm", vm, known=known, needed=set())
    values: dict[str, str | float] = {}
    for name, value in vm.items():
        where = f"{file}, {row}, vm, {name}"
        if name == "type":
            values["vm_type"] = _name(where, value)
        else:
            values[name] = _figure(where, name, value)
    return values


def _objects(
    file: Path, name: str, value: object, known: set[str], needed: set[str]
) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        raise DataError(f"{file}: {name} is not a list.")
    for i, entry in enumerate(value, start=1):
        if not isinstance(entry, dict):
            raise DataError(f"{file}, {name}, row {i}: {_short(entry)} is not an object.")
        _check_keys(file, f"{name}, row {i}", entry, known=known, needed=needed)
    return value


def _check_keys(
    file: Path, where: str, value: Mapping[str, Any], *, known: set[str], needed: set[str]
) -> None:
    missing = sorted(needed - set(value))
    strange = sorted(set(value) - known)
    if missing:
        raise DataError(f"{file}, {where}: {missing[0]} is missing.")
    if strange:
        raise DataError(f"{file}, {where}: the key {_short(strange[0])} is unknown.")
