"""Who uses the store: every flow run, beside all others; and `penstock gc`, alone.

A run holds files that no record names yet. While one goes on, nothing is collected, and one that starts meanwhile
waits. Kernel locks: a killed holder leaves none behind.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tasks.machine.settings import settings
from tasks.store import locks
from tasks.store.store import readable_errors

NAME = "store-in-use"


@contextlib.contextmanager
def in_use() -> Iterator[None]:
    """Nothing is collected while the block runs."""
    with contextlib.ExitStack() as stack:
        with readable_errors(settings().locks):
            stack.enter_context(locks.shared(NAME))
        yield


@contextlib.contextmanager
def unused() -> Iterator[bool]:
    """The block is told whether nobody uses the store; nobody begins to while it runs."""
    with locks.tried(NAME) as alone:
        yield alone
