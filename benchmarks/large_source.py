"""Ten million rows for `benchmarks.train --large`: flights of 2013 drawn with replacement, their weather jittered."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from examples.flights import source as flights
from penstock.batch import Batch

if TYPE_CHECKING:
    import polars as pl

PARTS, ROWS = 20, 500_000
JITTERED = ("temp", "dewp", "humid", "wind_speed", "pressure")


class Large:
    """Twenty parts of half a million rows, each made of its number: the same rows every time."""

    def names(self) -> list[str]:
        return [f"part-{number:02}" for number in range(1, PARTS + 1)]

    def read(self, name: str) -> Batch:
        import numpy as np
        import polars as pl

        number = int(name[-2:])
        random = np.random.default_rng(number)
        rows = _year()[np.sort(random.integers(0, len(_year()), ROWS))]
        noise = {column: random.normal(1, 0.003, ROWS).astype(np.float32) for column in JITTERED}
        limits = {"humid": (0.0, 100.0)}
        return Batch(
            rows.with_columns(
                # a year apart, so that parts follow one another in time as batches do
                pl.concat_str(pl.col("flight_id").str.slice(0, 3), pl.lit(f"{number:02}"), pl.int_range(ROWS)
                              .cast(pl.String).str.zfill(7), pl.col("flight_id").str.tail(18)).alias("flight_id"),
                pl.col("scheduled").dt.offset_by(f"{366 * number}d"),
                *((pl.col(column) * pl.Series(noise[column])).clip(*limits.get(column, (None, None))).alias(column)
                  for column in JITTERED),
            )
        )  # fmt: skip


@functools.cache
def _year() -> pl.DataFrame:
    import polars as pl

    return pl.concat([flights().read(name).rows for name in flights().names()]).sort("scheduled")


def source() -> Large:
    return Large()
