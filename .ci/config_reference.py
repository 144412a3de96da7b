"""Writes docs/config.md, the reference of a project's YAML: `uv run python .ci/config_reference.py`."""

from __future__ import annotations

import inspect
import sys
import typing
from pathlib import Path
from types import NoneType, UnionType

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticUndefined

from penstock.behaviour_config import BehaviourTest, Direction, Example, Invariance
from penstock.config import Bound, Project
from penstock.derive_config import Derived
from penstock.fairness_config import FairnessRule
from penstock.python_config import PythonFeatures
from penstock.source_config import SourceConfig, SqlConfig
from penstock.tune_config import Dimension
from penstock.yaml_errors import without_none

PAGE = Path(__file__).resolve().parents[1] / "docs" / "config.md"
LISTS = {dict: "list of mappings", UnionType: "list of values", typing.Union: "list of values"}
HEAD = """\
# The project's YAML

Every key of `configs/NAME.yaml`. Unknown keys are errors; a wrong value is reported with its file, line and what is
allowed. `penstock schema` prints the same as JSON Schema. This page is made by `.ci/config_reference.py`.
"""


PARTS: dict[str, dict[str, type[BaseModel]]] = {  # what a section has within, by its key
    "data": {"data.source": SourceConfig, "data.source.sql": SqlConfig},
    "features": {"features.derive.NAME": Derived, "features.python": PythonFeatures},
    "tune": {"A parameter of tune.space": Dimension},
    "behaviour": {f"behaviour.NAME.{part.__name__.lower()}": part for part in (Direction, Invariance, Example)},
    "gate": {"A bound": Bound, "gate.fairness": FairnessRule},
}


def page() -> str:
    parts = [HEAD, _table(Project)]
    for name, field in Project.model_fields.items():
        section = without_none(field.annotation)
        if name == "behaviour":
            parts += _part("## behaviour.NAME", BehaviourTest)
        elif isinstance(section, type) and issubclass(section, BaseModel):
            parts += _part(f"## {name}", section)
        for title, part in PARTS.get(name, {}).items():
            parts += _part(f"### {title}", part)
    return "\n".join(parts)


def _part(title: str, section: type[BaseModel]) -> list[str]:
    return [f"{title}\n\n{inspect.cleandoc(section.__doc__ or '')}\n", _table(section)]


def _table(section: type[BaseModel]) -> str:
    rows = ["| key | what | values | default |", "|---|---|---|---|"]
    for key, field in section.model_fields.items():
        if any(isinstance(rule, SkipJsonSchema) for rule in field.metadata):
            continue  # nothing that a file says
        text = (field.description or _summary(field)).replace("|", "\\|")
        rows.append(f"| `{field.alias or key}` | {text} | {_values(field)} | {_default(field)} |")
    return "\n".join(rows) + "\n"


def _summary(field: FieldInfo) -> str:
    """What a section says of itself, for the tables that only name it."""
    section = without_none(field.annotation)
    if isinstance(section, type) and issubclass(section, BaseModel) and section is not Bound:
        return (section.__doc__ or "").strip().partition("\n")[0]
    return ""


def _values(field: FieldInfo) -> str:
    limits = []
    for rule in field.metadata:
        limits += [
            f"{sign} {getattr(rule, name)}"
            for name, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<"))
            if hasattr(rule, name)
        ]
    return " ".join([_type(field.annotation), *limits]).replace("|", "\\|")


def _type(kind: typing.Any) -> str:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin is typing.Annotated:
        return _type(arguments[0])
    if origin in (typing.Union, UnionType):
        return " or ".join(_type(part) for part in arguments if part is not NoneType)
    if origin is dict:
        return f"mapping to {_type(arguments[1])}"
    if origin is tuple:
        if arguments[0] is FairnessRule:
            return "list of sections"
        return LISTS.get(typing.get_origin(arguments[0]), "list of names")
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return "a section" if kind is not Bound else "a bound"
    return {str: "text", int: "whole number", float: "number", bool: "true, false"}.get(kind, str(kind))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True)
    if value is None or value is PydanticUndefined or value in ({}, (), "") or isinstance(value, BaseModel):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page())
    sys.stdout.write(f"{PAGE.name} written\n")
