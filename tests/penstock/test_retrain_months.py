"""Over months of alarms: no training more often than the limits allow, however they end."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta

import numpy as np
import pytest

from penstock.ledger import Event
from penstock.retrain import LabelNews, cleared, to_tell
from penstock.retrain_config import RetrainConfig
from penstock.retrain_history import fold
from tests.asked import ANSWERS, CONFIG, DRIFT, DROP, START, Ledger


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
