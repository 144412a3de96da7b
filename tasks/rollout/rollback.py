"""Rollback: back to a release that was healthy. Needs no Prefect, no challenger, and none of the bad one's files."""

from __future__ import annotations

import time
import urllib.request
import uuid
from collections.abc import Mapping, Sequence
from http.client import HTTPException

from penstock import ledger
from penstock.candidate import Forced
from penstock.desired import Desired, Note, Route, with_route, with_untold
from penstock.errors import PenstockError, RolloutError, UnreachableError
from penstock.ledger import Event
from penstock.refs import Value
from penstock.release_config import ServeConfig
from tasks.machine.production import require_named
from tasks.machine.settings import settings
from tasks.packaging.model_server import api_key
from tasks.registry import ledger_store
from tasks.registry.ended import ended
from tasks.registry.registry import read_ledger
from tasks.registry.releases import packaged, server_of
from tasks.rollout.promotion import require_promotable
from tasks.rollout.untold import tell_untold
from tasks.serving import release_server, serving

ANSWER_SECONDS = 5.0


class Rollback(Value):
    """What a rollback does, or did. ``bad``: who served, or was being rolled out, and is in quarantine afterwards.

    ``before`` and ``after``: which release answered at the gateway; ``seconds``: from the command to the new routes.
    """

    project: str
    bad: str
    target: str
    warm: bool
    before: str = ""
    after: str = ""
    seconds: float = 0.0
    untold: bool = False  # the shared ledger was away; the warden tells it

    def __str__(self) -> str:
        if not self.after:
            how = "its servers run" if self.warm else "its servers have to be started"
            return f"{self.project}: {self.bad or 'nothing'} -> {self.target} ({how})"
        later = "; the shared ledger is away, and is told when it answers" if self.untold else ""
        return (
            f"{self.project}: {self.target} serves again after {self.seconds:.2f} s; {self.bad} is in quarantine{later}"
        )


def plan_rollback(project: str, to: str = "", force: bool = False) -> Rollback:
    """Where to.

    Raises RolloutError when there is nothing to go back to, the target is in quarantine, or it was never healthy here
    and may not come from the environment before this one.
    """
    if settings().target == "gitops":
        from tasks.rollout.gitops_rollback import plan_revert

        return plan_revert(project, to, force)
    with ledger_store.at_hand():
        events, over = read_ledger(project), ended(project)
    desired = serving.read()
    route = desired.route("production", project)
    if route is None:
        raise RolloutError(f"Nothing of `{project}` serves.", next_step=f"penstock deploy {project}")
    bad = route.challenger or route.champion
    target = to or (route.champion if route.challenger else ledger.last_healthy(events, route.champion, over))
    require_target(project, target, bad, route.champion, events, over, force)
    healthy = {event.version for event in events if event.kind == "healthy"}
    if target not in healthy | {route.champion}:  # it comes into this environment now
        require_promotable(packaged(project, target))
    warm = target in desired.servers and release_server.is_ready(target)
    return Rollback(project=project, bad=bad, target=target, warm=warm)


def require_target(
    project: str, target: str, bad: str, champion: str, events: Sequence[Event], over: Mapping[str, Forced], force: bool
) -> None:
    """Raise RolloutError unless ``target`` may serve in the place of ``bad``, on this machine or in a cluster.

    ``champion``: what served before any challenger came. ``over``: forced releases whose time has ended.
    """
    if not target:
        raise RolloutError(
            f"There is no release that `{project}` could go back to.",
            found=f"{bad} serves, and no other was ever healthy"
            + "".join(f"; {version} was blessed by force, and that is over" for version in over if version != bad),
            allowed=", ".join(event.version for event in ledger.releases(events) if event.version != bad),
            next_step=f"penstock rollback {project} --to VERSION --reason ..., if you know one to be good",
        )
    if ledger.find(events, target) is None:
        healthy = dict.fromkeys(event.version for event in events if event.kind == "healthy")
        raise RolloutError(
            f"There is no release `{target}`.",
            allowed=", ".join(healthy) or "none was healthy yet",
            next_step=f"penstock history {project}",
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


def roll_back(project: str, reason: str, to: str = "", force: bool = False) -> Rollback:
    """Send every request to the target, ask the gateway who answers, put the other into quarantine.

    A shared ledger that is away keeps nobody waiting: it is read as this machine saw it last, and told later. Raises
    RolloutError without a reason or a target, and when the gateway does not answer with the target.
    """
    require_named("rollback")
    if not reason.strip():
        raise RolloutError("A rollback needs a reason.", next_step='--reason "what was wrong"')
    if settings().target == "gitops":
        from tasks.rollout.gitops_rollback import revert

        return revert(project, reason, to, force)
    with ledger_store.at_hand():
        return _rolled_back(project, reason, to, force)


def _rolled_back(project: str, reason: str, to: str, force: bool) -> Rollback:
    began = time.monotonic()
    plan = plan_rollback(project, to, force)
    before = answering(project, seconds=0.5)  # only told; a champion that hangs keeps nobody waiting
    route = serving.read().route("production", project)
    serve = route.serve if route else ServeConfig()
    with serving.kept(plan.target):
        if not plan.warm:
            _start(project, plan.target, serve)
        notes = _notes(plan, reason, force)
        serving.change(lambda desired: with_untold(_to(desired, project, plan.target, serve), project, *notes))
    seconds = time.monotonic() - began
    untold = False
    try:
        tell_untold(project)
    except UnreachableError:
        untold = True
    after = _answers_with(project, plan.target)
    serving.retire(project)
    done = {"before": before, "after": after, "seconds": round(seconds, 3), "untold": untold}
    return plan.model_copy(update=done)


def _notes(plan: Rollback, reason: str, force: bool) -> list[Note]:
    change = uuid.uuid4().hex[:12]
    facts = {"bad": plan.bad}
    notes = [Note(change=change, kind="rolled back", version=plan.target, reason=reason, facts=facts)]
    if plan.bad and plan.bad != plan.target:
        notes.append(Note(change=change, kind="quarantined", version=plan.bad, reason=reason))
    if force:
        notes.append(Note(change=change, kind="cleared", version=plan.target, reason=reason))
    return notes


def answering(project: str, environment: str = "production", seconds: float = 3) -> str:
    """The version that answers at the gateway, or "" if nobody does."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(f"{serving.address(environment)}/{project}/v1/model")  # noqa: S310  # ours
    for name, value in api_key().items():
        request.add_header(name, value)
    try:
        with opener.open(request, timeout=seconds) as answer:
            return str(answer.headers.get("x-penstock-model", ""))
    except (OSError, HTTPException, ValueError):
        return ""


def _answers_with(project: str, version: str) -> str:
    end = time.monotonic() + ANSWER_SECONDS
    while (found := answering(project)) != version:
        if time.monotonic() > end:
            raise RolloutError(
                f"The gateway does not answer with `{version}`.",
                where=f"{serving.address()}/{project}/v1/model",
                found=found or "no answer",
                next_step="penstock up; then penstock status",
            )
        time.sleep(0.05)
    return found


def _start(project: str, version: str, serve: ServeConfig) -> None:
    try:
        serving.start(server_of(packaged(project, version), serve))
    except PenstockError as error:
        raise RolloutError(
            f"`{version}` cannot be started: its files are gone or damaged.",
            where=error.where,
            found=error.found or error.what,
            next_step=f"penstock rollback {project} --to another one",
        ) from error
    if not release_server.becomes_ready(version):
        raise release_server.not_ready(version)


def _to(desired: Desired, project: str, target: str, serve: ServeConfig) -> Desired:
    for environment in ("production", "staging"):
        desired = with_route(desired, environment, project, Route(champion=target, serve=serve))
    return desired
