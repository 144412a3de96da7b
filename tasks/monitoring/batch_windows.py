"""Scored files as windows of their own: a batch is not traffic, and has no rate.

A batch's segment (`*.batch`) names a table of rows and a profile that are made already, so that one is taken without
being read. Several small ones are taken together, as requests are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import ValidationError

from penstock.collected import Collected, Counts, Segment, day_of
from penstock.config import Project
from penstock.errors import StorageError
from penstock.refs import FileRef
from penstock.scored import INVALID, LoggedBatch
from penstock.served import FIXED, column_of
from tasks.machine import clock
from tasks.monitoring.collected_store import segment_path
from tasks.monitoring.summaries import merged_profiles
from tasks.store import store
from tasks.store.parquet import streamed

if TYPE_CHECKING:
    import polars as pl


def batch_is_due(project: Project, segments: Sequence[Segment]) -> bool:
    """Whether these batches make a full window, or the first of them has waited for a window's time."""
    waited = clock.now().timestamp() - int(segments[0].name.partition("-")[0]) / 1e9
    if waited >= project.monitor.window_seconds:
        return True
    return sum(batch.counts.rows for batch in _read(project.name, segments)) >= project.monitor.window_rows


def batch_window(
    project: Project, segments: Sequence[Segment], before: Collected | None, kinds: Mapping[str, str]
) -> Collected:
    """The window of these batches, after ``before``. ``kinds``: see `tasks.monitoring.compaction.compact`.

    Raises StorageError for damaged ones.
    """
    batches = _read(project.name, segments)
    models: Counter[str] = Counter()
    for batch in batches:
        models[batch.model] += batch.counts.rows
    refused = sum(batch.counts.refused_requests for batch in batches)
    rows = sum(batch.counts.rows for batch in batches)
    until = max(batch.until for batch in batches)
    return Collected(
        number=before.number + 1 if before else 1,
        project=project.name,
        closed=clock.now().isoformat(timespec="milliseconds"),
        since=min(batch.since for batch in batches),
        until=until,
        segments=tuple(segments),
        rows=_rows([batch.rows for batch in batches], kinds),
        profile=_profile([batch.profile for batch in batches]),
        counts=Counts(requests=rows + refused, rows=rows, refused={INVALID: refused} if refused else {}),
        models=dict(models),
        day=day_of(until, before),
        batch=True,
    )


def _read(project: str, segments: Sequence[Segment]) -> list[LoggedBatch]:
    found = []
    for segment in segments:
        path = segment_path(project, segment)
        try:
            found.append(LoggedBatch.model_validate_json(path.read_bytes()))
        except (OSError, ValidationError) as error:
            raise StorageError(
                "A scored file's place in the prediction log cannot be read.",
                where=str(path),
                found=str(error).splitlines()[0],
                next_step="put it back from a backup, or remove it: its rows are then not watched",
            ) from None
    return found


def _rows(refs: Sequence[FileRef], kinds: Mapping[str, str]) -> FileRef:
    """One table of all; a single one is taken as it is."""
    import pyarrow.parquet as pq

    for ref in refs:
        if not store.intact(ref):
            store.read_bytes(ref)  # raises, and says which
    if len(refs) == 1:
        return refs[0]
    writer: pq.ParquetWriter | None = None
    with store.new_file("served.parquet") as draft:
        for ref in refs:
            with streamed(store.locate(ref)) as file:
                for batch in file.iter_batches():
                    table = _same(batch, kinds).to_arrow()
                    writer = writer or pq.ParquetWriter(draft.path, table.schema, compression="zstd")
                    writer.write_table(table)
        assert writer is not None  # every batch had a row
        writer.close()
    return draft.ref


def _same(batch: object, kinds: Mapping[str, str]) -> pl.DataFrame:
    """The columns that are kept now: what a batch from before a change of config lacks is null."""
    import polars as pl

    frame = pl.DataFrame(pl.from_arrow(batch))
    columns = {column_of(name): getattr(pl, kind) for name, kind in kinds.items()}
    return frame.select(
        *FIXED,
        *(
            pl.col(name).cast(kind, strict=False) if name in frame.columns else pl.lit(None, kind).alias(name)
            for name, kind in columns.items()
        ),
    )


def _profile(refs: Sequence[FileRef]) -> FileRef:
    if len(refs) == 1:
        return refs[0]
    return store.put_bytes(merged_profiles([store.read_bytes(ref) for ref in refs]), "window.bin")
