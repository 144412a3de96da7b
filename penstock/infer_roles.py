"""What each column is for: the time, the group, an id, a feature, or nothing; and why. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from penstock.infer_leaks import LEAK, SUSPECT, is_copy, tells
from penstock.infer_values import Values
from penstock.task_type import TaskName

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

Role = Literal["target", "time", "group", "id", "categorical", "numeric", "leak", "left out"]
MANY = 1000  # categories; more are left out
NOTABLE = 100
ASKED = 30_000  # rows by which leaks are told
PER_CATEGORY = 5  # rows; fewer on average tell nothing of a category
ID_NAME = re.compile(
    r"(^|_)(id|ids|uuid|guid|key|index|idx|no|nr|number|row|record|rownum|serial)($|_)|[a-z]Id$|ID$", re.IGNORECASE
)
GROUP_NAME = re.compile(
    r"(^|_)(id|uuid|guid|key|customer|client|user|patient|account|household|device|store|person)($|_)|[a-z]Id$|ID$",
    re.IGNORECASE,
)
TIME_NAME = re.compile(r"(^|_)(time|timestamp|ts|date|at|when|created|ordered|event|start|datum)($|_)", re.IGNORECASE)
NOT_WHEN = re.compile(
    r"birth|dob|expir|updated|modified|closed|ended|end_|resolved|deleted|last_|until|due", re.IGNORECASE
)
SENTINELS = (-1.0, -9.0, -99.0, -999.0, -9999.0, 999.0, 9999.0, 99999.0, 999999.0)


@dataclass(frozen=True)
class Column:
    """One column and what was decided of it. ``there``: its name in the source; ``nullable``: it has gaps."""

    name: str
    there: str
    values: Values
    role: Role
    why: str
    check: str = ""
    nullable: bool = False
    distinct: int = 0


def assign_roles(columns: list[Column], rows: pl.DataFrame, target: str, task: TaskName) -> list[Column]:
    """``columns`` with their roles. ``rows``: typed values under the names here, and the target without gaps."""
    import polars as pl

    label = (rows[target].rank("dense") if task == "multiclass" else rows[target]).to_numpy()
    found = [column if column.name == target else _basic(column, rows[column.name]) for column in columns]
    time = _time(found)
    found = [
        replace(each, role="time", why=f"{each.values.why}: orders the rows", check=each.values.check)
        if each is time else each
        for each in found
    ]  # fmt: skip
    group = _group(found, rows)
    found = [
        replace(each, role="group", why=_group_why(each, rows),
                check="a feature, if its size means something" if each.role == "numeric" else "")
        if each is group else each
        for each in found
    ]  # fmt: skip
    few = rows.with_columns(pl.Series(target, label)).gather_every(-(-len(rows) // ASKED))
    label = few[target].to_numpy()
    return [_unless_leak(column, few[column.name], label, task) for column in found]


def _basic(column: Column, values: pl.Series) -> Column:
    there = values.drop_nulls()
    distinct = there.n_unique()
    column = replace(column, distinct=distinct, nullable=len(there) < len(values))
    kind = column.values.dtype.partition("(")[0]
    if not len(there):
        return replace(column, role="left out", why="no value at all")
    if distinct == 1:
        return replace(column, role="left out", why=f"constant: {str(there[0])[:30]}")
    if kind == "Datetime":
        return replace(column, role="left out", why=f"{column.why}; a model takes numbers and categories",
                       check=column.check or "a part of it may be a feature: `features.derive`")  # fmt: skip
    if kind == "Boolean":
        return replace(column, role="numeric")
    unique = distinct == len(there) and len(there) >= 20
    if kind == "String":
        return _text(column, there, distinct, unique)
    ordered = bool(there.is_sorted()) or bool(there.is_sorted(descending=True))
    if kind == "Int64" and unique and (ID_NAME.search(column.name) or ordered):
        return replace(column, role="id", why="another whole number in every row")
    if (
        kind == "Int64"
        and ID_NAME.search(column.name)
        and re.search(r"(^|_)(id|uuid|guid|key)($|_)|Id$|ID$", column.name)
    ):
        return replace(column, role="id", why="named as an id", check="a feature, if its size means something")
    return replace(column, role="numeric", why=f"{column.why}, {_plain(there.min())} .. {_plain(there.max())}",
                   check=column.check or _sentinel(there))  # fmt: skip


def _plain(number: Any) -> str:
    return f"{number:g}"


def _text(column: Column, there: pl.Series, distinct: int, unique: bool) -> Column:
    if unique:
        return replace(column, role="id", why="another text in every row")
    if distinct > MANY or len(there) < PER_CATEGORY * distinct:
        words = float(there.str.count_matches(r"\s+").mean() or 0)  # type: ignore[arg-type]
        kind = "free text" if words >= 3 else "high cardinality"
        return replace(column, role="left out", why=f"{kind}: {distinct:,} values in {len(there):,} rows",
                       check=column.check or "the most frequent may be a feature: `features.derive`")  # fmt: skip
    check = column.check or (f"{distinct} categories: are so many meant?" if distinct > NOTABLE else "")
    why = "a code" if column.why.startswith("digits") else "category"
    return replace(column, role="categorical", why=f"{why}, {distinct} values", check=check)


def _sentinel(there: pl.Series) -> str:
    """A number that may stand for a missing value: an end of the range that is far from the rest, and frequent."""
    import polars as pl

    numbers = there.cast(pl.Float64)
    for end, rest in ((numbers.min(), numbers.filter(numbers > numbers.min()).min()),  # type: ignore[operator]
                      (numbers.max(), numbers.filter(numbers < numbers.max()).max())):  # type: ignore[operator]  # fmt: skip
        if end in SENTINELS and rest is not None:
            spread = float(numbers.quantile(0.75) or 0) - float(numbers.quantile(0.25) or 0)
            share = float((numbers == end).mean() or 0)  # type: ignore[arg-type]
            if share >= 0.005 and abs(float(end) - float(rest)) > max(spread, 1):  # type: ignore[arg-type]
                return f"{end:g} in {share:.1%} of the rows: a missing value? then add it to `missing`"
    return ""


def _time(columns: list[Column]) -> Column | None:
    """The column that orders the rows: without gaps, with many values, and named for when things happened."""
    able = [
        column
        for column in columns
        if column.values.dtype.startswith("Datetime") and column.role == "left out" and not column.nullable
        and column.distinct >= 10 and not NOT_WHEN.search(column.name)
    ]  # fmt: skip
    return max(able, key=lambda column: (bool(TIME_NAME.search(column.name)), column.distinct), default=None)


def _group(columns: list[Column], rows: pl.DataFrame) -> Column | None:
    """The column whose values have several rows each, and that names or counts whom or what rows are about."""
    several = [column for column in columns if not column.nullable and 20 <= column.distinct <= len(rows) / 1.5]
    able = [
        column
        for column in several
        if column.role in ("id", "left out", "categorical") and column.values.dtype in ("String", "Int64")
        and GROUP_NAME.search(column.name)
    ] or [column for column in several if column.role == "numeric" and _counts(rows[column.name])]  # fmt: skip
    return max(able, key=lambda column: column.distinct, default=None)


def _counts(values: pl.Series) -> bool:
    """Whether they are 1, 1, 2, 2, 2, 3 ...: rows in the order of what they are about, which only has a number."""
    if not values.dtype.is_integer() or values[0] not in (0, 1):
        return False
    return bool(values.diff().slice(1).is_between(0, 1).all())


def _group_why(column: Column, rows: pl.DataFrame) -> str:
    return f"{column.distinct:,} values of {len(rows) / column.distinct:.1f} rows each: rows belong together"


def _unless_leak(column: Column, values: pl.Series, label: np.ndarray, task: TaskName) -> Column:
    if column.role not in ("categorical", "numeric"):
        return column
    if is_copy(values, label, task):
        return replace(column, role="leak", why="a copy of the target", check="known only afterwards?")
    found, measure = tells(values, label, task), "R2 of ranks" if task == "regression" else "AUC"
    if found >= LEAK:
        return replace(column, role="leak", why=f"alone tells the target ({measure} {found:.4f})",
                       check="known before the prediction is made? then move it to the features")  # fmt: skip
    if found >= SUSPECT:
        said = f"alone tells much ({measure} {found:.3f}): is it known before?"
        return replace(column, check="; ".join(filter(None, [column.check, said])))
    return column
