"""What time it is: the machine's time, except in the process of a simulation.

A simulation sets its own time, row by row, in a file of eight bytes (nanoseconds since 1970) that the servers of its
sandbox read as well. No variable, setting or config leads to it: only code that calls `simulated()` does, for itself.
"""

from __future__ import annotations

import contextlib
import mmap
import struct
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

NANOSECONDS = 10**9


class SimulatedClock:
    """A time that is set. It never goes back."""

    def __init__(self, path: Path, start: datetime) -> None:
        self.path, self._lock = path, threading.Lock()
        path.write_bytes(struct.pack("q", nanoseconds(start)))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), 8)

    def read(self) -> datetime:
        found: int = struct.unpack("q", self._shared[:8])[0]
        return datetime.fromtimestamp(found / NANOSECONDS, UTC)

    def set(self, moment: datetime) -> None:
        with self._lock:
            if moment > self.read():
                self._shared[:8] = struct.pack("q", nanoseconds(moment))


_simulated: SimulatedClock | None = None


@contextlib.contextmanager
def simulated(path: Path, start: datetime) -> Iterator[SimulatedClock]:
    """For this process, and the servers that it starts, it is ``start`` and then what is set, while the block runs."""
    global _simulated
    _simulated = SimulatedClock(path, start)
    try:
        yield _simulated
    finally:
        _simulated = None


def now() -> datetime:
    """The time, in UTC."""
    return _simulated.read() if _simulated else datetime.now(UTC)


def file() -> str:
    """The file of the simulation's clock, or "" outside of one."""
    return str(_simulated.path) if _simulated else ""


def nanoseconds(moment: datetime) -> int:
    """Since 1970; a time without a zone is UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(aware.timestamp() * 10**6) * 1000
