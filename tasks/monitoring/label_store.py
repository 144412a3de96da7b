"""The label ledger's files, under `<home>/labels/<project>/`: appended, never rewritten.

    000001.json        what batch 1 was: `penstock.labels.Entry`. Created whole, once, or not at all
    batches/<sha256>.parquet   the labels it changed: key columns and `label`

A batch counts from the moment its entry is there. The file of labels is written first, so a process that is killed
leaves at most a file that no entry names, and the next try writes the same one. Whoever appends holds the project's
lock, since what a batch changes depends on those before it; reading needs none.
"""

from __future__ import annotations

import hashlib
import io
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.errors import DataError, StorageError
from penstock.label_config import LabelsConfig
from penstock.label_rows import Given
from penstock.labels import Entry, changes, fold
from penstock.ledger import moment
from penstock.refs import FileRef, Value
from penstock.task_type import TaskName
from tasks.machine import clock
from tasks.machine.author import author
from tasks.machine.settings import settings
from tasks.store import locks, numbered, store

if TYPE_CHECKING:
    import polars as pl

SHOWN = 5


class Recorded(Value):
    """What became of a batch. ``again``: when the same labels had been recorded before, in which case nothing
    happened; ``overruled``: how many of those have been corrected since, and stay so."""

    sequence: int
    new: int
    corrected: int
    unchanged: int
    empty: int
    again: str = ""
    overruled: int = 0

    def __str__(self) -> str:
        if not self.again:
            return f"{self.new:,} new, {self.corrected:,} corrected, {self.unchanged:,} known already"
        since = f"; {self.overruled:,} of them were corrected since and stay so (--again)" if self.overruled else ""
        return f"nothing new: these labels were recorded on {moment(self.again, seconds=False)}{since}"


def append(
    project: str,
    given: Given,
    config: LabelsConfig,
    source: str,
    again: bool = False,
    task: TaskName = "binary",
) -> Recorded:
    """Record a batch. The same labels twice are recorded once, unless ``again`` says that they are meant anew.

    Raises DataError for corrections where `labels.corrections` refuses them; StorageError if a file is damaged or
    cannot be written.
    """
    folder = _folder(project)
    content = _content(given.rows)
    with store.readable_errors(folder), locks.exclusive(f"labels-{project}"):
        entries = read_entries(project)
        current = state(project, config.key, entries, task=task)
        new, corrected = changes(current, given.rows, config.key)
        seen = next((one for one in entries if one.content == content and one.key == config.key), None)
        if seen and not again:
            return Recorded(
                sequence=seen.sequence,
                new=0,
                corrected=0,
                unchanged=given.rows.height,
                empty=given.empty,
                again=seen.time,
                overruled=corrected.height,
            )
        if corrected.height and config.corrections == "refuse":
            raise _refused(corrected, config.key, source)
        entry = Entry(
            sequence=len(entries) + 1,
            time=clock.now().isoformat(timespec="milliseconds"),
            project=project,
            by=author(),
            source=source,
            key=config.key,
            content=content,
            batch=_keep(folder, new.vstack(corrected).sort(config.key)),
            new=new.height,
            corrected=corrected.height,
            unchanged=given.rows.height - new.height - corrected.height,
            empty=given.empty,
        )
        numbered.create(folder, entry.sequence, entry)
    return Recorded(**entry.model_dump(include={"sequence", "new", "corrected", "unchanged", "empty"}))


def read_entries(project: str) -> list[Entry]:
    """Every batch of a project, in the order they came. Raises StorageError if an entry is damaged or missing."""
    return entries_after(project, 0)


def entries_after(project: str, sequence: int) -> list[Entry]:
    """The batches after number ``sequence``, in order; no other is read."""
    files = numbered.paths(_folder(project))[sequence:]
    entries = []
    for number, entry in enumerate(numbered.read(files, Entry, _damaged), sequence + 1):
        if entry.sequence != number:
            raise _damaged(files[number - sequence - 1], f"batch {entry.sequence} where {number} should be")
        entries.append(entry)
    return entries


def state(
    project: str,
    key: tuple[str, ...],
    entries: list[Entry] | None = None,
    of: pl.DataFrame | None = None,
    task: TaskName = "binary",
) -> pl.DataFrame:
    """The labels that count now, of the batches recorded under ``key``: see `penstock.labels.fold`.

    Labels that were recorded while the project named its predictions otherwise are kept, and match nothing. ``of``:
    only those of these keys.
    """
    found = read_entries(project) if entries is None else entries
    mine = [entry for entry in found if entry.key == key and entry.new + entry.corrected]
    batches = ((entry.sequence, _read(_folder(project), entry.batch)) for entry in mine)
    if of is not None:
        batches = ((number, rows.join(of, on=list(key), how="semi")) for number, rows in batches)
    return fold(batches, key, task)


def new_since(project: str, key: tuple[str, ...], time: str) -> int:
    """How many labels came or changed after ``time`` (ISO 8601, UTC; "" for all)."""
    newest = numbered.read(numbered.paths(_folder(project))[::-1], Entry, _damaged)
    late = takewhile(lambda entry: entry.time > time, newest)
    return sum(entry.new + entry.corrected for entry in late if entry.key == key)


def _content(rows: pl.DataFrame) -> str:
    """A hash of labels that does not depend on how or where they were written down."""
    text = io.BytesIO()
    rows.write_csv(text, quote_style="always")
    return hashlib.sha256(text.getvalue()).hexdigest()


def _keep(folder: Path, rows: pl.DataFrame) -> FileRef:
    content = io.BytesIO()
    rows.write_parquet(content, compression="zstd")
    found = content.getvalue()
    ref = FileRef(name="labels.parquet", sha256=hashlib.sha256(found).hexdigest(), size=len(found))
    store.write_atomic(_batch(folder, ref), found)
    return ref


def _read(folder: Path, ref: FileRef) -> pl.DataFrame:
    import polars as pl

    path = _batch(folder, ref)
    if not path.is_file() or store.digest(path) != ref.sha256:
        raise _damaged(path, "missing" if not path.is_file() else "other content than was written")
    return pl.read_parquet(path)


def _damaged(path: Path, found: str) -> StorageError:
    return StorageError(
        "A file of the label ledger is missing or damaged.",
        where=str(path),
        found=found,
        next_step="put the file back from a backup; the labels are not used while they are incomplete",
    )


def _refused(corrected: pl.DataFrame, key: tuple[str, ...], source: str) -> DataError:
    named = [", ".join(f"{name} {row[name]}" for name in key) for row in corrected.head(SHOWN).iter_rows(named=True)]
    return DataError(
        f"{corrected.height:,} labels differ from those there are.",
        where=source,
        found="; ".join(named),
        allowed="only new labels: `labels.corrections` is `refuse`",
        next_step="leave them out, or accept corrections; nothing was recorded",
    )


def _folder(project: str) -> Path:
    return settings().home / "labels" / project


def _batch(folder: Path, ref: FileRef) -> Path:
    return folder / "batches" / f"{ref.sha256}.parquet"
