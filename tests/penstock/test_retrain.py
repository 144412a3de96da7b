"""Retraining is asked for when it may help, and by nothing more often than its limits allow."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from penstock.alarms import Alarm
from penstock.ledger import Event
from penstock.refs import FileRef
from penstock.retrain import LabelNews, cleared, decide, to_tell
from penstock.retrain_config import RetrainConfig
from penstock.retrain_history import History, after, fold

CONFIG = RetrainConfig(enabled=True, cooldown_hours=24, daily_budget=1, min_new_labels=100, max_without_help=2)
START = datetime(2024, 1, 1, tzinfo=UTC)
DRIFT = Alarm(cause="value drift", reason="temp moved")
ANSWERS = Alarm(cause="prediction drift", reason="the mean rose")
DROP = Alarm(cause="performance drop", reason="auc fell")
SKEW = Alarm(cause="schema skew", reason="temp is text")
ENOUGH = LabelNews(since_training=100)
RECORD = FileRef(name="record.json", sha256="0" * 64, size=1)


class Ledger:
    """Events in memory, at hours since START."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.history = History()

    def add(self, hours: float, kind: str, version: str = "m-v1", reason: str = "", **facts: str) -> Event:
        time = (START + timedelta(hours=hours)).isoformat(timespec="milliseconds")
        event = Event(
            sequence=len(self.events) + 1, time=time, kind=kind, project="m", version=version, identity="i", by="b",
            reason=reason, record=RECORD, facts=facts,
        )  # fmt: skip
        self.events.append(event)
        self.history = after(self.history, event)
        return event

    def decide(self, hours: float, *alarms: Alarm, labels: LabelNews = ENOUGH, config: RetrainConfig = CONFIG):
        return decide(self.history, START + timedelta(hours=hours), alarms, labels, config)


def tried(hours: float = 0, helped: bool | None = None, cause: str = "value drift", deployed: bool = True) -> Ledger:
    """A training asked for at ``hours``, deployed an hour later, judged two hours later."""
    ledger = Ledger()
    asked = ledger.add(hours, "retrain asked", causes=cause)
    if deployed:
        ledger.add(hours + 1, "promoted", "m-v2")
    if helped is not None:
        ledger.add(hours + 2, "retrain helped" if helped else "retrain did not help", asked=str(asked.sequence))
    return ledger


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


def test_trainings_that_do_not_help_stop_after_the_configured_number():
    ledger = tried(helped=False)
    assert ledger.add(48, "retrain asked", causes="value drift").sequence == 4
    ledger.add(51, "retrain did not help", asked="4")
    assert fold(ledger.events) == ledger.history
    found = ledger.decide(80, DRIFT)
    assert (found.action, found.page, found.facts["without_help"]) == ("stop", True, "2")


def test_one_that_helped_in_between_starts_the_count_anew():
    ledger = tried(helped=False)
    asked = ledger.add(48, "retrain asked", causes="value drift")
    ledger.add(50, "retrain helped", asked=str(asked.sequence))
    asked = ledger.add(96, "retrain asked", causes="value drift")
    ledger.add(98, "retrain did not help", asked=str(asked.sequence))
    assert ledger.decide(130, DRIFT).action == "retrain"


def test_one_whose_process_was_killed_counts_as_one_that_did_not_help():
    ledger = tried(deployed=False)
    ledger.add(30, "retrain asked", causes="value drift")
    assert ledger.decide(60, DRIFT).action == "stop"
    ledger.add(61, "retraining stopped", causes="value drift")
    ledger.add(62, "retraining resumed")
    assert ledger.decide(63, DRIFT).action == "retrain"


def test_one_whose_release_was_quarantined_did_not_help():
    ledger = tried()
    ledger.add(5, "quarantined", "m-v2")
    assert (ledger.history.without_help, ledger.history.attempts[0].helped) == (1, False)
    ledger.add(6, "retrain did not help", asked="1")
    assert ledger.history.without_help == 1


@pytest.mark.parametrize(
    "ended",
    [
        [("rejected", "")],
        [("registered", "m-v2"), ("failed", "m-v2"), ("quarantined", "m-v2")],
        [("registered", "m-v2"), ("held", "m-v2")],
        [("registered", "m-v2"), ("waiting", "m-v2"), ("refused", "m-v2")],
        [
            ("registered", "m-v2"),
            ("promoted", "m-v2"),
            ("failed", "m-v2"),
            ("rolled back", "m-v1"),
            ("quarantined", "m-v2"),
        ],
    ],
)
def test_one_that_ended_without_a_release_that_serves_did_not_help_at_once(ended):
    ledger = tried(deployed=False)
    for kind, version in ended:
        ledger.add(1, kind, version)
    assert (ledger.history.without_help, ledger.history.attempts[0].helped) == (1, False)
    assert ledger.decide(24, DRIFT).action == "retrain"  # and the next need not wait for `give_up_hours`
    asked = ledger.add(24, "retrain asked", causes="value drift")
    ledger.add(25, "rejected", "")
    assert (ledger.history.without_help, ledger.decide(50, DRIFT).page) == (2, True)
    assert fold(ledger.events) == ledger.history and asked.sequence == ledger.history.attempts[1].asked


@pytest.mark.parametrize(
    "others",
    [
        [("registered", "m-v2"), ("failed", "m-v1")],  # another release failed
        [("registered", "m-v2"), ("promoted", "m-v1")],  # an older one was brought back by a person
        [("registered", "m-v2"), ("rejected", "")],  # another candidate, after it had made its own
        [("staged", "m-v1"), ("held", "m-v1")],
    ],
)
def test_what_happens_to_others_says_nothing_of_it(others):
    ledger = tried(deployed=False)
    for kind, version in others:
        ledger.add(1, kind, version)
    assert ledger.history.attempts[0].waits and ledger.history.without_help == 0
    ledger.add(2, "promoted", "m-v2")
    assert ledger.history.attempts[0].version == "m-v2"


def outcome(ledger: Ledger, hours: float, *alarms: Alarm, measured=("value drift",)):
    return cleared(ledger.history.attempts[-1], alarms, measured, START + timedelta(hours=hours), CONFIG)


def test_whether_it_helped():
    assert outcome(tried(), 5).helped is True
    assert outcome(tried(), 5, DRIFT).helped is False
    assert outcome(tried(), 5, ANSWERS).helped is True  # another alarm is another matter
    assert outcome(tried(), 5, measured=()).helped is None  # silence is no proof
    assert outcome(tried(deployed=False), 5).helped is None
    assert outcome(tried(deployed=False), 25).helped is False
    assert outcome(tried(helped=False), 5).helped is False


def test_being_held_back_is_told_once():
    ledger = Ledger()
    held = ledger.decide(0, DRIFT, labels=LabelNews(since_training=0))
    kind, reason, facts = to_tell(ledger.history, held)
    assert (kind, facts["causes"]) == ("retrain not asked", "value drift")
    ledger.add(0, kind, reason=reason, **facts)
    assert to_tell(ledger.history, ledger.decide(1, DRIFT, labels=LabelNews(since_training=0))) is None
    assert to_tell(ledger.history, ledger.decide(1, ANSWERS, labels=LabelNews(since_training=0))) is not None
    assert to_tell(ledger.history, ledger.decide(1)) is None
    ledger.add(2, "alarm cleared", cause="value drift")
    assert to_tell(ledger.history, held) is not None


def test_alarms_that_are_raised_are_known_since_they_were():
    ledger = Ledger()
    ledger.add(0, "alarm", cause="value drift")
    ledger.add(5, "alarm", cause="value drift")
    ledger.add(6, "registered", "m-v3")
    assert ledger.history.alarms == {"value drift": START}
    ledger.add(7, "alarm cleared", cause="value drift")
    assert ledger.history.alarms == {}


@pytest.mark.parametrize(
    ("cooldown", "budget", "helps"), list(itertools.product([0, 5, 36], [1, 3], ["always", "never", "sometimes"]))
)
def test_a_flapping_alarm_never_trains_more_than_it_may(cooldown, budget, helps):
    """1,000 hours; alarms come and go by the hour, trainings end as they like, and a person resumes what stopped."""
    config = CONFIG.model_copy(update={"cooldown_hours": cooldown, "daily_budget": budget, "max_without_help": 3})
    draws, ledger = np.random.default_rng(cooldown * 10 + budget), Ledger()
    raised: set[str] = set()
    most_in_a_row = in_a_row = stops = 0
    for hour in range(1000):
        for alarm in (DRIFT, ANSWERS, DROP):
            if draws.random() < 0.3:
                ledger.add(hour, "alarm cleared" if alarm.cause in raised else "alarm", cause=alarm.cause)
                raised ^= {alarm.cause}
        if ledger.history.stop and draws.random() < 0.1:
            ledger.add(hour, "retraining resumed")
            in_a_row = 0
        alarms = [alarm for alarm in (DRIFT, ANSWERS, DROP) if alarm.cause in raised]
        for attempt in ledger.history.attempts:
            if attempt.helped is None and draws.random() < 0.4:
                helped = helps == "always" or (helps == "sometimes" and draws.random() < 0.5)
                in_a_row = 0 if helped else in_a_row + 1
                kind = "retrain helped" if helped else "retrain did not help"
                ledger.add(hour, kind, asked=str(attempt.asked))
        found = ledger.decide(hour, *alarms, config=config)
        told = to_tell(ledger.history, found)
        if told:
            if found.action == "retrain":
                most_in_a_row = max(most_in_a_row, in_a_row + 1)
                assert not ledger.history.stop
            stops += found.action == "stop"
            ledger.add(hour, told[0], reason=told[1], **told[2])
    asked = [datetime.fromisoformat(event.time) for event in ledger.events if event.kind == "retrain asked"]
    assert len(asked) > 10 or helps == "never"
    gaps = [(later - first) / timedelta(hours=1) for first, later in itertools.pairwise(asked)]
    assert min(gaps, default=99) >= cooldown
    assert max(sum(one.date() == day for one in asked) for day in {one.date() for one in asked}) <= budget
    assert most_in_a_row <= config.max_without_help
    assert (stops > 0) == (helps != "always") or helps == "sometimes"


def test_an_alarm_that_nothing_quiets_trains_the_configured_number_of_times_and_never_again():
    ledger, asked, stopped = Ledger(), 0, 0
    for hour in range(1000):
        found = ledger.decide(hour, DROP)
        told = to_tell(ledger.history, found)
        if told:
            event = ledger.add(hour, told[0], reason=told[1], **told[2])
            if found.action == "retrain":
                asked += 1
                ledger.add(hour, "promoted", f"m-v{hour}")
                ledger.add(hour, "retrain did not help", asked=str(event.sequence))
            stopped += found.page
    assert (asked, stopped) == (CONFIG.max_without_help, 1)


ENDS = ("rejected", "no release", "failed", "held", "killed", "in vain", "helps")


@pytest.mark.parametrize("seed", range(6))
def test_over_months_however_trainings_end_and_inputs_flap(seed):
    """A monitor run every hour for 100 days. Every training takes hours, and ends in one of all the ways there are."""
    draws = np.random.default_rng(seed)
    config = RetrainConfig(
        enabled=True, cooldown_hours=float(draws.choice([0, 3, 30])), daily_budget=int(draws.integers(1, 4)),
        min_new_labels=0, max_without_help=int(draws.integers(1, 4)), give_up_hours=12,
    )  # fmt: skip
    ledger, raised, pending, version = Ledger(), False, [], 1
    pages = []
    for hour in range(2400):
        due = [one for one in pending if one[0] <= hour]
        pending = [one for one in pending if one[0] > hour]
        for _, end, asked in due:
            if end == "rejected":
                ledger.add(hour, "rejected", "")
            elif end == "no release":
                ledger.add(hour, "retrain did not help", asked=str(asked))
            elif end != "killed":
                version += 1
                ledger.add(hour, "registered", f"m-v{version}")
                ledger.add(hour, end if end in ("failed", "held") else "promoted", f"m-v{version}")
            if end == "helps":
                raised = False
        flaps = draws.random() < 0.2
        raised = raised ^ flaps
        known = "value drift" in ledger.history.alarms
        if raised != known:
            ledger.add(hour, "alarm" if raised else "alarm cleared", cause="value drift")
        alarms, now = [DRIFT] if raised else [], START + timedelta(hours=hour)
        for attempt in ledger.history.attempts:
            found = cleared(attempt, alarms, ["value drift"], now, config)
            if attempt.helped is None and found.helped is not None:
                kind = "retrain helped" if found.helped else "retrain did not help"
                ledger.add(hour, kind, asked=str(attempt.asked))
        if ledger.history.stop and draws.random() < 0.02:
            ledger.add(hour, "retraining resumed")
        decision = ledger.decide(hour, *alarms, labels=LabelNews(since_training=5), config=config)
        told = to_tell(ledger.history, decision)
        if told is not None:
            event = ledger.add(hour, told[0], reason=told[1], **told[2])
            if decision.action == "retrain":
                pending.append((hour + int(draws.integers(1, 9)), str(draws.choice(ENDS)), event.sequence))
            if decision.page:
                pages.append(hour)
    assert fold(ledger.events) == ledger.history
    hold_to(config, ledger.events)
    assert len(pages) > 1


def hold_to(config: RetrainConfig, events: list[Event]) -> None:
    """What must be true of any ledger: cooldown, budget, no training while stopped, never more in vain than allowed."""
    asked = [datetime.fromisoformat(event.time) for event in events if event.kind == "retrain asked"]
    assert len(asked) > 5
    gaps = [(later - first) / timedelta(hours=1) for first, later in itertools.pairwise(asked)]
    assert min(gaps) >= config.cooldown_hours
    assert max(sum(one.date() == day for one in asked) for day in {one.date() for one in asked}) <= config.daily_budget
    in_vain, stopped, open_ = 0, False, False
    for event in events:
        if event.kind == "retrain asked":
            assert not stopped and not open_ and in_vain < config.max_without_help
            open_ = True
        if event.kind in ("rejected", "failed", "held", "retrain did not help") and open_:
            in_vain, open_ = in_vain + 1, False
        if event.kind == "retrain helped":
            in_vain, open_ = 0, False
        if event.kind == "retraining stopped":
            assert not stopped and in_vain >= config.max_without_help
            stopped = True
        if event.kind == "retraining resumed":
            in_vain, stopped = 0, False
