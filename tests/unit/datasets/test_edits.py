"""What if a link, a price or a region were otherwise: only that changes, and it is on record."""

from __future__ import annotations

from dataclasses import replace

import pytest

from datasets.edits import Edits, edited, matching, parse_edit, parse_ends
from datasets.errors import InputError, UnknownName
from datasets.matrix import Matrix
from datasets.synthetic import tiny_matrix
from planner.job import Job
from planner.strategies import solve

S, R, T = "azure:canadacentral", "azure:westus2", "gcp:asia-northeast1"
TB = 10**12


def figures(matrix: Matrix) -> dict[tuple[str, str], tuple[float, float, float]]:
    return {(e.src, e.dst): (e.gbps, e.usd_per_gb, e.rtt_ms) for e in matrix.links}


def changed(matrix: Matrix) -> set[tuple[str, str]]:
    before, after = figures(tiny_matrix()), figures(matrix)
    return {ends for ends in before if before[ends] != after.get(ends)}


def test_one_link_faster_and_nothing_else() -> None:
    found = edited(tiny_matrix(), Edits(scale_links={(S, T): 2.5}))
    assert changed(found) == {(S, T)}
    assert figures(found)[S, T] == (10.0, 0.08, 160.0)
    assert found.regions == tiny_matrix().regions


def test_a_price_of_nothing_is_a_price() -> None:
    found = edited(tiny_matrix(), Edits(prices={(S, T): 0.0}))
    assert changed(found) == {(S, T)}
    assert figures(found)[S, T] == (4.0, 0.0, 160.0)
    plan = solve("overlay", found, Job(source=S, destinations=(T,), size_bytes=TB, goal_gbps=4))
    assert plan.predicted.cost_usd.egress == 0


def test_a_region_left_out_takes_its_links_along() -> None:
    found = edited(tiny_matrix(), Edits(without=(R,)))
    assert R not in found.region_ids
    assert changed(found) == {ends for ends in figures(tiny_matrix()) if R in ends}


@pytest.mark.parametrize(
    ("ends", "touched"),
    [
        (("aws:*", T), {("aws:us-east-1", T), ("aws:ap-northeast-1", T)}),
        ((S, "*"), {(S, dst) for dst in tiny_matrix().region_ids if dst != S}),
        (("*west*", "gcp:*"), {(R, T)}),
        (("*", "*"), set(figures(tiny_matrix()))),
    ],
)
def test_patterns_stand_for_every_link_between(
    ends: tuple[str, str], touched: set[tuple[str, str]]
) -> None:
    assert changed(edited(tiny_matrix(), Edits(scale_links={ends: 0.5}))) == touched
    assert changed(edited(tiny_matrix(), Edits(prices={ends: 0.5}))) == touched


def test_a_pattern_of_regions_left_out() -> None:
    found = edited(tiny_matrix(), Edits(without=("aws:*", R)))
    assert found.region_ids == (S, T)
    assert matching("aws:*", tiny_matrix()) == ("aws:ap-northeast-1", "aws:us-east-1")
    assert matching(R, tiny_matrix()) == (R,)


def test_edits_add_up_in_their_order() -> None:
    """All out of S half as fast, then the direct one ten times: 4 · 0.5 · 10."""
    found = edited(tiny_matrix(), Edits(scale_links={(S, "*"): 0.5, (S, T): 10.0}))
    assert figures(found)[S, T][0] == pytest.approx(20.0)
    assert figures(found)[S, R][0] == pytest.approx(6.0)


def test_what_was_changed_is_on_record() -> None:
    """In the policy, so in the digest and in every plan; the matrix itself is as it was."""
    matrix, seen = tiny_matrix(), {tiny_matrix().digest}
    for edits, said in (
        (Edits(scale_links={(S, T): 2.0}), f"what if: {S}->{T} x2"),
        (Edits(prices={(S, T): 0.01}), f"{S}->{T} at $0.01/GB"),
        (Edits(without=(R,)), f"without {R}"),
        (Edits(scale_links={(S, T): 1.0}), "x1"),
        (Edits(scale_links={(S, T): 2.0}, without=(R,)), f"x2; without {R}"),
    ):
        assert edits
        found = edited(matrix, edits)
        assert found.policy.startswith("as_measured; what if: ")
        assert said in found.policy
        assert found.digest not in seen
        seen.add(found.digest)
        kept = (found.epoch, found.column, found.tier, found.caps)
        assert kept == (matrix.epoch, matrix.column, matrix.tier, matrix.caps)
        asked = Job(source=S, destinations=(T,), size_bytes=TB, goal_gbps=2)
        assert solve("overlay", found, asked).matrix == found.ref()
    assert matrix.digest == tiny_matrix().digest


def test_no_edits_are_the_same_matrix() -> None:
    matrix = tiny_matrix()
    assert not Edits()
    assert edited(matrix, Edits()) is matrix


@pytest.mark.parametrize(
    "edits",
    [
        Edits(scale_links={("azure:canadacentrl", T): 2.0}),
        Edits(prices={(S, "gcp:asia-nrtheast1"): 2.0}),
        Edits(without=("azure:westus3",)),
    ],
)
def test_an_unknown_region_is_named_with_the_nearest(edits: Edits) -> None:
    with pytest.raises(UnknownName, match="did you mean"):
        edited(tiny_matrix(), edits)


@pytest.mark.parametrize(
    ("edits", "told"),
    [
        (Edits(without=("oracle:*",)), "called like 'oracle:\\*'"),
        (Edits(scale_links={("oracle:*", "*"): 2.0}), "called like"),
        (Edits(scale_links={(S, S): 2.0}), "nothing to change"),
        (Edits(prices={(S, R): 2.0}, without=(R,)), "nothing to change"),
        (Edits(scale_links={(S, T): 1e-12}), "out of range"),
        (Edits(scale_links={(S, T): 1e9}), "out of range"),
    ],
)
def test_an_edit_of_nothing_is_an_error(edits: Edits, told: str) -> None:
    with pytest.raises(InputError, match=told):
        edited(tiny_matrix(), edits)


def test_an_end_left_out_is_an_error_that_names_it() -> None:
    found = edited(tiny_matrix(), Edits(without=(T,)))
    asked = Job(source=S, destinations=(T,), size_bytes=TB, goal_gbps=2)
    with pytest.raises(InputError, match=T):
        solve("overlay", found, asked)
    with pytest.raises(InputError, match=S):
        solve("overlay", edited(tiny_matrix(), Edits(without=("azure:*",))), asked)


def test_edits_can_be_edited_again() -> None:
    """Twice half is a quarter, and both stand in the policy."""
    half = Edits(scale_links={(S, T): 0.5})
    found = edited(edited(tiny_matrix(), half), half)
    assert figures(found)[S, T][0] == pytest.approx(1.0)
    assert found.policy.count("what if") == 2
    assert replace(found, policy="as_measured").digest != tiny_matrix().digest


@pytest.mark.parametrize(
    "text", ["aws:a,gcp:b", "aws:a->gcp:b", "aws:a→gcp:b", " aws:a , gcp:b ", "aws:a -> gcp:b"]
)
def test_a_link_is_written_in_three_ways(text: str) -> None:
    assert parse_ends(text) == ("aws:a", "gcp:b")


@pytest.mark.parametrize("text", ["", ",", "aws:a", "aws:a,", ",gcp:b", "aws:a gcp:b", "->"])
def test_what_is_no_link_is_told(text: str) -> None:
    with pytest.raises(InputError, match="is not a link; write SRC,DST"):
        parse_ends(text)


def test_an_edit_is_ends_and_a_number() -> None:
    assert parse_edit("aws:a,gcp:*=0.5", name="--x", most=10) == (("aws:a", "gcp:*"), 0.5)
    assert parse_edit("aws:a,gcp:b=0", name="--x", most=10, zero=True) == (("aws:a", "gcp:b"), 0.0)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("aws:a,gcp:b", "not SRC,DST=NUMBER"),
        ("aws:a,gcp:b=", "not SRC,DST=NUMBER"),
        ("aws:a,gcp:b=fast", "not SRC,DST=NUMBER"),
        ("aws:a,gcp:b=1_0", "not SRC,DST=NUMBER"),
        ("aws:a=2", "is not a link"),
        ("=2", "is not a link"),
        ("aws:a,gcp:b=0", "out of range"),
        ("aws:a,gcp:b=-1", "out of range"),
        ("aws:a,gcp:b=nan", "out of range"),
        ("aws:a,gcp:b=inf", "out of range"),
        ("aws:a,gcp:b=11", "out of range"),
    ],
)
def test_what_is_no_edit_is_told(text: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        parse_edit(text, name="--x", most=10)
