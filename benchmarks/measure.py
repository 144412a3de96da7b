"""Runs a command and measures it: wall seconds, and the largest process of its tree by VmHWM."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

STEP = 0.02  # seconds between two looks at the processes


@dataclass(frozen=True)
class Measured:
    """``peak_mb``: of the largest single process that the command started, itself included."""

    wall: float
    peak_mb: float
    output: str


def measure(command: list[str], cwd: Path, environment: dict[str, str], log: Path) -> Measured:
    """Run ``command`` to its end. Raises SystemExit with the end of its output if it fails."""
    with log.open("wb") as sink:
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=cwd, env={**os.environ, **environment}, stdout=sink, stderr=sink)
        peaks: dict[int, float] = {}
        while process.poll() is None:
            for member in _tree(process.pid):
                with contextlib.suppress(OSError, ValueError):
                    peaks[member] = max(peaks.get(member, 0.0), _high_water(member))
            time.sleep(STEP)
        wall = time.perf_counter() - began
    output = log.read_text(errors="replace")
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{output[-3000:]}")
    return Measured(wall, max(peaks.values(), default=0.0), output)


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


def _high_water(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0
