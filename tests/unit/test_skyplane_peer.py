"""What stands on our side of the comparison with Skyplane; the peer itself is not run here."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path

import pytest

from benchmarks import skyplane_peer, skyplane_venv
from benchmarks.skyplane_peer import Asked, Verdict, asked, grid_csv, priced_usd
from tests.unit.planner.worlds import S, T, diamond, job

COLUMNS = ["src_region", "dst_region", "src_tier", "dst_tier", "throughput_sent", "usd_per_gb"]


def test_the_grid_has_the_peers_columns_and_gives_back_our_rates() -> None:
    rows = list(csv.DictReader(io.StringIO(grid_csv(diamond()))))
    assert list(rows[0]) == COLUMNS
    assert len(rows) == len(diamond().links)
    for row, link in zip(rows, diamond().links, strict=True):
        assert float(row["throughput_sent"]) / 2**30 == pytest.approx(link.gbps)
        assert float(row["usd_per_gb"]) == link.usd_per_gb


def test_the_peers_answer_is_priced_like_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """10 Gbit/s directly, three VMs at each end: 80 of egress and 800 s of six VMs."""
    monkeypatch.setattr(skyplane_peer, "matrix", lambda _: diamond())
    one = Asked(epoch="2022-11-28", job=job(goal_gbps=10.0), goal_gbps=10.0)
    answer = {"flows": [[S, T, 10.0, 160.0]], "vms": {S: 3.0000001, T: 2.9999999}}
    assert priced_usd(one, answer) == pytest.approx(84.8)


@pytest.mark.parametrize(
    ("carried", "most_vms", "goal", "limit"),
    [(1.2, 8, True, True), (0.95, 8, False, True), (1.0, 9, True, False)],
)
def test_a_verdict_says_what_is_kept(
    carried: float, most_vms: int, goal: bool, limit: bool
) -> None:
    found = Verdict(
        asked=Asked(epoch="2022-11-28", job=job(goal_gbps=10.0), goal_gbps=10.0),
        ours_usd=100.0,
        bound_usd=99.0,
        peer_usd=101.0,
        carried=carried,
        most_vms=most_vms,
    )
    assert (found.keeps_goal, found.keeps_limit) == (goal, limit)
    assert found.dearer == pytest.approx(0.01)


def test_both_goals_ask_the_same_pairs() -> None:
    easy, near_max = asked("easy", 2), asked("near_max", 2)
    assert [(one.job.source, one.job.destinations) for one in easy] == [
        (one.job.source, one.job.destinations) for one in near_max
    ]
    assert {one.epoch for one in easy} == set(skyplane_peer.EPOCHS)
    for low, high in zip(easy, near_max, strict=True):
        assert low.goal_gbps / high.goal_gbps == pytest.approx(0.3 / 0.95)


def test_without_its_environment_it_says_so_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    monkeypatch.setattr(skyplane_venv, "_made", skyplane_venv._made.__wrapped__)
    monkeypatch.setattr(skyplane_venv, "peer_python", skyplane_venv.peer_python.__wrapped__)
    with pytest.raises(skyplane_venv.PeerMissing, match="could not be made") as missing:
        skyplane_venv.peer_python()
    assert "\n" not in str(missing.value)
    assert not skyplane_venv.is_there()
