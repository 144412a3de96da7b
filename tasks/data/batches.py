"""Reads a split's Parquet file batch by batch, encoded for the model."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from penstock.config import FeaturesConfig
from tasks.store.parquet import streamed

if TYPE_CHECKING:
    import polars as pl

ROWS = 131_072  # a row group of a split file


class Share(NamedTuple):
    """The rows of a file that one of several processes reads: the ``number``-th of ``of`` equal, contiguous parts."""

    number: int
    of: int

    def bounds(self, rows: int) -> tuple[int, int]:
        """(the first row, the row behind the last) of ``rows``; every share has some if there are at least ``of``."""
        return rows * self.number // self.of, rows * (self.number + 1) // self.of


WHOLE = Share(0, 1)


def raw_batches(path: Path, columns: list[str], rows: int = ROWS, share: Share = WHOLE) -> Iterator[pl.DataFrame]:
    """The rows of the file, or of a share of it, in order, at most ``rows`` at a time."""
    import polars as pl

    with streamed(path) as file:
        start, stop = share.bounds(file.metadata.num_rows)
        sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
        ends = list(itertools.accumulate(sizes))
        groups = [number for number, end in enumerate(ends) if end > start and end - sizes[number] < stop]
        at = ends[groups[0]] - sizes[groups[0]] if groups else 0
        for batch in file.iter_batches(rows, columns=columns, row_groups=groups):
            first, behind = max(start - at, 0), min(stop - at, len(batch))
            at += len(batch)
            if first < behind:
                yield pl.DataFrame(pl.from_arrow(batch.slice(first, behind - first)))


def encoded_batches(
    path: Path,
    features: FeaturesConfig,
    categories: dict[str, list[str]],
    classes: tuple[str, ...] = (),
    rows: int = ROWS,
    share: Share = WHOLE,
) -> Iterator[tuple[pl.DataFrame, pl.Series]]:
    """(features in the model's order, label: bool, a number, or that of its class) of each batch."""
    from penstock.features import encode_frame

    for frame in raw_batches(path, [*features.inputs, features.label], rows, share):
        yield encode_frame(frame, features, categories), numbered(frame[features.label], classes)


def numbered(label: pl.Series, classes: tuple[str, ...]) -> pl.Series:
    """``label`` as it is or, where there are ``classes``, which of them each is; null for one that is none."""
    import polars as pl

    if not classes:
        return label
    return label.cast(pl.Enum(classes), strict=False).to_physical().cast(pl.Int64)
