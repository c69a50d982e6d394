"""`tradewind matrix`: list, show, compare, export and compile what was measured.

`matrix_options` gives any other verb the options that pick a Matrix.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from datasets import epochs, flags
from datasets.canonical import Json, canonical_json
from datasets.epochs import DEFAULT_EPOCH, MatrixChoice, load_matrix
from datasets.errors import InputError, UnknownName
from datasets.instances import CAPS
from datasets.matrix import COLUMNS, TIERS
from datasets.policies import POLICIES

Command = TypeVar("Command", bound=Callable[..., Any])

_FIGURES = (
    click.option(
        "--column",
        default="received",
        metavar="NAME",
        show_default=True,
        help=f"Which figure counts: {', '.join(COLUMNS)}.",
    ),
    click.option(
        "--tier",
        default="premium",
        metavar="NAME",
        show_default=True,
        help=f"Network tier of GCP's ends: {', '.join(TIERS)}.",
    ),
    click.option(
        "--policy",
        default="as_measured",
        metavar="NAME",
        show_default=True,
        help=f"What is done about implausible samples: {', '.join(POLICIES)}.",
    ),
    click.option(
        "--caps",
        default="documented",
        metavar="NAME",
        show_default=True,
        help=f"Whose caps of a VM: {', '.join(CAPS)}.",
    ),
)


def figure_options(command: Command) -> Command:
    """Add --column, --tier, --policy and --caps, passed under their own names."""
    for option in reversed(_FIGURES):
        command = option(command)
    return command


def matrix_options(command: Command) -> Command:
    """Add --epoch, --column, --tier, --policy, --caps and --matrix; pass one `choice`.

    The command takes a keyword argument `choice: MatrixChoice` and gives it to `load_matrix`.
    """

    @functools.wraps(command)
    def with_choice(
        *args: Any,
        epoch: str | None,
        column: str,
        tier: str,
        policy: str,
        caps: str,
        matrix_file: Path | None,
        **others: Any,
    ) -> Any:
        if epoch is not None and matrix_file is not None:
            raise InputError("--epoch and --matrix exclude each other; give one of them.")
        choice = MatrixChoice(
            epoch=epoch or DEFAULT_EPOCH,
            column=column,
            tier=tier,
            policy=policy,
            caps=caps,
            file=matrix_file,
        )
        return command(*args, choice=choice, **others)

    decorated = figure_options(with_choice)
    decorated = click.option(
        "--matrix",
        "matrix_file",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="A matrix of your own: CSV, Parquet, or the JSON of `matrix export`; its figures are "
        "picked already, so that only --caps still matters, for VMs that it leaves out.",
    )(decorated)
    decorated = click.option(
        "--epoch",
        metavar="DATE",
        help=f"Which measurement: `tradewind matrix ls`.  [default: {DEFAULT_EPOCH}]",
    )(decorated)
    return decorated  # type: ignore[return-value]  # the wrapper stands for the command


_JSON = click.option("--json", "as_json", is_flag=True, help="The result as JSON on stdout.")


@click.group()
def matrix() -> None:
    """What was measured: dated epochs of throughput, price and round trip."""


@matrix.command()
@_JSON
def ls(as_json: bool) -> None:
    """List the compiled epochs."""
    from datasets import pages

    rows = pages.epoch_rows()
    click.echo(_json({"epochs": list(rows)}) if as_json else pages.ls_page(rows))


@matrix.command()
@click.argument("epoch")
@click.argument("src", required=False)
@click.argument("dst", required=False)
@figure_options
@click.option("--flag", metavar="NAME", help=f"List the rows flagged: {', '.join(flags.MEANING)}.")
@_JSON
def show(
    epoch: str,
    src: str | None,
    dst: str | None,
    column: str,
    tier: str,
    policy: str,
    caps: str,
    flag: str | None,
    as_json: bool,
) -> None:
    """Show an EPOCH, the links out of SRC, or everything known of SRC to DST."""
    from datasets import pages

    choice = MatrixChoice(
        epoch=epochs.check_epoch(epoch), column=column, tier=tier, policy=policy, caps=caps
    )
    answer: dict[str, Any]
    page: Callable[[dict[str, Any]], str]
    if flag is not None:
        if flag not in flags.MEANING:
            raise UnknownName(kind="flag", name=flag, known=flags.MEANING)
        answer, page = pages.flagged_answer(choice, flag), pages.flagged_page
    elif src is None:
        answer, page = pages.epoch_answer(choice), pages.epoch_page
    elif dst is None:
        answer, page = pages.region_answer(choice, src), pages.region_page
    else:
        answer, page = pages.link_answer(choice, src, dst), pages.link_page
    click.echo(_json(answer) if as_json else page(answer))


@matrix.command()
@click.argument("before")
@click.argument("after")
@figure_options
@_JSON
def diff(
    before: str, after: str, column: str, tier: str, policy: str, caps: str, as_json: bool
) -> None:
    """Compare two epochs and name the structural breaks between them."""
    from datasets import pages
    from datasets.difference import Difference, difference

    def between(name: str) -> Difference:
        first, second = (
            load_matrix(MatrixChoice(epoch=epoch, column=name, tier=tier, policy=policy, caps=caps))
            for epoch in (before, after)
        )
        return difference(first, second)

    found = between(column)
    others = [between(name) for name in ("received", "sent") if name != column]
    if as_json:
        breaks: Json = [line for other in others for line in other.sentences()]
        click.echo(_json({**found.as_json(), "breaks_on_other_columns": breaks}))
    else:
        click.echo(pages.diff_page(found, others))


@matrix.command()
@matrix_options
@click.option(
    "--format",
    "kind",
    type=click.Choice(["json", "csv", "parquet"]),
    default="json",
    show_default=True,
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Instead of stdout.")
def export(choice: MatrixChoice, kind: str, output: Path | None) -> None:
    """Write one Matrix as JSON, CSV or Parquet."""
    from datasets.export import exported

    if kind == "parquet" and output is None:
        raise InputError("Parquet is not text; name a file with -o FILE.")
    data = exported(load_matrix(choice), kind)
    if output is None:
        click.echo(data.decode(), nl=False)
        return
    try:
        output.write_bytes(data)
    except OSError as error:
        raise InputError(f"Cannot write {output}: {error.strerror}.") from error


@matrix.command(name="compile")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("datasets"),
    show_default=True,
    help="Where epochs/ and tables/ go.",
)
@_JSON
def compile_(folder: Path, out: Path, as_json: bool) -> None:
    """Compile the published files in FOLDER into epochs and tables: the same bytes each time."""
    from datasets.canonical import digest_of_bytes
    from datasets.compile import compile_published, write_compiled

    files = compile_published(folder)
    write_compiled(files, out)
    about: dict[str, Json] = {name: digest_of_bytes(data) for name, data in files.items()}
    if as_json:
        click.echo(_json({"files": about}))
        return
    for name, data in files.items():
        click.echo(f"{len(data):>9,} B  {digest_of_bytes(data)}  {name}")


@matrix.command()
def document() -> None:
    """Print docs/data.md: what the figures are, their sources, and what is unverified."""
    from datasets.document import data_page

    click.echo(data_page(), nl=False)


def _json(value: dict[str, Json]) -> str:
    return canonical_json(value).decode()
