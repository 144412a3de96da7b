"""Tests of what a model answers, declared: the section `behaviour` of a project's YAML.

The three kinds are those of Ribeiro et al. 2020, "Beyond Accuracy: Behavioral Testing of NLP Models with CheckList".
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, model_validator

from penstock.section import Fraction, Section
from penstock.task_type import TaskName

Cell = str | bool | FiniteFloat | None  # a feature's value; null is a missing one
TestName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,47}$")]
OF = "Multiclass: the class whose probability is the score."
TOLERANCE = "By how much the score may do so all the same, in units of the score."
SHARE = "Share of the rows on which it may do so by more than `tolerance`."


class Direction(Section):
    """A numeric feature is raised on test rows; the score must not go the other way."""

    feature: str
    add: FiniteFloat | None = Field(default=None, description="This is added to the feature ...")
    factor: FiniteFloat | None = Field(default=None, description="... or it is multiplied by this: one of both.")
    score: Literal["up", "down"] = Field(description="Where the score may go: `up` means that it must not fall.")
    of: str | None = Field(default=None, description=OF)
    tolerance: FiniteFloat = Field(default=0, ge=0, description=TOLERANCE)
    max_share: Fraction = Field(default=0, description=SHARE)

    @model_validator(mode="after")
    def _one_change(self) -> Direction:
        if (self.add is None) == (self.factor is None):
            raise ValueError("give exactly one of `add` and `factor`")
        if self.add == 0 or self.factor == 1:
            raise ValueError("this changes nothing: `add` must not be 0, and `factor` not 1")
        return self


class Invariance(Section):
    """A feature is set to other values on test rows; the score must stay where it is."""

    feature: str
    values: tuple[Cell, ...] = Field(min_length=1, description="What the feature is set to; null: a missing value.")
    of: str | None = Field(default=None, description=OF)
    tolerance: FiniteFloat = Field(default=0, ge=0, description=TOLERANCE)
    max_share: Fraction = Field(default=0, description=SHARE)


class Example(Section):
    """Rows that anybody could judge; what the model says to each must be within bounds, or a certain answer."""

    rows: tuple[dict[str, Cell], ...] = Field(
        min_length=1, description="Features by name; one that is left out is a missing value."
    )
    min: FiniteFloat | None = Field(default=None, description="Of the probability, or of the number predicted.")
    max: FiniteFloat | None = None
    answer: str | bool | int | None = Field(
        default=None, description="The class that must be said; binary: `true` or `false`, at the threshold."
    )
    of: str | None = Field(default=None, description=OF + " For `min` and `max`.")

    @model_validator(mode="after")
    def _some(self) -> Example:
        if self.min is self.max is self.answer is None:
            raise ValueError("give `min`, `max` or `answer`")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"`min` {self.min:g} is above `max` {self.max:g}")
        return self


class BehaviourTest(Section):
    """Exactly one of `direction`, `invariance` and `example`. A test that cannot be computed is not passed."""

    direction: Direction | None = None
    invariance: Invariance | None = None
    example: Example | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> BehaviourTest:
        if sum(kind is not None for kind in (self.direction, self.invariance, self.example)) != 1:
            raise ValueError("give exactly one of `direction`, `invariance` and `example`")
        return self

    @property
    def kind(self) -> Direction | Invariance | Example:
        kind = self.direction or self.invariance or self.example
        assert kind is not None
        return kind

    def require(self, where: str, categorical: tuple[str, ...], numeric: tuple[str, ...], task: TaskName) -> None:
        """Raise ValueError, naming ``where``, for a feature that the model does not have, or a value it cannot be."""
        kind = self.kind
        rows = kind.rows if isinstance(kind, Example) else [{kind.feature: value} for value in _values(kind)]
        for row in rows:
            for name, value in row.items():
                _require_value(where, name, value, categorical, numeric)
        if isinstance(kind, Direction) and kind.feature in categorical:
            raise ValueError(f"`{where}`: `{kind.feature}` is no number, and cannot be raised: {', '.join(numeric)}")
        scored = not isinstance(kind, Example) or kind.min is not None or kind.max is not None
        if task == "multiclass" and scored and kind.of is None:
            raise ValueError(f"`{where}`: name the class whose probability is meant, by `of`")
        if kind.of is not None and (task != "multiclass" or not scored):
            raise ValueError(f"`{where}`: `of` is for probabilities of classes")
        if isinstance(kind, Example) and kind.answer is not None:
            if task == "regression":
                raise ValueError(f"`{where}`: `answer` needs classes; a regression has `min` and `max`")
            if task == "binary" and not isinstance(kind.answer, bool):
                raise ValueError(f"`{where}`: `answer` is true or false")


def _values(kind: Direction | Invariance) -> tuple[Cell, ...]:
    return kind.values if isinstance(kind, Invariance) else (None,)


def _require_value(where: str, name: str, value: Cell, categorical: tuple[str, ...], numeric: tuple[str, ...]) -> None:
    if name not in (*categorical, *numeric):
        raise ValueError(f"`{where}`: `{name}` is no feature; there are {', '.join((*categorical, *numeric))}")
    if value is None:
        return
    if isinstance(value, str) != (name in categorical):
        wanted = "text (put it in quotes)" if name in categorical else "a number, true or false"
        raise ValueError(f"`{where}`: `{name}` is {wanted}, and {value!r} is not")
