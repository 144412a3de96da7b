"""monitor: what was served since the last time is taken, compared with the training data, and answered.

Reads closed segments of the prediction log, each once; writes windows, their verdicts, scores of labelled periods and a
report; appends alarms and decisions to the ledger. What follows, a training or a person's attention, starts from the
events it emits. A run that was killed is made up for by the next, before that takes anything new.
"""

from __future__ import annotations

from flows.lifecycle import flow
from penstock.alarms import Alarm
from penstock.collected import Collected
from penstock.config import Project
from penstock.estimate import estimated
from penstock.live_metrics import SHOWN, WindowScore
from penstock.refs import Value
from penstock.retrain import Decision
from penstock.window import WindowDrift
from tasks.data.project import load_project
from tasks.monitoring.collecting import collect_window, monitoring
from tasks.monitoring.merging import merge_profiles
from tasks.monitoring.responding import is_answered, raise_alarms, respond
from tasks.monitoring.score_store import live_quality
from tasks.monitoring.scoring import score_periods
from tasks.monitoring.watching import judge_windows, report_drift
from tasks.registry.ended import tell_expired
from tasks.store.caching import scope


class Monitored(Value):
    """What a monitor run found. ``window``: None while the next one is neither full nor over.

    ``live``: the last period of labelled predictions; ``verdict`` has the estimate of what has no labels yet.
    """

    project: str
    window: Collected | None
    verdict: WindowDrift | None
    live: WindowScore | None
    alarms: tuple[Alarm, ...]
    decision: Decision
    report: str

    def __str__(self) -> str:
        lines = [f"{self.project}: {self.window or 'no window is full or over yet'}"]
        if self.verdict:
            lines.append(f"  {self.verdict}")
            if self.verdict.earlier:
                lines.append(f"  beside the window before: {self.verdict.earlier}")
            if self.verdict.estimate:
                lines.append(f"  without labels: {estimated(self.verdict.estimate, SHOWN)}")
        if self.live:
            lines.append(f"  labelled: {self.live}")
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
    tell_expired(project.name)
    with monitoring(project.name):
        left = None if is_answered(project) else _answered(project, again=True)
        window = collect_window(project, close)
        found = _answered(project) if window or left is None else left
        merged, live = merge_profiles(project), live_quality(project)
        report = report_drift(project, news=bool(window or left or found.scored or merged))
    return Monitored(
        project=project.name,
        window=window,
        verdict=found.verdict,
        live=live,
        alarms=tuple(found.alarms),
        decision=found.decision,
        report=report,
    )


class Answer(Value):
    """What was found in a window that had none, and what follows."""

    verdict: WindowDrift | None
    scored: tuple[str, ...]
    alarms: tuple[Alarm, ...]
    decision: Decision


def _answered(project: Project, again: bool = False) -> Answer:
    """Verdict, scores, alarms, decision. ``again``: a run that was killed may have been at it before."""
    verdict = judge_windows(project)
    scored = score_periods(project)
    alarms = raise_alarms(project)
    decision = respond(project, alarms, again)
    return Answer(verdict=verdict, scored=tuple(scored), alarms=tuple(alarms), decision=decision)
