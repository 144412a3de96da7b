"""Takes what was served from the prediction log: closed segments become a numbered window, each exactly once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime

from penstock.collected import Collected, Segment, day_of, pending
from penstock.config import Project
from penstock.errors import PlatformError, StorageError
from penstock.refs import FileRef
from penstock.schema import parse_schema
from penstock.served import FIXED
from tasks.data.project import schema_text
from tasks.machine import clock
from tasks.monitoring.batch_publishing import settle
from tasks.monitoring.batch_windows import batch_is_due, batch_window
from tasks.monitoring.collected_store import append_window, closed_segments, segment_path, windows_since
from tasks.monitoring.compaction import compact
from tasks.monitoring.summaries import window_profile
from tasks.store import locks, store
from tasks.store.caching import task

LONGEST_PROFILE = 250_000  # rows of a window that its profile is made of at once


@contextlib.contextmanager
def monitoring(project: str) -> Iterator[None]:
    """One monitor of a project at a time: a lock that dies with its holder. Raises PlatformError if another runs."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locks.exclusive(f"monitor-{project}", timeout=2))
        except StorageError as error:
            raise PlatformError(
                f"Another monitor of `{project}` runs.", next_step=f"penstock status {project}"
            ) from error
        yield


@task(cached=False)
def collect_window(project: Project, close: bool = False) -> Collected | None:
    """The next window, or None while it is neither full nor over. Scored files make windows without requests.

    ``close``: whatever there is, however little. Raises StorageError if a segment or a window's file is damaged.
    """
    settle(project.name)
    found = closed_segments(project.name)
    windows = windows_since(project.name, found)
    before = windows[-1] if windows else None
    segments = _chosen(project, windows, pending(found, windows), close)
    if not segments:
        return None
    if segments[0].batch:
        window = batch_window(project, segments, before, kept_fields(project))
        append_window(window)
        return window
    paths = [segment_path(project.name, segment) for segment in segments]
    made = compact(paths, kept_fields(project), replayed=False, task=project.train.task)
    window = Collected(
        number=before.number + 1 if before else 1,
        project=project.name,
        closed=clock.now().isoformat(timespec="milliseconds"),
        since=made.since,
        until=made.until,
        segments=tuple(segments),
        rows=made.rows,
        profile=_profile(made.rows),
        counts=made.counts,
        models=dict(made.models),
        day=day_of(made.until, before),
    )
    append_window(window)
    return window


def kept_fields(project: Project) -> dict[str, str]:
    """The fields of the rows that are compacted, and their polars type: features, slices, and what labels need.

    Times and hashed values are text in a request, and stay it: `label_rows.as_moment` reads them.
    """
    columns = parse_schema(schema_text(project), project.schema_file).columns
    labels = project.labels
    names = [*project.features.inputs, *project.evaluate.slices, *labels.key_columns, *filter(None, (labels.time,))]
    log = project.serve.log
    return {
        name: "String"
        if name in log.hash or columns[name].dtype.startswith("Date")
        else columns[name].dtype.partition("(")[0]
        for name in dict.fromkeys(names)
        if name in columns and name not in log.drop and name != project.features.label
    }


def _chosen(project: Project, windows: list[Collected], found: list[Segment], close: bool) -> list[Segment]:
    """Requests or scored files, whichever is due and has waited longest. Each makes windows of its own."""
    requests = [segment for segment in found if not segment.batch]
    batches = [segment for segment in found if segment.batch]
    due = [requests] if requests and (close or _is_due(project, windows, requests)) else []
    due += [batches] if batches and (close or batch_is_due(project, batches)) else []
    return min(due, key=lambda segments: segments[0].name, default=[])


def _is_due(project: Project, windows: list[Collected], segments: list[Segment]) -> bool:
    config = project.monitor
    before = next((window for window in reversed(windows) if not window.batch), None)
    opened = before.until if before else int(segments[0].name.partition("-")[0])
    if before and not before.until:  # nobody asked anything in it
        opened = int(datetime.fromisoformat(before.closed).timestamp() * 1e9)
    if clock.now().timestamp() - opened / 1e9 >= config.window_seconds:
        return True
    lines = 0
    for segment in segments:
        with segment_path(project.name, segment).open("rb") as file:
            lines += sum(piece.count(b"\n") for piece in iter(lambda: file.read(1 << 20), b""))
        if lines >= config.window_rows:
            return True
    return False


def _profile(rows: FileRef | None) -> FileRef | None:
    """A whylogs profile of the window's features; of a window that is very large, made of pieces and merged."""
    import polars as pl

    from tasks.monitoring.summaries import merged_profiles

    if rows is None:
        return None
    scan = pl.scan_parquet(store.locate(rows))
    total = scan.select(pl.len()).collect().item()
    fields = scan.drop(*FIXED)
    pieces = [
        window_profile(fields.slice(start, LONGEST_PROFILE).collect()) for start in range(0, total, LONGEST_PROFILE)
    ]
    return store.put_bytes(pieces[0] if len(pieces) == 1 else merged_profiles(pieces), "window.bin")
