"""Values that are made of files, kept until one of the files changes: for processes that are asked again and again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
State = tuple[int, ...]

_kept: dict[tuple[str, ...], tuple[tuple[State, ...], Any]] = {}


def kept(key: tuple[str, ...], files: tuple[Path, ...], make: Callable[[], T]) -> T:
    """``make()``, made again when one of ``files`` has changed since. Of a folder that is: what it holds, by name.

    What ``make`` raises is raised, and not kept.
    """
    states = tuple(map(_state, files))  # before: what changes while it is made is made again
    known = _kept.get(key)
    if known is not None and known[0] == states:
        value: T = known[1]
        return value
    value = make()
    _kept[key] = states, value
    return value


def _state(path: Path) -> State:
    """A folder's time is the kernel's tick (4 ms), so the number of its files counts too."""
    try:
        status = path.stat()
        if path.is_dir():
            return status.st_mtime_ns, sum(1 for _ in path.iterdir())
    except OSError:
        return ()
    return status.st_mtime_ns, status.st_size, status.st_ino
