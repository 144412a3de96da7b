"""What a key of a section may be, in words, from its type: for the message about one that is something else."""

from __future__ import annotations

from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel

ENDS = (("gt", "above"), ("ge", "from"), ("lt", "below"), ("le", "up to"))


def allowed(kind: Any, bounds: tuple[Any, ...] = ()) -> str:
    """The values of the annotation ``kind``; ``bounds``: what pydantic keeps beside it. Empty if there are no words."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return allowed(parts[0], (*bounds, *parts[1:]))
    if origin is Literal:
        return _either([str(part) for part in parts])
    if origin is tuple:
        return f"a list of {allowed(parts[0]) or 'values'}"
    if origin is dict:
        return f"a mapping of {allowed(parts[0])} to {allowed(parts[1])}"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return f"a mapping with {', '.join(field.alias or name for name, field in kind.model_fields.items())}"
    if parts:  # a union
        told = dict.fromkeys(filter(None, (allowed(part, bounds) for part in parts if part is not NoneType)))
        return _either(list(told))
    if kind in (int, float):
        ends = [f"{word} {_bound(bounds, name):g}" for name, word in ENDS if _bound(bounds, name) is not None]
        return " ".join(["a whole number" if kind is int else "a number", *ends])
    if kind is str:
        pattern = next((found for each in bounds for found in _patterns(each)), None)
        return f"text like {pattern}" if pattern else "text"
    return "true or false" if kind is bool else ""


def _bound(bounds: tuple[Any, ...], name: str) -> float | None:
    """Of the parts of an annotation, which may be a `Field` that has the bounds within."""
    inner = [part for each in bounds for part in (each, *getattr(each, "metadata", ()))]
    return next((getattr(part, name) for part in inner if getattr(part, name, None) is not None), None)


def _patterns(each: Any) -> list[str]:
    inner = (each, *getattr(each, "metadata", ()))
    return [part.pattern for part in inner if isinstance(getattr(part, "pattern", None), str)]


def _either(words: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]])) if words else ""
