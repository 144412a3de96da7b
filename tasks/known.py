"""Names of objects that the shared store was seen to have, in `state.db`. Forgetting them costs requests, no more."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable

from tasks import store
from tasks.settings import settings


def among(names: Iterable[str]) -> set[str]:
    """Those of the names that are known to be in the shared store."""
    wanted = set(names)
    with store.database() as memory, contextlib.suppress(sqlite3.Error):
        if memory and wanted:
            _make_table(memory)
            rows = memory.execute("SELECT name FROM shared WHERE place = ?", (settings().copies.name,))
            return wanted & {name for (name,) in rows}
    return set()


def remember(name: str) -> None:
    with store.database() as memory, contextlib.suppress(sqlite3.Error):
        if memory:
            _make_table(memory)
            memory.execute("INSERT OR REPLACE INTO shared VALUES (?, ?)", (settings().copies.name, name))
            memory.commit()


def forget(name: str) -> None:
    with store.database() as memory, contextlib.suppress(sqlite3.Error):
        if memory:
            _make_table(memory)
            memory.execute("DELETE FROM shared WHERE place = ? AND name = ?", (settings().copies.name, name))
            memory.commit()


def _make_table(memory: sqlite3.Connection) -> None:
    memory.execute("CREATE TABLE IF NOT EXISTS shared (place TEXT, name TEXT, PRIMARY KEY (place, name))")
