"""What is to be predicted: one of two, one of several, or a number; and which of two is True. Pure."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from penstock.errors import DataError
from penstock.infer_values import CODE, TRUE
from penstock.reading import numbers
from penstock.source_config import BooleanWords, SourceConfig
from penstock.task_type import TaskName

if TYPE_CHECKING:
    import polars as pl

FEW = 10  # whole numbers of at most so many values may be classes
MOST = 100  # classes
RARE = 0.05  # a rarer class is noticed as imbalance
SMALL = 50  # rows of a class that are noticed as few
LEAST = 10  # rows of a class: fewer leave none to judge by


@dataclass(frozen=True)
class Target:
    """The task and what told it. ``words``: of a binary target that is not true or false already; ``positive``: what
    counts as True; ``share``: of the rows, how many are True; ``classes``: how many different values there are;
    ``rarest``: of the rows, how many are of the rarest class; ``counts``: numbers that count something, as it seems;
    ``dtype``: the schema's type."""

    task: TaskName
    why: str
    checks: tuple[str, ...] = ()
    words: BooleanWords | None = None
    positive: str = ""
    share: float = 0.0
    classes: int = 0
    rarest: float = 0.0
    counts: bool = False
    dtype: str = "Boolean"

    @property
    def imbalanced(self) -> bool:
        """Whether a class is so rare that accuracy says nothing."""
        return self.task != "regression" and self.rarest < RARE / (1 if self.task == "binary" else self.classes / 2)


def find_target(target: str, columns: list[str]) -> str:
    """The column that ``target`` names, also in other case or with spaces. Raises DataError with the closest names."""
    if target in columns:
        return target

    def folded(name: str) -> str:
        return "".join(sign for sign in name.casefold() if sign.isalnum())

    same = [name for name in columns if folded(name) == folded(target)]
    if len(same) == 1:
        return same[0]
    by_fold = {folded(name): name for name in columns}
    near = [by_fold[name] for name in difflib.get_close_matches(folded(target), list(by_fold), n=3, cutoff=0.5)]
    raise DataError(
        f"There is no column `{target}`.",
        where="--target",
        allowed=", ".join(columns[:40]) + (", ..." if len(columns) > 40 else ""),
        next_step=f"did you mean {' or '.join(f'`{name}`' for name in near)}?" if near else "name one of the columns",
    )


def infer_target(text: pl.Series, source: SourceConfig, wanted: TaskName | None = None) -> Target:
    """The task of the target's values ``text`` (of `as_text`), or ``wanted``.

    Raises DataError if the target has one value only, is a time, is text of nearly as many values as rows, has a class
    of too few rows to judge by, or cannot be ``wanted``.
    """
    there = text.drop_nulls()
    if there.dtype.is_temporal():
        raise DataError(f"The target `{text.name}` is a time.", found=str(there[0]) if len(there) else "nothing",
                        allowed="a truth value, classes, or a number",
                        next_step="name another column, or derive a number of it, such as days until then")  # fmt: skip
    groups = _groups(there, source)
    if len(groups) < 2:
        raise DataError(
            f"The target `{text.name}` has one value only: there is nothing to learn.",
            found=f"{next(iter(groups), 'nothing')} in all {len(there):,} rows",
            next_step="name another column, or take rows that have both",
        )
    as_number = numbers(there, source)
    numeric = as_number.null_count() <= len(there) * 0.01
    task = wanted or _task(there, as_number, groups, numeric)
    if task == "regression":
        if not numeric:
            raise DataError(f"The target `{text.name}` is not a number.", where="--task regression",
                            found=str(there[0])[:40], next_step="name another column or task")  # fmt: skip
        return _regression(as_number, len(groups))
    if task == "binary":
        if len(groups) != 2:
            raise DataError(f"The target `{text.name}` has {len(groups)} values, not two.", where="--task binary",
                            found=", ".join(list(groups)[:5]), next_step="leave --task out")  # fmt: skip
        return _binary(there, groups, numeric)
    return _multiclass(there, groups, as_number, numeric)


def _groups(there: pl.Series, source: SourceConfig) -> dict[str, list[str]]:
    """The distinct values; those that differ only in case, or as numbers do not at all, are one. At most MOST + 1."""
    import polars as pl

    counts = there.cast(pl.String).value_counts(sort=True)
    found: dict[str, list[str]] = {}
    for value in counts[there.name].to_list():
        number = numbers(pl.Series([value]), source)[0]
        key = value.casefold() if number is None else f"{number:g}"
        found.setdefault(key, []).append(value)
        if len(found) > MOST * 10:
            break
    return found


def _task(there: pl.Series, as_number: pl.Series, groups: dict[str, list[str]], numeric: bool) -> TaskName:
    if len(groups) == 2:
        return "binary"
    if numeric:
        return "multiclass" if _is_whole(as_number) and len(groups) <= FEW else "regression"
    if len(groups) > MOST or len(there) < 5 * len(groups):
        raise DataError(
            f"The target `{there.name}` is text of {len(groups):,} values.",
            found=", ".join(list(groups)[:3]),
            allowed=f"a number, or text of at most {MOST} classes with several rows each",
            next_step="name another column, or group its values before",
        )
    return "multiclass"


def _binary(there: pl.Series, groups: dict[str, list[str]], numeric: bool) -> Target:
    import polars as pl

    (first, ones), (second, others) = groups.items()  # the more frequent first
    checks = []
    if there.dtype == pl.Boolean:
        positive = "true"
    elif {first, second} & TRUE and not {first, second} <= TRUE:
        positive = first if first in TRUE else second
    elif numeric:
        positive = max((first, second), key=float)
        checks.append(f"{positive} counts as True because it is larger")
    else:
        positive = second
        checks.append(
            f"`{others[0]}` counts as True because it is rarer; swap `as_true` and `as_false` if it is not meant"
        )
    true, false = (ones, others) if positive == first else (others, ones)
    share = float(there.cast(pl.String).is_in(true).mean() or 0)  # type: ignore[arg-type]
    rarer = min(share, 1 - share)
    _require_rows(there, {(true if share <= 0.5 else false)[0]: round(rarer * len(there))})
    if rarer < RARE:
        checks.append(
            f"heavily imbalanced: {rarer:.2%} of the rows are of the rarer class; accuracy says nothing here, the gate "
            "asks for average_precision; `train.class_weights: balanced` may help"
        )
    words = None
    if there.dtype != pl.Boolean:
        keys = (first, second) if positive == first else (second, first)  # 1 beside 1.0
        words = BooleanWords(as_true=_lower([*true, keys[0]]), as_false=_lower([*false, keys[1]]))
    why = f"two values: True is {true[0]} ({share:.1%} of the rows), False is {false[0]}"
    return Target("binary", why, tuple(checks), words, true[0], share, 2, rarer)


def _regression(known: pl.Series, distinct: int) -> Target:
    known = known.drop_nulls()
    checks = []
    low, mean = float(known.min() or 0), float(known.mean() or 0)  # type: ignore[arg-type]
    whole = _is_whole(known)
    counts = low >= 0 and whole
    if counts:
        zeros = float((known == 0).mean() or 0)  # type: ignore[arg-type]
        checks.append(f"counts? whole and never negative, {zeros:.0%} zeros; see `train.objective`")
    median = float(known.median() or 0)  # type: ignore[arg-type]
    if low >= 0 and mean > 2 * max(median, 1e-12):
        checks.append(f"skewed: the mean {mean:g} is far above the median {median:g}")
    why = f"numbers, {low:g} .. {float(known.max() or 0):g}"  # type: ignore[arg-type]
    return Target("regression", why, tuple(checks), classes=distinct, counts=counts,
                  dtype="Int64" if whole else "Float64")  # fmt: skip


def _multiclass(there: pl.Series, groups: dict[str, list[str]], as_number: pl.Series, numeric: bool) -> Target:
    import polars as pl

    numeric = numeric and _is_whole(as_number) and not (there.dtype == pl.String and there.str.contains(CODE).any())

    by_value = dict(there.cast(pl.String).value_counts(sort=True).iter_rows())
    counts = by_value
    if numeric:  # 1 and 1.0 are one class
        counts = {values[0]: sum(by_value[value] for value in values) for values in groups.values()}
    _require_rows(there, counts)
    checks = []
    alike = [values[:2] for values in groups.values() if len(values) > 1 and not numeric]
    if alike:
        checks.append(f"`{alike[0][0]}` and `{alike[0][1]}` are two classes: make them one in the source, if they are")
    rare = [f"{name} ({count:,})" for name, count in counts.items() if count < SMALL]
    if rare:
        checks.append(f"few rows of {', '.join(rare[:5])}: what is measured of them is rough")
    found = Target("multiclass", f"{len(counts)} classes", classes=len(counts), dtype="Int64" if numeric else "String",
                   rarest=min(counts.values()) / len(there))  # fmt: skip
    if found.imbalanced:
        checks.append(
            f"heavily imbalanced: {found.rarest:.2%} of the rows are of the rarest class; accuracy says little here, "
            "macro_f1 counts all classes alike; `train.class_weights: balanced` may help"
        )
    return replace(found, checks=tuple(checks))


def _is_whole(values: pl.Series) -> bool:
    known = values.drop_nulls()
    return bool(((known == known.floor()) & (known.abs() < 2**53)).all())


def _require_rows(there: pl.Series, counts: dict[str, int]) -> None:
    """Raise DataError if a class has so few rows that none may be left to judge by."""
    rare = {name: count for name, count in counts.items() if count < LEAST}
    if rare:
        raise DataError(
            f"The target `{there.name}` has classes of too few rows to learn and to judge by.",
            found=", ".join(f"{name}: {count:,}" for name, count in list(rare.items())[:5]),
            allowed=f"{LEAST} rows of each class or more",
            next_step="take more rows of them, put them together with others, or leave them out in the source",
        )


def _lower(words: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.lower() for word in words))
