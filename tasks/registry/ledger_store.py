"""The ledger's files: `<home>/ledger/<project>/000001.json`, one an event, created once and never written again.

A number can be taken by one writer only (the file is linked into place complete, or not at all), so two processes
cannot both append event 7, and no lock is needed to read.

Where a team shares a store, the ledger is there, under `ledger/<project>/`, and the same holds between machines: an
event is created by a conditional write, and whoever finds its number taken looks again and takes the next one. So there
is no gap, and order is that of the numbers. What an event refers to is uploaded before it. Events never change: each is
fetched once, and kept in `settings().ledger`.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from pathlib import Path
from typing import Any

from penstock.errors import StorageError, UnreachableError
from penstock.ledger import MAKES, Event, require_unbroken, seen_in
from tasks.machine import clock
from tasks.machine.author import author
from tasks.machine.settings import settings
from tasks.platform import events as prefect_events
from tasks.store import host, numbered, patience
from tasks.store.store import readable_errors, write_atomic

JOBS = 8


class Hurry:
    """Whether the shared ledger was found to be away: then it is not asked again."""

    away = False


_hurry: ContextVar[Hurry | None] = ContextVar("penstock_hurry", default=None)


def read_all(project: str) -> list[Event]:
    """Every event of a project in every environment, in order. Raises StorageError if one is damaged or missing."""
    hurry = _hurry.get()
    if settings().shared and not (hurry and hurry.away):
        try:
            _fetch_new(project)
        except UnreachableError:
            if hurry is None:
                raise
            hurry.away = True
    return read_known(project)


@contextlib.contextmanager
def at_hand() -> Iterator[Hurry]:
    """In this block, a shared ledger that is away is read as it was seen last: for what cannot wait."""
    hurry = _hurry.get() or Hurry()
    token = _hurry.set(hurry)
    try:
        with patience.within(patience.HURRY):
            yield hurry
    finally:
        _hurry.reset(token)


def _ask_again() -> None:
    """What was read has been overtaken. A store that was away and has said so is there again: it is to be asked."""
    hurry = _hurry.get()
    if hurry is not None:
        hurry.away = False


def read_known(project: str) -> list[Event]:
    """Every event that this machine has seen, in order: of a shared ledger, as it was when it was read last."""
    folder = _folder(project)
    events = list(numbered.read(numbered.paths(folder), Event, _damaged))
    require_unbroken(events, str(folder))
    return events


def append(project: str, make: Callable[[list[Event]], dict[str, Any] | None]) -> Event | None:
    """Append what ``make`` says, given this environment's events: the fields without number, time and author.

    If another process is faster, ``make`` is asked again with its event added. None from ``make`` appends nothing.
    Inside a flow, Prefect is told of it too.
    """
    folder = _folder(project)
    with readable_errors(folder):
        while True:
            events = read_all(project)
            fields = make(seen_in(events, settings().environment))
            if fields is None:
                return None
            now = clock.now().isoformat(timespec="milliseconds")
            event = Event(
                sequence=len(events) + 1,
                time=now,
                project=project,
                by=author(),
                environment=settings().environment,
                host=str(host.own()),
                id=uuid.uuid4().hex,
                **fields,
            )
            if not (_create_shared(event, events) if settings().shared else _create(event)):
                _ask_again()
                continue
            prefect_events.tell_of(event)
            return event


def _create(event: Event) -> bool:
    """Whether the event has its number now; another may have been faster."""
    try:
        numbered.create(_folder(event.project), event.sequence, event)
    except FileExistsError:
        return False
    return True


def _create_shared(event: Event, before: list[Event]) -> bool:
    """Likewise, in the shared ledger, with what it refers to uploaded first.

    What an earlier event refers to is there for good. An answer that got lost is asked for again, and then the number
    is taken: perhaps by this very event.
    """
    from tasks.store import shared
    from tasks.store.objects import objects

    new = event.kind in MAKES or event.record not in {one.record for one in before}
    if new:
        shared.publish_record(event.record)
    name, content = _name(event.project, event.sequence), event.model_dump_json(indent=1).encode()
    try:
        objects().create(name, content)
    except FileExistsError:
        if objects().read(name) != content:
            return False
    _create(event)  # the copy; the next who reads would fetch it
    if new:  # nothing happens, unless this machine slept for days in between, and the files were freed meanwhile
        shared.publish_record(event.record)
    return True


def _fetch_new(project: str) -> None:
    """Copies of the shared ledger's events that this machine has not seen yet.

    Raises StorageError if there are fewer than it has seen: then this is another ledger, or it lost some.
    """
    from tasks.store.objects import objects

    folder = _folder(project)
    seen = {path.name for path in numbered.paths(folder)}  # first: what others here append meanwhile is not lost
    there = [name for name in objects().names(f"ledger/{project}") if name.endswith(".json")]
    lost = sorted(seen - set(there))
    if lost:
        raise StorageError(
            "The shared ledger has lost an event that this machine has seen.",
            where=f"{objects().where}/ledger/{project}/{lost[0]}",
            found=f"{len(there)} events there, {len(seen)} here",
            next_step=f"put it back from {folder / lost[0]}; the ledger is not used while it is incomplete",
        )
    missing = [name for name in there if name not in seen]
    with readable_errors(folder), ThreadPoolExecutor(JOBS) as pool:
        waiting = [pool.submit(copy_context().run, objects().read, f"ledger/{project}/{name}") for name in missing]
        for name, content in zip(missing, waiting, strict=True):
            with contextlib.suppress(FileExistsError):  # another process has fetched it meanwhile
                write_atomic(folder / name, content.result(), exclusive=True)


def _damaged(path: Path, found: str) -> StorageError:
    return StorageError(
        "An event of the ledger cannot be read.",
        where=str(path),
        found=found,
        next_step="put the file back from a backup; the ledger is not used while it is damaged",
    )


def _folder(project: str) -> Path:
    return settings().ledger / project


def _name(project: str, sequence: int) -> str:
    return f"ledger/{project}/{sequence:06}.json"
