"""Metrics of one project, from what is stored of it: ledger, windows, labels. Nothing is judged anew for a scrape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import get_args

from penstock import ledger
from penstock.config import Project
from penstock.ledger import Event, Kind
from penstock.retrain_config import Cause
from penstock.retrain_history import fold
from penstock.window import WindowDrift
from tasks.data.project import config_path, load_project
from tasks.machine.settings import settings
from tasks.monitoring import monitored
from tasks.monitoring.exposed import Sample, seconds
from tasks.monitoring.exposed_serving import rollout
from tasks.monitoring.summaries import PREDICTIONS
from tasks.registry import ledger_store
from tasks.store.kept import kept


def events_of(project: str) -> list[Event]:
    """The project's ledger, of a shared one what this machine has seen. Raises StorageError if it is damaged."""
    folder = settings().ledger / project
    own = settings().environment
    return kept(("ledger", project), (folder,), lambda: ledger.seen_in(ledger_store.read_known(project), own))


def config_of(project: str) -> Project:
    """The project's YAML. Raises ConfigError if it is wrong."""
    return kept(("config", project), (config_path(project),), lambda: load_project(project))


def ledgers(project: str) -> Iterator[Sample]:
    """What the ledger tells. Raises StorageError if it is damaged."""
    events = events_of(project)
    folder = settings().ledger / project
    yield from kept(("told", project), (folder,), lambda: list(_told(project, events)))
    yield from rollout(project, events)


def windows(project: str) -> Iterator[Sample]:
    """The last window and its verdict. Raises StorageError if one is damaged, ConfigError if the YAML is wrong."""
    found, verdict, waits = (
        monitored.windows(project),
        monitored.last_verdict(project),
        monitored.oldest_pending(project),
    )
    yield Sample("penstock_window_max_seconds", (project,), config_of(project).monitor.window_seconds)
    yield Sample("penstock_windows_total", (project,), len(found))
    if waits is not None:
        opened = int(waits.name.partition("-")[0]) / 1e9
        yield Sample("penstock_log_pending_since_timestamp_seconds", (project,), opened)
    if found:
        last = found[-1]
        yield Sample("penstock_window_end_timestamp_seconds", (project,), last.until / 1e9)
        yield Sample("penstock_window_rows", (project,), last.counts.rows)
        yield Sample("penstock_window_requests", (project,), last.counts.requests)
        if last.counts.requests:
            refused = last.counts.refused_requests / last.counts.requests
            yield Sample("penstock_window_refused_ratio", (project,), refused)
    if verdict is not None:
        yield from _judged(project, verdict)


def _told(project: str, events: Sequence[Event]) -> Iterator[Sample]:
    counted = dict.fromkeys(get_args(Kind), 0)  # all of them: what is first seen at 1 has not risen
    for event in events:
        counted[event.kind] += 1
    for kind, count in counted.items():
        yield Sample("penstock_ledger_events_total", (project, kind), count)
    yield Sample("penstock_quarantined_releases", (project,), len(ledger.quarantined(events)))
    yield Sample("penstock_approval_waiting", (project,), bool(ledger.waiting(events)))
    tenure = ledger.tenures(events)[-1:]
    if tenure:
        healthy = ledger.is_healthy(events, tenure[0].version)
        yield Sample("penstock_champion_healthy", (project,), healthy)
        yield Sample("penstock_champion_since_timestamp_seconds", (project,), seconds(tenure[0].since))
    history = fold(events)
    for cause in get_args(Cause):
        yield Sample("penstock_alarm", (project, cause), cause in history.alarms)
    yield Sample("penstock_retrain_stopped", (project,), history.stop is not None)
    yield Sample("penstock_retrain_attempts_without_help", (project,), history.without_help)
    if history.attempts:
        asked = history.attempts[-1].time.timestamp()
        yield Sample("penstock_retrain_asked_timestamp_seconds", (project,), asked)


def _judged(project: str, verdict: WindowDrift) -> Iterator[Sample]:
    for kind in verdict.judged:
        beyond = len(verdict.reasons.get(kind, ()))
        yield Sample("penstock_window_beyond_limits", (project, kind), beyond)
    predictions = [verdict.predictions] if verdict.predictions else []
    for column in (*verdict.columns, *predictions):
        name = column.name if column not in predictions else f"({PREDICTIONS})"  # no feature is called so
        for score in column.scores:
            if score.limit is not None:
                yield Sample("penstock_drift_distance", (project, name, score.name), score.value)
                yield Sample("penstock_drift_limit", (project, name, score.name), score.limit)
    for check in verdict.checks:
        if check.kind == "quality":  # those of the schema may name columns that a client has made up
            yield Sample("penstock_quality_ratio", (project, check.column, check.name), check.value)
            yield Sample("penstock_quality_limit_ratio", (project, check.column, check.name), check.limit)
