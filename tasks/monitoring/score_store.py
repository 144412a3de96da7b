"""The quality of what was served, as it was computed last, a file a period.

    <home>/scores/<project>/<basis>/2025-W34.json

The basis is what scores are computed by: how labels find predictions, periods and slices. Another basis is another
folder, so going back to an earlier one finds its scores again. `progress.json` says which windows and batches of labels
they were computed from; who computes them is `tasks/monitoring/scoring.py`. Reading computes nothing.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from pydantic import ValidationError

from penstock.config import Project
from penstock.errors import StorageError
from penstock.live_metrics import PeriodScores, WindowScore
from penstock.refs import Value
from tasks.machine import clock
from tasks.machine.settings import settings
from tasks.store import numbered, store

NEWEST = 60  # periods that are looked back on
FORMAT = 1  # of the files, and of how scores are computed


class Progress(Value):
    """Windows and batches of labels up to these numbers are in the scores of so many ``periods``."""

    windows: int = 0
    batches: int = 0
    periods: int = 0


def stored_scores(project: Project, newest: int = NEWEST) -> list[WindowScore]:
    """Each release's quality in the ``newest`` periods, oldest first, as it was computed last. Computes nothing."""
    return [score for period in stored_periods(project, newest) for score in period.scores]


def stored_periods(project: Project, newest: int = NEWEST) -> list[PeriodScores]:
    """The ``newest`` periods, oldest first: how much of each is labelled, and each release's quality.

    As they were computed last; what is final by now says so. Raises StorageError if a file cannot be read.
    """
    now = clock.now()
    files = numbered.paths(folder(project))[-newest:]
    return [one.at(project.labels, now) for one in numbered.read(files, PeriodScores, _damaged)]


def live_quality(project: Project) -> WindowScore | None:
    """The newest score of the last periods that has a metric, final or provisional; None where there is none."""
    return next((score for score in reversed(stored_scores(project)) if score.metrics), None)


def read_period(project: Project, period: str) -> PeriodScores | None:
    """None if it was never scored. Raises StorageError if it cannot be read."""
    path = folder(project) / f"{period}.json"
    return next(numbered.read([path], PeriodScores, _damaged)) if path.is_file() else None


def keep_period(project: Project, found: PeriodScores) -> None:
    _write(folder(project) / f"{found.coverage.period}.json", found)


def progress(project: Project) -> Progress:
    """How far the scores are; nothing where that cannot be told, or where a period's file is gone."""
    try:
        found = Progress.model_validate_json((folder(project) / "progress.json").read_bytes())
    except (OSError, ValidationError):
        return Progress()
    return found if found.periods <= len(numbered.paths(folder(project))) else Progress()


def keep_progress(project: Project, windows: int, batches: int) -> None:
    periods = len(numbered.paths(folder(project)))
    _write(folder(project) / "progress.json", Progress(windows=windows, batches=batches, periods=periods))


def _damaged(path: Path, found: str) -> StorageError:
    return StorageError(
        "The scores of a period cannot be read.",
        where=str(path),
        found=found,
        next_step="remove the file: the next monitor run computes them again",
    )


def _write(path: Path, content: Value) -> None:
    with store.readable_errors(path):
        store.write_atomic(path, content.model_dump_json(indent=1).encode())


def folder(project: Project) -> Path:
    """Where the scores are that are computed as the project's YAML says now."""
    labels = project.labels.model_dump(mode="json", exclude={"mature_hours", "min_coverage", "corrections", "column"})
    basis = [FORMAT, labels, project.evaluate.slices, project.evaluate.min_slice_rows]
    name = hashlib.sha256(json.dumps(basis, sort_keys=True).encode()).hexdigest()[:16]
    return settings().home / "scores" / project.name / name
