"""What monitoring has stored of a project, for those who only show it: read again when its files have changed."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.collected import Collected, Segment, pending
from penstock.config import Project
from penstock.labels import Entry
from penstock.live_metrics import WindowScore
from penstock.window import WindowDrift
from tasks.machine import clock
from tasks.machine.settings import settings
from tasks.monitoring import label_store, score_store, watching
from tasks.monitoring.collected_store import closed_segments, read_windows
from tasks.store.kept import kept


def windows(project: str) -> Sequence[Collected]:
    """Every window, oldest first. Raises StorageError if one is damaged; so do the others here."""
    folder = settings().home / "monitor" / project
    return kept(("windows", project), (folder,), lambda: read_windows(project))


def last_verdict(project: str) -> WindowDrift | None:
    """The verdict on the last window that had requests."""
    folder = settings().home / "monitor" / project / "verdicts"
    return kept(("verdict", project), (folder,), lambda: watching.last_verdict(project))


def oldest_pending(project: str) -> Segment | None:
    """The oldest closed segment of the prediction log that no window has yet."""
    log = settings().predictions / project
    folders = tuple(sorted(path for path in log.glob("*") if path.is_dir()))
    files = (settings().home / "monitor" / project, *folders)
    found = kept(("pending", project), files, lambda: pending(closed_segments(project), windows(project))[:1])
    return found[0] if found else None


def scores(project: Project) -> Sequence[WindowScore]:
    """The quality of each release in each period, as it was measured last; what is final by now says so."""
    folder = score_store.folder(project)
    found = kept(("scores", str(folder)), (folder,), lambda: score_store.stored_periods(project))
    now = clock.now()
    return [score for period in found for score in period.at(project.labels, now).scores]


def last_labels(project: str) -> Entry | None:
    """The batch of labels that was recorded last."""
    folder = settings().home / "labels" / project
    entries = kept(("labels", project), (folder,), lambda: label_store.read_entries(project))
    return entries[-1] if entries else None
