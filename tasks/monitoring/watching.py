"""Judges windows of served traffic beside the training data of who served, and remembers the verdicts."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import takewhile
from typing import TYPE_CHECKING

from penstock import window as windows
from penstock.alarm import alarm
from penstock.collected import Collected
from penstock.config import Project
from penstock.estimate import Estimate, estimated
from penstock.live_metrics import SHOWN
from penstock.sketch import ColumnSummary
from penstock.window import Window, WindowDrift
from tasks.monitoring import verdict_store
from tasks.monitoring.collected_store import newest_windows, read_some
from tasks.monitoring.estimating import estimates
from tasks.monitoring.merging import merged_periods
from tasks.monitoring.score_store import stored_scores
from tasks.monitoring.summaries import prediction_summary, summaries, training_reference
from tasks.registry.releases import holdout
from tasks.reports.drift_report import Beside, drift_report_path, write_drift_report
from tasks.store import store
from tasks.store.caching import task

if TYPE_CHECKING:
    import polars as pl


@task(cached=False)
def judge_windows(project: Project) -> WindowDrift | None:
    """The verdict on each window that has none yet is made and kept; returns the last of them.

    Usually that is the window that was just closed, or none; after a monitor that was killed, also what it left. A
    window that nothing was asked in gets none. Raises StorageError if the files of a release that answered are damaged.
    """
    last = verdict_store.last_judged(project.name)
    left = [*takewhile(lambda window: window.number > last, newest_windows(project.name))][::-1]
    verdict = None
    for collected in left:
        if collected.counts.requests:
            verdict = _judged(project, collected)
            verdict_store.keep(project.name, collected.number, verdict)
    return verdict


def report_drift(project: Project, news: bool) -> str:
    """The report on the newest judged window; returns its path, "" before the first.

    ``news``: whether anything in it may have changed since it was written.
    """
    number = verdict_store.last_judged(project.name)
    if number and (news or not drift_report(project.name)):
        history = verdict_store.judged(project.name)
        (collected,) = read_some(project.name, [number])
        metric, release = project.live_metric, history[-1].reference
        beside = Beside(
            scores=tuple(stored_scores(project)),
            metric=metric,
            holdout=holdout(project.name, release, metric),
            merged=tuple(merged_periods(project.name)),
        )
        reference = training_reference(project, release)
        state = alarm(history, project.monitor)
        write_drift_report(project.name, reference, served_window(collected), history, state, beside)
    return drift_report(project.name)


def watched(project: str) -> str:
    """The last verdict in one line; "" before the first."""
    number = verdict_store.last_judged(project)
    last = last_verdict(project)
    if last is None:
        return ""
    ended = datetime.fromtimestamp(last.end, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"window {number}, until {ended}, {last.rows:,} rows: {last}"


def last_verdict(project: str) -> WindowDrift | None:
    """The verdict on the last window that had requests. Raises StorageError if it cannot be read."""
    number = verdict_store.last_judged(project)
    return verdict_store.verdict_on(project, number) if number else None


def estimate_of_last(project: str) -> str:
    """What the answers of the last window imply about quality, in one line; "" where that is not known."""
    last = last_verdict(project)
    return estimated(last.estimate, SHOWN) if last is not None and last.estimate else ""


def drift_report(project: str) -> str:
    """The path of the newest report; "" before the first."""
    path = drift_report_path(project)
    return str(path) if path.is_file() else ""


def served_window(collected: Collected) -> Window:
    """A window as the verdict sees it: its columns from its profile, its predictions those of its release."""
    columns: tuple[ColumnSummary, ...] = ()
    predictions = None
    if collected.rows is not None and collected.profile is not None:
        columns = summaries(store.read_bytes(collected.profile))
        predictions = _predictions(collected)
    return Window(
        start=collected.since / 1e9,
        end=collected.until / 1e9,
        rows=collected.counts.rows,
        columns=columns,
        predictions=predictions,
        requests=collected.counts.requests,
        refused=collected.counts.refused_requests,
        batch=collected.batch,
    )


def _predictions(collected: Collected) -> ColumnSummary:
    """The window's task type shows in the type of its decisions."""
    import polars as pl

    rows = _answers(collected)
    kind = rows.collect_schema()["decision"]
    if kind == pl.String:
        return prediction_summary(rows.select(pl.col("decision").alias("class")).collect()["class"])
    name = "score" if kind == pl.Boolean else "prediction"
    return prediction_summary(rows.select(pl.col("score").alias(name)).collect()[name])


def _judged(project: Project, collected: Collected) -> WindowDrift:
    earlier = (one for one in newest_windows(project.name) if one.number < collected.number)
    before = next((one for one in earlier if one.rows is not None and one.batch == collected.batch), None)
    same = before is not None and collected.release != "" and before.release == collected.release
    return windows.judge(
        project.monitor,
        training_reference(project, collected.release),
        served_window(collected),
        verdict_store.judged(project.name),
        served_window(before) if before is not None and same else None,
        _estimated(project, collected),
    )


def _estimated(project: Project, collected: Collected) -> dict[str, Estimate]:
    if collected.rows is None or collected.counts.rows < project.monitor.min_rows:
        return {}
    rows = _answers(collected).select("score", "decision").collect()
    return estimates(project.name, collected.release, rows["score"].to_numpy(), rows["decision"].to_numpy())


def _answers(collected: Collected) -> pl.LazyFrame:
    """The rows that the window's release answered."""
    import polars as pl

    assert collected.rows is not None
    return pl.scan_parquet(store.locate(collected.rows)).filter(pl.col("model") == collected.release)
