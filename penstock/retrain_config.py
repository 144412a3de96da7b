"""When monitoring may ask for a new training: the section `retrain` of a project's YAML. No part of a model's identity.

Every limit is there because retraining costs money and can make things worse: see `penstock/retrain.py`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from penstock.section import Section
from penstock.task_type import LiveMetric

Cause = Literal["schema skew", "value drift", "prediction drift", "performance drop"]
Retrainable = Literal["value drift", "prediction drift", "performance drop"]


class RetrainConfig(Section):
    """What asks for a new training, and what holds it back."""

    enabled: bool = Field(
        default=False, description="Left out, monitoring says what it would ask for, and asks for nothing."
    )
    on: tuple[Retrainable, ...] = Field(
        default=("value drift", "prediction drift", "performance drop"),
        description="The causes that may. Rows that no longer fit the schema never do: they stop retraining.",
    )
    metric: LiveMetric | None = Field(
        default=None,
        description="What a performance drop is a drop of. Left out: auc, accuracy or mae, as the task is.",
    )
    margin: float = Field(
        default=0.02,
        ge=0,
        description="How much worse than on its test rows a model may be before that is a drop. Of rmse and mae it is "
        "a share.",
    )
    drop: Literal["possible", "sure"] = Field(
        default="sure",
        description="`sure`: all of the 95 % interval of the live metric is beyond the margin. `possible`: it reaches "
        "beyond, which it does by chance alone in most windows of a thousand rows.",
    )
    cooldown_hours: float = Field(default=24, ge=0, description="The least time between two, whatever their causes.")
    daily_budget: int = Field(default=1, ge=0, description="The most in a day (UTC).")
    min_new_labels: int = Field(
        default=1000,
        ge=0,
        description="Labels that must have come since the last training: the same rows teach nothing.",
    )
    max_without_help: int = Field(
        default=2, ge=1, description="So many in a row after which the alarm stayed stop retraining and call a person."
    )
    give_up_hours: float = Field(
        default=24, gt=0, description="One that is not deployed after this time counts as one that did not help."
    )
