"""The stages as a GitLab pipeline. Secrets are the project's CI/CD variables: each job names those it is made for."""

from __future__ import annotations

from typing import Any

from penstock import ci
from penstock.ci import Cache, Stage

PATH = ".gitlab-ci.yml"
RULES = {
    "change": '$CI_PIPELINE_SOURCE == "merge_request_event"',
    "main": '$CI_PIPELINE_SOURCE != "schedule" && $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH',
    "tag": f"$CI_COMMIT_TAG =~ /^{ci.TAG}/",
    "schedule": '$CI_PIPELINE_SOURCE == "schedule" && $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH',
}


def pipeline(stages: tuple[Stage, ...]) -> dict[str, Any]:
    return {
        "workflow": {"rules": [{"if": rule} for rule in RULES.values()]},
        "stages": [stage.name for stage in stages],
        "variables": {**ci.VARIABLES, "GIT_DEPTH": "0"},
        "default": {"image": f"python:{ci.PYTHON}", "timeout": f"{ci.MINUTES} minutes"},
        **{stage.name: _job(stage) for stage in stages},
    }


def _job(stage: Stage) -> dict[str, Any]:
    job: dict[str, Any] = {"stage": stage.name, "rules": [_rule(stage, RULES[event]) for event in stage.on]}
    job["needs"] = list(stage.needs)
    variables = {"PENSTOCK_SECRETS": " ".join(stage.secrets)} if stage.secrets else {}
    if stage.serves:
        job["tags"] = [ci.RUNNER]
        job["resource_group"] = ci.RACE
        variables["GIT_CLEAN_FLAGS"] = "none"  # what runs there was started from this folder's environment
    if variables:
        job["variables"] = variables
    if stage.approval:
        job["environment"] = {"name": ci.ENVIRONMENT}
    if stage.caches:
        job["cache"] = [_cache(cache) for cache in stage.caches]
    job["script"] = [*ci.INSTALL, *stage.commands]
    if stage.keeps:
        job["artifacts"] = {"paths": [ci.REPORT], "when": "always", "expire_in": "30 days"}
    return job


def _rule(stage: Stage, rule: str) -> dict[str, Any]:
    found: dict[str, Any] = {"if": f"{rule} && ${ci.HOME}" if stage.serves else rule}
    if stage.approval:
        found |= {"when": "manual", "allow_failure": False}
    elif stage.always:
        found["when"] = "always"
    return found


def _cache(cache: Cache) -> dict[str, Any]:
    """GitLab's caches are written again and again, so a branch has one, and begins with that of the main branch."""
    return {
        "key": f"{cache.name}-$CI_COMMIT_REF_SLUG",
        "fallback_keys": [f"{cache.name}-$CI_DEFAULT_BRANCH"],
        "paths": list(cache.paths),
        "when": "always",
    }
