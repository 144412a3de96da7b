"""The files of the prediction log: `<time_ns>-<pid>.open` while written, `.jsonl` once closed and complete.

A closed segment is whole lines, on disk, and never changes. The writer of an open one holds a lock (flock) on it, so
that whoever starts later can tell a dead process's file from a living one's; a process id may be used again.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

OPEN, CLOSED = ".open", ".jsonl"
READ_AT_ONCE = 1 << 20


class Segment:
    """One open file. It grows by whole lines: what a full disk cuts off is taken back."""

    def __init__(self, folder: Path, write: Callable[[int, memoryview], int] = os.write) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._write = write
        self.size = 0
        self.began = time.monotonic()
        while True:
            self.path = folder / f"{time.time_ns()}-{os.getpid()}{OPEN}"
            self.file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
            if _take(self.file, self.path):
                return
            os.close(self.file)  # a process that just starts took it for an orphan

    def append(self, lines: bytes) -> tuple[int, OSError | None]:
        """(bytes written, which are whole lines; what stopped it). Raises OSError if half a line stays."""
        view, done, error = memoryview(lines), 0, None
        try:
            while done < len(lines):
                done += self._write(self.file, view[done:])
        except OSError as trouble:
            error = trouble
        kept = done if done == len(lines) else lines.rfind(b"\n", 0, done) + 1
        if kept < done:
            os.ftruncate(self.file, self.size + kept)
        self.size += kept
        return kept, error

    def close(self) -> None:
        """Make it a closed segment; an empty one disappears."""
        try:
            _close(self.path, self.file, self.size)
        finally:
            os.close(self.file)

    def abandon(self) -> None:
        """Leave the file as it is: whoever starts next closes it, without the line that is not whole."""
        os.close(self.file)


def adopt(folder: Path) -> None:
    """Close what dead processes left open in ``folder``, without the line that they did not finish."""
    for path in sorted(folder.glob(f"*{OPEN}")):
        with contextlib.suppress(OSError):  # another process that starts may be at it, too
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                if _take(file, path):
                    size = _whole_lines(file)
                    os.ftruncate(file, size)
                    _close(path, file, size)
            finally:
                os.close(file)


def retain(project: Path, seconds: float, size: float) -> None:
    """Remove the closed segments under ``project``/*/ that are older than ``seconds``, and the oldest beyond ``size``
    bytes."""
    found = []
    for path in project.glob(f"*/*{CLOSED}"):
        with contextlib.suppress(FileNotFoundError):
            facts = path.stat()
            found.append((facts.st_mtime, facts.st_size, path))
    total, now = 0, time.time()
    for written, length, path in sorted(found, reverse=True):
        total += length
        if total > size or now - written > seconds:
            path.unlink(missing_ok=True)


def _take(file: int, path: Path) -> bool:
    """Whether this process now holds the file, and it still has that name."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return path.stat().st_ino == os.fstat(file).st_ino
    except (BlockingIOError, FileNotFoundError):
        return False


def _close(path: Path, file: int, size: int) -> None:
    if size == 0:
        path.unlink(missing_ok=True)
        return
    os.fsync(file)
    path.rename(path.with_suffix(CLOSED))


def _whole_lines(file: int) -> int:
    """The size of the file up to its last newline."""
    end = os.fstat(file).st_size
    while end > 0:
        start = max(0, end - READ_AT_ONCE)
        found = os.pread(file, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
