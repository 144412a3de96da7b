"""The ledger's files: `<home>/ledger/<project>/000001.json`, one an event, created once and never written again.

A number can be taken by one writer only (the file is linked into place complete, or not at all), so two processes
cannot both append event 7, and no lock is needed to read.
"""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from penstock.errors import StorageError
from penstock.ledger import Event, require_unbroken
from tasks import clock, numbered
from tasks import events as prefect_events
from tasks.settings import settings
from tasks.store import readable_errors

CI_AUTHORS = {
    "GITHUB_ACTOR": "GitHub Actions",
    "GITLAB_USER_LOGIN": "GitLab CI",
    "CIRCLE_USERNAME": "CircleCI",
    "BUILD_TAG": "Jenkins",
}


def read_all(project: str) -> list[Event]:
    """Every event of a project, in order. Raises StorageError if one is damaged or missing."""
    folder = _folder(project)
    events = list(numbered.read(numbered.paths(folder), Event, _damaged))
    require_unbroken(events, str(folder))
    return events


def append(project: str, make: Callable[[list[Event]], dict[str, Any] | None]) -> Event | None:
    """Append what ``make`` says, given the events so far: an event's fields without number, time and author.

    If another process is faster, ``make`` is asked again with its event added. None from ``make`` appends nothing.
    Inside a flow, Prefect is told of it too.
    """
    folder = _folder(project)
    with readable_errors(folder):
        while True:
            events = read_all(project)
            fields = make(events)
            if fields is None:
                return None
            now = clock.now().isoformat(timespec="milliseconds")
            event = Event(sequence=len(events) + 1, time=now, project=project, by=author(), **fields)
            try:
                numbered.create(folder, event.sequence, event)
            except FileExistsError:
                continue
            prefect_events.tell_of(event)
            return event


def author() -> str:
    """Who acts: the CI job's name for it if there is one, else user@host."""
    for variable, system in CI_AUTHORS.items():
        if os.environ.get(variable):
            return f"{os.environ[variable]} ({system})"
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # no entry for this number in the password file: containers
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def _damaged(path: Path, found: str) -> StorageError:
    return StorageError(
        "An event of the ledger cannot be read.",
        where=str(path),
        found=found,
        next_step="put the file back from a backup; the ledger is not used while it is damaged",
    )


def _folder(project: str) -> Path:
    return settings().ledger / project
