"""Splits a dataset into training, validation and test rows, streaming: one batch of Parquet in memory at a time."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from penstock import split as rules
from penstock.config import EvaluateConfig, FeaturesConfig, SplitConfig
from penstock.errors import DataError
from penstock.judge import LAST
from penstock.refs import Checked, Dataset, FileRef, Splits
from penstock.task_type import TaskName
from tasks.data.data import dataset_paths
from tasks.store import store
from tasks.store.caching import task
from tasks.store.parquet import streamed

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

NAMES = ("train", "validation", "test")
BATCH = 131_072  # rows of a row group: what is in memory at a time
ROW = "__row__"
SAMPLE = 100  # training rows on which a function of the project is tried row by row


@task(libraries=("polars", "pyarrow", "numpy"))
def split_dataset(
    dataset: Dataset,
    checked: Checked,
    features: FeaturesConfig,
    split: SplitConfig,
    evaluate: EvaluateConfig,
    task: TaskName,
) -> Splits:
    """Three Parquet files: inputs, label, slice columns and the row's place in the dataset; each row in one at most.

    The label is Boolean, text or Float64, as the task is. A regression whose rows have a time also gets the last value
    before each row. Raises DataError when a label is null or does not vary, or when a split lacks a class.
    """
    import polars as pl

    from penstock.features import categories_of, require_row_by_row

    part = _parts(dataset, checked, features, split, split.of(features, task))
    last = _last_values(dataset, part, features, split) if task == "regression" and features.time else None
    columns = list(dict.fromkeys([*features.inputs, features.label, *evaluate.slices]))
    times: dict[str, list[str]] = {}
    with contextlib.ExitStack() as stack:
        drafts = [stack.enter_context(store.new_file(f"{name}.parquet")) for name in NAMES]
        _write(dataset, part, columns, features, task, [draft.path for draft in drafts], times, last)
    refs = [draft.ref for draft in drafts]
    rows = {name: int((part == number).sum()) for number, name in enumerate(NAMES)}
    labels = {name: _label_facts(ref, features.label, task) for name, ref in zip(NAMES, refs, strict=True)}
    classes = _require_learnable(labels, rows, features.label, task)
    if features.python:
        require_row_by_row(_sample(refs[0], features), features)
    return Splits(
        train=refs[0],
        validation=refs[1],
        test=refs[2],
        categories=store.put_json(categories_of(pl.scan_parquet(store.locate(refs[0])), features), "categories.json"),
        summary=store.put_json(_summary(dataset, checked, part, rows, labels, times), "splits.json"),
        rows=(rows["train"], rows["validation"], rows["test"]),
        classes=classes,
    )


def _parts(dataset: Dataset, checked: Checked, features: FeaturesConfig, split: SplitConfig, by: str) -> np.ndarray:
    """The split of every row of the dataset, shape (rows,); LEFT_OUT for rows that validation excluded."""
    import numpy as np
    import polars as pl

    paths = dataset_paths(dataset)
    wanted = {"time": features.time, "group": features.group}.get(by) or features.label
    column = pl.concat([pl.read_parquet(path, columns=[wanted]) for path in paths], rechunk=True).to_series()
    keep = np.ones(len(column), bool)
    if checked.excluded:
        keep[_excluded_rows(dataset, checked.excluded)] = False
    values = column if keep.all() else column.filter(pl.Series(keep))
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
        parts = rules.stratified(values.cast(pl.String).rank("dense").to_numpy(), split)
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
    task: TaskName,
    targets: list[Any],
    times: dict[str, list[str]],
    last: np.ndarray | None,
) -> None:
    """Deal the dataset's rows to the three files; fill ``times`` with the first and last of each."""
    import polars as pl
    import pyarrow.parquet as pq

    kind = {"binary": pl.Boolean, "multiclass": pl.String, "regression": pl.Float64}[task]
    writers: list[Any] = [None] * len(NAMES)
    try:
        for position, batch in _batches(dataset, columns, features.time):
            place = pl.int_range(position, position + len(batch), dtype=pl.UInt64)
            batch = batch.with_columns(pl.col(features.label).cast(kind), place.alias(ROW))
            if last is not None:
                batch = batch.with_columns(pl.Series(LAST, last[position : position + len(batch)]))
            mine = part[position : position + len(batch)]
            for number, name in enumerate(NAMES):
                chosen = batch.filter(pl.Series(mine == number))
                if not len(chosen) and writers[number]:
                    continue
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


def _last_values(dataset: Dataset, part: np.ndarray, features: FeaturesConfig, split: SplitConfig) -> np.ndarray:
    """What `penstock.naive.last_values` gives each row of the dataset, by the labels that are not excluded."""
    import polars as pl

    from penstock.naive import last_values

    assert features.time is not None
    frame = pl.concat(
        [pl.read_parquet(path, columns=[features.time, features.label]) for path in dataset_paths(dataset)]
    )
    times = frame[features.time].cast(pl.Datetime("us")).to_physical()
    usable = (part != rules.LEFT_OUT) & times.is_not_null().to_numpy() & frame[features.label].is_not_null().to_numpy()
    label = frame[features.label].cast(pl.Float64).to_numpy()
    return last_values(times.fill_null(0).to_numpy(), label, usable, round(split.gap_hours * 3600e6))


def _label_facts(split: FileRef, label: str, task: TaskName) -> dict[str, Any]:
    """What is known of a split's labels: positives, rows of each class, or mean and deviation."""
    import polars as pl

    values = pl.read_parquet(store.locate(split), columns=[label])[label]
    if task == "binary":
        return {"positives": int(values.sum())}
    if task == "multiclass":
        counts = dict(values.value_counts().iter_rows())
        return {"rows_by_class": {name: counts[name] for name in sorted(counts, key=_class_order)}}
    nothing = values.is_empty()
    return {
        "rows": len(values),
        "mean": None if nothing else values.mean(),
        "deviation": None if nothing else values.std(ddof=0),
    }


def _class_order(name: str) -> tuple[int, int | str]:
    """A key by which whole numbers come first, by value."""
    return (0, int(name)) if name.removeprefix("-").isdecimal() else (1, name)


def _require_learnable(
    labels: dict[str, dict[str, Any]], rows: dict[str, int], label: str, task: TaskName
) -> tuple[str, ...]:
    """The classes of a multiclass label, sorted: whole numbers by value. Raises DataError if nothing can be learnt."""
    if task == "binary":
        rules.require_both_classes({name: facts["positives"] for name, facts in labels.items()}, rows, label)
        return ()
    if task == "regression":
        rules.require_numbers(labels, label)
        return ()
    by_split = {name: facts["rows_by_class"] for name, facts in labels.items()}
    rules.require_classes(by_split, label)
    return tuple(by_split["train"])


def _batches(dataset: Dataset, columns: list[str], time: str | None) -> Iterator[tuple[int, pl.DataFrame]]:
    import polars as pl

    position = 0
    wanted = [*columns, time] if time and time not in columns else columns
    for path in dataset_paths(dataset):
        with streamed(path) as file:
            for batch in file.iter_batches(BATCH, columns=wanted):
                frame = pl.DataFrame(pl.from_arrow(batch))
                yield position, frame
                position += len(frame)


def _widen(times: dict[str, list[str]], name: str, column: pl.Series) -> None:
    first, last = str(column.min()), str(column.max())
    known = times.setdefault(name, [first, last])
    times[name] = [min(known[0], first), max(known[1], last)]


def _sample(train: FileRef, features: FeaturesConfig) -> pl.DataFrame:
    """SAMPLE rows, spread over the split."""
    import polars as pl

    scan = pl.scan_parquet(store.locate(train)).select(features.inputs)
    rows = scan.select(pl.len()).collect().item()
    return scan.gather_every(max(1, rows // SAMPLE)).head(SAMPLE).collect()


def _summary(
    dataset: Dataset,
    checked: Checked,
    part: np.ndarray,
    rows: dict[str, int],
    labels: dict[str, dict[str, Any]],
    times: dict[str, list[str]],
) -> dict[str, Any]:
    import numpy as np

    def fingerprint(number: int) -> str:
        """SHA-256 of the dataset's version and the positions of the split's rows, which are never held all at once."""
        found = hashlib.sha256(dataset.version.encode())
        for start in range(0, len(part), BATCH):
            found.update((np.flatnonzero(part[start : start + BATCH] == number) + start).astype("<u8").tobytes())
        return found.hexdigest()

    left_out = int((part == rules.LEFT_OUT).sum())
    return {
        "dataset": dataset.version,
        "invalid": checked.invalid,
        "left_out_by_gap": left_out - checked.invalid,
        "splits": [
            {
                "name": name,
                "rows": rows[name],
                **labels[name],
                **({"positive_rate": labels[name]["positives"] / rows[name]} if labels[name].get("positives") else {}),
                "from": times.get(name, [None, None])[0],
                "to": times.get(name, [None, None])[1],
                "fingerprint": fingerprint(number),
            }
            for number, name in enumerate(NAMES)
        ],
    }
