"""What people are told of an event of the ledger: a headline, why, and the next command. Pure.

Every event of the ledger has a name among Prefect's events, so that triggers and automations can follow it. Those that
deserve a person's attention also have an alert's name: the `alerts` of a project's YAML say who gets which.
"""

from __future__ import annotations

from typing import Literal

from penstock.alert_config import Alert
from penstock.ledger import Event, Kind
from penstock.next_command import named
from penstock.refs import Value

EVENTS: dict[Kind, str] = {
    "registered": "release.blessed",
    "rejected": "candidate.rejected",
    "forced": "release.forced",
    "expired": "release.expired",
    "staged": "release.staged",
    "waiting": "release.waiting",
    "approved": "release.approved",
    "refused": "release.refused",
    "shadow": "rollout.shadow",
    "canary": "rollout.canary",
    "promoted": "release.promoted",
    "healthy": "release.healthy",
    "held": "rollout.held",
    "failed": "rollout.failed",
    "stopped": "rollout.stopped",
    "rolled back": "release.rolled-back",
    "quarantined": "release.quarantined",
    "cleared": "release.cleared",
    "scored": "release.scored",
    "drilled": "release.drilled",
    "containerized": "release.containerized",
    "reproduced": "release.reproduced",
    "not reproduced": "release.not-reproduced",
    "alarm": "alarm.raised",
    "alarm cleared": "alarm.cleared",
    "retrain asked": "retrain.asked",
    "retrain not asked": "retrain.not-asked",
    "retrain helped": "retrain.helped",
    "retrain did not help": "retrain.did-not-help",
    "retraining stopped": "retraining.stopped",
    "retraining resumed": "retraining.resumed",
}
CAUSES: dict[str, Alert] = {
    "schema skew": "schema",
    "value drift": "drift",
    "prediction drift": "drift",
    "performance drop": "performance",
}


class Notice(Value):
    """``event``: its name, without `penstock.`; ``alert``: "" for what calls nobody; ``next``: commands to type."""

    event: str
    alert: Alert | Literal[""]
    headline: str
    next: tuple[str, ...]


def notice(event: Event) -> Notice:
    """What ``event`` says to a person."""
    alert, what, commands = _told(event)
    status = f"penstock status {event.project}"
    place = f" in {event.environment}" if event.environment else ""
    return Notice(
        event=EVENTS[event.kind],
        alert=alert,
        headline=f"{event.project}{place}: {what}",
        next=tuple(named(command, event.environment) for command in (*commands, status)),
    )


def _told(event: Event) -> tuple[Alert | Literal[""], str, tuple[str, ...]]:
    """(alert, what happened, the commands that are for this alone)."""
    project, version, cause = event.project, event.version, event.facts.get("cause", "")
    again = f"penstock deploy {project} {version}"
    match event.kind:
        case "rejected":
            return "gate", "a candidate was rejected by its gates", (f"penstock report {project}",)
        case "forced":
            what = f"{version} was blessed by force, by {event.facts['by']} until {event.facts['until']}"
            return "gate", what, (f"penstock explain-gate {project} {version}", again)
        case "expired":
            what = f"the forced blessing of {version} is over, and it still serves"
            undo = (
                f'penstock rollback {project} --reason "..."',
                f'penstock bless {project} {version} --reason "..." --until 3d',
            )
            return "gate", what, (f"penstock train {project}", *undo)
        case "failed":
            return "rollout", f"the rollout of {version} failed{_serves(event)}", (f"penstock history {project}",)
        case "held":
            return "rollout", f"the rollout of {version} was held, for want of evidence{_serves(event)}", (again,)
        case "stopped":
            return "rollout", f"the rollout of {version} broke off; it gets no more requests", (again,)
        case "rolled back" if event.facts.get("verdict") != "failed":  # else "failed" has told of it
            return "rollout", f"rolled back to {version} by {event.by}", (f"penstock history {project}",)
        case "waiting":
            decide = tuple(f'penstock {word} {project} {version} --reason "..."' for word in ("approve", "reject"))
            return "approval", f"{version} waits for a person's word", decide
        case "alarm" if cause in CAUSES:
            back = (f'penstock rollback {project} --reason "{cause}"',) if cause == "performance drop" else ()
            return CAUSES[cause], f"{cause}, while {version} serves", back
        case "alarm cleared" if cause in CAUSES:
            return CAUSES[cause], f"{cause} is over", ()
        case "retraining stopped":
            resume = f'penstock resume {project} --reason "..."'
            return "retraining", "retraining is stopped until a person resumes it", (resume,)
        case "retraining resumed":
            return "retraining", f"retraining was resumed by {event.by}", ()
        case _:
            return "", " ".join(filter(None, (version, event.kind))), ()


def _serves(event: Event) -> str:
    serving = event.facts.get("serving", "")
    return f"; {serving} serves" if serving else "; nothing serves"
