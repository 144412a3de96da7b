"""A request's columns as the arrays that features are derived from: the very values that training has of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from penstock.column_arrays import Coded, Given, Numbers, Times
from penstock.fields import Category, Field, Number, Time
from penstock.times import moments

if TYPE_CHECKING:
    import numpy as np


def from_values(column: Field, values: Sequence[Any], read: Any = None) -> np.ndarray | Coded:
    """Of one field's values in a few or many rows, all of them valid; see `penstock.derive`.

    ``read``: what `Field.one` gave of each, where that is known: a text is parsed once.
    """
    import numpy as np

    if isinstance(column, Time):
        known = [column.one(value) for value in values] if read is None else read
        return moments([None if one != one else one for one in known])  # NaN: there is none
    if isinstance(column, Category):
        places: dict[Any, int] = {None: -1}
        index = [places.setdefault(value, len(places) - 1) for value in values]
        return Coded(list(places)[1:], np.array(index, np.int64))
    return _as_column(column, np.array(values, np.float64))  # None becomes NaN


def from_column(column: Field, given: Given) -> np.ndarray | Coded:
    """The same of a whole column, all of whose values are valid."""
    import numpy as np

    if isinstance(column, Time) and isinstance(given, Times):
        return column.cut(given.values)
    if isinstance(column, Time) and isinstance(given, Coded):
        return np.asarray(moments([*(column.present(value) for value in given.distinct), None])[given.index])
    if isinstance(column, Category) and isinstance(given, Coded):
        return given
    if isinstance(column, Number) and isinstance(given, Numbers):
        numbers = given.values.astype(np.float64)
        numbers[given.missing] = np.nan
        return _as_column(column, numbers)
    return from_values(column, given.as_list())


def _as_column(column: Field, numbers: np.ndarray) -> np.ndarray:
    """Rounded as the column's type does it: 0.1 as a Float32 is not 0.1."""
    import numpy as np

    single = isinstance(column, Number) and column.as_column is not float
    return numbers.astype(np.float32).astype(np.float64) if single else numbers
