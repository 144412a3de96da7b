"""Finds the candidate that a person would bless by force, and says what stands against it. Only reads."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from penstock import ledger
from penstock.candidate import Candidate, Forced, Lineage, Release
from penstock.comparison import Change, changes, files_changed
from penstock.errors import ConfigError, DataError, StorageError
from penstock.forcing import last_day, require_named
from penstock.ledger import Event
from tasks.machine import clock
from tasks.machine.author import author
from tasks.machine.settings import settings
from tasks.registry.comparing import REJECTED, candidate_name, candidate_of
from tasks.registry.registry import read_ledger, release_of
from tasks.store import store
from tasks.store.caching import file_refs, task

SHORTEST = 8  # characters of an identity
SHOWN = 6  # differences


def rejected_event(project: str, name: str = "") -> Event:
    """The rejection of ``name``: `rejected-<number>`, an identity or its beginning, a version that was forced before;
    left out, the last one.

    Raises DataError if there is none, ConfigError if the candidate has passed its gates.
    """
    events = read_ledger(project)
    judged = [event for event in events if event.kind in ledger.JUDGED]
    if not name and judged and judged[-1].kind == "registered":  # an older rejection is not what is meant
        raise _passed(judged[-1])
    made = ledger.find(events, name) if name else None
    number = REJECTED.fullmatch(name)
    if number:
        found = [event for event in events if event.kind == "rejected" and event.sequence == int(number[1])]
    elif made or len(name) >= SHORTEST:
        wanted = made.identity if made else name
        found = [event for event in events if event.kind == "rejected" and event.identity.startswith(wanted)]
        passed = made or next((one for one in ledger.releases(events) if one.identity.startswith(name)), None)
        if not found and passed:
            raise _passed(passed)
        if len({event.identity for event in found}) > 1:
            found = []
    else:
        found = [event for event in events if event.kind == "rejected" and not name]
    if not found:
        rejected = [event for event in judged if event.kind == "rejected"]
        raise DataError(
            f"There is no rejected candidate `{name}` of `{project}`." if name else f"`{project}` has none rejected.",
            allowed=", ".join(f"{candidate_name(event)} ({event.identity[:12]})" for event in rejected[-6:]),
            next_step=f"penstock history {project}" if events else f"penstock run {project}",
        )
    passed = ledger.with_identity(events, found[-1].identity)
    if passed is not None and passed.kind == "registered":
        raise _passed(passed)
    return found[-1]


def overruled(event: Event, reason: str, until: str, by: str, checks: Sequence[str]) -> Forced:
    """What a person says of a rejected candidate. Raises ConfigError if something of it is missing or not allowed."""
    reason, by, today = " ".join(reason.split()), " ".join(by.split()), clock.now().date()
    name, project = candidate_name(event), event.project
    if not reason:
        raise ConfigError(
            "A forced blessing needs a reason.", where="--reason", next_step='--reason "why it may serve all the same"'
        )
    last = last_day(until, today)
    decision = candidate_of(event).decision
    command = f"penstock bless {project} {name} --reason {shlex.quote(reason)} --until {until}"
    require_named(decision, checks, command + (f" --by {shlex.quote(by)}" if by else ""))
    return Forced(by=by or author(), reason=reason, until=last, failed="; ".join(decision.reasons))


@task(reads=True)
def rejected_candidate(event: Event, lineage: Lineage) -> Candidate:
    """The very candidate that was rejected, whole, and still that of ``lineage`` beside the champion of now.

    Raises ConfigError if data, config, code, environment or champion have changed since, StorageError if its files are
    missing or damaged: what cannot be had cannot be blessed.
    """
    candidate = candidate_of(event)
    again = f"penstock train {event.project}; what it makes is judged, and can be blessed if it is rejected"
    differs = _differences(candidate.lineage, lineage)
    if candidate.lineage.identity != lineage.identity:
        raise ConfigError(
            f"What {candidate_name(event)} was made of has changed since: it would be another candidate now.",
            found="; ".join(str(change) for change in differs[:SHOWN])
            + (f"; and {len(differs) - SHOWN} more" if len(differs) > SHOWN else ""),
            next_step=again,
        )
    now = ledger.champion(read_ledger(event.project), event.identity)
    known = candidate.champion.version if candidate.champion else ""
    if (now.version if now else "") != known:
        raise ConfigError(
            f"{candidate_name(event)} was not judged beside the champion of now.",
            found=f"then: {known or 'none'}; now: {now.version if now else 'none'}",
            next_step=again,
        )
    damaged = [str(ref) for ref in file_refs(candidate) if not store.intact(ref)]
    if damaged:
        raise StorageError(
            f"{candidate_name(event)} cannot be blessed: its files are missing or damaged.",
            where=str(settings().store),
            found=", ".join(damaged),
            next_step=again,
        )
    return candidate


@task(reads=True)
def find_forced(event: Event) -> Release | None:
    """The release that was made by force of the rejected candidate before, if every file of it is intact.

    It is packaged and checked, so that another word on it needs nothing of what it was made of.
    """
    made = ledger.with_identity(read_ledger(event.project), event.identity)
    if made is None or not store.intact(made.record):
        return None
    candidate = candidate_of(made)
    whole = candidate.forced is not None and all(store.intact(ref) for ref in file_refs(candidate))
    return release_of(made) if whole else None


def _differences(then: Lineage, now: Lineage) -> list[Change]:
    """In what two lineages differ, what a person can change first."""
    config = [store.read_json(one.config) if store.intact(one.config) else {} for one in (then, now)]
    return [
        *changes({"dataset": then.dataset.removesuffix(".dir")}, {"dataset": now.dataset.removesuffix(".dir")}),
        *changes(*config),
        *changes({"schema": then.schema_text.sha256[:12]}, {"schema": now.schema_text.sha256[:12]}),
        *files_changed(then.code, now.code),
        *changes({**then.libraries, "python": then.python}, {**now.libraries, "python": now.python}),
        *changes({"environment": then.environment[:12]}, {"environment": now.environment[:12]}),
    ]


def _passed(event: Event) -> ConfigError:
    return ConfigError(
        f"There is nothing to force: {event.version} has passed its gates.",
        next_step=f"penstock deploy {event.project} {event.version}",
    )
