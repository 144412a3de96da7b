"""Scores a model on the test split: metrics, slices, curves and the predictions themselves."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from penstock import metrics
from penstock.config import EvaluateConfig, FeaturesConfig
from penstock.model import categories, importance, load, single_row_ms
from penstock.refs import Evaluation, FileRef, Model, Splits
from tasks import store
from tasks.batches import raw_batches
from tasks.caching import task
from tasks.settings import settings

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import xgboost as xgb

LATENCY_ROWS = 200


@task(libraries=("xgboost", "scikit-learn", "numpy", "polars"))
def evaluate_model(splits: Splits, model: Model, features: FeaturesConfig, evaluate: EvaluateConfig) -> Evaluation:
    """Metrics at the threshold that is best on the validation rows, over all test rows and by slice.

    A model whose features are no longer in the data gets no metrics but a reason under `incomparable`, on which
    the gate decides.
    """
    booster = load(store.read_bytes(model.booster), settings().cpus)
    names = booster.feature_names or []
    gone = sorted(set(names) - set(features.names))
    if gone:
        return _incomparable(
            model, f"it needs {', '.join(gone)}, which {'is' if len(gone) == 1 else 'are'} no feature now"
        )
    known = categories(booster)
    columns = features.model_copy(update={
        "categorical": tuple(name for name in names if name in known),
        "numeric": tuple(name for name in names if name not in known),
    })  # fmt: skip
    _, label, score = _scored(splits.validation, booster, columns, known, [])
    threshold = metrics.best_threshold(label, score, evaluate.threshold_metric)
    validation = metrics.binary_metrics(label, score, threshold, evaluate.calibration_bins)
    extra, label, score = _scored(splits.test, booster, columns, known, ["__row__", *evaluate.slices])
    overall = metrics.binary_metrics(label, score, threshold, evaluate.calibration_bins)
    document = {
        "threshold": threshold,
        "rows": len(label),
        "positives": int(label.sum()),
        "metrics": overall,
        "validation": {"rows": splits.rows[1], "metrics": validation},
        "slices": _slices(extra, label, score, threshold, evaluate),
        "latency_ms": single_row_ms(booster, _single_rows(splits.test, columns, known), time.perf_counter),
        "size_bytes": model.booster.size,
        "importance": importance(booster),
        "warnings": store.read_json(model.history)["warnings"],
    }
    return Evaluation(
        model=model.booster.sha256,
        metrics=store.put_json(document, "metrics.json"),
        curves=store.put_json(metrics.curves(label, score, evaluate.calibration_bins), "curves.json"),
        predictions=_predictions(extra["__row__"], label, score),
        headline=" ".join(
            f"{name} {value:.4f}" for name in ("auc", "log_loss") if (value := overall[name]) is not None
        ),
    )


def _scored(
    split: FileRef, booster: xgb.Booster, features: FeaturesConfig, known: dict[str, list[str]], extra: list[str]
) -> tuple[pl.DataFrame, np.ndarray, np.ndarray]:
    """(the ``extra`` columns, label, score) of every row of a split, in the file's order."""
    import numpy as np
    import polars as pl

    from penstock.features import encode_frame

    others, labels, scores = [], [], []
    wanted = list(dict.fromkeys([*features.names, features.label, *extra]))
    for frame in raw_batches(store.locate(split), wanted):
        scores.append(booster.inplace_predict(encode_frame(frame, features, known)))
        labels.append(frame[features.label].to_numpy())
        others.append(frame.select(extra))
    return pl.concat(others), np.concatenate(labels), np.concatenate(scores)


def _slices(
    columns: pl.DataFrame, label: np.ndarray, score: np.ndarray, threshold: float, evaluate: EvaluateConfig
) -> list[dict[str, Any]]:
    import polars as pl

    parts = []
    for column in evaluate.slices:
        groups = columns.select(pl.col(column).cast(pl.String).fill_null("(missing)").alias("value")).with_row_index(
            "at"
        )
        for (value,), rows in sorted(groups.group_by("value"), key=lambda pair: str(pair[0][0])):
            at = rows["at"].to_numpy()
            parts.append({
                "column": column,
                "value": value,
                "rows": len(at),
                "positives": int(label[at].sum()),
                "metrics": metrics.binary_metrics(label[at], score[at], threshold, evaluate.calibration_bins),
            })  # fmt: skip
    return parts


def _single_rows(split: FileRef, features: FeaturesConfig, known: dict[str, list[str]]) -> np.ndarray:
    """The first rows as the server sees them: float32, categories as codes. Shape (LATENCY_ROWS, features)."""
    import numpy as np
    import polars as pl

    from penstock.features import encode_frame

    frame = encode_frame(next(raw_batches(store.locate(split), list(features.names), LATENCY_ROWS)), features, known)
    codes = [pl.col(name).to_physical().cast(pl.Float32) for name in features.categorical]
    return np.ascontiguousarray(frame.with_columns(codes).cast(pl.Float32).to_numpy(), dtype=np.float32)


def _predictions(row: pl.Series, label: np.ndarray, score: np.ndarray) -> FileRef:
    import polars as pl

    with store.new_file("predictions.parquet") as draft:
        pl.DataFrame({"__row__": row, "label": label, "score": score}).write_parquet(draft.path, compression="zstd")
    return draft.ref


def _incomparable(model: Model, why: str) -> Evaluation:
    nothing = store.put_json({"incomparable": why}, "metrics.json")
    return Evaluation(model=model.booster.sha256, metrics=nothing, curves=nothing, predictions=nothing, headline=why)
