"""From a sample of a table to all that a project has to say of it. Pure: a frame in, decisions with reasons out.

Decisions are made once, here, and written down; nothing infers again when rows are read (`penstock/reading.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from penstock.columns import Column as SchemaColumn
from penstock.errors import DataError
from penstock.infer_names import clean_names
from penstock.infer_roles import Column, assign_roles
from penstock.infer_target import Target, find_target, infer_target
from penstock.infer_values import infer_values, missing_words, number_style
from penstock.reading import as_text, read_columns
from penstock.source_config import SourceConfig
from penstock.task_type import TASK_TYPES, TaskName

if TYPE_CHECKING:
    import polars as pl

LEAST = 20  # rows


@dataclass(frozen=True)
class Inferred:
    """What was decided of a table. ``source`` is complete; ``rows`` are the sample, typed, under the names here."""

    source: SourceConfig
    columns: tuple[Column, ...]
    target: Target
    label: str
    rows: pl.DataFrame
    ignored: dict[str, str]

    def names(self, *roles: str) -> list[str]:
        """The columns of ``roles``, in the table's order."""
        return [column.name for column in self.columns if column.role in roles]

    @property
    def schema(self) -> dict[str, SchemaColumn]:
        return {each.name: SchemaColumn(dtype=each.values.dtype, nullable=each.nullable) for each in self.columns}

    @property
    def split_by(self) -> str:
        """By time where rows have one, else by group, else by chance."""
        return "time" if self.names("time") else "group" if self.names("group") else self.by_chance

    @property
    def by_chance(self) -> str:
        """Stratified where there are classes, else random."""
        return "stratified" if TASK_TYPES[self.target.task].has_classes else "random"


def infer(frame: pl.DataFrame, source: SourceConfig, target: str, task: TaskName | None = None) -> Inferred:
    """Decide everything from ``frame``, the sample under its own names. ``source``: how it was read so far.

    Raises DataError if the target is not there or cannot be learnt, or nothing is left to learn from.
    """
    if len(frame) < LEAST:
        raise DataError(f"The source has {len(frame)} rows.", where=str(source), allowed=f"at least {LEAST}",
                        next_step="take more data")  # fmt: skip
    ignored = _unusable(frame)
    frame = frame.drop(list(ignored))
    there = find_target(target, frame.columns)
    here = clean_names(frame.columns) if source.call is None else {name: name for name in frame.columns}
    label = here[there]
    source = _with_words(frame, source, here, ignored)
    texts = {here[name]: as_text(frame[name], source).alias(here[name]) for name in frame.columns}
    found = infer_target(texts[label], source, task)
    if source.call is not None:
        _require_ready(frame, there, ignored, source, found.task)
    columns = []
    for name in frame.columns:
        values = infer_values(texts[here[name]], here[name], source)
        if source.call is not None:
            values = replace(values, dtype=_exact(frame.schema[name]), formats=())
        elif here[name] == label:
            values = replace(values, dtype=found.dtype, formats=(), words=found.words)
        columns.append(Column(here[name], name, values, "left out", values.why, values.check))
    source = _with_formats(source, columns)
    return _with_roles(frame, source, columns, found, label, ignored)


def _with_roles(
    frame: pl.DataFrame,
    source: SourceConfig,
    columns: list[Column],
    target: Target,
    label: str,
    ignored: dict[str, str],
) -> Inferred:
    plan = {each.name: SchemaColumn(dtype=each.values.dtype, nullable=True) for each in columns}
    rows, _ = read_columns(frame, plan, source, str(source))
    gaps = rows[label].null_count()
    rows = rows.filter(rows[label].is_not_null())
    check = f"{gaps:,} rows without it are set aside" if gaps else ""
    columns = [
        replace(each, role="target", why=target.why, check="; ".join(filter(None, [*target.checks, check])),
                distinct=target.classes)
        if each.name == label else each
        for each in columns
    ]  # fmt: skip
    columns = assign_roles(columns, rows, label, target.task)
    if not any(column.role in ("categorical", "numeric") for column in columns):
        raise DataError(
            "Nothing is left to learn from.",
            found="; ".join(f"{column.name}: {column.why}" for column in columns if column.name != label)[:600],
            next_step="bring columns that tell something and are known before the outcome",
        )
    return Inferred(source, tuple(columns), target, label, rows, ignored)


def _require_ready(
    frame: pl.DataFrame, target: str, ignored: dict[str, str], source: SourceConfig, task: TaskName
) -> None:
    """Raise DataError unless the frame of a function can be taken as it is: nothing reads or renames it later."""
    wrong = dict(ignored)
    able = TASK_TYPES[task].label_types
    if str(frame.schema[target]) not in able:
        wrong[target] = f"the target is {frame.schema[target]}, and {task} takes {', '.join(able)}"
    wrong |= {name: f"{kind} has a zone" for name, kind in frame.schema.items() if getattr(kind, "time_zone", None)}
    if wrong:
        raise DataError(
            "The function's rows cannot be taken as they are.",
            where=str(source.call),
            found="; ".join(f"{name}: {why}" for name, why in wrong.items())[:400],
            next_step="change them in the function: cast the target, drop or convert the others; or say another --task",
        )


def _exact(kind: pl.DataType) -> str:
    """A type as a schema file writes it."""
    import polars as pl

    if isinstance(kind, pl.Datetime):
        return f"Datetime(time_unit='{kind.time_unit}')"
    if kind.is_decimal():
        raise DataError("The function's rows have a Decimal column.", allowed="Float64", next_step="cast it there")
    return "String" if kind in (pl.Null, pl.Categorical, pl.Enum) else str(kind)


def _unusable(frame: pl.DataFrame) -> dict[str, str]:
    """Columns of types that no schema has, with the reason."""
    import polars as pl

    return {
        name: f"{kind} is no type of a table's column"
        for name, kind in frame.schema.items()
        if kind.is_nested() or kind in (pl.Binary, pl.Object, pl.Duration, pl.Time)
    }


def _with_words(
    frame: pl.DataFrame, source: SourceConfig, here: dict[str, str], ignored: dict[str, str]
) -> SourceConfig:
    """``source`` with what stands for nothing, how numbers are written, and what columns are called."""
    import polars as pl

    renamed = {name: new for name, new in here.items() if name != new}
    changes: dict[str, object] = {"rename": renamed, "ignore": tuple(ignored)}
    if source.call is None and any(kind == pl.String for kind in frame.schema.values()):
        missing = missing_words(frame.get_columns())
        source = source.model_copy(update={"missing": missing})
        texts = [as_text(frame[name], source) for name, kind in frame.schema.items() if kind == pl.String]
        decimal, thousands = number_style(texts)
        changes |= {"missing": missing, "decimal": decimal, "thousands": thousands}
    return SourceConfig.model_validate(source.model_dump() | changes)


def _with_formats(source: SourceConfig, columns: list[Column]) -> SourceConfig:
    dates = {each.name: each.values.formats for each in columns if each.values.formats}
    words = {each.name: each.values.words.model_dump() for each in columns if each.values.words}
    return SourceConfig.model_validate(source.model_dump() | {"dates": dates, "booleans": words})
