"""Approval: a person's word in the ledger. Nothing stays alive to wait for it."""

from __future__ import annotations

from penstock import ledger
from penstock.config import Project
from penstock.errors import RolloutError
from penstock.ledger import Event
from tasks.machine.production import require_named
from tasks.machine.settings import settings
from tasks.registry.registry import read_ledger
from tasks.registry.releases import tell


def needs_approval(project: Project, version: str) -> bool:
    """Whether the release has to wait for a person. Raises RolloutError if one has refused it."""
    if "manual" not in (project.rollout.approval, settings().approval):
        return False
    word = ledger.approval(read_ledger(project.name), version)
    if word is not None and word.kind == "refused":
        raise RolloutError(
            f"`{version}` was refused by {word.by}.",
            found=word.reason,
            next_step=f"penstock approve {project.name} {version} --reason ..., or train another",
        )
    return word is None


def tell_waiting(project: str, version: str) -> None:
    """The ledger says that the release waits, once."""
    if ledger.waiting(read_ledger(project)) != version:
        tell(project, "waiting", version, f'penstock approve {project} {version} --reason "..."')


def approve(project: str, version: str, reason: str) -> Event:
    require_named("approve")
    return _said(project, "approved", version, reason)


def refuse(project: str, version: str, reason: str) -> Event:
    require_named("reject")
    return _said(project, "refused", version, reason)


def _said(project: str, kind: ledger.Kind, version: str, reason: str) -> Event:
    if not reason.strip():
        raise RolloutError("A decision needs a reason.", next_step='--reason "what you looked at"')
    return tell(project, kind, version, reason)
