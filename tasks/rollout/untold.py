"""Tells the ledger of changes that `desired.json` says it may not know of yet, each once, and takes the notes out.

Who changes the routes writes the notes with the change and calls this next. If it was killed in between, whoever
settles the project does it in its place.
"""

from __future__ import annotations

from penstock import ledger
from penstock.desired import Note, without_untold
from penstock.ledger import Event
from tasks.registry import ledger_store
from tasks.serving import serving


def tell_untold(project: str) -> list[Event]:
    """The events that the ledger did not have. May be called by several processes at once."""
    notes = serving.read().untold.get(project, ())
    if not notes:
        return []
    found = [_told(project, note) for note in notes]
    serving.change(lambda desired: without_untold(desired, project, notes))
    return [event for event in found if event is not None]


def _told(project: str, note: Note) -> Event | None:
    def make(events: list[Event]) -> dict[str, object] | None:
        made = ledger.find(events, note.version)
        if made is None or any(_is(event, note) for event in events):
            return None
        return {
            "kind": note.kind,
            "version": note.version,
            "identity": made.identity,
            "record": made.record,
            "reason": note.reason,
            "facts": {**note.facts, "change": note.change},
        }

    return ledger_store.append(project, make)


def _is(event: Event, note: Note) -> bool:
    return (event.facts.get("change"), event.kind, event.version) == (note.change, note.kind, note.version)
