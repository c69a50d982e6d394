"""A Matrix as JSON, CSV or Parquet; `user_matrix.py` reads all three back to the same figures."""

from __future__ import annotations

import csv
import io

from datasets.canonical import canonical_json
from datasets.errors import UnknownName
from datasets.matrix import Matrix, Vm

FORMATS = ("json", "csv", "parquet")


def exported(matrix: Matrix, kind: str) -> bytes:
    """The bytes of `matrix` in the format `kind`. Raises: UnknownName for another format."""
    if kind == "json":
        return canonical_json(matrix.as_json()) + b"\n"
    if kind == "csv":
        return _csv(matrix)
    if kind == "parquet":
        return _parquet(matrix)
    raise UnknownName(kind="format", name=kind, known=FORMATS)


def link_records(matrix: Matrix) -> list[dict[str, str | int | float]]:
    """One record a link: the five columns of a link, then the VM columns of both ends."""
    records = []
    vms = {region.id: _vm_fields(region.vm) for region in matrix.regions}
    for link in matrix.links:
        record: dict[str, str | int | float] = dict(link.as_json())  # type: ignore[arg-type]  # flat
        for end, region in (("src", link.src), ("dst", link.dst)):
            record.update({f"{end}_{name}": value for name, value in vms[region].items()})
        records.append(record)
    return records


def _vm_fields(vm: Vm) -> dict[str, str | int | float]:
    fields: dict[str, str | int | float] = dict(vm.as_json())  # type: ignore[arg-type]  # flat
    return {"vm_type" if name == "type" else name: value for name, value in fields.items()}


def _csv(matrix: Matrix) -> bytes:
    records = link_records(matrix)
    out = io.StringIO()
    writer = csv.DictWriter(
        out, fieldnames=list(records[0]) if records else [], lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(records)
    return out.getvalue().encode()


def _parquet(matrix: Matrix) -> bytes:
    import pyarrow
    from pyarrow import parquet

    sink = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(link_records(matrix)), sink)
    return sink.getvalue()
