"""Measures what each feature tells of the label by itself, column by column."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.config import FeaturesConfig
from penstock.features import encode_frame
from penstock.leakage import MEASURES, Alone, alone_on, each
from penstock.refs import FileRef, Splits
from penstock.task_type import TaskName
from tasks.data.batches import numbered, raw_batches
from tasks.store import store
from tasks.store.caching import task

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
        one = _alone(features, name)
        found[name] = alone_on(
            task,
            (_values(splits.train, one, name, known), train),
            (_values(splits.test, one, name, known), test),
            len(splits.classes),
            ordered=name not in features.texts,
        )
    return Alone(measure=MEASURES[task], features=tuple(each(found)))


def _column(ref: FileRef, label: str, classes: tuple[str, ...]) -> np.ndarray:
    return numbered(_thinned(ref, [label])[label], classes).to_numpy()


def _alone(features: FeaturesConfig, name: str) -> FeaturesConfig:
    """As if there were no other feature than ``name``."""
    mine = {key: tuple(each for each in getattr(features, key) if each == name) for key in ("categorical", "numeric")}
    derive = {each: one for each, one in features.derive.items() if each == name}
    python = features.python if features.python and name in features.python.features else None
    return features.model_copy(update={**mine, "derive": derive, "python": python})


def _values(ref: FileRef, feature: FeaturesConfig, name: str, known: dict[str, list[str]]) -> np.ndarray:
    """Numbers, NaN where missing; or the place of each category among those of training, from 1: 0 is missing."""
    import numpy as np
    import polars as pl

    rows = _thinned(ref, list(feature.inputs))
    if feature.numeric:  # as it is: a float32 is no better at telling
        return rows[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
    values = encode_frame(rows, feature, known)[name]
    if not feature.texts:
        return values.cast(pl.Float64).fill_null(np.nan).to_numpy()
    return (values.to_physical().cast(pl.Int64) + 1).fill_null(0).to_numpy()


def _thinned(ref: FileRef, columns: list[str]) -> pl.DataFrame:
    """Every so many rows of a split, MOST at most, read batch by batch."""
    import polars as pl
    import pyarrow.parquet as pq

    path = store.locate(ref)
    step = max(1, -(-pq.read_metadata(path).num_rows // MOST))
    chosen, position = [], 0
    for frame in raw_batches(path, columns):
        chosen.append(frame.gather_every(step, -position % step))
        position += len(frame)
    return pl.concat(chosen)
