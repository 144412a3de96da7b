"""How long a person's word counts, and what has to be said with it."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from penstock.errors import ConfigError
from penstock.forcing import MOST_DAYS, ended, forced, last_day, require_named, standing
from penstock.gate import Decision
from penstock.gate_checks import verdict
from tests.penstock.test_ledger import event

TODAY = date(2026, 11, 21)
WORD = {"by": "Ana", "reason": "the holiday", "until": "2026-11-24", "failed": "auc: 0.7, must be at least 0.8"}


def by_force(sequence: int, version: str = "p-v2", **word: str):
    made = event(sequence, "forced", version, "b")
    return made.model_copy(update={"facts": made.facts | WORD | word})


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("1d", date(2026, 11, 22)),
        (f"{MOST_DAYS}d", TODAY + timedelta(days=MOST_DAYS)),
        (" 2026-12-01 ", date(2026, 12, 1)),
        ("2026-11-21", TODAY),
    ],
)
def test_a_last_day_is_a_number_of_days_or_a_date(text, day):
    assert last_day(text, TODAY) == day


@pytest.mark.parametrize("text", ["", "0d", "15d", "9999d", "-1d", "3", "3h", "2026-11-20", "2026-12-06", "2026-02-30"])
def test_none_past_or_far_away_is_an_error_that_says_what_is_allowed(text):
    with pytest.raises(ConfigError) as found:
        last_day(text, TODAY)
    assert "1d to 14d, or a date from 2026-11-21 to 2026-12-05" in found.value.allowed


def test_it_counts_to_the_end_of_its_last_day():
    events = [by_force(1)]
    assert ended(events, date(2026, 11, 24)) == {}
    assert list(ended(events, date(2026, 11, 25))) == ["p-v2"]
    said = standing("p-v2", forced(events)["p-v2"], date(2026, 11, 25))
    assert "OVER" in said and "OVER" not in standing("p-v2", forced(events)["p-v2"], date(2026, 11, 24))


def test_the_newest_word_counts_and_a_release_that_passed_since_is_there_by_its_gates():
    events = [by_force(1), by_force(2, until="2026-12-01", reason="again")]
    assert (forced(events)["p-v2"].until, forced(events)["p-v2"].reason) == (date(2026, 12, 1), "again")
    assert forced([*events, event(3, "registered", "p-v2", "b")]) == {}


def decision(*failed: str) -> Decision:
    checks = [verdict(name, 0.7, None, "at least 0.8", name not in failed) for name in ("rows", "auc", "auc", "leak")]
    reasons = tuple(str(one) for one in checks if not one.passed)
    return Decision(passed=not failed, checks=tuple(checks), reasons=reasons, champion="")


def test_exactly_the_checks_that_failed_have_to_be_named():
    require_named(decision("auc", "leak"), ["leak", "auc"], "penstock bless p")
    with pytest.raises(ConfigError, match="Name every check") as found:
        require_named(decision("auc", "leak"), ["auc"], "penstock bless p")
    assert found.value.next_step == "penstock bless p --check auc --check leak"
    with pytest.raises(ConfigError, match="not the checks that failed") as found:
        require_named(decision("auc"), ["auc", "rows"], "penstock bless p")
    assert found.value.found == "`rows`"


def test_where_nothing_was_judged_there_is_nothing_to_overrule():
    failed = verdict("thresholds", None, None, "configured", False)
    judged = Decision(passed=False, checks=(failed,), reasons=(str(failed),), champion="")
    with pytest.raises(ConfigError, match="nothing to judge this candidate by"):
        require_named(judged, ["thresholds"], "penstock bless p")
