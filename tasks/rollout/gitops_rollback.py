"""Rollback by commit: the manifests name a release again that was healthy. Needs no Prefect and no Kubernetes API."""

from __future__ import annotations

import time

from penstock import ledger
from penstock.errors import RolloutError
from tasks.registry.ended import ended
from tasks.registry.registry import read_ledger
from tasks.rollout import gitops, manifests
from tasks.rollout.rollback import Rollback, require_target


class Reverted(Rollback):
    """A rollback by commit: the manifests name the target, and Argo CD brings it into the cluster."""

    commit: str = ""

    def __str__(self) -> str:
        if not self.after:
            return f"{self.project}: {self.bad or 'nothing'} -> {self.target} (a commit to the manifests)"
        done = f"commit {self.commit[:12]}" if self.commit else "they did already"
        return (
            f"{self.project}: the manifests name {self.target} again ({done}); {self.bad} is in quarantine\n"
            "  next:    the cluster follows; kubectl argo rollouts get rollout model "
            f"-n {manifests.namespace(self.project)}"
        )


def plan_revert(project: str, to: str = "", force: bool = False) -> Reverted:
    """Where to. Raises RolloutError when there is nothing to go back to, or the target is in quarantine."""
    events, named = read_ledger(project), manifests.current(project)
    serves = ledger.serving(events)
    if named is None and serves is None:
        raise RolloutError(f"Nothing of `{project}` serves.", next_step=f"penstock deploy {project}")
    champion = serves.version if serves else ""
    rolls = named is not None and named.version != champion
    if named and rolls and not _is_rollout(project, named.version):
        if to != named.version:
            raise RolloutError(
                f"The manifests name `{named.version}`, and no command of Penstock's put it there.",
                where=str(manifests.folder(project)),
                found=f"the ledger has {champion or 'nothing'} serve",
                next_step=f"penstock rollback {project} --to {named.version} --reason ..., if that is to serve",
            )
        rolls = False
    bad = named.version if named and rolls else champion
    over = ended(project)
    target = to or (champion if bad != champion else ledger.last_healthy(events, champion, over))
    require_target(project, target, bad, champion, events, over, force)
    return Reverted(project=project, bad=bad, target=target, warm=True)


def revert(project: str, reason: str, to: str = "", force: bool = False) -> Reverted:
    """Commit what the manifests had with the target, then tell the ledger. Raises RolloutError without a target,
    and when the manifests never had it."""
    began = time.monotonic()
    manifests.require()
    manifests.update()
    gitops.settle(project)  # a rollback that ended before it could say so is finished here
    plan = plan_revert(project, to, force)
    release, said = gitops.kube_release(project, plan.target), _said(plan, reason, force)
    commit = manifests.restore(project, plan.target, gitops.message(release, f"back to {plan.target}", said))
    if commit is None:
        raise RolloutError(
            f"The manifests never had `{plan.target}`.",
            where=str(manifests.folder(project)),
            next_step=f"penstock deploy {project} {plan.target}",
        )
    gitops.record(project, commit or manifests.last_word(project)[0], said)
    seconds = round(time.monotonic() - began, 3)
    return plan.model_copy(update={"after": plan.target, "commit": commit, "seconds": seconds})


def _said(plan: Rollback, reason: str, force: bool) -> dict[str, str]:
    said = {"Event": "rolled back", "Bad": plan.bad, "Champion": plan.target, "Reason": reason}
    return said | ({"Cleared": "yes"} if force else {})


def _is_rollout(project: str, version: str) -> bool:
    """Whether a deploy put ``version`` there: not a person, who may have undone one by hand."""
    _, said = manifests.last_word(project)
    return said.get("Version") == version and "Event" not in said
