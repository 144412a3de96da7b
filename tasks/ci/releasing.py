"""Makes a release of a git ref: exactly its config, schema, pinned data and code, whatever the working tree says."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from pydantic import ValidationError

from penstock.candidate import Outcome
from penstock.errors import ConfigError, DataError, TrainingError
from tasks.ci.ci_run import commit_of
from tasks.data.dvc_config import cache_folder, remote_url
from tasks.data.git import git
from tasks.machine.mortal import MORTAL
from tasks.machine.settings import settings
from tasks.store.source import CODE
from tasks.training.lineage import git_state

TRAIN = """
import sys
from flows.train import train
ended = train.fn(sys.argv[1])
outcome = getattr(ended, "data", ended)
print("\\n" + getattr(outcome, "outcome", outcome).model_dump_json())
"""


def is_here(ref: str) -> bool:
    """Whether the working tree is what ``ref`` says, so that nothing has to be laid out."""
    commit, dirty = git_state()
    return bool(commit) and not dirty and commit == require_commit(ref)


def require_commit(ref: str) -> str:
    """The commit of ``ref``. Raises ConfigError if there is none of that name."""
    found = commit_of(ref)
    if not found:
        raise ConfigError(
            "There is no such git ref.",
            where="--from-ref",
            found=ref,
            allowed="a tag, branch or commit that is in this clone",
            next_step="git fetch --tags",
        )
    return found


def train_at(project: str, ref: str) -> Outcome:
    """Train ``project`` as ``ref`` has it, in a folder of its own; store, ledger and MLflow are this checkout's.

    Raises DataError if git cannot lay it out, TrainingError where the run breaks off.
    """
    commit = require_commit(ref)
    with tempfile.TemporaryDirectory(prefix="penstock-ref-") as name:
        folder = Path(name).resolve() / "checkout"
        said = git("worktree", "add", "--detach", "--quiet", str(folder), commit)
        if said is None or said.returncode:
            raise DataError("The ref could not be laid out.", found=said.stderr.strip()[:300] if said else "no git")
        try:
            place = folder / (git_prefix() or ".")
            (place / ".dvc").mkdir(parents=True, exist_ok=True)
            (place / ".dvc" / "config.local").write_text(f"[cache]\n    dir = {cache_folder().parents[1]}\n")
            return _trained(project, place, commit)
        finally:
            git("worktree", "remove", "--force", str(folder))


def git_prefix() -> str:
    """The checkout's folder in its repository, "" at the top."""
    said = git("rev-parse", "--show-prefix")
    return said.stdout.strip() if said and not said.returncode else ""


def _trained(project: str, place: Path, commit: str) -> Outcome:
    code = place if (place / "flows").is_dir() else CODE
    environment = os.environ | {
        "PENSTOCK_ROOT": str(place),
        "PENSTOCK_HOME": str(settings().home),
        "PENSTOCK_REMOTE": settings().remote or remote_url(),
        "PYTHONPATH": str(code),
    }
    command = [*MORTAL, sys.executable, "-c", TRAIN, project]
    said = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
    try:
        return Outcome.model_validate_json(said.stdout.strip().splitlines()[-1])
    except (ValidationError, IndexError):
        raise TrainingError(
            f"`{project}` could not be trained as {commit[:12]} has it.",
            where=str(settings().root),
            found=(said.stderr.strip().splitlines() or [f"exit code {said.returncode}"])[-1][:400],
            next_step=f"git checkout {commit[:12]}, then: penstock train {project}",
        ) from None
