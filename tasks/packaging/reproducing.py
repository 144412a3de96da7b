"""Makes a release again from its record alone, in a clean folder: code from git, data from the DVC remote.

Nothing of this checkout's home is used, no cache, no store, no ledger, but the serving environments: those are
installed by hash, and named by it. The folder's own code does the work, in a process of its own. What workers of a
cluster have trained together, as many workers train on this machine.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from penstock.candidate import Candidate
from penstock.comparison import Change, changes, files_changed
from penstock.errors import ClusterError, DataError, PackagingError, TrainingError
from penstock.python_config import PythonFeatures
from penstock.refs import FileRef, Value
from tasks.machine.mortal import MORTAL
from tasks.machine.settings import settings
from tasks.packaging.packaging import MEASURED, unpack
from tasks.registry.releases import Packaged
from tasks.store import store
from tasks.store.archives import extract
from tasks.store.caching import task
from tasks.store.source import CODE

TRAIN = """
import sys
from flows.train import train
ended = train.fn(sys.argv[1], sys.argv[2])
outcome = getattr(ended, "data", ended)
outcome = getattr(outcome, "outcome", outcome)
print(outcome.candidate.model_dump_json())
"""
# the same shards give the same model, whichever workers have them: here are as many of its own
TRAIN_TOGETHER = f"""
import os, sys
from distributed import LocalCluster
with LocalCluster(
    n_workers=int(sys.argv[3]), threads_per_worker=1, host="127.0.0.1", dashboard_address=None, memory_limit=0,
    local_directory=os.environ["PENSTOCK_HOME"],
) as cluster:
    os.environ["PENSTOCK_DASK"], os.environ["PENSTOCK_DASK_SHARDS"] = cluster.scheduler_address, sys.argv[3]
    {TRAIN.strip().replace(chr(10), chr(10) + "    ")}
"""
ENVIRONMENT = "from tasks.training.lineage import environment_hash; print(environment_hash())"
MADE = re.compile(rb"^\s*creation_time: .*$", re.MULTILINE)


class Rebuilt(Value):
    """What came out the second time. ``inputs``, ``metrics``: in what they differ; ``files`` of the Bento that differ.

    ``files`` is None where no Bento was built, because the candidate's gates have refused it; ``refused`` says why.
    """

    environment: str
    inputs: tuple[Change, ...]
    same_model: bool
    metrics: tuple[Change, ...]
    files: tuple[str, ...] | None
    refused: tuple[str, ...]

    @property
    def proved(self) -> bool:
        return self.same_model and not self.metrics and self.files == ()

    def __str__(self) -> str:
        return "the same model, metrics and Bento" if self.proved else "not the same"


@task(cached=False)
def rebuild(release: Packaged, install: bool = True) -> Rebuilt:
    """Train the release again and compare. ``install``: make the recorded environment with uv if this one is another.

    Raises DataError where the commit or the data are not to be had, TrainingError where the run breaks off.
    """
    recorded = release.candidate
    with store.readable_errors(settings().home), tempfile.TemporaryDirectory(prefix="penstock-") as name:
        folder = Path(name).resolve()
        _lay_out(folder, recorded)
        python, environment = _python(folder, recorded, install)
        made = _train(folder, python, recorded)
        return _compared(recorded, made, folder, environment)


def comparable(folder: Path, version: str) -> dict[str, str]:
    """SHA-256 of every file of an unpacked Bento, by path, without when it was built and its own version."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        content = MADE.sub(b"", path.read_bytes()).replace(version.encode(), b"<version>")
        found[str(path.relative_to(folder)).replace(version, "<version>")] = hashlib.sha256(content).hexdigest()
    return found


def _lay_out(folder: Path, recorded: Candidate) -> None:
    """The checkout as it was committed, with the config and schema of the record."""
    commit = recorded.lineage.git_commit
    command = ["git", "-C", str(settings().root), "archive", "--format=tar", commit]
    said = subprocess.run(command, capture_output=True, check=False) if commit and shutil.which("git") else None
    if said is None or said.returncode:
        found = said.stderr.decode(errors="replace").strip() if said else "" if commit else "the record names no commit"
        raise DataError(
            "The code of the release is not to be had.",
            where=str(settings().root),
            found=found or "git is not installed",
            next_step=f"git fetch --all, so that commit {commit[:12]} is here" if commit else "commit before you train",
        )
    with tarfile.open(fileobj=io.BytesIO(said.stdout)) as archive:
        extract(archive, folder)
    config = json.loads(store.read_bytes(recorded.lineage.config))
    place = folder / "configs" / f"{recorded.lineage.project}.yaml"
    place.parent.mkdir(exist_ok=True)
    python = config["features"].get("python")
    if python:  # the record has the function's source in the config, and a project in its file
        source = folder / PythonFeatures.model_validate(python).file
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text(python.pop("source"), encoding="utf-8")
    place.write_text(yaml.safe_dump(config, sort_keys=False))
    schema = place.parent / config["schema"]
    schema.parent.mkdir(exist_ok=True)
    schema.write_bytes(store.read_bytes(recorded.lineage.schema_text))
    (folder / ".penstock").mkdir(exist_ok=True)
    (settings().home / "environments").mkdir(exist_ok=True)
    (folder / ".penstock" / "environments").symlink_to((settings().home / "environments").resolve())


def _python(folder: Path, recorded: Candidate, install: bool) -> tuple[str, str]:
    """(the interpreter to use, what is to be said of its environment)."""
    wanted = recorded.lineage.environment
    if _asked(folder, sys.executable, ENVIRONMENT) == wanted:
        return sys.executable, "the recorded one"
    if recorded.lineage.engine and not install and not find_spec("distributed"):
        raise ClusterError(
            "The release was trained on a Dask cluster, and the package for that is not installed here.",
            found=f"trained by {recorded.lineage.engine}",
            next_step="uv sync --extra dask",
        )
    if not install or not (folder / "pyproject.toml").is_file() or not shutil.which("uv"):
        return sys.executable, "another than the recorded one"
    command = ["uv", "sync", "--quiet", "--project", str(folder), "--python", recorded.lineage.python]
    command += ["--extra", "dask"] if recorded.lineage.engine else []
    theirs = ("VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT")
    environment = {name: text for name, text in os.environ.items() if name not in theirs}
    said = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if said.returncode:
        raise PackagingError(
            "The recorded environment could not be installed.",
            where=f"uv sync, with the pins of commit {recorded.lineage.git_commit[:12]}",
            found=(said.stderr.strip().splitlines() or ["no word of why"])[-1][:300],
            next_step="make its packages reachable, or: penstock reproduce ... --here",
        )
    python = str(folder / ".venv" / "bin" / "python")
    same = _asked(folder, python, ENVIRONMENT) == wanted
    return python, "the recorded one, installed anew" if same else "installed anew, and another than the recorded one"


def _train(folder: Path, python: str, recorded: Candidate) -> Candidate:
    engine = recorded.lineage.engine
    code, shards = (TRAIN_TOGETHER, [str(engine.shards)]) if engine else (TRAIN, [])
    dataset = recorded.dataset.version.removesuffix(".dir")
    printed = _asked(folder, python, code, recorded.lineage.project, dataset, *shards)
    try:
        return Candidate.model_validate_json(printed.splitlines()[-1])
    except (ValidationError, IndexError):
        raise TrainingError(
            "The code of the release writes records that this version of Penstock cannot read.",
            where=f"commit {recorded.lineage.git_commit[:12]}",
            next_step="run `penstock reproduce` of that commit",
        ) from None


def _asked(folder: Path, python: str, code: str, *arguments: str) -> str:
    """What ``code`` prints, run by the folder's own code with a home of its own."""
    mine = {name: text for name, text in os.environ.items() if not name.startswith(("PENSTOCK_", "PREFECT_"))}
    code_folder = folder if (folder / "flows").is_dir() else CODE
    environment = mine | {
        "PENSTOCK_ROOT": str(folder),
        "PENSTOCK_HOME": str(folder / ".penstock"),
        "PENSTOCK_REMOTE": _remote(),
        "PENSTOCK_THREADS": str(settings().threads),
        "PYTHONPATH": str(code_folder),
    }
    command = [*MORTAL, python, "-c", code, *arguments]
    said = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)
    if said.returncode:
        raise TrainingError(
            "The release could not be made again.",
            where=str(folder),
            found=(said.stderr.strip().splitlines() or [f"exit code {said.returncode}"])[-1][:400],
            next_step="PENSTOCK_DEBUG=1 shows where",
        )
    return said.stdout.strip()


def _compared(recorded: Candidate, made: Candidate, folder: Path, environment: str) -> Rebuilt:
    metrics = [store.read_json(recorded.evaluation.metrics), json.loads(_read(folder, made.evaluation.metrics))]
    before, after = recorded.lineage, made.lineage
    facts = [
        {
            "dataset": one.dataset,
            "python": one.python,
            "environment": one.environment[:12],
            "engine": one.trained_by,
            "libraries": one.libraries,
        }
        for one in (before, after)
    ]
    inputs = (
        *changes(*facts),
        *changes(json.loads(store.read_bytes(before.config)), json.loads(_read(folder, after.config))),
        *files_changed(before.code, after.code),
    )
    return Rebuilt(
        environment=environment,
        inputs=inputs,
        same_model=recorded.model.booster.sha256 == made.model.booster.sha256,
        metrics=changes(*(_computed(one) for one in metrics)),
        files=_files(recorded, made, folder),
        refused=made.decision.reasons,
    )


def _computed(metrics: dict[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in metrics.items() if name not in MEASURED}


def _files(recorded: Candidate, made: Candidate, folder: Path) -> tuple[str, ...] | None:
    """The files of the two Bentos that differ, or that only one has."""
    if made.package is None or recorded.package is None:
        return None
    sides = []
    for name, tar, package in (
        ("recorded", store.locate(recorded.package.bento), recorded.package),
        ("made", _place(folder, made.package.bento), made.package),
    ):
        unpack(tar, folder / "bentos-compared" / name)
        sides.append(comparable(folder / "bentos-compared" / name, package.tag.partition(":")[2]))
    return tuple(sorted(path for path in sides[0].keys() | sides[1].keys() if sides[0].get(path) != sides[1].get(path)))


def _place(folder: Path, ref: FileRef) -> Path:
    """Where the clean folder's store has a file."""
    return folder / ".penstock" / "store" / store.path_of(ref).relative_to(settings().store)


def _read(folder: Path, ref: FileRef) -> bytes:
    return _place(folder, ref).read_bytes()


def _remote() -> str:
    from tasks.data.dvc_config import remote_url

    return settings().remote or remote_url()
