"""The windows' files: `<home>/monitor/<project>/000001.json`, one a window, created once and never written again."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from penstock.collected import Collected, Segment, require_whole
from penstock.errors import StorageError
from tasks import store
from tasks.settings import settings


def read_windows(project: str) -> list[Collected]:
    """Every window of a project, in order. Raises StorageError if one is damaged or missing."""
    windows = []
    for path in sorted(_folder(project).glob("[0-9]*.json")):
        try:
            windows.append(Collected.model_validate_json(path.read_bytes()))
        except (OSError, ValidationError) as error:
            raise StorageError(
                "A window's file cannot be read.",
                where=str(path),
                found=str(error).splitlines()[0],
                next_step="put the file back from a backup: what it took would be counted again",
            ) from None
    require_whole(windows, str(_folder(project)))
    return windows


def append_window(window: Collected) -> None:
    """Take the window's segments. Raises FileExistsError if another monitor has closed a window meanwhile."""
    folder = _folder(window.project)
    with store.readable_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        content = window.model_dump_json(indent=1).encode()
        store.write_atomic(folder / f"{window.number:06}.json", content, exclusive=True)


def closed_segments(project: str) -> list[Segment]:
    """Every closed segment of every release of the project."""
    folder = predictions(project)
    return [Segment(model=path.parent.name, name=path.name) for path in folder.glob("*/*.jsonl")]


def segment_path(project: str, segment: Segment) -> Path:
    return predictions(project) / segment.model / segment.name


def predictions(project: str) -> Path:
    return settings().home / "predictions" / project


def _folder(project: str) -> Path:
    return settings().home / "monitor" / project
