"""The steps of a rollout. Each changes who answers or judges what was seen; `flows/deploy.py` has their order."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Literal

from penstock import ledger
from penstock.agreement import Agreement
from penstock.config import Project
from penstock.desired import Route, with_route
from penstock.errors import RolloutError, StorageError, UnreachableError
from penstock.promotion import served
from penstock.rollout import Plan, plan
from penstock.verdict import Evidence, Step, Verdict, decide
from tasks.data import label_facts
from tasks.packaging.infra import require_exact
from tasks.registry import ledger_store
from tasks.registry.ended import ended
from tasks.registry.registry import read_ledger
from tasks.registry.releases import packaged, server_of, tell
from tasks.rollout import traffic
from tasks.rollout.promotion import require_promotable
from tasks.rollout.rollout_routes import Rollout, point, promoted, require_platform, settled, withdrawn
from tasks.rollout.rollout_watch import judged, watch
from tasks.rollout.second_opinion import SecondOpinion
from tasks.rollout.untold import tell_untold
from tasks.serving import release_server, serving
from tasks.serving.evidence import Pairs, Unit, expected_agreement
from tasks.store import locks, store
from tasks.store.caching import task
from tasks.training.samples import example_row


@contextlib.contextmanager
def deploying(project: str, wait: bool = False) -> Iterator[None]:
    """One deploy of a project at a time: a lock that dies with its holder.

    Raises RolloutError if another goes on, unless it is to ``wait`` for that one's end.
    """
    with contextlib.ExitStack() as stack:
        try:
            # a second or two in any case: the warden holds it for a moment when it looks
            stack.enter_context(locks.exclusive(f"deploy-{project}", timeout=None if wait else 2))
        except StorageError as error:
            raise RolloutError(
                f"Another deploy of `{project}` goes on.",
                next_step=f"penstock status {project}; or `penstock rollback {project}` to end it",
            ) from error
        yield


def plan_rollout(project: Project, version: str, rollout: str, force: bool, reason: str) -> Plan:
    """What is to be done; a forced release is taken out of quarantine here.

    Raises RolloutError, DataError; and what `require_promotable` raises for a release that comes from elsewhere.
    """
    name = project.name
    if force and not reason:
        raise RolloutError("`--force` needs a reason.", next_step='--reason "why this may serve all the same"')
    release = packaged(name, version)
    events = read_ledger(name)
    route = serving.read().route("production", name)
    made = plan(name, events, route, release.version, rollout, ended(name), force)
    if not made.serves:
        require_promotable(release)
    if force and release.version in ledger.quarantined(events):
        tell(name, "cleared", release.version, reason)
    return made


@task(cached=False)
def start_release(rollout: Rollout) -> str:
    """The release's processes run and say that they are ready. Raises PackagingError with the end of their log."""
    version, candidate = rollout.plan.version, rollout.release.candidate
    serving.start(server_of(rollout.release, rollout.project.serve, rollout.fault))
    row = example_row(candidate.splits, rollout.project.features)
    store.write_atomic(release_server.example_file(version), json.dumps(row).encode())
    if not release_server.becomes_ready(version):
        require_platform(rollout.plan)
        raise release_server.not_ready(version)
    return f"{version} is ready"


@task(cached=False)
def stage_release(rollout: Rollout) -> str:
    """Staging sends to the release, and it answers there, through the gateway, what training computed."""
    name, version = rollout.plan.project, rollout.plan.version
    route = Route(champion=version, serve=rollout.project.serve)
    serving.change(lambda desired: with_route(desired, "staging", name, route))
    candidate, project = rollout.release.candidate, rollout.project
    address = f"{serving.address('staging')}/{name}/v1/predict"
    rows = require_exact(address, candidate.evaluation, candidate.splits, project.features, project.package)
    tell(name, "staged", version, f"{len(rows)} predictions exact in staging")
    return f"{len(rows)} predictions exact at {serving.address('staging')}"


@task(cached=False)
def replay_requests(rollout: Rollout) -> Verdict:
    """The release answers recorded requests of production, or test rows, beside the champion, past the gateway."""
    from tasks.rollout.replay import replayed

    plan, project = rollout.plan, rollout.project
    bodies = replay_bodies(rollout, project.rollout.replay_requests)
    challenger, champion, agreed = replayed(plan, bodies, project.evaluate.slices, _unit(rollout))
    step = Step(name="replay", steps=rollout.steps, baked=True)
    # fewer requests than asked for are all there are: they are judged, not waited for
    config = project.rollout.model_copy(update={"min_requests": min(project.rollout.min_requests, len(bodies))})
    rollout.expected = _expected(rollout)
    seen = Evidence(challenger=challenger, champion=champion, agreement=agreed, expected=rollout.expected)
    return judged(rollout, step, decide(config, step, seen, project.evaluate.min_slice_rows))


def _expected(rollout: Rollout) -> Agreement | None:
    plan = rollout.plan
    if not plan.champion:
        return None
    champion = packaged(plan.project, plan.champion)
    return expected_agreement(rollout.release.candidate, champion, rollout.project.evaluate.slices)


def _unit(rollout: Rollout) -> Unit:
    return Unit(rollout.project.train.task, label_facts.spread(rollout.release.candidate.splits))


def replay_bodies(rollout: Rollout, most: int) -> list[bytes]:
    plan = rollout.plan
    bodies = traffic.recorded(plan.project, plan.champion, most) if plan.champion and _logs_whole(rollout) else []
    return bodies or traffic.held_out(rollout.release.candidate, rollout.project.features, most)


def _logs_whole(rollout: Rollout) -> bool:
    """Whether what is recorded of a request is what the model was asked."""
    log = rollout.project.serve.log
    return log.enabled and not {*log.drop, *log.hash} & set(rollout.project.features.inputs)


@task(cached=False)
def shadow_release(rollout: Rollout) -> Verdict:
    """The release gets a copy of every request; its answers are compared with the champion's, and go nowhere."""
    plan, project = rollout.plan, rollout.project
    pairs = Pairs(plan.project, plan.champion, plan.version, project.evaluate.slices, _unit(rollout))
    point(rollout, challenger=plan.version, mirror=True)
    tell(plan.project, "shadow", plan.version, f"gets copies of the requests to {plan.champion}")
    return watch(rollout, "shadow", project.rollout.shadow_seconds, pairs=pairs)


@task(cached=False)
def give_traffic(rollout: Rollout, percent: int) -> Verdict:
    """The release answers a share of the requests; when it fails, the champion answers in its place.

    The champion is asked the same requests again, and the answers are compared as in the shadow.
    """
    plan, project = rollout.plan, rollout.project
    again = SecondOpinion(plan, project.evaluate.slices, _unit(rollout), project.serve.try_timeout_seconds)
    with contextlib.closing(again):
        point(rollout, challenger=plan.version, weight=percent)
        tell(plan.project, "canary", plan.version, f"answers {percent} % of requests", weight=percent)
        pairs = again if _logs_whole(rollout) else None
        return watch(rollout, f"canary {percent} %", project.rollout.step_seconds, pairs=pairs)


@task(cached=False)
def promote_release(rollout: Rollout) -> str:
    """The release answers everything. The champion of before stays up, to go back to."""
    plan = rollout.plan
    serving.change(lambda desired: promoted(desired, rollout))
    rollout.exposed = rollout.exposed or time.monotonic()
    reason = f"took over from {plan.champion}" if plan.champion else "the first to serve"
    tell(plan.project, "promoted", plan.version, reason, champion=plan.champion)
    return f"{plan.version} serves {serving.address()}/{plan.project}/v1/predict"


def resume_bake(rollout: Rollout) -> None:
    """Take up the bake of a release that serves, where an earlier deploy broke off."""
    serving.change(lambda desired: promoted(desired, rollout))
    rollout.exposed = time.monotonic()


@task(cached=False)
def bake_release(rollout: Rollout) -> Verdict:
    """The release serves everything for its bake time, within its limits."""
    return watch(rollout, "bake", rollout.project.rollout.bake_seconds, alone=True, last=True)


def confirm_healthy(rollout: Rollout) -> None:
    """The ledger says so; servers that nobody needs any more are drained and stopped."""
    plan = rollout.plan
    serving.change(lambda desired: settled(desired, rollout))
    _, verdict = rollout.verdicts[-1]
    why = "served everything for its bake time, within its limits"
    if verdict.decision != "pass":
        why = (
            "without proof, as `on_hold: promote` says: "
            if plan.champion
            else "the first to serve, decided by the check of its package and the replay of test rows: "
        ) + "; ".join(verdict.reasons)
    tell(plan.project, "healthy", plan.version, why, **served(rollout.release.package))
    serving.retire(plan.project, keep=plan.champion)


def withdraw(rollout: Rollout, kind: Literal["failed", "held"], reasons: tuple[str, ...]) -> str:
    """Back to the champion at once; then the ledger, and the release's servers are drained and stopped.

    ``kind``: failed (and then it is in quarantine) or held. Returns who serves now. Killed anywhere in between,
    whoever settles the project does the rest. Raises PlatformError if an Envoy does not take it: the ledger knows of
    the withdrawal all the same, and the warden goes on trying. A shared ledger that is away is told by the warden, too.
    """
    plan = rollout.plan
    with ledger_store.at_hand():
        try:
            serving.change(lambda desired: withdrawn(desired, rollout, kind, reasons), insist=True)
            rollout.withdrawn = time.monotonic()
        finally:
            with contextlib.suppress(UnreachableError):  # it must hide neither an Envoy's refusal nor the verdict
                tell_untold(plan.project)
        keep = ledger.last_healthy(read_ledger(plan.project), plan.champion, ended(plan.project))
        serving.retire(plan.project, keep=keep)
    now = serving.read().route("production", plan.project)
    return now.champion if now else ""
