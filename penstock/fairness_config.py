"""What may differ between groups of rows: `gate.fairness` of a project's YAML."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, FiniteFloat, model_validator

from penstock.section import Fraction, Section
from penstock.task_type import TaskName

GroupMetric = Literal["selection_rate", "true_positive_rate", "false_positive_rate", "accuracy", "mean_error"]
METRICS_OF: dict[TaskName, tuple[GroupMetric, ...]] = {
    "binary": ("selection_rate", "true_positive_rate", "false_positive_rate", "accuracy"),
    "multiclass": ("accuracy",),
    "regression": ("mean_error",),
}


class FairnessRule(Section):
    """A metric of each group, and how far apart groups of at least `evaluate.min_slice_rows` test rows may be."""

    column: str = Field(description="Its values are the groups: a feature, or one of `evaluate.slices`.")
    metric: GroupMetric = Field(
        description="Equal shares called True: `selection_rate` (demographic parity, Dwork et al. 2012); of the rows "
        "that are True: `true_positive_rate` (equal opportunity, Hardt et al. 2016); of those that are not: "
        "`false_positive_rate`. `accuracy`; regression: `mean_error`, predicted less true."
    )
    max_difference: FiniteFloat | None = Field(
        default=None, ge=0, description="Between the group with the highest and the one with the lowest value."
    )
    min_ratio: Fraction | None = Field(
        default=None,
        description="The lowest value over the highest; 0.8 is the four-fifths rule. Not for `mean_error`.",
    )

    @model_validator(mode="after")
    def _some(self) -> FairnessRule:
        if self.max_difference is None and self.min_ratio is None:
            raise ValueError("give `max_difference`, `min_ratio` or both")
        if self.metric == "mean_error" and self.min_ratio is not None:
            raise ValueError("`min_ratio` is for shares: a mean error may be negative; give `max_difference`")
        return self

    def require(self, columns: tuple[str, ...], task: TaskName) -> None:
        """Raise ValueError for a column that splits do not keep, or a metric of another task type."""
        if self.column not in columns:
            raise ValueError(
                f"`gate.fairness`: `{self.column}` is neither a feature nor one of `evaluate.slices`; add it "
                "there, and it is kept beside the features"
            )
        if self.metric not in METRICS_OF[task]:
            raise ValueError(
                f"`gate.fairness`: `{self.metric}` is not for {task}, which has {', '.join(METRICS_OF[task])}"
            )
