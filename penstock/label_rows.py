"""Labels as somebody sent them, brought into the one form the ledger keeps: key columns as text, and a Boolean, the
name of a class or a number, as the task is.

A key is the same however it was written: 7, "7" and "7.0" in an integer column, with and without the `T` in a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.errors import DataError
from penstock.fields import FLOATS, INTEGERS
from penstock.label_config import REQUEST_KEY, LabelsConfig
from penstock.task_type import TaskName

if TYPE_CHECKING:
    import polars as pl

LABEL = "label"
SHOWN = 5  # rows that a message names
WRONG = {
    "binary": "is neither true nor false",
    "multiclass": "is no class",
    "regression": "is no finite number",
}
TRUE, FALSE = ("true", "t", "1", "1.0", "yes"), ("false", "f", "0", "0.0", "no")
REQUEST_KINDS = {"request_id": "String", "row": "Int64"}


@dataclass(frozen=True)
class Given:
    """``rows``: key columns (String) and `label`, typed, sorted by key, each key once. ``empty``: rows without a
    label, which say nothing; ``numbered``: whether rows within a request were told apart."""

    rows: pl.DataFrame
    empty: int
    numbered: bool


def given_labels(
    found: pl.DataFrame,
    config: LabelsConfig,
    label: str,
    kinds: Mapping[str, str],
    where: str,
    task: TaskName = "binary",
) -> Given:
    """The labels of a table. ``label``: its column of labels; ``kinds``: the schema's types of the key columns.

    Raises DataError naming rows (from 1, without the header): no such column, a key that is missing or not of its
    type, a label that is none of its task type, one key with two labels.
    """
    import polars as pl

    key = config.key
    numbered = config.by == "keys" or "row" in found.columns
    if not numbered:
        found = found.with_columns(row=pl.lit("0"))
    lacking = [name for name in (*key, label) if name not in found.columns]
    if lacking:
        raise DataError(
            f"The labels have no column `{lacking[0]}`.",
            where=where,
            found=", ".join(found.columns),
            allowed=", ".join((*key, label)),
            next_step="name the columns so, or change `labels` in the project's YAML",
        )
    stated = found.filter(~_is_empty(found[label]))
    numbers = pl.arange(1, found.height + 1, eager=True).filter(~_is_empty(found[label]))
    columns = {name: key_text(stated[name], _kind(name, config, kinds)) for name in key}
    rows = pl.DataFrame(columns).with_columns(typed(stated[label], task).alias(LABEL), numbers.alias("at"))
    for name in key:
        _refuse(rows.filter(pl.col(name).is_null()), stated, numbers, name, "is missing or no value of its type", where)
    _refuse(rows.filter(pl.col(LABEL).is_null()), stated, numbers, label, WRONG[task], where)
    _refuse_conflicts(rows, key, where)
    kept = rows.drop("at").unique(key, keep="any").sort(key)
    return Given(kept, found.height - stated.height, numbered)


def key_text(values: pl.Series, dtype: str) -> pl.Series:
    """``values`` as values of ``dtype`` (a schema's type), as text; null where they are none."""
    import polars as pl

    kind = dtype.partition("(")[0]
    if kind == "String":
        text = values.cast(pl.String)
        return text.set(text == "", None)
    plain = values.str.strip_chars() if values.dtype == pl.String else values
    if kind == "Boolean":
        return truth(plain).cast(pl.String)
    if kind in ("Date", "Datetime"):
        return as_moment(plain, kind).cast(pl.String)
    if kind in INTEGERS and plain.dtype == pl.String:
        plain = plain.str.replace(r"\.0+$", "")
    elif kind in INTEGERS and plain.dtype.is_float():
        plain = plain.set(plain != plain.floor(), None)
    assert kind in INTEGERS or kind in FLOATS, dtype
    return plain.cast(getattr(pl, kind), strict=False).cast(pl.String)


def label_type(task: TaskName) -> pl.DataType:
    """The type of labels in the ledger."""
    import polars as pl

    return {"binary": pl.Boolean(), "multiclass": pl.String(), "regression": pl.Float64()}[task]


def typed(values: pl.Series, task: TaskName) -> pl.Series:
    """``values`` as labels of a task type; null for what is none. A class may be any text, or a whole number."""
    import polars as pl

    if task == "binary":
        return truth(values)
    plain = values.str.strip_chars() if values.dtype == pl.String else values
    if task == "regression":
        numbers = plain.cast(pl.Float64, strict=False)
        return numbers.set(~numbers.is_finite(), None)
    if plain.dtype.is_float():
        plain = plain.set(plain != plain.floor(), None).cast(pl.Int64, strict=False)
    return plain.cast(pl.String)


def truth(values: pl.Series) -> pl.Series:
    """``values`` as Booleans: true and false, t and f, yes and no, 1 and 0 in any case; null for all else."""
    import polars as pl

    if values.dtype == pl.Boolean:
        return values
    words = {**dict.fromkeys(TRUE, True), **dict.fromkeys(FALSE, False)}
    text = values.cast(pl.String).str.strip_chars().str.to_lowercase()
    return text.replace_strict(words, default=None, return_dtype=pl.Boolean)


def as_moment(values: pl.Series, kind: str) -> pl.Series:
    """A date, or a time in UTC without its zone, in microseconds."""
    import polars as pl

    if values.dtype == pl.String:
        text = values.str.replace(" ", "T", literal=True).str.replace(r"(Z|[+]00:?00)$", "")
        if kind == "Date":
            return text.str.replace(r"T00:00:00(\.0+)?$", "").str.to_date("%Y-%m-%d", strict=False)
        text = text.str.replace(r"^(\d{4}-\d\d-\d\d)$", "${1}T00:00:00")
        return text.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False)
    if isinstance(values.dtype, pl.Datetime) and values.dtype.time_zone:
        values = values.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return values.cast(pl.Date if kind == "Date" else pl.Datetime("us"), strict=False)


def _kind(name: str, config: LabelsConfig, kinds: Mapping[str, str]) -> str:
    return REQUEST_KINDS[name] if config.key == REQUEST_KEY else kinds[name]


def _is_empty(labels: pl.Series) -> pl.Series:
    import polars as pl

    nothing = labels.is_null()
    return nothing | (labels.str.strip_chars() == "").fill_null(True) if labels.dtype == pl.String else nothing


def _refuse(bad: pl.DataFrame, stated: pl.DataFrame, numbers: pl.Series, name: str, why: str, where: str) -> None:
    if bad.is_empty():
        return
    rows = bad["at"].head(SHOWN)
    values = stated.filter(numbers.is_in(rows.implode()))[name].to_list()
    raise DataError(
        f"In {bad.height:,} rows of the labels, `{name}` {why}.",
        where=where,
        found="; ".join(f"row {row}: {value!r}" for row, value in zip(rows, values, strict=True)),
        next_step="correct the rows; nothing was recorded",
    )


def _refuse_conflicts(rows: pl.DataFrame, key: tuple[str, ...], where: str) -> None:
    import polars as pl

    both = (
        rows.group_by(key, maintain_order=True)
        .agg(pl.col("at").sort(), pl.col(LABEL).n_unique().alias("labels"))
        .filter(pl.col("labels") > 1)
    )
    if both.is_empty():
        return
    named = [
        f"rows {', '.join(map(str, one['at'][:SHOWN]))} ({', '.join(f'{name} {one[name]}' for name in key)})"
        for one in both.head(SHOWN).iter_rows(named=True)
    ]
    raise DataError(
        f"{both.height:,} keys have different labels in one file.",
        where=where,
        found="; ".join(named),
        next_step="keep one of them; nothing was recorded",
    )
