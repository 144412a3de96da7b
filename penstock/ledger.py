"""The ledger: what happened to a project's candidates and releases, in order. Everything else is a fold over it.

Events are appended and never changed. These functions are pure; `tasks/registry/ledger_store.py` reads and writes the
files.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

from penstock.errors import StorageError
from penstock.host import Host
from penstock.next_command import named
from penstock.refs import FileRef, Value

Kind = Literal[
    "registered",  # a candidate passed its gates: a version
    "rejected",  # a candidate did not
    "forced",  # ... and a person gave it a version all the same, until a day
    "expired",  # that day is over, and it still serves
    "staged",  # answers in staging exactly what it answered in training
    "waiting",  # needs a person's word before production
    "approved",  # a person lets it into production
    "refused",  # a person does not
    "shadow",  # gets copies of production requests
    "canary",  # answers a share of production requests
    "promoted",  # answers all of them
    "healthy",  # has answered all of them for its bake time, within its limits
    "held",  # there was not enough evidence; the champion stayed
    "failed",  # the evidence was against it; the champion stayed, or came back
    "rolled back",  # serves again, by command or by verdict
    "quarantined",  # may not serve, nor be what candidates are compared with
    "cleared",  # was taken out of quarantine, with a reason
    "stopped",  # its rollout broke off: the process that led it ended
    "drilled",  # a rollback drill was run
    "scored",  # scored a file; the facts name it and the output
    "containerized",  # a container image was built of it; the facts name the image and the Bento by digest
    "reproduced",  # was made again from its record: the same model, metrics and Bento
    "not reproduced",  # ... and something came out otherwise; the facts say what
    "alarm",  # monitoring found something wrong with what it is asked or answers
    "alarm cleared",  # ... and no longer does
    "retrain asked",  # a new training was asked for because of an alarm
    "retrain not asked",  # ... was held back; the reason says by what
    "retrain helped",  # with what it made, the alarm cleared
    "retrain did not help",  # ... it did not, or it made nothing that serves
    "retraining stopped",  # none is asked for until a person resumes it
    "retraining resumed",  # a person did
]


TAKES_OVER = ("promoted", "rolled back")
MAKES = ("registered", "forced")  # a version, or its files anew
JUDGED = (*MAKES, "rejected")  # each names the record of a candidate
# what is so wherever it happened; everything else is of the environment where it did
SHARED = (*JUDGED, "containerized", "reproduced", "not reproduced")
ROLLOUT = (  # of a rollout's life; anything else may happen while a release waits for a person
    "staged", "waiting", "approved", "refused", "shadow", "canary", "promoted", "healthy", "held", "failed", "stopped",
    "rolled back", "quarantined", "cleared",
)  # fmt: skip


class Event(Value):
    """One thing that happened. ``record`` is the candidate (JSON); ``reason`` is one line."""

    sequence: int
    time: str  # ISO 8601, UTC
    kind: Kind
    project: str
    version: str  # "flights-v3"; "" for a candidate that was rejected
    identity: str
    by: str
    reason: str
    record: FileRef
    facts: dict[str, str]
    environment: str = ""  # where it happened: "" is development, and every event before there were others
    host: str = ""  # the machine and home where it happened (`penstock.host`), in a ledger that several share
    id: str = ""  # no two events have one: whose answer was lost knows its event by it

    def line(self, *, by: bool = False) -> str:
        """The event as people read it; ``by``: with who did it."""
        who = f"{self.by:<16} " if by else ""
        place = f"in {self.environment}: " if self.environment else ""
        return f"{moment(self.time)}  {self.version or 'candidate':<14} {self.kind:<13} {who}{place}{self.told()}"

    def told(self) -> str:
        """The reason; a command in it names the environment."""
        return named(self.reason, self.environment)


def moment(time: str, *, seconds: bool = True) -> str:
    """An ISO 8601 time as people read it, to the second or the minute."""
    return time[: 19 if seconds else 16].replace("T", " ")


def environments(events: Sequence[Event]) -> list[str]:
    """Where something happened that is not so everywhere: their names, development's ("") first."""
    return sorted({event.environment for event in events if event.kind not in SHARED})


def seen_in(events: Sequence[Event], environment: str) -> list[Event]:
    """The ledger as one environment has it: its own events, and the releases and rejections of all."""
    return [event for event in events if event.kind in SHARED or event.environment == environment]


def next_version(events: Sequence[Event], project: str) -> str:
    """The version of the release after those there are: versions are counted, never reused."""
    return f"{project}-v{1 + len(releases(events))}"


def releases(events: Sequence[Event]) -> list[Event]:
    """The events that made a version, oldest first. A version that was made again after damage counts once."""
    first: dict[str, Event] = {}
    for event in events:
        if event.kind in MAKES:
            first.setdefault(event.version, event)
    return list(first.values())


def find(events: Sequence[Event], version: str) -> Event | None:
    """The newest word on ``version``: its files are the ones that are there."""
    return next((event for event in reversed(events) if event.kind in MAKES and event.version == version), None)


def newest(events: Sequence[Event]) -> Event | None:
    """The newest release."""
    made = releases(events)
    return find(events, made[-1].version) if made else None


def champion(events: Sequence[Event], identity: str) -> Event | None:
    """What a candidate of ``identity`` is compared with: what serves production, or until then the newest release.

    A release in quarantine is no measure. A release whose files have to be made again is judged as it was judged:
    beside its own champion, not beside itself.
    """
    first = next((event for event in releases(events) if event.identity == identity), None)
    if first is not None:
        return find(events, first.facts.get("champion", ""))
    serves = serving(events)
    if serves is not None:
        return find(events, serves.version)
    barred = quarantined(events)
    fit = [event for event in releases(events) if event.version not in barred]
    return find(events, fit[-1].version) if fit else None


def serving(events: Sequence[Event]) -> Event | None:
    """The event that put into production what serves it now, or None before the first."""
    return next((event for event in reversed(events) if event.kind in TAKES_OVER), None)


def serving_on(events: Sequence[Event], host: Host) -> Event | None:
    """The event that put into production what serves on one of several machines; None before its first."""
    return serving([event for event in events if host.wrote(event.host)])


def serving_anywhere(events: Sequence[Event]) -> list[Event]:
    """For each machine that an event names, the one that put into production what serves there."""
    hosts = sorted({event.host for event in events})
    found = [serving([event for event in events if event.host in ("", host)]) for host in hosts]
    return [event for event in found if event is not None]


def quarantined(events: Sequence[Event]) -> dict[str, str]:
    """Versions that may not serve, and why."""
    barred: dict[str, str] = {}
    for event in events:
        if event.kind == "quarantined":
            barred[event.version] = event.reason
        elif event.kind == "cleared":
            barred.pop(event.version, None)
    return barred


def last_healthy(events: Sequence[Event], other_than: str = "", ended: Collection[str] = ()) -> str:
    """The version that was found healthy last, is not in quarantine and none of ``ended``, or ""."""
    barred = {*quarantined(events), *ended}
    for event in reversed(events):
        if event.kind == "healthy" and event.version != other_than and event.version not in barred:
            return event.version
    return ""


def is_healthy(events: Sequence[Event], version: str) -> bool:
    """Whether ``version`` was found healthy since it last took over."""
    for event in reversed(events):
        if event.version == version and event.kind == "healthy":
            return True
        if event.version == version and event.kind == "promoted":
            return False
    return False


def approval(events: Sequence[Event], version: str) -> Event | None:
    """A person's last word on ``version`` since it was staged: approved, refused, or None."""
    for event in reversed(events):
        if event.version == version and event.kind in ("approved", "refused"):
            return event
        if event.version == version and event.kind in ("failed", "rolled back", "quarantined"):
            return None
    return None


def waiting(events: Sequence[Event]) -> str:
    """The version that waits for a person's word, or ""."""
    last = next((event for event in reversed(events) if event.kind in ROLLOUT), None)
    return last.version if last is not None and last.kind == "waiting" else ""


class Tenure(Value):
    """A release served production ``since`` then (ISO 8601, UTC) ``until`` then, or still: ""."""

    version: str
    since: str
    until: str
    why: str
    by: str
    environment: str = ""


def tenures(events: Sequence[Event]) -> list[Tenure]:
    """Who served production when, oldest first. ``events``: of one environment."""
    found: list[Tenure] = []
    for event in events:
        if event.kind in TAKES_OVER and (not found or found[-1].version != event.version):
            if found:
                found[-1] = found[-1].model_copy(update={"until": event.time})
            why, place = event.reason or event.kind, event.environment
            found.append(
                Tenure(version=event.version, since=event.time, until="", why=why, by=event.by, environment=place)
            )
    return found


def serving_at(events: Sequence[Event], time: str) -> Tenure | None:
    """Who served at ``time`` (ISO 8601, UTC), if anybody did."""
    for tenure in tenures(events):
        if tenure.since <= time and (not tenure.until or time < tenure.until):
            return tenure
    return None


def with_identity(events: Sequence[Event], identity: str) -> Event | None:
    """The newest word on the release of this identity, if there is one."""
    return next((event for event in reversed(events) if event.kind in MAKES and event.identity == identity), None)


def rejected_against(events: Sequence[Event], identity: str, champion: str) -> Event | None:
    """The rejection of this identity beside this champion: judged once, a candidate is not judged again."""
    for event in reversed(events):
        if event.kind == "rejected" and event.identity == identity and event.facts.get("champion", "") == champion:
            return event
    return None


def require_unbroken(events: Sequence[Event], where: str) -> None:
    """Raise StorageError if an event is missing or stands twice."""
    for expected, event in enumerate(events, 1):
        if event.sequence != expected:
            raise StorageError(
                "The ledger has a gap: an event's file is missing.",
                where=where,
                found=f"number {event.sequence} where {expected} should be",
                next_step="put the file back from a backup; the ledger is not used while it is incomplete",
            )
