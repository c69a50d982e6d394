"""A served folder cannot be left: by either way of confining, on reading and on writing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from datasets.errors import InputError
from executor.site.confined import ConfinedRoot, names_of


@pytest.fixture(params=["openat2", "walk"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> ConfinedRoot:
    (tmp_path / "secret").write_text("out")
    served = tmp_path / "served"
    (served / "a" / "b").mkdir(parents=True)
    (served / "a" / "f").write_text("in")
    (served / "out").symlink_to(tmp_path)
    (served / "file_out").symlink_to(tmp_path / "secret")
    (served / "up").symlink_to("../secret")
    os.mkfifo(served / "pipe")
    made = ConfinedRoot(served, walk=request.param == "walk")
    if request.param == "openat2" and made.confinement == "walk":
        pytest.skip("no openat2 here")
    return made


def read(root: ConfinedRoot, path: str) -> str:
    with root.reading(path) as way, open(way) as file:
        return file.read()


def test_what_is_inside_is_reached(root: ConfinedRoot) -> None:
    assert read(root, "a/f") == "in"
    assert read(root, "./a//f") == "in"
    assert root.is_folder("a/b")
    assert not root.is_folder("a/f")
    descriptor, name = root.folder_of("a/new")
    assert name == b"new"
    assert sorted(os.listdir(descriptor)) == ["b", "f"]
    os.close(descriptor)


@pytest.mark.parametrize(
    "path",
    [
        "../secret",
        "a/../../secret",
        "/etc/passwd",
        "out/secret",
        "file_out",
        "up",
        "out/served/a/f",
    ],
)
def test_what_is_outside_is_not_read(root: ConfinedRoot, path: str) -> None:
    with pytest.raises(InputError), root.reading(path):
        pytest.fail("it was reached")


@pytest.mark.parametrize("path", ["../new", "out/new", "a/../../new", "/tmp/new", "out/served/new"])
def test_nothing_is_written_outside(root: ConfinedRoot, path: str) -> None:
    with pytest.raises(InputError):
        root.folder_of(path)


def test_devices_and_pipes_are_not_served(root: ConfinedRoot) -> None:
    with pytest.raises(InputError, match="device, pipe or socket"), root.reading("pipe"):
        pytest.fail("it was served")


@pytest.mark.parametrize("path", [".tradewind-partial-x/tree", "a/.tradewind-transfers"])
def test_the_sites_own_files_are_hidden(path: str) -> None:
    with pytest.raises(InputError, match="keeps for itself"):
        names_of(path)


def test_a_folder_that_is_swapped_for_a_link_leads_nowhere(
    root: ConfinedRoot, tmp_path: Path
) -> None:
    """What was opened stays what it is; what is opened afterwards is refused."""
    descriptor, _ = root.folder_of("a/new")
    (tmp_path / "served" / "a").rename(tmp_path / "served" / "moved")
    (tmp_path / "served" / "a").symlink_to(tmp_path)
    assert sorted(os.listdir(descriptor)) == ["b", "f"]
    os.close(descriptor)
    with pytest.raises(InputError):
        root.folder_of("a/new")
