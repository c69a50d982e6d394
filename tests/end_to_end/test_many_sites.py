"""Chunks of one object at several sites, gathered at the end; workers that share nothing."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from datasets.canonical import Json
from datasets.errors import SessionRefused, TransferFailed
from executor.endpoints.local import SourceReader, list_source
from executor.endpoints.units import Unit, units_of
from executor.gateway.command import COMMAND_BYTES, Command, Kind, parse
from executor.gateway.crypto import check_signature, signed_command
from executor.gateway.records import ChunkSender, UnitReader, Way
from executor.gateway.tcp import Tcp
from executor.gateway.transport import Connection, Options
from executor.operations.site_client import Place, SiteClient
from executor.site.client_file import read_credentials
from executor.site.neighbours import enquire, neighbour_of
from executor.site.sessions import way_of
from tests.served import Served, begin_copy, big_file, copied, ended, served, wait_until

pytestmark = pytest.mark.xdist_group("served")
MEBIBYTE = 1 << 20


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[list[Served]]:
    for name in "abc":
        (tmp_path / name).mkdir()
    with served(tmp_path / "a") as a, served(tmp_path / "b") as b, served(tmp_path / "c") as c:
        yield [a, b, c]


def also(*sites: Served) -> list[str | Path]:
    return [word for site in sites for word in ("--also", site.credentials)]


def test_chunks_land_at_three_sites_and_are_gathered_at_one(
    sites: list[Served], tmp_path: Path
) -> None:
    a, b, c = sites
    (tmp_path / "tree").mkdir()
    data = big_file(tmp_path / "tree" / "big", 80 * MEBIBYTE + 5)
    for number in range(40):
        (tmp_path / "tree" / f"s{number}").write_bytes(os.urandom(40_000))
    words: list[str | Path] = [tmp_path / "tree", a.url("tree"), "--credentials", a.credentials]
    words += also(b, c)
    process = begin_copy(*words, "--connections", "6", "--limit-gbps", "0.6")
    seen: set[str] = set()

    def looked() -> bool:
        for site in (b, c):
            if any(path.stat().st_size for path in site.root.rglob("journal-*")):
                seen.add(site.address)
        return process.poll() is not None

    wait_until(looked, seconds=60)
    status, _, err = ended(process)
    assert status == 0, err
    assert seen == {b.address, c.address}, "every site took some"
    assert (a.root / "tree" / "big").read_bytes() == data
    assert sorted(path.name for path in (a.root / "tree").iterdir()) == sorted(
        path.name for path in (tmp_path / "tree").iterdir()
    )
    for site in sites:
        assert not site.hidden(), site.address


def test_killed_in_the_middle_what_other_sites_hold_is_not_sent_again(
    sites: list[Served], tmp_path: Path
) -> None:
    a, b, _ = sites
    data = big_file(tmp_path / "f", 96 * MEBIBYTE)
    words: list[str | Path] = [tmp_path / "f", a.url("f"), "--credentials", a.credentials]
    words += also(b)
    process = begin_copy(*words, "--connections", "2", "--limit-gbps", "0.6")
    wait_until(
        lambda: all(
            any(path.stat().st_size > 64 for path in site.root.rglob("journal-*"))
            for site in (a, b)
        )
    )
    process.kill()
    ended(process)
    b.kill()
    b.start()
    told = copied(*words)
    assert told["resumed_bytes"] >= 2 * 8 * MEBIBYTE
    assert (a.root / "f").read_bytes() == data
    assert not a.hidden()
    assert not b.hidden()


# By hand, command by command.


def client_of(site: Served) -> SiteClient:
    return SiteClient(
        Place(host="127.0.0.1", port=site.port, path=""), read_credentials(site.credentials)
    )


def connected(site: Served, way: Way) -> Connection:
    return Tcp().connect(
        "127.0.0.1",
        site.port,
        own_address="",
        opening=signed_command(way.session.command(Kind.HELLO), way.key),
        secret=way.key,
        options=Options(timeout_s=10),
    )


@pytest.fixture
def source(tmp_path: Path) -> tuple[Path, Unit]:
    big_file(tmp_path / "f", 20 * MEBIBYTE)
    return tmp_path / "f", units_of(list_source(tmp_path / "f"))[0]


def put(site: Served, source: Path, size_bytes: int | None = None) -> dict[str, Any]:
    client = client_of(site)
    about = source.stat()
    size = about.st_size if size_bytes is None else size_bytes
    row: list[Json] = ["", 0, size, about.st_mode & 0o777, about.st_mtime_ns, ""]
    told = client.ask({"ask": "put", "path": "f", "name": "f", "entries": [row]})
    client.close()
    return told


def spooled(site: Served, home: Served, told: dict[str, Any]) -> Way:
    client = client_of(site)
    answer = client.ask(
        {
            "ask": "spool",
            "transfer": told["transfer"],
            "home": {"host": "127.0.0.1", "port": home.port, "grant": told["enquiry"]},
            "largest": 20 * MEBIBYTE,
        }
    )
    client.close()
    return way_of(answer, attempt=1)


def acknowledged(connection: Connection, way: Way) -> Command:
    frame = memoryview(bytearray(COMMAND_BYTES))
    connection.receive(frame)
    check_signature(frame, way.key)
    return parse(frame)


def test_an_object_first_seen_by_any_chunk_is_accepted_sparse(
    sites: list[Served], source: tuple[Path, Unit]
) -> None:
    a, b, _ = sites
    path, unit = source
    way = spooled(b, a, put(a, path))
    sender = ChunkSender(UnitReader(SourceReader(os.fsencode(path), list_source(path))))
    connection = connected(b, way)
    sender.send(connection, way, unit, 2)
    told = acknowledged(connection, way)
    assert (told.kind, told.offset) == (Kind.ACKNOWLEDGE, 16 * MEBIBYTE)
    connection.close()
    sender.close()
    tree = next(b.root.rglob("tree"))
    assert tree.stat().st_size == unit.size
    assert tree.stat().st_blocks * 512 <= 5 * MEBIBYTE, "a file with holes"


@pytest.mark.parametrize("breach", ["larger", "beyond its session", "another chunk size"])
def test_an_object_that_is_not_what_its_site_says_is_refused(
    sites: list[Served], source: tuple[Path, Unit], breach: str
) -> None:
    a, b, _ = sites
    path, unit = source
    way = spooled(b, a, put(a, path))
    session = way.session
    fields: dict[str, int | bytes] = {
        "object_id": way.object_id(unit),
        "object_size": unit.size,
        "chunk_size": way.chunk_bytes,
        "payload_length": 1016,
        "attempt": 1,
    }
    fields |= {
        "larger": {"object_size": unit.size + 8 * MEBIBYTE},
        "beyond its session": {"object_size": 1 << 50, "offset": 1 << 40},
        "another chunk size": {"chunk_size": 1 << 20},
    }[breach]
    connection = connected(b, way)
    connection.send(signed_command(session.command(Kind.DATA, **fields), way.key) + bytes(1016))
    with pytest.raises(TransferFailed):
        acknowledged(connection, way)
    connection.close()
    assert not list(b.root.rglob("tree"))


def test_an_enquiry_and_its_answer_are_one_command_each(
    sites: list[Served], source: tuple[Path, Unit]
) -> None:
    a, b, _ = sites
    path, unit = source
    told = put(a, path)
    home = neighbour_of({"host": "127.0.0.1", "port": a.port, "grant": told["enquiry"]})
    asked = home.way.session.command(Kind.ENQUIRE, object_id=home.way.object_id(unit))
    found = enquire(home, asked)
    assert found is not None
    about = path.stat()
    assert (found.object_size, found.chunk_size) == (unit.size, 8 * MEBIBYTE)
    assert (found.mtime_ns, found.mode) == (about.st_mtime_ns, about.st_mode & 0o777)
    assert enquire(home, replace(asked, object_id=bytes(16))) is None
    elsewhere = neighbour_of({"host": "127.0.0.1", "port": b.port, "grant": told["enquiry"]})
    assert enquire(elsewhere, asked) is None


def test_an_enquiry_needs_the_right_to_read_and_gives_no_other(
    sites: list[Served], source: tuple[Path, Unit]
) -> None:
    """A site that takes chunks may ask what they are; it may not write, nor read them."""
    a, _, _ = sites
    path, unit = source
    told = put(a, path)
    way = way_of(told["enquiry"], attempt=1)
    sender = ChunkSender(UnitReader(SourceReader(os.fsencode(path), list_source(path))))
    connection = connected(a, way)
    with contextlib.suppress(TransferFailed):  # cut off before all of it was sent
        sender.send(connection, way, unit, 0)
    with pytest.raises(TransferFailed):
        acknowledged(connection, way)
    connection.close()
    sender.close()
    connection = connected(a, way)
    connection.send(signed_command(way.about(Kind.FETCH, unit, offset=0), way.key))
    with pytest.raises(TransferFailed):
        acknowledged(connection, way)
    connection.close()
    writer = way_of(told, attempt=1)
    connection = connected(a, writer)
    asked = writer.session.command(Kind.ENQUIRE, object_id=writer.object_id(unit))
    connection.send(signed_command(asked, writer.key))
    with pytest.raises((TransferFailed, SessionRefused)):
        acknowledged(connection, writer)
    connection.close()


def test_any_worker_of_a_site_serves_any_record(sites: list[Served], tmp_path: Path) -> None:
    """Two processes on one folder with one identity: granted by the one, carried by the other."""
    a = sites[0]
    path = tmp_path / "f"
    data = big_file(path, 20 * MEBIBYTE)
    unit = units_of(list_source(path))[0]
    twin = Served(root=a.root, credentials=tmp_path / "twin").start()
    twin.stop()
    for suffix in ("", ".site"):
        made = a.credentials.with_name(a.credentials.name + suffix)
        (tmp_path / f"twin{suffix}").write_bytes(made.read_bytes())
    twin.start()
    try:
        told = put(a, path)
        way = way_of(told, attempt=1)
        sender = ChunkSender(UnitReader(SourceReader(os.fsencode(path), list_source(path))))
        digests = {}
        for chunk, site in ((0, a), (1, twin), (2, a)):
            connection = connected(site, way)
            digests[chunk] = sender.send(connection, way, unit, chunk)
            assert acknowledged(connection, way).kind is Kind.ACKNOWLEDGE
            connection.close()
        sender.close()
        again = put(twin, path)
        assert again["received"] == {"0": [[0, 3]]}
    finally:
        twin.stop()
    assert copied(path, a.url("f"), "--credentials", a.credentials)["resumed_bytes"] == len(data)
    assert (a.root / "f").read_bytes() == data
