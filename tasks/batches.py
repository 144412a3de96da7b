"""Reads a split's Parquet file batch by batch, encoded for the model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.config import FeaturesConfig
from tasks.parquet import streamed

if TYPE_CHECKING:
    import polars as pl

ROWS = 131_072  # a row group of a split file


def raw_batches(path: Path, columns: list[str], rows: int = ROWS) -> Iterator[pl.DataFrame]:
    """The file's rows in order, at most ``rows`` at a time."""
    import polars as pl

    with streamed(path) as file:
        for batch in file.iter_batches(rows, columns=columns):
            yield pl.DataFrame(pl.from_arrow(batch))


def encoded_batches(
    path: Path,
    features: FeaturesConfig,
    categories: dict[str, list[str]],
    classes: tuple[str, ...] = (),
    rows: int = ROWS,
) -> Iterator[tuple[pl.DataFrame, pl.Series]]:
    """(features in the model's order, label: bool, a number, or that of its class) of each batch."""
    from penstock.features import encode_frame

    for frame in raw_batches(path, [*features.inputs, features.label], rows):
        yield encode_frame(frame, features, categories), numbered(frame[features.label], classes)


def numbered(label: pl.Series, classes: tuple[str, ...]) -> pl.Series:
    """``label`` as it is or, where there are ``classes``, which of them each is; null for one that is none."""
    import polars as pl

    if not classes:
        return label
    return label.cast(pl.Enum(classes), strict=False).to_physical().cast(pl.Int64)
