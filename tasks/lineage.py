"""From what a model is made: data, config, code and environment, each by hash."""

from __future__ import annotations

import hashlib
import json
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from penstock.candidate import Lineage
from penstock.config import Project
from penstock.refs import Dataset
from tasks import store
from tasks.caching import task
from tasks.dvc_config import remote_url
from tasks.git import git
from tasks.source import CODE, closure

# what makes the release; the rest (terminal, report, platform, ledger) shows it or moves it
MAKERS = ("validation", "splitting", "training", "evaluation", "gating", "packaging", "infra")
LIBRARIES = (
    "bentoml", "dvc", "mlflow", "numpy", "pandera", "polars", "prefect", "pyarrow", "scikit-learn", "whylogs",
    "xgboost",
)  # fmt: skip


@task(reads=True)
def describe_lineage(project: Project, schema: str, dataset: Dataset) -> Lineage:
    """The lineage that a model trained now would have."""
    commit, dirty = _git_state()
    return Lineage(
        project=project.name,
        config=store.put_json(project.model_dump(mode="json", by_alias=True), "config.json"),
        schema_text=store.put_bytes(schema.encode(), "schema.yaml"),
        dataset=dataset.version,
        remote=remote_url(),
        git_commit=commit,
        git_dirty=dirty,
        code={path: digest for name in MAKERS for path, digest in closure(f"tasks.{name}").items()},
        environment=environment_hash(),
        libraries={name: metadata.version(name) for name in LIBRARIES},
        python=".".join(map(str, sys.version_info[:3])),
    )


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
    found = {f"{each.metadata['Name'].lower()}=={each.version}" for each in metadata.distributions()}
    return sorted(name for name in found if not name.startswith("penstock=="))


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


def _git_state() -> tuple[str, bool]:
    """(commit, whether anything but Penstock's own .dvc files differs from it); ("", False) without git."""
    head = git("rev-parse", "HEAD")
    if head is None or head.returncode:
        return "", False
    changed = git("status", "--porcelain", "--untracked-files=normal", "--", ":/", ":(exclude,top)data/*.dvc")
    return head.stdout.strip(), bool(changed and changed.stdout.strip())
