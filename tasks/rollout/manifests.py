"""The git checkout with the manifests: a release's folder is written, committed, pushed; and taken back.

Only files of the project's folder are committed, whatever else is staged or changed there. Git is asked through its
command line.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from penstock.errors import ConfigError, StorageError
from penstock.kube_release import KubeRelease, folder_files, read_release, release_files
from penstock.release_config import RolloutConfig
from tasks.machine.author import author
from tasks.machine.settings import settings
from tasks.store import store

COMPONENT = "release/kustomization.yaml"
PUSHES = 3  # others push to the same branch


def require() -> Path:
    """The checkout. Raises ConfigError if none is named, or it is none, or its bases are missing."""
    root = settings().manifests
    if root == Path() or not (root / ".git").exists():
        raise ConfigError(
            "PENSTOCK_MANIFESTS does not name a git checkout.",
            found=str(root) if root != Path() else "not set",
            allowed="the path of a checkout with the manifests of deploy/kubernetes",
            next_step="git clone REPOSITORY manifests && export PENSTOCK_MANIFESTS=$PWD/manifests",
        )
    base = _bases() / f"model-{environment()}"
    if not (base / "kustomization.yaml").is_file():
        raise ConfigError(
            f"The manifests have no model service for the environment `{environment()}`.",
            where=str(base),
            allowed=", ".join(sorted(each.name for each in _bases().glob("model-*"))) or "no folder model-*",
            next_step="copy deploy/kubernetes there, or set PENSTOCK_MANIFESTS_PATH",
        )
    return root.resolve()


def environment() -> str:
    return settings().manifests_path.name


def folder(project: str) -> Path:
    return settings().manifests / settings().manifests_path / project


def namespace(project: str) -> str:
    """The one that the project's folder names. Raises ConfigError if it names none."""
    import yaml

    path = folder(project) / "kustomization.yaml"
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))["namespace"]
        return str(found)
    except (OSError, LookupError, TypeError, yaml.YAMLError):
        raise ConfigError(
            "The project's manifests name no namespace.", where=str(path), allowed="namespace: NAME"
        ) from None


def current(project: str) -> KubeRelease | None:
    """The release that the checkout has for the project."""
    try:
        return read_release((folder(project) / COMPONENT).read_text(encoding="utf-8"))
    except OSError:
        return None


def update() -> None:
    """Take what others pushed. Raises StorageError if the two histories have come apart."""
    if settings().manifests_remote:
        _git("pull", "--quiet", "--rebase", "--autostash", settings().manifests_remote, _branch())


def write(release: KubeRelease, config: RolloutConfig, message: str) -> str:
    """Commit the release's files and push. The commit's hash, or "" if the checkout had them already."""
    base = folder(release.project)
    files = release_files(release, config)
    if not (base / "kustomization.yaml").exists():
        files |= folder_files(release.project, environment(), os.path.relpath(_bases(), base))
    with store.readable_errors(base):
        for name, text in files.items():
            (base / name).parent.mkdir(parents=True, exist_ok=True)
            store.write_atomic(base / name, text.encode())
    return _committed(release.project, message)


def take_back(project: str, bad: KubeRelease, message: str) -> str:
    """Undo the newest commit that brought ``bad``, and push. What it had replaced is there again, to the byte.

    The commit's hash, or "" if another release is there. Before a project's first release there was nothing: then its
    folder goes.
    """
    if current(project) != bad:
        return ""
    commits = _git("log", "--format=%H", "--", _shown(project)).split()
    before = next((commit for commit in commits if _release_at(commit, project) != bad), "")
    if before and _release_at(before, project):
        return _restored(project, before, message)
    mine = f"{_shown(project)}/release" if before else _shown(project)
    _git("rm", "--quiet", "-r", "--force", "--", mine)
    return _committed(project, message)


def restore(project: str, version: str, message: str) -> str | None:
    """Put back what the checkout had when ``version`` was the release. The commit's hash, "" if it is so, None if it
    never was."""
    found = current(project)
    if found is not None and found.version == version:
        _push()
        return ""
    for commit in _git("log", "--format=%H", "--", _shown(project)).split():
        then = _release_at(commit, project)
        if then is not None and then.version == version:
            return _restored(project, commit, message)
    return None


def last_word(project: str) -> tuple[str, dict[str, str]]:
    """The newest commit of the release's files: its hash, and its trailers without `Penstock-`; ("", {}) of none."""
    name = f"{_shown(project)}/release"
    said = _git("log", "-1", "--format=%H%n%(trailers:only,unfold)", "--", name).splitlines()
    pairs = [line.removeprefix("Penstock-").partition(": ") for line in said[1:] if line.startswith("Penstock-")]
    return (said[0], {key: value for key, _, value in pairs}) if said else ("", {})


def _restored(project: str, commit: str, message: str) -> str:
    """Only `release/` goes back: what the team changed beside it since then stays."""
    _git("restore", f"--source={commit}", "--worktree", "--", f"{_shown(project)}/release")
    return _committed(project, message)


def _release_at(commit: str, project: str) -> KubeRelease | None:
    done = _run("show", f"{commit}:./{_shown(project)}/{COMPONENT}")
    return read_release(done.stdout) if done.returncode == 0 else None


def _committed(project: str, message: str) -> str:
    name = _shown(project)
    if folder(project).exists():
        _git("add", "--", name)
    changed = bool(_git("status", "--porcelain", "--", name).strip())
    if changed:
        _git("commit", "--quiet", "--no-verify", "--no-gpg-sign", "-m", message, "--", name)
    _push()
    return _git("rev-parse", "HEAD").strip() if changed else ""  # a push that came second has made another hash of it


def _push() -> None:
    remote = settings().manifests_remote
    if not remote:
        return
    for left in reversed(range(PUSHES)):
        done = _run("push", "--quiet", remote, f"HEAD:{_branch()}")
        if done.returncode == 0:
            return
        if not left or not any(word in done.stderr for word in ("fetch first", "non-fast-forward", "rejected")):
            raise _refused("push", done)
        update()


def _branch() -> str:
    return _git("symbolic-ref", "--short", "HEAD").strip()


def _shown(project: str) -> str:
    return str(settings().manifests_path / project)


def _bases() -> Path:
    return (settings().manifests / settings().manifests_path).parents[1]


def _git(*arguments: str) -> str:
    done = _run(*arguments)
    if done.returncode:
        raise _refused(arguments[0], done)
    return done.stdout


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    who = author()
    mail = who.split()[0] if "@" in who else "penstock@localhost"
    variables = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in
                 (("NAME", who), ("EMAIL", mail))} | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}  # fmt: skip
    command = ["git", "-C", str(settings().manifests), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | variables)
    except FileNotFoundError:
        raise ConfigError("git is not installed.", allowed="PENSTOCK_TARGET=gitops needs it") from None


def _refused(what: str, done: subprocess.CompletedProcess[str]) -> StorageError:
    return StorageError(
        f"git {what} failed in the checkout of the manifests.",
        where=str(settings().manifests),
        found=" | ".join((done.stderr or done.stdout).split("\n"))[:400].strip(" |"),
        next_step="mend the checkout, then run the command again: what is committed already is not committed twice",
    )
