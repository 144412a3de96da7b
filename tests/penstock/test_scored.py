"""Which release scores a file."""

from __future__ import annotations

import pytest

from penstock import ledger
from penstock.errors import DataError
from penstock.ledger import Event
from penstock.refs import FileRef
from penstock.scored import Request, release_for

RECORD = FileRef(name="record.json", sha256="0" * 64, size=1)


def events(*told: tuple[str, str]) -> list[Event]:
    return [
        Event(
            sequence=number, time="2026-01-01T00:00:00+00:00", kind=kind, project="p", version=version,
            identity=version, by="me@here", reason=f"was {kind}", record=RECORD, facts={},
        )
        for number, (kind, version) in enumerate(told, 1)
    ]  # fmt: skip


MADE = (("registered", "p-v1"), ("registered", "p-v2"))


def request(**facts) -> Request:
    return Request(source="in.csv", output="out.csv", **facts)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ((), "p-v2"),
        ((("promoted", "p-v1"),), "p-v1"),
        ((("promoted", "p-v1"), ("promoted", "p-v2"), ("rolled back", "p-v1"), ("quarantined", "p-v2")), "p-v1"),
        ((("quarantined", "p-v2"),), "p-v1"),
        ((("quarantined", "p-v2"), ("cleared", "p-v2")), "p-v2"),
    ],
)
def test_what_serves_scores_or_else_the_newest_that_may(more, expected):
    assert release_for(events(*MADE, *more), "p", request()) == expected


def test_a_release_in_quarantine_scores_only_if_it_is_meant():
    barred = events(*MADE, ("quarantined", "p-v1"))
    with pytest.raises(DataError) as error:
        release_for(barred, "p", request(version="p-v1"))
    assert (error.value.found, error.value.allowed) == ("was quarantined", "p-v2")
    assert release_for(barred, "p", request(version="p-v1", quarantined=True)) == "p-v1"


@pytest.mark.parametrize("asked", ["", "p-v9"])
def test_no_release_is_an_error_that_names_those_there_are(asked):
    with pytest.raises(DataError, match="has no release" if not asked else "no release `p-v9`"):
        release_for(events(*(MADE if asked else ())), "p", request(version=asked))


def test_a_scored_file_takes_nobody_s_word_away():
    told = events(*MADE, ("waiting", "p-v2"), ("scored", "p-v1"))
    assert ledger.waiting(told) == "p-v2"
    assert ledger.serving(told) is None
