"""Copies that are killed, cut, lied to: they go on, or fail clearly; never a wrong byte."""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from executor.gateway.command import COMMAND_BYTES
from tests.served import (
    Proxy,
    Served,
    begin_copy,
    big_file,
    copied,
    copy,
    ended,
    served,
    wait_until,
)

pytestmark = pytest.mark.xdist_group("served")
MEBIBYTE = 1 << 20
SIZE_BYTES = 96 * MEBIBYTE
# Slow enough that there is a middle to be killed in.
SLOWLY = ("--limit-gbps", "0.4")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as found:
        yield found


def arrived(folder: Path) -> int:
    """Journal records on disk: chunks that a transfer in `folder` has brought there."""
    return sum(path.stat().st_size // 32 for path in folder.rglob("journal-*"))


def more_than(folder: Path, records: int) -> bool:
    return arrived(folder) > records


def test_a_killed_client_goes_on_when_run_again(site: Served, tmp_path: Path) -> None:
    data = big_file(tmp_path / "f", SIZE_BYTES)
    words = (tmp_path / "f", site.url("f"), "--credentials", site.credentials)
    process = begin_copy(*words, *SLOWLY)
    wait_until(lambda: arrived(site.root) > 1)
    process.kill()
    ended(process)
    assert not (site.root / "f").exists()
    assert [path.name for path in site.root.iterdir() if not path.name.startswith(".")] == []
    told = copied(*words)
    assert told["resumed_bytes"] >= 2 * 8 * MEBIBYTE
    assert (site.root / "f").read_bytes() == data
    assert not site.hidden()


def test_on_another_day_the_site_has_been_started_anew(site: Served, tmp_path: Path) -> None:
    data = big_file(tmp_path / "f", SIZE_BYTES)
    words = (tmp_path / "f", site.url("f"), "--credentials", site.credentials)
    process = begin_copy(*words, *SLOWLY)
    wait_until(lambda: arrived(site.root) > 1)
    process.kill()
    ended(process)
    site.kill()
    site.start()
    assert copied(*words)["resumed_bytes"] > 0
    assert (site.root / "f").read_bytes() == data


def test_a_site_killed_in_the_middle_is_waited_for(site: Served, tmp_path: Path) -> None:
    data = big_file(tmp_path / "f", SIZE_BYTES)
    process = begin_copy(tmp_path / "f", site.url("f"), "--credentials", site.credentials, *SLOWLY)
    for _ in range(2):
        enough = arrived(site.root)
        wait_until(partial(more_than, site.root, enough))
        site.kill()
        time.sleep(0.3)
        site.start()
    status, told, err = ended(process)
    assert status == 0, err
    assert told["bytes"] == SIZE_BYTES
    assert (site.root / "f").read_bytes() == data
    assert not site.hidden()


def test_a_killed_download_goes_on_when_run_again(site: Served, tmp_path: Path) -> None:
    data = big_file(site.root / "f", SIZE_BYTES)
    words = (site.url("f"), tmp_path / "got", "--credentials", site.credentials)
    process = begin_copy(*words, *SLOWLY)
    wait_until(lambda: arrived(tmp_path) > 1)
    process.kill()
    ended(process)
    assert copied(*words)["resumed_bytes"] > 0
    assert (tmp_path / "got").read_bytes() == data
    assert not list(tmp_path.glob(".tradewind-*"))


PLANTED = """
import os, signal
from executor.endpoints import disk
real = disk.Disk.link
def link(self, path, new):
    real(self, path, new)
    os.kill(os.getpid(), signal.SIGKILL)
disk.Disk.link = link
"""


def planted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that are started from now on die once a file has its name, and still the other."""
    (folder / "sitecustomize.py").write_text(PLANTED)
    monkeypatch.setenv("PYTHONPATH", str(folder))


def test_killed_while_it_is_put_in_its_place_it_is_placed_by_the_next(
    site: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = big_file(site.root / "f", 3 * MEBIBYTE)
    words = (site.url("f"), tmp_path / "got", "--credentials", site.credentials)
    with monkeypatch.context() as patched:
        planted(tmp_path, patched)
        assert copy(*words)[0] == -9
    assert list(tmp_path.glob(".tradewind-partial-*"))
    copied(*words)
    assert (tmp_path / "got").read_bytes() == data
    assert not list(tmp_path.glob(".tradewind-partial-*"))


def test_a_site_killed_while_it_places_is_asked_again_and_places(
    site: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = big_file(tmp_path / "f", 3 * MEBIBYTE)
    site.kill()
    with monkeypatch.context() as patched:
        planted(tmp_path, patched)
        site.start()
    process = begin_copy(tmp_path / "f", site.url("f"), "--credentials", site.credentials)
    assert site.process is not None
    site.process.wait(timeout=30)
    site.kill()
    site.start()
    status, _, err = ended(process)
    assert status == 0, err
    assert (site.root / "f").read_bytes() == data
    assert not site.hidden()


def test_killed_at_random_again_and_again_it_ends_well(site: Served, tmp_path: Path) -> None:
    """Client or site, whichever the dice say, until a run gets through."""
    data = big_file(tmp_path / "f", SIZE_BYTES)
    words = (tmp_path / "f", site.url("f"), "--credentials", site.credentials)
    dice = random.Random(4)
    for _ in range(8):
        process = begin_copy(*words)
        time.sleep(dice.uniform(0.2, 1.0))
        if dice.random() < 0.5:
            process.kill()
        else:
            site.kill()
            site.start()
        status, _, err = ended(process)
        if status == 0:
            break
        assert "Traceback" not in err
    else:
        copied(*words)
    assert (site.root / "f").read_bytes() == data
    assert not site.hidden()


def test_a_source_that_changed_is_noticed_and_never_mixed(site: Served, tmp_path: Path) -> None:
    big_file(tmp_path / "f", SIZE_BYTES)
    words = (tmp_path / "f", site.url("f"), "--credentials", site.credentials)
    process = begin_copy(*words, *SLOWLY)
    wait_until(lambda: arrived(site.root) > 1)
    with open(tmp_path / "f", "r+b") as file:
        file.write(b"changed")
    status, _, err = ended(process)
    assert status == 1
    assert "changed while it was being read" in err
    assert not (site.root / "f").exists()
    told = copied(*words)
    assert told["resumed_bytes"] == 0
    assert (site.root / "f").read_bytes() == (tmp_path / "f").read_bytes()
    assert not site.hidden(), "what the other source left is gone"


def test_a_source_that_changes_at_the_site_is_noticed(site: Served, tmp_path: Path) -> None:
    big_file(site.root / "f", SIZE_BYTES)
    other = os.urandom(SIZE_BYTES)
    words = (site.url("f"), tmp_path / "got", "--credentials", site.credentials)
    process = begin_copy(*words, *SLOWLY)
    wait_until(lambda: arrived(tmp_path) > 0)
    (site.root / "f").write_bytes(other)
    status, _, err = ended(process)
    assert status in (1, 2)
    assert "changed" in err
    assert not (tmp_path / "got").exists()
    copied(*words)
    assert (tmp_path / "got").read_bytes() == (site.root / "f").read_bytes()


@pytest.mark.parametrize("forward", [True, False], ids=["to the site", "from the site"])
def test_a_bit_flipped_on_the_wire_is_found_and_sent_again(
    site: Served, tmp_path: Path, forward: bool
) -> None:
    """In records (and, beyond them, in commands); never told of as success, never written."""
    data = big_file(tmp_path / "f", 24 * MEBIBYTE)
    dice = random.Random(9)
    flipped: list[int] = []

    def change(piece: bytes, onward: bool, at: int) -> bytes:
        # Not in the first kilobytes, where TLS would only end the control connection.
        if onward is forward and at > 20_000 and len(flipped) < 4 and dice.random() < 0.05:
            changed = bytearray(piece)
            changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
            flipped.append(at)
            return bytes(changed)
        return piece

    proxy = Proxy(site.port, change)
    try:
        if forward:
            words: tuple[str | Path, ...] = (tmp_path / "f", f"tw://127.0.0.1:{proxy.own_port}/f")
        else:
            (site.root / "f").write_bytes(data)
            words = (f"tw://127.0.0.1:{proxy.own_port}/f", tmp_path / "got")
        copied(*words, "--credentials", site.credentials)
    finally:
        proxy.close()
    assert flipped, "nothing was flipped: the test says nothing"
    assert (site.root / "f" if forward else tmp_path / "got").read_bytes() == data


def test_a_bit_flipped_on_disk_before_success_is_found(tmp_path: Path) -> None:
    """The disk gives back another byte than was written: no success is said of it."""
    planted = tmp_path / "sitecustomize.py"
    planted.write_text(
        "import os\n"
        "from executor.endpoints import disk\n"
        "real = disk.Disk.write\n"
        "def write(self, descriptor, view, offset):\n"
        "    real(self, descriptor, view, offset)\n"
        "    if len(view) > 100000 and offset == 8 << 20:\n"
        "        os.pwrite(descriptor, bytes([view[5] ^ 1]), offset + 5)\n"
        "disk.Disk.write = write\n"
    )
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(tmp_path)
    try:
        with served(tmp_path) as site:
            big_file(tmp_path / "f", 24 * MEBIBYTE)
            status, _, err = copy(tmp_path / "f", site.url("f"), "--credentials", site.credentials)
            assert status == 1
            assert "is not what was sent" in err
            assert not (site.root / "f").exists()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def test_a_connection_cut_again_and_again_still_gets_through(site: Served, tmp_path: Path) -> None:
    data = big_file(tmp_path / "f", SIZE_BYTES)
    cuts: list[int] = []

    def change(piece: bytes, onward: bool, at: int) -> bytes:
        if onward and at > 9 * MEBIBYTE and len(cuts) < 6:
            cuts.append(at)
            raise OSError
        return piece

    proxy = Proxy(site.port, change)
    try:
        copied(
            tmp_path / "f",
            f"tw://127.0.0.1:{proxy.own_port}/f",
            "--credentials",
            site.credentials,
        )
    finally:
        proxy.close()
    assert len(cuts) >= 3
    assert (site.root / "f").read_bytes() == data


def test_replayed_and_doubled_records_change_nothing(site: Served, tmp_path: Path) -> None:
    """A whole data connection is recorded and played again while the transfer is under way."""
    data = big_file(tmp_path / "f", SIZE_BYTES)
    heard: list[bytes] = []

    def change(piece: bytes, onward: bool, at: int) -> bytes:
        if onward and (heard or piece[:4] == b"TWND") and sum(map(len, heard)) < 12 * MEBIBYTE:
            heard.append(piece)
        return piece

    proxy = Proxy(site.port, change)
    try:
        process = begin_copy(
            tmp_path / "f",
            f"tw://127.0.0.1:{proxy.own_port}/f",
            "--credentials",
            site.credentials,
            "--connections",
            "1",
            *SLOWLY,
        )
        wait_until(lambda: sum(map(len, heard)) >= 12 * MEBIBYTE)
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", site.port)) as sock:
                sock.settimeout(10)
                sock.sendall(b"".join(heard))
                assert len(sock.recv(COMMAND_BYTES)) == COMMAND_BYTES, "told again, harmlessly"
        status, _, err = ended(process)
    finally:
        proxy.close()
    assert status == 0, err
    assert (site.root / "f").read_bytes() == data
