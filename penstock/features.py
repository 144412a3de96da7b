"""Rows as the model sees them. Training, batch scoring and (in `penstock/rows.py`) the service mean the same by it.

A category that training did not see, and a null, are both a missing value; every number is a float32. Derived features
are computed by `penstock/derive.py`, here of a frame's columns and there of a request's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from penstock.column_arrays import Coded
from penstock.derive import Step, derived, learnt
from penstock.derive_config import function_steps, steps_of
from penstock.errors import ConfigError
from penstock.python_features import FunctionError, other_rows_matter
from penstock.times import microseconds, moments, moments_of_unit

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from penstock.config import FeaturesConfig


def enums(categories: Mapping[str, Sequence[str]]) -> dict[str, pl.Enum]:
    """The polars type of each categorical column. Its order is the model's: a code is a place in the list."""
    import polars as pl

    return {name: pl.Enum(values) for name, values in categories.items()}


def encode_frame(
    frame: pl.DataFrame, features: FeaturesConfig, categories: Mapping[str, Sequence[str]]
) -> pl.DataFrame:
    """The columns of ``features.names`` in that order: categories as Enum, everything else as Float32.

    ``categories``: the sorted training categories of each feature of ``features.texts``. Other columns of ``frame``,
    which has to have those of ``features.inputs``, are dropped.
    """
    import polars as pl

    types = enums({name: categories[name] for name in features.categorical})
    coded = [pl.col(name).cast(pl.String).cast(kind, strict=False) for name, kind in types.items()]
    steps = steps_of(features)
    more = _derived(frame, steps, categories) if steps else []
    return frame.select(*coded, *(pl.col(name).cast(pl.Float32) for name in features.numeric), *more)


def unknown_texts(
    frame: pl.DataFrame, encoded: pl.DataFrame, features: FeaturesConfig
) -> Iterable[tuple[str, str, pl.Series]]:
    """(feature, the column it comes from, mask) for each category feature with texts that training did not see.

    ``encoded``: what `encode_frame` made of ``frame``.
    """
    import polars as pl

    for name in features.categorical:
        yield name, name, encoded[name].is_null() & frame[name].is_not_null()
    steps = [step for step in steps_of(features) if step.text]
    known = {step.name: encoded[step.name].dtype.categories.to_list() for step in steps}  # type: ignore[attr-defined]
    for step, found in derived(steps, columns_of(frame, steps), known):
        assert isinstance(found, Coded)
        yield step.name, step.columns[0], encoded[step.name].is_null() & pl.Series(found.index >= 0)


def categories_of(rows: pl.LazyFrame, features: FeaturesConfig) -> dict[str, list[str]]:
    """The categories of each feature of texts in training rows, sorted."""
    import polars as pl

    found = {
        name: sorted(str(value) for value in rows.select(pl.col(name).unique()).collect()[name].drop_nulls())
        for name in features.categorical
    }
    for step in steps_of(features):
        if step.text:
            counted = rows.group_by(step.columns[0]).len("__rows__").collect()
            found[step.name] = learnt(step, column_array(counted[step.columns[0]]), counted["__rows__"].to_numpy())
    return found


def columns_of(frame: pl.DataFrame, steps: Sequence[Step]) -> dict[str, Any]:
    """The arrays that ``steps`` are computed from. A time may also be an ISO 8601 text, as in a request."""
    found: dict[str, Any] = {name: column_array(frame[name]) for step in steps for name in step.columns}
    for name in {name for step in steps for name in step.times}:
        texts = found[name]
        if isinstance(texts, Coded):
            found[name] = _read_times(texts)
    return found


def column_array(values: pl.Series) -> np.ndarray | Coded:
    """A column as `penstock.derive` takes it, by its type."""
    import numpy as np
    import polars as pl

    kind = values.dtype
    if isinstance(kind, pl.Datetime | pl.Date):
        counts = values.to_physical().cast(pl.Int64)
        missing = counts.is_null().to_numpy()
        whole = counts.fill_null(0).to_numpy()
        if isinstance(kind, pl.Date):
            return moments_of_unit(whole * 86_400, "s", missing)
        return moments_of_unit(whole, kind.time_unit, missing)
    if isinstance(kind, pl.String | pl.Categorical | pl.Enum):
        texts = values.cast(pl.String)
        distinct = texts.drop_nulls().unique()
        index = texts.cast(pl.Enum(distinct)).to_physical().cast(pl.Int64).fill_null(-1)
        return Coded(distinct.to_list(), index.to_numpy())
    return values.cast(pl.Float64).fill_null(np.nan).to_numpy()


def _derived(frame: pl.DataFrame, steps: Sequence[Step], categories: Mapping[str, Sequence[str]]) -> list[pl.Series]:
    import polars as pl

    types = enums({step.name: categories[step.name] for step in steps if step.text})
    found = []
    for step, values in _computed(steps, columns_of(frame, steps), categories):
        if isinstance(values, Coded):
            texts = pl.Series(step.name, values.distinct, pl.String).cast(types[step.name], strict=False)
            index = pl.Series(values.index, dtype=pl.Int64)
            found.append(texts.gather(index.set(index < 0, None)))
        else:
            found.append(pl.Series(step.name, values, nan_to_null=True).cast(pl.Float32))
    return found


def require_row_by_row(frame: pl.DataFrame, features: FeaturesConfig) -> None:
    """Raise ConfigError if `features.python` gives a row another value among other rows than alone: a request has other
    rows than training had. ``frame``: a sample of rows."""
    python = features.python
    if python is None or frame.is_empty():
        return
    columns = columns_of(frame, function_steps(python)[:1])
    try:
        feature = other_rows_matter(python.call, python.source, columns, python.features)
    except FunctionError as error:
        raise _failed(python.call, error) from error
    if feature:
        raise ConfigError(
            f"`{feature}` of `{python.call}` depends on other rows, and a request has other ones than training.",
            where="features.python",
            found=f"another value alone than among {frame.height} rows",
            allowed="a value that follows from the columns of its own row",
            next_step="compute it row by row; what is learnt of all rows belongs into the source of the data",
        )


def _computed(
    steps: Sequence[Step], columns: Mapping[str, Any], categories: Mapping[str, Sequence[str]]
) -> Iterable[tuple[Step, np.ndarray | Coded]]:
    try:
        yield from derived(steps, columns, categories)
    except FunctionError as error:
        call = next(step.how["call"] for step in steps if step.operation == "python")
        raise _failed(call, error) from error


def _failed(call: str, error: FunctionError) -> ConfigError:
    return ConfigError(
        f"The function `{call}` did not make its features.",
        where="features.python",
        found=str(error),
        next_step="mend it: a row that it has no answer for gets NaN",
    )


def _read_times(texts: Coded) -> np.ndarray:
    """Times that a frame has as texts, such as those of a request that was logged."""
    found: list[int | None] = []
    for text in texts.distinct:
        try:
            found.append(microseconds(text))
        except ValueError:
            found.append(None)
    times: np.ndarray = moments([*found, None])[texts.index]
    return times
