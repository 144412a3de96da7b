"""Computes how good the answers were, period by period, and only where something is new.

A period is computed again when a window has come that has rows of it, or labels of its predictions came or were
corrected. Only its own windows are read for that. A key that was predicted in two periods is judged in each of them, in
each once (`labels.repeated`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from penstock.collected import Collected
from penstock.config import Project
from penstock.label_config import REQUEST_KEY, LabelsConfig
from penstock.label_coverage import BEGINS, PERIOD, Coverage, coverage, with_period
from penstock.label_rows import LABEL
from penstock.labels import ARRIVED, labelled, served_keys
from penstock.live_metrics import PeriodScores, WindowScore, score_windows
from penstock.served import column_of
from tasks.machine import clock
from tasks.monitoring import label_store, score_store
from tasks.monitoring.collected_store import read_some, read_windows
from tasks.monitoring.estimating import estimates
from tasks.monitoring.labelling import key_kinds
from tasks.monitoring.served_store import read_served
from tasks.store import locks
from tasks.store.caching import task

if TYPE_CHECKING:
    import polars as pl

PART = 200_000  # rows that are joined with labels at once, about; names are most of their memory
MOST_PARTS = 16  # since each part reads the files once


@task(cached=False, reads=True)
def score_periods(project: Project) -> list[str]:
    """Bring the stored scores up to what has been served and labelled; returns the periods that were computed.

    One that was killed is made up for by the next: a period is written whole, and what was taken in only after that.
    """
    with locks.exclusive(f"scores-{project.name}"):
        reached = score_store.progress(project)
        windows = read_windows(project.name, after=reached.windows)
        batches = label_store.entries_after(project.name, reached.batches)
        if not windows and not batches:
            return []
        touched = _by_window(project, windows)
        if any(batch.new + batch.corrected for batch in batches):
            touched |= {period: touched.get(period, set()) for period in _by_labels(project, reached)}
        for period, numbers in sorted(touched.items()):
            _score(project, period, numbers)
        score_store.keep_progress(project, reached.windows + len(windows), reached.batches + len(batches))
        return sorted(touched)


def label_coverage(project: Project) -> list[Coverage]:
    """How much of each period is labelled, once `score_periods` has run."""
    return [period.coverage for period in score_store.stored_periods(project)]


def period_rows(project: Project, period: str, windows: Sequence[Collected]) -> pl.DataFrame:
    """What served in a period and is to be judged, with its labels: see `penstock.labels.labelled`.

    With the time and the slices of the rows, as text; without what names a prediction, which is most of the memory.
    ``windows``: those that have rows of it. Made in parts, the same keys in one part.
    """
    import polars as pl

    config, kinds, task = project.labels, key_kinds(project), project.train.task
    beside = tuple(filter(None, (config.time, *project.evaluate.slices)))
    fields = tuple(dict.fromkeys((*config.key_columns, *beside)))
    kept = list(dict.fromkeys(["time_ns", "model", "score", "decision", *map(column_of, beside), LABEL, ARRIVED]))
    named = ["request_id"] if config.key == REQUEST_KEY else [column_of(name) for name in config.key_columns]
    parts = min(MOST_PARTS, 1 + sum(window.counts.rows for window in windows) // PART)
    found = []
    for part in range(parts):
        mine = pl.struct(pl.col(named)).hash() % parts == part
        served = pl.concat(
            [_of_period(read_served([window], fields, mine, task), period, config) for window in windows]
        )
        keys = pl.DataFrame(dict(zip(config.key, served_keys(served, config, kinds), strict=True)))
        state = label_store.state(project.name, config.key, of=keys, task=task)
        rows = labelled(served, state, config, kinds).select(kept)
        found.append(rows.with_columns(pl.col("model", *map(column_of, project.evaluate.slices)).cast(pl.Categorical)))
    return pl.concat(found)


def _of_period(rows: pl.DataFrame, period: str, config: LabelsConfig) -> pl.DataFrame:
    import polars as pl

    return with_period(rows, config).filter(pl.col(PERIOD) == period).drop(PERIOD, BEGINS)


def _score(project: Project, period: str, numbers: set[int]) -> None:
    known = score_store.read_period(project, period)
    windows = tuple(sorted(numbers | set(known.windows if known else ())))
    rows = period_rows(project, period, read_some(project.name, windows))
    now, evaluate = clock.now(), project.evaluate
    (covered,) = coverage(rows, project.labels, now)
    more = known is None or windows != known.windows
    before = {one.model: one for one in known.scores} if known and not more else {}
    scores = score_windows(rows, project.labels, evaluate.slices, evaluate.min_slice_rows, now, project.train.task)
    estimated = tuple(_with_estimate(project.name, one, before.get(one.model), rows) for one in scores)
    score_store.keep_period(project, PeriodScores(coverage=covered, windows=windows, scores=estimated))


def _with_estimate(project: str, score: WindowScore, before: WindowScore | None, rows: pl.DataFrame) -> WindowScore:
    """With what its answers imply, labelled or not; what they implied ``before``, if nothing more was served."""
    import polars as pl

    if before:
        return score.model_copy(update={"estimate": before.estimate})
    mine = rows.lazy().filter(pl.col("model") == score.model).select("score", "decision").collect()
    found = estimates(project, score.model, mine["score"].to_numpy(), mine["decision"].to_numpy())
    return score.model_copy(update={"estimate": found})


def _by_window(project: Project, windows: Sequence[Collected]) -> dict[str, set[int]]:
    """The windows that have rows of each period."""
    config, task, found = project.labels, project.train.task, defaultdict[str, set[int]](set)
    for window in windows:
        served = read_served([window], tuple(filter(None, (config.time,))), task=task)
        for period in with_period(served, config)[PERIOD].unique():
            found[period].add(window.number)
    return dict(found)


def _by_labels(project: Project, reached: score_store.Progress) -> set[str]:
    """The periods, of windows that were taken in before, that have predictions of labels that are new since."""
    config, kinds, task = project.labels, key_kinds(project), project.train.task
    fields = tuple(dict.fromkeys((*config.key_columns, *filter(None, (config.time,)))))
    entries = label_store.entries_after(project.name, reached.batches)
    labels = label_store.state(project.name, config.key, entries, task=task)
    periods: set[str] = set()
    for window in read_windows(project.name):
        if window.number > reached.windows or window.rows is None:
            continue
        served = with_period(read_served([window], fields, task=task), config)
        mine = served.select(PERIOD).with_columns(served_keys(served, config, kinds))
        periods |= set(mine.join(labels, on=list(config.key), how="semi")[PERIOD])
    return periods
