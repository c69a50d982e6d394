"""Listings that come from elsewhere: what leaves its root, or is none, is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.errors import TransferFailed
from executor.endpoints.listing import entries_of, leaves_root, listing_document, transfer_id
from executor.endpoints.local import list_source
from executor.endpoints.units import PACK_BYTES, SMALL_BYTES, units_of
from tests.unit.executor.test_local_endpoint import make_tree

ROOT = ["", 1, 0, 0o755, 0, ""]
FILE = ["f", 0, 10, 0o644, 0, ""]


def test_a_listing_comes_back_as_it_went(tmp_path: Path) -> None:
    make_tree(tmp_path / "source")
    entries = list_source(tmp_path / "source")
    assert entries_of(listing_document(entries)) == tuple(
        entry for entry in entries if entry.mode & 0o1777 == entry.mode
    )


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "root first"),
        ("x", "root first"),
        ([["", 1, 0]], "six fields"),
        ([ROOT, ["../f", 0, 1, 0, 0, ""]], "no plain one"),
        ([ROOT, ["/f", 0, 1, 0, 0, ""]], "no plain one"),
        ([ROOT, ["a//f", 0, 1, 0, 0, ""]], "no plain one"),
        ([ROOT, ["./f", 0, 1, 0, 0, ""]], "no plain one"),
        ([ROOT, ["a\0b", 0, 1, 0, 0, ""]], "no plain one"),
        ([ROOT, ["a/f", 0, 1, 0, 0, ""]], "no folder of its listing"),
        ([ROOT, ["a", 2, 0, 0, 0, "b"], ["a/f", 0, 1, 0, 0, ""]], "no folder of its listing"),
        ([ROOT, ["a", 0, 0, 0, 0, ""], ["a/f", 0, 1, 0, 0, ""]], "no folder of its listing"),
        ([ROOT, FILE, FILE], "twice"),
        ([FILE], "begins with its root"),
        ([["", 0, 1, 0, 0, ""], FILE], "begins with its root"),
        ([ROOT, ["l", 2, 0, 0, 0, "/etc/passwd"]], "leads out"),
        ([ROOT, ["l", 2, 0, 0, 0, "../x"]], "leads out"),
        ([ROOT, ["f", 7, 1, 0, 0, ""]], "no known kind"),
        ([ROOT, ["f", 0, -1, 0, 0, ""]], "no known kind"),
        ([ROOT, ["f", 0, 1 << 63, 0, 0, ""]], "no known kind"),
        ([ROOT, ["f", 0, True, 0, 0, ""]], "wrong type"),
        ([ROOT, ["f", 0, 1, 0o20000, 0, ""]], "impossible mode"),
        ([ROOT, ["Ā", 0, 1, 0, 0, ""]], "no bytes"),
    ],
)
def test_a_planted_breach_is_refused(rows: object, said: str) -> None:
    with pytest.raises(TransferFailed, match=said):
        entries_of(rows)


def test_what_would_run_as_another_user_is_not_made() -> None:
    assert entries_of([ROOT, ["f", 0, 1, 0o6755, 0, ""]])[1].mode == 0o755


@given(st.recursive(st.none() | st.integers() | st.text(max_size=4), st.lists, max_leaves=20))
def test_garbage_is_refused_and_never_crashes(rows: object) -> None:
    with pytest.raises(TransferFailed):
        entries_of([rows, *([rows] if isinstance(rows, list) else [])])


@pytest.mark.parametrize(
    ("path", "target", "out"),
    [
        (b"l", b"f", False),
        (b"a/l", b"../f", False),
        (b"a/l", b"../../f", True),
        (b"a/l", b"b/../../f", False),
        (b"a/l", b"b/../../../f", True),
        (b"l", b"/f", True),
        (b"l", b"", True),
        (b"l", b"./a/./b", False),
    ],
)
def test_links_out_are_told_from_others(path: bytes, target: bytes, out: bool) -> None:
    assert leaves_root(path, target) is out


@given(st.lists(st.integers(0, 3 << 20), max_size=40))
def test_units_cover_every_byte_once(sizes: list[int]) -> None:
    rows: list[object] = [ROOT]
    rows += [[f"f{number:03}", 0, size, 0, 0, ""] for number, size in enumerate(sizes)]
    entries = entries_of(rows)
    units = units_of(entries)
    assert [unit.index for unit in units] == sorted({unit.index for unit in units})
    covered = [entry for unit in units for entry in unit.entries]
    assert sorted(entry.index for entry in covered) == [
        entry.index for entry in entries if entry.size
    ]
    for unit in units:
        assert unit.size == sum(entry.size for entry in unit.entries)
        assert unit.is_pack == (unit.size < SMALL_BYTES or len(unit.entries) > 1)
        assert not unit.is_pack or unit.size <= PACK_BYTES
        step = max(unit.size // 3, 1)
        seen = [
            (entry.index, inside, size)
            for offset in range(0, unit.size, step)
            for entry, inside, _, size in unit.parts(offset, min(step, unit.size - offset))
        ]
        assert sum(size for _, _, size in seen) == unit.size
        ends: dict[int, int] = {}
        for index, inside, size in seen:
            assert ends.get(index, 0) == inside
            ends[index] = inside + size


def test_a_changed_source_has_another_name_in_the_same_place(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"1")
    before = transfer_id("p", list_source(tmp_path / "f"), 8)
    (tmp_path / "f").write_bytes(b"22")
    after = transfer_id("p", list_source(tmp_path / "f"), 8)
    assert before != after
    assert before[:8] == after[:8]
    assert transfer_id("q", list_source(tmp_path / "f"), 8)[:8] != after[:8]
