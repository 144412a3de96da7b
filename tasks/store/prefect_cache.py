"""Prefect's side of `tasks/store/caching.py`: the cache policy, the lock manager, and the Prefect task of each task."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from dataclasses import dataclass
from typing import Any

import prefect
from prefect.cache_policies import NO_CACHE, CachePolicy
from prefect.locking.protocol import LockManager

from tasks.machine.settings import settings
from tasks.store.caching import Task, recall
from tasks.store.locks import lock_path, try_lock

_held: dict[str, tuple[str, int]] = {}  # key -> (holder, file descriptor); one for the process, whatever is copied
_mutex = threading.Lock()


def prefect_task(ours: Task[Any, Any]) -> Any:
    """The Prefect task that runs ``ours``. Nothing is retried: what fails here fails the same way again."""
    policy: CachePolicy = NO_CACHE
    if ours.cached:
        policy = ContentPolicy(ours=ours).configure(isolation_level="SERIALIZABLE", lock_manager=FlockManager())  # type: ignore[arg-type]
    return prefect.task(  # type: ignore[call-overload]
        ours.fn,
        name=ours.name,
        cache_policy=policy,
        persist_result=ours.cached,
        result_serializer="json" if ours.cached else None,
        description=(ours.__doc__ or "").partition("\n")[0] or None,
    )


@dataclass
class ContentPolicy(CachePolicy):
    """The key is the content (`Task.key`); a remembered result that is no longer whole is forgotten first."""

    ours: Any = None

    def compute_key(self, task_ctx: Any, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any) -> str:
        key, _ = self.ours.key(inputs)
        path = settings().cache / key
        if recall(key) is None and path.exists():
            with contextlib.suppress(OSError):
                path.unlink()
            in_memory = getattr(task_ctx.result_store, "cache", None)
            if in_memory is not None:
                in_memory.clear()
        return str(key)


class FlockManager(LockManager):
    """Prefect's locks as kernel locks on files, which end with the process that holds them.

    Prefect's own FileSystemLockManager leaves its file behind after kill -9, and every later run waits forever.
    """

    def acquire_lock(
        self, key: str, holder: str, acquire_timeout: float | None = None, hold_timeout: float | None = None
    ) -> bool:
        return _until(lambda: self._take(key, holder), acquire_timeout)

    async def aacquire_lock(
        self, key: str, holder: str, acquire_timeout: float | None = None, hold_timeout: float | None = None
    ) -> bool:
        return await _auntil(lambda: self._take(key, holder), acquire_timeout)

    def release_lock(self, key: str, holder: str) -> None:
        with _mutex:
            if _held.get(key, ("", 0))[0] != holder:
                raise ValueError(f"{holder} does not hold the lock of {key}")
            os.close(_held.pop(key)[1])

    def is_locked(self, key: str) -> bool:
        if key in _held:
            return True
        path = lock_path(key)
        if not path.exists():
            return False
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            return not try_lock(descriptor)
        finally:
            os.close(descriptor)

    def is_lock_holder(self, key: str, holder: str) -> bool:
        return _held.get(key, ("", 0))[0] == holder

    def wait_for_lock(self, key: str, timeout: float | None = None) -> bool:
        return _until(lambda: not self.is_locked(key), timeout)

    async def await_for_lock(self, key: str, timeout: float | None = None) -> bool:
        return await _auntil(lambda: not self.is_locked(key), timeout)

    def _take(self, key: str, holder: str) -> bool:
        with _mutex:
            if key in _held:
                return _held[key][0] == holder
            descriptor = os.open(lock_path(key), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            if not try_lock(descriptor):
                os.close(descriptor)
                return False
            _held[key] = (holder, descriptor)
            return True


def _until(done: Any, timeout: float | None) -> bool:
    end = None if timeout is None else time.monotonic() + timeout
    while not done():
        if end is not None and time.monotonic() >= end:
            return False
        time.sleep(0.05)
    return True


async def _auntil(done: Any, timeout: float | None) -> bool:
    end = None if timeout is None else time.monotonic() + timeout
    while not done():
        if end is not None and time.monotonic() >= end:
            return False
        await asyncio.sleep(0.05)
    return True
