"""The stages of `penstock ci`: check, data, train, release. Each works on every project that has a section `ci`.

A stage does all its projects, keeps what it found for the report, and then raises the first error.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from flows.plan import plan_run
from flows.release import Released
from penstock.ci_found import ChecksFound, DataFound, Failed, ProjectCheck, Step, TrainFound
from penstock.config import Project
from penstock.errors import ChecksFailed, ConfigError, DataError, PenstockError, Rejected, StorageError
from tasks.ci import ci_base, ci_run, ci_store
from tasks.ci.own_checks import run_own_checks
from tasks.data.ingestion import pending_batches
from tasks.data.project import load_project, project_names
from tasks.machine.settings import settings
from tasks.store import shared
from tasks.store.caching import PlannedStep, planning
from tasks.training.lineage import git_state

V = TypeVar("V")


def check() -> ChecksFound:
    """The checkout's own linters, types and tests; every project's YAML and schema; what a run would do.

    Raises ConfigError for the first project that is wrong, ChecksFailed where an own check failed.
    """
    projects, first = _checked_projects()
    found = ChecksFound(own=tuple(run_own_checks()), projects=projects)
    ci_store.keep("check", ci_store.Checked(commit=ci_run.commit_of("HEAD"), found=found))
    if first:
        raise first
    failed = [one.name for one in found.own if not one.passed]
    if failed:
        raise ChecksFailed(
            "The checkout's own checks failed.",
            found=", ".join(failed),
            next_step="; ".join(one.command for one in found.own if not one.passed),
        )
    return found


def data(names: tuple[str, ...] = (), base: str = "", take: bool = False) -> tuple[DataFound, ...]:
    """Validate the dataset version that each project pins, and look for drift.

    A project that pins none ingests what its YAML asks for first. ``take``: every project does so, and commits its
    .dvc file. Raises DataError for data that are refused, or that drifted where `ci.on_drift` is `fail`.
    """
    from flows.ci_data import ci_data

    commit = ci_run.base_commit(base)

    def one(project: Project) -> DataFound:
        _ingest(project, take)
        return ci_data(project.name, commit)  # type: ignore[no-any-return]

    with contextlib.nullcontext() if take else shared.only_read():
        found, failed, first = _each(taking_part(names), one)
    ci_store.keep("data", ci_store.OfData(commit=ci_run.commit_of("HEAD"), found=found, failed=failed))
    if first:
        raise first
    for each in found:
        config = load_project(each.project).ci
        if config and config.on_drift == "fail":
            ci_base.require_steady(each.project, each.moved, each.against)
    return found


def train(names: tuple[str, ...] = (), base: str = "", share: float = 0, seed: int = -1) -> tuple[TrainFound, ...]:
    """A candidate of each project's declared sample, judged by its gates. Raises Rejected if one did not pass."""
    from flows.ci_train import ci_train

    commit = ci_run.base_commit(base)

    def one(project: Project) -> TrainFound:
        _ingest(project, False)
        with planning() as steps:
            ci_train.fn(project.name, commit, share, seed)
        made: TrainFound = ci_train(project.name, commit, share, seed)
        return made.model_copy(update={"steps": _steps(steps)})

    with shared.only_read():
        found, failed, first = _each(taking_part(names), one)
    ci_store.keep("train", ci_store.OfTrain(commit=ci_run.commit_of("HEAD"), base=commit, found=found, failed=failed))
    if first:
        raise first
    for each in found:
        if not each.passed:
            raise Rejected(
                f"The sample's candidate of `{each.project}` was rejected by its gates.",
                found="; ".join(f"{gate.name}: must be {gate.bound}" for gate in each.gates if not gate.passed),
                next_step="penstock ci report; then mend data or features, or change `gate:`",
            )
    return found


def report() -> tuple[list[Path], str]:
    """The report of this commit: its files, and what became of posting it. Raises what its two parts raise."""
    from tasks.ci import ci_posting, ci_reporting

    text, paths = ci_reporting.write(ci_reporting.report_of(ci_run.commit_of("HEAD")))
    return paths, ci_posting.post(text)


def release(names: tuple[str, ...] = (), deploy: bool = False) -> Iterator[Released]:
    """The release of this commit, of each project in turn; ``deploy``: brought into production.

    Raises ConfigError for a tree that is not what its commit says or a home that does not outlive the job, and what
    `flows.release.release` raises, at once: a project that fails leaves those after it as they are.
    """
    from flows.release import release as release_one
    from flows.release import require_lasting_home

    require_lasting_home()
    for project in taking_part(names):
        _ingest(project, False)
        require_committed()
        yield release_one(project.name, "HEAD", deploy, bool(project.ci and project.ci.tag))


def require_committed() -> None:
    """Raise ConfigError if the tree is not what its commit says."""
    commit, dirty = git_state()
    if not commit or dirty:
        raise ConfigError(
            "CI releases what is committed, and this tree is not.",
            where=str(settings().root),
            found="changes that are not committed" if commit else "no git repository",
            next_step="git status; commit, or: penstock train",
        )


def taking_part(names: tuple[str, ...] = ()) -> list[Project]:
    """The projects that have a section `ci`, or the named ones. Raises ConfigError if there is none."""
    if names:
        return [load_project(name) for name in names]
    found = [load_project(name) for name in project_names()]
    chosen = [project for project in found if project.ci]
    if not chosen:
        raise ConfigError(
            "No project takes part in CI.",
            where="configs/",
            found=", ".join(project.name for project in found) or "no project",
            allowed="a section `ci` in a project's YAML, such as: ci: { sample: 0.2 }",
            next_step="add it, or name a project: penstock ci train NAME",
        )
    return chosen


@contextlib.contextmanager
def passing() -> Iterator[None]:
    """Inside this block Prefect's server may be started; it is stopped at the end, unless it was there before.

    Where anything is to serve, nothing is stopped: a deploy may have begun meanwhile in the same home.
    """
    from tasks.platform import platform, supervision
    from tasks.serving import serving

    before = supervision.running() or platform.named_server()
    try:
        yield
    finally:
        if not before and not serving.read().servers:
            _quiet()
            platform.down()


def _quiet() -> None:
    """Let Prefect say what it has to say; it would ask for its server after that is gone."""
    import sys

    if "prefect" in sys.modules:
        from prefect.events.worker import EventsWorker

        EventsWorker.drain_all(timeout=5)


def _each(
    projects: list[Project], work: Callable[[Project], V]
) -> tuple[tuple[V, ...], tuple[Failed, ...], PenstockError | None]:
    """What ``work`` made of each project; those that failed, and the first error."""
    found: list[V] = []
    failed: list[Failed] = []
    first: PenstockError | None = None
    for project in projects:
        try:
            found.append(work(project))
        except PenstockError as error:
            failed.append(Failed(project=project.name, what=error.what, next_step=error.next_step))
            first = first or error
    return tuple(found), tuple(failed), first


def _checked_projects() -> tuple[tuple[ProjectCheck, ...], ConfigError | None]:
    checks: list[ProjectCheck] = []
    first: ConfigError | None = None
    for name in project_names():
        try:
            project = load_project(name)
        except ConfigError as error:
            first = first or error
            checks.append(ProjectCheck(project=name, problem=error.text()))
            continue
        checks.append(ProjectCheck(project=project.name, steps=_plan(project.name) if project.ci else ()))
    return tuple(checks), first


def _plan(name: str) -> tuple[Step, ...]:
    """What a run would do; nothing where it cannot be told without data or a store: other stages look at those."""
    try:
        return _steps(plan_run(name))
    except (DataError, StorageError):
        return ()


def _steps(steps: list[PlannedStep]) -> tuple[Step, ...]:
    return tuple(Step(name=step.name, ran=step.runs, why="; ".join(step.reasons)) for step in steps)


def _ingest(project: Project, take: bool) -> None:
    pinned = (settings().root / f"{project.data.path}.dvc").is_file()
    pending = pending_batches(project) if take or not pinned else []
    if pending:
        from flows.ingest import ingest

        ingest(project.name, until=pending[-1], commit=take)
