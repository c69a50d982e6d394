"""Candidates of a Job: limits, quotas, forbidden regions, unknown names."""

from __future__ import annotations

from typing import Any

import pytest

from datasets.errors import UnknownName, UnsupportedJob
from planner.topology import topology
from tests.unit.planner.worlds import Q, R, S, T, diamond, job, matrix_of


def test_a_quota_only_lowers_the_vm_limit() -> None:
    """VMs have 4 vCPUs: 11 vCPUs are 2 VMs, 1,000 are more than the limit of 3."""
    found = topology(diamond(), job(vm_limit=3, quotas={R: 11, S: 1000}))
    assert found.limits == {S: 3, T: 3, R: 2, Q: 3}
    assert found.by_quota(R)
    assert not found.by_quota(S)


def test_a_relay_without_one_vm_is_out_but_an_end_stays() -> None:
    found = topology(diamond(), job(quotas={R: 3, T: 3}))
    assert R not in found.limits
    assert found.limits[T] == 0
    assert {(e.src, e.dst) for e in found.links} == {(S, T), (S, Q), (Q, T)}


def test_forbidden_regions_and_links_into_the_source_are_out() -> None:
    matrix = matrix_of({(S, T): (1, 0, 1), (T, R): (1, 0, 1), (R, S): (1, 0, 1), (S, Q): (1, 0, 1)})
    found = topology(matrix, job(forbid=(Q,)))
    assert [(e.src, e.dst) for e in found.links] == [(S, T)]
    assert Q not in found.limits


@pytest.mark.parametrize(
    "asked",
    [
        {"source": "aws:ss"},
        {"destinations": ("gcp:tt",)},
        {"quotas": {"aws:rr": 4}},
        {"forbid": ("azure:qq",)},
    ],
)
def test_an_unknown_region_is_refused_with_the_nearest_names(asked: dict[str, Any]) -> None:
    with pytest.raises(UnknownName, match="did you mean"):
        topology(diamond(), job(**asked))


def test_two_destinations_are_not_supported() -> None:
    with pytest.raises(UnsupportedJob):
        topology(diamond(), job(destinations=(T, R)))
