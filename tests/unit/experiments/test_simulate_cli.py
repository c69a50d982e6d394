"""`tradewind simulate` as its users meet it: figures, words, worlds, a sentence for a slip."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from datasets.epochs import MatrixChoice, load_matrix
from datasets.errors import DataError, InputError, NeverEnds, TradewindError
from datasets.run import read_run
from experiments.simulate_cli import simulate
from planner.job import Job
from planner.plan import save_plan
from planner.strategies import solve
from tests.tiny_plans import A, B, C, plan_of

PLAN = plan_of([((A, B), 4.0)], {(A, B): 5.0}, size_bytes=10**11)
RELAYED = plan_of(
    [((A, B), 4.0), ((A, C, B), 4.0)],
    {(A, B): 8.0, (A, C): 8.0, (C, B): 8.0},
    size_bytes=10**11,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_plan(PLAN, tmp_path / "plan.json")
    save_plan(RELAYED, tmp_path / "relayed.json")
    return tmp_path


def told(folder: Path, *arguments: str, status: int = 0) -> dict[str, Any]:
    """The JSON of a simulation, without a page."""
    plans = [str(folder / name) if name.endswith(".json") else name for name in arguments]
    result = CliRunner().invoke(
        simulate,
        [*plans, "--json", "--no-page", "--runs", str(folder / "runs")],
        standalone_mode=False,
    )
    assert result.exception is None, result.exception
    assert result.return_value == status
    answer: dict[str, Any] = json.loads(result.output)
    return answer


def test_json_has_both_figures_and_the_run(folder: Path) -> None:
    answer = told(folder, "plan.json")
    assert answer["keeps_promise"] is True
    assert answer["predicted"]["makespan_s"] == 200.0
    assert answer["simulated"]["makespan_s"] == pytest.approx(200.0, rel=0.02)
    assert answer["fluid_bound_s"] == pytest.approx(200.0, rel=1e-6)
    assert answer["simulated"]["makespan_s"] > answer["fluid_bound_s"]
    assert set(answer["simulated"]) == set(answer["predicted"])
    run = read_run(Path(answer["run"]))
    assert run.manifest["plan_id"] == answer["plan"] == PLAN.id
    assert run.manifest["kind"] == "simulated"
    assert len(answer["binds_when"]) == 10


def test_people_read_a_verdict_and_get_a_page(folder: Path) -> None:
    arguments = ["--dispatch", "static", "--chunk-size", "16MiB", "--provisioning-s", "0"]
    result = CliRunner().invoke(
        simulate, [str(folder / "plan.json"), *arguments, "--runs", str(folder / "runs")]
    )
    assert result.exit_code == 0
    assert "keeps its promise" in result.output
    assert "What binds:" in result.output
    assert "Fluid bound" in result.output
    (page,) = (folder / "runs").glob("*/report.html")
    assert page.read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("content", "error"),
    [("", DataError), ('{"schema_version": 1}', DataError), (None, InputError)],
)
def test_a_bad_plan_file_is_one_sentence(
    tmp_path: Path, content: str | None, error: type[InputError]
) -> None:
    path = tmp_path / "bad.json"
    if content is not None:
        path.write_text(content)
    result = CliRunner().invoke(simulate, [str(path)])
    assert isinstance(result.exception, error)
    assert "\n" not in str(result.exception)


@pytest.mark.parametrize(
    "wrong",
    [
        ["--chunk-size", "8"],
        ["--provisioning-s", "-1"],
        ["--provisioning-s", "nan"],
        ["--seed", "-1"],
        ["--saturation", "2"],
        ["--ramp-rtts", "-1"],
        ["--ramp-rtts", "99"],
        ["--loss", "1.5"],
        ["--loss", "x=0.1"],
        ["--stragglers", "a"],
        ["--stragglers", "0.1,2"],
        ["--chunk-overhead-s", "inf"],
        ["--noise", "-0.1"],
        ["--noise", "0.1,7"],
        ["--noise", "0.1,0.001s"],
        ["--store", "x"],
        ["--prefixes", "0"],
        ["--link", f"{A},{B}=4"],
        ["--link", f"{A},{B}=-4@3s"],
        ["--link", f"{A},{C}=4@3s"],
        ["--outage", f"{A},{B}@9s-3s"],
        ["--outage", f"{A},{B}@9s"],
        ["--lose", f"{A}#0"],
        ["--lose", "aws:nowhere-1#0@3s"],
        ["--relay-buffer", "1B"],
        ["--objects", "3x"],
        ["--objects", "9999999x1GB"],
        ["--trials", "0"],
        ["--start", "-3s"],
        ["--world", "missing.json"],
        ["--calibration", "missing.json"],
        ["--replay", "missing"],
        ["--epoch", "2022-11-28"],
        ["--epoch", "2022-11-28", "--matrix", "m.csv"],
        ["--network", "scenario.json"],
    ],
)
def test_options_that_make_no_sense_are_one_sentence(folder: Path, wrong: list[str]) -> None:
    result = CliRunner().invoke(
        simulate, [str(folder / "plan.json"), *wrong, "--runs", str(folder / "runs")]
    )
    assert isinstance(result.exception, InputError), (wrong, result.exception)
    assert result.exception.exit_status == 2
    assert "\n" not in str(result.exception)
    assert not (folder / "runs").exists()


def test_nothing_to_simulate_is_told() -> None:
    result = CliRunner().invoke(simulate, [])
    assert isinstance(result.exception, InputError)


def test_trials_are_labelled_with_what_was_assumed(folder: Path) -> None:
    answer = told(folder, "plan.json", "--trials", "7", "--noise", "0.2,10s")["trials"]
    assert answer["trials"] == 7
    assert "sigma 0.2" in answer["assumed"]
    assert "10 s" in answer["assumed"]
    makespan_s = answer["makespan_s"]
    assert 200.0 < makespan_s["p5"] < makespan_s["p50"] < makespan_s["p95"]
    kept = list(answer["kept_within_slack"].values())
    assert kept == sorted(kept)
    quiet = told(folder, "plan.json", "--trials", "3")["trials"]
    assert quiet["assumed"] == "no noise assumed"
    assert quiet["makespan_s"]["p5"] == pytest.approx(quiet["makespan_s"]["p95"])


def test_what_a_lost_relay_costs(folder: Path) -> None:
    (lost,) = told(folder, "relayed.json", "--what-if")["lost_relays"]
    assert lost["gateway"] == f"{C}#0"
    # Half of 100 s is left at half the rate: 50 s more.
    assert lost["more_s"] == pytest.approx(50.0, rel=0.05)


def test_a_failed_simulation_is_told_and_ends_with_status_1(folder: Path) -> None:
    answer = told(folder, "plan.json", "--lose", f"{A}#0@50s", "--recovery", "none", status=1)
    assert answer["ok"] is False
    assert "was lost" in answer["words"]


def test_an_outage_for_ever_is_named(folder: Path) -> None:
    result = CliRunner().invoke(simulate, [str(folder / "plan.json"), "--link", f"{A},{B}=0@5s"])
    assert isinstance(result.exception, NeverEnds)


def test_small_files_instead_of_one_object(folder: Path) -> None:
    answer = told(folder, "plan.json", "--objects", "1000x1MB,2x1GB", "--object-overhead-s", "1")
    assert answer["predicted"]["makespan_s"] == pytest.approx(3e9 * 8 / 4e9)
    assert answer["simulated"]["makespan_s"] > 1000 / 52  # 52 connections take turns


def test_a_world_comes_from_a_manifest(folder: Path) -> None:
    first = told(folder, "plan.json", "--noise", "0.3,5s", "--seed", "3")
    manifest = json.loads((Path(first["run"]) / "manifest.json").read_text())
    (folder / "world.json").write_text(json.dumps(manifest["world"]))
    again = told(folder, "plan.json", "--world", str(folder / "world.json"))
    assert again["run"] == first["run"]
    other = told(folder, "plan.json", "--world", str(folder / "world.json"), "--seed", "4")
    assert other["run"] != first["run"]


@pytest.mark.parametrize(
    "junk",
    [
        "[]",
        "nonsense",
        '{"unknown": 1}',
        '{"noise": 3}',
        '{"noise": {"sigma": "x"}}',
        '{"losses": [{"at_s": 1}]}',
        '{"seed": 1.5}',
        '{"chunk_bytes": true}',
        '{"work_conserving": 1}',
        '{"rate_scale": 0}',
        '{"dispatch": "eager"}',
        '{"noise": {"sigma": NaN}}',
    ],
)
def test_a_junk_world_is_one_sentence(folder: Path, junk: str) -> None:
    (folder / "world.json").write_text(junk)
    result = CliRunner().invoke(
        simulate, [str(folder / "plan.json"), "--world", str(folder / "world.json")]
    )
    assert isinstance(result.exception, InputError), result.exception
    assert "\n" not in str(result.exception)


def test_several_plans_share_their_gateways(folder: Path) -> None:
    answer = told(
        folder,
        "plan.json",
        "relayed.json",
        "--start",
        "0s",
        "--start",
        "10s",
        "--provisioning-s",
        "0",
    )
    assert [job["plan"] for job in answer["jobs"]] == [PLAN.id, RELAYED.id]
    for job in answer["jobs"]:
        assert job["simulated"]["makespan_s"] > job["predicted"]["makespan_s"] * 0.99
    run = read_run(Path(answer["run"]))
    assert run.manifest["plans"] == [PLAN.id, RELAYED.id]


# --- Another Matrix.


@pytest.fixture(scope="module")
def real_plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    matrix = load_matrix(MatrixChoice(epoch="2022-01-17"))
    job = Job(
        source="aws:us-east-2",
        destinations=("aws:us-west-1",),
        size_bytes=10**11,
        goal_gbps=3.0,
    )
    path = tmp_path_factory.mktemp("real") / "plan.json"
    save_plan(solve("direct", matrix, job), path)
    return path


def test_another_matrix_is_refused_unless_told(real_plan: Path, tmp_path: Path) -> None:
    arguments = [str(real_plan), "--epoch", "2022-11-28", "--runs", str(tmp_path / "runs")]
    refused = CliRunner().invoke(simulate, arguments)
    assert isinstance(refused.exception, InputError)
    assert "--other-matrix" in str(refused.exception)
    answer = told(tmp_path, str(real_plan), "--epoch", "2022-11-28", "--other-matrix")
    own = told(tmp_path, str(real_plan), "--epoch", "2022-01-17")
    assert own["keeps_promise"]
    assert answer["simulated"] != own["simulated"]
    assert answer["predicted"] == own["predicted"]


def test_a_link_that_the_other_matrix_lacks_is_named(folder: Path) -> None:
    result = CliRunner().invoke(
        simulate,
        [str(folder / "plan.json"), "--epoch", "2022-11-28", "--other-matrix"],
    )
    assert isinstance(result.exception, TradewindError)
    assert f"{A} to {B}" in str(result.exception)


def test_replanning_by_the_verb(real_plan: Path, tmp_path: Path) -> None:
    """A VM of the destination dies; what is missing is planned on the plan's own Matrix."""
    plan = json.loads(real_plan.read_text())
    gateway = plan["lanes"][0]["gateways"][-1]
    answer = told(
        tmp_path,
        str(real_plan),
        "--lose",
        f"{gateway}@60s",
        "--recovery",
        "replan",
        "--provisioning-s",
        "5",
    )
    events = read_run(Path(answer["run"])).events
    assert (events["event"] == "replanned").sum() == 1
    assert answer["ok"] is True


# --- Plain networks.

SCENARIO = {
    "links": {"a": {"capacity": 100.0}},
    "flows": [{"id": "x", "bytes": 500.0, "path": ["a"], "start": 1.0}],
    "pools": [],
}


def network(tmp_path: Path, scenario: object, *arguments: str) -> Any:
    path = tmp_path / "scenario.json"
    path.write_text(json.dumps(scenario))
    return CliRunner().invoke(simulate, ["--network", str(path), *arguments])


def test_a_plain_network_prints_when_each_flow_ends(tmp_path: Path) -> None:
    result = network(tmp_path, SCENARIO, "--json")
    assert json.loads(result.output) == {"finish": {"x": 6.0}, "makespan": 6.0}
    assert "6.000000000 s" in network(tmp_path, SCENARIO).output


def test_inverse_round_trips_show_how_much_the_rule_matters(tmp_path: Path) -> None:
    """Round trips of 10 and 30 ms share 100 B/s as 75 and 25."""
    shared = {"capacity": 100.0, "rtt_ms": 5.0}
    scenario = {
        "links": {
            "a": shared,
            "near": {"capacity": 1e9, "rtt_ms": 5.0},
            "far": {"capacity": 1e9, "rtt_ms": 25.0},
        },
        "flows": [
            {"id": "near", "bytes": 750.0, "path": ["a", "near"], "start": 0.0},
            {"id": "far", "bytes": 250.0, "path": ["a", "far"], "start": 0.0},
        ],
        "pools": [],
    }
    fair = json.loads(network(tmp_path, scenario, "--json").output)
    assert fair["finish"] == pytest.approx({"near": 10.0, "far": 5.0})
    inverse = json.loads(network(tmp_path, scenario, "--json", "--fairness", "inverse_rtt").output)
    assert inverse["finish"] == pytest.approx({"near": 10.0, "far": 10.0})
    bare = replace_links(scenario)
    refused = network(tmp_path, bare, "--fairness", "inverse_rtt")
    assert isinstance(refused.exception, InputError)


def replace_links(scenario: dict[str, Any]) -> dict[str, Any]:
    """The same without round trips."""
    links = {name: {"capacity": link["capacity"]} for name, link in scenario["links"].items()}
    return {**scenario, "links": links}


def test_plans_share_by_inverse_round_trip_too(folder: Path) -> None:
    far = replace(
        RELAYED,
        links=tuple(
            replace(link, rtt_ms=10.0 if (link.src, link.dst) == (A, B) else 100.0)
            for link in RELAYED.links
        ),
    )
    save_plan(far, folder / "far.json")
    plain = told(folder, "far.json", "--work-conserving")
    inverse = told(folder, "far.json", "--work-conserving", "--fairness", "inverse_rtt")
    assert inverse["run"] != plain["run"]


def test_a_scaled_world_is_of_the_plans_own_size(folder: Path) -> None:
    """As a local run's manifest has it: the same plan, real figures, and the same id again."""
    world = {"rate_scale": 0.01, "size_scale": 0.001, "objects": [10**8], "chunk_bytes": 10**4}
    (folder / "world.json").write_text(json.dumps(world))
    answer = told(folder, "plan.json", "--world", str(folder / "world.json"))
    assert answer["plan"] == PLAN.id
    assert answer["simulated"]["makespan_s"] == pytest.approx(200.0, rel=0.02)
    assert answer["keeps_promise"] is True


def test_each_jobs_failure_has_its_reason(folder: Path) -> None:
    answer = told(
        folder,
        "plan.json",
        "relayed.json",
        "--provisioning-s",
        "0",
        "--lose",
        f"{B}#0@20s",
        "--recovery",
        "none",
        status=1,
    )
    for job in answer["jobs"]:
        assert f"gateway {B}#0 was lost" in job["words"]


def test_options_come_on_top_of_a_world_and_leave_the_rest(folder: Path) -> None:
    (folder / "world.json").write_text('{"store": {"read_gbps_per_vm": 2.0}}')
    told_of = {}
    for more in ((), ("--prefixes", "2")):
        answer = told(folder, "plan.json", "--world", str(folder / "world.json"), *more)
        told_of[more] = answer["simulated"]["makespan_s"]
        manifest = json.loads((Path(answer["run"]) / "manifest.json").read_text())
        assert manifest["world"]["store"]["read_gbps_per_vm"] == 2.0
    assert len(set(told_of.values())) == 1


def test_another_matrix_is_named_and_the_plan_is_kept(real_plan: Path, tmp_path: Path) -> None:
    answer = told(tmp_path, str(real_plan), "--epoch", "2022-11-28", "--other-matrix")
    assert "2022-11-28" in answer["notes"][0]
    run = Path(answer["run"])
    assert json.loads((run / "plan.json").read_text())["id"] == answer["plan"]
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["matrix"]["epoch"] == "2022-01-17"
    assert manifest["matrix_of_world"]["epoch"] == "2022-11-28"


def test_requests_without_a_price_are_said(folder: Path) -> None:
    answer = told(folder, "plan.json", "--store")
    assert any("gcp" in note for note in answer["notes"])


def test_several_jobs_get_a_page_that_says_whose_it_is(folder: Path) -> None:
    plans = [str(folder / name) for name in ("plan.json", "relayed.json")]
    done = CliRunner().invoke(simulate, [*plans, "--runs", str(folder / "runs")])
    assert done.exit_code == 0
    (page,) = (folder / "runs").glob("*/report.html")
    assert "the first of 2 Jobs" in page.read_text()
