"""Measures the steps of the process it runs in: wall and CPU seconds, and the most memory that was resident meanwhile.

What its children do counts, too. CPU seconds are user and system; of several processes the memory is the sum of what
each held at most. Linux only: VmHWM is set back by writing to /proc/PID/clear_refs (proc(5)).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import psutil


def pinned(processors: int) -> None:
    """Let this process and what it starts run on so many processors: every library then starts as many threads."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-processors:])
    for name in ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "PENSTOCK_THREADS"):
        os.environ[name] = str(processors)


class Meter:
    """``steps``: {name: {"wall": s, "cpu": s, "peak": MB}} in the order in which they ended."""

    def __init__(self) -> None:
        self.steps: dict[str, dict[str, float]] = {}

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        for process in _family():
            with contextlib.suppress(OSError):
                Path(f"/proc/{process.pid}/clear_refs").write_text("5")
        wall, cpu = time.perf_counter(), _cpu()
        yield
        self.steps[name] = {
            "wall": round(time.perf_counter() - wall, 3),
            "cpu": round(_cpu() - cpu, 3),
            "peak": round(high_water(), 1),
        }


def high_water() -> float:
    """Most MB that were resident since the last step began."""
    most = 0.0
    for process in _family():
        with contextlib.suppress(OSError, KeyError):  # it has ended
            text = Path(f"/proc/{process.pid}/status").read_text()
            most += int(dict(line.split(":", 1) for line in text.splitlines())["VmHWM"].split()[0]) / 1024
    return most


def _cpu() -> float:
    taken = 0.0
    for process in _family():
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            taken += times.user + times.system + times.children_user + times.children_system
    return taken


def _family() -> list[psutil.Process]:
    mine = psutil.Process()
    return [mine, *mine.children(recursive=True)]
