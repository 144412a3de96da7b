"""The rows of each slice of a split: one rule for whoever measures them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import polars as pl


MISSING = "(missing)"  # the slice of the nulls


def slices_of(frame: pl.DataFrame, column: str) -> Iterator[tuple[str, np.ndarray]]:
    """Each value of a column as text, sorted, and the places of its rows; nulls are a slice too."""
    import polars as pl

    values = pl.col(column).cast(pl.String).fill_null(MISSING).alias("value")
    groups = frame.select(values).with_row_index("at").group_by("value")
    for (value,), rows in sorted(groups, key=lambda pair: str(pair[0][0])):
        yield str(value), rows["at"].to_numpy()
