"""Turns what pydantic and PyYAML say of a file into one message: file, line, key, found, allowed."""

from __future__ import annotations

import difflib
import re
from types import NoneType
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from penstock.allowed_values import allowed as allowed_values
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
        path = _there(node, path)  # pydantic adds the parts of a union
        dotted = ".".join(str(part) for part in path)
        what = f"`{dotted}` is not right: {message}." if dotted else f"{message}."
        value = first["input"]
        told = first["type"] != "secret" and not isinstance(value, dict | list | BaseModel)
        found = repr(value) if told else ""
        path = _named(node, path, message) if first["type"] == "value_error" else path
        allowed = _allowed(root, path)
        step = "change the value and run the command again"
    if len(problems) > 1:
        step += f" ({len(problems) - 1} more problem{'s' if len(problems) > 2 else ''} after this one)"
    return ConfigError(what, where=f"{where}:{_line(node, path)}", found=found, allowed=allowed, next_step=step)


def load(text: str) -> Any:
    """The tree of ``text``. A key is what is written: `on` is no truth value. Raises yaml.YAMLError."""
    return yaml.load(text, _Loader)  # noqa: S506  # a safe one


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        for key, _ in getattr(node, "value", ()):
            if key.tag == "tag:yaml.org,2002:bool":
                key.tag = "tag:yaml.org,2002:str"
        return super().construct_mapping(node, deep)


def _there(node: yaml.Node | None, path: list[Any]) -> list[Any]:
    """``path`` as far as the text has it."""
    for place, part in enumerate(path):
        following = _child(node, part)
        if following is None:
            return path[:place]
        node = following[1]
    return path


def _named(node: yaml.Node | None, path: list[Any], message: str) -> list[Any]:
    """``path``, or the key below it that a rule's message names first and the text has."""
    for name in re.findall(r"`([A-Za-z_.]+)[`:]", message):
        longer = [*path, *name.split(".")]
        if _there(node, longer) == longer:
            return longer
    return path


def _allowed(root: type[BaseModel], path: list[Any]) -> str:
    """What the deepest key of ``path`` that is a field of a section may be."""
    for end in range(len(path), 0, -1):
        section = _section(root, path[: end - 1])
        fields = {field.alias or name: field for name, field in (section.model_fields if section else {}).items()}
        if path[end - 1] in fields:
            field = fields[path[end - 1]]
            return allowed_values(field.annotation, tuple(field.metadata))
    return ""


def _keys(section: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in section.model_fields.items()]


def _section(root: type[BaseModel], path: list[Any]) -> type[BaseModel] | None:
    """The section that a path of keys leads to."""
    current: Any = root
    for part in path:
        if isinstance(current, type) and issubclass(current, BaseModel):
            fields = {field.alias or name: field for name, field in current.model_fields.items()}
            current = without_none(fields[part].annotation) if part in fields else None
        else:  # a mapping of names to sections, such as gate.metrics, or a list of them
            current = ([part for part in get_args(current) if part is not Ellipsis] or [None])[-1]
    return current if isinstance(current, type) and issubclass(current, BaseModel) else None


def without_none(kind: Any) -> Any:
    """X of `X | None`."""
    some = [part for part in get_args(kind) if part is not NoneType]
    return some[0] if len(some) == 1 and NoneType in get_args(kind) else kind


def _line(node: yaml.Node | None, path: list[Any]) -> int:
    """The line of the deepest key of ``path`` that the text has (1-based)."""
    line = 1
    for part in path:
        following = _child(node, part)
        if following is None:
            break
        line, node = following
    return line


def _child(node: yaml.Node | None, part: Any) -> tuple[int, yaml.Node] | None:
    """The line (1-based) and the value of a key or an item."""
    if isinstance(node, yaml.MappingNode):
        pair = next(((key, value) for key, value in node.value if key.value == str(part)), None)
        return (pair[0].start_mark.line + 1, pair[1]) if pair else None
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part].start_mark.line + 1, node.value[part]
    return None


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
