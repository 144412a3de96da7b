"""A team's repository of the tiny project, fresh clones of it, and an environment to run a stage's commands in.

Only installing is stood in for: `uv sync` does nothing, since the environment of the tests is there already, and
`uv run penstock` is this repository's code. Everything else is real.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.ci.ci_facts import REPOSITORY

UV = f"""#!/bin/sh
case "$1" in
  sync) exit 0 ;;
  run) shift 2; exec "{sys.executable}" -m flows.cli "$@" ;;
esac
exit 64
"""
PYPROJECT = """\
[project]
name = "mine"
version = "1"

[tool.ruff]
line-length = 120

[tool.ruff.lint]
select = ["F"]
"""
IGNORED = "/.penstock/\n/prefect.toml\n/.gitlab-ci-local/\n__pycache__/\n.ruff_cache/\n"


OTHERS = ("PENSTOCK_", "PREFECT_", "GITHUB_", "GITLAB_", "CI", "JENKINS_", "CHANGE_", "BUILD_", "RUNNER_")


@dataclass(frozen=True)
class Team:
    """A repository with one commit on `main` that everybody clones; ``home``: of the machine that serves."""

    folder: Path
    home: Path
    variables: dict[str, str]

    @property
    def origin(self) -> Path:
        return self.folder / "origin.git"

    def clone(self, name: str, branch: str = "main") -> Path:
        place = self.folder / name
        git(self.folder, "clone", "--quiet", "--branch", branch, str(self.origin), str(place))
        return place

    def environment(self, place: Path, **more: str) -> dict[str, str]:
        """Of a CI job in ``place``: nothing of the developer's settings, and PENSTOCK_HOME only where it is given."""
        mine = {name: text for name, text in os.environ.items() if not name.startswith(OTHERS)}
        path = {"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(REPOSITORY)}
        return {**mine, **self.variables, **path, "PENSTOCK_ROOT": str(place), **more}

    def run(self, place: Path, commands: tuple[str, ...], **more: str) -> subprocess.CompletedProcess[str]:
        """As every CI system runs a job's commands: one shell that ends at the first that fails."""
        return subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", "\n".join(commands)],
            cwd=place,
            env=self.environment(place, **more),
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )


def git(place: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=Test", "-c", "user.email=test@localhost", *arguments]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, check=True).stdout


def team(folder: Path, tiny: Path, environments: Path, template: Path, prefect: str) -> Team:
    """``tiny``: the project's files; ``template``: what a home has in it from the start."""
    place = folder / "made"
    shutil.copytree(tiny, place, ignore=shutil.ignore_patterns("__pycache__"))
    (place / "pyproject.toml").write_text(PYPROJECT)
    (place / ".gitignore").write_text(IGNORED)
    uv = folder / "bin" / "uv"
    uv.parent.mkdir()
    uv.write_text(UV)
    uv.chmod(0o755)
    home = folder / "home"
    shutil.copytree(template, home)
    (home / "environments").symlink_to(environments)
    variables = {"PENSTOCK_REMOTE": str(folder / "remote"), "PREFECT_API_URL": prefect, "PENSTOCK_THREADS": "2"}
    variables |= {"PENSTOCK_PRODUCTION_PORT": "0", "PENSTOCK_STAGING_PORT": "0"}
    made = Team(folder, home, variables)
    said = made.run(place, ("uv run penstock ci generate",))
    assert said.returncode == 0, said.stderr
    git(place, "init", "--quiet", "--initial-branch", "main")
    git(place, "add", "--all")
    git(place, "commit", "--quiet", "--message", "a project")
    git(folder, "clone", "--quiet", "--bare", str(place), str(made.origin))
    return made
