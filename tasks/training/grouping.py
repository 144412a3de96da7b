"""Measures a model by groups of test rows, as the rules of `gate.fairness` ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.errors import StorageError
from penstock.fairness import Fairness, measured_groups
from penstock.fairness_config import FairnessRule
from penstock.refs import Evaluation, Splits
from tasks.store import store
from tasks.store.caching import task
from tasks.training.slicing import MISSING

if TYPE_CHECKING:
    import numpy as np
    import polars as pl


@task(libraries=("numpy", "polars"))
def compare_groups(splits: Splits, evaluation: Evaluation, rules: tuple[FairnessRule, ...], min_rows: int) -> Fairness:
    """Every rule over the evaluation's predictions. Raises StorageError if those are of other rows."""
    import polars as pl

    columns = list(dict.fromkeys(rule.column for rule in rules))
    rows = pl.read_parquet(store.locate(splits.test), columns=["__row__", *columns])
    predictions = pl.read_parquet(store.locate(evaluation.predictions))
    if not rows["__row__"].equals(predictions["__row__"]):
        raise StorageError(
            "The predictions are not of these test rows.",
            where=str(evaluation.predictions),
            next_step="remove the cached results and run again",
        )
    answer = _answers(predictions, store.read_json(evaluation.metrics).get("threshold"))
    label = predictions["label"].to_numpy()
    found = []
    for rule in rules:
        group = rows[rule.column].cast(pl.String).fill_null(MISSING).to_numpy()
        found.append(measured_groups(rule.metric, group, label, answer, min_rows))
    return Fairness(found=tuple(found))


def _answers(predictions: pl.DataFrame, threshold: float | None) -> np.ndarray:
    """What the model says: a truth value at its threshold, a class, or a number."""
    if threshold is not None:
        answers: np.ndarray = predictions["score"].to_numpy() >= threshold
        return answers
    name = next(name for name in ("class", "prediction") if name in predictions.columns)
    return predictions[name].to_numpy()
