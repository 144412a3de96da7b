"""deploy: a release takes over from the champion, step by step, and the champion stays when the evidence is against it.

Reads the ledger, the release's package and the project's `rollout`; changes what serves on this machine and appends
to the ledger. Only one deploy of a project goes on at a time. Nothing is retried: a deploy that broke off is put back
by the next one, or by `penstock up`.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from flows.gitops import deploy_by_commit
from flows.lifecycle import flow, rollout_state
from penstock.errors import PackagingError
from penstock.rollout import Deployment
from penstock.verdict import Verdict
from tasks.data.project import load_project
from tasks.machine.production import require_named
from tasks.machine.settings import settings
from tasks.registry.approval import needs_approval, tell_waiting
from tasks.registry.releases import packaged
from tasks.reports.mlflow_aliases import tell_mlflow
from tasks.rollout import traffic
from tasks.rollout.rollout import (
    bake_release,
    confirm_healthy,
    deploying,
    give_traffic,
    plan_rollout,
    promote_release,
    replay_bodies,
    replay_requests,
    resume_bake,
    shadow_release,
    stage_release,
    start_release,
    withdraw,
)
from tasks.rollout.rollout_routes import Rollout
from tasks.rollout.settle import settle
from tasks.serving import serving
from tasks.store import artifacts, patience

if TYPE_CHECKING:
    from prefect import State


@flow
def deploy(
    config: str, version: str = "", force: bool = False, reason: str = "", wait: bool = False
) -> Deployment | State[Deployment]:
    """Bring a release into production: staging, replay, shadow, canary, everything, healthy.

    ``config``: a project's name or its YAML's path. ``version``: the newest release if left out. ``force`` lets a
    release out of quarantine, with a ``reason``. ``wait``: for the end of another deploy of the project. A release that
    fails or cannot be judged ends the flow in a state of type FAILED named RolledBack or Held; a call from Python
    raises `penstock.errors.RolloutError`.
    """
    require_named("deploy")
    project = load_project(config)
    if settings().target == "gitops":
        ended = deploy_by_commit(project, version, force, reason, wait)
        return rollout_state(ended.error()) if ended.result in ("failed", "held") else ended
    with deploying(project.name, wait):
        settle(project.name)
        plan = plan_rollout(project, version, uuid.uuid4().hex[:12], force, reason)
        if plan.serves and plan.baked:
            serving.converge()
            return plan.ended("serving already", plan.version)
        rollout = Rollout(plan, packaged(plan.project, plan.version), project)
        try:
            failed = _baked(rollout) if plan.serves else roll_out(rollout)
        except PackagingError as error:  # the release's own fault; after any other the warden puts things back
            return _ended(rollout, "failed", (error.what, *filter(None, (error.found,))))
        if isinstance(failed, Verdict):
            return _ended(rollout, "failed" if failed.decision == "fail" else "held", failed.reasons)
        if failed:
            tell_waiting(plan.project, plan.version)
            return plan.ended("waiting for approval", plan.champion)
        confirm_healthy(rollout)
        tell_mlflow(plan.project)
        return _shown(plan.ended("healthy", plan.version, verdicts=rollout.verdicts))


def roll_out(rollout: Rollout) -> Verdict | str:
    """Every step in order; the verdict that ended it early, "waiting", or "" when the release serves everything."""
    with serving.kept(rollout.plan.version):
        return _rolled_out(rollout)


def _rolled_out(rollout: Rollout) -> Verdict | str:
    plan, config = rollout.plan, rollout.project.rollout
    start_release(rollout)
    stage_release(rollout)
    verdict = replay_requests(rollout)
    if verdict.decision != "pass" and not (verdict.decision == "hold" and _is_shadowed(rollout)):
        return verdict
    if needs_approval(rollout.project, plan.version):
        return "waiting"
    with _traffic(rollout), patience.within(patience.ROLLOUT):
        if plan.champion:
            if config.shadow_seconds:
                verdict = shadow_release(rollout)
                if not _goes_on(rollout, verdict):
                    return verdict
            for percent in config.steps:
                verdict = give_traffic.named(f"canary {percent} %")(rollout, percent)
                if not _goes_on(rollout, verdict):
                    return verdict
        promote_release(rollout)
        verdict = bake_release(rollout)
    return "" if _goes_on(rollout, verdict) else verdict


def _baked(rollout: Rollout) -> Verdict | str:
    """The bake alone, for a release that serves everything since a deploy that broke off."""
    resume_bake(rollout)
    with _traffic(rollout), patience.within(patience.ROLLOUT):
        verdict = bake_release(rollout)
    return "" if _goes_on(rollout, verdict) else verdict


@contextlib.contextmanager
def _traffic(rollout: Rollout) -> Iterator[None]:
    """With `traffic: replay`, requests of our own go through the gateway while the block runs."""
    project = rollout.project
    if project.rollout.traffic == "live":
        yield
        return
    bodies = replay_bodies(rollout, project.rollout.replay_requests)
    requests = traffic.at_random(bodies, project.serve.sticky_header)
    sender = traffic.Sender(serving.address(), project.name, requests, project.rollout.replay_rate)
    with traffic.sending(sender):
        yield


def _goes_on(rollout: Rollout, verdict: Verdict) -> bool:
    """Whether the next step may begin: it passed, or nothing speaks against it and no proof is asked for."""
    if verdict.decision == "hold":
        return rollout.project.rollout.on_hold == "promote" or not rollout.plan.champion
    return verdict.decision == "pass"


def _is_shadowed(rollout: Rollout) -> bool:
    """Whether what a replay could not decide is asked again: the shadow has the same checks, and more requests come."""
    return bool(rollout.plan.champion and rollout.project.rollout.shadow_seconds)


def _shown(deployment: Deployment) -> Deployment:
    """The steps and their verdicts as a table in the Prefect UI."""
    rows = [
        {
            "step": step,
            "verdict": verdict.decision,
            "why": "; ".join(verdict.reasons or [c.text for c in verdict.checks]),
        }
        for step, verdict in deployment.verdicts
    ]
    artifacts.table(f"rollout-{deployment.version}", rows)
    return deployment


def _ended(
    rollout: Rollout, result: Literal["failed", "held"], reasons: tuple[str, ...]
) -> Deployment | State[Deployment]:
    serves = withdraw(rollout, result, reasons)
    tell_mlflow(rollout.plan.project)
    deployment = rollout.plan.ended(result, serves, reasons, rollout.verdicts)
    return rollout_state(_shown(deployment).error())
