"""A quick model of a sample, cross-validated as the project will split: what a first gate can be derived from. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from penstock.config import EvaluateConfig, FeaturesConfig
from penstock.features import categories_of, encode_frame
from penstock.intervals import auc_interval
from penstock.judge import judge_of
from penstock.task_type import MetricName, Target, TaskName

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

ROUNDS, FOLDS, MOST = 50, 3, 30_000
SAMPLES = 200  # of the bootstrap
PARAMS = {"max_depth": 4, "eta": 0.2, "tree_method": "hist", "seed": 7, "verbosity": 0}
HEADLINE: dict[TaskName, MetricName] = {"binary": "auc", "multiclass": "macro_f1", "regression": "r2"}
COSTS: dict[TaskName, MetricName] = {"binary": "log_loss", "multiclass": "log_loss", "regression": "mae"}
POISSON = "count:poisson"


@dataclass(frozen=True)
class Baseline:
    """Metrics on rows that the model had not seen, and of the answer that needs no model on the same rows.

    ``low``: the lower end of the 95 % interval of the headline metric. ``rows``: how many were scored. ``objective``:
    what the quick model was trained by, where it is not the task's first.
    """

    task: TaskName
    metrics: dict[str, float | None]
    naive: dict[str, float | None]
    low: float
    rows: int
    how: str
    objective: str = ""
    headline: MetricName = field(init=False)
    cost: MetricName = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "headline", HEADLINE[self.task])
        object.__setattr__(self, "cost", COSTS[self.task])

    def of(self, metric: str) -> float:
        return self.metrics[metric] or 0.0

    def guessing(self, metric: str) -> float:
        """What the answer that needs no model has; an R2 of 0, because its mean is that of other rows."""
        return 0.0 if metric == "r2" else self.naive[metric] or 0.0

    @property
    def learns(self) -> bool:
        """Whether the baseline is better than guessing beyond doubt."""
        return self.low > self.guessing(self.headline)

    def least(self, metric: MetricName) -> float:
        """The gate: halfway from guessing to the baseline (of the headline, to its lower end): only a broken model
        fails. Rounded down to thousandths."""
        found = self.low if metric == self.headline else self.of(metric)
        base = self.guessing(metric)
        return math.floor((base + max(found, base)) / 2 * 1000) / 1000

    @property
    def most_cost(self) -> float:
        """The gate: what guessing costs, rounded up to three digits; no lower, because labels change."""
        base = self.guessing(self.cost)
        unit = 10.0 ** (math.floor(math.log10(base)) - 2) if base > 0 else 0.001
        return float(f"{math.ceil(base / unit) * unit:.6g}")

    @property
    def saves(self) -> bool:
        """Whether the baseline costs less than guessing."""
        return self.of(self.cost) < self.guessing(self.cost)


def baseline(
    rows: pl.DataFrame, features: FeaturesConfig, split_by: str, threads: int, task: TaskName = "binary",
    counts: bool = False,
) -> Baseline | None:  # fmt: skip
    """Scores out of fold: the later rows by a model of the earlier, whole groups, or by chance. None where a fold lacks
    a class, or labels do not vary. ``rows``: typed; the label is of the task's type and without nulls.

    ``counts``: squared error and count:poisson are both tried; the latter is taken where its RMSE is at most 1 % above,
    because it predicts nothing below 0.
    """
    rows = rows.sample(MOST, seed=7) if len(rows) > MOST else rows
    label, classes = _labels(rows, features.label, task)
    folds = list(_folds(rows, features, split_by, label, task))
    if not folds or not all(_able(label, learn, ask, classes, task) for learn, ask in folds):
        return None
    objectives = {"binary": "binary:logistic", "multiclass": "multi:softprob", "regression": "reg:squarederror"}
    found = _tried(rows, features, split_by, threads, task, label, classes, folds, objectives[task])
    if counts and found:
        other = _tried(rows, features, split_by, threads, task, label, classes, folds, POISSON)
        if other and other.of("rmse") <= 1.01 * found.of("rmse"):
            return other
    return found


def _tried(
    rows: pl.DataFrame, features: FeaturesConfig, split_by: str, threads: int, task: TaskName, label: np.ndarray,
    classes: tuple[str, ...], folds: list[tuple[np.ndarray, np.ndarray]], objective: str,
) -> Baseline | None:  # fmt: skip
    import numpy as np
    import xgboost as xgb

    params = {**PARAMS, "objective": objective, "nthread": threads} | ({"num_class": len(classes)} if classes else {})
    table = encode_frame(rows, features, categories_of(rows.lazy(), features))
    score = np.full((len(rows), len(classes)) if classes else len(rows), np.nan, np.float32)
    for learn, ask in folds:
        data = xgb.DMatrix(table[learn], label[learn].astype(np.float32), enable_categorical=True, nthread=threads)
        model = xgb.train(params, data, ROUNDS if not classes else max(10, ROUNDS * 3 // len(classes)))
        score[ask] = model.predict(xgb.DMatrix(table[ask], enable_categorical=True, nthread=threads))
    asked = np.isfinite(score.reshape(len(rows), -1)).all(1)
    truth, score = label[asked], score[asked]
    judge = judge_of(Target(task=task), classes, EvaluateConfig(), truth, score)
    metrics = judge.measure(truth, score)
    naive = next(iter(judge.naive(truth, label[folds[0][0]], None).values()))
    low = _low(task, truth, score)
    if low is None:
        return None
    how = {"time": "later rows by a model of the earlier", "group": f"{FOLDS} folds of whole groups"}
    return Baseline(task, metrics, naive, low, int(asked.sum()), how.get(split_by, f"{FOLDS} folds"),
                    objective if objective == POISSON else "")  # fmt: skip


def _low(task: TaskName, truth: np.ndarray, score: np.ndarray) -> float | None:
    """The lower end of the headline metric's 95 % interval: DeLong's, or of the bootstrap's percentiles (Efron &
    Tibshirani 1993, chapter 13). None where it cannot be told."""
    import numpy as np

    from penstock.multiclass_metrics import macro_f1
    from penstock.regression_metrics import regression_metrics

    if task == "binary":
        found = auc_interval(truth, score.astype(float))
        return None if found is None else found.low
    generator = np.random.default_rng(7)
    values: list[float | None] = []
    for _ in range(SAMPLES):
        chosen = generator.integers(0, len(truth), len(truth))
        if task == "multiclass":
            values.append(macro_f1(truth[chosen], score[chosen]))
        else:
            values.append(regression_metrics(truth[chosen], score[chosen], None)["r2"])
    known = [value for value in values if value is not None]
    return float(np.quantile(known, 0.025)) if known else None


def _labels(rows: pl.DataFrame, name: str, task: TaskName) -> tuple[np.ndarray, tuple[str, ...]]:
    import numpy as np

    if task != "multiclass":
        return rows[name].to_numpy(), ()
    classes, label = np.unique(rows[name].to_numpy().astype(str), return_inverse=True)
    return label, tuple(classes.tolist())


def _able(label: np.ndarray, learn: np.ndarray, ask: np.ndarray, classes: tuple[str, ...], task: TaskName) -> bool:
    import numpy as np

    if task == "regression":
        return len(ask) > 1 and bool(label[learn].std() and label[ask].std())
    count = len(classes) or 2
    return all(len(np.unique(label[part])) == count for part in (learn, ask))


def _folds(rows: pl.DataFrame, features: FeaturesConfig, split_by: str, label: np.ndarray, task: TaskName) -> Any:
    import numpy as np
    from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold

    if split_by == "time":
        order = np.argsort(rows[str(features.time)].to_numpy(), kind="stable")
        cut = round(len(order) * 0.7)
        return [(order[:cut], order[cut:])]
    if split_by == "group":
        return GroupKFold(FOLDS).split(label, label, rows[str(features.group)].to_numpy())
    if task == "regression":
        return KFold(FOLDS, shuffle=True, random_state=7).split(label)
    _, counts = np.unique(label, return_counts=True)
    folds = min(FOLDS, int(counts.min()))
    return StratifiedKFold(folds, shuffle=True, random_state=7).split(label, label) if folds > 1 else []
