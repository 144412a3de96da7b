"""How good the answers were that clients got: metrics over labelled predictions, with intervals, by period and slice.

Scores of one release at a time, since each has its own threshold and scale. What a period has too few labels of, or
not had the time for, is provisional: it may be shown, and nothing may be decided by it.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import Field

from penstock.estimate import Estimate
from penstock.intervals import Measured, auc_interval, f1_interval, mean_interval, wilson
from penstock.label_config import LabelsConfig
from penstock.label_coverage import PERIOD, Coverage, at, coverage, with_period
from penstock.label_rows import LABEL
from penstock.labels import ARRIVED
from penstock.live_measures import measure_classes, measure_numbers
from penstock.refs import Value
from penstock.served import column_of
from penstock.task_type import TaskName

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

MISSING = "(missing)"
SHOWN = ("auc", "log_loss", "macro_f1", "mae", "rmse")  # in one line


class SliceScore(Value):
    """A slice of a window: ``column`` has ``value``. ``metrics`` is empty where it has too few labelled rows."""

    column: str
    value: str
    rows: int
    metrics: dict[str, Measured]


class WindowScore(Value):
    """A release's quality in a period. ``metrics``: those that are defined; empty below the least number of rows.

    ``estimate``: what its scores implied before the period was final, by metric; see `penstock.estimate`.
    """

    model: str
    coverage: Coverage
    rows: int
    positives: int | None = None  # of binary
    metrics: dict[str, Measured]
    slices: tuple[SliceScore, ...]
    estimate: dict[str, Estimate] = Field(default_factory=dict)

    @property
    def final(self) -> bool:
        """Whether it may decide anything: the period is mature, and there is something to decide by."""
        return self.coverage.mature and bool(self.metrics)

    def __str__(self) -> str:
        shown = ", ".join(f"{name} {found}" for name, found in self.metrics.items() if name in SHOWN)
        return f"{self.model}: {shown or f'{self.rows:,} labelled rows are too few'}; {self.coverage}"


class PeriodScores(Value):
    """What is kept of a period: how much of it is labelled, over all releases, and each one's quality.

    ``windows``: the numbers of those that have rows of it.
    """

    coverage: Coverage
    windows: tuple[int, ...]
    scores: tuple[WindowScore, ...]

    def at(self, config: LabelsConfig, now: datetime) -> PeriodScores:
        """The same as it is ``now``: a period becomes final by time alone, too."""
        scores = [one.model_copy(update={"coverage": at(one.coverage, config, now)}) for one in self.scores]
        return PeriodScores(coverage=at(self.coverage, config, now), windows=self.windows, scores=tuple(scores))


def measure(label: np.ndarray, score: np.ndarray, decision: np.ndarray) -> dict[str, Measured]:
    """Every live metric of binary that is defined for these rows. Shapes (n,); label and decision are Boolean."""
    import numpy as np

    clipped = np.clip(score.astype(np.float64), 1e-15, 1 - 1e-15)
    hits, called, positives = int((label & decision).sum()), int(decision.sum()), int(label.sum())
    found = {
        "auc": auc_interval(label, score),
        "accuracy": wilson(int((label == decision).sum()), len(label)),
        "precision": wilson(hits, called),
        "recall": wilson(hits, positives),
        "f1": f1_interval(hits, called - hits, positives - hits),
        "log_loss": mean_interval(-np.where(label, np.log(clipped), np.log1p(-clipped))),
        "brier": mean_interval((clipped - label) ** 2),
    }
    return {name: measured for name, measured in found.items() if measured is not None}


def score_windows(
    rows: pl.DataFrame,
    config: LabelsConfig,
    slices: tuple[str, ...],
    min_rows: int,
    now: datetime,
    task: TaskName = "binary",
) -> list[WindowScore]:
    """Each release's quality in each period, oldest first. ``rows``: `penstock.labels.labelled`.

    ``slices``: fields of the rows; ``min_rows``: labelled rows below which nothing is measured, of a slice as of a
    window.
    """
    import polars as pl

    found = []
    moment = "time_ns" if config.time is None else column_of(config.time)
    known = rows.filter(pl.col(LABEL).is_not_null())
    for model in rows["model"].unique().cast(pl.String).sort():
        mine = rows.lazy().filter(pl.col("model") == model).select(moment, LABEL, ARRIVED).collect()
        placed = with_period(known.filter(pl.col("model") == model), config)
        for window in coverage(mine, config, now):
            inside = placed.filter(pl.col(PERIOD) == window.period)
            found.append(_score(str(model), window, inside, slices, min_rows, task))
    return sorted(found, key=lambda one: (one.coverage.begins, one.model))


def _score(
    model: str, window: Coverage, rows: pl.DataFrame, slices: tuple[str, ...], min_rows: int, task: TaskName
) -> WindowScore:
    import polars as pl

    parts = []
    for name in slices:
        groups = rows.group_by(pl.col(column_of(name)).cast(pl.String).fill_null(MISSING).alias("value"))
        for (value,), part in sorted(groups, key=lambda pair: str(pair[0][0])):
            metrics = _measured(part, min_rows, task)
            parts.append(SliceScore(column=name, value=str(value), rows=part.height, metrics=metrics))
    return WindowScore(
        model=model,
        coverage=window,
        rows=rows.height,
        positives=int(rows[LABEL].sum()) if task == "binary" else None,
        metrics=_measured(rows, min_rows, task),
        slices=tuple(parts),
    )


def _measured(rows: pl.DataFrame, min_rows: int, task: TaskName) -> dict[str, Measured]:
    if rows.height < min_rows:
        return {}
    if task == "multiclass":
        return measure_classes(rows[LABEL].to_numpy(), rows["decision"].to_numpy())
    if task == "regression":
        return measure_numbers(rows[LABEL].to_numpy(), rows["score"].to_numpy())
    return measure(rows[LABEL].to_numpy(), rows["score"].to_numpy(), rows["decision"].to_numpy())
