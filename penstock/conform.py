"""Brings a column that somebody else's program wrote to the type that the schema has, and says which values are none.

A whole number is one also as 7.0, and in any width; a category is its text. What a CSV has is text, and is read as
what it stands for. Nothing is guessed: what is no value of the type is null here, and was not null before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.label_rows import as_moment, truth

if TYPE_CHECKING:
    import polars as pl


def fits(found: pl.DataType, wanted: pl.DataType, *, text: bool) -> bool:
    """Whether values of the type ``found`` may be values of ``wanted``. ``text``: from a CSV, where all is text."""
    import polars as pl

    if found == wanted or found == pl.Null:
        return True
    words = isinstance(found, pl.String | pl.Categorical | pl.Enum)
    if words and text:
        return True
    if wanted.is_numeric():
        return found.is_numeric()
    if wanted == pl.String:
        return words
    return wanted.is_temporal() and found.is_temporal()


def conformed(values: pl.Series, wanted: pl.DataType) -> pl.Series:
    """``values`` as ``wanted``; null where they are no value of it, and for NaN. Their types have to fit."""
    import polars as pl

    if values.dtype.is_float():
        values = values.fill_nan(None)
    if values.dtype == wanted:
        return values
    if isinstance(values.dtype, pl.Categorical | pl.Enum):
        values = values.cast(pl.String)
    if wanted == pl.Boolean:
        return truth(values)
    if wanted == pl.Date and isinstance(values.dtype, pl.Datetime):
        values = as_moment(values, "Datetime")
        values = values.set(values != values.dt.truncate("1d"), None)  # a time is no date, as in a request
    if wanted.is_temporal():
        return as_moment(values, "Date" if wanted == pl.Date else "Datetime").cast(wanted, strict=False)
    if wanted.is_integer():
        if values.dtype == pl.String:
            values = values.str.strip_chars().str.replace(r"\.0+$", "")
        elif not values.dtype.is_integer():
            values = values.set(values != values.floor(), None)
    elif wanted.is_float() and values.dtype == pl.String:
        return values.str.strip_chars().cast(wanted, strict=False).fill_nan(None)
    return values.cast(wanted, strict=False)
