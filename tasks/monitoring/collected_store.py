"""The windows' files: `<home>/monitor/<project>/000001.json`, one a window, created once and never written again.

What a run reads of them does not grow with their number: see `newest_windows`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import takewhile
from pathlib import Path

from penstock.collected import BATCH, Collected, Segment, require_apart, require_unbroken
from penstock.errors import StorageError
from tasks.machine.settings import settings
from tasks.store import numbered, store

SLACK = 86_400.0  # seconds that a machine's clock may have been set back between two windows


def newest_windows(project: str) -> Iterator[Collected]:
    """The windows of a project, the newest first; each is read when it is asked for.

    Raises StorageError if one is missing, or if one that is read is damaged.
    """
    files = numbered.paths(_folder(project))
    require_unbroken([int(file.stem) for file in files], str(_folder(project)))
    yield from numbered.read(files[::-1], Collected, _damaged)


def read_windows(project: str, after: int = 0) -> list[Collected]:
    """The windows after number ``after``, in order. Raises StorageError if one is damaged or missing."""
    return [*takewhile(lambda window: window.number > after, newest_windows(project))][::-1]


def windows_since(project: str, segments: Sequence[Segment]) -> list[Collected]:
    """The windows that may have taken one of ``segments``, in order; the newest one in any case.

    A segment's name begins with the time it was opened, and a window that was closed before then has not taken it.
    """
    opened = min((int(segment.name.partition("-")[0]) for segment in segments), default=math.inf) / 1e9 - SLACK
    found: list[Collected] = []
    for window in newest_windows(project):
        if found and datetime.fromisoformat(window.closed).timestamp() < opened:
            break
        found.append(window)
    require_apart(found, str(_folder(project)))
    return found[::-1]


def read_some(project: str, numbers: Sequence[int]) -> list[Collected]:
    """The windows of these numbers. Raises StorageError if one is damaged or missing."""
    files = [numbered.path(_folder(project), number) for number in numbers]
    return list(numbered.read(files, Collected, _damaged))


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
