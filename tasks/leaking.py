"""Measures what each feature tells of the label by itself, column by column."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.config import FeaturesConfig
from penstock.leakage import MEASURES, Alone, alone_on, each
from penstock.refs import FileRef, Splits
from penstock.task_type import TaskName
from tasks import store
from tasks.batches import numbered
from tasks.caching import task

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

MOST = 200_000  # rows of a split that are looked at: every so many


@task(libraries=("numpy", "polars"))
def measure_features(splits: Splits, features: FeaturesConfig, task: TaskName) -> Alone:
    """Each feature alone: learnt from training rows, measured on test rows."""
    known = store.read_json(splits.categories)
    train, test = (_column(ref, features.label, splits.classes) for ref in (splits.train, splits.test))
    found = {}
    for name in features.names:
        codes = known.get(name) if name in features.categorical else None
        found[name] = alone_on(
            task,
            (_values(splits.train, name, codes), train),
            (_values(splits.test, name, codes), test),
            len(splits.classes),
            ordered=codes is None,
        )
    return Alone(measure=MEASURES[task], features=tuple(each(found)))


def _column(ref: FileRef, label: str, classes: tuple[str, ...]) -> np.ndarray:
    import polars as pl

    return numbered(_thinned(pl.read_parquet(store.locate(ref), columns=[label])[label]), classes).to_numpy()


def _values(ref: FileRef, name: str, codes: list[str] | None) -> np.ndarray:
    """Numbers, NaN where missing; or the place of each category among those of training, from 1: 0 is missing."""
    import numpy as np
    import polars as pl

    values = _thinned(pl.read_parquet(store.locate(ref), columns=[name])[name])
    if codes is None:
        return values.cast(pl.Float64).fill_null(np.nan).to_numpy()
    return (
        (values.cast(pl.String).cast(pl.Enum(codes), strict=False).to_physical().cast(pl.Int64) + 1)
        .fill_null(0)
        .to_numpy()
    )


def _thinned(values: pl.Series) -> pl.Series:
    return values.gather_every(max(1, -(-len(values) // MOST)))
