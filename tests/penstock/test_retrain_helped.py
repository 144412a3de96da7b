"""Whether a training helped, and when those that do not help stop."""

from __future__ import annotations

from datetime import timedelta

import pytest

from penstock.alarms import Alarm
from penstock.retrain import LabelNews, cleared, to_tell
from penstock.retrain_history import fold
from tests.asked import ANSWERS, CONFIG, DRIFT, START, Ledger, tried


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
