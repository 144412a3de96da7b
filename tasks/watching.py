"""Judges windows of served traffic beside the training data of who served, and remembers the verdicts."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from penstock import window as windows
from penstock.alarm import alarm
from penstock.collected import Collected
from penstock.config import Project
from penstock.errors import StorageError
from penstock.refs import Value
from penstock.sketch import ColumnSummary, number_summary
from penstock.window import Reference, Window, WindowDrift
from tasks import numbered, store
from tasks.caching import task
from tasks.drift_report import drift_report_path, write_drift_report
from tasks.project import recorded_project
from tasks.releases import packaged
from tasks.settings import settings
from tasks.summaries import PREDICTIONS, reference, summaries


class Judgement(Value):
    """A window beside what it was compared with, and the verdict."""

    reference: Reference
    window: Window
    verdict: WindowDrift

    def __str__(self) -> str:
        return str(self.verdict)


@task(cached=False)
def judge_window(project: Project, collected: Collected) -> Judgement | None:
    """The verdict on a window, also kept; None if nothing was asked in it.

    It is judged by the release that answered most of it. Raises StorageError if that release's files are damaged.
    """
    if not collected.counts.requests:
        return None
    release = max(collected.models, key=lambda name: collected.models[name], default="")
    known = packaged(project.name, release)
    beside = reference(known.candidate, recorded_project(known.candidate.lineage.config), known.version)
    window = _window(collected, release)
    verdict = windows.judge(project.monitor, beside, window, judged(project.name))
    folder = _folder(project.name)
    folder.mkdir(parents=True, exist_ok=True)
    store.write_atomic(numbered.path(folder, collected.number), verdict.model_dump_json(indent=1).encode())
    return Judgement(reference=beside, window=window, verdict=verdict)


def report_drift(project: Project, judgement: Judgement) -> str:
    """The report on the latest window; returns its path."""
    history = judged(project.name)
    write_drift_report(project.name, judgement.reference, judgement.window, history, alarm(history, project.monitor))
    return str(drift_report_path(project.name))


def watched(project: str) -> str:
    """The last verdict in one line; "" before the first."""
    last = last_verdict(project)
    if last is None:
        return ""
    ended = datetime.fromtimestamp(last.end, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"window {len(numbered.paths(_folder(project)))}, until {ended}, {last.rows:,} rows: {last}"


def last_verdict(project: str) -> WindowDrift | None:
    """The verdict on the last window that had requests. Raises StorageError if it cannot be read."""
    files = numbered.paths(_folder(project))
    return next(numbered.read(files[-1:], WindowDrift, _damaged), None)


def judged(project: str) -> list[WindowDrift]:
    """The verdicts so far, oldest first. Raises StorageError if one cannot be read."""
    return list(numbered.read(numbered.paths(_folder(project)), WindowDrift, _damaged))


def _window(collected: Collected, release: str) -> Window:
    import polars as pl

    columns: tuple[ColumnSummary, ...] = ()
    predictions = None
    if collected.rows is not None and collected.profile is not None:
        columns = summaries(store.read_bytes(collected.profile))
        rows = pl.scan_parquet(store.locate(collected.rows)).filter(pl.col("model") == release)
        predictions = number_summary(PREDICTIONS, rows.select("score").collect()["score"].to_numpy())
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


def _damaged(path: Path, found: str) -> StorageError:
    return StorageError(
        "The verdict on a window cannot be read.",
        where=str(path),
        found=found,
        next_step="remove the file: the window itself is kept",
    )


def _folder(project: str) -> Path:
    return settings().home / "monitor" / project / "verdicts"
