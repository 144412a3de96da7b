"""Rollback by commit: the manifests name a release again that was healthy. Needs no Prefect and no Kubernetes API."""

from __future__ import annotations

import time

from penstock import ledger
from penstock.errors import RolloutError
from tasks import gitops, manifests
from tasks.ended import ended
from tasks.registry import read_ledger
from tasks.rollback import Rollback


def plan_revert(project: str, to: str = "", force: bool = False) -> Rollback:
    """Where to. Raises RolloutError when there is nothing to go back to, or the target is in quarantine."""
    events, named = read_ledger(project), manifests.current(project)
    serves = ledger.serving(events)
    if named is None and serves is None:
        raise RolloutError(f"Nothing of `{project}` serves.", next_step=f"penstock deploy {project}")
    champion = serves.version if serves else ""
    bad = named.version if named and named.version != champion else champion
    over = ended(project)
    target = to or (champion if bad != champion else ledger.last_healthy(events, champion, over))
    if not target:
        raise RolloutError(
            f"There is no release that `{project}` could go back to.",
            found=f"{bad} serves, and no other was ever healthy",
            next_step=f"penstock rollback {project} --to VERSION --reason ..., if you know one to be good",
        )
    barred = ledger.quarantined(events)
    if target in barred and not force:
        raise RolloutError(
            f"`{target}` is in quarantine.", found=barred[target], next_step="name another, or add --force"
        )
    if target in over and target != champion and not force:
        raise RolloutError(
            f"`{target}` was blessed by force, and that ended with {over[target].until}.",
            found=f"blessed {over[target]}",
            next_step="name another, bless it again, or add --force",
        )
    if target == champion == bad:
        raise RolloutError(f"`{target}` serves already.", next_step=f"penstock history {project}")
    return Rollback(project=project, bad=bad, target=target, warm=True)


def revert(project: str, reason: str, to: str = "", force: bool = False) -> Rollback:
    """Commit what the manifests had with the target, then tell the ledger. Raises RolloutError without a reason or a
    target, and when the manifests never had it."""
    if not reason.strip():
        raise RolloutError("A rollback needs a reason.", next_step='--reason "what was wrong"')
    began = time.monotonic()
    manifests.require()
    manifests.update()
    gitops.settle(project)  # a rollback that ended before it could say so is finished here
    plan = plan_revert(project, to, force)
    commit = manifests.restore(project, plan.target, _message(plan, reason, force))
    if commit is None:
        raise RolloutError(
            f"The manifests never had `{plan.target}`.",
            where=str(manifests.folder(project)),
            next_step=f"penstock deploy {project} {plan.target}",
        )
    gitops.settle(project)
    return plan.model_copy(update={"after": plan.target, "seconds": round(time.monotonic() - began, 3)})


def _message(plan: Rollback, reason: str, force: bool) -> str:
    said = {"Event": "rolled back", "Bad": plan.bad, "Champion": plan.target, "Reason": reason}
    what = f"back to {plan.target}"
    return gitops.message(
        gitops.kube_release(plan.project, plan.target), what, said | ({"Cleared": "yes"} if force else {})
    )
