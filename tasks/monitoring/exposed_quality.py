"""Metrics of labels, of the quality that was measured by them, and of whether trainings may be asked for."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import get_args

from penstock import ledger
from penstock.label_config import LabelsConfig
from penstock.ledger import Event
from penstock.live_metrics import WindowScore
from penstock.task_type import LOWER_IS_BETTER, LiveMetric
from tasks.machine.settings import settings
from tasks.monitoring import monitored
from tasks.monitoring.exposed import Sample, seconds
from tasks.monitoring.exposed_project import config_of
from tasks.registry.releases import packaged
from tasks.store import store
from tasks.store.kept import kept


def quality(project: str, events: Sequence[Event]) -> Iterator[Sample]:
    """What monitoring stored of labels and quality. Raises StorageError or ConfigError where it cannot be read."""
    config = config_of(project)
    labels, scores = monitored.last_labels(project), monitored.scores(config)
    serves = ledger.serving(events)
    champion = serves.version if serves else ""
    yield Sample("penstock_retrain_enabled", (project,), config.retrain.enabled)
    better = -1 if config.live_metric in LOWER_IS_BETTER else 1
    yield Sample("penstock_retrain_metric", (project, config.live_metric), better)
    yield Sample("penstock_label_coverage_required_ratio", (project,), config.labels.min_coverage)
    yield Sample("penstock_label_overdue_periods", (project,), overdue(scores, config.labels, time.time()))
    if labels is not None:
        yield Sample("penstock_label_last_batch_timestamp_seconds", (project,), seconds(labels.time))
    shown = {champion} - {""}
    for state in ("final", "provisional"):
        score = latest(scores, state == "final", champion)
        if score is not None:
            shown.add(score.model)
            yield from _score(project, state, score)
    for version in sorted(shown):
        yield from _holdout(project, version)


def latest(scores: Sequence[WindowScore], mature: bool, champion: str) -> WindowScore | None:
    """The newest score that is final, or provisional; of several releases in that period the champion's."""
    found = [score for score in scores if score.coverage.mature == mature]
    return max(found, key=lambda score: (score.coverage.begins, score.model == champion), default=None)


def overdue(scores: Sequence[WindowScore], config: LabelsConfig, now: float) -> int:
    """How many periods are over for long enough and yet have too few labels, after the latest that is final.

    ``now``: seconds since 1970.
    """
    final = max((score.coverage.begins for score in scores if score.coverage.mature), default="")
    late = {
        score.coverage.period
        for score in scores
        if score.coverage.begins > final
        and seconds(score.coverage.ends) + config.mature_hours * 3600 <= now
        and score.coverage.share < config.min_coverage
    }
    return len(late)


def _score(project: str, state: str, score: WindowScore) -> Iterator[Sample]:
    labels = (project, score.model, state)
    yield Sample("penstock_label_coverage_ratio", labels, score.coverage.share)
    yield Sample("penstock_label_period_end_timestamp_seconds", labels, seconds(score.coverage.ends))
    for name, found in score.metrics.items():
        yield Sample("penstock_live_metric", (*labels, name), found.value)
        yield Sample("penstock_live_metric_low", (*labels, name), found.low)
        yield Sample("penstock_live_metric_high", (*labels, name), found.high)


def _holdout(project: str, version: str) -> Iterator[Sample]:
    """A release's record never changes, but that of a version may be made anew after damage."""
    files = (settings().ledger / project,)
    metrics = kept(("holdout", project, version), files, lambda: _metrics(project, version))
    for name in get_args(LiveMetric):
        value = metrics.get(name)
        if value is not None:
            yield Sample("penstock_holdout_metric", (project, version, name), value)


def _metrics(project: str, version: str) -> dict[str, float | None]:
    found: dict[str, float | None] = store.read_json(packaged(project, version).candidate.evaluation.metrics)["metrics"]
    return found
