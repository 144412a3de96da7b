"""What a simulation says while it goes on, and at its end."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime

from penstock.errors import RolloutError
from penstock.intervals import Measured
from penstock.ledger import Event
from penstock.refs import Value
from penstock.simulation import Scenario
from penstock.task_type import LiveMetric
from tasks.machine import clock
from tasks.registry.registry import read_ledger, recorded_candidate, release_of

QUIET = {"staged", "retrain not asked"}
MARKS = {
    "registered": "✓", "promoted": "✓", "healthy": "✓", "retrain helped": "✓", "alarm cleared": "✓",
    "alarm": "!", "retraining stopped": "!", "forced": "!", "expired": "!",
    "rejected": "✗", "failed": "✗", "held": "✗", "rolled back": "✗", "retrain did not help": "✗",
}  # fmt: skip
WIDTH = 150


class Moment(Value):
    """Something that happened. ``time``: of the simulation (ISO 8601, UTC); ``seconds``: since it began, in truth."""

    time: str
    seconds: float
    what: str
    text: str

    def __str__(self) -> str:
        minutes, seconds = divmod(int(self.seconds), 60)
        head = f"  {self.time[:10]} {minutes:3}:{seconds:02}  {MARKS.get(self.what, ' ')} {self.what:<20} "
        text = self.text.replace("\n", " ")
        return head + (text if len(head) + len(text) <= WIDTH else text[: WIDTH - len(head) - 4] + " ...")


class Live(Value):
    """A release's quality in a month, by the labels that came. ``metric``: None where there were too few."""

    when: str  # "2013-10"; "" for all that it answered
    version: str
    labelled: int
    metric: Measured | None


class Simulated(Value):
    """How a simulation went. ``before`` and ``after``: the releases that served first and last, each over all that it
    answered; ``beside``: what the first would have been worth on the very rows that the last one answered."""

    project: str
    scenario: Scenario
    metric: LiveMetric
    moments: tuple[Moment, ...]
    live: tuple[Live, ...]
    before: Live
    after: Live | None
    beside: Measured | None
    requests: int
    failed: int
    refused: int
    predictions: int
    distinct: int
    labels: int
    retrains: int
    promoted: tuple[str, ...]
    rejected: tuple[str, ...]
    days: int
    seconds: float
    kept: str = ""

    def __str__(self) -> str:
        lines = ["", f"{self.project}: {self._verdict()}", ""]
        months = list(dict.fromkeys(one.when for one in self.live))
        versions = list(dict.fromkeys(one.version for one in self.live))
        lines.append(f"  live {self.metric:<10}" + "".join(f"{version:<38}" for version in versions).rstrip())
        for month in months:
            found = {one.version: one for one in self.live if one.when == month}
            cells = (_cell(found.get(version)) for version in versions)
            lines.append(f"  {month:<15}" + "".join(f"{cell:<38}" for cell in cells).rstrip())
        lines.append("")
        lines.append(f"  before: {self.before.version} {_shown(self.before)}")
        if self.after:
            beside = f"; on the same rows {self.before.version}: {_interval(self.beside)}" if self.beside else ""
            lines.append(f"  after:  {self.after.version} {_shown(self.after)}{beside}")
        else:
            lines.append(f"  after:  {self.before.version} still serves")
        lines.append("")
        refused = f", {self.refused:,} refused for their rows" if self.refused else ""
        lines.append(f"  {self.requests:,} requests, {self.failed:,} failed{refused}; {self.predictions:,} predictions "
                     f"counted, {self.labels:,} labels")  # fmt: skip
        promoted = ", ".join(self.promoted) or "none"
        lines.append(f"  {self.retrains} retrainings asked for; promoted: {promoted}; rejected: {len(self.rejected)}")
        lines += [f"    {reason}" for reason in self.rejected]
        lines.append(f"  {self.days} days in {self.seconds / 60:.1f} minutes")
        lines += [f"  kept:   {self.kept}"] if self.kept else []
        return "\n".join(lines)

    def require_well(self) -> None:
        """Raise RolloutError if a request failed, or if a shift that can be learnt did not end in a promotion."""
        if self.failed:
            raise RolloutError("Requests failed in the simulation.", found=f"{self.failed:,} of {self.requests:,}")
        if self.scenario == "concept" and self.after is None:
            raise RolloutError(
                "The planted shift did not end in a promotion.",
                found="; ".join(self.rejected) or self._verdict(),
                next_step="the timeline above says what the gates and the rollout decided",
            )

    def _verdict(self) -> str:
        if self.after is None:
            return "no retraining was asked for" if not self.retrains else "no new release passed; the champion stayed"
        return f"{self.after.version} took over from {self.before.version}"


class Timeline:
    """Tells each moment once, as it comes. News of the ledger are found by `news()`; ``say`` shows a line."""

    def __init__(self, project: str, metric: LiveMetric) -> None:
        self.project, self.metric, self._began = project, metric, time.monotonic()
        self.moments: list[Moment] = []
        self._known, self._lock = 0, threading.Lock()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def tell(self, what: str, text: str, at: datetime | None = None) -> None:
        moment = (at or clock.now()).isoformat(timespec="seconds")
        found = Moment(time=moment, seconds=round(self.seconds, 1), what=what, text=text)
        self.moments.append(found)
        sys.stderr.write(f"{found}\n")  # as steps are told; stdout is for the result
        sys.stderr.flush()

    def news(self) -> list[Event]:
        """What is new in the ledger, told."""
        with self._lock:
            events = read_ledger(self.project)[self._known :]
            self._known += len(events)
            for event in events:
                if event.kind not in QUIET:
                    self.tell(event.kind, _told(event, self.metric), datetime.fromisoformat(event.time))
        return events

    @contextlib.contextmanager
    def following(self) -> Iterator[None]:
        """News are told as they come while the block runs."""
        end = threading.Event()

        def follow() -> None:
            while not end.wait(0.5):
                self.news()

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join()


def _told(event: Event, metric: str) -> str:
    text = event.reason
    if event.kind == "alarm":
        return f"{event.facts['cause']}: {text}"
    if event.kind == "retrain asked":
        return f"for {event.facts['causes']}"
    if event.kind in ("registered", "rejected"):
        checks = [check for check in recorded_candidate.fn(release_of(event)).decision.checks if check.name == metric]
        beside = next((check for check in checks if check.baseline is not None), next(iter(checks), None))
        if beside is not None and beside.value is not None:
            champion = "" if beside.baseline is None else f", champion {beside.baseline:.4f} on the same rows"
            text = f"{text}; {metric} {beside.value:.4f} on test rows{champion}"
    return f"{event.version}: {text}" if event.version and event.version not in text else text


def _cell(live: Live | None) -> str:
    if live is None:
        return "-"
    return f"{_interval(live.metric)}, {live.labelled:,} rows" if live.metric else f"{live.labelled:,} rows: too few"


def _shown(live: Live) -> str:
    if live.metric is None:
        return f"{live.labelled:,} labelled rows are too few"
    return f"{_interval(live.metric)} on {live.labelled:,} labelled rows"


def _interval(found: Measured | None) -> str:
    return f"{found.value:.3f} ({found.low:.3f} .. {found.high:.3f})" if found else "-"
