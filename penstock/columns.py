"""One column of a schema file: pandera's keys, read strictly, and only what training and the server read alike."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, PlainValidator, model_validator

from penstock.fields import FLOATS, INTEGERS
from penstock.patterns import check_pattern

DTYPES = (*INTEGERS, *FLOATS, "Boolean", "String", "Date", "Datetime")
ALIASES = {"ge": "greater_than_or_equal_to", "gt": "greater_than", "le": "less_than_or_equal_to", "lt": "less_than"}


def _number(found: Any) -> Any:
    if type(found) not in (int, float) or not -math.inf < found < math.inf:
        raise ValueError("must be a finite number")
    return found


def _listed(found: Any) -> Any:
    return found if type(found) in (bool, str) else _number(found)


Bound = Annotated[int | float, PlainValidator(_number)]  # an integer stays one: a large float may be its neighbour
Listed = Annotated[bool | int | float | str, PlainValidator(_listed)]


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Range(Part):
    """Inclusive unless said otherwise, as pandera has it."""

    min_value: Bound
    max_value: Bound
    include_min: bool = True
    include_max: bool = True

    @model_validator(mode="after")
    def _some(self) -> Range:
        if self.min_value > self.max_value or (
            self.min_value == self.max_value and not (self.include_min and self.include_max)
        ):
            raise ValueError("a range that no number is in")
        return self


class Length(Part):
    """Characters, inclusive."""

    min_value: int | None = None
    max_value: int | None = None

    @model_validator(mode="after")
    def _some(self) -> Length:
        if self.min_value is None and self.max_value is None:
            raise ValueError("a length that bounds nothing: give `min_value` or `max_value`")
        if self.min_value is not None and self.max_value is not None and self.min_value > self.max_value:
            raise ValueError("a length that no text has")
        return self


class Column(Part):
    """One column: its polars type, whether it may be null, and what its values must be."""

    dtype: str
    nullable: bool = False
    required: bool = True
    unique: bool = False
    title: str | None = None
    description: str | None = None
    in_range: Range | None = None
    greater_than: Bound | None = None
    greater_than_or_equal_to: Bound | None = None
    less_than: Bound | None = None
    less_than_or_equal_to: Bound | None = None
    isin: tuple[Listed, ...] | None = None
    notin: tuple[Listed, ...] | None = None
    str_matches: str | None = None
    str_length: Length | None = None

    @model_validator(mode="before")
    @classmethod
    def _long_names(cls, found: Any) -> Any:
        if not isinstance(found, dict):
            return found
        twice = sorted(name for name, long in ALIASES.items() if name in found and long in found)
        if twice:
            raise ValueError(f"`{twice[0]}` and `{ALIASES[twice[0]]}` are one key: give it once")
        return {ALIASES.get(name, name): value for name, value in found.items()}

    @model_validator(mode="after")
    def _check(self) -> Column:
        kind = self.dtype.partition("(")[0]
        if kind not in DTYPES or (kind != self.dtype and kind != "Datetime"):
            raise ValueError(f"`{self.dtype}` is not a type of a column; allowed: {', '.join(DTYPES)}")
        numeric = kind in INTEGERS or kind in FLOATS
        names = set(self.checks())
        if not numeric and names & {"in_range", *ALIASES.values()}:
            raise ValueError(f"only numbers have a range, and `{self.dtype}` is none")
        if kind != "String" and names & {"str_matches", "str_length"}:
            raise ValueError(f"`str_matches` and `str_length` are for String, not `{self.dtype}`")
        for name in sorted(names & {"isin", "notin"}):
            self._check_list(name, kind)
        if self.str_matches is not None:
            check_pattern(self.str_matches)
        return self

    def _check_list(self, name: str, kind: str) -> None:
        """Raise ValueError if a listed value is none that the column could hold: pandera would stop the run."""
        types: dict[str, list[type]] = {"String": [str], "Boolean": [bool], "Date": [], "Datetime": []}
        allowed = types.get(kind, [int] if kind in INTEGERS else [int, float])
        wrong = [value for value in getattr(self, name) if type(value) not in allowed]
        if wrong:
            hint = (
                "; in YAML, words such as no and on, and numbers, are text only in quotes" if kind == "String" else ""
            )
            raise ValueError(f"`{name}` lists {wrong[0]!r}, which is not a value of {kind}{hint}")

    def checks(self) -> dict[str, Any]:
        """The checks that are set, by pandera's name, as plain values."""
        described = {"dtype", "nullable", "required", "unique", "title", "description"}
        return self.model_dump(exclude=described, exclude_none=True, mode="json")
