"""The windows' files: `<home>/monitor/<project>/000001.json`, one a window, created once and never written again."""

from __future__ import annotations

from pathlib import Path

from penstock.collected import BATCH, Collected, Segment, require_whole
from penstock.errors import StorageError
from tasks import numbered, store
from tasks.settings import settings


def read_windows(project: str) -> list[Collected]:
    """Every window of a project, in order. Raises StorageError if one is damaged or missing."""
    windows = list(numbered.read(numbered.paths(_folder(project)), Collected, _damaged))
    require_whole(windows, str(_folder(project)))
    return windows


def append_window(window: Collected) -> None:
    """Take the window's segments. Raises FileExistsError if another monitor has closed a window meanwhile."""
    folder = _folder(window.project)
    with store.readable_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        numbered.create(folder, window.number, window)


def closed_segments(project: str) -> list[Segment]:
    """Every closed segment of every release of the project."""
    folder = settings().predictions / project
    found = [*folder.glob("*/*.jsonl"), *folder.glob(f"*/*{BATCH}")]
    return [Segment(model=path.parent.name, name=path.name) for path in found]


def segment_path(project: str, segment: Segment) -> Path:
    return settings().predictions / project / segment.model / segment.name


def _damaged(path: Path, found: str) -> StorageError:
    return StorageError(
        "A window's file cannot be read.",
        where=str(path),
        found=found,
        next_step="put the file back from a backup: what it took would be counted again",
    )


def _folder(project: str) -> Path:
    return settings().home / "monitor" / project
