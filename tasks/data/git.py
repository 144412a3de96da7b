"""Git, by its command line. Everything here works without it, and says so."""

from __future__ import annotations

import subprocess

from penstock.config import Project
from penstock.errors import DataError
from tasks.machine.redaction import redacted
from tasks.machine.settings import settings
from tasks.store.caching import task


def git(*arguments: str) -> subprocess.CompletedProcess[str] | None:
    """What `git` said in the checkout, or None where it is not installed."""
    command = ["git", "-C", str(settings().root), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None


@task(cached=False)
def commit_dataset(project: Project, message: str) -> str:
    """Commit the dataset's .dvc file, and nothing else, whatever is staged. The commit's hash, or "" if it was there.

    Raises DataError where git is missing or refuses.
    """
    name = f"{project.data.path}.dvc"
    _must("add", "--force", "--", name)
    if not _must("status", "--porcelain", "--", name).strip():
        return ""
    _must("commit", "--quiet", "-m", message, "--", name)
    return _must("rev-parse", "HEAD").strip()


def tag_release(version: str, commit: str) -> str:
    """An annotated tag ``version`` at ``commit``, pushed to `origin` where there is one; returns what became of it.

    A tag of that name that is there stays as it is: a release is made once. Nothing is raised: the release serves.
    """
    there = git("rev-parse", "--verify", "--quiet", f"refs/tags/{version}")
    if there is None:
        return ""
    if there.returncode:
        author = ("-c", "user.name=penstock", "-c", "user.email=penstock@localhost")
        made = git(*author, "tag", "--annotate", version, commit, "--message", f"{version} serves production")
        if made is None or made.returncode:
            return f"{version} could not be made: {made.stderr.strip()[:200] if made else ''}"
    origin = git("remote", "get-url", "origin")
    if origin is None or origin.returncode:
        return version
    pushed = git("push", "--quiet", "origin", f"refs/tags/{version}")
    return version if pushed and not pushed.returncode else f"{version}, not pushed: {_last(pushed)}"


def _last(said: subprocess.CompletedProcess[str] | None) -> str:
    return redacted((said.stderr.strip().splitlines() or [""])[-1][:200]) if said else ""


def _must(*arguments: str) -> str:
    said = git(*arguments)
    if said is None or said.returncode:
        words = "git is not installed" if said is None else (said.stderr or said.stdout).strip()
        raise DataError(
            "The dataset's .dvc file could not be committed to git; the data themselves are versioned and pushed.",
            where=str(settings().root),
            found=words[:300],
            next_step="mend git and commit the file by hand, or leave out --commit",
        )
    return said.stdout
