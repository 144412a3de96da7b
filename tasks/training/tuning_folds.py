"""The rows that a search for parameters trains and measures on, fold by fold: never the test rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from penstock import folds as rules
from penstock.config import FeaturesConfig, SplitConfig
from penstock.model import Batches
from penstock.refs import Dataset, FileRef, Splits
from penstock.task_type import TaskName
from tasks.data.batches import encoded_batches
from tasks.data.data import dataset_paths
from tasks.store import store
from tasks.training.splitting import ROW

if TYPE_CHECKING:
    import numpy as np
    import polars as pl


class FoldRows(NamedTuple):
    """Batches of the rows that train, and of those that measure."""

    training: Batches
    measuring: Batches


def rows_of_folds(
    dataset: Dataset, splits: Splits, features: FeaturesConfig, split: SplitConfig, task: TaskName, count: int
) -> list[FoldRows]:
    """``count`` folds of training and validation rows; one: the project's own two splits.

    Raises DataError when a fold has no rows.
    """
    categories = store.read_json(splits.categories)

    def batches(files: tuple[FileRef, ...], mask: np.ndarray | None = None) -> Batches:
        return lambda: _chosen(files, features, categories, splits.classes, mask)

    both = (splits.train, splits.validation)
    if count == 1:
        return [FoldRows(batches(both[:1]), batches(both[1:]))]
    found = _folds(dataset, both, features, split, split.of(features, task), count)
    return [FoldRows(batches(both, train), batches(both, measure)) for train, measure in found]


def _chosen(
    files: tuple[FileRef, ...],
    features: FeaturesConfig,
    categories: dict[str, list[str]],
    classes: tuple[str, ...],
    mask: np.ndarray | None,
) -> Iterator[tuple[pl.DataFrame, pl.Series]]:
    """Encoded batches of the files' rows, one file after the other; those of ``mask``, where there is one."""
    import polars as pl

    at = 0
    for file in files:
        for frame, label in encoded_batches(store.locate(file), features, categories, classes):
            if mask is None:
                yield frame, label
                continue
            chosen = pl.Series(mask[at : at + len(frame)])
            at += len(frame)
            if chosen.any():
                yield frame.filter(chosen), label.filter(chosen)


def _folds(
    dataset: Dataset, files: tuple[FileRef, ...], features: FeaturesConfig, split: SplitConfig, by: str, count: int
) -> list[rules.Fold]:
    import polars as pl

    def column(name: str) -> pl.Series:
        return pl.concat([pl.read_parquet(store.locate(file), columns=[name]) for file in files]).to_series()

    rows = column(ROW)
    if by == "random":
        return rules.at_random(len(rows), count, split.seed)
    if by == "stratified":
        return rules.stratified(column(features.label).cast(pl.String).rank("dense").to_numpy(), count, split.seed)
    # the split files need not have the time and the group: the dataset has
    name = features.time if by == "time" else features.group
    assert name is not None
    values = pl.concat([pl.read_parquet(path, columns=[name]) for path in dataset_paths(dataset)]).to_series()[rows]
    if by == "group":
        return rules.by_group(values.to_numpy(), count, split.seed)
    return rules.by_time(values.cast(pl.Datetime("us")).to_physical().to_numpy(), count, split.gap_hours)
