"""What killed processes leave: drafts that nobody will finish. Each kind has its own place and name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil

from penstock.refs import Value
from tasks.data.dvc_config import cache_folder
from tasks.machine.settings import settings

ENDED = 86_400.0  # seconds after which nobody writes to a draft any more


class Leftover(Value):
    """A draft, file or folder, and its bytes."""

    path: Path
    size: int


def half_written(before: float) -> list[Leftover]:
    """Every draft that was last written to ``before`` then (seconds since 1970) and that no process works in."""
    busy = _working_folders()
    found = []
    for path in _drafts():
        if path.is_symlink() or any(folder.is_relative_to(path) for folder in busy):
            continue
        try:
            files = [path, *path.rglob("*")] if path.is_dir() else [path]
            states = [file.lstat() for file in files]
        except OSError:  # renamed or removed meanwhile: it was nobody's leftover
            continue
        if max(state.st_mtime for state in states) < before:
            found.append(Leftover(path=path, size=sum(state.st_size for state in states)))
    return found


def _drafts() -> Iterator[Path]:
    home = settings().home
    yield from (home / "store" / "tmp").glob("*")
    for folder in ("runs", "bentos"):
        yield from (home / folder).glob("tmp*")  # `tempfile.TemporaryDirectory`
    for folder in ("ledger", "serving", "monitor", "scoring", "scores", "labels", "reports", "cache", "supervisor"):
        yield from (home / folder).glob("**/.tmp-*")  # `store.write_atomic`
    yield from home.glob("mlflow/told/**/.tmp-*")
    yield from cache_folder().glob("*/.tmp-*")


def _working_folders() -> list[Path]:
    found = []
    for process in psutil.process_iter():
        try:
            found.append(Path(process.cwd()))
        except (psutil.Error, OSError):
            continue
    return found
