"""Folds over the ledger."""

from __future__ import annotations

import pytest

from penstock import ledger
from penstock.errors import StorageError
from penstock.ledger import Event
from penstock.refs import FileRef

RECORD = FileRef(name="record.json", sha256="0" * 64, size=1)


def event(
    sequence: int, kind: str, version: str = "", identity: str = "", champion: str = "", environment: str = ""
) -> Event:
    return Event(
        sequence=sequence,
        time="2026-01-01T00:00:00+00:00",
        kind=kind,
        project="p",
        version=version,
        identity=identity or f"i{sequence}",
        by="me@here",
        reason="",
        record=RECORD,
        facts={"champion": champion},
        environment=environment,
    )


HISTORY = [
    event(1, "rejected", identity="a"),
    event(2, "registered", "p-v1", "b"),
    event(3, "rejected", identity="a", champion="p-v1"),
    event(4, "registered", "p-v2", "c"),
    event(5, "registered", "p-v1", "b"),  # its files were made again
]


def test_versions_count_releases_and_nothing_else():
    assert ledger.next_version([], "p") == "p-v1"
    assert ledger.next_version(HISTORY, "p") == "p-v3"


def test_the_champion_is_the_newest_release_not_the_newest_event():
    assert ledger.champion(HISTORY, "new").version == "p-v2"
    assert ledger.champion([], "new") is None
    assert ledger.champion(HISTORY[:1], "new") is None


def test_a_release_made_again_is_compared_with_what_it_was_compared_with():
    events = [*HISTORY, event(6, "registered", "p-v3", "d", champion="p-v1")]
    assert ledger.champion(events, "d").version == "p-v1"
    assert ledger.champion(events, "b") is None


def test_the_newest_word_on_a_version_counts():
    assert ledger.find(HISTORY, "p-v1").sequence == 5
    assert ledger.find(HISTORY, "p-v9") is None
    assert ledger.with_identity(HISTORY, "b").sequence == 5
    assert ledger.with_identity(HISTORY, "a") is None


def test_a_rejection_counts_only_beside_the_same_champion():
    assert ledger.rejected_against(HISTORY, "a", "p-v1").sequence == 3
    assert ledger.rejected_against(HISTORY, "a", "").sequence == 1
    assert ledger.rejected_against(HISTORY, "a", "p-v2") is None


@pytest.mark.parametrize("numbers", [[2], [1, 3], [1, 1]])
def test_a_gap_or_a_double_is_an_error(numbers):
    events = [event(number, "rejected") for number in numbers]
    with pytest.raises(StorageError, match="gap"):
        ledger.require_unbroken(events, "ledger/p")


def test_an_unbroken_ledger_is_none():
    ledger.require_unbroken(HISTORY, "ledger/p")


def test_what_happens_beside_a_rollout_ends_no_waiting():
    events = [event(1, "registered", "p-v1"), event(2, "waiting", "p-v1")]
    for kind in ("alarm", "retrain not asked", "containerized", "scored", "drilled", "reproduced", "rejected"):
        assert ledger.waiting([*events, event(3, kind, "p-v1")]) == "p-v1", kind
    for kind in ("approved", "refused", "stopped"):
        assert ledger.waiting([*events, event(3, kind, "p-v1")]) == "", kind


def test_a_release_that_was_forced_is_one_until_what_ended_is_left_out():
    events = [
        event(1, "registered", "p-v1", "a"),
        event(2, "rejected", identity="b", champion="p-v1"),
        event(3, "forced", "p-v2", "b", champion="p-v1"),
        event(4, "healthy", "p-v1", "a"),
        event(5, "healthy", "p-v2", "b"),
    ]
    assert ledger.next_version(events, "p") == "p-v3"
    assert ledger.find(events, "p-v2").sequence == ledger.with_identity(events, "b").sequence == 3
    assert ledger.champion(events, "b").version == "p-v1"  # never itself: it would pass beside that
    assert ledger.champion(events, "c").version == "p-v2"
    assert ledger.last_healthy(events) == "p-v2"
    assert ledger.last_healthy(events, ended={"p-v2"}) == "p-v1"


def test_releases_are_of_every_environment_and_what_serves_is_of_one():
    events = [
        event(1, "registered", "p-v1", "a", environment="staging"),
        event(2, "promoted", "p-v1", environment="staging"),
        event(3, "healthy", "p-v1", environment="staging"),
        event(4, "registered", "p-v2", "b"),
        event(5, "quarantined", "p-v2", environment="staging"),
        event(6, "promoted", "p-v2", environment="production"),
    ]
    staging, production, here = (ledger.seen_in(events, name) for name in ("staging", "production", ""))
    assert [one.version for one in ledger.releases(production)] == ["p-v1", "p-v2"]
    assert ledger.next_version(here, "p") == "p-v3"
    assert ledger.serving(staging).version == "p-v1"
    assert ledger.serving(production).version == "p-v2"
    assert ledger.serving(here) is None
    assert ledger.quarantined(staging) and not ledger.quarantined(production)
    assert ledger.last_healthy(staging) == "p-v1" and ledger.last_healthy(production) == ""
    assert ledger.environments(events) == ["production", "staging"]
    assert [one.environment for one in ledger.tenures(staging)] == ["staging"]


def test_an_event_from_before_there_were_environments_is_developments():
    written = event(1, "promoted", "p-v1").model_dump(exclude={"environment"})
    old = Event.model_validate(written)
    assert ledger.serving(ledger.seen_in([old], "")) == old
    assert ledger.seen_in([old], "production") == []
