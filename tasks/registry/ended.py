"""Forced blessings whose time is over: which they are now, and the ledger's word on one that still serves, once."""

from __future__ import annotations

from penstock import forcing, ledger
from penstock.candidate import Forced
from penstock.ledger import Event
from tasks.machine import clock
from tasks.registry import ledger_store
from tasks.store import host


def ended(project: str) -> dict[str, Forced]:
    """The forced releases of a project whose time is over now."""
    return forcing.ended(ledger_store.read_all(project), clock.now().date())


def tell_expired(project: str) -> Event | None:
    """The ledger says that what serves is blessed no more, unless it did already or there is no such release."""
    return ledger_store.append(project, _expiry)


def _expiry(events: list[Event]) -> dict[str, object] | None:
    """The event that is missing, without number, time and author."""
    serves = ledger.serving_on(events, host.own())
    made = ledger.find(events, serves.version) if serves else None
    over = forcing.ended(events, clock.now().date())
    if made is None or made.version not in over:
        return None
    told = [event for event in events if event.kind == "expired" and event.version == made.version]
    if told and told[-1].sequence > made.sequence:
        return None
    return {
        "kind": "expired",
        "version": made.version,
        "identity": made.identity,
        "record": made.record,
        "reason": f"it serves, and was blessed {over[made.version]}",
        "facts": {"until": str(over[made.version].until)},
    }
