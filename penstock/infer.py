"""From a sample of a table to all that a project has to say of it. Pure: a frame in, decisions with reasons out.

Decisions are made once, here, and written down; nothing infers again when rows are read (`penstock/reading.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from penstock.columns import Column as SchemaColumn
from penstock.errors import ConfigError, DataError
from penstock.infer_names import clean_names
from penstock.infer_roles import Column, assign_roles
from penstock.infer_target import Target, Task, find_target, infer_target
from penstock.infer_values import infer_values, missing_words, number_style
from penstock.reading import as_text, read_columns
from penstock.source_config import SourceConfig

if TYPE_CHECKING:
    import polars as pl

TRAINABLE: tuple[Task, ...] = ("binary",)
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
        """By time where rows have one, else by group, else stratified."""
        return "time" if self.names("time") else "group" if self.names("group") else "stratified"


def infer(frame: pl.DataFrame, source: SourceConfig, target: str, task: Task | None = None) -> Inferred:
    """Decide everything from ``frame``, the sample under its own names. ``source``: how it was read so far.

    Raises DataError if the target is not there, has one value, or nothing is left to learn from; ConfigError for a task
    that cannot be trained.
    """
    if len(frame) < LEAST:
        raise DataError(f"The source has {len(frame)} rows.", where=str(source), allowed=f"at least {LEAST}",
                        next_step="take more data")  # fmt: skip
    ignored = _unusable(frame)
    frame = frame.drop(list(ignored))
    there = find_target(target, frame.columns)
    here = clean_names(frame.columns) if source.call is None else {name: name for name in frame.columns}
    label = here[there]
    if source.call is not None:
        _require_ready(frame, there, ignored, source)
    source = _with_words(frame, source, here, ignored)
    texts = {here[name]: as_text(frame[name], source).alias(here[name]) for name in frame.columns}
    found = infer_target(texts[label], source, task)
    if found.task not in TRAINABLE:
        raise ConfigError(
            f"The target `{there}` asks for {found.task}, which Penstock cannot train yet.",
            found=found.why,
            allowed=", ".join(TRAINABLE),
            next_step="name a target of two values, or make one of it in the source"
            + (", such as whether it is above a threshold" if found.task == "regression" else ""),
        )
    columns = []
    for name in frame.columns:
        values = infer_values(texts[here[name]], here[name], source)
        if source.call is not None:
            values = replace(values, dtype=_exact(frame.schema[name]), formats=())
        if here[name] == label:
            values = replace(values, dtype="Boolean", formats=(), words=found.words)
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
        replace(each, role="target", why=target.why, check="; ".join(filter(None, [*target.checks, check])), distinct=2)
        if each.name == label else each
        for each in columns
    ]  # fmt: skip
    columns = assign_roles(columns, rows, label)
    if not any(column.role in ("categorical", "numeric") for column in columns):
        raise DataError(
            "Nothing is left to learn from.",
            found="; ".join(f"{column.name}: {column.why}" for column in columns if column.name != label)[:600],
            next_step="bring columns that tell something and are known before the outcome",
        )
    return Inferred(source, tuple(columns), target, label, rows, ignored)


def _require_ready(frame: pl.DataFrame, target: str, ignored: dict[str, str], source: SourceConfig) -> None:
    """Raise DataError unless the frame of a function can be taken as it is: nothing reads or renames it later."""
    import polars as pl

    wrong = dict(ignored)
    if frame.schema[target] != pl.Boolean:
        wrong[target] = f"the target is {frame.schema[target]}, not Boolean"
    wrong |= {name: f"{kind} has a zone" for name, kind in frame.schema.items() if getattr(kind, "time_zone", None)}
    if wrong:
        raise DataError(
            "The function's rows cannot be taken as they are.",
            where=str(source.call),
            found="; ".join(f"{name}: {why}" for name, why in wrong.items())[:400],
            next_step="change them in the function: cast the target to Boolean, drop or convert the others",
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
