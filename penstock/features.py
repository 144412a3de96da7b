"""Rows as the model sees them. Training, batch scoring and (in `penstock/rows.py`) the service mean the same by it.

A category that training did not see, and a null, are both a missing value; every number is a float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

    from penstock.config import FeaturesConfig


def enums(categories: dict[str, list[str]]) -> dict[str, pl.Enum]:
    """The polars type of each categorical column. Its order is the model's: a code is a place in the list."""
    import polars as pl

    return {name: pl.Enum(values) for name, values in categories.items()}


def encode_frame(frame: pl.DataFrame, features: FeaturesConfig, categories: dict[str, list[str]]) -> pl.DataFrame:
    """The columns of ``features.names`` in that order: categoricals as Enum, everything else as Float32.

    ``categories``: the sorted training categories of each categorical column. Other columns of ``frame`` are dropped.
    """
    import polars as pl

    types = enums({name: categories[name] for name in features.categorical})
    coded = [pl.col(name).cast(pl.String).cast(kind, strict=False) for name, kind in types.items()]
    return frame.select(*coded, *(pl.col(name).cast(pl.Float32) for name in features.numeric))
