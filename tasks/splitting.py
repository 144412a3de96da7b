"""Splits a dataset into training, validation and test rows, streaming: one batch of Parquet in memory at a time."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from penstock import split as rules
from penstock.config import EvaluateConfig, FeaturesConfig, SplitConfig
from penstock.errors import DataError
from penstock.refs import Checked, Dataset, FileRef, Splits
from tasks import store
from tasks.caching import task
from tasks.data import dataset_paths

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

NAMES = ("train", "validation", "test")
BATCH = 131_072  # rows of a row group: what is in memory at a time
ROW = "__row__"


@task(libraries=("polars", "pyarrow", "numpy"))
def split_dataset(
    dataset: Dataset, checked: Checked, features: FeaturesConfig, split: SplitConfig, evaluate: EvaluateConfig
) -> Splits:
    """Three Parquet files: features, label, slice columns and the row's place in the dataset; each row in one at most.

    Raises DataError when a label is null or does not vary, or when a split lacks a class.
    """
    part = _parts(dataset, checked, features, split)
    columns = list(dict.fromkeys([*features.names, features.label, *evaluate.slices]))
    times: dict[str, list[str]] = {}
    with contextlib.ExitStack() as stack:
        drafts = [stack.enter_context(store.new_file(f"{name}.parquet")) for name in NAMES]
        positives = _write(dataset, part, columns, features, [draft.path for draft in drafts], times)
    refs = [draft.ref for draft in drafts]
    rows = {name: int((part == number).sum()) for number, name in enumerate(NAMES)}
    rules.require_both_classes(positives, rows, features.label)
    return Splits(
        train=refs[0],
        validation=refs[1],
        test=refs[2],
        categories=store.put_json(_categories(refs[0], features), "categories.json"),
        summary=store.put_json(_summary(dataset, checked, part, rows, positives, times), "splits.json"),
        rows=(rows["train"], rows["validation"], rows["test"]),
    )


def _parts(dataset: Dataset, checked: Checked, features: FeaturesConfig, split: SplitConfig) -> np.ndarray:
    """The split of every row of the dataset, shape (rows,); LEFT_OUT for rows that validation excluded."""
    import numpy as np
    import polars as pl

    paths = dataset_paths(dataset)
    by = split.by or ("time" if features.time else "stratified")
    wanted = {"time": features.time, "group": features.group}.get(by) or features.label
    column = pl.concat([pl.read_parquet(path, columns=[wanted]) for path in paths]).to_series()
    keep = np.ones(len(column), bool)
    if checked.excluded:
        keep[_excluded_rows(dataset, checked.excluded)] = False
    values = column.filter(pl.Series(keep))
    if values.null_count():
        raise DataError(
            f"The column `{wanted}` has {values.null_count():,} nulls, and rows are split by it.",
            allowed="no nulls",
            next_step="make it not nullable in the schema, so that such rows are set aside",
        )
    if by == "time":
        parts = rules.by_time(values.cast(pl.Datetime("us")).to_physical().to_numpy(), split)
    elif by == "group":
        parts = rules.by_group(values.to_numpy(), split)
    elif by == "random":
        parts = rules.at_random(len(values), split)
    else:
        parts = rules.stratified(values.cast(pl.Boolean).to_numpy(), split)
    everything = np.full(len(column), rules.LEFT_OUT, np.int8)
    everything[keep] = parts
    return everything


def _excluded_rows(dataset: Dataset, excluded: FileRef) -> np.ndarray:
    """Positions in the dataset of the rows that validation found invalid."""
    import numpy as np
    import polars as pl
    import pyarrow.parquet as pq

    start, position = {}, 0
    for file, path in zip(dataset.files, dataset_paths(dataset), strict=True):
        start[file.path] = position
        position += pq.read_metadata(path).num_rows
    bad = pl.read_parquet(store.locate(excluded))
    offset = bad["file"].replace_strict(start, return_dtype=pl.Int64)
    return np.asarray((offset + bad["row"]).to_numpy())


def _write(
    dataset: Dataset,
    part: np.ndarray,
    columns: list[str],
    features: FeaturesConfig,
    targets: list[Any],
    times: dict[str, list[str]],
) -> dict[str, int]:
    """Deal the dataset's rows to the three files. Returns positives by split; fills ``times`` with first and last."""
    import polars as pl
    import pyarrow.parquet as pq

    positives = dict.fromkeys(NAMES, 0)
    writers: list[Any] = [None] * len(NAMES)
    try:
        for position, batch in _batches(dataset, columns, features.time):
            place = pl.int_range(position, position + len(batch), dtype=pl.UInt64)
            batch = batch.with_columns(pl.col(features.label).cast(pl.Boolean), place.alias(ROW))
            mine = part[position : position + len(batch)]
            for number, name in enumerate(NAMES):
                chosen = batch.filter(pl.Series(mine == number))
                if not len(chosen) and writers[number]:
                    continue
                positives[name] += int(chosen[features.label].sum())
                if features.time and len(chosen):
                    _widen(times, name, chosen[features.time])
                if features.time and features.time not in columns:
                    chosen = chosen.drop(features.time)
                table = chosen.to_arrow(compat_level=pl.CompatLevel.oldest())
                if writers[number] is None:
                    writers[number] = pq.ParquetWriter(targets[number], table.schema, compression="zstd")
                if len(chosen):
                    writers[number].write_table(table)
    finally:
        for writer in writers:
            if writer:
                writer.close()
    return positives


def _batches(dataset: Dataset, columns: list[str], time: str | None) -> Iterator[tuple[int, pl.DataFrame]]:
    import polars as pl
    import pyarrow.parquet as pq

    position = 0
    wanted = [*columns, time] if time and time not in columns else columns
    for path in dataset_paths(dataset):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH, columns=wanted):
                frame = pl.DataFrame(pl.from_arrow(batch))
                yield position, frame
                position += len(frame)


def _widen(times: dict[str, list[str]], name: str, column: pl.Series) -> None:
    first, last = str(column.min()), str(column.max())
    known = times.setdefault(name, [first, last])
    times[name] = [min(known[0], first), max(known[1], last)]


def _categories(train: FileRef, features: FeaturesConfig) -> dict[str, list[str]]:
    import polars as pl

    scan = pl.scan_parquet(store.locate(train))
    return {
        name: sorted(str(value) for value in scan.select(pl.col(name).unique()).collect()[name].drop_nulls())
        for name in features.categorical
    }


def _summary(
    dataset: Dataset,
    checked: Checked,
    part: np.ndarray,
    rows: dict[str, int],
    positives: dict[str, int],
    times: dict[str, list[str]],
) -> dict[str, Any]:
    import numpy as np

    def fingerprint(number: int) -> str:
        """SHA-256 of the dataset's version and the positions of the split's rows."""
        return hashlib.sha256(
            dataset.version.encode() + np.flatnonzero(part == number).astype("<u8").tobytes()
        ).hexdigest()

    left_out = int((part == rules.LEFT_OUT).sum())
    return {
        "dataset": dataset.version,
        "invalid": checked.invalid,
        "left_out_by_gap": left_out - checked.invalid,
        "splits": [
            {
                "name": name,
                "rows": rows[name],
                "positives": positives[name],
                "positive_rate": positives[name] / rows[name] if rows[name] else None,
                "from": times.get(name, [None, None])[0],
                "to": times.get(name, [None, None])[1],
                "fingerprint": fingerprint(number),
            }
            for number, name in enumerate(NAMES)
        ],
    }
