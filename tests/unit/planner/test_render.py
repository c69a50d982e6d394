"""Plans for people: the first line answers, tables keep to 80 columns, the best is bold."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from rich.console import Console

from planner.compare import compare
from planner.gain import Gains
from planner.render import age, gain_sentence, rows_table, sentence
from planner.strategies import solve
from tests.unit.planner.worlds import R, S, T, diamond, job


def test_the_sentence_has_way_rate_time_cost_bound_and_age() -> None:
    plan = solve("overlay", diamond(), job(goal_gbps=8, vm_limit=1))
    assert sentence(plan, date(2026, 11, 21)) == (
        f"By way of {R}: 8 Gbit/s, 1 TB in 16 min 40 s, $98.00; bound $98, gap 0.00 %; "
        "figures measured 28 November 2022 (3 years 11 months old)."
    )


def test_the_fastest_states_the_most_of_any_plan() -> None:
    plan = solve("direct", diamond(), job(vm_limit=1))
    said = sentence(plan, date(2022, 11, 28))
    assert said.startswith("Directly: 4 Gbit/s, 1 TB in 33 min 20 s, $84.00; at most 12 Gbit/s")
    assert "less than a month old" in said


@pytest.mark.parametrize(
    ("today", "said"),
    [
        (date(2023, 11, 28), "1 year old"),
        (date(2023, 11, 27), "11 months old"),
        (date(2024, 1, 1), "1 year 1 month old"),
    ],
)
def test_age_in_years_and_months(today: date, said: str) -> None:
    assert said in age(diamond().ref(), today)


def test_a_user_s_own_matrix_has_a_name_and_no_age() -> None:
    assert age(replace(diamond().ref(), epoch="ours"), date(2026, 1, 1)) == "figures of 'ours'"


def test_a_row_a_strategy_the_best_bold_and_the_infeasible_said() -> None:
    rows = compare(("direct", "overlay"), diamond(), job(goal_gbps=8, vm_limit=1))
    assert [row.strategy for row in rows] == ["direct", "overlay"]
    assert rows[0].plan is None
    said = rows[0].as_json()
    assert said["strategy"] == "direct"
    assert said["most_gbps"] == 4
    assert said["binds"] in (
        [f"vm_limit[{S}]", f"link {S}→{T}"],
        [f"vm_limit[{T}]", f"link {S}→{T}"],
    )
    screen = Console(width=80, force_terminal=True)
    with screen.capture() as captured:
        screen.print(rows_table(rows))
    assert "≤ 4" in captured.get()
    assert "infeasible" in captured.get()
    assert "\x1b[1m8\x1b[0m" in captured.get()


def test_the_gain_is_labelled() -> None:
    real = Gains(received=0.5, sent=0.4, min=0.5)
    assert gain_sentence(real).endswith("received +50.0 %, sent +40.0 %, min +50.0 %.")
    start_up = Gains(received=0.5, sent=0.0, min=None)
    assert gain_sentence(start_up).startswith("Start-up dependent")
    assert "min no direct link" in gain_sentence(start_up)
