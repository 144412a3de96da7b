"""monitor: what was served since the last time is taken, compared with the training data, and answered.

Reads closed segments of the prediction log, each once; writes windows, their verdicts and a report; appends alarms and
decisions to the ledger. What follows, a training or a person's attention, starts from the events it emits.
"""

from __future__ import annotations

from flows.lifecycle import flow
from penstock.alarms import Alarm
from penstock.collected import Collected
from penstock.refs import Value
from penstock.retrain import Decision
from penstock.window import WindowDrift
from tasks.caching import scope
from tasks.collecting import collect_window, monitoring
from tasks.project import load_project
from tasks.responding import raise_alarms, respond
from tasks.watching import judge_window, report_drift


class Monitored(Value):
    """What a monitor run found. ``window``: None while the next one is neither full nor over."""

    project: str
    window: Collected | None
    verdict: WindowDrift | None
    alarms: tuple[Alarm, ...]
    decision: Decision
    report: str

    def __str__(self) -> str:
        lines = [f"{self.project}: {self.window or 'no window is full or over yet'}"]
        if self.verdict:
            lines.append(f"  {self.verdict}")
        lines += [f"  ALARM {alarm.cause}: {alarm.reason}" for alarm in self.alarms]
        lines.append(f"  retrain: {self.decision}")
        return "\n".join([*lines, *([f"  report: {self.report}"] if self.report else [])])


@flow
def monitor(config: str, close: bool = False) -> Monitored:
    """Take the next window if it is full or over, judge it, and decide what is to follow.

    ``config``: a project's name or its YAML's path. ``close``: take what there is, however little.
    """
    project = load_project(config)
    scope.set(project.name)
    with monitoring(project.name):
        window = collect_window(project, close)
        judgement = judge_window(project, window) if window else None
        alarms = raise_alarms(project)
        decision = respond(project, alarms)
        report = report_drift(project, judgement) if judgement else ""
    return Monitored(
        project=project.name,
        window=window,
        verdict=judgement.verdict if judgement else None,
        alarms=tuple(alarms),
        decision=decision,
        report=report,
    )
