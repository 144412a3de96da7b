"""A project's schema file: pandera's own YAML, read strictly, because pandera ignores a misspelt key without a word.

The same file has two faces. Training builds a pandera schema of it (`tasks/validation.py`); packaging compiles it
into a small specification for the server (`compile_spec`), which `penstock/rows.py` applies without pandera.
"""

from __future__ import annotations

import re
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from penstock.config import FeaturesConfig, PackageConfig
from penstock.errors import ConfigError
from penstock.fields import FLOATS, INTEGERS
from penstock.yaml_errors import doubled_key, explained, unreadable

DTYPES = (*INTEGERS, *FLOATS, "Boolean", "String", "Date", "Datetime")
ALIASES = {"ge": "greater_than_or_equal_to", "gt": "greater_than", "le": "less_than_or_equal_to", "lt": "less_than"}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Range(_Part):
    """Inclusive unless said otherwise, as pandera has it."""

    min_value: float
    max_value: float
    include_min: bool = True
    include_max: bool = True


class Length(_Part):
    """Characters, inclusive."""

    min_value: int | None = None
    max_value: int | None = None


class Column(_Part):
    """One column: its polars type, whether it may be null, and what its values must be."""

    dtype: str
    nullable: bool = False
    required: bool = True
    unique: bool = False
    title: str | None = None
    description: str | None = None
    in_range: Range | None = None
    greater_than: float | None = None
    greater_than_or_equal_to: float | None = None
    less_than: float | None = None
    less_than_or_equal_to: float | None = None
    isin: tuple[str | int | float, ...] | None = None
    notin: tuple[str | int | float, ...] | None = None
    str_matches: str | None = None
    str_length: Length | None = None

    @model_validator(mode="before")
    @classmethod
    def _long_names(cls, found: Any) -> Any:
        return {ALIASES.get(name, name): value for name, value in found.items()} if isinstance(found, dict) else found

    @model_validator(mode="after")
    def _check(self) -> Column:
        kind = self.dtype.partition("(")[0]
        if kind not in DTYPES:
            raise ValueError(f"`{self.dtype}` is not a type of a column; allowed: {', '.join(DTYPES)}")
        numeric = kind in INTEGERS or kind in FLOATS
        names = set(self.checks())
        if not numeric and names & {"in_range", *ALIASES.values()}:
            raise ValueError(f"only numbers have a range, and `{self.dtype}` is none")
        if kind != "String" and names & {"str_matches", "str_length"}:
            raise ValueError(f"`str_matches` and `str_length` are for String, not `{self.dtype}`")
        if self.str_matches is not None:
            if not (self.str_matches.startswith("^") and self.str_matches.endswith("$")):
                raise ValueError(
                    "`str_matches` must begin with ^ and end with $: pandera itself anchors only the start"
                )
            re.compile(self.str_matches)
        return self

    def checks(self) -> dict[str, Any]:
        """The checks that are set, by pandera's name, as plain values."""
        described = {"dtype", "nullable", "required", "unique", "title", "description"}
        return self.model_dump(exclude=described, exclude_none=True, mode="json")


class SchemaFile(_Part):
    """The whole file."""

    schema_type: Literal["polars_dataframe"] = "polars_dataframe"
    api: Literal["polars"] = "polars"
    columns: dict[str, Column] = Field(min_length=1)
    strict: bool = True
    unique: tuple[str, ...] = ()


def parse_schema(text: str, where: str) -> SchemaFile:
    """The schema that ``text`` describes.

    Raises ConfigError naming file, line, key, what was found and what is allowed.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        tree = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise unreadable(error, "The schema", where) from None
    if not isinstance(tree, dict):
        raise ConfigError("The schema is not a mapping.", where=where, allowed=", ".join(SchemaFile.model_fields))
    twice = doubled_key(node)
    if twice:
        raise ConfigError("A key stands twice.", where=f"{where}:{twice[1]}", found=twice[0], allowed="each key once")
    try:
        schema = SchemaFile.model_validate(tree)
    except ValidationError as error:
        raise explained(error, SchemaFile, node, where) from None
    missing = sorted(set(schema.unique) - set(schema.columns))
    if missing:
        raise ConfigError("`unique` names columns that are not there.", where=where, found=", ".join(missing))
    return schema


def require_columns(schema: SchemaFile, features: FeaturesConfig, slices: tuple[str, ...], where: str) -> None:
    """Raise ConfigError if the project uses a column that its schema does not have, or one of the wrong kind."""
    columns = schema.columns
    used = {
        "features.label": [features.label],
        "features.time": [features.time] if features.time else [],
        "features.group": [features.group] if features.group else [],
        "features.categorical": list(features.categorical),
        "features.numeric": list(features.numeric),
        "evaluate.slices": list(slices),
    }
    for key, names in used.items():
        for name in names:
            if name not in columns:
                raise ConfigError(
                    f"`{key}` names the column `{name}`, which the schema does not have.",
                    where=where,
                    allowed=", ".join(columns),
                    next_step="correct the name, or add the column to the schema",
                )
            kind = columns[name].dtype.partition("(")[0]
            wanted = {"features.categorical": ("String",), "features.numeric": (*INTEGERS, *FLOATS, "Boolean")}.get(key)
            if wanted and kind not in wanted:
                raise ConfigError(
                    f"`{key}` names `{name}`, which is {kind}.",
                    where=where,
                    allowed=", ".join(wanted),
                    next_step="move it",
                )
    for name in filter(None, (features.label, features.time, features.group)):
        if columns[name].nullable or not columns[name].required:
            raise ConfigError(
                f"`{name}` may be null, and a label, a time and a group may not.",
                where=where,
                found="nullable: true or required: false",
                next_step="take the key out: rows without the value are then set aside",
            )
    if columns[features.label].dtype != "Boolean":
        raise ConfigError(
            f"The label `{features.label}` is {columns[features.label].dtype}.", where=where, allowed="Boolean"
        )


def compile_spec(
    schema: SchemaFile, features: FeaturesConfig, categories: dict[str, list[str]], package: PackageConfig
) -> dict[str, Any]:
    """What the server needs to read a row: JSON, applied by `penstock.rows.RowReader`.

    Columns stand in the model's order. Columns of the schema that are no feature may be sent and are ignored.
    """
    columns = []
    for name in features.names:
        column = schema.columns[name]
        columns.append({
            "name": name,
            "dtype": column.dtype.partition("(")[0],
            "nullable": column.nullable or not column.required,
            "checks": column.checks(),
            "categories": categories.get(name),
            "description": column.description or column.title or "",
        })  # fmt: skip
    return {
        "format": 1,
        "columns": columns,
        "ignored": [name for name in schema.columns if name not in features.names],
        "unknown_category": package.unknown_category,
        "max_rows": package.max_rows,
        "max_body_bytes": int(package.max_body_mb * 1e6),
    }
