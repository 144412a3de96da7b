"""Runs a command and measures it: wall and CPU seconds, and the memory of its processes."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

STEP = 0.02  # seconds between two looks at the processes


@dataclass(frozen=True)
class Measured:
    """``peak_mb``: of the largest single process that the command started, itself included (VmHWM). ``tree_mb``: most
    of what all of them together were seen to hold; memory that they share counts for each. ``cpu``: user and system
    seconds of those that were waited for.
    """

    wall: float
    peak_mb: float
    tree_mb: float
    cpu: float
    output: str


def measure(command: list[str], cwd: Path, environment: dict[str, str], log: Path, every: float = STEP) -> Measured:
    """Run ``command`` to its end, with a look at its processes ``every`` so many seconds.

    Raises SystemExit with the end of its output if it fails.
    """
    with log.open("wb") as sink:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=cwd, env={**os.environ, **environment}, stdout=sink, stderr=sink)
        peaks: dict[int, float] = {}
        most = 0.0
        try:
            while process.poll() is None:
                now: dict[int, float] = {}
                for member in _tree(process.pid):
                    with contextlib.suppress(OSError, KeyError):  # it has ended
                        peak, now[member] = _memory(member)
                        peaks[member] = max(peaks.get(member, 0.0), peak)
                # of one process its own high water, which no look can miss
                most = max(most, peaks[next(iter(now))] if len(now) == 1 else sum(now.values()))
                time.sleep(every)
        finally:
            # if we are to end, so are they
            for member in reversed(_tree(process.pid) if process.poll() is None else []):
                with contextlib.suppress(OSError):
                    os.kill(member, signal.SIGKILL)
            process.wait()
        wall = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    output = log.read_text(errors="replace")
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{output[-3000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(wall, max(peaks.values(), default=0.0), most, cpu, output)


def _tree(root: int) -> list[int]:
    """A process and its descendants. The Prefect server is none: supervisord has detached itself."""
    try:
        top = psutil.Process(root)
        return [root, *(child.pid for child in top.children(recursive=True) if not _is_platform(child))]
    except psutil.Error:
        return []


def _is_platform(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return "supervisor" in " ".join(process.cmdline())
    return False


def _memory(pid: int) -> tuple[float, float]:
    """(most that was ever resident, what is now), MB."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024, int(status["VmRSS"].split()[0]) / 1024
