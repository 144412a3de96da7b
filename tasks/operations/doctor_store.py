"""Doctor's check of the store that a team shares."""

from __future__ import annotations

from collections.abc import Iterator

from penstock.diagnosis import Finding, ok
from tasks.machine.settings import settings
from tasks.store import patience
from tasks.store.objects import objects

PROBE = "doctor"


def shared_store(write: bool) -> Iterator[Finding]:
    """Whether it can be listed; with ``write``, written to, and honours conditions. What it refuses is raised.

    What is written stays: it is the one object `doctor`, of one byte.
    """
    if not settings().shared:
        yield ok("shared store", "none: files, records and ledger are this machine's own")
        return
    with patience.within(patience.HURRY):
        store = objects()
        store.names("ledger")
        if write:
            try:
                store.create(PROBE, b"-")
            except FileExistsError:
                store.write(PROBE, b"-")
    yield ok("shared store", f"{store.where}: {'written to and ' if write else ''}listed")
