"""How much worse a candidate is than the champion on the same test rows, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from penstock.config import Bound, EvaluateConfig, GateConfig
from penstock.errors import DataError
from penstock.gate import judged_slices
from penstock.judge import Judge, judge_from
from penstock.paired import Losses, Question, losses
from penstock.refs import Evaluation, Splits
from penstock.task_type import LOWER_IS_BETTER, TASK_TYPES
from tasks.machine.settings import settings
from tasks.store import store
from tasks.store.caching import task
from tasks.training.slicing import slices_of

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

SEED = 7
RESAMPLES = 1000  # of what is shown


@task(libraries=("numpy", "polars"))
def compare_with_champion(
    splits: Splits, evaluation: Evaluation, baseline: Evaluation, gate: GateConfig, evaluate: EvaluateConfig
) -> Losses:
    """The loss of every metric that `gate` bounds beside the champion's, over all test rows and in each slice that is
    judged: a paired bootstrap of the predictions that evaluation kept. Each model is measured as it was evaluated, such
    as at its own threshold. Nothing of a champion that could not be scored.

    Raises DataError if the two were not scored on the same rows, StorageError if their files are damaged.
    """
    documents = [store.read_json(one.metrics) for one in (evaluation, baseline)]
    if documents[1].get("incomparable"):
        return Losses(losses=(), resamples=gate.resamples)
    rows = _same_rows(evaluation, baseline)
    models = [_Scored(document, frame, evaluate) for document, frame in zip(documents, rows, strict=True)]
    asked = [_question(metric, models) for metric in _compared(gate.metrics)]
    asked += _in_slices(splits, documents[0], models, _compared(gate.slices), evaluate)
    found = losses(asked, len(rows[0]), gate.resamples, SEED, settings().cpus)
    return Losses(losses=tuple(found), resamples=gate.resamples)


@task(libraries=("numpy", "polars"))
def measure_differences(evaluation: Evaluation, other: Evaluation | None, evaluate: EvaluateConfig) -> Losses:
    """The loss of every metric that is shown, over all test rows, beside ``other``'s on the same rows; without
    ``other`` beside zero, so that it is the metric itself with its spread. Nothing of what could not be scored.

    Raises what `compare_with_champion` raises.
    """
    documents = [store.read_json(one.metrics) for one in (evaluation, other) if one is not None]
    if any(document.get("incomparable") for document in documents):
        return Losses(losses=(), resamples=RESAMPLES)
    rows = _same_rows(evaluation, other or evaluation)
    models = [_Scored(document, frame, evaluate) for document, frame in zip(documents, rows, strict=False)]
    shown = [name for name in TASK_TYPES[documents[0].get("task", "binary")].shown if name in documents[0]["metrics"]]
    asked = [_question(metric, models) if other else _beside_zero(metric, models[0]) for metric in shown]
    found = losses(asked, len(rows[0]), RESAMPLES, SEED, settings().cpus)
    return Losses(losses=tuple(found), resamples=RESAMPLES)


class _Scored:
    """A model's answers on the test rows, and how they were measured."""

    def __init__(self, document: dict[str, Any], predictions: pl.DataFrame, evaluate: EvaluateConfig) -> None:
        self.judge: Judge = judge_from(document, evaluate)
        self.label, self.score = self.judge.read(predictions)


def _compared(bounds: dict[Any, Bound]) -> list[str]:
    return [metric for metric, bound in bounds.items() if bound.compares]


def _same_rows(evaluation: Evaluation, baseline: Evaluation) -> list[pl.DataFrame]:
    import polars as pl

    frames = [pl.read_parquet(store.locate(one.predictions)) for one in (evaluation, baseline)]
    if not frames[0]["__row__"].equals(frames[1]["__row__"]):
        raise DataError(
            "The candidate and the champion were scored on different test rows.",
            found=f"{len(frames[0]):,} and {len(frames[1]):,} rows",
            next_step="run the training again",
        )
    return frames


def _question(
    metric: str, models: list[_Scored], at: np.ndarray | None = None, column: str = "", value: str = ""
) -> Question:
    mine = slice(None) if at is None else at
    candidate, champion = (one.judge.statistic(metric, one.label[mine], one.score[mine]) for one in models)
    return Question(metric, metric in LOWER_IS_BETTER, candidate, champion, at, column, value)


def _beside_zero(metric: str, model: _Scored) -> Question:
    import numpy as np

    def zero(weights: np.ndarray) -> np.ndarray:
        return np.zeros(len(weights))

    statistic = model.judge.statistic(metric, model.label, model.score)
    return Question(metric, metric in LOWER_IS_BETTER, statistic, zero)


def _in_slices(
    splits: Splits, document: dict[str, Any], models: list[_Scored], metrics: list[str], evaluate: EvaluateConfig
) -> Iterator[Question]:
    import polars as pl

    judged = {(part["column"], part["value"]) for part in judged_slices(document, evaluate)} if metrics else set()
    for column in sorted({column for column, _ in judged}):
        frame = pl.read_parquet(store.locate(splits.test), columns=[column])
        for value, at in slices_of(frame, column):
            if (column, value) in judged:
                for metric in metrics:
                    yield _question(metric, models, at, column, value)
