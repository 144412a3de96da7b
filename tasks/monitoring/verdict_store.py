"""The verdicts on windows: `<home>/monitor/<project>/verdicts/000001.json`, named by the window's number.

`answered.json` beside them is the number of the last window that was answered: its alarms and the decision are in the
ledger. A monitor that was killed before then leaves a window that the next run answers first.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from penstock.errors import StorageError
from penstock.refs import Value
from penstock.window import WindowDrift
from tasks.machine.settings import settings
from tasks.store import numbered, store

HISTORY = 100  # verdicts that are read: what alarms, the usual volume and the report look back on


class Answered(Value):
    window: int


def keep(project: str, number: int, verdict: WindowDrift) -> None:
    folder = _folder(project)
    with store.readable_errors(folder):
        store.write_atomic(numbered.path(folder, number), verdict.model_dump_json(indent=1).encode())


def judged(project: str, most: int = HISTORY) -> list[WindowDrift]:
    """The last ``most`` verdicts, oldest first. Raises StorageError if one cannot be read."""
    return list(numbered.read(numbered.paths(_folder(project))[-most:], WindowDrift, _damaged))


def is_judged(project: str, number: int) -> bool:
    return numbered.path(_folder(project), number).is_file()


def last_judged(project: str) -> int:
    """The number of the newest window that has a verdict; 0 before the first."""
    files = numbered.paths(_folder(project))
    return int(files[-1].stem) if files else 0


def verdict_on(project: str, number: int) -> WindowDrift:
    """Raises StorageError if it cannot be read."""
    (verdict,) = numbered.read([numbered.path(_folder(project), number)], WindowDrift, _damaged)
    return verdict


def answered(project: str) -> int:
    """The number of the last window that was answered; 0 before the first, or where that cannot be told."""
    try:
        return Answered.model_validate_json((_folder(project).parent / "answered.json").read_bytes()).window
    except (OSError, ValidationError):
        return 0


def newest_window(project: str) -> int:
    """The number of the newest window, judged or not; 0 before the first."""
    files = numbered.paths(_folder(project).parent)
    return int(files[-1].stem) if files else 0


def tell_answered(project: str, number: int) -> None:
    path = _folder(project).parent / "answered.json"
    with store.readable_errors(path):
        store.write_atomic(path, Answered(window=number).model_dump_json().encode())


def _damaged(path: Path, found: str) -> StorageError:
    return StorageError(
        "The verdict on a window cannot be read.",
        where=str(path),
        found=found,
        next_step="remove the file: the window itself is kept",
    )


def _folder(project: str) -> Path:
    return settings().home / "monitor" / project / "verdicts"
