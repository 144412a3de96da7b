"""The ledger: what happened to a project's candidates and releases, in order. Everything else is a fold over it.

Events are appended and never changed. These functions are pure; `tasks/ledger_store.py` reads and writes the files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from penstock.errors import StorageError
from penstock.refs import FileRef, Value

Kind = Literal["registered", "rejected"]


class Event(Value):
    """One thing that happened. ``record`` is the candidate (JSON); ``reason`` is one line."""

    sequence: int
    time: str  # ISO 8601, UTC
    kind: Kind
    project: str
    version: str  # "flights-v3"; "" for a candidate that was rejected
    identity: str
    by: str
    reason: str
    record: FileRef
    facts: dict[str, str]


def next_version(events: Sequence[Event], project: str) -> str:
    """The version of the release after those there are: versions are counted, never reused."""
    return f"{project}-v{1 + len(releases(events))}"


def releases(events: Sequence[Event]) -> list[Event]:
    """The events that made a version, oldest first. A version that was made again after damage counts once."""
    first: dict[str, Event] = {}
    for event in events:
        if event.kind == "registered":
            first.setdefault(event.version, event)
    return list(first.values())


def find(events: Sequence[Event], version: str) -> Event | None:
    """The newest word on ``version``: its files are the ones that are there."""
    return next((event for event in reversed(events) if event.kind == "registered" and event.version == version), None)


def newest(events: Sequence[Event]) -> Event | None:
    """The newest release."""
    made = releases(events)
    return find(events, made[-1].version) if made else None


def champion(events: Sequence[Event], identity: str) -> Event | None:
    """What a candidate of ``identity`` is compared with: the newest release, until one is deployed.

    A release whose files have to be made again is judged as it was judged: beside its own champion, not beside itself.
    """
    first = next((event for event in releases(events) if event.identity == identity), None)
    if first is None:
        return newest(events)
    return find(events, first.facts.get("champion", ""))


def with_identity(events: Sequence[Event], identity: str) -> Event | None:
    """The newest word on the release of this identity, if there is one."""
    return next(
        (event for event in reversed(events) if event.kind == "registered" and event.identity == identity), None
    )


def rejected_against(events: Sequence[Event], identity: str, champion: str) -> Event | None:
    """The rejection of this identity beside this champion: judged once, a candidate is not judged again."""
    for event in reversed(events):
        if event.kind == "rejected" and event.identity == identity and event.facts.get("champion", "") == champion:
            return event
    return None


def require_unbroken(events: Sequence[Event], where: str) -> None:
    """Raise StorageError if an event is missing or stands twice."""
    for expected, event in enumerate(events, 1):
        if event.sequence != expected:
            raise StorageError(
                "The ledger has a gap: an event's file is missing.",
                where=where,
                found=f"number {event.sequence} where {expected} should be",
                next_step="put the file back from a backup; the ledger is not used while it is incomplete",
            )
