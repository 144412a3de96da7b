"""What a cache key is made of, and, in words, why two of them differ."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from penstock.errors import StorageError

FEW = 2  # changed files that are named one by one


def token(value: Any) -> Any:
    if hasattr(value, "cache_token"):
        return {"#": value.cache_token()}
    if isinstance(value, BaseModel):
        return {name: token(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, dict):
        return {str(name): token(item) for name, item in sorted(value.items(), key=lambda pair: str(pair[0]))}
    if isinstance(value, list | tuple):
        return [token(item) for item in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise StorageError(
        f"A {type(value).__name__} cannot be a task's argument: pass a ref or a plain value.", found=repr(value)[:80]
    )


def reasons(old: dict[str, Any], new: dict[str, Any]) -> tuple[str, ...]:
    """Why two key documents differ, in words: what changed, by name. Many changed files are one reason."""
    found = list(_differences(old, new))
    code = [reason for reason in found if reason.startswith("code: ")]
    if len(code) <= FEW:
        return tuple(found)
    return (f"code: {len(code)} files changed, such as {code[0].split()[1]}", *(r for r in found if r not in code))


def _differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    for name in sorted(set(old) | set(new)):
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        here = f"{path}.{name}" if path else name
        if isinstance(before, dict) and isinstance(after, dict) and "#" not in after:
            yield from _differences(before, after, here)
        else:
            yield _in_words(here, before, after)


def _in_words(path: str, before: Any, after: Any) -> str:
    kind, _, rest = path.partition(".")
    if kind == "code":
        return f"code: {rest} {'is new' if before is None else 'is gone' if after is None else 'changed'}"
    if kind == "libraries":
        return f"library: {rest} {before} -> {after}"
    if kind == "engine":
        return f"engine: {before or 'this process'} -> {after or 'this process'}"
    if kind == "python":
        return f"Python {before} -> {after}"
    if kind == "inputs" and not isinstance(after, dict) and not isinstance(before, dict):
        return f"config: {rest} changed ({_short(before)} -> {_short(after)})"
    return f"input: {rest} changed"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."
