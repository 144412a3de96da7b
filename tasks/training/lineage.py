"""From what a model is made: data, config, code and environment, each by hash."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from penstock.candidate import Lineage
from penstock.config import Project
from penstock.refs import Dataset, FileRef
from tasks.data.dvc_config import remote_url
from tasks.data.git import git
from tasks.machine.settings import settings
from tasks.store import store
from tasks.store.caching import is_planning, task
from tasks.store.source import CODE, closure

# what makes the release; the rest (terminal, report, platform, ledger) shows it or moves it
MAKERS = (
    "data.validation", "training.splitting", "training.leaking", "training.tuning", "training.training",
    "training.evaluation", "training.grouping", "training.behaving", "training.gating", "packaging.packaging",
    "packaging.infra",
)  # fmt: skip
# sections that say how a release serves, takes over and is watched, not what it is
RELEASING = {"serve", "rollout", "monitor", "labels", "retrain", "alerts", "ci"}
# what ingest and DVC write; what it says of the data is in the dataset's version
OURS = ("data/*.dvc", "data/.gitignore", ".dvc")
LIBRARIES = (
    "bentoml", "dvc", "mlflow", "numpy", "optuna", "pandera", "polars", "prefect", "pyarrow", "scikit-learn", "whylogs",
    "xgboost",
)  # fmt: skip


@task(reads=True)
def describe_lineage(project: Project, schema: str, dataset: Dataset) -> Lineage:
    """The lineage that a model trained now would have. While planning, nothing is written."""
    commit, dirty = git_state()
    tree = project.model_dump(mode="json", by_alias=True, exclude=RELEASING)
    config = json.dumps(tree, sort_keys=True, indent=1, ensure_ascii=False)
    return Lineage(
        project=project.name,
        config=_kept(config.encode(), "config.json"),
        schema_text=_kept(schema.encode(), "schema.yaml"),
        dataset=dataset.version,
        remote=remote_url(),
        git_commit=commit,
        git_dirty=dirty,
        code=_code(),
        environment=environment_hash(),
        libraries={name: metadata.version(name) for name in LIBRARIES},
        python=".".join(map(str, sys.version_info[:3])),
        engine=settings().engine,
    )


def _kept(content: bytes, name: str) -> FileRef:
    """``content`` in the store; while planning only its name there, so that a home may be read-only."""
    if is_planning():
        return FileRef(name=name, sha256=hashlib.sha256(content).hexdigest(), size=len(content))
    return store.put_bytes(content, name)


def _code() -> dict[str, str]:
    """The files that make a release, and the flow that says in which order."""
    made = {path: digest for name in MAKERS for path, digest in closure(f"tasks.{name}").items()}
    return made | {path: digest for path, digest in closure("flows.train").items() if path == "flows/train.py"}


def environment_hash() -> str:
    """SHA-256 over the version of everything installed, the pins, the serving requirements and Python's version."""
    content = {
        "installed": store.remembered("installed", Path(_site_packages()), _installed),
        "pins": _pins(CODE / "pyproject.toml"),
        "serving": _text(CODE / "bentos" / "requirements.txt"),
        "python": sys.version_info[:3],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _installed() -> list[str]:
    """`name==version` of every distribution but Penstock itself, whose code is hashed file by file."""
    found = set()
    for each in metadata.distributions():
        # an installation that was interrupted leaves a folder without metadata; some finders raise for it
        with contextlib.suppress(OSError):
            name = each.metadata["Name"]
            if name and name != "penstock":
                found.add(f"{name.lower()}=={each.metadata['Version']}")
    return sorted(found)


def _site_packages() -> str:
    """The folder whose change time moves whenever something is installed or removed."""
    return str(Path(metadata.distribution("pydantic").locate_file("")))  # type: ignore[arg-type]


def _pins(path: Path) -> list[str]:
    if not path.is_file():
        return []
    pins: list[str] = tomllib.loads(path.read_text()).get("tool", {}).get("uv", {}).get("constraint-dependencies", [])
    return pins


def _text(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


def git_state() -> tuple[str, bool]:
    """(commit, whether anything but OURS differs from it); ("", False) without git. What cannot be told is dirty."""
    head = git("rev-parse", "HEAD")
    if head is None or head.returncode:
        return "", False
    # the excluded paths are the checkout's, which may be a folder of a larger repository
    paths = [":/", *(f":(exclude){path}" for path in OURS)]
    changed = git("status", "--porcelain", "--untracked-files=normal", "--", *paths)
    return head.stdout.strip(), changed is None or changed.returncode != 0 or bool(changed.stdout.strip())
