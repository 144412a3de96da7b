"""Names of objects that the shared store was seen to have, in `state.db`. Forgetting them costs requests, no more.

What was seen counts for a day. Whoever frees objects of the shared store leaves each of them there for longer than that
(`tasks/operations/shared_garbage.py`), so what is known is there.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterable

from tasks.machine.settings import settings
from tasks.store import store

FOR = 86_400.0  # seconds


def among(names: Iterable[str]) -> set[str]:
    """Those of the names that are known to be in the shared store."""
    now = time.time()
    return {name for name, seen in _seen(names).items() if now - FOR < seen <= now}


def ever(names: Iterable[str]) -> set[str]:
    """Those that were seen there at any time."""
    return set(_seen(names))


def remember(name: str, seen: float = 0.0) -> None:
    """It was seen ``seen`` then (seconds since 1970), or now."""
    with store.database() as memory, contextlib.suppress(sqlite3.Error):
        if memory:
            _make_table(memory)
            row = (settings().copies.name, name, seen or time.time())
            memory.execute("INSERT OR REPLACE INTO shared (place, name, seen) VALUES (?, ?, ?)", row)
            memory.commit()


def forget(name: str) -> None:
    with store.database() as memory, contextlib.suppress(sqlite3.Error):
        if memory:
            _make_table(memory)
            memory.execute("DELETE FROM shared WHERE place = ? AND name = ?", (settings().copies.name, name))
            memory.commit()


def _seen(names: Iterable[str]) -> dict[str, float]:
    wanted = set(names)
    with store.database() as memory, contextlib.suppress(sqlite3.Error):
        if memory and wanted:
            _make_table(memory)
            rows = memory.execute("SELECT name, seen FROM shared WHERE place = ?", (settings().copies.name,))
            return {name: seen for name, seen in rows if name in wanted}
    return {}


def _make_table(memory: sqlite3.Connection) -> None:
    memory.execute("CREATE TABLE IF NOT EXISTS shared (place TEXT, name TEXT, seen REAL, PRIMARY KEY (place, name))")
    if "seen" not in {column[1] for column in memory.execute("PRAGMA table_info(shared)")}:
        # of a version that believed for ever: what it has seen, it has seen long ago
        memory.execute("ALTER TABLE shared ADD COLUMN seen REAL DEFAULT 0")
