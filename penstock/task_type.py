"""What is learnt: a truth value, one of several classes, or a number. The facts that differ between these task types.

`train.task` names one; everything else that depends on it is asked here, or of `penstock.judge`. Light: the config is
checked by it, and what reads a config must start fast.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from penstock.fields import FLOATS, INTEGERS
from penstock.section import Section

TaskName = Literal["binary", "multiclass", "regression"]
MetricName = Literal[
    "auc", "average_precision", "log_loss", "brier", "accuracy", "precision", "recall", "f1", "calibration_error",
    "macro_f1", "balanced_accuracy", "macro_auc",
    "rmse", "mae", "r2", "mape", "pinball",
]  # fmt: skip
LiveMetric = Literal[
    "auc", "accuracy", "precision", "recall", "f1", "log_loss", "brier", "macro_f1", "balanced_accuracy", "mae",
    "rmse", "mape",
]  # fmt: skip
Objective = Literal[
    "binary:logistic", "multi:softprob", "reg:squarederror", "reg:absoluteerror", "reg:quantileerror",
    "reg:pseudohubererror", "count:poisson", "reg:gamma", "reg:tweedie",
]  # fmt: skip
LOWER_IS_BETTER = frozenset({"log_loss", "brier", "calibration_error", "rmse", "mae", "mape", "pinball"})
IN_UNITS = frozenset({"rmse", "mae", "pinball"})  # in the label's unit: what is much depends on the label
LOSSES = {"logloss": "log loss", "mlogloss": "log loss", "quantile": "pinball loss", "mphe": "Huber loss"}
QUANTILE = "reg:quantileerror"
# parameters of XGBoost that mean something for these objectives only
PARAMETERS_OF: dict[str, tuple[str, ...]] = {
    "scale_pos_weight": ("binary:logistic",),
    "quantile_alpha": (QUANTILE,),
    "huber_slope": ("reg:pseudohubererror",),
    "tweedie_variance_power": ("reg:tweedie",),
}


@dataclass(frozen=True)
class TaskType:
    """One of `TASK_TYPES`.

    ``label_types``: the schema's types that a label may have. ``objectives``: those of XGBoost and the loss that early
    stopping watches; the first is the default. ``metrics``: every one that evaluation measures; ``shown``: those in
    one line, ``headline``: the two of them for a step's line, ``by_slice``: those of a slice. ``live``: those of
    labelled predictions that were served, the first being what a performance drop is a drop of. ``answer``: how the
    service's answer is described. ``margin``: what the trees add up to, and contributions explain.
    """

    name: TaskName
    label_types: tuple[str, ...]
    objectives: Mapping[str, str]
    metrics: tuple[MetricName, ...]
    shown: tuple[MetricName, ...]
    headline: tuple[MetricName, ...]
    by_slice: tuple[MetricName, ...]
    live: tuple[LiveMetric, ...]
    answer: str
    margin: str

    @property
    def has_classes(self) -> bool:
        """Whether rows belong to classes, so that splits may be stratified and classes weighted."""
        return self.name != "regression"

    def require_metrics(self, names: tuple[str, ...], key: str, known: tuple[str, ...] = ()) -> None:
        """Raise ValueError if one of ``names``, found under ``key``, is no metric of this task type."""
        own = known or self.metrics
        for name in names:
            if name not in own:
                others = [other.name for other in TASK_TYPES.values() if name in other.metrics]
                raise ValueError(
                    f"`{key}`: `{name}` is a metric of {' and '.join(others)}; for {self.name}: {', '.join(own)}"
                )


BINARY = TaskType(
    name="binary",
    label_types=("Boolean",),
    objectives={"binary:logistic": "logloss"},
    metrics=(
        "auc", "average_precision", "log_loss", "brier", "accuracy", "precision", "recall", "f1", "calibration_error",
    ),
    shown=("auc", "average_precision", "log_loss", "brier", "f1", "calibration_error"),
    headline=("auc", "log_loss"),
    by_slice=("auc", "log_loss", "f1"),
    live=("auc", "accuracy", "precision", "recall", "f1", "log_loss", "brier"),
    answer="Probability and decision of each row",
    margin="log-odds",
)  # fmt: skip
MULTICLASS = TaskType(
    name="multiclass",
    label_types=("String", *INTEGERS),
    objectives={"multi:softprob": "mlogloss"},
    metrics=("accuracy", "balanced_accuracy", "macro_f1", "macro_auc", "log_loss"),
    shown=("accuracy", "balanced_accuracy", "macro_f1", "macro_auc", "log_loss"),
    headline=("macro_f1", "log_loss"),
    by_slice=("accuracy", "macro_f1", "log_loss"),
    live=("accuracy", "balanced_accuracy", "macro_f1"),
    answer="Class of each row, and the probability of every class",
    margin="score of the class that is predicted, before softmax",
)
REGRESSION = TaskType(
    name="regression",
    label_types=(*INTEGERS, *FLOATS),
    objectives={
        "reg:squarederror": "rmse",
        "reg:absoluteerror": "mae",
        "reg:quantileerror": "quantile",
        "reg:pseudohubererror": "mphe",
        "count:poisson": "poisson-nloglik",
        "reg:gamma": "gamma-nloglik",
        "reg:tweedie": "tweedie-nloglik",
    },
    metrics=("rmse", "mae", "r2", "mape", "pinball"),
    shown=("rmse", "mae", "r2", "mape", "pinball"),
    headline=("rmse", "r2"),
    by_slice=("rmse", "mae", "r2"),
    live=("mae", "rmse", "mape"),
    answer="The number predicted for each row",
    margin="prediction, or its logarithm (count:poisson, reg:gamma, reg:tweedie)",
)
TASK_TYPES: dict[TaskName, TaskType] = {"binary": BINARY, "multiclass": MULTICLASS, "regression": REGRESSION}
METRICS: tuple[MetricName, ...] = get_args(MetricName)


class Target(Section):
    """What a project predicts, as far as it changes how predictions are judged.

    ``quantile``: the one that is predicted by `reg:quantileerror`; None where it is not a quantile.
    """

    task: TaskName = "binary"
    quantile: float | None = None

    @property
    def type(self) -> TaskType:
        return TASK_TYPES[self.task]
