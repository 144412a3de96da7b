"""Features that are computed from columns: `features.derive` of a project's YAML. `penstock.derive` computes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, FiniteFloat, SerializerFunctionWrapHandler, model_serializer, model_validator

from penstock.derive import Step
from penstock.fields import FLOATS, INTEGERS
from penstock.section import Section

if TYPE_CHECKING:
    from penstock.config import FeaturesConfig
    from penstock.python_config import PythonFeatures

FeatureName = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.-]{0,63}$")]
Kind = Literal["number", "text", "time"]
KINDS: tuple[Kind, ...] = ("number", "text", "time")
NUMBERS = (*INTEGERS, *FLOATS)
TYPES: dict[Kind, tuple[str, ...]] = {
    "number": (*NUMBERS, "Boolean"),
    "text": ("String",),
    "time": ("Datetime", "Date"),
}
COMPANIONS: dict[str, tuple[str, ...]] = {
    "part": ("of",),
    "log": ("plus",),
    "clip": ("min", "max"),
    "ratio": (),
    "rename": ("kind",),
    "cast": ("to",),
    "group": ("into", "top", "other"),
}


class Derived(Section):
    """One operation and what belongs to it; see [features.md](features.md). What has no answer is a missing value."""

    part: Literal["year", "quarter", "month", "day", "yearday", "weekday", "hour", "minute"] | None = Field(
        default=None, description="A part of the time `of`, in UTC. Monday is 1; so are the first day, month, quarter."
    )
    of: str | None = Field(default=None, description="With `part`: a column of times or dates.")
    log: str | None = Field(default=None, description="The natural logarithm of this column; missing below and at 0.")
    plus: FiniteFloat | None = Field(default=None, description="With `log`: added before, such as 1 for counts.")
    clip: str | None = Field(default=None, description="This column, no less than `min` and no more than `max`.")
    min: FiniteFloat | None = None
    max: FiniteFloat | None = None
    ratio: tuple[str, str] | None = Field(
        default=None, description="The first column by the second; missing where the second is 0."
    )
    cast: str | None = Field(
        default=None, description="This column as `to`: a text as a number, whole numbers as text."
    )
    to: Literal["number", "text"] | None = None
    rename: str | None = Field(default=None, description="This column as it is, under another name; see `kind`.")
    kind: Literal["number", "text"] | None = Field(
        default=None, description="With `rename`: whether the column has numbers (or truth values) or texts."
    )
    group: str | None = Field(default=None, description="This column's texts, fewer of them: by `into` or `top`.")
    into: dict[str, tuple[str, ...]] | None = Field(
        default=None, description="With `group`: what each group is called, and the texts that are in it."
    )
    top: int | None = Field(
        default=None, ge=1, description="With `group`: so many texts stay, those that most training rows have."
    )
    other: str | None = Field(
        default=None,
        description="With `group`: what all other texts become. Left out, those that `into` does not name stay what "
        "they are, and those beyond `top` become `other`.",
    )

    @model_serializer(mode="wrap")
    def _what_is_given(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Records and models keep the operation, not what it is not."""
        return {name: value for name, value in handler(self).items() if value is not None}

    @model_validator(mode="after")
    def _one_operation(self) -> Derived:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        found = [name for name in given if name in COMPANIONS]
        if len(found) != 1:
            raise ValueError(f"give exactly one of {', '.join(f'`{name}`' for name in COMPANIONS)}")
        [operation] = found
        foreign = [name for name in given if name != operation and name not in COMPANIONS[operation]]
        if foreign:
            raise ValueError(f"`{foreign[0]}` does not belong to `{operation}`")
        needed = {"part": "of", "rename": "kind", "cast": "to"}.get(operation)
        if needed and getattr(self, needed) is None:
            raise ValueError(f"`{operation}` needs `{needed}`")
        if operation == "clip" and self.min is self.max is None:
            raise ValueError("`clip` needs `min`, `max` or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"`min` {self.min:g} is above `max` {self.max:g}")
        if operation == "group":
            self._check_groups()
        return self

    def _check_groups(self) -> None:
        if (self.into is None) == (self.top is None):
            raise ValueError("`group` needs exactly one of `into` and `top`")
        texts = [text for texts in (self.into or {}).values() for text in texts]
        twice = sorted({text for text in texts if texts.count(text) > 1})
        if twice:
            raise ValueError(f"`into` has {', '.join(twice)} in two groups")
        if self.into is not None and not texts:
            raise ValueError("`into` groups nothing")

    @property
    def operation(self) -> str:
        return next(name for name in COMPANIONS if getattr(self, name) is not None)

    @property
    def columns(self) -> tuple[str, ...]:
        """What it is computed from."""
        if self.ratio:
            return self.ratio
        return (str(self.of if self.part else getattr(self, self.operation)),)

    @property
    def text(self) -> bool:
        """Whether the feature is a category; otherwise it is a number."""
        return self.group is not None or "text" in (self.to, self.kind)

    @property
    def needs(self) -> Kind:
        """What its columns have to be."""
        if self.part:
            return "time"
        return "text" if self.group or self.kind == "text" or self.to == "number" else "number"

    @property
    def types(self) -> tuple[str, ...]:
        """The types of the schema that its columns may be of."""
        if self.cast and self.to == "text":
            return tuple(INTEGERS)  # the text of a float depends on who writes it
        return TYPES[self.needs] if self.rename or self.needs != "number" else NUMBERS

    def step(self, name: str) -> Step:
        """The operation as `penstock.derive` computes it."""
        how: dict[str, Any] = {"part": self.part} if self.part else {}
        if self.log:
            how = {"plus": self.plus or 0.0}
        if self.clip:
            how = {"min": self.min, "max": self.max}
        if self.group:
            how = {"into": {key: list(texts) for key, texts in self.into.items()}} if self.into else {"top": self.top}
            how["other"] = "other" if self.other is None and self.top else self.other
        return Step(name, self.operation, self.columns, self.text, how)


def steps_of(features: FeaturesConfig) -> tuple[Step, ...]:
    """How the features that are no columns are computed, in the model's order."""
    return (
        *(one.step(name) for name, one in features.derive.items()),
        *(function_steps(features.python) if features.python else ()),
    )


def function_steps(python: PythonFeatures) -> tuple[Step, ...]:
    """One for each feature; `penstock.derive` calls the function once."""
    times = [name for name, kind in python.columns.items() if kind == "time"]
    how = {"call": python.call, "features": list(python.features), "times": times, "source": python.source}
    return tuple(Step(name, "python", tuple(python.columns), False, how) for name in python.features)
