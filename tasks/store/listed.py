"""Which objects of the shared store are listed to be freed, for whoever is about to need one: `garbage/listed/*.json`.

A list is written once and taken away when it was dealt with. Why a writer who heeds it loses nothing is said in
`tasks/operations/shared_garbage.py`.
"""

from __future__ import annotations

import contextlib
import time

from pydantic import ValidationError

from penstock.errors import StorageError
from penstock.refs import Value
from tasks.machine import steps
from tasks.store import lease
from tasks.store.objects import Entry, objects

FOLDER = "garbage/listed"
PAUSE = 1.0  # seconds
SAME = 1.0  # seconds: some stores tell an object's time in whole ones

_read: dict[tuple[str, str, float], dict[str, float]] = {}  # of this process: a list never changes


class List(Value):
    """When each of them was written, as the store told."""

    objects: dict[str, float]


def names() -> dict[str, float]:
    """Every object that is listed, and when it was written then. Raises StorageError if a list cannot be read."""
    found: dict[str, float] = {}
    for entry in objects().entries(FOLDER):
        found |= of(entry)
    return found


def of(entry: Entry) -> dict[str, float]:
    """What one list names; nothing if it was dealt with meanwhile."""
    key = (objects().where, entry.name, entry.modified)
    if key not in _read:
        try:
            _read[key] = List.model_validate_json(objects().read(entry.name)).objects
        except FileNotFoundError:
            return {}
        except ValidationError as error:
            raise StorageError(
                "A list of what is to be freed from the shared store cannot be read.",
                where=f"{objects().where}/{entry.name}",
                found=str(error).splitlines()[0],
                next_step="remove it there: it is made again",
            ) from None
    return _read[key]


def is_unchanged(modified: float, then: float) -> bool:
    """Whether an object is the one that was listed: nobody has written it again, to keep it."""
    return modified <= then + SAME


def was_used_again(name: str, then: float) -> bool:
    """Whether somebody has written it again since it was listed, so that it stays."""
    try:
        return not is_unchanged(objects().modified(name), then)
    except FileNotFoundError:
        return False


def wait_for_sweeper() -> bool:
    """Return when nothing is being freed; whether that had to be waited for."""
    began = time.monotonic()
    if not (who := lease.sweeper()):
        return False
    _tell(0.0, "failed", f"{objects().where}: {who} frees objects, of which one is needed here; waiting")
    while lease.sweeper():
        time.sleep(PAUSE)
    _tell(time.monotonic() - began, "done", f"{objects().where}: nothing is being freed any more")
    return True


def forget(entry: Entry) -> None:
    """It was dealt with."""
    with contextlib.suppress(KeyError):
        del _read[(objects().where, entry.name, entry.modified)]


def _tell(seconds: float, state: str, text: str) -> None:
    steps.emit(steps.StepEvent(name="shared store", state=state, seconds=seconds, summary=text))
