"""Whether an alarm is answered by a new training, by a person, or by nothing yet. Pure; the time is passed in.

Rows that no longer fit the schema are for a person: a model trained on them would learn the fault (Google, "MLOps:
continuous delivery and automation pipelines", level 1). Values, answers or quality that moved are for a training. It
is held back by what keeps an alarm that flaps, or that no training can quiet, from training for ever: a pause between
two, a daily budget, labels that are new, and a limit of trainings in a row that did not help.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

from penstock.alarms import Alarm
from penstock.ledger import Kind
from penstock.refs import Value
from penstock.retrain_config import RetrainConfig
from penstock.retrain_history import JOIN, Attempt, History


class LabelNews(Value):
    """How many labels came or changed since the last training of the project."""

    since_training: int


class Decision(Value):
    """What to do. "stop" asks for nothing more until a person resumes it; ``page``: that person is to be told now.

    ``causes``: of the alarms it is about. ``facts``: the numbers it was made from, for the ledger.
    """

    action: Literal["retrain", "stop", "no"]
    page: bool
    causes: tuple[str, ...]
    reasons: tuple[str, ...]
    facts: dict[str, str]

    def __str__(self) -> str:
        return f"{self.action}: {'; '.join(self.reasons)}"


class Outcome(Value):
    """Whether a training helped; None: it cannot be told yet."""

    helped: bool | None
    reason: str


def decide(
    history: History, now: datetime, alarms: Sequence[Alarm], labels: LabelNews, config: RetrainConfig
) -> Decision:
    """What the ``alarms`` that are raised ``now`` (a time with its zone) call for. Asked as often as one likes.

    What it decides counts only once it is in the ledger: append "retrain asked" or "retraining stopped" before acting.
    """
    causes = tuple(dict.fromkeys(alarm.cause for alarm in alarms))
    facts = _facts(history, now, labels, config)

    def decided(action: Literal["retrain", "stop", "no"], *reasons: str, page: bool = False) -> Decision:
        return Decision(action=action, page=page, causes=causes, reasons=reasons, facts=facts)

    if not alarms:
        return decided("no", "there is no alarm")
    skew = [alarm.reason for alarm in alarms if alarm.cause == "schema skew"]
    if skew and not (history.stop and "schema skew" in history.stop.causes):
        return decided("stop", *skew, "rows that do not fit the schema are for a person to look at", page=True)
    if history.stop:
        since = f"{history.stop.time:%Y-%m-%d %H:%M}"
        return decided("no", f"retraining is stopped since {since}, until a person resumes it: {history.stop.reason}")
    failed = history.without_help + len(_silent(history, now, config))
    if failed >= config.max_without_help:
        return decided("stop", f"{failed} trainings in a row did not clear the alarm", page=True)
    held = [*_held_back(history, now, alarms, labels, config)]
    if held:
        return decided("no", *held)
    return decided("retrain", *(alarm.reason for alarm in alarms if alarm.cause in config.on))


def cleared(
    attempt: Attempt,
    alarms: Sequence[Alarm],
    measured: Sequence[str],
    now: datetime,
    config: RetrainConfig,
) -> Outcome:
    """Whether the training ``attempt`` cleared what it was asked for.

    ``alarms``: raised now, by what was served since it was deployed; ``measured``: causes that could be judged by that.
    """
    if attempt.helped is not None:
        return Outcome(helped=attempt.helped, reason="judged already")
    if attempt.deployed is None:
        if now - attempt.time < timedelta(hours=config.give_up_hours):
            return Outcome(helped=None, reason="its release does not serve yet")
        return Outcome(helped=False, reason=f"nothing of it serves after {config.give_up_hours:g} hours")
    raised = {alarm.cause: alarm.reason for alarm in alarms}
    stayed = [raised[cause] for cause in attempt.causes if cause in raised and cause in measured]  # type: ignore[index]
    if stayed:
        return Outcome(helped=False, reason="; ".join(stayed))
    waits = [cause for cause in attempt.causes if cause not in measured]
    if waits:
        return Outcome(helped=None, reason=f"{', '.join(waits)} cannot be judged yet")
    return Outcome(helped=True, reason=f"{', '.join(attempt.causes)}: no alarm since it serves")


def to_tell(history: History, decision: Decision) -> tuple[Kind, str, dict[str, str]] | None:
    """(kind, reason, facts) of the event that records ``decision``; None if there is nothing new to record.

    Being held back is told once for the same causes, until something else happens.
    """
    kinds: dict[str, Kind] = {"retrain": "retrain asked", "stop": "retraining stopped", "no": "retrain not asked"}
    if decision.action == "no" and decision.causes in ((), history.refused):
        return None
    return kinds[decision.action], "; ".join(decision.reasons), decision.facts | {"causes": JOIN.join(decision.causes)}


def _held_back(
    history: History, now: datetime, alarms: Sequence[Alarm], labels: LabelNews, config: RetrainConfig
) -> Iterator[str]:
    """Every reason not to train now."""
    wanted = [alarm.cause for alarm in alarms if alarm.cause in config.on]
    if not config.enabled:
        yield "`retrain.enabled` is false"
    if not wanted:
        yield f"`retrain.on` has none of {', '.join(dict.fromkeys(alarm.cause for alarm in alarms))}"
    running = [one for one in history.attempts if _runs(one, now, config)]
    if running:
        yield f"the training asked for at {running[-1].time:%Y-%m-%d %H:%M} is not deployed yet"
    if wanted and not running and all(_waits(history, cause) for cause in wanted):
        yield "what serves now was trained for it, and has not been judged yet"
    last = history.attempts[-1].time if history.attempts else None
    if last and now - last < timedelta(hours=config.cooldown_hours):
        yield f"the last one was {_hours(now - last):.1f} h ago, and the cooldown is {config.cooldown_hours:g} h"
    today = _today(history, now)
    if today >= config.daily_budget:
        yield f"{today} of {config.daily_budget} a day were asked for today"
    needed = config.min_new_labels
    if any(_tried(history, cause) for cause in wanted):
        needed = max(needed, 1)  # the same rows would give the same model
    if labels.since_training < needed:
        yield f"{labels.since_training:,} labels are new since the last training, it needs {needed:,}"


def _facts(history: History, now: datetime, labels: LabelNews, config: RetrainConfig) -> dict[str, str]:
    return {
        "asked_today": str(_today(history, now)),
        "daily_budget": str(config.daily_budget),
        "hours_since_last": f"{_hours(now - history.attempts[-1].time):.2f}" if history.attempts else "",
        "cooldown_hours": f"{config.cooldown_hours:g}",
        "new_labels": str(labels.since_training),
        "min_new_labels": str(config.min_new_labels),
        "without_help": str(history.without_help + len(_silent(history, now, config))),
        "max_without_help": str(config.max_without_help),
    }


def _runs(attempt: Attempt, now: datetime, config: RetrainConfig) -> bool:
    young = now - attempt.time < timedelta(hours=config.give_up_hours)
    return attempt.waits and young


def _silent(history: History, now: datetime, config: RetrainConfig) -> list[Attempt]:
    """Trainings that nothing was heard of for too long: the process that led them ended."""
    return [
        one
        for one in history.attempts
        if one.waits and one.asked > history.counted_from and not _runs(one, now, config)
    ]


def _waits(history: History, cause: str) -> bool:
    """Whether a release that was trained for ``cause`` serves, and the alarm neither cleared nor was judged since."""
    return any(
        one.deployed and one.helped is None and cause in one.causes and cause not in one.cleared
        for one in history.attempts
    )


def _tried(history: History, cause: str) -> bool:
    """Whether a training was asked for because of ``cause`` since its alarm last cleared."""
    return any(cause in one.causes and cause not in one.cleared for one in history.attempts)


def _today(history: History, now: datetime) -> int:
    day = now.astimezone(UTC).date()
    return sum(one.time.astimezone(UTC).date() == day for one in history.attempts)


def _hours(span: timedelta) -> float:
    return span.total_seconds() / 3600
