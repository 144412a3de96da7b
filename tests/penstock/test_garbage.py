from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from penstock.desired import Desired, Server
from penstock.errors import ConfigError
from penstock.garbage import Account, Collection, Kept, protected, seconds_of, superseded
from penstock.ledger import Event
from penstock.refs import FileRef, Package
from penstock.release_config import LogConfig

START = datetime(2025, 1, 1, tzinfo=UTC)
FILE = FileRef(name="f", sha256="0" * 64, size=1)


def sha256_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def history(*said: tuple[str, str]) -> list[Event]:
    """Events a day apart. A candidate's record is named by its version, a rejection's by its number."""
    return [
        Event(
            sequence=number, time=(START + timedelta(days=number)).isoformat(), kind=kind, project="tiny",
            version=version, identity=version or f"i{number}", by="me", reason="", facts={},
            record=FileRef(name="record.json", sha256=sha256_of(version or f"r{number}"), size=1),
        )
        for number, (kind, version) in enumerate(said, 1)
    ]  # fmt: skip


@pytest.mark.parametrize(("text", "seconds"), [("30d", 2_592_000), ("12h", 43_200), ("1.5w", 907_200)])
def test_an_age_is_read(text, seconds):
    assert seconds_of(text, "--older-than") == seconds


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "30 days", "1m"])
def test_what_is_no_age_is_refused(text):
    with pytest.raises(ConfigError, match="no age"):
        seconds_of(text, "--older-than")


def test_what_serves_what_a_rollback_leads_to_and_what_runs_are_protected():
    events = history(
        ("registered", "v1"), ("promoted", "v1"), ("healthy", "v1"), ("registered", "v2"), ("promoted", "v2"),
        ("registered", "v3"), ("quarantined", "v3"), ("registered", "v4"), ("staged", "v4"), ("waiting", "v4"),
        ("registered", "v5"), ("registered", "v6"),
    )  # fmt: skip
    package = Package(bento=FILE, tag="t", digest="1", schema_spec=FILE)
    server = Server(
        version="v5", project="tiny", package=package, max_body_bytes=1, log=LogConfig(), workers=1, memory_mb=1
    )
    found = protected(events, Desired(servers={"v5": server}), keep=1)
    assert set(found) == {"v1", "v2", "v4", "v5", "v6"}
    assert found["v2"] == "it serves"
    assert found["v1"] == "a rollback leads to it"
    old = superseded(events, Desired(), keep=1, before=(START + timedelta(days=99)).timestamp())
    assert [event.version for event in old] == ["v3", "v5"]


def test_what_serves_in_any_environment_is_protected():
    events = history(
        ("registered", "v1"), ("registered", "v2"), ("registered", "v3"), ("healthy", "v1"), ("promoted", "v2"),
        ("promoted", "v1"), ("registered", "v4"),
    )  # fmt: skip
    places = dict(zip((4, 5, 6), ("production", "production", "staging"), strict=True))
    events = [event.model_copy(update={"environment": places.get(event.sequence, "")}) for event in events]
    assert set(protected(events, Desired(), keep=1)) == {"v1", "v2", "v4"}


def test_young_candidates_the_newest_rejections_and_shared_records_are_not_superseded():
    events = history(("rejected", ""), ("registered", "v1"), ("rejected", ""), ("rejected", ""), ("registered", "v2"))
    late = (START + timedelta(days=99)).timestamp()
    assert [event.sequence for event in superseded(events, Desired(), 1, late)] == [1, 2, 3]
    assert [
        event.sequence for event in superseded(events, Desired(), 1, (START + timedelta(days=2.5)).timestamp())
    ] == [1, 2]
    same = [events[0], events[1], events[4].model_copy(update={"record": events[0].record})]
    assert [event.sequence for event in superseded(same, Desired(), 1, late)] == [2]


def test_the_account_says_what_goes_what_stays_and_why():
    kept = Kept(why="a record names it", count=3, size=4_000_000)
    found = Collection(freed=False, accounts=(Account(name="store", count=1, size=1500, kept=(kept,)),))
    assert str(found).splitlines() == [
        "  store        1     1.5 kB",
        "         kept 3, 4.0 MB: a record names it",
        "",
        "would be freed: 1 thing, 1.5 kB",
        "next:  penstock gc --yes frees them",
    ]
    assert "next" not in str(found.model_copy(update={"freed": True}))
