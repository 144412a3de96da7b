"""A quick model of a sample, cross-validated as the project will split: what a first gate can be derived from. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from penstock.config import FeaturesConfig
from penstock.features import encode_frame
from penstock.intervals import auc_interval

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

ROUNDS, FOLDS, MOST = 50, 3, 30_000
PARAMS = {"objective": "binary:logistic", "max_depth": 4, "eta": 0.2, "tree_method": "hist", "seed": 7, "verbosity": 0}


@dataclass(frozen=True)
class Baseline:
    """Scores of rows that the model had not seen. ``low``: the lower end of AUC's 95 % interval. ``entropy``: the log
    loss of always answering the share of True. ``rows``: how many were scored."""

    auc: float
    low: float
    log_loss: float
    entropy: float
    rows: int
    how: str

    @property
    def least_auc(self) -> float:
        """The gate: halfway from chance to the lower end, so that only a broken model fails."""
        return math.floor((0.5 + max(self.low, 0.5)) / 2 * 1000) / 1000

    @property
    def most_log_loss(self) -> float:
        """The gate: what always answering the share of True costs; no lower, because shares change."""
        return math.ceil(self.entropy * 1000) / 1000

    @property
    def learns(self) -> bool:
        """Whether the baseline is better than chance beyond doubt."""
        return self.low > 0.5


def baseline(rows: pl.DataFrame, features: FeaturesConfig, split_by: str, threads: int) -> Baseline | None:
    """Scores out of fold: the later rows by a model of the earlier, whole groups, or stratified. None where a fold
    lacks a class. ``rows``: typed; the label is Boolean and without nulls."""
    import numpy as np
    import xgboost as xgb

    rows = rows.sample(MOST, seed=7) if len(rows) > MOST else rows
    label = rows[features.label].to_numpy()
    table = encode_frame(rows, features, _categories(rows, features))
    folds = list(_folds(rows, features, split_by, label))
    score = np.full(len(rows), np.nan)
    for learn, ask in folds:
        if not 0 < label[learn].sum() < len(learn) or not 0 < label[ask].sum() < len(ask):
            return None
        data = xgb.DMatrix(table[learn], label[learn].astype(np.float32), enable_categorical=True, nthread=threads)
        model = xgb.train({**PARAMS, "nthread": threads}, data, ROUNDS)
        score[ask] = model.predict(xgb.DMatrix(table[ask], enable_categorical=True, nthread=threads))
    asked = np.isfinite(score)
    truth, chance = label[asked], np.clip(score[asked].astype(float), 1e-7, 1 - 1e-7)
    found = auc_interval(truth, chance)
    if found is None:
        return None
    share = float(truth.mean())
    how = {"time": "later rows by a model of the earlier", "group": f"{FOLDS} folds of whole groups"}
    return Baseline(
        auc=found.value,
        low=found.low,
        log_loss=float(-np.mean(np.where(truth, np.log(chance), np.log1p(-chance)))),
        entropy=-(share * math.log(share) + (1 - share) * math.log(1 - share)),
        rows=int(asked.sum()),
        how=how.get(split_by, f"{FOLDS} folds"),
    )


def _folds(rows: pl.DataFrame, features: FeaturesConfig, split_by: str, label: np.ndarray) -> Any:
    import numpy as np
    from sklearn.model_selection import GroupKFold, StratifiedKFold

    if split_by == "time":
        order = np.argsort(rows[str(features.time)].to_numpy(), kind="stable")
        cut = round(len(order) * 0.7)
        return [(order[:cut], order[cut:])]
    if split_by == "group":
        return GroupKFold(FOLDS).split(label, label, rows[str(features.group)].to_numpy())
    folds = min(FOLDS, int(label.sum()), int((~label).sum()))
    return StratifiedKFold(folds, shuffle=True, random_state=7).split(label, label) if folds > 1 else []


def _categories(rows: pl.DataFrame, features: FeaturesConfig) -> dict[str, list[str]]:
    return {name: sorted(rows[name].drop_nulls().unique().to_list()) for name in features.categorical}
