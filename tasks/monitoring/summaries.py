"""Column summaries for the drift verdict, out of whylogs profiles: those of training and those of windows.

A window's profile is made of a frame of served rows and kept as bytes; days merge into weeks and months without the
rows. Profiles' bytes are not deterministic, so nothing is named by them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from penstock.candidate import Candidate
from penstock.config import Project
from penstock.refs import FileRef
from penstock.sketch import (
    GRID,
    MOST,
    ColumnSummary,
    Type,
    by_frequency,
    category_summary,
    gap,
    number_summary,
    rounded,
)
from penstock.window import Reference
from tasks.data.label_facts import spread
from tasks.data.project import recorded_project
from tasks.data.whylogs_profile import LONGEST, load_whylogs, profile
from tasks.registry.releases import packaged
from tasks.store import store

if TYPE_CHECKING:
    import polars as pl

TYPES: dict[str, Type] = {
    "integral": "number",
    "fractional": "number",
    "boolean": "boolean",
    "string": "text",
    "object": "other",
    "tensor": "other",
}
# a column of the predictions file, and what monitoring calls it
PREDICTIONS = {"score": "probability", "class": "class", "prediction": "prediction"}


def training_reference(project: Project, release: str) -> Reference:
    """What windows of a release are compared with, of the newest one where ``release`` is empty.

    Its features are those it was made with; what the log keeps beside them is what the project says now. Raises
    DataError if there is no such release, StorageError if its files are damaged.
    """
    known = packaged(project.name, release)
    made = recorded_project(known.candidate.lineage.config).model_copy(update={"serve": project.serve})
    labels = project.labels
    kept = (*project.evaluate.slices, *labels.key_columns, *filter(None, (labels.time,)))
    return reference(known.candidate, made, known.version, allowed=kept)


def reference(candidate: Candidate, project: Project, release: str, allowed: Sequence[str] = ()) -> Reference:
    """What windows of ``release`` are compared with: training rows for features, test rows for predictions.

    Features that the prediction log does not keep, or keeps hashed, are left out. ``allowed``: more fields that rows
    may have, such as those the schema has and the model does not use. Raises StorageError if a stored file is gone.
    """
    features, log = project.features, project.serve.log
    logged = [name for name in features.watched if name not in {*log.drop, *log.hash}]
    categories: dict[str, list[str]] = store.read_json(candidate.splits.categories)
    found = summaries(store.read_bytes(candidate.profiles.train), categories)
    beside = (features.label, features.time, features.group, *features.known_after, *features.inputs, *allowed)
    return Reference(
        name=release,
        columns=tuple(column for column in found if column.name in logged),
        predictions=_predictions(candidate.evaluation.predictions),
        unit=spread(candidate.splits),
        allowed=tuple(sorted({name for name in beside if name})),
    )


def window_profile(rows: pl.DataFrame) -> bytes:
    """A standard whylogs profile of served rows, as bytes to keep."""
    return bytes(profile(rows).serialize())


def merged_profiles(parts: Iterable[bytes]) -> bytes:
    """One profile of all windows, by whylogs' own merge. At least one is needed."""
    total = None
    for part in parts:
        total = _view(part) if total is None else total.merge(_view(part))
    if total is None:
        raise ValueError("there is no profile to merge")
    return bytes(total.serialize())


def summaries(content: bytes, categories: Mapping[str, Sequence[str]] | None = None) -> tuple[ColumnSummary, ...]:
    """Every column of a serialized profile, by name. ``categories``: by column, those known even if never counted."""
    known = categories or {}
    columns: dict[str, Any] = _view(content).get_columns()
    return tuple(_summary(name, columns[name], known.get(name, ())) for name in sorted(columns))


def _view(content: bytes) -> Any:
    load_whylogs()
    from whylogs.core.view.dataset_profile_view import DatasetProfileView

    return DatasetProfileView.deserialize(content)


def _summary(name: str, column: Any, known: Sequence[str]) -> ColumnSummary:
    counts = column.get_metric("counts")
    types: dict[Type, int] = {}
    for kind, count in column.get_metric("types").to_summary_dict().items():
        if count:
            types[TYPES[kind]] = types.get(TYPES[kind], 0) + int(count)
    facts: dict[str, Any] = {
        "name": name,
        "rows": counts.n.value,
        "nulls": counts.null.value,
        "types": tuple(sorted(types.items())),
    }
    if {"text", "boolean"} & types.keys():
        facts |= _levels(column, sum(types.get(kind, 0) for kind in ("text", "boolean")), known)
    if "number" in types:
        facts |= _numbers(column)
    return ColumnSummary(**facts)


def _levels(column: Any, values: int, known: Sequence[str]) -> dict[str, Any]:
    found = {item.value: int(item.est) for item in column.get_metric("frequent_items").strings}
    listed = by_frequency({category[:LONGEST]: 0 for category in known} | found)
    # an estimate of the sketch may be high; then fewer are unlisted, never a negative number of them
    return {"levels": listed, "unlisted": max(0, values - sum(found.values()))}


def _numbers(column: Any) -> dict[str, Any]:
    """The sketch's distribution at its own quantiles, with the share below and up to each.

    Quantiles that one float32 stands for are one point: from below the first of them to above the last.
    """
    import numpy as np

    metric = column.get_metric("distribution")
    if metric is None or metric.kll.value.is_empty():
        return {}
    sketch = metric.kll.value
    quantiles = np.unique(sketch.get_quantiles(np.linspace(0, 1, GRID).tolist()))
    points, first = np.unique(rounded(quantiles), return_index=True)
    last = np.append(first[1:], len(quantiles)) - 1
    below = np.array(sketch.get_cdf(quantiles[first].tolist()))[:-1]  # its shares are of values strictly below
    upto = np.array(sketch.get_cdf(np.nextafter(quantiles[last], np.inf).tolist()))[:-1]
    error = sketch.normalized_rank_error(False) if sketch.is_estimation_mode() else 0.0
    return {
        "points": tuple(points.tolist()),
        "below": tuple(below.tolist()),
        "upto": tuple(upto.tolist()),
        "numbers": sketch.get_n(),
        "mean": _within(metric.mean.value),
        "deviation": _within((metric.m2.value / sketch.get_n()) ** 0.5),
        "rank_error": float(error) + gap(below, upto),
    }


def _within(value: float) -> float:
    """``value``, or the largest number where it overflowed: a column of 1e300 has no variance that a float can hold."""
    return max(-MOST, min(MOST, value)) if math.isfinite(value) else MOST


def prediction_summary(scores: pl.Series) -> ColumnSummary:
    """Of probabilities, of numbers that were predicted, or of the classes that were."""
    import polars as pl

    if scores.dtype == pl.String:
        return category_summary(PREDICTIONS["class"], dict(scores.value_counts().iter_rows()))
    return number_summary(PREDICTIONS.get(scores.name, scores.name), scores.to_numpy())


def _predictions(predictions: FileRef) -> ColumnSummary:
    import polars as pl

    store.read_bytes(predictions)  # raises if it is not whole
    path = store.locate(predictions)
    name = next(name for name in PREDICTIONS if name in pl.read_parquet_schema(path))
    return prediction_summary(pl.read_parquet(path, columns=[name])[name])
