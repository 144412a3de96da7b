"""deploy where Kubernetes serves: a commit brings the release into the manifests, Argo CD into the cluster, and Argo
Rollouts judges it; what it found is written into the ledger. The order alone; `flows/deploy.py` calls it."""

from __future__ import annotations

import uuid
from typing import Literal

from penstock.config import Project
from penstock.rollout import Deployment
from tasks.registry.approval import needs_approval, tell_waiting
from tasks.reports.mlflow_aliases import tell_mlflow
from tasks.rollout.gitops import (
    await_rollout,
    commit_release,
    confirm,
    kube_release,
    plan_commit,
    ready,
    settle,
    take_back,
    tell_canary,
)
from tasks.rollout.rollout import deploying


def deploy_by_commit(project: Project, version: str, force: bool, reason: str, wait: bool) -> Deployment:
    """As `flows.deploy.deploy`. A deploy that ended before the cluster's verdict is taken up where it is."""
    with deploying(project.name, wait):
        ready()
        settle(project.name)
        made = plan_commit(project, version, uuid.uuid4().hex[:12], force, reason)
        if made.serves and made.baked:
            return made.ended("serving already", made.version)
        release = kube_release(project.name, made.version)
        if needs_approval(project, made.version):
            tell_waiting(project.name, made.version)
            return made.ended("waiting for approval", made.champion)
        tell_canary(made, commit_release(release, project))
        found = await_rollout(release, project)
        if found.state == "healthy":
            confirm(made, found)
            ended = made.ended("healthy", made.version)
        else:
            kind: Literal["failed", "held"] = "failed" if found.state == "failed" else "held"
            ended = made.ended(kind, take_back(made, release, kind, found.reasons), found.reasons)
        tell_mlflow(project.name)
        return ended
