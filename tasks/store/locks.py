"""Locks between processes on one machine. The kernel frees them when their holder dies, however it dies."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from penstock.errors import StorageError
from tasks.machine.settings import settings
from tasks.store.store import readable_errors


@contextlib.contextmanager
def exclusive(
    name: str,
    *,
    waiting: Callable[[], None] | None = None,
    timeout: float | None = None,
    folder: Path | None = None,
) -> Iterator[None]:
    """Hold the lock ``name``; ``waiting`` is called if another process has it; StorageError after ``timeout`` s.

    ``folder``: where the lock's file is, for what several homes share; else this home's.
    """
    path = lock_path(name, folder)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        end = None if timeout is None else time.monotonic() + timeout
        told = False
        while not try_lock(descriptor):
            if waiting and not told:
                told = True
                waiting()
            if end is not None and time.monotonic() > end:
                raise StorageError(
                    f"Another process has held the lock `{name}` for {timeout:.0f} s.",
                    where=str(path),
                    next_step="wait for the other command to end, or stop it",
                )
            time.sleep(0.1)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def tried(name: str) -> Iterator[bool]:
    """Hold the lock ``name`` if nobody else does; the block is told whether."""
    descriptor = os.open(lock_path(name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        yield try_lock(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def shared(name: str) -> Iterator[None]:
    """Hold the lock ``name`` beside others who hold it so; `tried()` does not get it meanwhile."""
    descriptor = os.open(lock_path(name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def lock_path(name: str, folder: Path | None = None) -> Path:
    """The lock's file. Named by a hash, so that no two names collide and any name is allowed."""
    folder = folder or settings().locks
    with readable_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder / (hashlib.sha256(name.encode()).hexdigest()[:40] + ".lock")


def try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
