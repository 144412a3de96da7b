"""What `penstock gc` frees and keeps: how old is old, which releases are protected, and the account it gives."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from penstock import ledger
from penstock.desired import Desired
from penstock.diagnosis import size
from penstock.errors import ConfigError
from penstock.ledger import Event
from penstock.refs import Value

UNITS = {"h": 3600.0, "d": 86_400.0, "w": 604_800.0}


class Kept(Value):
    """So many things of a class stay, for one reason."""

    why: str
    count: int
    size: int  # bytes


class Account(Value):
    """What becomes of one class of things. ``count`` and ``size`` (bytes): what goes."""

    name: str
    count: int
    size: int
    kept: tuple[Kept, ...]


class Collection(Value):
    """Everything that was looked at. ``freed``: whether it is gone, or would go."""

    freed: bool
    accounts: tuple[Account, ...]

    @property
    def size(self) -> int:
        return sum(account.size for account in self.accounts)

    def __str__(self) -> str:
        width = max((len(account.name) for account in self.accounts), default=0)
        lines = []
        for account in self.accounts:
            lines.append(f"  {account.name:<{width}}  {account.count:>7,}  {size(account.size):>9}")
            lines += [f"  {'':<{width}}  kept {kept.count:,}, {size(kept.size)}: {kept.why}" for kept in account.kept]
        count = sum(account.count for account in self.accounts)
        total = f"{count:,} thing{'s' * (count != 1)}, {size(self.size)}"
        end = [f"freed: {total}"] if self.freed else [f"would be freed: {total}"]
        end += [] if self.freed or not self.size else ["next:  penstock gc --yes frees them"]
        return "\n".join([*lines, "", *end])


def seconds_of(text: str) -> float:
    """``30d``, ``12h`` or ``2w`` in seconds. Raises ConfigError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([hdw])", text.strip())
    if found is None:
        raise ConfigError("This is no age.", where="--older-than", found=text, allowed="12h, 30d, 2w")
    return float(found[1]) * UNITS[found[2]]


def protected(events: Sequence[Event], desired: Desired, keep: int) -> dict[str, str]:
    """The versions of a project that have to be ready at once, and why.

    What serves, what runs, what a rollback leads to, what is being rolled out or waits, and the ``keep`` newest.
    """
    found = {event.version: f"one of the {keep} newest releases" for event in ledger.releases(events)[::-1][:keep]}
    for environment in ledger.environments(events) or [""]:
        found |= _in_use(ledger.seen_in(events, environment), found)
    project = events[0].project if events else ""
    found |= {name: "its servers are to run" for name, one in desired.servers.items() if one.project == project}
    return found


def _in_use(events: Sequence[Event], known: Mapping[str, str]) -> dict[str, str]:
    """What one environment's ledger needs, and why; ``known``: for another reason already, which is said instead."""
    found: dict[str, str] = {}
    serves = ledger.serving(events)
    if serves is not None:
        found[serves.version] = "it serves"
        target = ledger.last_healthy(events, serves.version)
        found |= {target: "a rollback leads to it"} if target else {}
    last = next((event for event in reversed(events) if event.kind in ledger.ROLLOUT), None)
    if last is not None and last.version:
        found.setdefault(last.version, known.get(last.version, "its rollout is the last"))
    champion = ledger.champion(events, "")
    if champion is not None:
        found.setdefault(champion.version, known.get(champion.version, "candidates are compared with it"))
    return found


def superseded(events: Sequence[Event], desired: Desired, keep: int, before: float) -> list[Event]:
    """The events of candidates that nobody goes back to without training: made ``before`` then (seconds since 1970).

    Releases that are not `protected`, and rejections but the ``keep`` newest. An event whose record is a protected
    release's too is none.
    """
    judged = [event for event in events if event.kind in ledger.JUDGED]
    versions = protected(events, desired, keep)
    newest = [event.sequence for event in judged if event.kind == "rejected"][::-1][:keep]
    stay = {event.record.sha256 for event in judged if event.version in versions or event.sequence in newest}
    return [event for event in judged if event.record.sha256 not in stay and moment(event) < before]


def moment(event: Event) -> float:
    """When an event was written: seconds since 1970."""
    return datetime.fromisoformat(event.time).timestamp()
