"""What is learnt, and how: the section `train` of a project's YAML."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from penstock.section import Section
from penstock.task_type import PARAMETERS_OF, QUANTILE, Objective, Target, TaskName


class TrainConfig(Section):
    """What is learnt, and how: XGBoost, whose own names `params` are."""

    task: TaskName = Field(
        default="binary",
        description="What the label is: a truth value, one of several classes (text or whole numbers), or a number.",
    )
    objective: Objective | None = Field(
        default=None,
        description="What training makes small. Left out: binary:logistic, multi:softprob or reg:squarederror, as the "
        "task is. `reg:quantileerror` needs `params.quantile_alpha`.",
    )
    class_weights: Literal["none", "balanced"] = Field(
        default="none",
        description="`balanced`: rows of rare classes count more, so that all classes count the same. Probabilities "
        "are then no longer shares of rows.",
    )
    rounds: int = Field(default=500, ge=1, le=100_000)
    early_stopping_rounds: int = Field(default=20, ge=1)
    seed: int = 7
    params: dict[str, float | int | str | bool] = Field(default_factory=dict)
    memory_budget_mb: int = Field(
        default=1024,
        ge=512,
        description="Where training would need more, its data stay in a file (external memory). The model is the same.",
    )
    on_no_convergence: Literal["warn", "fail"] = Field(
        default="warn", description="The best iteration is the first, or the last that `rounds` allows."
    )

    @property
    def target(self) -> Target:
        """What is predicted, as far as it changes how predictions are judged."""
        quantile = self.params.get("quantile_alpha")
        return Target(task=self.task, quantile=None if quantile is None else float(quantile))

    @property
    def loss(self) -> tuple[str, str]:
        """XGBoost's objective, and the name of the loss that early stopping watches."""
        objectives = self.target.type.objectives
        objective: str = self.objective or next(iter(objectives))
        loss = objectives[objective]
        return objective, f"{loss}@{self.params.get('tweedie_variance_power', 1.5)}" if "tweedie" in loss else loss

    @field_validator("params")
    @classmethod
    def _owned(cls, params: dict[str, Any]) -> dict[str, Any]:
        owned = {
            "objective", "eval_metric", "nthread", "seed", "random_state", "n_estimators", "device", "verbosity",
            "num_class",
        }  # fmt: skip
        clash = sorted(owned & set(params))
        if clash:
            raise ValueError(f"set by Penstock, not here: {', '.join(clash)}")
        return params

    @model_validator(mode="after")
    def _of_the_task(self) -> TrainConfig:
        objectives = self.target.type.objectives
        if self.objective and self.objective not in objectives:
            raise ValueError(f"`objective: {self.objective}` is not one of {self.task}: {', '.join(objectives)}")
        objective, _ = self.loss
        for name in self.params:
            if objective not in PARAMETERS_OF.get(name, (objective,)):
                raise ValueError(
                    f"`params.{name}` is a parameter of {', '.join(PARAMETERS_OF[name])}; the objective is {objective}"
                )
        if objective == QUANTILE and not 0 < float(self.params.get("quantile_alpha", 0)) < 1:
            raise ValueError("`objective: reg:quantileerror` needs `params.quantile_alpha`, between 0 and 1")
        if self.class_weights != "none" and not self.target.type.has_classes:
            raise ValueError("`class_weights: balanced` needs classes, and a regression has none")
        if self.class_weights != "none" and "scale_pos_weight" in self.params:
            raise ValueError("`class_weights: balanced` and `params.scale_pos_weight` both weigh: keep one")
        return self
