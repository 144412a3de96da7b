"""The stages as a GitHub Actions workflow. A pull request from a fork gets no secret and a token that only reads."""

from __future__ import annotations

from typing import Any

from penstock import ci
from penstock.ci import Cache, Stage

PATH = ".github/workflows/penstock.yml"
MACHINE = "ubuntu-24.04"
CHANGE = "github.event_name == 'pull_request'"
# by hand, or by the stage `retrain`: a push with the job's own token starts no workflow
MAIN = "(github.event_name == 'workflow_dispatch' && github.ref_name == github.event.repository.default_branch)"
WHEN = {
    ("change",): CHANGE,
    ("main", "tag"): f"(github.event_name == 'push' || {MAIN})",
    ("change", "main", "tag"): f"({CHANGE} || github.event_name == 'push' || {MAIN})",
    ("schedule",): "github.event_name == 'schedule'",
}
# starts the stages of main for the commit that was pushed, if one was
AGAIN = (
    f'test "$(git rev-parse HEAD)" = "$GITHUB_SHA" || '
    f'gh workflow run {PATH.rpartition("/")[2]} --ref "$GITHUB_REF_NAME"'
)


def workflow(stages: tuple[Stage, ...]) -> dict[str, Any]:
    return {
        "name": "penstock",
        "on": {
            "push": {"branches": [ci.MAIN], "tags": [f"{ci.TAG}*"]},
            "pull_request": None,
            "schedule": [{"cron": ci.CRON}],
            "workflow_dispatch": None,
        },
        "permissions": {},
        "concurrency": {
            # of main each run is by itself: one that waits for a person would hold up all that come after it
            "group": f"${{{{ github.workflow }}}}-${{{{ {CHANGE} && github.ref || github.run_id }}}}",
            "cancel-in-progress": "${{ github.event_name == 'pull_request' }}",
        },
        "env": dict(ci.VARIABLES),
        "jobs": {name: job for stage in stages for name, job in _jobs(stage).items()},
    }


def _jobs(stage: Stage) -> dict[str, Any]:
    """A person's approval is a job of its own: while one waits, it must not hold the name by which jobs release."""
    if not stage.approval:
        return {stage.name: _job(stage, stage.needs)}
    name = f"approve-{stage.name}"
    approve = {
        "name": name,
        "if": _condition(stage),
        "needs": list(stage.needs),
        "runs-on": MACHINE,
        "timeout-minutes": ci.MINUTES,
        "permissions": {},
        "environment": ci.ENVIRONMENT,
        "steps": [{"name": name, "run": f"echo 'approved: {stage.name}'\n"}],
    }
    return {name: approve, stage.name: _job(stage, (name,))}


def _condition(stage: Stage) -> str:
    condition = WHEN[stage.on]
    if stage.always:
        condition = f"!cancelled() && {condition}"
    return condition + (f" && vars.{ci.HOME} != ''" if stage.serves else "")


def _job(stage: Stage, needs: tuple[str, ...]) -> dict[str, Any]:
    job: dict[str, Any] = {"name": stage.name, "if": _condition(stage)}
    if needs:
        job["needs"] = list(needs)
    job["runs-on"] = ["self-hosted", ci.RUNNER] if stage.serves else MACHINE
    job["timeout-minutes"] = ci.MINUTES
    job["permissions"] = {"contents": "write" if stage.writes else "read"}
    if stage.writes:
        job["permissions"]["actions"] = "write"
    if stage.posts:
        job["permissions"]["pull-requests"] = "write"
    if stage.serves:
        job["concurrency"] = {"group": ci.RACE, "cancel-in-progress": False}
        job["env"] = {ci.HOME: f"${{{{ vars.{ci.HOME} }}}}"}
    job["steps"] = _steps(stage)
    return job


def _steps(stage: Stage) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = [
        {
            "uses": "actions/checkout@v4",
            "with": {
                "fetch-depth": 0,
                "persist-credentials": stage.writes,
                # what runs on that machine was started from this folder's environment
                **({"clean": False} if stage.serves else {}),
            },
        }
    ]
    if not stage.serves:
        steps.append({"uses": "actions/setup-python@v5", "with": {"python-version": ci.PYTHON}})
    steps += [_cache(cache) for cache in stage.caches]
    if stage.posts:
        steps.append(
            {
                "uses": "actions/download-artifact@v4",
                "with": {"pattern": "penstock-*", "path": ci.REPORT, "merge-multiple": True},
            }
        )
    steps.append({"name": "install", "run": "\n".join(ci.INSTALL) + "\n"})
    secrets = {name: f"${{{{ secrets.{name} }}}}" for name in stage.secrets}
    if stage.posts:
        secrets |= {"GITHUB_TOKEN": "${{ github.token }}"}
    steps.append({"name": stage.name, "run": "\n".join(stage.commands) + "\n", **({"env": secrets} if secrets else {})})
    if stage.writes:
        steps.append({"name": "release it", "run": f"{AGAIN}\n", "env": {"GH_TOKEN": "${{ github.token }}"}})
    if stage.keeps:
        steps.append(
            {
                "if": "!cancelled()",
                "uses": "actions/upload-artifact@v4",
                "with": {
                    "name": f"penstock-{stage.name}",
                    "path": ci.REPORT,
                    "include-hidden-files": True,
                    "if-no-files-found": "ignore",
                },
            }
        )
    return steps


def _cache(cache: Cache) -> dict[str, Any]:
    prefix = f"{cache.name}-${{{{ runner.os }}}}-"
    files = ", ".join(f"'{name}'" for name in cache.files)
    return {
        "uses": "actions/cache@v4",
        "with": {
            "path": "\n".join(cache.paths) + "\n",
            "key": f"{prefix}${{{{ hashFiles({files}) }}}}",
            "restore-keys": prefix,
        },
    }
