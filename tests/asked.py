"""A ledger in memory of trainings that were asked for, and how they ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from penstock.alarms import Alarm
from penstock.ledger import Event
from penstock.refs import FileRef
from penstock.retrain import LabelNews, decide
from penstock.retrain_config import RetrainConfig
from penstock.retrain_history import History, after

CONFIG = RetrainConfig(enabled=True, cooldown_hours=24, daily_budget=1, min_new_labels=100, max_without_help=2)


START = datetime(2024, 1, 1, tzinfo=UTC)


DRIFT = Alarm(cause="value drift", reason="temp moved")
ANSWERS = Alarm(cause="prediction drift", reason="the mean rose")
DROP = Alarm(cause="performance drop", reason="auc fell")


ENOUGH = LabelNews(since_training=100)


RECORD = FileRef(name="record.json", sha256="0" * 64, size=1)


class Ledger:
    """Events in memory, at hours since START."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.history = History()

    def add(self, hours: float, kind: str, version: str = "m-v1", reason: str = "", **facts: str) -> Event:
        time = (START + timedelta(hours=hours)).isoformat(timespec="milliseconds")
        event = Event(
            sequence=len(self.events) + 1, time=time, kind=kind, project="m", version=version, identity="i", by="b",
            reason=reason, record=RECORD, facts=facts,
        )  # fmt: skip
        self.events.append(event)
        self.history = after(self.history, event)
        return event

    def decide(self, hours: float, *alarms: Alarm, labels: LabelNews = ENOUGH, config: RetrainConfig = CONFIG):
        return decide(self.history, START + timedelta(hours=hours), alarms, labels, config)


def tried(hours: float = 0, helped: bool | None = None, cause: str = "value drift", deployed: bool = True) -> Ledger:
    """A training asked for at ``hours``, deployed an hour later, judged two hours later."""
    ledger = Ledger()
    asked = ledger.add(hours, "retrain asked", causes=cause)
    if deployed:
        ledger.add(hours + 1, "promoted", "m-v2")
    if helped is not None:
        ledger.add(hours + 2, "retrain helped" if helped else "retrain did not help", asked=str(asked.sequence))
    return ledger
