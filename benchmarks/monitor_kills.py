"""kill -9 of monitor runs, and what the windows, verdicts, scores and the ledger show of it afterwards.

Needs a checkout of `benchmarks/tiny.py` with a release; nothing has to serve.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.served_log import ServedLog
from benchmarks.tiny import Tiny
from penstock.alarm import alarm
from penstock.config import Project
from tasks.monitoring import verdict_store
from tasks.monitoring.collected_store import closed_segments, read_windows
from tasks.monitoring.responding import CAUSES, is_answered
from tasks.monitoring.score_store import progress, stored_periods
from tasks.monitoring.served_store import read_served
from tasks.registry.registry import read_ledger

KILLED = -signal.SIGKILL


@dataclass
class Nursery:
    """See `benchmarks/monitor_nursery.py`."""

    process: subprocess.Popen[str]

    def run(self, kill_at: int = -1, kill_after: float | None = None) -> int:
        """A monitor run's exit code. ``kill_after``: seconds until it is killed from outside."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{kill_at}\n")
        self.process.stdin.flush()
        pid = int(self.process.stdout.readline())
        if kill_after is not None:
            time.sleep(kill_after)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return int(self.process.stdout.readline())


@contextlib.contextmanager
def nursery(tiny: Tiny) -> Iterator[Nursery]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.monitor_nursery"],
        cwd=tiny.root,
        env={**os.environ, **tiny.environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Nursery(process)
    finally:
        process.communicate(timeout=60)


def served(log: ServedLog, chance: random.Random) -> None:
    """One or two segments; half of the time, of rows that have drifted."""
    drifted = chance.random() < 0.5
    for _ in range(chance.choice((1, 2))):
        log.segment(
            chance.randint(120, 300),
            change=lambda row: {**row, "size": (row["size"] or 0) * 0.2} if drifted else row,
        )


def disagreements(project: Project, log: ServedLog) -> list[str]:
    """What is not as if no monitor had been killed."""
    windows, wrong = read_windows(project.name), []
    rows = read_served(windows)
    if (rows.height, rows["request_id"].n_unique()) != (log.written, log.written):
        wrong.append(f"{rows.height} rows of {rows['request_id'].n_unique()} requests in windows, {log.written} served")
    if sum(window.counts.requests for window in windows) != log.written:
        wrong.append(f"{sum(window.counts.requests for window in windows)} requests counted, {log.written} served")
    if sum(len(window.segments) for window in windows) != len(closed_segments(project.name)):
        wrong.append("segments that no window has")
    unjudged = [window.number for window in windows if not verdict_store.is_judged(project.name, window.number)]
    wrong += [f"no verdict on windows {unjudged}"] if unjudged else []
    wrong += [] if is_answered(project) else ["the last window was not answered"]
    scored = sum(period.coverage.served for period in stored_periods(project))
    if scored != log.written or progress(project).windows != len(windows):
        wrong.append(f"{scored} rows in scores of {progress(project).windows} windows, {log.written} served")
    told = [
        (event.kind, event.facts["cause"])
        for event in read_ledger(project.name)
        if event.kind in ("alarm", "alarm cleared")
    ]
    due = _alarms(project)
    if told != due:
        wrong.append(f"alarms in the ledger {told}, due {due}")
    return wrong


def _alarms(project: Project) -> list[tuple[str, str]]:
    """What the ledger has to tell of alarms, by the verdicts one after another."""
    verdicts = verdict_store.judged(project.name)
    raised: set[str] = set()
    told = []
    for number in range(1, len(verdicts) + 1):
        kinds = [one for one in alarm(verdicts[:number], project.monitor).kinds if one.kind in CAUSES and one.judged]
        for one in kinds:
            cause = CAUSES[one.kind]
            if one.raised and cause not in raised:
                told.append(("alarm", str(cause)))
                raised.add(cause)
        for cause in [cause for cause in raised if cause in [CAUSES[one.kind] for one in kinds if not one.raised]]:
            told.append(("alarm cleared", str(cause)))
            raised.remove(cause)
    return told
