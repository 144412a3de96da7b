"""Merges windows' profiles into those of finished days, weeks and months, by whylogs' own merge.

Files: `<home>/monitor/<project>/day/2025-08-20.json` and so on, one a span that is finished, each made once. Weeks and
months are made of days, so a run reads the windows since the last finished day and no others.
"""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path

from penstock import window as windows
from penstock.collected import Collected
from penstock.config import Project
from penstock.errors import StorageError
from penstock.merged import SPANS, Merged, Span, days_of, finished
from penstock.window import Window
from tasks.machine.settings import settings
from tasks.monitoring.collected_store import newest_windows
from tasks.monitoring.summaries import merged_profiles, summaries, training_reference
from tasks.store import numbered, store
from tasks.store.caching import task

SHOWN = 12  # of each span


@task(cached=False, reads=True)
def merge_profiles(project: Project) -> list[Merged]:
    """The days, weeks and months that the newest window finished, each judged as one large window.

    Raises StorageError if a profile that one is made of is damaged.
    """
    name = project.name
    last = max((path.stem for path in numbered.paths(_folder(name, "day"))), default="")
    left = [*takewhile(lambda window: window.day > last, newest_windows(name))][::-1]
    filled = [window for window in left if window.profile is not None]
    if not left:
        return []
    ended = finished([window.day for window in filled], left[-1].day, "day")
    made = [_of_day(project, day, [window for window in filled if window.day == day]) for day in ended]
    days = [path.stem for path in numbered.paths(_folder(name, "day"))]
    for span in SPANS[1:]:
        for one in finished(days, left[-1].day, span):
            if not _path(name, span, one).is_file():
                parts = [found for day in days_of(one, span) for found in _read([_path(name, "day", day)])]
                made.append(_of_days(project, span, one, parts))
    return made


def merged_periods(project: str) -> list[Merged]:
    """The last finished days, weeks and months, oldest first of each. Raises StorageError if one cannot be read."""
    return [one for span in SPANS for one in _read(numbered.paths(_folder(project, span))[-SHOWN:])]


def _of_day(project: Project, day: str, parts: list[Collected]) -> Merged:
    profiles = [window.profile for window in parts if window.profile is not None]
    times = (parts[0].since / 1e9, parts[-1].until / 1e9)
    numbers = tuple(window.number for window in parts)
    rows = sum(window.counts.rows for window in parts)
    content = merged_profiles(map(store.read_bytes, profiles))
    return _kept(project, "day", day, numbers, rows, content, times, parts[-1].release)


def _of_days(project: Project, span: Span, name: str, days: list[Merged]) -> Merged:
    times = (days[0].verdict.start, days[-1].verdict.end)
    numbers = tuple(number for day in days for number in day.windows)
    content = merged_profiles(store.read_bytes(day.profile) for day in days)
    return _kept(
        project, span, name, numbers, sum(day.rows for day in days), content, times, days[-1].verdict.reference
    )


def _kept(
    project: Project,
    span: Span,
    name: str,
    numbers: tuple[int, ...],
    rows: int,
    content: bytes,
    times: tuple[float, float],
    release: str,
) -> Merged:
    window = Window(start=times[0], end=times[1], rows=rows, columns=summaries(content))
    verdict = windows.judge(project.monitor, training_reference(project, release), window)
    profile = store.put_bytes(content, f"{span}.bin")
    found = Merged(span=span, name=name, windows=numbers, rows=rows, profile=profile, verdict=verdict)
    path = _path(project.name, span, name)
    with store.readable_errors(path):
        store.write_atomic(path, found.model_dump_json(indent=1).encode())
    return found


def _read(files: list[Path]) -> list[Merged]:
    return list(numbered.read([file for file in files if file.is_file()], Merged, _damaged))


def _damaged(path: Path, found: str) -> StorageError:
    return StorageError(
        "A merged profile's record cannot be read.",
        where=str(path),
        found=found,
        next_step="put the file back from a backup; the windows' own profiles are kept",
    )


def _path(project: str, span: Span, name: str) -> Path:
    return _folder(project, span) / f"{name}.json"


def _folder(project: str, span: Span) -> Path:
    return settings().home / "monitor" / project / span
