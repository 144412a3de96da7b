"""Reads and writes what the ledger says of retraining. Who decides is `penstock/retrain.py`."""

from __future__ import annotations

from penstock import ledger
from penstock.config import Project
from penstock.errors import RolloutError
from penstock.ledger import Event, Kind
from penstock.retrain import LabelNews
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


def tell_of_serving(project: str, kind: Kind, reason: str, **facts: object) -> Event:
    """Append an event about what serves, or until something does, about the newest release.

    Raises DataError where there is no release: then there is nothing to watch either.
    """
    events = ledger_store.read_all(project)
    about = ledger.serving(events) or ledger.newest(events)
    return tell(project, kind, about.version if about else "", reason, **facts)


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
