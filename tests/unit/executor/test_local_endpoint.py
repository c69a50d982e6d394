"""Files and folders: odd names, modes, times, nothing overwritten, room checked first."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from datasets.errors import InputError, IntegrityError, TransferFailed
from executor.endpoints import local, open_files
from executor.endpoints.disk import Disk
from executor.endpoints.landing import Landing
from executor.endpoints.local import (
    EntryKind,
    SourceReader,
    check_space,
    chunk_digest,
    list_source,
    place_for,
    root_digest,
    total_bytes,
)

CHUNK_BYTES = 8
ODD_NAMES = [b"new\nline", b"\xff\xfe", b" space ", b"-dash", "Übermaß 📦".encode(), b"q'uote\""]


def make_tree(root: Path) -> None:
    (root / "folder" / "empty").mkdir(parents=True)
    (root / "zero").write_bytes(b"")
    (root / "folder" / "file").write_bytes(b"0123456789")
    for name in ODD_NAMES:
        with open(os.path.join(os.fsencode(root), name), "wb") as file:
            file.write(name)
    (root / "link").symlink_to("folder/file")
    (root / "dangling").symlink_to("nowhere")
    os.chmod(root / "folder" / "file", 0o640)
    os.utime(root / "folder" / "file", ns=(1, 987654321_123456789))
    os.chmod(root / "folder" / "empty", 0o500)
    os.utime(root / "folder", ns=(1, 10**18))


def seen(root: Path) -> dict[bytes, tuple[int, int, int, bytes]]:
    """Every entry with its mode, time, size and content or target."""
    found = {}
    for entry in list_source(root):
        whole = os.fsencode(root)
        path = os.path.join(whole, entry.path) if entry.path else whole
        content = entry.target
        if entry.kind is EntryKind.FILE:
            with open(path, "rb") as file:
                content = file.read()
        found[entry.path] = (entry.mode, entry.mtime_ns, entry.size, content)
    return found


def moved(source: Path, final: Path, staging: Path) -> None:
    """Move by chunks through a landing, as gateways do, but in this process."""
    entries = list_source(source)
    reader = SourceReader(os.fsencode(source), entries)
    landing = Landing(os.fsencode(staging), entries, chunk_bytes=CHUNK_BYTES, packed=False)
    try:
        roots = {}
        for unit in landing.units:
            digests = []
            descriptor = reader.open(unit.index)
            for chunk, offset in enumerate(range(0, unit.size, CHUNK_BYTES)):
                view = memoryview(bytearray(min(CHUNK_BYTES, unit.size - offset)))
                local.read_into(descriptor, view, offset)
                digests.append(chunk_digest(view))
                landing.write(unit, offset, view)
                landing.done(unit, chunk, lambda: None)
            os.close(descriptor)
            roots[unit.index] = root_digest(digests, unit.size)
        landing.confirm(roots)
        landing.place(os.fsencode(final))
    finally:
        landing.close()


def test_a_tree_arrives_with_names_modes_times_and_links(tmp_path: Path) -> None:
    make_tree(tmp_path / "source")
    moved(tmp_path / "source", tmp_path / "final", tmp_path / ".tradewind-x")
    assert seen(tmp_path / "final") == seen(tmp_path / "source")
    assert len(seen(tmp_path / "final")) == 7 + len(ODD_NAMES)
    assert not (tmp_path / ".tradewind-x").exists()


@pytest.mark.parametrize("content", [b"", b"x", b"0123456789abcdef"])
def test_one_file_arrives(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(content)
    os.chmod(tmp_path / "source", 0o600)
    moved(tmp_path / "source", tmp_path / "final", tmp_path / ".tradewind-x")
    assert seen(tmp_path / "final") == seen(tmp_path / "source")


def test_a_folder_is_merged_into_one_that_exists(tmp_path: Path) -> None:
    make_tree(tmp_path / "source")
    (tmp_path / "final" / "folder").mkdir(parents=True)
    (tmp_path / "final" / "folder" / "mine").write_text("stays")
    entries = list_source(tmp_path / "source")
    final = place_for(tmp_path / "final", tmp_path / "source", entries)
    moved(tmp_path / "source", final, tmp_path / ".tradewind-x")
    assert (final / "folder" / "mine").read_text() == "stays"
    assert (final / "folder" / "file").read_bytes() == b"0123456789"
    assert stat.S_IMODE((final / "folder" / "empty").stat().st_mode) == 0o500


def test_a_file_goes_into_a_folder_under_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"x")
    (tmp_path / "folder").mkdir()
    entries = list_source(tmp_path / "source")
    assert place_for(tmp_path / "folder", tmp_path / "source", entries) == (
        tmp_path / "folder" / "source"
    )


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    make_tree(tmp_path / "source")
    entries = list_source(tmp_path / "source")
    (tmp_path / "final" / "folder").mkdir(parents=True)
    (tmp_path / "final" / "folder" / "file").write_text("mine")
    with pytest.raises(InputError, match="nothing is overwritten"):
        place_for(tmp_path / "final", tmp_path / "source", entries)
    (tmp_path / "one").write_text("x")
    for there in (tmp_path / "final" / "folder" / "file", tmp_path / "one"):
        with pytest.raises(InputError, match="nothing is overwritten"):
            place_for(there, tmp_path / "one", list_source(tmp_path / "one"))


def test_a_link_to_a_folder_at_the_destination_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "source" / "sub").mkdir(parents=True)
    (tmp_path / "source" / "sub" / "f").write_text("x")
    (tmp_path / "outside").mkdir()
    (tmp_path / "final").mkdir()
    (tmp_path / "final" / "sub").symlink_to("../outside")
    with pytest.raises(InputError, match="nothing is overwritten"):
        place_for(tmp_path / "final", tmp_path / "source", list_source(tmp_path / "source"))


def test_an_existing_folder_takes_a_folder_whatever_its_parent(tmp_path: Path) -> None:
    """What counts is the folder itself: its disk, its rights. Its parent may be another's."""
    make_tree(tmp_path / "source")
    (tmp_path / "parent" / "final").mkdir(parents=True)
    os.chmod(tmp_path / "parent", 0o500)
    entries = list_source(tmp_path / "source")
    final = place_for(tmp_path / "parent" / "final", tmp_path / "source", entries)
    moved(tmp_path / "source", final, final / ".tradewind-x")
    os.chmod(tmp_path / "parent", 0o700)
    assert set(seen(final)) == set(seen(tmp_path / "source"))


def test_a_destination_that_cannot_be_looked_at_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "source").write_text("x")
    entries = list_source(tmp_path / "source")

    def denied(path: object) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_dir", denied)
    with pytest.raises(InputError, match=r"Cannot use the destination .*: Permission denied"):
        place_for(tmp_path / "final", tmp_path / "source", entries)


def test_what_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"x")
    (tmp_path / "final").write_text("mine")
    with pytest.raises(InputError, match="nothing is overwritten"):
        moved(tmp_path / "source", tmp_path / "final", tmp_path / ".tradewind-x")
    assert (tmp_path / "final").read_text() == "mine"


def test_a_flipped_byte_on_the_disk_is_found_by_reading_back(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"0123456789")
    entries = list_source(tmp_path / "source")
    landing = Landing(
        os.fsencode(tmp_path / ".tradewind-x"), entries, chunk_bytes=CHUNK_BYTES, packed=False
    )
    unit = landing.units[0]
    landing.write(unit, 0, memoryview(b"0123456780"))
    for chunk in (0, 1):
        landing.done(unit, chunk, lambda: None)
    root = root_digest([chunk_digest(b"01234567"), chunk_digest(b"89")], 10)
    with pytest.raises(IntegrityError, match="not what was sent"):
        landing.confirm({0: root})
    landing.close()


def test_more_files_than_may_be_open_arrive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_files, "MOST_OPEN", 3)
    (tmp_path / "source").mkdir()
    for number in range(40):
        (tmp_path / "source" / str(number)).write_bytes(bytes(20 + number))
    before = len(os.listdir("/proc/self/fd"))
    seen_open: list[int] = []
    real = Disk.open

    def counted(self: Disk, path: bytes) -> int:
        found = real(self, path)
        seen_open.append(len(os.listdir("/proc/self/fd")) - before)
        return found

    monkeypatch.setattr(Disk, "open", counted)
    moved(tmp_path / "source", tmp_path / "final", tmp_path / ".tradewind-x")
    assert seen(tmp_path / "final") == seen(tmp_path / "source")
    assert max(seen_open) < 20


def test_the_root_depends_on_order_and_size() -> None:
    one, two = chunk_digest(b"1"), chunk_digest(b"2")
    assert len({root_digest(d, s) for d in ([one, two], [two, one], [one]) for s in (1, 2)}) == 6


@pytest.mark.parametrize("kind", ["fifo", "socket"])
def test_what_is_no_file_is_refused_by_name(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "source").mkdir()
    odd = tmp_path / "source" / "odd"
    if kind == "fifo":
        os.mkfifo(odd)
    else:
        server = socket.socket(socket.AF_UNIX)
        monkeypatch.chdir(tmp_path / "source")
        server.bind("odd")
        server.close()
    with pytest.raises(InputError, match=r"odd is a device, pipe or socket"):
        list_source(tmp_path / "source")


def test_a_missing_source_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Cannot read the source .*none: No such file"):
        list_source(tmp_path / "none")


def test_a_destination_without_a_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "source").write_text("x")
    with pytest.raises(InputError, match="does not exist; make it first"):
        place_for(tmp_path / "no" / "where", tmp_path / "source", list_source(tmp_path / "source"))


def test_a_folder_does_not_go_into_itself(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    with pytest.raises(InputError, match="inside the source"):
        place_for(tmp_path / "source" / "in", tmp_path / "source", list_source(tmp_path / "source"))


def test_too_small_a_disk_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"free; the source needs 1e\+03 EB|has .* free"):
        check_space(tmp_path, 10**18)


def test_a_changed_source_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"before")
    entries = list_source(tmp_path / "source")
    (tmp_path / "source").write_bytes(b"after!!")
    with pytest.raises(TransferFailed, match="changed"):
        SourceReader(os.fsencode(tmp_path / "source"), entries).open(0)


def test_an_object_of_another_time_is_another_object(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"before")
    first = list_source(tmp_path / "source")[0]
    os.utime(tmp_path / "source", ns=(1, 1))
    second = list_source(tmp_path / "source")[0]
    assert first.identity(b"t") != second.identity(b"t")
    assert first.identity(b"t") != first.identity(b"u")
    assert total_bytes((first,)) == 6
