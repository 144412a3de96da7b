"""Releases that a person blessed though their gates had rejected them: how long that counts, and what has to be said.

Only checks of the gate can be forced. What decides is pure; `tasks/registry/forcing.py` reads and writes the ledger.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Sequence
from datetime import date, timedelta

from penstock.candidate import Forced
from penstock.errors import ConfigError
from penstock.gate import NOTHING_TO_JUDGE_BY, Decision
from penstock.ledger import Event

MOST_DAYS = 14  # two weeks: time for a mend and another training; then somebody has to look again
DAYS = re.compile(r"(\d{1,4})d")


def forced(events: Sequence[Event]) -> dict[str, Forced]:
    """The releases that are there by force, by version, each with the newest word on it."""
    found: dict[str, Forced] = {}
    for event in events:
        if event.kind == "forced":
            found[event.version] = Forced.model_validate({name: event.facts[name] for name in Forced.model_fields})
        elif event.kind == "registered":  # it has passed since
            found.pop(event.version, None)
    return found


def ended(events: Sequence[Event], today: date) -> dict[str, Forced]:
    """Those of them whose time is over on ``today`` (UTC)."""
    return {version: one for version, one in forced(events).items() if one.until < today}


def standing(version: str, forced: Forced, today: date) -> str:
    """How a forced release stands, in a line."""
    if forced.until < today:
        return f"{version} was blessed by force, AND THAT IS OVER since the end of {forced.until}: {forced}"
    return f"{version} was blessed by force {forced}"


def last_day(text: str, today: date) -> date:
    """`3d` or `2026-12-01` as the last day of a blessing. Raises ConfigError if it is neither, past or too far away."""
    latest = today + timedelta(days=MOST_DAYS)
    allowed = f"1d to {MOST_DAYS}d, or a date from {today} to {latest}; it counts to its end, in UTC"
    again = "--until 3d; when it is over, the release can be blessed again"
    days = DAYS.fullmatch(text.strip())
    try:
        until = today + timedelta(days=int(days[1])) if days else date.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        what = "This is no last day of a forced blessing." if text.strip() else "A forced blessing needs a last day."
        raise ConfigError(what, where="--until", found=text, allowed=allowed, next_step=again) from None
    if until < today or until > latest or (days and until == today):
        raise ConfigError(
            f"A forced blessing ends within {MOST_DAYS} days.", where="--until", found=text, allowed=allowed,
            next_step=again,
        )  # fmt: skip
    return until


def require_named(decision: Decision, named: Collection[str], command: str) -> None:
    """Raise ConfigError unless ``named`` are exactly the checks that failed, or if nothing was judged at all.

    That is how it is known that the person has read which checks they overrule, and of which candidate.
    ``command``: what to type, without the checks.
    """
    failed = list(dict.fromkeys(check.name for check in decision.checks if not check.passed))
    if NOTHING_TO_JUDGE_BY in failed:
        raise ConfigError(
            "The gate had nothing to judge this candidate by, so there is nothing to overrule.",
            found="; ".join(decision.reasons),
            next_step="put thresholds under `gate.metrics`, and train",
        )
    if set(failed) != set(named):
        unknown = [name for name in dict.fromkeys(named) if name not in failed]
        raise ConfigError(
            "These are not the checks that failed." if unknown else "Name every check that is to be overruled.",
            where="--check",
            found="; ".join(decision.reasons) if not unknown else ", ".join(f"`{name}`" for name in unknown),
            allowed=", ".join(f"`{name}`" for name in failed),
            next_step=" ".join([command, *(f"--check {shlex.quote(name)}" for name in failed)]),
        )
