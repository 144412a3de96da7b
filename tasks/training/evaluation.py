"""Scores a model on the test split: metrics, slices, curves and the predictions themselves."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from penstock.config import EvaluateConfig, FeaturesConfig
from penstock.derive_config import KINDS
from penstock.judge import LAST, Judge, judge_of
from penstock.model import importance, learnt, load, recipe, single_row_ms
from penstock.refs import Evaluation, FileRef, Model, Splits
from penstock.task_type import Target
from tasks.data.batches import numbered, raw_batches
from tasks.machine.settings import settings
from tasks.store import store
from tasks.store.caching import task
from tasks.training.predicting import predictions
from tasks.training.slicing import slices_of

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import xgboost as xgb

LATENCY_ROWS = 200


@task(libraries=("xgboost", "scikit-learn", "numpy", "polars"))
def evaluate_model(
    splits: Splits, model: Model, features: FeaturesConfig, evaluate: EvaluateConfig, target: Target
) -> Evaluation:
    """Metrics over all test rows and by slice, and those of answers that need no model; what is chosen before, such as
    a threshold, is chosen on the validation rows.

    A model that cannot answer for these rows, because its features are no longer in the data or its answers are of
    another kind, gets no metrics but a reason under `incomparable`, on which the gate decides.
    """
    booster = load(store.read_bytes(model.booster), settings().cpus)
    columns, known = recipe(booster, features.label)
    why = _why_incomparable(booster, columns, features, splits.classes, target)
    if why:
        return _incomparable(model, why)
    _, label, score = _scored(splits.validation, model, features.label, splits.classes, [])
    judge = judge_of(target, splits.classes, evaluate, label, score)
    validation = judge.measure(label, score)
    timed = [LAST] if target.task == "regression" and features.time else []
    extra, label, score = _scored(
        splits.test, model, features.label, splits.classes, ["__row__", *timed, *evaluate.slices]
    )
    overall = judge.measure(label, score)
    train = _labels(splits.train, features.label, splits.classes)
    document = {
        "task": target.task,
        **judge.facts(),
        "rows": len(label),
        **judge.rows(label),
        "metrics": overall,
        "naive": judge.naive(label, train, extra[LAST].to_numpy() if timed else None),
        "validation": {"rows": splits.rows[1], "metrics": validation},
        "slices": _slices(extra, label, score, judge, evaluate),
        "latency_ms": single_row_ms(booster, _single_rows(splits.test, columns, known), time.perf_counter),
        "size_bytes": model.booster.size,
        "importance": importance(booster),
        "warnings": store.read_json(model.history)["warnings"],
    }
    return Evaluation(
        model=model.booster.sha256,
        metrics=store.put_json(document, "metrics.json"),
        curves=store.put_json(judge.curves(label, score), "curves.json"),
        predictions=_predictions(extra["__row__"], judge.columns(label, score)),
        headline=" ".join(
            f"{name} {value:.4f}" for name in target.type.headline if (value := overall[name]) is not None
        ),
    )


def _why_incomparable(
    booster: xgb.Booster, asks: FeaturesConfig, features: FeaturesConfig, classes: tuple[str, ...], target: Target
) -> str:
    """``asks``: the features that the model itself carries; ``features``: those of the data now."""
    gone = sorted(set(asks.inputs) - set(features.inputs))
    if gone:
        return f"it needs {', '.join(gone)}, which {'is' if len(gone) == 1 else 'are'} no feature now"
    other = [name for kind in KINDS for name in asks.inputs_of(kind) if name not in features.inputs_of(kind)]
    if asks.carried and other:
        return f"it needs {', '.join(other)} as another type than {'it is' if len(other) == 1 else 'they are'} now"
    task, known = learnt(booster)
    if task != target.task:
        return f"it is a model of the task {task}, and the task is {target.task} now"
    if known != classes:
        differ = sorted(set(known) ^ set(classes))
        return f"its classes are others than those of the training rows now: {', '.join(differ[:10])}"
    return ""


def _scored(
    split: FileRef, model: Model, label: str, classes: tuple[str, ...], extra: list[str]
) -> tuple[pl.DataFrame, np.ndarray, np.ndarray]:
    """(the ``extra`` columns, label, score) of every row of a split, in the file's order; see `penstock.judge`."""
    import numpy as np
    import polars as pl

    others, labels, scores = [], [], []
    for frame, score in predictions(split, model.booster, label, [label, *extra]):
        scores.append(score)
        labels.append(numbered(frame[label], classes).to_numpy())
        others.append(frame.select(extra))
    return pl.concat(others), np.concatenate(labels), np.concatenate(scores)


def _labels(split: FileRef, label: str, classes: tuple[str, ...]) -> np.ndarray:
    import polars as pl

    return numbered(pl.read_parquet(store.locate(split), columns=[label])[label], classes).to_numpy()


def _slices(
    columns: pl.DataFrame, label: np.ndarray, score: np.ndarray, judge: Judge, evaluate: EvaluateConfig
) -> list[dict[str, Any]]:
    parts = []
    for column in evaluate.slices:
        for value, at in slices_of(columns, column):
            parts.append({
                "column": column,
                "value": value,
                "rows": len(at),
                **judge.rows(label[at]),
                "metrics": judge.measure(label[at], score[at]),
            })  # fmt: skip
    return parts


def _single_rows(split: FileRef, features: FeaturesConfig, known: dict[str, list[str]]) -> np.ndarray:
    """The first rows as the server sees them: float32, categories as codes. Shape (LATENCY_ROWS, features)."""
    import numpy as np
    import polars as pl

    from penstock.features import encode_frame

    frame = encode_frame(next(raw_batches(store.locate(split), list(features.inputs), LATENCY_ROWS)), features, known)
    codes = [pl.col(name).to_physical().cast(pl.Float32) for name in features.texts]
    return np.ascontiguousarray(frame.with_columns(codes).cast(pl.Float32).to_numpy(), dtype=np.float32)


def _predictions(row: pl.Series, columns: dict[str, Any]) -> FileRef:
    import polars as pl

    with store.new_file("predictions.parquet") as draft:
        pl.DataFrame({"__row__": row, **columns}).write_parquet(draft.path, compression="zstd")
    return draft.ref


def _incomparable(model: Model, why: str) -> Evaluation:
    nothing = store.put_json({"incomparable": why}, "metrics.json")
    return Evaluation(model=model.booster.sha256, metrics=nothing, curves=nothing, predictions=nothing, headline=why)
