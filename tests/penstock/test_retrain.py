"""Retraining is asked for when it may help, and by nothing more often than its limits allow."""

from __future__ import annotations

import pytest

from penstock.alarms import Alarm
from penstock.retrain import LabelNews, to_tell
from tests.asked import ANSWERS, CONFIG, DRIFT, DROP, Ledger, tried

SKEW = Alarm(cause="schema skew", reason="temp is text")


@pytest.mark.parametrize("alarm", [DRIFT, ANSWERS, DROP])
def test_an_alarm_asks_for_a_training_and_says_why(alarm):
    found = Ledger().decide(0, alarm)
    assert (found.action, found.causes, found.page) == ("retrain", (alarm.cause,), False)
    assert found.reasons == (alarm.reason,)
    assert found.facts["new_labels"] == "100"


def test_without_an_alarm_nothing_is_asked_for_and_that_is_a_decision_too():
    found = Ledger().decide(0)
    assert (found.action, found.reasons) == ("no", ("there is no alarm",))


def test_rows_that_do_not_fit_stop_retraining_and_call_a_person_once():
    ledger = Ledger()
    found = ledger.decide(0, SKEW, DRIFT)
    assert (found.action, found.page) == ("stop", True)
    kind, reason, facts = to_tell(ledger.history, found)
    ledger.add(0, kind, reason=reason, **facts)
    again = ledger.decide(1, SKEW, DRIFT)
    assert (again.action, again.page) == ("no", False) and "stopped since 2024-01-01 00:00" in again.reasons[0]
    assert ledger.decide(50, DRIFT).action == "no"  # the rows fit again; a person has not said so
    ledger.add(51, "retraining resumed")
    assert ledger.decide(52, DRIFT).action == "retrain"
    assert ledger.decide(52, SKEW).page


@pytest.mark.parametrize("enabled", [True, False])
def test_a_stop_does_not_depend_on_being_enabled(enabled):
    assert Ledger().decide(0, SKEW, config=CONFIG.model_copy(update={"enabled": enabled})).action == "stop"


@pytest.mark.parametrize(
    ("ledger", "hours", "labels", "changes", "said"),
    [
        (Ledger(), 0, 100, {"enabled": False}, "`retrain.enabled` is false"),
        (Ledger(), 0, 100, {"on": ("performance drop",)}, "has none of value drift"),
        (Ledger(), 0, 99, {}, "99 labels are new since the last training, it needs 100"),
        (tried(deployed=False), 23, 100, {"cooldown_hours": 0, "daily_budget": 9}, "is not deployed yet"),
        (tried(), 30, 100, {}, "has not been judged yet"),
        (tried(helped=True), 23, 100, {"daily_budget": 9}, "cooldown is 24 h"),
        (tried(helped=True), 23, 100, {"cooldown_hours": 0}, "1 of 1 a day"),
        (tried(helped=False), 30, 0, {"min_new_labels": 0}, "0 labels are new since the last training, it needs 1"),
    ],
)
def test_each_limit_holds_back_by_itself(ledger, hours, labels, changes, said):
    found = ledger.decide(
        hours, DRIFT, labels=LabelNews(since_training=labels), config=CONFIG.model_copy(update=changes)
    )
    assert (found.action, len(found.reasons), said in found.reasons[0]) == ("no", 1, True), found.reasons


@pytest.mark.parametrize(
    ("ledger", "hours", "labels"),
    [
        (tried(helped=True), 24, 100),  # the cooldown is over, and it is another day
        (tried(helped=False), 24, 100),  # the same cause again: new labels may help
        (tried(cause="prediction drift"), 24, 100),  # another cause than the one being judged
        (tried(deployed=False), 24, 100),  # nothing was heard of it for too long
    ],
)
def test_and_its_clean_twin_does_not(ledger, hours, labels):
    assert ledger.decide(hours, DRIFT, labels=LabelNews(since_training=labels)).action == "retrain"


def test_a_cause_that_cleared_by_itself_may_ask_again_though_the_training_was_not_judged():
    ledger = tried()
    ledger.add(20, "alarm cleared", cause="value drift")
    assert ledger.decide(30, DRIFT).action == "retrain"


def test_the_day_is_that_of_utc():
    ledger, config = tried(hours=23.5, helped=True), CONFIG.model_copy(update={"cooldown_hours": 0})
    assert ledger.decide(23.9, DRIFT, config=config).action == "no"
    assert ledger.decide(24.0, DRIFT, config=config).action == "retrain"
