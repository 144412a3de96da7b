"""A deploy by commit: the release's folder in the manifests, what the cluster made of it, and what the ledger is told.

Git says what is to serve, the ledger what did. The commit comes first and is made once: whoever is killed in between
is made up for by the next deploy or rollback, which finds the commit and goes on from there.
"""

from __future__ import annotations

from typing import Literal

from penstock import ledger
from penstock.config import Project
from penstock.desired import Route
from penstock.errors import RolloutError
from penstock.kube_release import KubeRelease
from penstock.kube_rollout import Seen
from penstock.ledger import Event, Kind
from penstock.promotion import served
from penstock.rollout import Plan, plan
from tasks.registry.ended import ended
from tasks.registry.registry import read_ledger
from tasks.registry.releases import packaged, tell
from tasks.rollout import kube_api, kube_rollout, manifests
from tasks.rollout.promotion import require_promotable
from tasks.store.caching import task


def ready() -> None:
    """Raise ConfigError if the manifests or the Kubernetes API are not known: before anything is done."""
    manifests.require()
    kube_api.require()


def plan_commit(project: Project, version: str, rollout: str, force: bool, reason: str) -> Plan:
    """What deploying means now; a forced release is taken out of quarantine. Raises RolloutError, DataError."""
    name = project.name
    if force and not reason:
        raise RolloutError("`--force` needs a reason.", next_step='--reason "why this may serve all the same"')
    release, events = packaged(name, version), read_ledger(name)
    serves = ledger.serving(events)
    made = plan(
        name, events, Route(champion=serves.version) if serves else None, release.version, rollout, ended(name), force
    )
    if not made.serves:
        require_promotable(release, kube_release(name, release.version).digest)
    if force and release.version in ledger.quarantined(events):
        tell(name, "cleared", release.version, reason)
    return made


def kube_release(project: str, version: str) -> KubeRelease:
    """The release as the manifests name it. Raises RolloutError if no registry has its image."""
    events = read_ledger(project)
    made = ledger.find(events, version)
    pushed = _pushed(events, version)
    if made is None or pushed is None:
        raise RolloutError(
            f"No registry is known to have an image of `{version}`.",
            allowed="an event `containerized` with the digest that a registry gave",
            next_step=f"penstock image {project} {version} --push REGISTRY/{project}",
        )
    facts = pushed.facts
    return KubeRelease(
        project=project,
        version=version,
        identity=made.identity,
        image=facts["repository"],
        digest=facts["registry_digest"],
    )


@task(cached=False)
def commit_release(release: KubeRelease, project: Project) -> str:
    """The commit that brings the release into the manifests, pushed; "" if they had it already."""
    manifests.update()
    return manifests.write(release, project.rollout, message(release, f"{release.version} is to serve", {}))


@task(cached=False)
def await_rollout(release: KubeRelease, project: Project) -> Seen:
    """What the cluster found. Raises RolloutError if somebody else has changed the manifests meanwhile."""
    found = kube_rollout.watch(manifests.namespace(release.project), release, project.rollout)
    if found is None:
        raise superseded(release.project, release.version)
    return found


def tell_canary(made: Plan, commit: str) -> None:
    """The ledger knows that the cluster is being asked; once for a commit. Nobody's first release is a canary."""
    if not made.champion:
        return
    last = next((event for event in reversed(read_ledger(made.project)) if event.kind in ledger.ROLLOUT), None)
    if last is None or (last.kind, last.version) != ("canary", made.version):
        where = f"{manifests.environment()}, commit {commit[:12]}" if commit else manifests.environment()
        tell(made.project, "canary", made.version, f"committed for {where}; Argo Rollouts leads", commit=commit)


def confirm(made: Plan, found: Seen) -> None:
    """The cluster has it serve everything, and its analyses passed."""
    reason = f"took over from {made.champion}" if made.champion else "the first to serve"
    if not made.serves:
        tell(made.project, "promoted", made.version, reason, champion=made.champion)
    why = f"its analyses in the cluster passed ({found.step})"
    why = why if made.champion else "its pods are ready; the first is not analysed"
    image = kube_release(made.project, made.version).digest
    tell(made.project, "healthy", made.version, why, **served(packaged(made.project, made.version).package, image))


@task(cached=False)
def take_back(made: Plan, release: KubeRelease, kind: Literal["failed", "held"], reasons: tuple[str, ...]) -> str:
    """The manifests name the champion again; then the ledger says why. Returns who serves."""
    why = "; ".join(reasons)
    manifests.update()
    back = {"Event": kind, "Bad": made.version, "Champion": made.champion, "Reason": why}
    if not manifests.take_back(release.project, release, message(release, f"{release.version} {kind}", back)):
        raise superseded(made.project, made.version)
    settle(made.project)
    return made.champion


def settle(project: str) -> None:
    """Tell the ledger what the newest commit says that it is to be told, if it does not know yet."""
    record(project, *manifests.last_word(project))


def record(project: str, commit: str, said: dict[str, str]) -> None:
    """Tell the ledger what ``commit`` says, each event once. ``said``: as `message` puts it into the trailers."""
    happened, bad, champion, why = (said.get(key, "") for key in ("Event", "Bad", "Champion", "Reason"))
    told = {event.kind for event in read_ledger(project) if event.facts.get("commit") == commit}
    notes: list[tuple[Kind, str, dict[str, str]]] = []
    if happened in ("failed", "held"):
        notes.append(("failed" if happened == "failed" else "held", bad, {"serving": champion}))
    elif happened == "rolled back":
        notes.append(("rolled back", champion, {"bad": bad}))
    if happened in ("failed", "rolled back") and bad and bad != champion:
        notes.append(("quarantined", bad, {}))
    if said.get("Cleared"):
        notes.append(("cleared", champion, {}))
    for kind, version, facts in notes:
        if kind not in told:
            tell(project, kind, version, why, commit=commit, **facts)


def message(release: KubeRelease, what: str, said: dict[str, str]) -> str:
    """A commit's message. Its trailers say what `settle` tells, so that a commit and the ledger cannot come apart."""
    events = read_ledger(release.project)
    made = ledger.find(events, release.version)
    trailers = {
        "Version": release.version,
        "Identity": release.identity,
        "Image": f"{release.image}@{release.digest}",
        "Ledger": f"{made.sequence if made else 0} of {len(events)}",
        **{key: " ".join(value.split()) for key, value in said.items() if value},
    }
    lines = [f"Penstock-{key}: {value}" for key, value in trailers.items()]
    return "\n".join([f"{release.project}: {what} in {manifests.environment()}", "", *lines])


def superseded(project: str, version: str) -> RolloutError:
    return RolloutError(
        f"The rollout of `{version}` was ended by somebody else.", next_step=f"penstock history {project}"
    )


def _pushed(events: list[Event], version: str) -> Event | None:
    for event in reversed(events):
        if event.kind == "containerized" and event.version == version and event.facts.get("registry_digest"):
            return event
    return None
