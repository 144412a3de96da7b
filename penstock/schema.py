"""A project's schema file: pandera's own YAML, read strictly, because pandera ignores a misspelt key without a word.

The same file has two faces. Training builds a pandera schema of it (`tasks/data/validation.py`); packaging compiles it
into a small specification for the server (`compile_spec`), which `penstock/rows.py` applies without pandera.
"""

from __future__ import annotations

from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError

from penstock.columns import Column, Part
from penstock.config import FeaturesConfig, PackageConfig
from penstock.derive_config import KINDS, TYPES, steps_of
from penstock.errors import ConfigError
from penstock.fields import FLOATS, INTEGERS
from penstock.task_type import BINARY, TASK_TYPES, TaskType
from penstock.yaml_errors import doubled_key, explained, load, unreadable

RESERVED = ("why", "__row__", "__last__")  # columns that Penstock adds


class SchemaFile(Part):
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
        tree = load(text)
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
    for name in schema.columns:
        if name in RESERVED or (name.startswith("^") and name.endswith("$")):
            raise ConfigError(
                f"No column may be called `{name}`.",
                where=where,
                allowed="any name but why, __row__ and __last__, which Penstock adds, and ^...$, a pattern to polars",
                next_step="rename the column in the source and here",
            )
    missing = sorted(set(schema.unique) - set(schema.columns))
    if missing:
        raise ConfigError("`unique` names columns that are not there.", where=where, found=", ".join(missing))
    return schema


def require_columns(
    schema: SchemaFile,
    features: FeaturesConfig,
    slices: tuple[str, ...],
    where: str,
    watched: tuple[str, ...] = (),
    named: tuple[str, ...] = (),
    task: TaskType = BINARY,
) -> None:
    """Raise ConfigError if the project uses a column that its schema does not have, or one of the wrong kind.

    ``watched``: the columns of `data.outliers`; ``named``: those by which `labels` finds predictions.
    """
    columns = schema.columns
    used = {
        "features.label": [features.label],
        "features.time": [features.time] if features.time else [],
        "features.group": [features.group] if features.group else [],
        "features.categorical": list(features.categorical),
        "features.numeric": list(features.numeric),
        "evaluate.slices": list(slices),
        "data.outliers": list(watched),
        "labels": list(named),
    }
    for name, one in features.derive.items():
        used[f"features.derive.{name}"] = list(one.columns)
    if features.python:
        for asked in KINDS:
            of_kind = [name for name, its in features.python.columns.items() if its == asked]
            used[f"features.python.columns ({asked})"] = of_kind
    numbers = (*INTEGERS, *FLOATS)
    kinds: dict[str, tuple[str, ...]] = {
        **{f"features.derive.{name}": one.types for name, one in features.derive.items()},
        **{f"features.python.columns ({asked})": TYPES[asked] for asked in KINDS},
        "features.categorical": ("String",),
        "features.numeric": (*numbers, "Boolean"),
        "data.outliers": numbers,
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
            wanted = kinds.get(key)
            if wanted and kind not in wanted:
                raise ConfigError(
                    f"`{key}` names `{name}`, which is {kind}.",
                    where=where,
                    allowed=", ".join(wanted),
                    next_step="move it" if key in ("features.categorical", "features.numeric") else "name another",
                )
    taken = [step.name for step in steps_of(features) if step.name in columns]
    if taken:
        key = "derive" if taken[0] in features.derive else "python"
        raise ConfigError(
            f"`features.{key}` has a feature `{taken[0]}`, and so is a column called.",
            where=where,
            allowed="a name that no column has",
            next_step="call the feature something else",
        )
    for name in filter(None, (features.label, features.time, features.group)):
        if columns[name].nullable or not columns[name].required:
            raise ConfigError(
                f"`{name}` may be null, and a label, a time and a group may not.",
                where=where,
                found="nullable: true or required: false",
                next_step="take the key out: rows without the value are then set aside",
            )
    for name in features.inputs:
        if not columns[name].required:
            raise ConfigError(
                f"`{name}` is {'' if name in features.names else 'needed for '}a feature and may be left out, so there "
                "may be nothing to train on.",
                where=where,
                found="required: false",
                allowed="nullable: true, for a column that is there and has gaps",
            )
    kind = columns[features.label].dtype.partition("(")[0]
    if kind not in task.label_types:
        others = [other.name for other in TASK_TYPES.values() if kind in other.label_types]
        raise ConfigError(
            f"The label `{features.label}` is {kind}, and `train.task` is {task.name}.",
            where=where,
            allowed=", ".join(task.label_types),
            next_step=f"set `train.task: {others[0]}`, or correct the column" if others else "correct the column",
        )


def compile_spec(
    schema: SchemaFile, features: FeaturesConfig, categories: dict[str, list[str]], package: PackageConfig
) -> dict[str, Any]:
    """What the server needs to read a row: JSON, applied by `penstock.rows.RowReader`.

    Columns stand in the model's order, and after them those from which features are only derived. Columns of the schema
    that no feature needs may be sent and are ignored.
    """
    columns = []
    for name in features.inputs:
        column = schema.columns[name]
        columns.append({
            "name": name,
            "dtype": column.dtype.partition("(")[0],
            "nullable": column.nullable,
            "checks": column.checks(),
            "categories": categories.get(name) if name in features.categorical else None,
            "description": column.description or column.title or "",
            **({"unit": "ms"} if column.dtype.startswith("Datetime") and "'ms'" in column.dtype else {}),
        })  # fmt: skip
    steps = steps_of(features)
    recipe = {
        "features": list(features.names),
        "steps": [step.plain() for step in steps],
        "source": features.python.source if features.python else "",
        "categories": {step.name: categories[step.name] for step in steps if step.text},
    }
    return {
        "format": 1,
        "columns": columns,
        "ignored": [name for name in schema.columns if name not in features.inputs],
        "unknown_category": package.unknown_category,
        "max_rows": package.max_rows,
        "max_body_bytes": int(package.max_body_mb * 1e6),
        **({"recipe": recipe} if steps else {}),
    }
