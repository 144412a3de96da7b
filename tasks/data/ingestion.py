"""Adds batches of a source to a project's dataset: validated, partitioned as Parquet, versioned and pushed with DVC.

Reads the source; writes `data/<name>/<batch>.parquet`, `data/<name>.dvc`, DVC's cache and remote, and under the home
`quarantine/` (invalid rows with their reasons) and `profiles/`.
"""

from __future__ import annotations

import os
import re
import shutil
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.batch import Batch
from penstock.config import Project
from penstock.errors import ConfigError, DataError, PenstockError
from penstock.refs import Value
from tasks.data.data import data_path, resolve_dataset, track, tracked_files
from tasks.data.file_source import new_batches
from tasks.data.sources import load_source
from tasks.machine.redaction import redacted
from tasks.machine.settings import settings
from tasks.store import locks, store
from tasks.store.caching import task

if TYPE_CHECKING:
    import polars as pl

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
MARK = "push-pending"


class Ingested(Value):
    """What became of one batch. ``quarantine`` is the file of its invalid rows, empty if there are none."""

    batch: str
    rows: int
    invalid: int
    dropped: dict[str, int]
    quarantine: str
    warnings: tuple[str, ...]

    def __str__(self) -> str:
        left_out = "".join(f", {count:,} {reason}" for reason, count in self.dropped.items() if count)
        quarantined = f", {self.invalid:,} quarantined" if self.invalid else ""
        return f"{self.batch}: {self.rows:,} rows{quarantined}{left_out}"


class Tracked(Value):
    """The dataset's new version."""

    path: str
    version: str
    files: int

    def __str__(self) -> str:
        return f"{self.path}@{self.version[:8]} ({self.files} files)"


def missing_batches(project: Project, until: str = "") -> list[str]:
    """The source's batches up to ``until`` (all of them if empty) that the dataset lacks, in order.

    Raises ConfigError when there is no batch of that name.
    """
    names = _names(project)
    there = _ingested(project)
    if until in there and until not in names:  # a source may forget what it gave
        return []
    if until and until not in names:
        raise ConfigError(
            f"The source has no batch `{until}`.",
            where=f"--until, or configs/{project.name}.yaml, key data.until",
            allowed=f"{names[0]} .. {names[-1]}" if names else "the source has no batches",
            next_step="name one of the source's batches",
        )
    wanted = names[: names.index(until) + 1] if until else names
    if project.data.source.files:
        return new_batches(wanted, there, project.data.source)
    return [name for name in wanted if name not in there]


def pending_batches(project: Project) -> list[str]:
    """What `run` has to ingest: the missing batches up to `data.until`, or the last one if it was not pushed yet."""
    until = project.data.until or ""
    missing = missing_batches(project, until)
    if missing or not unpushed(project):
        return missing
    return [until] if until else sorted(_ingested(project))[-1:]


def unpushed(project: Project) -> bool:
    """Whether a version was added whose push did not end well."""
    return _mark(project).exists()


@task(cached=False)
def ingest_batch(project: Project, schema: str, batch: str) -> Ingested:
    """Read a batch, set its invalid rows aside and write its partition. The dataset's version does not change yet.

    Raises DataError when the source cannot give the batch, or when validation refuses it.
    """
    from tasks.data.profiling import profile_frame
    from tasks.data.validation import check_batch

    found = _read(project, batch)
    check = check_batch(found.rows, schema, project.data, f"{project.name}, batch {batch}", found.unread)
    home = settings().home
    quarantine = home / "quarantine" / project.name / f"{batch}.parquet"
    with store.readable_errors(home):
        if check.bad.height:
            _write(check.bad, quarantine)
        else:
            quarantine.unlink(missing_ok=True)
        profile = home / "profiles" / project.name / f"{batch}.bin"
        profile.parent.mkdir(parents=True, exist_ok=True)
        profile_frame(check.good, profile)
        _write(check.good, _folder(project) / f"{batch}.parquet")
    return Ingested(
        batch=batch,
        rows=check.good.height,
        invalid=check.bad.height,
        dropped=found.dropped,
        quarantine=str(quarantine) if check.bad.height else "",
        warnings=tuple(check.report["warnings"]),
    )


@task(cached=False)
def track_dataset(project: Project) -> Tracked:
    """`dvc add` and `dvc push`. Partitions deleted from the working tree are put back first: data are only added.

    Raises DataError when the remote cannot be written; the rows are kept, and the next run pushes them.
    """
    restore(project)
    mark = _mark(project)
    store.write_atomic(mark, b"")
    track(project.data)
    mark.unlink(missing_ok=True)
    dataset = resolve_dataset.fn(project.data)
    return Tracked(path=dataset.path, version=dataset.version, files=len(dataset.files))


def restore(project: Project) -> None:
    """Put tracked partitions that are gone from the working tree back there, from DVC's cache."""
    if not (settings().root / f"{project.data.path}.dvc").is_file():
        return
    folder = _folder(project)
    with store.readable_errors(folder):
        for file in resolve_dataset.fn(project.data).files:
            target = folder / file.path
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                draft = target.with_name(f".tmp-{target.name}")
                shutil.copyfile(data_path(file), draft)
                draft.replace(target)


def ingesting(project: Project) -> AbstractContextManager[None]:
    """The lock under which a project's data are changed: one ingest at a time."""
    return locks.exclusive(f"ingest-{project.name}")


def _ingested(project: Project) -> set[str]:
    return {Path(path).stem for path in tracked_files(project.data)}


def _names(project: Project) -> list[str]:
    names = [str(name) for name in load_source(project).names()]
    strange = [name for name in names if not NAME.fullmatch(name)]
    if strange or len(set(names)) != len(names):
        raise DataError(
            "The source's batch names cannot be file names, or are not unique.",
            where=str(project.data.source),
            found=", ".join(strange[:3]) or "a name that stands twice",
            allowed="letters, digits, `.`, `_` and `-`, at most 100",
        )
    return names


def _read(project: Project, batch: str) -> Batch:
    import polars as pl

    source = load_source(project)
    try:
        found = source.read(batch)
    except PenstockError:
        raise
    except Exception as error:  # a user's code may raise anything; its own words are what helps
        if os.environ.get("PENSTOCK_DEBUG"):
            raise
        raise DataError(
            "The data source failed.",
            where=f"{project.data.source}, batch {batch}",
            found=redacted(f"{type(error).__name__}: {error}")[:300],
            next_step="mend the source; PENSTOCK_DEBUG=1 shows where it failed",
        ) from None  # Prefect's log would show the cause, with any secret in it
    if not isinstance(found, Batch) or not isinstance(found.rows, pl.DataFrame):
        raise DataError(
            "The data source did not return a batch.",
            where=f"{project.data.source}, batch {batch}",
            found=type(found).__name__,
            allowed="penstock.batch.Batch with a polars DataFrame",
        )
    return found


def _write(rows: pl.DataFrame, target: Path) -> None:
    """Whole or not at all; the draft is outside the folder that DVC watches."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.parent.parent / f".tmp-{target.parent.name}-{target.name}"
    try:
        rows.write_parquet(draft, compression="zstd", row_group_size=131_072)
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        target.unlink(missing_ok=True)
        draft.replace(target)
        store.sync_folder(target.parent)
    finally:
        draft.unlink(missing_ok=True)


def _folder(project: Project) -> Path:
    return settings().root / project.data.path


def _mark(project: Project) -> Path:
    return settings().home / MARK / project.name
