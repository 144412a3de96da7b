"""Mirrors the ledger to MLflow, for its UI and for other tools. The ledger stays the truth.

One run per event, found again by its tags, so that mirroring twice changes nothing; a registered model version per
release, tagged with what it came from, with the alias `blessed` on the newest. What an earlier run could not tell,
because the tracking server was away, the next one tells first.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock import ledger
from penstock.candidate import Candidate, Release
from penstock.config import Project
from penstock.errors import PenstockError, PlatformError
from penstock.refs import FileRef
from tasks.data.project import recorded_project
from tasks.machine.redaction import without_secrets
from tasks.machine.settings import settings
from tasks.registry.registry import VERDICTS, read_ledger, recorded_candidate, release_of
from tasks.reports.plots import standalone
from tasks.reports.reporting import find_report, plots
from tasks.store import locks, shared, store
from tasks.store.caching import file_refs, task

if TYPE_CHECKING:
    from mlflow import MlflowClient

BATCH = 900  # metrics that one call may log; MLflow allows 1000
# what the client loads at its first call to a database, after MLflow itself
STORES = ("mlflow.store.tracking.sqlalchemy_store", "mlflow.store.model_registry.sqlalchemy_store")
CLIENT = {
    # MLflow's own are 7 retries and 120 s each: a run would hang for minutes on a server that is away
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    # it prints the run's address, with the credentials in it, to where `--json` goes
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


def load_early() -> None:
    """Begin to import MLflow in a thread: two seconds, in which packaging and its check wait for other processes."""
    names = ["mlflow"] if settings().mlflow_uri else ["mlflow", *STORES]
    threading.Thread(target=lambda: [importlib.import_module(name) for name in names], daemon=True).start()


@task(cached=False)
def mirror_to_mlflow(candidate: Candidate, release: Release, report: FileRef, project: Project) -> None:
    """Log the run and, for a release, its model version. Raises PlatformError when the tracking server is not there:
    the release is registered all the same, and the next run of the project mirrors it."""
    with _readable_errors(release), locks.exclusive("mlflow"):
        client = connect()
        for earlier in _left_behind(release):
            _tell(client, *earlier)
        _tell(client, candidate, release, report, project)


def connect() -> MlflowClient:
    """A client of the tracking server that gives up in time."""
    for name, value in CLIENT.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    if not settings().mlflow_uri:
        (settings().home / "mlflow").mkdir(parents=True, exist_ok=True)
    return MlflowClient(tracking_uri=tracking_uri(), registry_uri=tracking_uri())


@task(reads=True)
def is_mirrored(release: Release) -> bool:
    """Whether this MLflow was told of this release: read from a mark under the home, without asking MLflow."""
    mark = _mark(release)
    if not mark.exists() and _shares_marks():
        content = shared.read_note(f"mlflow/{release.project}/{mark.name}")
        if content is not None:
            store.write_atomic(mark, content)
    return mark.exists()


def tracking_uri() -> str:
    """`PENSTOCK_MLFLOW_URI`, or SQLite under the home."""
    return settings().mlflow_uri or f"sqlite:///{settings().home / 'mlflow' / 'mlflow.db'}"


def _left_behind(release: Release) -> Iterator[tuple[Candidate, Release, FileRef, Project]]:
    """What happened before ``release`` and was never told, oldest first, as far as its files are still there."""
    for event in read_ledger(release.project):
        if event.sequence >= release.sequence or event.kind not in VERDICTS:
            continue
        earlier = release_of(event)
        if is_mirrored.fn(earlier):
            continue
        with contextlib.suppress(PenstockError):
            candidate, report = recorded_candidate.fn(earlier), find_report.fn(earlier)
            if report and store.intact(*file_refs(candidate)):
                yield candidate, earlier, report, recorded_project(candidate.lineage.config)


def _tell(client: MlflowClient, candidate: Candidate, release: Release, report: FileRef, project: Project) -> None:
    tags = _tags(candidate, release)
    experiment = _experiment(client, project.name)
    found = client.search_runs([experiment], f"tags.`penstock.record` = '{release.record.sha256}'")
    run = next((each.info for each in found if each.info.status == "FINISHED"), found[0].info if found else None)
    run_id = str(run.run_id if run else _new_run(client, experiment, release, tags))
    if not run or run.status != "FINISHED":
        _log_run(client, run_id, candidate, release, report)
    if release.version:
        _register(client, project, release, run_id, tags)
    mark = _mark(release)
    store.write_atomic(mark, run_id.encode())
    if _shares_marks():
        shared.write_note(f"mlflow/{release.project}/{mark.name}", run_id.encode())


def _shares_marks() -> bool:
    """Whether those who share the store also share an MLflow: what one of them has told it, no other tells again."""
    return bool(settings().shared and settings().mlflow_uri)


def _mark(release: Release) -> Path:
    """The mark of one event at one MLflow: another server has not been told what this one has."""
    server = hashlib.sha256(without_secrets(settings().mlflow_uri).encode()).hexdigest()[:12]
    name = f"{release.record.sha256}-{server}" if settings().mlflow_uri else release.record.sha256
    return settings().home / "mlflow" / "told" / release.project / name


def _experiment(client: MlflowClient, name: str) -> str:
    known = client.get_experiment_by_name(name)
    if known:
        return str(known.experiment_id)
    place = None if settings().mlflow_uri else (settings().home / "mlflow" / "artifacts" / name).as_uri()
    return str(client.create_experiment(name, artifact_location=place))


def _new_run(client: MlflowClient, experiment: str, release: Release, tags: dict[str, str]) -> str:
    """Tagged from the first moment, so that one that broke off is found and gone on with, not made twice."""
    name = release.version or f"rejected-{release.sequence}"
    return str(client.create_run(experiment, run_name=name, tags=tags).info.run_id)


def _log_run(client: MlflowClient, run_id: str, candidate: Candidate, release: Release, report: FileRef) -> None:
    """Everything of a run. What MLflow has of it already stays as it is: values, steps and times are the same."""
    from mlflow.entities import Metric, Param

    config = store.read_json(candidate.lineage.config)
    trained = candidate.tuned.train.model_dump(mode="json") if candidate.tuned else config["train"]
    params = [Param(key, str(value)[:6000]) for key, value in _flat({"train": trained, "split": config["split"]})]
    client.log_batch(run_id, params=params)
    metrics = [Metric(key, value, 0, step) for key, value, step in _metrics(candidate)]
    for start in range(0, len(metrics), BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + BATCH])
    with tempfile.TemporaryDirectory() as scratch:
        files = {"report.html": report, "record.json": release.record, "model/model.ubj": candidate.model.booster}
        files |= {"metrics.json": candidate.evaluation.metrics, "curves.json": candidate.evaluation.curves}
        if candidate.package and candidate.package.sbom:
            files["sbom.cdx.json"] = candidate.package.sbom
        for path, ref in files.items():
            target = Path(scratch) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(store.locate(ref), target)
        for title, svg, _ in plots(candidate):
            plot = Path(scratch) / "plots" / f"{title.lower().replace(' ', '-')}.svg"
            plot.parent.mkdir(exist_ok=True)
            plot.write_text(standalone(svg), encoding="utf-8")
        client.log_artifacts(run_id, scratch)
    client.set_terminated(run_id)


def _register(client: MlflowClient, project: Project, release: Release, run_id: str, tags: dict[str, str]) -> None:
    from mlflow.exceptions import MlflowException

    about = f"{project.package.purpose}\n\n{project.package.intended_use}".strip()
    try:
        client.create_registered_model(project.name, description=about)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        client.update_registered_model(project.name, about)
    known = client.search_model_versions(
        f"name = '{project.name}' and tag.`penstock.record` = '{release.record.sha256}'"
    )
    if known:
        made = known[0]
    else:
        source = f"{client.get_run(run_id).info.artifact_uri}/model"
        made = client.create_model_version(project.name, source, run_id, tags=tags, description=release.version)
    aliases = [release.version.removeprefix(f"{project.name}-") + "-release"]
    newest = ledger.newest(read_ledger(project.name))
    passed = release.verdict == "blessed"  # what was forced was not
    if passed and (newest is None or newest.version == release.version):  # not an older one that was made or told again
        aliases.append("blessed")
    for alias in aliases:
        client.set_registered_model_alias(project.name, alias, made.version)


def _tags(candidate: Candidate, release: Release) -> dict[str, str]:
    lineage = candidate.lineage
    return {
        "penstock.version": release.version or "none",
        "penstock.blessing": release.verdict,
        "penstock.sequence": str(release.sequence),
        "penstock.identity": release.identity,
        "penstock.record": release.record.sha256,
        "penstock.dataset": candidate.dataset.version,
        "penstock.commit": lineage.git_commit + (" (dirty)" if lineage.git_dirty else ""),
        "penstock.config": lineage.config.sha256,
        "penstock.environment": lineage.environment,
        "penstock.model": candidate.model.booster.sha256,
        "penstock.bento": candidate.package.tag if candidate.package else "none",
        "penstock.champion": candidate.decision.champion or "none",
        **({"penstock.forced": str(candidate.forced)[:5000]} if candidate.forced else {}),
    }


def _metrics(candidate: Candidate) -> Iterator[tuple[str, float, int]]:
    """(name, value, step): test and validation metrics, and the learning curve by iteration."""
    found = store.read_json(candidate.evaluation.metrics)
    for prefix, values in (("", found["metrics"]), ("validation_", found["validation"]["metrics"])):
        yield from ((f"{prefix}{name}", value, 0) for name, value in values.items() if value is not None)
    history = store.read_json(candidate.model.history)
    for part in ("train", "validation"):
        yield from ((f"loss_{part}", value, step) for step, value in enumerate(history[part]))


def _flat(tree: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        name = f"{path}.{key}" if path else key
        if isinstance(value, dict):
            yield from _flat(value, name)
        else:
            yield name, value


@contextlib.contextmanager
def _readable_errors(release: Release) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001  # MLflow's, SQLAlchemy's, requests' and the artifact store's own
        said = without_secrets(str(error)).strip() or type(error).__name__
        # not `from error`: its text holds the address with its credentials, and Prefect would log it
        raise PlatformError(
            f"{release.version or 'The rejected candidate'} is registered, but MLflow could not be told.",
            where=without_secrets(tracking_uri()),
            found=said.splitlines()[0][:300],
            next_step="make MLflow reachable, or correct PENSTOCK_MLFLOW_URI; the next train run catches up",
        ) from None
