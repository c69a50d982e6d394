"""The verbs between this machine and sites: `tradewind serve`, `cp`. They parse, call, render."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from datasets.errors import InputError

if TYPE_CHECKING:
    from executor.operations.copied import Copied

STORES = ("s3://", "gs://", "az://")


@click.command()
@click.option("--root", required=True, type=click.Path(path_type=Path), help="Folder to serve.")
@click.option("--listen", default="127.0.0.1:0", show_default=True, metavar="HOST:PORT")
@click.option(
    "--credentials",
    type=click.Path(path_type=Path),
    help="File for what clients give; the site keeps its identity in FILE.site beside it.",
)
@click.option("--new-epoch", is_flag=True, help="Make every session granted before stale.")
@click.option("--verbose", is_flag=True, help="Say what is refused, on stderr.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, as it does in any case.")
def serve(
    root: Path,
    listen: str,
    credentials: Path | None,
    new_epoch: bool,
    verbose: bool,
    as_json: bool,
) -> None:
    """Serve a folder to `tradewind cp`, until stopped.

    Prints one line of JSON when it is ready: the address, and the file that clients give.
    """
    from executor.site.serving import serve_until_stopped

    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdecimal() or int(port) >= 1 << 16:
        raise InputError(f"--listen {listen!r} is no HOST:PORT.")
    serve_until_stopped(
        root,
        host=host.strip("[]"),
        port=int(port),
        credentials=credentials,
        new_epoch=new_epoch,
        ready=lambda told: click.echo(json.dumps(told)),
        tell=(lambda line: click.echo(line, err=True)) if verbose else (lambda line: None),
    )


@click.command()
@click.argument("source", metavar="SRC")
@click.argument("destination", metavar="DST")
@click.option("--credentials", type=click.Path(path_type=Path), help="As `serve` printed it.")
@click.option("--connections", default=2, show_default=True, type=click.IntRange(1, 256))
@click.option("--transport", default="tcp", show_default=True)
@click.option("--congestion", default="cubic", show_default=True, help="As the kernel names it.")
@click.option("--limit-gbps", default=0.0, type=click.FloatRange(min=0.0), help="No more than so.")
@click.option("--interface", "interfaces", multiple=True, help="Network device; may be repeated.")
@click.option("--endpoint-url", metavar="URL", help="Server of an s3:// address, if not AWS's.")
@click.option(
    "--also",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Credentials of another site that takes chunks too; DST fetches them from there.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def cp(
    source: str,
    destination: str,
    credentials: Path | None,
    connections: int,
    transport: str,
    congestion: str,
    limit_gbps: float,
    interfaces: tuple[str, ...],
    endpoint_url: str | None,
    also: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Copy a file or folder to or from a site or an object store: one of SRC and DST is
    tw://HOST:PORT/PATH, or s3://BUCKET/KEY (gs:// and az:// likewise), the other a local path.

    Nothing is overwritten. What is interrupted goes on when the same command is run again. A
    store's credentials come from the environment or a profile, as its own tools find them.
    """
    if source.startswith(STORES) or destination.startswith(STORES):
        return _store_cp(source, destination, endpoint_url, as_json)
    from executor.operations.copy import download, upload
    from executor.operations.moving import CopyOptions
    from executor.operations.site_client import is_site, place_of
    from executor.site.client_file import read_credentials

    if is_site(source) == is_site(destination):
        raise InputError("One of SRC and DST is tw://HOST:PORT/PATH, the other a local path.")
    if credentials is None:
        raise InputError("A site wants --credentials FILE: the file that `serve` printed.")
    options = CopyOptions(
        connections=connections,
        transport=transport,
        congestion=congestion,
        limit_gbps=limit_gbps,
        interfaces=interfaces or ("",),
    )
    given = read_credentials(credentials)
    others = [read_credentials(file) for file in also]
    if others and not is_site(destination):
        raise InputError("--also is for copies to a site: other sites take chunks on the way.")
    with _shown(quiet=as_json) as observe:
        if is_site(destination):
            done = upload(
                Path(source),
                place_of(destination),
                given,
                options,
                observe,
                [(place_of(f"tw://{other.address}/"), other) for other in others],
            )
        else:
            done = download(place_of(source), Path(destination), given, options, observe)
    _tell(done, as_json)


def _store_cp(source: str, destination: str, endpoint_url: str | None, as_json: bool) -> None:
    from executor.endpoints.store import StoreOptions
    from executor.operations.objects import download, upload

    if source.startswith(STORES) == destination.startswith(STORES) or "://" in (
        destination if source.startswith(STORES) else source
    ):
        raise InputError("One of SRC and DST is in an object store, the other is a local path.")
    options = StoreOptions(endpoint_url=endpoint_url)
    with _shown(quiet=as_json) as observe:
        if source.startswith(STORES):
            done = download(source, Path(destination), options, observe)
        else:
            done = upload(Path(source), destination, options, observe)
    _tell(done, as_json)


def _tell(done: Copied, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(done.as_json()))
        return
    from datasets.units import gbps_of, render_duration, render_size

    again = f", {render_size(done.resumed_bytes)} of it earlier" if done.resumed_bytes else ""
    gbps = gbps_of(done.size_bytes - done.resumed_bytes, done.seconds)
    click.echo(
        f"{render_size(done.size_bytes)} at {done.final}{again}, {done.confirmed} and equal to the "
        f"source: {render_duration(done.seconds)}, {gbps:.4g} Gbit/s; digest {done.digest}"
    )


@contextmanager
def _shown(*, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    if quiet or not sys.stderr.isatty():
        yield lambda moved_bytes, total_bytes: None
        return
    from executor.progress import TransferBar

    with TransferBar() as bar:
        yield lambda moved_bytes, total_bytes: bar.show("copy", moved_bytes, total_bytes)


@click.command()
@click.argument(
    "paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(paths: tuple[Path, ...], as_json: bool) -> int:
    """Read files again and hold them against the roots that were kept when they arrived.

    Status 1 if any has rotted: other bytes, though nobody changed it.
    """
    from executor.endpoints.kept_root import Standing
    from executor.operations.verify import verify as look

    with _shown(quiet=as_json) as observe:
        found = look(paths, observe)
    if as_json:
        told = {
            "files": {standing.value: count for standing, count in found.counts.items()},
            "bytes": found.size_bytes,
            "rotten": list(found.rotten),
            "edited": list(found.edited),
        }
        click.echo(json.dumps(told))
    else:
        for name in found.rotten:
            click.echo(f"rotten: {name}")
        for name in found.edited:
            click.echo(f"edited since: {name}")
        click.echo(
            f"{found.counts[Standing.WHOLE]} files are as they arrived, {len(found.rotten)} "
            f"rotten, {len(found.edited)} edited since, {found.counts[Standing.UNKNOWN]} without "
            "a root that was kept."
        )
    return 1 if found.rotten else 0
