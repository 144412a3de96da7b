"""What a change is compared with: the base commit's config, schema and data, and the champion's training data."""

from __future__ import annotations

from penstock import ledger
from penstock.ci_found import Moved
from penstock.config import Project, parse
from penstock.errors import ConfigError, DataError, StorageError
from penstock.refs import Dataset, FileRef, Profiles, Splits, Value
from penstock.schema import parse_schema
from penstock.window import Reference, Window, WindowDrift, judge
from tasks.ci import ci_run
from tasks.data.data import resolve_dataset
from tasks.data.project import with_source
from tasks.machine.settings import settings
from tasks.monitoring.summaries import summaries
from tasks.registry import comparing
from tasks.registry.registry import read_ledger
from tasks.store import store
from tasks.store.caching import task


class Base(Value):
    """A project as it is at the base commit. ``why_not``: why there is none; the rest is then empty."""

    commit: str = ""
    project: Project | None = None
    schema_text: str = ""
    dataset: Dataset | None = None
    why_not: str = ""

    @property
    def name(self) -> str:
        return f"base {self.commit[:8]}" if self.project else ""


class Known(Value):
    """Training data that a candidate's are compared with. ``name``: whose."""

    name: str
    profile: FileRef
    categories: FileRef


def base_of(project: str, commit: str, dataset: Dataset) -> Base:
    """The project at ``commit``. Its data are ``dataset`` where git does not pin any there.

    A config that this version of Penstock cannot read is no base: `why_not` says so. Raises what `resolve_dataset`
    raises when the pinned data are not to be had.
    """
    if not commit:
        return Base(why_not=ci_run.NO_BASE)
    path = f"configs/{project}.yaml"
    text = ci_run.at(commit, path)
    if text is None:
        return Base(commit=commit, why_not=f"{path} is not at {commit[:8]}")
    try:
        found = parse(text, f"{path} at {commit[:8]}")
        python = found.features.python
        found = with_source(found, path, ci_run.at(commit, python.file) if python else None)
        schema = ci_run.at(commit, f"configs/{found.schema_file}") or ""
        parse_schema(schema, f"configs/{found.schema_file} at {commit[:8]}")
    except ConfigError as error:
        return Base(commit=commit, why_not=f"{path} at {commit[:8]} cannot be read: {error.what}")
    pinned = ci_run.at(commit, f"{found.data.path}.dvc")
    data = resolve_dataset.fn(found.data, commit) if pinned is not None else dataset
    return Base(commit=commit, project=found, schema_text=schema, dataset=data)


def champions_data(project: str) -> Known | None:
    """The training data of the release that serves, or until then of the newest; None where there is none, or its
    profile is gone."""
    event = ledger.champion(read_ledger(project), "")
    if event is None:
        return None
    try:
        candidate = comparing.candidate_of(event)
    except StorageError:
        return None
    profile, categories = candidate.profiles.train, candidate.splits.categories
    if not (store.intact(profile) and store.intact(categories)):
        return None
    return Known(name=f"{event.version}, the champion", profile=profile, categories=categories)


def why_no_champion(project: str) -> str:
    """Why there is none. A stage that sees no ledger cannot tell, and says so."""
    if read_ledger(project):
        return "nothing was released yet"
    if settings().shared:
        return "nothing was trained yet, says the ledger of PENSTOCK_STORE"
    return (
        "it is unknown here, for this stage sees no ledger: PENSTOCK_STORE is not set, as in a fork's pull request, "
        "which gets no secrets"
    )


@task(libraries=("whylogs", "numpy"))
def compare_data(project: Project, splits: Splits, profiles: Profiles, known: Known) -> WindowDrift:
    """Monitoring's own verdict on these training rows beside ``known``: features that both have, and the label."""
    mine = summaries(store.read_bytes(profiles.train), store.read_json(splits.categories))
    theirs = summaries(store.read_bytes(known.profile), store.read_json(known.categories))
    wanted = {*project.features.names, project.features.label} & {column.name for column in mine}
    reference = Reference(
        name=known.name,
        columns=tuple(column for column in theirs if column.name in wanted),
        allowed=tuple(column.name for column in mine),
    )
    window = Window(start=0, end=1, rows=splits.rows[0], columns=mine, batch=True)
    return judge(project.monitor, reference, window)


def moved(verdict: WindowDrift) -> tuple[Moved, ...]:
    """What is beyond its limit."""
    checks = [Moved(kind=one.kind, column=one.column, reason=one.reason) for one in verdict.checks if one.alarm]
    columns = [Moved(kind="value", column=one.name, reason=one.reason) for one in verdict.columns if one.alarm]
    return (*checks, *columns)


def require_steady(project: str, found: tuple[Moved, ...], against: str) -> None:
    """Raise DataError, naming the columns, if anything has moved."""
    if found:
        raise DataError(
            f"The training data of `{project}` have drifted from those of {against}.",
            found="; ".join(f"{one.column or one.kind}: {one.reason}" for one in found[:5]),
            next_step="look at the data; where they are right, set `ci.on_drift: warn`",
        )
