"""What a deploy is to do, decided before anything is touched."""

from __future__ import annotations

from datetime import date

import pytest

from penstock.candidate import Forced
from penstock.desired import Route
from penstock.errors import RolloutError
from penstock.ledger import Event
from penstock.refs import FileRef
from penstock.rollout import Deployment, plan

RECORD = FileRef(name="record.json", sha256="0" * 64, size=1)


def events(*told: str) -> list[Event]:
    """Of "kind version" each."""
    found = []
    for sequence, (kind, version) in enumerate((each.rsplit(" ", 1) for each in told), 1):
        found.append(
            Event(
                sequence=sequence,
                time="2026-01-01T00:00:00+00:00",
                kind=kind,
                project="p",
                version=version,
                identity=version,
                by="me@here",
                reason="why",
                record=RECORD,
                facts={},
            )
        )
    return found


V1 = ("registered p-v1", "promoted p-v1", "healthy p-v1")


def test_the_first_has_no_champion():
    found = plan("p", events("registered p-v1"), None, "p-v1", "r", {})
    assert (found.champion, found.serves, found.baked) == ("", False, False)


def test_a_new_one_goes_against_who_serves():
    found = plan("p", events(*V1, "registered p-v2"), Route(champion="p-v1"), "p-v2", "r", {})
    assert (found.champion, found.serves, found.baked, found.id) == ("p-v1", False, False, "r")


def test_what_serves_and_was_found_healthy_has_nothing_left_to_do():
    found = plan("p", events(*V1), Route(champion="p-v1"), "p-v1", "r", {})
    assert (found.serves, found.baked) == (True, True)


def test_a_bake_that_broke_off_is_taken_up_with_a_way_back():
    told = events(*V1, "registered p-v2", "promoted p-v2")
    found = plan("p", told, Route(champion="p-v2", fallback="p-v1"), "p-v2", "r", {})
    assert (found.champion, found.serves, found.baked) == ("p-v1", True, False)


def test_quarantine_holds_until_it_is_forced():
    told = events(*V1, "registered p-v2", "quarantined p-v2")
    with pytest.raises(RolloutError) as caught:
        plan("p", told, Route(champion="p-v1"), "p-v2", "r", {})
    assert "--force --reason" in caught.value.next_step
    assert plan("p", told, Route(champion="p-v1"), "p-v2", "r", {}, force=True).champion == "p-v1"


@pytest.mark.parametrize(("result", "said"), [("failed", "quarantine"), ("held", "not enough evidence")])
def test_an_end_without_success_is_an_error_with_its_reasons(result, said):
    ended = Deployment(project="p", version="p-v2", result=result, serving="p-v1", reasons=("30 % errors",))
    error = ended.error()
    assert said in error.what
    assert error.found == "30 % errors"
    assert "p-v1 serves" in error.allowed
    assert error.deployment is ended


def test_a_forced_release_whose_time_is_over_is_refused_also_where_it_serves_and_is_no_way_back():
    told = events(*V1, "forced p-v2", "promoted p-v2", "healthy p-v2", "registered p-v3", "promoted p-v3")
    over = {"p-v2": Forced(by="Ana", reason="the holiday", until=date(2026, 11, 24), failed="auc")}
    for route in (Route(champion="p-v1"), Route(champion="p-v2")):
        for force in (False, True):
            with pytest.raises(RolloutError, match="ended with 2026-11-24") as found:
                plan("p", told, route, "p-v2", "r", over, force)
            assert "penstock bless p p-v2" in found.value.next_step
    serves = Route(champion="p-v3", fallback="p-v2")
    assert plan("p", told, serves, "p-v3", "r", {}).champion == "p-v2"
    assert plan("p", told, serves, "p-v3", "r", over).champion == "p-v1"
