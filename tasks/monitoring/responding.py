"""What follows from what monitoring found: alarms in the ledger, and a decision whether to train, to stop, or neither.

Everything that is decided is written to the ledger before it is acted on; the acting is that event's, which triggers of
`prefect.yaml` and alerts follow.
"""

from __future__ import annotations

from datetime import datetime

from penstock import ledger
from penstock.alarm import alarm as window_alarm
from penstock.alarms import Alarm, performance_drop
from penstock.config import Project
from penstock.live_metrics import WindowScore
from penstock.monitor_config import Kind
from penstock.retrain import Decision, cleared
from penstock.retrain_config import Cause
from penstock.window import WindowDrift
from tasks.machine import clock
from tasks.monitoring import verdict_store
from tasks.monitoring.retraining import decide_and_tell, retrain_history, tell_of_serving, untold
from tasks.monitoring.score_store import stored_scores
from tasks.monitoring.verdict_store import judged
from tasks.platform import events
from tasks.registry.registry import read_ledger
from tasks.registry.releases import holdout
from tasks.store.caching import task

NOTHING = -1  # no window's number
CAUSES: dict[Kind, Cause] = {"schema": "schema skew", "value": "value drift", "prediction": "prediction drift"}


@task(cached=False)
def raise_alarms(project: Project) -> list[Alarm]:
    """The alarms that are raised now, by the last windows and by labelled periods; news go to the ledger."""
    windows = judged(project.name)
    alarms, measured = _found(project, windows)
    raised = {alarm.cause for alarm in alarms}
    known = retrain_history(project.name).alarms
    for alarm in alarms:
        if alarm.cause not in known:
            tell_of_serving(project.name, "alarm", alarm.reason, cause=alarm.cause, **alarm.facts)
    for cause in known:
        if cause not in raised and cause in measured:
            tell_of_serving(project.name, "alarm cleared", f"{cause}: back within its limits", cause=cause)
    _judge_trainings(project, alarms, measured, windows)
    return alarms


@task(cached=False)
def respond(project: Project, alarms: list[Alarm], again: bool = False) -> Decision:
    """Decide and write it down, which tells those that act: `retrain.asked`, or `retraining.stopped` for a person.

    ``again``: an earlier run was killed and may have written down what it could not tell; then it is told again. A
    training that is asked for twice finds that it has been done.
    """
    if alarms:
        verdict_store.tell_answered(project.name, NOTHING)  # a kill from here on leaves that behind
    before = untold(project.name) if again else None
    if before is not None:
        events.tell_of(before)
    decision, _ = decide_and_tell(project, alarms, clock.now())
    verdict_store.tell_answered(project.name, verdict_store.newest_window(project.name))
    return decision


def is_answered(project: Project) -> bool:
    """Whether what followed from the newest window is in the ledger, and was told."""
    return verdict_store.answered(project.name) == verdict_store.newest_window(project.name)


def _found(project: Project, windows: list[WindowDrift]) -> tuple[list[Alarm], list[Cause]]:
    """(alarms, causes that could be decided at all)."""
    found, measured = [], []
    for one in window_alarm(windows, project.monitor).kinds:
        cause = CAUSES.get(one.kind)
        if cause is not None and one.decided:
            measured.append(cause)
        if cause is not None and one.raised:
            found.append(Alarm(cause=cause, reason="; ".join(one.reasons)))
    score = _latest_final(project)
    if score is not None:
        measured.append("performance drop")
        metric = project.live_metric
        on_test_rows = holdout(project.name, score.model, metric)
        drop = performance_drop(metric, score.metrics.get(metric), on_test_rows, score.final, project.retrain)
        found += [drop] if drop else []
    return found, measured


def _latest_final(project: Project) -> WindowScore | None:
    """The newest period that is final, of the release that serves."""
    serves = ledger.serving(read_ledger(project.name))
    scores = [one for one in stored_scores(project) if one.final and serves and one.model == serves.version]
    return scores[-1] if scores else None


def _judge_trainings(project: Project, alarms: list[Alarm], measured: list[Cause], windows: list[WindowDrift]) -> None:
    """Whether the last training that was asked for has helped, once that can be told."""
    now = clock.now()
    for attempt in retrain_history(project.name).attempts:
        if attempt.helped is None:
            since = _since(windows, attempt.deployed, measured)
            outcome = cleared(attempt, alarms, since, now, project.retrain)
            if outcome.helped is not None:
                kind: ledger.Kind = "retrain helped" if outcome.helped else "retrain did not help"
                tell_of_serving(project.name, kind, outcome.reason, asked=attempt.asked)


def _since(windows: list[WindowDrift], deployed: datetime | None, measured: list[Cause]) -> list[Cause]:
    """The causes that what was served since then could be judged by."""
    if deployed is None or not windows or windows[-1].start < deployed.timestamp():
        return []
    return measured
