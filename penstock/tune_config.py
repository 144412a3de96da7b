"""Which parameters are tried before the model is trained, and for how long: the section `tune` of a project's YAML."""

from __future__ import annotations

import math
from typing import Any

from pydantic import Field, ValidationError, field_validator, model_validator

from penstock.section import Section
from penstock.task_type import MetricName
from penstock.train_config import TrainConfig

Parameter = int | float | str | bool
# XGBoost's parameters that are whole numbers; of every other one a range is of numbers
WHOLE = {
    "max_depth", "max_leaves", "max_bin", "num_parallel_tree", "max_cat_to_onehot", "max_cat_threshold",
}  # fmt: skip
# they say what the loss itself is: trials that differ in one could not be compared
MEASURES = {"quantile_alpha", "huber_slope", "tweedie_variance_power"}
ALIASES = {"learning_rate": "eta", "reg_lambda": "lambda", "reg_alpha": "alpha", "min_split_loss": "gamma"}


class Dimension(Section):
    """The values of one parameter: `low` and `high`, both inclusive, or `choices`."""

    low: float | None = Field(default=None, description="The smallest value.")
    high: float | None = Field(default=None, description="The largest value.")
    log: bool = Field(default=False, description="Try small values as often as large ones: for what works by factors.")
    step: float | None = Field(default=None, gt=0, description="Only values this far apart, counted from `low`.")
    choices: tuple[Parameter, ...] | None = Field(default=None, description="The values themselves.")

    @field_validator("choices", mode="before")
    @classmethod
    def _plain(cls, value: Any) -> Any:
        if isinstance(value, list | tuple) and any(not isinstance(each, int | float | str) for each in value):
            raise ValueError("each choice must be a number, a word or a truth value")
        return value

    @model_validator(mode="after")
    def _check(self) -> Dimension:
        bounded = self.low is not None or self.high is not None
        if self.choices is not None:
            if bounded or self.log or self.step is not None:
                raise ValueError("give `choices` or a range (`low`, `high`, `log`, `step`), not both")
            if not self.choices:
                raise ValueError("`choices` is empty: there is nothing to try")
            if len({(type(each), each) for each in self.choices}) < len(self.choices):
                raise ValueError("`choices` has a value twice")
            return self
        if self.low is None or self.high is None:
            raise ValueError("give `low` and `high`, or `choices`")
        if not math.isfinite(self.low) or not math.isfinite(self.high):
            raise ValueError("`low` and `high` must be finite")
        if self.low >= self.high:
            raise ValueError(f"`low` {self.low:g} must be below `high` {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"`log` needs `low` above 0, and it is {self.low:g}")
        if self.log and self.step is not None:
            raise ValueError("`log` and `step` exclude one another: keep one")
        if self.step is not None and self.step > self.high - self.low:
            raise ValueError(f"`step` {self.step:g} is wider than the range")
        return self

    def __str__(self) -> str:
        if self.choices is not None:
            return ", ".join(map(str, self.choices))
        how = ", log" if self.log else f", step {self.step:g}" if self.step is not None else ""
        return f"{self.low:g} to {self.high:g}{how}"


class TuneConfig(Section):
    """Parameters of XGBoost that are searched for before training. Without this section nothing is searched."""

    space: dict[str, Dimension] = Field(
        min_length=1,
        description="For each parameter `low` and `high`, with `log: true` or a `step`, or `choices`; see "
        "[tuning.md](tuning.md).",
    )
    trials: int = Field(default=20, ge=1, le=10_000, description="How many sets of parameters are tried.")
    batch: int = Field(
        default=4,
        ge=1,
        le=64,
        description="How many are chosen at a time, from what all earlier batches gave; they may be trained at once.",
    )
    time_budget_minutes: float | None = Field(
        default=None,
        gt=0,
        description="No batch begins after this time. The result is then not reproducible, and the record says so.",
    )
    folds: int = Field(
        default=1,
        ge=1,
        le=5,
        description="1: each trial is measured on the validation rows. More: on this many folds of training and "
        "validation rows; by time, on windows that follow their training rows.",
    )
    metric: MetricName | None = Field(
        default=None, description="What is made best; left out, the loss that early stopping watches."
    )
    seed: int = Field(default=7, ge=0, le=2**32 - 1)

    @field_validator("space")
    @classmethod
    def _whole(cls, space: dict[str, Dimension]) -> dict[str, Dimension]:
        for name in WHOLE & set(space):
            dimension = space[name]
            for key in ("low", "high", "step"):
                value = getattr(dimension, key)
                if value is not None and not float(value).is_integer():
                    raise ValueError(f"`{name}.{key}` must be a whole number, and it is {value:g}")
        return space

    def require_fit(self, train: TrainConfig) -> None:
        """Raise ValueError for what does not go with ``train``."""
        given = {ALIASES.get(name, name): name for name in train.params}
        seen: dict[str, str] = {}
        for name, dimension in self.space.items():
            own = ALIASES.get(name, name)
            if own in given:
                raise ValueError(f"`tune.space.{name}`: `train.params.{given[own]}` fixes it; keep one of the two")
            if own in seen:
                raise ValueError(f"`tune.space.{name}`: that is `{seen[own]}` under another name; keep one of the two")
            seen[own] = name
            if name in MEASURES:
                raise ValueError(f"`tune.space.{name}`: it changes the loss itself, so trials could not be compared")
            value = dimension.choices[0] if dimension.choices else dimension.low
            tree = {**train.model_dump(), "params": {**train.params, name: value}}
            try:
                TrainConfig.model_validate(tree)
            except ValidationError as error:
                raise ValueError(f"`tune.space.{name}`: {error.errors()[0]['msg'].split('error, ')[-1]}") from None
        if self.metric:
            train.target.type.require_metrics((self.metric,), "tune.metric")
            if self.metric == "pinball" and train.target.quantile is None:
                raise ValueError("`tune.metric: pinball` needs `train.objective: reg:quantileerror`")
