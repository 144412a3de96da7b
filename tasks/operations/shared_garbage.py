"""`penstock gc --shared`: frees what the shared store has and no record in it needs, while others work with it.

Twice, with days between: what is not needed is *listed* (`tasks/store/listed.py`); what was listed for longer than the
grace period, is still not needed and was not written again since, is *swept*. One machine at a time does either
(`tasks/store/lease.py`). Results of tasks that no run has used for long go first, then files that nothing names.

Nobody loses a file F that a record R names, once R can be seen:

1. Before R is written, its writer makes sure of F (`tasks/store/shared.py`): it reads the lists, then looks for F, and
   uploads it if it is not there. That counts for a day (`tasks/store/known.py`), and R follows within another; whoever
   slept for longer looks again after R was written.
2. If F was not listed when the writer read the lists, it is listed later or never, and not swept before the grace
   period is over, which is two days at least. By then R can be seen, and a sweep reads every record after it began.
3. If F was listed, the writer writes F again. A sweep first says in its lease that it sweeps, then looks at what was
   written again and at the records, then deletes. If nobody said so after F was written, whoever does later finds F
   written again, and keeps it. Else the writer waits until the sweep has ended, looks, and uploads F if it is gone.
4. A sweep whose machine sleeps, or whose store is away, loses its lease and deletes nothing more; only then does a
   writer stop waiting for it.

Times between objects are the store's own. Of the machines' clocks it is only asked that none is set back by a day. The
store has to show what was written to whoever asks afterwards, as S3 and file systems do. A sweep that is killed leaves
its list, and the next goes on with it: a result goes before the files it names. A result that is written again while it
goes may be gone afterwards; its files are there, and it is made again.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import NamedTuple

from penstock.errors import ConfigError
from penstock.garbage import superseded
from tasks.machine import clock
from tasks.machine.settings import settings
from tasks.operations.garbage_classes import Item, Sought
from tasks.operations.garbage_marks import rebuildable
from tasks.operations.shared_marks import CHUNK, Reader, projects
from tasks.registry import ledger_store
from tasks.store import known, lease, listed, patience
from tasks.store.objects import Entry, objects
from tasks.store.shared import JOBS, NOTES

LEAST_GRACE = 2 * known.FOR
SHORT = 60.0  # seconds that a deletion waits for a store that is away: less than the lease's margin
RESULTS, FILES = "shared results", "shared files"
UNNEEDED = "not needed: --yes lists it, and frees it when it was listed for the grace period"
LISTED = "listed now: --yes frees it after the grace period, if nobody needs it until then"


class Found(NamedTuple):
    """An object of the shared store, and why it stays; "" for what goes."""

    kind: str
    entry: Entry
    why: str


def require_shared(grace: float) -> None:
    """Raises ConfigError if nothing is shared, or for a grace period (seconds) that is too short to be safe."""
    if not settings().shared:
        raise ConfigError("Nothing is shared here.", where="--shared", next_step="set PENSTOCK_STORE, or leave it out")
    if grace < LEAST_GRACE:
        raise ConfigError(
            "That grace period is too short: others may be about to refer to what would go.",
            where="--grace",
            found=f"{grace / 86_400:g}d",
            allowed=f"{LEAST_GRACE / 86_400:g}d or longer",
        )


def forecast(asked: Sought, grace: float) -> list[Item]:
    """What would go now, and why the rest stays. Writes nothing into the shared store."""
    return _items(_look(asked, grace, clock.now().timestamp(), lambda: None))


def free(asked: Sought, grace: float) -> list[Item]:
    """Free what was listed long enough ago, list what may go next; what went, and why the rest stays.

    Raises StorageError if another process is at it, if a record is damaged, or if the store is away for too long.
    """
    with lease.held() as mine:
        now = lease.store_time()
        due = [entry for entry in objects().entries(listed.FOLDER) if now - entry.modified > grace]
        if due:
            mine.write(sweeping=True)  # before anything is looked at
        found = _look(asked, grace, now, mine.require)
        for kind in (RESULTS, FILES):
            _delete([one.entry.name for one in found if one.kind == kind and not one.why], mine)
        for entry in due:
            mine.require()
            objects().delete(entry.name)
        mine.write(sweeping=False)
        if not objects().entries(listed.FOLDER):
            found = _list_next(found, mine.number)
    return _items(found)


def _list_next(found: list[Found], number: int) -> list[Found]:
    """List what is not needed; what was found as it stands then."""
    going = {one.entry.name: one.entry.modified for one in found if one.why == UNNEEDED}
    if going:
        objects().write(f"{listed.FOLDER}/{number:06}.json", listed.List(objects=going).model_dump_json().encode())
    return [one._replace(why=LISTED) if one.why == UNNEEDED else one for one in found]


def _delete(names: list[str], mine: lease.Lease) -> None:
    with ThreadPoolExecutor(JOBS) as pool, patience.within(SHORT):
        for start in range(0, len(names), CHUNK):
            mine.require()
            part = names[start : start + CHUNK]
            waiting = [pool.submit(copy_context().run, objects().delete, name) for name in part]
            for name, done in zip(part, waiting, strict=True):
                done.result()
                known.forget(name)


def _look(asked: Sought, grace: float, now: float, alive: Callable[[], object]) -> list[Found]:
    """Every result and file of the shared store. ``now``: by its clock; ``alive`` breaks off by raising."""
    lists = {
        name: (then, entry.modified)
        for entry in objects().entries(listed.FOLDER)
        for name, then in listed.of(entry).items()
    }
    cache, files = objects().entries("cache"), objects().entries("store")
    events = {name: ledger_store.read_all(name) for name in projects()}
    age = asked.now - asked.before

    def stands(entry: Entry) -> str:
        then, since = lists.get(entry.name, (0.0, 0.0))
        if not since:
            return UNNEEDED
        if not listed.is_unchanged(entry.modified, then):
            return "written again since it was listed"
        return "" if now - since > grace else f"listed, and freed from {_day(since + grace)} on, unless it is needed"

    results = [
        Found(RESULTS, one, "not old enough" if one.modified > now - max(age, grace) else stands(one)) for one in cache
    ]
    roots = [f"ledger/{name}/{event.sequence:06}.json" for name, found in events.items() for event in found]
    roots += [entry.name for folder in NOTES if folder != "cache" for entry in objects().entries(folder)]
    old = [one for found in events.values() for one in superseded(found, asked.desired, asked.keep, now - age)]
    reader, left_out = Reader(files, alive), rebuildable(old)
    young = [one.entry.name for one in results if one.why == "not old enough"]
    needed = reader.needed([*roots, *young], left_out)
    still = reader.needed([*roots, *(one.entry.name for one in results if one.why)], left_out)

    def why(entry: Entry) -> str:
        sha256 = PurePosixPath(entry.name).stem
        if sha256 in needed:
            return "a record names it"
        if entry.modified > now - grace:
            return "younger than the grace period"
        return stands(entry) or ("a result that goes later names it" if sha256 in still else "")

    return [*results, *(Found(FILES, entry, why(entry)) for entry in files)]


def _items(found: list[Found]) -> list[Item]:
    return [Item(one.kind, one.entry.name, one.entry.size, one.why) for one in found]


def _day(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
