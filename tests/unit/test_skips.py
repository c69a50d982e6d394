from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.plugins.skips import known_skips

ROOT = Path(__file__).parents[2]
SKIPPED = """
import pytest

@pytest.mark.parametrize("way", ["left", "right"])
def test_goes(way):
    if way == "right":
        pytest.skip("no road: the bridge is away")

@pytest.mark.xfail(strict=True)
def test_known_to_fail():
    assert False
"""
ENTRY = """
[[skip]]
test = "test_*.py::test_goes[right]"
said = "no road: "
reason = "bridges are up at night"
"""


@pytest.fixture
def ran(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A suite with one skip, in a folder of its own."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("CI", "true")
    pytester.makepyfile(test_roads=SKIPPED)
    return pytester


def outcome_of(ran: pytest.Pytester) -> pytest.RunResult:
    return ran.runpytest_subprocess("-p", "tests.plugins.skips", "-p", "no:cacheprovider")


def test_a_planted_skip_fails_in_ci(ran: pytest.Pytester) -> None:
    done = outcome_of(ran)
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    done.assert_outcomes(passed=1, failed=1, xfailed=1)
    done.stdout.fnmatch_lines(
        ["*test_goes?right? was skipped (no road: the bridge is away). In CI a skip needs*"]
    )


def test_a_planted_skip_of_a_whole_module_fails_in_ci(ran: pytest.Pytester) -> None:
    ran.makepyfile(test_closed='import pytest\npytest.skip("closed", allow_module_level=True)\n')
    done = outcome_of(ran)
    assert done.ret != pytest.ExitCode.OK
    done.stdout.fnmatch_lines(["*test_closed.py was skipped (closed).*"])


@pytest.mark.parametrize(
    ("entry", "passes"),
    [
        (ENTRY, True),
        (ENTRY.replace("[right]", "[left]"), False),
        (ENTRY.replace("[right]", "*"), True),
        (ENTRY.replace("no road", "no bridge"), False),
    ],
)
def test_a_skip_passes_only_by_its_own_entry(
    entry: str, passes: bool, ran: pytest.Pytester
) -> None:
    (ran.path / "tests").mkdir()
    (ran.path / "tests" / "skips.toml").write_text(entry)
    assert (outcome_of(ran).ret == pytest.ExitCode.OK) is passes


def test_skips_pass_outside_ci(ran: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI")
    outcome_of(ran).assert_outcomes(passed=1, skipped=1, xfailed=1)


def test_every_entry_of_ours_names_tests_that_are_there() -> None:
    entries = known_skips(ROOT)
    assert entries
    for entry in entries:
        file = re.split(r"::|\[", entry.test)[0]
        assert list(ROOT.glob(file)), entry.test


def test_an_entry_without_a_reason_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "skips.toml").write_text(ENTRY.replace("bridges are up at night", ""))
    with pytest.raises(ValueError, match="needs a test, what it said and a reason"):
        known_skips(tmp_path)
