"""Which CI system runs this, for which change, and what the change is compared with: read from its environment."""

from __future__ import annotations

import os

from penstock.errors import ConfigError
from penstock.refs import Value
from tasks.data.git import git

NO_BASE = "there is no earlier commit to compare with"


class CiRun(Value):
    """``system``: github, gitlab, jenkins, circleci, or "" on a person's machine. ``change``: the pull request's
    number, "" where there is none; ``target``: the branch it is to be merged into; ``url``: of the run's page."""

    system: str = ""
    change: str = ""
    target: str = ""
    url: str = ""


def running() -> CiRun:
    """The CI run that this process is part of."""
    env = os.environ.get
    if env("GITHUB_ACTIONS"):
        number = env("GITHUB_REF", "").removeprefix("refs/pull/").partition("/")[0]
        url = f"{env('GITHUB_SERVER_URL')}/{env('GITHUB_REPOSITORY')}/actions/runs/{env('GITHUB_RUN_ID')}"
        return CiRun(
            system="github", change=number if number.isdigit() else "", target=env("GITHUB_BASE_REF", ""), url=url
        )
    if env("GITLAB_CI"):
        target = env("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "") or env("CI_DEFAULT_BRANCH", "")
        url = env("CI_PIPELINE_URL", "")
        return CiRun(system="gitlab", change=env("CI_MERGE_REQUEST_IID", ""), target=target, url=url)
    if env("CIRCLECI"):
        number = env("CIRCLE_PULL_REQUEST", "").rpartition("/")[2]
        return CiRun(system="circleci", change=number, url=env("CIRCLE_BUILD_URL", ""))
    if env("JENKINS_URL"):
        return CiRun(
            system="jenkins", change=env("CHANGE_ID", ""), target=env("CHANGE_TARGET", ""), url=env("BUILD_URL", "")
        )
    return CiRun()


def base_commit(asked: str = "") -> str:
    """The commit that HEAD is compared with: where it left the target branch; on that branch itself, the one before.

    ``asked``: a git revision to use instead. "" where there is none, as in a repository of one commit. Raises
    ConfigError if ``asked`` is no revision.
    """
    if asked:
        found = commit_of(asked)
        if not found:
            raise ConfigError(
                "There is no such git revision.",
                where="--base",
                found=asked,
                allowed="a commit, branch or tag that is in this clone",
                next_step="git fetch --unshallow, if the clone is shallow",
            )
        return found
    target = running().target
    for name in filter(None, (f"origin/{target}" if target else "", target, "origin/HEAD", "origin/main", "main")):
        if commit_of(name):
            said = git("merge-base", "HEAD", name)
            where = said.stdout.strip() if said and not said.returncode else ""
            if where and where != commit_of("HEAD"):
                return where
            break
    return commit_of("HEAD^")


def at(commit: str, path: str) -> str | None:
    """A file's text at ``commit``, None if it is not there. ``path``: from the checkout's root."""
    said = git("show", f"{commit}:./{path}")
    return said.stdout if said is not None and not said.returncode else None


def commit_of(name: str) -> str:
    """The hash of the commit that ``name`` means, "" if it means none."""
    said = git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    return said.stdout.strip() if said is not None and not said.returncode else ""
