"""How many minutes will a flight be in the air? The flights of `examples/flights.py` with another label.

A regression.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from examples.flights import Flights

if TYPE_CHECKING:
    import polars as pl


def source() -> Flights:
    return Flights(_minutes)


def _minutes() -> pl.Expr:
    import polars as pl

    return pl.col("air_time").cast(pl.Float32).alias("minutes")
