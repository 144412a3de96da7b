"""Turns a source's columns into those of the schema, by rules that do not change from batch to batch. Pure.

A value that cannot be read as its column's type is null in the result, and is reported with its row: validation then
sets the row aside. Nothing is guessed here; guesses are made once, in `penstock/infer.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from penstock.batch import Unread
from penstock.errors import DataError
from penstock.fields import FLOAT32, FLOATS, INTEGERS
from penstock.source_config import EPOCHS, BooleanWords, SourceConfig

if TYPE_CHECKING:
    import polars as pl

    from penstock.columns import Column

WORDS = BooleanWords(as_true=("true", "t", "yes", "y", "1"), as_false=("false", "f", "no", "n", "0"))
CURRENCY = "$€£¥"  # beside a number; so is %
GROUPS = {" ": "[ \u00a0\u202f]", "'": "['\u2019]", ".": "[.]", ",": "[,]"}  # a space that does not break is one too
EXAMPLES = 3


def unique_names(names: Iterable[str]) -> list[str]:
    """Names of a file's columns, made unique: `x`, `x (2)`; one that is blank is `column 3`."""
    found: list[str] = []
    for number, name in enumerate(names, 1):
        first = name.strip() or f"column {number}"
        unique, copy = first, 1
        while unique in found:
            copy += 1
            unique = f"{first} ({copy})"
        found.append(unique)
    return found


def read_columns(
    frame: pl.DataFrame, columns: dict[str, Column], source: SourceConfig, where: str
) -> tuple[pl.DataFrame, list[Unread]]:
    """``frame`` with the names and types of ``columns``, in their order, and what could not be read.

    Raises DataError when a column is missing or not known.
    """
    import polars as pl

    frame = frame.drop(source.ignore, strict=False).rename(source.rename, strict=False)
    _require_names(frame, columns, source, where)
    taken = []
    unread = []
    for name, column in columns.items():
        if name not in frame.columns:  # `required: false`
            continue
        plain = _clean_numbers(frame[name], column.dtype, source)
        if plain is not None:
            taken.append(plain)
            continue
        text = as_text(frame[name], source)
        typed = typed_column(text, name, column.dtype, source)
        bad = (text.is_not_null() & typed.is_null()).arg_true()
        if len(bad):
            shown = text.gather(bad.head(1000)).cast(pl.String).unique(maintain_order=True).head(EXAMPLES).to_list()
            unread.append(Unread(name, column.dtype.partition("(")[0], bad.to_list(), [value[:40] for value in shown]))
        taken.append(typed)
    return pl.DataFrame(taken), unread


def _clean_numbers(values: pl.Series, dtype: str, source: SourceConfig) -> pl.Series | None:
    """Text as a type of numbers, if every value is one as the machine writes it: the short way to the same result."""
    import polars as pl

    if values.dtype != pl.String or source.decimal != "." or not (dtype in INTEGERS or dtype in FLOATS):
        return None
    if any(sign.isdigit() for word in source.missing for sign in word):  # -999 may stand for nothing
        return None
    found = values.cast(pl.Int64 if dtype in INTEGERS else pl.Float64, strict=False)
    if found.null_count() or (dtype in FLOATS and not (found.is_finite() & (found.abs() <= FLOAT32)).all()):
        return None
    typed = found.cast(getattr(pl, dtype), strict=False)
    return None if typed.null_count() else typed


def as_text(values: pl.Series, source: SourceConfig) -> pl.Series:
    """Text without spaces around it, a blank or a word of `missing` as null; other types as they are."""
    import polars as pl

    if values.dtype in (pl.Categorical, pl.Enum):
        values = values.cast(pl.String)
    if values.dtype != pl.String:
        return values.fill_nan(None) if values.dtype.is_float() else values
    text = values.str.strip_chars()
    nothing = text.is_in(["", *source.missing]) if source.missing else text == ""
    return text.set(nothing, None) if nothing.any() else text


def typed_column(text: pl.Series, name: str, dtype: str, source: SourceConfig) -> pl.Series:
    """``text`` (of `as_text`) as the schema's type; null where it cannot be."""
    import polars as pl

    kind = dtype.partition("(")[0]
    if kind == "Boolean":
        return _booleans(text, source.booleans.get(name, WORDS))
    if kind in ("Date", "Datetime"):
        times = datetimes(text, source.dates.get(name, ()))
        return times.cast(pl.Date) if kind == "Date" else times.cast(pl.Datetime(_unit(dtype)))
    if kind in INTEGERS or kind in FLOATS:
        target = getattr(pl, kind)
        return (integers if kind in INTEGERS else numbers)(text, source).cast(target, strict=False)
    return text.cast(pl.String, strict=False)


def numbers(text: pl.Series, source: SourceConfig) -> pl.Series:
    """As Float64, of those that a model can take: finite, and no larger than a 32-bit float.

    Only whole groups of three digits count as such: with `,` between them, 1,5 is no number.
    """
    import polars as pl

    found = _machine_numbers(text, source)
    if found is None:
        found = plain_numbers(text, source).cast(pl.Float64, strict=False)
    found = found.fill_nan(None)
    return found.set((found.abs() > FLOAT32).fill_null(False), None)


def integers(text: pl.Series, source: SourceConfig) -> pl.Series:
    """As Int64; 12.0 is a whole number, 12.5 is none."""
    import polars as pl

    if text.dtype.is_integer():
        return text
    exact = None
    if text.dtype == pl.String:
        quick = text.cast(pl.Int64, strict=False)
        if source.decimal == "." and quick.null_count() == text.null_count():
            return quick
        plain = plain_numbers(text, source) if _machine_numbers(text, source) is None else text
        exact = plain.cast(pl.Int64, strict=False)
    else:
        plain = text
    wide = plain.cast(pl.Float64, strict=False)
    whole = wide.set(~((wide == wide.floor()) & (wide.abs() < 2**53)).fill_null(False), None)
    rounded = whole.cast(pl.Int64, strict=False)
    return rounded if exact is None else exact.zip_with(exact.is_not_null(), rounded)


def _machine_numbers(text: pl.Series, source: SourceConfig) -> pl.Series | None:
    """As Float64, if all of ``text`` is numbers as the machine writes them: what most columns are, and told fast."""
    import polars as pl

    if text.dtype == pl.String and source.decimal != ".":  # 1.234 may be a thousand and more
        return None
    found = text.cast(pl.Float64, strict=False)
    return found if text.dtype != pl.String or found.null_count() == text.null_count() else None


def plain_numbers(text: pl.Series, source: SourceConfig) -> pl.Series:
    """Text of numbers as the machine writes them: no sign of a currency, no groups of digits, a decimal point."""
    import polars as pl

    plain = text.str.replace_all(rf"^([+-]?)\s*[{CURRENCY}]\s*|\s*[{CURRENCY}%]$", "$1")
    decimal, thousands = source.decimal, source.thousands
    if thousands:
        group = GROUPS[thousands]
        grouped = plain.str.contains(rf"^[+-]?\d{{1,3}}({group}\d{{3}})+([{decimal}]\d*)?$").fill_null(False)
        stray = plain.str.contains(group).fill_null(False) & ~grouped
        plain = plain.str.replace_all(group, "").set(stray, None)
        if decimal == ".":
            return plain
    if decimal == ",":
        pointed = plain.str.contains(".", literal=True).fill_null(False)
        plain = plain.set(pointed, None).str.replace(",", ".", literal=True)
    return plain.cast(pl.String)


def datetimes(text: pl.Series, formats: Iterable[str]) -> pl.Series:
    """As Datetime in microseconds, UTC where there is a zone: by the first of ``formats`` that fits each value."""
    import polars as pl

    kind = pl.Datetime("us")
    if isinstance(text.dtype, pl.Datetime):
        return (text.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if text.dtype.time_zone else text).cast(
            kind
        )
    if text.dtype == pl.Date:
        return text.cast(kind)
    found = pl.Series(text.name, [None] * len(text), kind)
    for form in formats:
        if form in EPOCHS:
            count = text.cast(pl.Float64, strict=False)
            new = (count * EPOCHS[form]).cast(pl.Int64, strict=False).cast(kind)
        elif text.dtype == pl.String:
            new = text.str.to_datetime(form, time_unit="us", strict=False)
            if new.dtype.time_zone:  # type: ignore[attr-defined]
                new = new.dt.replace_time_zone(None)
            # to %Y 24 is a year too, and to %y so is 3
            short = ~text.str.contains(r"(^|\D)\d\d(\D|$)") if "%y" in form else new.dt.year() < 1000
            new = new.set(short.fill_null(False), None)
        else:
            continue
        found = found.zip_with(found.is_not_null(), new.cast(kind))
    return found


def _booleans(text: pl.Series, words: BooleanWords) -> pl.Series:
    import polars as pl

    if text.dtype == pl.Boolean:
        return text
    if text.dtype.is_float():  # 1.0 is the 1 of a column that has gaps
        text = integers(text, SourceConfig(call="a:b"))
    values = text.cast(pl.String, strict=False).str.to_lowercase()
    true, false = (values.is_in([word.lower() for word in side]) for side in (words.as_true, words.as_false))
    return true.set(~(true | false).fill_null(False), None).alias(text.name)


def _unit(dtype: str) -> Literal["us", "ms", "ns"]:
    return "ms" if "'ms'" in dtype else "ns" if "'ns'" in dtype else "us"


def _require_names(frame: pl.DataFrame, columns: dict[str, Column], source: SourceConfig, where: str) -> None:
    missing = [name for name, column in columns.items() if column.required and name not in frame.columns]
    unknown = [name for name in frame.columns if name not in columns]
    if not missing and not unknown:
        return
    there = {here: name for name, here in source.rename.items()}
    parts = [
        f"missing: {', '.join(there.get(name, name) for name in missing)}" if missing else "",
        f"not known: {', '.join(unknown)}" if unknown else "",
    ]
    raise DataError(
        "The source's columns are not those of the schema.",
        where=where,
        found="; ".join(part for part in parts if part),
        allowed=", ".join(there.get(name, name) for name in columns),
        next_step="mend the source; or add a new column to the schema, or to `data.source.ignore`",
    )
