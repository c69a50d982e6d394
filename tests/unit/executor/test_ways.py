"""Lanes of paths and of trees, as the executor sees both."""

from __future__ import annotations

from dataclasses import replace

import pytest

from datasets.errors import UnsupportedJob
from executor.ways import pairs, require_one_source, ways_of
from tests.tiny_plans import A, B, C, D, plan_of
from tests.tiny_trees import trees_of

TREE = trees_of([([(A, B), (B, C), (B, D)], 2.0)], [C, D], {(A, B): 4.0, (B, C): 4.0, (B, D): 8.0})


def test_a_path_is_a_tree_with_one_branch_each() -> None:
    (way,) = ways_of(plan_of([((A, B, C), 1.0)], {(A, B): 4.0, (B, C): 4.0}))
    assert way.gateways == (f"{A}#0", f"{B}#0", f"{C}#0")
    assert [way.incoming(name) for name in way.gateways] == [-1, 0, 1]
    assert [way.outgoing(name) for name in way.gateways] == [(0,), (1,), ()]


def test_a_tree_branches_and_its_round_trip_is_its_longest() -> None:
    (way,) = ways_of(TREE)
    assert way.outgoing(f"{B}#0") == (1, 2)
    assert way.incoming(f"{D}#0") == 2
    assert way.rtt_s(TREE) == pytest.approx(0.2)
    assert pairs((way, way)) == tuple(sorted(way.edges))


def test_its_cap_is_its_plan_or_its_thinnest_edge() -> None:
    (way,) = ways_of(TREE)
    assert way.cap_gbps(TREE, work_conserving=False) == 2.0
    assert way.cap_gbps(TREE, work_conserving=True) == 4.0


def test_bytes_of_several_sources_are_not_one_transfer() -> None:
    with pytest.raises(UnsupportedJob, match="from 2 sources"):
        require_one_source(replace(TREE, job=replace(TREE.job, more_sources=(B,))))
