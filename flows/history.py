"""history: which release served production when, why, and who did it. Reads the ledger only."""

from __future__ import annotations

from datetime import UTC, datetime

from penstock import forcing, ledger
from penstock.errors import ConfigError
from penstock.ledger import Event, Tenure, moment
from penstock.refs import Value
from tasks.data.project import config_path
from tasks.machine.settings import settings
from tasks.registry import ledger_store
from tasks.registry.registry import read_ledger


class History(Value):
    """``tenures`` and ``events`` of every environment, oldest first; the tenures of this one come last.

    ``quarantined`` (in this one), ``forced``: versions, and why or until when.
    """

    project: str
    tenures: tuple[Tenure, ...]
    events: tuple[Event, ...]
    quarantined: dict[str, str]
    forced: dict[str, str]
    environment: str = ""

    def __str__(self) -> str:
        lines = [*(event.line(by=True) for event in self.events), ""]
        lines += [
            f"{tenure.version:<14} served {_place(tenure)}from {moment(tenure.since)} "
            + (f"to {moment(tenure.until)}" if tenure.until else "until now")
            + (f"; {self.forced[tenure.version]}" if tenure.version in self.forced else "")
            + (f"; in quarantine: {why}" if (why := self._barred(tenure)) else "")
            for tenure in self.tenures
        ]
        return "\n".join(lines if self.events else [f"Nothing has happened to `{self.project}` yet."])

    def _barred(self, tenure: Tenure) -> str:
        return self.quarantined.get(tenure.version, "") if tenure.environment == self.environment else ""


def _place(tenure: Tenure) -> str:
    return f"in {tenure.environment} " if tenure.environment else ""


def history(config: str) -> History:
    """Everything that happened to a project's releases. ``config``: its name or its YAML's path."""
    name = config_path(config).stem
    events, here = ledger_store.read_all(name), settings().environment
    own = ledger.seen_in(events, here)
    places = [*(place for place in ledger.environments(events) if place != here), here]
    return History(
        project=name,
        environment=here,
        tenures=tuple(one for place in places for one in ledger.tenures(ledger.seen_in(events, place))),
        events=tuple(events),
        quarantined=ledger.quarantined(own),
        forced={version: f"by force until {one.until}" for version, one in forcing.forced(events).items()},
    )


def served_at(config: str, time: str) -> Tenure | None:
    """Who served production at ``time``: a date or a time in ISO 8601, in UTC unless it says otherwise.

    Raises ConfigError if it is neither. A date means its end.
    """
    name = config_path(config).stem
    try:
        asked = datetime.fromisoformat(time)
    except ValueError:
        raise ConfigError(
            "This is no time.", where="--at", found=time, allowed="2026-03-01, 2026-03-01T14:30, 2026-03-01T14:30+01:00"
        ) from None
    if len(time) <= len("2026-03-01"):
        asked = asked.replace(hour=23, minute=59, second=59)
    asked = asked.astimezone(UTC) if asked.tzinfo else asked.replace(tzinfo=UTC)
    return ledger.serving_at(read_ledger(name), asked.isoformat(timespec="milliseconds"))
