"""What is known of a project's retraining: a fold over its ledger. Pure; who decides by it is `penstock/retrain.py`.

Events and their facts (all text): "alarm" and "alarm cleared": `cause`. "retrain asked", "retrain not asked" and
"retraining stopped": `causes`, joined by ", ". "retrain helped", "retrain did not help": `asked`, the number of the
"retrain asked" event.

What is "registered" after "retrain asked" is what the training made, and "promoted" says that it serves. It did not
help if nothing serves of it: its candidate was "rejected", or its rollout "failed", was "held" or "refused", or the
release is "quarantined" before it was judged. A person may bring it into production all the same; that is not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pydantic import Field

from penstock.ledger import Event
from penstock.refs import Value

JOIN = ", "


class Attempt(Value):
    """A training that was asked for. ``version``: what it made, and serves since ``deployed``; ``helped``: None until
    that is known; ``cleared``: those of its ``causes`` whose alarm has cleared since."""

    asked: int  # the event's number
    time: datetime
    causes: tuple[str, ...]
    version: str = ""
    deployed: datetime | None = None
    helped: bool | None = None
    cleared: tuple[str, ...] = ()

    @property
    def waits(self) -> bool:
        """Whether nothing of it serves yet, and it has not failed either."""
        return self.deployed is None and self.helped is None


class Stop(Value):
    """Retraining was stopped: ``causes`` are those of the alarms then."""

    time: datetime
    causes: tuple[str, ...]
    reason: str


class History(Value):
    """``attempts``: oldest first. ``alarms``: the causes that are raised, and since when. ``stop``: unless a person has
    resumed it. ``without_help``: attempts in a row that did not help, of those after event ``counted_from``: one that
    did, or a person's word. ``refused``: the causes of the last "retrain not asked", if nothing came after it."""

    attempts: tuple[Attempt, ...] = ()
    alarms: dict[str, datetime] = Field(default_factory=dict)
    stop: Stop | None = None
    without_help: int = 0
    counted_from: int = 0
    refused: tuple[str, ...] = ()


def fold(events: Sequence[Event]) -> History:
    """The history that a project's ``events`` tell, oldest first. Kinds that are not of retraining are passed over."""
    history = History()
    for event in events:
        history = after(history, event)
    return history


def after(history: History, event: Event) -> History:
    """``history`` and one event more."""
    time, causes = datetime.fromisoformat(event.time), _causes(event)
    match event.kind:
        case "alarm":
            return _with(history, alarms={event.facts["cause"]: time} | history.alarms)
        case "alarm cleared":
            return _cleared(history, event.facts["cause"])
        case "retrain asked":
            asked = Attempt(asked=event.sequence, time=time, causes=causes)
            return _with(history, attempts=(*history.attempts, asked), refused=())
        case "retrain not asked":
            return _with(history, refused=causes)
        case "retrain helped" | "retrain did not help":
            return _judged(history, int(event.facts["asked"]), event.kind == "retrain helped")
        case "retraining stopped":
            return _with(history, stop=Stop(time=time, causes=causes, reason=event.reason), refused=())
        case "retraining resumed":
            return _with(history, stop=None, without_help=0, counted_from=event.sequence, refused=())
        case "registered":
            return _made(history, event.version)
        case "promoted":
            return _deployed(history, event.version, time)
        case "rejected":
            newest = history.attempts[-1:]
            return _judged(history, newest[0].asked, False) if newest and not newest[0].version else history
        case "failed" | "held" | "refused" | "quarantined":
            open_ = [one.asked for one in history.attempts if one.version == event.version and one.helped is None]
            return _judged(history, open_[-1], False) if open_ else history
    return history


def _causes(event: Event) -> tuple[str, ...]:
    return tuple(filter(None, event.facts.get("causes", "").split(JOIN)))


def _cleared(history: History, cause: str) -> History:
    left = {name: since for name, since in history.alarms.items() if name != cause}
    attempts = tuple(
        one.model_copy(update={"cleared": (*one.cleared, cause)})
        if cause in one.causes and cause not in one.cleared
        else one
        for one in history.attempts
    )
    return _with(history, alarms=left, attempts=attempts, refused=())


def _judged(history: History, asked: int, helped: bool) -> History:
    """An attempt was judged; the second word on one changes nothing."""
    if not any(one.asked == asked and one.helped is None for one in history.attempts):
        return history
    attempts = tuple(
        one.model_copy(update={"helped": helped, "cleared": one.causes if helped else one.cleared})
        if one.asked == asked
        else one
        for one in history.attempts
    )
    counted = {"without_help": 0, "counted_from": asked} if helped else {"without_help": history.without_help + 1}
    return _with(history, attempts=attempts, refused=(), **counted)


def _made(history: History, version: str) -> History:
    """A release was made: it is that of the newest attempt, if that one has none yet."""
    if not history.attempts or not history.attempts[-1].waits or history.attempts[-1].version:
        return history
    newest = history.attempts[-1].model_copy(update={"version": version})
    return _with(history, attempts=(*history.attempts[:-1], newest))


def _deployed(history: History, version: str, time: datetime) -> History:
    """A release took over: it is that of the newest attempt, if that one waits for it, or for any."""
    if not history.attempts or not history.attempts[-1].waits or history.attempts[-1].version not in ("", version):
        return history
    newest = history.attempts[-1].model_copy(update={"version": version, "deployed": time})
    return _with(history, attempts=(*history.attempts[:-1], newest))


def _with(history: History, **changes: object) -> History:
    return history.model_copy(update=changes)
