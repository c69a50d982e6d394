"""The command line as a user meets it: the whole thread, and every mistake as one sentence."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from datasets.canonical import digest
from planner.plan import save_plan
from tests.local import relayed_plan
from tests.tiny_plans import A, B, C, D

ENDS = ("azure:eastasia", "aws:us-east-1")
JOB = (*ENDS, "--bytes", "1TB", "--fastest", "--vm-limit", "1")


def tradewind(
    *words: str, cwd: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "experiments.cli", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.slow
def test_run_does_it_all_and_prints_three_ways(tmp_path: Path) -> None:
    done = tradewind(
        *("run", *JOB, "--strategy", "direct,overlay", "--wall", "2s", "--json"),
        *("--provider", "loopback"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    runs = json.loads(done.stdout)["runs"]
    assert [run["strategy"] for run in runs] == ["direct", "overlay"]
    for run in runs:
        for view in ("predicted", "simulated", "executed"):
            assert set(run[view]) == {"throughput_gbps", "makespan_s", "cost_usd"}
            assert set(run[view]["cost_usd"]) == {"egress", "vm", "total"}
            # Real units, whatever the local scale: a terabyte, not the bytes of the sample.
            gigabits = run[view]["throughput_gbps"] * run[view]["makespan_s"]
            assert gigabits == pytest.approx(8000, rel=1e-3)
        page = (tmp_path / run["page"]).read_text()
        assert len(page.encode()) < 1_000_000
        assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//|url\(|@import", page)
        assert "This verifies the software, not the world" in page
    assert runs[1]["predicted"]["throughput_gbps"] > 2 * runs[0]["predicted"]["throughput_gbps"]
    assert runs[1]["executed"]["throughput_gbps"] > 2 * runs[0]["executed"]["throughput_gbps"]


@pytest.mark.slow
def test_plan_simulate_execute_one_after_the_other(tmp_path: Path) -> None:
    assert tradewind("plan", *JOB, "-o", "plan.json", cwd=tmp_path).returncode == 0
    simulated = tradewind("simulate", "plan.json", "--json", cwd=tmp_path)
    assert simulated.returncode == 0, simulated.stderr
    assert json.loads(simulated.stdout)["keeps_promise"] is True
    (tmp_path / "data").write_bytes(b"x" * 5_000_000)
    executed = tradewind(
        *("execute", "plan.json", "--source", "data", "--destination", "there", "--json"),
        *("--provider", "loopback"),
        cwd=tmp_path,
    )
    assert executed.returncode == 0, executed.stderr
    told = json.loads(executed.stdout)
    # The source's size wins: the plan was for a terabyte.
    assert told["executed"]["size_bytes"] == 5_000_000
    gigabits = told["predicted"]["throughput_gbps"] * told["predicted"]["makespan_s"]
    assert gigabits == pytest.approx(0.04, rel=1e-3)
    assert (tmp_path / "there").read_bytes() == b"x" * 5_000_000
    assert not list(tmp_path.glob(".tradewind-*"))
    again = tradewind(
        *("execute", "plan.json", "--source", "data", "--destination", "there"), cwd=tmp_path
    )
    assert (again.returncode, "nothing is overwritten" in again.stderr) == (2, True)


def test_a_dry_run_makes_nothing(tmp_path: Path) -> None:
    save_plan(relayed_plan(), tmp_path / "plan.json")
    (tmp_path / "data").write_bytes(b"x")
    done = tradewind(
        *("execute", "plan.json", "--source", "data", "--destination", "there", "--dry-run"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "nothing was made" in done.stdout
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["data", "plan.json"]


MISTAKES = {
    "region": (("plan", "aws:us-est-1", ENDS[1], "--bytes", "1TB", "--fastest"), "did you mean"),
    "epoch": (("plan", *JOB, "--epoch", "2022-11-29"), "2022-11-28"),
    "strategy": (("plan", *JOB, "--strategy", "overlai"), "did you mean overlay"),
    "no unit": (("plan", *ENDS, "--bytes", "1000", "--fastest"), "no unit"),
    "odd unit": (("plan", *ENDS, "--bytes", "3QB", "--fastest"), "unknown unit"),
    "absurd": (("plan", *ENDS, "--bytes", "9000EB", "--fastest"), "out of range"),
    "zero": (("plan", *ENDS, "--bytes", "0GB", "--fastest"), "out of range"),
    "absurd goal": (("plan", *ENDS, "--bytes", "1TB", "--goal-gbps", "nan"), "out of range"),
    "same ends": (("plan", ENDS[0], ENDS[0], "--bytes", "1TB", "--fastest"), "two regions"),
    "no objective": (("plan", *ENDS, "--bytes", "1TB"), "one objective"),
    "two objectives": (("plan", *JOB, "--max-usd", "5"), "one objective"),
    "empty matrix": (("plan", *JOB, "--matrix", "empty.csv"), "empty.csv"),
    "damaged matrix": (("plan", *JOB, "--matrix", "damaged.parquet"), "damaged.parquet"),
    "no plan": (("simulate", "none.json"), "none.json"),
    "empty plan": (("simulate", "empty.json"), "empty or damaged"),
    "damaged plan": (("execute", "cut.json", *("--source", "data", "--destination", "x")), "dama"),
    "changed plan": (
        ("execute", "changed.json", "--source", "data", "--destination", "x"),
        "no longer matches its id",
    ),
    "deep plan": (("simulate", "deep.json"), "empty or damaged"),
    "a forged plan": (
        ("execute", "forged.json", "--source", "data", "--destination", "x"),
        "breaks the rule",
    ),
    "chunks of a byte": (
        ("simulate", "plan.json", "--chunk-size", "1B"),
        "choose larger",
    ),
    "quota twice": (
        ("plan", *JOB, "--quota", f"{ENDS[0]}=64", "--quota", f"{ENDS[0]}=32"),
        "given twice",
    ),
    "no destination": (("execute", "plan.json", "--source", "data", "--destination", ""), "empty"),
    "no source": (("execute", "plan.json", "--source", "nil", "--destination", "x"), "No such"),
    "no destination folder": (
        ("execute", "plan.json", "--source", "data", "--destination", "no/where"),
        "does not exist",
    ),
    "unknown provider": (
        ("execute", "plan.json", *("--source", "data", "--destination", "x", "--provider", "loop")),
        "loopback",
    ),
    "infeasible is not misuse, an unknown wall is": (("run", *JOB, "--wall", "8"), "no unit"),
    "no strategies": (("run", *JOB, "--strategy", ","), "at least one strategy"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence_and_status_2(mistake: str, tmp_path: Path) -> None:
    save_plan(relayed_plan(), tmp_path / "plan.json")
    whole = (tmp_path / "plan.json").read_text()
    (tmp_path / "cut.json").write_text(whole[: len(whole) // 2])
    (tmp_path / "changed.json").write_text(whole.replace('"gbps":3.0', '"gbps":3.5'))
    (tmp_path / "empty.json").write_text("")
    (tmp_path / "deep.json").write_text("[" * 200_000)
    forged = {**relayed_plan().content(), "vms": {A: 3, B: 1, C: 1, D: 1}}
    (tmp_path / "forged.json").write_text(json.dumps({"id": digest(forged), **forged}))
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1 no more")
    (tmp_path / "data").write_bytes(b"x")
    before = sorted(entry.name for entry in tmp_path.iterdir())
    words, said = MISTAKES[mistake]
    done = tradewind(*words, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert sorted(entry.name for entry in tmp_path.iterdir()) == before


def test_infeasible_is_an_answer_with_status_1(tmp_path: Path) -> None:
    asked = ("plan", *ENDS, "--bytes", "1TB", "--goal-gbps", "5000")
    told = tradewind(*asked, "--json", cwd=tmp_path)
    assert told.returncode == 1
    answer = json.loads(told.stdout)
    assert answer["feasible"] is False
    assert 0 < answer["most_gbps"] < 5000
    assert answer["binds"]
    said = tradewind(*asked, cwd=tmp_path)
    assert said.returncode == 1
    assert "Infeasible" in said.stderr


def test_an_unwritable_destination_is_one_sentence(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        where = "/proc/tradewind"  # root may write anywhere but here
    else:
        (tmp_path / "closed").mkdir(mode=0o500)
        where = str(tmp_path / "closed" / "there")
    save_plan(relayed_plan(), tmp_path / "plan.json")
    (tmp_path / "data").write_bytes(b"x")
    done = tradewind(
        *("execute", "plan.json", "--source", "data", "--destination", where), cwd=tmp_path
    )
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_runs_folder_that_cannot_be_written_is_told_before_anything_moves(tmp_path: Path) -> None:
    save_plan(relayed_plan(), tmp_path / "plan.json")
    (tmp_path / "data").write_bytes(b"x")
    (tmp_path / "file").write_text("")
    done = tradewind(
        *("execute", "plan.json", "--source", "data", "--destination", "there"),
        *("--runs", "file/runs"),
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr.startswith("Cannot write runs")) == (2, True)
    assert not (tmp_path / "there").exists()


def test_a_state_folder_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = tradewind("audit", cwd=tmp_path, environment={"TRADEWIND_STATE": str(tmp_path / "file")})
    assert done.returncode == 2
    assert "Cannot open the ledger" in done.stderr
