"""Keeps `<home>/store` within `PENSTOCK_CACHE_GB` where a store is shared.

Of the files that the shared store has, the one that was asked for longest ago goes first; the store is asked whether it
still has each, before that goes here. What it should have and does not is uploaded again. These are never thrown away:

- what only this machine has, and what was asked for within the last hour: whoever asked may still read it;
- what serves here, and what a rollback would lead to: neither may have to wait for the store;
- what records of this home alone name (windows, scores): over there nothing keeps it from being freed one day.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import NamedTuple

from penstock import forcing, ledger
from penstock.errors import PenstockError
from tasks.machine import clock
from tasks.machine.settings import settings
from tasks.store import known, listed, store
from tasks.store.objects import objects

IN_USE = 3600.0  # seconds
GB = 1_000_000_000
JOBS = 8

_until_next_look = 0  # bytes that may still come before the files are counted again


class Copy(NamedTuple):
    """A file of the store here: when it was asked for last (seconds since 1970), and its size in bytes."""

    used: float
    size: int
    path: Path

    @property
    def name(self) -> str:
        """What it is called in the shared store."""
        return f"store/{self.path.parent.name}/{self.path.name}"


def keep_within_bounds(came: int) -> None:
    """Throw copies away if there are too many, seldom enough to cost nothing."""
    global _until_next_look
    _until_next_look -= came
    if _until_next_look > 0:
        return
    most = int(settings().cache_gb * GB)
    copies = []
    for path in settings().store.glob("??/*"):
        with contextlib.suppress(OSError):
            status = path.stat()
            copies.append(Copy(status.st_atime, status.st_size, path))
    total = sum(copy.size for copy in copies)
    if total > most:
        # while the store is away, or a record cannot be read, nobody can tell what may go: then it stays
        with contextlib.suppress(PenstockError, OSError):
            total -= _throw_away(sorted(copies), total - int(0.9 * most))
    _until_next_look = max(most - total, most // 20)


def _throw_away(copies: list[Copy], wanted: int) -> int:
    """Free so many bytes, or as many as may go, of the first of these; how many that were."""
    seen = known.ever(copy.name for copy in copies)
    old = [copy for copy in copies if copy.name in seen and time.time() - copy.used >= IN_USE]
    if not old:
        return 0
    needed, going, freed = _needed_here(), listed.names(), 0
    may = [copy for copy in old if copy.path.stem not in needed and copy.name not in going]
    with ThreadPoolExecutor(JOBS) as pool:
        for start in range(0, len(may), JOBS):
            if freed >= wanted:
                break
            part = may[start : start + JOBS]
            waiting = [pool.submit(copy_context().run, _is_over_there, copy) for copy in part]
            for copy, there in zip(part, waiting, strict=True):
                if there.result() and freed < wanted:
                    copy.path.unlink(missing_ok=True)
                    freed += copy.size
    return freed


def _is_over_there(copy: Copy) -> bool:
    """Whether the shared store has it. What it has lost is uploaded again, and stays here this time."""
    try:
        if objects().size(copy.name) == copy.size:
            return True
    except FileNotFoundError:
        pass
    known.forget(copy.name)
    if store.digest(copy.path) == copy.path.stem:
        objects().upload(copy.name, copy.path)
        known.remember(copy.name)
    return False


def _needed_here() -> set[str]:
    """The SHA-256 of what stays here, whoever else has it. Raises StorageError or OSError if that cannot be told."""
    from tasks.operations.garbage_marks import mark, records

    folder = settings().ledger
    own = mark([path for path in records() if not path.is_relative_to(folder)], {}).objects
    team = mark(folder.glob("*/*.json"), {}).objects
    return (own - team) | {sha256 for project in _projects() for sha256 in _at_hand(project)}


def _projects() -> list[str]:
    return sorted(path.name for path in settings().ledger.glob("*") if path.is_dir())


def _at_hand(project: str) -> Iterator[str]:
    """What serving a project here needs, and what a rollback would."""
    from tasks.registry import ledger_store
    from tasks.registry.registry import recorded_candidate, release_of
    from tasks.serving import serving

    everywhere = ledger_store.read_known(project)
    here = ledger.seen_in(everywhere, settings().environment)
    desired = serving.read()
    servers = [server for server in desired.servers.values() if server.project == project]
    for server in servers:
        yield from (server.package.bento.sha256, server.package.schema_spec.sha256)
    route = desired.route("production", project)
    over = forcing.ended(here, clock.now().date())
    versions = {server.version for server in servers}
    versions |= {ledger.last_healthy(here, other, over) for other in ("", route.champion if route else "")}
    found = [ledger.find(everywhere, version) for version in versions]
    for event in filter(None, found):
        yield event.record.sha256
        if store.is_here(event.record):
            package = recorded_candidate.fn(release_of(event)).package
            yield from (package.bento.sha256, package.schema_spec.sha256) if package else ()
