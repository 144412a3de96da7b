"""Will a flight arrive more than three hours late? One in eighty-five does: a strongly imbalanced truth value.

The flights of `examples/flights.py` with another label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from examples.flights import Flights

if TYPE_CHECKING:
    import polars as pl

MINUTES = 180


def source() -> Flights:
    return Flights(_stranded)


def _stranded() -> pl.Expr:
    import polars as pl

    return (pl.col("arr_delay") > MINUTES).alias("stranded")
