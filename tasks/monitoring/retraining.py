"""Reads and writes what the ledger says of retraining. Who decides is `penstock/retrain.py`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from penstock import ledger
from penstock.alarms import Alarm
from penstock.candidate import Release
from penstock.config import Project
from penstock.errors import DataError, RolloutError
from penstock.ledger import Event, Kind
from penstock.retrain import Decision, LabelNews, decide, to_tell
from penstock.retrain_history import History, fold
from tasks.machine.production import require_named
from tasks.monitoring import label_store
from tasks.registry import ledger_store
from tasks.registry.registry import read_ledger
from tasks.registry.releases import tell


def retrain_history(project: str) -> History:
    """What the project's ledger tells of its retraining."""
    return fold(read_ledger(project))


def label_news(project: Project) -> LabelNews:
    """How many labels came or changed since a candidate of the project was last judged, released or not."""
    events = read_ledger(project.name)
    trained = max((event.time for event in events if event.kind in ("registered", "rejected")), default="")
    return LabelNews(since_training=label_store.new_since(project.name, project.labels.key, trained))


def decide_and_tell(project: Project, alarms: Sequence[Alarm], now: datetime) -> tuple[Decision, Event | None]:
    """(what the alarms call for, its event in the ledger; None if there was nothing new to tell). Act on the event.

    The decision is made anew if another process writes to the ledger meanwhile: two cannot both use up the budget.
    Raises DataError where there is no release to watch.
    """
    news = label_news(project)
    decided: list[Decision] = []

    def make(events: list[Event]) -> dict[str, object] | None:
        history = fold(events)
        decided.append(decide(history, now, alarms, news, project.retrain))
        told = to_tell(history, decided[-1])
        if told is None:
            return None
        about = _watched(project.name, events)
        kind, reason, facts = told
        named = {"version": about.version, "identity": about.identity, "record": about.record}
        return {"kind": kind, "reason": reason, "facts": facts, **named}

    event = ledger_store.append(project.name, make)
    return decided[-1], event


@contextlib.contextmanager
def answering(project: str) -> Iterator[Callable[[Release], None]]:
    """For a training: if one was asked for when the block begins, the ledger is told at once that it did not help.

    That is when the block raises, or when what it calls the given function with is no release that the asking made.
    What was rejected or failed in its rollout says so by itself, see `penstock/retrain_history.py`.
    """
    asked = [one.asked for one in retrain_history(project).attempts[-1:] if one.waits and not one.version]

    def fruitless(reason: str) -> None:
        waiting = {one.asked for one in retrain_history(project).attempts if one.waits}
        if asked and asked[0] in waiting:
            tell_of_serving(project, "retrain did not help", reason, asked=asked[0])

    def made(release: Release) -> None:
        if not release.new:
            fruitless(f"the training made what there was already: {release}")

    try:
        yield made
    except Exception as error:
        fruitless(f"the training failed: {getattr(error, 'what', '') or type(error).__name__}")
        raise


def untold(project: str) -> Event | None:
    """The last decision to train or to stop, if nothing has come of it: whoever made it may not have told anybody."""
    history, events = retrain_history(project), read_ledger(project)
    last = next((event for event in reversed(events) if event.kind in ("retrain asked", "retraining stopped")), None)
    if last is None or (last.kind == "retraining stopped") != (history.stop is not None):
        return None
    begun = any(one.asked == last.sequence and (one.version or one.helped is not None) for one in history.attempts)
    return None if begun else last


def tell_of_serving(project: str, kind: Kind, reason: str, **facts: object) -> Event:
    """Append an event about what serves, or until something does, about the newest release.

    Raises DataError where there is no release: then there is nothing to watch either.
    """
    return tell(project, kind, _watched(project, read_ledger(project)).version, reason, **facts)


def resume(project: str, reason: str) -> Event:
    """Let monitoring ask for trainings again. Raises RolloutError without a reason, or if it is not stopped."""
    require_named("resume")
    stop = retrain_history(project).stop
    if stop is None or not reason:
        raise RolloutError(
            "A reason is missing." if stop else "Retraining is not stopped.",
            where=project,
            found="" if stop is None else f"stopped: {stop.reason}",
            next_step='penstock resume PROJECT --reason "..."' if stop else f"penstock history {project}",
        )
    return tell_of_serving(project, "retraining resumed", reason)


def _watched(project: str, events: list[Event]) -> Event:
    about = ledger.serving(events) or ledger.newest(events)
    if about is None:
        raise DataError(f"`{project}` has no release to watch yet.", next_step="penstock run PROJECT")
    return about
