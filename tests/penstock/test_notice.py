from __future__ import annotations

from typing import get_args

import pytest

from penstock import alert_config
from penstock.ledger import Event, Kind
from penstock.notice import CAUSES, EVENTS, notice
from penstock.refs import FileRef
from penstock.retrain_config import Cause


def event(kind: str, version: str = "flights-v3", **facts: str) -> Event:
    record = FileRef(name="record.json", sha256="0" * 64, size=1)
    return Event(
        sequence=7, time="2026-03-01T04:05:06.000+00:00", kind=kind, project="flights", version=version,
        identity="1" * 64, by="ana@box", reason="why", record=record, facts=facts,
    )  # fmt: skip


def test_every_kind_of_event_has_a_name_of_its_own_and_every_cause_an_alert():
    assert set(EVENTS) == set(get_args(Kind))
    assert len(set(EVENTS.values())) == len(EVENTS)
    assert set(CAUSES) == set(get_args(Cause))


@pytest.mark.parametrize(
    ("told", "alert", "headline", "first"),
    [
        (event("rejected", ""), "gate", "a candidate was rejected by its gates", "penstock report flights"),
        (
            event("forced", by="ana", until="2026-11-24"),
            "gate",
            "flights-v3 was blessed by force, by ana until 2026-11-24",
            "penstock explain-gate flights flights-v3",
        ),
        (
            event("expired"),
            "gate",
            "the forced blessing of flights-v3 is over, and it still serves",
            "penstock train flights",
        ),
        (
            event("failed", serving="flights-v2"),
            "rollout",
            "the rollout of flights-v3 failed; flights-v2 serves",
            "penstock history flights",
        ),
        (
            event("failed", serving=""),
            "rollout",
            "the rollout of flights-v3 failed; nothing serves",
            "penstock history flights",
        ),
        (
            event("held", serving="flights-v2"),
            "rollout",
            "the rollout of flights-v3 was held, for want of evidence; flights-v2 serves",
            "penstock deploy flights flights-v3",
        ),
        (
            event("rolled back", bad="flights-v4"),
            "rollout",
            "rolled back to flights-v3 by ana@box",
            "penstock history flights",
        ),
        (
            event("waiting"),
            "approval",
            "flights-v3 waits for a person's word",
            'penstock approve flights flights-v3 --reason "..."',
        ),
        (
            event("alarm", cause="value drift"),
            "drift",
            "value drift, while flights-v3 serves",
            "penstock status flights",
        ),
        (
            event("alarm cleared", cause="prediction drift"),
            "drift",
            "prediction drift is over",
            "penstock status flights",
        ),
        (
            event("alarm", cause="schema skew"),
            "schema",
            "schema skew, while flights-v3 serves",
            "penstock status flights",
        ),
        (
            event("alarm", cause="performance drop"),
            "performance",
            "performance drop, while flights-v3 serves",
            'penstock rollback flights --reason "performance drop"',
        ),
        (
            event("retraining stopped"),
            "retraining",
            "retraining is stopped until a person resumes it",
            'penstock resume flights --reason "..."',
        ),
        (event("retraining resumed"), "retraining", "retraining was resumed by ana@box", "penstock status flights"),
    ],
)
def test_what_deserves_a_person_says_what_and_what_next(told, alert, headline, first):
    found = notice(told)
    assert (found.alert, found.headline, found.next[0]) == (alert, f"flights: {headline}", first)
    assert found.next[-1] == "penstock status flights"


@pytest.mark.parametrize("kind", ["registered", "staged", "shadow", "canary", "promoted", "healthy", "retrain asked"])
def test_what_goes_well_calls_nobody(kind):
    assert notice(event(kind)).alert == ""


def test_a_rollback_that_a_failed_rollout_brought_is_not_told_of_twice():
    assert notice(event("rolled back", verdict="failed")).alert == ""


def test_all_is_every_alert_and_a_list_comes_in_their_order():
    assert alert_config.wanted(("all",)) == alert_config.ALERTS
    assert alert_config.wanted(("crash", "gate")) == ("gate", "crash")
