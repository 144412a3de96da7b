"""Reads and writes what the ledger says of retraining. Who decides is `penstock/retrain.py`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from penstock import ledger
from penstock.alarms import Alarm
from penstock.config import Project
from penstock.errors import DataError, RolloutError
from penstock.ledger import Event, Kind
from penstock.retrain import Decision, LabelNews, decide, to_tell
from penstock.retrain_history import History, fold
from tasks import label_store, ledger_store
from tasks.releases import tell


def retrain_history(project: str) -> History:
    """What the project's ledger tells of its retraining."""
    return fold(ledger_store.read_all(project))


def label_news(project: Project) -> LabelNews:
    """How many labels came or changed since a candidate of the project was last judged, released or not."""
    events = ledger_store.read_all(project.name)
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


def tell_of_serving(project: str, kind: Kind, reason: str, **facts: object) -> Event:
    """Append an event about what serves, or until something does, about the newest release.

    Raises DataError where there is no release: then there is nothing to watch either.
    """
    return tell(project, kind, _watched(project, ledger_store.read_all(project)).version, reason, **facts)


def resume(project: str, reason: str) -> Event:
    """Let monitoring ask for trainings again. Raises RolloutError without a reason, or if it is not stopped."""
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
