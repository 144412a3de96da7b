"""Turns what pydantic and PyYAML say of a file into one message: file, line, key, found, allowed."""

from __future__ import annotations

import difflib
import re
from types import NoneType
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from penstock.errors import ConfigError


def unreadable(error: yaml.YAMLError, what: str, where: str) -> ConfigError:
    """The error for a text that is no YAML."""
    mark = getattr(error, "problem_mark", None)
    return ConfigError(
        f"{what} cannot be read.",
        where=where + (f":{mark.line + 1}" if mark else ""),
        found=str(getattr(error, "problem", None) or error),
        next_step="mend the line and run the command again",
    )


def explained(error: ValidationError, root: type[BaseModel], node: yaml.Node | None, where: str) -> ConfigError:
    """The first problem that validation against ``root`` found, and how many more there are."""
    # a misspelt key is both unknown and missing: the unknown one is what a person can see in the file
    problems = sorted(error.errors(include_url=False), key=lambda problem: problem["type"] != "extra_forbidden")
    first = problems[0]
    path = [part for part in first["loc"] if part != "[key]"]
    section = _section(root, path[:-1])
    dotted = ".".join(str(part) for part in path)
    allowed, found = "", ""
    if first["type"] == "extra_forbidden":
        what = f"`{dotted}` is not a key that Penstock knows."
        keys = _keys(section) if section else []
        near = difflib.get_close_matches(str(path[-1]), keys, n=1)
        allowed = ", ".join(keys)
        found = str(path[-1])
        step = f"did you mean `{near[0]}`?" if near else "remove the key, or see `penstock schema`"
    elif first["type"] == "missing":
        what = f"`{dotted}` is missing."
        step = f"add `{path[-1]}:`; `penstock schema` says what it may be"
    else:
        message = re.sub(r"^(Value|Assertion) error, ", "", first["msg"])
        what = f"`{dotted}` is not right: {message}." if dotted else f"{message}."
        value = first["input"]
        told = first["type"] != "secret" and not isinstance(value, dict | list | BaseModel)
        found = repr(value) if told else ""
        allowed = str(first.get("ctx", {}).get("expected", first.get("ctx", {}).get("pattern", "")))
        step = "change the value and run the command again"
    if len(problems) > 1:
        step += f" ({len(problems) - 1} more problem{'s' if len(problems) > 2 else ''} after this one)"
    return ConfigError(what, where=f"{where}:{_line(node, path)}", found=found, allowed=allowed, next_step=step)


def _keys(section: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in section.model_fields.items()]


def _section(root: type[BaseModel], path: list[Any]) -> type[BaseModel] | None:
    """The section that a path of keys leads to."""
    current: Any = root
    for part in path:
        if isinstance(current, type) and issubclass(current, BaseModel):
            fields = {field.alias or name: field for name, field in current.model_fields.items()}
            current = _without_none(fields[part].annotation) if part in fields else None
        else:  # a mapping of names to sections, such as gate.metrics, or a list of them
            current = ([part for part in get_args(current) if part is not Ellipsis] or [None])[-1]
    return current if isinstance(current, type) and issubclass(current, BaseModel) else None


def _without_none(kind: Any) -> Any:
    """X of `X | None`."""
    some = [part for part in get_args(kind) if part is not NoneType]
    return some[0] if len(some) == 1 and NoneType in get_args(kind) else kind


def _line(node: yaml.Node | None, path: list[Any]) -> int:
    """The line of the deepest key of ``path`` that the text has (1-based)."""
    line = 1
    for part in path:
        if isinstance(node, yaml.MappingNode):
            pair = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line


def doubled_key(node: yaml.Node | None, prefix: str = "") -> tuple[str, int] | None:
    """The first key that stands twice in a mapping, dotted, and its line."""
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            dotted = f"{prefix}{key.value}"
            if key.value in seen:
                return dotted, key.start_mark.line + 1
            seen.add(key.value)
            if found := doubled_key(value, dotted + "."):
                return found
    return None
