"""frontier, explain, check, export and what-if from the command line; mistakes are one sentence.

Each verb runs in this process through the same door as the command (`exit_with`); one of each also
in a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from datasets.canonical import digest
from datasets.epochs import MatrixChoice, load_matrix
from datasets.errors import DataError
from experiments.cli import cli, exit_with
from planner.checks import check
from planner.job import Job
from planner.plan import Plan, load_plan, plan_from_json, save_plan
from planner.strategies import solve

ENDS = ("azure:canadacentral", "gcp:asia-northeast2")
THIRD = "aws:us-east-1"
LINK = ",".join(ENDS)
JOB = (*ENDS, "--bytes", "1TB", "--vm-limit", "2")
GOAL = ("--goal-gbps", "5")
MANY = (*ENDS, THIRD, "--bytes", "100GB", "--goal-gbps", "2", "--vm-limit", "2")

Answer = tuple[int, str, str]
Command = Callable[..., Answer]


@pytest.fixture
def tradewind(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Command:
    """The command in a folder of its own: status, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Answer:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            exit_with(lambda: cli.main(list(words), standalone_mode=False))
        told = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, told.out, told.err

    return run


def asked_json(tradewind: Command, *words: str, status: int = 0) -> Any:
    code, out, err = tradewind(*words, "--json")
    assert code == status, err
    return json.loads(out)


def one_sentence(answer: Answer, said: str, *, status: int = 2) -> None:
    code, out, err = answer
    assert code == status, (out, err)
    assert said in err
    assert out == ""
    assert err.count("\n") == 1
    assert "Traceback" not in err


@cache
def relayed() -> Plan:
    matrix = load_matrix(MatrixChoice(epoch="2022-11-28"))
    asked = Job(
        source=ENDS[0], destinations=(ENDS[1],), size_bytes=10**12, vm_limit=2, goal_gbps=15.0
    )
    plan = solve("overlay", matrix, asked)
    assert plan.relays
    return plan


@cache
def branching() -> Plan:
    matrix = load_matrix(MatrixChoice(epoch="2022-11-28"))
    asked = Job(
        source=ENDS[0],
        destinations=(ENDS[1], THIRD),
        size_bytes=10**11,
        goal_gbps=2.0,
        vm_limit=2,
    )
    plan = solve("broadcast_steiner", matrix, asked)
    assert plan.trees
    return plan


def test_frontier_as_json_holds_plans_ready_to_simulate(tradewind: Command) -> None:
    told = asked_json(tradewind, "frontier", *ENDS, "--bytes", "200GB", "--points", "3")
    assert set(told) == {"points", "knee", "breakpoints", "most_gbps"}
    for point in told["points"]:
        assert set(point) == {"throughput_gbps", "cost_usd", "bound_usd", "plan"}
        check(plan_from_json(point["plan"]))
    Path("point.json").write_text(json.dumps(told["points"][0]["plan"]))
    simulated = asked_json(tradewind, "simulate", "point.json")
    assert simulated["keeps_promise"] is True
    checked = asked_json(tradewind, "check", "point.json")
    assert checked["holds"] is True


def test_frontier_for_people_is_a_table_of_80_columns(tradewind: Command) -> None:
    code, out, err = tradewind("frontier", *JOB, "--points", "6")
    assert code == 0, err
    for said in ("Gbit/s", "knee", "at least $", "28 November 2022"):
        assert said in " ".join(out.split())
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_a_frontier_is_drawn(tradewind: Command, ending: str) -> None:
    """The same bytes each time."""
    for name in ("one", "two"):
        words = ("frontier", *JOB, "--points", "5", "--picture", f"{name}.{ending}")
        code, _, err = tradewind(*words)
        assert code == 0, err
    pictures = [Path(f"{name}.{ending}").read_bytes() for name in ("one", "two")]
    assert pictures[0] == pictures[1]
    assert pictures[0].startswith(b"\x89PNG" if ending == "png" else b"<?xml")
    assert len(list(Path().iterdir())) == 2


@pytest.mark.parametrize("extra", [("--provisioning",), ("--tiered",), ("--max-gco2e", "2000")])
def test_frontiers_of_other_costs(tradewind: Command, extra: tuple[str, ...]) -> None:
    told = asked_json(tradewind, "frontier", *JOB, "--points", "3", *extra)
    assert told["breakpoints"] == []
    assert len(told["points"]) >= 2


def test_explain_says_what_limits_are_worth(tradewind: Command) -> None:
    told = asked_json(tradewind, "explain", *JOB, "--goal-gbps", "15")
    assert {"plan", "direct", "runner_up", "shadow_prices", "slower_links", "break_even"} <= set(
        told
    )
    assert {"gains", "value_of_information", "sentences"} <= set(told)
    assert plan_from_json(told["plan"]).relays
    code, out, err = tradewind("explain", *JOB, "--goal-gbps", "15")
    assert code == 0, err
    text = " ".join(out.split())
    for said in ("What goes where, and why", "is worth $", "30 % slower", "Assumed"):
        assert said in text
    assert max(map(len, out.splitlines())) <= 80


def test_what_if_is_said_and_planned(tradewind: Command) -> None:
    usual = asked_json(tradewind, "plan", *JOB, *GOAL)
    words = ("--price", f"{LINK}=0", "--scale-link", "azure:*,gcp:*=2")
    edited = asked_json(tradewind, "plan", *JOB, *GOAL, *words)
    assert edited["predicted"]["cost_usd"]["total"] < usual["predicted"]["cost_usd"]["total"]
    assert edited["matrix"]["digest"] != usual["matrix"]["digest"]
    assert "what if: azure:*->gcp:* x2" in edited["matrix"]["policy"]
    for verb in ("plan", "explain", "compare"):
        code, out, err = tradewind(verb, *JOB, *GOAL, *words)
        assert code == 0, err
        assert "What if: azure:*->gcp:* x2" in " ".join(out.split())
    code, out, err = tradewind("frontier", *JOB, "--points", "3", *words)
    assert (code, "What if" in out) == (0, True), err


def test_check_of_a_good_file(tradewind: Command) -> None:
    save_plan(relayed(), Path("plan.json"))
    told = asked_json(tradewind, "check", "plan.json")
    assert (told["plan"], told["holds"]) == (relayed().id, True)
    (proof,) = told["proofs"]
    assert proof["proves"] == "usd"
    assert proof["recomputed"] == pytest.approx(proof["value"], rel=1e-8)
    code, out, err = tradewind("check", "plan.json")
    assert code == 0, err
    assert "holds on the matrix" in out
    assert "USD at least" in out


def rehashed(plan: Plan, **changes: Any) -> None:
    """A forger's plan file: changed, and its id made to fit."""
    content = json.loads(json.dumps(replace(plan, **changes).content()))
    Path("forged.json").write_text(json.dumps({"id": digest(content), **content}))


def test_check_sees_a_bound_that_its_multipliers_do_not_prove(tradewind: Command) -> None:
    """Halfway between bound and cost: every rule holds that needs no Matrix; the id fits."""
    plan = relayed()
    between = (plan.bound_lp_usd + plan.predicted.cost_usd.total) / 2
    assert between > plan.bound_lp_usd * (1 + 1e-6)
    (one,) = plan.certificates
    gap = (plan.predicted.cost_usd.total - between) / plan.predicted.cost_usd.total
    rehashed(
        plan,
        bound_usd=between,
        bound_lp_usd=between,
        gap=gap,
        certificates=(replace(one, value=between),),
    )
    assert load_plan(Path("forged.json")).bound_usd == pytest.approx(between)
    one_sentence(tradewind("check", "forged.json"), "the multipliers prove", status=1)
    rehashed(plan, bound_usd=between, bound_lp_usd=between, gap=gap)
    one_sentence(tradewind("check", "forged.json"), "bound_lp_usd", status=1)
    rehashed(plan, certificates=())
    one_sentence(tradewind("check", "forged.json"), "nothing proves", status=1)


def test_check_sees_a_changed_file_and_a_broken_rule(tradewind: Command) -> None:
    save_plan(relayed(), Path("plan.json"))
    text = Path("plan.json").read_text()
    Path("changed.json").write_text(text.replace('"gap":', '"gap":1'))
    one_sentence(tradewind("check", "changed.json"), "no longer matches its id")
    rehashed(relayed(), gap=0.5)
    one_sentence(tradewind("check", "forged.json"), "breaks the rule 'gap'")
    with pytest.raises(DataError):
        load_plan(Path("changed.json"))


def test_check_of_trees(tradewind: Command) -> None:
    save_plan(branching(), Path("tree.json"))
    assert asked_json(tradewind, "check", "tree.json")["holds"] is True


@pytest.mark.parametrize(
    ("simulator", "files"),
    [
        ("simgrid", {"platform.xml", "flows.csv", "summary.json", "run_simgrid.py"}),
        ("ns3", {"gateways.csv", "wires.csv", "hops.csv", "summary.json", "tradewind.cc"}),
    ],
)
def test_a_plan_is_exported_to_a_new_folder(
    tradewind: Command, simulator: str, files: set[str]
) -> None:
    words = ("plan", *JOB, *GOAL, "--export", simulator)
    made = asked_json(tradewind, *words, "--export-to", "in/there")
    assert {path.name for path in Path("in/there").iterdir()} == files
    asked_json(tradewind, *words)
    named = Path(f"{made['id']}-{simulator}")
    assert {path.name for path in named.iterdir()} == files
    for name in files:
        assert (named / name).read_bytes() == (Path("in/there") / name).read_bytes()
    one_sentence(tradewind(*words, "--export-to", "in/there"), "Cannot write the export")
    one_sentence(tradewind(*words), "Cannot write the export")


def test_several_destinations_are_compared_by_broadcast(tradewind: Command) -> None:
    rows = asked_json(tradewind, "compare", *MANY)["rows"]
    assert [row["strategy"] for row in rows] == [
        "broadcast_direct",
        "broadcast_mst",
        "broadcast_steiner",
        "broadcast_overlay",
    ]
    bounds = {row["bound_lp_usd"] for row in rows if row["feasible"]}
    assert len(bounds) == 1
    for row in rows:
        assert row["feasible"]
        assert row["job"]["destinations"] == [ENDS[1], THIRD]
        assert row["bound_usd"] <= row["predicted"]["cost_usd"]["total"] * (1 + 1e-9)
    code, out, err = tradewind("compare", *MANY)
    assert (code, "broadcast_steiner" in out) == (0, True), err


def test_several_sources(tradewind: Command) -> None:
    words = (*ENDS, "--also-from", THIRD, "--bytes", "100GB", "--goal-gbps", "1")
    told = asked_json(tradewind, "plan", *words, "--strategy", "broadcast_direct")
    assert told["job"]["more_sources"] == [THIRD]
    assert {tree["source"] for tree in told["trees"]} == {ENDS[0], THIRD}
    check(plan_from_json(told))


def test_a_plan_of_trees_is_simulated(tradewind: Command) -> None:
    save_plan(branching(), Path("tree.json"))
    status, out, said = tradewind("simulate", "tree.json", "--json", "--no-page")
    assert status == 0, said
    told = json.loads(out)
    assert told["ok"] is True
    assert told["simulated"]["makespan_s"] >= told["predicted"]["makespan_s"] * 0.999


def test_and_executed_each_destination_by_name(tradewind: Command) -> None:
    save_plan(branching(), Path("tree.json"))
    Path("data").write_bytes(b"x" * 3_000_000)
    words = ("execute", "tree.json", "--source", "data", "--provider", "loopback")
    one_sentence(tradewind(*words, "--destination", "there"), "give --destination REGION=PATH")
    one_sentence(tradewind(*words, "--destination", f"{THIRD}=there"), "without a --destination")
    both = ("--destination", f"{THIRD}=there", "--destination", f"{ENDS[1]}=here")
    status, out, said = tradewind(*words, *both, "--dry-run")
    assert (status, "Would make" in out) == (0, True), said
    assert not Path("there").exists()
    told = asked_json(tradewind, *words, *both)
    assert set(told["destinations"]) == {THIRD, ENDS[1]}
    assert Path("there").read_bytes() == Path("here").read_bytes() == Path("data").read_bytes()


def test_sources_whose_bytes_differ_are_not_executed(tradewind: Command) -> None:
    words = (*ENDS, "--also-from", THIRD, "--bytes", "1GB", "--goal-gbps", "1")
    told = asked_json(tradewind, "plan", *words, "--strategy", "broadcast_direct")
    Path("many.json").write_text(json.dumps(told))
    Path("data").write_bytes(b"x")
    done = tradewind("execute", "many.json", "--source", "data", "--destination", "there")
    one_sentence(done, "from 2 sources is not possible")


@pytest.mark.parametrize("simulator", ["simgrid", "ns3"])
def test_nor_is_it_exported(tradewind: Command, simulator: str) -> None:
    words = ("plan", *MANY, "--strategy", "broadcast_steiner", "--export", simulator)
    one_sentence(tradewind(*words), "exported")
    assert not list(Path().iterdir())


NEW = ("frontier", *JOB)
MISTAKES: dict[str, tuple[tuple[str, ...], str]] = {
    "no link": (("plan", *JOB, *GOAL, "--forbid-link", "aws:us-east-1"), "is not a link"),
    "half a link": (("plan", *JOB, *GOAL, "--require-link", f"{THIRD},"), "is not a link"),
    "link to nowhere": (("plan", *JOB, *GOAL, "--forbid-link", f"{THIRD},gcp:x"), "Unknown region"),
    "scaled by nothing": (("plan", *JOB, *GOAL, "--scale-link", f"{LINK}=0"), "out of range"),
    "scaled by less": (("explain", *JOB, *GOAL, "--scale-link", f"{LINK}=-1"), "out of range"),
    "scaled by much": (("plan", *JOB, *GOAL, "--scale-link", f"{LINK}=1e9"), "out of range"),
    "scaled beyond": (("plan", *JOB, *GOAL, "--scale-link", "*,*=9999"), "out of range"),
    "no number": (("compare", *JOB, *GOAL, "--price", f"{LINK}=cheap"), "SRC,DST=NUMBER"),
    "no equals": (("frontier", *JOB, "--price", LINK), "SRC,DST=NUMBER"),
    "price below 0": (("plan", *JOB, *GOAL, "--price", f"{LINK}=-0.1"), "out of range"),
    "no such regions": (("plan", *JOB, *GOAL, "--within", "oracle:*"), "called like"),
    "none without": (("plan", *JOB, *GOAL, "--without", "oracle:*"), "called like"),
    "none to forbid": (("plan", *JOB, *GOAL, "--forbid", "oracle:*"), "called like"),
    "unknown without": (("plan", *JOB, *GOAL, "--without", "aws:us-est-1"), "did you mean"),
    "unknown within": (("plan", *JOB, *GOAL, "--within", "aws:us-est-1"), "did you mean"),
    "unknown required": (("plan", *JOB, *GOAL, "--require", "aws:us-est-1"), "did you mean"),
    "without an end": (("plan", *JOB, *GOAL, "--without", ENDS[1]), ENDS[1]),
    "forbidden end": (("plan", *JOB, *GOAL, "--forbid", "gcp:*"), "end of the transfer"),
    "required, forbidden": (
        ("plan", *JOB, *GOAL, "--require", THIRD, "--forbid", "aws:*"),
        "is required and not allowed",
    ),
    "required, outside": (
        ("plan", *JOB, *GOAL, "--require", THIRD, "--within", "gcp:*"),
        "is required and not allowed",
    ),
    "required link forbidden": (
        ("plan", *JOB, *GOAL, "--require-link", LINK, "--forbid-link", LINK),
        "required and forbidden",
    ),
    "two objectives": (("explain", *JOB, *GOAL, "--fastest"), "one objective"),
    "no objective": (("compare", *JOB), "one objective"),
    "least carbon, fastest": (("plan", *JOB, "--fastest", "--minimise", "gco2e"), "--goal-gbps"),
    "least carbon, budget": (
        ("plan", *JOB, "--max-usd", "9", "--minimise", "gco2e"),
        "--goal-gbps",
    ),
    "least of what": (("plan", *JOB, *GOAL, "--minimise", "co2"), "gco2e"),
    "ceiling of nothing": (("plan", *JOB, *GOAL, "--max-gco2e", "0"), "out of range"),
    "ceiling in words": (("plan", *JOB, *GOAL, "--max-gco2e", "little"), "not a number"),
    "frontier at a goal": ((*NEW, *GOAL), "No such option"),
    "no points": ((*NEW, "--points", "0"), "--points"),
    "no picture": ((*NEW, "--picture", "p.gif"), "is no picture"),
    "picture nowhere": ((*NEW, "--picture", "no/p.svg"), "Cannot write the picture"),
    "frontier to many": (("frontier", *ENDS, THIRD), "one destination"),
    "explained to many": (("explain", *MANY), "one destination"),
    "to the same end": (("plan", ENDS[0], ENDS[0], "--bytes", "1TB", *GOAL), "two regions"),
    "to one end twice": (("plan", *JOB, ENDS[1], *GOAL), "each of them once"),
    "source twice": (("plan", *JOB, *GOAL, "--also-from", ENDS[0]), "each source once"),
    "trees by a path": (("plan", *MANY, "--strategy", "direct"), "one destination"),
    "required trees": (
        ("plan", *MANY, "--strategy", "broadcast_steiner", "--require", "aws:us-west-2"),
        "required regions",
    ),
    "no export": (("plan", *JOB, *GOAL, "--export", "ns2"), "--export"),
    "export-to alone": (("plan", *JOB, *GOAL, "--export-to", "x"), "--export"),
    "no file to check": (("check", "none.json"), "none.json"),
    "carbon of trees": (
        ("plan", *MANY, "--strategy", "broadcast_overlay", "--minimise", "gco2e"),
        "not for carbon",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence_and_status_2(tradewind: Command, mistake: str) -> None:
    words, said = MISTAKES[mistake]
    one_sentence(tradewind(*words), said)
    assert not list(Path().iterdir())


INFEASIBLE: dict[str, tuple[str, ...]] = {
    "plan": ("plan", *JOB, "--goal-gbps", "5000"),
    "deadline": ("plan", *JOB, "--deadline", "1s"),
    "budget": ("plan", *JOB, "--max-usd", "1"),
    "carbon": ("plan", *JOB, "--goal-gbps", "5", "--max-gco2e", "0.01"),
    "frontier": ("frontier", *JOB, "--quota", f"{ENDS[0]}=0"),
    "explain": ("explain", *JOB, "--goal-gbps", "5000"),
    "required": ("plan", *JOB, "--goal-gbps", "5000", "--require", THIRD),
    "to many": ("plan", *MANY[:5], "--goal-gbps", "5000", "--strategy", "broadcast_direct"),
}


@pytest.mark.parametrize("name", INFEASIBLE)
def test_infeasible_is_an_answer_with_status_1(tradewind: Command, name: str) -> None:
    words = INFEASIBLE[name]
    told = asked_json(tradewind, *words, status=1)
    assert set(told) == {"feasible", "most_gbps", "binds"}
    assert told["feasible"] is False
    assert 0 <= told["most_gbps"] < 5000
    assert told["binds"]
    one_sentence(tradewind(*words), "Infeasible", status=1)


def test_infeasible_rows_are_compared(tradewind: Command) -> None:
    words = ("compare", *JOB, "--goal-gbps", "5000")
    rows = asked_json(tradewind, *words, status=1)["rows"]
    assert [row["feasible"] for row in rows] == [False] * 4


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("frontier", *JOB, "--points", "2", "--json"), 0),
        (("explain", *JOB, *GOAL, "--json"), 0),
        (("check", "plan.json", "--json"), 0),
        (("frontier", *JOB, "--picture", "p.gif"), 2),
    ],
)
def test_so_it_is_in_a_process_of_its_own(
    words: tuple[str, ...], status: int, tmp_path: Path
) -> None:
    save_plan(relayed(), tmp_path / "plan.json")
    done = subprocess.run(
        [sys.executable, "-m", "experiments.cli", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == status, done.stderr
    assert bool(done.stdout) == (status == 0)
    if status == 0:
        assert isinstance(json.loads(done.stdout), dict)
