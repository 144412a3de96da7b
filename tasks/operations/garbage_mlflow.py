"""Runs in this home's own MLflow that can go: half-told ones, and old rejections. The ledger keeps what they said.

Looking reads the database and imports no MLflow. Another tracking server is somebody else's to clean.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from penstock.errors import PlatformError
from tasks.machine.settings import QUIET, settings
from tasks.operations.garbage_classes import GRACE, Item, Sought, weight
from tasks.store import locks

KIND = "MLflow runs"
RUNS = """
SELECT run_uuid, status, lifecycle_stage, start_time, artifact_uri, experiment_id, blessing.value
FROM runs
JOIN tags AS record ON record.run_uuid = runs.run_uuid AND record.key = 'penstock.record'
LEFT JOIN tags AS blessing ON blessing.run_uuid = runs.run_uuid AND blessing.key = 'penstock.blessing'
ORDER BY start_time DESC
""".replace("SELECT run_uuid", "SELECT runs.run_uuid")
# deleted in MLflow's sense first, then for good: what is killed in between is found again, as deleted
REMOVE = """
import sys
from mlflow import MlflowClient
from mlflow.cli import gc
uri, names = sys.argv[1], sys.argv[2:]
client = MlflowClient(tracking_uri=uri)
for name in names:
    if client.get_run(name).info.lifecycle_stage == "active":
        client.delete_run(name)
words = ["--backend-store-uri", uri, "--tracking-uri", uri, "--run-ids", ",".join(names)]
gc.main(words, standalone_mode=False)
"""
AT_ONCE = 200  # runs that one command line names


def runs(asked: Sought) -> Iterator[Item]:
    """The runs that this checkout has told. The newest rejections of each project stay."""
    path = settings().home / "mlflow" / "mlflow.db"
    if settings().mlflow_uri or not path.is_file():
        return
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as database:
            found = database.execute(RUNS).fetchall()
    except sqlite3.Error:
        return  # a database of no use, or of another version: doctor says so
    rejected: Counter[int] = Counter()
    for run, status, stage, started, artifacts, experiment, blessing in found:
        began = (started or 0) / 1000
        if stage == "deleted":
            why = ""
        elif status != "FINISHED":
            why = "" if began < asked.now - GRACE else "being told"
        elif blessing != "rejected":
            why = "of a release"
        else:
            rejected[experiment] += 1
            why = f"one of the {asked.keep} newest rejections" if rejected[experiment] <= asked.keep else ""
            why = why or ("" if began < asked.young else "not old enough")
        folder = _folder(artifacts)
        yield Item(KIND, run, weight(folder) if folder else 0, why)


def remove(items: list[Item]) -> None:
    """Free these runs, with their files. Raises PlatformError with MLflow's words if it refuses."""
    names = [item.name for item in items]
    uri = f"sqlite:///{settings().home / 'mlflow' / 'mlflow.db'}"
    for start in range(0, len(names), AT_ONCE):
        with locks.exclusive("mlflow"):
            _run([sys.executable, "-c", REMOVE, uri, *names[start : start + AT_ONCE]])
    for name in names:  # what MLflow leaves: the run's own folder, empty
        for folder in (settings().home / "mlflow" / "artifacts").glob(f"*/{name}"):
            shutil.rmtree(folder, ignore_errors=True)


def _folder(uri: str | None) -> Path | None:
    """Where a run's files are, if that is below the home."""
    parts = urlsplit(uri or "")
    path = Path(unquote(parts.path))
    ours = parts.scheme in ("", "file") and path.is_relative_to(settings().home / "mlflow")
    return path if ours and path.is_dir() else None


def _run(command: list[str]) -> None:
    said = subprocess.run(command, env=os.environ | QUIET, capture_output=True, text=True, check=False)
    if said.returncode:
        raise PlatformError(
            "MLflow did not remove its old runs.",
            where=str(settings().home / "mlflow"),
            found=(said.stderr.strip().splitlines() or ["no word of why"])[-1][:300],
            next_step="penstock gc --yes again: what was freed before stays freed",
        )
